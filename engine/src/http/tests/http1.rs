//! HTTP/1.1: what a client sends, and what it gets.

use super::{Memory, heap};
use crate::http::{Body, Config, Error, Event, ExchangeId, Full, Machine, Sink};
use crate::limits;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

const GET: &str = "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n";

struct Connection {
    machine: Machine,
    memory: Memory,
    sink: Sink,
    now: Instant,
}

impl Connection {
    fn new() -> Connection {
        let memory = Memory::default();
        let now = Instant::now();
        let config = Config { body_bytes_max: 100, ..Config::default() };
        let machine = Machine::new(Arc::new(config), false, now);
        Connection { machine, sink: Sink::Memory(memory.clone()), memory, now }
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) -> Vec<Event> {
        self.machine.handle_input(self.now, Bytes::copy_from_slice(bytes.as_ref()));
        self.advance()
    }

    fn advance(&mut self) -> Vec<Event> {
        self.machine.advance(self.now, &mut self.sink);
        std::iter::from_fn(|| self.machine.poll_event()).collect()
    }

    /// Lets time pass up to the machine's next deadline.
    fn time_out(&mut self) -> Vec<Event> {
        self.now = self.machine.poll_timeout().expect("a deadline");
        self.machine.handle_timeout(self.now);
        self.advance()
    }

