//! RTSP: decoder, server, client, and single headers.
//!
//! The bytes are a script: some stand for whole pieces of messages, so that what comes out is nearly RTSP.

use bytes::{Bytes, BytesMut};
use headwater_protocols::limits::{
    RTSP_BODY_BYTES_MAX, RTSP_HEADER_BYTES_MAX, RTSP_HEADERS_MAX, RTSP_PIPELINE_MAX,
};
use headwater_protocols::rtsp::auth::{Authenticator, Authorization, Challenge};
use headwater_protocols::rtsp::decoder::{Decoder, Element};
use headwater_protocols::rtsp::error::Error;
use headwater_protocols::rtsp::message::{Headers, Method, Response, Status, Uri};
use headwater_protocols::rtsp::range::Range;
use headwater_protocols::rtsp::rtp_info::RtpInfo;
use headwater_protocols::rtsp::session::{Allowed, Role, Session, find_track, negotiate, split_track};
use headwater_protocols::rtsp::transport::Transport;
use headwater_protocols::rtsp::{client, server};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// What bytes below 32 stand for in a script, CR and LF excepted.
const PIECES: [&[u8]; 32] = [
    b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n",
    b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n",
    b"DESCRIBE rtsp://h/a RTSP/1.0\r\nCSeq: 2\r\n",
    b"ANNOUNCE rtsp://h/a RTSP/1.0\r\nCSeq: 3\r\nContent-Length: 9\r\n\r\nv=0\r\ns=x\r\n",
    b"SETUP rtsp://h/a/trackID=0 RTSP/1.0\r\n",
    b"PLAY ",
    b" RTSP/1.0\r\n",
    b"RTSP/1.0 ",
    b"$\x00\x00\x04abcd",
    b"$\x01\x00\x20",
    b"\n",
    b"CSeq: ",
    b"Content-Length: ",
    b"\r",
    b"Content-Length: 3\r\n\r\nxyz",
    b"Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n",
    b"Transport: RTP/AVP;unicast;client_port=5000-5001;server_port=6000-6001\r\n",
    b"Session: 12345678;timeout=55\r\n",
    b"Session: ",
    b"WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n",
    b"WWW-Authenticate: Basic realm=\"r\"\r\n",
    b"Location: rtsp://o/b\r\n",
    b"Public: OPTIONS, GET_PARAMETER\r\n",
    b"Content-Base: ",
    b"RTP-Info: url=rtsp://h/a;seq=1;rtptime=2\r\n",
    b"Content-Length: 53\r\n\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control",
    b"\r\n\r\n",
    b": ",
    b" folded",
    b"RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n\r\n",
    b"RTSP/1.0 302 Found\r\nCSeq: 2\r\nLocation: rtsp://o/b\r\n\r\n",
    b"REDIRECT * RTSP/1.0\r\nCSeq: 4\r\nLocation: rtsp://o/c\r\n\r\n",
];

/// The bytes with pieces in place of what stands for them.
fn expand(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 * data.len());
    for byte in data {
        match PIECES.get(usize::from(*byte)) {
            Some(piece) => out.extend_from_slice(piece),
            None => out.push(*byte),
        }
    }
    out
}

/// One instant for all runs: machines only compare and add.
fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

fn check_error(error: &Error) {
    assert!(["invalid", "misbehaved", "unsupported", "limit"].contains(&error.kind()));
    assert!((400..600).contains(&error.status().0));
    assert!(!error.to_string().is_empty());
}

// ---- decoder ----

/// Any cutting of the input gives the same; what is read and written reads the same; nothing is kept that did not come.
pub fn rtsp_decoder(data: &[u8]) {
    let (cut, rest) = data.split_first().unwrap_or((&0, &[]));
    for bytes in [rest.to_vec(), expand(rest)] {
        let (whole, end) = decode(&bytes, usize::MAX);
        let pieces = 1 + usize::from(*cut) % 64;
        let (cut, cut_end) = decode(&bytes, pieces);
        assert_eq!(whole, cut, "in pieces of {pieces}");
        assert_eq!(end.map_err(fault), cut_end.map_err(fault), "in pieces of {pieces}");
        let mut sizes = 0;
        for element in &whole {
            sizes += check_element(element);
        }
        assert!(sizes <= 3 * bytes.len(), "{sizes} bytes out of {}", bytes.len());
    }
}

/// An error without its place, which depends on how the input was cut.
fn fault(error: Error) -> (&'static str, Status, String) {
    check_error(&error);
    let text = error.to_string();
    let end = text.find(" at byte").unwrap_or(text.len());
    (error.kind(), error.status(), text[..end].to_owned())
}

