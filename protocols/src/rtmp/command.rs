//! Commands (RTMP 1.0, section 7.2): a name, a transaction, and AMF0 values, of which the first is the command object.

use super::error::Error;
use crate::amf0::{self, Value};
use bytes::{Bytes, BytesMut};

/// A command or the answer to one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Command {
    pub(super) name: Box<str>,
    /// Zero where no answer is expected.
    pub(super) transaction: f64,
    pub(super) object: Value,
    pub(super) arguments: Vec<Value>,
}

impl Command {
    /// Reads a command; in a message of the AMF3 type a zero comes before the same values.
    ///
    /// # Errors
    /// [`Error::Invalid`] for bytes that are no AMF0 or begin with no name, and the limits of [`amf0`].
    pub(super) fn parse(payload: &[u8]) -> Result<Command, Error> {
        let mut values = amf0::parse_all(without_amf3_mark(payload))?.into_iter();
        let Some(Value::String(name)) = values.next() else {
            return Err(Error::invalid("name of a command"));
        };
        let transaction = values.next().and_then(|value| value.as_number()).unwrap_or(0.0);
        let object = values.next().unwrap_or(Value::Null);
        Ok(Command { name, transaction, object, arguments: values.collect() })
    }

    /// The n-th value after the command object, as text.
    pub(super) fn text(&self, index: usize) -> Option<&str> {
        self.arguments.get(index).and_then(Value::as_str)
    }

    /// The n-th value after the command object, as a number.
    pub(super) fn number(&self, index: usize) -> Option<f64> {
        self.arguments.get(index).and_then(Value::as_number)
    }
}

/// Commands and data begin with a string, whose marker is not zero; so a leading zero is that of the AMF3 types.
pub(super) fn without_amf3_mark(payload: &[u8]) -> &[u8] {
    payload.strip_prefix(&[0]).unwrap_or(payload)
}

/// The bytes of `values`.
pub(super) fn write(values: &[Value]) -> Bytes {
    let mut out = BytesMut::with_capacity(256);
    values.iter().for_each(|value| value.write(&mut out));
    out.freeze()
}

/// The information object of a status or an answer.
pub(super) fn information<'a>(level: &'a str, code: &'a str, description: &'a str) -> Vec<(&'a str, Value)> {
    vec![("level", level.into()), ("code", code.into()), ("description", description.into())]
}

impl From<amf0::Error> for Error {
    fn from(error: amf0::Error) -> Error {
        match error {
            amf0::Error::Invalid { .. } => Error::invalid("AMF0"),
            amf0::Error::Unsupported { .. } => Error::unsupported("type of AMF0"),
            amf0::Error::Limit { max, .. } => Error::limit("depth or values of AMF0", max),
        }
    }
}