    fn respond(&mut self, exchange: ExchangeId, pieces: &[&'static str]) -> Vec<Event> {
        let body = Body::Pieces(pieces.iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect());
        self.respond_with(exchange, body)
    }

    fn respond_with(&mut self, exchange: ExchangeId, body: Body) -> Vec<Event> {
        let mut head = Response::new(());
        head.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        self.machine.respond(exchange, head, body);
        self.advance()
    }

    /// What was written, without the date.
    fn written(&self) -> String {
        without_date(&self.memory.take())
    }
}

fn without_date(bytes: &[u8]) -> String {
    let text = String::from_utf8(bytes.to_vec()).expect("text");
    let lines = text.split_inclusive("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("date: "));
    lines.collect()
}

fn request(events: Vec<Event>) -> (ExchangeId, Request<Bytes>) {
    let mut events = events;
    match (events.pop(), events.is_empty()) {
        (Some(Event::Request(exchange, request)), true) => (exchange, request),
        (other, _) => panic!("no request alone: {events:?}, {other:?}"),
    }
}

#[track_caller]
fn assert_written(events: &[Event], bytes: u64) {
    assert!(matches!(events, [Event::Written { body_bytes, .. }] if *body_bytes == bytes), "{events:?}");
}

#[track_caller]
fn assert_refused(events: &[Event], status: u16) {
    match events {
        [Event::Refused { status: found, .. }, Event::Closed(None)] => assert_eq!(found.as_u16(), status),
        other => panic!("{other:?}"),
    }
}

const OK: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nserver: headwater\r\ncontent-length: 5\r\n\r\nhello";

#[test]
fn a_connection_is_kept_for_the_next_request() {
    let mut connection = Connection::new();
    for _ in 0..3 {
        let (exchange, request) = request(connection.send(GET));
        assert_eq!((request.method(), request.uri().to_string().as_str()), (&Method::GET, "/a?b"));
        assert_written(&connection.respond(exchange, &["hel", "", "lo"]), 5);
        assert_eq!(connection.written(), OK);
    }
    assert_eq!(connection.machine.written_bytes() % 3, 0);
}

#[test]
fn a_request_may_come_byte_by_byte_and_after_empty_lines() {
    let mut connection = Connection::new();
    let text = format!(
        "\r\n\r\n{}",
        GET.replace("GET", "POST").replace("\r\n\r\n", "\r\ncontent-length: 3\r\n\r\nabc")
    );
    let mut events = Vec::new();
    for byte in text.as_bytes() {
        events.extend(connection.send([*byte]));
    }
    assert_eq!(request(events).1.into_body(), "abc");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let mut connection = Connection::new();
    let put =
        "PUT /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let (first, _) = request(connection.send(format!("{GET}{put}{GET}")));
    assert_eq!(connection.machine.waiting_bytes(), put.len() + GET.len());
    let events = connection.respond(first, &["hello"]);
    let [Event::Written { .. }, Event::Request(second, put)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(put.body(), "abcde");
    let events = connection.respond(*second, &["hello"]);
    let [Event::Written { .. }, Event::Request(third, _)] = &events[..] else { panic!("{events:?}") };
    assert_written(&connection.respond(*third, &["hello"]), 5);
    assert_eq!(connection.written(), OK.repeat(3));
}

#[test]
fn head_is_answered_with_the_length_alone() {
    let mut connection = Connection::new();
    let (exchange, _) = request(connection.send(GET.replace("GET", "HEAD")));
    assert_written(&connection.respond(exchange, &["hello"]), 0);
    assert_eq!(
        connection.written().replace("server: headwater\r\n", ""),
        OK.replace("hello", "").replace("server: headwater\r\n", "")
    );
    let (exchange, _) = request(connection.send(GET));
    assert_written(&connection.respond(exchange, &["hello"]), 5);
    connection.written();
    let (exchange, _) = request(connection.send(GET.replace("GET", "HEAD")));
    let head = Response::builder().header(CONTENT_LENGTH, 1_000_000).body(()).expect("a response");
    connection.machine.respond(exchange, head, Body::Empty);
    assert_written(&connection.advance(), 0);
    assert!(connection.written().contains("content-length: 1000000\r\n"));
}

#[test]
fn empty_bodies_and_statuses_without_one() {
    let mut connection = Connection::new();
    let (exchange, _) = request(connection.send(GET));
    assert_written(&connection.respond_with(exchange, Body::Empty), 0);
    assert!(connection.written().contains("content-length: 0\r\n"));
    let (exchange, _) = request(connection.send(GET));
    let head = Response::builder().status(StatusCode::NO_CONTENT).body(()).expect("a response");
    connection.machine.respond(exchange, head, Body::Empty);
    assert_written(&connection.advance(), 0);
    assert_eq!(connection.written(), "HTTP/1.1 204 No Content\r\nserver: headwater\r\n\r\n");
}

#[test]
fn a_client_that_asks_is_told_to_continue() {
    let mut connection = Connection::new();
    let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    assert!(connection.send(head).is_empty());
    assert_eq!(connection.written(), "HTTP/1.1 100 Continue\r\n\r\n");
    let (exchange, request) = request(connection.send("body"));
    assert_eq!(request.body(), "body");
    assert_written(&connection.respond(exchange, &["hello"]), 5);
    assert_eq!(connection.written(), OK);
    // One with too much to say is not.
    assert_refused(&connection.send(head.replace(" 4", " 101")), 413);
    assert!(connection.written().starts_with("HTTP/1.1 413 Payload Too Large\r\nconnection: close\r\n"));
}

#[test]
fn bodies_that_are_too_large_are_refused() {
    let mut connection = Connection::new();
    assert_refused(&connection.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n"), 413);
    let mut connection = Connection::new();
    assert!(connection.send("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").is_empty());
    assert!(connection.send(format!("64\r\n{}\r\n", "x".repeat(100))).is_empty());
    assert_refused(&connection.send("1\r\nx\r\n"), 413);
    assert!(connection.written().starts_with("HTTP/1.1 413 "));
    assert!(connection.send(GET).is_empty(), "nothing follows the end");
}

#[test]
fn heads_without_an_end_are_refused() {
    let mut connection = Connection::new();
    assert!(connection.send("GET / HTTP/1.1\r\nHost: x\r\n").is_empty());
    let mut events = Vec::new();
    let mut sent = 0;
    while events.is_empty() {
        let line = format!("X-{sent}: {}\r\n", "y".repeat(500));
        sent += line.len();
        events = connection.send(line);
    }
    assert_refused(&events, 431);
    assert!(sent <= limits::HTTP_HEAD_BYTES_MAX + 600);
    let mut connection = Connection::new();
    assert_refused(&connection.send(format!("GET /{}", "a".repeat(limits::HTTP_HEAD_BYTES_MAX))), 431);
    let mut connection = Connection::new();
    let many = GET.replace("\r\n\r\n", &format!("\r\n{}\r\n", "a: b\r\n".repeat(limits::HTTP_HEADERS_MAX)));
    assert_refused(&connection.send(many), 431);
    assert!(connection.written().starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"));
}

#[test]
fn slow_requests_are_refused() {
    let mut connection = Connection::new();
    let begun = connection.now;
    for byte in GET.as_bytes()[..10].iter() {
        assert!(connection.send([*byte]).is_empty());
        connection.now += Duration::from_millis(900);
    }
    assert_refused(&connection.time_out(), 408);
    assert_eq!(connection.now, begun + limits::HTTP_HEADER_TIMEOUT);
    assert!(connection.written().starts_with("HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n"));
    let mut connection = Connection::new();
    assert!(connection.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na").is_empty());
    assert_refused(&connection.time_out(), 408);
}

#[test]
fn idle_connections_end_without_a_word() {
    let mut connection = Connection::new();
    assert!(matches!(connection.time_out()[..], [Event::Closed(None)]));
    let mut connection = Connection::new();
    let (exchange, _) = request(connection.send(GET));
    assert_eq!(connection.machine.poll_timeout(), None);
    connection.respond(exchange, &["hello"]);
    connection.written();
    let since = connection.now;
    assert!(matches!(connection.time_out()[..], [Event::Closed(None)]));
    assert_eq!(connection.now, since + limits::HTTP_IDLE_TIMEOUT);
    assert_eq!(connection.written(), "");
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    for headers in [
        "Host: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Host: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Host: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n",
        "Host: x\r\nContent-Length : 3\r\n",
        "Host: x\r\nTransfer-Encoding : chunked\r\n",
        "Host: x\r\nA: b\r\n c\r\n",
        "Host: x\r\nA: b\rContent-Length: 3\r\n",
        "Host: x\r\nHost: y\r\n",
        "",
    ] {
        let mut connection = Connection::new();
        let text = format!("POST / HTTP/1.1\r\n{headers}\r\n0\r\n\r\n{GET}");
        assert_refused(&connection.send(text), 400);
        let written = connection.written();
        assert!(written.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{headers:?}: {written}");
        assert_eq!(written.matches("HTTP/1.1").count(), 1);
    }
}

#[test]
fn what_is_no_http_is_refused() {
    for text in [
        "\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/3.0\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno\r\n",
    ] {
        let mut connection = Connection::new();
        assert_refused(&connection.send(text), 400);
        assert!(connection.written().starts_with("HTTP/1.1 400 Bad Request\r\n"), "{text:?}");
    }
}

#[test]
fn partial_writes_give_the_same_bytes() {
    let length = {
        let mut connection = Connection::new();
        let (exchange, _) = request(connection.send(GET));
        connection.respond(exchange, &["hel", "lo"]);
        connection.memory.take().len()
    };
    for first in 1..length {
        let mut connection = Connection::new();
        let (exchange, _) = request(connection.send(format!("{GET}{GET}")));
        connection.memory.limit([first, 0]);
        assert!(connection.respond(exchange, &["hel", "lo"]).is_empty());
        assert!(connection.machine.wants_write());
        connection.memory.limit([]);
        let events = connection.advance();
        let [Event::Written { body_bytes: 5, .. }, Event::Request(second, _)] = &events[..] else {
            panic!("{events:?}")
        };
        assert!(!connection.machine.wants_write());
        // Byte by byte, each with a full socket before it.
        connection.memory.limit([1, 0].repeat(length));
        let mut events = connection.respond(*second, &["hel", "lo"]);
        while events.is_empty() {
            assert!(connection.machine.wants_write());
            events = connection.advance();
        }
        assert_written(&events, 5);
        assert_eq!(connection.written(), OK.repeat(2));
    }
}

#[test]
fn a_response_that_is_cut_tells_how_much_was_taken() {
    let mut connection = Connection::new();
    let (exchange, _) = request(connection.send(GET));
    let head = OK.len() - 5 + "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n".len();
    connection.memory.limit([head + 2, 0]);
    assert!(connection.respond(exchange, &["hel", "lo"]).is_empty());
    connection.memory.0.borrow_mut().broken = true;
    let events = connection.advance();
    let [Event::Written { body_bytes: 2, .. }, Event::Closed(Some(Error::Io(_)))] = &events[..] else {
        panic!("{events:?}")
    };
}

#[test]
fn bodies_are_not_copied() {
    let mut connection = Connection::new();
    let (exchange, _) = request(connection.send(GET));
    let pieces: Vec<Bytes> = (0..40).map(|n| Bytes::from(vec![n; 50_000])).collect();
    assert_written(
        &connection.respond_with(exchange, Body::Pieces(pieces.iter().cloned().collect())),
        2_000_000,
    );
    let inner = connection.memory.0.borrow();
    for piece in pieces {
        assert!(inner.addresses.contains(&piece.as_ptr().addr()));
    }
}

#[test]
fn a_connection_that_is_taken_over_gives_its_input_raw() {
    let mut connection = Connection::new();
    let upgrade = GET.replace("\r\n\r\n", "\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    let (exchange, _) = request(connection.send(format!("{upgrade}left")));
    connection.machine.handle_input(connection.now, Bytes::from_static(b" over"));
    assert_eq!(connection.machine.take_over(exchange), "left over");
    assert_eq!(connection.machine.poll_timeout(), None);
    let events = connection.send("more");
    assert!(matches!(&events[..], [Event::Raw(bytes)] if bytes == "more"), "{events:?}");
    assert_eq!(connection.written(), "");
    connection.machine.handle_eof();
    assert!(matches!(connection.advance()[..], [Event::Closed(None)]));
}

#[test]
fn endless_responses_are_bounded() {
    let mut connection = Connection::new();
    let (exchange, _) = request(connection.send(GET));
    assert!(connection.respond_with(exchange, Body::Endless).is_empty());
    assert!(connection.written().contains("transfer-encoding: chunked\r\n"));
    connection.machine.push(exchange, Bytes::from_static(b"abc")).expect("room");
    assert!(connection.advance().is_empty());
    assert_eq!(connection.written(), "3\r\nabc\r\n");
    connection.memory.limit([0; 100]);
    let mut pushed = 0;
    loop {
        while connection.machine.push(exchange, Bytes::from_static(&[0; 10_000])) != Err(Full) {
            pushed += 1;
        }
        // hyper takes some, and then no more.
        if connection.advance().is_empty() {
            break;
        }
        assert!(pushed * 10_000 < 2 * limits::HTTP_ENDLESS_BYTES_MAX, "without a bound");
    }
    connection.memory.limit([]);
    let events = connection.advance();
    assert!(matches!(events[..], [Event::Room(_)]), "{events:?}");
    connection.machine.finish(exchange);
    assert_written(&connection.advance(), pushed * 10_000 + 3);
    assert!(connection.memory.take().ends_with(b"\r\n0\r\n\r\n"));
    request(connection.send(GET));
}

#[test]
fn connections_end_when_either_side_says_so() {
    for text in [GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"), GET.replace("1.1", "1.0")] {
        let mut connection = Connection::new();
        let (exchange, _) = request(connection.send(text));
        let events = connection.respond(exchange, &["hello"]);
        assert!(
            matches!(events[..], [Event::Written { body_bytes: 5, .. }, Event::Closed(None)]),
            "{events:?}"
        );
    }
    let mut connection = Connection::new();
    let (exchange, _) = request(connection.send(format!("{GET}{GET}")));
    connection.machine.shut_down(connection.now);
    assert!(connection.advance().is_empty());
    let events = connection.respond(exchange, &["hello"]);
    assert!(matches!(events[..], [Event::Written { body_bytes: 5, .. }, Event::Closed(None)]), "{events:?}");
    assert!(connection.written().contains("connection: close\r\n"));
    let mut connection = Connection::new();
    connection.machine.shut_down(connection.now);
    assert!(matches!(connection.advance()[..], [Event::Closed(None)]));
}

#[test]
fn a_client_that_only_closed_its_side_gets_its_response() {
    let mut connection = Connection::new();
    let (exchange, _) = request(connection.send(GET));
    connection.machine.handle_eof();
    assert!(connection.advance().is_empty());
    let events = connection.respond(exchange, &["hello"]);
    assert!(matches!(events[..], [Event::Written { body_bytes: 5, .. }, Event::Closed(None)]), "{events:?}");
    for begun in ["GET", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na"] {
        let mut connection = Connection::new();
        assert!(connection.send(begun).is_empty());
        connection.machine.handle_eof();
        let events = connection.advance();
        assert!(matches!(events[..], [Event::Closed(Some(Error::Incomplete))]), "{begun}: {events:?}");
    }
    let mut connection = Connection::new();
    connection.machine.handle_eof();
    assert!(matches!(connection.advance()[..], [Event::Closed(None)]));
}

#[test]
fn a_flood_of_pipelined_requests_ends_the_connection() {
    let mut connection = Connection::new();
    let _ = request(connection.send(GET));
    let mut sent = 0;
    loop {
        let events = connection.send(GET.repeat(100));
        sent += GET.len() * 100;
        if !events.is_empty() {
            assert!(matches!(
                events[..],
                [Event::Written { body_bytes: 0, .. }, Event::Closed(Some(Error::Flood(_)))]
            ));
            break;
        }
        assert_eq!(connection.machine.wants_input(), sent < limits::HTTP_INPUT_BYTES_MAX);
    }
    assert!(sent <= limits::HTTP_INPUT_BYTES_MAX + limits::READ_BYTES_PER_TURN_MAX + GET.len() * 200);
}

#[test]
fn an_idle_connection_holds_little() {
    let mut connection = Connection::new();
    let rounds = |connection: &mut Connection| {
        let (exchange, _) = request(connection.send(GET));
        connection.respond(exchange, &["hello"]);
        *connection.memory.0.borrow_mut() = super::Inner::default();
    };
    rounds(&mut connection);
    let config = Arc::clone(&connection.machine.config);
    let before = heap::bytes();
    let mut boxed = Box::new(Connection::new());
    boxed.machine = Machine::new(config, false, boxed.now);
    rounds(&mut boxed);
    let held = heap::bytes() - before;
    assert!(held < 2048, "{held} bytes");
    assert!(boxed.send(&GET[..10]).is_empty());
    assert!(heap::bytes() - before < held + 128, "a begun head holds itself and no more");
}
