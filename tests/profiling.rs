//! The profiling port, read by `go tool pprof`, a browser's parser and JSON.

use anyhow::{Context, Result, ensure};
use headwater_tests::http::{self, Client};
use headwater_tests::process::Process;
use headwater_tests::publisher::Publisher;
use headwater_tests::reader::Reader;
use headwater_tests::server::{Launch, Server};
use headwater_tests::{wait, workspace};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(10);

/// A server under load: one fast publisher, and readers that check every packet.
struct Load {
    server: Server,
    pprof: SocketAddr,
    publisher: Publisher,
    readers: Vec<Reader>,
}

impl Load {
    fn start(shards: usize) -> Result<Load> {
        let launch = Launch { control: vec!["pprof"], shards: Some(shards), ..Launch::default() };
        let mut server = Server::launch(&launch)?;
        let url = server.url("load");
        let publisher = Publisher::start_fast(server.rtsp, &url, 1, 16)?;
        server.wait_for_stream("load")?;
        let readers = (0..20).map(|_| Reader::play(server.rtsp, &url)).collect::<Result<_>>()?;
        let pprof = server.control["pprof"];
        Ok(Load { server, pprof, publisher, readers })
    }

    fn get(&self, target: &str) -> Result<http::Response> {
        http::request(self.pprof, "GET", &format!("/debug/pprof/{target}"), "")
    }

    /// Wants every packet to have come to every reader.
    fn finish(self) -> Result<()> {
        for mut reader in self.readers {
            reader.advance(50)?;
            reader.finish_whole().context("profiling disturbed a reader")?;
        }
        self.publisher.tear_down()?;
        self.server.stop()
    }
}

/// What `go tool pprof` makes of a profile.
fn pprof(arguments: &[&str], profile: &[u8], name: &str) -> Result<String> {
    let file: PathBuf = workspace().join(format!("{name}-{}.pb.gz", std::process::id()));
    std::fs::write(&file, profile)?;
    let mut command = Command::new("go");
    command.args(["tool", "pprof"]).args(arguments).arg(&file);
    let mut process = Process::spawn("go tool pprof", command)?;
    process.succeed(Duration::from_secs(60))?;
    Ok(process.stdout())
}

#[test]
fn the_index_leads_to_what_there_is_and_the_command_line_hides_secrets() -> Result<()> {
    let settings = vec!["authInternalUsers=[{user: any, permissions: [{action: pprof}]}, {user: eve, pass: hidden1, permissions: []}]".into()];
    let server = Server::launch(&Launch { control: vec!["pprof"], settings, ..Launch::default() })?;
    let pprof = server.control["pprof"];
    let index = http::request(pprof, "GET", "/debug/pprof/", "")?.expect(200)?.text();
    for name in ["profile", "heap", "cmdline", "tasks", "trace", "flamegraph"] {
        ensure!(index.contains(name), "{name} is not in the index");
    }
    ensure!(http::request(pprof, "GET", "/debug/pprof", "")?.status == 308, "a slash is missing");
    ensure!(http::request(pprof, "GET", "/debug/pprof/nothing", "")?.status == 404, "nothing");
    let line = http::request(pprof, "GET", "/debug/pprof/cmdline", "")?.expect(200)?.text();
    let arguments: Vec<&str> = line.split('\0').collect();
    ensure!(arguments[0].ends_with("headwater") && arguments.contains(&"--set"), "{arguments:?}");
    ensure!(!line.contains("hidden1"), "the command line shows a password: {line}");
    server.stop()
}

#[test]
fn tasks_show_every_shard() -> Result<()> {
    let load = Load::start(2)?;
    let text = load.get("tasks")?.expect(200)?.text();
    let tasks = load.get("tasks?format=json")?.expect(200)?.json()?;
    ensure!(tasks.as_array().map(Vec::len) == Some(2), "{tasks}");
    for (number, task) in tasks.as_array().into_iter().flatten().enumerate() {
        let thread = format!("shard-{number}");
        ensure!(text.lines().any(|line| line.starts_with(&thread)), "{thread} is not in\n{text}");
        ensure!(task["thread"] == thread.as_str() && task["phase"].is_string(), "{task}");
    }
    let sessions: u64 =
        tasks.as_array().into_iter().flatten().filter_map(|task| task["sessions"].as_u64()).sum();
    ensure!(sessions == 21, "{sessions} sessions: {tasks}");
    let turns = |tasks: &serde_json::Value| tasks[0]["turns"].as_u64();
    wait::until("the turns to grow", SOON, || {
        Ok((turns(&load.get("tasks?format=json")?.json()?) > turns(&tasks)).then_some(()))
    })?;
    load.finish()
}

