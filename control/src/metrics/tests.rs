//! Tests of the whole page, on synthetic worlds.

use super::*;
use crate::auth::AuthCounters;
use crate::config::values::AuthMethod;
use crate::config::{Configuration, ConfiguredPath, PathConfiguration};
use crate::hooks::HookCounters;
use crate::world::{ConnectionView, MuxerView, Party, PathView, SessionView};
use axum::body::Body;
use axum::http::Request;
use headwater_engine::Counters;
use headwater_engine::access::Verdict;
use headwater_engine::counters::Counter;
use headwater_engine::records::{self, Id, Protocol, SessionCounts, SessionKind, SessionState, Transport};
use headwater_protocols::track::{Codec, Medium, Skipped, Track};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime};
use tower::ServiceExt;

/// Every metric name of MediaMTX v1.20.1.
const MEDIAMTX: &str = include_str!("mediamtx-metrics.txt");

fn id(number: usize) -> Id {
    format!("00000000-0000-8000-8000-{number:012x}").parse().expect("an id")
}

fn path(name: &str, readers: &[&'static str]) -> PathView {
    let readers =
        readers.iter().enumerate().map(|(n, kind)| Party { kind, id: id(n), session: id(n) }).collect();
    PathView {
        name: name.into(),
        available: SystemTime::UNIX_EPOCH,
        online: None,
        source: None,
        tracks: Vec::new(),
        readers,
        inbound_bytes: 1000,
        inbound_frames_in_error: 3,
        outbound_bytes: 2000,
        log_bytes: 500,
    }
}

fn session(number: usize, path: &str) -> SessionView {
    session_of(Protocol::Rtsp, Default::default(), number, path)
}

fn session_of(protocol: Protocol, kind: SessionKind, number: usize, path: &str) -> SessionView {
    let record = records::Session {
        id: id(number),
        created: SystemTime::UNIX_EPOCH,
        protocol,
        remote: "192.0.2.7:5000".parse().expect("an address"),
        path: path.into(),
        query: "".into(),
        user: "".into(),
        user_agent: "".into(),
        kind,
        skipped: Default::default(),
        counts: SessionCounts::default(),
    };
    record.counts.outbound_bytes.add(number as u64);
    record.counts.outbound_rtp_packets_discarded.add(11);
    record.counts.inbound_rtp_packets_jitter.set(1.5);
    SessionView {
        record: Arc::new(record),
        state: SessionState::Read,
        transport: Some(Transport::Tcp),
        connection: None,
    }
}

fn connection(number: usize) -> ConnectionView {
    let record = records::Connection {
        id: id(number),
        created: SystemTime::UNIX_EPOCH,
        protocol: Protocol::Rtsp,
        remote: "192.0.2.7:5000".parse().expect("an address"),
        inbound_bytes: Default::default(),
        outbound_bytes: Default::default(),
    };
    ConnectionView { record: Arc::new(record), session: None }
}

fn empty() -> Snapshot {
    Snapshot::default()
}

fn small() -> Snapshot {
    let mut world = empty();
    let mut configuration = Configuration::default();
    for name in ["cam", "later", "~^any", "all_others"] {
        let effective = Arc::new(PathConfiguration::default());
        let configured = ConfiguredPath { given: serde_json::Map::new(), effective };
        configuration.paths.insert(name.to_owned(), Arc::new(configured));
    }
    let live = vec![path("cam", &["rtspSession", "rtspSession", "rtspsSession"]), path("quo\"te\\", &[])];
    world.paths = snapshot::path_lines(live, &configuration);
    world.connections.insert(Protocol::Rtsp, vec![connection(1), connection(2)]);
    world.sessions.insert(Protocol::Rtsp, vec![session(1, "cam"), session(2, "quo\"te\\")]);
    world
}

fn port() -> ControlPort {
    let (requests, refused) = (vec![("2xx", 12), ("4xx", 3)], vec![("head_timeout", 1)]);
    ControlPort { name: "api", requests, refused, panics: 2, ..ControlPort::default() }
}

fn figures<'a>(
    reloads: &'a ReloadCounters,
    authentication: &'a AuthCounters,
    hooks: &'a HookCounters,
) -> Figures<'a> {
    Figures {
        reloads,
        authentication,
        hooks,
        log_lines_dropped: 1,
        events_waiting: 2,
        certificates_refused: 3,
        certificates: vec![("server.crt".to_owned(), 4)],
    }
}

