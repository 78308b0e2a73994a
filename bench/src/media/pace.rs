//! When each picture or unit is due: number k of path p at `start + (k + p/P) / rate`, from the start and never from the
//! one before, so that lateness does not add up.

use std::time::{Duration, Instant};

/// How often something comes: `count` in `seconds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) count: u32,
    pub(crate) seconds: u32,
}

/// The schedule of all paths of one run.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    start: Instant,
    rate: Rate,
    paths: u32,
    /// Turns handed out, of all paths.
    next: u64,
}

impl Rate {
    pub(crate) const fn per_second(count: u32) -> Rate {
        Rate { count, seconds: 1 }
    }

    /// How many come in `time`, rounded down.
    pub(crate) fn within(self, time: Duration) -> u64 {
        (time.as_secs_f64() * f64::from(self.count) / f64::from(self.seconds)) as u64
    }
}

impl Pace {
    /// Starts at `start` with path 0. The rate and `paths` are above zero.
    pub(crate) fn new(start: Instant, rate: Rate, paths: u32) -> Pace {
        assert!(rate.count > 0 && rate.seconds > 0 && paths > 0, "a pace needs a rate and paths");
        Pace { start, rate, paths, next: 0 }
    }

    /// When the next one is due.
    pub(crate) fn due(&self) -> Instant {
        self.start + offset(self.next, self.rate, self.paths)
    }

    /// The path whose turn is due by `now`, and by how much it is late; None when none is due.
    pub(crate) fn take(&mut self, now: Instant) -> Option<(usize, Duration)> {
        let late = now.checked_duration_since(self.due())?;
        let path = self.next % u64::from(self.paths);
        self.next += 1;
        Some((path as usize, late))
    }
}

/// How long after the start event `number` is due, exact to the nanosecond for years.
fn offset(number: u64, rate: Rate, paths: u32) -> Duration {
    let per_period = u64::from(rate.count) * u64::from(paths);
    let period = u128::from(rate.seconds) * 1_000_000_000;
    let nanos = u128::from(number % per_period) * period / u128::from(per_period);
    Duration::from_secs(number / per_period * u64::from(rate.seconds)) + Duration::from_nanos(nanos as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_due_at_absolute_times_with_paths_in_turn() {
        let start = Instant::now();
        let mut pace = Pace::new(start, Rate::per_second(30), 2);
        assert_eq!(pace.due(), start);
        assert_eq!(pace.take(start), Some((0, Duration::ZERO)));
        assert_eq!(pace.due() - start, Duration::from_nanos(16_666_666));
        assert_eq!(pace.take(start), None);
        let late = start + Duration::from_millis(20);
        assert_eq!(pace.take(late), Some((1, Duration::from_nanos(3_333_334))));
        assert_eq!(pace.due() - start, Duration::from_nanos(33_333_333));
    }

    #[test]
    fn a_rate_that_is_no_whole_number_per_second_is_exact() {
        let (start, rate) = (Instant::now(), Rate { count: 375, seconds: 8 });
        assert_eq!(rate.within(Duration::from_secs(1)), 46);
        let mut pace = Pace::new(start, rate, 1);
        while pace.next < 375 * 10 {
            assert!(pace.take(start + Duration::from_secs(100)).is_some());
        }
        assert_eq!(pace.due() - start, Duration::from_secs(80));
    }

    #[test]
    fn lateness_does_not_add_up() {
        let start = Instant::now();
        let mut pace = Pace::new(start, Rate::per_second(30), 3);
        let mut now = start;
        for _ in 0..90 * 3_600 {
            now = pace.due() + Duration::from_millis(2);
            assert!(pace.take(now).is_some());
        }
        assert_eq!(pace.due() - start, Duration::from_secs(3_600));
        assert!(now - start < Duration::from_secs(3_600));
    }
}
