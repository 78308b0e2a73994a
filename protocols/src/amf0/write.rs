//! Writing.

use super::{Value, marker};
use bytes::{BufMut, BytesMut};

impl Value {
    /// Appends the value with its type marker. Names are cut to what their length field can say.
    pub fn write(&self, out: &mut BytesMut) {
        match self {
            Value::Number(number) => {
                out.put_u8(marker::NUMBER);
                out.put_f64(*number);
            }
            Value::Boolean(truth) => out.put_slice(&[marker::BOOLEAN, u8::from(*truth)]),
            Value::String(text) => write_string(text, out),
            Value::LongString(text) => write_long_string(text, out),
            Value::Object(properties) => {
                out.put_u8(marker::OBJECT);
                write_properties(properties, out);
            }
            Value::EcmaArray(properties) => {
                out.put_u8(marker::ECMA_ARRAY);
                out.put_u32(properties.len() as u32);
                write_properties(properties, out);
            }
            Value::StrictArray(elements) => {
                out.put_u8(marker::STRICT_ARRAY);
                out.put_u32(elements.len() as u32);
                elements.iter().for_each(|element| element.write(out));
            }
            Value::Null => out.put_u8(marker::NULL),
            Value::Undefined => out.put_u8(marker::UNDEFINED),
            Value::Date { unix_ms, time_zone } => {
                out.put_u8(marker::DATE);
                out.put_f64(*unix_ms);
                out.put_i16(*time_zone);
            }
        }
    }
}

fn write_string(text: &str, out: &mut BytesMut) {
    match u16::try_from(text.len()) {
        Ok(length) => {
            out.put_u8(marker::STRING);
            out.put_u16(length);
            out.put_slice(text.as_bytes());
        }
        Err(_) => write_long_string(text, out),
    }
}

fn write_long_string(text: &str, out: &mut BytesMut) {
    out.put_u8(marker::LONG_STRING);
    out.put_u32(text.len() as u32);
    out.put_slice(text.as_bytes());
}

fn write_properties(properties: &[(Box<str>, Value)], out: &mut BytesMut) {
    for (name, value) in properties {
        let length =
            (0..=name.len().min(usize::from(u16::MAX))).rev().find(|&end| name.is_char_boundary(end));
        let name = &name[..length.unwrap_or(0)];
        out.put_u16(name.len() as u16);
        out.put_slice(name.as_bytes());
        value.write(out);
    }
    out.put_slice(&[0, 0, marker::OBJECT_END]);
}
