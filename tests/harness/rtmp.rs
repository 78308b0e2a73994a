//! RTMP as the tests speak it: a client that publishes or plays over a blocking socket ([`Client`]), a publisher of numbered
//! pictures ([`publisher`]), a reader that checks them ([`reader`]), real clients ([`clients`]), and a raw connection for
//! what no decent client sends ([`raw`]).
//!
//! The client's side of the protocol is the one of `headwater_protocols`, which has golden vectors and fuzz targets of its
//! own; that it is spoken rightly is what the real clients show.

pub mod clients;
pub mod publisher;
pub mod raw;
pub mod reader;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use headwater_protocols::flv::{Capabilities, Kind};
use headwater_protocols::rtmp::client::{self, Config, Event, Goal};
use headwater_protocols::rtmp::server::PublishKind;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long an answer may take before it is a failure. Wrong credentials are answered after up to 4 s.
pub const ANSWER: Duration = Duration::from_secs(10);

/// To publish a live stream.
pub const PUBLISH: Goal = Goal::Publish(PublishKind::Live);

/// One connection.
pub struct Client {
    stream: TcpStream,
    machine: client::Client,
    closed: bool,
}

impl Client {
    /// Connects and begins; `path` may have a query.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn open(server: SocketAddr, path: &str, goal: Goal, capabilities: Capabilities) -> Result<Client> {
        let stream =
            TcpStream::connect_timeout(&server, ANSWER).with_context(|| format!("connect to {server}"))?;
        Client::over(stream, path, goal, capabilities)
    }

    /// Begins over a socket that the caller prepared.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn over(stream: TcpStream, path: &str, goal: Goal, capabilities: Capabilities) -> Result<Client> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(ANSWER))?;
        let url = format!("rtmp://{}/{path}", stream.peer_addr()?);
        let config = Config { url, goal, flash_version: String::new(), capabilities };
        let seed = u64::from(stream.local_addr()?.port());
        let machine = client::Client::new(config, Instant::now(), seed)?;
        let mut client = Client { stream, machine, closed: false };
        client.flush()?;
        Ok(client)
    }

    /// Publishes or plays: returns when the server says so.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn start(server: SocketAddr, path: &str, goal: Goal, capabilities: Capabilities) -> Result<Client> {
        let mut client = Client::open(server, path, goal, capabilities)?;
        client.until_started()?;
        Ok(client)
    }

    /// Waits until media may flow.
    ///
    /// # Errors
    /// When the server refuses, or does not answer.
    pub fn until_started(&mut self) -> Result<()> {
        loop {
            match self.event(ANSWER)? {
                Some(Event::Playing | Event::Publishing) => return Ok(()),
                Some(Event::Refused { code, description }) => bail!("refused: {code} {description}"),
                Some(Event::Closed(error)) => bail!("closed before it began: {error:?}"),
                Some(_) => {}
                None => bail!("no answer within {ANSWER:?}"),
            }
        }
    }

    /// Waits for a refusal, and for the end of the connection after it; returns the code.
    ///
    /// # Errors
    /// When the server lets the client do what it asked for, or closes without a word.
    pub fn refusal(&mut self) -> Result<String> {
        loop {
            match self.event(ANSWER)? {
                Some(Event::Refused { code, .. }) => {
                    self.until_closed(ANSWER)?;
                    return Ok(code.into());
                }
                Some(Event::Playing | Event::Publishing) => bail!("it was let in"),
                Some(Event::Closed(error)) => bail!("closed without a refusal: {error:?}"),
                Some(_) => {}
                None => bail!("no answer within {ANSWER:?}"),
            }
        }
    }

    /// The next event, `None` when there is none within `limit`.
    ///
    /// # Errors
    /// When the socket fails otherwise than by its end.
    pub fn event(&mut self, limit: Duration) -> Result<Option<Event>> {
        let deadline = Instant::now() + limit;
        let mut piece = vec![0; 65536];
        loop {
            let event = self.machine.poll_event();
            self.flush()?;
            if event.is_some() {
                return Ok(event);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.closed {
                return Ok(None);
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut piece) {
                Ok(0) => self.end(),
                Ok(length) => {
                    self.machine.handle_input(Instant::now(), Bytes::copy_from_slice(&piece[..length]));
                }
                Err(error) if error.kind() == ErrorKind::ConnectionReset => self.end(),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn end(&mut self) {
        self.closed = true;
        self.machine.handle_eof();
    }

    /// Sends a message of the stream that is published.
    ///
    /// # Errors
    /// When the connection is gone, or the server has not let it publish.
    pub fn send(&mut self, kind: Kind, timestamp_ms: u32, body: Bytes) -> Result<()> {
        ensure!(self.machine.send(kind, timestamp_ms, &[body]), "media before the server lets it publish");
        self.flush()
    }

    /// Ends the stream in order.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn stop(mut self) -> Result<()> {
        self.machine.stop();
        self.flush()
    }

    /// Reads until the server closes.
    ///
    /// # Errors
    /// When it has not within `limit`.
    pub fn until_closed(&mut self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !self.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "not closed within {limit:?}");
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut [0; 65536]) {
                Ok(0) => self.closed = true,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => self.closed = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("waiting for the server to close"),
            }
        }
        Ok(())
    }

    pub fn socket(&self) -> &TcpStream {
        &self.stream
    }

    fn flush(&mut self) -> Result<()> {
        while let Some(bytes) = self.machine.poll_transmit() {
            match self.stream.write_all(&bytes) {
                Ok(()) => {}
                // Who refused and closed may have said why: that is still to be read.
                Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                    ensure!(self.machine.poll_timeout().is_some() || self.closed, "the server closed");
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
