//! One RTP packet: its header read in place, renumbered in place, and written (RFC 3550, section 5.1).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//! |                           timestamp                           |
//! |           synchronization source (SSRC) identifier            |
//! |            contributing source (CSRC) identifiers, CC of them |
//! |      defined by profile       |  length in words  | extension |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use bytes::BytesMut;

use super::{Sequence, Ticks};

/// The fixed part of the header, in bytes.
pub const HEADER_BYTES: usize = 12;

const VERSION: u8 = 2;
const PADDING: u8 = 0x20;
const EXTENSION: u8 = 0x10;
const CSRC_COUNT: u8 = 0x0F;
const MARKER: u8 = 0x80;

/// Why bytes are no RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The packet ends inside `what`, or contradicts itself there. `offset` is where `what` starts, in bytes.
    #[error("invalid RTP packet of {length} bytes: {what} at byte {offset}")]
    Invalid { what: &'static str, offset: usize, length: usize },
    /// Not version 2.
    #[error("unsupported RTP version {version}")]
    Unsupported { version: u8 },
}

impl Error {
    /// The sort of fault, as a metric label.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Invalid { .. } => "invalid",
            Error::Unsupported { .. } => "unsupported",
        }
    }
}

/// What an RTP packet says, borrowed from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    pub marker: bool,
    /// 0 to 127.
    pub payload_type: u8,
    pub sequence: Sequence,
    pub timestamp: Ticks,
    pub ssrc: u32,
    /// The payload without CSRC list, header extension and padding; may be empty.
    pub payload: &'a [u8],
    /// Bytes before the payload: the fixed header, CSRC list and extension.
    pub header_bytes: usize,
}

impl<'a> Packet<'a> {
    /// Reads the header of one packet. Never allocates.
    ///
    /// # Errors
    /// Another version than 2; a packet that ends inside its header, CSRC list or extension; a padding count of zero
    /// or larger than what follows the header.
    pub fn parse(bytes: &'a [u8]) -> Result<Packet<'a>, Error> {
        let length = bytes.len();
        let invalid = |what, offset| Error::Invalid { what, offset, length };
        let Some(fixed) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(invalid("header", 0));
        };
        let version = fixed[0] >> 6;
        if version != VERSION {
            return Err(Error::Unsupported { version });
        }
        let mut header_bytes = HEADER_BYTES + 4 * usize::from(fixed[0] & CSRC_COUNT);
        if fixed[0] & EXTENSION != 0 {
            let Some(extension) = bytes.get(header_bytes..header_bytes + 4) else {
                return Err(invalid("extension header", header_bytes));
            };
            header_bytes += 4 + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
        }
        if header_bytes > length {
            return Err(invalid("CSRC list or extension", HEADER_BYTES));
        }
        let mut payload = &bytes[header_bytes..];
        if fixed[0] & PADDING != 0 {
            let padding = usize::from(payload.last().copied().unwrap_or(0));
            if padding == 0 || padding > payload.len() {
                return Err(invalid("padding count", length.saturating_sub(1)));
            }
            payload = &payload[..payload.len() - padding];
        }
        Ok(Packet {
            marker: fixed[1] & MARKER != 0,
            payload_type: fixed[1] & !MARKER,
            sequence: Sequence(u16::from_be_bytes([fixed[2], fixed[3]])),
            timestamp: Ticks(u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]])),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            payload,
            header_bytes,
        })
    }
}

/// The fields a server replaces when it passes a packet on, so that readers see one unbroken numbering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// 0 to 127.
    pub payload_type: u8,
    pub sequence: Sequence,
    pub timestamp: Ticks,
    pub ssrc: u32,
}

impl Rewrite {
    /// Writes the fields over those of `packet`; marker, flags, CSRC list, extension, payload and padding stay.
    ///
    /// # Panics
    /// When `packet` is shorter than [`HEADER_BYTES`]: it has been through [`Packet::parse`] before.
    pub fn apply(self, packet: &mut [u8]) {
        debug_assert!(self.payload_type < 128);
        let fixed = packet.first_chunk_mut::<HEADER_BYTES>().expect("a parsed packet holds a fixed header");
        fixed[1] = fixed[1] & MARKER | self.payload_type & !MARKER;
        fixed[2..4].copy_from_slice(&self.sequence.0.to_be_bytes());
        fixed[4..8].copy_from_slice(&self.timestamp.0.to_be_bytes());
        fixed[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
    }
}

/// A fixed header without CSRC list, extension and padding.
pub fn header(marker: bool, fields: Rewrite) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[0] = VERSION << 6;
    bytes[1] = if marker { MARKER } else { 0 };
    fields.apply(&mut bytes);
    bytes
}

/// Appends [`header`] to `out`; the payload follows it.
pub fn write_header(out: &mut BytesMut, marker: bool, fields: Rewrite) {
    out.extend_from_slice(&header(marker, fields));
}

#[cfg(test)]
mod tests;
