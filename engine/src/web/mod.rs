//! The HTTP listener on the engine: what joins the HTTP machine to paths, streams and muxers.
//!
//! - [`target`]: what a URL names. [`request`]: from a request to its walk through the modules, and from the answer to
//!   the response. [`head`]: the heads of responses: CORS, caching, ranges, compression.
//! - [`endless`]: streams without end (FLV, MPEG-TS, WebSocket). [`pages`]: pages and the list of paths.
//!
//! HLS itself is in [`crate::hls`]. Machines are kept beside the connections, not in them: hyper's state stays on the
//! thread where it was made, and connections of other protocols may move.

mod endless;
mod head;
mod pages;
mod request;
pub(crate) mod target;
mod zipped;

pub(crate) use head::Facts;
pub(crate) use request::Asked;
pub(crate) use zipped::Zipped;

use crate::hls::Session;
use crate::http::{self, ExchangeId};
use crate::records::{self, Event as Told};
use crate::settings::Settings;
use crate::shard::{ConnectionKey, SessionKey, Shard, State};
use crate::stream::reader::Sink;
use crate::stream::{ReaderKey, StreamKey};
use ::http::{HeaderValue, Request};
use bytes::Bytes;
use headwater_protocols::websocket;
use slotmap::SecondaryMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// Requests of one HTTP/2 connection that wait for an earlier one's walk; streams are bounded by the machine.
const WAITING_MAX: usize = 64;

/// The HTTP connections of a shard.
pub(crate) type Connections = SecondaryMap<ConnectionKey, Box<Connection>>;

/// One HTTP connection.
pub(crate) struct Connection {
    machine: http::Machine,
    /// Which HTTP is spoken is known: TLS says so only once its handshake is over.
    decided: bool,
    /// Requests that came while another was on its walk.
    waiting: VecDeque<(ExchangeId, Request<Bytes>)>,
    /// What the connection carries once it is taken over.
    stream: Option<Stream>,
    /// The HLS session that used the connection last: for files that need none.
    pub(crate) session: Option<Arc<Session>>,
    /// To whom the responses under way are counted.
    accounts: Vec<Account>,
    /// Bytes written that have been counted.
    written_seen: u64,
    /// Reading stopped because the client does not read.
    pub(crate) paused: bool,
}

/// To whom a response of a muxer is counted once it has left.
struct Account {
    exchange: ExchangeId,
    muxer: Arc<records::Muxer>,
    session: Option<Arc<Session>>,
}

impl Account {
    fn credit(&self, bytes: u64) {
        self.muxer.outbound_bytes.add_shared(bytes);
        if let Some(session) = &self.session {
            session.record.counts.outbound_bytes.add_shared(bytes);
        }
    }
}

/// An endless response.
enum Stream {
    Plain,
    WebSocket(websocket::Reader),
}

impl Connection {
    pub(crate) fn new(config: Arc<http::Config>, now: Instant) -> Connection {
        Connection {
            machine: http::Machine::new(config, false, now),
            decided: false,
            waiting: VecDeque::new(),
            stream: None,
            session: None,
            accounts: Vec::new(),
            written_seen: 0,
            paused: false,
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if self.stream.is_some() { None } else { self.machine.poll_timeout() }
    }

    pub(crate) fn wants_input(&self) -> bool {
        self.machine.wants_input()
    }

    pub(crate) fn handle_eof(&mut self) {
        self.machine.handle_eof();
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.machine.handle_timeout(now);
    }

    /// Appends to an endless response on HTTP/2. False, and nothing taken, while the client does not keep up.
    pub(crate) fn push(&mut self, exchange: ExchangeId, bytes: Bytes) -> bool {
        self.machine.push(exchange, bytes).is_ok()
    }

    pub(crate) fn shut_down(&mut self, now: Instant) {
        if self.stream.is_none() {
            self.machine.shut_down(now);
        }
    }
}

/// What new connections are held to.
pub(crate) fn config(settings: &Settings) -> Arc<http::Config> {
    Arc::new(http::Config {
        server_header: HeaderValue::from_static("headwater"),
        header_timeout: settings.read_timeout,
        body_timeout: settings.read_timeout,
        ..http::Config::default()
    })
}

impl State {
    /// Gives input to a connection's machine.
    pub(crate) fn web_input(&mut self, key: ConnectionKey, input: Bytes) {
        let now = self.now;
        let config = Arc::clone(&self.http_config);
        let (Some(connection), Some(web)) = (self.connections.get_mut(key), self.web.get_mut(key)) else {
            return;
        };
        if !std::mem::replace(&mut web.decided, true) && connection.speaks_http2() {
            web.machine = http::Machine::new(config, true, now);
        }
        web.machine.handle_input(now, input);
    }

