//! Client against server on virtual time: both machines, a small application on the server's side, and two byte pipes
//! that cut and delay as a seeded generator says.

mod tests;

use crate::support::Rng;
use bytes::{Bytes, BytesMut};
use headwater_protocols::rtsp::auth::{Authorization, Challenge, Scheme};
use headwater_protocols::rtsp::client::{Client, Config, Event};
use headwater_protocols::rtsp::error::Error;
use headwater_protocols::rtsp::message::{Method, Request, Response, Status, Uri};
use headwater_protocols::rtsp::rtp_info::RtpInfo;
use headwater_protocols::rtsp::server;
use headwater_protocols::rtsp::session::{
    Allowed, Role, Session, State, TrackTransport, find_track, negotiate, split_track,
};
use headwater_protocols::rtsp::transport::Transport;
use headwater_protocols::sdp::{self, SessionDescription};
use headwater_protocols::track::{Codec, Medium, Track};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PACKET_EVERY: Duration = Duration::from_millis(40);

/// One direction of a connection: bytes arrive in order, cut and late.
#[derive(Default)]
struct Pipe {
    flying: VecDeque<(Instant, Bytes)>,
}

impl Pipe {
    fn send(&mut self, now: Instant, mut bytes: Bytes, rng: &mut Rng) {
        while !bytes.is_empty() {
            let piece = bytes.split_to(1 + rng.below(bytes.len().min(1500)));
            let late = now + Duration::from_micros(rng.next() % 30_000);
            let at = self.flying.back().map_or(late, |(before, _)| late.max(*before));
            self.flying.push_back((at, piece));
        }
    }

    fn next(&self) -> Option<Instant> {
        self.flying.front().map(|(at, _)| *at)
    }

    fn arrived(&mut self, now: Instant) -> Option<Bytes> {
        self.next().filter(|at| *at <= now)?;
        self.flying.pop_front().map(|(_, bytes)| bytes)
    }
}

/// What the server's side does.
#[derive(Clone)]
struct Rules {
    challenge: Option<(Scheme, Challenge)>,
    /// Answers to a method instead of the usual ones.
    instead: Option<(Method, Response)>,
    /// Never answers this method.
    silent: Option<Method>,
    public: &'static str,
    /// Every so many answers the nonce changes.
    nonce_lasts: usize,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            challenge: None,
            instead: None,
            silent: None,
            public: "DESCRIBE, ANNOUNCE, SETUP, PLAY, RECORD, GET_PARAMETER, TEARDOWN",
            nonce_lasts: usize::MAX,
        }
    }
}

/// The server's side: the machine, a session, and the media.
struct Application {
    machine: server::Server,
    rules: Rules,
    session: Option<Session>,
    controls: Vec<Option<String>>,
    base: String,
    tracks: Vec<Track>,
    answered: usize,
    requests: Vec<(Method, Instant)>,
    packets: Vec<(u8, Bytes)>,
    closed: Option<Option<Error>>,
}

fn track(medium: Medium, codec: Codec, rtpmap: &str, payload_type: u8) -> Track {
    Track {
        medium,
        codec,
        clock_rate: 90_000,
        channels: 0,
        payload_type,
        format_parameters: "packetization-mode=1".into(),
        rtpmap: rtpmap.into(),
        attributes: Vec::new(),
    }
}

fn tracks() -> Vec<Track> {
    vec![
        track(Medium::Video, Codec::H264, "H264/90000", 96),
        track(Medium::Application, Codec::Klv, "smpte336m/90000", 97),
    ]
}

impl Application {
    fn new(rules: Rules, now: Instant) -> Application {
        let config =
            server::Config { server_header: "headwater".into(), idle_timeout: Duration::from_secs(60) };
        Application {
            machine: server::Server::new(Arc::new(config), now),
            rules,
            session: None,
            controls: Vec::new(),
            base: String::new(),
            tracks: tracks(),
            answered: 0,
            requests: Vec::new(),
            packets: Vec::new(),
            closed: None,
        }
    }

