//! AMF0 (Adobe, "Action Message Format - AMF 0", 2007): the values of RTMP commands and of FLV script tags.
//!
//! [`parse_all`] reads the values of one message, [`Value::write`] writes one. Depth and number of values are bounded
//! ([`crate::limits`]), and nothing is allocated for a length that the input does not have. Lenient where encoders
//! bend the format: text that is no UTF-8 is read with replacement characters, the count of an ECMA array is ignored,
//! and such an array may end with the input instead of its end marker.
//!
//! Typed objects are read as objects without their class, XML documents as long strings, and the marker for
//! unsupported values as undefined. Left out on purpose: references, movie clips, record sets, and the switch to AMF3,
//! which nobody sends.

mod error;
mod parse;
mod write;

pub use error::Error;
pub use parse::parse_all;

/// Names and values, in their order; a name may come twice.
pub type Properties = Vec<(Box<str>, Value)>;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Number(f64),
    Boolean(bool),
    /// Written as a long string where it exceeds 65 535 bytes.
    String(Box<str>),
    Object(Properties),
    Null,
    Undefined,
    EcmaArray(Properties),
    StrictArray(Vec<Value>),
    Date {
        /// Milliseconds since 1970, UTC.
        unix_ms: f64,
        /// Reserved by the specification; zero when written by those who follow it.
        time_zone: i16,
    },
    LongString(Box<str>),
}

impl Value {
    /// An object of `properties`.
    pub fn object<'a>(properties: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
        Value::Object(properties.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// The number, if it is one.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The text of a string, short or long.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) | Value::LongString(text) => Some(text),
            _ => None,
        }
    }

    /// The truth value; a number counts as C has it, since some encoders send 1 for true.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Boolean(truth) => Some(*truth),
            Value::Number(number) => Some(*number != 0.0),
            _ => None,
        }
    }

    /// The properties of an object or an ECMA array.
    pub fn properties(&self) -> Option<&[(Box<str>, Value)]> {
        match self {
            Value::Object(properties) | Value::EcmaArray(properties) => Some(properties),
            _ => None,
        }
    }

    /// The elements of a strict array.
    pub fn elements(&self) -> Option<&[Value]> {
        match self {
            Value::StrictArray(elements) => Some(elements),
            _ => None,
        }
    }

    /// The first property of that name, of an object or an ECMA array.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.properties()?.iter().find(|(key, _)| **key == *name).map(|(_, value)| value)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Number(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Value {
        Value::Boolean(truth)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.into())
    }
}

/// Type markers (section 2.1).
mod marker {
    pub(super) const NUMBER: u8 = 0x00;
    pub(super) const BOOLEAN: u8 = 0x01;
    pub(super) const STRING: u8 = 0x02;
    pub(super) const OBJECT: u8 = 0x03;
    pub(super) const NULL: u8 = 0x05;
    pub(super) const UNDEFINED: u8 = 0x06;
    pub(super) const ECMA_ARRAY: u8 = 0x08;
    pub(super) const OBJECT_END: u8 = 0x09;
    pub(super) const STRICT_ARRAY: u8 = 0x0A;
    pub(super) const DATE: u8 = 0x0B;
    pub(super) const LONG_STRING: u8 = 0x0C;
    pub(super) const UNSUPPORTED: u8 = 0x0D;
    pub(super) const XML_DOCUMENT: u8 = 0x0F;
    pub(super) const TYPED_OBJECT: u8 = 0x10;
}

#[cfg(test)]
mod tests;
