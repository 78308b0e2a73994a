//! Messages (RTMP 1.0, sections 5.4, 6 and 7.1): their types, protocol control, user control events, aggregates.

use super::error::Error;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Message type ids.
pub mod type_id {
    pub const SET_CHUNK_SIZE: u8 = 1;
    pub const ABORT: u8 = 2;
    pub const ACKNOWLEDGEMENT: u8 = 3;
    pub const USER_CONTROL: u8 = 4;
    pub const WINDOW_ACKNOWLEDGEMENT_SIZE: u8 = 5;
    pub const SET_PEER_BANDWIDTH: u8 = 6;
    pub const AUDIO: u8 = 8;
    pub const VIDEO: u8 = 9;
    pub const DATA_AMF3: u8 = 15;
    pub const COMMAND_AMF3: u8 = 17;
    pub const DATA_AMF0: u8 = 18;
    pub const COMMAND_AMF0: u8 = 20;
    pub const AGGREGATE: u8 = 22;
}

/// A whole message, as the chunks gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub type_id: u8,
    pub message_stream: u32,
    /// Wraps after 49.7 days.
    pub timestamp_ms: u32,
    pub payload: Bytes,
}

/// The four bytes of a protocol control message.
///
/// # Errors
/// [`Error::Invalid`] where there are fewer.
pub(super) fn number(payload: &[u8]) -> Result<u32, Error> {
    let bytes = payload.first_chunk().ok_or(Error::invalid("protocol control message"))?;
    Ok(u32::from_be_bytes(*bytes))
}

/// User control events (section 7.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserControl {
    StreamBegin { message_stream: u32 },
    StreamEof { message_stream: u32 },
    StreamDry { message_stream: u32 },
    SetBufferLength { message_stream: u32, milliseconds: u32 },
    StreamIsRecorded { message_stream: u32 },
    PingRequest { timestamp: u32 },
    PingResponse { timestamp: u32 },
}

impl UserControl {
    /// `None` for events that the specification does not name: players and servers send several.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an event that ends before its values.
    pub fn parse(payload: &[u8]) -> Result<Option<UserControl>, Error> {
        let invalid = Error::invalid("user control event");
        let (kind, values) = payload.split_first_chunk().ok_or(invalid)?;
        let value = |at: usize| -> Result<u32, Error> {
            let bytes = values.get(at..).and_then(|values| values.first_chunk()).ok_or(invalid)?;
            Ok(u32::from_be_bytes(*bytes))
        };
        Ok(Some(match u16::from_be_bytes(*kind) {
            0 => UserControl::StreamBegin { message_stream: value(0)? },
            1 => UserControl::StreamEof { message_stream: value(0)? },
            2 => UserControl::StreamDry { message_stream: value(0)? },
            3 => UserControl::SetBufferLength { message_stream: value(0)?, milliseconds: value(4)? },
            4 => UserControl::StreamIsRecorded { message_stream: value(0)? },
            6 => UserControl::PingRequest { timestamp: value(0)? },
            7 => UserControl::PingResponse { timestamp: value(0)? },
            _ => return Ok(None),
        }))
    }

    /// The payload of the message.
    pub fn write(self) -> Bytes {
        let (kind, value, second) = match self {
            UserControl::StreamBegin { message_stream } => (0u16, message_stream, None),
            UserControl::StreamEof { message_stream } => (1, message_stream, None),
            UserControl::StreamDry { message_stream } => (2, message_stream, None),
            UserControl::SetBufferLength { message_stream, milliseconds } => {
                (3, message_stream, Some(milliseconds))
            }
            UserControl::StreamIsRecorded { message_stream } => (4, message_stream, None),
            UserControl::PingRequest { timestamp } => (6, timestamp, None),
            UserControl::PingResponse { timestamp } => (7, timestamp, None),
        };
        let mut out = BytesMut::with_capacity(10);
        out.put_u16(kind);
        out.put_u32(value);
        if let Some(second) = second {
            out.put_u32(second);
        }
        out.freeze()
    }
}

/// The messages of an aggregate (section 7.1.6), one after the other: FLV tags whose times count from the first one's,
/// which stands for the aggregate's own.
#[derive(Debug)]
pub(super) struct Aggregate {
    rest: Bytes,
    timestamp_ms: u32,
    message_stream: u32,
    /// Time of the first tag.
    base_ms: Option<u32>,
}

impl Aggregate {
    pub(super) fn new(message: Message) -> Aggregate {
        Aggregate {
            rest: message.payload,
            timestamp_ms: message.timestamp_ms,
            message_stream: message.message_stream,
            base_ms: None,
        }
    }

    /// The next message.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a tag longer than what is left.
    pub(super) fn next(&mut self) -> Result<Option<Message>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let &[type_id, l2, l1, l0, t2, t1, t0, t3, ..] = &self.rest[..] else {
            return Err(Error::invalid("aggregate message"));
        };
        let length = u32::from_be_bytes([0, l2, l1, l0]) as usize;
        let tag_ms = u32::from_be_bytes([t3, t2, t1, t0]);
        if self.rest.len() < 11 + length {
            return Err(Error::invalid("aggregate message"));
        }
        self.rest.advance(11);
        let payload = self.rest.split_to(length);
        // The last back pointer is missing from some aggregates.
        self.rest.advance(self.rest.len().min(4));
        let base_ms = *self.base_ms.get_or_insert(tag_ms);
        let timestamp_ms = self.timestamp_ms.wrapping_add(tag_ms.wrapping_sub(base_ms));
        Ok(Some(Message { type_id, message_stream: self.message_stream, timestamp_ms, payload }))
    }
}
