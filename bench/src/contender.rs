//! The servers under test as processes: started pinned, found by what they print or by their port, ended with
//! all they started.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::limits;
use crate::options::{Peer, ServerOptions, StreamOptions};
use crate::procfs::Scope;
use crate::sys::process::{interrupted, isolate, signal_group};

/// One server to measure.
#[derive(Debug, Clone)]
pub(crate) struct Contender {
    pub(crate) name: String,
    pub(crate) launch: Launch,
}

/// How a contender comes to life.
#[derive(Debug, Clone)]
pub(crate) enum Launch {
    Floor { stream: StreamOptions, window_ms: u64 },
    Server(ServerOptions),
    Peer(Peer),
    Target { address: SocketAddr, process: u32 },
}

/// A contender that runs, until dropped.
pub(crate) struct Running {
    /// Where readers connect.
    pub(crate) address: SocketAddr,
    /// What is measured.
    pub(crate) scope: Scope,
    child: Option<Child>,
    log: Option<PathBuf>,
}

impl Launch {
    /// For a server that runs already at `url`.
    pub(crate) fn target(url: &str, process: u32) -> Result<Launch> {
        let rest = url.strip_prefix("rtsp://").context("--target must be rtsp://host:port")?;
        let host = rest.split('/').next().unwrap_or(rest);
        let host = if host.contains(':') { host.to_owned() } else { format!("{host}:554") };
        let address = host.to_socket_addrs().with_context(|| format!("address of {url}"))?.next();
        Ok(Launch::Target { address: address.with_context(|| format!("{url} has no address"))?, process })
    }
}

/// The command line of our server: listeners on ports that the kernel chooses.
pub(crate) fn server_command(options: &ServerOptions, rtsp_port: u16) -> Result<Command> {
    let binary = match &options.server {
        Some(path) => path.clone(),
        None => std::env::current_exe().context("where this program is")?.with_file_name("headwater"),
    };
    if !binary.exists() {
        bail!("no server at {}: build it, or name it with --server", binary.display());
    }
    let mut command = Command::new(binary);
    let mut settings = vec![
        format!("shards={}", options.shards),
        format!("rtspAddress='127.0.0.1:{rtsp_port}'"),
        "rtpAddress='127.0.0.1:0'".to_owned(),
        "rtcpAddress='127.0.0.1:0'".to_owned(),
        "rtmp=no".to_owned(),
        "hls=no".to_owned(),
        "logLevel=warn".to_owned(),
    ];
    settings.extend(options.window_ms.map(|window| format!("pathDefaults.deliveryWindow={window}ms")));
    for setting in &settings {
        command.args(["--set", setting]);
    }
    Ok(command)
}

/// A peer's command with its ports set, and where it is to listen.
pub(crate) fn peer_command(peer: &Peer) -> Result<(Command, SocketAddr)> {
    let ports = free_ports()?;
    let mut command = Command::new("sh");
    command.args(["-c", &peer.command]);
    let names = ["HEADWATER_BENCH_RTSP_PORT", "HEADWATER_BENCH_RTP_PORT", "HEADWATER_BENCH_RTCP_PORT"];
    for (name, port) in names.into_iter().zip(ports) {
        command.env(name, port.to_string());
    }
    Ok((command, SocketAddr::from((Ipv4Addr::LOCALHOST, ports[0]))))
}

impl Contender {
    /// Starts it on `cpus` and waits until it listens.
    ///
    /// # Errors
    /// It ended, or did not listen in time; with the last lines it wrote.
    pub(crate) fn start(&self, cpus: &[usize]) -> Result<Running> {
        match &self.launch {
            Launch::Target { address, process } => {
                TcpStream::connect_timeout(address, limits::CONNECT_TIMEOUT)
                    .with_context(|| format!("nobody answers at {address}"))?;
                Ok(Running { address: *address, scope: Scope::Process(*process), child: None, log: None })
            }
            Launch::Floor { stream, window_ms } => {
                let mut command = Command::new(std::env::current_exe().context("where this program is")?);
                command.args(["floor-sender", "--protocol", stream.protocol.as_str()]);
                command.args([
                    "--readers",
                    &stream.readers.to_string(),
                    "--bitrate",
                    &stream.bitrate.to_string(),
                ]);
                command.args(["--fps", &stream.fps.to_string(), "--paths", &stream.paths.to_string()]);
                command.args(["--packet-bytes", &stream.packet_bytes.to_string()]);
                command.args(["--window-ms", &window_ms.to_string()]);
                self.spawn(command, cpus, None)
            }
            Launch::Server(options) => self.spawn(server_command(options, 0)?, cpus, None),
            Launch::Peer(peer) => {
                let (command, address) = peer_command(peer)?;
                self.spawn(command, cpus, Some(address))
            }
        }
    }

