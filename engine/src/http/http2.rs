//! One HTTP/2 connection (RFC 9113): many exchanges at once, each a future of hyper's that is polled when it was woken.
//!
//! Bounds: streams at once, header lists (hyper answers 431), bodies on their way, what waits in send buffers, resets at
//! once (RFC 9113, section 10.5; CVE-2023-44487) and in the long run. The connection and stream windows are those of a
//! server that gets small requests.

use super::body::Collector;
use super::error::Error;
use super::exchange::{Body, Slot};
use super::link::{Arrived, Link, Service, SharedLink, Wire};
use super::signal::Signal;
use super::sink::Sink;
use super::{Config, Event, Events, ExchangeId};
use crate::limits;
use bytes::Bytes;
use http::header::SERVER;
use http::{Method, Response, StatusCode};
use hyper::rt::Executor;
use hyper::server::conn::http2;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

pub(super) struct Http2 {
    config: Arc<Config>,
    link: SharedLink,
    connection: Option<http2::Connection<Wire, Service, Spawner>>,
    /// Wakes the connection.
    signal: Signal,
    /// Wakes whoever collects bodies.
    bodies: Signal,
    spawned: Spawned,
    tasks: Vec<Task>,
    exchanges: Vec<Exchange>,
    last: u32,
    /// Since when there is no exchange.
    idle_since: Instant,
    draining_since: Option<Instant>,
    /// Exchanges that were answered, and those that the peer gave up before.
    answered: u32,
    reset: u32,
}

struct Exchange {
    id: ExchangeId,
    slot: Slot,
    method: Method,
    since: Instant,
    /// Until the body is whole.
    collector: Option<Collector>,
    /// The engine knows of it.
    told: bool,
}

/// A future of hyper's: one stream's response.
struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    signal: Signal,
}

type Spawned = Rc<RefCell<Vec<Task>>>;

/// Weak, as the futures it takes have a clone of it inside.
#[derive(Clone)]
struct Spawner(Weak<RefCell<Vec<Task>>>);

impl<F: Future<Output = ()> + 'static> Executor<F> for Spawner {
    fn execute(&self, future: F) {
        if let Some(spawned) = self.0.upgrade() {
            spawned.borrow_mut().push(Task { future: Box::pin(future), signal: Signal::new() });
        }
    }
}

