//! Streams: a path's live tracks, as one shard sees them.
//!
//! - [`batch`]: units that arrived together, in the form they are sent.
//! - [`log`]: a stream's bounded ring of recent batches; readers are cursors into it.
//! - [`input`]: what a publisher brings. [`ingest`]: what its RTP packets go through once: numbering, timing, random
//!   access points.
//! - [`form`]: the same stream in another form, as a stream beside it.
//! - [`reader`]: a cursor and where it sends to. [`flush`]: the loop that sends what is due.
//!
//! A stream has a home shard, where its publisher lives, and replicas on the shards that have readers. Positions are
//! packet numbers of the stream, the same on every shard.

pub(crate) mod batch;
pub(crate) mod flush;
pub(crate) mod form;
pub(crate) mod ingest;
pub(crate) mod input;
pub(crate) mod log;
pub(crate) mod reader;

use crate::counters::Counters;
use crate::mesh::ShardId;
use crate::records;
use crate::shard::{ConnectionKey, SessionKey};
use batch::Channel;
use bytes::Bytes;
use headwater_protocols::codec::Configuration;
use headwater_protocols::sdp;
use headwater_protocols::track::{Elementary, Track};
use reader::Flow;
use slotmap::DenseSlotMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant, SystemTime};

pub(crate) use batch::Batch;
pub(crate) use form::{Form, Maker};
pub(crate) use ingest::Ingest;
pub(crate) use input::Input;
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
    /// What the publisher announced of the decoders, by track.
    pub(crate) configurations: Vec<Option<Arc<Configuration>>>,
    /// What the publisher brings: RTP or units.
    pub(crate) form: Form,
    /// The session description for readers over RTP (RFC 8866), of the tracks that RTP can carry.
    pub(crate) sdp: Box<str>,
    /// Synchronisation source of each track, chosen by the server and kept across publishers.
    pub(crate) ssrcs: Vec<u32>,
    pub(crate) created: SystemTime,
    /// Readers on all shards, playing or about to.
    pub(crate) readers: AtomicUsize,
}

impl Description {
    pub(crate) fn new(path: &str, form: Form, announced: Vec<Elementary>, ssrcs: Vec<u32>) -> Description {
        debug_assert_eq!(announced.len(), ssrcs.len());
        let (tracks, configurations): (Vec<_>, Vec<_>) =
            announced.into_iter().map(|one| (one.track, one.configuration)).unzip();
        let sdp = sdp::describe(path, &tracks).into_boxed_str();
        let (created, readers) = (SystemTime::now(), AtomicUsize::new(0));
        Description { tracks, configurations, form, sdp, ssrcs, created, readers }
    }

    /// Whether readers of this stream can go on with a publisher of `tracks` in that form.
    pub(crate) fn continues_with(&self, form: Form, tracks: &[Track]) -> bool {
        self.form == form
            && self.tracks.len() == tracks.len()
            && self.tracks.iter().zip(tracks).all(|(a, b)| a.continues(b))
    }
}

/// The home's side of a stream.
pub(crate) struct Home {
    /// The session that publishes now; `None` during the grace time.
    pub(crate) publisher: Option<SessionKey>,
    pub(crate) input: Input,
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
    /// A form of another stream of this shard.
    Form(FormSide),
}

/// A form's side of a stream.
pub(crate) struct FormSide {
    /// The stream whose batches it is made of.
    pub(crate) of: StreamKey,
    pub(crate) maker: Maker,
    /// Since when nobody has wanted it.
    pub(crate) idle_since: Option<Instant>,
}

/// A stream on one shard.
pub(crate) struct Stream {
    pub(crate) id: StreamId,
    pub(crate) path: Arc<str>,
    pub(crate) record: Arc<records::Stream>,
    pub(crate) description: Arc<Description>,
    pub(crate) form: Form,
    pub(crate) side: Side,
    /// Streams of this shard that are forms of this one.
    pub(crate) forms: Vec<StreamKey>,
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
    /// A muxer is fed with it.
    pub(crate) is_muxed: bool,
    /// No muxer can be made of it.
    pub(crate) is_unmuxable: bool,
    /// The largest RTP packet so far, in bytes.
    pub(crate) packet_bytes_largest: usize,
    /// The newest sender report of each track, where the form is RTP.
    reports: Vec<Option<Bytes>>,
    /// The newest decoder configuration of each track, where the form is units.
    configurations: Vec<Option<Arc<Configuration>>>,
}

impl Stream {
    pub(crate) fn new(
        record: Arc<records::Stream>,
        description: Arc<Description>,
        form: Form,
        side: Side,
        log: Log,
        window: Duration,
        now: Instant,
    ) -> Stream {
        let reports = vec![None; description.tracks.len()];
        let configurations = description.configurations.clone();
        Stream {
            id: StreamId(record.id),
            path: Arc::clone(&record.path),
            record,
            description,
            form,
            side,
            forms: Vec::new(),
            log,
            readers: DenseSlotMap::with_key(),
            window,
            next_flush: now,
            go_on_at: None,
            ingesting: false,
            due: false,
            dirty: false,
            is_muxed: false,
            is_unmuxable: false,
            packet_bytes_largest: 0,
            reports,
            configurations,
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
            if self.form.is_rtp() && batch.channels().has(Channel::rtcp(track)) {
                let found = batch.packets().iter().rposition(|at| at.channel == Channel::rtcp(track));
                *report = found.map(|index| Bytes::copy_from_slice(batch.packet(index)));
            }
        }
        if self.form == Form::Rtp {
            self.packet_bytes_largest = self.packet_bytes_largest.max(batch.packet_bytes_largest());
        }
        for (track, unit) in batch.units() {
            if let (Some(configuration), Some(known)) =
                (&unit.configuration, self.configurations.get_mut(*track))
                && !known.as_ref().is_some_and(|known| Arc::ptr_eq(known, configuration))
            {
                *known = Some(Arc::clone(configuration));
            }
        }
        self.log.push(batch, counters);
    }

    /// What is known of the tracks now: from their announcement, and from the units so far.
    pub(crate) fn known(&self) -> Vec<Elementary> {
        let tracks = self.description.tracks.iter().zip(&self.configurations);
        tracks
            .map(|(track, configuration)| Elementary {
                track: track.clone(),
                configuration: configuration.clone(),
            })
            .collect()
    }

    /// The newest sender report of a track, as readers were sent it.
    pub(crate) fn report(&self, track: usize) -> Option<Bytes> {
        self.reports.get(track)?.clone()
    }

    /// The newest sender report of each track; none where the form is not RTP.
    pub(crate) fn reports(&self) -> &[Option<Bytes>] {
        &self.reports
    }

    /// Takes over reports that came before this stream's first batch.
    pub(crate) fn take_reports(&mut self, reports: &[Option<Bytes>]) {
        for (known, report) in self.reports.iter_mut().zip(reports) {
            *known = known.take().or_else(|| report.clone());
        }
    }

    pub(crate) fn home(&mut self) -> Option<&mut Home> {
        match &mut self.side {
            Side::Home(home) => Some(home),
            Side::Replica(_) | Side::Form(_) => None,
        }
    }

    pub(crate) fn replica(&mut self) -> Option<&mut Replica> {
        match &mut self.side {
            Side::Home(_) | Side::Form(_) => None,
            Side::Replica(replica) => Some(replica),
        }
    }

    pub(crate) fn form_side(&mut self) -> Option<&mut FormSide> {
        match &mut self.side {
            Side::Home(_) | Side::Replica(_) => None,
            Side::Form(form) => Some(form),
        }
    }
}
