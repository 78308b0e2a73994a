//! The Headwater server: reads the command line, starts the engine, and stays until it is told to end.
//!
//! This thread is the control core. It carries no media; shards never wait for it.

#![allow(dead_code, unused_imports)] // while the parts are being written

mod auth;
mod cli;
mod config;
mod config_file;
mod core;
mod logs;
mod processors;
mod systemd;
mod tls;
mod watch;
mod world;

use anyhow::Context;
use clap::Parser;
use cli::Cli;
use headwater_engine::{Engine, Listening};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};

/// The engine gives itself one second to flush; a shard that does not end by then is left to the kernel.
const SHUTDOWN_PATIENCE: Duration = Duration::from_millis(1700);
/// Log lines that wait for a slow reader of standard error, a few MiB at most.
const LOG_LINES_MAX: usize = 8192;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let (dropped_lines, _flush_at_the_end) = start_logging(&cli);
    match start(&cli, &dropped_lines) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(cli: &Cli, dropped_lines: &ErrorCounter) -> anyhow::Result<()> {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider was installed twice"))?;
    let settings = cli.settings()?;
    let shards = settings.shards;
    let control = processors::for_control(shards);
    let engine = Engine::start(settings)?;
    processors::pin_this_thread(&control);
    announce(&engine, shards).context("cannot write to standard output")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the control core's runtime")?;
    let name = runtime.block_on(wait_for_the_end(&engine, dropped_lines))?;
    tracing::info!("{name}: telling sessions and shutting down");
    if !engine.shut_down(SHUTDOWN_PATIENCE) {
        tracing::warn!("not all shards ended in time; their connections are cut");
    }
    Ok(())
}

/// Log lines are written by a thread of their own, from a bounded buffer: a shard never waits for whoever reads them.
/// Returns the count of lines that found the buffer full, and what flushes it in the end.
fn start_logging(cli: &Cli) -> (ErrorCounter, WorkerGuard) {
    use std::io::IsTerminal;
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LOG_LINES_MAX)
        .thread_name("log")
        .finish(std::io::stderr());
    let dropped_lines = writer.error_counter();
    tracing_subscriber::fmt()
        .with_max_level(cli.log_level)
        .with_writer(writer)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    (dropped_lines, guard)
}

/// Says what the server listens on, in lines that people and scripts can read, and how to try it.
fn announce(engine: &Engine, shards: usize) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let plural = if shards == 1 { "" } else { "s" };
    writeln!(out, "headwater {} is running with {shards} shard{plural}", env!("CARGO_PKG_VERSION"))?;
    for Listening { protocol, transport, address } in engine.listening() {
        writeln!(out, "listening  {protocol:<5}  {transport}  {address}")?;
    }
    if let Some(rtsp) = engine.listening().iter().find(|listening| listening.protocol == "rtsp") {
        let ip = rtsp.address.ip();
        let host = if ip.is_unspecified() { "127.0.0.1".to_owned() } else { ip.to_string() };
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let url = format!("rtsp://{host}:{}/test", rtsp.address.port());
        writeln!(
            out,
            "publish    ffmpeg -re -f lavfi -i testsrc2=size=640x360:rate=30 -c:v libx264 -preset veryfast -tune zerolatency -g 30 -pix_fmt yuv420p -f rtsp -rtsp_transport tcp {url}"
        )?;
        writeln!(out, "play       ffplay -rtsp_transport tcp {url}")?;
    }
    out.flush()
}

/// Waits for SIGINT or SIGTERM; SIGUSR1 writes the counters to the log. Returns the signal's name.
async fn wait_for_the_end(engine: &Engine, dropped_lines: &ErrorCounter) -> anyhow::Result<&'static str> {
    let listen = |kind: SignalKind| signal(kind).context("cannot listen for signals");
    let mut interrupt: Signal = listen(SignalKind::interrupt())?;
    let mut terminate: Signal = listen(SignalKind::terminate())?;
    let mut user: Signal = listen(SignalKind::user_defined1())?;
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok("SIGINT"),
            _ = terminate.recv() => return Ok("SIGTERM"),
            _ = user.recv() => log_counters(engine, dropped_lines),
        }
    }
}

/// One line with the sum over the shards of every counter that is not zero.
fn log_counters(engine: &Engine, dropped_lines: &ErrorCounter) {
    let mut line = String::from("counters");
    let all: Vec<Vec<_>> = engine.counters().iter().map(|counters| counters.each().collect()).collect();
    for index in 0..all.first().map_or(0, Vec::len) {
        let (name, ..) = all[0][index];
        let sum: u64 = all.iter().map(|shard| shard[index].2).fold(0, u64::wrapping_add);
        if sum != 0 {
            line.push_str(&format!(" {name}={sum}"));
        }
    }
    if dropped_lines.dropped_lines() > 0 {
        line.push_str(&format!(" log_lines_dropped={}", dropped_lines.dropped_lines()));
    }
    tracing::info!("{line}");
}
