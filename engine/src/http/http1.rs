//! One HTTP/1.1 connection (RFC 9112): a request at a time, each with a hyper connection of its own.
//!
//! ```text
//! Head ──whole──> Open ──response out──> Head            Head, Open ──shut down, error──> Closed
//!   └──refused──> Refusing ──out──> Closed               Open ──take over──> Raw
//! ```
//! Input waits here and is given to hyper up to the last byte of the request, so pipelined requests queue here too. What
//! hyper has left over after an exchange would mean that it saw another end than `head` and `chunked` did; the
//! connection ends then.

use super::body::Collector;
use super::chunked::Chunked;
use super::error::{self, Error};
use super::exchange::Slot;
use super::head::{Framing, Scan};
use super::link::{Link, Service, SharedLink, Wire};
use super::signal::Signal;
use super::sink::Sink;
use super::{Config, Event, Events, ExchangeId};
use crate::limits;
use bytes::{Buf, Bytes, BytesMut};
use http::Method;
use hyper::server::conn::http1;
use std::collections::VecDeque;
use std::future::Future;
use std::io::IoSlice;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

pub(super) struct Http1 {
    config: Arc<Config>,
    link: SharedLink,
    signal: Signal,
    state: State,
    /// Input that hyper has not been given.
    queue: VecDeque<Bytes>,
    queued_bytes: usize,
    /// A head that is not whole.
    begun: BytesMut,
    scan: Scan,
    /// When the state was entered, or the head begun.
    since: Instant,
    /// A head is due: the connection is new, or a part of it came.
    head_due: bool,
    eof: bool,
    closing: bool,
    exchanges: u32,
}

enum State {
    Head,
    Open(Box<Open>),
    /// Our own last words are on their way.
    Refusing(Bytes),
    Raw,
    Closed,
}

/// An exchange.
struct Open {
    connection: http1::Connection<Wire, Service>,
    /// What is left of the body for hyper.
    rest: Rest,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    Length(u64),
    Chunked(Chunked),
}

enum Phase {
    /// hyper reads the head.
    Reading,
    Body(Box<Collector>, Slot),
    /// The engine has the request.
    Response {
        slot: Slot,
        method: Method,
    },
}

impl Rest {
    fn is_whole(self) -> bool {
        matches!(self, Rest::Length(0) | Rest::Chunked(Chunked::Whole))
    }
}

impl Http1 {
    pub(super) fn new(config: Arc<Config>, now: Instant) -> Http1 {
        Http1 {
            config,
            link: Link::new(),
            signal: Signal::new(),
            state: State::Head,
            queue: VecDeque::new(),
            queued_bytes: 0,
            begun: BytesMut::new(),
            scan: Scan::default(),
            since: now,
            head_due: true,
            eof: false,
            closing: false,
            exchanges: 0,
        }
    }

    pub(super) fn link(&self) -> &SharedLink {
        &self.link
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// The exchange under way, if that is the one, and its request's method.
    pub(super) fn slot(&self, exchange: ExchangeId) -> Option<(Slot, Method)> {
        match &self.state {
            State::Open(open) if exchange.0 == self.exchanges => match &open.phase {
                Phase::Response { slot, method } => Some((slot.clone(), method.clone())),
                _ => None,
            },
            _ => None,
        }
    }

    pub(super) fn handle_input(&mut self, now: Instant, input: Bytes, events: &mut Events) {
        match &self.state {
            State::Raw => events.push(Event::Raw(input)),
            State::Refusing(_) | State::Closed => {}
            State::Head | State::Open(_) => {
                if self.queued_bytes > limits::HTTP_INPUT_BYTES_MAX + limits::READ_BYTES_PER_TURN_MAX {
                    return self.close(Some(Error::Flood("pipelined requests")), events);
                }
                if matches!(self.state, State::Head) && !std::mem::replace(&mut self.head_due, true) {
                    self.since = now;
                }
                self.queued_bytes += input.len();
                self.queue.push_back(input);
            }
        }
    }

    pub(super) fn handle_eof(&mut self, events: &mut Events) {
        self.eof = true;
        if matches!(self.state, State::Raw) {
            self.close(None, events);
        }
    }

    pub(super) fn advance(&mut self, now: Instant, sink: &mut Sink, events: &mut Events) {
        self.link.borrow_mut().swap_sink(sink);
        while match &self.state {
            State::Head => self.read_head(now, events),
            State::Open(_) => self.exchange(now, events),
            State::Refusing(_) => self.refuse_on(events),
            State::Raw | State::Closed => false,
        } {}
        self.link.borrow_mut().swap_sink(sink);
        self.unpin();
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Head if self.head_due => Some(self.since + self.config.header_timeout),
            State::Head => Some(self.since + self.config.idle_timeout),
            State::Open(open) if !matches!(open.phase, Phase::Response { .. }) => {
                Some(self.since + self.config.body_timeout)
            }
            _ => None,
        }
    }

