//! The client against scripted servers: what exactly it sends, and what it makes of answers that cameras give.

use crate::support::decode;
use bytes::Bytes;
use headwater_protocols::rtsp::auth::Authorization;
use headwater_protocols::rtsp::client::{Client, ClientTransport, Config, Event, Goal};
use headwater_protocols::rtsp::decoder::Element;
use headwater_protocols::rtsp::message::Request;
use std::time::{Duration, Instant};

fn client(url: &str, goal: Goal, now: Instant) -> Client {
    let transport = ClientTransport::Tcp;
    Client::new(Config { url: url.into(), goal, transport, user_agent: "hw".into(), credentials: None }, now)
        .unwrap()
}

/// What the client sends, as text.
fn sent(client: &mut Client) -> String {
    String::from_utf8(client.poll_transmit().unwrap_or_default().to_vec()).unwrap()
}

/// The one request the client sends.
fn request(client: &mut Client) -> Request {
    match decode(sent(client).as_bytes()) {
        (mut elements, Ok(true)) if elements.len() == 1 => match elements.remove(0) {
            Element::Request(request) => request,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn events(client: &mut Client) -> Vec<Event> {
    std::iter::from_fn(|| client.poll_event()).collect()
}

fn answer(client: &mut Client, now: Instant, text: &str) -> Vec<Event> {
    client.handle_input(now, Bytes::copy_from_slice(text.as_bytes()));
    events(client)
}

fn described(cseq: u32, headers: &str, sdp: &str) -> String {
    format!("RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n{headers}Content-Length: {}\r\n\r\n{sdp}", sdp.len())
}

/// The URLs of the SETUPs and of PLAY, when DESCRIBE is answered so.
fn urls(headers: &str, sdp: &str) -> Vec<String> {
    let now = Instant::now();
    let mut client = client("rtsp://h:8554/cam?x=1", Goal::Play, now);
    let _ = sent(&mut client);
    answer(&mut client, now, "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n");
    let _ = sent(&mut client);
    answer(&mut client, now, &described(2, headers, sdp));
    let mut urls = Vec::new();
    for cseq in 3.. {
        let request = request(&mut client);
        urls.push(request.uri.to_string());
        if request.method.as_str() == "PLAY" {
            return urls;
        }
        let text = format!(
            "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nSession: 1\r\nTransport: RTP/AVP/TCP;unicast\r\n\r\n"
        );
        let events = answer(&mut client, now, &text);
        assert!(
            matches!(&events[..], [Event::SetUp { transport, .. }] if transport.interleaved.is_some()),
            "as asked"
        );
    }
    unreachable!("PLAY comes at last")
}

const TWO: &str =
    "v=0\na=control:*\nm=video 0 RTP/AVP 96\na=control:trackID=0\nm=audio 0 RTP/AVP 8\na=control:trackID=1\n";

#[test]
fn controls_are_resolved_against_the_base() {
    let rows: [(&str, &str, &[&str]); 7] = [
        (
            "",
            TWO,
            &["rtsp://h:8554/cam?x=1/trackID=0", "rtsp://h:8554/cam?x=1/trackID=1", "rtsp://h:8554/cam?x=1"],
        ),
        // Dahua: the request URI with a slash.
        (
            "Content-Base: rtsp://h:8554/cam?x=1/\r\n",
            TWO,
            &["rtsp://h:8554/cam?x=1/trackID=0", "rtsp://h:8554/cam?x=1/trackID=1", "rtsp://h:8554/cam?x=1/"],
        ),
        (
            "Content-Location: rtsp://o/y\r\n",
            TWO,
            &["rtsp://o/y/trackID=0", "rtsp://o/y/trackID=1", "rtsp://o/y"],
        ),
        // RootEncoder's server gives an address without scheme; others give nothing.
        (
            "Content-Base: 192.168.1.5:1935/\r\n",
            TWO,
            &["rtsp://h:8554/cam?x=1/trackID=0", "rtsp://h:8554/cam?x=1/trackID=1", "rtsp://h:8554/cam?x=1"],
        ),
        ("Content-Base: \r\n", "m=video 0 RTP/AVP 96\n", &["rtsp://h:8554/cam?x=1", "rtsp://h:8554/cam?x=1"]),
        // Axis: absolute, for the session too.
        (
            "Content-Base: rtsp://h/axis-media/media.amp/\r\n",
            "a=control:rtsp://h/axis-media/media.amp?a=b\nm=video 0 RTP/AVP 96\na=control:rtsp://h/axis-media/media.amp/stream=0?a=b\n",
            &["rtsp://h/axis-media/media.amp/stream=0?a=b", "rtsp://h/axis-media/media.amp?a=b"],
        ),
        // An ONVIF back channel and a section that is not RTP are not set up.
        (
            "",
            "m=video 0 RTP/AVP 96\na=control:v\nm=audio 0 RTP/AVP 0\na=control:b\na=sendonly\nm=text 0 TCP 1\na=control:t\nm=application 0 RTP/AVP 107\na=control:m\n",
            &["rtsp://h:8554/cam?x=1/v", "rtsp://h:8554/cam?x=1/m", "rtsp://h:8554/cam?x=1"],
        ),
    ];
    for (headers, sdp, expected) in rows {
        assert_eq!(urls(headers, sdp), expected, "{headers}{sdp}");
    }
}

/// A Hikvision camera: Digest at DESCRIBE, lower-case methods nowhere, a session that lasts 60 s.
#[test]
fn a_camera_is_played() {
    let now = Instant::now();
    let mut client = client("rtsp://admin:a%3ab+%zz%+f@10.0.0.2:554/Streaming/Channels/101", Goal::Play, now);
    let url = "rtsp://10.0.0.2:554/Streaming/Channels/101";
    assert_eq!(sent(&mut client), format!("OPTIONS {url} RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: hw\r\n\r\n"));
    let options = "RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: OPTIONS, DESCRIBE, PLAY, PAUSE, SETUP, TEARDOWN, SET_PARAMETER, GET_PARAMETER\r\nDate:  Mon, Jan 29 2018 16:56:47 GMT\r\n\r\n";
    assert_eq!(answer(&mut client, now, options), []);
    let describe = |cseq, more: &str| {
        format!(
            "DESCRIBE {url} RTSP/1.0\r\nCSeq: {cseq}\r\nUser-Agent: hw\r\n{more}Accept: application/sdp\r\n\r\n"
        )
    };
    assert_eq!(sent(&mut client), describe(2, ""));
    let refused = "RTSP/1.0 401 Unauthorized\r\nCSeq: 2\r\nWWW-Authenticate: Digest realm=\"4419b66d2485\", nonce=\"a0ecd9b1586ff9461f02f910035d0486\", stale=\"FALSE\"\r\nWWW-Authenticate: Basic realm=\"4419b66d2485\"\r\n\r\n";
    assert_eq!(answer(&mut client, now, refused), []);
    let authorized = request(&mut client);
    let value = authorized.headers.get("Authorization").unwrap();
    let authorization = Authorization::parse(value).unwrap();
    let nonce = "a0ecd9b1586ff9461f02f910035d0486";
    assert!(
        authorization.verify("DESCRIBE", nonce, "4419b66d2485", "admin", "a:b+%zz%+f"),
        "decoded once, as far as it goes"
    );
    assert!(value.contains(&format!("uri=\"{url}\"")));
    // 100 Continue, an answer to nothing, and one without CSeq.
    assert_eq!(
        answer(
            &mut client,
            now,
            "RTSP/1.0 100 Continue\r\nCSeq: 3\r\n\r\nRTSP/1.0 500 X\r\nCSeq: 99\r\n\r\n"
        ),
        []
    );
    let sdp = "v=0\r\ns=Media Presentation\r\nm=video 0 RTP/AVP 96\r\na=control:trackID=1\r\na=rtpmap:96 H264/90000\r\n";
    let answered = described(3, "Content-Type: application/sdp\r\n", sdp).replace("CSeq: 3\r\n", "");
    assert!(matches!(&answer(&mut client, now, &answered)[..], [Event::Described { .. }]));
    let set_up = request(&mut client);
    assert_eq!(&*set_up.uri, format!("{url}/trackID=1"));
    assert_eq!(set_up.headers.get("Transport"), Some("RTP/AVP/TCP;unicast;interleaved=0-1"));
    assert!(set_up.headers.get("Authorization").is_some());
    let answered = "RTSP/1.0 200 OK\r\nCSeq: 4\r\nSession:       1273222592;timeout=60\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=71e2a2fa;mode=\"play\"\r\n\r\n";
    assert!(matches!(&answer(&mut client, now, answered)[..], [Event::SetUp { track: 0, .. }]));
    assert_eq!(request(&mut client).session(), Some("1273222592"));
    // The first packet overtakes the answer to PLAY.
    let playing = answer(
        &mut client,
        now,
        "$\0\0\u{2}ab\
        RTSP/1.0 200 OK\r\nCSeq: 5\r\nSession: 1273222592\r\nRTP-Info: url=trackID=1;seq=1;rtptime=2\r\n\r\n",
    );
    assert!(
        matches!(&playing[..], [Event::Interleaved { channel: 0, .. }, Event::Playing { .. }]),
        "{playing:?}"
    );
    let due = now + Duration::from_secs(30);
    assert_eq!(client.poll_timeout(), Some(due), "half of the session's time");
    client.handle_timeout(due);
    assert_eq!(request(&mut client).method.as_str(), "GET_PARAMETER");
}

/// A keep-alive that is late is not doubled; a timeout of nothing does not make the client storm.
#[test]
fn keep_alives_are_never_a_storm() {
    let now = Instant::now();
    let mut client = client("rtsp://h/x", Goal::Play, now);
    for text in [
        "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n".to_owned(),
        described(2, "", "m=video 0 RTP/AVP 96\n"),
        "RTSP/1.0 200 OK\r\nCSeq: 3\r\nSession: 1;timeout=0\r\nTransport: RTP/AVP/TCP\r\n\r\n".to_owned(),
        "RTSP/1.0 200 OK\r\nCSeq: 4\r\n\r\n".to_owned(),
    ] {
        let _ = sent(&mut client);
        assert!(!answer(&mut client, now, &text).contains(&Event::Closed(None)));
    }
    assert_eq!(client.poll_timeout(), Some(now + Duration::from_secs(1)));
    client.handle_timeout(now + Duration::from_secs(1));
    assert_eq!(request(&mut client).method.as_str(), "OPTIONS");
    client.handle_timeout(now + Duration::from_secs(2));
    assert_eq!(sent(&mut client), "", "the first is still unanswered");
}

/// Tracks of a publisher without controls get URLs of their own.
#[test]
fn tracks_without_control_are_published() {
    let now = Instant::now();
    let sdp = Bytes::from_static(b"m=video 0 RTP/AVP 96\na=sendonly\nm=audio 0 RTP/AVP 0\n");
    let mut client = client("rtsp://h/x", Goal::Publish { sdp }, now);
    let mut seen = Vec::new();
    for text in [
        "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n",
        // gst-rtsp-server opens the session here.
        "RTSP/1.0 200 OK\r\nCSeq: 2\r\nSession: 7;timeout=30\r\n\r\n",
        "RTSP/1.0 200 OK\r\nCSeq: 3\r\nTransport: RTP/AVP/TCP\r\n\r\n",
        "RTSP/1.0 200 OK\r\nCSeq: 4\r\nTransport: RTP/AVP/TCP\r\n\r\n",
        "RTSP/1.0 200 OK\r\nCSeq: 5\r\n\r\n",
    ] {
        let request = request(&mut client);
        seen.push(format!(
            "{} {} {}",
            request.method.as_str(),
            request.uri,
            request.session().unwrap_or("-")
        ));
        answer(&mut client, now, text);
    }
    let expected = [
        "OPTIONS rtsp://h/x -",
        "ANNOUNCE rtsp://h/x -",
        "SETUP rtsp://h/x/trackID=0 7",
        "SETUP rtsp://h/x/trackID=1 7",
        "RECORD rtsp://h/x 7",
    ];
    assert_eq!(seen, expected);
    assert_eq!(client.poll_timeout(), Some(now + Duration::from_secs(15)));
}
