//! From an HTTP request to its walk through the modules, and from the answer to the response.

use super::Account;
use super::head::{self, Facts, Part};
use super::target::{self, Fault, Kind, Target};
use crate::access::{Action, Credentials};
use crate::hls::ask::Pending;
use crate::hls::{Outcome, Session};
use crate::http::{Body, ExchangeId};
use crate::mesh::ShardId;
use crate::modules::{Answer, Intent, Raw, Rejection, RejectionKind, Request};
use crate::net::Peer;
use crate::records::SessionKind;
use crate::registry::Live;
use crate::settings;
use crate::shard::walk::{self, Walk};
use crate::shard::{ConnectionKey, Shard};
use crate::stream::StreamId;
use ::http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
    LOCATION, RETRY_AFTER, SET_COOKIE, VARY, WWW_AUTHENTICATE,
};
use ::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use bytes::Bytes;
use headwater_protocols::hls;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

/// Name of the cookie and of the query's key that hold a session's secret.
const SESSION: &str = "session";

/// A request that walks, as the listener understood it.
pub(crate) struct Asked {
    pub(crate) exchange: ExchangeId,
    pub(crate) target: Target,
    pub(crate) facts: Facts,
    /// It showed the secret of content delivery networks.
    is_cdn: bool,
}

impl Shard {
    /// Answers one request, now or later.
    pub(crate) fn web_request(
        &mut self,
        key: ConnectionKey,
        exchange: ExchangeId,
        request: ::http::Request<Bytes>,
    ) {
        let Some(connection) = self.state.connections.get(key) else { return };
        if connection.suspended.is_some() {
            let Some(web) = self.state.web.get_mut(key) else { return };
            if web.waiting.len() < super::WAITING_MAX {
                web.waiting.push_back((exchange, request));
                return;
            }
            let facts = Facts::default();
            let rejection = Rejection::new(RejectionKind::Unavailable, "too many requests wait");
            return self.refuse_web(key, exchange, &facts, &rejection);
        }
        self.state.counters.requests.add(1);
        let settings = Arc::clone(&self.state.settings);
        let trusted = settings::is_trusted(&settings.http.trusted_proxies, connection.peer.0.ip());
        let is_secure = connection.is_secure()
            || trusted && request.headers().get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
        let facts = Facts::of(&request, &settings, is_secure);
        match *request.method() {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => {
                let head = facts.preflight();
                return self.respond_web(key, exchange, head, Body::Empty);
            }
            _ => {
                let mut head = plain(StatusCode::METHOD_NOT_ALLOWED);
                head.headers_mut().insert(ALLOW, HeaderValue::from_static("OPTIONS, GET, HEAD"));
                return self.respond_text(key, exchange, &facts, head, "this method is not served here");
            }
        }
        if let Err(rejection) = self.filter(key, &mut Raw::Http(request.uri().path())) {
            return self.refuse_web(key, exchange, &facts, &rejection);
        }
        let target = match Target::parse(request.uri().path(), &facts.query) {
            Ok(target) => target,
            Err(Fault::NotFound) => {
                let head = plain(StatusCode::NOT_FOUND);
                return self.respond_text(key, exchange, &facts, head, "there is nothing here");
            }
            Err(Fault::Invalid(reason)) => {
                let head = plain(StatusCode::BAD_REQUEST);
                return self.respond_text(key, exchange, &facts, head, &reason);
            }
        };
        let peer = self.peer_of(key, request.headers(), trusted);
        self.web_target(key, Asked { exchange, target, facts, is_cdn: false }, peer, request.headers());
    }

    /// Who asks: behind a trusted proxy, whom the proxy names.
    fn peer_of(&self, key: ConnectionKey, headers: &HeaderMap, trusted: bool) -> Peer {
        let Some(connection) = self.state.connections.get(key) else {
            return Peer::new(([0, 0, 0, 0], 0).into());
        };
        let proxies = &self.state.settings.http.trusted_proxies;
        let named =
            trusted.then(|| head::forwarded_for(headers, |ip| settings::is_trusted(proxies, ip))).flatten();
        named.map_or(connection.peer, |ip| Peer::new(SocketAddr::new(ip, connection.peer.0.port())))
    }

