//! PES packets: the units of one stream with their times (ISO/IEC 13818-1, 2.4.3.6 and 2.4.3.7).
//!
//! ```text
//! +----------+-----------+-------------+--+--+-+-+-+-+--+------------+---------------+-------- ... --------+--------
//! | 00 00 01 | stream id | length (16) |10|SC|P|A|C|O|PD| six flags  | header length | PTS, DTS, stuffing  | payload
//! +----------+-----------+-------------+--+--+-+-+-+-+--+------------+---------------+-------- ... --------+--------
//! ```
//!
//! A length of zero means "until the next one begins" and is allowed for video; it is read for any stream.

use super::error::Error;
use super::timestamp::Timestamp;
use bytes::{Buf, Bytes, BytesMut};
use smallvec::SmallVec;

/// Stream id of the first video stream.
pub const VIDEO: u8 = 0xE0;
/// Stream id of the first MPEG audio stream.
pub const AUDIO: u8 = 0xC0;
/// Stream id of what MPEG did not define: AC-3, Opus, KLV.
pub const PRIVATE_1: u8 = 0xBD;
/// Stream id of synchronous metadata (2.12.4).
pub const METADATA: u8 = 0xFC;

const START_CODE: [u8; 3] = [0, 0, 1];
/// Up to and with the length.
const PREFIX_BYTES: usize = 6;
/// Up to and with the header length.
const FIXED_BYTES: usize = 9;
const TIMESTAMP_BYTES: usize = 5;
/// The longest header written: both timestamps.
pub(super) const HEADER_BYTES_MAX: usize = FIXED_BYTES + 2 * TIMESTAMP_BYTES;
/// Stream ids whose PES packets have no header after the length (table 2-21): program stream map, padding, private stream 2,
/// ECM, EMM, DSM-CC, H.222.1 type E, program stream directory.
const BARE: [u8; 8] = [0xBC, 0xBE, 0xBF, 0xF0, 0xF1, 0xF2, 0xF8, 0xFF];

/// A whole PES packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pes {
    pub stream_id: u8,
    pub pts: Option<Timestamp>,
    /// Only where it differs from `pts`.
    pub dts: Option<Timestamp>,
    pub payload: Bytes,
}

impl Pes {
    /// Reads a PES packet, whatever its length field says of bytes that are not there.
    ///
    /// # Errors
    /// No start code; a header that ends early; scrambled content.
    pub fn parse(mut bytes: Bytes) -> Result<Pes, Error> {
        let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX_BYTES>() else {
            return Err(Error::invalid("PES prefix", 0));
        };
        if prefix[..3] != START_CODE {
            return Err(Error::invalid("PES start code", 0));
        }
        let stream_id = prefix[3];
        if BARE.contains(&stream_id) {
            bytes.advance(PREFIX_BYTES);
            return Ok(Pes { stream_id, pts: None, dts: None, payload: bytes });
        }
        let &[marks, flags, header_length, ref rest @ ..] = rest else {
            return Err(Error::invalid("PES header", PREFIX_BYTES));
        };
        if marks & 0xC0 != 0x80 {
            return Err(Error::invalid("PES header", PREFIX_BYTES));
        }
        if marks & 0x30 != 0 {
            return Err(Error::Unsupported { what: "scrambled PES packet" });
        }
        let Some(header) = rest.get(..usize::from(header_length)) else {
            return Err(Error::invalid("PES header length", FIXED_BYTES - 1));
        };
        let timestamp = |at: usize| header.get(at..)?.first_chunk().copied().map(Timestamp::from_pes);
        let pts = if flags & 0x80 != 0 { timestamp(0) } else { None };
        let dts = if flags & 0xC0 == 0xC0 { timestamp(TIMESTAMP_BYTES) } else { None };
        bytes.advance(FIXED_BYTES + usize::from(header_length));
        Ok(Pes { stream_id, pts, dts, payload: bytes })
    }
}

/// The header of a PES packet with `payload_bytes` after it, which begins with a unit. The DTS is written where it is not
/// the PTS. Video that is too long for the length field gets a length of zero.
///
/// # Errors
/// Anything else that is too long.
pub(super) fn header(
    stream_id: u8,
    pts: Timestamp,
    dts: Timestamp,
    payload_bytes: usize,
) -> Result<SmallVec<[u8; HEADER_BYTES_MAX]>, Error> {
    let both = pts != dts;
    let header_length = if both { 2 * TIMESTAMP_BYTES } else { TIMESTAMP_BYTES };
    let length = match u16::try_from(FIXED_BYTES - PREFIX_BYTES + header_length + payload_bytes) {
        Ok(length) => length,
        Err(_) if stream_id == VIDEO => 0,
        Err(_) => return Err(Error::Limit { what: "bytes of a PES packet", max: usize::from(u16::MAX) }),
    };
    let mut header = SmallVec::new();
    header.extend_from_slice(&START_CODE);
    header.push(stream_id);
    header.extend_from_slice(&length.to_be_bytes());
    // Data alignment: a unit begins right after the header.
    header.extend_from_slice(&[0x84, if both { 0xC0 } else { 0x80 }, header_length as u8]);
    header.extend_from_slice(&pts.pes(if both { 3 } else { 2 }));
    if both {
        header.extend_from_slice(&dts.pes(1));
    }
    Ok(header)
}