fn page_of(world: Snapshot, query: &[(&str, &str)]) -> String {
    let shards = [Arc::new(Counters::default()), Arc::new(Counters::default())];
    shards[1].turns.add(7);
    shards[1].closed_idle.add(4);
    shards[0].histograms.rtsp_udp_latency_seconds.observe(0.003, 5);
    let (reloads, authentication, hooks) = <(ReloadCounters, AuthCounters, HookCounters)>::default();
    let denied = Verdict::Denied { reason: String::new() };
    authentication.decided(AuthMethod::Jwt, &denied, Duration::from_millis(7));
    let sources: Vec<Source> = vec![
        Box::new(move |page| engine::write(page, &shards)),
        Box::new(move |page| {
            let figures = figures(&reloads, &authentication, &hooks);
            control::write(page, &figures);
        }),
        Box::new(|page| http::write(page, &[port()])),
        Box::new(process::write),
    ];
    let world = std::sync::Mutex::new(Some(world));
    let take = move || world.lock().expect("a lock").take().expect("taken once");
    let scraper = Scraper::new(Box::new(take), sources);
    let query: Vec<_> = query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    String::from_utf8(scraper.render(&Filter::of_query(&query).expect("a filter"))).expect("text")
}

/// The families of a page, each with its type.
fn families(page: &str) -> BTreeMap<&str, &str> {
    let mut families = BTreeMap::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("a name and a type");
        assert!(families.insert(name, kind).is_none(), "{name} appears twice");
    }
    families
}

/// The names that our page exports, for the test of the dashboard too.
pub(super) fn exported() -> BTreeSet<String> {
    let page = page_of(small(), &[]);
    let mut names = BTreeSet::new();
    for (name, kind) in families(&page) {
        names.insert(name.to_owned());
        if kind == "histogram" {
            names.extend(["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}")));
        }
    }
    names
}

#[test]
fn every_name_of_mediamtx_appears_in_an_empty_world() {
    let page = page_of(empty(), &[]) + &page_of(empty(), &[("type", "forward_dests")]);
    let names =
        MEDIAMTX.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(' ').next());
    let mut count = 0;
    for name in names {
        assert!(page.lines().any(|line| line == format!("{name} 0")), "{name} is missing");
        count += 1;
    }
    assert_eq!(count, 159);
}

#[test]
fn every_family_appears_once_with_help_and_lines() {
    let page = page_of(small(), &[]);
    for (name, _) in families(&page) {
        assert_eq!(page.matches(&format!("# HELP {name} ")).count(), 1, "help of {name}");
    }
    assert!(!page_of(small(), &[]).contains("\nforward_dests"), "forwards show zeros only when asked for");
}

#[test]
fn every_counter_of_the_engine_appears_exactly_once() {
    let page = page_of(empty(), &[]);
    for (name, help, _) in Counters::default().each() {
        let lines = match engine::reason_of(name) {
            Some((family, reason)) => format!("\n{family}{{reason=\"{reason}\",shard=\"1\"}} "),
            None if help.contains("(gauge)") => format!("\nheadwater_{name}{{shard=\"1\"}} "),
            None => format!("\nheadwater_{name}_total{{shard=\"1\"}} "),
        };
        assert_eq!(page.matches(&lines).count(), 1, "{name} as {lines}");
    }
    assert!(page.contains("\nheadwater_turns_total{shard=\"1\"} 7\n"));
    assert!(page.contains("\nheadwater_connections_closed_total{reason=\"idle\",shard=\"1\"} 4\n"));
    let kinds = families(&page);
    assert_eq!((kinds["headwater_connections_open"], kinds["headwater_sessions_open"]), ("gauge", "gauge"));
}

