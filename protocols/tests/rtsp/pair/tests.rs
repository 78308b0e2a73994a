//! Whole conversations.

use super::{Pair, Rules, packet, tracks};
use bytes::{Bytes, BytesMut};
use headwater_protocols::rtsp::auth::{Algorithm, Challenge, Scheme};
use headwater_protocols::rtsp::client::{Client, ClientTransport, Config, Event, Goal};
use headwater_protocols::rtsp::error::Error;
use headwater_protocols::rtsp::message::{Method, Request, Response, Status};
use headwater_protocols::rtsp::rtp_info::RtpInfo;
use headwater_protocols::sdp;
use std::time::{Duration, Instant};

const URL: &str = "rtsp://user:p%20w@h:8554/live/x?a=b";

fn config(goal: Goal) -> Config {
    Config {
        url: URL.to_owned(),
        goal,
        transport: ClientTransport::Tcp,
        user_agent: "pair".to_owned(),
        credentials: None,
    }
}

fn publish() -> Goal {
    Goal::Publish { sdp: sdp::describe("x", &tracks()).into() }
}

fn outline(events: &[Event]) -> Vec<String> {
    let name = |event: &Event| match event {
        Event::Described { sdp } => format!("described {}", sdp.media.len()),
        Event::SetUp { track, transport } => format!("set up {track} {}", transport.write()),
        Event::Playing { rtp_info } => format!("playing {}", RtpInfo::write_list(rtp_info)),
        Event::Recording => "recording".to_owned(),
        Event::Interleaved { .. } => "interleaved".to_owned(),
        Event::Redirected { location } => format!("redirected {location}"),
        Event::Failed { status, method } => format!("failed {} {}", status.0, method.as_str()),
        Event::Closed(None) => "closed".to_owned(),
        Event::Closed(Some(error)) => format!("closed {}", error.kind()),
    };
    events.iter().map(name).collect()
}

const PLAYED: [&str; 4] = [
    "described 2",
    "set up 0 RTP/AVP/TCP;unicast;interleaved=0-1",
    "set up 1 RTP/AVP/TCP;unicast;interleaved=2-3",
    "playing url=t1;seq=1;rtptime=7,url=t2;seq=2;rtptime=7",
];

#[test]
fn a_player_gets_every_packet_and_stays_alive() {
    for seed in 0..30 {
        let mut pair = Pair::new(seed, config(Goal::Play), Rules::default());
        pair.run(61);
        assert_eq!(outline(&pair.events), PLAYED, "seed {seed}");
        let begin = ["OPTIONS", "DESCRIBE", "SETUP", "SETUP", "PLAY"];
        assert_eq!(pair.methods()[..5], begin, "seed {seed}");
        // The session lasts 10 s, so a keep-alive goes out every 5 s.
        let kept_alive = &pair.server.requests[4..];
        assert!(
            kept_alive[1..].iter().all(|(method, _)| *method == Method::GetParameter),
            "{:?}",
            pair.methods()
        );
        assert!((11..=13).contains(&kept_alive.len()), "seed {seed}: {}", kept_alive.len());
        for pair in kept_alive.windows(2) {
            assert!(pair[1].1 - pair[0].1 < Duration::from_secs(6), "seed {seed}");
        }
        pair.client.teardown();
        pair.run(1);
        assert_eq!(pair.methods().last(), Some(&"TEARDOWN"));
        assert_eq!(outline(&pair.events)[4..], ["closed"], "seed {seed}");
        assert!(pair.received.len() > 1500, "seed {seed}: {}", pair.received.len());
        let expected: Vec<_> = (0..).map(packet).take(pair.received.len()).collect();
        assert_eq!(pair.received, expected, "seed {seed}");
        assert_eq!(pair.client.poll_timeout(), None);
    }
}

#[test]
fn a_publisher_gets_every_packet_through() {
    for seed in 0..30 {
        let mut pair = Pair::new(seed, config(publish()), Rules::default());
        pair.run(61);
        let expected = [
            "set up 0 RTP/AVP/TCP;unicast;interleaved=0-1;mode=record",
            "set up 1 RTP/AVP/TCP;unicast;interleaved=2-3;mode=record",
            "recording",
        ];
        assert_eq!(outline(&pair.events), expected, "seed {seed}");
        assert_eq!(pair.methods()[..5], ["OPTIONS", "ANNOUNCE", "SETUP", "SETUP", "RECORD"]);
        assert!(pair.methods()[5..].iter().all(|method| *method == "GET_PARAMETER"));
        assert!(pair.server.packets.len() > 1500, "seed {seed}");
        let expected: Vec<_> = (0..).map(packet).take(pair.server.packets.len()).collect();
        assert_eq!(pair.server.packets, expected, "seed {seed}");
        assert_eq!(pair.server.tracks, tracks());
        assert_eq!(pair.server.closed, None);
    }
}

