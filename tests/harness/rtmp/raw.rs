//! A raw RTMP connection on a blocking socket: it sends any bytes, chunks and commands, and reads whole messages.

use super::ANSWER;
use anyhow::{Context, Result, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use headwater_protocols::amf0::{self, Value};
use headwater_protocols::rtmp::chunk;
use headwater_protocols::rtmp::message::{Message, type_id};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Bytes of C1, S1, C2 and S2.
pub const BLOCK_BYTES: usize = 1536;
/// Longest message of the server that is taken.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// What came of the server.
#[derive(Debug)]
pub enum Came {
    Message(Message),
    /// It closed or reset the connection.
    End,
    /// Nothing, in the time that was given.
    Nothing,
}

/// One connection.
pub struct Raw {
    stream: TcpStream,
    reader: chunk::Reader,
    input: Bytes,
    transaction: f64,
}

impl Raw {
    /// # Errors
    /// When nobody listens.
    pub fn open(server: SocketAddr) -> Result<Raw> {
        let stream =
            TcpStream::connect_timeout(&server, ANSWER).with_context(|| format!("connect to {server}"))?;
        Raw::over(stream)
    }

    /// Over a socket that the caller prepared.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn over(stream: TcpStream) -> Result<Raw> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(ANSWER))?;
        let reader = chunk::Reader::new(MESSAGE_BYTES_MAX);
        Ok(Raw { stream, reader, input: Bytes::new(), transaction: 0.0 })
    }

    /// After the plain handshake.
    ///
    /// # Errors
    /// When the server does not answer it.
    pub fn greeted(server: SocketAddr) -> Result<Raw> {
        let mut raw = Raw::open(server)?;
        raw.shake_hands()?;
        Ok(raw)
    }

    /// After `connect` to `app` without any more properties, and `createStream`.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn connected(server: SocketAddr, app: &str) -> Result<Raw> {
        let mut raw = Raw::greeted(server)?;
        raw.connect(app)?;
        Ok(raw)
    }

    /// # Errors
    /// When the server refuses.
    pub fn connect(&mut self, app: &str) -> Result<()> {
        let object =
            Value::object([("app", app.into()), ("tcUrl", format!("rtmp://h/{app}").as_str().into())]);
        self.command(0, "connect", &[object])?;
        self.answer("_result")?;
        self.command(0, "createStream", &[Value::Null])?;
        self.answer("_result")?;
        Ok(())
    }

    /// A connection that publishes `name` of the empty application.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn publishing(server: SocketAddr, name: &str) -> Result<Raw> {
        let mut raw = Raw::connected(server, "")?;
        raw.command(1, "publish", &[Value::Null, name.into(), "live".into()])?;
        let status = raw.answer("onStatus")?;
        let code = status.get(3).and_then(|information| information.get("code")).and_then(Value::as_str);
        ensure!(code == Some("NetStream.Publish.Start"), "publish is answered {code:?}");
        Ok(raw)
    }

    /// A connection that plays `name` of the empty application.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn play(&mut self, name: &str) -> Result<()> {
        self.command(1, "play", &[Value::Null, name.into()])?;
        loop {
            let status = self.answer("onStatus")?;
            let information = status.get(3);
            match information.and_then(|information| information.get("code")).and_then(Value::as_str) {
                Some("NetStream.Play.Start") => return Ok(()),
                Some("NetStream.Play.Reset") => {}
                other => anyhow::bail!("play is answered {other:?}"),
            }
        }
    }

    pub fn socket(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// The plain handshake, whole.
    ///
    /// # Errors
    /// When the server does not answer it.
    pub fn shake_hands(&mut self) -> Result<()> {
        self.send(&[&[3][..], &[0; BLOCK_BYTES]].concat())?;
        self.stream.set_read_timeout(Some(ANSWER))?;
        let mut answer = vec![0; 1 + 2 * BLOCK_BYTES];
        self.stream.read_exact(&mut answer).context("S0, S1 and S2")?;
        ensure!(answer[0] == 3, "S0 is {}", answer[0]);
        let c2 = answer[1..1 + BLOCK_BYTES].to_vec();
        self.send(&c2)
    }

    /// Sends a message in chunks of 128 bytes, all of its headers whole.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn message(
        &mut self,
        chunk_stream: u8,
        type_id: u8,
        message_stream: u32,
        payload: &[u8],
    ) -> Result<()> {
        self.send(&message(chunk_stream, type_id, message_stream, 0, payload))
    }

    /// Sends a message of media.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn media(&mut self, type_id: u8, timestamp_ms: u32, body: &[u8]) -> Result<()> {
        self.send(&message(4 + (type_id & 1), type_id, 1, timestamp_ms, body))
    }

    /// Sends a command with a transaction of its own.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn command(&mut self, message_stream: u32, name: &str, arguments: &[Value]) -> Result<()> {
        self.transaction += 1.0;
        let head: [Value; 2] = [name.into(), self.transaction.into()];
        let payload = amf(&[&head, arguments].concat());
        self.message(3, type_id::COMMAND_AMF0, message_stream, &payload)
    }

    /// The values of the next command of that name; other messages are passed over.
    ///
    /// # Errors
    /// When there is none within [`ANSWER`].
    pub fn answer(&mut self, name: &str) -> Result<Vec<Value>> {
        let deadline = Instant::now() + ANSWER;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.next(left)? {
                Came::Message(message) if message.type_id == type_id::COMMAND_AMF0 => {
                    let values = amf0::parse_all(&message.payload)?;
                    let found = values.first().and_then(Value::as_str).unwrap_or_default().to_owned();
                    if found == name {
                        return Ok(values);
                    }
                    ensure!(found != "_error", "the server answers {values:?}");
                }
                Came::Message(_) => {}
                Came::End => anyhow::bail!("closed without {name}"),
                Came::Nothing => anyhow::bail!("no {name} within {ANSWER:?}"),
            }
        }
    }

    /// The next message.
    ///
    /// # Errors
    /// When what comes is no RTMP.
    pub fn next(&mut self, limit: Duration) -> Result<Came> {
        let deadline = Instant::now() + limit;
        let mut piece = vec![0; 65536];
        loop {
            if let Some(message) = self.reader.read(&mut self.input)? {
                if message.type_id == type_id::SET_CHUNK_SIZE {
                    let size = message.payload.first_chunk().context("a chunk size")?;
                    self.reader.set_chunk_bytes(u32::from_be_bytes(*size))?;
                }
                return Ok(Came::Message(message));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Came::Nothing);
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut piece) {
                Ok(0) => return Ok(Came::End),
                Ok(length) => self.input = Bytes::copy_from_slice(&piece[..length]),
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    return Ok(Came::End);
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads bytes, whatever they are, until the server closes.
    ///
    /// # Errors
    /// When it has not within `limit`.
    pub fn until_closed(&mut self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        let mut piece = vec![0; 65536];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "not closed within {limit:?}");
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("waiting for the server to close"),
            }
        }
    }
}