#[test]
fn every_reason_stands_for_a_counter_that_the_engine_has() {
    let page = page_of(empty(), &[]);
    for family in ["dropped_packets", "dropped_batches", "skips", "connections_closed"] {
        let shown = page.matches(&format!("\nheadwater_{family}_total{{")).count();
        let full_name = format!("headwater_{family}_total");
        let counters = Counters::default();
        let counted = counters.each().filter_map(|(name, ..)| engine::reason_of(name));
        assert_eq!(shown, 2 * counted.filter(|(name, _)| *name == full_name).count(), "{family}");
    }
}

#[test]
fn histograms_are_cumulative_and_labelled() {
    let page = page_of(empty(), &[]);
    let line = |rest: &str| format!("\nheadwater_delivery_latency_seconds{rest}");
    let labels = "protocol=\"rtsp\",shard=\"0\",transport=\"udp\"";
    for (bound, count) in [("0.0025", 0), ("0.005", 5), ("+Inf", 5)] {
        let line = line(&format!("_bucket{{{labels},le=\"{bound}\"}} {count}\n"));
        assert!(page.contains(&line), "{line}");
    }
    assert!(page.contains(&line(&format!("_count{{{labels}}} 5\n"))));
    assert!(
        page.contains("\nheadwater_authentication_seconds_bucket{le=\"0.025\",method=\"jwt\"} 1\n")
            || page.contains("\nheadwater_authentication_seconds_bucket{method=\"jwt\",le=\"0.025\"} 1\n")
    );
    assert!(page.contains("\nheadwater_authentication_checks_total{method=\"jwt\",result=\"denied\"} 1\n"));
}

#[test]
fn paths_show_their_state_and_their_readers_by_kind() {
    let page = page_of(small(), &[]);
    for line in [
        "paths{name=\"cam\",state=\"ready\"} 1",
        "paths{name=\"later\",state=\"notReady\"} 1",
        "paths{name=\"quo\\\"te\\\\\",state=\"ready\"} 1",
        "paths_readers{name=\"cam\",readerType=\"rtspSession\",state=\"ready\"} 2",
        "paths_readers{name=\"cam\",readerType=\"rtspsSession\",state=\"ready\"} 1",
        "paths_readers{name=\"later\",readerType=\"\",state=\"notReady\"} 0",
        "paths_inbound_frames_in_error{name=\"cam\",state=\"ready\"} 3",
        "paths_bytes_sent{name=\"cam\",state=\"ready\"} 2000",
        "headwater_path_log_bytes{path=\"cam\"} 500",
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line}");
    }
    assert!(!page.contains("all_others") && !page.contains("~^any"));
    assert!(page.contains("\nrtsps_sessions 0\n") && !page.contains("\nrtsp_sessions 0\n"));
}

#[test]
fn an_item_is_shown_alone() {
    let wanted = id(2).to_string();
    let page = page_of(small(), &[("rtsp_session", &wanted)]);
    assert_eq!(families(&page).len(), 23, "{page}");
    let labels =
        format!("id=\"{wanted}\",path=\"quo\\\"te\\\\\",remoteAddr=\"192.0.2.7:5000\",state=\"read\"");
    assert!(page.contains(&format!("\nrtsp_sessions_outbound_bytes{{{labels}}} 2\n")), "{page}");
    assert!(page.contains(&format!("\nrtsp_sessions_rtp_packets_jitter{{{labels}}} 1.5\n")));
    assert_eq!(page_of(small(), &[("rtsp_session", "nobody")]), "");
    assert_eq!(families(&page_of(small(), &[("type", "rtsp_conns")])).len(), 5);
    assert_eq!(families(&page_of(small(), &[("path", "cam")])).len(), 7);
}

