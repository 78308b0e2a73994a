//! One RTMP connection as the server sees it.
//!
//! ```text
//! handshake → connect → createStream → publish → media … → deleteStream
//!                                    → play    → (the caller sends media)
//! ```
//! The caller feeds bytes and time, drains events and output after every call, and answers [`Event::Connect`],
//! [`Event::Publish`] and [`Event::Play`] with [`Server::accept`] or [`Server::refuse`]. Until it has, nothing more is read.
//! Media for a reader do not pass through the machine: they are cut once for all readers ([`super::chunk`]), and may be
//! sent between any two pieces of [`Server::poll_transmit`] once the play is accepted.
//!
//! A connection has one message stream, and publishes or plays one stream at a time, as all clients in the field do.
//! Left out: seeking, several streams of one connection, calls of the server.

mod commands;

use super::capabilities;
use super::chunk::MESSAGE_STREAM;
use super::connection::{Connection, Incoming, WINDOW_BYTES};
use super::error::Error;
use super::handshake::ServerHandshake;
use super::message::{UserControl, type_id};
use crate::amf0::Value;
use crate::flv::{Capabilities, Kind};
use crate::limits::{RTMP_COMMAND_BYTES_MAX, RTMP_MESSAGE_BYTES_MAX};
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What all connections of a listener share.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long a publisher may send nothing, and everybody may take for each step before a stream is published or played.
    pub idle_timeout: Duration,
}

/// What a client says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Connect {
    /// As sent, with its query; empty where it was left out.
    pub app: Box<str>,
    pub tc_url: Box<str>,
    /// What the client calls itself (`flashVer`).
    pub flash_version: Box<str>,
    /// What it can play beyond the codecs of 2012.
    pub capabilities: Capabilities,
}

/// What a publisher wants done with a recording (section 7.2.2.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PublishKind {
    #[default]
    Live,
    Record,
    Append,
}

/// A wish to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// `app` and stream name without empty parts, not percent-decoded; may be empty.
    pub path: String,
    /// Of stream name, `app` and `tcUrl`, joined by `&`, without `?`, not percent-decoded: credentials (`user`, `pass`,
    /// `token`, `jwt`) are in it.
    pub query: String,
    pub kind: PublishKind,
}

/// What a reader asks to begin with (section 7.2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The live stream, or a recording of that name.
    LiveOrRecorded,
    Live,
    /// A recording, from there on.
    Recorded {
        milliseconds: u64,
    },
}

/// A wish to play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Play {
    /// As in [`Publish`].
    pub path: String,
    /// As in [`Publish`].
    pub query: String,
    pub start: Start,
}

/// What the caller is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// To be answered.
    Connect(Connect),
    /// To be answered.
    Publish(Publish),
    /// To be answered.
    Play(Play),
    /// Of the stream that is published; never empty. `payload` is the body of an FLV tag: of metadata, `@setDataFrame` is
    /// taken off.
    Media { kind: Kind, timestamp_ms: u32, payload: Bytes },
    /// The reader wants nothing sent, or goes on.
    Pause(bool),
    /// Whether the reader wants audio (`receiveAudio`).
    ReceiveAudio(bool),
    /// Whether the reader wants video (`receiveVideo`).
    ReceiveVideo(bool),
    /// The client stopped publishing or playing; it may begin again.
    Stopped,
    /// The last event. `None`: the client closed, or was refused.
    Closed(Option<Error>),
}

/// Why the caller does not let a client do what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Credentials are missing or wrong.
    Unauthorized,
    /// No such path, or nobody publishes there.
    NotFound,
    /// Somebody publishes there already.
    Busy,
    /// Anything else.
    Failed,
}

impl Refusal {
    fn publish_code(self) -> &'static str {
        match self {
            Refusal::Unauthorized => "NetStream.Publish.Unauthorized",
            Refusal::NotFound | Refusal::Busy => "NetStream.Publish.BadName",
            // One of the few that librtmp gives up at.
            Refusal::Failed => "NetStream.Failed",
        }
    }

    fn play_code(self) -> &'static str {
        match self {
            Refusal::NotFound => "NetStream.Play.StreamNotFound",
            Refusal::Unauthorized | Refusal::Busy | Refusal::Failed => "NetStream.Play.Failed",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Handshake,
    /// Waits for `connect`.
    Greeted,
    Connected,
    Publishing,
    Playing,
    Closed,
}

/// What the caller has not answered.
#[derive(Debug)]
enum Outstanding {
    Connect { transaction: f64, object_encoding: f64 },
    Publish,
    Play { reset: bool },
}

