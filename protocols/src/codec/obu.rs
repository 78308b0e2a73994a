//! Open bitstream units of AV1 (AV1 specification, 5.3): the low-overhead stream format, where each carries its size,
//! and back to it.
//!
//! ```text
//! |F|  type |X|S|-|   header: X extension byte follows, S obu_size follows as leb128
//! | TID |SID|  -  |   extension
//! ```

use super::Error;
use crate::limits::UNIT_PARTS_MAX;
use crate::unit::Parts;
use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

/// `obu_type` (AV1, 6.2.2).
pub const SEQUENCE_HEADER: u8 = 1;
pub const TEMPORAL_DELIMITER: u8 = 2;
pub const FRAME_HEADER: u8 = 3;
pub const METADATA: u8 = 5;
pub const FRAME: u8 = 6;
pub const TILE_LIST: u8 = 8;
pub const PADDING: u8 = 15;

const HAS_EXTENSION: u8 = 0x04;
const HAS_SIZE: u8 = 0x02;

/// The type of an OBU; `None` when it is empty.
pub fn kind(obu: &[u8]) -> Option<u8> {
    obu.first().map(|header| header >> 3 & 0x0F)
}

/// What follows the header of an OBU without size field.
pub fn payload(obu: &[u8]) -> &[u8] {
    let header = if obu.first().is_some_and(|header| header & HAS_EXTENSION != 0) { 2 } else { 1 };
    obu.get(header..).unwrap_or_default()
}

/// Reads `leb128()`: the value and its bytes. `None` where it ends too early, is longer than eight bytes, or above `u32`.
pub fn leb128(bytes: &[u8]) -> Option<(u32, usize)> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((u32::try_from(value).ok()?, index + 1));
        }
    }
    None
}

/// Appends `value` as `leb128()` in the fewest bytes.
pub fn write_leb128(out: &mut impl Extend<u8>, mut value: u32) {
    loop {
        let more = value >= 0x80;
        out.extend([value as u8 & 0x7F | if more { 0x80 } else { 0 }]);
        value >>= 7;
        if !more {
            return;
        }
    }
}

/// Where an OBU lies in a low-overhead stream.
struct Located {
    header: [u8; 2],
    header_bytes: usize,
    has_size: bool,
    /// Of the payload.
    start: usize,
    end: usize,
}

fn locate(stream: &[u8], at: usize) -> Option<Located> {
    let first = *stream.get(at)?;
    let header_bytes = if first & HAS_EXTENSION != 0 { 2 } else { 1 };
    let header = [first & !HAS_SIZE, if header_bytes == 2 { *stream.get(at + 1)? } else { 0 }];
    let body = at + header_bytes;
    let has_size = first & HAS_SIZE != 0;
    let (start, end) = if has_size {
        let (size, size_bytes) = leb128(stream.get(body..)?)?;
        let start = body + size_bytes;
        (start, start.checked_add(size as usize)?)
    } else {
        (body, stream.len())
    };
    (first & 0x80 == 0 && end <= stream.len()).then_some(Located {
        header,
        header_bytes,
        has_size,
        start,
        end,
    })
}

/// The OBUs of a low-overhead stream without their size fields, and without temporal delimiters and padding. The last
/// one may lack its size, as in a sample of MP4.
///
/// Taking a size field out moves the header to the payload, so the bytes are copied once, into one buffer; an OBU that
/// has none is a slice.
///
/// # Errors
/// Sizes that reach past the end, and more than [`UNIT_PARTS_MAX`] units.
pub fn split(stream: &Bytes) -> Result<Parts, Error> {
    let mut parts = Parts::new();
    let mut copy = BytesMut::new();
    let mut at = 0;
    while at < stream.len() {
        let obu = locate(stream, at).ok_or(Error::invalid("OBU"))?;
        let whole = at;
        at = obu.end;
        if matches!(obu.header[0] >> 3 & 0x0F, TEMPORAL_DELIMITER | PADDING) {
            continue;
        }
        if parts.len() == UNIT_PARTS_MAX {
            return Err(Error::Limit { what: "OBUs of one temporal unit", max: UNIT_PARTS_MAX });
        }
        if !obu.has_size {
            parts.push(stream.slice(whole..));
            continue;
        }
        if copy.capacity() == 0 {
            copy.reserve(stream.len() - whole);
        }
        copy.put_slice(&obu.header[..obu.header_bytes]);
        copy.put_slice(&stream[obu.start..obu.end]);
        parts.push(copy.split().freeze());
    }
    Ok(parts)
}

/// Header and size field of an OBU as the low-overhead stream has them.
pub type Head = SmallVec<[u8; 8]>;

/// Each OBU of a unit as header with size field, and payload: written one after the other they are the low-overhead
/// stream, without temporal delimiter.
pub fn with_sizes(parts: &Parts) -> impl Iterator<Item = (Head, Bytes)> + '_ {
    parts.iter().filter(|obu| !obu.is_empty()).map(|obu| {
        let mut head = Head::new();
        let header_bytes = if obu[0] & HAS_EXTENSION != 0 { 2 } else { 1 }.min(obu.len());
        head.push(obu[0] | HAS_SIZE);
        head.extend_from_slice(&obu[1..header_bytes]);
        write_leb128(&mut head, u32::try_from(obu.len() - header_bytes).unwrap_or(u32::MAX));
        (head, obu.slice(header_bytes..))
    })
}

#[cfg(test)]
mod tests {
    use super::{leb128, split, with_sizes, write_leb128};
    use bytes::Bytes;

    #[test]
    fn sizes_leave_and_come_back() {
        let stream = Bytes::from_static(&[0x12, 0, 0x0A, 2, 7, 8, 0x36, 0x20, 3, 1, 2, 3, 0x7A, 1, 0]);
        let parts = split(&stream).unwrap();
        assert_eq!(parts.as_slice(), [&[0x08, 7, 8][..], &[0x34, 0x20, 1, 2, 3]]);
        let written = with_sizes(&parts).flat_map(|(head, payload)| [&head[..], &payload[..]].concat());
        assert_eq!(written.collect::<Vec<u8>>(), stream[2..12]);
        assert_eq!(split(&Bytes::from_static(&[0x30, 1, 2])).unwrap().as_slice(), [&[0x30, 1, 2][..]]);
        assert!(split(&Bytes::from_static(&[0x0A, 3, 7, 8])).is_err());
        assert!(split(&Bytes::from_static(&[0x0A])).is_err());
    }

    #[test]
    fn leb128_of_every_length() {
        for value in [0, 1, 127, 128, 300, 1 << 20, u32::MAX] {
            let mut bytes = Vec::new();
            write_leb128(&mut bytes, value);
            assert_eq!(leb128(&bytes), Some((value, bytes.len())));
            assert_eq!(leb128(&bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(leb128(&[0xFF; 9]), None);
        assert_eq!(leb128(&[0x80, 0]), Some((0, 2)), "longer than it must be is allowed");
    }
}