/// A client of RTMP that reads, one that has said nothing yet, and one of each kind over HTTP.
fn converted() -> Snapshot {
    let mut world = empty();
    let mut reading = connection(1);
    reading.session = Some(id(2));
    world.connections.insert(Protocol::Rtmp, vec![reading, connection(3)]);
    world.sessions.insert(Protocol::Rtmp, vec![session_of(Protocol::Rtmp, SessionKind::Plain, 2, "cam")]);
    world.sessions.insert(Protocol::Hls, vec![session_of(Protocol::Hls, SessionKind::Cdn, 4, "cam")]);
    world.sessions.insert(Protocol::Https, vec![session_of(Protocol::Https, SessionKind::MpegTs, 5, "cam")]);
    let muxer = records::Muxer {
        stream: 1,
        path: "cam".into(),
        created: SystemTime::UNIX_EPOCH,
        variant: "lowLatency",
        last_request_ms: Default::default(),
        outbound_bytes: Counter::of(12),
        outbound_frames_discarded: Counter::of(13),
        skipped: [Skipped { track: 0, reason: "HLS has no place for it" }].into(),
    };
    let track = |codec| Track {
        medium: Medium::Audio,
        codec,
        payload_type: 96,
        clock_rate: 8000,
        channels: 1,
        format_parameters: "".into(),
        rtpmap: "".into(),
        attributes: Vec::new(),
    };
    let stream = records::Stream {
        id: 1,
        path: "cam".into(),
        shard: 0,
        home: true,
        created: SystemTime::UNIX_EPOCH,
        tracks: vec![track(Codec::Speex)],
        inbound_bytes: Default::default(),
        inbound_frames_in_error: Default::default(),
        outbound_bytes: Default::default(),
        readers: Default::default(),
        log_bytes: Default::default(),
    };
    world.muxers = vec![MuxerView { record: Arc::new(muxer), stream: Some(Arc::new(stream)) }];
    world.skipped.insert((Protocol::Rtmp, "KLV"), 2);
    world
}

#[test]
fn rtmp_and_hls_have_the_families_of_mediamtx() {
    let page = page_of(converted(), &[]);
    let labels = |number, path: &str, state: &str| {
        format!("{{id=\"{}\",path=\"{path}\",remoteAddr=\"192.0.2.7:5000\",state=\"{state}\"}}", id(number))
    };
    for line in [
        format!("rtmp_conns{} 1", labels(1, "cam", "read")),
        format!("rtmp_conns_outbound_frames_discarded{} 11", labels(1, "cam", "read")),
        format!("rtmp_conns_bytes_received{} 0", labels(3, "", "idle")),
        format!(
            "hls_sessions_outbound_bytes{{id=\"{}\",path=\"cam\",remoteAddr=\"192.0.2.7:5000\"}} 4",
            id(4)
        ),
        "hls_muxers{name=\"cam\"} 1".to_owned(),
        "hls_muxers_outbound_bytes{name=\"cam\"} 12".to_owned(),
        "hls_muxers_bytes_sent{name=\"cam\"} 12".to_owned(),
        "hls_muxers_outbound_frames_discarded{name=\"cam\"} 13".to_owned(),
        "rtmps_conns_outbound_frames_discarded 0".to_owned(),
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line}");
    }
    let of = |query: (&str, &str)| families(&page_of(converted(), &[query])).len();
    assert_eq!((of(("type", "rtmp_conns")), of(("type", "hls_sessions"))), (6, 2));
    assert_eq!((of(("rtmp_conn", &id(3).to_string())), of(("rtmp_conn", &id(2).to_string()))), (6, 0));
    assert_eq!((of(("hls_muxer", "cam")), of(("hls_muxer", "other"))), (4, 0));
    assert_eq!((of(("hls_session", &id(4).to_string())), of(("rtmps_conn", "x"))), (2, 0));
}

