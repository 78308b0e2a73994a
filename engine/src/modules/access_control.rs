//! Access control: takes part in `authenticate` and `interval`. Decides by rules, or asks the control core.
//!
//! Rules are decided here, at once. What takes long (an authentication server, a token, an expensive hash) is asked of
//! the control core while the request is suspended, so nobody else waits. Wrong credentials are answered after a random
//! delay; that none were shown is answered at once, with a challenge. Each connection has a Digest nonce of its own, so
//! an answer read off the wire is worth nothing on another connection.

use super::{Answer, Flow, Intent, Module, Rejection, RejectionKind, Request, Role};
use crate::access::{self, Action, Credentials, Decision, Secret, Verdict};
use crate::limits;
use crate::records::SessionKind;
use crate::settings::Access;
use crate::shard::connection::Admission;
use crate::shard::questions::Standing;
use crate::shard::{ConnectionKey, State};
use headwater_protocols::rtsp::auth::{Authorization, Challenge, Scheme};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const REALM: &str = "headwater";

/// Longer than the control core's own patience, so that its answer comes first.
const ANSWER_MARGIN: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(crate) struct AccessControl {
    /// Refusals that are answered later.
    refused: HashMap<ConnectionKey, (Instant, Rejection)>,
}

impl Module for AccessControl {
    fn name(&self) -> &'static str {
        "access-control"
    }

    fn roles(&self) -> &'static [Role] {
        &[Role::Authenticate, Role::Postprocess, Role::Interval]
    }

    fn authenticate(&mut self, shard: &mut State, request: &mut Request) -> Flow {
        let action = match request.intent {
            Intent::Control => return Flow::Next,
            // The secret of content delivery networks stands for all credentials.
            _ if request.kind == SessionKind::Cdn => return Flow::Next,
            Intent::Describe | Intent::Read | Intent::Watch | Intent::Page => Action::Read,
            Intent::Publish => Action::Publish,
        };
        if let Some((until, _)) = self.refused.get(&request.connection) {
            let left = until.saturating_duration_since(shard.now);
            if !left.is_zero() {
                return Flow::Pending(left + limits::TICK * 2);
            }
            let refused = self.refused.remove(&request.connection);
            return refused.map_or(Flow::Next, |(_, rejection)| Flow::Reject(rejection));
        }
        let verdict = match shard.question(request.connection) {
            Standing::Waiting => return Flow::Pending(limits::HASH_WAIT),
            Standing::Answered(verdict, rules) if Arc::ptr_eq(&rules, &shard.settings.access) => verdict,
            // The rules have changed meanwhile: what the old ones said holds no more.
            Standing::Answered(..) | Standing::NotAsked => match consider(shard, request, action) {
                Considered::Verdict(verdict) => verdict,
                Considered::Stale => return Flow::Reject(challenged(shard, request, true, "stale nonce")),
                Considered::Asked(patience) => return Flow::Pending(patience),
            },
        };
        self.carry_out(shard, request, action, verdict)
    }

    fn postprocess(&mut self, _shard: &State, request: &Request, _answer: &Answer) {
        // However the request ended, its refusal is not for the next one.
        self.refused.remove(&request.connection);
    }

    fn interval(&mut self, shard: &mut State) {
        let now = shard.now;
        self.refused.retain(|connection, _| shard.connections.contains_key(*connection));
        for (connection, (until, _)) in &self.refused {
            if *until <= now {
                shard.resume(*connection);
            }
        }
    }
}

impl AccessControl {
    fn carry_out(
        &mut self,
        shard: &mut State,
        request: &mut Request,
        action: Action,
        verdict: Verdict,
    ) -> Flow {
        match verdict {
            Verdict::Allowed { user } => {
                request.user = user.into();
                admit(shard, request, action);
                Flow::Next
            }
            // RTMP has no way to ask for them.
            Verdict::AskCredentials if request.credentials.is_some() => {
                let reason = "no credentials were given".to_owned();
                self.carry_out(shard, request, action, Verdict::Denied { reason })
            }
            Verdict::AskCredentials => {
                Flow::Reject(challenged(shard, request, false, "credentials are required"))
            }
            Verdict::Denied { reason } => {
                shard.counters.authentication_failures.add(1);
                let action = action.word();
                tracing::warn!(
                    protocol = request.protocol, peer = %request.peer, path = %request.path, action,
                    "authentication failed: {reason}"
                );
                let delay = limits::REFUSAL_DELAY_MAX
                    .mul_f64(f64::from(crate::rtsp::random::<u32>()) / f64::from(u32::MAX));
                let rejection = challenged(shard, request, false, &reason);
                self.refused.insert(request.connection, (shard.now + delay, rejection));
                Flow::Pending(delay + limits::TICK * 2)
            }
            Verdict::Unavailable { reason } => {
                Flow::Reject(Rejection::new(RejectionKind::Unavailable, reason))
            }
        }
    }
}

/// What the rules of this shard say.
enum Considered {
    Verdict(Verdict),
    /// A right answer to the challenge of another connection: the client may ask again without troubling its user.
    Stale,
    /// The control core was asked and answers within this time.
    Asked(Duration),
}

