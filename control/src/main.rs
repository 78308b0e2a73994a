//! The Headwater server: reads its configuration, starts the engine, and stays until it is told to end.
//!
//! ```text
//! core           what all parts share; puts a changed configuration in force
//! ├── config     keys, layers, faults       ├── persist, config_file   changes written back to the file
//! ├── world      what is live, from the engine's events
//! ├── ports      the control ports ── http ── api, metrics, profiling
//! ├── auth       who may do what            ├── hooks      commands and webhooks
//! ├── logs, systemd, watch, keyring (tls)   pages      what browsers are shown
//! ├── demo       a test picture for newcomers
//! └── engine_settings, media_tls   from configuration to engine
//! ```
//! This thread is the control core. It carries no media; shards never wait for it.

mod api;
mod auth;
mod cli;
mod client;
mod config;
mod config_file;
mod core;
mod demo;
mod engine_settings;
mod hooks;
mod http;
mod keyring;
mod logs;
mod media_tls;
mod metrics;
mod pages;
mod persist;
mod places;
mod ports;
mod processors;
mod profiling;
mod systemd;
mod tls;
mod watch;
mod world;

use anyhow::Context;
use clap::Parser;
use cli::Cli;
use config::{Loaded, Source};
use core::{ChangeError, Core, Parts};
use headwater_engine::{Engine, Listening};
use hooks::Hooks;
use keyring::Keyring;
use logs::Logs;
use media_tls::MediaTls;
use ports::Ports;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use systemd::Systemd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc};
use watch::Watch;

/// The engine gives itself one second to flush; a shard that does not end by then is left to the kernel.
const SHUTDOWN_PATIENCE: Duration = Duration::from_millis(1700);
/// A shard that has not ended a turn for this long is stuck.
const SHARD_STUCK: Duration = Duration::from_secs(5);

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    processors::allowed();
    let cli = Cli::parse();
    if cli.reference {
        return print(&config::reference());
    }
    if cli.example {
        return print(&config::default_file());
    }
    let source = Source::of_process(cli.file.as_deref(), &cli.set);
    let loaded = match source.load() {
        Ok(loaded) => loaded,
        Err(faults) => {
            complain(&format!("{faults}\nthe configuration has faults, nothing was started"));
            return ExitCode::FAILURE;
        }
    };
    if cli.print_config {
        return print(&loaded.configuration.yaml());
    }
    if cli.check_config {
        return report(&loaded);
    }
    let logs = Arc::new(Logs::start());
    if let Err(error) = logs.apply(&loaded.configuration.global) {
        tracing::error!("{error}");
        return ExitCode::FAILURE;
    }
    match start(source, loaded, logs, cli.demo) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            // The log may go elsewhere than to whoever started this.
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "headwater: {text}");
}

/// What `--check-config` says of a valid configuration.
fn report(loaded: &Loaded) -> ExitCode {
    let mut text = String::new();
    for warning in &loaded.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    for key in loaded.configuration.not_in_effect() {
        text.push_str(&format!("not in effect: {key}\n"));
    }
    let keyring = Keyring::default();
    let tls = match MediaTls::read(&keyring, &loaded.configuration) {
        Ok(tls) => tls,
        Err(faults) => {
            complain(&faults.to_string());
            return ExitCode::FAILURE;
        }
    };
    if let Err(faults) = engine_settings::of(&loaded.configuration, &tls, None) {
        complain(&faults.to_string());
        return ExitCode::FAILURE;
    }
    let what = loaded.file.as_ref().map_or("the configuration".to_owned(), |file| file.display().to_string());
    text.push_str(&format!("{what} is valid\n"));
    print(&text)
}