#[test]
fn protocols_are_counted_with_what_they_cannot_carry() {
    let page = page_of(converted(), &[("type", "headwater")]);
    for line in [
        "headwater_protocol_connections{protocol=\"rtmp\"} 2",
        "headwater_protocol_connections{protocol=\"https\"} 0",
        "headwater_protocol_sessions{protocol=\"hls\",state=\"read\"} 1",
        "headwater_protocol_sessions{protocol=\"rtsp\",state=\"publish\"} 0",
        "headwater_http_streams{kind=\"mpegts\"} 1",
        "headwater_http_streams{kind=\"flv\"} 0",
        "headwater_hls_muxers{variant=\"lowLatency\"} 1",
        "headwater_hls_muxers{variant=\"fmp4\"} 0",
        "headwater_skipped_tracks{codec=\"KLV\",protocol=\"rtmp\"} 2",
        "headwater_hls_skipped_tracks{codec=\"Speex\"} 1",
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line}");
    }
}

#[test]
fn ten_thousand_paths_and_sessions_are_all_there() {
    let mut world = empty();
    let names: Vec<String> = (0..10_000).map(|n| format!("site/camera-{n:05}")).collect();
    let live = names.iter().map(|name| path(name, &["rtspSession"])).collect();
    world.paths = snapshot::path_lines(live, &Configuration::default());
    let sessions = names.iter().enumerate().map(|(n, name)| session(n, name)).collect();
    world.sessions.insert(Protocol::Rtsp, sessions);
    let start = Instant::now();
    let page = page_of(world, &[]);
    let took = start.elapsed();
    eprintln!(
        "10,000 paths and 10,000 sessions: {} lines, {} bytes, {took:?}",
        page.lines().count(),
        page.len()
    );
    let lines: BTreeSet<&str> = page.lines().collect();
    for (n, name) in names.iter().enumerate() {
        assert!(lines.contains(&*format!("paths_outbound_bytes{{name=\"{name}\",state=\"ready\"}} 2000")));
        let labels = format!("id=\"{}\",path=\"{name}\",remoteAddr=\"192.0.2.7:5000\",state=\"read\"", id(n));
        assert!(lines.contains(&*format!("rtsp_sessions_outbound_bytes{{{labels}}} {n}")));
    }
    for family in families(&page).keys().filter(|name| name.starts_with("rtsp_sessions")) {
        assert_eq!(page.matches(&format!("\n{family}{{")).count(), 10_000, "{family}");
    }
}

