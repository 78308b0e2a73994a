//! What the control core tells the engine: addresses, timeouts, who may do what, and how paths behave.
//!
//! Settings are immutable; a change is a new value that replaces the old one on every shard ([`crate::Engine::apply`]).

use crate::records::Protocol;
use crate::{access, limits};
use ipnet::IpNet;
use regex::Regex;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Everything the engine needs to know. Values are checked by whoever fills it; see [`Settings::check`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// Number of shards, 1 to [`limits::SHARDS_MAX`]. Fixed once the engine runs.
    pub shards: usize,
    /// The processors the shards are pinned to, in turn; empty: not pinned. Fixed once the engine runs.
    pub processors: Vec<usize>,
    pub rtsp: Rtsp,
    pub rtmp: Rtmp,
    pub http: Http,
    pub paths: Arc<Paths>,
    pub access: Arc<Access>,
    /// A publisher without media, or a connection without a request, is closed after this.
    pub read_timeout: Duration,
    /// A reader that takes nothing of what is due is closed after this.
    pub write_timeout: Duration,
    pub bounds: Bounds,
}

impl Default for Settings {
    /// One shard that listens nowhere, every path open to everybody.
    fn default() -> Settings {
        Settings {
            shards: 1,
            processors: Vec::new(),
            rtsp: Rtsp::default(),
            rtmp: Rtmp::default(),
            http: Http::default(),
            paths: Arc::new(Paths::all(PathSettings::default())),
            access: Arc::new(Access::Open),
            read_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            bounds: Bounds::default(),
        }
    }
}

/// The RTSP listeners.
#[derive(Clone, Debug)]
pub struct Rtsp {
    pub address: Option<SocketAddr>,
    /// RTSP over TLS, with the certificate in the configuration.
    pub secure: Option<(SocketAddr, Arc<rustls::ServerConfig>)>,
    /// RTP and RTCP over UDP; `None` leaves only TCP.
    pub datagrams: Option<(SocketAddr, SocketAddr)>,
    /// Interleaved on the RTSP connection.
    pub interleaved: bool,
    /// Receive buffer of the shared UDP sockets in bytes; 0 leaves it to the engine.
    pub datagram_buffer: usize,
    /// A session without request or RTCP is closed after this; announced in the Session header.
    pub session_timeout: Duration,
    /// Connections from here may begin with a PROXY protocol header that names their client.
    pub trusted_proxies: Vec<IpNet>,
    /// Challenges offer Basic (RFC 7617) and Digest (RFC 7616).
    pub basic: bool,
    pub digest: bool,
}

impl Default for Rtsp {
    fn default() -> Rtsp {
        Rtsp {
            address: None,
            secure: None,
            datagrams: None,
            interleaved: true,
            datagram_buffer: 0,
            session_timeout: Duration::from_secs(60),
            trusted_proxies: Vec::new(),
            basic: true,
            digest: false,
        }
    }
}

/// Whether `ip` may speak for others.
pub(crate) fn is_trusted(proxies: &[IpNet], ip: IpAddr) -> bool {
    proxies.iter().any(|network| network.contains(&ip))
}

/// The RTMP listeners.
#[derive(Clone, Debug, Default)]
pub struct Rtmp {
    pub address: Option<SocketAddr>,
    /// RTMP over TLS, with the certificate in the configuration.
    pub secure: Option<(SocketAddr, Arc<rustls::ServerConfig>)>,
    /// Connections from here may begin with a PROXY protocol header that names their client.
    pub trusted_proxies: Vec<IpNet>,
}

/// The HTTP listener for media: HLS, endless streams (FLV, MPEG-TS), and the pages that play them.
#[derive(Clone, Debug, Default)]
pub struct Http {
    pub address: Option<SocketAddr>,
    /// Set where the listener speaks TLS; its configuration offers `h2` and `http/1.1` (ALPN).
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Origins of web pages that may read, as CORS has them; `*` for any.
    pub allow_origins: Vec<String>,
    /// Proxies from here may name their client in `X-Forwarded-For` and the scheme in `X-Forwarded-Proto`.
    pub trusted_proxies: Vec<IpNet>,
    pub hls: Hls,
    /// Pages by name (`index.html`, `player.js`, …): what the listener shows to browsers.
    pub pages: Arc<HashMap<&'static str, Page>>,
}