    /// Refuses what did not come in time.
    pub(super) fn handle_timeout(&mut self, events: &mut Events) {
        match &self.state {
            State::Head if self.begun.is_empty() => self.close(None, events),
            State::Head => self.refuse(&Error::TimedOut("head"), events),
            State::Open(_) => self.refuse(&Error::TimedOut("body"), events),
            _ => {}
        }
    }

    pub(super) fn shut_down(&mut self, events: &mut Events) {
        self.closing = true;
        match &mut self.state {
            State::Open(open) => Pin::new(&mut open.connection).graceful_shutdown(),
            State::Head => self.close(None, events),
            _ => {}
        }
    }

    pub(super) fn take_over(&mut self, exchange: ExchangeId) -> Bytes {
        if self.slot(exchange).is_none_or(|(slot, _)| slot.is_answered()) {
            return Bytes::new();
        }
        self.state = State::Raw;
        self.link.borrow_mut().rest();
        self.queued_bytes = 0;
        let mut queue = std::mem::take(&mut self.queue);
        if queue.len() == 1 {
            return queue.pop_front().unwrap_or_default();
        }
        let mut rest = BytesMut::with_capacity(queue.iter().map(Bytes::len).sum());
        queue.iter().for_each(|input| rest.extend_from_slice(input));
        rest.freeze()
    }
}

/// Before a request.
impl Http1 {
    /// Looks for the end of a head. Returns whether the state changed.
    fn read_head(&mut self, now: Instant, events: &mut Events) -> bool {
        loop {
            let Some(mut input) = self.queue.pop_front() else {
                if self.eof {
                    let error = (!self.begun.is_empty()).then_some(Error::Incomplete);
                    self.close(error, events);
                }
                return false;
            };
            if self.begun.is_empty() {
                // Empty lines before a request are to be ignored (section 2.2).
                let lines = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                self.queued_bytes -= lines;
                input.advance(lines);
            }
            if input.is_empty() {
                continue;
            }
            match self.find_head(input) {
                Ok(Some((head, framing))) => self.open(now, head, framing, events),
                Ok(None) => continue,
                Err(error) => self.refuse(&error, events),
            }
            return true;
        }
    }

    /// Takes the head off the input if that ends it; keeps what follows.
    fn find_head(&mut self, mut input: Bytes) -> Result<Option<(Bytes, Framing)>, Error> {
        let bytes_max = self.config.head_bytes_max;
        let old = self.begun.len();
        let found = if old == 0 {
            self.scan = Scan::default();
            self.scan.go_on(&input[..input.len().min(bytes_max)])?
        } else {
            self.begun.extend_from_slice(&input[..input.len().min(bytes_max - old)]);
            self.scan.go_on(&self.begun)?
        };
        let Some((len, framing)) = found else {
            if old + input.len() >= bytes_max {
                return Err(Error::HeadTooLarge);
            }
            if old == 0 {
                // A copy, so that a few bytes do not hold a whole receive buffer.
                self.begun.extend_from_slice(&input);
            }
            self.queued_bytes -= input.len();
            return Ok(None);
        };
        let head = if old == 0 {
            input.split_to(len)
        } else {
            input.advance(len - old);
            self.begun.truncate(len);
            std::mem::take(&mut self.begun).freeze()
        };
        self.queued_bytes -= len - old;
        if !input.is_empty() {
            self.queue.push_front(input);
        }
        Ok(Some((head, framing)))
    }

