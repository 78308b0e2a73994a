//! Modules: what every request of every protocol walks through, after the model of QuickTime Streaming Server.
//!
//! ```text
//! filter → route → authenticate → authorize → preprocess → request → postprocess
//! ```
//! A module names the roles it takes. Roles are walked in the order above; within one role modules come in the order of
//! registration. A module passes on ([`Flow::Next`]), answers ([`Flow::Responded`], [`Flow::Reject`]) or suspends
//! ([`Flow::Pending`]): then the same role of the same module is entered again when the shard resumes the request.
//! Whoever answers ends the walk; `postprocess` runs in any case. Exactly one module owns `request`. Each shard has its
//! own instances, so modules need no locks. Media never walk.
//!
//! `filter` sees the raw request and may change it or answer in the protocol's own form, before a path is known.

mod access_control;
mod access_log;
mod live_reflector;
mod path_lookup;
mod redirect;
mod request_rate;

use crate::access::Credentials;
use crate::mesh::ShardId;
use crate::net::Peer;
use crate::records::SessionKind;
use crate::registry::Live;
use crate::settings::PathSettings;
use crate::shard::{ConnectionKey, SessionSummary, State};
use crate::stream::{Description, StreamKey};
use headwater_protocols::rtsp::message;
use headwater_protocols::track::Track;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use access_control::AccessControl;
pub(crate) use access_log::AccessLog;
pub(crate) use live_reflector::LiveReflector;
pub(crate) use path_lookup::PathLookup;
pub(crate) use redirect::Redirect;
pub(crate) use request_rate::RequestRate;

/// The places where a module can take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Filter,
    Route,
    Authenticate,
    Authorize,
    Preprocess,
    Request,
    Postprocess,
    SessionClosing,
    Rtcp,
    RereadPreferences,
    StateChange,
    Interval,
}

/// The roles of a request that may answer it, in their order.
pub(crate) const WALK: [Role; 5] =
    [Role::Route, Role::Authenticate, Role::Authorize, Role::Preprocess, Role::Request];

/// What a request wants of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    /// Nothing: OPTIONS, keep-alives, and whatever concerns a session that was let in before.
    Control,
    Describe,
    Read,
    /// By asking its muxer again and again (HLS).
    Watch,
    /// A page that reads it; the path need not be live.
    Page,
    Publish,
}

/// A request in the form all protocols share.
pub(crate) struct Request {
    pub(crate) connection: ConnectionKey,
    /// As MediaMTX names it: `rtsp`, `rtsps`.
    pub(crate) protocol: &'static str,
    /// The protocol's own name of the request, for logs.
    pub(crate) method: Box<str>,
    pub(crate) intent: Intent,
    /// Name of the path, without leading and trailing slashes; empty where the request concerns none.
    pub(crate) path: Arc<str>,
    pub(crate) peer: Peer,
    pub(crate) user_agent: Option<Box<str>>,
    /// The value of the Authorization header, not yet verified.
    pub(crate) authorization: Option<Box<str>>,
    /// Name and password where the protocol has another place for them.
    pub(crate) credentials: Option<Credentials>,
    /// Of the URL, without the question mark.
    pub(crate) query: Box<str>,
    /// Set by access control: who was let in; empty for anybody.
    pub(crate) user: Box<str>,
    /// What kind of session it opens.
    pub(crate) kind: SessionKind,
    /// What a publisher announced.
    pub(crate) tracks: Vec<Track>,
    /// Set by the path lookup.
    pub(crate) settings: Option<Arc<PathSettings>>,
    pub(crate) started: Instant,
}