#[test]
fn go_reads_profiles_with_names_and_threads_while_streams_go_on() -> Result<()> {
    let load = Load::start(1)?;
    let started = Instant::now();
    let profile = load.get("profile?seconds=2")?.expect(200)?;
    ensure!(started.elapsed() >= Duration::from_secs(2), "two seconds were only {:?}", started.elapsed());
    let top = pprof(&["-top", "-nodecount=500"], &profile.body, "cpu")?;
    ensure!(top.contains("engine::"), "no function of the engine:\n{top}");
    let named = top.lines().skip(6).filter(|line| line.contains("::")).count();
    ensure!(named >= 5, "only {named} lines have names:\n{top}");
    let tags = pprof(&["-tags"], &profile.body, "cpu")?;
    ensure!(tags.contains("thread") && tags.contains("shard-0"), "{tags}");

    let heap = load.get("heap?seconds=1")?.expect(200)?;
    let top = pprof(&["-top", "-sample_index=inuse_space"], &heap.body, "heap")
        .or_else(|_| pprof(&["-top"], &heap.body, "heap"))?;
    ensure!(top.contains("flat%"), "{top}");
    load.finish()
}

#[test]
fn the_flame_graph_is_a_drawing_that_names_the_shard() -> Result<()> {
    let load = Load::start(1)?;
    let graph = load.get("flamegraph?seconds=2")?.expect(200)?;
    ensure!(graph.header("Content-Type").is_some_and(|kind| kind.starts_with("image/svg+xml")), "{graph:?}");
    let file = workspace().join(format!("flame-{}.svg", std::process::id()));
    std::fs::write(&file, &graph.body)?;
    let mut command = Command::new("python3");
    let parse = "import sys, xml.dom.minidom as d; print(d.parse(sys.argv[1]).documentElement.tagName)";
    command.args(["-c", parse]).arg(&file);
    let mut process = Process::spawn("an XML parser", command)?;
    process.succeed(SOON)?;
    ensure!(process.stdout().trim() == "svg", "{}", process.stdout());
    let text = graph.text();
    ensure!(text.contains("shard-0") && text.contains("engine::"), "names are missing");
    load.finish()
}

#[test]
fn a_trace_has_spans_of_each_shard_and_ends_with_its_client() -> Result<()> {
    let load = Load::start(2)?;
    let trace = load.get("trace?seconds=1")?.expect(200)?.json()?;
    let events = trace["traceEvents"].as_array().or(trace.as_array()).context("no events")?;
    for shard in ["shard-0", "shard-1"] {
        let named = events.iter().find(|event| event["args"]["name"] == shard);
        let thread = &named.with_context(|| format!("{shard} is not named"))?["tid"];
        let spans = events.iter().filter(|event| event["ph"] == "X" && event["tid"] == *thread).count();
        ensure!(spans > 0, "{shard} has no spans");
    }
    let mut leaver = Client::open(load.pprof)?;
    leaver.send(b"GET /debug/pprof/trace?seconds=60 HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    wait::until("the long trace to run", SOON, || {
        Ok((load.get("trace?seconds=1")?.status == 409).then_some(()))
    })?;
    drop(leaver);
    wait::until("the trace to end with its client", SOON, || {
        Ok((load.get("trace?seconds=1")?.status == 200).then_some(()))
    })?;
    load.finish()
}

#[test]
fn one_recording_at_a_time_and_bounded() -> Result<()> {
    let load = Load::start(1)?;
    for target in [
        "profile?seconds=0",
        "profile?seconds=301",
        "profile?seconds=x",
        "profile?seconds=-1",
        "flamegraph?seconds=0",
        "heap?seconds=301",
        "trace?seconds=0",
        "trace?seconds=61",
        "profile?seconds=1&hz=100000",
    ] {
        let answer = load.get(target)?.expect(400).context(target)?;
        ensure!(answer.text().contains("must be a whole number from 1 to"), "{target}: {}", answer.text());
    }
    let mut first = Client::open(load.pprof)?;
    first.send(b"GET /debug/pprof/profile?seconds=60 HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let refused = wait::until("a second profile to be refused", SOON, || {
        let answer = load.get("profile?seconds=1")?;
        Ok((answer.status == 409).then_some(answer.text()))
    })?;
    ensure!(refused.contains("already") || refused.contains("again"), "{refused}");
    drop(first);
    wait::until("the profile to end with its client", SOON, || {
        Ok((load.get("profile?seconds=1")?.status == 200).then_some(()))
    })?;
    load.finish()
}
