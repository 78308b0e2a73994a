//! From what was measured to the figures that are shown, compared and expected.
//!
//! A measurement is one contender in one round. A summary is a contender over all rounds: the median of each
//! figure, latencies of all rounds in one histogram, failures added up. Ratios are made within a round, between
//! neighbours in time, and then the median is taken: a machine that gets slower does not change them.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::limits;
use crate::load::Outcome;
use crate::procfs::{CpuTime, Memory};

/// One contender in one round.
#[derive(Clone, Debug)]
pub(crate) struct Measurement {
    pub(crate) readers: usize,
    pub(crate) outcome: Outcome,
    /// From the first connect to the last PLAY.
    pub(crate) ramp: Duration,
    /// Of the server within the window.
    pub(crate) cpu: CpuTime,
    /// Part of the server's cores' time that they were busy with anything.
    pub(crate) cores_busy: f64,
    /// Part of a core's time that the load was busy, and that it waited for it.
    pub(crate) load_share: f64,
    pub(crate) load_wait_share: f64,
    pub(crate) memory_before: Memory,
    pub(crate) memory_with: Memory,
    /// What makes this measurement worthless, in words.
    pub(crate) problems: Vec<String>,
}

/// The figures: name (as in expectations and JSON), unit, and how many digits are shown.
pub(crate) const FIGURES: &[(&str, &str, usize)] = &[
    ("cpu_us_per_reader_second", "µs", 1),
    ("user_us_per_reader_second", "µs", 1),
    ("system_us_per_reader_second", "µs", 1),
    ("floor_share", "×", 3),
    ("cpu_ratio", "×", 2),
    ("cpu_s_per_gb", "s", 3),
    ("cpu_share", "cores", 3),
    ("cores_busy_share", "cores", 3),
    ("wait_share", "cores", 3),
    ("latency_p50_ms", "ms", 3),
    ("latency_p99_ms", "ms", 3),
    ("latency_p999_ms", "ms", 3),
    ("latency_max_ms", "ms", 3),
    ("memory_per_reader_kib", "KiB", 2),
    ("pss_per_reader_kib", "KiB", 2),
    ("rss_before_mib", "MiB", 2),
    ("rss_mib", "MiB", 2),
    ("received_share_min", "", 4),
    ("delivered_mbit_s", "Mbit/s", 1),
    ("checked", "packets", 0),
    ("lost", "packets", 0),
    ("repeated", "packets", 0),
    ("gaps", "", 0),
    ("corrupted", "packets", 0),
    ("unstamped", "packets", 0),
    ("receive_drops", "packets", 0),
    ("starved", "readers", 0),
    ("disconnects", "", 0),
    ("publish_late_max_ms", "ms", 2),
    ("publish_stalls", "pictures", 0),
    ("ramp_s", "s", 2),
    ("load_share", "cores", 3),
    ("load_wait_share", "cores", 3),
];

impl Measurement {
    fn reader_seconds(&self) -> f64 {
        self.readers as f64 * self.outcome.window.as_secs_f64()
    }

    /// A figure of this round alone; None for ratios and unknown names.
    pub(crate) fn figure(&self, name: &str) -> Option<f64> {
        let per_reader_second = |nanos: u64| nanos as f64 / 1e3 / self.reader_seconds();
        let per_reader_kib =
            |with: u64, before: u64| (with as f64 - before as f64) / 1_024.0 / self.readers as f64;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let seconds = self.outcome.window.as_secs_f64();
        let tally = &self.outcome.tally;
        Some(match name {
            "cpu_us_per_reader_second" => per_reader_second(self.cpu.total()),
            "user_us_per_reader_second" => per_reader_second(self.cpu.user),
            "system_us_per_reader_second" => per_reader_second(self.cpu.system),
            "cpu_s_per_gb" => self.cpu.total() as f64 / self.outcome.delivered.max(1) as f64,
            "cpu_share" => self.cpu.total() as f64 / 1e9 / seconds,
            "cores_busy_share" => self.cores_busy,
            "memory_per_reader_kib" => per_reader_kib(self.memory_with.resident, self.memory_before.resident),
            "pss_per_reader_kib" => {
                per_reader_kib(self.memory_with.proportional, self.memory_before.proportional)
            }
            "rss_before_mib" => mib(self.memory_before.resident),
            "rss_mib" => mib(self.memory_with.resident),
            "received_share_min" => self.outcome.received_share_min,
            "delivered_mbit_s" => self.outcome.delivered as f64 * 8.0 / 1e6 / seconds,
            "checked" => tally.checked as f64,
            "lost" => tally.lost as f64,
            "repeated" => tally.repeated as f64,
            "gaps" => tally.gaps as f64,
            "corrupted" => tally.corrupted as f64,
            "unstamped" => tally.unstamped as f64,
            "receive_drops" => self.outcome.receive_drops as f64,
            "starved" => self.outcome.starved as f64,
            "disconnects" => tally.disconnects as f64,
            "publish_late_max_ms" => self.outcome.publish_late_max.as_secs_f64() * 1e3,
            "publish_stalls" => self.outcome.publish_stalls as f64,
            "ramp_s" => self.ramp.as_secs_f64(),
            "load_share" => self.load_share,
            "load_wait_share" => self.load_wait_share,
            "wait_share" => self.cpu.waited as f64 / 1e9 / seconds,
            _ => return None,
        })
    }

