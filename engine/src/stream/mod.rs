//! Streams: a path's live tracks, as one shard sees them.
//!
//! - [`batch`]: units that arrived together, in the form they are sent.
//! - [`log`]: a stream's bounded ring of recent batches; readers are cursors into it.
//! - [`ingest`]: what a publisher's packets go through once: numbering, timing, random access points.
//! - [`reader`]: a cursor and where it sends to. [`flush`]: the loop that sends what is due.
//!
//! A stream has a home shard, where its publisher lives, and replicas on the shards that have readers. Positions are
//! packet numbers of the stream, the same on every shard.

pub(crate) mod batch;
pub(crate) mod flush;
pub(crate) mod ingest;
pub(crate) mod log;
pub(crate) mod reader;

use crate::counters::Counters;
use crate::mesh::ShardId;
use crate::records;
use crate::shard::{ConnectionKey, SessionKey};
use batch::Channel;
use bytes::Bytes;
use headwater_protocols::{sdp, track::Track};
use reader::Flow;
use slotmap::DenseSlotMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

pub(crate) use batch::Batch;
pub(crate) use ingest::Ingest;
pub(crate) use log::Log;
pub(crate) use reader::{Reader, ReaderKey};

slotmap::new_key_type! {
    /// A stream's place on one shard.
    pub(crate) struct StreamKey;
}

/// Names a stream across shards; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StreamId(pub(crate) u64);

/// Number of a packet in its stream, counted from the first one ever published. Never wraps.
pub(crate) type Position = u64;

/// Why a stream's readers are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// The publisher is gone and did not return within the grace time.
    PublisherGone,
    /// A new publisher brought other tracks.
    TracksChanged,
    /// The configuration has no such path any more.
    PathRemoved,
}

impl CloseReason {
    pub(crate) fn text(self) -> &'static str {
        match self {
            CloseReason::PublisherGone => "the publisher is gone",
            CloseReason::TracksChanged => "the new publisher has other tracks",
            CloseReason::PathRemoved => "the path was removed from the configuration",
        }
    }
}

/// What readers are told of a stream before the first packet.
#[derive(Debug)]
pub(crate) struct Description {
    pub(crate) tracks: Vec<Track>,
    /// The session description for readers (RFC 8866).
    pub(crate) sdp: Box<str>,
    /// Synchronisation source of each track, chosen by the server and kept across publishers.
    pub(crate) ssrcs: Vec<u32>,
    /// Readers on all shards, playing or about to.
    pub(crate) readers: AtomicUsize,
}

impl Description {
    pub(crate) fn new(path: &str, tracks: Vec<Track>, ssrcs: Vec<u32>) -> Description {
        debug_assert_eq!(tracks.len(), ssrcs.len());
        let sdp = sdp::describe(path, &tracks).into_boxed_str();
        Description { tracks, sdp, ssrcs, readers: AtomicUsize::new(0) }
    }

    /// Whether readers of this stream can go on with a publisher of `tracks`.
    pub(crate) fn continues_with(&self, tracks: &[Track]) -> bool {
        self.tracks.len() == tracks.len() && self.tracks.iter().zip(tracks).all(|(a, b)| a.continues(b))
    }
}

/// The home's side of a stream.
pub(crate) struct Home {
    /// The session that publishes now; `None` during the grace time.
    pub(crate) publisher: Option<SessionKey>,
    pub(crate) ingest: Ingest,
    /// Shards that get every batch.
    pub(crate) subscribers: Vec<ShardId>,
    /// When readers without a publisher are given up.
    pub(crate) grace_until: Option<Instant>,
}

/// A replica's side of a stream.
pub(crate) struct Replica {
    pub(crate) home: ShardId,
    /// The home's log has arrived.
    pub(crate) ready: bool,
    /// Since when there has been no reader.
    pub(crate) idle_since: Option<Instant>,
    /// Connections whose request waits for `ready`.
    pub(crate) waiters: Vec<ConnectionKey>,
}

pub(crate) enum Side {
    Home(Box<Home>),
    Replica(Replica),
}

/// A stream on one shard.
pub(crate) struct Stream {
    pub(crate) id: StreamId,
    pub(crate) path: Arc<str>,
    pub(crate) record: Arc<records::Stream>,
    pub(crate) description: Arc<Description>,
    pub(crate) side: Side,
    pub(crate) log: Log,
    pub(crate) readers: DenseSlotMap<ReaderKey, Reader>,
    /// Delivery window: at most one write per reader in this time. Zero sends at once.
    pub(crate) window: Duration,
    /// Earliest time of the next flush to everyone.
    pub(crate) next_flush: Instant,
    /// When readers that are behind get more.
    pub(crate) go_on_at: Option<Instant>,
    /// A batch is under way (listed in the shard's `ingesting`).
    pub(crate) ingesting: bool,
    /// Something new may be due for every reader.
    pub(crate) due: bool,
    /// Listed in the shard's `dirty`.
    pub(crate) dirty: bool,
    /// The newest sender report of each track.
    reports: Vec<Option<Bytes>>,
}

impl Stream {
    pub(crate) fn new(
        record: Arc<records::Stream>,
        description: Arc<Description>,
        side: Side,
        log: Log,
        window: Duration,
        now: Instant,
    ) -> Stream {
        let reports = vec![None; description.tracks.len()];
        Stream {
            id: StreamId(record.id),
            path: Arc::clone(&record.path),
            record,
            description,
            side,
            log,
            readers: DenseSlotMap::with_key(),
            window,
            next_flush: now,
            go_on_at: None,
            ingesting: false,
            due: false,
            dirty: false,
            reports,
        }
    }

    /// When the next flush is due, if any.
    pub(crate) fn flush_at(&self) -> Option<Instant> {
        let everyone = self.due.then_some(self.next_flush);
        everyone.into_iter().chain(self.go_on_at).min()
    }

    /// Whether a reader that can be sent to has not got all.
    pub(crate) fn has_reader_behind(&self) -> bool {
        let end = self.log.end();
        self.readers.values().any(|reader| reader.flow == Flow::Flowing && reader.cursor < end)
    }

    /// Appends a batch to the log.
    pub(crate) fn push(&mut self, batch: Arc<Batch>, counters: &Counters) {
        for (track, report) in self.reports.iter_mut().enumerate() {
            if batch.channels().has(Channel::rtcp(track)) {
                let found = batch.packets().iter().rposition(|at| at.channel == Channel::rtcp(track));
                *report = found.map(|index| Bytes::copy_from_slice(batch.packet(index)));
            }
        }
        self.log.push(batch, counters);
    }

    /// The newest sender report of a track, as readers were sent it.
    pub(crate) fn report(&self, track: usize) -> Option<Bytes> {
        self.reports.get(track)?.clone()
    }

    pub(crate) fn home(&mut self) -> Option<&mut Home> {
        match &mut self.side {
            Side::Home(home) => Some(home),
            Side::Replica(_) => None,
        }
    }

    pub(crate) fn replica(&mut self) -> Option<&mut Replica> {
        match &mut self.side {
            Side::Home(_) => None,
            Side::Replica(replica) => Some(replica),
        }
    }
}