fn decode(bytes: &[u8], pieces: usize) -> (Vec<Element>, Result<bool, Error>) {
    let mut decoder = Decoder::new();
    let mut found = Vec::new();
    for piece in bytes.chunks(pieces.min(bytes.len().max(1))) {
        let mut input = Bytes::copy_from_slice(piece);
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(element)) => found.push(element),
                Ok(None) => break,
                Err(error) => return (found, Err(error)),
            }
        }
        assert!(input.is_empty(), "what is not taken would be lost");
    }
    let idle = decoder.is_idle();
    (found, Ok(idle))
}

/// Checks limits and the round trip; the bytes held.
fn check_element(element: &Element) -> usize {
    let mut out = BytesMut::new();
    let (headers, body) = match element {
        Element::Interleaved { payload, .. } => {
            assert!(payload.len() <= usize::from(u16::MAX));
            return payload.len();
        }
        Element::Request(request) => {
            request.write(&mut out);
            let _ = Uri::parse(&request.uri);
            (&request.headers, &request.body)
        }
        Element::Response(response) => {
            response.write(&mut out);
            (&response.headers, &response.body)
        }
    };
    assert!(headers.len() <= RTSP_HEADERS_MAX && body.len() <= RTSP_BODY_BYTES_MAX);
    let size = headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() + body.len();
    // Text that is not UTF-8 grows when it is read, up to three times.
    assert!(size <= 3 * RTSP_HEADER_BYTES_MAX + RTSP_BODY_BYTES_MAX);
    match decode(&out, usize::MAX) {
        (again, Ok(true)) => assert_eq!(again, std::slice::from_ref(element)),
        (_, Err(Error::Limit { .. })) => {}
        other => panic!("{element:?} is written as {other:?}"),
    }
    size
}

// ---- server ----

/// Events, answers and time in any order: one request at a time, answers in order, nothing after the end.
pub fn rtsp_server(data: &[u8]) {
    let now = start();
    let idle_timeout = Duration::from_secs(60);
    let config = Arc::new(server::Config { server_header: "fuzz".into(), idle_timeout });
    let mut run = ServerRun {
        machine: server::Server::new(config, now),
        now,
        outstanding: None,
        asked: Vec::new(),
        output: BytesMut::new(),
        closed: false,
    };
    let mut rest = data;
    while let Some((&step, after)) = rest.split_first() {
        rest = after;
        match step {
            0xE0 => run.respond(),
            0xE1 => run.wait(Duration::from_secs(59)),
            0xE2 => run.wait(Duration::from_secs(61)),
            0xE3 => run.machine.set_attached(true),
            0xE4 => run.machine.set_attached(false),
            0xE5 => run.machine.handle_eof(),
            _ => {
                // The step says how much is input; some of it stays undrained when the next comes.
                let count = usize::from(step).min(rest.len());
                let (input, after) = rest.split_at(count);
                rest = after;
                run.machine.handle_input(run.now, expand(input).into());
                if step % 8 == 0 {
                    continue;
                }
            }
        }
        run.drain();
    }
    run.finish();
}

struct ServerRun {
    machine: server::Server,
    now: Instant,
    outstanding: Option<u32>,
    /// CSeq of every request the caller saw.
    asked: Vec<u32>,
    output: BytesMut,
    closed: bool,
}

