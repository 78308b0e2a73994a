//! Puts the wrapped timestamps of a program on one line that never jumps.
//!
//! The line starts at zero with the first timestamp. Sources restart, loop, or change their encoder, and then the
//! timestamps of each track jump, not all at the same unit: so the base before is kept, and late units of other tracks
//! still find their place. The program clock reference is not looked at: several senders write one that has nothing to do
//! with their timestamps.

use super::timestamp::{CLOCK_RATE, Timestamp};
use crate::limits::MPEGTS_JUMP_MS_MAX;

const JUMP_TICKS: i64 = (MPEGTS_JUMP_MS_MAX * CLOCK_RATE as u64 / 1000) as i64;

/// A point that the wire and the line have in common.
#[derive(Clone, Copy, Debug)]
struct Base {
    wire: Timestamp,
    ticks: i64,
}

impl Base {
    /// The place on the line of a timestamp near this point.
    fn place(self, wire: Timestamp) -> Option<i64> {
        let distance = wire.distance(self.wire);
        (distance.abs() <= JUMP_TICKS).then(|| self.ticks + distance)
    }
}

/// The times of one program, in ticks of [`CLOCK_RATE`].
#[derive(Debug, Default)]
pub(super) struct Timeline {
    now: Option<Base>,
    before: Option<Base>,
    /// The latest time given.
    latest: i64,
    /// Jumps to a new base.
    pub(super) jumps: u64,
}

impl Timeline {
    /// The time of a unit's DTS.
    pub(super) fn time(&mut self, wire: Timestamp) -> i64 {
        for base in [&mut self.now, &mut self.before].into_iter().flatten() {
            if let Some(ticks) = base.place(wire) {
                *base = Base { wire, ticks };
                self.latest = self.latest.max(ticks);
                return ticks;
            }
        }
        self.jumps += u64::from(self.now.is_some());
        self.before = self.now.replace(Base { wire, ticks: self.latest });
        self.latest
    }

    /// The latest time given: where units without a time belong.
    pub(super) fn latest(&self) -> i64 {
        self.latest
    }
}

#[cfg(test)]
mod tests {
    use super::Timeline;
    use crate::mpegts::Timestamp;

    #[test]
    fn time_goes_on_over_the_wrap_and_over_jumps() {
        let mut timeline = Timeline::default();
        let mut time = |ticks| timeline.time(Timestamp::new(ticks));
        assert_eq!(time(-3000), 0);
        assert_eq!(time(0), 3000);
        assert_eq!(time(-1500), 1500, "of another track");
        assert_eq!(time(90_000_000), 3000, "a new base goes on where the old one was");
        assert_eq!(time(2000), 5000, "a track that has not jumped yet");
        assert_eq!(time(90_003_000), 6000);
        assert_eq!(timeline.jumps, 1);
    }
}
