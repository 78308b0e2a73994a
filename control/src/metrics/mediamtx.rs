//! MediaMTX's families, with its names and labels (`internal/metrics/metrics.go` of v1.20.1), for its dashboards and
//! alerts. Unlike there, label values are escaped, and every family has HELP and TYPE.
//!
//! Its counters do not end in `_total`, so the type that matches their names is gauge; `rate()` takes both.

use super::absent;
use super::filter::Filter;
use super::page::{Page, gauge_sample, labelled, set_gauge};
use super::snapshot::{PathLine, Snapshot};
use crate::api::state_word;
use crate::world::{ConnectionView, MuxerView, SessionView};
use headwater_engine::records::{Id, Protocol, SessionCounts, SessionState};
use prometheus::proto::Metric;
use std::collections::HashMap;

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

const RTMP: &[Figure<RtmpRow>] = &[
    ("", "1 each.", |_| 1.0),
    ("_inbound_bytes", "bytes from the client.", |row| row.connection.record.inbound_bytes.value() as f64),
    ("_outbound_bytes", "bytes to the client.", |row| row.connection.record.outbound_bytes.value() as f64),
    ("_outbound_frames_discarded", "access units skipped because the client was too slow.", |row| {
        let counts = row.session.as_ref().map(|session| &session.record.counts);
        counts.map_or(0.0, |counts| counts.outbound_rtp_packets_discarded.value() as f64)
    }),
    ("_bytes_received", "deprecated: use the name with inbound_bytes.", |row| {
        row.connection.record.inbound_bytes.value() as f64
    }),
    ("_bytes_sent", "deprecated: use the name with outbound_bytes.", |row| {
        row.connection.record.outbound_bytes.value() as f64
    }),
];

const HLS_SESSIONS: &[Figure<SessionCounts>] = &[
    ("", "1 each.", |_| 1.0),
    ("_outbound_bytes", "bytes to the client.", |counts| counts.outbound_bytes.value() as f64),
];

const HLS_MUXERS: &[Figure<MuxerView>] = &[
    ("", "1 each.", |_| 1.0),
    ("_outbound_bytes", "bytes of playlists and segments to clients.", |one| {
        one.record.outbound_bytes.value() as f64
    }),
    ("_outbound_frames_discarded", "access units that could not be muxed.", |one| {
        one.record.outbound_frames_discarded.value() as f64
    }),
    ("_bytes_sent", "deprecated: use hls_muxers_outbound_bytes.", |one| {
        one.record.outbound_bytes.value() as f64
    }),
];

/// A category under way.
struct Table<'a> {
    category: &'a str,
    /// For the help texts.
    noun: &'a str,
    /// Whether an empty one shows zeros.
    zero: bool,
}

/// Writes what the filter wants.
pub(crate) fn write(page: &mut Page, filter: &Filter, snapshot: &Snapshot) {
    write_paths(page, filter, &snapshot.paths);
    write_hls_sessions(page, filter, snapshot.sessions(Protocol::Hls));
    write_hls_muxers(page, filter, &snapshot.muxers);
    for (protocol, noun) in [(Protocol::Rtsp, "RTSP"), (Protocol::Rtsps, "RTSPS")] {
        write_connections(page, filter, (protocol, noun), snapshot.connections(protocol));
        write_sessions(page, filter, (protocol, noun), snapshot.sessions(protocol));
    }
    for (protocol, noun) in [(Protocol::Rtmp, "RTMP connections"), (Protocol::Rtmps, "RTMPS connections")] {
        let (connections, sessions) = (snapshot.connections(protocol), snapshot.sessions(protocol));
        write_rtmp(page, filter, (protocol, noun), &rtmp_rows(connections, sessions));
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

fn write_connections(
    page: &mut Page,
    filter: &Filter,
    (protocol, noun): (Protocol, &str),
    all: &[ConnectionView],
) {
    let (category, noun) = (format!("{}_conns", protocol.name()), format!("{noun} connections"));
    if !filter.wants(&category) {
        return;
    }
    let shown: Vec<_> = all
        .iter()
        .map(|one| (one, one.record.id.to_string()))
        .filter(|(_, id)| filter.admits(&category, id))
        .collect();
    let samples = shown.iter().map(|(_, id)| labelled(&[("id", id)])).collect();
    let table =
        Table { category: &category, noun: &noun, zero: all.is_empty() && filter.wants_zero(&category) };
    table.write(page, CONNECTIONS, samples, |row| shown[row].0);
}

fn write_sessions(page: &mut Page, filter: &Filter, (protocol, noun): (Protocol, &str), all: &[SessionView]) {
    let (category, noun) = (format!("{}_sessions", protocol.name()), format!("{noun} sessions"));
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
            ("state", state_word(one.state)),
        ])
    };
    let samples = shown.iter().map(sample).collect();
    let table =
        Table { category: &category, noun: &noun, zero: all.is_empty() && filter.wants_zero(&category) };
    table.write(page, SESSIONS, samples, |row| &shown[row].0.record.counts);
}

