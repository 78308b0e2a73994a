//! What the user sees: a progress bar, a table, a line of JSON, a page with plots.

mod html;
mod progress;
mod table;

use std::fs;
use std::io::Write as _;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

pub(crate) use progress::Progress;

use crate::figures::{FIGURES, Summaries, Summary};
use crate::limits;
use crate::options::{Cores, LoadOptions, OutputOptions};
use crate::scenario::Protocol;

/// A finished run.
pub(crate) struct Run<'a> {
    pub(crate) options: &'a LoadOptions,
    pub(crate) cores: &'a Cores,
    pub(crate) window_ms: Option<u64>,
    pub(crate) summaries: &'a Summaries,
    pub(crate) complaints: &'a [String],
}

/// Percentiles of the latency curve, in JSON and in the plot.
pub(crate) const PERCENTILES: &[f64] =
    &[0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 99.999, 100.0];

impl Run<'_> {
    /// What was done, in words.
    fn title(&self) -> String {
        let stream = &self.options.stream;
        let window =
            self.window_ms.map(|window| format!(", delivery window {window} ms")).unwrap_or_default();
        let packets = match stream.protocol.framing() {
            Some(_) => format!(" in packets of {} bytes", stream.packet_bytes),
            None => String::new(),
        };
        format!(
            "{}: {} readers of {} paths, {:.2} Mbit/s at {} fps{packets}, {} rounds of {} s{window}",
            stream.protocol.as_str(),
            stream.readers,
            stream.paths,
            stream.bitrate as f64 / 1e6,
            stream.fps,
            self.options.rounds,
            self.options.seconds,
        )
    }

    fn json(&self) -> Value {
        let stream = &self.options.stream;
        let contenders: Map<String, Value> =
            self.summaries.all.iter().map(|summary| (summary.name.clone(), summary_json(summary))).collect();
        json!({
            "bench": "fanout",
            "protocol": stream.protocol.as_str(),
            "readers": stream.readers,
            "paths": stream.paths,
            "bitrate": stream.bitrate,
            "fps": stream.fps,
            "packet_bytes": stream.protocol.framing().map(|_| stream.packet_bytes),
            "hls_variant": (stream.protocol == Protocol::Hls).then(|| stream.hls_variant.as_str()),
            "seconds": self.options.seconds,
            "rounds": self.options.rounds,
            "sampled": self.options.sampled(),
            "window_ms": self.window_ms,
            "server_cpu": self.cores.server,
            "load_cpu": self.cores.load,
            "machine": machine(),
            "subject": self.summaries.subject,
            "contenders": contenders,
            "complaints": self.complaints,
            "passed": self.complaints.is_empty(),
        })
    }
}

fn summary_json(summary: &Summary) -> Value {
    let figures: Map<String, Value> =
        FIGURES.iter().map(|(name, ..)| ((*name).to_owned(), json!(summary.figure(name)))).collect();
    let rounds: Vec<Map<String, Value>> = summary
        .rounds
        .iter()
        .map(|round| {
            let own = FIGURES
                .iter()
                .filter_map(|(name, ..)| Some(((*name).to_owned(), json!(round.figure(name)?))));
            own.collect()
        })
        .collect();
    let curve: Vec<(f64, f64)> = PERCENTILES
        .iter()
        .map(|&percentile| (percentile, crate::figures::percentile_ms(&summary.latency, percentile)))
        .collect();
    json!({ "figures": figures, "rounds": rounds, "latency_ms": curve })
}

/// Kernel and processor, for whoever reads the figures later.
pub(crate) fn machine() -> Value {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu_info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
    let cores = cpu_info.lines().filter(|line| line.starts_with("processor")).count();
    json!({ "kernel": kernel.trim(), "processor": model.trim_start_matches(['\t', ' ', ':']), "cores": cores })
}

/// Writes everything that was asked for.
pub(crate) fn publish(run: &Run<'_>) -> Result<()> {
    let mut stderr = std::io::stderr().lock();
    writeln!(stderr, "\n{}\n\n{}", run.title(), table::table(run.summaries))?;
    // Not a check: a busy machine spoils latencies, but hardly the ratios of CPU time.
    if run
        .summaries
        .all
        .iter()
        .any(|summary| summary.figure("load_wait_share") > Some(limits::WAIT_SHARE_MAX))
    {
        writeln!(
            stderr,
            "NOTE    the load waited for its core: other work ran there, do not trust the latencies"
        )?;
    }
    drop(stderr);
    if let Some(path) = &run.options.output.html {
        fs::write(path, html::page(run)?).with_context(|| path.display().to_string())?;
    }
    conclude(&run.json(), run.complaints, &run.options.output)
}

/// Writes the line of JSON, and complaints to standard error.
pub(crate) fn conclude(line: &Value, complaints: &[String], output: &OutputOptions) -> Result<()> {
    let text = format!("{line}\n");
    if let Some(path) = &output.json {
        fs::write(path, &text).with_context(|| path.display().to_string())?;
    }
    let mut stderr = std::io::stderr().lock();
    for complaint in complaints {
        writeln!(stderr, "FAILED  {complaint}")?;
    }
    if complaints.is_empty() {
        writeln!(stderr, "all checks passed")?;
    }
    std::io::stdout().lock().write_all(text.as_bytes()).context("standard output")
}
