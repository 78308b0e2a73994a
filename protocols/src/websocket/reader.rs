//! Frames of a client (section 5).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-------+-+-------------+-------------------------------+
//! |F|R|R|R| opcode|M| length (7)  | extended length (16 or 64)    |
//! |N|V|V|V|  (4)  |K|             | if length is 126 or 127       |
//! +-+-+-+-+-------+-+-------------+-------------------------------+
//! | masking key (32)              | payload, masked               |
//! +-------------------------------+-------------------------------+
//! ```

use super::Error;
use crate::limits::WEBSOCKET_FRAME_BYTES_MAX;
use bytes::{Buf, Bytes, BytesMut};

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// To be answered with a pong that repeats the payload.
    Ping(Bytes),
    Close,
    /// A frame of data, whose payload was thrown away.
    Data {
        bytes: u64,
    },
}

/// Takes frames apart. Holds at most one header and one control frame.
#[derive(Debug, Default)]
pub struct Reader {
    input: BytesMut,
    /// Of a data frame under way: bytes still to come, and its length.
    skipping: Option<(u64, u64)>,
}

struct Header {
    opcode: u8,
    payload_bytes: u64,
    mask: [u8; 4],
    bytes: usize,
}

impl Reader {
    pub fn new() -> Reader {
        Reader::default()
    }

    /// Adds what the connection received.
    pub fn push(&mut self, input: Bytes) {
        if self.input.is_empty() {
            self.input = BytesMut::from(input);
        } else {
            self.input.extend_from_slice(&input);
        }
    }

    /// The next event, if it is there.
    ///
    /// # Errors
    /// See [`Error`]; nothing after it can be read.
    pub fn event(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some((left, bytes)) = self.skipping {
                let skipped = left.min(self.input.len() as u64);
                self.input.advance(skipped as usize);
                if skipped < left {
                    self.skipping = Some((left - skipped, bytes));
                    return Ok(None);
                }
                self.skipping = None;
                return Ok(Some(Event::Data { bytes }));
            }
            let Some(header) = header(&self.input)? else { return Ok(None) };
            if header.opcode < super::OPCODE_CLOSE {
                self.input.advance(header.bytes);
                self.skipping = Some((header.payload_bytes, header.payload_bytes));
                continue;
            }
            // At most 125 bytes, as was checked.
            let payload_bytes = header.payload_bytes as usize;
            if self.input.len() < header.bytes + payload_bytes {
                return Ok(None);
            }
            self.input.advance(header.bytes);
            let mut payload = self.input.split_to(payload_bytes);
            for (byte, mask) in payload.iter_mut().zip(header.mask.iter().cycle()) {
                *byte ^= mask;
            }
            match header.opcode {
                super::OPCODE_CLOSE => return Ok(Some(Event::Close)),
                super::OPCODE_PONG => {}
                _ => return Ok(Some(Event::Ping(payload.freeze()))),
            }
        }
    }
}

fn header(input: &[u8]) -> Result<Option<Header>, Error> {
    let [first, second, rest @ ..] = input else { return Ok(None) };
    let invalid = |what| Err(Error::Invalid { what });
    let opcode = first & 0x0F;
    let control = opcode >= super::OPCODE_CLOSE;
    let length = second & 0x7F;
    if first & 0x70 != 0 {
        return invalid("a reserved bit is set");
    }
    if !matches!(opcode, 0..=2 | 8..=10) {
        return invalid("an unknown opcode");
    }
    if control && (first & super::FINAL == 0 || length > 125) {
        return invalid("a control frame that is fragmented or too long");
    }
    if second & 0x80 == 0 {
        return invalid("it is not masked");
    }
    let (payload_bytes, rest) = match length {
        126 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from_be_bytes(*length), rest),
            None => return Ok(None),
        },
        length => (u64::from(length), rest),
    };
    if payload_bytes > WEBSOCKET_FRAME_BYTES_MAX {
        return Err(Error::Limit { bytes: payload_bytes });
    }
    let Some((mask, rest)) = rest.split_first_chunk() else { return Ok(None) };
    Ok(Some(Header { opcode, payload_bytes, mask: *mask, bytes: input.len() - rest.len() }))
}
