//! HTTP/2: hyper's client against the machine, and frames of our own where a client would not do such things.

use super::Memory;
use crate::http::signal::Signal;
use crate::http::{Body, Config, Error, Event, ExchangeId, Full, Machine, Sink};
use crate::limits;
use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response, StatusCode};
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper::rt::{Executor, Read, ReadBufCursor, Write};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

/// The client's end: what it wrote, and what it may read.
#[derive(Clone, Default)]
struct Pipe(Rc<RefCell<(BytesMut, BytesMut)>>);

impl Read for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let incoming = &mut self.0.borrow_mut().1;
        if incoming.is_empty() {
            return Poll::Pending;
        }
        let n = incoming.len().min(buffer.remaining());
        buffer.put_slice(&incoming.split_to(n));
        Poll::Ready(Ok(()))
    }
}

impl Write for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().0.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The futures that the client spawned.
#[derive(Clone, Default)]
struct Tasks(Rc<RefCell<Vec<Task>>>);

type Task = Pin<Box<dyn Future<Output = ()>>>;

impl<F: Future<Output = ()> + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        self.0.borrow_mut().push(Box::pin(future));
    }
}

impl Tasks {
    fn poll(&self) {
        let mut tasks = self.0.take();
        tasks.retain_mut(|task| poll(task).is_pending());
        self.0.borrow_mut().append(&mut tasks);
    }
}

/// A request's body that is given piece by piece.
#[derive(Clone, Default)]
struct Upload(Rc<RefCell<(VecDeque<Bytes>, bool)>>);

impl Upload {
    fn push(&self, bytes: Bytes, end: bool) {
        let mut inner = self.0.borrow_mut();
        inner.0.push_back(bytes);
        inner.1 = end;
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut inner = self.0.borrow_mut();
        match inner.0.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None if inner.1 => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        let inner = self.0.borrow();
        inner.0.is_empty() && inner.1
    }
}

type Asked = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>>>>;

/// A machine and a client, on virtual time.
struct Pair {
    machine: Machine,
    memory: Memory,
    sink: Sink,
    now: Instant,
    pipe: Pipe,
    tasks: Tasks,
    client: Connection<Pipe, Upload, Tasks>,
    requests: SendRequest<Upload>,
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Signal::new().waker()))
}

fn machine(now: Instant) -> Machine {
    let config = Config { body_bytes_max: 100_000, ..Config::default() };
    Machine::new(Arc::new(config), true, now)
}

impl Pair {
    /// With windows as the specification has them at first.
    fn new() -> Pair {
        let (pipe, tasks) = (Pipe::default(), Tasks::default());
        let mut builder = Builder::new(tasks.clone());
        builder.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
        let handshake = builder.handshake(pipe.clone());
        let Poll::Ready(Ok((requests, client))) = poll(&mut Box::pin(handshake)) else {
            panic!("no handshake")
        };
        let memory = Memory::default();
        let now = Instant::now();
        let mut pair = Pair {
            machine: machine(now),
            sink: Sink::Memory(memory.clone()),
            memory,
            now,
            pipe,
            tasks,
            client,
            requests,
        };
        assert!(pair.run().is_empty());
        pair
    }

    /// Lets both sides go on until nothing moves. Returns the machine's events.
    fn run(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            // Twice, as one of the client's futures may wake another.
            for _ in 0..2 {
                let _ = poll(&mut self.client);
                self.tasks.poll();
            }
            let sent = self.pipe.0.borrow_mut().0.split();
            let quiet = sent.is_empty();
            self.machine.handle_input(self.now, sent.freeze());
            self.machine.advance(self.now, &mut self.sink);
            events.extend(std::iter::from_fn(|| self.machine.poll_event()));
            let written = self.memory.take();
            if quiet && written.is_empty() {
                return events;
            }
            self.pipe.0.borrow_mut().1.extend_from_slice(&written);
        }
    }

    fn send(&mut self, request: Request<Upload>) -> Asked {
        let mut asked: Asked = Box::pin(self.requests.send_request(request));
        assert!(poll(&mut asked).is_pending());
        asked
    }

    /// Asks, with a body that is to come or none.
    fn ask(&mut self, method: Method, end: bool) -> (Asked, Upload) {
        let upload = Upload::default();
        upload.0.borrow_mut().1 = end;
        let request = Request::builder().method(method).uri("https://x/a").body(upload.clone());
        (self.send(request.expect("a request")), upload)
    }

    fn get(&mut self) -> (ExchangeId, Asked) {
        let (response, _) = self.ask(Method::GET, true);
        let events = self.run();
        let [Event::Request(exchange, _)] = events[..] else { panic!("{events:?}") };
        (exchange, response)
    }

    fn respond(&mut self, exchange: ExchangeId, body: Body) -> Vec<Event> {
        self.machine.respond(exchange, Response::new(()), body);
        self.run()
    }
}

