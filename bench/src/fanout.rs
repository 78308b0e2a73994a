//! One publisher per path, many readers: the contenders in turn, round by round, in one invocation.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::contender::{Contender, Launch, Running};
use crate::figures::{FIGURES, Measurement, Summaries};
use crate::limits;
use crate::load::{Load, Outcome, Plan};
use crate::options::{Cores, FanoutOptions, LoadOptions, StreamOptions};
use crate::procfs::{self, Scope};
use crate::report::{self, Progress, Run};
use crate::scenario::{Protocol, hls};
use crate::sys::process::{pin, raise_descriptor_limit};

/// `fanout`. True when all checks and expectations were met.
pub(crate) fn fanout(options: &FanoutOptions) -> Result<bool> {
    let stream = &options.load.stream;
    let mut contenders = Vec::new();
    // What players of HLS fetch is measured against a server of files: nothing less answers requests.
    if !options.no_floor && !stream.protocol.segments() {
        contenders.push(floor_contender("floor", stream, 0));
        if let Some(window_ms) = options.server.window_ms.filter(|&window| window > 0) {
            contenders.push(floor_contender("floor-window", stream, window_ms));
        }
    }
    if let (Some(url), Some(process)) = (&options.target, options.pid) {
        contenders
            .push(Contender { name: "target".to_owned(), launch: Launch::target(url, process, stream)? });
    } else if !options.no_server {
        let launch = Launch::Server(options.server.clone(), stream.clone());
        contenders.push(Contender { name: "headwater".to_owned(), launch });
    }
    for peer in &options.peer {
        let reads = peer.kind.reads(stream.protocol);
        ensure!(reads.is_some(), "{} does not serve {}", peer.name, stream.protocol.as_str());
        contenders.push(Contender {
            name: peer.name.clone(),
            launch: Launch::Peer(peer.clone(), options.server.clone(), stream.clone()),
        });
    }
    let cores = options.load.cores.resolve(options.server.shards)?;
    compete(&options.load, &contenders, &cores, options.server.window_ms)
}

/// `floor`. True when all checks and expectations were met.
pub(crate) fn floor(options: &LoadOptions) -> Result<bool> {
    let cores = options.cores.resolve(1)?;
    compete(options, &[floor_contender("floor", &options.stream, 0)], &cores, None)
}

fn floor_contender(name: &str, stream: &StreamOptions, window_ms: u64) -> Contender {
    Contender { name: name.to_owned(), launch: Launch::Floor { stream: stream.clone(), window_ms } }
}

fn compete(
    options: &LoadOptions,
    contenders: &[Contender],
    cores: &Cores,
    window_ms: Option<u64>,
) -> Result<bool> {
    options.validate()?;
    let names: Vec<String> = contenders.iter().map(|contender| contender.name.clone()).collect();
    let subject = names
        .iter()
        .find(|name| !name.starts_with("floor"))
        .or(names.first())
        .context("nothing to measure")?;
    ensure!(
        names.iter().all(|name| names.iter().filter(|other| *other == name).count() == 1),
        "a name is given twice"
    );
    validate_expectations(options, &names)?;
    // The process needs three descriptors per UDP reader, and some of its own.
    let limit = raise_descriptor_limit().context("the limit of descriptors")?;
    let needed = options.stream.readers as u64 * 3 + options.stream.paths as u64 * 3 + 64;
    ensure!(needed <= limit, "{needed} descriptors are needed, {limit} are allowed (ulimit -n)");
    pin(&cores.load).context("pin the load")?;

    let mut rounds = Vec::with_capacity(options.rounds);
    let progress = Progress::new(options, contenders.len());
    for round in 0..options.rounds {
        let mut measurements: Vec<Option<Measurement>> = vec![None; contenders.len()];
        let mut order: Vec<usize> = (0..contenders.len()).collect();
        if round % 2 == 1 {
            // A drift of the machine then favours nobody.
            order.reverse();
        }
        for index in order {
            let contender = &contenders[index];
            progress.turn(round, &contender.name);
            let measured = measure(options, contender, cores, &progress)
                .with_context(|| format!("round {}, {}", round + 1, contender.name))?;
            measurements[index] = Some(measured);
        }
        rounds.push(measurements.into_iter().flatten().collect());
    }
    progress.finish();

    let summaries = Summaries::new(&names, subject, &rounds);
    let complaints = complaints(options, &summaries);
    let run = Run { options, cores, window_ms, summaries: &summaries, complaints: &complaints };
    report::publish(&run)?;
    Ok(complaints.is_empty())
}

fn validate_expectations(options: &LoadOptions, names: &[String]) -> Result<()> {
    for expectation in &options.output.expect {
        let topic = options.stream.protocol.topic();
        ensure!(expectation.topic == topic, "{expectation} speaks of another protocol than {topic}");
        if !FIGURES.iter().any(|(name, ..)| *name == expectation.metric) {
            let known: Vec<&str> = FIGURES.iter().map(|(name, ..)| *name).collect();
            bail!("{expectation} names no known figure; these are: {}", known.join(", "));
        }
        if let Some(contender) = &expectation.contender {
            ensure!(
                names.contains(contender),
                "{expectation} names no contender; these are: {}",
                names.join(", ")
            );
        }
    }
    Ok(())
}

