//! Pages, and the list of live paths that one of them shows.

use super::head::Facts;
use super::request::plain;
use crate::access::{self, Action, Credentials, Decision, Verdict};
use crate::http::{Body, ExchangeId};
use crate::limits;
use crate::net::Peer;
use crate::settings::Access;
use crate::shard::{ConnectionKey, Shard, State};
use ::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use ::http::{HeaderValue, StatusCode};
use bytes::Bytes;
use headwater_protocols::rtsp::auth::Authorization;
use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::atomic::Ordering;
use std::time::UNIX_EPOCH;

/// Pages load nothing from elsewhere and run no script but their own files.
const POLICY: &str =
    "default-src 'self'; media-src 'self' blob:; connect-src 'self' ws: wss:; img-src 'self' data:";

impl Shard {
    /// A file of the pages.
    pub(super) fn respond_page(
        &mut self,
        key: ConnectionKey,
        exchange: ExchangeId,
        facts: &Facts,
        name: &str,
    ) {
        let Some(page) = self.state.settings.http.pages.get(name).cloned() else {
            let head = plain(StatusCode::NOT_FOUND);
            return self.respond_text(key, exchange, facts, head, "there is nothing here");
        };
        let mut head = plain(StatusCode::OK);
        let headers = head.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(page.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        facts.finish(&mut head);
        self.respond_web(key, exchange, head, Body::Pieces(VecDeque::from([page.body])));
    }

    /// The live paths that whoever asks may read, as JSON.
    pub(super) fn respond_paths(
        &mut self,
        key: ConnectionKey,
        exchange: ExchangeId,
        facts: &Facts,
        peer: Peer,
        authorization: Option<Box<str>>,
    ) {
        let credentials = match authorization.and_then(|header| Authorization::parse(&header).ok()) {
            Some(Authorization::Basic { user, password }) => {
                Credentials { user: user.into(), password: password.into(), token: String::new() }
            }
            _ => Credentials::default(),
        };
        let text = self.state.paths_for(peer, &credentials);
        let mut head = plain(StatusCode::OK);
        head.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        head.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        facts.finish(&mut head);
        self.respond_web(key, exchange, head, Body::Pieces(VecDeque::from([Bytes::from(text)])));
    }
}

impl State {
    fn paths_for(&self, peer: Peer, credentials: &Credentials) -> String {
        let mut text = String::from("[");
        let mut listed = 0;
        for (path, live) in self.registry.all_live() {
            if listed == limits::PAGE_PATHS_MAX {
                break;
            }
            if !self.may_read(&path, peer, credentials) {
                continue;
            }
            let separator = if listed == 0 { "" } else { "," };
            let tracks = live.description.tracks.iter().map(|track| format!("\"{}\"", track.codec));
            let tracks = tracks.collect::<Vec<_>>().join(",");
            let readers = live.description.readers.load(Ordering::Relaxed);
            let since = live.description.created.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            // Names of paths need no escapes: they were checked.
            let _ = write!(
                text,
                "{separator}{{\"name\":\"{path}\",\"tracks\":[{tracks}],\"readers\":{readers},\"ready_since\":{since}}}"
            );
            listed += 1;
        }
        text.push(']');
        text
    }

    /// What the rules of this shard say at once; whom only others can know is shown nothing.
    fn may_read(&self, path: &str, peer: Peer, credentials: &Credentials) -> bool {
        let asked = || access::Request {
            action: Action::Read,
            path: path.to_owned(),
            protocol: "hls",
            id: None,
            ip: peer.0.ip(),
            query: String::new(),
            user_agent: String::new(),
            credentials: credentials.clone(),
        };
        match &*self.settings.access {
            Access::Open => true,
            Access::Rules(users) => {
                matches!(access::decide(users, &asked()), Decision::Verdict(Verdict::Allowed { .. }))
            }
            Access::Ask { exclude, .. } => exclude.iter().any(|rule| rule.covers(Action::Read, path)),
        }
    }
}