    fn open(&mut self, now: Instant, head: Bytes, framing: Framing, events: &mut Events) {
        self.head_due = false;
        self.since = now;
        let rest = match framing {
            Framing::Length(length) if length > self.config.body_bytes_max as u64 => {
                return self.refuse(&Error::BodyTooLarge, events);
            }
            Framing::Length(length) => Rest::Length(length),
            Framing::Chunked => Rest::Chunked(Chunked::START),
        };
        self.link.borrow_mut().deliver(head);
        let mut builder = http1::Builder::new();
        builder
            .half_close(true)
            .keep_alive(!self.closing)
            .pipeline_flush(false)
            .writev(true)
            .max_buf_size(limits::HTTP_BUFFER_BYTES);
        let connection =
            builder.serve_connection(Wire(Rc::clone(&self.link)), Service(Rc::clone(&self.link)));
        self.state = State::Open(Box::new(Open { connection, rest, phase: Phase::Reading }));
    }
}

/// From a whole head to a whole response.
impl Http1 {
    /// Goes on with the exchange. Returns whether the state changed.
    fn exchange(&mut self, now: Instant, events: &mut Events) -> bool {
        if let Err(error) = self.deliver_body() {
            self.refuse(&error, events);
            return true;
        }
        let waker = self.signal.waker().clone();
        let mut cx = Context::from_waker(&waker);
        loop {
            self.signal.take();
            let State::Open(open) = &mut self.state else { return true };
            let polled = Pin::new(&mut open.connection).poll(&mut cx);
            if let Err(error) = self.take_request(&mut cx, events) {
                self.refuse(&error, events);
                return true;
            }
            let State::Open(open) = &mut self.state else { return true };
            if let Phase::Response { slot, .. } = &open.phase {
                if slot.takes_again() {
                    events.push(Event::Room(ExchangeId(self.exchanges)));
                }
                if slot.is_over() && (polled.is_ready() || !self.link.borrow().is_outstanding()) {
                    self.end_exchange(now, polled, events);
                    return true;
                }
            }
            if let Poll::Ready(result) = polled {
                self.fail(result, events);
                return true;
            }
            if !self.signal.take() {
                return false;
            }
        }
    }

    /// Gives hyper what belongs to the request's body, and no more.
    fn deliver_body(&mut self) -> Result<(), Error> {
        let State::Open(open) = &mut self.state else { return Ok(()) };
        let mut link = self.link.borrow_mut();
        while !open.rest.is_whole() {
            let Some(mut input) = self.queue.pop_front() else {
                if self.eof {
                    link.end_input();
                }
                return Ok(());
            };
            let n = match &mut open.rest {
                Rest::Length(left) => {
                    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    *left -= n as u64;
                    n
                }
                Rest::Chunked(chunked) => chunked.measure(&input)?,
            };
            self.queued_bytes -= n;
            link.deliver(input.split_to(n));
            if !input.is_empty() {
                self.queue.push_front(input);
            }
        }
        Ok(())
    }

    /// Takes the request from hyper, and its body until it is whole.
    fn take_request(&mut self, cx: &mut Context<'_>, events: &mut Events) -> Result<(), Error> {
        let State::Open(open) = &mut self.state else { return Ok(()) };
        let arrived = match open.phase {
            Phase::Reading => self.link.borrow_mut().arrived.pop_front(),
            _ => None,
        };
        let bytes_max = self.config.body_bytes_max;
        let (polled, slot) = match (&mut open.phase, arrived) {
            // Most requests have no body, and nothing to wait for.
            (Phase::Reading, Some(arrived)) => {
                let mut collector = Collector::new(arrived.request);
                let polled = collector.poll(cx, bytes_max);
                if polled.is_pending() {
                    open.phase = Phase::Body(Box::new(collector), arrived.slot);
                    return Ok(());
                }
                (polled, arrived.slot)
            }
            (Phase::Body(collector, slot), _) => (collector.poll(cx, bytes_max), slot.clone()),
            _ => return Ok(()),
        };
        if let Poll::Ready(request) = polled {
            let request = request?;
            self.exchanges = self.exchanges.wrapping_add(1);
            open.phase = Phase::Response { slot, method: request.method().clone() };
            events.push(Event::Request(ExchangeId(self.exchanges), request));
        }
        Ok(())
    }

