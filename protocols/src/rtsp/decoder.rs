//! Splits a byte stream into requests, responses and interleaved packets (RFC 2326, sections 4 to 7 and 10.12).
//!
//! ```text
//! +-----+---------+----------------+---------
//! | '$' | channel | length (16 BE) | payload        anything else begins a request or a response
//! +-----+---------+----------------+---------
//! ```
//!
//! Lines may end in CR LF or in a bare LF. Between messages, empty lines are skipped. An interleaved payload, and a body,
//! that lie whole in the input are slices of it; only what straddles two inputs is copied. Idle, the decoder owns no heap.
//! After an error the stream has lost its framing: the decoder must not be used again.

use super::error::{Error, Place};
use super::head;
use super::message::{Request, Response, Status};
use crate::limits::{RTSP_BODY_BYTES_MAX, RTSP_HEADER_BYTES_MAX, RTSP_LINE_BYTES_MAX};
use bytes::{Buf, Bytes, BytesMut};

/// Bytes reserved at once for a packet that straddles two inputs; longer ones grow as they arrive.
const RESERVE_BYTES: usize = 2048;

/// One thing that came over a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element {
    Request(Request),
    Response(Response),
    /// An embedded binary packet (RFC 2326, section 10.12).
    Interleaved {
        channel: u8,
        payload: Bytes,
    },
}

/// The place in an element where the input ended.
#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    /// Inside start line and headers; the partial buffer has what came.
    Head(Scan),
    /// The message waits for the rest of its body.
    Body { message: Box<Element>, length: usize },
    /// Inside an interleaved packet; the partial buffer has what came, beginning with `$`.
    Packet,
}

/// A streaming splitter; see the module.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    /// What came of an element that is not whole yet; unallocated when idle.
    partial: BytesMut,
    /// Bytes taken since the start of the connection.
    offset: u64,
}

impl Decoder {
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Whether the last input ended between two elements.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Takes the next element from the front of `input`. `None`: `input` is empty now, and a part of an element may be
    /// kept inside.
    ///
    /// # Errors
    /// Any [`Error`] but `Misbehaved`, with its offset; the connection cannot go on after one.
    pub fn decode(&mut self, input: &mut Bytes) -> Result<Option<Element>, Error> {
        let before = input.len();
        let result = self.step(input);
        self.offset += (before - input.len()) as u64;
        result.map_err(|error| error.at(Place::Offset(self.offset)))
    }

    fn step(&mut self, input: &mut Bytes) -> Result<Option<Element>, Error> {
        if self.is_idle() {
            let stray = input.iter().take_while(|&&b| b == b'\r' || b == b'\n').count();
            input.advance(stray);
        }
        if input.is_empty() {
            return Ok(None);
        }
        match std::mem::take(&mut self.state) {
            State::Idle if input[0] == b'$' => Ok(self.whole_packet(input)),
            State::Idle if head::is_token(input[0]) => self.continue_head(Scan::default(), input),
            State::Idle => Err(Error::invalid("first byte of a message")),
            State::Head(scan) => self.continue_head(scan, input),
            State::Body { message, length } => Ok(self.continue_body(message, length, input)),
            State::Packet => Ok(self.continue_packet(input)),
        }
    }

    /// At `$`: a slice of the input where the packet is whole.
    fn whole_packet(&mut self, input: &mut Bytes) -> Option<Element> {
        if let [_, channel, high, low, rest @ ..] = &input[..] {
            let (channel, length) = (*channel, usize::from(u16::from_be_bytes([*high, *low])));
            if rest.len() >= length {
                let mut payload = input.split_to(4 + length);
                payload.advance(4);
                return Some(Element::Interleaved { channel, payload });
            }
            self.partial.reserve((4 + length).min(RESERVE_BYTES));
        }
        self.keep(input, input.len());
        self.state = State::Packet;
        None
    }