fn complaints(options: &LoadOptions, summaries: &Summaries) -> Vec<String> {
    let mut complaints = Vec::new();
    for summary in &summaries.all {
        for (round, measurement) in summary.rounds.iter().enumerate() {
            let found = measurement.judge();
            complaints.extend(
                found.into_iter().map(|what| format!("{}, round {}: {what}", summary.name, round + 1)),
            );
        }
    }
    for expectation in &options.output.expect {
        let value = summaries
            .find(expectation.contender.as_deref())
            .and_then(|summary| summary.figure(&expectation.metric));
        complaints.extend(expectation.complaint(value));
    }
    complaints
}

/// One contender's turn: start, publish, ramp, settle, window, drain, stop.
fn measure(
    options: &LoadOptions,
    contender: &Contender,
    cores: &Cores,
    progress: &Progress,
) -> Result<Measurement> {
    let mut running = contender.start(cores)?;
    let result = run_load(options, contender, &running, cores, progress);
    let mut measurement = match result {
        Ok(measurement) => measurement,
        Err(error) => {
            // The server's death is the better explanation of a broken load.
            std::thread::sleep(Duration::from_millis(50));
            let words = running.last_words();
            return Err(match running.ended()? {
                Some(status) => error.context(format!("the server ended ({status}): {words}")),
                None => error.context(format!("the server still runs; its last lines: {words}")),
            });
        }
    };
    if let Some(status) = running.ended()? {
        measurement.problems.push(format!("the server ended by itself ({status}): {}", running.last_words()));
    }
    measurement.problems.extend(running.stop());
    Ok(measurement)
}

fn run_load(
    options: &LoadOptions,
    contender: &Contender,
    running: &Running,
    cores: &Cores,
    progress: &Progress,
) -> Result<Measurement> {
    let stream = &options.stream;
    let window_ms = match contender.launch {
        Launch::Floor { window_ms, .. } => Some(window_ms),
        _ => None,
    };
    let protocol = contender.reads();
    let plan = Plan {
        protocol,
        address: running.address,
        origin: running.origin,
        readers: stream.readers,
        sampled: options.sampled(),
        paths: stream.paths,
        media: stream.media()?,
        publish: window_ms.is_none().then_some(options.publish),
        held: match protocol {
            Protocol::Hls => hls::held(false),
            Protocol::LlHls => hls::held(true),
            _ => Duration::from_millis(window_ms.unwrap_or(0)),
        },
        mirror: running.mirrored.clone(),
    };
    let mut load = Load::new(plan)?;
    load.publish()?;
    // The server's log of the stream fills before its memory is looked at.
    let lead = match window_ms {
        Some(_) => Duration::from_millis(50),
        None if protocol.segments() => limits::SEGMENTS_LEAD,
        None if protocol.framing().is_none() => limits::UNITS_LEAD,
        None => Duration::from_millis(1_500),
    };
    load.run_for(lead, |_| {})?;
    let memory_before = running.scope.memory()?;
    let ramp_start = Instant::now();
    load.ramp(|playing| progress.ramped(playing))?;
    let ramp = ramp_start.elapsed();
    let warmup = Duration::from_secs_f64(options.warmup);
    // Some servers let readers wait for a key picture.
    load.settle(if protocol.framing().is_none() { warmup.max(limits::KEY_PICTURE_WAIT) } else { warmup })?;

    let own = Scope::Process(std::process::id());
    let (own_before, busy_before, cpu_before) =
        (own.cpu()?, procfs::busy(&cores.server)?, running.scope.cpu()?);
    load.open();
    load.run_for(Duration::from_secs_f64(options.seconds), |elapsed| progress.windowed(elapsed))?;
    load.close();
    let (cpu_after, busy_after, own_after) = (running.scope.cpu()?, procfs::busy(&cores.server)?, own.cpu()?);
    let memory_with = running.scope.memory()?;
    let mut problems = Vec::new();
    if !matches!(contender.launch, Launch::Target { .. }) {
        problems
            .extend(running.scope.strays(&cores.server)?.into_iter().map(|stray| format!("thread {stray}")));
    }
    let outcome: Outcome = load.drain()?;
    let window = outcome.window.as_secs_f64() * 1e9;
    let own = own_after.since(&own_before);
    Ok(Measurement {
        readers: stream.readers,
        ramp,
        cpu: cpu_after.since(&cpu_before),
        cores_busy: (busy_after - busy_before) as f64 / window,
        load_share: own.total() as f64 / window,
        load_wait_share: own.waited as f64 / window,
        outcome,
        memory_before,
        memory_with,
        problems,
    })
}