/// Joins the PES packets of one PID.
#[derive(Debug)]
pub(super) struct Assembler {
    partial: BytesMut,
    inside: bool,
    bytes_max: usize,
}

/// What came of a payload.
#[derive(Debug, Default)]
pub(super) struct Assembled {
    /// What this payload ended: a PES packet without length and the whole one after it, at most.
    pub(super) whole: SmallVec<[Bytes; 2]>,
    /// PES packets dropped: cut short, or too long.
    pub(super) dropped: u64,
}

impl Assembler {
    pub(super) fn new(bytes_max: usize) -> Assembler {
        Assembler { partial: BytesMut::new(), inside: false, bytes_max }
    }

    /// Forgets what came, since packets were lost; says whether that was anything.
    pub(super) fn interrupt(&mut self) -> bool {
        self.partial.clear();
        std::mem::take(&mut self.inside)
    }

    /// Ends a PES packet without length at the end of the stream.
    pub(super) fn finish(&mut self) -> Option<Bytes> {
        self.end()
    }

    pub(super) fn push(&mut self, unit_start: bool, payload: &[u8]) -> Assembled {
        let mut assembled = Assembled::default();
        if unit_start {
            let begun = self.inside;
            let ended = self.end();
            assembled.dropped += u64::from(begun && ended.is_none());
            assembled.whole.extend(ended);
            self.inside = true;
        }
        if !self.inside {
            return assembled;
        }
        if self.partial.len() + payload.len() > self.bytes_max {
            self.interrupt();
            assembled.dropped += 1;
            return assembled;
        }
        self.partial.extend_from_slice(payload);
        // Stuffing after the end of a PES packet is wrong, yet seen.
        if let Some(length) = self.length()
            && self.partial.len() >= length
        {
            self.partial.truncate(length);
            assembled.whole.extend(self.end());
        }
        assembled
    }

    /// Bytes of the whole PES packet, where it says so.
    fn length(&self) -> Option<usize> {
        match self.partial[..] {
            [_, _, _, _, high, low, ..] if high | low != 0 => {
                Some(PREFIX_BYTES + usize::from(u16::from_be_bytes([high, low])))
            }
            _ => None,
        }
    }

    /// What came, if it is as long as it said.
    fn end(&mut self) -> Option<Bytes> {
        let whole = self.inside && self.length().is_none_or(|length| self.partial.len() >= length);
        self.inside = false;
        let bytes = self.partial.split().freeze();
        (whole && bytes.len() >= PREFIX_BYTES).then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{Assembler, Pes, VIDEO, header};
    use crate::mpegts::Timestamp;
    use bytes::Bytes;

    #[test]
    fn a_header_is_read_as_written() {
        let (pts, dts) = (Timestamp::new(-1), Timestamp::new(1 << 31));
        for dts in [pts, dts] {
            let mut bytes = header(VIDEO, pts, dts, 3).expect("a header").to_vec();
            bytes.extend(b"abc");
            assert_eq!(usize::from(bytes[5]) + 6, bytes.len());
            let pes = Pes::parse(bytes.into()).expect("a PES packet");
            let payload = Bytes::from_static(b"abc");
            assert_eq!(
                pes,
                Pes { stream_id: VIDEO, pts: Some(pts), dts: (dts != pts).then_some(dts), payload }
            );
        }
        assert_eq!(header(VIDEO, pts, pts, 65_536).expect("a header")[4..6], [0, 0]);
        assert!(header(super::AUDIO, pts, pts, 65_536).is_err());
    }

    #[test]
    fn packets_end_by_length_or_by_the_next() {
        let mut assembler = Assembler::new(100);
        let bounded = [0, 0, 1, 0xC0, 0, 4, 1, 2, 3, 4];
        assert_eq!(assembler.push(true, &bounded).whole[..], [Bytes::copy_from_slice(&bounded)]);
        let unbounded = [0, 0, 1, 0xE0, 0, 0, 1, 2];
        assert!(assembler.push(true, &unbounded).whole.is_empty());
        assert!(assembler.push(false, &[3]).whole.is_empty());
        let both = assembler.push(true, &bounded);
        assert_eq!((both.whole.len(), both.dropped), (2, 0));
        assert_eq!(both.whole[0][6..], [1, 2, 3]);
        assert!(assembler.push(true, &bounded[..8]).whole.is_empty());
        assert_eq!(assembler.push(true, &bounded).dropped, 1, "cut short");
        assert!(assembler.push(true, &unbounded).whole.is_empty());
        assert_eq!(assembler.push(false, &[0; 100]).dropped, 1, "too long");
        assert!(assembler.finish().is_none());
    }
}