    fn continue_packet(&mut self, input: &mut Bytes) -> Option<Element> {
        if self.partial.len() < 4 {
            self.keep(input, input.len().min(4 - self.partial.len()));
        }
        if self.partial.len() >= 4 {
            let length = 4 + usize::from(u16::from_be_bytes([self.partial[2], self.partial[3]]));
            if self.partial.capacity() < length {
                let more = length.min(RESERVE_BYTES).saturating_sub(self.partial.len());
                self.partial.reserve(more);
            }
            self.keep(input, input.len().min(length - self.partial.len()));
            if self.partial.len() == length {
                let mut payload = std::mem::take(&mut self.partial).freeze();
                let channel = payload[1];
                payload.advance(4);
                return Some(Element::Interleaved { channel, payload });
            }
        }
        self.state = State::Packet;
        None
    }

    fn continue_head(&mut self, mut scan: Scan, input: &mut Bytes) -> Result<Option<Element>, Error> {
        let Some(end) = scan.advance(input)? else {
            self.keep(input, input.len());
            self.state = State::Head(scan);
            return Ok(None);
        };
        let (message, length) = if self.partial.is_empty() {
            let head = input.split_to(end);
            head::parse(&head)?
        } else {
            self.keep(input, end);
            head::parse(&std::mem::take(&mut self.partial))?
        };
        if length > RTSP_BODY_BYTES_MAX {
            return Err(body_limit());
        }
        if length == 0 {
            return Ok(Some(message));
        }
        Ok(self.continue_body(Box::new(message), length, input))
    }

    fn continue_body(
        &mut self,
        mut message: Box<Element>,
        length: usize,
        input: &mut Bytes,
    ) -> Option<Element> {
        let whole = if self.partial.is_empty() && input.len() >= length {
            input.split_to(length)
        } else {
            self.keep(input, input.len().min(length - self.partial.len()));
            if self.partial.len() < length {
                self.state = State::Body { message, length };
                return None;
            }
            std::mem::take(&mut self.partial).freeze()
        };
        match &mut *message {
            Element::Request(Request { body, .. }) | Element::Response(Response { body, .. }) => {
                *body = whole;
            }
            Element::Interleaved { .. } => unreachable!("only messages wait for a body"),
        }
        Some(*message)
    }

    fn keep(&mut self, input: &mut Bytes, count: usize) {
        self.partial.extend_from_slice(&input[..count]);
        input.advance(count);
    }
}

fn body_limit() -> Error {
    Error::limit("bytes of a body", RTSP_BODY_BYTES_MAX, Status::REQUEST_ENTITY_TOO_LARGE)
}

/// Looks for the empty line that ends the head, across inputs, seeing each byte once.
#[derive(Debug, Default)]
struct Scan {
    /// Bytes seen of the start line, and of the header lines.
    start_line: usize,
    headers: usize,
    /// Bytes of the line that is being read, and whether the first of them is CR.
    line: usize,
    begins_with_cr: bool,
    in_headers: bool,
}

impl Scan {
    /// The length of the head's part in `bytes`, when its end lies there.
    fn advance(&mut self, bytes: &[u8]) -> Result<Option<usize>, Error> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let newline = rest.iter().position(|&b| b == b'\n');
            let content = newline.unwrap_or(rest.len());
            if self.line == 0 && content > 0 {
                self.begins_with_cr = rest[0] == b'\r';
            }
            self.line += content;
            at += content + usize::from(newline.is_some());
            self.count(content + usize::from(newline.is_some()))?;
            if newline.is_some() {
                if self.line == 0 || (self.line == 1 && self.begins_with_cr) {
                    return Ok(Some(at));
                }
                (self.line, self.in_headers) = (0, true);
            }
        }
        Ok(None)
    }

    fn count(&mut self, bytes: usize) -> Result<(), Error> {
        if self.in_headers {
            self.headers += bytes;
            if self.headers > RTSP_HEADER_BYTES_MAX {
                return Err(Error::limit("bytes of headers", RTSP_HEADER_BYTES_MAX, Status::BAD_REQUEST));
            }
        } else {
            self.start_line += bytes;
            if self.start_line > RTSP_LINE_BYTES_MAX {
                let status = Status::REQUEST_URI_TOO_LONG;
                return Err(Error::limit("bytes of a start line", RTSP_LINE_BYTES_MAX, status));
            }
        }
        Ok(())
    }
}
