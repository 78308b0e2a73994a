//! The framing of FLV files and HTTP-FLV (annex E.2 to E.4.1).
//!
//! ```text
//! | "FLV" | version 1 |-----a-v| offset of the first tag (9) | 0 (32 bits) |     file
//! | type  |  body bytes (24)  | timestamp (24) | its bits 24 to 31 | 0 (24) |   tag, and its body
//! |                  bytes of the tag with header (32)                     |   after each tag
//! ```

use super::error::Error;
use super::{Kind, Message};
use crate::limits::FLV_HEADER_BYTES_MAX;
use bytes::{Bytes, BytesMut};

const FILE_HEADER_BYTES: usize = 9;
pub const TAG_HEADER_BYTES: usize = 11;
pub const PREVIOUS_TAG_SIZE_BYTES: usize = 4;
/// The most a tag's size field can say.
pub const BODY_BYTES_MAX: usize = 0xFF_FFFF;
/// Set in the type of an encrypted tag.
const FILTER: u8 = 0x20;

/// What a file begins with, up to its first tag.
pub const fn file_header(audio: bool, video: bool) -> [u8; 13] {
    let flags = (audio as u8) << 2 | video as u8;
    [b'F', b'L', b'V', 1, flags, 0, 0, 0, FILE_HEADER_BYTES as u8, 0, 0, 0, 0]
}

/// What goes before and after the body of a message.
///
/// # Errors
/// A body over [`BODY_BYTES_MAX`].
pub fn frame(message: &Message) -> Result<([u8; TAG_HEADER_BYTES], [u8; PREVIOUS_TAG_SIZE_BYTES]), Error> {
    let bytes = message.body_bytes();
    if bytes > BODY_BYTES_MAX {
        return Err(Error::Limit { what: "bytes of a tag", max: BODY_BYTES_MAX });
    }
    let [_, size_high, size_middle, size_low] = (bytes as u32).to_be_bytes();
    let [extended, high, middle, low] = message.timestamp_ms.to_be_bytes();
    let kind = message.kind.type_id();
    let header = [kind, size_high, size_middle, size_low, high, middle, low, extended, 0, 0, 0];
    Ok((header, ((bytes + TAG_HEADER_BYTES) as u32).to_be_bytes()))
}

/// One tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    pub kind: Kind,
    pub timestamp_ms: u32,
    /// A slice of the input where it came in one piece.
    pub body: Bytes,
}

#[derive(Clone, Copy, Debug)]
enum State {
    FileHeader,
    /// Bytes between the file header and the first tag.
    Extension(usize),
    /// The size of the tag before, and the header of the next.
    TagHeader,
    Body {
        kind: Option<Kind>,
        timestamp_ms: u32,
        bytes: usize,
    },
}

/// Reads a file from pieces of any size. Holds at most one tag, and only as much of it as has come.
#[derive(Debug)]
pub struct Reader {
    state: State,
    /// The beginning of what the state waits for.
    partial: BytesMut,
    input: Bytes,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader::new()
    }
}

impl Reader {
    pub fn new() -> Reader {
        Reader { state: State::FileHeader, partial: BytesMut::new(), input: Bytes::new() }
    }

    /// Takes the next bytes. Those given before must be used up: [`Reader::tag`] has answered `None`.
    pub fn push(&mut self, input: Bytes) {
        debug_assert!(self.input.is_empty(), "tags were left in the reader");
        self.input = input;
    }

    /// The next tag of audio, video or script; others are stepped over. `None` when more bytes are needed.
    ///
    /// # Errors
    /// Bytes that are no FLV, and encrypted tags. After an error nothing more can be read.
    pub fn tag(&mut self) -> Result<Option<Tag>, Error> {
        loop {
            match self.state {
                State::FileHeader => {
                    let Some(header) = self.take(FILE_HEADER_BYTES) else { return Ok(None) };
                    self.state = State::Extension(extension_bytes(&header)?);
                }
                State::Extension(bytes) => {
                    if self.take(bytes).is_none() {
                        return Ok(None);
                    }
                    self.state = State::TagHeader;
                }
                State::TagHeader => {
                    let Some(header) = self.take(PREVIOUS_TAG_SIZE_BYTES + TAG_HEADER_BYTES) else {
                        return Ok(None);
                    };
                    self.state = tag_header(&header[PREVIOUS_TAG_SIZE_BYTES..])?;
                }
                State::Body { kind, timestamp_ms, bytes } => {
                    let Some(body) = self.take(bytes) else { return Ok(None) };
                    self.state = State::TagHeader;
                    if let Some(kind) = kind {
                        return Ok(Some(Tag { kind, timestamp_ms, body }));
                    }
                }
            }
        }
    }

    /// The next `bytes` bytes, once they are there.
    fn take(&mut self, bytes: usize) -> Option<Bytes> {
        if self.partial.is_empty() && self.input.len() >= bytes {
            return Some(self.input.split_to(bytes));
        }
        let missing = bytes - self.partial.len();
        let piece = self.input.split_to(missing.min(self.input.len()));
        self.partial.extend_from_slice(&piece);
        (self.partial.len() == bytes).then(|| std::mem::take(&mut self.partial).freeze())
    }
}

/// Bytes between the file header and the first previous tag size.
fn extension_bytes(header: &[u8]) -> Result<usize, Error> {
    let &[b'F', b'L', b'V', version, _, a, b, c, d] = header else {
        return Err(Error::invalid("file signature"));
    };
    if version != 1 {
        return Err(Error::Unsupported { what: "FLV version" });
    }
    let offset = u32::from_be_bytes([a, b, c, d]) as usize;
    if offset > FLV_HEADER_BYTES_MAX {
        return Err(Error::Limit { what: "bytes of the file header", max: FLV_HEADER_BYTES_MAX });
    }
    offset.checked_sub(FILE_HEADER_BYTES).ok_or(Error::invalid("file header size"))
}

fn tag_header(header: &[u8]) -> Result<State, Error> {
    let &[kind, size_high, size_middle, size_low, high, middle, low, extended, ..] = header else {
        return Err(Error::invalid("tag header"));
    };
    if kind & FILTER != 0 {
        return Err(Error::Unsupported { what: "encrypted tag" });
    }
    Ok(State::Body {
        kind: Kind::from_type_id(kind & 0x1F),
        timestamp_ms: u32::from_be_bytes([extended, high, middle, low]),
        bytes: u32::from_be_bytes([0, size_high, size_middle, size_low]) as usize,
    })
}