    fn web_target(&mut self, key: ConnectionKey, mut asked: Asked, peer: Peer, headers: &HeaderMap) {
        let exchange = asked.exchange;
        let (path, intent, kind) = match &asked.target {
            Target::Index => return self.respond_page(key, exchange, &asked.facts, "index.html"),
            Target::File(name) => {
                let name = name.clone();
                return self.respond_page(key, exchange, &asked.facts, &name);
            }
            Target::Paths => {
                let authorization = head::authorization(headers);
                return self.respond_paths(key, exchange, &asked.facts, peer, authorization);
            }
            Target::ToPage { name } => {
                let query = &asked.facts.query;
                let separator = if query.is_empty() { "" } else { "?" };
                // Relative, so that it holds behind any proxy; with the dot, no name is taken for a scheme or a host.
                let location = format!("./{name}/{separator}{query}");
                let mut head = plain(StatusCode::MOVED_PERMANENTLY);
                if let Ok(location) = HeaderValue::from_str(&location) {
                    head.headers_mut().insert(LOCATION, location);
                }
                return self.respond_text(key, exchange, &asked.facts, head, "");
            }
            Target::Page { path } => (path, Intent::Page, SessionKind::Plain),
            Target::Hls { path, .. } => (path, Intent::Watch, SessionKind::Plain),
            Target::Endless { path, kind } => {
                let kind = match (kind, &asked.facts.websocket) {
                    (Kind::Flv, Some(_)) => SessionKind::WebSocketFlv,
                    (Kind::Flv, None) => SessionKind::Flv,
                    (Kind::MpegTs, _) => SessionKind::MpegTs,
                };
                (path, Intent::Read, kind)
            }
        };
        let path: Arc<str> = Arc::from(&**path);
        if let Target::Hls { request, .. } = asked.target
            && let Some(session) = self.known_player(&path, peer, &asked.facts)
        {
            return self.ask_for_player(key, asked, request, session);
        }
        asked.is_cdn = self.shows_cdn_secret(headers);
        let kind = if asked.is_cdn { SessionKind::Cdn } else { kind };
        let request = Request {
            connection: key,
            protocol: "hls",
            method: "GET".into(),
            // The secret of content delivery networks stands for everything else.
            intent,
            path,
            peer,
            user_agent: head::user_agent(headers),
            authorization: head::authorization(headers),
            credentials: None::<Credentials>,
            query: asked.facts.query.clone(),
            user: Box::default(),
            kind,
            tracks: Vec::new(),
            settings: None,
            started: self.state.now,
        };
        self.walk_on(key, Walk::new(request), walk::Asked::Http(Box::new(asked)));
    }

    fn shows_cdn_secret(&self, headers: &HeaderMap) -> bool {
        use subtle::ConstantTimeEq;
        let Some(secret) = &self.state.settings.http.hls.cdn_secret else { return false };
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = shown.and_then(|value| value.strip_prefix("Bearer "));
        shown.is_some_and(|shown| shown.as_bytes().ct_eq(secret.as_bytes()).into())
    }

    /// Whether anybody anywhere may read a path, so that shared caches may keep it.
    fn is_public(&self, path: &str) -> bool {
        self.state.settings.access.is_public(Action::Read, path)
    }

    /// The session that a request names, in its query or a cookie.
    fn known_player(&mut self, path: &str, peer: Peer, facts: &Facts) -> Option<Arc<Session>> {
        let named = target::parameter(&facts.query, SESSION);
        let cookie = facts
            .cookie
            .as_deref()
            .and_then(|cookie| cookie.split(';').find_map(|pair| pair.trim().strip_prefix("hlsSession=")));
        let secrets = named.as_deref().into_iter().chain(cookie);
        let session = secrets
            .filter_map(|secret| self.state.registry.player(secret))
            .find(|session| session.admits(path, peer.0.ip()))?;
        session.touch(self.state.now);
        Some(session)
    }

    /// A request of a session that was let in before.
    fn ask_for_player(
        &mut self,
        key: ConnectionKey,
        asked: Asked,
        request: hls::Request,
        session: Arc<Session>,
    ) {
        // Who keeps cookies needs no secret in URIs, nor does who was let in without showing anything: then all players
        // are given the same text.
        let by_cookie = target::parameter(&asked.facts.query, SESSION).is_none();
        let suffix = if by_cookie || session.is_open { Box::default() } else { suffix(&session) };
        let public = session.is_open && self.is_public(&session.record.path);
        if let Some(web) = self.state.web.get_mut(key) {
            web.session = Some(Arc::clone(&session));
        }
        let (stream, home) = (session.stream, session.home);
        self.ask_for(key, asked, request, Some(session), (stream, home), suffix, public);
    }