/// The bytes of AMF0 values.
pub fn amf(values: &[Value]) -> Bytes {
    let mut out = BytesMut::new();
    values.iter().for_each(|value| value.write(&mut out));
    out.freeze()
}

/// A message in chunks of 128 bytes (RTMP 1.0, section 5.3.1).
pub fn message(
    chunk_stream: u8,
    type_id: u8,
    message_stream: u32,
    timestamp_ms: u32,
    payload: &[u8],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + payload.len() / 128 + 20);
    out.extend(header(chunk_stream, type_id, message_stream, timestamp_ms, payload.len()));
    for (index, piece) in payload.chunks(128).enumerate() {
        if index > 0 {
            out.push(0xC0 | chunk_stream);
            if timestamp_ms >= 0xFF_FFFF {
                out.put_u32(timestamp_ms);
            }
        }
        out.extend_from_slice(piece);
    }
    out
}

/// A type 0 header, which may claim any length.
pub fn header(
    chunk_stream: u8,
    type_id: u8,
    message_stream: u32,
    timestamp_ms: u32,
    length: usize,
) -> Vec<u8> {
    let mut out = vec![chunk_stream];
    out.put_uint(timestamp_ms.min(0xFF_FFFF).into(), 3);
    out.put_uint(length as u64, 3);
    out.put_u8(type_id);
    out.put_u32_le(message_stream);
    if timestamp_ms >= 0xFF_FFFF {
        out.put_u32(timestamp_ms);
    }
    out
}
