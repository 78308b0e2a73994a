//! The metrics page, read by Prometheus' own tools and beside MediaMTX's.

use anyhow::{Context, Result, bail, ensure};
use headwater_tests::http;
use headwater_tests::peer::Mediamtx;
use headwater_tests::process::Process;
use headwater_tests::publisher::Publisher;
use headwater_tests::reader::Reader;
use headwater_tests::server::{Launch, Server};
use headwater_tests::{root, wait, workspace};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(10);

fn start() -> Result<Server> {
    Server::launch(&Launch { control: vec!["api", "metrics"], ..Launch::default() })
}

/// One sample: its name, its labels, its value.
type Sample = (String, BTreeMap<String, String>, f64);

fn samples(page: &str) -> Result<Vec<Sample>> {
    let lines = page.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| sample(line).with_context(|| format!("no sample: {line}"))).collect()
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.strip_suffix('}')?;
    let pairs = labels.split("\",").filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once("=\"")?;
        Some((key.to_owned(), value.trim_end_matches('"').to_owned()))
    });
    Some((name.to_owned(), pairs.collect::<Option<_>>()?, value.parse().ok()?))
}

fn scrape(metrics: SocketAddr, query: &str) -> Result<Vec<Sample>> {
    let answer = http::request(metrics, "GET", &format!("/metrics{query}"), "")?.expect(200)?;
    samples(&answer.text())
}

fn sum(samples: &[Sample], name: &str) -> f64 {
    samples.iter().filter(|(found, ..)| found == name).map(|(.., value)| value).sum()
}

#[test]
fn live_things_have_lines_and_absent_ones_a_zero() -> Result<()> {
    let mut server = start()?;
    let (api, metrics) = (server.control["api"], server.control["metrics"]);
    let zero = scrape(metrics, "")?;
    for name in
        ["paths", "rtsp_conns", "rtsp_sessions", "rtmp_conns", "srt_conns", "hls_muxers", "webrtc_sessions"]
    {
        let lines: Vec<_> = zero.iter().filter(|(found, ..)| found == name).collect();
        ensure!(lines.len() == 1 && lines[0].1.is_empty() && lines[0].2 == 0.0, "{name}: {lines:?}");
    }
    let url = server.url("cam");
    let publisher = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream("cam")?;
    let mut reader = Reader::play(server.rtsp, &url)?;
    reader.advance(100)?;
    publisher.disconnect()?; // Its path waits for another; figures stand still.
    wait::until("the publisher to be gone", SOON, || {
        Ok((http::get(api, "/v3/rtspsessions/list")?["itemCount"] == 1).then_some(()))
    })?;
    let session = http::get(api, "/v3/rtspsessions/list")?["items"][0].clone();
    let id = session["id"].as_str().context("an id")?;
    let one = scrape(metrics, &format!("?type=rtsp_sessions&rtsp_session={id}"))?;
    for (name, key) in [
        ("rtsp_sessions_outbound_bytes", "outboundBytes"),
        ("rtsp_sessions_outbound_rtp_packets", "outboundRTPPackets"),
        ("rtsp_sessions_rtp_packets_sent", "rtpPacketsSent"),
    ] {
        let found = one.iter().find(|(found, ..)| found == name).with_context(|| name.to_owned())?;
        ensure!(found.1["id"] == id && found.1["path"] == "cam" && found.1["state"] == "read", "{found:?}");
        ensure!(Some(found.2) == session[key].as_f64() && found.2 > 0.0, "{found:?}, and {}", session[key]);
    }
    ensure!(one.iter().all(|(name, ..)| name.starts_with("rtsp_sessions")), "the filter lets others through");
    let paths = scrape(metrics, "?type=paths&path=cam")?;
    ensure!(
        paths.iter().all(|(name, labels, _)| name.starts_with("paths") && labels["name"] == "cam"),
        "{paths:?}"
    );
    let readers = paths.iter().find(|(name, ..)| name == "paths_readers").context("paths_readers")?;
    ensure!(readers.1["readerType"] == "rtspSession" && readers.2 == 1.0, "{readers:?}");
    ensure!(scrape(metrics, "?path=nothing")?.is_empty(), "a path that is not there");
    ensure!(
        http::request(metrics, "GET", "/metrics?type=nonsense", "")?.status == 400,
        "a type that is none"
    );
    ensure!(http::request(metrics, "POST", "/metrics", "")?.status == 405, "POST");
    server.stop()
}

/// promtool's complaints about a page, one a line, and whether it passes.
fn promtool(page: &str, name: &str) -> Result<(bool, Vec<String>)> {
    let file = workspace().join(format!("{name}-{}.prom", std::process::id()));
    std::fs::write(&file, page)?;
    let checked = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::from(std::fs::File::open(&file)?))
        .output();
    let checked = checked.context("promtool is missing (tests/run installs prometheus)")?;
    let lines = [checked.stdout, checked.stderr].concat();
    let lines =
        String::from_utf8(lines)?.lines().map(str::to_owned).filter(|line| !line.is_empty()).collect();
    Ok((checked.status.success(), lines))
}

