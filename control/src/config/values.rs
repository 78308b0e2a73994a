//! The types of configuration values.

use ipnet::IpNet;
use std::fmt;

/// A number of bytes, written `50M` in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Size(pub(crate) u64);

/// Addresses and networks; a lone address is a network of one.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Networks(pub(crate) Vec<IpNet>);

/// A user name or password: plain, `sha256:` and base64, or `argon2:` and the encoded hash. Never logged.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Credential(pub(crate) String);

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "\"\"" } else { "\"<redacted>\"" })
    }
}

macro_rules! words {
    ($($(#[$meta:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
        pub(crate) enum $name { #[default] $($variant),+ }

        impl $name {
            /// The words of the file, in order.
            pub(crate) const WORDS: &'static [&'static str] = &[$($word),+];

            pub(crate) fn word(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }

            pub(crate) fn of_word(word: &str) -> Option<$name> {
                match word { $($word => Some($name::$variant),)+ _ => None }
            }
        }
    )+};
}

words! {
    LogLevel { Info = "info", Error = "error", Warn = "warn", Debug = "debug", Trace = "trace" }
    LogDestination { Stdout = "stdout", File = "file", Syslog = "syslog" }
    AuthMethod { Internal = "internal", Http = "http", Jwt = "jwt" }
    Encryption { No = "no", Optional = "optional", Strict = "strict" }
    /// Transports that the RTSP server allows.
    RtspTransport { Udp = "udp", Multicast = "multicast", Tcp = "tcp" }
    /// Transport of an RTSP source.
    SourceTransport { Automatic = "automatic", Udp = "udp", Multicast = "multicast", Tcp = "tcp" }
    RtspAuthMethod { Basic = "basic", Digest = "digest" }
    HlsVariant { LowLatency = "lowLatency", Mpegts = "mpegts", Fmp4 = "fmp4" }
    RecordFormat { Fmp4 = "fmp4", Mpegts = "mpegts" }
    RtspRangeType { None = "", Clock = "clock", Npt = "npt", Smpte = "smpte" }
    MoqTransport { Quic = "quic", Webtransport = "webtransport" }
    Action { Publish = "publish", Read = "read", Playback = "playback", Api = "api", Metrics = "metrics", Pprof = "pprof" }
}

/// What a user may do, and on which path: "" for any, a name, or `~` and a regular expression.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Permission {
    pub(crate) action: Action,
    pub(crate) path: String,
}

/// A user of `authInternalUsers`; the name `any` stands for everybody, without a password.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct InternalUser {
    pub(crate) user: Credential,
    pub(crate) pass: Credential,
    pub(crate) ips: Networks,
    pub(crate) permissions: Vec<Permission>,
}

impl InternalUser {
    /// Streaming is open to everybody, the control ports to this machine.
    pub(crate) fn defaults() -> Vec<InternalUser> {
        let permissions = |actions: &[Action]| {
            actions.iter().map(|action| Permission { action: *action, path: String::new() }).collect()
        };
        let user = |ips: &[&str], actions: &[Action]| InternalUser {
            user: Credential("any".to_owned()),
            pass: Credential::default(),
            ips: Networks(ips.iter().map(|ip| ip.parse().expect("a network")).collect()),
            permissions: permissions(actions),
        };
        vec![
            user(&[], &[Action::Publish, Action::Read, Action::Playback]),
            user(&["127.0.0.1/32", "::1/128"], &[Action::Api, Action::Metrics, Action::Pprof]),
        ]
    }
}

#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct IceServer {
    pub(crate) url: String,
    pub(crate) username: String,
    pub(crate) password: Credential,
    pub(crate) client_only: bool,
}

#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct AlwaysAvailableTrack {
    pub(crate) codec: String,
    pub(crate) sample_rate: u64,
    pub(crate) channel_count: u64,
    pub(crate) mu_law: bool,
}

#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct ForwardTarget {
    pub(crate) dest: String,
    pub(crate) dest_fingerprint: String,
    pub(crate) whip_bearer_token: String,
}
