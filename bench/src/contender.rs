//! The servers under test as processes: started pinned, found by what they print or by their port, ended with
//! all they started.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::limits;
use crate::load::Mirrored;
use crate::options::{Cores, HlsVariant, Peer, PeerKind, ServerOptions, StreamOptions};
use crate::peer::{self, Folder, Ports};
use crate::procfs::Scope;
use crate::scenario::Protocol;
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
    Floor {
        stream: StreamOptions,
        window_ms: u64,
    },
    Server(ServerOptions, StreamOptions),
    /// With our server's options, for a peer that serves what ours makes.
    Peer(Peer, ServerOptions, StreamOptions),
    Target {
        address: SocketAddr,
        process: u32,
        protocol: Protocol,
    },
}

/// A contender that runs, until dropped.
pub(crate) struct Running {
    /// Where readers connect.
    pub(crate) address: SocketAddr,
    /// Where publishers connect.
    pub(crate) origin: SocketAddr,
    /// What is measured.
    pub(crate) scope: Scope,
    /// For a server of files: what is to be put where.
    pub(crate) mirrored: Option<Mirrored>,
    child: Option<Child>,
    log: Option<PathBuf>,
    /// Removed at the end.
    folder: Option<Folder>,
    /// The server that makes what this one serves.
    maker: Option<Box<Running>>,
}

/// Where a started server is to be found.
enum Whereabouts {
    /// It prints the listeners of these protocols: for readers and for publishers.
    Printed(&'static str, &'static str),
    Known(SocketAddr, SocketAddr),
}

impl Launch {
    /// For a server that runs already at `url`.
    pub(crate) fn target(url: &str, process: u32, stream: &StreamOptions) -> Result<Launch> {
        let protocol = stream.protocol;
        let (scheme, port) = match protocol {
            Protocol::RtspTcp | Protocol::RtspUdp => ("rtsp", 554),
            Protocol::Rtmp => ("rtmp", 1_935),
            Protocol::Flv | Protocol::Hls | Protocol::LlHls => {
                bail!(
                    "--target is for protocols that publish and play on one port, not for {}",
                    protocol.as_str()
                )
            }
        };
        let rest = url.strip_prefix(&format!("{scheme}://"));
        let rest = rest.with_context(|| format!("--target must be {scheme}://host:port"))?;
        let host = rest.split('/').next().unwrap_or(rest);
        let host = if host.contains(':') { host.to_owned() } else { format!("{host}:{port}") };
        let address = host.to_socket_addrs().with_context(|| format!("address of {url}"))?.next();
        let address = address.with_context(|| format!("{url} has no address"))?;
        Ok(Launch::Target { address, process, protocol })
    }
}

/// What our server is to serve, besides RTSP.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Served {
    pub(crate) protocol: Protocol,
    pub(crate) hls_variant: HlsVariant,
}

impl Served {
    pub(crate) fn of(stream: &StreamOptions) -> Served {
        Served { protocol: stream.protocol, hls_variant: stream.hls_variant }
    }

    /// The settings that open its listeners, on ports that the kernel chooses.
    fn settings(self) -> Vec<String> {
        let variant = match (self.protocol, self.hls_variant) {
            (Protocol::RtspTcp | Protocol::RtspUdp, _) => {
                return ["rtmp=no", "hls=no"].map(str::to_owned).to_vec();
            }
            (Protocol::LlHls, _) => "lowLatency",
            (_, variant) => variant.as_str(),
        };
        let mut settings = vec!["rtmpAddress='127.0.0.1:0'".to_owned()];
        if self.protocol == Protocol::Rtmp {
            settings.push("hls=no".to_owned());
        } else {
            settings.extend(["hlsAddress='127.0.0.1:0'".to_owned(), format!("hlsVariant={variant}")]);
            settings.push(format!("hlsAlwaysRemux={}", if self.protocol.segments() { "yes" } else { "no" }));
        }
        settings
    }

    /// What the lines of its listeners are called: readers', publishers'.
    fn listeners(self) -> (&'static str, &'static str) {
        match self.protocol {
            Protocol::RtspTcp | Protocol::RtspUdp => ("rtsp", "rtsp"),
            Protocol::Rtmp => ("rtmp", "rtmp"),
            Protocol::Flv | Protocol::Hls | Protocol::LlHls => ("http", "rtmp"),
        }
    }
}

/// The command line of our server: listeners on ports that the kernel chooses.
pub(crate) fn server_command(options: &ServerOptions, rtsp_port: u16, served: Served) -> Result<Command> {
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
        "logLevel=warn".to_owned(),
    ];
    settings.extend(served.settings());
    settings.extend(options.window_ms.map(|window| format!("pathDefaults.deliveryWindow={window}ms")));
    for setting in &settings {
        command.args(["--set", setting]);
    }
    Ok(command)
}