/// What promtool says of a page, and whether it was content. `None`, loudly, where it is not installed.
fn promtool(page: &str) -> Option<(bool, String)> {
    let spawned = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = spawned else {
        eprintln!("SKIPPED: promtool is not installed (Debian: apt-get install prometheus)");
        assert!(std::env::var_os("CI").is_none(), "CI must have promtool");
        return None;
    };
    child.stdin.take().expect("its input").write_all(page.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    Some((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[test]
fn promtool_has_nothing_to_say_of_our_own_families() {
    if let Some((content, complaints)) = promtool(&page_of(small(), &[("type", "headwater")])) {
        assert!(content && complaints.is_empty(), "{complaints}");
    }
}

/// MediaMTX's labels `remoteAddr` and `readerType` and SRT's `ms` and `us` are not ours to mend.
#[test]
fn promtool_complains_of_mediamtx_names_only_where_they_bind_us() {
    let Some((_, complaints)) = promtool(&page_of(small(), &[])) else { return };
    for complaint in complaints.lines() {
        let camel = (complaint.starts_with("rtsp_sessions") || complaint.starts_with("paths_readers"))
            && complaint.ends_with("label names should be written in 'snake_case' not 'camelCase'");
        let short = (complaint.starts_with("srt_conns_ms_") || complaint.starts_with("srt_conns_us_"))
            && complaint.ends_with("should not contain abbreviated units");
        assert!(camel || short, "{complaint}");
    }
}

fn request(query: &str, encoding: &str) -> Request<Body> {
    let request = Request::get(format!("/metrics{query}")).header(header::ACCEPT_ENCODING, encoding);
    request.body(Body::empty()).expect("a request")
}

#[tokio::test]
async fn a_scraper_that_takes_gzip_gets_it() {
    let router = Scraper::new(Box::new(small), vec![Box::new(process::write)]).router();
    let plain = router.clone().oneshot(request("", "gzip;q=0, br")).await.expect("an answer");
    assert_eq!(plain.headers()[header::CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    assert!(!plain.headers().contains_key(header::CONTENT_ENCODING));
    let packed =
        router.oneshot(request("?type=rtsp_sessions", "deflate, gzip;q=0.8")).await.expect("an answer");
    assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
    let body = axum::body::to_bytes(packed.into_body(), 1 << 20).await.expect("a body");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*body).read_to_string(&mut text).expect("gzip");
    assert_eq!(families(&text).len(), 23);
}

#[tokio::test]
async fn too_many_scrapes_are_refused_and_told_when_to_come_back() {
    let scraper = Scraper::new(Box::new(empty), Vec::new());
    let held = Arc::clone(&scraper.admitted).try_acquire_many_owned(SCRAPES_MAX as u32).expect("all");
    let router = scraper.router();
    let refused = router.clone().oneshot(request("", "")).await.expect("an answer");
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()[header::RETRY_AFTER], "5");
    drop(held);
    assert_eq!(router.clone().oneshot(request("", "")).await.expect("an answer").status(), StatusCode::OK);
    let nonsense = router.oneshot(request("?type=x", "")).await.expect("an answer");
    assert_eq!(nonsense.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_scrape_waits_for_the_ones_before_it_but_not_for_ever() {
    let mut scraper = Scraper::new(Box::new(empty), Vec::new());
    scraper.wait_max = Duration::from_millis(1);
    let held = Arc::clone(&scraper.rendering).try_acquire_many_owned(RENDERS_MAX as u32).expect("all");
    let refused = scraper.router().oneshot(request("", "")).await.expect("an answer");
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(held);
}

#[test]
fn control_ports_show_their_requests_and_refusals() {
    let page = page_of(empty(), &[("type", "headwater")]);
    for line in [
        "headwater_http_requests_total{class=\"4xx\",port=\"api\"} 3",
        "headwater_http_refused_total{port=\"api\",reason=\"head_timeout\"} 1",
        "headwater_http_panics_total{port=\"api\"} 2",
        "headwater_http_connections_open{port=\"api\"} 0",
    ] {
        let sorted = |text: &str| {
            let mut parts: Vec<_> = text.split(['{', ',', '}']).map(ToOwned::to_owned).collect();
            parts.sort();
            parts
        };
        assert!(page.lines().any(|shown| sorted(shown) == sorted(line)), "{line}");
    }
}

#[test]
fn reloads_are_counted_with_their_last_result() {
    let (counters, authentication, hooks) = <(ReloadCounters, AuthCounters, HookCounters)>::default();
    let text = |counters: &ReloadCounters| {
        let mut page = Page::default();
        control::write(&mut page, &figures(counters, &authentication, &hooks));
        String::from_utf8(page.into_bytes()).expect("text")
    };
    assert!(text(&counters).contains("\nheadwater_configuration_last_reload_successful 1\n"));
    counters.failed();
    assert!(text(&counters).contains("\nheadwater_configuration_last_reload_successful 0\n"));
    counters.succeeded();
    let text = text(&counters);
    assert!(text.contains("\nheadwater_configuration_last_reload_successful 1\n"));
    for result in ["success", "failure"] {
        assert!(
            text.contains(&format!("\nheadwater_configuration_reloads_total{{result=\"{result}\"}} 1\n"))
        );
    }
}