    fn drain(&mut self, now: Instant) {
        while let Some(event) = self.machine.poll_event() {
            match event {
                server::Event::Request(request) => {
                    self.requests.push((request.method.clone(), now));
                    if self.rules.silent.as_ref() == Some(&request.method) {
                        continue;
                    }
                    let response = self.answer(&request);
                    self.answered += 1;
                    self.machine.respond(response);
                    self.machine.set_attached(self.session.as_ref().is_some_and(Session::is_active));
                }
                server::Event::Interleaved { channel, payload } => self.packets.push((channel, payload)),
                server::Event::Response(response) => panic!("{response:?}"),
                server::Event::Closed(error) => self.closed = Some(error),
            }
        }
    }

    fn challenged(&self, request: &Request) -> Option<Response> {
        let (scheme, challenge) = self.rules.challenge.as_ref()?;
        let mut challenge = challenge.clone();
        let generation = self.answered / self.rules.nonce_lasts;
        challenge.nonce = format!("{}{generation}", challenge.nonce).into();
        challenge.stale = generation > 0;
        let given = request.headers.get("Authorization").map(|value| Authorization::parse(value).unwrap());
        let (method, realm) = (request.method.as_str(), &challenge.realm);
        let proven = given.is_some_and(|given| given.verify(method, &challenge.nonce, realm, "user", "p w"));
        if proven {
            return None;
        }
        Some(Response::new(Status::UNAUTHORIZED).header("WWW-Authenticate", challenge.header_value(*scheme)))
    }

    fn answer(&mut self, request: &Request) -> Response {
        assert!(!request.uri.contains('@'), "credentials in {}", request.uri);
        if let Some(response) = self.challenged(request) {
            return response;
        }
        if let Some((_, response)) =
            self.rules.instead.as_ref().filter(|(method, _)| *method == request.method)
        {
            return response.clone();
        }
        if let (Some(session), Some(id)) = (&self.session, request.session()) {
            assert_eq!(session.id(), id);
            if let Err(status) = session.allows(&request.method) {
                return Response::new(status);
            }
        }
        match request.method {
            Method::Options => Response::new(Status::OK).header("Public", self.rules.public),
            Method::Describe => Response::new(Status::OK)
                .header("Content-Base", format!("{}/", request.uri))
                .body("application/sdp", sdp::describe("x", &self.tracks)),
            Method::Announce => self.announced(request),
            Method::Setup => self.set_up(request).unwrap_or_else(Response::new),
            Method::Play => {
                self.session.as_mut().unwrap().play().unwrap();
                let info = |seq| RtpInfo { url: format!("t{seq}"), seq: Some(seq), rtptime: Some(7) };
                self.with_session().header("RTP-Info", RtpInfo::write_list(&[info(1), info(2)]))
            }
            Method::Record => {
                self.session.as_mut().unwrap().record().unwrap();
                self.with_session()
            }
            Method::Teardown => {
                let response = self.with_session();
                self.session = None;
                response
            }
            _ => self.with_session(),
        }
    }

    fn with_session(&self) -> Response {
        let id = self.session.as_ref().expect("a session").id().to_owned();
        Response::new(Status::OK).header("Session", format!("{id};timeout=10"))
    }

    fn announced(&mut self, request: &Request) -> Response {
        let description = SessionDescription::parse(&request.body).unwrap();
        let announced = sdp::tracks(&description).unwrap();
        self.controls = announced.iter().map(|(_, control)| control.clone()).collect();
        self.tracks = announced.into_iter().map(|(track, _)| track).collect();
        self.base = request.uri.to_string();
        self.session = Some(Session::new("pub".into(), Role::Publish));
        Response::new(Status::OK)
    }

    fn set_up(&mut self, request: &Request) -> Result<Response, Status> {
        let session = self.session.get_or_insert_with(|| Session::new("sub".into(), Role::Read));
        let track = match session.role() {
            Role::Publish => {
                let controls: Vec<Option<&str>> = self.controls.iter().map(Option::as_deref).collect();
                find_track(&self.base, &controls, &request.uri)
            }
            Role::Read => split_track(&Uri::parse(&request.uri).unwrap()).2,
        };
        let track = track.filter(|track| *track < self.tracks.len()).ok_or(Status::NOT_FOUND)?;
        let offered =
            Transport::parse_list(request.headers.get("Transport").unwrap_or("")).map_err(|e| e.status())?;
        let allowed = Allowed { udp: true, tcp: true, secure: false };
        let mut chosen = negotiate(&offered, allowed, session.role())?;
        let assigned = session.assign(&chosen)?;
        session.set_up(track, assigned)?;
        match assigned {
            TrackTransport::Interleaved { rtp, rtcp } => chosen.interleaved = Some((rtp, rtcp)),
            TrackTransport::Udp { .. } => chosen.server_port = Some((8000, 8001)),
        }
        Ok(self.with_session().header("Transport", chosen.write()))
    }
}

