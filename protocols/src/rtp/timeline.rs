//! Joins the tracks of one publisher on one clock (RFC 3550, sections 5.1 and 6.4.1).
//!
//! RTP timestamps start anywhere, on a clock of each track's own. A track is placed by the sender's reports where there
//! are some, which say what timestamp goes with what wall clock time, and by the arrival of its first packet otherwise.
//! Time zero is the arrival of the first packet of any track.
//!
//! - A track's first report, once another track has one, corrects the placement by arrival, if the two differ by more than
//!   [`ALIGNMENT_SLACK`]. Nothing that came out moves back: where a track came out too late, the others move on instead,
//!   unless its report came before its first packet. Later reports are not followed; clocks of one sender do not drift apart by what anyone could notice.
//! - A correction of more than [`ALIGNMENT_MAX`] is not believed: some cameras report another clock for each track.
//! - A timestamp that jumps by more than [`JUMP`], where the time since the packet before says otherwise, is a restarted
//!   source: the track goes on from where it was, by the time that passed meanwhile, and is aligned anew.

use std::time::{Duration, Instant};

use super::Ticks;
use crate::rtcp::Ntp;
use crate::unit::MediaTime;

/// What a report may differ from the placement by arrival without a correction: less than a listener notices.
const ALIGNMENT_SLACK: Duration = Duration::from_millis(5);
/// The largest correction believed.
const ALIGNMENT_MAX: Duration = Duration::from_secs(10);
/// The smallest jump that is a restart.
const JUMP: Duration = Duration::from_secs(10);

/// Wall clock and media times while they are compared: seconds times 2^32, as in [`Ntp`].
type Fixed = i128;

/// See the module.
#[derive(Debug)]
pub struct Timeline {
    tracks: Box<[Line]>,
    /// Arrival of the first packet of any track.
    epoch: Option<Instant>,
}

/// One track.
#[derive(Debug)]
struct Line {
    /// Never zero.
    clock_rate: u32,
    last: Option<Last>,
    /// The report that came before the first packet.
    early_report: Option<(Ntp, Ticks)>,
    /// Wall clock time of the timeline's zero, as the track's place and its first report have it.
    zero: Option<Ntp>,
}

/// The packet before.
#[derive(Clone, Copy, Debug)]
struct Last {
    timestamp: Ticks,
    /// On the timeline.
    ticks: i64,
    /// The highest `ticks` so far: pictures come in decoding order.
    highest: i64,
    arrival: Instant,
}

impl Timeline {
    /// For tracks with these clock rates, in Hz, none of them zero.
    pub fn new(clock_rates: &[u32]) -> Timeline {
        let line = |&clock_rate: &u32| {
            debug_assert!(clock_rate > 0);
            Line { clock_rate: clock_rate.max(1), last: None, early_report: None, zero: None }
        };
        Timeline { tracks: clock_rates.iter().map(line).collect(), epoch: None }
    }

    /// Takes the pair of times from a sender report of the track.
    ///
    /// # Panics
    /// When `track` is not one of those given to [`Timeline::new`]; so do the other methods.
    pub fn report(&mut self, track: usize, ntp: Ntp, timestamp: Ticks) {
        // A sender without a clock says 0 (RFC 3550, 6.4.1).
        if ntp.0 == 0 || self.tracks[track].zero.is_some() {
            return;
        }
        match self.tracks[track].last {
            Some(last) => self.align(track, last, ntp, timestamp, false),
            None => self.tracks[track].early_report = Some((ntp, timestamp)),
        }
    }

    /// The time of a packet of the track that arrived at `now`. Packets come in order; their timestamps need not.
    pub fn time(&mut self, now: Instant, track: usize, timestamp: Ticks) -> MediaTime {
        let clock_rate = self.tracks[track].clock_rate;
        let Some(last) = self.tracks[track].last else {
            let epoch = *self.epoch.get_or_insert(now);
            let ticks = to_ticks(now.saturating_duration_since(epoch), clock_rate);
            let first = Last { timestamp, ticks, highest: ticks, arrival: now };
            self.tracks[track].last = Some(first);
            if let Some((ntp, reported)) = self.tracks[track].early_report.take() {
                self.align(track, first, ntp, reported, true);
            }
            return MediaTime::new(self.tracks[track].last.map_or(ticks, |last| last.ticks), clock_rate);
        };
        let distance = i64::from(timestamp.distance(last.timestamp));
        let passed = to_ticks(now.saturating_duration_since(last.arrival), clock_rate);
        let jump = to_ticks(JUMP, clock_rate);
        let restarted = distance.abs() > jump && (distance - passed).abs() > jump;
        let ticks = if restarted { last.highest + passed.max(1) } else { last.ticks + distance };
        let line = &mut self.tracks[track];
        line.last = Some(Last { timestamp, ticks, highest: last.highest.max(ticks), arrival: now });
        if restarted {
            line.zero = None;
        }
        MediaTime::new(ticks, clock_rate)
    }

