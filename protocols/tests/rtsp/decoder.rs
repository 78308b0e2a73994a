//! The splitter: leniency, malformed input, limits, and what it allocates.

use crate::support::{decode, decode_in_pieces, request, response};
use bytes::{Bytes, BytesMut};
use headwater_protocols::limits::{
    RTSP_BODY_BYTES_MAX, RTSP_HEADER_BYTES_MAX, RTSP_HEADERS_MAX, RTSP_LINE_BYTES_MAX,
};
use headwater_protocols::rtsp::decoder::{Decoder, Element};
use headwater_protocols::rtsp::error::{Error, Place};
use headwater_protocols::rtsp::message::{Headers, Method, Request, Response, Status};

/// (name, text, URI, CSeq, User-Agent).
type LenientRow = (&'static str, &'static str, &'static str, Option<u32>, Option<&'static str>);

/// What clients send that is not as the RFC has it.
const LENIENT: [LenientRow; 9] = [
    ("bare LF", "OPTIONS rtsp://h/a RTSP/1.0\nCSeq: 1\n\n", "rtsp://h/a", Some(1), None),
    ("mixed line ends", "OPTIONS rtsp://h/a RTSP/1.0\r\nCSeq: 1\n\r\n", "rtsp://h/a", Some(1), None),
    ("no space after the colon", "OPTIONS * RTSP/1.0\r\nCSeq:7\r\n\r\n", "*", Some(7), None),
    (
        "spaces around",
        "OPTIONS  *  RTSP/1.0\r\nCSeq \t:  7 \r\nUser-Agent:\ta b \r\n\r\n",
        "*",
        Some(7),
        Some("a b"),
    ),
    ("lower case", "OPTIONS * RTSP/1.0\r\ncseq: 7\r\nuser-agent: x\r\n\r\n", "*", Some(7), Some("x")),
    (
        "folded",
        "OPTIONS * RTSP/1.0\r\nCSeq: 7\r\nUser-Agent: a\r\n  b\r\n\tc\r\n\r\n",
        "*",
        Some(7),
        Some("a b c"),
    ),
    // The iCatch camera client (ICatchMedia, LIVE555 v2013.06.06) indents its first header.
    (
        "indented",
        "DESCRIBE rtsp://h/H264?W=1920 RTSP/1.0\r\n CSeq: 2\r\nUser-Agent: x\r\n\r\n",
        "rtsp://h/H264?W=1920",
        Some(2),
        Some("x"),
    ),
    (
        "URI with a space",
        "DESCRIBE rtsp://h/my cam RTSP/1.0\r\nCSeq: 2\r\n\r\n",
        "rtsp://h/my cam",
        Some(2),
        None,
    ),
    ("stray line ends before", "\r\n\n\r\nOPTIONS * RTSP/1.0\r\nCSeq: 3\r\n\r\n\r\n", "*", Some(3), None),
];

#[test]
fn careless_requests_are_read() {
    for (what, text, uri, cseq, agent) in LENIENT {
        let request = request(text);
        assert_eq!((&*request.uri, request.cseq()), (uri, cseq), "{what}");
        assert_eq!(request.headers.get("User-Agent"), agent, "{what}");
    }
}

