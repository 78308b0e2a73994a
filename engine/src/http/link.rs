//! What hyper reads from and writes to, shared between it and the machine that polls it.

use super::exchange::{Answer, Slot};
use super::sink::Sink;
use bytes::{Buf, Bytes};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

pub(super) type SharedLink = Rc<RefCell<Link>>;

/// A request whose body may still be on its way.
pub(super) struct Arrived {
    pub(super) request: http::Request<Incoming>,
    pub(super) slot: Slot,
}

/// The two ends of a connection as hyper sees them, and the requests it found.
pub(super) struct Link {
    input: VecDeque<Bytes>,
    /// Nothing follows the input.
    ended: bool,
    sink: Sink,
    blocked: bool,
    /// hyper has something that the sink has not.
    outstanding: bool,
    written_bytes: u64,
    /// Where the response under way began, and how long its head is, once known.
    response: (u64, Option<usize>),
    pub(super) arrived: VecDeque<Arrived>,
}

impl Link {
    pub(super) fn new() -> SharedLink {
        Rc::new(RefCell::new(Link {
            input: VecDeque::new(),
            ended: false,
            sink: Sink::Gone,
            blocked: false,
            outstanding: false,
            written_bytes: 0,
            response: (0, None),
            arrived: VecDeque::new(),
        }))
    }

    /// Swaps the sink in for an advance, and out again after it.
    pub(super) fn swap_sink(&mut self, sink: &mut Sink) {
        std::mem::swap(&mut self.sink, sink);
    }

    pub(super) fn deliver(&mut self, input: Bytes) {
        if !input.is_empty() {
            self.input.push_back(input);
        }
    }

    pub(super) fn end_input(&mut self) {
        self.ended = true;
    }

    pub(super) fn input_bytes(&self) -> usize {
        self.input.iter().map(Bytes::len).sum()
    }

    /// Lets go of what an exchange used, so that an idle connection owns no heap.
    pub(super) fn rest(&mut self) {
        self.input = VecDeque::new();
        self.arrived = VecDeque::new();
        self.outstanding = false;
        self.blocked = false;
        self.response = (self.written_bytes, None);
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    pub(super) fn is_outstanding(&self) -> bool {
        self.outstanding
    }

    pub(super) fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// hyper was given the head of a response.
    pub(super) fn begin_response(&mut self) {
        self.outstanding = true;
        self.response = (self.written_bytes, None);
    }

    /// hyper was given a piece of a body.
    pub(super) fn hand_piece(&mut self) {
        self.outstanding = true;
    }

    /// Whether anything was written since the connection was at rest, or since the response began.
    pub(super) fn response_begun(&self) -> bool {
        self.response.1.is_some()
    }

    /// Bytes of the response's body that were written; HTTP/1.1 only.
    pub(super) fn body_bytes_written(&self) -> u64 {
        let (begin, head) = self.response;
        head.map_or(0, |head| (self.written_bytes - begin).saturating_sub(head as u64))
    }

    /// Writes to the sink. `Pending` when it is full, which is remembered.
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self.sink.write(slices) {
            Ok(taken) => {
                self.blocked = false;
                if self.response.1.is_none() {
                    self.response.1 = slices.first().map(|head| head.len());
                }
                self.written_bytes += taken as u64;
                Poll::Ready(Ok(taken))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.blocked = true;
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Sees to it that the kernel has all that was written.
    pub(super) fn flush(&mut self) -> Poll<io::Result<()>> {
        match self.sink.flush() {
            Ok(()) => {
                self.blocked = false;
                self.outstanding = false;
                Poll::Ready(Ok(()))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.blocked = true;
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// The link in the form that hyper takes.
pub(super) struct Wire(pub(super) SharedLink);

impl Read for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut link = self.0.borrow_mut();
        if link.input.is_empty() && !link.ended {
            // Whoever delivers input polls as well.
            return Poll::Pending;
        }
        while let Some(front) = link.input.front_mut() {
            let n = front.len().min(buffer.remaining());
            buffer.put_slice(&front[..n]);
            front.advance(n);
            if !front.is_empty() {
                break;
            }
            link.input.pop_front();
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().write(&[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().write(slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().flush()
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The engine closes the socket.
        Poll::Ready(Ok(()))
    }
}

/// Puts requests into the link; responses come later, through their slots.
pub(super) struct Service(pub(super) SharedLink);

impl hyper::service::Service<http::Request<Incoming>> for Service {
    type Response = http::Response<super::exchange::Outgoing>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: http::Request<Incoming>) -> Answer {
        let slot = Slot::new(Rc::clone(&self.0));
        self.0.borrow_mut().arrived.push_back(Arrived { request, slot: slot.clone() });
        Answer::new(slot)
    }
}
