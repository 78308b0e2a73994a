//! From a request to its walk through the modules, and from the answer to the response.

use crate::limits;
use crate::mesh::ShardId;
use crate::modules::{Answer, Intent, Raw, Rejection, RejectionKind, Request};
use crate::records::{Event, SessionKind};
use crate::shard::sessions::Control;
use crate::shard::walk::{Asked, Walk};
use crate::shard::{ConnectionKey, SessionKey, Shard};
use headwater_protocols::rtsp::message::Uri;
use headwater_protocols::rtsp::message::{self, Method, Response, Status};
use headwater_protocols::rtsp::session::{self, split_track};
use headwater_protocols::{sdp, track::Track};
use std::sync::Arc;

/// The methods this server answers (RFC 2326, section 10.1).
const PUBLIC: &str =
    "OPTIONS, DESCRIBE, ANNOUNCE, SETUP, PLAY, PAUSE, RECORD, GET_PARAMETER, SET_PARAMETER, TEARDOWN";

/// How a request that names a session was understood.
pub(super) enum Named {
    Session(SessionKey),
    /// No Session header, and none can be meant.
    None,
    Unknown,
    Elsewhere(ShardId),
}

impl Shard {
    /// Answers one request, now or when a module lets it go on.
    pub(crate) fn rtsp_request(&mut self, key: ConnectionKey, mut request: message::Request) {
        self.state.counters.requests.add(1);
        if let Err(rejection) = self.filter(key, &mut Raw::Rtsp(&mut request)) {
            return self.respond(key, rejected(&rejection));
        }
        match self.understand(key, &request) {
            Ok(understood) => self.walk_on(key, Walk::new(understood), Asked::Rtsp(request)),
            Err(Refusal::Status(status)) => self.respond(key, Response::new(status)),
            Err(Refusal::Option(wanted)) => {
                let response = Response::new(Status::OPTION_NOT_SUPPORTED).header("Unsupported", wanted);
                self.respond(key, response);
            }
            Err(Refusal::Elsewhere(shard)) => {
                if self.move_connection(key, shard, Asked::Rtsp(request)).is_err() {
                    self.respond(key, Response::new(Status::SESSION_NOT_FOUND));
                }
            }
        }
    }

    /// Does what the modules allowed, and responds.
    pub(crate) fn complete_rtsp(
        &mut self,
        key: ConnectionKey,
        request: &Request,
        rtsp: message::Request,
        answer: Answer,
    ) {
        let response = match (&rtsp.method, answer) {
            (_, Answer::Rejected(rejection)) => Err(rejected(&rejection)),
            (_, Answer::Elsewhere(shard)) => {
                if self.move_connection(key, shard, Asked::Rtsp(rtsp)).is_err() {
                    // One connection for sessions on several shards: its media could not stay in order.
                    self.respond(key, Response::new(Status::SESSION_NOT_FOUND));
                }
                return;
            }
            (_, Answer::Redirect(target)) => Ok(super::read::redirect(&rtsp, &target)),
            (Method::Describe, Answer::Described(description)) => super::read::describe(&rtsp, &description),
            (Method::Announce, Answer::Claimed) => self.announce(key, request, &rtsp),
            (Method::Setup, Answer::Stream(stream)) => self.set_up_reader(key, request, &rtsp, stream),
            (Method::Setup, Answer::Done) => self.set_up_publisher(key, &rtsp),
            (Method::Play, Answer::Done) => return self.play(key, &rtsp),
            (Method::Record, Answer::Done) => self.record(key, &rtsp),
            (Method::Pause, Answer::Done) => self.pause(key, &rtsp),
            (Method::Teardown, Answer::Done) => return self.tear_down(key, &rtsp),
            (Method::Options, Answer::Done) => Ok(Response::new(Status::OK).header("Public", PUBLIC)),
            (Method::GetParameter | Method::SetParameter, Answer::Done) => self.parameter(&rtsp),
            _ => Err(Response::new(Status::INTERNAL_SERVER_ERROR)),
        };
        self.respond(key, response.unwrap_or_else(|refused| refused));
    }

    /// Sends the response to the request that is being answered.
    pub(super) fn respond(&mut self, key: ConnectionKey, response: Response) {
        if response.status.0 >= 400 {
            self.state.counters.requests_refused.add(1);
        }
        if let Some(connection) = self.state.connections.get_mut(key) {
            if let Some(server) = connection.machine.rtsp() {
                server.respond(response);
            }
            self.transmit(key);
        }
    }

