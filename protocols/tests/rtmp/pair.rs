//! Client against server on virtual time; the bytes between them are cut where a seed says.

use crate::support::server;
use bytes::{Bytes, BytesMut};
use headwater_protocols::flv::{Capabilities, Kind};
use headwater_protocols::limits::RTMP_RESPONSE_TIMEOUT_MS;
use headwater_protocols::rtmp::client::{self, Client, Goal};
use headwater_protocols::rtmp::server::{PublishKind, Refusal};
use headwater_protocols::rtmp::{Error, Server, chunk, server as machine};
use std::time::{Duration, Instant};

struct Pair {
    client: Client,
    server: Server,
    now: Instant,
    seed: u64,
    refuse: bool,
    at_client: Vec<client::Event>,
    at_server: Vec<machine::Event>,
}

impl Pair {
    fn new(url: &str, goal: Goal, seed: u64) -> Pair {
        let now = Instant::now();
        let config = client::Config {
            url: url.into(),
            goal,
            flash_version: String::new(),
            capabilities: Capabilities::all(),
        };
        let client = Client::new(config, now, seed).expect("a URL");
        let (at_client, at_server) = (Vec::new(), Vec::new());
        Pair { client, server: server(now), now, seed, refuse: false, at_client, at_server }
    }

    /// Pieces of 1 to 2000 bytes.
    fn cut(&mut self, bytes: Bytes) -> Vec<Bytes> {
        let mut rest = bytes;
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let length = 1 + (self.seed >> 33) as usize % 2000;
            pieces.push(rest.split_to(length.min(rest.len())));
        }
        pieces
    }

    /// Until neither has anything to send.
    fn run(&mut self) {
        loop {
            self.now += Duration::from_millis(1);
            let to_server = self.client.poll_transmit();
            let to_client = self.server.poll_transmit();
            if to_server.is_none() && to_client.is_none() {
                return;
            }
            for piece in self.cut(to_server.unwrap_or_default()) {
                self.server.handle_input(self.now, piece);
                self.drain_server();
            }
            for piece in self.cut(to_client.unwrap_or_default()) {
                self.client.handle_input(self.now, piece);
                self.at_client.extend(std::iter::from_fn(|| self.client.poll_event()));
            }
        }
    }

    fn drain_server(&mut self) {
        while let Some(event) = self.server.poll_event() {
            let is_connect = matches!(event, machine::Event::Connect(_));
            self.at_server.push(event);
            match self.server.is_waiting() {
                true if self.refuse && !is_connect => self.server.refuse(Refusal::Unauthorized, "no"),
                true => self.server.accept(),
                false => {}
            }
        }
    }
}

#[test]
fn a_publisher_gets_its_media_through() {
    for seed in 0..20 {
        let mut pair = Pair::new("rtmp://h/a/b/c?user=u", Goal::Publish(PublishKind::Append), seed);
        assert!(!pair.client.send(Kind::Audio, 0, &[Bytes::from_static(b"early")]));
        pair.run();
        assert!(matches!(
            &pair.at_client[..],
            [client::Event::Connected { capabilities }, client::Event::Publishing]
                if *capabilities == Capabilities::all()
        ));
        let [machine::Event::Connect(_), machine::Event::Publish(publish)] = &pair.at_server[..] else {
            panic!("{:?}", pair.at_server)
        };
        assert_eq!((&*publish.path, &*publish.query), ("a/b/c", "user=u"));
        assert_eq!(publish.kind, PublishKind::Append);
        pair.at_server.clear();
        let large = Bytes::from((0..200_000u32).map(|n| n as u8).collect::<Vec<_>>());
        let metadata = Bytes::from_static(b"\x02\x00\x0AonMetaData\x05");
        let sent = [
            (Kind::Script, 0, metadata),
            (Kind::Video, 0x0100_0001, large.clone()),
            (Kind::Audio, u32::MAX, large),
        ];
        for (kind, timestamp_ms, payload) in &sent {
            let parts = [payload.slice(..7), payload.slice(7..)];
            assert!(pair.client.send(*kind, *timestamp_ms, &parts));
        }
        pair.client.stop();
        pair.run();
        let media = |(kind, timestamp_ms, payload)| machine::Event::Media { kind, timestamp_ms, payload };
        let expected = sent.into_iter().map(media).chain([machine::Event::Stopped]).collect::<Vec<_>>();
        assert!(pair.at_server == expected, "seed {seed}");
        assert_eq!(pair.at_client.last(), Some(&client::Event::Closed(None)));
    }
}

#[test]
fn a_reader_gets_messages_that_were_cut_once_for_all() {
    for seed in 0..20 {
        let mut pair = Pair::new("rtmp://h/live/x", Goal::Play, seed);
        pair.run();
        assert!(matches!(pair.at_client[..], [client::Event::Connected { .. }, client::Event::Playing]));
        assert_eq!((pair.client.message_stream(), pair.client.poll_timeout()), (chunk::MESSAGE_STREAM, None));
        pair.at_client.clear();
        let payload = Bytes::from(vec![7; 150_000]);
        let mut wire = BytesMut::new();
        assert!(chunk::write_message(Kind::Video, 40, std::slice::from_ref(&payload), &mut wire));
        for piece in pair.cut(wire.freeze()) {
            pair.client.handle_input(pair.now, piece);
            pair.at_client.extend(std::iter::from_fn(|| pair.client.poll_event()));
        }
        pair.server.end();
        pair.run();
        let media = client::Event::Media { kind: Kind::Video, timestamp_ms: 40, payload };
        assert!(pair.at_client == [media, client::Event::Ended]);
        pair.client.handle_eof();
        let closed = pair.client.poll_event();
        assert!(matches!(closed, Some(client::Event::Closed(Some(Error::Misbehaved { .. })))));
    }
}

#[test]
fn a_refusal_reaches_the_client() {
    for (goal, code) in [
        (Goal::Play, "NetStream.Play.Failed"),
        (Goal::Publish(PublishKind::Live), "NetStream.Publish.Unauthorized"),
    ] {
        let mut pair = Pair::new("rtmp://h/live/x", goal, 3);
        pair.refuse = true;
        pair.run();
        let [_, client::Event::Refused { code: seen, description }, client::Event::Closed(None)] =
            &pair.at_client[..]
        else {
            panic!("{:?}", pair.at_client)
        };
        assert_eq!((&**seen, &**description), (code, "no"));
    }
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let mut pair = Pair::new("rtmp://h/live/x", Goal::Play, 3);
    let deadline = pair.now + Duration::from_millis(RTMP_RESPONSE_TIMEOUT_MS);
    assert_eq!(pair.client.poll_timeout(), Some(deadline));
    pair.client.handle_timeout(deadline);
    assert!(matches!(pair.client.poll_event(), Some(client::Event::Closed(Some(Error::Limit { .. })))));
    assert!(pair.client.poll_event().is_none());
}
