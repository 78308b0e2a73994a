//! What became of hooks and webhooks. Read by the metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// All that hooks and webhooks count.
#[derive(Debug, Default)]
pub(crate) struct HookCounters {
    /// Commands started, restarts included.
    pub(crate) started: AtomicU64,
    /// Commands that run now.
    pub(crate) running: AtomicU64,
    /// Commands that ended by themselves with code 0.
    pub(crate) succeeded: AtomicU64,
    /// Commands that ended by themselves otherwise.
    pub(crate) failed: AtomicU64,
    /// Commands that could not be started.
    pub(crate) not_started: AtomicU64,
    /// Commands that had to be killed because they did not end when told to.
    pub(crate) killed: AtomicU64,
    /// Commands not run because too many waited already, or still when the server ended.
    pub(crate) overloaded: AtomicU64,
    /// Happenings that came faster than they were taken; what they left undone was found by comparing with the live world.
    pub(crate) happenings_missed: AtomicU64,
    pub(crate) webhooks_delivered: AtomicU64,
    /// Tries beyond the first.
    pub(crate) webhooks_retried: AtomicU64,
    /// Given up: the server refused it, or all tries failed.
    pub(crate) webhooks_failed: AtomicU64,
    /// Not sent because too many waited already.
    pub(crate) webhooks_dropped: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// Counts a command as running for as long as it lives.
pub(super) struct RunningNow<'a>(&'a AtomicU64);

impl<'a> RunningNow<'a> {
    pub(super) fn new(counters: &'a HookCounters) -> RunningNow<'a> {
        count(&counters.running);
        RunningNow(&counters.running)
    }
}

impl Drop for RunningNow<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