    /// Checks that hold for every contender: what fails them is no result.
    pub(crate) fn judge(&self) -> Vec<String> {
        let mut complaints = self.problems.clone();
        let tally = &self.outcome.tally;
        let none = [
            (tally.lost, "packets are missing"),
            (tally.repeated, "packets came twice or late"),
            (tally.gaps, "gaps are in sequence numbers"),
            (tally.corrupted, "packets are corrupted"),
            (tally.disconnects, "disconnects happened"),
            (self.outcome.starved, "readers got less than 99 % of what was published"),
        ];
        for (count, what) in none {
            if count > 0 {
                complaints.push(format!("{count} {what}"));
            }
        }
        complaints.extend(tally.failures.iter().cloned());
        if self.outcome.receive_drops > 0 {
            let drops = self.outcome.receive_drops;
            complaints
                .push(format!("{drops} packets were dropped at the readers' sockets: the load is too slow"));
        }
        if tally.checked == 0 {
            complaints.push("no packet was checked".to_owned());
        }
        if self.load_share >= limits::LOAD_SHARE_MAX {
            let percent = self.load_share * 100.0;
            complaints.push(format!("the load's core is saturated ({percent:.0} %): this measures the load"));
        }
        complaints
    }
}

/// The middle value; the mean of the two middle ones for an even count; None for no values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// A latency percentile in milliseconds.
pub(crate) fn percentile_ms(histogram: &Histogram<u64>, percentile: f64) -> f64 {
    histogram.value_at_quantile(percentile / 100.0) as f64 / 1e6
}

/// One contender over all rounds.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    pub(crate) name: String,
    pub(crate) rounds: Vec<Measurement>,
    pub(crate) latency: Histogram<u64>,
    floor_share: Option<f64>,
    cpu_ratio: Option<f64>,
}

/// The contenders of one run of one protocol.
#[derive(Clone, Debug)]
pub(crate) struct Summaries {
    /// The one that expectations speak of when they name none.
    pub(crate) subject: String,
    pub(crate) all: Vec<Summary>,
}

impl Summary {
    /// A figure over all rounds, by its name in [`FIGURES`].
    pub(crate) fn figure(&self, name: &str) -> Option<f64> {
        let values: Vec<f64> = self.rounds.iter().filter_map(|round| round.figure(name)).collect();
        match name {
            "floor_share" => self.floor_share,
            "cpu_ratio" => self.cpu_ratio,
            "latency_p50_ms" => Some(percentile_ms(&self.latency, 50.0)),
            "latency_p99_ms" => Some(percentile_ms(&self.latency, 99.0)),
            "latency_p999_ms" => Some(percentile_ms(&self.latency, 99.9)),
            "latency_max_ms" => Some(self.latency.max() as f64 / 1e6),
            "received_share_min" => values.into_iter().reduce(f64::min),
            "load_share" | "load_wait_share" | "wait_share" | "publish_late_max_ms" => {
                values.into_iter().reduce(f64::max)
            }
            "checked" | "lost" | "repeated" | "gaps" | "corrupted" | "unstamped" | "receive_drops"
            | "starved" | "disconnects" | "publish_stalls" => {
                (!values.is_empty()).then(|| values.iter().sum())
            }
            _ => median(&values),
        }
    }
}

impl Summaries {
    /// Puts rounds together: `rounds[r]` holds a measurement per contender, in the order of `names`.
    pub(crate) fn new(names: &[String], subject: &str, rounds: &[Vec<Measurement>]) -> Summaries {
        let cpu = |round: &[Measurement], name: &str| {
            let index = names.iter().position(|candidate| candidate == name)?;
            Some(round[index].cpu.total() as f64 / round[index].reader_seconds())
        };
        // Per round, the part of `base` that `name` used.
        let ratio = |name: &str, base: &str| {
            let ratios: Option<Vec<f64>> =
                rounds.iter().map(|round| Some(cpu(round, name)? / cpu(round, base)?)).collect();
            median(&ratios?).filter(|ratio| ratio.is_finite())
        };
        let all = names.iter().enumerate().map(|(index, name)| {
            let mine: Vec<Measurement> = rounds.iter().map(|round| round[index].clone()).collect();
            let mut latency = crate::load::histogram();
            for measurement in &mine {
                latency.add(&measurement.outcome.tally.latency).expect("all histograms have the same bounds");
            }
            let (floor_share, cpu_ratio) = (ratio(name, "floor"), ratio(name, subject));
            Summary { name: name.clone(), rounds: mine, latency, floor_share, cpu_ratio }
        });
        Summaries { subject: subject.to_owned(), all: all.collect() }
    }

