//! What all readers together saw.

use std::time::{SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;

use crate::limits;
use crate::media::check::{Checker, Fault, Verdict};
use crate::media::units::{self, Track};

/// Now, ns since 1970: the clock of the stamps and of the kernel's receive times.
pub(crate) fn realtime_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// Counters of the window. What came before is kept apart, since servers may send an older picture first.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// Only what was sent in this time is counted. None: no window yet.
    window: Option<(u64, u64)>,
    /// Send to the kernel's receive, ns, of each sampled packet.
    pub(crate) latency: Histogram<u64>,
    pub(crate) checked: u64,
    pub(crate) lost: u64,
    pub(crate) lost_before: u64,
    pub(crate) repeated: u64,
    pub(crate) gaps: u64,
    pub(crate) corrupted: u64,
    /// Packets without a receive time from the kernel, timed by the load's own clock.
    pub(crate) unstamped: u64,
    pub(crate) disconnects: u64,
    /// The first failures, in words.
    pub(crate) failures: Vec<String>,
}

/// An empty latency histogram: 1 µs to a minute, three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, limits::LATENCY_NS_MAX, 3).expect("the bounds are sound")
}

impl Tally {
    pub(crate) fn new() -> Tally {
        Tally {
            window: None,
            latency: histogram(),
            checked: 0,
            lost: 0,
            lost_before: 0,
            repeated: 0,
            gaps: 0,
            corrupted: 0,
            unstamped: 0,
            disconnects: 0,
            failures: Vec::new(),
        }
    }

    /// The window starts now.
    pub(crate) fn open(&mut self) {
        self.window = Some((realtime_ns(), u64::MAX));
    }

    /// The window ends now; what was sent in it may still arrive.
    pub(crate) fn close(&mut self) {
        if let Some((_, end)) = &mut self.window {
            *end = realtime_ns();
        }
    }

    /// A sampled reader got this RTP packet.
    pub(crate) fn packet(&mut self, checker: &mut Checker, packet: &[u8], received_at: Option<u64>) {
        self.judged(checker.check(packet), received_at);
    }

    /// A sampled reader got this unit.
    pub(crate) fn unit(
        &mut self,
        checker: &mut units::Checker,
        track: Track,
        unit: &[u8],
        received_at: Option<u64>,
    ) {
        self.judged(checker.check(track, unit), received_at);
    }

    fn judged(&mut self, verdict: Result<Verdict, Fault>, received_at: Option<u64>) {
        match verdict {
            Ok(verdict) => {
                let Some((start, end)) = self.window else {
                    self.lost_before += verdict.lost;
                    return;
                };
                self.lost += verdict.lost;
                self.repeated += u64::from(verdict.repeated);
                self.gaps += u64::from(verdict.gap);
                if (start..=end).contains(&verdict.sent_at) {
                    self.checked += 1;
                    self.unstamped += u64::from(received_at.is_none());
                    let latency = received_at.unwrap_or_else(realtime_ns).saturating_sub(verdict.sent_at);
                    self.latency.saturating_record(latency);
                }
            }
            Err(fault) => {
                self.corrupted += 1;
                self.fail(match fault {
                    Fault::Malformed => "a packet is malformed".to_owned(),
                    Fault::Checksum => "a packet's checksum is wrong".to_owned(),
                    Fault::Path => "a packet belongs to another path".to_owned(),
                });
            }
        }
    }

    /// An unsampled UDP reader got a packet whose sequence number skips `missing`.
    pub(crate) fn skipped(&mut self, missing: u16) {
        if self.window.is_some() {
            // Beyond half the range it is an old one come late.
            if missing < 0x8000 {
                self.lost += u64::from(missing);
            } else {
                self.repeated += 1;
            }
            self.gaps += 1;
        } else {
            self.lost_before += u64::from(missing);
        }
    }

    /// A reader or publisher lost its connection.
    pub(crate) fn disconnect(&mut self, who: &str, why: &str) {
        self.disconnects += 1;
        self.fail(format!("{who} was disconnected: {why}"));
    }

    fn fail(&mut self, what: String) {
        if self.failures.len() < limits::FAILURES_KEPT_MAX && !self.failures.contains(&what) {
            self.failures.push(what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::pictures::Pictures;
    use crate::media::{Framing, Shape};

    #[test]
    fn only_what_was_sent_in_the_window_is_timed() {
        let shape = Shape::new(400_000, 50, 1_200).expect("fits");
        let mut pictures = Pictures::new(0, shape, Framing::Datagrams);
        let (mut tally, mut checker) = (Tally::new(), Checker::new(0));
        let mut one = |tally: &mut Tally, sent_at: u64, received_at: Option<u64>| {
            pictures.prepare();
            tally.packet(&mut checker, pictures.stamped(sent_at), received_at);
        };
        one(&mut tally, 5, Some(9));
        tally.open();
        let start = realtime_ns();
        one(&mut tally, 5, Some(9));
        one(&mut tally, start, Some(start + 3_000_000));
        tally.close();
        one(&mut tally, realtime_ns() + 1_000_000_000, None);
        assert_eq!((tally.checked, tally.latency.len(), tally.unstamped, tally.lost), (1, 1, 0, 0));
        let measured = tally.latency.max();
        assert!((2_990_000..=3_010_000).contains(&measured), "{measured}");
    }

    #[test]
    fn skips_of_unsampled_readers_count_in_the_window() {
        let mut tally = Tally::new();
        tally.skipped(4);
        tally.open();
        tally.skipped(2);
        tally.skipped(u16::MAX);
        assert_eq!((tally.lost_before, tally.lost, tally.repeated, tally.gaps), (4, 2, 1, 2));
    }
}
