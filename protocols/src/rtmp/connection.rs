//! What both ends of a connection do after the handshake: chunks, protocol control, acknowledgements, pings.

use super::chunk::{self, CHUNK_BYTES, Header, INITIAL_CHUNK_BYTES, MESSAGE_STREAM, Reader};
use super::command::{self, Command};
use super::error::Error;
use super::message::{self, Aggregate, Message, UserControl, type_id};
use crate::amf0::Value;
use crate::flv::{Kind, SET_DATA_FRAME};
use crate::limits::{RTMP_AHEAD_BYTES_MAX, RTMP_COMMAND_BYTES_MAX};
use bytes::{BufMut, Bytes, BytesMut};

/// What either side may send without an acknowledgement, in bytes: what Flash Media Server named, and all expect.
pub(super) const WINDOW_BYTES: u32 = 2_500_000;
/// The data message that takes the stream's metadata back.
const CLEAR_DATA_FRAME: &[u8] = b"\x02\x00\x0F@clearDataFrame";

/// What is left for server and client to look at.
#[derive(Debug)]
pub(super) enum Incoming {
    Command(Command),
    Media { kind: Kind, timestamp_ms: u32, payload: Bytes },
    UserControl(UserControl),
}

/// The connection.
#[derive(Debug)]
pub(super) struct Connection {
    reader: Reader,
    aggregate: Option<Aggregate>,
    /// What [`Connection::next`] reads, and what came after it.
    input: Bytes,
    ahead: BytesMut,
    pub(super) output: BytesMut,
    chunk_bytes: usize,
    /// Bytes received, and how many of them are acknowledged; a peer's window is counted from there.
    received: u64,
    acknowledged: u64,
    window_bytes: u64,
    /// Bytes the peer has acknowledged: its 32-bit sequence, unwrapped.
    peer_acknowledged: u64,
}

impl Connection {
    pub(super) fn new() -> Connection {
        Connection {
            reader: Reader::new(RTMP_COMMAND_BYTES_MAX),
            aggregate: None,
            input: Bytes::new(),
            ahead: BytesMut::new(),
            output: BytesMut::new(),
            chunk_bytes: INITIAL_CHUNK_BYTES,
            received: 0,
            acknowledged: 0,
            window_bytes: WINDOW_BYTES.into(),
            peer_acknowledged: 0,
        }
    }

    /// Takes bytes; what was not read before them stays in front.
    ///
    /// # Errors
    /// [`Error::Limit`] when more is ahead than a peer may send.
    pub(super) fn handle_input(&mut self, input: Bytes) -> Result<(), Error> {
        self.received += input.len() as u64;
        if self.input.is_empty() && self.ahead.is_empty() {
            self.input = input;
            return Ok(());
        }
        if self.ahead.len() + input.len() > RTMP_AHEAD_BYTES_MAX {
            return Err(Error::limit("bytes ahead of an answer", RTMP_AHEAD_BYTES_MAX));
        }
        self.ahead.extend_from_slice(&input);
        Ok(())
    }

    /// What is to be read next, for the handshake.
    pub(super) fn input(&mut self) -> (&mut Bytes, &mut BytesMut) {
        if self.input.is_empty() {
            self.input = std::mem::take(&mut self.ahead).freeze();
        }
        (&mut self.input, &mut self.output)
    }

    /// Drops what is not read: framing is lost, or nobody wants it.
    pub(super) fn drop_input(&mut self) {
        (self.input, self.ahead, self.aggregate) = (Bytes::new(), BytesMut::new(), None);
        self.reader = Reader::new(RTMP_COMMAND_BYTES_MAX);
    }

    /// Bytes received so far.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Bytes the peer says it has received.
    pub(super) fn peer_acknowledged(&self) -> u64 {
        self.peer_acknowledged
    }

    pub(super) fn set_message_bytes_max(&mut self, bytes: usize) {
        self.reader.set_message_bytes_max(bytes);
    }

    /// The next thing to look at; `None` until more input comes.
    ///
    /// # Errors
    /// Any [`Error`], with its place; the connection cannot go on after one.
    pub(super) fn next(&mut self) -> Result<Option<Incoming>, Error> {
        self.advance().map_err(|error| error.at(self.received - (self.input.len() + self.ahead.len()) as u64))
    }

    fn advance(&mut self) -> Result<Option<Incoming>, Error> {
        loop {
            if let Some(aggregate) = &mut self.aggregate {
                match aggregate.next()? {
                    // Aggregates do not nest, nor do they carry control.
                    Some(message) => match media(message) {
                        Some(media) => return Ok(Some(media)),
                        None => continue,
                    },
                    None => self.aggregate = None,
                }
            }
            if self.input.is_empty() {
                // An empty slice would keep the whole receive buffer alive.
                self.input = std::mem::take(&mut self.ahead).freeze();
            }
            let Some(message) = self.reader.read(&mut self.input)? else {
                if self.ahead.is_empty() {
                    self.input = Bytes::new();
                    self.acknowledge();
                    return Ok(None);
                }
                continue;
            };
            if let Some(incoming) = self.take(message)? {
                return Ok(Some(incoming));
            }
        }
    }