    /// The contender `name`, or the subject.
    pub(crate) fn find(&self, name: Option<&str>) -> Option<&Summary> {
        let name = name.unwrap_or(&self.subject);
        self.all.iter().find(|summary| summary.name == name)
    }
}

/// An outcome with nothing in it, for tests.
#[cfg(test)]
pub(crate) fn empty_outcome(window: Duration) -> Outcome {
    Outcome {
        tally: crate::load::Tally::new(),
        window,
        delivered: 0,
        starved: 0,
        received_share_min: 1.0,
        receive_drops: 0,
        publish_late_max: Duration::ZERO,
        publish_stalls: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn measurement(cpu_ms: u64) -> Measurement {
        let mut outcome = empty_outcome(Duration::from_secs(10));
        outcome.delivered = 500_000_000;
        outcome.tally.checked = 1;
        Measurement {
            readers: 100,
            ramp: Duration::from_secs(1),
            outcome,
            cpu: CpuTime { user: cpu_ms * 250_000, system: cpu_ms * 750_000, waited: 0 },
            cores_busy: 0.5,
            load_share: 0.3,
            load_wait_share: 0.0,
            memory_before: Memory { resident: 10 << 20, proportional: 9 << 20 },
            memory_with: Memory { resident: (10 << 20) + 100 * 4_096, proportional: 9 << 20 },
            problems: Vec::new(),
        }
    }

    fn names() -> Vec<String> {
        ["floor", "headwater", "mediamtx"].map(str::to_owned).to_vec()
    }

    #[test]
    fn figures_are_per_reader_and_second() {
        let one = measurement(500);
        assert_eq!(one.figure("cpu_us_per_reader_second"), Some(500.0));
        assert_eq!(one.figure("user_us_per_reader_second"), Some(125.0));
        assert_eq!(one.figure("cpu_s_per_gb"), Some(1.0));
        assert_eq!(one.figure("cpu_share"), Some(0.05));
        assert_eq!(one.figure("memory_per_reader_kib"), Some(4.0));
        assert_eq!(one.figure("pss_per_reader_kib"), Some(0.0));
        assert_eq!(one.figure("delivered_mbit_s"), Some(400.0));
        assert_eq!(one.figure("no_such"), None);
        assert!(one.judge().is_empty());
    }

    #[test]
    fn ratios_are_made_within_a_round() {
        // The machine is three times slower in the last round: the ratios do not care.
        let rounds = [[100, 120, 600], [100, 130, 800], [300, 390, 2_100]]
            .map(|round| round.map(measurement).to_vec())
            .to_vec();
        let summaries = Summaries::new(&names(), "headwater", &rounds);
        let near = |value: Option<f64>, expected: f64| (value.expect("is there") - expected).abs() < 1e-9;
        let subject = summaries.find(None).expect("the subject");
        assert!(near(subject.figure("floor_share"), 1.3));
        assert!(near(subject.figure("cpu_us_per_reader_second"), 130.0));
        let peer = summaries.find(Some("mediamtx")).expect("the peer");
        assert!(near(peer.figure("cpu_ratio"), 2_100.0 / 390.0));
        assert!(near(peer.figure("floor_share"), 7.0));
        assert!(summaries.find(Some("other")).is_none());
    }

    #[test]
    fn failures_add_up_and_extremes_stay() {
        let mut rounds = vec![vec![measurement(100)], vec![measurement(100)]];
        rounds[0][0].outcome.tally.lost = 3;
        rounds[1][0].outcome.tally.lost = 4;
        rounds[1][0].outcome.received_share_min = 0.5;
        rounds[0][0].load_share = 0.95;
        assert_eq!(rounds[0][0].judge().len(), 2);
        let summaries = Summaries::new(&["headwater".to_owned()], "headwater", &rounds);
        let subject = summaries.find(None).expect("the subject");
        assert_eq!(subject.figure("lost"), Some(7.0));
        assert_eq!(subject.figure("received_share_min"), Some(0.5));
        assert_eq!(subject.figure("load_share"), Some(0.95));
        assert_eq!(subject.figure("floor_share"), None);
    }

    #[test]
    fn medians_and_percentiles() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        let mut histogram = crate::load::histogram();
        for milliseconds in 1..=1_000_u64 {
            histogram.record(milliseconds * 1_000_000).expect("in bounds");
        }
        for (percentile, expected) in [(50.0, 500.0), (99.0, 990.0), (99.9, 999.0)] {
            let measured = percentile_ms(&histogram, percentile);
            assert!((measured / expected - 1.0).abs() < 0.002, "p{percentile} is {measured}");
        }
    }

    #[test]
    fn every_listed_figure_is_known() {
        let summaries = Summaries::new(&names(), "headwater", &[[1, 2, 3].map(measurement).to_vec()]);
        for (name, ..) in FIGURES {
            assert!(summaries.all[1].figure(name).is_some(), "{name} is unknown");
        }
    }
}
