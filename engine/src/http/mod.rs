//! HTTP on a shard: one connection of HTTP/1.1 (RFC 9112) or HTTP/2 (RFC 9113), by hyper, polled by hand.
//!
//! The engine hands in bytes and time, lends the socket for the length of [`Machine::advance`], and takes events. There is
//! no executor and no timer: hyper's futures are polled here, woken by flags ([`signal`]), and time comes in by
//! [`Machine::handle_timeout`]. Bodies of requests are whole and bounded before the engine sees them; bodies of
//! responses are pieces that are shared with whoever made them and are not copied on plain connections.
//!
//! What hyper does not tell or bound is found out before it sees a byte: `head` finds where a request's head ends and how
//! its body is framed, so that hyper gets exactly one request at a time, one that cannot be read in two ways. That is
//! also why a connection that waits for a request holds nothing of hyper's.
//!
//! Left out on purpose: HTTP/2 without TLS, server push, trailers.

mod body;
mod chunked;
mod error;
mod exchange;
mod head;
mod http1;
mod http2;
mod link;
mod signal;
mod sink;
#[cfg(test)]
mod tests;

pub(crate) use error::Error;
pub(crate) use exchange::{Body, Full};
pub(crate) use sink::Sink;

use crate::limits;
use bytes::Bytes;
use exchange::Slot;
use http::header::{CONTENT_LENGTH, Entry, SERVER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http1::Http1;
use http2::Http2;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What connections are held to.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The `Server` header of responses that have none.
    pub(crate) server_header: HeaderValue,
    /// How long a connection may stay open between requests.
    pub(crate) idle_timeout: Duration,
    /// By when the head of a request has to be whole, counted from its first byte, and on a new connection from its start.
    pub(crate) header_timeout: Duration,
    /// By when the body of a request has to be whole, counted from its head.
    pub(crate) body_timeout: Duration,
    /// Bytes of a request's line and headers.
    pub(crate) head_bytes_max: usize,
    /// Bytes of a request's body.
    pub(crate) body_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            server_header: HeaderValue::from_static("headwater"),
            idle_timeout: limits::HTTP_IDLE_TIMEOUT,
            header_timeout: limits::HTTP_HEADER_TIMEOUT,
            body_timeout: limits::HTTP_BODY_TIMEOUT,
            head_bytes_max: limits::HTTP_HEAD_BYTES_MAX,
            body_bytes_max: limits::HTTP_BODY_BYTES_MAX,
        }
    }
}

/// Names a request and its response on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ExchangeId(u32);

/// What happened on a connection.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "an event lives for a moment, and most are requests")]
pub(crate) enum Event {
    /// A request with its whole body. Each wants one [`Machine::respond`] or [`Machine::take_over`].
    Request(ExchangeId, Request<Bytes>),
    /// A response is out, or as much of it as the peer took before it gave up; the exchange is over. On HTTP/2 out means
    /// handed to the connection, whose own buffer is bounded.
    Written { exchange: ExchangeId, body_bytes: u64 },
    /// An endless response that was full has room again.
    Room(ExchangeId),
    /// The machine itself answered what never became a request, or whose body did not come.
    Refused { status: StatusCode, what: &'static str },
    /// Input of a connection that was taken over.
    Raw(Bytes),
    /// Nothing more is read or written: close the socket once what was written has left.
    Closed(Option<Error>),
}

/// One connection.
pub(crate) struct Machine {
    version: Version,
    config: Arc<Config>,
    events: Events,
}

enum Version {
    One(Box<Http1>),
    Two(Box<Http2>),
}

/// Events that wait to be taken.
#[derive(Default)]
struct Events {
    waiting: VecDeque<Event>,
    closed: bool,
}

impl Events {
    fn push(&mut self, event: Event) {
        self.waiting.push_back(event);
    }

    /// The last of all events, once.
    fn close(&mut self, error: Option<Error>) {
        if !std::mem::replace(&mut self.closed, true) {
            self.push(Event::Closed(error));
        }
    }

    fn refused(&mut self, status: StatusCode, error: &Error) {
        self.push(Event::Refused { status, what: error.what() });
    }
}

impl Machine {
    /// A connection that was accepted at `now`; `h2` if TLS agreed on HTTP/2.
    pub(crate) fn new(config: Arc<Config>, h2: bool, now: Instant) -> Machine {
        let version = if h2 {
            Version::Two(Box::new(Http2::new(Arc::clone(&config), now)))
        } else {
            Version::One(Box::new(Http1::new(Arc::clone(&config), now)))
        };
        Machine { version, config, events: Events::default() }
    }

    /// Takes what the peer sent. [`Machine::advance`] follows.
    pub(crate) fn handle_input(&mut self, now: Instant, input: Bytes) {
        if input.is_empty() || self.events.closed {
            return;
        }
        match &mut self.version {
            Version::One(http) => http.handle_input(now, input, &mut self.events),
            Version::Two(http) => http.handle_input(input, &mut self.events),
        }
    }

