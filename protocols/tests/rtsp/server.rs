//! The connection of a server: order of answers, pipelining, timeouts, faults, and its size.

use bytes::Bytes;
use headwater_protocols::limits::RTSP_PIPELINE_MAX;
use headwater_protocols::rtsp::decoder::Element;
use headwater_protocols::rtsp::error::Error;
use headwater_protocols::rtsp::message::{Method, Response, Status};
use headwater_protocols::rtsp::server::{Config, Event, Server};
use std::sync::Arc;
use std::time::{Duration, Instant};

const IDLE: Duration = Duration::from_secs(60);

fn server(now: Instant) -> Server {
    Server::new(Arc::new(Config { server_header: "headwater".into(), idle_timeout: IDLE }), now)
}

fn options(cseq: usize) -> String {
    format!("OPTIONS * RTSP/1.0\r\nCSeq: {cseq}\r\n\r\n")
}

fn responses(server: &mut Server) -> Vec<Response> {
    let bytes = server.poll_transmit().unwrap_or_default();
    let (elements, end) = crate::support::decode(&bytes);
    assert_eq!(end, Ok(true));
    let response = |element| match element {
        Element::Response(response) => response,
        other => panic!("{other:?}"),
    };
    elements.into_iter().map(response).collect()
}

fn next_request(server: &mut Server) -> Option<u32> {
    match server.poll_event() {
        Some(Event::Request(request)) => request.cseq(),
        None => None,
        Some(other) => panic!("{other:?}"),
    }
}

#[test]
fn an_idle_server_is_small() {
    assert!(size_of::<Server>() <= 300, "{} bytes", size_of::<Server>());
}

#[test]
fn answers_carry_cseq_and_server() {
    let now = Instant::now();
    let mut server = server(now);
    server.handle_input(now, options(41).into());
    assert_eq!(next_request(&mut server), Some(41));
    server.respond(Response::new(Status::OK).header("CSeq", "9").header("Public", "OPTIONS"));
    let answers = responses(&mut server);
    assert_eq!(answers.len(), 1);
    let headers: Vec<_> = answers[0].headers.iter().collect();
    assert_eq!(headers, [("CSeq", "41"), ("Server", "headwater"), ("Public", "OPTIONS")]);
    assert_eq!(server.poll_transmit(), None);
}

#[test]
fn pipelined_requests_come_one_by_one_and_packets_pass() {
    let now = Instant::now();
    let mut server = server(now);
    let mut input = Vec::new();
    for cseq in 1..=3 {
        input.extend_from_slice(options(cseq).as_bytes());
        input.extend_from_slice(&[b'$', cseq as u8, 0, 1, 0xAA]);
    }
    server.handle_input(now, input.into());
    assert_eq!(next_request(&mut server), Some(1));
    for channel in 1..=3 {
        let payload = Bytes::from_static(&[0xAA]);
        assert_eq!(
            server.poll_event(),
            Some(Event::Interleaved { channel, payload }),
            "while a request is outstanding"
        );
    }
    assert_eq!(server.poll_event(), None);
    for cseq in 1..=3 {
        server.respond(Response::new(Status::OK));
        assert_eq!(responses(&mut server)[0].cseq(), Some(cseq));
        assert_eq!(next_request(&mut server), (cseq < 3).then_some(cseq + 1));
    }
}

#[test]
fn a_request_without_cseq_is_answered_in_its_turn() {
    let now = Instant::now();
    let mut server = server(now);
    let input = format!(
        "{}OPTIONS * RTSP/1.0\r\n\r\nOPTIONS * RTSP/1.0\r\nCSeq: x\r\n\r\n{}",
        options(1),
        options(2)
    );
    server.handle_input(now, input.into());
    assert_eq!(next_request(&mut server), Some(1));
    assert_eq!(next_request(&mut server), None);
    assert!(responses(&mut server).is_empty(), "the first answer is not given yet");
    server.respond(Response::new(Status::OK));
    assert_eq!(next_request(&mut server), Some(2), "the connection goes on");
    server.respond(Response::new(Status::OK));
    let statuses: Vec<_> = responses(&mut server).iter().map(|r| (r.status.0, r.cseq())).collect();
    assert_eq!(statuses, [(200, Some(1)), (400, None), (400, None), (200, Some(2))]);
    assert!(!server.close_after_transmit());
}

#[test]
fn too_many_pipelined_requests_close() {
    let now = Instant::now();
    let feed = |count: usize| {
        let mut server = server(now);
        server.handle_input(now, (1..=count).map(options).collect::<String>().into());
        let mut answered = 0;
        loop {
            match server.poll_event() {
                Some(Event::Request(_)) => {
                    // Everything is decoded before the first answer.
                    assert_eq!(server.poll_event(), None);
                    server.respond(Response::new(Status::OK));
                    answered += 1;
                }
                Some(Event::Closed(error)) => return (answered, error),
                None => return (answered, None),
                Some(other) => panic!("{other:?}"),
            }
        }
    };
    assert_eq!(
        feed(1 + RTSP_PIPELINE_MAX),
        (1 + RTSP_PIPELINE_MAX, None),
        "one outstanding, the others wait"
    );
    let (answered, error) = feed(2 + RTSP_PIPELINE_MAX);
    assert_eq!(answered, 1 + RTSP_PIPELINE_MAX, "those before are answered");
    assert!(matches!(error, Some(Error::Limit { max: RTSP_PIPELINE_MAX, .. })), "{error:?}");
}