impl Contender {
    /// How its readers get the media.
    pub(crate) fn reads(&self) -> Protocol {
        match &self.launch {
            Launch::Floor { stream, .. } | Launch::Server(_, stream) => stream.protocol,
            Launch::Peer(peer, _, stream) => peer.kind.reads(stream.protocol).unwrap_or(stream.protocol),
            Launch::Target { protocol, .. } => *protocol,
        }
    }

    /// Starts it on the server's cores and waits until it listens.
    ///
    /// # Errors
    /// It ended, or did not listen in time; with the last lines it wrote.
    pub(crate) fn start(&self, cores: &Cores) -> Result<Running> {
        match &self.launch {
            Launch::Target { address, process, .. } => {
                TcpStream::connect_timeout(address, limits::CONNECT_TIMEOUT)
                    .with_context(|| format!("nobody answers at {address}"))?;
                Ok(Running::new(*address, *address, Scope::Process(*process)))
            }
            Launch::Floor { stream, window_ms } => {
                let command = floor_command(stream, *window_ms)?;
                spawn(&self.name, command, &cores.server, &Whereabouts::Printed("floor", "floor"))
            }
            Launch::Server(options, stream) => {
                start_server(&self.name, options, Served::of(stream), &cores.server)
            }
            Launch::Peer(peer, options, stream) => start_peer(peer, options, Served::of(stream), cores),
        }
    }
}

fn floor_command(stream: &StreamOptions, window_ms: u64) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("where this program is")?);
    command.args(["floor-sender", "--protocol", stream.protocol.as_str()]);
    command.args(["--readers", &stream.readers.to_string(), "--bitrate", &stream.bitrate.to_string()]);
    command.args(["--fps", &stream.fps.to_string(), "--paths", &stream.paths.to_string()]);
    command.args(["--packet-bytes", &stream.packet_bytes.to_string()]);
    command.args(["--window-ms", &window_ms.to_string()]);
    Ok(command)
}

/// Starts our server on `cpus`.
pub(crate) fn start_server(
    name: &str,
    options: &ServerOptions,
    served: Served,
    cpus: &[usize],
) -> Result<Running> {
    let (readers, publishers) = served.listeners();
    let command = server_command(options, 0, served)?;
    spawn(name, command, cpus, &Whereabouts::Printed(readers, publishers))
}

/// Starts a peer; our server's options are for one that serves what ours makes.
pub(crate) fn start_peer(
    peer: &Peer,
    options: &ServerOptions,
    served: Served,
    cores: &Cores,
) -> Result<Running> {
    let ports = Ports::free()?;
    let protocol = peer.kind.reads(served.protocol).unwrap_or(served.protocol);
    let whereabouts = Whereabouts::Known(ports.readers(protocol), ports.publishers(protocol));
    match &peer.kind {
        PeerKind::Command(command) => {
            let command = peer::shell_command(command, ports, served);
            spawn(&peer.name, command, &cores.server, &whereabouts)
        }
        PeerKind::Mediamtx => {
            let command = peer::mediamtx_command(ports, served)?;
            spawn(&peer.name, command, &cores.server, &whereabouts)
        }
        PeerKind::NginxRtmp => {
            let folder = peer::fresh_folder(&peer.name)?;
            let command = peer::nginx_rtmp_command(&folder, ports, cores.server.len())?;
            let mut running = spawn(&peer.name, command, &cores.server, &whereabouts)?;
            running.folder = Some(folder);
            Ok(running)
        }
        PeerKind::Nginx => start_nginx(&peer.name, options, served, cores),
    }
}

/// Starts nginx as a server of the files that a server of ours makes, which runs on the load's cores.
pub(crate) fn start_nginx(
    name: &str,
    options: &ServerOptions,
    served: Served,
    cores: &Cores,
) -> Result<Running> {
    ensure!(served.protocol == Protocol::Hls, "nginx serves files, which only hls has");
    let maker = start_server("maker", options, served, &cores.load)?;
    let (folder, ports) = (peer::fresh_folder(name)?, Ports::free()?);
    let command = peer::nginx_command(&folder, ports, cores.server.len())?;
    let address = ports.readers(Protocol::Hls);
    let mut running = spawn(name, command, &cores.server, &Whereabouts::Known(address, address))?;
    running.origin = maker.origin;
    running.mirrored = Some(Mirrored { origin: maker.address, folder: peer::root_of(&folder) });
    running.folder = Some(folder);
    running.maker = Some(Box::new(maker));
    Ok(running)
}