    /// The peer sends nothing more. A response that is under way still goes out.
    pub(crate) fn handle_eof(&mut self) {
        match &mut self.version {
            Version::One(http) => http.handle_eof(&mut self.events),
            Version::Two(http) => http.handle_eof(),
        }
    }

    /// Reads, writes and finds events until nothing moves. To be called after every other call that changes something,
    /// and when the socket takes bytes again after [`Machine::wants_write`]. A panic in here leaves `sink` gone, so the
    /// connection is to be closed.
    pub(crate) fn advance(&mut self, now: Instant, sink: &mut Sink) {
        if self.events.closed {
            return;
        }
        match &mut self.version {
            Version::One(http) => http.advance(now, sink, &mut self.events),
            Version::Two(http) => http.advance(now, sink, &mut self.events),
        }
    }

    /// What happened. To be drained after [`Machine::advance`].
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.waiting.pop_front();
        if self.events.waiting.is_empty() {
            // An idle connection owns no heap.
            self.events.waiting = VecDeque::new();
        }
        event
    }

    /// When [`Machine::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if self.events.closed {
            return None;
        }
        match &self.version {
            Version::One(http) => http.poll_timeout(),
            Version::Two(http) => http.poll_timeout(),
        }
    }

    /// Ends what took too long. [`Machine::advance`] follows.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|timeout| timeout > now) {
            return;
        }
        match &mut self.version {
            Version::One(http) => http.handle_timeout(&mut self.events),
            Version::Two(http) => http.handle_timeout(now, &mut self.events),
        }
    }

    /// Whether the socket was full when [`Machine::advance`] ended.
    pub(crate) fn wants_write(&self) -> bool {
        !self.events.closed && self.link().borrow().is_blocked()
    }

    /// Whether more input is welcome. While it is not, the peer sends faster than it reads; more than one turn's reading
    /// past this ends the connection.
    pub(crate) fn wants_input(&self) -> bool {
        self.waiting_bytes() < limits::HTTP_INPUT_BYTES_MAX
    }

    /// Bytes given to the socket so far, before encryption.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.link().borrow().written_bytes()
    }

    /// Answers a request. An exchange that is over, because the peer gave up, is ignored. `Content-Length` follows from
    /// `body`; with HEAD the body stays behind.
    pub(crate) fn respond(&mut self, exchange: ExchangeId, head: Response<()>, body: Body) {
        let Some((slot, method)) = self.slot(exchange) else { return };
        let mut head = head;
        let mut body = body;
        if let Entry::Vacant(entry) = head.headers_mut().entry(SERVER) {
            entry.insert(self.config.server_header.clone());
        }
        if method == Method::HEAD {
            if let (Some(length), Entry::Vacant(entry)) =
                (body.length(), head.headers_mut().entry(CONTENT_LENGTH))
                && length > 0
            {
                entry.insert(length.into());
            }
            body = Body::Empty;
        }
        slot.answer(head, body);
    }

    /// Appends to an endless response. [`Machine::advance`] follows. An exchange that is over takes all and sends nothing.
    ///
    /// # Errors
    /// The peer does not keep up; [`Event::Room`] follows when there is room again.
    pub(crate) fn push(&mut self, exchange: ExchangeId, bytes: Bytes) -> Result<(), Full> {
        self.slot(exchange).map_or(Ok(()), |(slot, _)| slot.push(bytes))
    }

    /// Ends an endless response. [`Machine::advance`] follows.
    pub(crate) fn finish(&mut self, exchange: ExchangeId) {
        if let Some((slot, _)) = self.slot(exchange) {
            slot.finish();
        }
    }

    /// Ends HTTP on an HTTP/1.1 connection whose request was not answered: the engine writes everything from here on, the
    /// response's head included, and input becomes [`Event::Raw`]. Returns what the client sent after the request. The
    /// exchange ends here, without [`Event::Written`].
    pub(crate) fn take_over(&mut self, exchange: ExchangeId) -> Bytes {
        match &mut self.version {
            Version::One(http) => http.take_over(exchange),
            Version::Two(_) => Bytes::new(),
        }
    }

    /// Whether the connection carries several exchanges at a time, so that none can take it over.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.version, Version::Two(_))
    }

    /// Ends the connection when the exchanges under way are over. [`Machine::advance`] follows.
    pub(crate) fn shut_down(&mut self, now: Instant) {
        match &mut self.version {
            Version::One(http) => http.shut_down(&mut self.events),
            Version::Two(http) => http.shut_down(now),
        }
    }

    fn link(&self) -> &link::SharedLink {
        match &self.version {
            Version::One(http) => http.link(),
            Version::Two(http) => http.link(),
        }
    }

    fn waiting_bytes(&self) -> usize {
        match &self.version {
            Version::One(http) => http.waiting_bytes(),
            Version::Two(http) => http.link().borrow().input_bytes(),
        }
    }

    fn slot(&self, exchange: ExchangeId) -> Option<(Slot, Method)> {
        match &self.version {
            Version::One(http) => http.slot(exchange),
            Version::Two(http) => http.slot(exchange),
        }
    }
}
