//! The live world as the control core knows it: connections, sessions, paths and HLS muxers, kept from the engine's
//! events.
//!
//! Nothing here asks a shard. Counts are read from the records, which the shards keep up to date.

mod apply;
#[cfg(test)]
mod tests;

use headwater_engine::records::{self, Event, Id, Protocol, SessionState, Transport};
use headwater_protocols::track::Track;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use tokio::sync::broadcast;

/// Happenings that wait for a slow listener; a listener that misses some is told how many.
const HAPPENINGS_MAX: usize = 4096;

/// A connection and the session on it.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionView {
    pub(crate) record: Arc<records::Connection>,
    pub(crate) session: Option<Id>,
}

/// A session and what else is known of it.
#[derive(Clone, Debug)]
pub(crate) struct SessionView {
    pub(crate) record: Arc<records::Session>,
    pub(crate) state: SessionState,
    pub(crate) transport: Option<Transport>,
    pub(crate) connection: Option<Id>,
}

/// Who publishes to a path, or reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Party {
    /// MediaMTX's name: `rtspSession`, `rtmpConn`, …
    pub(crate) kind: &'static str,
    /// Of what the kind names: with RTMP the connection's, else the session's. The lists of the API know it.
    pub(crate) id: Id,
    pub(crate) session: Id,
}

/// An HLS muxer and the stream that it muxes.
#[derive(Clone, Debug)]
pub(crate) struct MuxerView {
    pub(crate) record: Arc<records::Muxer>,
    pub(crate) stream: Option<Arc<records::Stream>>,
}

/// A live path, all its shards together.
#[derive(Clone, Debug)]
pub(crate) struct PathView {
    pub(crate) name: Arc<str>,
    /// Since when readers can read it.
    pub(crate) available: SystemTime,
    /// Since when its publisher is there; `None` while readers wait for it to return.
    pub(crate) online: Option<SystemTime>,
    pub(crate) source: Option<Party>,
    pub(crate) tracks: Vec<Track>,
    pub(crate) readers: Vec<Party>,
    pub(crate) inbound_bytes: u64,
    pub(crate) inbound_frames_in_error: u64,
    pub(crate) outbound_bytes: u64,
    /// Bytes of recent media held for readers, on all shards.
    pub(crate) log_bytes: u64,
}

/// What operators, hooks and webhooks are told of, as it happens.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    ConnectionOpened(ConnectionView),
    ConnectionClosed {
        connection: ConnectionView,
        reason: Box<str>,
    },
    /// The path can be read. `query` is the publisher's.
    PathAvailable {
        path: Arc<str>,
        source: Option<Party>,
        query: Box<str>,
    },
    PathUnavailable {
        path: Arc<str>,
        source: Option<Party>,
        query: Box<str>,
    },
    /// The path's publisher is there.
    PathOnline {
        path: Arc<str>,
        source: Option<Party>,
        query: Box<str>,
    },
    PathOffline {
        path: Arc<str>,
        source: Option<Party>,
        query: Box<str>,
    },
    /// A session began to read or publish.
    SessionStarted(SessionView),
    SessionEnded {
        session: SessionView,
        reason: Box<str>,
    },
    /// The configuration changed; the keys that differ.
    ConfigurationChanged {
        keys: Vec<String>,
    },
    /// A configuration was refused and the old one stays.
    ConfigurationRefused {
        faults: String,
    },
}

/// The live world.
pub(crate) struct World {
    inner: Mutex<Inner>,
    happenings: broadcast::Sender<Arc<Happening>>,
    started: SystemTime,
}

#[derive(Default)]
struct Inner {
    connections: HashMap<Id, ConnectionEntry>,
    sessions: HashMap<Id, SessionView>,
    paths: BTreeMap<Arc<str>, PathEntry>,
    /// The path of each stream.
    stream_paths: HashMap<u64, Arc<str>>,
    /// Sessions that read, by path.
    readers: HashMap<Arc<str>, BTreeSet<Id>>,
    /// HLS muxers, by the stream they mux.
    muxers: HashMap<u64, Arc<records::Muxer>>,
}

struct ConnectionEntry {
    record: Arc<records::Connection>,
    /// The newest first.
    sessions: Vec<Id>,
    /// Where it was last seen.
    shard: u8,
}

/// What is known of a path: its home streams (two for a moment while one replaces the other; the newest last) and
/// their replicas.
#[derive(Default)]
struct PathEntry {
    homes: Vec<HomeEntry>,
    replicas: Vec<Arc<records::Stream>>,
}

struct HomeEntry {
    record: Arc<records::Stream>,
    /// Listeners were told that the path is available.
    announced: bool,
    publisher: Option<Publisher>,
    /// The newest publisher, while it is there and after.
    last: Option<Publisher>,
}

#[derive(Clone)]
struct Publisher {
    party: Party,
    query: Box<str>,
    since: SystemTime,
}

impl World {
    pub(crate) fn new() -> World {
        World {
            inner: Mutex::default(),
            happenings: broadcast::channel(HAPPENINGS_MAX).0,
            started: SystemTime::now(),
        }
    }

    /// When the server started.
    pub(crate) fn started(&self) -> SystemTime {
        self.started
    }

