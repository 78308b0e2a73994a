//! What the control core tells the engine at start: addresses, timeouts, and how paths behave.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Everything the engine needs to know. Values are checked by whoever fills it; see [`Settings::check`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// Number of shards, 1 to [`crate::limits::SHARDS_MAX`].
    pub shards: usize,
    /// The processors the shards are pinned to, in turn; empty: not pinned.
    pub processors: Vec<usize>,
    pub rtsp: Rtsp,
    /// What holds for paths without settings of their own.
    pub path_defaults: PathSettings,
    /// Settings by path name.
    pub paths: HashMap<String, PathSettings>,
    /// Who may publish and read; empty: everybody.
    pub users: Vec<User>,
    /// A publisher without media, or a connection without a request, is closed after this.
    pub read_timeout: Duration,
    /// A reader that takes nothing of what is due is closed after this.
    pub write_timeout: Duration,
}

/// The RTSP listeners.
#[derive(Clone, Debug)]
pub struct Rtsp {
    pub address: Option<SocketAddr>,
    /// RTSP over TLS, with the certificate in the configuration.
    pub secure: Option<(SocketAddr, Arc<rustls::ServerConfig>)>,
    /// RTP and RTCP over UDP; `None` leaves only TCP.
    pub datagrams: Option<(SocketAddr, SocketAddr)>,
    /// A session without request or RTCP is closed after this; announced in the Session header.
    pub session_timeout: Duration,
}

/// Somebody with a password.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub password: String,
    pub may_publish: bool,
    pub may_read: bool,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
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
    /// Readers per shard; 0 for no limit but [`crate::limits::READERS_PER_STREAM_MAX`].
    pub readers_max: usize,
}

impl Default for PathSettings {
    fn default() -> PathSettings {
        PathSettings {
            delivery_window: Duration::ZERO,
            publisher_override: true,
            publisher_grace: Duration::from_secs(5),
            readers_max: 0,
        }
    }
}

impl Settings {
    /// The settings of a path.
    pub fn path(&self, name: &str) -> &PathSettings {
        self.paths.get(name).unwrap_or(&self.path_defaults)
    }

    /// Finds values the engine cannot work with.
    ///
    /// # Errors
    /// A sentence that names the value and its bounds.
    pub fn check(&self) -> Result<(), String> {
        let max = crate::limits::SHARDS_MAX;
        if self.shards == 0 || self.shards > max {
            return Err(format!("{} shards: the number of shards must be 1 to {max}", self.shards));
        }
        let longest = crate::limits::DELIVERY_WINDOW_MAX;
        for (name, path) in
            self.paths.iter().map(|(name, path)| (name.as_str(), path)).chain([("*", &self.path_defaults)])
        {
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
        Ok(())
    }
}