#[test]
fn promtool_passes_our_families_and_knows_the_faults_of_mediamtx() -> Result<()> {
    let mut server = start()?;
    let metrics = server.control["metrics"];
    let url = server.url("cam");
    let _publisher = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream("cam")?;
    let mut reader = Reader::play(server.rtsp, &url)?;
    reader.advance(50)?;
    let page = |query: &str| -> Result<String> {
        Ok(http::request(metrics, "GET", &format!("/metrics{query}"), "")?.expect(200)?.text())
    };
    let (passed, complaints) = promtool(&page("?type=headwater")?, "own")?;
    ensure!(passed && complaints.is_empty(), "{complaints:?}");
    let (_, complaints) = promtool(&page("")?, "whole")?;
    for complaint in &complaints {
        let theirs = complaint.contains("label names should be written in 'snake_case' not 'camelCase'")
            || complaint.contains("metric names should not contain abbreviated units");
        ensure!(theirs && !complaint.starts_with("headwater_"), "{complaint}");
    }
    let (passed, broken) = promtool("x_total{a=\"b\" 1\n", "broken")?;
    ensure!(!passed && !broken.is_empty(), "promtool passes what is broken");
    server.stop()
}

/// A Prometheus that scrapes a server every second.
struct Prometheus {
    process: Process,
    http: SocketAddr,
}

impl Prometheus {
    fn start(metrics: SocketAddr) -> Result<Prometheus> {
        let http = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let home = workspace().join(format!("prometheus-{}", http.port()));
        std::fs::create_dir_all(&home)?;
        let configuration = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [{"job_name": "headwater", "static_configs": [{"targets": [metrics.to_string()]}]}],
        });
        std::fs::write(home.join("prometheus.yml"), configuration.to_string())?;
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", home.join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", home.join("data").display()));
        command.arg(format!("--web.listen-address={http}"));
        let mut prometheus = Prometheus { process: Process::spawn("prometheus", command)?, http };
        wait::until("Prometheus to scrape the server", Duration::from_secs(30), || {
            prometheus.process.still_runs()?;
            let up = prometheus.query("up");
            Ok(up.is_ok_and(|result| result[0]["value"][1] == "1").then_some(()))
        })?;
        Ok(prometheus)
    }

    fn query(&self, expression: &str) -> Result<Value> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = http::request(self.http, "GET", &format!("/api/v1/query?query={encoded}"), "")?;
        let json = answer.json()?;
        ensure!(json["status"] == "success", "{expression}: {json}");
        Ok(json["data"]["result"].clone())
    }
}

