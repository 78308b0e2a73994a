//! Conversations of real clients and servers, as their bytes came over TCP, recorded with Debian 12's packages on
//! 2026-11-20: ffmpeg 5.1.9 (Lavf59.27.100), GStreamer 1.22.0, mpv 0.35.1. Files that end in `.bin` go on with interleaved
//! packets and stop inside one.

use crate::support::{Rng, decode, decode_in_pieces};
use bytes::BytesMut;
use headwater_protocols::rtsp::auth::Authorization;
use headwater_protocols::rtsp::decoder::Element;
use headwater_protocols::rtsp::range::Range;
use headwater_protocols::rtsp::transport::{Lower, Transport};
use headwater_protocols::sdp;
use headwater_protocols::track::Codec;

const ALL: [(&str, &[u8]); 11] = [
    ("ffmpeg-publish-tcp", include_bytes!("captures/ffmpeg-publish-tcp.bin")),
    ("ffmpeg-publish-basic", include_bytes!("captures/ffmpeg-publish-basic.bin")),
    ("ffmpeg-publish-md5", include_bytes!("captures/ffmpeg-publish-md5.bin")),
    ("ffmpeg-publish-qop", include_bytes!("captures/ffmpeg-publish-qop.bin")),
    ("ffmpeg-read-tcp", include_bytes!("captures/ffmpeg-read-tcp.txt")),
    ("ffmpeg-read-query", include_bytes!("captures/ffmpeg-read-query.txt")),
    ("ffmpeg-listen-answers", include_bytes!("captures/ffmpeg-listen-answers.txt")),
    ("gstreamer-publish-tcp", include_bytes!("captures/gstreamer-publish-tcp.bin")),
    ("gstreamer-read-tcp", include_bytes!("captures/gstreamer-read-tcp.txt")),
    ("gstreamer-read-digest", include_bytes!("captures/gstreamer-read-digest.txt")),
    ("mpv-read-tcp", include_bytes!("captures/mpv-read-tcp.txt")),
];

fn capture(name: &str) -> Vec<Element> {
    let (_, bytes) = ALL.iter().find(|(known, _)| *known == name).expect("a capture of that name");
    let (elements, end) = decode(bytes);
    end.unwrap_or_else(|error| panic!("{name}: {error}"));
    elements
}

/// `METHOD uri`, `status`, or `$channel`, consecutive equal lines counted once.
fn outline(elements: &[Element]) -> Vec<String> {
    let mut lines: Vec<String> = elements
        .iter()
        .map(|element| match element {
            Element::Request(request) => format!("{} {}", request.method.as_str(), request.uri),
            Element::Response(response) => response.status.0.to_string(),
            Element::Interleaved { channel, .. } => format!("${channel}"),
        })
        .collect();
    lines.dedup();
    lines
}

#[test]
fn ffmpeg_publishes() {
    let elements = capture("ffmpeg-publish-tcp");
    let lines = outline(&elements);
    assert_eq!(
        lines[..5],
        [
            "OPTIONS rtsp://127.0.0.1:8554/live/x",
            "ANNOUNCE rtsp://127.0.0.1:8554/live/x",
            "SETUP rtsp://127.0.0.1:8554/live/x/streamid=0",
            "SETUP rtsp://127.0.0.1:8554/live/x/streamid=1",
            "RECORD rtsp://127.0.0.1:8554/live/x",
        ]
    );
    assert!(lines[5..].iter().all(|line| ["$0", "$1", "$2", "$3"].contains(&line.as_str())), "{lines:?}");
    let packets = elements.iter().filter(|element| matches!(element, Element::Interleaved { .. })).count();
    assert_eq!(packets, 13, "whole packets in the capture");
    let Element::Request(announce) = &elements[1] else { panic!("ANNOUNCE") };
    assert_eq!(announce.headers.get("content-type"), Some("application/sdp"));
    assert_eq!((announce.cseq(), announce.session()), (Some(2), None));
    assert_eq!(announce.headers.get("Content-Length"), None, "the body says it");
    let tracks = sdp::tracks(&sdp::SessionDescription::parse(&announce.body).unwrap()).unwrap();
    let seen: Vec<_> =
        tracks.iter().map(|(t, c)| (&t.codec, t.clock_rate, t.channels, c.as_deref())).collect();
    assert_eq!(
        seen,
        [(&Codec::H264, 90_000, 0, Some("streamid=0")), (&Codec::Aac, 48_000, 1, Some("streamid=1"))]
    );
    let Element::Request(setup) = &elements[3] else { panic!("SETUP") };
    assert_eq!(setup.session(), Some("12345678"));
    let transport = &Transport::parse_list(setup.headers.get("Transport").unwrap()).unwrap()[0];
    assert_eq!(
        (transport.lower, transport.interleaved, transport.mode_record),
        (Lower::Tcp, Some((2, 3)), true)
    );
}

