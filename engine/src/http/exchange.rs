//! A response on its way from the engine to hyper.

use super::link::SharedLink;
use crate::limits;
use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// What follows a response's head.
#[derive(Debug)]
pub(crate) enum Body {
    Empty,
    /// All of it; its length is told beforehand.
    Pieces(VecDeque<Bytes>),
    /// What [`super::Machine::push`] brings until [`super::Machine::finish`].
    Endless,
}

impl Body {
    /// Its length in bytes, if that is known.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Body::Empty => Some(0),
            Body::Pieces(pieces) => Some(pieces.iter().map(|piece| piece.len() as u64).sum()),
            Body::Endless => None,
        }
    }
}

/// [`limits::HTTP_ENDLESS_BYTES_MAX`] wait already.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The place where the engine puts a response and hyper takes it.
#[derive(Clone)]
pub(super) struct Slot(Rc<RefCell<Exchange>>);

struct Exchange {
    link: SharedLink,
    head: Option<Response<()>>,
    answered: bool,
    pieces: VecDeque<Bytes>,
    /// Bytes of `pieces`.
    waiting_bytes: u64,
    /// More pieces may come.
    endless: bool,
    /// A push was refused and no room was told of since.
    full: bool,
    handed_bytes: u64,
    /// hyper has taken the head.
    begun: bool,
    /// hyper wants nothing more of it.
    over: bool,
    /// Whom to wake when there is something new.
    waker: Option<Waker>,
}

impl Slot {
    pub(super) fn new(link: SharedLink) -> Slot {
        Slot(Rc::new(RefCell::new(Exchange {
            link,
            head: None,
            answered: false,
            pieces: VecDeque::new(),
            waiting_bytes: 0,
            endless: false,
            full: false,
            handed_bytes: 0,
            begun: false,
            over: false,
            waker: None,
        })))
    }

    /// Gives the response. A second one is ignored.
    pub(super) fn answer(&self, head: Response<()>, body: Body) {
        let mut exchange = self.0.borrow_mut();
        if std::mem::replace(&mut exchange.answered, true) {
            return;
        }
        exchange.waiting_bytes = body.length().unwrap_or(0);
        exchange.endless = matches!(body, Body::Endless);
        if let Body::Pieces(mut pieces) = body {
            // hyper takes an empty piece for the end of an HTTP/2 body.
            pieces.retain(|piece| !piece.is_empty());
            exchange.pieces = pieces;
        }
        exchange.head = Some(head);
        exchange.wake();
    }

    pub(super) fn push(&self, bytes: Bytes) -> Result<(), Full> {
        let mut exchange = self.0.borrow_mut();
        if exchange.over || !exchange.endless || bytes.is_empty() {
            return Ok(());
        }
        // One push is always taken, however large.
        if exchange.waiting_bytes > 0
            && exchange.waiting_bytes + bytes.len() as u64 > limits::HTTP_ENDLESS_BYTES_MAX
        {
            exchange.full = true;
            return Err(Full);
        }
        exchange.waiting_bytes += bytes.len() as u64;
        exchange.pieces.push_back(bytes);
        exchange.wake();
        Ok(())
    }

    pub(super) fn finish(&self) {
        let mut exchange = self.0.borrow_mut();
        exchange.endless = false;
        exchange.wake();
    }

    pub(super) fn is_answered(&self) -> bool {
        self.0.borrow().answered
    }

    /// Whether hyper has taken the head.
    pub(super) fn is_begun(&self) -> bool {
        self.0.borrow().begun
    }

    /// Whether hyper wants nothing more: it has everything, or nobody is there to take it.
    pub(super) fn is_over(&self) -> bool {
        self.0.borrow().over
    }

    /// Bytes of the body that hyper has taken.
    pub(super) fn handed_bytes(&self) -> u64 {
        self.0.borrow().handed_bytes
    }

    /// Whether there is room again after a push was refused; told once.
    pub(super) fn takes_again(&self) -> bool {
        let mut exchange = self.0.borrow_mut();
        let again = exchange.full && exchange.waiting_bytes <= limits::HTTP_ENDLESS_BYTES_MAX / 2;
        exchange.full &= !again;
        again
    }
}

impl Exchange {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn wait(&mut self, cx: &Context<'_>) {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }

    fn end(&mut self) {
        self.over = true;
        self.pieces = VecDeque::new();
        self.waker = None;
    }
}

/// The future that hyper waits for after it gave a request.
pub(super) struct Answer(Option<Slot>);

impl Answer {
    pub(super) fn new(slot: Slot) -> Answer {
        Answer(Some(slot))
    }
}

impl Future for Answer {
    type Output = Result<Response<Outgoing>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(slot) = self.0.take() else { return Poll::Pending };
        let head = {
            let mut exchange = slot.0.borrow_mut();
            let head = exchange.head.take();
            if head.is_some() {
                exchange.begun = true;
                exchange.link.borrow_mut().begin_response();
            } else {
                exchange.wait(cx);
            }
            head
        };
        match head {
            Some(head) => Poll::Ready(Ok(head.map(|()| Outgoing(slot)))),
            None => {
                self.0 = Some(slot);
                Poll::Pending
            }
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(slot) = &self.0 {
            slot.0.borrow_mut().end();
        }
    }
}

/// A response's body as hyper takes it, piece by piece.
pub(super) struct Outgoing(Slot);

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut exchange = self.0.0.borrow_mut();
        match exchange.pieces.pop_front() {
            Some(piece) => {
                exchange.waiting_bytes -= piece.len() as u64;
                exchange.handed_bytes += piece.len() as u64;
                exchange.link.borrow_mut().hand_piece();
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            None if exchange.endless => {
                exchange.wait(cx);
                Poll::Pending
            }
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        let exchange = self.0.0.borrow();
        exchange.pieces.is_empty() && !exchange.endless
    }

    fn size_hint(&self) -> SizeHint {
        let exchange = self.0.0.borrow();
        if exchange.endless { SizeHint::default() } else { SizeHint::with_exact(exchange.waiting_bytes) }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.0.0.borrow_mut().end();
    }
}