/// A connection of RTMP, and what it reads or publishes.
struct RtmpRow {
    connection: ConnectionView,
    session: Option<SessionView>,
}

fn rtmp_rows(connections: &[ConnectionView], sessions: &[SessionView]) -> Vec<RtmpRow> {
    let by_id: HashMap<Id, &SessionView> =
        sessions.iter().map(|session| (session.record.id, session)).collect();
    let row = |connection: &ConnectionView| {
        let session = connection.session.and_then(|id| by_id.get(&id).copied());
        RtmpRow { connection: connection.clone(), session: session.cloned() }
    };
    connections.iter().map(row).collect()
}

fn write_rtmp(page: &mut Page, filter: &Filter, (protocol, noun): (Protocol, &str), all: &[RtmpRow]) {
    let category = format!("{}_conns", protocol.name());
    if !filter.wants(&category) {
        return;
    }
    let id = |row: &RtmpRow| row.connection.record.id.to_string();
    let shown: Vec<_> = all.iter().filter(|row| filter.admits(&category, &id(row))).collect();
    let sample = |row: &&RtmpRow| {
        let remote = row.connection.record.remote.to_string();
        labelled(&[
            ("id", id(row).as_str()),
            ("path", row.session.as_ref().map_or("", |session| &session.record.path)),
            ("remoteAddr", &remote),
            ("state", state_word(row.session.as_ref().map_or(SessionState::Idle, |session| session.state))),
        ])
    };
    let samples = shown.iter().map(sample).collect();
    let zero = all.is_empty() && filter.wants_zero(&category);
    Table { category: &category, noun, zero }.write(page, RTMP, samples, |row| shown[row]);
}

fn write_hls_sessions(page: &mut Page, filter: &Filter, all: &[SessionView]) {
    let category = "hls_sessions";
    if !filter.wants(category) {
        return;
    }
    let shown: Vec<_> = all
        .iter()
        .map(|one| (one, one.record.id.to_string()))
        .filter(|(_, id)| filter.admits(category, id))
        .collect();
    let sample = |(one, id): &(&SessionView, String)| {
        let remote = one.record.remote.to_string();
        labelled(&[("id", id.as_str()), ("path", &one.record.path), ("remoteAddr", &remote)])
    };
    let samples = shown.iter().map(sample).collect();
    let table = Table { category, noun: "HLS sessions", zero: all.is_empty() && filter.wants_zero(category) };
    table.write(page, HLS_SESSIONS, samples, |row| &shown[row].0.record.counts);
}

fn write_hls_muxers(page: &mut Page, filter: &Filter, all: &[MuxerView]) {
    let category = "hls_muxers";
    if !filter.wants(category) {
        return;
    }
    let shown: Vec<_> = all.iter().filter(|one| filter.admits(category, &one.record.path)).collect();
    let samples = shown.iter().map(|one| labelled(&[("name", &*one.record.path)])).collect();
    let table = Table { category, noun: "HLS muxers", zero: all.is_empty() && filter.wants_zero(category) };
    table.write(page, HLS_MUXERS, samples, |row| shown[row]);
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