#[test]
fn values_that_are_not_utf8_are_kept_lossily() {
    let (elements, _) = decode(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: \xB4\xF3\xBB\xAA\r\n\r\n");
    let [Element::Request(request)] = &elements[..] else { panic!("{elements:?}") };
    assert!(request.headers.get("User-Agent").unwrap().contains('\u{FFFD}'));
}

#[test]
fn answers_are_read() {
    // An Axis M-series camera's answer to PLAY (node module `media-stream-library`'s fixture of 2015).
    let axis = response(
        "RTSP/1.0 200 OK\r\nCSeq: 5\r\nRTP-Info: url=rtsp://192.168.0.3/axis-media/media.amp/stream=0?resolution=176x144&fps=1;seq=10176;rtptime=2419713327\r\nRange: npt=now-\r\nServer: GStreamer RTSP server\r\nSession: Bk48Ak7wjcWaAgRD; timeout=60\r\nDate: Wed, 03 Jun 2015 14:23:42 GMT\r\n\r\n",
    );
    assert_eq!((axis.status, axis.reason.as_deref(), axis.cseq()), (Status::OK, None, Some(5)));
    assert_eq!(axis.session(), Some("Bk48Ak7wjcWaAgRD"));
    assert_eq!(response("RTSP/1.0 200\r\nCSeq: 1\r\n\r\n").status, Status::OK);
    assert_eq!(response("RTSP/1.0 404 Stream Not Found\r\n\r\n").reason.as_deref(), Some("Stream Not Found"));
}

/// Rows of (input, kind, status, what).
#[test]
fn malformed_input_is_refused_by_its_fault() {
    let table: [(&[u8], &str, u16, &str); 21] = [
        (b"\x16\x03\x01\x02\x00\x01", "invalid", 400, "first byte of a message"),
        (b"\x00", "invalid", 400, "first byte of a message"),
        (b" OPTIONS * RTSP/1.0\r\n\r\n", "invalid", 400, "first byte of a message"),
        (b"OPTIONS\r\n\r\n", "invalid", 400, "request line"),
        (b"OPTIONS *\r\n\r\n", "invalid", 400, "request line"),
        (b"OPTIONS  RTSP/1.0\r\n\r\n", "invalid", 400, "request URI"),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "invalid", 400, "protocol name"),
        (b"OPTIONS * RTSP/2.0\r\nCSeq: 1\r\n\r\n", "unsupported", 505, "RTSP version"),
        (b"RTSP/2.0 200 OK\r\nCSeq: 1\r\n\r\n", "unsupported", 505, "RTSP version"),
        (b"OPT(ONS * RTSP/1.0\r\n\r\n", "invalid", 400, "method"),
        (b"OPTIONS a\0b RTSP/1.0\r\n\r\n", "invalid", 400, "control character in a start line"),
        (b"OPTIONS * RTSP/1.0\r\nCSeq\r\n\r\n", "invalid", 400, "header without a colon"),
        (b"OPTIONS * RTSP/1.0\r\n: 1\r\n\r\n", "invalid", 400, "header name"),
        (b"OPTIONS * RTSP/1.0\r\nC Seq: 1\r\n\r\n", "invalid", 400, "header name"),
        (b"OPTIONS * RTSP/1.0\r\nCSeq: 1\rX: y\r\n\r\n", "invalid", 400, "control character in a header"),
        (b"OPTIONS * RTSP/1.0\r\nCSeq: \0\r\n\r\n", "invalid", 400, "control character in a header"),
        (b"ANNOUNCE * RTSP/1.0\r\nContent-Length: -1\r\n\r\n", "invalid", 400, "Content-Length"),
        (b"ANNOUNCE * RTSP/1.0\r\nContent-Length: 0x5\r\n\r\n", "invalid", 400, "Content-Length"),
        (
            b"ANNOUNCE * RTSP/1.0\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "invalid",
            400,
            "Content-Length given twice",
        ),
        (b"RTSP/1.0 OK\r\n\r\n", "invalid", 400, "status code"),
        (b"RTSP/1.0 2000 OK\r\n\r\n", "invalid", 400, "status code"),
    ];
    for (input, kind, status, what) in table {
        let text = String::from_utf8_lossy(input);
        for pieces in [usize::MAX, 1] {
            let (_, end) = decode_in_pieces(input, || pieces);
            let error = end.expect_err(&text);
            assert_eq!((error.kind(), error.status()), (kind, Status(status)), "{text:?}: {error}");
            let (Error::Invalid { what: said, at } | Error::Unsupported { what: said, at, .. }) = error
            else {
                panic!("{text:?}: {error}")
            };
            assert_eq!(said, what, "{text:?}");
            assert_ne!(at, Place::Unknown, "{text:?}");
        }
    }
}

#[test]
fn limits_hold_at_both_sides() {
    let line = |length: usize| format!("OPTIONS {} RTSP/1.0\r\nCSeq: 1\r\n\r\n", "a".repeat(length - 19));
    let headers = |length: usize| format!("OPTIONS * RTSP/1.0\r\nX: {}\r\n\r\n", "a".repeat(length - 7));
    let count = |count: usize| format!("OPTIONS * RTSP/1.0\r\n{}\r\n", "X: y\r\n".repeat(count));
    let body = |length: &str| format!("ANNOUNCE * RTSP/1.0\r\nContent-Length: {length}\r\n\r\n");
    let rows: [(&str, String, String, usize, u16); 4] = [
        (
            "bytes of a start line",
            line(RTSP_LINE_BYTES_MAX),
            line(RTSP_LINE_BYTES_MAX + 1),
            RTSP_LINE_BYTES_MAX,
            414,
        ),
        (
            "bytes of headers",
            headers(RTSP_HEADER_BYTES_MAX),
            headers(RTSP_HEADER_BYTES_MAX + 1),
            RTSP_HEADER_BYTES_MAX,
            400,
        ),
        ("headers of a message", count(RTSP_HEADERS_MAX), count(RTSP_HEADERS_MAX + 1), RTSP_HEADERS_MAX, 400),
        (
            "bytes of a body",
            body(&RTSP_BODY_BYTES_MAX.to_string()) + &"b".repeat(RTSP_BODY_BYTES_MAX),
            body(&(RTSP_BODY_BYTES_MAX + 1).to_string()),
            RTSP_BODY_BYTES_MAX,
            413,
        ),
    ];
    for (name, within, beyond, limit, status) in rows {
        let (elements, end) = decode(within.as_bytes());
        assert_eq!((elements.len(), end), (1, Ok(true)), "{name}: at the limit");
        for pieces in [usize::MAX, 1] {
            let (elements, end) = decode_in_pieces(beyond.as_bytes(), || pieces);
            let error = end.expect_err(name);
            assert!(elements.is_empty());
            assert_eq!(error.status(), Status(status), "{name}");
            assert!(
                matches!(error, Error::Limit { what, max, .. } if what == name && max == limit),
                "{name}: {error}"
            );
        }
    }
    let (_, end) = decode(body("99999999999999999999999999").as_bytes());
    assert_eq!(end.expect_err("a number past usize").status(), Status::REQUEST_ENTITY_TOO_LARGE);
}

