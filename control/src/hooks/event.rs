//! What hooks and webhooks are told: the event, what it is about, and its variables.
//!
//! Source: MediaMTX's `internal/hooks` and `path.ExternalCmdEnv`. Every `MTX_…` variable has a twin `HEADWATER_…`. The
//! query is URL-encoded, and so is whatever a path should not contain, because operators use `sh -c "… $MTX_PATH"`.

use super::command::Variables;
use crate::world::{ConnectionView, Party, SessionView};
use headwater_engine::records::{Id, Protocol};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::sync::Arc;

/// What may stay as it is in a query, as Go's `url.QueryEscape` has it.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b' ');
/// The characters of a path's name.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Connect,
    Disconnect,
    Init,
    Available,
    Unavailable,
    Online,
    Offline,
    Read,
    Unread,
}

impl Kind {
    pub(crate) const ALL: [Kind; 9] = [
        Kind::Connect,
        Kind::Disconnect,
        Kind::Init,
        Kind::Available,
        Kind::Unavailable,
        Kind::Online,
        Kind::Offline,
        Kind::Read,
        Kind::Unread,
    ];

    /// The word of `webhookEvents` and of webhooks.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Connect => "connect",
            Kind::Disconnect => "disconnect",
            Kind::Init => "init",
            Kind::Available => "available",
            Kind::Unavailable => "unavailable",
            Kind::Online => "online",
            Kind::Offline => "offline",
            Kind::Read => "read",
            Kind::Unread => "unread",
        }
    }

    /// The key of the command.
    pub(super) fn hook(self) -> &'static str {
        match self {
            Kind::Connect => "runOnConnect",
            Kind::Disconnect => "runOnDisconnect",
            Kind::Init => "runOnInit",
            Kind::Available => "runOnAvailable",
            Kind::Unavailable => "runOnUnavailable",
            Kind::Online => "runOnOnline",
            Kind::Offline => "runOnOffline",
            Kind::Read => "runOnRead",
            Kind::Unread => "runOnUnread",
        }
    }

    /// What ends that which this begins.
    pub(super) fn end(self) -> Option<Kind> {
        match self {
            Kind::Connect => Some(Kind::Disconnect),
            Kind::Available => Some(Kind::Unavailable),
            Kind::Online => Some(Kind::Offline),
            Kind::Read => Some(Kind::Unread),
            Kind::Init | Kind::Disconnect | Kind::Unavailable | Kind::Offline | Kind::Unread => None,
        }
    }
}

/// What begins and ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Connection(Id),
    /// A path that is configured.
    Init(Arc<str>),
    /// A path that can be read.
    Available(Arc<str>),
    /// A path whose publisher is there.
    Online(Arc<str>),
    Reader(Id),
}

/// One event.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) kind: Kind,
    pub(super) subject: Subject,
    /// The path it is about, if any.
    pub(super) path: Option<Arc<str>>,
    /// Beyond those that all events have, and those of the path.
    pub(super) variables: Variables,
}

impl Event {
    /// `None` for connections without hooks: those of HTTP come and go with every few requests.
    pub(super) fn of_connection(kind: Kind, view: &ConnectionView) -> Option<Event> {
        let type_ = match view.record.protocol {
            Protocol::Rtsp => "rtspConn",
            Protocol::Rtsps => "rtspsConn",
            Protocol::Rtmp => "rtmpConn",
            Protocol::Rtmps => "rtmpsConn",
            Protocol::Http | Protocol::Https | Protocol::Hls => return None,
        };
        let id = view.record.id;
        let variables = twins(vec![("MTX_CONN_TYPE", type_.to_owned()), ("MTX_CONN_ID", id.to_string())]);
        Some(Event { kind, subject: Subject::Connection(id), path: None, variables })
    }

    pub(super) fn of_reader(kind: Kind, view: &SessionView) -> Event {
        let party = view.party();
        let variables = twins(vec![
            ("MTX_QUERY", query(&view.record.query)),
            ("MTX_READER_TYPE", party.kind.to_owned()),
            ("MTX_READER_ID", party.id.to_string()),
        ]);
        let (subject, path) = (Subject::Reader(party.session), Some(Arc::clone(&view.record.path)));
        Event { kind, subject, path, variables }
    }