    /// The session a request means: by its header, else the only one that can be meant on this connection.
    pub(super) fn session_of(&self, key: ConnectionKey, request: &message::Request) -> Named {
        let state = &self.state;
        let Some(connection) = state.connections.get(key) else { return Named::None };
        let Some(id) = request.session() else {
            return match connection.sessions[..] {
                [only] => Named::Session(only),
                _ => Named::None,
            };
        };
        if let Some(session) = state.session_ids.get(id).copied() {
            // A session id is a secret, but the address is checked as well: media go to it.
            let same_host = state.sessions[session].peer.0.ip() == connection.peer.0.ip();
            return if same_host { Named::Session(session) } else { Named::Unknown };
        }
        match super::shard_of(id).filter(|shard| *shard != state.id && shard.index() < state.settings.shards)
        {
            Some(shard) => Named::Elsewhere(shard),
            None => Named::Unknown,
        }
    }

    /// The session a request names, or the refusal.
    pub(super) fn named_session(
        &self,
        key: ConnectionKey,
        request: &message::Request,
    ) -> Result<SessionKey, Response> {
        match self.session_of(key, request) {
            Named::Session(session) => Ok(session),
            _ => Err(Response::new(Status::SESSION_NOT_FOUND)),
        }
    }

    fn understand(&mut self, key: ConnectionKey, rtsp: &message::Request) -> Result<Request, Refusal> {
        let uri = Uri::parse(&rtsp.uri).map_err(|error| Refusal::Status(error.status()))?;
        if let Some(wanted) = rtsp.headers.get("Require").or_else(|| rtsp.headers.get("Proxy-Require")) {
            return Err(Refusal::Option(wanted.into()));
        }
        let named = self.session_of(key, rtsp);
        let session = self.check_state(key, rtsp, &named)?;
        let role =
            session.and_then(|session| self.state.sessions.get(session)).and_then(|s| Some(s.rtsp()?.role()));
        let (path, query, _) = split_track(&uri);
        let intent = match rtsp.method {
            Method::Describe => Intent::Describe,
            Method::Announce => Intent::Publish,
            Method::Setup if role != Some(session::Role::Publish) => Intent::Read,
            _ => Intent::Control,
        };
        let tracks = if intent == Intent::Publish { announced(rtsp)? } else { Vec::new() };
        let Some(connection) = self.state.connections.get(key) else {
            return Err(Refusal::Status(Status::INTERNAL_SERVER_ERROR));
        };
        Ok(Request {
            connection: key,
            protocol: connection.protocol().name(),
            method: rtsp.method.as_str().into(),
            intent,
            path: Arc::from(path.trim_matches('/')),
            peer: connection.peer,
            user_agent: rtsp.headers.get("User-Agent").map(Box::from),
            authorization: rtsp.headers.get("Authorization").map(Box::from),
            credentials: None,
            query: query.unwrap_or_default().into(),
            user: Box::default(),
            kind: SessionKind::Plain,
            tracks,
            settings: None,
            started: self.state.now,
        })
    }

    /// Whether the method is allowed in the state of its session. Returns the session; touches its timeout.
    fn check_state(
        &mut self,
        key: ConnectionKey,
        rtsp: &message::Request,
        named: &Named,
    ) -> Result<Option<SessionKey>, Refusal> {
        if let Method::Other(_) | Method::Redirect = rtsp.method {
            let status = match rtsp.method {
                Method::Redirect => Status::METHOD_NOT_ALLOWED,
                _ => Status::NOT_IMPLEMENTED,
            };
            return Err(Refusal::Status(status));
        }
        let needs_session =
            matches!(rtsp.method, Method::Play | Method::Pause | Method::Record | Method::Teardown);
        match named {
            Named::Session(session) => {
                let Some(found) = self.state.sessions.get_mut(*session) else {
                    return Err(Refusal::Status(Status::SESSION_NOT_FOUND));
                };
                found.last_seen = self.state.now;
                let explicit = rtsp.session().is_some();
                // Without a header, DESCRIBE, OPTIONS and a fresh SETUP or ANNOUNCE are not about the session.
                if explicit || needs_session {
                    let machine = found.rtsp().ok_or(Refusal::Status(Status::SESSION_NOT_FOUND))?;
                    machine.allows(&rtsp.method).map_err(Refusal::Status)?;
                }
                self.adopt_session(key, *session);
                Ok(Some(*session))
            }
            Named::None if needs_session => Err(Refusal::Status(Status::SESSION_NOT_FOUND)),
            Named::None => Ok(None),
            Named::Unknown => Err(Refusal::Status(Status::SESSION_NOT_FOUND)),
            Named::Elsewhere(shard) => Err(Refusal::Elsewhere(*shard)),
        }
    }