fn start(source: Source, loaded: Loaded, logs: Arc<Logs>, demo: bool) -> anyhow::Result<()> {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider was installed twice"))?;
    say_what_was_read(&loaded);
    let Loaded { configuration, file, digest, .. } = loaded;
    let keyring = Keyring::default();
    let tls = MediaTls::read(&keyring, &configuration)?;
    if demo {
        demo::admit();
    }
    let settings = engine_settings::of(&configuration, &tls, None)?;
    if demo {
        demo::check(&settings)?;
    }
    let control = processors::for_control(settings.shards);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name("control-worker")
        .build()
        .context("cannot start the control core's runtime")?;
    // Before anybody is served: a signal that nobody waits for yet would end the process where it stands.
    let signals = {
        let _entered = runtime.enter();
        Signals::new()?
    };
    let events = Arc::new(Notify::new());
    let engine = Engine::start(settings.clone(), {
        let events = Arc::clone(&events);
        move || events.notify_one()
    })?;
    processors::pin_this_thread(&control);
    let configuration = Arc::new(configuration);
    let parts = Parts {
        settings,
        ports: Ports::new(),
        watch: None,
        file,
        digest,
        in_file: Arc::clone(&configuration),
    };
    let core = Arc::new(Core::new(engine, source, configuration, logs, keyring, parts));
    let result = runtime.block_on(serve(core, events, signals, demo));
    // What still runs on other threads (a profile, a hash) is not waited for.
    runtime.shutdown_background();
    result
}

/// Says at start what an operator should know of the configuration.
fn say_what_was_read(loaded: &Loaded) {
    match &loaded.file {
        Some(file) => tracing::info!(file = %file.display(), "configuration read"),
        None => tracing::info!("no configuration file: every path is open for everybody"),
    }
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let idle = loaded.configuration.not_in_effect();
    if !idle.is_empty() {
        tracing::warn!("configured, but not in effect in this version: {}", idle.join("; "));
    }
}

/// Runs the control core until a signal ends it.
async fn serve(core: Arc<Core>, events: Arc<Notify>, mut signals: Signals, demo: bool) -> anyhow::Result<()> {
    let systemd = Arc::new(Systemd::from_environment());
    systemd.status("starting");
    tokio::spawn(Arc::clone(&core).take_events(events));
    core.open_ports().await?;
    let mut hooks = Hooks::run(Arc::clone(&core));
    let (changed, changes) = mpsc::channel(1);
    {
        let mut parts = core.parts().await;
        parts.watch = Watch::new(&[], changed)
            .inspect_err(|error| {
                tracing::error!("files cannot be watched; changes take effect with SIGHUP: {error}");
            })
            .ok();
        parts.watch_files(&core.keyring);
        announce(&core.engine, &parts.ports, parts.settings.shards, demo)
            .context("cannot write to standard output")?;
    }
    let (soft, hard) = systemd::open_files();
    tracing::info!(open_files = soft, open_files_max = hard, "limits");
    systemd.ready("serving");
    let (alive, watchdog) = (Arc::clone(&core), Arc::clone(&systemd));
    tokio::spawn(async move { watchdog.watch(|| all_shards_turn(&alive.engine)).await });
    tokio::spawn(follow_files(Arc::clone(&core), Arc::clone(&systemd), changes));
    let demo = demo.then(|| tokio::spawn(demo::run(Arc::clone(&core), reachable)));
    let name = signals.until_the_end(&core, &systemd).await;
    tracing::info!("{name}: telling sessions and shutting down");
    systemd.stopping();
    demo.inspect(|demo| demo.abort());
    let engine = Arc::clone(&core);
    let shards = tokio::task::spawn_blocking(move || engine.engine.shut_down(SHUTDOWN_PATIENCE));
    hooks.stop();
    let all = async { tokio::join!(shards, hooks.ended()).0 };
    tokio::select! {
        ended = all => {
            if !ended.unwrap_or(false) {
                tracing::warn!("not all shards ended in time; their connections are cut");
            }
        }
        name = signals.again() => {
            tracing::warn!("{name} again: hooks are killed and connections are cut");
            hooks.kill();
            hooks.ended().await;
        }
    }
    Ok(())
}

/// Whether every shard ends its turns.
fn all_shards_turn(engine: &Engine) -> bool {
    engine.activities().iter().all(|shard| shard.since < SHARD_STUCK)
}

/// Reads the configuration and the certificates again when their files change.
async fn follow_files(core: Arc<Core>, systemd: Arc<Systemd>, mut changes: mpsc::Receiver<Vec<PathBuf>>) {
    while let Some(changed) = changes.recv().await {
        if core.keyring.has_all(&changed) {
            // The configuration is as it was, with what the API has changed since.
            reload_certificates(&core).await;
        } else {
            reload_certificates(&core).await;
            tell(&systemd, core.reload_changed()).await;
        }
    }
}