#[test]
fn faults_are_answered_after_what_is_due() {
    let now = Instant::now();
    let mut server = server(now);
    let input = format!("{}OPTIONS * RTSP/3.0\r\nCSeq: 8\r\n\r\n{}", options(7), options(9));
    server.handle_input(now, input.into());
    assert_eq!(next_request(&mut server), Some(7));
    assert_eq!(server.poll_event(), None);
    assert!(!server.close_after_transmit());
    server.respond(Response::new(Status::OK));
    let Some(Event::Closed(Some(error))) = server.poll_event() else { panic!("closed") };
    assert_eq!(error.kind(), "unsupported");
    assert!(server.close_after_transmit());
    assert_eq!(server.poll_event(), None, "Closed is the last event");
    let statuses: Vec<_> = responses(&mut server).iter().map(|r| (r.status.0, r.cseq())).collect();
    assert_eq!(statuses, [(200, Some(7)), (505, Some(8))]);
    server.handle_input(now, options(10).into());
    assert_eq!((server.poll_event(), server.poll_transmit(), server.poll_timeout()), (None, None, None));
}

#[test]
fn other_protocols_get_400() {
    let now = Instant::now();
    for input in ["GET / HTTP/1.1\r\nHost: h\r\n\r\n", "\u{16}\u{3}\u{1}"] {
        let mut server = server(now);
        server.handle_input(now, input.into());
        assert!(matches!(server.poll_event(), Some(Event::Closed(Some(Error::Invalid { .. })))));
        assert_eq!(responses(&mut server)[0].status, Status::BAD_REQUEST);
        assert!(server.close_after_transmit());
    }
}

#[test]
fn silence_ends_a_connection_without_a_session() {
    let start = Instant::now();
    let mut server = server(start);
    assert_eq!(server.poll_timeout(), Some(start + IDLE));
    // Half a request is no sign of life.
    server.handle_input(start + Duration::from_secs(50), "OPTIONS".into());
    assert_eq!(server.poll_event(), None);
    assert_eq!(server.poll_timeout(), Some(start + IDLE));
    server.handle_timeout(start + IDLE - Duration::from_millis(1));
    assert_eq!(server.poll_event(), None);
    server.handle_timeout(start + IDLE);
    let Some(Event::Closed(Some(error))) = server.poll_event() else { panic!("closed") };
    assert_eq!((error.kind(), error.status()), ("limit", Status::REQUEST_TIMEOUT));
    assert_eq!(responses(&mut server)[0].status, Status::REQUEST_TIMEOUT);
    assert!(server.close_after_transmit());
    assert_eq!(server.poll_timeout(), None);
}

#[test]
fn whole_messages_sessions_and_slow_answers_keep_it_alive() {
    let start = Instant::now();
    let mut server = server(start);
    let later = start + Duration::from_secs(50);
    server.handle_input(later, options(1).into());
    assert_eq!(next_request(&mut server), Some(1));
    // The caller takes its time: 100 s for an on-demand source.
    server.handle_timeout(later + IDLE);
    assert_eq!(server.poll_event(), None);
    server.handle_timeout(later + Duration::from_secs(100));
    server.respond(Response::new(Status::OK));
    assert_eq!(server.poll_timeout(), Some(later + Duration::from_secs(160)), "counted from the answer");
    server.set_attached(true);
    assert_eq!(server.poll_timeout(), None);
    server.handle_timeout(later + Duration::from_secs(10_000));
    assert_eq!(server.poll_event(), None);
    server.set_attached(false);
    assert_eq!(server.poll_timeout(), Some(later + Duration::from_secs(10_060)));
}

#[test]
fn packets_and_refused_requests_are_signs_of_life() {
    let start = Instant::now();
    let later = start + Duration::from_secs(50);
    for input in ["$\0\0\u{1}x", "RTSP/1.0 200 OK\r\n\r\n", "OPTIONS * RTSP/1.0\r\n\r\n"] {
        let mut server = server(start);
        server.handle_input(later, input.into());
        while server.poll_event().is_some() {}
        assert_eq!(server.poll_timeout(), Some(later + IDLE), "{input:?}");
    }
}

#[test]
fn the_end_is_told_once() {
    let now = Instant::now();
    let mut clean = server(now);
    clean.handle_input(now, options(1).into());
    clean.handle_eof();
    assert_eq!(next_request(&mut clean), Some(1), "what came before the end is not lost");
    assert_eq!(clean.poll_event(), None, "and is answered first");
    clean.respond(Response::new(Status::OK));
    assert_eq!(clean.poll_event(), Some(Event::Closed(None)));
    assert_eq!(clean.poll_event(), None);

    let mut broken = server(now);
    broken.handle_input(now, "OPTIONS * RTSP/1.0\r\n".into());
    broken.handle_eof();
    assert!(matches!(broken.poll_event(), Some(Event::Closed(Some(Error::Invalid { .. })))));
}

#[test]
fn input_that_was_not_drained_is_kept_in_order() {
    let now = Instant::now();
    let mut server = server(now);
    let text = options(1) + &options(2);
    let (first, second) = text.split_at(options(1).len() + 5);
    server.handle_input(now, first.to_owned().into());
    server.handle_input(now, second.to_owned().into());
    assert_eq!(next_request(&mut server), Some(1));
    server.respond(Response::new(Status::OK));
    assert_eq!(next_request(&mut server), Some(2));
}

#[test]
fn answers_of_the_client_are_events() {
    let now = Instant::now();
    let mut server = server(now);
    server.handle_input(now, "RTSP/1.0 200 OK\r\nCSeq: 3\r\n\r\n".into());
    assert!(matches!(server.poll_event(), Some(Event::Response(response)) if response.cseq() == Some(3)));
    let unknown = "FROBNICATE * RTSP/1.0\r\nCSeq: 4\r\n\r\n";
    server.handle_input(now, unknown.into());
    let Some(Event::Request(request)) = server.poll_event() else { panic!("request") };
    assert_eq!(request.method, Method::Other("FROBNICATE".into()));
}