/// A file of the pages that browsers are shown.
#[derive(Clone, Debug)]
pub struct Page {
    pub content_type: &'static str,
    pub body: bytes::Bytes,
}

/// How HLS is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Hls {
    /// Muxers run as long as their path is live, rather than while somebody watches.
    pub always_remux: bool,
    pub variant: HlsVariant,
    /// Segments of a playlist.
    pub segment_count: usize,
    /// Least length of a segment.
    pub segment_duration: Duration,
    /// Least length of a part.
    pub part_duration: Duration,
    /// Most bytes of one segment.
    pub segment_bytes_max: usize,
    /// Where segments are kept as files too.
    pub directory: Option<PathBuf>,
    /// A muxer that nobody asks is closed after this.
    pub muxer_close_after: Duration,
    /// Requests that show it (`Authorization: Bearer`) are a content delivery network's: neither sessions nor redirects.
    pub cdn_secret: Option<String>,
}

/// What the segments are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HlsVariant {
    MpegTs,
    Fmp4,
    LowLatency,
}

impl Default for Hls {
    fn default() -> Hls {
        Hls {
            always_remux: false,
            variant: HlsVariant::LowLatency,
            segment_count: 7,
            segment_duration: Duration::from_secs(1),
            part_duration: Duration::from_millis(200),
            segment_bytes_max: 50 * 1024 * 1024,
            directory: None,
            muxer_close_after: Duration::from_secs(60),
            cdn_secret: None,
        }
    }
}

/// How publishing and reading are authorised.
#[derive(Debug)]
pub enum Access {
    /// Everybody may do everything.
    Open,
    /// By rules that the shards know; those with expensive hashes are finished by the control core.
    Rules(Vec<access::User>),
    /// The control core is asked about everything but what is excluded. It may take this long.
    Ask { exclude: Vec<access::Permission>, patience: Duration },
}

impl Access {
    /// Whether everybody may do this from everywhere, without credentials.
    pub(crate) fn is_public(&self, action: access::Action, path: &str) -> bool {
        match self {
            Access::Open => true,
            Access::Rules(users) => users.iter().any(|user| {
                let covers = |permission: &access::Permission| permission.covers(action, path);
                user.credentials.is_none() && user.networks.is_empty() && user.permissions.iter().any(covers)
            }),
            Access::Ask { exclude, .. } => exclude.iter().any(|permission| permission.covers(action, path)),
        }
    }
}

/// Bounds that an operator may set.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds {
    /// Connections of all shards together; 0 for what the descriptors allow.
    pub connections: usize,
    /// Live paths.
    pub paths: usize,
    /// Requests of one connection per second, in the long run.
    pub request_rate: f64,
    /// Requests of one connection at once.
    pub request_burst: f64,
    /// Bytes that one stream's log holds on one shard.
    pub stream_log_bytes: usize,
    /// Largest payload of a datagram that is sent, in bytes.
    pub datagram_bytes: u16,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            connections: 0,
            paths: limits::PATHS_MAX,
            request_rate: limits::REQUESTS_PER_SECOND,
            request_burst: limits::REQUESTS_BURST,
            stream_log_bytes: limits::LOG_BYTES_MAX,
            datagram_bytes: limits::DATAGRAM_BYTES,
        }
    }
}

/// How one path behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathSettings {
    /// At most one write per reader in this time: delay traded for density. Zero sends at once.
    pub delivery_window: Duration,
    /// A second publisher replaces the first one.
    pub publisher_override: bool,
    /// How long readers stay when their publisher is gone.
    pub publisher_grace: Duration,
    /// Readers of the path on all shards together; 0 for no limit but [`limits::READERS_PER_STREAM_MAX`] per shard.
    pub readers_max: usize,
    pub source: Source,
    /// Where readers are sent while nobody publishes: a URL, or the name of a path here.
    pub fallback: Option<String>,
}