#[test]
fn udp_ports_are_exchanged() {
    let transport = ClientTransport::Udp { ports: vec![(5000, 5001), (5002, 5003)] };
    let mut pair = Pair::new(1, Config { transport, ..config(Goal::Play) }, Rules::default());
    pair.run(1);
    let expected = "set up 1 RTP/AVP;unicast;client_port=5002-5003;server_port=8000-8001";
    assert_eq!(outline(&pair.events)[2], expected);
    let transport = ClientTransport::Udp { ports: vec![(5000, 5001)] };
    let mut pair = Pair::new(1, Config { transport, ..config(Goal::Play) }, Rules::default());
    pair.run(1);
    assert_eq!(outline(&pair.events)[2..], ["closed misbehaved"], "two tracks, one pair of ports");
}

fn challenges() -> Vec<(Scheme, Challenge)> {
    let digest = Challenge::new("headwater", "n");
    let qop = Challenge { qop_auth: true, opaque: Some("o".into()), ..digest.clone() };
    let sha = Challenge { algorithm: Algorithm::Sha256, ..qop.clone() };
    vec![
        (Scheme::Basic, Challenge::new("headwater", "")),
        (Scheme::Digest, digest),
        (Scheme::Digest, qop),
        (Scheme::Digest, sha),
    ]
}

#[test]
fn every_challenge_is_answered() {
    for (seed, challenge) in (0..).zip(challenges()) {
        for (goal, last) in [(Goal::Play, PLAYED[3]), (publish(), "recording")] {
            let rules = Rules { challenge: Some(challenge.clone()), ..Rules::default() };
            let mut pair = Pair::new(seed, config(goal), rules);
            pair.run(12);
            assert_eq!(outline(&pair.events).last().map(String::as_str), Some(last), "{challenge:?}");
            assert_eq!(pair.methods()[..2], ["OPTIONS", "OPTIONS"], "once more with the answer");
            assert_eq!(pair.methods()[6..], ["GET_PARAMETER"; 2], "then with it at once");
        }
    }
}

#[test]
fn a_new_nonce_is_taken_in_the_middle() {
    let rules = Rules { challenge: Some(challenges().remove(2)), nonce_lasts: 9, ..Rules::default() };
    let mut pair = Pair::new(3, config(Goal::Play), rules);
    pair.run(100);
    assert_eq!(outline(&pair.events), PLAYED, "still alive after several nonces");
    assert!(pair.server.answered > 20);
}

#[test]
fn wrong_or_missing_credentials_fail() {
    let wrong = Config { credentials: Some(("user".into(), "wrong".into())), ..config(Goal::Play) };
    let missing = Config { url: "rtsp://h/live/x".into(), ..config(Goal::Play) };
    for (config, requests) in [(wrong, 2), (missing, 1)] {
        for challenge in challenges() {
            let rules = Rules { challenge: Some(challenge), ..Rules::default() };
            let mut pair = Pair::new(1, config.clone(), rules);
            pair.run(5);
            assert_eq!(outline(&pair.events), ["failed 401 OPTIONS", "closed"]);
            assert_eq!(pair.methods().len(), requests, "no endless tries");
        }
    }
}

/// Rows of (method, answer, events after what came before).
#[test]
fn refusals_are_told() {
    let status = |status| Response::new(Status(status));
    let rows: [(Method, Response, &[&str]); 9] = [
        (Method::Describe, status(404), &["failed 404 DESCRIBE", "closed"]),
        (Method::Setup, status(461), &["described 2", "failed 461 SETUP", "closed"]),
        (
            Method::Describe,
            status(302).header("Location", "rtsp://o/x"),
            &["redirected rtsp://o/x", "closed"],
        ),
        (Method::Describe, status(301), &["closed invalid"]),
        (Method::Describe, status(200), &["closed invalid"]),
        (
            Method::Describe,
            status(200).body("application/sdp", "v=0\r\n"),
            &["described 0", "closed misbehaved"],
        ),
        (Method::Setup, status(200).header("Transport", "RTP/AVP/TCP"), &["described 2", "closed invalid"]),
        (Method::Setup, status(200).header("Session", "1"), &["described 2", "closed invalid"]),
        (
            Method::Setup,
            status(200).header("Session", "1").header("Transport", "RTP/AVP;client_port=1-2"),
            &["described 2", "closed misbehaved"],
        ),
    ];
    for (method, response, expected) in rows {
        let rules = Rules { instead: Some((method, response.clone())), ..Rules::default() };
        let mut pair = Pair::new(1, config(Goal::Play), rules);
        pair.run(5);
        assert_eq!(outline(&pair.events), expected, "{response:?}");
        assert_eq!((pair.client.poll_timeout(), pair.client.poll_event()), (None, None));
    }
}

#[test]
fn old_servers_without_options_are_played() {
    let rules = Rules { instead: Some((Method::Options, Response::new(Status(501)))), ..Rules::default() };
    let mut pair = Pair::new(1, config(Goal::Play), rules);
    pair.run(20);
    assert_eq!(outline(&pair.events), PLAYED);
}