/// The connection.
#[derive(Debug)]
pub struct Server {
    config: Arc<Config>,
    handshake: Option<Box<ServerHandshake>>,
    connection: Connection,
    state: State,
    outstanding: Option<Outstanding>,
    app: Option<Box<str>>,
    tc_url: Box<str>,
    now: Instant,
    idle_since: Instant,
    /// What is to be told before input is read on.
    failed: Option<Error>,
    eof: bool,
    closing: bool,
}

impl Server {
    /// `seed` fills the random bytes of the handshake.
    pub fn new(config: Arc<Config>, now: Instant, seed: u64) -> Server {
        Server {
            config,
            handshake: Some(Box::new(ServerHandshake::new(seed))),
            connection: Connection::new(),
            state: State::Handshake,
            outstanding: None,
            app: None,
            tc_url: "".into(),
            now,
            idle_since: now,
            failed: None,
            eof: false,
            closing: false,
        }
    }

    /// Takes bytes of the client. Drain [`Server::poll_event`] before the next call; what it has not taken yet is copied.
    /// While an answer is outstanding, little more is taken: leave it in the socket ([`Server::is_waiting`]).
    pub fn handle_input(&mut self, now: Instant, input: Bytes) {
        self.now = now;
        if self.closing || self.state == State::Closed || self.failed.is_some() {
            return;
        }
        if self.state == State::Publishing {
            self.idle_since = now;
        }
        if let Err(error) = self.connection.handle_input(input) {
            self.failed = Some(error);
        }
    }

