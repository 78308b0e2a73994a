//! H.264 (RFC 6184): single NAL units, aggregation and fragmentation, with and without decoding order numbers.
//!
//! Decoding order numbers are stepped over: in the interleaved mode only senders that transmit in decoding order are
//! understood, which is all that were seen. Time offsets within a multi-time aggregation are ignored for the same
//! reason: such a packet holds one unit.
//!
//! ```text
//! |F|NRI|  Type   |                                  a NAL unit, or what STAP, MTAP and FU begin with
//! |F|NRI| 28 / 29 | |S|E|R|  Type   | [DON 16] ...   FU: the type of the fragmented NAL unit
//! ```

use bytes::Bytes;

use super::assembly::{Assembly, State};
use super::{Error, invalid};

const SLICE: u8 = 1;
const SLICE_PARTITION_C: u8 = 4;
const SLICE_IDR: u8 = 5;
const STAP_A: u8 = 24;
const STAP_B: u8 = 25;
const MTAP_16: u8 = 26;
const MTAP_24: u8 = 27;
const FU_A: u8 = 28;
const FU_B: u8 = 29;

/// Start code that some cameras put before NAL units even here.
const START_CODE: [u8; 3] = [0, 0, 1];

/// Whether a NAL unit carries a part of the picture itself.
pub(super) fn is_slice(nal: &Bytes) -> bool {
    nal.first().is_some_and(|header| (SLICE..=SLICE_IDR).contains(&(header & 0x1F)))
}

/// Adds one payload to the unit in progress.
pub(super) fn packet(assembly: &mut Assembly, payload: &Bytes) -> Result<(), Error> {
    let &header = payload.first().ok_or(invalid("empty"))?;
    let packet_type = header & 0x1F;
    if assembly.has_fragments() && !matches!(packet_type, FU_A | FU_B) {
        return Err(invalid("another NAL unit within a fragmented one"));
    }
    match packet_type {
        STAP_A => aggregated(assembly, payload.slice(1..), 0),
        STAP_B => aggregated(assembly, payload.get(3..).map(|_| payload.slice(3..)).unwrap_or_default(), 0),
        // DON base, then before each NAL unit DOND and a time offset of 16 or 24 bits.
        MTAP_16 => aggregated(assembly, payload.get(3..).map(|_| payload.slice(3..)).unwrap_or_default(), 3),
        MTAP_24 => aggregated(assembly, payload.get(3..).map(|_| payload.slice(3..)).unwrap_or_default(), 4),
        FU_A => fragment(assembly, payload, 2),
        FU_B => fragment(assembly, payload, 4),
        0 => annex_b(assembly, payload),
        _ => nal(assembly, payload.clone()),
    }
}

fn nal(assembly: &mut Assembly, nal: Bytes) -> Result<(), Error> {
    resolve(assembly, nal.first().copied().unwrap_or(0), nal.get(1).copied());
    assembly.part(nal)
}

/// After a loss the first slice tells whether the picture began with it: `first_mb_in_slice` is ue(v) and 0, one bit.
fn resolve(assembly: &mut Assembly, header: u8, after_header: Option<u8>) {
    if assembly.state() != State::Suspect {
        return;
    }
    match header & 0x1F {
        SLICE | 2 | SLICE_IDR => assembly.resolve(after_header.is_some_and(|byte| byte & 0x80 != 0)),
        3 | SLICE_PARTITION_C => assembly.resolve(false),
        _ => {}
    }
}

/// NAL units, each with its size in 16 bits and `skipped` bytes before it. The size counts the skipped bytes of MTAPs too
/// (RFC 6184, 5.7.2).
fn aggregated(assembly: &mut Assembly, mut rest: Bytes, skipped: usize) -> Result<(), Error> {
    if rest.is_empty() {
        return Err(invalid("aggregation packet without a NAL unit"));
    }
    while !rest.is_empty() {
        let size = rest.first_chunk().map(|&size| usize::from(u16::from_be_bytes(size)));
        let size =
            size.filter(|&size| 2 + size <= rest.len()).ok_or(invalid("size in aggregation packet"))?;
        let aggregated = rest.slice(2..2 + size);
        rest = rest.slice(2 + size..);
        if aggregated.len() > skipped {
            nal(assembly, aggregated.slice(skipped..))?;
        }
    }
    Ok(())
}

/// A fragment; `header_bytes` before it in the first one, 2 in others.
fn fragment(assembly: &mut Assembly, payload: &Bytes, header_bytes: usize) -> Result<(), Error> {
    let (&[indicator, header], _) = payload.split_first_chunk().ok_or(invalid("fragment header"))?;
    let (starts, ends) = (header & 0x80 != 0, header & 0x40 != 0);
    let header_bytes = if starts { header_bytes } else { 2 };
    if payload.len() < header_bytes {
        return Err(invalid("fragment header"));
    }
    let piece = payload.slice(header_bytes..);
    if starts {
        if assembly.has_fragments() {
            return Err(invalid("fragmented NAL unit without its end"));
        }
        let nal_header = indicator & 0xE0 | header & 0x1F;
        resolve(assembly, nal_header, piece.first().copied());
        if assembly.state() == State::Damaged {
            return Ok(());
        }
        assembly.fragments().open(&[nal_header]);
    } else if !assembly.has_fragments() {
        return match assembly.state() {
            // The packets before this one were lost: nobody's fault.
            State::Suspect => {
                assembly.damage();
                Ok(())
            }
            _ => Err(invalid("fragment without the beginning of its NAL unit")),
        };
    }
    assembly.fragment(piece)?;
    if ends { assembly.join() } else { Ok(()) }
}

/// Several NAL units with start codes in one payload.
fn annex_b(assembly: &mut Assembly, payload: &Bytes) -> Result<(), Error> {
    if !payload.starts_with(&START_CODE) && !payload.starts_with(&[0, 0, 0, 1]) {
        return Err(invalid("NAL unit type 0"));
    }
    crate::codec::nal::annex_b(payload).try_for_each(|part| nal(assembly, part))
}
