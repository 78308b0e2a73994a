//! Reading: one pass, recursion bounded by [`AMF0_DEPTH_MAX`].

use super::{Error, Properties, Value, marker};
use crate::limits::{AMF0_DEPTH_MAX, AMF0_NAME_BYTES_MAX, AMF0_VALUES_MAX};

/// All values of `bytes`, one after the other to the end.
pub fn parse_all(bytes: &[u8]) -> Result<Vec<Value>, Error> {
    let mut reader = Reader { bytes, at: 0, values: 0 };
    let mut values = Vec::new();
    while !reader.is_empty() {
        values.push(reader.value(0)?);
    }
    Ok(values)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Values met so far, nested ones too.
    values: usize,
}

impl<'a> Reader<'a> {
    fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        if depth > AMF0_DEPTH_MAX {
            return Err(Error::Limit { what: "depth", max: AMF0_DEPTH_MAX });
        }
        self.values += 1;
        if self.values > AMF0_VALUES_MAX {
            return Err(Error::Limit { what: "values", max: AMF0_VALUES_MAX });
        }
        let at = self.at;
        let [kind] = self.array("type marker")?;
        Ok(match kind {
            marker::NUMBER => Value::Number(self.number()?),
            marker::BOOLEAN => {
                let [truth] = self.array("boolean")?;
                Value::Boolean(truth != 0)
            }
            marker::STRING => Value::String(self.text()?),
            marker::OBJECT => Value::Object(self.properties(depth, false)?),
            marker::TYPED_OBJECT => {
                self.text()?;
                Value::Object(self.properties(depth, false)?)
            }
            marker::NULL => Value::Null,
            marker::UNDEFINED | marker::UNSUPPORTED => Value::Undefined,
            marker::ECMA_ARRAY => {
                let _count: [u8; 4] = self.array("array count")?;
                Value::EcmaArray(self.properties(depth, true)?)
            }
            marker::STRICT_ARRAY => self.strict_array(depth)?,
            marker::DATE => {
                let unix_ms = self.number()?;
                Value::Date { unix_ms, time_zone: i16::from_be_bytes(self.array("time zone")?) }
            }
            marker::LONG_STRING | marker::XML_DOCUMENT => {
                let length = u32::from_be_bytes(self.array("string length")?);
                Value::LongString(self.text_of(length as usize)?)
            }
            _ => return Err(Error::Unsupported { marker: kind, at }),
        })
    }

    fn strict_array(&mut self, depth: usize) -> Result<Value, Error> {
        let count = u32::from_be_bytes(self.array("array count")?);
        // An element has a byte at least, so a count beyond the input fails at its end; nothing is set aside for it.
        let mut elements = Vec::new();
        for _ in 0..count {
            elements.push(self.value(depth + 1)?);
        }
        Ok(Value::StrictArray(elements))
    }

    /// Names and values up to the empty name with the end marker; with `may_end_early` also to the end of input.
    fn properties(&mut self, depth: usize, may_end_early: bool) -> Result<Properties, Error> {
        let mut properties = Properties::new();
        while !(may_end_early && self.is_empty()) {
            let at = self.at;
            let length = usize::from(u16::from_be_bytes(self.array("name length")?));
            if length == 0 && self.bytes.get(self.at) == Some(&marker::OBJECT_END) {
                self.at += 1;
                break;
            }
            if length > AMF0_NAME_BYTES_MAX {
                return Err(Error::Limit { what: "bytes of a name", max: AMF0_NAME_BYTES_MAX });
            }
            if length == 0 && self.is_empty() {
                return Err(Error::Invalid { what: "end of object", at });
            }
            let name = self.text_of(length)?;
            properties.push((name, self.value(depth + 1)?));
        }
        Ok(properties)
    }

    fn number(&mut self) -> Result<f64, Error> {
        Ok(f64::from_be_bytes(self.array("number")?))
    }

    fn text(&mut self) -> Result<Box<str>, Error> {
        let length = u16::from_be_bytes(self.array("string length")?);
        self.text_of(length.into())
    }

    fn text_of(&mut self, length: usize) -> Result<Box<str>, Error> {
        let text = self.bytes[self.at..]
            .get(..length)
            .ok_or(Error::Invalid { what: "string length", at: self.at })?;
        self.at += length;
        Ok(String::from_utf8_lossy(text).into())
    }

    fn array<const BYTES: usize>(&mut self, what: &'static str) -> Result<[u8; BYTES], Error> {
        let bytes = self.bytes[self.at..].first_chunk().ok_or(Error::Invalid { what, at: self.at })?;
        self.at += BYTES;
        Ok(*bytes)
    }
}
