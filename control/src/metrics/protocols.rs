//! What is live now by protocol, and the tracks that somebody is not given. All labels come from closed sets.

use super::page::{Page, gauge_sample};
use super::snapshot::Snapshot;
use crate::api::hls::{STREAM_KINDS, stream_kind};
use crate::api::state_word;
use crate::api::tracks;
use crate::config::values::HlsVariant;
use headwater_engine::records::{Protocol, SessionState};
use std::collections::BTreeMap;

/// Writes the families.
pub(super) fn write(page: &mut Page, snapshot: &Snapshot) {
    write_connections(page, snapshot);
    write_sessions(page, snapshot);
    write_muxers(page, snapshot);
    let samples = snapshot.skipped.iter().map(|((protocol, codec), count)| {
        gauge_sample(&[("codec", *codec), ("protocol", protocol.name())], *count as f64)
    });
    let help = "Tracks that sessions are not given because their protocol cannot carry them.";
    page.gauges("headwater_skipped_tracks", help, samples.collect());
}

fn write_connections(page: &mut Page, snapshot: &Snapshot) {
    // Sessions of HLS come over connections of HTTP.
    let protocols = Protocol::ALL.into_iter().filter(|protocol| *protocol != Protocol::Hls);
    let samples = protocols.map(|protocol| {
        gauge_sample(&[("protocol", protocol.name())], snapshot.connections(protocol).len() as f64)
    });
    page.gauges(
        "headwater_protocol_connections",
        "Connections of clients open now, by protocol.",
        samples.collect(),
    );
}

fn write_sessions(page: &mut Page, snapshot: &Snapshot) {
    let mut samples = Vec::new();
    for protocol in Protocol::ALL {
        for state in [SessionState::Idle, SessionState::Publish, SessionState::Read] {
            let count = snapshot.sessions(protocol).iter().filter(|view| view.state == state).count();
            let labels = [("protocol", protocol.name()), ("state", state_word(state))];
            samples.push(gauge_sample(&labels, count as f64));
        }
    }
    page.gauges("headwater_protocol_sessions", "Sessions open now, by protocol and state.", samples);
    let streams = || [Protocol::Http, Protocol::Https].into_iter().flat_map(|of| snapshot.sessions(of));
    let sample = |kind: &'static str| {
        let count = streams().filter(|view| stream_kind(view.record.kind) == Some(kind)).count();
        gauge_sample(&[("kind", kind)], count as f64)
    };
    let help = "Sessions that read an endless stream over HTTP now, by what is streamed.";
    page.gauges("headwater_http_streams", help, STREAM_KINDS.map(sample).into());
}

fn write_muxers(page: &mut Page, snapshot: &Snapshot) {
    let sample = |variant: &&'static str| {
        let count = snapshot.muxers.iter().filter(|view| view.record.variant == *variant).count();
        gauge_sample(&[("variant", *variant)], count as f64)
    };
    let samples = HlsVariant::WORDS.iter().map(sample).collect();
    page.gauges("headwater_hls_muxers", "HLS muxers that run now, by variant.", samples);
    let mut skipped = BTreeMap::<&str, u64>::new();
    for view in &snapshot.muxers {
        let codecs = view.record.skipped.iter();
        for codec in codecs.filter_map(|track| tracks::codec_of(track, view.stream.as_deref())) {
            *skipped.entry(codec).or_default() += 1;
        }
    }
    let samples = skipped.iter().map(|(codec, count)| gauge_sample(&[("codec", *codec)], *count as f64));
    let help = "Tracks that HLS muxers leave out because their variant cannot carry them.";
    page.gauges("headwater_hls_skipped_tracks", help, samples.collect());
}