    /// Lets a connection's machine read and write until nothing moves. Returns false when there is none.
    pub(crate) fn advance_web(&mut self, key: ConnectionKey) -> bool {
        let now = self.now;
        let (Some(connection), Some(web)) = (self.connections.get_mut(key), self.web.get_mut(key)) else {
            return false;
        };
        let mut sink = http::Sink::new(connection.fd(), connection.lend_tls());
        web.machine.advance(now, &mut sink);
        connection.take_tls_back(sink.into_session());
        let written = web.machine.written_bytes();
        let fresh = written.saturating_sub(web.written_seen);
        web.written_seen = written;
        connection.record.outbound_bytes.add(fresh);
        connection.set_machine_blocked(web.machine.wants_write());
        if fresh > 0 && connection.blocked_since.is_some() {
            connection.blocked_since = Some(now);
        }
        if connection.is_blocked() && connection.blocked_since.is_none() {
            self.block(key, Bytes::new());
        }
        true
    }
}

impl Shard {
    /// Takes what the machine of an HTTP connection has to tell. Returns false when the connection is gone.
    pub(crate) fn drive_web(&mut self, key: ConnectionKey) -> bool {
        loop {
            if !self.state.advance_web(key) {
                return false;
            }
            let Some(event) = self.state.web.get_mut(key).and_then(|web| web.machine.poll_event()) else {
                break;
            };
            match event {
                http::Event::Request(exchange, request) => self.web_request(key, exchange, request),
                http::Event::Written { exchange, body_bytes } => self.web_written(key, exchange, body_bytes),
                http::Event::Room(exchange) => self.web_room(key, exchange),
                http::Event::Refused { status, what } => {
                    self.state.counters.requests.add(1);
                    self.state.counters.requests_refused.add(1);
                    tracing::debug!(status = status.as_u16(), "HTTP request refused: {what}");
                }
                http::Event::Raw(bytes) => self.web_raw(key, bytes),
                http::Event::Closed(None) => {
                    self.end_connection(key, "the client closed the connection");
                    return false;
                }
                http::Event::Closed(Some(error)) => {
                    let kind = match error.status() {
                        Some(::http::StatusCode::REQUEST_TIMEOUT) => "idle",
                        Some(::http::StatusCode::BAD_REQUEST) | None => "invalid",
                        Some(_) => "limit",
                    };
                    self.misbehaved(key, kind, &error);
                    return false;
                }
            }
        }
        if let Some(web) = self.state.web.get_mut(key)
            && web.paused
            && web.machine.wants_input()
        {
            web.paused = false;
            self.state.read_later(key);
        }
        true
    }

    /// A response is over: an endless one ends its session, and the next request that waits is looked at.
    fn web_written(&mut self, key: ConnectionKey, exchange: ExchangeId, body_bytes: u64) {
        if let Some(web) = self.state.web.get_mut(key)
            && let Some(index) = web.accounts.iter().position(|account| account.exchange == exchange)
        {
            web.accounts.swap_remove(index).credit(body_bytes);
            self.state.counters.egress_bytes.add(body_bytes);
        }
        if let Some((session, ..)) = self.state.body_of(key, exchange) {
            self.close_session(session, "the client ended the response");
        }
        self.next_web_request(key);
    }

