//! MediaMTX's families, with its names and labels (`internal/metrics/metrics.go` of v1.20.1), for its dashboards and
//! alerts. Unlike there, label values are escaped, and every family has HELP and TYPE.
//!
//! Its counters do not end in `_total`, so the type that matches their names is gauge; `rate()` takes both.

use super::absent;
use super::filter::Filter;
use super::page::{Page, gauge_sample, labelled, set_gauge};
use super::snapshot::{PathLine, Snapshot};
use crate::world::{ConnectionView, SessionView};
use headwater_engine::records::{Protocol, SessionCounts, SessionState};
use prometheus::proto::Metric;

type Figure<T> = (&'static str, &'static str, fn(&T) -> f64);

const PATHS: &[Figure<PathLine>] = &[
    ("", "1 each.", |_| 1.0),
    ("_inbound_bytes", "bytes of media from the path's publisher.", |path| path.inbound_bytes as f64),
    ("_outbound_bytes", "bytes of media to the path's readers.", |path| path.outbound_bytes as f64),
    ("_inbound_frames_in_error", "access units from the publisher that were in error.", |path| {
        path.inbound_frames_in_error as f64
    }),
    ("_bytes_received", "deprecated: use paths_inbound_bytes.", |path| path.inbound_bytes as f64),
    ("_bytes_sent", "deprecated: use paths_outbound_bytes.", |path| path.outbound_bytes as f64),
];

const CONNECTIONS: &[Figure<ConnectionView>] = &[
    ("", "1 each.", |_| 1.0),
    ("_inbound_bytes", "bytes from the client.", |one| one.record.inbound_bytes.value() as f64),
    ("_outbound_bytes", "bytes to the client.", |one| one.record.outbound_bytes.value() as f64),
    ("_bytes_received", "deprecated: use the name with inbound_bytes.", |one| {
        one.record.inbound_bytes.value() as f64
    }),
    ("_bytes_sent", "deprecated: use the name with outbound_bytes.", |one| {
        one.record.outbound_bytes.value() as f64
    }),
];

const SESSIONS: &[Figure<SessionCounts>] = &[
    ("", "1 each.", |_| 1.0),
    ("_inbound_bytes", "bytes from the client.", |counts| counts.inbound_bytes.value() as f64),
    ("_inbound_rtp_packets", "RTP packets from the client.", |counts| {
        counts.inbound_rtp_packets.value() as f64
    }),
    ("_inbound_rtp_packets_lost", "RTP packets missing in the client's sequence.", |counts| {
        counts.inbound_rtp_packets_lost.value() as f64
    }),
    ("_inbound_rtp_packets_in_error", "RTP packets from the client that were refused.", |counts| {
        counts.inbound_rtp_packets_in_error.value() as f64
    }),
    (
        "_inbound_rtp_packets_jitter",
        "mean interarrival jitter of the tracks, in units of their clocks.",
        |counts| counts.inbound_rtp_packets_jitter.value(),
    ),
    ("_inbound_rtcp_packets", "RTCP packets from the client.", |counts| {
        counts.inbound_rtcp_packets.value() as f64
    }),
    ("_inbound_rtcp_packets_in_error", "RTCP packets from the client that were refused.", |counts| {
        counts.inbound_rtcp_packets_in_error.value() as f64
    }),
    ("_outbound_bytes", "bytes to the client.", |counts| counts.outbound_bytes.value() as f64),
    ("_outbound_rtp_packets", "RTP packets to the client.", |counts| {
        counts.outbound_rtp_packets.value() as f64
    }),
    ("_outbound_rtp_packets_reported_lost", "RTP packets that the client reported as lost.", |counts| {
        counts.outbound_rtp_packets_reported_lost.value() as f64
    }),
    ("_outbound_rtp_packets_discarded", "RTP packets skipped because the client was too slow.", |counts| {
        counts.outbound_rtp_packets_discarded.value() as f64
    }),
    ("_outbound_rtcp_packets", "RTCP packets to the client.", |counts| {
        counts.outbound_rtcp_packets.value() as f64
    }),
    ("_bytes_received", "deprecated: use inbound_bytes.", |counts| counts.inbound_bytes.value() as f64),
    ("_bytes_sent", "deprecated: use outbound_bytes.", |counts| counts.outbound_bytes.value() as f64),
    ("_rtp_packets_received", "deprecated: use inbound_rtp_packets.", |counts| {
        counts.inbound_rtp_packets.value() as f64
    }),
    ("_rtp_packets_sent", "deprecated: use outbound_rtp_packets.", |counts| {
        counts.outbound_rtp_packets.value() as f64
    }),
    ("_rtp_packets_lost", "deprecated: use inbound_rtp_packets_lost.", |counts| {
        counts.inbound_rtp_packets_lost.value() as f64
    }),
    ("_rtp_packets_in_error", "deprecated: use inbound_rtp_packets_in_error.", |counts| {
        counts.inbound_rtp_packets_in_error.value() as f64
    }),
    ("_rtp_packets_jitter", "deprecated: use inbound_rtp_packets_jitter.", |counts| {
        counts.inbound_rtp_packets_jitter.value()
    }),
    ("_rtcp_packets_received", "deprecated: use inbound_rtcp_packets.", |counts| {
        counts.inbound_rtcp_packets.value() as f64
    }),
    ("_rtcp_packets_sent", "deprecated: use outbound_rtcp_packets.", |counts| {
        counts.outbound_rtcp_packets.value() as f64
    }),
    ("_rtcp_packets_in_error", "deprecated: use inbound_rtcp_packets_in_error.", |counts| {
        counts.inbound_rtcp_packets_in_error.value() as f64
    }),
];

