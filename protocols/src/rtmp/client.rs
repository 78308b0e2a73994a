//! One RTMP connection as a client drives it: to play a stream, or to publish one.
//!
//! ```text
//! Play:    handshake → connect → createStream → play    → media … → deleteStream
//! Publish: handshake → connect → releaseStream, FCPublish, createStream → publish → media … → deleteStream
//! ```
//! Feed, drain and time it as [`super::server`]. Media of a publisher go through [`Client::send`]; a caller with many
//! publishers of the same stream may cut them once ([`super::chunk::write_message`]) where the server gave the message
//! stream that those bytes name ([`Client::message_stream`]).
//!
//! Left out: challenges of Adobe's servers, redirects (the caller connects anew), pause and seek.

use super::capabilities;
use super::command::Command;
use super::connection::{Connection, Incoming, WINDOW_BYTES};
use super::error::Error;
use super::handshake::ClientHandshake;
use super::message::{UserControl, type_id};
use super::path;
use super::server::PublishKind;
use crate::amf0::Value;
use crate::flv::{Capabilities, Kind};
use crate::limits::{RTMP_MESSAGE_BYTES_MAX, RTMP_RESPONSE_TIMEOUT_MS};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// How much a player buffers, as it tells the server, in milliseconds; servers of live streams ignore it.
const BUFFER_MS: u32 = 3000;

/// What the connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    Play,
    Publish(PublishKind),
}

/// What a client wants.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// `rtmp://…`, with its query, where credentials are.
    pub url: String,
    pub goal: Goal,
    /// What it calls itself (`flashVer`); empty for what players send.
    pub flash_version: String,
    /// What it can take beyond the codecs of 2012.
    pub capabilities: Capabilities,
}

impl std::fmt::Debug for Config {
    /// Without secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Config({:?})", self.goal)
    }
}

/// What the caller is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The server takes the client; what it says it can take beyond the codecs of 2012.
    Connected { capabilities: Capabilities },
    /// Media flow; they may have come before.
    Playing,
    /// Media may be sent.
    Publishing,
    /// Of the stream that is played; never empty. `payload` is the body of an FLV tag.
    Media { kind: Kind, timestamp_ms: u32, payload: Bytes },
    /// The server says that the stream is over; it may go on later.
    Ended,
    /// The server refused, with its code. [`Event::Closed`] follows.
    Refused { code: Box<str>, description: Box<str> },
    /// The last event. `None` after [`Client::stop`] and a refusal; otherwise what went wrong.
    Closed(Option<Error>),
}

/// The step that waits for its answer, or what comes after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Handshake,
    Connect,
    CreateStream,
    Start,
    Active,
    Closed,
}

/// Transactions of the commands that are waited for.
const CONNECT: f64 = 1.0;
const RELEASE_STREAM: f64 = 2.0;
const FC_PUBLISH: f64 = 3.0;
const CREATE_STREAM: f64 = 4.0;
const START: f64 = 5.0;
const DELETE_STREAM: f64 = 6.0;

/// The connection.
#[derive(Debug)]
pub struct Client {
    goal: Goal,
    flash_version: Box<str>,
    capabilities: Capabilities,
    tc_url: Box<str>,
    app: Box<str>,
    name: Box<str>,
    handshake: Option<Box<ClientHandshake>>,
    connection: Connection,
    step: Step,
    message_stream: u32,
    now: Instant,
    step_since: Instant,
    /// Nothing more is read: the server refused, or the caller stopped.
    done: bool,
    failed: Option<Error>,
    eof: bool,
}

impl Client {
    /// Begins with the handshake; `seed` fills its random bytes.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a URL that cannot be read.
    pub fn new(config: Config, now: Instant, seed: u64) -> Result<Client, Error> {
        let (tc_url, app, name) = path::split(&config.url).ok_or(Error::invalid("URL"))?;
        let mut connection = Connection::new();
        connection.set_message_bytes_max(RTMP_MESSAGE_BYTES_MAX);
        let handshake = ClientHandshake::new(seed, &mut connection.output);
        Ok(Client {
            goal: config.goal,
            flash_version: config.flash_version.into(),
            capabilities: config.capabilities,
            tc_url: tc_url.into(),
            app: app.into(),
            name: name.into(),
            handshake: Some(Box::new(handshake)),
            connection,
            step: Step::Handshake,
            message_stream: 0,
            now,
            step_since: now,
            done: false,
            failed: None,
            eof: false,
        })
    }

    /// Takes bytes of the server. Drain [`Client::poll_event`] before the next call; what it has not taken yet is copied.
    pub fn handle_input(&mut self, now: Instant, input: Bytes) {
        self.now = now;
        if self.step == Step::Closed || self.failed.is_some() {
            return;
        }
        if let Err(error) = self.connection.handle_input(input) {
            self.failed = Some(error);
        }
    }

