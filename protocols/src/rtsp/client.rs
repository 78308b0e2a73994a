//! One RTSP connection as a client drives it: to play a stream, or to publish one.
//!
//! ```text
//! Play:    OPTIONS → DESCRIBE → SETUP per track → PLAY   → keep-alives → TEARDOWN
//! Publish: OPTIONS → ANNOUNCE → SETUP per track → RECORD → keep-alives → TEARDOWN
//! ```
//! The machine sends one request at a time, but for keep-alives, which no answer is waited for before TEARDOWN. It answers
//! 401 with the credentials once per nonce. Feed, drain and time it as [`super::server`]. Left out: PAUSE, following
//! redirects (the caller connects anew), ONVIF back channels (those sections are not set up), multicast.

mod plan;

use super::auth::Authenticator;
use super::decoder::{Decoder, Element};
use super::error::Error;
use super::message::{Headers, Method, Request, Response, Status};
use super::rtp_info::RtpInfo;
use super::transport::{Lower, Transport};
use crate::limits::{RTSP_RESPONSE_TIMEOUT_MS, RTSP_SESSION_TIMEOUT_S, RTSP_SESSION_TIMEOUT_S_MAX};
use crate::sdp::SessionDescription;
use bytes::{Bytes, BytesMut};
use plan::Plan;
use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

/// What the connection is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    Play,
    /// Announces this description; its media sections are the tracks.
    Publish {
        sdp: Bytes,
    },
}

/// How packets are to travel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientTransport {
    /// Interleaved: track n on channels 2n and 2n + 1.
    Tcp,
    /// RTP and RTCP ports of the client, per track.
    Udp { ports: Vec<(u16, u16)> },
}

/// What a client wants.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// `rtsp://…`; user and password in it are used where `credentials` are absent, and never sent in the clear URL.
    pub url: String,
    pub goal: Goal,
    pub transport: ClientTransport,
    /// The `User-Agent` header; empty for none.
    pub user_agent: String,
    /// User and password.
    pub credentials: Option<(String, String)>,
}

impl fmt::Debug for Config {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Config({:?}, {:?})", self.goal, self.transport)
    }
}

/// What the caller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The answer to DESCRIBE.
    Described { sdp: SessionDescription },
    /// `track` counts the media sections over RTP, as [`crate::sdp::tracks`] does.
    SetUp { track: usize, transport: Transport },
    /// Media flow; packets may have come before.
    Playing { rtp_info: Vec<RtpInfo> },
    /// Media may be sent.
    Recording,
    /// A packet of the server.
    Interleaved { channel: u8, payload: Bytes },
    /// The stream is elsewhere (301, 302, or REDIRECT). [`Event::Closed`] follows.
    Redirected { location: String },
    /// The server refused. [`Event::Closed`] follows.
    Failed { status: Status, method: Method },
    /// The last event. `None` after [`Client::teardown`], a failure or a redirect; otherwise what went wrong.
    Closed(Option<Error>),
}

/// The step that waits for its answer, or what comes after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Options,
    Describe,
    Announce,
    /// Of the n-th track in the plan.
    SetUp(usize),
    Start,
    Active,
    TearDown,
    Closed,
}

/// A request without its answer.
#[derive(Debug)]
struct Pending {
    cseq: u32,
    request: Request,
    step: Step,
    deadline: Instant,
    /// Answered a 401 already.
    authenticated: bool,
}

/// The connection.
#[derive(Debug)]
pub struct Client {
    goal: Goal,
    transport: ClientTransport,
    user_agent: Box<str>,
    authenticator: Option<Authenticator>,
    plan: Plan,
    step: Step,
    decoder: Decoder,
    input: Bytes,
    output: BytesMut,
    events: VecDeque<Event>,
    pending: VecDeque<Pending>,
    cseq: u32,
    session: Option<Box<str>>,
    session_timeout: Duration,
    keep_alive_method: Method,
    keep_alive_at: Option<Instant>,
    now: Instant,
    eof: bool,
}

