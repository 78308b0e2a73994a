//! NAL units in their byte streams: after start codes (ITU-T H.264, annex B; H.265, annex B) and after lengths
//! (ISO/IEC 14496-15, 5.3.2), as slices of the stream.

use super::Error;
use crate::limits::UNIT_PARTS_MAX;
use crate::unit::Parts;
use bytes::Bytes;

/// The NAL units of a byte stream with start codes of three or four bytes, in order, without start codes and without
/// the zeros that may follow a unit. Bytes before the first start code are none; empty units are left out.
pub fn annex_b(stream: &Bytes) -> impl Iterator<Item = Bytes> + use<> {
    let start = start_code(stream, 0).map_or(stream.len(), |at| at + 3);
    AnnexB { stream: stream.clone(), start }
}

struct AnnexB {
    stream: Bytes,
    /// Where the next unit begins; the stream's length at the end.
    start: usize,
}

impl Iterator for AnnexB {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        while self.start < self.stream.len() {
            let (end, next) = match start_code(&self.stream, self.start) {
                Some(at) => (at, at + 3),
                None => (self.stream.len(), self.stream.len()),
            };
            let zeros = self.stream[self.start..end].iter().rev().take_while(|byte| **byte == 0).count();
            let unit = self.stream.slice(self.start..end - zeros);
            self.start = next;
            if !unit.is_empty() {
                return Some(unit);
            }
        }
        None
    }
}

/// Where `00 00 01` begins, at `from` or later.
fn start_code(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(window) = bytes.get(at..at + 3) {
        match window {
            [0, 0, 1] => return Some(at),
            // A third byte above 1 is no part of any start code.
            [_, _, 2..=u8::MAX] => at += 3,
            _ => at += 1,
        }
    }
    None
}

/// The NAL units of a sample where each comes after its length in `length_size` bytes, 1 to 4. Empty units are left out.
///
/// # Errors
/// A length that reaches past the end, and more than [`UNIT_PARTS_MAX`] units.
pub fn length_prefixed(sample: &Bytes, length_size: u8) -> Result<Parts, Error> {
    if !(1..=4).contains(&length_size) {
        return Err(Error::invalid("NAL unit length size"));
    }
    let mut parts = Parts::new();
    let mut at = 0;
    while at < sample.len() {
        let start = at + usize::from(length_size);
        let length = sample.get(at..start).ok_or(Error::invalid("NAL unit length"))?;
        let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        let end = start + length;
        if end > sample.len() {
            return Err(Error::invalid("NAL unit length"));
        }
        at = end;
        if length == 0 {
            continue;
        }
        if parts.len() == UNIT_PARTS_MAX {
            return Err(Error::Limit { what: "NAL units of one access unit", max: UNIT_PARTS_MAX });
        }
        parts.push(sample.slice(start..end));
    }
    Ok(parts)
}

/// The content of a NAL unit without emulation prevention: of `00 00 03` the 03 is left out (H.264, 7.4.1).
pub fn unescape(unit: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(unit.len());
    let mut zeros = 0_u8;
    for &byte in unit {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros.saturating_add(1) } else { 0 };
        plain.push(byte);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::{annex_b, length_prefixed, unescape};
    use bytes::Bytes;

    #[test]
    fn start_codes_of_both_lengths() {
        let stream = Bytes::from_static(&[
            9, 0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 0, 0, 0, 0, 1, 0, 0, 1, 0x65, 2, 1, 0,
        ]);
        let units = annex_b(&stream).map(|unit| unit.to_vec()).collect::<Vec<_>>();
        assert_eq!(units, [vec![0x67, 1], vec![0x68], vec![0x65, 2, 1]]);
        assert_eq!(annex_b(&Bytes::from_static(&[0, 0, 0, 2, 1])).count(), 0);
        assert_eq!(annex_b(&Bytes::from_static(&[0, 0, 1])).count(), 0);
    }

    #[test]
    fn lengths_of_every_size() {
        for size in 1..=4_u8 {
            let mut sample = Vec::new();
            for unit in [&[0x67_u8, 1, 2][..], &[], &[0x65]] {
                sample.extend(&(unit.len() as u32).to_be_bytes()[4 - usize::from(size)..]);
                sample.extend(unit);
            }
            let sample = Bytes::from(sample);
            let parts = length_prefixed(&sample, size).unwrap();
            assert_eq!(parts.as_slice(), [&[0x67, 1, 2][..], &[0x65]]);
            assert!(length_prefixed(&sample.slice(..sample.len() - 1), size).is_err());
        }
        assert!(length_prefixed(&Bytes::new(), 0).is_err());
    }

    #[test]
    fn emulation_prevention_is_removed() {
        assert_eq!(unescape(&[0, 0, 3, 1, 0, 0, 3, 0, 0, 3]), [0, 0, 1, 0, 0, 0, 0]);
    }
}