    /// The response is out, or as much of it as will be.
    fn end_exchange(&mut self, now: Instant, polled: Poll<hyper::Result<()>>, events: &mut Events) {
        let State::Open(open) = std::mem::replace(&mut self.state, State::Head) else { return };
        self.tell_written(&open.phase, events);
        let Open { connection, rest, .. } = *open;
        let unread = connection.into_parts().read_buf;
        {
            let mut link = self.link.borrow_mut();
            let misframed = !unread.is_empty() || link.input_bytes() > 0 || !rest.is_whole();
            link.rest();
            if misframed && matches!(polled, Poll::Pending) {
                drop(link);
                return self.close(Some(Error::Invalid("framing")), events);
            }
        }
        match polled {
            Poll::Ready(Err(error)) => self.close(Some(Error::of(error)), events),
            Poll::Ready(Ok(())) => self.close(None, events),
            Poll::Pending if self.closing => self.close(None, events),
            Poll::Pending => {
                self.since = now;
                self.head_due = !self.queue.is_empty();
            }
        }
    }

    fn tell_written(&self, phase: &Phase, events: &mut Events) {
        if let Phase::Response { slot, .. } = phase {
            let body_bytes = slot.handed_bytes().min(self.link.borrow().body_bytes_written());
            events.push(Event::Written { exchange: ExchangeId(self.exchanges), body_bytes });
        }
    }

    /// hyper ended before there was a response.
    fn fail(&mut self, result: hyper::Result<()>, events: &mut Events) {
        let error = match result {
            Ok(()) => Error::Incomplete,
            Err(error) => Error::of(error),
        };
        match (error.status(), &self.state) {
            // hyper has answered a head that it did not understand.
            (Some(status), State::Open(open)) if matches!(open.phase, Phase::Reading) => {
                if self.link.borrow().response_begun() {
                    events.refused(status, &error);
                    self.close(None, events);
                } else {
                    self.refuse(&error, events);
                }
            }
            _ => self.close(Some(error), events),
        }
    }
}

/// The end.
impl Http1 {
    /// Answers what is wrong, unless something else was begun, and closes.
    fn refuse(&mut self, error: &Error, events: &mut Events) {
        let Some(status) = error.status() else {
            return self.close(Some(Error::Incomplete), events);
        };
        events.refused(status, error);
        self.drop_input();
        let mut link = self.link.borrow_mut();
        let blocked = link.is_blocked();
        link.rest();
        drop(link);
        if blocked {
            // In the middle of `100 Continue`: nothing can be said any more.
            return self.close(None, events);
        }
        self.state = State::Refusing(error::refusal(status, &self.config.server_header));
    }

    /// Writes what is left of a refusal. Returns whether the state changed.
    fn refuse_on(&mut self, events: &mut Events) -> bool {
        let State::Refusing(rest) = &mut self.state else { return true };
        while !rest.is_empty() {
            let written = self.link.borrow_mut().write(&[IoSlice::new(rest)]);
            match written {
                Poll::Ready(Ok(n)) => rest.advance(n),
                Poll::Ready(Err(_)) => break,
                Poll::Pending => return false,
            }
        }
        if self.link.borrow_mut().flush().is_pending() {
            return false;
        }
        self.close(None, events);
        true
    }

    fn close(&mut self, error: Option<Error>, events: &mut Events) {
        if let State::Open(open) = std::mem::replace(&mut self.state, State::Closed) {
            self.tell_written(&open.phase, events);
        }
        self.drop_input();
        self.link.borrow_mut().rest();
        events.close(error);
    }

    fn drop_input(&mut self) {
        self.queue = VecDeque::new();
        self.queued_bytes = 0;
        self.begun = BytesMut::new();
    }

    /// Copies a little input that has to wait, so that it does not hold a whole receive buffer.
    fn unpin(&mut self) {
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        } else if let Some(last) = self.queue.back_mut()
            && last.len() <= limits::HTTP_COPIED_INPUT_BYTES
        {
            *last = Bytes::copy_from_slice(last);
        }
    }
}
