//! How long a start takes: from exec to the first accepted connection, to the first OPTIONS answer, and the
//! memory then.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::contender::{Served, server_command};
use crate::figures::median;
use crate::limits;
use crate::options::{Cores, HlsVariant, Peer, PeerKind, StartupOptions};
use crate::peer::{self, Ports};
use crate::procfs::Scope;
use crate::report;
use crate::scenario::Protocol;
use crate::sys::process::{interrupted, isolate, pin, signal_group};

/// One start.
struct Start {
    listening_ms: f64,
    answered_ms: f64,
    rss_mib: f64,
    /// From SIGTERM to the end.
    stopped_ms: f64,
}

/// The figures, for expectations: `startup.NAME`.
type Figure = fn(&Start) -> f64;
const FIGURES: [(&str, Figure); 4] = [
    ("listening_ms", |start| start.listening_ms),
    ("answered_ms", |start| start.answered_ms),
    ("rss_mib", |start| start.rss_mib),
    ("stopped_ms", |start| start.stopped_ms),
];

/// `startup`. True when all expectations were met.
pub(crate) fn startup(options: &StartupOptions) -> Result<bool> {
    ensure!(options.count >= 1, "--count must be at least 1");
    for expectation in &options.output.expect {
        let known = FIGURES.map(|(name, _)| name);
        let fits = expectation.topic == "startup" && known.contains(&expectation.metric.as_str());
        ensure!(
            fits && expectation.contender.is_none(),
            "{expectation} is none of startup.{}",
            known.join(", startup.")
        );
    }
    let cores = options.cores.resolve(options.server.shards)?;
    pin(&cores.load).context("pin the load")?;
    let mut starts = Vec::with_capacity(options.count);
    for number in 0..options.count {
        ensure!(!interrupted(), "interrupted");
        starts.push(start(options, &cores).with_context(|| format!("start {}", number + 1))?);
    }
    let middle = |figure: Figure| median(&starts.iter().map(figure).collect::<Vec<_>>());
    let mut complaints = Vec::new();
    for expectation in &options.output.expect {
        let figure = FIGURES.iter().find(|(name, _)| *name == expectation.metric);
        complaints.extend(expectation.complaint(figure.and_then(|&(_, figure)| middle(figure))));
    }
    let mut figures = serde_json::Map::new();
    for (name, figure) in FIGURES {
        let worst = starts.iter().map(figure).fold(f64::NEG_INFINITY, f64::max);
        eprintln!("{name:14} median {:8.3}  max {worst:8.3}", middle(figure).unwrap_or(f64::NAN));
        figures.insert(name.to_owned(), json!({ "median": middle(figure), "max": worst }));
    }
    let line = json!({
        "bench": "startup", "count": options.count, "shards": options.server.shards, "machine": report::machine(),
        "figures": Value::Object(figures), "complaints": complaints, "passed": complaints.is_empty(),
    });
    report::conclude(&line, &complaints, &options.output)?;
    Ok(complaints.is_empty())
}

/// Ends the child however this ends.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            signal_group(self.0.id(), libc::SIGKILL);
            let _ = self.0.wait();
        }
    }
}

const RTSP: Served = Served { protocol: Protocol::RtspTcp, hls_variant: HlsVariant::Mpegts };

fn peer_command(peer: &Peer) -> Result<(Command, SocketAddr)> {
    let ports = Ports::free()?;
    let command = match &peer.kind {
        PeerKind::Command(command) => peer::shell_command(command, ports, RTSP),
        PeerKind::Mediamtx => peer::mediamtx_command(ports, RTSP)?,
        PeerKind::NginxRtmp | PeerKind::Nginx => bail!("{} speaks no RTSP", peer.name),
    };
    Ok((command, ports.readers(RTSP.protocol)))
}

fn start(options: &StartupOptions, cores: &Cores) -> Result<Start> {
    let (mut command, address) = match &options.peer {
        Some(peer) => peer_command(peer)?,
        None => {
            let port = Ports::free()?.rtsp;
            (server_command(&options.server, port, RTSP)?, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        }
    };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    isolate(&mut command, &cores.server);
    let begin = Instant::now();
    let mut child = Guard(command.spawn().context("the server cannot be started")?);
    let mut connection = loop {
        match TcpStream::connect(address) {
            Ok(connection) => break connection,
            Err(_) if begin.elapsed() > limits::START_TIMEOUT => bail!("the server does not listen"),
            Err(_) => std::thread::sleep(Duration::from_micros(100)),
        }
        if let Some(status) = child.0.try_wait()? {
            bail!("the server ended at once ({status})");
        }
    };
    let listening_ms = begin.elapsed().as_secs_f64() * 1e3;
    connection.set_read_timeout(Some(limits::CONNECT_TIMEOUT))?;
    write!(connection, "OPTIONS rtsp://{address}/ RTSP/1.0\r\nCSeq: 1\r\n\r\n")?;
    let mut answer = [0; 12];
    connection.read_exact(&mut answer).context("no answer to OPTIONS")?;
    let answered_ms = begin.elapsed().as_secs_f64() * 1e3;
    ensure!(&answer == b"RTSP/1.0 200", "OPTIONS was answered {:?}", String::from_utf8_lossy(&answer));
    let rss_mib = Scope::Group(child.0.id()).memory()?.resident as f64 / f64::from(1 << 20);

    let end = Instant::now();
    signal_group(child.0.id(), libc::SIGTERM);
    let status = loop {
        if let Some(status) = child.0.try_wait()? {
            break status;
        }
        ensure!(end.elapsed() < limits::STOP_TIMEOUT, "the server does not end after SIGTERM");
        std::thread::sleep(Duration::from_micros(500));
    };
    ensure!(status.success() || options.peer.is_some(), "after SIGTERM the server ended with {status}");
    Ok(Start { listening_ms, answered_ms, rss_mib, stopped_ms: end.elapsed().as_secs_f64() * 1e3 })
}
