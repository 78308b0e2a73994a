//! Time: timestamps of 32 bits to times that do not wrap, and times of audio freed from their rounding.

use crate::limits::{FLV_STEP_AHEAD_MS_MAX, FLV_STEP_BACK_MS_MAX};
use crate::unit::MediaTime;

/// Joins the wrapping timestamps of all tracks to one time that begins with the first coded message.
///
/// A timestamp far from the one before it is a sender that started again or whose clock was set; its time goes on where
/// the last one stood. Not all tracks jump at the same message: what still lies near the time before the jump belongs
/// there.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock {
    now: Option<Base>,
    before: Option<Base>,
    /// The latest time given.
    latest_ms: i64,
}

/// A point that the timestamps and the time have in common.
#[derive(Clone, Copy, Debug)]
struct Base {
    timestamp_ms: u32,
    time_ms: i64,
}

impl Base {
    /// The time of a timestamp near this point.
    fn place(self, timestamp_ms: u32) -> Option<i64> {
        let step = i64::from(timestamp_ms.wrapping_sub(self.timestamp_ms) as i32);
        (-FLV_STEP_BACK_MS_MAX..=FLV_STEP_AHEAD_MS_MAX).contains(&step).then(|| self.time_ms + step)
    }
}

impl Clock {
    /// Milliseconds since the first timestamp given here.
    pub(super) fn time_ms(&mut self, timestamp_ms: u32) -> i64 {
        for base in [&mut self.now, &mut self.before].into_iter().flatten() {
            if let Some(time_ms) = base.place(timestamp_ms) {
                *base = Base { timestamp_ms, time_ms };
                self.latest_ms = self.latest_ms.max(time_ms);
                return time_ms;
            }
        }
        // One later than the last, so that no two units of a track have the same time.
        let time_ms = if self.now.is_some() { self.latest_ms + 1 } else { 0 };
        self.latest_ms = time_ms;
        self.before = self.now.replace(Base { timestamp_ms, time_ms });
        time_ms
    }
}

/// Largest distance between a timestamp and the count of samples that rounding explains: a millisecond for the
/// sender's rounding, and one for encoders that round durations.
const ROUNDING_MS_MAX: i64 = 2;

/// The times of one audio track on its sample clock. Counted in samples from unit to unit while the timestamps agree
/// with the count, so that rounding to milliseconds leaves no trace; else from the timestamp.
#[derive(Clone, Debug)]
pub(super) struct SampleClock {
    sample_rate: u32,
    next: Option<i64>,
}

impl SampleClock {
    pub(super) fn new(sample_rate: u32) -> SampleClock {
        SampleClock { sample_rate, next: None }
    }

    /// Time of a unit of `samples`, where its count is known, that came with `time_ms`.
    pub(super) fn time(&mut self, time_ms: i64, samples: Option<u32>) -> MediaTime {
        let stated = MediaTime::new(time_ms, 1000).in_clock(self.sample_rate);
        let rounding = ROUNDING_MS_MAX * i64::from(self.sample_rate) / 1000;
        let ticks = self.next.filter(|next| (next - stated).abs() <= rounding).unwrap_or(stated);
        self.next = samples.map(|samples| ticks + i64::from(samples));
        MediaTime::new(ticks, self.sample_rate)
    }

    /// Time of a further unit of `samples` that came with the timestamp of the one before, whose samples were counted.
    pub(super) fn next(&mut self, samples: u32) -> MediaTime {
        let ticks = self.next.unwrap_or_default();
        self.next = Some(ticks + i64::from(samples));
        MediaTime::new(ticks, self.sample_rate)
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, SampleClock};

    #[test]
    fn timestamps_wrap_both_ways() {
        let mut clock = Clock::default();
        let times = [u32::MAX - 10, 5, u32::MAX - 2, 30].map(|timestamp| clock.time_ms(timestamp));
        assert_eq!(times, [0, 16, 8, 41]);
        let mut clock = Clock::default();
        assert_eq!([3, u32::MAX, 40].map(|timestamp| clock.time_ms(timestamp)), [0, -4, 37]);
    }

    #[test]
    fn a_sender_that_starts_again_goes_on() {
        let mut clock = Clock::default();
        let times = [5_000_000, 5_000_040, 0, 40, 80].map(|timestamp| clock.time_ms(timestamp));
        assert_eq!(times, [0, 40, 41, 81, 121]);
    }

    #[test]
    fn tracks_that_jump_one_after_the_other_stay_together() {
        let mut clock = Clock::default();
        let times =
            [0, 10, 40, 3_600_080, 53, 3_600_120, 76, 3_600_101].map(|timestamp| clock.time_ms(timestamp));
        assert_eq!(times, [0, 10, 40, 41, 53, 81, 76, 62]);
    }

    #[test]
    fn samples_are_counted_until_timestamps_disagree() {
        let mut clock = SampleClock::new(44_100);
        for unit in 0..1000 {
            let exact = unit * 1024;
            let time = clock.time(exact * 1000 / 44_100, Some(1024));
            assert_eq!(time.ticks, exact);
        }
        assert_eq!(clock.time(60_000, Some(1024)).ticks, 60 * 44_100);
        assert_eq!(clock.time(60_023, None).ticks, 60 * 44_100 + 1024);
        assert_eq!(clock.time(60_046, None).ticks, 60_046 * 441 / 10);
    }
}