#[test]
fn endless_lines_end_before_they_are_stored() {
    let mut decoder = Decoder::new();
    let mut taken = 0;
    let error = loop {
        let mut input = Bytes::from_static(&[b'A'; 1000]);
        taken += input.len();
        match decoder.decode(&mut input) {
            Ok(None) => assert!(taken < 10 * RTSP_LINE_BYTES_MAX),
            Ok(Some(element)) => panic!("{element:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.status(), Status::REQUEST_URI_TOO_LONG);
    assert!(taken <= RTSP_LINE_BYTES_MAX + 1000);
}

#[test]
fn whole_payloads_are_slices_of_the_input() {
    let mut bytes = BytesMut::new();
    for packet in 0..5u8 {
        bytes.extend_from_slice(&[b'$', packet, 0, 3, packet, packet, packet]);
    }
    bytes.extend_from_slice(b"ANNOUNCE * RTSP/1.0\r\nContent-Length: 3\r\n\r\nabc");
    let mut input = bytes.freeze();
    let range = input.as_ptr_range();
    let mut decoder = Decoder::new();
    let mut seen = 0;
    while let Some(element) = decoder.decode(&mut input).unwrap() {
        let payload = match element {
            Element::Interleaved { channel, payload } => {
                assert_eq!(payload, vec![channel; 3]);
                payload
            }
            Element::Request(request) => request.body,
            Element::Response(response) => panic!("{response:?}"),
        };
        assert!(range.contains(&payload.as_ptr()), "not copied");
        seen += 1;
    }
    assert_eq!(seen, 6);
}

#[test]
fn packets_of_every_length_survive_every_split() {
    for length in [0, 1, 3, 1500, 2044, 2045, 5000, 65_535] {
        let mut bytes = vec![b'$', 9];
        bytes.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        bytes.extend((0..length).map(|i| i as u8));
        bytes.extend_from_slice(b"OPTIONS * RTSP/1.0\r\n\r\n");
        for split in [1, 2, 3, 4, 5, 1000, 4096] {
            let (elements, end) = decode_in_pieces(&bytes, || split);
            assert_eq!((elements.len(), end), (2, Ok(true)), "{length} bytes in pieces of {split}");
            let Element::Interleaved { channel: 9, payload } = &elements[0] else { panic!("{elements:?}") };
            assert_eq!(payload[..], bytes[4..4 + length]);
        }
    }
}

#[test]
fn what_is_written_cannot_hold_another_header() {
    let mut headers = Headers::new();
    headers.push("Location", "rtsp://h/\r\nSession: stolen\n\n");
    let mut out = BytesMut::new();
    Response { status: Status::OK, reason: Some("O\r\nK".into()), headers, body: Bytes::new() }
        .write(&mut out);
    let (elements, _) = decode(&out);
    let [Element::Response(read)] = &elements[..] else { panic!("{elements:?}") };
    assert_eq!(read.headers.len(), 1);
    assert_eq!(read.headers.get("Session"), None);
}

#[test]
fn headers_are_set_and_removed_without_case() {
    let mut request = Request::new(Method::Options, "*").header("A", "1").header("b", "2").header("a", "3");
    assert_eq!(request.headers.get_all("A").collect::<Vec<_>>(), ["1", "3"]);
    request.headers.set("a", "4");
    request.headers.set("c", "5");
    let all: Vec<_> = request.headers.iter().collect();
    assert_eq!(all, [("A", "4"), ("b", "2"), ("c", "5")]);
    request.headers.remove("B");
    assert_eq!(request.headers.len(), 2);
}

#[test]
fn methods_are_case_sensitive() {
    for name in [
        "OPTIONS",
        "ANNOUNCE",
        "DESCRIBE",
        "SETUP",
        "PLAY",
        "PAUSE",
        "RECORD",
        "TEARDOWN",
        "GET_PARAMETER",
        "SET_PARAMETER",
        "REDIRECT",
    ] {
        assert_eq!(Method::parse(name).as_str(), name);
        assert!(!matches!(Method::parse(name), Method::Other(_)));
        assert_eq!(Method::parse(&name.to_lowercase()), Method::Other(name.to_lowercase().into()));
    }
}