    pub(super) fn of_path(kind: Kind, path: &Arc<str>, source: Option<&Party>, text: &str) -> Event {
        let mut variables = vec![("MTX_QUERY", query(text))];
        if let Some(source) = source {
            variables.push(("MTX_SOURCE_TYPE", source.kind.to_owned()));
            variables.push(("MTX_SOURCE_ID", source.id.to_string()));
        }
        let subject = match kind {
            Kind::Online | Kind::Offline => Subject::Online(Arc::clone(path)),
            _ => Subject::Available(Arc::clone(path)),
        };
        Event { kind, subject, path: Some(Arc::clone(path)), variables: twins(variables) }
    }

    pub(super) fn of_configured_path(path: &Arc<str>) -> Event {
        let subject = Subject::Init(Arc::clone(path));
        Event { kind: Kind::Init, subject, path: Some(Arc::clone(path)), variables: Vec::new() }
    }

    /// The end of what this is the beginning of.
    pub(super) fn end(&self) -> Option<Event> {
        self.kind.end().map(|kind| Event { kind, ..self.clone() })
    }

    /// For the log.
    pub(super) fn about(&self) -> String {
        let path = self.path.as_deref().map(safe_path).unwrap_or_default();
        match &self.subject {
            Subject::Connection(id) => format!("connection {id}"),
            Subject::Reader(id) => format!("session {id} on path {path}"),
            Subject::Init(_) | Subject::Available(_) | Subject::Online(_) => format!("path {path}"),
        }
    }
}

/// The variables that depend on the configuration: `groups` are the path's regular expression's.
pub(super) fn of_configuration(rtsp_address: &str, path: Option<&str>, groups: &[String]) -> Variables {
    let port = rtsp_address.rsplit_once(':').map_or("", |(_, port)| port);
    let mut variables = vec![("RTSP_PORT".to_owned(), port.to_owned())];
    if let Some(path) = path {
        variables.extend(twins(vec![("MTX_PATH", safe_path(path))]));
        variables.push(("RTSP_PATH".to_owned(), safe_path(path)));
    }
    let groups = groups.iter().enumerate();
    variables.extend(groups.map(|(n, group)| (format!("G{}", n + 1), safe_path(group))));
    variables
}

fn twins(variables: Vec<(&str, String)>) -> Variables {
    let twin = |(name, value): (&str, String)| {
        let own = name.replacen("MTX_", "HEADWATER_", 1);
        [(name.to_owned(), value.clone()), (own, value)]
    };
    variables.into_iter().flat_map(twin).collect()
}

fn query(text: &str) -> String {
    utf8_percent_encode(text, QUERY).to_string().replace(' ', "+")
}

fn safe_path(name: &str) -> String {
    utf8_percent_encode(name, PATH).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_encoded_as_in_go() {
        assert_eq!(query("a=b c&d=$(id)'\"*~é"), "a%3Db+c%26d%3D%24%28id%29%27%22%2A~%C3%A9");
        assert_eq!(query("x`y`\n;|<>"), "x%60y%60%0A%3B%7C%3C%3E");
    }

    #[test]
    fn paths_tell_their_port_and_groups_and_nothing_a_shell_would_run() {
        let given = of_configuration("[::1]:8554", Some("live/$(id)"), &["a".to_owned(), "b;c".to_owned()]);
        let of = |name: &str| given.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        assert_eq!(of("RTSP_PORT"), Some("8554"));
        assert_eq!(of("MTX_PATH"), Some("live/%24%28id%29"));
        assert_eq!(of("HEADWATER_PATH"), of("MTX_PATH"));
        assert_eq!(of("RTSP_PATH"), of("MTX_PATH"));
        assert_eq!((of("G1"), of("G2"), of("G3")), (Some("a"), Some("b%3Bc"), None));
    }

    #[test]
    fn what_begins_ends_and_words_are_unique() {
        let words: std::collections::HashSet<_> = Kind::ALL.iter().map(|kind| kind.word()).collect();
        assert_eq!(words.len(), Kind::ALL.len());
        assert_eq!(Kind::ALL.iter().filter(|kind| kind.end().is_some()).count(), 4);
    }
}
