//! What each shard is doing, seen from outside: a few words that the shard stores in every turn.

use crate::records::{Activity, Phase, Span};
use crossbeam::queue::ArrayQueue;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// One shard's window to the outside.
pub(crate) struct Watch {
    shard: u8,
    started: Instant,
    phase: AtomicU8,
    /// Nanoseconds after `started` when the turn, or the sleep, began.
    since: AtomicU64,
}

impl Watch {
    /// `started` is the engine's.
    pub(crate) fn new(shard: u8, started: Instant) -> Watch {
        Watch { shard, started, phase: AtomicU8::new(0), since: AtomicU64::new(0) }
    }

    /// The turn, or the sleep, begins.
    #[inline]
    pub(crate) fn begin(&self, at: Instant, phase: Phase) {
        let nanos = at.saturating_duration_since(self.started).as_nanos() as u64;
        self.since.store(nanos, Ordering::Relaxed);
        self.enter(phase);
    }

    #[inline]
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(crate) fn activity(&self, turns: u64, asks: usize) -> Activity {
        let since = Duration::from_nanos(self.since.load(Ordering::Relaxed));
        Activity {
            shard: self.shard,
            phase: Phase::ALL[usize::from(self.phase.load(Ordering::Relaxed))],
            turns,
            since: self.started.elapsed().saturating_sub(since),
            asks,
        }
    }

    /// Records one phase that began at `from` and ends now. Returns when that was.
    pub(crate) fn span(&self, spans: &ArrayQueue<Span>, phase: Phase, from: Instant) -> Instant {
        let now = Instant::now();
        let start = from.saturating_duration_since(self.started);
        spans.force_push(Span { shard: self.shard, phase, start, length: now - from });
        now
    }
}

/// The spans of all shards while they are recorded.
pub(crate) type Recording = Arc<ArrayQueue<Span>>;
