//! Keys of older MediaMTX configurations: accepted, and turned into the keys that took their place before anything is
//! read, with a warning that names the new key.

use super::node::{Data, Entry, Node, Reading};
use super::yaml::boolean;

/// What becomes of an old key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Successor {
    /// The same value under another key.
    Key(&'static str),
    /// The opposite of it.
    Not(&'static str),
    /// A list with the value as its one item.
    ListOf(&'static str),
    /// The same key in the path defaults.
    PathDefaults,
    /// `authMethod: http` and the address.
    HttpAuthentication,
    /// ICE servers as texts, `turn:USER:PASSWORD:HOST:PORT`.
    IceServers,
    /// `authInternalUsers`, made of all paths together.
    Users,
    /// Nothing; what to do about it.
    Nothing(&'static str),
}

/// An old key of the file's top, or of a path.
pub(crate) struct Deprecated {
    pub(crate) name: &'static str,
    pub(crate) successor: Successor,
}

/// The deprecated spellings of a key, of a path or of the file's top.
pub(crate) fn old_spellings(key: &str, of_path: bool) -> impl Iterator<Item = &'static str> {
    let table = if of_path { PATH } else { GLOBAL };
    table
        .iter()
        .filter(move |old| match old.successor {
            Successor::Key(new) | Successor::Not(new) | Successor::ListOf(new) => new == key,
            Successor::HttpAuthentication => key == "authHTTPAddress" || key == "authMethod",
            Successor::IceServers => key == "webrtcICEServers2",
            Successor::PathDefaults | Successor::Users | Successor::Nothing(_) => false,
        })
        .map(|old| old.name)
}

const fn old(name: &'static str, successor: Successor) -> Deprecated {
    Deprecated { name, successor }
}

const NO_QUEUES: &str = "use the global udpReadBufferSize";

pub(crate) const GLOBAL: &[Deprecated] = &[
    old("readBufferCount", Successor::Key("writeQueueSize")),
    old("externalAuthenticationURL", Successor::HttpAuthentication),
    old("authJWTInHTTPQuery", Successor::Nothing("tokens are taken from the header or as password")),
    old("apiAllowOrigin", Successor::ListOf("apiAllowOrigins")),
    old("metricsAllowOrigin", Successor::ListOf("metricsAllowOrigins")),
    old("pprofAllowOrigin", Successor::ListOf("pprofAllowOrigins")),
    old("playbackAllowOrigin", Successor::ListOf("playbackAllowOrigins")),
    old("rtspDisable", Successor::Not("rtsp")),
    old("protocols", Successor::Key("rtspTransports")),
    old("encryption", Successor::Key("rtspEncryption")),
    old("serverKey", Successor::Key("rtspServerKey")),
    old("serverCert", Successor::Key("rtspServerCert")),
    old("authMethods", Successor::Key("rtspAuthMethods")),
    old("rtspUDPReadBufferSize", Successor::Key("udpReadBufferSize")),
    old("rtmpDisable", Successor::Not("rtmp")),
    old("hlsDisable", Successor::Not("hls")),
    old("hlsAllowOrigin", Successor::ListOf("hlsAllowOrigins")),
    old("webrtcDisable", Successor::Not("webrtc")),
    old("webrtcAllowOrigin", Successor::ListOf("webrtcAllowOrigins")),
    old("webrtcICEUDPMuxAddress", Successor::Key("webrtcLocalUDPAddress")),
    old("webrtcICETCPMuxAddress", Successor::Key("webrtcLocalTCPAddress")),
    old("webrtcICEHostNAT1To1IPs", Successor::Key("webrtcAdditionalHosts")),
    old("webrtcICEServers", Successor::IceServers),
    old("moqHTTPS2Address", Successor::Key("moqHTTP2Address")),
    old("moqHTTPS3Address", Successor::Key("moqHTTP3Address")),
    old("record", Successor::PathDefaults),
    old("recordPath", Successor::PathDefaults),
    old("recordFormat", Successor::PathDefaults),
    old("recordPartDuration", Successor::PathDefaults),
    old("recordSegmentDuration", Successor::PathDefaults),
    old("recordDeleteAfter", Successor::PathDefaults),
];

pub(crate) const PATH: &[Deprecated] = &[
    old("playback", Successor::Nothing("remove it")),
    old("publishUser", Successor::Users),
    old("publishPass", Successor::Users),
    old("publishIPs", Successor::Users),
    old("readUser", Successor::Users),
    old("readPass", Successor::Users),
    old("readIPs", Successor::Users),
    old("disablePublisherOverride", Successor::Not("overridePublisher")),
    old("sourceProtocol", Successor::Key("rtspTransport")),
    old("sourceAnyPortEnable", Successor::Key("rtspAnyPort")),
    old("rtspUDPReadBufferSize", Successor::Nothing(NO_QUEUES)),
    old("mpegtsUDPReadBufferSize", Successor::Nothing(NO_QUEUES)),
    old("rtpUDPReadBufferSize", Successor::Nothing(NO_QUEUES)),
    old("rpiCameraProfile", Successor::Key("rpiCameraH264Profile")),
    old("rpiCameraLevel", Successor::Key("rpiCameraH264Level")),
    old("rpiCameraHardwareH264Profile", Successor::Key("rpiCameraH264Profile")),
    old("rpiCameraHardwareH264Level", Successor::Key("rpiCameraH264Level")),
    old("rpiCameraSoftwareH264Profile", Successor::Key("rpiCameraH264Profile")),
    old("rpiCameraSoftwareH264Level", Successor::Key("rpiCameraH264Level")),
    old("rpiCameraJPEGQuality", Successor::Key("rpiCameraMJPEGQuality")),
    old("runOnReady", Successor::Key("runOnAvailable")),
    old("runOnReadyRestart", Successor::Key("runOnAvailableRestart")),
    old("runOnNotReady", Successor::Key("runOnUnavailable")),
];

pub(crate) fn find(table: &'static [Deprecated], name: &str) -> Option<&'static Deprecated> {
    table.iter().find(|old| old.name == name)
}

/// Turns the old keys of a map into new ones, which win over new ones that are given as well, as in MediaMTX. Returns
/// what belongs into the path defaults. Keys that become users stay.
pub(crate) fn migrate(
    entries: &mut Vec<Entry>,
    table: &'static [Deprecated],
    reading: &mut Reading<'_>,
) -> Vec<Entry> {
    let mut defaults = Vec::new();
    if !entries.iter().any(|entry| find(table, &entry.key).is_some()) {
        return defaults;
    }
    let mut migrated = Vec::new();
    let mut kept = Vec::new();
    for entry in std::mem::take(entries) {
        match find(table, &entry.key) {
            None => kept.push(entry),
            Some(old) => {
                migrate_one(entry, old.successor, reading, (&mut kept, &mut migrated, &mut defaults));
            }
        }
    }
    for entry in migrated {
        kept.retain(|other: &Entry| other.key != entry.key);
        kept.push(entry);
    }
    *entries = kept;
    defaults
}

fn migrate_one(
    entry: Entry,
    successor: Successor,
    reading: &mut Reading<'_>,
    (kept, migrated, defaults): (&mut Vec<Entry>, &mut Vec<Entry>, &mut Vec<Entry>),
) {
    let Entry { key, origin, value } = entry;
    let warn = |reading: &mut Reading<'_>, hint: &str| {
        reading.within(&key, &origin, |reading| {
            reading.warn(&origin, "the key is deprecated", Some(hint.to_owned()));
        });
    };
    let named = |new: &str, value: Node| Entry { key: new.to_owned(), origin: origin.clone(), value };
    match successor {
        Successor::Key(new) => {
            warn(reading, &format!("write {new} instead"));
            migrated.push(named(new, value));
        }
        Successor::Not(new) => {
            warn(reading, &format!("write {new} instead, with the opposite value"));
            migrated.push(named(new, opposite(value)));
        }
        Successor::ListOf(new) => {
            warn(reading, &format!("write {new} instead, a list"));
            let origin = value.origin.clone();
            let null = matches!(value.data, Data::Null);
            migrated.extend((!null).then(|| named(new, Node::new(origin, Data::List(vec![value])))));
        }
        Successor::PathDefaults => {
            warn(reading, &format!("write {key} under pathDefaults instead"));
            defaults.push(named(&key, value));
        }
        Successor::HttpAuthentication => {
            warn(reading, "write authMethod: http and authHTTPAddress instead");
            let method = Node::new(origin.clone(), Data::Text("http".to_owned()));
            migrated.push(named("authMethod", method));
            migrated.push(named("authHTTPAddress", value));
        }
        Successor::IceServers => {
            warn(reading, "write webrtcICEServers2 instead");
            migrated.push(named("webrtcICEServers2", ice_servers(value)));
        }
        Successor::Users => {
            warn(reading, "write authInternalUsers instead");
            kept.push(named(&key, value));
        }
        Successor::Nothing(advice) => warn(reading, &format!("it has no effect: {advice}")),
    }
}

/// What is no boolean stays as it is, and is a fault when the new key is read.
fn opposite(node: Node) -> Node {
    let data = match node.data {
        Data::Bool(value) => Data::Bool(!value),
        Data::Loose(text) => match boolean(&text) {
            Some(value) => Data::Bool(!value),
            None => Data::Loose(text),
        },
        data => data,
    };
    Node { origin: node.origin, data }
}

fn ice_servers(node: Node) -> Node {
    let origin = node.origin.clone();
    let items = match node.data {
        Data::Loose(text) if !text.is_empty() => {
            text.split(',').map(|item| Node::new(origin.clone(), Data::Text(item.to_owned()))).collect()
        }
        Data::Loose(_) => Vec::new(),
        Data::List(items) => items,
        data => return Node { origin, data },
    };
    let server = |item: Node| {
        let (Data::Text(text) | Data::Loose(text)) = &item.data else { return item };
        let mut server = Node::map(item.origin.clone());
        let mut set = |key: &str, text: &str| {
            server.child(key, &item.origin).data = Data::Text(text.to_owned());
        };
        match text.split(':').collect::<Vec<_>>().as_slice() {
            [scheme, user, password, host, port] => {
                set("url", &format!("{scheme}:{host}:{port}"));
                set("username", user);
                set("password", password);
            }
            _ => set("url", text),
        }
        server
    };
    Node::new(origin, Data::List(items.into_iter().map(server).collect()))
}