    #[expect(clippy::too_many_arguments, reason = "one step of a request, with all it has gathered")]
    fn ask_for(
        &mut self,
        key: ConnectionKey,
        asked: Asked,
        request: hls::Request,
        session: Option<Arc<Session>>,
        (stream, home): (StreamId, ShardId),
        suffix: Box<str>,
        public: bool,
    ) {
        let Asked { exchange, facts, .. } = asked;
        let pending = Pending::new(key, exchange, facts, request, session, public, self.state.now);
        self.state.ask_muxer(stream, home, suffix, pending);
    }

    /// Does what the modules allowed, and responds.
    pub(crate) fn complete_web(
        &mut self,
        key: ConnectionKey,
        request: &Request,
        asked: Asked,
        answer: Answer,
    ) {
        let (exchange, facts) = (asked.exchange, asked.facts.clone());
        let result = match (answer, &asked.target) {
            (Answer::Rejected(rejection), _) => Err(rejection),
            (Answer::Redirect(to), _) => {
                self.redirect_web(key, exchange, &facts, &to);
                Ok(())
            }
            (Answer::Done, Target::Page { .. }) => {
                self.respond_page(key, exchange, &facts, "player.html");
                Ok(())
            }
            (Answer::Watched(live), Target::Hls { request: wanted, .. }) => {
                let wanted = *wanted;
                self.watch(key, request, asked, wanted, &live)
            }
            (Answer::Stream(stream), Target::Endless { kind, .. }) => {
                let kind = *kind;
                self.begin_endless(key, request, exchange, &facts, kind, stream)
            }
            _ => Err(Rejection::new(RejectionKind::Unavailable, "internal error")),
        };
        if let Err(rejection) = result {
            self.refuse_web(key, exchange, &facts, &rejection);
        }
        self.next_web_request(key);
    }

    /// A request for HLS that was let in: opens a session for a multivariant playlist.
    fn watch(
        &mut self,
        key: ConnectionKey,
        request: &Request,
        asked: Asked,
        wanted: hls::Request,
        live: &Live,
    ) -> Result<(), Rejection> {
        // Let in without showing anything: so would be anybody.
        let open = request.authorization.is_none() && !shows_token(&request.query) && request.user.is_empty();
        let public = asked.is_cdn || open && self.is_public(&request.path);
        let begins = matches!(wanted, hls::Request::Multivariant);
        let session = if asked.is_cdn || begins {
            let kind = if asked.is_cdn { SessionKind::Cdn } else { SessionKind::Plain };
            Some(self.state.open_player(request, live, kind, open)?)
        } else {
            self.state
                .web
                .get(key)
                .and_then(|web| web.session.clone())
                .filter(|session| session.admits(&request.path, request.peer.0.ip()))
        };
        if let Some(session) = &session {
            session.touch(self.state.now);
            if let Some(web) = self.state.web.get_mut(key) {
                web.session = Some(Arc::clone(session));
            }
        }
        let suffix = match &session {
            Some(session) if begins && !asked.is_cdn => suffix(session),
            _ => Box::default(),
        };
        let place = (live.stream, live.home);
        self.ask_for(key, asked, wanted, session, place, suffix, public && !begins);
        Ok(())
    }