#[test]
fn gstreamer_publishes() {
    let elements = capture("gstreamer-publish-tcp");
    let Element::Request(announce) = &elements[1] else { panic!("ANNOUNCE") };
    let tracks = sdp::tracks(&sdp::SessionDescription::parse(&announce.body).unwrap()).unwrap();
    let seen: Vec<_> = tracks.iter().map(|(t, c)| (&t.codec, t.payload_type, c.as_deref())).collect();
    assert_eq!(
        seen,
        [(&Codec::AacLatm, 96, Some("stream=1")), (&Codec::H264, 99, Some("stream=0"))],
        "audio is announced first"
    );
    let Element::Request(setup) = &elements[2] else { panic!("SETUP") };
    assert_eq!(&*setup.uri, "rtsp://127.0.0.1:8554/live/x/stream=1");
    assert!(
        Transport::parse_list(setup.headers.get("Transport").unwrap()).unwrap()[0].mode_record,
        "mode=RECORD"
    );
}

#[test]
fn players_read() {
    let gstreamer = capture("gstreamer-read-tcp");
    let methods: Vec<&str> = gstreamer
        .iter()
        .map(|element| match element {
            Element::Request(request) => request.method.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(methods, ["OPTIONS", "DESCRIBE", "SETUP", "SETUP", "PLAY", "PAUSE", "TEARDOWN"]);
    let Element::Request(options) = &gstreamer[0] else { panic!("OPTIONS") };
    assert_eq!(options.headers.get_all("User-Agent").count(), 2, "rtspsrc poses as RealPlayer too");
    assert_eq!(options.headers.get("PlayerStarttime"), Some("[28/03/2003:22:50:23 00:00]"));
    let Element::Request(play) = &gstreamer[4] else { panic!("PLAY") };
    let range = Range::parse(play.headers.get("Range").unwrap()).unwrap();
    assert_eq!(range, Range::Npt { start: Some(0.0), end: None });

    assert_eq!(
        outline(&capture("mpv-read-tcp"))[1..4],
        [
            "DESCRIBE rtsp://127.0.0.1:8554/live/x",
            "SETUP rtsp://127.0.0.1:8554/live/x/trackID=0",
            "SETUP rtsp://127.0.0.1:8554/live/x/trackID=1"
        ]
    );
    // The control is appended behind the query; UDP is tried first, and TCP after 461.
    assert_eq!(
        outline(&capture("ffmpeg-read-query"))[2..4],
        [
            "SETUP rtsp://127.0.0.1:8554/live/x?user=a&pass=b/trackID=0",
            "SETUP rtsp://127.0.0.1:8554/live/x?user=a&pass=b/trackID=1"
        ]
    );
}

#[test]
fn ffmpeg_answers_as_a_server() {
    let elements = capture("ffmpeg-listen-answers");
    assert_eq!(outline(&elements), ["200", "501"]);
    let Element::Response(set_up) = &elements[3] else { panic!("answer to SETUP") };
    let transport = Transport::parse_list(set_up.headers.get("Transport").unwrap()).unwrap().remove(0);
    assert_eq!((transport.interleaved, transport.mode_record), (Some((2, 3)), true), "mode=receive");
    let Some(Element::Response(last)) = elements.last() else { panic!("answer to TEARDOWN") };
    assert_eq!(last.cseq(), None, "ffmpeg forgets it in errors");
}

#[test]
fn real_authorizations_verify() {
    for name in ["ffmpeg-publish-basic", "ffmpeg-publish-md5", "ffmpeg-publish-qop", "gstreamer-read-digest"]
    {
        let mut verified = 0;
        for element in capture(name) {
            let Element::Request(request) = element else { continue };
            let Some(value) = request.headers.get("Authorization") else { continue };
            let authorization = Authorization::parse(value).unwrap_or_else(|error| panic!("{name}: {error}"));
            let method = request.method.as_str();
            let check =
                |user, password, nonce| authorization.verify(method, nonce, "headwater", user, password);
            assert!(check("user", "p:a ss", "abcdef0123456789"), "{name}: {value}");
            assert!(!check("user", "p:a s", "abcdef0123456789"), "{name}: another password");
            assert!(!check("use", "p:a ss", "abcdef0123456789"), "{name}: another user");
            if name != "ffmpeg-publish-basic" {
                assert!(!check("user", "p:a ss", "abcdef012345678"), "{name}: another nonce");
            }
            verified += 1;
        }
        assert!(verified >= 3, "{name}: {verified} requests with Authorization");
    }
}

#[test]
fn any_chunking_gives_the_same_elements() {
    for (name, bytes) in ALL {
        let whole = decode(bytes);
        assert_eq!(decode_in_pieces(bytes, || 1), whole, "{name}, one byte at a time");
        for seed in 0..20 {
            let mut rng = Rng(seed);
            let longest = 1 + rng.below(3000);
            assert_eq!(decode_in_pieces(bytes, || 1 + rng.below(longest)), whole, "{name}, seed {seed}");
        }
    }
}

#[test]
fn written_messages_read_the_same() {
    for (name, bytes) in ALL {
        for element in decode(bytes).0 {
            let mut out = BytesMut::new();
            match &element {
                Element::Request(request) => request.write(&mut out),
                Element::Response(response) => response.write(&mut out),
                Element::Interleaved { .. } => continue,
            }
            assert_eq!(decode(&out), (vec![element], Ok(true)), "{name}");
        }
    }
}