impl Http2 {
    pub(super) fn new(config: Arc<Config>, now: Instant) -> Http2 {
        let link = Link::new();
        let spawned = Spawned::default();
        let mut builder = http2::Builder::new(Spawner(Rc::downgrade(&spawned)));
        builder
            .max_concurrent_streams(limits::HTTP2_STREAMS_MAX)
            .max_header_list_size(u32::try_from(config.head_bytes_max).unwrap_or(u32::MAX))
            .initial_stream_window_size(limits::HTTP2_STREAM_WINDOW_BYTES)
            .initial_connection_window_size(limits::HTTP2_CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(limits::HTTP2_SEND_BUFFER_BYTES)
            .max_pending_accept_reset_streams(limits::HTTP2_RESETS_AT_ONCE_MAX)
            .max_local_error_reset_streams(limits::HTTP2_RESETS_AT_ONCE_MAX);
        let connection = builder.serve_connection(Wire(Rc::clone(&link)), Service(Rc::clone(&link)));
        Http2 {
            config,
            link,
            connection: Some(connection),
            signal: Signal::new(),
            bodies: Signal::new(),
            spawned,
            tasks: Vec::new(),
            exchanges: Vec::new(),
            last: 0,
            idle_since: now,
            draining_since: None,
            answered: 0,
            reset: 0,
        }
    }

    pub(super) fn link(&self) -> &SharedLink {
        &self.link
    }

    pub(super) fn slot(&self, exchange: ExchangeId) -> Option<(Slot, Method)> {
        let found = self.exchanges.iter().find(|other| other.id == exchange && other.told)?;
        Some((found.slot.clone(), found.method.clone()))
    }

    pub(super) fn handle_input(&mut self, input: Bytes, events: &mut Events) {
        let waiting = self.link.borrow().input_bytes();
        if waiting > limits::HTTP_INPUT_BYTES_MAX + limits::READ_BYTES_PER_TURN_MAX {
            return self.close(Some(Error::Flood("input")), events);
        }
        self.link.borrow_mut().deliver(input);
    }

    pub(super) fn handle_eof(&mut self) {
        self.link.borrow_mut().end_input();
    }

    pub(super) fn advance(&mut self, now: Instant, sink: &mut Sink, events: &mut Events) {
        self.link.borrow_mut().swap_sink(sink);
        // There may be input, or room in the socket, of which no waker knows.
        self.signal.set();
        while self.pass(now, events) {}
        self.link.borrow_mut().swap_sink(sink);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        if self.exchanges.is_empty() {
            return Some(match self.draining_since {
                Some(since) => since + self.config.header_timeout,
                None if self.last == 0 => self.idle_since + self.config.header_timeout,
                None => self.idle_since + self.config.idle_timeout,
            });
        }
        let collecting = self.exchanges.iter().filter(|exchange| exchange.collector.is_some());
        collecting.map(|exchange| exchange.since + self.config.body_timeout).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, events: &mut Events) {
        if self.exchanges.is_empty() {
            return match self.draining_since {
                // It was asked to go and does not say that it heard.
                Some(_) => self.close(None, events),
                None => self.shut_down(now),
            };
        }
        for exchange in &mut self.exchanges {
            if exchange.collector.is_some() && exchange.since + self.config.body_timeout <= now {
                exchange.collector = None;
                refuse(exchange, &Error::TimedOut("body"), &self.config, events);
            }
        }
    }

    pub(super) fn shut_down(&mut self, now: Instant) {
        self.draining_since = Some(self.draining_since.unwrap_or(now));
        if let Some(connection) = &mut self.connection {
            Pin::new(connection).graceful_shutdown();
        }
    }

    /// Polls whatever was woken. Returns whether anything was.
    fn pass(&mut self, now: Instant, events: &mut Events) -> bool {
        let mut moved = false;
        if self.signal.take() {
            moved = true;
            let Some(connection) = &mut self.connection else { return false };
            let mut cx = Context::from_waker(self.signal.waker());
            if let Poll::Ready(result) = Pin::new(connection).poll(&mut cx) {
                let ended = self.exchanges.is_empty() || self.draining_since.is_some();
                self.close(result.err().map(Error::of).filter(|error| !(ended && error.is_end())), events);
                return false;
            }
        }
        self.tasks.append(&mut self.spawned.borrow_mut());
        self.tasks.retain_mut(|task| {
            if !task.signal.take() {
                return true;
            }
            moved = true;
            task.future.as_mut().poll(&mut Context::from_waker(task.signal.waker())).is_pending()
        });
        let arrived = std::mem::take(&mut self.link.borrow_mut().arrived);
        for request in arrived {
            moved = true;
            self.arrive(now, request, events);
        }
        if self.bodies.take() {
            moved = true;
            self.collect(events);
        }
        self.sweep(now, events);
        if self.reset > limits::HTTP2_RESETS_MAX + self.answered {
            self.close(Some(Error::Flood("requests given up")), events);
            return false;
        }
        moved
    }

    fn arrive(&mut self, now: Instant, arrived: Arrived, events: &mut Events) {
        self.last = self.last.wrapping_add(1);
        let method = arrived.request.method().clone();
        let collector = Collector::new(arrived.request);
        let too_large = collector.announced_bytes() > self.config.body_bytes_max as u64;
        let mut exchange = Exchange {
            id: ExchangeId(self.last),
            slot: arrived.slot,
            method,
            since: now,
            collector: Some(collector),
            told: false,
        };
        if too_large {
            exchange.collector = None;
            refuse(&exchange, &Error::BodyTooLarge, &self.config, events);
        }
        self.exchanges.push(exchange);
        self.bodies.set();
    }

    /// Takes what came of the requests' bodies.
    fn collect(&mut self, events: &mut Events) {
        let lengths = self.exchanges.iter().filter_map(|exchange| exchange.collector.as_ref());
        let all: usize = lengths.map(Collector::length).sum();
        let mut room = limits::HTTP2_BODIES_BYTES_MAX.saturating_sub(all);
        let mut cx = Context::from_waker(self.bodies.waker());
        for exchange in &mut self.exchanges {
            let Some(collector) = &mut exchange.collector else { continue };
            let before = collector.length();
            let polled = collector.poll(&mut cx, self.config.body_bytes_max.min(before + room));
            room = room.saturating_sub(collector.length() - before);
            match polled {
                Poll::Pending => continue,
                Poll::Ready(Ok(request)) => {
                    exchange.told = true;
                    events.push(Event::Request(exchange.id, request));
                }
                // The peer gave it up, which the slot shows as well.
                Poll::Ready(Err(Error::Invalid(_))) => {}
                Poll::Ready(Err(error)) => refuse(exchange, &error, &self.config, events),
            }
            exchange.collector = None;
        }
    }

    /// Takes leave of exchanges that are over.
    fn sweep(&mut self, now: Instant, events: &mut Events) {
        let before = self.exchanges.len();
        self.exchanges.retain(|exchange| {
            if exchange.slot.takes_again() {
                events.push(Event::Room(exchange.id));
            }
            if !exchange.slot.is_over() {
                return true;
            }
            if exchange.slot.is_begun() {
                self.answered = self.answered.saturating_add(1);
            } else {
                self.reset = self.reset.saturating_add(1);
            }
            tell_written(exchange, events);
            false
        });
        if before > 0 && self.exchanges.is_empty() {
            self.exchanges = Vec::new();
            self.idle_since = now;
        }
    }

    fn close(&mut self, error: Option<Error>, events: &mut Events) {
        for exchange in self.exchanges.drain(..) {
            tell_written(&exchange, events);
        }
        self.tasks.clear();
        self.spawned.borrow_mut().clear();
        self.connection = None;
        self.link.borrow_mut().rest();
        events.close(error);
    }
}

fn tell_written(exchange: &Exchange, events: &mut Events) {
    if exchange.told {
        let body_bytes = exchange.slot.handed_bytes();
        events.push(Event::Written { exchange: exchange.id, body_bytes });
    }
}

/// Answers a request that the engine never sees.
fn refuse(exchange: &Exchange, error: &Error, config: &Config, events: &mut Events) {
    let status = error.status().unwrap_or(StatusCode::BAD_REQUEST);
    let mut head = Response::new(());
    *head.status_mut() = status;
    head.headers_mut().insert(SERVER, config.server_header.clone());
    events.refused(status, error);
    exchange.slot.answer(head, Body::Empty);
}