    /// The answer of a muxer, as a response.
    pub(crate) fn answer_player(&mut self, pending: Pending, outcome: Outcome) {
        let Pending { connection: key, exchange, facts, request, session, public, .. } = pending;
        let (response, muxer) = match outcome {
            Outcome::Answered { response, muxer } => (response, muxer),
            Outcome::Gone { reason } => {
                let rejection = Rejection::new(RejectionKind::NotFound, reason);
                return self.refuse_web(key, exchange, &facts, &rejection);
            }
            Outcome::TimedOut => {
                let reason = "nothing came in time: the publisher sends no key frames, or nothing at all";
                let rejection = Rejection::new(RejectionKind::Unavailable, reason);
                return self.refuse_web(key, exchange, &facts, &rejection);
            }
        };
        match response {
            hls::Response::Ready { body, content_type, cacheability } => {
                let mut head = plain(StatusCode::OK);
                let headers = head.headers_mut();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type.as_str()));
                if let Some(cache) = cache_control(cacheability, request, public, session.as_deref()) {
                    headers.insert(CACHE_CONTROL, cache);
                }
                if matches!(request, hls::Request::Multivariant)
                    && let Some(session) = session.as_ref().filter(|session| !session.is_cdn())
                    && let Some(cookie) = cookie(session, &facts)
                {
                    headers.insert(SET_COOKIE, cookie);
                }
                if let Some(web) = self.state.web.get_mut(key) {
                    web.accounts.push(Account { exchange, muxer, session });
                }
                self.respond_body(key, exchange, &facts, head, &body, content_type);
            }
            hls::Response::BadRequest => {
                let head = plain(StatusCode::BAD_REQUEST);
                self.respond_text(key, exchange, &facts, head, "the playlist is not that far yet");
            }
            hls::Response::NotFound | hls::Response::Wait(_) => {
                let head = plain(StatusCode::NOT_FOUND);
                self.respond_text(key, exchange, &facts, head, "there is no such file, or not any more");
            }
        }
    }

    /// A body with its tag, range and compression.
    fn respond_body(
        &mut self,
        key: ConnectionKey,
        exchange: ExchangeId,
        facts: &Facts,
        mut head: Response<()>,
        body: &hls::Body,
        content_type: hls::ContentType,
    ) {
        let is_playlist = content_type == hls::ContentType::Playlist;
        let zipped = (is_playlist && facts.takes_gzip && body.bytes >= crate::limits::GZIP_BYTES_MIN)
            .then(|| self.state.zipped.get(body))
            .flatten();
        let etag = etag(body, is_playlist, zipped.is_some());
        if is_playlist {
            head.headers_mut().append(VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        if let Ok(value) = HeaderValue::from_str(&etag) {
            head.headers_mut().insert(ETAG, value);
        }
        if facts.has(&etag) {
            *head.status_mut() = StatusCode::NOT_MODIFIED;
            head.headers_mut().remove(CONTENT_TYPE);
            facts.finish(&mut head);
            return self.respond_web(key, exchange, head, Body::Empty);
        }
        if let Some(zipped) = zipped {
            head.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            facts.finish(&mut head);
            return self.respond_web(key, exchange, head, Body::Pieces(VecDeque::from([zipped])));
        }
        if !is_playlist {
            head::accept_ranges(&mut head);
        }
        let (first, last) = match facts.part(body.bytes) {
            Part::All => (0, body.bytes),
            Part::Range(first, last) => {
                *head.status_mut() = StatusCode::PARTIAL_CONTENT;
                let range = format!("bytes {first}-{last}/{}", body.bytes);
                insert_text(&mut head, CONTENT_RANGE, &range);
                (first, last + 1)
            }
            Part::Unsatisfiable => {
                *head.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
                insert_text(&mut head, CONTENT_RANGE, &format!("bytes */{}", body.bytes));
                return self.respond_text(key, exchange, facts, head, "");
            }
        };
        facts.finish(&mut head);
        self.respond_web(key, exchange, head, Body::Pieces(slice(&body.pieces, first, last)));
    }

    fn redirect_web(&mut self, key: ConnectionKey, exchange: ExchangeId, facts: &Facts, to: &str) {
        let mut head = plain(StatusCode::FOUND);
        // A bare name is another path here.
        let location = if to.contains("://") { to.to_owned() } else { format!("/{}/", to.trim_matches('/')) };
        insert_text(&mut head, LOCATION, &location);
        self.respond_text(key, exchange, facts, head, "");
    }

    pub(super) fn refuse_web(
        &mut self,
        key: ConnectionKey,
        exchange: ExchangeId,
        facts: &Facts,
        rejection: &Rejection,
    ) {
        let status = match rejection.kind {
            RejectionKind::Invalid => StatusCode::BAD_REQUEST,
            RejectionKind::Unauthenticated { .. } => StatusCode::UNAUTHORIZED,
            RejectionKind::NotFound => StatusCode::NOT_FOUND,
            RejectionKind::Conflict => StatusCode::CONFLICT,
            RejectionKind::Limit | RejectionKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut head = plain(status);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            head.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let RejectionKind::Unauthenticated { challenges } = &rejection.kind {
            for challenge in challenges {
                if let Ok(challenge) = HeaderValue::from_str(challenge) {
                    head.headers_mut().append(WWW_AUTHENTICATE, challenge);
                }
            }
        }
        self.respond_text(key, exchange, facts, head, &rejection.reason);
    }

    /// A short answer for people, which no cache keeps.
    pub(super) fn respond_text(
        &mut self,
        key: ConnectionKey,
        exchange: ExchangeId,
        facts: &Facts,
        mut head: Response<()>,
        text: &str,
    ) {
        if head.status().is_client_error() || head.status().is_server_error() {
            self.state.counters.requests_refused.add(1);
        }
        let headers = head.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let body = if text.is_empty() {
            Body::Empty
        } else {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            Body::Pieces(VecDeque::from([Bytes::from(format!("{text}\n"))]))
        };
        facts.finish(&mut head);
        self.respond_web(key, exchange, head, body);
    }

    /// Gives a response to the machine; it leaves when the machine advances.
    pub(super) fn respond_web(
        &mut self,
        key: ConnectionKey,
        exchange: ExchangeId,
        head: Response<()>,
        body: Body,
    ) {
        if let Some(web) = self.state.web.get_mut(key) {
            web.machine.respond(exchange, head, body);
        }
    }
}

pub(super) fn plain(status: StatusCode) -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = status;
    head
}

pub(super) fn insert_text(head: &mut Response<()>, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        head.headers_mut().insert(name, value);
    }
}

