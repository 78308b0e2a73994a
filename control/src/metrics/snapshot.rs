//! The live world as one scrape shows it. Taken at once, off the control thread; a shard is not asked.

use crate::config::Configuration;
use crate::core::Core;
use crate::world::{ConnectionView, PathView, SessionView};
use headwater_engine::records::Protocol;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// What is live, and the configured paths that are not.
#[derive(Default)]
pub(crate) struct Snapshot {
    pub(crate) paths: Vec<PathLine>,
    pub(crate) connections: Vec<(Protocol, Vec<ConnectionView>)>,
    pub(crate) sessions: Vec<(Protocol, Vec<SessionView>)>,
}

/// A path as the metrics show it.
pub(crate) struct PathLine {
    pub(crate) name: Arc<str>,
    pub(crate) ready: bool,
    /// Readers by MediaMTX's name of their kind.
    pub(crate) readers: BTreeMap<&'static str, u64>,
    pub(crate) inbound_bytes: u64,
    pub(crate) inbound_frames_in_error: u64,
    pub(crate) outbound_bytes: u64,
    pub(crate) log_bytes: u64,
}

impl PathLine {
    /// MediaMTX's word.
    pub(crate) fn state(&self) -> &'static str {
        if self.ready { "ready" } else { "notReady" }
    }

    /// A configured path that nobody publishes to.
    fn not_ready(name: &str) -> PathLine {
        PathLine {
            name: name.into(),
            ready: false,
            readers: BTreeMap::new(),
            inbound_bytes: 0,
            inbound_frames_in_error: 0,
            outbound_bytes: 0,
            log_bytes: 0,
        }
    }
}

impl From<PathView> for PathLine {
    fn from(view: PathView) -> PathLine {
        let mut readers = BTreeMap::new();
        for reader in &view.readers {
            *readers.entry(reader.kind).or_default() += 1;
        }
        PathLine {
            name: view.name,
            ready: true,
            readers,
            inbound_bytes: view.inbound_bytes,
            inbound_frames_in_error: view.inbound_frames_in_error,
            outbound_bytes: view.outbound_bytes,
            log_bytes: view.log_bytes,
        }
    }
}

impl Snapshot {
    pub(crate) fn of(core: &Core) -> Snapshot {
        Snapshot {
            paths: path_lines(core.world.paths(), &core.configuration()),
            connections: [Protocol::Rtsp, Protocol::Rtsps]
                .map(|protocol| (protocol, core.world.connections(protocol)))
                .into(),
            sessions: [Protocol::Rtsp, Protocol::Rtsps]
                .map(|protocol| (protocol, core.world.sessions(protocol)))
                .into(),
        }
    }
}

/// The live paths and, among them by name, the configured ones that are not live. A regular expression or `all_others`
/// is no path.
pub(crate) fn path_lines(live: Vec<PathView>, configuration: &Configuration) -> Vec<PathLine> {
    let known: HashSet<Arc<str>> = live.iter().map(|view| Arc::clone(&view.name)).collect();
    let is_exact = |name: &&String| !name.starts_with('~') && !matches!(name.as_str(), "all" | "all_others");
    let mut lines: Vec<PathLine> = live.into_iter().map(PathLine::from).collect();
    let waiting = configuration.paths.keys().filter(is_exact).filter(|name| !known.contains(name.as_str()));
    lines.extend(waiting.map(|name| PathLine::not_ready(name)));
    lines.sort_by(|a, b| a.name.cmp(&b.name));
    lines
}