impl Client {
    /// Begins with OPTIONS.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a URL that cannot be read; the faults of [`crate::sdp`] for a description to announce.
    pub fn new(config: Config, now: Instant) -> Result<Client, Error> {
        let mut plan = Plan::new(&config.url)?;
        if let Goal::Publish { sdp } = &config.goal {
            plan.add_tracks(&SessionDescription::parse(sdp)?, true);
        }
        let credentials = config.credentials.or_else(|| plan::credentials(&config.url));
        let mut client = Client {
            goal: config.goal,
            transport: config.transport,
            user_agent: config.user_agent.into(),
            authenticator: credentials.map(|(user, password)| Authenticator::new(&user, &password)),
            plan,
            step: Step::Options,
            decoder: Decoder::new(),
            input: Bytes::new(),
            output: BytesMut::new(),
            events: VecDeque::new(),
            pending: VecDeque::new(),
            cseq: 0,
            session: None,
            session_timeout: Duration::from_secs(RTSP_SESSION_TIMEOUT_S),
            keep_alive_method: Method::Options,
            keep_alive_at: None,
            now,
            eof: false,
        };
        let request = Request::new(Method::Options, client.plan.url());
        client.send(request, Step::Options);
        Ok(client)
    }

    /// Takes bytes of the server. Drain [`Client::poll_event`] before the next call; what it has not taken yet is copied.
    pub fn handle_input(&mut self, now: Instant, input: Bytes) {
        self.now = now;
        if self.step == Step::Closed {
            return;
        }
        if self.input.is_empty() {
            self.input = input;
        } else {
            let mut joined = BytesMut::from(&self.input[..]);
            joined.extend_from_slice(&input);
            self.input = joined.freeze();
        }
    }