    /// Starts `command`; it listens at `address`, or prints where.
    fn spawn(&self, mut command: Command, cpus: &[usize], address: Option<SocketAddr>) -> Result<Running> {
        let log =
            std::env::temp_dir().join(format!("headwater-bench-{}-{}.log", std::process::id(), self.name));
        let file = File::create(&log).with_context(|| log.display().to_string())?;
        command.stdin(std::process::Stdio::null()).stdout(file.try_clone()?).stderr(file);
        isolate(&mut command, cpus);
        let child = command.spawn().with_context(|| format!("{} cannot be started", self.name))?;
        let scope = Scope::Group(child.id());
        let unknown = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut running = Running { address: unknown, scope, child: Some(child), log: Some(log) };
        let deadline = Instant::now() + limits::START_TIMEOUT;
        loop {
            let found = match address {
                Some(address) => {
                    TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok().map(|_| address)
                }
                None => running.log.as_deref().and_then(listening),
            };
            if let Some(found) = found {
                running.address = found;
                return Ok(running);
            }
            if let Some(status) = running.ended()? {
                bail!("{} ended at once ({status}): {}", self.name, running.last_words());
            }
            if Instant::now() > deadline || interrupted() {
                bail!(
                    "{} does not listen after {:?}: {}",
                    self.name,
                    limits::START_TIMEOUT,
                    running.last_words()
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Running {
    /// How the process ended, if it did.
    pub(crate) fn ended(&mut self) -> Result<Option<std::process::ExitStatus>> {
        match &mut self.child {
            Some(child) => child.try_wait().context("the state of a child"),
            None => Ok(None),
        }
    }

    /// The last lines it wrote.
    pub(crate) fn last_words(&self) -> String {
        let text = self.log.as_deref().and_then(|path| fs::read(path).ok()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        if lines.is_empty() {
            return "it wrote nothing".to_owned();
        }
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }

    /// Ends it in order. Returns a complaint when it had to be killed.
    pub(crate) fn stop(&mut self) -> Option<String> {
        let mut child = self.child.take()?;
        signal_group(child.id(), libc::SIGTERM);
        let deadline = Instant::now() + limits::STOP_TIMEOUT;
        let mut complaint = None;
        while !matches!(child.try_wait(), Ok(Some(_))) {
            if Instant::now() > deadline {
                complaint = Some(format!("did not end within {:?} of SIGTERM", limits::STOP_TIMEOUT));
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // What the shell started may outlive it: the group still names only what we started.
        signal_group(child.id(), libc::SIGKILL);
        let _ = child.wait();
        if let Some(log) = self.log.take() {
            let _ = fs::remove_file(log);
        }
        complaint
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The address in a line `listening  rtsp  tcp  127.0.0.1:41234` (or `floor` in place of `rtsp`).
fn listening(log: &Path) -> Option<SocketAddr> {
    parse_listening(&fs::read_to_string(log).ok()?)
}

fn parse_listening(text: &str) -> Option<SocketAddr> {
    // A line that is still being written has no end yet.
    text.split_inclusive('\n').filter(|line| line.ends_with('\n')).find_map(|line| {
        let mut words = line.split_whitespace();
        let named = words.next() == Some("listening")
            && matches!(words.next(), Some("rtsp" | "floor"))
            && words.next() == Some("tcp");
        if named { words.next()?.parse().ok() } else { None }
    })
}

/// A free TCP port, and two free UDP ports, even and odd, for a peer. Others may take them in between: then the
/// peer fails to start and says so.
fn free_ports() -> Result<[u16; 3]> {
    let rtsp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    for _ in 0..100 {
        let first = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = first.local_addr()?.port() & !1;
        drop(first);
        let bind = |port: u16| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port));
        if let Some(next) = port.checked_add(1)
            && bind(port).and_then(|_| bind(next)).is_ok()
        {
            return Ok([rtsp, port, next]);
        }
    }
    bail!("no pair of free UDP ports was found")
}

/// A free TCP port.
pub(crate) fn free_tcp_port() -> Result<u16> {
    Ok(free_ports()?[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listening_line_is_found() {
        let text =
            "headwater 0.1.0\nlistening  rtp   udp  127.0.0.1:8000\nlistening  rtsp  tcp  127.0.0.1:41234\n";
        assert_eq!(parse_listening(text), Some(SocketAddr::from(([127, 0, 0, 1], 41_234))));
        assert_eq!(parse_listening("listening  rtsp  tcp  127.0.0.1:412"), None);
        assert_eq!(parse_listening("listening rtp udp 127.0.0.1:8000\n"), None);
    }

    #[test]
    fn a_peer_is_started_found_and_ended_with_its_children() {
        let command = "sleep 1000 & python3 -c 'import socket,os;s=socket.create_server((\"127.0.0.1\",int(os.environ[\"HEADWATER_BENCH_RTSP_PORT\"])));[s.accept() for _ in iter(int,1)]'";
        let peer = Peer { name: "echo".to_owned(), command: command.to_owned() };
        let contender = Contender { name: "echo".to_owned(), launch: Launch::Peer(peer) };
        let cpus = crate::sys::process::allowed_cpus().expect("cpus");
        let mut running = contender.start(&cpus).expect("starts");
        let scope = running.scope;
        assert!(scope.memory().expect("memory").resident > 0);
        assert_eq!(scope.strays(&cpus).expect("status"), Vec::<String>::new());
        assert_eq!(running.stop(), None);
        let deadline = Instant::now() + Duration::from_secs(5);
        while scope.cpu().is_ok() {
            assert!(Instant::now() < deadline, "the group lives on");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_server_that_ends_at_once_is_reported_with_its_words() {
        let peer = Peer { name: "bad".to_owned(), command: "echo no such luck; exit 3".to_owned() };
        let contender = Contender { name: "bad".to_owned(), launch: Launch::Peer(peer) };
        let cpus = crate::sys::process::allowed_cpus().expect("cpus");
        let error = contender.start(&cpus).err().expect("fails").to_string();
        assert!(error.contains("no such luck"), "{error}");
    }
}
