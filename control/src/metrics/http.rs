//! What the control ports (API, metrics, profiling) count, one value for each port.

use super::page::{Page, counter_sample, gauge_sample};
use crate::http::counters::HttpCounters;
use prometheus::proto::Metric;

/// The counts of one control port now.
#[derive(Clone, Debug, Default)]
pub(crate) struct ControlPort {
    /// `api`, `metrics` or `pprof`.
    pub(crate) name: &'static str,
    /// Answered requests by class of their status: `1xx` to `5xx`.
    pub(crate) requests: Vec<(&'static str, u64)>,
    /// Refused connections and requests by reason.
    pub(crate) refused: Vec<(&'static str, u64)>,
    pub(crate) requests_in_flight: u64,
    pub(crate) connections_open: u64,
    pub(crate) connections_accepted: u64,
    pub(crate) panics: u64,
}

impl ControlPort {
    pub(super) fn of(counters: &HttpCounters) -> ControlPort {
        ControlPort {
            name: counters.name,
            requests: counters.requests().collect(),
            refused: counters.refused().collect(),
            requests_in_flight: counters.in_flight(),
            connections_open: counters.connections(),
            connections_accepted: counters.accepted(),
            panics: counters.panics(),
        }
    }
}

/// Writes the families of all control ports.
pub(crate) fn write(page: &mut Page, ports: &[ControlPort]) {
    let by = |label: &'static str, of: fn(&ControlPort) -> &[(&'static str, u64)]| -> Vec<Metric> {
        let samples = ports.iter().flat_map(|port| of(port).iter().map(|figure| (port.name, *figure)));
        samples
            .map(|(name, (word, count))| counter_sample(&[(label, word), ("port", name)], count as f64))
            .collect()
    };
    let classes = by("class", |port| &port.requests);
    page.counters(
        "headwater_http_requests_total",
        "Requests to control ports, by class of their status.",
        classes,
    );
    let reasons = by("reason", |port| &port.refused);
    page.counters(
        "headwater_http_refused_total",
        "Connections and requests refused by control ports.",
        reasons,
    );
    type Figure = (&'static str, &'static str, fn(&ControlPort) -> u64);
    let gauges: [Figure; 2] = [
        ("headwater_http_requests_in_flight", "Requests to control ports being worked on now.", |port| {
            port.requests_in_flight
        }),
        ("headwater_http_connections_open", "Connections to control ports open now.", |port| {
            port.connections_open
        }),
    ];
    for (name, help, figure) in gauges {
        let sample = |port: &ControlPort| gauge_sample(&[("port", port.name)], figure(port) as f64);
        page.gauges(name, help, ports.iter().map(sample).collect());
    }
    let counters: [Figure; 2] = [
        ("headwater_http_connections_accepted_total", "Connections to control ports accepted.", |port| {
            port.connections_accepted
        }),
        ("headwater_http_panics_total", "Requests to control ports that ended in a panic.", |port| {
            port.panics
        }),
    ];
    for (name, help, figure) in counters {
        let sample = |port: &ControlPort| counter_sample(&[("port", port.name)], figure(port) as f64);
        page.counters(name, help, ports.iter().map(sample).collect());
    }
}