    /// A session over UDP that is controlled from a new connection belongs to that one from now on.
    fn adopt_session(&mut self, key: ConnectionKey, session: SessionKey) {
        let Some(found) = self.state.sessions.get_mut(session) else { return };
        if found.connection == Some(key) || !found.uses_datagrams() {
            return;
        }
        let full = self
            .state
            .connections
            .get(key)
            .is_none_or(|connection| connection.sessions.len() >= limits::SESSIONS_PER_CONNECTION_MAX);
        if full {
            return;
        }
        let before = found.connection.replace(key);
        if let Some(before) = before.and_then(|before| self.state.connections.get_mut(before)) {
            before.sessions.retain(|other| *other != session);
            if before.sessions.is_empty() {
                before.machine.set_attached(false);
            }
        }
        if let Some(connection) = self.state.connections.get_mut(key) {
            connection.sessions.push(session);
            connection.machine.set_attached(true);
            let connection = Some(connection.record.id);
            if let Some(found) = self.state.sessions.get(session) {
                let id = found.record.id;
                self.state.tell(Event::SessionMoved { id, connection });
            }
        }
    }

    fn parameter(&self, rtsp: &message::Request) -> Result<Response, Response> {
        // GET_PARAMETER without a body is a keep-alive (RFC 2326, section 10.8); this server has no parameters.
        if rtsp.body.is_empty() {
            Ok(self.with_session(rtsp))
        } else {
            Err(Response::new(Status::PARAMETER_NOT_UNDERSTOOD))
        }
    }

    /// What controls a new session.
    pub(super) fn new_control(&self, role: session::Role) -> Control {
        Control::Rtsp(session::Session::new(super::session_id(self.state.id), role))
    }

    /// A plain success that repeats the Session header.
    pub(super) fn with_session(&self, rtsp: &message::Request) -> Response {
        match rtsp.session() {
            Some(id) => Response::new(Status::OK).header("Session", id),
            None => Response::new(Status::OK),
        }
    }

    /// The Session header with its timeout (RFC 2326, section 12.37).
    pub(super) fn session_header(&self, id: &str) -> String {
        format!("{id};timeout={}", self.state.settings.rtsp.session_timeout.as_secs())
    }

    fn tear_down(&mut self, key: ConnectionKey, rtsp: &message::Request) {
        if let Named::Session(session) = self.session_of(key, rtsp) {
            self.close_session(session, "torn down by the client");
        }
        let response = self.with_session(rtsp);
        self.respond(key, response);
    }
}

/// Why a request was answered before it walked.
enum Refusal {
    Status(Status),
    /// An extension that this server does not have.
    Option(Box<str>),
    Elsewhere(ShardId),
}

/// The tracks of an ANNOUNCE.
fn announced(rtsp: &message::Request) -> Result<Vec<Track>, Refusal> {
    let is_sdp = rtsp.headers.get("Content-Type").is_none_or(|kind| {
        kind.split(';').next().is_some_and(|k| k.trim().eq_ignore_ascii_case("application/sdp"))
    });
    if !is_sdp {
        return Err(Refusal::Status(Status::UNSUPPORTED_MEDIA_TYPE));
    }
    let tracks = sdp::SessionDescription::parse(&rtsp.body)
        .and_then(|description| sdp::tracks(&description))
        .map_err(|error| {
            tracing::debug!("ANNOUNCE refused: {error}");
            Refusal::Status(Status::BAD_REQUEST)
        })?;
    if tracks.is_empty() {
        return Err(Refusal::Status(Status::BAD_REQUEST));
    }
    Ok(tracks.into_iter().map(|(track, _)| track).collect())
}

/// The response to a refusal by a module. A path that is taken gets 400, as in MediaMTX.
fn rejected(rejection: &Rejection) -> Response {
    let status = match &rejection.kind {
        RejectionKind::Invalid | RejectionKind::Conflict => Status::BAD_REQUEST,
        RejectionKind::Unauthenticated { .. } => Status::UNAUTHORIZED,
        RejectionKind::NotFound => Status::NOT_FOUND,
        RejectionKind::Limit => Status::NOT_ENOUGH_BANDWIDTH,
        RejectionKind::Unavailable => Status::SERVICE_UNAVAILABLE,
    };
    let mut response = Response::new(status);
    if status == Status::SERVICE_UNAVAILABLE {
        response.headers.push("Retry-After", "1");
    }
    if let RejectionKind::Unauthenticated { challenges } = &rejection.kind {
        for challenge in challenges {
            response.headers.push("WWW-Authenticate", challenge.clone());
        }
    }
    response
}