    /// Lets time pass: ends a connection that does not answer.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        if self.poll_timeout().is_some_and(|deadline| now >= deadline) {
            let seconds = usize::try_from(RTMP_RESPONSE_TIMEOUT_MS / 1000).unwrap_or(usize::MAX);
            let error = Error::limit("seconds without an answer", seconds);
            self.failed = Some(error.at(self.connection.received()));
        }
    }

    /// The server closed its side.
    pub fn handle_eof(&mut self) {
        self.eof = true;
    }

    /// The next event; `None` until more input or time comes.
    pub fn poll_event(&mut self) -> Option<Event> {
        loop {
            if self.step == Step::Closed {
                return None;
            }
            if self.done {
                return Some(self.close(None));
            }
            if let Some(error) = self.failed.take() {
                return Some(self.close(Some(error)));
            }
            match self.advance() {
                Ok(Some(event)) => return Some(event),
                Ok(None) if self.eof => {
                    let early = Error::misbehaved("connection closed by the server");
                    return Some(self.close(Some(early.at(self.connection.received()))));
                }
                Ok(None) => return None,
                Err(error) => self.failed = Some(error),
            }
        }
    }

    /// Bytes to send, in order: whole chunks of whole messages.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        let output = &mut self.connection.output;
        (!output.is_empty()).then(|| std::mem::take(output).freeze())
    }

    /// When [`Client::handle_timeout`] is to be called; `None` once media flow.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timed = !matches!(self.step, Step::Active | Step::Closed);
        timed.then(|| self.step_since + Duration::from_millis(RTMP_RESPONSE_TIMEOUT_MS))
    }

    /// The stream the server gave; zero before [`Event::Playing`] and [`Event::Publishing`].
    pub fn message_stream(&self) -> u32 {
        self.message_stream
    }

    /// Sends a message of the stream that is published, the body of an FLV tag in parts. Before [`Event::Publishing`], and
    /// for 16 MiB and more, nothing is sent and the answer is false.
    pub fn send(&mut self, kind: Kind, timestamp_ms: u32, parts: &[Bytes]) -> bool {
        self.step == Step::Active && self.connection.media(self.message_stream, kind, timestamp_ms, parts)
    }

    /// Ends the stream: deleteStream where there is one, then [`Event::Closed`].
    pub fn stop(&mut self) {
        if self.step == Step::Closed || self.done {
            return;
        }
        if self.message_stream != 0 {
            if matches!(self.goal, Goal::Publish(_)) {
                self.call("FCUnpublish", 0.0, &[(*self.name).into()]);
            }
            self.call("deleteStream", DELETE_STREAM, &[Value::Number(self.message_stream.into())]);
        }
        self.done = true;
    }

    fn close(&mut self, error: Option<Error>) -> Event {
        (self.step, self.handshake) = (Step::Closed, None);
        self.connection.drop_input();
        Event::Closed(error)
    }

    fn enter(&mut self, step: Step) {
        (self.step, self.step_since) = (step, self.now);
    }

    fn call(&mut self, name: &str, transaction: f64, arguments: &[Value]) {
        let head = [name.into(), transaction.into(), Value::Null];
        self.connection.command(0, &[&head, arguments].concat());
    }

    /// Reads on until there is something to tell.
    fn advance(&mut self) -> Result<Option<Event>, Error> {
        if let Some(handshake) = &mut self.handshake {
            let (input, output) = self.connection.input();
            let before = input.len();
            let over = handshake.handle_input(input, output);
            if !over.map_err(|error| error.at(self.connection.received() - before as u64))? {
                return Ok(None);
            }
            self.handshake = None;
            self.connect();
        }
        while let Some(incoming) = self.connection.next()? {
            let event = match incoming {
                Incoming::Command(command) => {
                    self.command(&command).map_err(|error| error.at(self.connection.received()))?
                }
                Incoming::Media { kind, timestamp_ms, payload } => {
                    let flows = self.goal == Goal::Play && matches!(self.step, Step::Start | Step::Active);
                    let wanted = flows && !(kind == Kind::Script && is_notice(&payload));
                    wanted.then_some(Event::Media { kind, timestamp_ms, payload })
                }
                Incoming::UserControl(UserControl::StreamEof { .. }) if self.step == Step::Active => {
                    (self.goal == Goal::Play).then_some(Event::Ended)
                }
                Incoming::UserControl(_) => None,
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    fn connect(&mut self) {
        let flash_version: &str = match (&*self.flash_version, self.goal) {
            ("", Goal::Play) => "LNX 9,0,124,2",
            ("", Goal::Publish(_)) => "FMLE/3.0 (compatible; Headwater)",
            (given, _) => given,
        };
        let mut object = vec![
            ("app", Value::from(&*self.app)),
            ("flashVer", flash_version.into()),
            ("tcUrl", (&*self.tc_url).into()),
        ];
        match self.goal {
            Goal::Publish(_) => object.push(("type", "nonprivate".into())),
            // Everything Flash knew: servers of its time leave out what is not named.
            Goal::Play => object.extend([
                ("fpad", false.into()),
                ("capabilities", 15.0.into()),
                ("audioCodecs", 4071.0.into()),
                ("videoCodecs", 252.0.into()),
                ("videoFunction", 1.0.into()),
            ]),
        }
        object.extend(capabilities::properties(self.capabilities, capabilities::DECODE));
        self.connection.command(0, &["connect".into(), CONNECT.into(), Value::object(object)]);
        self.enter(Step::Connect);
    }

    fn command(&mut self, command: &Command) -> Result<Option<Event>, Error> {
        match &*command.name {
            "_result" => self.answered(command),
            "_error" => Ok(self.rejected(command)),
            "onStatus" => Ok(self.status(command)),
            // Flash Media Server measures the bandwidth with these, and waits.
            "onBWDone" => {
                self.call("_checkbw", 0.0, &[]);
                Ok(None)
            }
            "close" => Ok(Some(self.refused(command))),
            _ => Ok(None),
        }
    }

    fn answered(&mut self, command: &Command) -> Result<Option<Event>, Error> {
        if self.step == Step::Connect && command.transaction == CONNECT {
            // Servers put their capabilities into one object or the other.
            let information = command.arguments.first().unwrap_or(&Value::Null);
            let found = Capabilities::from_connect(information);
            let capabilities = match found == Capabilities::legacy() {
                true => Capabilities::from_connect(&command.object),
                false => found,
            };
            self.connection.control(type_id::WINDOW_ACKNOWLEDGEMENT_SIZE, &WINDOW_BYTES.to_be_bytes());
            self.connection.announce_chunk_bytes();
            if matches!(self.goal, Goal::Publish(_)) {
                self.call("releaseStream", RELEASE_STREAM, &[(*self.name).into()]);
                self.call("FCPublish", FC_PUBLISH, &[(*self.name).into()]);
            }
            self.call("createStream", CREATE_STREAM, &[]);
            self.enter(Step::CreateStream);
            return Ok(Some(Event::Connected { capabilities }));
        }
        if self.step == Step::CreateStream && command.transaction == CREATE_STREAM {
            let id = command.number(0).filter(|id| *id >= 1.0 && *id <= f64::from(u32::MAX));
            self.message_stream = id.ok_or(Error::invalid("message stream"))? as u32;
            self.start();
        }
        Ok(None)
    }

    fn start(&mut self) {
        let name = Value::from(&*self.name);
        let values = match self.goal {
            Goal::Publish(kind) => {
                let kind = match kind {
                    PublishKind::Live => "live",
                    PublishKind::Record => "record",
                    PublishKind::Append => "append",
                };
                ["publish".into(), START.into(), Value::Null, name, kind.into()]
            }
            Goal::Play => ["play".into(), START.into(), Value::Null, name, Value::Number(-2000.0)],
        };
        let message_stream = self.message_stream;
        self.connection.command(message_stream, &values);
        if self.goal == Goal::Play {
            let event = UserControl::SetBufferLength { message_stream, milliseconds: BUFFER_MS };
            self.connection.user_control(event);
        }
        self.enter(Step::Start);
    }

    /// Of releaseStream and FCPublish, which many servers do not know, nothing is lost.
    fn rejected(&mut self, command: &Command) -> Option<Event> {
        let waited_for = match self.step {
            Step::Connect => CONNECT,
            Step::CreateStream => CREATE_STREAM,
            Step::Start => START,
            _ => return None,
        };
        (command.transaction == waited_for).then(|| self.refused(command))
    }

    fn status(&mut self, command: &Command) -> Option<Event> {
        let information = command.arguments.first().unwrap_or(&Value::Null);
        let text = |name| information.get(name).and_then(Value::as_str).unwrap_or("");
        if text("level") == "error" {
            return Some(self.refused(command));
        }
        match (text("code"), self.goal) {
            ("NetStream.Publish.Start", Goal::Publish(_)) if self.step == Step::Start => {
                self.enter(Step::Active);
                Some(Event::Publishing)
            }
            ("NetStream.Play.Start", Goal::Play) if self.step == Step::Start => {
                self.enter(Step::Active);
                Some(Event::Playing)
            }
            // Level `status` with some servers.
            ("NetStream.Play.StreamNotFound" | "NetStream.Play.Failed" | "NetStream.Failed", _)
            | ("NetStream.Publish.BadName" | "NetConnection.Connect.Rejected", _) => {
                Some(self.refused(command))
            }
            _ => None,
        }
    }

    fn refused(&mut self, command: &Command) -> Event {
        self.done = true;
        let information = command.arguments.first().unwrap_or(&Value::Null);
        let text = |name| information.get(name).and_then(Value::as_str).unwrap_or("").into();
        Event::Refused { code: text("code"), description: text("description") }
    }
}

/// Whether data come from the server itself, not from the stream's publisher.
fn is_notice(payload: &[u8]) -> bool {
    payload.starts_with(b"\x02\x00\x08onStatus") || payload.starts_with(b"\x02\x00\x11|RtmpSampleAccess")
}
