//! Sessions opened and closed over and over beside a running publisher: afterwards the server holds as many
//! descriptors and as much memory as after the first ones.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::contender::{Running, Served, start_peer, start_server};
use crate::limits;
use crate::load::{Load, Plan};
use crate::media::units::UnitShape;
use crate::media::{Media, Shape};
use crate::options::{ChurnOptions, HlsVariant, Publish};
use crate::procfs::Memory;
use crate::report;
use crate::sys::process::{pin, raise_descriptor_limit};

/// Figures for expectations: `churn.NAME`.
const FIGURES: [&str; 4] = ["descriptor_growth", "rss_growth_kib", "cycles_per_second", "cpu_us_per_cycle"];

/// What the server held at one time.
#[derive(Clone, Copy)]
struct Held {
    descriptors: u64,
    memory: Memory,
}

impl Held {
    fn of(running: &Running) -> Result<Held> {
        Ok(Held { descriptors: running.scope.descriptors()?, memory: running.scope.memory()? })
    }

    /// Growth since `before`: descriptors, and resident memory in KiB.
    fn growth(self, before: Held) -> (f64, f64) {
        let descriptors = self.descriptors as f64 - before.descriptors as f64;
        (descriptors, (self.memory.resident as f64 - before.memory.resident as f64) / 1_024.0)
    }
}

/// `churn`. True when nothing grew and all expectations were met.
pub(crate) fn churn(options: &ChurnOptions) -> Result<bool> {
    ensure!(
        options.concurrency >= 1 && options.cycles >= options.concurrency,
        "--cycles below --concurrency"
    );
    ensure!(!options.protocol.segments(), "players of HLS keep no session open: --protocol must be another");
    ensure!(options.concurrency <= limits::READERS_MAX, "--concurrency is too large");
    for expectation in &options.output.expect {
        let fits = expectation.topic == "churn" && FIGURES.contains(&expectation.metric.as_str());
        ensure!(
            fits && expectation.contender.is_none(),
            "{expectation} is none of churn.{}",
            FIGURES.join(", churn.")
        );
    }
    let cores = options.cores.resolve(options.server.shards)?;
    raise_descriptor_limit().context("the limit of descriptors")?;
    pin(&cores.load).context("pin the load")?;
    let served = Served { protocol: options.protocol, hls_variant: HlsVariant::Mpegts };
    let name = options.peer.as_ref().map_or("headwater", |peer| peer.name.as_str());
    let mut running = match &options.peer {
        Some(peer) => start_peer(peer, &options.server, served, &cores)?,
        None => start_server(name, &options.server, served, &cores.server)?,
    };
    let result = cycle(options, &running)
        .map_err(|error| error.context(format!("the server's last lines: {}", running.last_words())));
    let (figures, mut complaints) = result?;
    complaints.extend(running.stop().map(|complaint| format!("the server {complaint}")));
    for expectation in &options.output.expect {
        let index = FIGURES.iter().position(|name| *name == expectation.metric);
        complaints.extend(expectation.complaint(index.map(|index| figures[index])));
    }
    for (name, value) in FIGURES.iter().zip(figures) {
        eprintln!("{name:18} {value:12.2}");
    }
    let named: serde_json::Map<_, _> =
        FIGURES.iter().zip(figures).map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let line = json!({
        "bench": "churn", "protocol": options.protocol.as_str(), "server": name, "cycles": options.cycles,
        "concurrency": options.concurrency, "machine": report::machine(), "figures": named,
        "complaints": complaints, "passed": complaints.is_empty(),
    });
    report::conclude(&line, &complaints, &options.output)?;
    Ok(complaints.is_empty())
}

/// Warm-up, cycles, settling. Returns the figures in the order of [`FIGURES`], and what grew.
fn cycle(options: &ChurnOptions, running: &Running) -> Result<([f64; 4], Vec<String>)> {
    let media = match options.protocol.framing() {
        Some(_) => Shape::new(500_000, 30, 1_200).map(Media::Pictures),
        None => UnitShape::new(500_000, 30, options.protocol.audio()).map(Media::Units),
    };
    let mut load = Load::new(Plan {
        protocol: options.protocol,
        address: running.address,
        origin: running.origin,
        readers: options.concurrency,
        sampled: options.concurrency,
        paths: 1,
        media: media.map_err(anyhow::Error::msg)?,
        publish: Some(Publish::Tcp),
        held: Duration::ZERO,
        mirror: None,
    })?;
    load.publish()?;
    load.churn((options.cycles / 10).max(options.concurrency * 4), options.close).context("warm-up")?;
    load.run_for(Duration::from_secs(2), |_| {})?;
    let before = Held::of(running)?;

    let (start, cpu_before) = (Instant::now(), running.scope.cpu()?);
    load.churn(options.cycles, options.close)?;
    let (elapsed, cpu) = (start.elapsed(), running.scope.cpu()?.since(&cpu_before));

    let tolerated = |(descriptors, kib): (f64, f64)| descriptors <= 2.0 && kib <= options.growth_kib as f64;
    let deadline = Instant::now() + Duration::from_secs(options.settle);
    let mut growth = Held::of(running)?.growth(before);
    while !tolerated(growth) && Instant::now() < deadline {
        load.run_for(Duration::from_millis(250), |_| {})?;
        growth = Held::of(running)?.growth(before);
    }
    let (descriptors, kib) = growth;
    let mut complaints = Vec::new();
    if descriptors > 2.0 {
        complaints.push(format!("{descriptors} more descriptors than before are open"));
    }
    if kib > options.growth_kib as f64 {
        complaints.push(format!("{kib} KiB more than before are resident"));
    }
    let cycles = options.cycles as f64;
    Ok(([descriptors, kib, cycles / elapsed.as_secs_f64(), cpu.total() as f64 / 1e3 / cycles], complaints))
}
