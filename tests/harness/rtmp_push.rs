//! RTMP by hand (Adobe's RTMP Specification 1.0): a publisher of a [`Feed`] with timestamps of the test's choice, and a
//! player that tells each message.
//!
//! Messages are sent in one chunk each: the chunk size is set to more than any has.

use crate::feed::{Feed, Medium, Unit, number};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const CHUNK_BYTES: u32 = 65_536;
const DEADLINE: Duration = Duration::from_secs(10);

const SET_CHUNK_SIZE: u8 = 1;
pub const AUDIO: u8 = 8;
pub const VIDEO: u8 = 9;
const COMMAND: u8 = 20;

/// One message.
#[derive(Clone, Debug)]
pub struct Message {
    pub kind: u8,
    pub timestamp_ms: u32,
    pub body: Vec<u8>,
}

impl Message {
    /// Whether it is an AVC sequence header.
    pub fn is_avc_header(&self) -> bool {
        self.kind == VIDEO && self.body.len() > 2 && self.body[0] & 0x8F == 7 && self.body[1] == 0
    }

    /// Whether it is a picture of AVC, and if so whether a key frame.
    pub fn picture(&self) -> Option<bool> {
        let is = self.kind == VIDEO && self.body.len() > 5 && self.body[0] & 0x8F == 7 && self.body[1] == 1;
        is.then(|| self.body[0] >> 4 == 1)
    }
}

/// What has come of a message so far, by chunk stream.
#[derive(Default)]
struct Partial {
    timestamp: u32,
    delta: u32,
    extended: bool,
    length: usize,
    kind: u8,
    body: Vec<u8>,
}

/// A client's connection.
pub struct Connection {
    stream: TcpStream,
    chunk_bytes: usize,
    partial: BTreeMap<u8, Partial>,
}

impl Connection {
    /// Connects, and sends `connect` and `createStream`, without waiting for their results: the server answers in order.
    ///
    /// # Errors
    /// When nobody listens, or the handshake fails.
    fn open(server: SocketAddr, app: &str) -> Result<Connection> {
        let mut stream = TcpStream::connect_timeout(&server, DEADLINE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        let mut hello = vec![0; 1537];
        hello[0] = 3;
        stream.write_all(&hello)?;
        let mut answer = vec![0; 3073];
        stream.read_exact(&mut answer).context("the handshake")?;
        stream.write_all(&answer[1..1537])?;
        let mut connection = Connection { stream, chunk_bytes: 128, partial: BTreeMap::new() };
        connection.send(SET_CHUNK_SIZE, 0, &CHUNK_BYTES.to_be_bytes())?;
        let mut connect = command("connect", 1.0);
        connect.push(3);
        for (key, value) in [("app", app), ("tcUrl", &format!("rtmp://{server}/{app}"))] {
            connect.extend_from_slice(&(key.len() as u16).to_be_bytes());
            connect.extend_from_slice(key.as_bytes());
            connect.extend(string(value));
        }
        connect.extend([0, 0, 9]);
        connection.send(COMMAND, 0, &connect)?;
        let mut create = command("createStream", 2.0);
        create.push(5);
        connection.send(COMMAND, 0, &create)?;
        Ok(connection)
    }

    /// A publisher that the server has accepted.
    ///
    /// # Errors
    /// When it has not.
    pub fn publish(server: SocketAddr, path: &str) -> Result<Connection> {
        let mut connection = Connection::open(server, path)?;
        let mut publish = command("publish", 3.0);
        publish.push(5);
        publish.extend([string(""), string("live")].concat());
        connection.send(COMMAND, 0, &publish)?;
        connection.until_status("NetStream.Publish.Start")?;
        Ok(connection)
    }

    /// A player that the server has accepted.
    ///
    /// # Errors
    /// When it has not.
    pub fn play(server: SocketAddr, path: &str) -> Result<Connection> {
        let mut connection = Connection::open(server, path)?;
        let mut play = command("play", 3.0);
        play.push(5);
        play.extend(string(""));
        connection.send(COMMAND, 0, &play)?;
        connection.until_status("NetStream.Play.Start")?;
        Ok(connection)
    }

    fn until_status(&mut self, wanted: &str) -> Result<()> {
        loop {
            let message = self.message()?;
            let text = String::from_utf8_lossy(&message.body).into_owned();
            if message.kind == COMMAND && text.contains(wanted) {
                return Ok(());
            }
            ensure!(!text.contains("error"), "{wanted} was refused: {text:?}");
        }
    }

    /// Sends a message in one chunk of type 0 (5.3.1.2.1).
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(&mut self, kind: u8, timestamp_ms: u32, body: &[u8]) -> Result<()> {
        ensure!(body.len() <= CHUNK_BYTES as usize, "a message of {} bytes", body.len());
        let chunk_stream = if kind == SET_CHUNK_SIZE { 2 } else { kind.min(9) };
        let mut out = vec![chunk_stream];
        out.extend_from_slice(&timestamp_ms.min(0xFF_FFFF).to_be_bytes()[1..]);
        out.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
        out.push(kind);
        out.extend_from_slice(&u32::from(kind != SET_CHUNK_SIZE && kind != COMMAND).to_le_bytes());
        if timestamp_ms >= 0xFF_FFFF {
            out.extend_from_slice(&timestamp_ms.to_be_bytes());
        }
        out.extend_from_slice(body);
        Ok(self.stream.write_all(&out)?)
    }

    /// The sequence headers of the tracks that `feed` has units of.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send_headers(&mut self, feed: &Feed, timestamp_ms: u32) -> Result<()> {
        if feed.has(Medium::Video) {
            self.send(VIDEO, timestamp_ms, &[&[0x17, 0, 0, 0, 0], feed.avcc.as_slice()].concat())?;
        }
        if feed.has(Medium::Audio) {
            self.send(AUDIO, timestamp_ms, &[&[0xAF, 0], feed.aac.as_slice()].concat())?;
        }
        Ok(())
    }