/// Every expression of a dashboard, wherever it stands.
fn expressions(dashboard: &Value, found: &mut Vec<String>) {
    match dashboard {
        Value::Object(map) => {
            found.extend(map.get("expr").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| expressions(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

#[test]
fn prometheus_scrapes_the_page_and_answers_the_dashboard() -> Result<()> {
    let mut server = start()?;
    let url = server.url("cam");
    let _publisher = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream("cam")?;
    let mut reader = Reader::play(server.rtsp, &url)?;
    let prometheus = Prometheus::start(server.control["metrics"])?;
    wait::until("the path and our own series", Duration::from_secs(20), || {
        let paths = prometheus.query("paths{name=\"cam\",state=\"ready\"}")?;
        let own = prometheus.query("count({__name__=~\"headwater_.*\"})")?;
        Ok((paths[0]["value"][1] == "1" && own[0]["value"][1].is_string()).then_some(()))
    })?;
    let before = reader.seen().packets;
    wait::until("the latency histogram to count", Duration::from_secs(20), || {
        let names = "sum by (__name__) ({__name__=~\"headwater_.*latency.*_count\"})";
        let result = prometheus.query(names)?;
        let counts = result.as_array().into_iter().flatten();
        let counted =
            counts.filter_map(|series| series["value"][1].as_str()?.parse::<f64>().ok()).sum::<f64>();
        Ok((counted > 0.0).then_some(()))
    })?;
    reader.wait("packets while scraped", |seen| seen.packets > before + 50)?;
    let dashboard = std::fs::read_to_string(root().join("control/grafana/headwater.json"))?;
    let mut found = Vec::new();
    expressions(&serde_json::from_str(&dashboard)?, &mut found);
    ensure!(found.len() > 10, "only {} expressions in the dashboard", found.len());
    let mut empty = Vec::new();
    for expression in found {
        let replaced = expression
            .replace("$instance", ".*")
            .replace("$__rate_interval", "10s")
            .replace("$__interval", "1s")
            .replace("$__range", "1m")
            .replace("${path:regex}", ".*")
            .replace("$path", ".*");
        ensure!(!replaced.contains('$'), "a variable that this test does not know: {replaced}");
        if prometheus.query(&replaced)? == json!([]) {
            empty.push(expression);
        }
    }
    eprintln!("expressions of the dashboard without a series now: {empty:#?}");
    reader.finish_whole()?;
    server.stop()
}

#[test]
fn a_user_needs_the_permission() -> Result<()> {
    let users = "authInternalUsers=[{user: stats, pass: yes1, permissions: [{action: metrics}]}, {user: eve, pass: no1, permissions: [{action: read}]}]";
    let launch = Launch { control: vec!["metrics"], settings: vec![users.into()], ..Launch::default() };
    let server = Server::launch(&launch)?;
    let ask = |credentials: &str| -> Result<http::Response> {
        let headers: &[_] = if credentials.is_empty() { &[] } else { &[("Authorization", credentials)] };
        http::Client::open(server.control["metrics"])?.request("GET", "/metrics", headers, b"")
    };
    let asked = ask("")?;
    ensure!(asked.status == 401 && asked.header("WWW-Authenticate").is_some(), "{}", asked.status);
    ensure!(!asked.text().contains("headwater_"), "metrics for nobody");
    ask("Basic c3RhdHM6eWVzMQ==")?.expect(200)?;
    ask("Bearer stats:yes1")?.expect(200)?;
    for wrong in ["Basic ZXZlOm5vMQ==", "Bearer stats:no"] {
        ensure!(ask(wrong)?.status == 401, "{wrong} was let in");
    }
    server.stop()
}

/// Names of MediaMTX that its documentation calls deprecated.
fn deprecated(name: &str) -> bool {
    ["_bytes_received", "_bytes_sent"].iter().any(|end| name.ends_with(end))
        || name.contains("_sessions_rtp_packets")
        || name.contains("_sessions_rtcp_packets")
}

#[test]
fn every_name_of_mediamtx_is_there_with_its_labels() -> Result<()> {
    let theirs = Mediamtx::start("")?;
    let ours = start()?;
    let mut pages = Vec::new();
    for (rtsp, metrics) in [(theirs.rtsp, theirs.metrics), (ours.rtsp, ours.control["metrics"])] {
        let url = format!("rtsp://{rtsp}/same");
        let _publisher = Publisher::start(rtsp, &url, 1)?;
        let mut reader = Reader::play(rtsp, &url)?;
        reader.advance(50)?;
        let labels: BTreeMap<String, BTreeSet<String>> = scrape(metrics, "")?
            .into_iter()
            .map(|(name, labels, _)| (name, labels.into_keys().collect()))
            .collect();
        pages.push(labels);
    }
    let wanted: Vec<_> = pages[0].iter().filter(|(name, _)| !deprecated(name)).collect();
    ensure!(wanted.len() > 20, "MediaMTX has only {} names", wanted.len());
    for (name, labels) in wanted {
        match pages[1].get(name) {
            None => bail!("{name} is missing"),
            Some(ours) => ensure!(ours == labels, "{name} has {ours:?}, and {labels:?} there"),
        }
    }
    ours.stop()
}

#[test]
fn scrapes_of_ten_thousand_paths_disturb_no_reader() -> Result<()> {
    let mut server = start()?;
    let (api, metrics) = (server.control["api"], server.control["metrics"]);
    let add: Map<String, Value> = (0..10_000).map(|n| (format!("many/{n:05}"), json!({}))).collect();
    http::request(api, "POST", "/v3/config/paths/bulk", &json!({"add": add}).to_string())?.expect(200)?;
    let url = server.url("live");
    let publisher = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream("live")?;
    let mut readers: Vec<Reader> =
        (0..100).map(|_| Reader::play(server.rtsp, &url)).collect::<Result<_>>()?;
    for reader in &mut readers {
        reader.advance(20)?;
    }
    let stalled =
        || -> Result<f64> { Ok(sum(&scrape(metrics, "?type=headwater")?, "headwater_turns_stalled_total")) };
    let mut times = Vec::new();
    let (first, started) = (stalled()?, Instant::now());
    for _ in 0..20 {
        let started = Instant::now();
        let page = scrape(metrics, "")?;
        times.push(started.elapsed());
        ensure!(page.iter().filter(|(name, ..)| name == "paths").count() > 10_000, "paths are missing");
    }
    let (scraping, span) = (stalled()? - first, started.elapsed());
    // On a busy machine turns are also long because the shard waits for a processor: compare with a time without scrapes.
    let first = stalled()?;
    wait::throughout(span, || server.still_runs())?;
    let quiet = stalled()? - first;
    let (middle, last) = http::percentiles(&mut times);
    eprintln!(
        "20 scrapes of 10,000 paths: p50 {middle:.1?}, p99 {last:.1?}; {scraping} turns stalled, {quiet} without scrapes"
    );
    ensure!(scraping <= 2.0 * quiet + 20.0, "{scraping} turns were stalled while scraped, {quiet} otherwise");
    for mut reader in readers {
        reader.advance(20)?;
        reader.finish_whole()?;
    }
    publisher.tear_down()?;
    server.stop()
}
