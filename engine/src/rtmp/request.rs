//! From `publish` and `play` to their walk through the modules, and from the answer to the reply.

use super::Asked;
use crate::access::Credentials;
use crate::limits;
use crate::modules::{Answer, Intent, Raw, Rejection, RejectionKind, Request};
use crate::records::SessionKind;
use crate::shard::machine::Machine;
use crate::shard::walk::{self, Walk};
use crate::shard::{ConnectionKey, Shard};
use headwater_protocols::rtmp::server::{Event, Refusal};
use std::sync::Arc;

impl Shard {
    /// Takes what the machine of an RTMP connection has to tell. Returns false when the connection is gone.
    pub(crate) fn drive_rtmp(&mut self, key: ConnectionKey) -> bool {
        loop {
            let Some(connection) = self.state.connections.get_mut(key) else { return false };
            let Machine::Rtmp(rtmp) = &mut connection.machine else { return true };
            let Some(event) = rtmp.server.poll_event() else { return true };
            match event {
                Event::Connect(connect) => {
                    rtmp.connected(connect);
                    rtmp.server.accept();
                }
                Event::Publish(publish) => self.rtmp_request(key, Asked::Publish(publish)),
                Event::Play(play) => self.rtmp_request(key, Asked::Play(play)),
                Event::Media { kind, timestamp_ms, payload } => {
                    self.rtmp_media(key, kind, timestamp_ms, payload);
                }
                Event::Pause(paused) => self.pause_reader(key, paused),
                Event::ReceiveAudio(wanted) => self.receive(key, Some(wanted), None),
                Event::ReceiveVideo(wanted) => self.receive(key, None, Some(wanted)),
                Event::Stopped => self.end_rtmp_session(key, "stopped by the client"),
                Event::Closed(None) => {
                    self.transmit(key);
                    self.end_connection(key, "the client closed the connection");
                    return false;
                }
                Event::Closed(Some(error)) => {
                    self.transmit(key);
                    self.misbehaved(key, if error.is_idle() { "idle" } else { error.kind() }, &error);
                    return false;
                }
            }
        }
    }

    /// Answers one request, now or when a module lets it go on.
    pub(crate) fn rtmp_request(&mut self, key: ConnectionKey, asked: Asked) {
        self.state.counters.requests.add(1);
        let method = match asked {
            Asked::Publish(_) => "publish",
            Asked::Play(_) => "play",
        };
        if let Err(rejection) = self.filter(key, &mut Raw::Command(method)) {
            return self.refuse_rtmp(key, &rejection);
        }
        let Some(request) = self.understand_rtmp(key, &asked, method) else { return };
        self.walk_on(key, Walk::new(request), walk::Asked::Rtmp(asked));
    }

    fn understand_rtmp(&self, key: ConnectionKey, asked: &Asked, method: &'static str) -> Option<Request> {
        let connection = self.state.connections.get(key)?;
        let Machine::Rtmp(rtmp) = &connection.machine else { return None };
        let (intent, path, query) = match asked {
            Asked::Publish(publish) => (Intent::Publish, &publish.path, &publish.query),
            Asked::Play(play) => (Intent::Read, &play.path, &play.query),
        };
        let user_agent = &rtmp.flash_version;
        Some(Request {
            connection: key,
            protocol: connection.protocol().name(),
            method: method.into(),
            intent,
            path: Arc::from(path.as_str()),
            peer: connection.peer,
            user_agent: (!user_agent.is_empty()).then(|| user_agent.clone()),
            authorization: None,
            credentials: Some(credentials(query)),
            query: query.as_str().into(),
            user: Box::default(),
            kind: SessionKind::Plain,
            tracks: Vec::new(),
            settings: None,
            started: self.state.now,
        })
    }

    /// Does what the modules allowed, and replies.
    pub(crate) fn complete_rtmp(
        &mut self,
        key: ConnectionKey,
        request: &Request,
        asked: Asked,
        answer: Answer,
    ) {
        let result = match (&asked, answer) {
            (_, Answer::Rejected(rejection)) => Err(rejection),
            (_, Answer::Elsewhere(shard)) => {
                match self.move_connection(key, shard, walk::Asked::Rtmp(asked)) {
                    Ok(()) => return,
                    Err(_) => Err(Rejection::new(
                        RejectionKind::Unavailable,
                        "the path's home is another shard, and the connection cannot go there",
                    )),
                }
            }
            (Asked::Publish(_), Answer::Claimed) => self.begin_publishing(key, request),
            (Asked::Play(_), Answer::Stream(stream)) => self.begin_playing_rtmp(key, request, stream),
            // RTMP has no redirect that players follow.
            (_, Answer::Redirect(_)) => {
                let reason = format!("no one is publishing to path \"{}\"", request.path);
                Err(Rejection::new(RejectionKind::NotFound, reason))
            }
            _ => Err(Rejection::new(RejectionKind::Unavailable, "internal error")),
        };
        if let Err(rejection) = result {
            self.refuse_rtmp(key, &rejection);
        }
    }

    fn refuse_rtmp(&mut self, key: ConnectionKey, rejection: &Rejection) {
        self.state.counters.requests_refused.add(1);
        let refusal = match rejection.kind {
            RejectionKind::Unauthenticated { .. } => Refusal::Unauthorized,
            RejectionKind::NotFound => Refusal::NotFound,
            RejectionKind::Conflict => Refusal::Busy,
            RejectionKind::Invalid | RejectionKind::Limit | RejectionKind::Unavailable => Refusal::Failed,
        };
        if let Some(connection) = self.state.connections.get_mut(key)
            && let Machine::Rtmp(rtmp) = &mut connection.machine
        {
            rtmp.server.refuse(refusal, &rejection.reason);
            self.transmit(key);
        }
    }

    pub(super) fn end_rtmp_session(&mut self, key: ConnectionKey, reason: &str) {
        let Some(connection) = self.state.connections.get_mut(key) else { return };
        if let Machine::Rtmp(rtmp) = &mut connection.machine {
            rtmp.publishing = None;
        }
        for session in connection.sessions.clone() {
            self.close_session(session, reason);
        }
    }
}

/// What the query shows: `user` and `pass`, as MediaMTX has it.
fn credentials(query: &str) -> Credentials {
    let mut credentials = Credentials::default();
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let field = match name {
            "user" => &mut credentials.user,
            "pass" => &mut credentials.password,
            _ => continue,
        };
        *field = decoded(value, limits::CREDENTIAL_BYTES_MAX);
    }
    credentials
}

/// Percent-decoded, and cut after `bytes_max`.
fn decoded(text: &str, bytes_max: usize) -> String {
    let mut bytes = Vec::with_capacity(text.len().min(bytes_max));
    let mut rest = text.as_bytes();
    while let (Some((&first, after)), true) = (rest.split_first(), bytes.len() < bytes_max) {
        rest = after;
        let escaped = (first == b'%')
            .then(|| after.get(..2))
            .flatten()
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => bytes.push(if first == b'+' { b' ' } else { first }),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::credentials;

    #[test]
    fn credentials_come_from_the_query() {
        let found = credentials("user=us%65r&x=1&pass=p%26%zz+q");
        assert_eq!((found.user.as_str(), found.password.as_str()), ("user", "p&%zz q"));
        assert!(credentials("token=abc").is_empty());
    }
}