#[test]
fn keep_alives_suit_the_server() {
    let rules = Rules { public: "DESCRIBE, SETUP, PLAY, TEARDOWN", ..Rules::default() };
    let mut pair = Pair::new(1, config(Goal::Play), rules);
    pair.run(12);
    assert_eq!(pair.methods()[5..], ["OPTIONS"; 2], "GET_PARAMETER is not in Public");

    let refuse = |status| Some((Method::GetParameter, Response::new(status)));
    let rules = Rules { instead: refuse(Status::NOT_IMPLEMENTED), ..Rules::default() };
    let mut pair = Pair::new(1, config(Goal::Play), rules);
    pair.run(12);
    assert_eq!(pair.methods()[5..], ["GET_PARAMETER", "OPTIONS"], "refused once, then not asked again");
    assert_eq!(outline(&pair.events), PLAYED);

    let rules = Rules { instead: refuse(Status::SESSION_NOT_FOUND), ..Rules::default() };
    let mut pair = Pair::new(1, config(Goal::Play), rules);
    pair.run(12);
    assert_eq!(outline(&pair.events)[4..], ["failed 454 GET_PARAMETER", "closed"]);
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    for method in [Method::Options, Method::Describe, Method::GetParameter] {
        let rules = Rules { silent: Some(method.clone()), ..Rules::default() };
        let mut pair = Pair::new(1, config(Goal::Play), rules);
        pair.run(22);
        assert_eq!(outline(&pair.events).last().map(String::as_str), Some("closed limit"), "{method:?}");
        let Some(Event::Closed(Some(error))) = pair.events.last() else { panic!("closed") };
        assert_eq!(error.status(), Status::REQUEST_TIMEOUT);
    }
}

#[test]
fn the_end_of_the_connection_is_told() {
    let mut pair = Pair::new(1, config(Goal::Play), Rules::default());
    pair.run(2);
    pair.client.handle_eof();
    pair.drain();
    assert_eq!(outline(&pair.events)[4..], ["closed misbehaved"]);

    let mut pair = Pair::new(1, config(Goal::Play), Rules::default());
    pair.run(2);
    pair.client.teardown();
    pair.client.handle_eof();
    pair.drain();
    assert_eq!(outline(&pair.events)[4..], ["closed"], "after TEARDOWN it is expected");

    let mut pair = Pair::new(1, config(Goal::Play), Rules::default());
    pair.client.teardown();
    pair.drain();
    assert_eq!(outline(&pair.events), ["closed"], "nothing to tear down");

    let mut pair = Pair::new(1, config(Goal::Play), Rules::default());
    pair.run(2);
    pair.land();
    pair.client.handle_input(pair.now, Bytes::from_static(b"\0\0\0"));
    pair.drain();
    assert_eq!(outline(&pair.events)[4..], ["closed invalid"]);
}

#[test]
fn a_client_that_leaves_times_out() {
    let mut pair = Pair::new(1, config(Goal::Play), Rules::default());
    // The first request arrives; then the client is gone.
    pair.run_until(pair.start + Duration::from_millis(60));
    pair.client = Client::new(config(Goal::Play), pair.now).unwrap();
    pair.client.teardown();
    pair.run(120);
    assert!(matches!(pair.server.closed, Some(Some(Error::Limit { .. }))), "{:?}", pair.server.closed);
}

#[test]
fn requests_of_the_server_are_answered() {
    let mut pair = Pair::new(1, config(Goal::Play), Rules::default());
    pair.run(2);
    let ask = |method| {
        let mut out = BytesMut::new();
        Request::new(method, "*").header("CSeq", "77").header("Location", "rtsp://o/y").write(&mut out);
        out.freeze()
    };
    pair.land();
    let rows: [(Method, u16, &[&str]); 3] = [
        (Method::Options, 200, &[]),
        (Method::Setup, 501, &[]),
        (Method::Redirect, 200, &["redirected rtsp://o/y", "closed"]),
    ];
    for (method, status, expected) in rows {
        pair.client.handle_input(pair.now, ask(method));
        let events: Vec<Event> = std::iter::from_fn(|| pair.client.poll_event()).collect();
        let answer = pair.client.poll_transmit().unwrap();
        assert!(answer.starts_with(format!("RTSP/1.0 {status} ").as_bytes()), "{answer:?}");
        assert_eq!(outline(&events), expected);
    }
}

#[test]
fn urls_that_cannot_be_read_are_refused() {
    let now = Instant::now();
    for url in ["", "*", "/x", "h/x", "rtsp://h:x/"] {
        let error = Client::new(Config { url: url.into(), ..config(Goal::Play) }, now).expect_err(url);
        assert_eq!(error.kind(), "invalid");
    }
    let garbage = Goal::Publish { sdp: Bytes::from_static(b"hello") };
    assert_eq!(Client::new(config(garbage), now).expect_err("no SDP").kind(), "invalid");
}
