//! Input that is cut anywhere, and input that is damaged: the first makes no difference, the second no panic.

use super::Memory;
use crate::http::{Body, Config, Event, Machine, Sink};
use bytes::Bytes;
use http::Response;
use std::sync::Arc;
use std::time::Instant;

const REQUESTS: &str = "\r\nPOST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\
    PUT /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n\
    3;a=b\r\nabc\r\n0a\r\n0123456789\r\n0\r\nT: t\r\n\r\n\
    HEAD /c HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n\
    GET /d HTTP/1.0\r\n\r\n";

/// Frames of three requests, of settings, a body, a reset, a ping and a farewell.
fn frames() -> Vec<u8> {
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream], payload].concat()
    };
    let headers = [0x83, 0x87, 0x84, 0x41, 0x01, b'x'];
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, &[0, 4, 0, 1, 0, 0]),
        frame(1, 0x5, 1, &headers),
        frame(1, 0x0, 3, &headers[..3]),
        frame(9, 0x4, 3, &headers[3..]),
        frame(0, 0x0, 3, b"body"),
        frame(8, 0, 0, &[0, 0, 1, 0]),
        frame(0, 0x9, 3, b"\x02more  "),
        frame(1, 0x4, 5, &headers),
        frame(3, 0, 5, &[0, 0, 0, 8]),
        frame(6, 0, 0, b"pingpong"),
        frame(7, 0, 0, &[0, 0, 0, 5, 0, 0, 0, 0]),
    ]
    .concat()
}

/// Sends the parts, answers what comes, and returns the requests' paths and bodies and how it ended.
fn run(h2: bool, parts: &[&[u8]]) -> (Vec<(String, Bytes)>, bool) {
    let now = Instant::now();
    let config = Config { body_bytes_max: 50, ..Config::default() };
    let mut machine = Machine::new(Arc::new(config), h2, now);
    let mut sink = Sink::Memory(Memory::default());
    let (mut requests, mut closed, mut open) = (Vec::new(), false, 0);
    for part in parts {
        machine.handle_input(now, Bytes::copy_from_slice(part));
        machine.advance(now, &mut sink);
        while let Some(event) = machine.poll_event() {
            assert!(!closed, "{event:?} after the end");
            match event {
                Event::Request(exchange, request) => {
                    open += 1;
                    requests.push((request.uri().path().to_owned(), request.into_body()));
                    let body = Body::Pieces([Bytes::from_static(b"hello")].into());
                    machine.respond(exchange, Response::new(()), body);
                    machine.advance(now, &mut sink);
                }
                Event::Written { .. } => open -= 1,
                Event::Closed(_) => closed = true,
                _ => {}
            }
        }
    }
    assert!(open == 0 || !closed, "{open} exchanges outlive their connection");
    (requests, closed)
}

#[test]
fn requests_are_the_same_wherever_they_are_cut() {
    for (h2, input) in [(false, REQUESTS.as_bytes().to_vec()), (true, frames())] {
        let whole = run(h2, &[&input]);
        assert_eq!(whole.0.len(), if h2 { 2 } else { 4 });
        assert!(whole.1 || h2);
        for cut in 0..input.len() {
            // A request that is reset may have been seen before that or not.
            let mut parts = run(h2, &[&input[..cut], &input[cut..]]).0;
            parts.sort();
            let mut expected = whole.0.clone();
            expected.sort();
            assert_eq!(parts, expected, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(run(h2, &bytes).0, whole.0);
    }
}

#[test]
fn damaged_input_does_no_harm() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize % bound
    };
    let telling = b"\r\n\0 :;,0f\x7f\xff\x80\x01\x05\x09";
    for (h2, input) in [(false, REQUESTS.as_bytes().to_vec()), (true, frames())] {
        for _ in 0..5_000 {
            let mut damaged = input.clone();
            for _ in 0..=random(4) {
                let at = random(damaged.len());
                match random(4) {
                    0 => damaged[at] = telling[random(telling.len())],
                    1 => damaged.insert(at, telling[random(telling.len())]),
                    2 => drop(damaged.remove(at)),
                    _ => {
                        let end = (at + random(40)).min(damaged.len());
                        let copy = damaged[at..end].to_vec();
                        damaged.splice(at..at, copy);
                    }
                }
            }
            let cut = random(damaged.len());
            run(h2, &[&damaged[..cut], &damaged[cut..]]);
        }
    }
}