impl ServerRun {
    fn respond(&mut self) {
        if self.outstanding.take().is_some() {
            self.machine.respond(Response::new(Status::OK).header("X", "y"));
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        if self.machine.poll_timeout().is_some_and(|at| at <= self.now) {
            self.machine.handle_timeout(self.now);
            assert!(self.machine.poll_timeout().is_none_or(|at| at > self.now), "a timeout is used up");
        }
    }

    fn drain(&mut self) {
        while let Some(event) = self.machine.poll_event() {
            assert!(!self.closed, "Closed is the last event");
            match event {
                server::Event::Request(request) => {
                    assert_eq!(self.outstanding, None, "one request at a time");
                    self.outstanding =
                        Some(request.cseq().expect("requests without CSeq are answered inside"));
                    self.asked.extend(request.cseq());
                    check_element(&Element::Request(request));
                }
                server::Event::Response(response) => {
                    check_element(&Element::Response(response));
                }
                server::Event::Interleaved { payload, .. } => assert!(payload.len() <= usize::from(u16::MAX)),
                server::Event::Closed(error) => {
                    self.closed = true;
                    error.iter().for_each(check_error);
                }
            }
        }
        while let Some(bytes) = self.machine.poll_transmit() {
            assert!(!bytes.is_empty());
            self.output.extend_from_slice(&bytes);
        }
        if self.closed {
            assert_eq!(self.machine.poll_timeout(), None);
        }
    }

    /// Answers what is left; all output together must be the answers in order.
    fn finish(&mut self) {
        let mut answered_late = 0;
        loop {
            self.drain();
            if self.outstanding.is_none() || self.closed {
                break;
            }
            self.respond();
            answered_late += 1;
            assert!(answered_late <= RTSP_PIPELINE_MAX + 1, "the queue is bounded");
        }
        let (answers, end) = decode(&self.output, usize::MAX);
        assert_eq!(end, Ok(true), "only whole answers");
        let mut asked = self.asked.iter();
        for answer in answers {
            let Element::Response(answer) = answer else { panic!("a server answers: {answer:?}") };
            if answer.status == Status::OK {
                assert_eq!(answer.cseq().as_ref(), asked.next(), "in order");
            }
        }
    }
}

// ---- client ----

/// A server that says anything, at any time: requests stay in order, the end is told once, output is bounded.
pub fn rtsp_client(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else { return };
    let announced = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\nm=audio 0 RTP/AVP 0\r\n";
    let config = client::Config {
        url: "rtsp://h/a?b".to_owned(),
        goal: if kind & 1 == 0 {
            client::Goal::Play
        } else {
            client::Goal::Publish { sdp: Bytes::from_static(announced.as_bytes()) }
        },
        transport: if kind & 2 == 0 {
            client::ClientTransport::Tcp
        } else {
            client::ClientTransport::Udp { ports: vec![(5000, 5001), (5002, 5003)] }
        },
        user_agent: "fuzz".to_owned(),
        credentials: (kind & 4 == 0).then(|| ("u".to_owned(), "p".to_owned())),
    };
    let mut run = ClientRun {
        machine: client::Client::new(config, start()).expect("a good configuration"),
        now: start(),
        requests: 0,
        closed: false,
    };
    run.drain();
    run.steps(rest);
}

struct ClientRun {
    machine: client::Client,
    now: Instant,
    /// The CSeq of the last request.
    requests: u32,
    closed: bool,
}

impl ClientRun {
    fn steps(&mut self, mut rest: &[u8]) {
        while let Some((&step, after)) = rest.split_first() {
            rest = after;
            match step {
                0xE0 => self.wait(Duration::from_secs(14)),
                0xE1 => self.wait(Duration::from_secs(31)),
                0xE2 => self.machine.handle_eof(),
                0xE3 => self.machine.teardown(),
                // The answer that leads on, to the last request.
                0x80..=0xDF => {
                    let answer = self.answer(step);
                    self.machine.handle_input(self.now, answer);
                }
                _ => {
                    let (input, after) = rest.split_at(usize::from(step).min(rest.len()));
                    rest = after;
                    self.machine.handle_input(self.now, expand(input).into());
                }
            }
            self.drain();
        }
    }

    fn answer(&self, step: u8) -> Bytes {
        let status = match step & 0x0F {
            0x0 => Status::UNAUTHORIZED,
            0x1 => Status::NOT_FOUND,
            _ => Status::OK,
        };
        let transport =
            if step & 0x10 == 0 { "RTP/AVP/TCP;interleaved=0-1" } else { "RTP/AVP;client_port=5000-5001" };
        let body = if step & 0x20 == 0 {
            "m=video 0 RTP/AVP 96\n"
        } else {
            "m=audio 0 RTP/AVP 0\nm=video 0 RTP/AVP 96\na=control:t"
        };
        let response = Response::new(status)
            .header("CSeq", self.requests.to_string())
            .header("Session", "s;timeout=20")
            .header("Transport", transport)
            .header("Public", "GET_PARAMETER")
            .header("WWW-Authenticate", "Digest realm=\"r\", nonce=\"n\", qop=\"auth\"")
            .body("application/sdp", body);
        let mut out = BytesMut::new();
        response.write(&mut out);
        out.freeze()
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        if self.machine.poll_timeout().is_some_and(|at| at <= self.now) {
            self.machine.handle_timeout(self.now);
            assert!(self.machine.poll_timeout().is_none_or(|at| at > self.now), "a timeout is used up");
        }
    }