fn pieces(pieces: &[&'static str]) -> Body {
    Body::Pieces(pieces.iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect())
}

fn answered(response: &mut Asked) -> Response<Incoming> {
    match poll(response) {
        Poll::Ready(Ok(response)) => response,
        other => panic!("{other:?}"),
    }
}

/// Reads what is there of a body. Whether that was its end.
fn read(body: &mut Incoming) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    let signal = Signal::new();
    loop {
        match Pin::new(&mut *body).poll_frame(&mut Context::from_waker(signal.waker())) {
            Poll::Ready(Some(Ok(frame))) => all.extend_from_slice(&frame.into_data().expect("no trailers")),
            Poll::Ready(Some(Err(error))) => panic!("{error}"),
            Poll::Ready(None) => return (all, true),
            Poll::Pending => return (all, false),
        }
    }
}

#[track_caller]
fn assert_written(events: &[Event], bytes: u64) {
    assert!(matches!(events, [Event::Written { body_bytes, .. }] if *body_bytes == bytes), "{events:?}");
}

#[test]
fn requests_are_answered_in_any_order() {
    let mut pair = Pair::new();
    let (first, mut first_response) = pair.get();
    let (second, mut second_response) = pair.get();
    assert_ne!(first, second);
    assert_written(&pair.respond(second, pieces(&["se", "cond"])), 6);
    assert_written(&pair.respond(first, pieces(&["first"])), 5);
    let response = answered(&mut second_response);
    assert_eq!(response.headers()["server"], "headwater");
    assert_eq!(response.headers()["content-length"], "6");
    assert!(response.headers().contains_key("date"));
    assert_eq!(read(&mut response.into_body()), (b"second".to_vec(), true));
    assert_eq!(read(&mut answered(&mut first_response).into_body()), (b"first".to_vec(), true));
}

#[test]
fn endless_responses_of_two_streams_interleave() {
    let mut pair = Pair::new();
    let ((first, mut first_response), (second, mut second_response)) = (pair.get(), pair.get());
    assert!(pair.respond(first, Body::Endless).is_empty());
    assert!(pair.respond(second, Body::Endless).is_empty());
    let mut first_body = answered(&mut first_response).into_body();
    let mut second_body = answered(&mut second_response).into_body();
    for _ in 0..3 {
        pair.machine.push(first, Bytes::from_static(b"one")).expect("room");
        pair.machine.push(second, Bytes::from_static(b"two")).expect("room");
        assert!(pair.run().is_empty());
        assert_eq!(read(&mut first_body), (b"one".to_vec(), false));
        assert_eq!(read(&mut second_body), (b"two".to_vec(), false));
    }
    pair.machine.finish(first);
    assert_written(&pair.run(), 9);
    assert_eq!(read(&mut first_body), (Vec::new(), true));
    drop(second_body);
    assert_written(&pair.run(), 9);
}

#[test]
fn a_client_that_does_not_read_fills_its_own_stream_alone() {
    let mut pair = Pair::new();
    let ((stuck, mut response), (other, mut other_response)) = (pair.get(), pair.get());
    assert!(pair.respond(stuck, Body::Endless).is_empty());
    let mut pushed = 0;
    loop {
        while pair.machine.push(stuck, Bytes::from_static(&[7; 10_000])) != Err(Full) {
            pushed += 10_000;
        }
        if pair.run().is_empty() {
            break;
        }
        let bound = limits::HTTP_ENDLESS_BYTES_MAX as usize + limits::HTTP2_SEND_BUFFER_BYTES + 65_535;
        assert!(pushed <= bound + 20_000, "{pushed} bytes");
    }
    // The window of the connection is used up by the stuck stream; heads still go out.
    assert!(pair.respond(other, pieces(&["other"])).len() <= 1);
    let mut other_body = answered(&mut other_response).into_body();
    let mut body = answered(&mut response).into_body();
    let mut got = 0;
    let mut room = false;
    while got < pushed {
        let (bytes, _) = read(&mut body);
        assert!(!bytes.is_empty(), "stuck at {got} of {pushed}");
        got += bytes.len();
        room |= pair.run().iter().any(|event| matches!(event, Event::Room(exchange) if *exchange == stuck));
    }
    assert!(room);
    assert_eq!(read(&mut other_body), (b"other".to_vec(), true));
}