fn packet(number: u32) -> (u8, Bytes) {
    let channel = u8::try_from(number % 4).unwrap();
    let length = 12 + number as usize * 37 % 1400;
    (channel, (0..length).map(|i| (i as u32 ^ number) as u8).collect())
}

fn framed((channel, payload): &(u8, Bytes)) -> Bytes {
    let mut bytes = BytesMut::from(&[b'$', *channel][..]);
    bytes.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes.freeze()
}

/// Both ends and what is between them.
struct Pair {
    now: Instant,
    start: Instant,
    rng: Rng,
    client: Client,
    server: Application,
    up: Pipe,
    down: Pipe,
    /// Media sent by whoever sends it, and what the client saw.
    sent: u32,
    next_packet: Option<Instant>,
    received: Vec<(u8, Bytes)>,
    events: Vec<Event>,
}

impl Pair {
    fn new(seed: u64, config: Config, rules: Rules) -> Pair {
        let now = Instant::now();
        Pair {
            now,
            start: now,
            rng: Rng(seed),
            client: Client::new(config, now).unwrap(),
            server: Application::new(rules, now),
            up: Pipe::default(),
            down: Pipe::default(),
            sent: 0,
            next_packet: None,
            received: Vec::new(),
            events: Vec::new(),
        }
    }

    fn drain(&mut self) {
        self.server.drain(self.now);
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::Interleaved { channel, payload } => self.received.push((channel, payload)),
                event => self.events.push(event),
            }
        }
        while let Some(bytes) = self.client.poll_transmit() {
            self.up.send(self.now, bytes, &mut self.rng);
        }
        while let Some(bytes) = self.server.machine.poll_transmit() {
            self.down.send(self.now, bytes, &mut self.rng);
        }
        let state = self.server.session.as_ref().map(Session::state);
        let recording = self.events.last() == Some(&Event::Recording);
        match self.next_packet {
            None if state == Some(State::Playing) || recording => self.next_packet = Some(self.now),
            Some(at) if at <= self.now && (state == Some(State::Playing) || recording) => {
                let pipe = if recording { &mut self.up } else { &mut self.down };
                pipe.send(self.now, framed(&packet(self.sent)), &mut self.rng);
                self.sent += 1;
                self.next_packet = Some(at + PACKET_EVERY);
            }
            Some(_) if state.is_none() => self.next_packet = None,
            _ => {}
        }
    }

    /// Lets time pass until `end`, or until nothing is left to happen.
    fn run_until(&mut self, end: Instant) {
        loop {
            self.drain();
            let timers = [
                self.up.next(),
                self.down.next(),
                self.client.poll_timeout(),
                self.server.machine.poll_timeout(),
                self.next_packet,
            ];
            let Some(next) = timers.into_iter().flatten().min().filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            while let Some(bytes) = self.up.arrived(self.now) {
                self.server.machine.handle_input(self.now, bytes);
                self.drain();
            }
            while let Some(bytes) = self.down.arrived(self.now) {
                self.client.handle_input(self.now, bytes);
                self.drain();
            }
            if self.client.poll_timeout().is_some_and(|at| at <= self.now) {
                self.client.handle_timeout(self.now);
            }
            if self.server.machine.poll_timeout().is_some_and(|at| at <= self.now) {
                self.server.machine.handle_timeout(self.now);
            }
        }
    }

    fn run(&mut self, seconds: u64) {
        self.run_until(self.now + Duration::from_secs(seconds));
    }

    fn methods(&self) -> Vec<&str> {
        self.server.requests.iter().map(|(method, _)| method.as_str()).collect()
    }

    /// Hands the client everything that is on its way, and stops the media: its decoder stands between two elements.
    fn land(&mut self) {
        self.next_packet = None;
        while let Some((_, bytes)) = self.down.flying.pop_front() {
            self.client.handle_input(self.now, bytes);
            while let Some(event) = self.client.poll_event() {
                assert!(matches!(event, Event::Interleaved { .. }), "{event:?}");
            }
        }
    }
}
