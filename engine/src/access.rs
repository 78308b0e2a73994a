//! Who may do what: the rules that shards decide by themselves, and the questions they put to the control core.
//!
//! Rules are walked in order; the first user whose network, permission and credentials match lets the request in, as in
//! MediaMTX. A password that is expensive to verify (argon2) is never verified here: the decision is then
//! [`Decision::NeedsHash`], and the control core finishes it on another thread.

use crate::records::Id;
use ipnet::IpNet;
use regex::Regex;
use sha2::{Digest, Sha256};
use std::fmt;
use std::net::IpAddr;
use subtle::ConstantTimeEq;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Publish,
    Read,
    Playback,
    Api,
    Metrics,
    Pprof,
}

impl Action {
    /// The word of the configuration file and of authentication servers.
    pub fn word(self) -> &'static str {
        match self {
            Action::Publish => "publish",
            Action::Read => "read",
            Action::Playback => "playback",
            Action::Api => "api",
            Action::Metrics => "metrics",
            Action::Pprof => "pprof",
        }
    }

    /// Whether the action concerns a path.
    pub fn has_path(self) -> bool {
        matches!(self, Action::Publish | Action::Read | Action::Playback)
    }
}

/// A user name or password to compare with.
#[derive(Clone)]
pub enum Secret {
    Plain(String),
    /// SHA-256 of it.
    Sha256([u8; 32]),
    /// An encoded argon2 hash, which only the control core verifies.
    Argon2(String),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// Which paths a permission is for.
#[derive(Clone, Debug)]
pub enum PathRule {
    Any,
    Exact(String),
    Pattern(Regex),
}

impl PathRule {
    pub fn matches(&self, path: &str) -> bool {
        match self {
            PathRule::Any => true,
            PathRule::Exact(name) => name == path,
            PathRule::Pattern(pattern) => pattern.is_match(path),
        }
    }
}

/// One action on some paths.
#[derive(Clone, Debug)]
pub struct Permission {
    pub action: Action,
    pub path: PathRule,
}

impl Permission {
    pub fn covers(&self, action: Action, path: &str) -> bool {
        self.action == action && (!action.has_path() || self.path.matches(path))
    }
}

/// Somebody who may do something.
#[derive(Clone, Debug)]
pub struct User {
    /// `None` stands for everybody (`any`), without credentials.
    pub credentials: Option<(Secret, Secret)>,
    /// Where from; empty for anywhere.
    pub networks: Vec<IpNet>,
    pub permissions: Vec<Permission>,
}

impl User {
    /// Whether the rule is about this action from this address at all.
    pub fn concerns(&self, action: Action, path: &str, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        (self.networks.is_empty() || self.networks.iter().any(|network| network.contains(&ip)))
            && self.permissions.iter().any(|permission| permission.covers(action, path))
    }
}

/// What a client showed.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Credentials {
    pub user: String,
    pub password: String,
    /// A bearer token (`Authorization: Bearer`, or `token` and `jwt` of the query where that is allowed).
    pub token: String,
}

impl Credentials {
    pub fn is_empty(&self) -> bool {
        self.user.is_empty() && self.password.is_empty() && self.token.is_empty()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Somebody asks to do something.
#[derive(Clone, Debug)]
pub struct Request {
    pub action: Action,
    /// Empty where the action concerns none.
    pub path: String,
    /// `rtsp`, `rtmp`, …; empty for the control ports.
    pub protocol: &'static str,
    /// The session or connection that asks; `None` for the control ports.
    pub id: Option<Id>,
    pub ip: IpAddr,
    /// Without the question mark.
    pub query: String,
    pub user_agent: String,
    pub credentials: Credentials,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// With the user's name, empty for anybody.
    Allowed { user: String },
    /// No credentials were shown, and some are needed: ask for them at once.
    AskCredentials,
    /// Refused, for the log. The refusal is delayed by whoever answers.
    Denied { reason: String },
    /// Nobody could be asked in time.
    Unavailable { reason: String },
}

/// What the rules alone can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Verdict(Verdict),
    /// Nobody else let the request in, but these rules (by index) may, once their hashes are verified.
    NeedsHash(Vec<usize>),
}

/// Verifies a secret that is cheap to verify; `None` for one that is not. Takes the same time wherever the texts differ.
pub fn verify(secret: &Secret, given: &str) -> Option<bool> {
    match secret {
        Secret::Plain(expected) => Some(expected.as_bytes().ct_eq(given.as_bytes()).into()),
        Secret::Sha256(expected) => Some(expected[..].ct_eq(&Sha256::digest(given)).into()),
        Secret::Argon2(_) => None,
    }
}

/// Walks the rules for a request with a name and password.
pub fn decide(users: &[User], request: &Request) -> Decision {
    let Credentials { user, password, token } = &request.credentials;
    let mut hashed = Vec::new();
    for (index, rule) in users.iter().enumerate() {
        if !rule.concerns(request.action, &request.path, request.ip) {
            continue;
        }
        let Some((name, pass)) = &rule.credentials else {
            return Decision::Verdict(Verdict::Allowed { user: user.clone() });
        };
        match (verify(name, user), verify(pass, password)) {
            (Some(true), Some(true)) => {
                return Decision::Verdict(Verdict::Allowed { user: user.clone() });
            }
            (Some(false), _) | (_, Some(false)) => {}
            _ if user.is_empty() && password.is_empty() => {}
            _ => hashed.push(index),
        }
    }
    if !hashed.is_empty() {
        return Decision::NeedsHash(hashed);
    }
    Decision::Verdict(if user.is_empty() && password.is_empty() && token.is_empty() {
        Verdict::AskCredentials
    } else {
        Verdict::Denied { reason: "authentication failed".to_owned() }
    })
}
