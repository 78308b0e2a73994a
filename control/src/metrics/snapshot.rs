//! The live world as one scrape shows it. Taken at once, off the control thread; a shard is not asked.

use crate::api::tracks;
use crate::config::Configuration;
use crate::core::Core;
use crate::world::{ConnectionView, MuxerView, PathView, SessionView, World};
use headwater_engine::records::Protocol;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// What is live, and the configured paths that are not.
#[derive(Default)]
pub(crate) struct Snapshot {
    pub(crate) paths: Vec<PathLine>,
    pub(crate) connections: HashMap<Protocol, Vec<ConnectionView>>,
    pub(crate) sessions: HashMap<Protocol, Vec<SessionView>>,
    pub(crate) muxers: Vec<MuxerView>,
    /// Tracks that sessions are not given, by protocol and codec.
    pub(crate) skipped: BTreeMap<(Protocol, &'static str), u64>,
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
        let world = &core.world;
        let all = Protocol::ALL.into_iter();
        let sessions: HashMap<_, _> = all.clone().map(|one| (one, world.sessions(one))).collect();
        Snapshot {
            paths: path_lines(world.paths(), &core.configuration()),
            connections: all.map(|one| (one, world.connections(one))).collect(),
            muxers: world.muxers(),
            skipped: skipped(sessions.values().flatten(), world),
            sessions,
        }
    }

    pub(crate) fn connections(&self, protocol: Protocol) -> &[ConnectionView] {
        self.connections.get(&protocol).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn sessions(&self, protocol: Protocol) -> &[SessionView] {
        self.sessions.get(&protocol).map_or(&[], Vec::as_slice)
    }
}

/// Counts the tracks that sessions are not given.
fn skipped<'a>(
    sessions: impl Iterator<Item = &'a SessionView>,
    world: &World,
) -> BTreeMap<(Protocol, &'static str), u64> {
    let mut counts = BTreeMap::new();
    for session in sessions {
        let tracks = session.record.skipped.get().map_or(&[][..], |tracks| tracks);
        if tracks.is_empty() {
            continue;
        }
        let stream = world.stream(&session.record.path);
        for codec in tracks.iter().filter_map(|track| tracks::codec_of(track, stream.as_deref())) {
            *counts.entry((session.record.protocol, codec)).or_default() += 1;
        }
    }
    counts
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