    /// An endless response on HTTP/2 has room again.
    fn web_room(&mut self, key: ConnectionKey, exchange: ExchangeId) {
        let Some((_, stream_key, reader)) = self.state.body_of(key, exchange) else { return };
        let Some(stream) = self.state.streams.get_mut(stream_key) else { return };
        if let Some(reader) = stream.readers.get_mut(reader) {
            reader.flow = reader.flow.unblocked();
            reader.catching_up = true;
            self.state.go_on_at(stream_key, self.state.now);
        }
    }

    /// Begins with the next request that waits, unless one is on its walk.
    pub(crate) fn next_web_request(&mut self, key: ConnectionKey) {
        let busy = self.state.connections.get(key).is_none_or(|connection| connection.suspended.is_some());
        if busy {
            return;
        }
        let next = self.state.web.get_mut(key).and_then(|web| web.waiting.pop_front());
        if let Some((exchange, request)) = next {
            self.web_request(key, exchange, request);
        }
    }

    /// Input of a connection that was taken over.
    fn web_raw(&mut self, key: ConnectionKey, bytes: Bytes) {
        let Some(Stream::WebSocket(reader)) = self.state.web.get_mut(key).and_then(|web| web.stream.as_mut())
        else {
            return;
        };
        reader.push(bytes);
        loop {
            let Some(Stream::WebSocket(reader)) =
                self.state.web.get_mut(key).and_then(|web| web.stream.as_mut())
            else {
                return;
            };
            let mut out = bytes::BytesMut::new();
            match reader.event() {
                Ok(None) => return,
                Ok(Some(websocket::Event::Data { .. })) => continue,
                Ok(Some(websocket::Event::Ping(payload))) => websocket::write_pong(&payload, &mut out),
                Ok(Some(websocket::Event::Close)) => {
                    websocket::write_close(1000, &mut out);
                    let _ = self.state.send(key, out.freeze());
                    return self.end_connection(key, "the client closed the WebSocket");
                }
                Err(error) => {
                    websocket::write_close(error.close_code(), &mut out);
                    let _ = self.state.send(key, out.freeze());
                    return self.misbehaved(key, error.kind(), &error);
                }
            }
            if self.state.send(key, out.freeze()).is_err() {
                self.state.counters.closed_control_queue.add(1);
                return self.close_connection(key, "it asks but does not read the answers");
            }
        }
    }
}

impl State {
    /// Tells of nothing: HTTP connections without sessions are many and short, and the control core needs none of them.
    pub(crate) fn tells_of_connection(protocol: records::Protocol) -> bool {
        use records::Protocol;
        !matches!(protocol, Protocol::Http | Protocol::Https)
    }

    /// The session, stream and reader of an endless response on HTTP/2.
    fn body_of(
        &self,
        key: ConnectionKey,
        exchange: ExchangeId,
    ) -> Option<(SessionKey, StreamKey, ReaderKey)> {
        self.connections.get(key)?.sessions.iter().find_map(|session_key| {
            let session = self.sessions.get(*session_key)?;
            let (stream, reader) = (session.stream?, session.reader?);
            let sink = &self.streams.get(stream)?.readers.get(reader)?.sink;
            matches!(sink, Sink::Body { exchange: ours, .. } if *ours == exchange).then_some((
                *session_key,
                stream,
                reader,
            ))
        })
    }

    /// Ends an endless response on HTTP/2.
    pub(crate) fn finish_body(&mut self, key: ConnectionKey, exchange: ExchangeId) {
        if let Some(web) = self.web.get_mut(key) {
            web.machine.finish(exchange);
            self.advance_web(key);
        }
    }

    /// Tells the control core of an HTTP connection once it reads a stream.
    fn tell_web_connection(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if !std::mem::replace(&mut connection.told, true) {
            let record = Arc::clone(&connection.record);
            self.tell(Told::ConnectionOpened(record));
        }
    }
}
