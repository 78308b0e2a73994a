//! H.264 (payload format: RFC 6184; NAL units and SEI: ITU-T H.264, 7.3.1, 7.3.2.3, D.1.8).
//!
//! Decoding can start at an IDR picture, and at a recovery point with nothing to wait for (`recovery_frame_cnt` 0):
//! what an open group of pictures starts with.

/// NAL unit types (H.264, table 7-1).
const IDR_SLICE: u8 = 5;
const SEI: u8 = 6;
/// Packet types of the payload format (RFC 6184, table 1).
const STAP_A: u8 = 24;
const STAP_B: u8 = 25;
const MTAP16: u8 = 26;
const MTAP24: u8 = 27;
const FU_A: u8 = 28;
const FU_B: u8 = 29;

const SEI_RECOVERY_POINT: usize = 6;

const TYPE: u8 = 0x1F;
const FU_START: u8 = 0x80;

/// Whether this payload holds, or holds a piece of, what decoding can start at. Every fragment of an IDR slice does.
pub(in crate::codec) fn is_random_access(payload: &[u8]) -> bool {
    let Some((&indicator, body)) = payload.split_first() else {
        return false;
    };
    match indicator & TYPE {
        STAP_A => aggregate(body, 0),
        // A decoding order number comes first, and in MTAPs an offset before each unit.
        STAP_B => body.get(2..).is_some_and(|units| aggregate(units, 0)),
        MTAP16 => body.get(2..).is_some_and(|units| aggregate(units, 3)),
        MTAP24 => body.get(2..).is_some_and(|units| aggregate(units, 4)),
        FU_A | FU_B => fragment(body, indicator & TYPE == FU_B),
        kind => unit(kind, body),
    }
}

/// A NAL unit, or the beginning of one, without its header byte.
fn unit(kind: u8, body: &[u8]) -> bool {
    match kind {
        IDR_SLICE => true,
        SEI => has_immediate_recovery_point(body),
        _ => false,
    }
}

/// Units each after a 16-bit size, and `skip` bytes between the size and the unit which the size does not count
/// (RFC 6184, 5.7).
fn aggregate(mut units: &[u8], skip: usize) -> bool {
    while let Some((&size, rest)) = units.split_first_chunk::<2>() {
        let size = usize::from(u16::from_be_bytes(size));
        let Some((one, rest)) = rest.get(skip..).and_then(|rest| rest.split_at_checked(size)) else {
            return false;
        };
        if one.split_first().is_some_and(|(&header, body)| unit(header & TYPE, body)) {
            return true;
        }
        units = rest;
    }
    false
}

/// A fragment (RFC 6184, 5.8): S, E, R and the type of the fragmented unit; in FU-B a decoding order number follows.
fn fragment(body: &[u8], has_order: bool) -> bool {
    let Some((&header, rest)) = body.split_first() else {
        return false;
    };
    match header & TYPE {
        IDR_SLICE => true,
        SEI if header & FU_START != 0 => {
            rest.get(if has_order { 2 } else { 0 }..).is_some_and(has_immediate_recovery_point)
        }
        _ => false,
    }
}

/// Looks through the messages of an SEI unit for a recovery point whose `recovery_frame_cnt`, an Exp-Golomb code, is 0:
/// a single 1 bit.
fn has_immediate_recovery_point(body: &[u8]) -> bool {
    let mut bytes = Unescaped { bytes: body, zeros: 0 };
    loop {
        let (Some(kind), Some(size)) = (sei_number(&mut bytes), sei_number(&mut bytes)) else {
            return false;
        };
        if kind == SEI_RECOVERY_POINT {
            return size > 0 && bytes.next().is_some_and(|first| first & 0x80 != 0);
        }
        // `nth` of a huge size ends with the bytes, not with the size.
        if size > 0 && bytes.nth(size - 1).is_none() {
            return false;
        }
    }
}

/// A payload type or size of SEI: bytes of 255 to add up, and a last one.
fn sei_number(bytes: &mut Unescaped<'_>) -> Option<usize> {
    let mut number = 0;
    loop {
        let byte = bytes.next()?;
        number += usize::from(byte);
        if byte != 0xFF {
            return Some(number);
        }
    }
}

/// The bytes of a NAL unit without emulation prevention: of 00 00 03 the 03 is left out (H.264, 7.4.1).
struct Unescaped<'a> {
    bytes: &'a [u8],
    zeros: u8,
}

impl Iterator for Unescaped<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (&byte, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        if self.zeros >= 2 && byte == 3 {
            self.zeros = 0;
            return self.next();
        }
        self.zeros = if byte == 0 { self.zeros.saturating_add(1) } else { 0 };
        Some(byte)
    }
}