    /// Moves the track, or the others, so that its report and that of another track agree. Nothing has come out of the
    /// track where `last` is its first packet.
    fn align(&mut self, track: usize, last: Last, ntp: Ntp, timestamp: Ticks, is_first: bool) {
        let reference = self.tracks.iter().find_map(|line| line.zero);
        let line = &mut self.tracks[track];
        let ticks = last.ticks + i64::from(timestamp.distance(last.timestamp));
        let since_zero = (Fixed::from(ticks) << 32) / Fixed::from(line.clock_rate);
        let zero = Ntp(ntp.0.wrapping_sub(since_zero as u64));
        line.zero = Some(zero);
        let Some(reference) = reference else { return };
        // The later a track has zero, the earlier are its times.
        let early = Fixed::from(zero.0.wrapping_sub(reference.0).cast_signed());
        let by = early.abs();
        if by <= fixed(ALIGNMENT_SLACK) || by > fixed(ALIGNMENT_MAX) {
            return;
        }
        if is_first {
            return self.tracks[track].move_on(early);
        }
        for (index, line) in self.tracks.iter_mut().enumerate() {
            if (index == track) == (early > 0) {
                line.move_on(by);
            }
        }
        // Tracks that are still to come are placed by their arrival, on the moved timeline.
        if early < 0
            && let Some(epoch) = &mut self.epoch
        {
            let nanos = (by * 1_000_000_000) >> 32;
            *epoch = epoch.checked_sub(Duration::from_nanos(nanos as u64)).unwrap_or(*epoch);
        }
    }
}

impl Line {
    fn move_on(&mut self, by: Fixed) {
        if let Some(last) = &mut self.last {
            // To the nearest tick: the fractions of reports are rounded down.
            let ticks = ((by * Fixed::from(self.clock_rate) + (1 << 31)) >> 32) as i64;
            last.ticks += ticks;
            last.highest += ticks;
        }
        self.zero = self.zero.map(|zero| Ntp(zero.0.wrapping_sub(by as u64)));
    }
}

fn fixed(duration: Duration) -> Fixed {
    ((duration.as_nanos() << 32) / 1_000_000_000).cast_signed()
}