/// A category under way.
struct Table<'a> {
    category: &'a str,
    /// For the help texts.
    noun: &'static str,
    /// Whether an empty one shows zeros.
    zero: bool,
}

/// Writes what the filter wants.
pub(crate) fn write(page: &mut Page, filter: &Filter, snapshot: &Snapshot) {
    write_paths(page, filter, &snapshot.paths);
    for (protocol, connections) in &snapshot.connections {
        write_connections(page, filter, *protocol, connections);
    }
    for (protocol, sessions) in &snapshot.sessions {
        write_sessions(page, filter, *protocol, sessions);
    }
    absent::write(page, filter);
}

fn write_paths(page: &mut Page, filter: &Filter, all: &[PathLine]) {
    if !filter.wants("paths") {
        return;
    }
    let paths: Vec<_> = all.iter().filter(|path| filter.admits("paths", &path.name)).collect();
    let samples =
        paths.iter().map(|path| labelled(&[("name", &*path.name), ("state", path.state())])).collect();
    let zero = all.is_empty() && filter.wants_zero("paths");
    let table = Table { category: "paths", noun: "Paths", zero };
    table.write(page, PATHS, samples, |row| paths[row]);
    let mut readers = Vec::new();
    for path in paths {
        let labels = |kind| [("name", &*path.name), ("readerType", kind), ("state", path.state())];
        if path.readers.is_empty() {
            readers.push(gauge_sample(&labels(""), 0.0));
        }
        readers.extend(path.readers.iter().map(|(kind, count)| gauge_sample(&labels(kind), *count as f64)));
    }
    if zero {
        readers.push(gauge_sample::<&str>(&[], 0.0));
    }
    page.gauges("paths_readers", "Paths: readers, by kind.", readers);
}

fn write_connections(page: &mut Page, filter: &Filter, protocol: Protocol, all: &[ConnectionView]) {
    let category = format!("{}_conns", protocol.name());
    if !filter.wants(&category) {
        return;
    }
    let shown: Vec<_> = all
        .iter()
        .map(|one| (one, one.record.id.to_string()))
        .filter(|(_, id)| filter.admits(&category, id))
        .collect();
    let samples = shown.iter().map(|(_, id)| labelled(&[("id", id)])).collect();
    let noun = match protocol {
        Protocol::Rtsp => "RTSP connections",
        Protocol::Rtsps => "RTSPS connections",
        Protocol::Rtmp => "RTMP connections",
        Protocol::Rtmps => "RTMPS connections",
        Protocol::Http | Protocol::Hls => "HTTP connections",
        Protocol::Https => "HTTPS connections",
    };
    let table = Table { category: &category, noun, zero: all.is_empty() && filter.wants_zero(&category) };
    table.write(page, CONNECTIONS, samples, |row| shown[row].0);
}

fn write_sessions(page: &mut Page, filter: &Filter, protocol: Protocol, all: &[SessionView]) {
    let category = format!("{}_sessions", protocol.name());
    if !filter.wants(&category) {
        return;
    }
    let shown: Vec<_> = all
        .iter()
        .map(|one| (one, one.record.id.to_string()))
        .filter(|(_, id)| filter.admits(&category, id))
        .collect();
    let sample = |(one, id): &(&SessionView, String)| {
        let remote = one.record.remote.to_string();
        labelled(&[
            ("id", id.as_str()),
            ("path", &one.record.path),
            ("remoteAddr", &remote),
            ("state", state(one.state)),
        ])
    };
    let samples = shown.iter().map(sample).collect();
    let noun = match protocol {
        Protocol::Rtsp => "RTSP sessions",
        Protocol::Rtsps => "RTSPS sessions",
        Protocol::Rtmp => "RTMP sessions",
        Protocol::Rtmps => "RTMPS sessions",
        Protocol::Http => "HTTP sessions",
        Protocol::Https => "HTTPS sessions",
        Protocol::Hls => "HLS sessions",
    };
    let table = Table { category: &category, noun, zero: all.is_empty() && filter.wants_zero(&category) };
    table.write(page, SESSIONS, samples, |row| &shown[row].0.record.counts);
}

fn state(state: SessionState) -> &'static str {
    match state {
        SessionState::Idle => "idle",
        SessionState::Read => "read",
        SessionState::Publish => "publish",
    }
}

impl Table<'_> {
    /// Writes one family for each figure. `samples` has the labels of each row, `item` what the row shows.
    fn write<'i, T: 'i>(
        &self,
        page: &mut Page,
        figures: &[Figure<T>],
        mut samples: Vec<Metric>,
        item: impl Fn(usize) -> &'i T,
    ) {
        for (suffix, help, value) in figures {
            let name = format!("{}{suffix}", self.category);
            let help = format!("{}: {help}", self.noun);
            if self.zero {
                page.gauges(&name, &help, vec![gauge_sample::<&str>(&[], 0.0)]);
            } else {
                for (row, sample) in samples.iter_mut().enumerate() {
                    set_gauge(sample, value(item(row)));
                }
                samples = page.gauges(&name, &help, samples);
            }
        }
    }
}
