//! Access control by a list of users: takes part in `authenticate`. Without users everything is open.
//!
//! RTSP clients are challenged with Digest (RFC 7616) and Basic (RFC 7617) and may answer with either. Each connection
//! has a nonce of its own, so an answer read off the wire is worth nothing on another connection.

use super::{Flow, Intent, Module, Rejection, RejectionKind, Request, Role};
use crate::settings::User;
use crate::shard::State;
use headwater_protocols::rtsp::auth::{Authorization, Challenge, Scheme};

const REALM: &str = "headwater";

pub(crate) struct AccessControl;

impl Module for AccessControl {
    fn name(&self) -> &'static str {
        "access-control"
    }

    fn roles(&self) -> &'static [Role] {
        &[Role::Authenticate]
    }

    fn authenticate(&mut self, shard: &mut State, request: &mut Request) -> Flow {
        let users = &shard.settings.users;
        let wanted: fn(&User) -> bool = match request.intent {
            Intent::Control => return Flow::Next,
            Intent::Describe | Intent::Read => |user| user.may_read,
            Intent::Publish => |user| user.may_publish,
        };
        if users.is_empty() {
            return Flow::Next;
        }
        let Some(connection) = shard.connections.get_mut(request.connection) else { return Flow::Next };
        let nonce = connection.nonce.get_or_insert_with(|| crate::rtsp::session_id(shard.id));
        let Some(header) = &request.authorization else {
            return Flow::Reject(challenged(nonce, false, "credentials are required"));
        };
        let given = Authorization::parse(header).ok();
        let matches = |user: &User| {
            given
                .as_ref()
                .is_some_and(|given| given.verify(&request.method, nonce, REALM, &user.name, &user.password))
        };
        match users.iter().find(|user| matches(user)) {
            Some(user) if wanted(user) => Flow::Next,
            Some(user) => {
                shard.counters.authentication_failures.add(1);
                let reason = format!("user \"{}\" may not do this", user.name);
                Flow::Reject(Rejection::new(RejectionKind::Forbidden, reason))
            }
            None => {
                shard.counters.authentication_failures.add(1);
                let stale =
                    given.as_ref().is_some_and(|given| is_stale(given, users, &request.method, nonce));
                Flow::Reject(challenged(nonce, stale, "wrong user or password"))
            }
        }
    }
}

/// A right answer to the challenge of another connection: the client may ask again without troubling its user.
fn is_stale(given: &Authorization, users: &[User], method: &str, nonce: &str) -> bool {
    let Authorization::Digest { nonce: theirs, .. } = given else { return false };
    **theirs != *nonce
        && users.iter().any(|user| given.verify(method, theirs, REALM, &user.name, &user.password))
}

fn challenged(nonce: &str, stale: bool, reason: &str) -> Rejection {
    let challenge = Challenge { stale, ..Challenge::new(REALM, nonce) };
    let challenges =
        [Scheme::Digest, Scheme::Basic].map(|scheme| challenge.header_value(scheme).into()).into();
    Rejection::new(RejectionKind::Unauthenticated { challenges }, reason)
}