/// Where a path's stream comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Whoever publishes.
    Publisher,
    /// Nowhere: readers are sent to this URL. `$G1`, `$G2`, … stand for the groups of the path's pattern.
    Redirect(String),
    /// Nothing of this build makes it; nobody can publish or read.
    Unsupported(String),
}

impl Default for PathSettings {
    fn default() -> PathSettings {
        PathSettings {
            delivery_window: Duration::ZERO,
            publisher_override: true,
            publisher_grace: Duration::from_secs(5),
            readers_max: 0,
            source: Source::Publisher,
            fallback: None,
        }
    }
}

/// The settings of every path: by name, else by the first pattern that matches.
#[derive(Debug, Default)]
pub struct Paths {
    pub exact: HashMap<String, Arc<PathSettings>>,
    pub patterns: Vec<(Regex, Arc<PathSettings>)>,
    /// For paths that nothing else matches; without it they do not exist.
    pub others: Option<Arc<PathSettings>>,
}

impl Paths {
    /// The same for every path.
    pub fn all(settings: PathSettings) -> Paths {
        Paths { others: Some(Arc::new(settings)), ..Paths::default() }
    }

    /// The settings of a path, and the pattern that named them.
    pub fn find(&self, name: &str) -> Option<(&Arc<PathSettings>, Option<&Regex>)> {
        if let Some(settings) = self.exact.get(name) {
            return Some((settings, None));
        }
        if let Some((pattern, settings)) = self.patterns.iter().find(|(pattern, _)| pattern.is_match(name)) {
            return Some((settings, Some(pattern)));
        }
        self.others.as_ref().map(|settings| (settings, None))
    }

    fn each(&self) -> impl Iterator<Item = (&str, &Arc<PathSettings>)> {
        let exact = self.exact.iter().map(|(name, settings)| (name.as_str(), settings));
        let patterns = self.patterns.iter().map(|(pattern, settings)| (pattern.as_str(), settings));
        exact.chain(patterns).chain(self.others.iter().map(|settings| ("all_others", settings)))
    }
}

impl Settings {
    /// Whether a connection from `ip` may begin with a PROXY protocol header.
    pub(crate) fn trusts_proxy(&self, protocol: Protocol, ip: IpAddr) -> bool {
        match protocol {
            Protocol::Rtsp | Protocol::Rtsps => is_trusted(&self.rtsp.trusted_proxies, ip),
            Protocol::Rtmp | Protocol::Rtmps => is_trusted(&self.rtmp.trusted_proxies, ip),
            // HTTP has header fields for it.
            Protocol::Http | Protocol::Https | Protocol::Hls => false,
        }
    }

    /// The settings of a path, if there are any.
    pub(crate) fn path(&self, name: &str) -> Option<&Arc<PathSettings>> {
        self.paths.find(name).map(|(settings, _)| settings)
    }

    /// Finds values the engine cannot work with.
    ///
    /// # Errors
    /// A sentence that names the value and its bounds.
    pub fn check(&self) -> Result<(), String> {
        let max = limits::SHARDS_MAX;
        if self.shards == 0 || self.shards > max {
            return Err(format!("{} shards: the number of shards must be 1 to {max}", self.shards));
        }
        let longest = limits::DELIVERY_WINDOW_MAX;
        for (name, path) in self.paths.each() {
            if path.delivery_window > longest {
                return Err(format!(
                    "path {name}: a delivery window of {:?} is too long; the longest is {longest:?}",
                    path.delivery_window
                ));
            }
        }
        if self.rtsp.session_timeout < Duration::from_secs(1) {
            return Err(
                "the session timeout must be at least 1s (players report every five seconds)".to_owned()
            );
        }
        if self.read_timeout.is_zero() || self.write_timeout.is_zero() {
            return Err("the read and write timeouts must be longer than zero".to_owned());
        }
        if self.bounds.request_rate < 1.0 || self.bounds.request_burst < 1.0 {
            return Err("the request rate and burst must be at least 1".to_owned());
        }
        Ok(())
    }
}