/// A request before it is understood.
pub(crate) enum Raw<'a> {
    Rtsp(&'a mut message::Request),
    /// An RTMP command, by name.
    Command(&'static str),
    /// An HTTP request, by path.
    Http(&'a str),
}

/// How a request ended.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// The protocol's session does the rest.
    Done,
    Described(Arc<Description>),
    /// The path's stream, wherever it is.
    Watched(Live),
    /// The stream on this shard, to be read.
    Stream(StreamKey),
    /// The path is claimed for this shard, to be published to.
    Claimed,
    /// The path's home is another shard; the connection has to go there and ask again.
    Elsewhere(ShardId),
    /// The client is sent to this URL.
    Redirect(Box<str>),
    Rejected(Rejection),
}

/// A refusal in the form all protocols share; each maps it to its own status.
#[derive(Clone, Debug)]
pub(crate) struct Rejection {
    pub(crate) kind: RejectionKind,
    /// For logs and, where the protocol has room for it, for the peer.
    pub(crate) reason: Box<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RejectionKind {
    Invalid,
    /// Credentials are missing or wrong; the challenges to answer with (`WWW-Authenticate` values).
    Unauthenticated {
        challenges: Vec<Box<str>>,
    },
    NotFound,
    /// Somebody else has what was asked for.
    Conflict,
    /// A limit of the server or path is reached.
    Limit,
    /// Not now.
    Unavailable,
}

impl Rejection {
    pub(crate) fn new(kind: RejectionKind, reason: impl Into<Box<str>>) -> Rejection {
        Rejection { kind, reason: reason.into() }
    }
}

/// What a module did with a request.
pub(crate) enum Flow {
    Next,
    Responded(Answer),
    Reject(Rejection),
    /// The module has left the connection's key where something will resume it ([`State::resume`]), within this time.
    Pending(Duration),
}

/// What a filter did with a raw request; it may have changed it as well.
pub(crate) enum Filtered {
    Next,
    Rejected(Rejection),
}

/// Where the server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerState {
    Running,
    ShuttingDown,
}

/// A part of the server that takes part in requests and sessions. Only the methods of the roles named are called.
pub(crate) trait Module {
    fn name(&self) -> &'static str;

    fn roles(&self) -> &'static [Role];

    fn filter(&mut self, _shard: &mut State, _connection: ConnectionKey, _raw: &mut Raw<'_>) -> Filtered {
        Filtered::Next
    }

    fn route(&mut self, _shard: &mut State, _request: &mut Request) -> Flow {
        Flow::Next
    }

    fn authenticate(&mut self, _shard: &mut State, _request: &mut Request) -> Flow {
        Flow::Next
    }

    fn authorize(&mut self, _shard: &mut State, _request: &mut Request) -> Flow {
        Flow::Next
    }

    fn preprocess(&mut self, _shard: &mut State, _request: &mut Request) -> Flow {
        Flow::Next
    }

    fn request(&mut self, _shard: &mut State, _request: &mut Request) -> Flow {
        Flow::Next
    }

    fn postprocess(&mut self, _shard: &State, _request: &Request, _answer: &Answer) {}

    fn session_closing(&mut self, _shard: &State, _session: &SessionSummary) {}

    /// A compound RTCP packet of a reader.
    fn rtcp(&mut self, _shard: &State, _track: usize, _packet: &[u8]) {}

    /// The settings have changed.
    fn reread_preferences(&mut self, _shard: &mut State) {}

    fn state_change(&mut self, _state: ServerState) {}

    /// Called once per housekeeping tick.
    fn interval(&mut self, _shard: &mut State) {}
}

/// Makes the modules of one shard, on its thread.
pub(crate) type MakeModules = fn() -> Result<Modules, String>;

/// The modules of one shard.
#[derive(Default)]
pub(crate) struct Modules {
    all: Vec<Box<dyn Module>>,
}

impl Modules {
    /// Registers modules in their order.
    ///
    /// # Errors
    /// Two modules own `request`, or none does; two modules have one name.
    pub(crate) fn new(all: Vec<Box<dyn Module>>) -> Result<Modules, String> {
        let owners: Vec<_> =
            all.iter().filter(|module| module.roles().contains(&Role::Request)).map(|m| m.name()).collect();
        if owners.len() != 1 {
            return Err(format!(
                "exactly one module must own the role \"request\", but these do: {owners:?}"
            ));
        }
        for (n, module) in all.iter().enumerate() {
            if all[..n].iter().any(|other| other.name() == module.name()) {
                return Err(format!("two modules are named {:?}", module.name()));
            }
        }
        Ok(Modules { all })
    }

    /// The modules of this build.
    pub(crate) fn built_in() -> Result<Modules, String> {
        Modules::new(vec![
            Box::new(RequestRate::default()),
            Box::new(PathLookup),
            Box::new(AccessControl::default()),
            Box::new(Redirect),
            Box::new(LiveReflector),
            Box::new(AccessLog),
        ])
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Module `index`, if it takes part in `role`.
    pub(crate) fn in_role(&mut self, index: usize, role: Role) -> Option<&mut Box<dyn Module>> {
        self.all.get_mut(index).filter(|module| module.roles().contains(&role))
    }

    /// Every module that takes part in `role`, in order.
    pub(crate) fn each(&mut self, role: Role) -> impl Iterator<Item = &mut Box<dyn Module>> {
        self.all.iter_mut().filter(move |module| module.roles().contains(&role))
    }

    /// Whether any module takes part in `role`.
    pub(crate) fn has(&self, role: Role) -> bool {
        self.all.iter().any(|module| module.roles().contains(&role))
    }
}

#[cfg(test)]
mod tests {
    use super::{AccessLog, LiveReflector, Modules, PathLookup};

    #[test]
    fn request_has_one_owner() {
        let two = Modules::new(vec![Box::new(LiveReflector), Box::new(LiveReflector)]);
        assert!(two.is_err_and(|error| error.contains("live-reflector")));
        assert!(Modules::new(vec![Box::new(PathLookup), Box::new(AccessLog)]).is_err());
        assert!(Modules::built_in().is_ok());
    }
}