fn consider(shard: &mut State, request: &Request, action: Action) -> Considered {
    let rules = Arc::clone(&shard.settings.access);
    if let Some(user) = admitted(shard, request, action, &rules) {
        return Considered::Verdict(Verdict::Allowed { user });
    }
    let header = request.authorization.as_ref().and_then(|header| Authorization::parse(header).ok());
    // What is not offered is not taken.
    let (basic, digest) = offered(shard, request);
    let header = header.filter(|given| match given {
        Authorization::Basic { .. } => basic,
        Authorization::Digest { .. } => digest,
        Authorization::Bearer { .. } => true,
    });
    if let (Some(given @ Authorization::Digest { .. }), Access::Rules(users)) = (&header, &*rules) {
        return consider_digest(shard, request, action, users, given);
    }
    let asked = question(shard, request, action, header);
    let patience = match &*rules {
        Access::Open => return Considered::Verdict(Verdict::Allowed { user: String::new() }),
        Access::Rules(users) => match access::decide(users, &asked) {
            Decision::Verdict(verdict) => return Considered::Verdict(verdict),
            Decision::NeedsHash(_) => limits::HASH_WAIT,
        },
        Access::Ask { exclude, .. } if exclude.iter().any(|rule| rule.covers(action, &request.path)) => {
            return Considered::Verdict(Verdict::Allowed { user: String::new() });
        }
        Access::Ask { patience, .. } => *patience + ANSWER_MARGIN,
    };
    shard.counters.questions.add(1);
    if shard.ask(request.connection, asked) {
        return Considered::Asked(patience);
    }
    shard.counters.questions_refused.add(1);
    let reason = "too many requests wait for their authentication".to_owned();
    Considered::Verdict(Verdict::Unavailable { reason })
}

fn question(
    shard: &State,
    request: &Request,
    action: Action,
    authorization: Option<Authorization>,
) -> access::Request {
    let credentials = match authorization {
        _ if request.credentials.is_some() => request.credentials.clone().unwrap_or_default(),
        Some(Authorization::Basic { user, password }) => {
            Credentials { user: user.into(), password: password.into(), token: String::new() }
        }
        // Over HTTP a name and password may come as a token, where browsers allow no others.
        Some(Authorization::Bearer { token }) if request.protocol == "hls" && token.contains(':') => {
            let (user, password) = token.split_once(':').unwrap_or_default();
            Credentials { user: user.into(), password: password.into(), token: String::new() }
        }
        Some(Authorization::Bearer { token }) => {
            Credentials { token: token.into(), ..Credentials::default() }
        }
        _ => Credentials::default(),
    };
    access::Request {
        action,
        path: request.path.to_string(),
        protocol: request.protocol,
        id: shard.connections.get(request.connection).map(|connection| connection.record.id),
        ip: request.peer.0.ip(),
        query: request.query.to_string(),
        user_agent: request.user_agent.as_deref().unwrap_or_default().to_owned(),
        credentials,
    }
}

/// Digest needs the plain password, so only rules with one can match.
fn consider_digest(
    shard: &mut State,
    request: &Request,
    action: Action,
    users: &[access::User],
    given: &Authorization,
) -> Considered {
    let nonce = nonce(shard, request.connection);
    let ip = request.peer.0.ip();
    let mut stale = false;
    for rule in users.iter().filter(|rule| rule.concerns(action, &request.path, ip)) {
        let Some(credentials) = &rule.credentials else {
            return Considered::Verdict(Verdict::Allowed { user: String::new() });
        };
        let (Secret::Plain(name), Secret::Plain(password)) = credentials else { continue };
        if given.verify(&request.method, &nonce, REALM, name, password) {
            return Considered::Verdict(Verdict::Allowed { user: name.clone() });
        }
        if let Authorization::Digest { nonce: theirs, .. } = given {
            stale |= **theirs != *nonce && given.verify(&request.method, theirs, REALM, name, password);
        }
    }
    if stale {
        return Considered::Stale;
    }
    Considered::Verdict(Verdict::Denied { reason: "wrong user or password".to_owned() })
}

/// The user of a request that is like the last one that was allowed on this connection, by the same rules.
fn admitted(shard: &State, request: &Request, action: Action, rules: &Arc<Access>) -> Option<String> {
    let admission = shard.connections.get(request.connection)?.admission.as_ref()?;
    let same = Arc::ptr_eq(&admission.rules, rules)
        && admission.action == action
        && admission.path == request.path
        && admission.authorization == request.authorization
        && admission.query == request.query;
    same.then(|| admission.user.to_string())
}

fn admit(shard: &mut State, request: &Request, action: Action) {
    let rules = Arc::clone(&shard.settings.access);
    if matches!(*rules, Access::Open) {
        return;
    }
    if let Some(connection) = shard.connections.get_mut(request.connection) {
        connection.admission = Some(Box::new(Admission {
            rules,
            action,
            path: Arc::clone(&request.path),
            authorization: request.authorization.clone(),
            query: request.query.clone(),
            user: request.user.clone(),
        }));
    }
}

/// Whether Basic and Digest are offered to a client of this protocol.
fn offered(shard: &State, request: &Request) -> (bool, bool) {
    match request.protocol {
        "rtsp" | "rtsps" => (shard.settings.rtsp.basic, shard.settings.rtsp.digest),
        _ => (true, false),
    }
}

fn nonce(shard: &mut State, connection: ConnectionKey) -> Box<str> {
    let id = shard.id;
    match shard.connections.get_mut(connection) {
        Some(connection) => connection.nonce.get_or_insert_with(|| crate::rtsp::session_id(id)).clone(),
        None => Box::default(),
    }
}

fn challenged(shard: &mut State, request: &Request, stale: bool, reason: &str) -> Rejection {
    let nonce = nonce(shard, request.connection);
    let challenge = Challenge { stale, ..Challenge::new(REALM, &nonce) };
    let (basic, digest) = offered(shard, request);
    // Digest first: clients take the first one they know.
    let schemes = [(digest, Scheme::Digest), (basic, Scheme::Basic)];
    let challenges = schemes
        .into_iter()
        .filter(|(offered, _)| *offered)
        .map(|(_, scheme)| challenge.header_value(scheme).into())
        .collect();
    Rejection::new(RejectionKind::Unauthenticated { challenges }, reason)
}