    /// Lets time pass; see [`Server::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        if self.poll_timeout().is_some_and(|deadline| now >= deadline) {
            let seconds = usize::try_from(self.config.idle_timeout.as_secs()).unwrap_or(usize::MAX);
            self.failed = Some(Error::idle(seconds).at(self.connection.received()));
        }
    }

    /// The client closed its side.
    pub fn handle_eof(&mut self) {
        self.eof = true;
    }

    /// The next event; `None` until more input, time, or an answer comes.
    pub fn poll_event(&mut self) -> Option<Event> {
        loop {
            if self.state == State::Closed {
                return None;
            }
            if self.closing {
                return Some(self.close(None));
            }
            if let Some(error) = self.failed.take() {
                return Some(self.close(Some(error)));
            }
            // Who closes does not wait for an answer.
            if self.outstanding.is_some() {
                return self.eof.then(|| self.close(None));
            }
            match self.step() {
                Ok(Some(event)) => return Some(event),
                Ok(None) if self.eof => return Some(self.close(None)),
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

    /// When [`Server::handle_timeout`] is to be called; `None` while nothing can time out: while an answer is outstanding,
    /// and while playing, when a client has nothing to say.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timed = !matches!(self.state, State::Playing | State::Closed);
        (timed && !self.closing && self.outstanding.is_none())
            .then(|| self.idle_since + self.config.idle_timeout)
    }

    /// Whether the caller owes an answer.
    pub fn is_waiting(&self) -> bool {
        self.outstanding.is_some()
    }

    /// Whether the connection is to be closed once the output is written.
    pub fn close_after_transmit(&self) -> bool {
        self.closing
    }

    /// Bytes the client says it has received since the handshake; all of them go into what it counts, media too.
    pub fn acknowledged_bytes(&self) -> u64 {
        self.connection.peer_acknowledged()
    }

    /// Grants what is outstanding. Without anything outstanding nothing is sent.
    pub fn accept(&mut self) {
        debug_assert!(self.outstanding.is_some(), "an answer without a request");
        let Some(outstanding) = self.outstanding.take() else { return };
        self.idle_since = self.idle_since.max(self.now);
        match outstanding {
            Outstanding::Connect { transaction, object_encoding } => {
                self.connected(transaction, object_encoding);
            }
            Outstanding::Publish => {
                self.state = State::Publishing;
                self.connection.set_message_bytes_max(RTMP_MESSAGE_BYTES_MAX);
                self.connection.status("status", "NetStream.Publish.Start", "publishing");
            }
            Outstanding::Play { reset } => self.playing(reset),
        }
    }

    /// Refuses what is outstanding, with a text for humans. The connection is to be closed after it:
    /// [`Event::Closed`] follows. Without anything outstanding nothing is sent.
    pub fn refuse(&mut self, refusal: Refusal, description: &str) {
        debug_assert!(self.outstanding.is_some(), "an answer without a request");
        let Some(outstanding) = self.outstanding.take() else { return };
        match outstanding {
            Outstanding::Connect { transaction, .. } => {
                let code = "NetConnection.Connect.Rejected";
                self.answer_error(transaction, code, description);
            }
            Outstanding::Publish => self.connection.status("error", refusal.publish_code(), description),
            Outstanding::Play { .. } => self.connection.status("error", refusal.play_code(), description),
        }
        self.closing = true;
    }

    /// Ends the connection from this side: a reader is told that its stream is over, then that the connection is.
    /// [`Event::Closed`] follows.
    pub fn end(&mut self) {
        if self.closing || self.state == State::Closed {
            return;
        }
        if self.state == State::Playing {
            self.connection.user_control(UserControl::StreamEof { message_stream: MESSAGE_STREAM });
            self.connection.status("status", "NetStream.Play.UnpublishNotify", "stream ended");
            self.connection.status("status", "NetStream.Play.Stop", "stream ended");
        }
        if !matches!(self.state, State::Handshake | State::Greeted) {
            let code = "NetConnection.Connect.Closed";
            let information = super::command::information("status", code, "closed by the server");
            let values = ["onStatus".into(), 0.0.into(), Value::Null, Value::object(information)];
            self.connection.command(0, &values);
        }
        self.closing = true;
    }

    fn close(&mut self, error: Option<Error>) -> Event {
        (self.state, self.closing, self.outstanding, self.handshake) = (State::Closed, true, None, None);
        self.connection.drop_input();
        Event::Closed(error)
    }

    /// Reads on until there is something to tell.
    fn step(&mut self) -> Result<Option<Event>, Error> {
        if let Some(handshake) = &mut self.handshake {
            let (input, output) = self.connection.input();
            let before = input.len();
            let over = handshake.handle_input(input, output);
            let at = self.connection.received();
            if !over.map_err(|error| error.at(at - before as u64))? {
                return Ok(None);
            }
            (self.handshake, self.state, self.idle_since) = (None, State::Greeted, self.now);
        }
        while let Some(incoming) = self.connection.next()? {
            let event = match incoming {
                Incoming::Command(command) => {
                    if self.state != State::Playing {
                        self.idle_since = self.now;
                    }
                    self.command(&command).map_err(|error| error.at(self.connection.received()))?
                }
                Incoming::Media { kind, timestamp_ms, payload } => {
                    let wanted = self.state == State::Publishing;
                    wanted.then_some(Event::Media { kind, timestamp_ms, payload })
                }
                // The length of the reader's buffer changes nothing: what is live is sent as it comes.
                Incoming::UserControl(_) => None,
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    fn connected(&mut self, transaction: f64, object_encoding: f64) {
        let window = WINDOW_BYTES.to_be_bytes();
        self.connection.control(type_id::WINDOW_ACKNOWLEDGEMENT_SIZE, &window);
        // Dynamic (2): as hard as the limit before it, which there is none.
        let bandwidth = [&window[..], &[2]].concat();
        self.connection.control(type_id::SET_PEER_BANDWIDTH, &bandwidth);
        self.connection.announce_chunk_bytes();
        let offered = capabilities::properties(Capabilities::all(), capabilities::FORWARD);
        let mut properties = vec![
            // Encoders parse it, and some ask for version 3 at least before they send H.264.
            ("fmsVer", "FMS/3,0,1,123".into()),
            ("capabilities", 31.0.into()),
            ("mode", 1.0.into()),
        ];
        properties.extend(offered.iter().cloned());
        let success = ("status", "NetConnection.Connect.Success", "connected");
        let mut information = super::command::information(success.0, success.1, success.2);
        information.push(("objectEncoding", object_encoding.into()));
        // The text says the answer's object without saying which of the two; Adobe's server extends this one.
        information.extend(offered);
        let values =
            ["_result".into(), transaction.into(), Value::object(properties), Value::object(information)];
        self.connection.command(0, &values);
        self.state = State::Connected;
    }

    fn playing(&mut self, reset: bool) {
        self.state = State::Playing;
        self.connection.user_control(UserControl::StreamBegin { message_stream: MESSAGE_STREAM });
        if reset {
            self.connection.status("status", "NetStream.Play.Reset", "playing and resetting");
        }
        self.connection.status("status", "NetStream.Play.Start", "playing");
        // Flash players refuse to draw or to analyse what they may not sample.
        let start = Value::object([("code", "NetStream.Data.Start".into())]);
        self.connection.data(&["onStatus".into(), start]);
    }

    /// Back to where a stream may be published or played.
    fn stop(&mut self) -> Option<Event> {
        let (code, description) = match self.state {
            State::Publishing => ("NetStream.Unpublish.Success", "unpublished"),
            State::Playing => ("NetStream.Play.Stop", "stopped"),
            _ => return None,
        };
        self.connection.status("status", code, description);
        self.connection.set_message_bytes_max(RTMP_COMMAND_BYTES_MAX);
        (self.state, self.idle_since) = (State::Connected, self.now);
        Some(Event::Stopped)
    }
}
