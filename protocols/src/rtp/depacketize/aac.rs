//! AAC and other MPEG-4 streams in the generic mode (RFC 3640): several access units, or a fragment of one, behind a
//! section of headers.
//!
//! Interleaving (an AU-Index above 0) is refused. Composition times and the auxiliary section are stepped over.

use bytes::Bytes;

use super::assembly::Fragments;
use super::{Arrival, Error, invalid};
use crate::codec::bits::Bits;
use crate::rtp::Ticks;
use crate::rtp::aac_header::Shape;
use crate::track::Track;
use crate::unit::Parts;

/// Access units of one packet; senders keep below a tenth.
const UNITS_MAX: usize = 256;
/// ADTS header without checksum, in bytes.
const ADTS_BYTES: usize = 7;

/// The state of one track.
#[derive(Debug)]
pub(super) struct Depacketizer {
    shape: Shape,
    /// Ticks from one access unit to the next.
    unit_ticks: u32,
    fragments: Fragments,
    /// Of the access unit in progress: its timestamp and its bytes in all.
    fragmented: Option<(Ticks, usize)>,
}

impl Depacketizer {
    pub(super) fn new(track: &Track) -> Option<Depacketizer> {
        let shape = Shape::from_format_parameters(&track.format_parameters)?;
        let unit_ticks = crate::rtp::format::aac_unit_ticks(track);
        Some(Depacketizer { shape, unit_ticks, fragments: Fragments::default(), fragmented: None })
    }

    pub(super) fn push(&mut self, arrival: &Arrival, out: &mut Vec<(Ticks, Parts)>) -> Result<(), Error> {
        if arrival.lost || self.fragmented.is_some_and(|(timestamp, _)| timestamp != arrival.timestamp) {
            self.drop_fragments();
        }
        let result = self.packet(arrival, out);
        if result.is_err() || arrival.marker {
            self.drop_fragments();
        }
        result
    }

    fn drop_fragments(&mut self) {
        self.fragmented = None;
        self.fragments.clear();
    }

    fn packet(&mut self, arrival: &Arrival, out: &mut Vec<(Ticks, Parts)>) -> Result<(), Error> {
        let payload = &arrival.payload;
        let (headers, mut rest) = self.sections(payload)?;
        if let Some((timestamp, bytes)) = self.fragmented {
            let missing = bytes - self.fragments.bytes();
            if rest.len() > missing {
                return Err(invalid("fragment longer than its access unit"));
            }
            let complete = rest.len() == missing;
            self.fragments.push(rest, 0)?;
            if complete && let Some(joined) = self.fragments.join() {
                self.fragmented = None;
                append(timestamp, joined, out);
            }
            return Ok(());
        }
        let mut timestamp = arrival.timestamp;
        let headers_bits = headers_bits(payload, &self.shape);
        let mut bits = Bits::new(&headers);
        for index in 0..UNITS_MAX {
            if rest.is_empty() || (self.shape.has_headers() && bits.position() >= headers_bits) {
                return Ok(());
            }
            let size = if self.shape.has_headers() {
                unit_size(&mut bits, &self.shape, index == 0)?
            } else {
                self.shape.constant_size
            };
            if size > rest.len() {
                return self.first_fragment(index, arrival, rest, size);
            }
            append(timestamp, rest.slice(..size), out);
            rest = rest.slice(size..);
            timestamp = timestamp.advance(self.unit_ticks);
        }
        Err(Error::Limit { what: "access units of a packet" })
    }

    /// An access unit that goes on in the next packet: only when it is alone and unmarked.
    fn first_fragment(
        &mut self,
        index: usize,
        arrival: &Arrival,
        piece: Bytes,
        size: usize,
    ) -> Result<(), Error> {
        if arrival.marker && arrival.lost {
            // The last fragment of a unit whose beginning was lost.
            return Ok(());
        }
        if index > 0 || arrival.marker {
            return Err(invalid("access unit cut off"));
        }
        self.fragments.open(&[]);
        self.fragments.push(piece, 0)?;
        self.fragmented = Some((arrival.timestamp, size));
        Ok(())
    }

    /// The AU headers, and the access units behind them.
    fn sections(&self, payload: &Bytes) -> Result<(Bytes, Bytes), Error> {
        let mut headers = Bytes::new();
        let mut rest = payload.clone();
        if self.shape.has_headers() {
            let bytes = headers_bits(payload, &self.shape).div_ceil(8);
            if payload.len() < 2 + bytes {
                return Err(invalid("AU headers length"));
            }
            headers = payload.slice(2..2 + bytes);
            rest = payload.slice(2 + bytes..);
        }
        if self.shape.auxiliary_size > 0 {
            let mut bits = Bits::new(&rest);
            let size = bits.bits(self.shape.auxiliary_size).ok_or(invalid("auxiliary section"))?;
            let bytes = bits.position().saturating_add(size as usize).div_ceil(8);
            if bytes > rest.len() {
                return Err(invalid("auxiliary section"));
            }
            rest = rest.slice(bytes..);
        }
        Ok((headers, rest))
    }
}

/// Bits of all AU headers; 0 without a header section.
fn headers_bits(payload: &[u8], shape: &Shape) -> usize {
    match payload.first_chunk() {
        Some(&length) if shape.has_headers() => usize::from(u16::from_be_bytes(length)),
        _ => 0,
    }
}

/// Some cameras leave the ADTS header on; no raw data block begins like one, since 7 marks the end of a block.
fn append(timestamp: Ticks, unit: Bytes, out: &mut Vec<(Ticks, Parts)>) {
    let mut unit = unit;
    if let [0xFF, second, third_on @ ..] = &*unit
        && second & 0xF6 == 0xF0
        && let [_, a, b, c, _, _, ..] = *third_on
        && usize::from(a & 3) << 11 | usize::from(b) << 3 | usize::from(c >> 5) == unit.len()
    {
        let checksum_bytes = if second & 1 == 0 { 2 } else { 0 };
        unit = unit.slice((ADTS_BYTES + checksum_bytes).min(unit.len())..);
    }
    if !unit.is_empty() {
        out.push((timestamp, Parts::from_iter([unit])));
    }
}

/// Reads one AU header; the size of its access unit in bytes.
fn unit_size(bits: &mut Bits<'_>, shape: &Shape, is_first: bool) -> Result<usize, Error> {
    let cut_off = invalid("AU header");
    let size = match shape.size {
        0 => shape.constant_size,
        width => bits.bits(width).ok_or(cut_off)? as usize,
    };
    let index = bits.bits(if is_first { shape.index } else { shape.index_delta }).ok_or(cut_off)?;
    if index != 0 && !is_first {
        return Err(Error::Unsupported { what: "interleaved access units" });
    }
    for delta in [shape.cts_delta, shape.dts_delta] {
        if delta > 0 && bits.flag().ok_or(cut_off)? {
            bits.skip(delta).ok_or(cut_off)?;
        }
    }
    bits.skip(shape.random_access + shape.stream_state).ok_or(cut_off)?;
    Ok(size)
}
