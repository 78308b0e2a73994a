//! H.265 (RFC 7798): single NAL units, aggregation packets and fragmentation units.
//!
//! Decoding order numbers are stepped over: only senders that transmit in decoding order are understood. PACI packets
//! (4.4.4) are refused: nothing sends them.
//!
//! ```text
//! |F|   Type    |  LayerId  | TID |                           a NAL unit, or what AP (48) and FU (49) begin with
//! |F|    49     |  LayerId  | TID | |S|E|  FuType   | [DONL 16]
//! ```

use bytes::Bytes;

use super::assembly::{Assembly, State};
use super::{Error, invalid};
use crate::rtp::format;
use crate::track::Track;

const AGGREGATION: u8 = 48;
const FRAGMENTATION: u8 = 49;
const PACI: u8 = 50;
/// NAL unit types below this carry slices (ITU-T H.265, table 7-1).
const NON_VCL_FIRST: u8 = 32;

/// Whether a NAL unit carries a part of the picture itself.
pub(super) fn is_slice(nal: &Bytes) -> bool {
    nal.first().is_some_and(|&header| nal_type(header) < NON_VCL_FIRST)
}

fn nal_type(header: u8) -> u8 {
    header >> 1 & 0x3F
}

/// What the announcement says.
#[derive(Debug)]
pub(super) struct Depacketizer {
    /// `sprop-max-don-diff` is above 0: decoding order numbers are in the packets.
    has_order_numbers: bool,
}

impl Depacketizer {
    pub(super) fn new(track: &Track) -> Depacketizer {
        let max_difference = format::number(&track.format_parameters, "sprop-max-don-diff");
        Depacketizer { has_order_numbers: max_difference.unwrap_or(0) > 0 }
    }

    /// Adds one payload to the unit in progress.
    pub(super) fn packet(&self, assembly: &mut Assembly, payload: &Bytes) -> Result<(), Error> {
        let (&[header, _], _) = payload.split_first_chunk().ok_or(invalid("NAL unit header"))?;
        let packet_type = nal_type(header);
        if assembly.has_fragments() && packet_type != FRAGMENTATION {
            return Err(invalid("another NAL unit within a fragmented one"));
        }
        match packet_type {
            AGGREGATION => self.aggregated(assembly, payload.slice(2..)),
            FRAGMENTATION => self.fragment(assembly, payload),
            PACI => Err(Error::Unsupported { what: "PACI packet" }),
            _ if self.has_order_numbers => {
                let body = payload.get(4..).ok_or(invalid("decoding order number"))?;
                resolve(assembly, header, body.first().copied());
                let mut without = Vec::with_capacity(payload.len() - 2);
                without.extend_from_slice(&payload[..2]);
                without.extend_from_slice(body);
                assembly.part(without.into())
            }
            _ => nal(assembly, payload.clone()),
        }
    }

    /// NAL units, each with its size in 16 bits before it; before the size DONL (16 bits) at the first, DOND (8) at others.
    fn aggregated(&self, assembly: &mut Assembly, mut rest: Bytes) -> Result<(), Error> {
        if rest.is_empty() {
            return Err(invalid("aggregation packet without a NAL unit"));
        }
        let mut order_bytes = if self.has_order_numbers { 2 } else { 0 };
        while !rest.is_empty() {
            let sized = rest.get(order_bytes..).ok_or(invalid("decoding order number"))?;
            let size = sized.first_chunk().map(|&size| usize::from(u16::from_be_bytes(size)));
            let start = order_bytes + 2;
            let size = size.filter(|&size| start + size <= rest.len());
            let end = start + size.ok_or(invalid("size in aggregation packet"))?;
            nal(assembly, rest.slice(start..end))?;
            rest = rest.slice(end..);
            order_bytes = order_bytes.min(1);
        }
        Ok(())
    }

    fn fragment(&self, assembly: &mut Assembly, payload: &Bytes) -> Result<(), Error> {
        let (&[first, second, header], _) = payload.split_first_chunk().ok_or(invalid("fragment header"))?;
        let (starts, ends) = (header & 0x80 != 0, header & 0x40 != 0);
        let header_bytes = if starts && self.has_order_numbers { 5 } else { 3 };
        if payload.len() < header_bytes {
            return Err(invalid("decoding order number"));
        }
        let piece = payload.slice(header_bytes..);
        if starts {
            if assembly.has_fragments() {
                return Err(invalid("fragmented NAL unit without its end"));
            }
            let nal_header = [first & 0x81 | (header & 0x3F) << 1, second];
            resolve(assembly, nal_header[0], piece.first().copied());
            if assembly.state() == State::Damaged {
                return Ok(());
            }
            assembly.fragments().open(&nal_header);
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
}

fn nal(assembly: &mut Assembly, nal: Bytes) -> Result<(), Error> {
    if nal.len() < 2 {
        return Err(invalid("NAL unit header"));
    }
    resolve(assembly, nal[0], nal.get(2).copied());
    assembly.part(nal)
}

/// After a loss the first slice tells whether the picture began with it: `first_slice_segment_in_pic_flag`.
fn resolve(assembly: &mut Assembly, header: u8, after_header: Option<u8>) {
    if nal_type(header) < NON_VCL_FIRST {
        assembly.resolve(after_header.is_some_and(|byte| byte & 0x80 != 0));
    }
}