    /// What happens from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Arc<Happening>> {
        self.happenings.subscribe()
    }

    /// Tells whoever listens.
    pub(crate) fn tell(&self, happening: Happening) {
        // Nobody listening is fine.
        let _ = self.happenings.send(Arc::new(happening));
    }

    /// Takes over what the engine tells. Questions are not for here.
    pub(crate) fn apply(&self, event: Event) {
        let mut told = Vec::new();
        self.inner().apply(event, &mut told);
        told.into_iter().for_each(|happening| self.tell(happening));
    }

    /// The connections of one protocol, oldest first.
    pub(crate) fn connections(&self, protocol: Protocol) -> Vec<ConnectionView> {
        let inner = self.inner();
        let of = inner.connections.values().filter(|entry| entry.record.protocol == protocol);
        let mut all: Vec<_> = of.map(ConnectionEntry::view).collect();
        drop(inner);
        all.sort_by_key(|view| (view.record.created, view.record.id));
        all
    }

    pub(crate) fn connection(&self, id: Id) -> Option<ConnectionView> {
        self.inner().connections.get(&id).map(ConnectionEntry::view)
    }

    /// The sessions of one protocol, oldest first.
    pub(crate) fn sessions(&self, protocol: Protocol) -> Vec<SessionView> {
        let inner = self.inner();
        let mut all: Vec<_> =
            inner.sessions.values().filter(|view| view.record.protocol == protocol).cloned().collect();
        drop(inner);
        all.sort_by_key(|view| (view.record.created, view.record.id));
        all
    }

    pub(crate) fn session(&self, id: Id) -> Option<SessionView> {
        self.inner().sessions.get(&id).cloned()
    }

    /// The live paths, by name. Configured paths that nobody publishes to are not among them.
    pub(crate) fn paths(&self) -> Vec<PathView> {
        let inner = self.inner();
        inner.paths.keys().filter_map(|name| inner.path(name)).collect()
    }

    pub(crate) fn path(&self, name: &str) -> Option<PathView> {
        self.inner().path(name)
    }

    /// The home stream of a path.
    pub(crate) fn stream(&self, path: &str) -> Option<Arc<records::Stream>> {
        let inner = self.inner();
        inner.paths.get(path)?.homes.last().map(|home| Arc::clone(&home.record))
    }

    /// The HLS muxers, by path; of two while one replaces the other, the newer one.
    pub(crate) fn muxers(&self) -> Vec<MuxerView> {
        let inner = self.inner();
        let mut by_path = BTreeMap::<&str, &Arc<records::Muxer>>::new();
        for muxer in inner.muxers.values() {
            let newest = by_path.entry(&muxer.path).or_insert(muxer);
            if (muxer.created, muxer.stream) > (newest.created, newest.stream) {
                *newest = muxer;
            }
        }
        by_path.into_values().map(|muxer| inner.muxer(muxer)).collect()
    }

    /// The HLS muxer of a path.
    pub(crate) fn muxer(&self, path: &str) -> Option<MuxerView> {
        let inner = self.inner();
        let of_path = inner.muxers.values().filter(|muxer| &*muxer.path == path);
        of_path.max_by_key(|muxer| (muxer.created, muxer.stream)).map(|muxer| inner.muxer(muxer))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionEntry {
    fn view(&self) -> ConnectionView {
        ConnectionView { record: Arc::clone(&self.record), session: self.sessions.first().copied() }
    }
}

impl SessionView {
    /// As sources and readers of paths are named.
    pub(crate) fn party(&self) -> Party {
        let session = self.record.id;
        let (kind, id) = match self.record.protocol {
            Protocol::Rtsp => ("rtspSession", session),
            Protocol::Rtsps => ("rtspsSession", session),
            // MediaMTX knows no sessions of RTMP.
            Protocol::Rtmp => ("rtmpConn", self.connection.unwrap_or(session)),
            Protocol::Rtmps => ("rtmpsConn", self.connection.unwrap_or(session)),
            Protocol::Http | Protocol::Https => ("httpSession", session),
            Protocol::Hls => ("hlsSession", session),
        };
        Party { kind, id, session }
    }
}

impl Inner {
    fn muxer(&self, record: &Arc<records::Muxer>) -> MuxerView {
        let homes = self.paths.get(&record.path).map(|entry| entry.homes.iter()).into_iter().flatten();
        let stream = homes.map(|home| &home.record).find(|stream| stream.id == record.stream);
        MuxerView { record: Arc::clone(record), stream: stream.map(Arc::clone) }
    }

    fn path(&self, name: &str) -> Option<PathView> {
        let entry = self.paths.get(name)?;
        let home = entry.homes.last().filter(|home| home.announced)?;
        let streams = || {
            let replicas = entry.replicas.iter().filter(|stream| stream.id == home.record.id);
            replicas.chain([&home.record])
        };
        let readers = self.readers.get(name).into_iter().flatten();
        let readers = readers.filter_map(|id| self.sessions.get(id)).map(SessionView::party).collect();
        Some(PathView {
            name: Arc::clone(&home.record.path),
            available: home.record.created,
            online: home.publisher.as_ref().map(|publisher| publisher.since),
            source: home.publisher.as_ref().map(|publisher| publisher.party.clone()),
            tracks: home.record.tracks.clone(),
            readers,
            inbound_bytes: home.record.inbound_bytes.value(),
            inbound_frames_in_error: home.record.inbound_frames_in_error.value(),
            outbound_bytes: streams().map(|stream| stream.outbound_bytes.value()).sum(),
            log_bytes: streams().map(|stream| stream.log_bytes.value()).sum(),
        })
    }
}