#[test]
fn bodies_of_requests_are_whole_and_bounded() {
    let mut pair = Pair::new();
    let (mut response, body) = pair.ask(Method::POST, false);
    body.push(Bytes::from_static(b"one "), false);
    assert!(pair.run().is_empty());
    body.push(Bytes::from_static(b"two"), true);
    let events = pair.run();
    let [Event::Request(exchange, request)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((request.body(), request.uri().path()), (&Bytes::from_static(b"one two"), "/a"));
    assert_written(&pair.respond(*exchange, Body::Empty), 0);
    assert_eq!(answered(&mut response).status(), StatusCode::OK);

    let (mut response, body) = pair.ask(Method::POST, false);
    body.push(vec![0; 100_001].into(), true);
    let events = pair.run();
    assert!(
        matches!(events[..], [Event::Refused { status: StatusCode::PAYLOAD_TOO_LARGE, .. }]),
        "{events:?}"
    );
    assert_eq!(answered(&mut response).status(), StatusCode::PAYLOAD_TOO_LARGE);
    // The connection goes on.
    let (exchange, _response) = pair.get();
    assert_written(&pair.respond(exchange, Body::Empty), 0);
}

#[test]
fn bodies_that_do_not_come_are_refused() {
    let mut pair = Pair::new();
    let (mut response, _body) = pair.ask(Method::POST, false);
    assert!(pair.run().is_empty());
    pair.now = pair.machine.poll_timeout().expect("a deadline");
    pair.machine.handle_timeout(pair.now);
    let events = pair.run();
    assert!(matches!(events[..], [Event::Refused { status: StatusCode::REQUEST_TIMEOUT, .. }]), "{events:?}");
    assert_eq!(answered(&mut response).status(), StatusCode::REQUEST_TIMEOUT);
}

#[test]
fn head_has_no_body() {
    let mut pair = Pair::new();
    let (mut response, _) = pair.ask(Method::HEAD, true);
    let events = pair.run();
    let [Event::Request(exchange, _)] = events[..] else { panic!("{events:?}") };
    assert_written(&pair.respond(exchange, pieces(&["hello"])), 0);
    let response = answered(&mut response);
    assert_eq!(response.headers()["content-length"], "5");
    assert!(response.body().is_end_stream());
}

#[test]
fn partial_writes_give_the_same_bytes() {
    let mut pair = Pair::new();
    let (exchange, mut response) = pair.get();
    pair.machine.respond(exchange, Response::new(()), Body::Pieces([Bytes::from(vec![9; 20_000])].into()));
    pair.memory.limit([1, 0, 3, 0, 500, 0, 7, 0, 10_000, 0, 0, 1, 0]);
    let mut events = Vec::new();
    let mut rounds = 0;
    loop {
        pair.machine.advance(pair.now, &mut pair.sink);
        events.extend(std::iter::from_fn(|| pair.machine.poll_event()));
        if !pair.machine.wants_write() {
            break;
        }
        rounds += 1;
    }
    assert!(rounds >= 5, "{rounds} rounds");
    assert_written(&events, 20_000);
    pair.run();
    assert_eq!(read(&mut answered(&mut response).into_body()), (vec![9; 20_000], true));
}

#[test]
fn a_client_that_gives_up_ends_its_exchange() {
    let mut pair = Pair::new();
    let (exchange, response) = pair.get();
    drop(response);
    assert_written(&pair.run(), 0);
    // An answer that comes too late is nobody's.
    assert!(pair.respond(exchange, pieces(&["late"])).is_empty());
    assert_eq!(pair.machine.push(exchange, Bytes::from_static(b"late")), Ok(()));
    let (exchange, _response) = pair.get();
    assert_written(&pair.respond(exchange, Body::Empty), 0);
}

/// A frame of our own (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// GET https://x/, from the static table of HPACK (RFC 7541, appendix A).
const HEADERS: [u8; 6] = [0x82, 0x87, 0x84, 0x41, 0x01, b'x'];

fn ask_and_reset(stream: u32) -> Vec<u8> {
    let cancel = 8u32.to_be_bytes();
    [frame(1, 0x5, stream, &HEADERS), frame(3, 0, stream, &cancel)].concat()
}

#[test]
fn resets_at_once_end_the_connection() {
    let now = Instant::now();
    let mut machine = machine(now);
    let memory = Memory::default();
    let mut sink = Sink::Memory(memory.clone());
    let mut bytes = [PREFACE, &frame(4, 0, 0, &[])].concat();
    for stream in 0..limits::HTTP2_RESETS_AT_ONCE_MAX as u32 + 5 {
        bytes.extend(ask_and_reset(2 * stream + 1));
    }
    machine.handle_input(now, bytes.into());
    machine.advance(now, &mut sink);
    let event = machine.poll_event();
    assert!(matches!(event, Some(Event::Closed(Some(Error::Protocol(_))))), "{event:?}");
    assert!(machine.poll_event().is_none());
    // GOAWAY with ENHANCE_YOUR_CALM.
    let written = memory.take();
    let told = written.windows(4).any(|window| window == [0, 0, 0, 11]);
    assert!(told, "{written:?}");
}

#[test]
fn resets_one_after_the_other_end_the_connection() {
    let mut pair = Pair::new();
    for n in 1.. {
        let (_, response) = pair.get();
        drop(response);
        let events = pair.run();
        if events.len() == 2 {
            assert!(matches!(events[1], Event::Closed(Some(Error::Flood(_)))), "{events:?}");
            assert_eq!(n, limits::HTTP2_RESETS_MAX + 1);
            break;
        }
        assert_written(&events, 0);
    }
}

#[test]
fn requests_without_what_they_need_are_refused() {
    let now = Instant::now();
    let mut machine = machine(now);
    let mut sink = Sink::Memory(Memory::default());
    // No :path; then one that is whole.
    let bytes = [
        PREFACE,
        &frame(4, 0, 0, &[]),
        &frame(1, 0x5, 1, &[0x82, 0x87, 0x41, 0x01, b'x']),
        &frame(1, 0x5, 3, &HEADERS),
    ];
    machine.handle_input(now, bytes.concat().into());
    machine.advance(now, &mut sink);
    assert!(matches!(machine.poll_event(), Some(Event::Request(..))));
    assert!(machine.poll_event().is_none());
}

#[test]
fn streams_at_once_are_bounded() {
    let mut pair = Pair::new();
    let mut waiting = Vec::new();
    let mut told = 0;
    for _ in 0..limits::HTTP2_STREAMS_MAX + 5 {
        waiting.push(pair.ask(Method::GET, true).0);
        told += pair.run().len();
    }
    assert_eq!(told, limits::HTTP2_STREAMS_MAX as usize);
}

#[test]
fn large_heads_are_refused() {
    let mut pair = Pair::new();
    let upload = Upload::default();
    upload.0.borrow_mut().1 = true;
    let request = Request::builder()
        .uri("https://x/a")
        .header("x-large", "x".repeat(limits::HTTP_HEAD_BYTES_MAX))
        .body(upload)
        .expect("a request");
    let mut response = pair.send(request);
    assert!(pair.run().is_empty());
    assert_eq!(answered(&mut response).status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

#[test]
fn shutting_down_lets_exchanges_end() {
    let mut pair = Pair::new();
    let (exchange, mut response) = pair.get();
    pair.machine.shut_down(pair.now);
    assert!(pair.run().is_empty());
    let events = pair.respond(exchange, pieces(&["last"]));
    assert!(matches!(events[..], [Event::Written { body_bytes: 4, .. }, Event::Closed(None)]), "{events:?}");
    assert_eq!(read(&mut answered(&mut response).into_body()), (b"last".to_vec(), true));
    let mut idle = Pair::new();
    idle.machine.shut_down(idle.now);
    assert!(matches!(idle.run()[..], [Event::Closed(None)]));
}

#[test]
fn idle_connections_end() {
    let mut pair = Pair::new();
    assert_eq!(pair.machine.poll_timeout(), Some(pair.now + limits::HTTP_HEADER_TIMEOUT));
    let (exchange, _response) = pair.get();
    assert_eq!(pair.machine.poll_timeout(), None);
    pair.respond(exchange, Body::Empty);
    pair.now += limits::HTTP_IDLE_TIMEOUT;
    assert_eq!(pair.machine.poll_timeout(), Some(pair.now));
    pair.machine.handle_timeout(pair.now);
    assert!(matches!(pair.run()[..], [Event::Closed(None)]));

    // A client that does not answer the farewell is not waited for.
    let now = Instant::now();
    let mut machine = machine(now);
    let mut sink = Sink::Memory(Memory::default());
    for _ in 0..2 {
        let timeout = machine.poll_timeout().expect("a deadline");
        machine.handle_timeout(timeout);
        machine.advance(timeout, &mut sink);
    }
    assert!(matches!(machine.poll_event(), Some(Event::Closed(None))));
}

#[test]
fn what_is_no_http2_ends_the_connection() {
    for bytes in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &[0xff; 100]] {
        let now = Instant::now();
        let mut machine = machine(now);
        machine.handle_input(now, Bytes::copy_from_slice(bytes));
        machine.advance(now, &mut Sink::Memory(Memory::default()));
        assert!(matches!(machine.poll_event(), Some(Event::Closed(Some(_)))));
        assert!(machine.poll_event().is_none());
    }
}

#[test]
fn the_end_of_the_client_ends_its_exchanges() {
    let mut pair = Pair::new();
    let (_, _response) = pair.get();
    pair.machine.handle_eof();
    let events = pair.run();
    assert!(matches!(events[..], [Event::Written { body_bytes: 0, .. }, Event::Closed(_)]), "{events:?}");
    let mut idle = Pair::new();
    idle.machine.handle_eof();
    assert!(matches!(idle.run()[..], [Event::Closed(None)]));
}