fn to_ticks(duration: Duration, clock_rate: u32) -> i64 {
    let ticks = duration.as_nanos() * u128::from(clock_rate) / 1_000_000_000;
    i64::try_from(ticks).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::{Ntp, Ticks, Timeline};
    use std::time::{Duration, Instant};

    const fn ntp(milliseconds: u64) -> Ntp {
        Ntp((3_900_000_000 << 32) + (milliseconds << 32) / 1000)
    }

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn places_tracks_by_arrival_and_unwraps() {
        let start = Instant::now();
        let mut timeline = Timeline::new(&[90_000, 48_000]);
        assert_eq!(timeline.time(start, 0, Ticks(0xFFFF_FFFF - 1499)).ticks, 0);
        assert_eq!(timeline.time(start + ms(20), 1, Ticks(77)).ticks, 960);
        assert_eq!(timeline.time(start + ms(33), 0, Ticks(1500)).ticks, 3000);
        assert_eq!(timeline.time(start + ms(40), 0, Ticks(0)).ticks, 1500, "decoding order");
        assert_eq!(timeline.time(start + ms(40), 1, Ticks(77 + 960)).ticks, 1920);
        // Round the 32 bits and on, in steps below the jump.
        let mut last = 3000;
        for step in 1..20_000_u32 {
            let timestamp = Ticks(1500).advance(step.wrapping_mul(450_000));
            let time = timeline.time(start + ms(40), 0, timestamp);
            assert_eq!(time.ticks, last + 450_000);
            last = time.ticks;
        }
    }

    #[test]
    fn a_report_moves_the_early_track_on() {
        let start = Instant::now();
        let mut timeline = Timeline::new(&[90_000, 48_000]);
        timeline.time(start, 0, Ticks(1000));
        timeline.time(start, 1, Ticks(5000));
        timeline.report(0, ntp(0), Ticks(1000));
        assert_eq!(timeline.time(start + ms(20), 1, Ticks(5960)).ticks, 960);
        // What arrived together was captured 100 ms later in track 1.
        timeline.report(1, ntp(100), Ticks(5000));
        assert_eq!(timeline.time(start + ms(40), 1, Ticks(6920)).ticks, 1920 + 4800);
        assert_eq!(timeline.time(start + ms(40), 0, Ticks(4600)).ticks, 3600);
        timeline.report(1, ntp(300), Ticks(5000));
        assert_eq!(timeline.time(start + ms(60), 1, Ticks(7880)).ticks, 2880 + 4800, "once");
    }

    #[test]
    fn a_report_moves_the_others_on_where_the_track_is_late() {
        let start = Instant::now();
        let mut timeline = Timeline::new(&[90_000, 48_000, 1000]);
        timeline.time(start, 0, Ticks(1000));
        timeline.time(start, 1, Ticks(5000));
        timeline.report(0, ntp(100), Ticks(1000));
        timeline.report(1, ntp(0), Ticks(5000));
        assert_eq!(timeline.time(start, 1, Ticks(5960)).ticks, 960);
        assert_eq!(timeline.time(start, 0, Ticks(1000 + 3000)).ticks, 3000 + 9000);
        let late = timeline.time(start + ms(200), 2, Ticks(9)).ticks;
        assert!((299..=300).contains(&late), "placed on the moved timeline: {late}");
    }

    #[test]
    fn small_and_absurd_differences_are_left() {
        let start = Instant::now();
        for difference in [4, 20_000] {
            let mut timeline = Timeline::new(&[90_000, 48_000]);
            timeline.report(0, ntp(0), Ticks(1000));
            timeline.report(1, ntp(difference), Ticks(5000));
            timeline.time(start, 0, Ticks(1000));
            assert_eq!(timeline.time(start, 1, Ticks(5000)).ticks, 0, "{difference} ms");
        }
    }

    #[test]
    fn a_report_before_the_first_packet_places_it() {
        let start = Instant::now();
        let mut timeline = Timeline::new(&[90_000, 48_000]);
        timeline.report(0, ntp(0), Ticks(1000));
        timeline.report(1, ntp(50), Ticks(5000));
        timeline.time(start, 0, Ticks(1000));
        assert_eq!(timeline.time(start + ms(10), 1, Ticks(5000)).ticks, 2400);
    }

    #[test]
    fn what_has_not_come_out_yet_may_be_placed_earlier() {
        let start = Instant::now();
        let mut timeline = Timeline::new(&[90_000, 48_000]);
        timeline.report(0, ntp(100), Ticks(1000));
        timeline.report(1, ntp(0), Ticks(5000));
        assert_eq!(timeline.time(start, 0, Ticks(1000)).ticks, 0);
        assert_eq!(timeline.time(start + ms(10), 1, Ticks(5000)).ticks, -4800);
        assert_eq!(timeline.time(start + ms(40), 0, Ticks(4600)).ticks, 3600);
        assert_eq!(timeline.time(start + ms(30), 1, Ticks(5960)).ticks, -3840);
    }

    #[test]
    fn a_restarted_source_goes_on() {
        let start = Instant::now();
        let mut timeline = Timeline::new(&[90_000]);
        timeline.time(start, 0, Ticks(1000));
        timeline.time(start + ms(40), 0, Ticks(4600));
        assert_eq!(timeline.time(start + ms(80), 0, Ticks(3_000_000_000)).ticks, 7200);
        assert_eq!(timeline.time(start + ms(120), 0, Ticks(3_000_003_600)).ticks, 10_800);
        // Silence that the timestamps agree with is none.
        let after = timeline.time(start + ms(60_120), 0, Ticks(3_000_003_600 + 60 * 90_000));
        assert_eq!(after.ticks, 10_800 + 60 * 90_000);
        // Nor is a pause that the timestamps do not have.
        let after = timeline.time(start + ms(160_120), 0, Ticks(3_000_003_600 + 60 * 90_000 + 3600));
        assert_eq!(after.ticks, 14_400 + 60 * 90_000);
    }
}
