//! The control API beside streams: 10,000 paths, a hundred readers, a shard that has all it can do.

use anyhow::{Context, Result, ensure};
use headwater_tests::http::{self, Client};
use headwater_tests::process::Process;
use headwater_tests::publisher::Publisher;
use headwater_tests::reader::Reader;
use headwater_tests::server::{Launch, Server};
use headwater_tests::{target, wait};
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

const PATHS: usize = 10_000;

fn bulk(names: impl Iterator<Item = usize>) -> String {
    let add: Map<String, Value> = names.map(|n| (format!("many/{n:05}"), json!({"maxReaders": 5}))).collect();
    json!({ "add": add }).to_string()
}

/// Times requests on one connection.
fn timed(
    api: SocketAddr,
    count: usize,
    mut request: impl FnMut(usize) -> (&'static str, String, String),
) -> Result<Vec<Duration>> {
    let mut client = Client::open(api)?;
    (0..count)
        .map(|number| {
            let (method, target, body) = request(number);
            let started = Instant::now();
            client.request(method, &target, &[], body.as_bytes())?.expect(200).context(target)?;
            Ok(started.elapsed())
        })
        .collect()
}

#[test]
fn ten_thousand_paths_are_added_and_listed_while_readers_stream() -> Result<()> {
    let mut server = Server::launch(&Launch { control: vec!["api"], ..Launch::default() })?;
    let api = server.control["api"];
    let url = server.url("live");
    let publisher = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream("live")?;
    let mut readers: Vec<Reader> =
        (0..100).map(|_| Reader::play(server.rtsp, &url)).collect::<Result<_>>()?;
    for reader in &mut readers {
        reader.advance(20)?;
    }
    let stalled = server.counter("turns_stalled")?;
    let started = Instant::now();
    http::request(api, "POST", "/v3/config/paths/bulk", &bulk(0..PATHS))?.expect(200)?;
    let added = started.elapsed();
    ensure!(added < Duration::from_secs(10), "10,000 paths took {added:?}");
    let started = Instant::now();
    for list in ["/v3/paths/list", "/v3/config/paths/list"] {
        let mut seen = 0;
        for page in 0.. {
            let listing = http::get(api, &format!("{list}?itemsPerPage=1000&page={page}"))?;
            let items = listing["items"].as_array().context("items")?.len();
            seen += items;
            if items == 0 {
                break;
            }
        }
        ensure!(seen == PATHS + 1, "{list} has {seen} paths"); // And the live one, or all_others.
    }
    let listed = started.elapsed();
    let add = |n: usize| ("POST", format!("/v3/config/paths/add/single/{n}"), "{}".to_owned());
    let (middle, last) = http::percentiles(&mut timed(api, 100, add)?);
    let grown = server.counter("turns_stalled")? - stalled;
    eprintln!(
        "10,000 paths: added in {added:.1?}, both lists in {listed:.1?}; one more: p50 {middle:.1?}, p99 {last:.1?}; \
         {grown} turns stalled"
    );
    ensure!(last < Duration::from_secs(2), "one path more took {last:?}");
    for mut reader in readers {
        reader.advance(20)?;
        reader.finish_whole().context("a reader missed packets")?;
    }
    ensure!(grown <= 50, "{grown} turns were stalled");
    publisher.tear_down()?;
    server.stop()
}

/// Seconds in which the threads of shard 0 had something to do: ran, or waited for a processor that others had. (glommio
/// adds a number to the name.)
fn shard_seconds(process: u32) -> Result<f64> {
    let (mut nanoseconds, mut threads) = (0.0, 0);
    for task in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let task = task?.path();
        if std::fs::read_to_string(task.join("comm"))?.starts_with("shard-0") {
            let stat = std::fs::read_to_string(task.join("schedstat"))?;
            let fields: Vec<f64> = stat.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
            nanoseconds += fields[0] + fields[1];
            threads += 1;
        }
    }
    ensure!(threads > 0, "no thread of shard 0");
    Ok(nanoseconds / 1e9)
}

#[test]
fn the_api_answers_at_once_while_a_shard_is_saturated() -> Result<()> {
    let mut server = Server::launch(&Launch { control: vec!["api"], shards: Some(1), ..Launch::default() })?;
    let (api, process) = (server.control["api"], server.id());
    let beside = headwater_tests::binary()?.with_file_name("headwater-bench");
    let built = target().join("release/headwater-bench");
    let program = if beside.exists() { beside } else { built };
    let mut command = Command::new(&program);
    command.args(
        "fanout --protocol rtsp-udp --readers 1000 --bitrate 20M --rounds 1 --seconds 40 --warmup 1"
            .split(' '),
    );
    command.args("--no-floor --sample 8".split(' '));
    command.arg(format!("--target=rtsp://{}", server.rtsp)).arg(format!("--pid={process}"));
    let mut load = Process::spawn("headwater-bench", command)?;
    let busy = |span: Duration| -> Result<f64> {
        let (before, started) = (shard_seconds(process)?, Instant::now());
        wait::throughout(span, || Ok(()))?;
        Ok((shard_seconds(process)? - before) / started.elapsed().as_secs_f64())
    };
    let saturated = wait::until("the shard to be saturated", Duration::from_secs(20), || {
        load.still_runs()?;
        let share = busy(Duration::from_secs(1))?;
        eprintln!("shard-0 wants {:.0} % of a processor", 100.0 * share);
        Ok((share > 0.8).then_some(share))
    });
    let share = saturated.with_context(|| load.tail())?;
    let (before, started) = (shard_seconds(process)?, Instant::now());
    let targets = ["/v3/paths/list", "/v3/info", "/v3/rtspsessions/list"];
    let get = |n: usize| ("GET", targets[n % targets.len()].to_owned(), String::new());
    let mut times = timed(api, 600, get)?;
    let during = (shard_seconds(process)? - before) / started.elapsed().as_secs_f64();
    load.still_runs()?;
    let (middle, last) = http::percentiles(&mut times);
    eprintln!(
        "600 GETs while shard-0 wants {:.0} % (then {:.0} %) of a processor: p50 {middle:.2?}, p99 {last:.2?}, max {:.2?}",
        100.0 * share,
        100.0 * during,
        times[times.len() - 1]
    );
    ensure!(last < Duration::from_millis(100), "p99 is {last:?}");
    drop(load);
    server.still_runs()?;
    server.stop()
}