    /// Lets time pass: sends the keep-alive that is due, ends a connection that does not answer.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        if self.step == Step::Closed {
            return;
        }
        if self.pending.iter().any(|pending| now >= pending.deadline) {
            let seconds = usize::try_from(RTSP_RESPONSE_TIMEOUT_MS / 1000).unwrap_or(usize::MAX);
            self.close(Some(Error::limit("seconds without an answer", seconds, Status::REQUEST_TIMEOUT)));
        } else if self.keep_alive_at.is_some_and(|at| now >= at) {
            self.keep_alive_at = Some(now + self.session_timeout / 2);
            // One that is still unanswered has its own deadline; another would tell the server nothing.
            if self.pending.is_empty() {
                let request = Request::new(self.keep_alive_method.clone(), self.plan.aggregate());
                self.send(request, Step::Active);
            }
        }
    }

    /// The server closed its side.
    pub fn handle_eof(&mut self) {
        self.eof = true;
    }

    /// The next event; `None` until more input or time comes.
    pub fn poll_event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if self.step == Step::Closed {
                return None;
            }
            match self.decoder.decode(&mut self.input) {
                Ok(Some(Element::Interleaved { channel, payload })) => {
                    return Some(Event::Interleaved { channel, payload });
                }
                Ok(Some(Element::Response(response))) => self.answered(&response),
                Ok(Some(Element::Request(request))) => self.asked(&request),
                Ok(None) => {
                    // An empty slice would keep the whole receive buffer alive.
                    self.input = Bytes::new();
                    if !self.eof {
                        return None;
                    }
                    let expected = self.step == Step::TearDown;
                    let early = Error::misbehaved("connection closed by the server");
                    self.close((!expected).then_some(early));
                }
                Err(error) => self.close(Some(error)),
            }
        }
    }

    /// Bytes to send, in order.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        (!self.output.is_empty()).then(|| std::mem::take(&mut self.output).freeze())
    }

    /// When [`Client::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.step == Step::Closed {
            return None;
        }
        self.pending.iter().map(|pending| pending.deadline).chain(self.keep_alive_at).min()
    }

    /// Ends the session: TEARDOWN where there is one, then [`Event::Closed`].
    pub fn teardown(&mut self) {
        if matches!(self.step, Step::TearDown | Step::Closed) {
            return;
        }
        if self.session.is_none() {
            self.close(None);
            return;
        }
        (self.step, self.keep_alive_at) = (Step::TearDown, None);
        self.pending.clear();
        let request = Request::new(Method::Teardown, self.plan.aggregate());
        self.send(request, Step::TearDown);
    }

    fn send(&mut self, request: Request, step: Step) {
        self.send_again(request, step, false);
    }

    fn send_again(&mut self, request: Request, step: Step, authenticated: bool) {
        self.cseq = self.cseq.wrapping_add(1);
        let mut sent = Request { headers: Headers::new(), ..request.clone() };
        sent.headers.push("CSeq", self.cseq.to_string());
        if !self.user_agent.is_empty() {
            sent.headers.push("User-Agent", self.user_agent.clone());
        }
        if let Some(session) = &self.session {
            sent.headers.push("Session", session.clone());
        }
        let authorization = self.authenticator.as_mut();
        if let Some(value) = authorization.and_then(|a| a.authorize(request.method.as_str(), &request.uri)) {
            sent.headers.push("Authorization", value);
        }
        for (name, value) in request.headers.iter() {
            sent.headers.push(name, value);
        }
        sent.write(&mut self.output);
        let deadline = self.now + Duration::from_millis(RTSP_RESPONSE_TIMEOUT_MS);
        self.pending.push_back(Pending { cseq: self.cseq, request, step, deadline, authenticated });
    }

    fn answered(&mut self, response: &Response) {
        let index = match response.cseq() {
            Some(cseq) => self.pending.iter().position(|pending| pending.cseq == cseq),
            // Some cameras leave it out; they answer in order.
            None => (!self.pending.is_empty()).then_some(0),
        };
        // An answer to what was given up, or to nothing, and 100 Continue say nothing.
        if response.status.0 < 200 {
            return;
        }
        let Some(pending) = index.and_then(|index| self.pending.remove(index)) else { return };
        match response.status {
            status if status.is_success() => self.succeeded(&pending, response),
            Status::UNAUTHORIZED if self.authenticate(&pending, response) => {
                self.send_again(pending.request, pending.step, true);
            }
            Status::MOVED_PERMANENTLY | Status::MOVED_TEMPORARILY => {
                self.redirected(response.headers.get("Location"));
            }
            status => self.refused(pending, status),
        }
    }

    /// Whether the request is worth another try.
    fn authenticate(&mut self, pending: &Pending, response: &Response) -> bool {
        let Some(authenticator) = &mut self.authenticator else { return false };
        !pending.authenticated && authenticator.take(response.headers.get_all("WWW-Authenticate")).is_ok()
    }

    fn redirected(&mut self, location: Option<&str>) {
        match location {
            Some(location) => {
                self.events.push_back(Event::Redirected { location: location.to_owned() });
                self.close(None);
            }
            None => self.close(Some(Error::invalid("redirect without Location"))),
        }
    }

    fn refused(&mut self, pending: Pending, status: Status) {
        match pending.step {
            // Old servers do not know OPTIONS; the methods that matter are tried all the same.
            Step::Options if status != Status::UNAUTHORIZED => self.go_on(),
            Step::Active if status != Status::SESSION_NOT_FOUND => self.keep_alive_method = Method::Options,
            Step::TearDown => self.close(None),
            _ => {
                self.events.push_back(Event::Failed { status, method: pending.request.method });
                self.close(None);
            }
        }
    }

    fn succeeded(&mut self, pending: &Pending, response: &Response) {
        let result = match pending.step {
            Step::Options => self.options_answered(response),
            Step::Describe => self.described(response),
            Step::SetUp(index) => self.set_up(index, response),
            Step::Start => self.started(response),
            Step::TearDown => {
                self.close(None);
                return;
            }
            // gst-rtsp-server opens the session here.
            Step::Announce if response.session().is_some() => self.take_session(response),
            Step::Announce | Step::Active | Step::Closed => Ok(()),
        };
        match result {
            Ok(()) if pending.step != Step::Active => self.go_on(),
            Ok(()) => {}
            Err(error) => self.close(Some(error)),
        }
    }

    fn options_answered(&mut self, response: &Response) -> Result<(), Error> {
        let mut public = response.headers.get_all("Public").flat_map(|value| value.split(','));
        if public.any(|method| method.trim().eq_ignore_ascii_case("GET_PARAMETER")) {
            self.keep_alive_method = Method::GetParameter;
        }
        Ok(())
    }

    fn described(&mut self, response: &Response) -> Result<(), Error> {
        let sdp = SessionDescription::parse(&response.body)?;
        let base = response.headers.get("Content-Base").or(response.headers.get("Content-Location"));
        self.plan.set_base(base);
        self.plan.add_tracks(&sdp, false);
        self.events.push_back(Event::Described { sdp });
        Ok(())
    }

    fn set_up(&mut self, index: usize, response: &Response) -> Result<(), Error> {
        self.take_session(response)?;
        let wanted = self.wanted(index)?;
        let value =
            response.headers.get("Transport").ok_or(Error::invalid("answer to SETUP without Transport"))?;
        let mut transport = Transport::parse_list(value)?.swap_remove(0);
        if transport.lower != wanted.lower || transport.multicast {
            return Err(Error::misbehaved("another transport than asked for"));
        }
        if wanted.lower == Lower::Tcp {
            transport.interleaved = transport.interleaved.or(wanted.interleaved);
        }
        self.events.push_back(Event::SetUp { track: self.plan.tracks()[index].number, transport });
        Ok(())
    }

    fn take_session(&mut self, response: &Response) -> Result<(), Error> {
        let value = response.headers.get("Session").unwrap_or("");
        let Some(id) = response.session() else {
            let known = self.session.is_some();
            return if known { Ok(()) } else { Err(Error::invalid("answer to SETUP without Session")) };
        };
        let mut parameters = value.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
        let timeout = parameters.find(|(key, _)| key.trim().eq_ignore_ascii_case("timeout"));
        if let Some(seconds) = timeout.and_then(|(_, value)| value.trim().parse::<u64>().ok()) {
            // Two seconds at least: the keep-alive goes out at half of it.
            self.session_timeout = Duration::from_secs(seconds.clamp(2, RTSP_SESSION_TIMEOUT_S_MAX));
        }
        self.session = Some(id.into());
        Ok(())
    }

    fn started(&mut self, response: &Response) -> Result<(), Error> {
        self.keep_alive_at = Some(self.now + self.session_timeout / 2);
        self.events.push_back(match self.goal {
            Goal::Play => {
                let values = response.headers.get_all("RTP-Info");
                Event::Playing { rtp_info: values.flat_map(RtpInfo::parse_list).collect() }
            }
            Goal::Publish { .. } => Event::Recording,
        });
        Ok(())
    }

    /// After the answer to `self.step`: sends the next request.
    fn go_on(&mut self) {
        let next = match (self.step, &self.goal) {
            (Step::Options, Goal::Play) => Step::Describe,
            (Step::Options, Goal::Publish { .. }) => Step::Announce,
            (Step::Describe | Step::Announce, _) => Step::SetUp(0),
            (Step::SetUp(index), _) if index + 1 < self.plan.tracks().len() => Step::SetUp(index + 1),
            (Step::SetUp(_), _) => Step::Start,
            _ => Step::Active,
        };
        self.step = next;
        if next == Step::Active {
            return;
        }
        match self.request(next) {
            Ok(request) => self.send(request, next),
            Err(error) => self.close(Some(error)),
        }
    }

    fn request(&self, step: Step) -> Result<Request, Error> {
        let url = self.plan.url();
        Ok(match (step, &self.goal) {
            (Step::Describe, _) => Request::new(Method::Describe, url).header("Accept", "application/sdp"),
            (Step::Announce, Goal::Publish { sdp }) => {
                let request = Request::new(Method::Announce, url).header("Content-Type", "application/sdp");
                Request { body: sdp.clone(), ..request }
            }
            (Step::SetUp(index), _) => {
                let track = self
                    .plan
                    .tracks()
                    .get(index)
                    .ok_or(Error::misbehaved("description without RTP media"))?;
                let transport = self.wanted(index)?.write();
                Request::new(Method::Setup, &*track.url).header("Transport", transport)
            }
            (_, Goal::Play) => {
                Request::new(Method::Play, self.plan.aggregate()).header("Range", "npt=0.000-")
            }
            (_, Goal::Publish { .. }) => {
                Request::new(Method::Record, self.plan.aggregate()).header("Range", "npt=0.000-")
            }
        })
    }

    /// The transport asked for the n-th track of the plan.
    fn wanted(&self, index: usize) -> Result<Transport, Error> {
        let mode_record = matches!(self.goal, Goal::Publish { .. });
        match &self.transport {
            ClientTransport::Tcp => {
                // At most TRACKS_MAX tracks, so channels stay below 256.
                let channel = u8::try_from(2 * index).map_err(|_| Error::misbehaved("too many tracks"))?;
                let interleaved = Some((channel, channel + 1));
                Ok(Transport { interleaved, mode_record, ..Transport::new(Lower::Tcp) })
            }
            ClientTransport::Udp { ports } => {
                let client_port = Some(*ports.get(index).ok_or(Error::misbehaved("more tracks than ports"))?);
                Ok(Transport { client_port, mode_record, ..Transport::new(Lower::Udp) })
            }
        }
    }

    /// A request of the server.
    fn asked(&mut self, request: &Request) {
        let status = match request.method {
            Method::Options | Method::GetParameter | Method::SetParameter | Method::Redirect => Status::OK,
            _ => Status::NOT_IMPLEMENTED,
        };
        let mut response = Response::new(status);
        if let Some(cseq) = request.cseq() {
            response.headers.push("CSeq", cseq.to_string());
        }
        response.write(&mut self.output);
        if request.method == Method::Redirect {
            self.redirected(request.headers.get("Location"));
        }
    }

    fn close(&mut self, error: Option<Error>) {
        self.step = Step::Closed;
        self.keep_alive_at = None;
        self.pending.clear();
        self.input = Bytes::new();
        self.decoder = Decoder::new();
        self.events.push_back(Event::Closed(error));
    }
}
