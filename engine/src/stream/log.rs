//! The stream log: recent batches, from the last random access point on. The log is every reader's queue.
//!
//! Invariants: batches are consecutive (`batch[i].end() == batch[i + 1].first`); `start <= random_access < end` where
//! there is a random access point; what is held stays within the stream's byte limit and [`limits::LOG_BATCHES_MAX`].

use super::{Batch, Position};
use crate::counters::Counters;
use crate::limits;
use std::collections::VecDeque;
use std::sync::Arc;

pub(crate) struct Log {
    bytes_max: usize,
    batches: VecDeque<Arc<Batch>>,
    end: Position,
    bytes: usize,
    random_access: Option<Position>,
}

impl Log {
    /// A log that holds at most `bytes_max`.
    pub(crate) fn new(bytes_max: usize) -> Log {
        Log { bytes_max, batches: VecDeque::new(), end: 0, bytes: 0, random_access: None }
    }

    /// Changes the bound; it takes effect with the next batch.
    pub(crate) fn set_bytes_max(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Position of the oldest packet held.
    pub(crate) fn start(&self) -> Position {
        self.batches.front().map_or(self.end, |batch| batch.first)
    }

    /// Position after the newest packet.
    pub(crate) fn end(&self) -> Position {
        self.end
    }

    /// The newest random access point that is still held.
    pub(crate) fn random_access(&self) -> Option<Position> {
        self.random_access
    }

    pub(crate) fn batches(&self) -> impl DoubleEndedIterator<Item = &Arc<Batch>> {
        self.batches.iter()
    }

    /// The batches from the one that holds `position` on.
    pub(crate) fn from(&self, position: Position) -> impl Iterator<Item = &Arc<Batch>> {
        let behind = self.end.saturating_sub(position);
        let index = match self.batches.back() {
            // Almost every reader wants the newest batch alone.
            Some(last) if (1..=last.end() - last.first).contains(&behind) => self.batches.len() - 1,
            _ => self.batches.partition_point(|batch| batch.end() <= position),
        };
        self.batches.range(index..)
    }

    /// Appends a batch and drops what is too old. A batch that does not follow the last one starts the log anew: its
    /// readers find their cursors overrun.
    pub(crate) fn push(&mut self, batch: Arc<Batch>, counters: &Counters) {
        if batch.first != self.end {
            self.clear();
        }
        self.end = batch.end();
        self.bytes += batch.cost();
        if batch.random_access.is_some() {
            self.random_access = batch.random_access;
        }
        let now = batch.published;
        self.batches.push_back(batch);
        self.trim(now, counters);
    }

    /// Forgets everything, as after a change of tracks.
    pub(crate) fn clear(&mut self) {
        self.batches.clear();
        self.bytes = 0;
        self.random_access = None;
    }

    fn trim(&mut self, now: std::time::Instant, counters: &Counters) {
        while self.batches.len() > 1 {
            let front = &self.batches[0];
            let over = self.bytes > self.bytes_max || self.batches.len() > limits::LOG_BATCHES_MAX;
            let needed = self.random_access.is_some_and(|position| front.end() > position);
            let recent = now.saturating_duration_since(front.published) < limits::LOG_TRAIL;
            if !over && (needed || recent) {
                break;
            }
            if needed {
                counters.log_truncations.add(1);
            }
            self.bytes -= front.cost();
            self.batches.pop_front();
        }
        let start = self.start();
        self.random_access = self.random_access.filter(|position| (start..self.end).contains(position));
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::{BatchBuilder, Channel, tests::batch};
    use super::Log;
    use crate::counters::Counters;
    use crate::limits;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    #[test]
    fn a_position_finds_its_batch() {
        let mut log = Log::new(limits::LOG_BYTES_MAX);
        let counters = Counters::default();
        for n in 0..5 {
            log.push(Arc::new(batch(n * 3, Some(0), &[(Channel::rtp(0), 10); 3])), &counters);
        }
        for position in 0..15 {
            let found = log.from(position).next().expect("held");
            assert!((found.first..found.end()).contains(&position), "{position}");
        }
        assert!(log.from(15).next().is_none());
    }

    #[test]
    fn batches_before_the_random_access_point_go_after_the_trail() {
        let mut log = Log::new(limits::LOG_BYTES_MAX);
        let counters = Counters::default();
        let start = Instant::now();
        let mut push = |n: u64, random_access, at: Duration| {
            let mut builder = BatchBuilder::default();
            builder.push(Channel::rtp(0), &[0; 100]);
            log.push(Arc::new(builder.finish(n, random_access, start + at)), &counters);
            (log.start(), log.random_access())
        };
        assert_eq!(push(0, Some(0), Duration::ZERO), (0, Some(0)));
        assert_eq!(push(1, Some(0), limits::LOG_TRAIL * 5), (0, Some(0)));
        assert_eq!(push(2, Some(2), limits::LOG_TRAIL * 5), (1, Some(2)));
        assert_eq!(push(3, Some(2), limits::LOG_TRAIL * 7), (2, Some(2)));
        assert_eq!(counters.log_truncations.value(), 0);
    }

    #[test]
    fn the_byte_limit_holds_without_random_access_points() {
        let mut log = Log::new(limits::LOG_BYTES_MAX);
        let counters = Counters::default();
        for n in 0..100 {
            log.push(Arc::new(batch(n * 10, Some(0), &[(Channel::rtp(0), 60_000); 10])), &counters);
        }
        assert!(log.bytes <= limits::LOG_BYTES_MAX);
        assert_eq!(log.random_access(), None);
        assert!(counters.log_truncations.value() > 0);
    }

    #[test]
    fn a_gap_starts_the_log_anew() {
        let mut log = Log::new(limits::LOG_BYTES_MAX);
        let counters = Counters::default();
        log.push(Arc::new(batch(0, Some(0), &[(Channel::rtp(0), 10)])), &counters);
        log.push(Arc::new(batch(5, Some(0), &[(Channel::rtp(0), 10)])), &counters);
        assert_eq!((log.start(), log.end(), log.random_access()), (5, 6, None));
    }
}
