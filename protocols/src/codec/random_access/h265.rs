//! H.265 (payload format: RFC 7798; NAL unit types: ITU-T H.265, table 7-1).
//!
//! Decoding can start at an intra random access picture: BLA, IDR or CRA. Decoding order numbers (`sprop-max-don-diff`
//! above 0) are left out: no known sender uses them.

use std::ops::RangeInclusive;

/// BLA_W_LP to CRA_NUT.
const RANDOM_ACCESS: RangeInclusive<u8> = 16..=21;
/// Packet types of the payload format (RFC 7798, 4.4).
const AGGREGATION: u8 = 48;
const FRAGMENTATION: u8 = 49;
const PACI: u8 = 50;

/// Whether this payload holds, or holds a piece of, a picture that decoding can start at.
///
/// ```text
/// |F|   type    |  layer id | TID |      the NAL unit header, and the header of every payload
/// ```
pub(super) fn is_random_access(payload: &[u8]) -> bool {
    let Some((&[first, _], body)) = payload.split_first_chunk::<2>() else {
        return false;
    };
    match first >> 1 & 0x3F {
        PACI => paci(body),
        kind => structure(kind, body),
    }
}

fn structure(kind: u8, body: &[u8]) -> bool {
    match kind {
        AGGREGATION => aggregate(body),
        // S, E and the type of the fragmented unit.
        FRAGMENTATION => body.first().is_some_and(|header| RANDOM_ACCESS.contains(&(header & 0x3F))),
        kind => RANDOM_ACCESS.contains(&kind),
    }
}

/// Units, each after a 16-bit size (RFC 7798, 4.4.2).
fn aggregate(mut units: &[u8]) -> bool {
    while let Some((&size, rest)) = units.split_first_chunk::<2>() {
        let Some((unit, rest)) = rest.split_at_checked(usize::from(u16::from_be_bytes(size))) else {
            return false;
        };
        if unit.first().is_some_and(|first| RANDOM_ACCESS.contains(&(first >> 1 & 0x3F))) {
            return true;
        }
        units = rest;
    }
    false
}

/// A packet with extension (RFC 7798, 4.4.4): A, type inside, size of the extension, four flags; the extension; what
/// the type inside says, without a payload header of its own.
fn paci(body: &[u8]) -> bool {
    let Some((&fields, rest)) = body.split_first_chunk::<2>() else {
        return false;
    };
    let fields = u16::from_be_bytes(fields);
    let kind = (fields >> 9 & 0x3F) as u8;
    let extension_bytes = usize::from(fields >> 4 & 0x1F);
    rest.get(extension_bytes..).is_some_and(|inner| structure(kind, inner))
}