    /// One unit, its times moved by `offset_us`, wrapped to 32 bits of milliseconds.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send_unit(&mut self, unit: &Unit, offset_us: i64) -> Result<()> {
        let ms = |time_us: i64| (time_us + 500).div_euclid(1000);
        let timestamp_ms = ms(unit.dts_us + offset_us) as u32;
        match unit.medium {
            Medium::Audio => self.send(AUDIO, timestamp_ms, &[&[0xAF, 1], unit.payload.as_slice()].concat()),
            Medium::Video => {
                let composition = (ms(unit.pts_us - unit.dts_us) as u32).to_be_bytes();
                let head =
                    [if unit.key { 0x17 } else { 0x27 }, 1, composition[1], composition[2], composition[3]];
                self.send(VIDEO, timestamp_ms, &[&head, unit.payload.as_slice()].concat())
            }
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).context("the next chunk")?;
        Ok(bytes)
    }

    /// The next message.
    ///
    /// # Errors
    /// When none comes within 10 s, or what comes are no chunks.
    pub fn message(&mut self) -> Result<Message> {
        let until = Instant::now() + DEADLINE;
        loop {
            ensure!(Instant::now() < until, "no whole message in time");
            if let Some(message) = self.chunk()? {
                if message.kind != SET_CHUNK_SIZE {
                    return Ok(message);
                }
                self.chunk_bytes = number(&message.body) as usize;
            }
        }
    }

    /// Reads one chunk (5.3.1).
    fn chunk(&mut self) -> Result<Option<Message>> {
        let [basic] = self.take()?;
        let (format, id) = (basic >> 6, basic & 0x3F);
        if id < 2 {
            bail!("chunk stream ids of more than one byte are not expected");
        }
        let mut partial = self.partial.remove(&id).unwrap_or_default();
        let mut field = 0;
        if format < 3 {
            let time: [u8; 3] = self.take()?;
            field = number(&time);
            partial.extended = field == 0xFF_FFFF;
        }
        if format < 2 {
            let [a, b, c, kind] = self.take()?;
            (partial.length, partial.kind) = (number(&[a, b, c]) as usize, kind);
        }
        if format == 0 {
            let _stream: [u8; 4] = self.take()?;
        }
        if partial.extended {
            let extended: [u8; 4] = self.take()?;
            field = if format < 3 { number(&extended) } else { field };
        }
        match format {
            0 => (partial.timestamp, partial.delta) = (field, 0),
            1 | 2 => {
                partial.delta = field;
                partial.timestamp = partial.timestamp.wrapping_add(field);
            }
            _ if partial.body.is_empty() => {
                partial.timestamp = partial.timestamp.wrapping_add(partial.delta);
            }
            _ => {}
        }
        let start = partial.body.len();
        let piece = (partial.length - start).min(self.chunk_bytes);
        partial.body.resize(start + piece, 0);
        self.stream.read_exact(&mut partial.body[start..]).context("a chunk's payload")?;
        let message = (partial.body.len() == partial.length).then(|| Message {
            kind: partial.kind,
            timestamp_ms: partial.timestamp,
            body: std::mem::take(&mut partial.body),
        });
        self.partial.insert(id, partial);
        Ok(message)
    }
}

fn string(text: &str) -> Vec<u8> {
    let mut out = vec![2];
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    out
}

/// Name and transaction of a command (7.2).
fn command(name: &str, transaction: f64) -> Vec<u8> {
    let mut out = string(name);
    out.push(0);
    out.extend_from_slice(&transaction.to_be_bytes());
    out
}