    fn take(&mut self, message: Message) -> Result<Option<Incoming>, Error> {
        let payload = &message.payload;
        match message.type_id {
            type_id::SET_CHUNK_SIZE => self.reader.set_chunk_bytes(message::number(payload)?)?,
            type_id::ABORT => self.reader.abort(message::number(payload)?),
            type_id::ACKNOWLEDGEMENT => self.take_acknowledgement(message::number(payload)?),
            type_id::WINDOW_ACKNOWLEDGEMENT_SIZE => match message::number(payload)? {
                0 => {}
                bytes => self.window_bytes = bytes.into(),
            },
            // The limit itself is left to TCP; the standard asks for the answer.
            type_id::SET_PEER_BANDWIDTH => {
                let bytes = message::number(payload)?;
                self.control(type_id::WINDOW_ACKNOWLEDGEMENT_SIZE, &bytes.to_be_bytes());
            }
            type_id::USER_CONTROL => match UserControl::parse(payload)? {
                Some(UserControl::PingRequest { timestamp }) => {
                    self.user_control(UserControl::PingResponse { timestamp });
                }
                event => return Ok(event.map(Incoming::UserControl)),
            },
            type_id::COMMAND_AMF0 | type_id::COMMAND_AMF3 => {
                return Ok(Some(Incoming::Command(Command::parse(payload)?)));
            }
            type_id::AGGREGATE => self.aggregate = Some(Aggregate::new(message)),
            _ => return Ok(media(message)),
        }
        Ok(None)
    }

    /// The sequence counts bytes in 32 bits; a step of less than half of them is one forward.
    fn take_acknowledgement(&mut self, sequence: u32) {
        let step = sequence.wrapping_sub(self.peer_acknowledged as u32);
        if step < 1 << 31 {
            self.peer_acknowledged += u64::from(step);
        }
    }

    fn acknowledge(&mut self) {
        if self.received - self.acknowledged >= self.window_bytes {
            self.acknowledged = self.received;
            self.control(type_id::ACKNOWLEDGEMENT, &(self.received as u32).to_be_bytes());
        }
    }

    /// Announces the chunk size of [`chunk::write_message`], and uses it from here on.
    pub(super) fn announce_chunk_bytes(&mut self) {
        self.control(type_id::SET_CHUNK_SIZE, &(CHUNK_BYTES as u32).to_be_bytes());
        self.chunk_bytes = CHUNK_BYTES;
    }

    /// Sends a protocol control message.
    pub(super) fn control(&mut self, type_id: u8, payload: &[u8]) {
        self.send(2, type_id, 0, Bytes::copy_from_slice(payload));
    }

    pub(super) fn user_control(&mut self, event: UserControl) {
        self.send(2, type_id::USER_CONTROL, 0, event.write());
    }

    /// Sends a command; stream 0 is the connection itself.
    pub(super) fn command(&mut self, message_stream: u32, values: &[Value]) {
        let chunk_stream = if message_stream == 0 { 3 } else { 5 };
        self.send(chunk_stream, type_id::COMMAND_AMF0, message_stream, command::write(values));
    }

    /// Sends `onStatus` on the stream.
    pub(super) fn status(&mut self, level: &str, code: &str, description: &str) {
        let information = Value::object(command::information(level, code, description));
        self.command(MESSAGE_STREAM, &["onStatus".into(), 0.0.into(), Value::Null, information]);
    }

    /// Sends data on the stream.
    pub(super) fn data(&mut self, values: &[Value]) {
        self.send(4, type_id::DATA_AMF0, MESSAGE_STREAM, command::write(values));
    }

    /// Sends media on `message_stream`; metadata of a publisher with the word that makes servers keep them. False for 16
    /// MiB and more.
    pub(super) fn media(
        &mut self,
        message_stream: u32,
        kind: Kind,
        timestamp_ms: u32,
        parts: &[Bytes],
    ) -> bool {
        let header = Header::media(kind, timestamp_ms, message_stream);
        if kind != Kind::Script {
            return chunk::write(header, parts, self.chunk_bytes, &mut self.output);
        }
        let mut body = BytesMut::new();
        body.put_slice(SET_DATA_FRAME);
        parts.iter().for_each(|part| body.put_slice(part));
        chunk::write(header, &[body.freeze()], self.chunk_bytes, &mut self.output)
    }

    fn send(&mut self, chunk_stream: u8, type_id: u8, message_stream: u32, payload: Bytes) {
        let header = Header { chunk_stream, timestamp_ms: 0, type_id, message_stream };
        let written = chunk::write(header, &[payload], self.chunk_bytes, &mut self.output);
        debug_assert!(written, "commands and control are short");
    }
}

/// The media of a message; `None` for types that nobody uses, for what is empty, and for `@clearDataFrame`.
fn media(message: Message) -> Option<Incoming> {
    let kind = match message.type_id {
        type_id::DATA_AMF3 => Kind::Script,
        other => Kind::from_type_id(other)?,
    };
    let mut payload = message.payload;
    if kind == Kind::Script {
        let rest = command::without_amf3_mark(&payload);
        if rest.starts_with(CLEAR_DATA_FRAME) {
            return None;
        }
        payload = payload.slice_ref(rest.strip_prefix(SET_DATA_FRAME).unwrap_or(rest));
    }
    (!payload.is_empty()).then_some(Incoming::Media { kind, timestamp_ms: message.timestamp_ms, payload })
}
