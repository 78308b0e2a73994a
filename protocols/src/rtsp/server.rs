//! One RTSP connection as the server sees it.
//!
//! The caller feeds bytes and time, drains events and output after every call, and answers each [`Event::Request`] with
//! [`Server::respond`]. One request is outstanding at a time; pipelined ones wait inside, and answers leave in the order
//! of the requests. Interleaved packets pass meanwhile. What is not RTSP is answered by the machine itself, with the
//! status of its fault, after the answers that are due before it; then the connection closes.
//!
//! Idle, it owns no heap and is at most 300 bytes. Left out: sessions ([`super::session`]), requests of the server.

use super::decoder::{Decoder, Element};
use super::error::{Error, Place};
use super::message::{Request, Response, Status};
use crate::limits::RTSP_PIPELINE_MAX;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What all connections of a listener share.
#[derive(Clone, Debug)]
pub struct Config {
    /// The `Server` header of every answer; empty for none.
    pub server_header: Box<str>,
    /// How long a connection may stay without a whole message or packet while no session is attached to it.
    pub idle_timeout: Duration,
}

/// What the caller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// To be answered with [`Server::respond`]; no other comes before.
    Request(Request),
    /// A packet of a publisher, or RTCP of a reader.
    Interleaved { channel: u8, payload: Bytes },
    /// An answer of the client to a request this machine did not send.
    Response(Response),
    /// The last event. `None`: the client closed between two messages.
    Closed(Option<Error>),
}

/// What stands behind the outstanding request.
#[derive(Debug)]
enum Waiting {
    Request(Request),
    /// A whole message that cannot be given to the caller: answered here.
    Refused {
        status: Status,
        cseq: Option<u32>,
    },
    /// The connection ends with this answer.
    Fatal(Error),
}

/// The connection.
#[derive(Debug)]
pub struct Server {
    config: Arc<Config>,
    decoder: Decoder,
    input: Bytes,
    output: BytesMut,
    waiting: VecDeque<Waiting>,
    /// CSeq of the request the caller has not answered.
    outstanding: Option<u32>,
    now: Instant,
    idle_since: Instant,
    attached: bool,
    eof: bool,
    /// Framing is lost: input is no longer read.
    deaf: bool,
    closing: bool,
    closed: bool,
}

impl Server {
    pub fn new(config: Arc<Config>, now: Instant) -> Server {
        Server {
            config,
            decoder: Decoder::new(),
            input: Bytes::new(),
            output: BytesMut::new(),
            waiting: VecDeque::new(),
            outstanding: None,
            now,
            idle_since: now,
            attached: false,
            eof: false,
            deaf: false,
            closing: false,
            closed: false,
        }
    }

    /// Takes bytes of the client. Drain [`Server::poll_event`] before the next call; what it has not taken yet is copied.
    pub fn handle_input(&mut self, now: Instant, input: Bytes) {
        self.now = now;
        if self.deaf || self.closed {
            return;
        }
        if self.input.is_empty() {
            self.input = input;
        } else {
            let mut joined = BytesMut::with_capacity(self.input.len() + input.len());
            joined.extend_from_slice(&self.input);
            joined.extend_from_slice(&input);
            self.input = joined.freeze();
        }
    }