    fn drain(&mut self) {
        while let Some(event) = self.machine.poll_event() {
            assert!(!self.closed, "Closed is the last event");
            if let client::Event::Closed(error) = &event {
                self.closed = true;
                error.iter().for_each(check_error);
                assert_eq!(self.machine.poll_timeout(), None);
            }
        }
        let mut output = BytesMut::new();
        while let Some(bytes) = self.machine.poll_transmit() {
            output.extend_from_slice(&bytes);
        }
        let (sent, end) = decode(&output, usize::MAX);
        assert_eq!(end, Ok(true), "only whole messages");
        for element in sent {
            match element {
                Element::Request(request) => {
                    assert_eq!(request.cseq(), Some(self.requests + 1), "requests are counted");
                    self.requests += 1;
                }
                Element::Response(response) => {
                    assert!([Status::OK, Status::NOT_IMPLEMENTED].contains(&response.status));
                }
                Element::Interleaved { .. } => panic!("the machine sends no media"),
            }
        }
    }
}

// ---- headers ----

/// One header or URI, named by the first byte: written and read again it is the same.
pub fn rtsp_headers(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    match kind % 8 {
        0 => transport(&text),
        1 => transport(&format!("RTP/AVP/TCP;unicast;interleaved=0-1;{text}, RTP/AVP;{text}")),
        2 => {
            for unit in ["", "npt=", "clock=", "smpte=", "smpte-25="] {
                range(&format!("{unit}{text}"));
            }
        }
        3 => {
            rtp_info(&text);
            rtp_info(&format!("url=rtsp://h/a;seq=1,url={text};seq=2;rtptime=3"));
        }
        4 => authorization(&text),
        5 => challenge(&text),
        6 => {
            uri(&text);
            uri(&format!("rtsp://{text}"));
            uri(&format!("rtsp://u:p@h:1/{text}"));
        }
        _ => others(&text),
    }
}

fn transport(text: &str) {
    let Ok(list) = Transport::parse_list(text) else { return };
    assert!(!list.is_empty());
    for one in &list {
        assert_eq!(Transport::parse_list(&one.write()), Ok(vec![one.clone()]));
    }
    for role in [Role::Publish, Role::Read] {
        let allowed = Allowed { udp: true, tcp: true, secure: false };
        let Ok(chosen) = negotiate(&list, allowed, role) else { continue };
        assert!(!chosen.multicast && !chosen.profile.is_secure());
        let mut session = Session::new("1".into(), role);
        if let Ok(assigned) = session.assign(&chosen) {
            let _ = session.set_up(0, assigned);
            assert!(session.set_up(0, assigned).is_err(), "never twice");
        }
    }
}

fn range(text: &str) {
    match Range::parse(text) {
        Ok(range) => assert_eq!(Range::parse(&range.to_string()), Ok(range), "{range}"),
        Err(error) => check_error(&error),
    }
}

fn rtp_info(text: &str) {
    let list = RtpInfo::parse_list(text);
    assert_eq!(RtpInfo::parse_list(&RtpInfo::write_list(&list)), list);
}

fn authorization(text: &str) {
    for text in [text.to_owned(), digest(text), format!("Basic {text}"), format!("Bearer {text}")] {
        match Authorization::parse(&text) {
            Ok(read) => {
                assert!(!read.verify("PLAY", "n", "r", "user", "password"), "nobody guesses");
                assert_eq!(Authorization::parse(&read.write()), Ok(read));
            }
            Err(error) => check_error(&error),
        }
    }
}

fn digest(text: &str) -> String {
    format!("Digest username=\"user\", realm=\"r\", nonce=\"n\", uri=\"*\", response=\"0\", {text}")
}

fn challenge(text: &str) {
    for text in [text.to_owned(), format!("Basic realm=\"x\", Digest realm=\"r\", nonce=\"n\", {text}")] {
        let list = Challenge::parse_list(&text);
        for (scheme, challenge) in &list {
            let again = Challenge::parse_list(&challenge.header_value(*scheme));
            assert_eq!(again, [(*scheme, challenge.clone())]);
        }
        let mut client = Authenticator::new("user", "pass:word");
        if client.take([text.as_str()].into_iter()).is_err() {
            assert!(list.is_empty());
            continue;
        }
        let value = client.authorize("PLAY", "rtsp://h/a").expect("an answer to a challenge");
        let answer = Authorization::parse(&value).expect("what we write we read");
        let proven = list
            .iter()
            .any(|(_, asked)| answer.verify("PLAY", &asked.nonce, &asked.realm, "user", "pass:word"));
        assert!(proven, "{value} answers {text}");
    }
}

fn uri(text: &str) {
    match Uri::parse(text) {
        Ok(read) => {
            let written = read.without_credentials();
            assert_eq!(Uri::parse(&written), Ok(Uri { user: None, password: None, ..read }), "{written}");
            let (path, _, track) = split_track(&read);
            assert!(path.len() <= read.path.len() && track.is_none_or(|track| track < 10_000));
        }
        Err(error) => check_error(&error),
    }
}

fn others(text: &str) {
    let controls = [Some(text), None, Some("trackID=1")];
    if let Some(track) = find_track("rtsp://h/a", &controls, "rtsp://h/a/trackID=1") {
        assert!(track < controls.len());
    }
    let _ = find_track(text, &controls, text);
    assert_eq!(Method::parse(text).as_str(), text);
    let mut headers = Headers::new();
    headers.push(text, "1");
    headers.set(&text.to_ascii_uppercase(), "2");
    assert_eq!((headers.get(text), headers.len()), (Some("2"), 1));
}
