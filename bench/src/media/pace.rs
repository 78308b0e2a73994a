//! When each picture is due: picture k of path p at `start + (k + p/P) / fps`, from the start and never from the
//! picture before, so that lateness does not add up.

use std::time::{Duration, Instant};

/// The schedule of all paths of one run.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    start: Instant,
    fps: u32,
    paths: u32,
    /// Pictures handed out, of all paths.
    next: u64,
}

impl Pace {
    /// Starts at `start` with picture 0 of path 0. `fps` and `paths` are at least 1.
    pub(crate) fn new(start: Instant, fps: u32, paths: u32) -> Pace {
        assert!(fps > 0 && paths > 0, "a pace needs pictures and paths");
        Pace { start, fps, paths, next: 0 }
    }

    /// When the next picture is due.
    pub(crate) fn due(&self) -> Instant {
        self.start + offset(self.next, self.fps, self.paths)
    }

    /// The path whose picture is due by `now`, and by how much it is late; None when none is due.
    pub(crate) fn take(&mut self, now: Instant) -> Option<(usize, Duration)> {
        let late = now.checked_duration_since(self.due())?;
        let path = self.next % u64::from(self.paths);
        self.next += 1;
        Some((path as usize, late))
    }
}

/// How long after the start event `number` is due, exact to the nanosecond for years.
fn offset(number: u64, fps: u32, paths: u32) -> Duration {
    let per_second = u64::from(fps) * u64::from(paths);
    let nanos = u128::from(number % per_second) * 1_000_000_000 / u128::from(per_second);
    Duration::from_secs(number / per_second) + Duration::from_nanos(nanos as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_due_at_absolute_times_with_paths_in_turn() {
        let start = Instant::now();
        let mut pace = Pace::new(start, 30, 2);
        assert_eq!(pace.due(), start);
        assert_eq!(pace.take(start), Some((0, Duration::ZERO)));
        assert_eq!(pace.due() - start, Duration::from_nanos(16_666_666));
        assert_eq!(pace.take(start), None);
        let late = start + Duration::from_millis(20);
        assert_eq!(pace.take(late), Some((1, Duration::from_nanos(3_333_334))));
        assert_eq!(pace.due() - start, Duration::from_nanos(33_333_333));
    }

    #[test]
    fn lateness_does_not_add_up() {
        let start = Instant::now();
        let mut pace = Pace::new(start, 30, 3);
        let mut now = start;
        for _ in 0..90 * 3_600 {
            now = pace.due() + Duration::from_millis(2);
            assert!(pace.take(now).is_some());
        }
        assert_eq!(pace.due() - start, Duration::from_secs(3_600));
        assert!(now - start < Duration::from_secs(3_600));
    }
}