/// Starts `command` on `cpus` and waits until it listens.
fn spawn(name: &str, mut command: Command, cpus: &[usize], whereabouts: &Whereabouts) -> Result<Running> {
    let log = std::env::temp_dir().join(format!("headwater-bench-{}-{name}.log", std::process::id()));
    let file = File::create(&log).with_context(|| log.display().to_string())?;
    command.stdin(std::process::Stdio::null()).stdout(file.try_clone()?).stderr(file);
    isolate(&mut command, cpus);
    let child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
    let unknown = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut running = Running::new(unknown, unknown, Scope::Group(child.id()));
    (running.child, running.log) = (Some(child), Some(log));
    let deadline = Instant::now() + limits::START_TIMEOUT;
    loop {
        if let Some((readers, publishers)) = running.found(whereabouts) {
            (running.address, running.origin) = (readers, publishers);
            return Ok(running);
        }
        if let Some(status) = running.ended()? {
            bail!("{name} ended at once ({status}): {}", running.last_words());
        }
        if Instant::now() > deadline || interrupted() {
            bail!("{name} does not listen after {:?}: {}", limits::START_TIMEOUT, running.last_words());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Running {
    fn new(address: SocketAddr, origin: SocketAddr, scope: Scope) -> Running {
        Running { address, origin, scope, mirrored: None, child: None, log: None, folder: None, maker: None }
    }

    /// Where readers and publishers connect, once both can.
    fn found(&self, whereabouts: &Whereabouts) -> Option<(SocketAddr, SocketAddr)> {
        match whereabouts {
            Whereabouts::Known(readers, publishers) => {
                let answers = |address| TcpStream::connect_timeout(address, Duration::from_secs(1)).is_ok();
                (answers(readers) && answers(publishers)).then_some((*readers, *publishers))
            }
            Whereabouts::Printed(readers, publishers) => {
                let text = fs::read_to_string(self.log.as_deref()?).ok()?;
                Some((parse_listening(&text, readers)?, parse_listening(&text, publishers)?))
            }
        }
    }

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
        self.folder = None;
        if let Some(mut maker) = self.maker.take() {
            complaint = complaint.or(maker.stop());
        }
        complaint
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The address in a line `listening  rtsp  tcp  127.0.0.1:41234`, for the protocol that is called `name` there.
fn parse_listening(text: &str, name: &str) -> Option<SocketAddr> {
    // A line that is still being written has no end yet.
    text.split_inclusive('\n').filter(|line| line.ends_with('\n')).find_map(|line| {
        let mut words = line.split_whitespace();
        let named =
            words.next() == Some("listening") && words.next() == Some(name) && words.next() == Some("tcp");
        if named { words.next()?.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::options;

    /// A peer of `fanout --protocol rtsp-tcp`.
    fn peer(name: &str, command: &str) -> Contender {
        let line =
            ["headwater-bench", "fanout", "--protocol", "rtsp-tcp", "--peer", &format!("{name}={command}")];
        let options::Command::Fanout(options) =
            options::Options::try_parse_from(line).expect("parses").command
        else {
            panic!("another command")
        };
        let launch = Launch::Peer(options.peer[0].clone(), options.server, options.load.stream);
        Contender { name: name.to_owned(), launch }
    }

    fn on(cpus: &[usize]) -> Cores {
        Cores { server: cpus.to_vec(), load: cpus.to_vec() }
    }

    #[test]
    fn the_listening_line_is_found() {
        let text =
            "headwater 0.1.0\nlistening  rtp   udp  127.0.0.1:8000\nlistening  rtsp  tcp  127.0.0.1:41234\n";
        assert_eq!(parse_listening(text, "rtsp"), Some(SocketAddr::from(([127, 0, 0, 1], 41_234))));
        assert_eq!(parse_listening("listening  rtsp  tcp  127.0.0.1:412", "rtsp"), None);
        assert_eq!(parse_listening("listening rtp udp 127.0.0.1:8000\n", "rtp"), None);
    }

    #[test]
    fn a_peer_is_started_found_and_ended_with_its_children() {
        let command = "sleep 1000 & python3 -c 'import socket,os;s=socket.create_server((\"127.0.0.1\",int(os.environ[\"HEADWATER_BENCH_RTSP_PORT\"])));[s.accept() for _ in iter(int,1)]'";
        let cpus = crate::sys::process::allowed_cpus().expect("cpus");
        let mut running = peer("echo", command).start(&on(&cpus)).expect("starts");
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
        let cpus = crate::sys::process::allowed_cpus().expect("cpus");
        let error =
            peer("bad", "echo no such luck; exit 3").start(&on(&cpus)).err().expect("fails").to_string();
        assert!(error.contains("no such luck"), "{error}");
    }
}
