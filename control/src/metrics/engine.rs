//! The engine's counters and histograms: every counter once, by shard. Counters that tell one thing by its reason are
//! one family with the label `reason`; all others are `headwater_<name>_total`, or a gauge where the engine says so.

use super::page::{Distribution, Page, counter_sample, gauge_sample, histogram_sample};
use headwater_engine::Counters;
use headwater_engine::counters::{Histogram, Histograms};
use prometheus::proto::Metric;
use std::sync::Arc;

/// Counters of one family that differ by reason.
struct ByReason {
    name: &'static str,
    help: &'static str,
    /// The engine's counter, and the reason it stands for.
    reasons: &'static [(&'static str, &'static str)],
}

const BY_REASON: &[ByReason] = &[
    ByReason {
        name: "headwater_dropped_packets_total",
        help: "RTP and RTCP packets and datagrams that were dropped, by reason.",
        reasons: &[
            ("ingest_packets_invalid", "rtp_invalid"),
            ("ingest_packets_late", "rtp_late"),
            ("rtcp_packets_invalid", "rtcp_invalid"),
            ("datagrams_unknown", "unknown_sender"),
            ("egress_datagram_errors", "send_refused"),
            ("mesh_datagrams_dropped", "mesh_ring_full"),
        ],
    },
    ByReason {
        name: "headwater_dropped_batches_total",
        help: "Batches of media that were dropped, by reason.",
        reasons: &[("log_truncations", "log_full"), ("mesh_batches_dropped", "mesh_ring_full")],
    },
    ByReason {
        name: "headwater_skips_total",
        help: "Skips of a slow reader to a random access point, by reason.",
        reasons: &[("skips_overrun", "overrun")],
    },
    ByReason {
        name: "headwater_connections_closed_total",
        help: "Connections closed by the server, by reason.",
        reasons: &[
            ("closed_invalid", "invalid"),
            ("closed_limit", "limit"),
            ("closed_idle", "idle"),
            ("closed_write_timeout", "write_timeout"),
            ("closed_control_queue", "control_queue"),
        ],
    },
];

/// Marks a gauge in the engine's help texts.
const GAUGE: &str = " (gauge)";

type OfShard = fn(&Histograms) -> &Histogram;

/// Writes everything that the shards count.
pub(crate) fn write(page: &mut Page, shards: &[Arc<Counters>]) {
    let all: Vec<Vec<_>> = shards.iter().map(|shard| shard.each().collect()).collect();
    let names = all.first().into_iter().flatten();
    for (row, (name, help, _)) in names.enumerate() {
        if reason_of(name).is_some() {
            continue;
        }
        let values = all.iter().map(|shard| shard[row].2).enumerate();
        if help.contains(GAUGE) {
            let samples = values.map(|(n, value)| gauge_sample(&[("shard", n.to_string())], value as f64));
            page.gauges(&format!("headwater_{name}"), &help.trim().replace(GAUGE, ""), samples.collect());
        } else {
            let samples = values.map(|(n, value)| counter_sample(&[("shard", n.to_string())], value as f64));
            page.counters(&format!("headwater_{name}_total"), help.trim(), samples.collect());
        }
    }
    for family in BY_REASON {
        page.counters(family.name, family.help, family.samples(&all));
    }
    write_histograms(page, shards);
}

/// The family and reason that a counter is shown under, if it is one of those.
pub(crate) fn reason_of(counter: &str) -> Option<(&'static str, &'static str)> {
    BY_REASON.iter().find_map(|family| {
        let (_, reason) = family.reasons.iter().find(|(name, _)| *name == counter)?;
        Some((family.name, *reason))
    })
}

impl ByReason {
    fn samples(&self, shards: &[Vec<(&'static str, &'static str, u64)>]) -> Vec<Metric> {
        let mut samples = Vec::new();
        for (number, shard) in shards.iter().enumerate() {
            for (counter, reason) in self.reasons {
                for (_, _, value) in shard.iter().filter(|(name, ..)| name == counter) {
                    let labels = [("reason", (*reason).to_owned()), ("shard", number.to_string())];
                    samples.push(counter_sample(&labels, *value as f64));
                }
            }
        }
        samples
    }
}

fn write_histograms(page: &mut Page, shards: &[Arc<Counters>]) {
    let of_shards: [(&str, &str, OfShard); 3] = [
        ("headwater_shard_turn_seconds", "Duration of one turn of a shard's loop.", |all| &all.turn_seconds),
        ("headwater_flush_readers", "Readers sent to in one flush of one stream.", |all| &all.flush_readers),
        ("headwater_ring_depth", "Messages that one turn found in the rings from other shards.", |all| {
            &all.ring_depth
        }),
    ];
    for (name, help, histogram) in of_shards {
        let sample = |(number, shard): (usize, &Arc<Counters>)| {
            let of = Distribution::from(histogram(&shard.histograms));
            histogram_sample(&[("shard", number.to_string())], &of)
        };
        page.histograms(name, help, shards.iter().enumerate().map(sample).collect());
    }
    let latencies: [(&str, &str, OfShard); 3] = [
        ("rtsp", "tcp", |all| &all.rtsp_tcp_latency_seconds),
        ("rtsp", "udp", |all| &all.rtsp_udp_latency_seconds),
        ("rtsps", "tcp", |all| &all.rtsps_latency_seconds),
    ];
    let mut samples = Vec::new();
    for (protocol, transport, histogram) in latencies {
        for (number, shard) in shards.iter().enumerate() {
            let labels = [
                ("protocol", protocol.to_owned()),
                ("shard", number.to_string()),
                ("transport", transport.to_owned()),
            ];
            samples.push(histogram_sample(&labels, &Distribution::from(histogram(&shard.histograms))));
        }
    }
    let help = "Time from the arrival of a batch of media to its send to a reader.";
    page.histograms("headwater_delivery_latency_seconds", help, samples);
}