/// Whether a query holds what an authentication server may let somebody in for.
fn shows_token(query: &str) -> bool {
    ["token", "jwt", "user", "pass"].iter().any(|key| target::parameter(query, key).is_some())
}

/// What goes behind the URIs of a session's playlists.
fn suffix(session: &Session) -> Box<str> {
    format!("{SESSION}={}", session.secret).into()
}

/// The cookie of a session, for its path alone. Other sites' pages get it only over TLS, and partitioned.
fn cookie(session: &Session, facts: &Facts) -> Option<HeaderValue> {
    let policy = if facts.is_secure { "SameSite=None; Secure; Partitioned" } else { "SameSite=Lax" };
    let (secret, path) = (&session.secret, &session.record.path);
    HeaderValue::from_str(&format!("hlsSession={secret}; Path=/{path}/; HttpOnly; {policy}")).ok()
}

/// The value of Cache-Control; shared caches keep only what is anybody's.
fn cache_control(
    cacheability: hls::Cacheability,
    request: hls::Request,
    public: bool,
    session: Option<&Session>,
) -> Option<HeaderValue> {
    let cdn = session.is_some_and(Session::is_cdn);
    let scope = if public { "public" } else { "private" };
    let text = match (request, cacheability) {
        (hls::Request::Multivariant, _) if cdn => "max-age=30".to_owned(),
        (hls::Request::Multivariant, _) => "private, no-cache".to_owned(),
        (_, hls::Cacheability::Immutable) => format!("{scope}, max-age=3600, immutable"),
        (_, hls::Cacheability::Seconds(seconds)) => format!("{scope}, max-age={seconds}"),
        (_, hls::Cacheability::NoStore) => "no-store".to_owned(),
    };
    HeaderValue::from_str(&text).ok()
}

/// A strong tag: of playlists by all bytes, of files, which never change, by the first of each piece. What is compressed has
/// other bytes, so another tag (RFC 9110, section 8.8.3.3).
fn etag(body: &hls::Body, is_playlist: bool, is_zipped: bool) -> String {
    use std::hash::Hasher;
    // FNV-1a: the tag must be the same on every shard, and nothing depends on its being hard to forge.
    struct Fnv(u64);
    impl Hasher for Fnv {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    for piece in body.pieces.iter() {
        let sampled = if is_playlist { piece.len() } else { piece.len().min(64) };
        hash.write(&piece[..sampled]);
    }
    let coding = if is_zipped { "-gzip" } else { "" };
    format!("\"{:x}-{:x}{coding}\"", hash.finish(), body.bytes)
}

/// The bytes from `first` to before `last` of pieces that follow each other.
fn slice(pieces: &[Bytes], first: usize, last: usize) -> VecDeque<Bytes> {
    let mut start = 0;
    let mut sliced = VecDeque::with_capacity(pieces.len());
    for piece in pieces {
        let end = start + piece.len();
        let (from, to) = (first.max(start), last.min(end));
        if from < to {
            sliced.push_back(piece.slice(from - start..to - start));
        }
        start = end;
    }
    sliced
}

#[cfg(test)]
mod tests {
    use super::slice;
    use bytes::Bytes;

    #[test]
    fn a_range_lies_across_pieces() {
        let pieces = [Bytes::from_static(b"abc"), Bytes::from_static(b""), Bytes::from_static(b"defg")];
        let whole = b"abcdefg";
        for first in 0..7 {
            for last in first..=7 {
                let joined: Vec<u8> = slice(&pieces, first, last).iter().flat_map(|p| p.to_vec()).collect();
                assert_eq!(joined, whole[first..last]);
            }
        }
    }
}