    /// Lets time pass; see [`Server::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        if self.attached || self.outstanding.is_some() {
            // What the caller does takes its own time; the client's begins again after it.
            self.idle_since = now;
        } else if !self.deaf && now >= self.idle_since + self.config.idle_timeout {
            let seconds = usize::try_from(self.config.idle_timeout.as_secs()).unwrap_or(usize::MAX);
            self.fail(Error::limit("seconds of idling", seconds, Status::REQUEST_TIMEOUT));
        }
    }

    /// The client closed its side.
    pub fn handle_eof(&mut self) {
        self.eof = true;
    }

    /// The next event; `None` until more input, time, or an answer comes.
    pub fn poll_event(&mut self) -> Option<Event> {
        loop {
            if self.closed {
                return None;
            }
            if let Some(event) = self.next_waiting() {
                return Some(event);
            }
            let element = match self.decode() {
                Ok(Some(element)) => element,
                // What was asked before the end is answered first.
                Ok(None) if self.eof && self.outstanding.is_none() => return Some(self.end()),
                Ok(None) => return None,
                Err(error) => {
                    self.fail(error);
                    continue;
                }
            };
            match element {
                Element::Interleaved { channel, payload } => {
                    return Some(Event::Interleaved { channel, payload });
                }
                Element::Response(response) => return Some(Event::Response(response)),
                Element::Request(request) => self.queue(request),
            }
        }
    }

    /// Answers the outstanding request; adds `CSeq` and `Server`. Without an outstanding request nothing is sent.
    pub fn respond(&mut self, response: Response) {
        debug_assert!(self.outstanding.is_some(), "an answer without a request");
        let Some(cseq) = self.outstanding.take() else { return };
        self.idle_since = self.idle_since.max(self.now);
        self.write(response, Some(cseq));
    }

    /// Bytes to send, in order.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        (!self.output.is_empty()).then(|| std::mem::take(&mut self.output).freeze())
    }

    /// When [`Server::handle_timeout`] is to be called; `None` while nothing can time out.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.attached && !self.deaf && !self.closed).then(|| self.idle_since + self.config.idle_timeout)
    }

    /// A session lives on this connection: its own timeouts apply, not the idle timeout.
    pub fn set_attached(&mut self, attached: bool) {
        self.attached = attached;
        self.idle_since = self.idle_since.max(self.now);
    }

    /// Whether the connection is to be closed once the output is written: the last answer was an error's.
    pub fn close_after_transmit(&self) -> bool {
        self.closing
    }

    fn decode(&mut self) -> Result<Option<Element>, Error> {
        if self.deaf || self.input.is_empty() {
            return Ok(None);
        }
        let element = self.decoder.decode(&mut self.input)?;
        if self.input.is_empty() {
            // An empty slice would keep the whole receive buffer alive.
            self.input = Bytes::new();
        }
        if element.is_some() {
            self.idle_since = self.now;
        }
        Ok(element)
    }

    fn queue(&mut self, request: Request) {
        if self.waiting.len() >= RTSP_PIPELINE_MAX {
            let status = Status::SERVICE_UNAVAILABLE;
            self.fail(Error::limit("pipelined requests", RTSP_PIPELINE_MAX, status));
            return;
        }
        self.waiting.push_back(match request.cseq() {
            Some(_) => Waiting::Request(request),
            None => Waiting::Refused { status: Status::BAD_REQUEST, cseq: None },
        });
    }

    /// Whatever is due once no request is outstanding.
    fn next_waiting(&mut self) -> Option<Event> {
        while self.outstanding.is_none() {
            let Some(next) = self.waiting.pop_front() else {
                self.waiting = VecDeque::new();
                return None;
            };
            match next {
                Waiting::Request(request) => {
                    self.outstanding = request.cseq();
                    return Some(Event::Request(request));
                }
                Waiting::Refused { status, cseq } => self.write(Response::new(status), cseq),
                Waiting::Fatal(error) => {
                    let cseq = match error {
                        Error::Invalid { at: Place::CSeq(cseq), .. }
                        | Error::Misbehaved { at: Place::CSeq(cseq), .. }
                        | Error::Unsupported { at: Place::CSeq(cseq), .. }
                        | Error::Limit { at: Place::CSeq(cseq), .. } => Some(cseq),
                        _ => None,
                    };
                    self.write(Response::new(error.status()), cseq);
                    (self.closing, self.closed) = (true, true);
                    return Some(Event::Closed(Some(error)));
                }
            }
        }
        None
    }

    fn fail(&mut self, error: Error) {
        self.deaf = true;
        self.input = Bytes::new();
        self.decoder = Decoder::new();
        self.waiting.push_back(Waiting::Fatal(error));
    }

    fn end(&mut self) -> Event {
        self.closed = true;
        let whole = self.decoder.is_idle();
        Event::Closed((!whole).then_some(Error::invalid("end of the connection inside a message")))
    }

    fn write(&mut self, mut response: Response, cseq: Option<u32>) {
        let mut headers = super::message::Headers::new();
        if let Some(cseq) = cseq {
            headers.push("CSeq", cseq.to_string());
        }
        if !self.config.server_header.is_empty() {
            headers.push("Server", self.config.server_header.clone());
        }
        for (name, value) in response.headers.iter() {
            if !name.eq_ignore_ascii_case("CSeq") && !name.eq_ignore_ascii_case("Server") {
                headers.push(name, value);
            }
        }
        response.headers = headers;
        response.write(&mut self.output);
    }
}