/// Tells systemd of a reload.
async fn tell(systemd: &Systemd, reload: impl Future<Output = Result<(), ChangeError>>) {
    systemd.reloading();
    // What was wrong has been logged and counted.
    systemd.ready(match reload.await {
        Ok(()) => "serving",
        Err(_) => "serving; the last configuration was refused",
    });
}

async fn reload_certificates(core: &Arc<Core>) {
    let core = Arc::clone(core);
    // What cannot be used is logged and counted.
    let _ = tokio::task::spawn_blocking(move || core.keyring.reload()).await;
}

/// Says what the server listens on, in lines that people and scripts can read, and how to try it.
fn announce(engine: &Engine, ports: &Ports, shards: usize, demo: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let plural = if shards == 1 { "" } else { "s" };
    writeln!(out, "headwater {} is running with {shards} shard{plural}", env!("CARGO_PKG_VERSION"))?;
    let listening = engine.listening();
    for Listening { protocol, transport, address } in &listening {
        writeln!(out, "listening  {protocol:<7}  {transport}  {address}")?;
    }
    for (name, address) in ports.listening() {
        writeln!(out, "listening  {name:<7}  tcp  {address}")?;
    }
    let of = |protocol: &str| listening.iter().find(|listening| listening.protocol == protocol);
    if let Some(rtsp) = of("rtsp") {
        let url = format!("rtsp://{}/test", reachable(rtsp.address));
        writeln!(
            out,
            "publish    ffmpeg -re -f lavfi -i testsrc2=size=640x360:rate=30 -c:v libx264 -preset veryfast -tune zerolatency -g 30 -pix_fmt yuv420p -f rtsp -rtsp_transport tcp {url}"
        )?;
        writeln!(out, "play       ffplay -rtsp_transport tcp {url}")?;
    }
    if let Some(web) = of("http").or(of("https")) {
        let site = format!("{}://{}", web.protocol, reachable(web.address));
        writeln!(out, "watch      {site}/test/")?;
        if demo {
            writeln!(out, "demo       {site}/{}/", demo::PATH)?;
        }
    } else if let (true, Some(rtsp)) = (demo, of("rtsp")) {
        writeln!(out, "demo       rtsp://{}/{}", reachable(rtsp.address), demo::PATH)?;
    }
    out.flush()
}

/// Where a client on this machine reaches what listens at `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = if address.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { address.ip() };
    SocketAddr::new(ip, address.port())
}

/// The signals this process takes.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    user_1: Signal,
    user_2: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Signals> {
        let listen = |kind: SignalKind| signal(kind).context("cannot listen for signals");
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
            user_1: listen(SignalKind::user_defined1())?,
            user_2: listen(SignalKind::user_defined2())?,
        })
    }

    /// Waits for SIGINT or SIGTERM and returns its name. SIGHUP reloads, SIGUSR1 writes the counters to the log, SIGUSR2
    /// reopens the log file.
    async fn until_the_end(&mut self, core: &Arc<Core>, systemd: &Arc<Systemd>) -> &'static str {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.hang_up.recv() => {
                    // The other signals are not to wait for it.
                    let (core, systemd) = (Arc::clone(core), Arc::clone(systemd));
                    tokio::spawn(async move {
                        reload_certificates(&core).await;
                        tell(&systemd, core.reload()).await;
                    });
                }
                _ = self.user_1.recv() => log_counters(core),
                _ = self.user_2.recv() => core.logs.reopen(),
            }
        }
    }

    /// Waits for another SIGINT or SIGTERM and returns its name.
    async fn again(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// One line with the sum over the shards of every counter that is not zero.
fn log_counters(core: &Core) {
    let mut line = String::from("counters");
    let all: Vec<Vec<_>> = core.engine.counters().iter().map(|counters| counters.each().collect()).collect();
    for index in 0..all.first().map_or(0, Vec::len) {
        let (name, ..) = all[0][index];
        let sum: u64 = all.iter().map(|shard| shard[index].2).fold(0, u64::wrapping_add);
        if sum != 0 {
            line.push_str(&format!(" {name}={sum}"));
        }
    }
    if core.logs.dropped_lines() > 0 {
        line.push_str(&format!(" log_lines_dropped={}", core.logs.dropped_lines()));
    }
    tracing::info!("{line}");
}
