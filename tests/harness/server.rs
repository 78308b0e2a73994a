//! The server under test as a child process: ephemeral ports, its log shown on failure, an orderly end checked.

use crate::process::Process;
use crate::{binary, rtsp, wait, workspace};
use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const START: Duration = Duration::from_secs(5);
/// How long an orderly end may take (issue 2, point 1).
const STOP: Duration = Duration::from_secs(2);

/// What a server is started with.
#[derive(Clone)]
pub struct Launch {
    /// The address that all sockets are bound to.
    pub host: IpAddr,
    pub shards: Option<usize>,
    /// Certificate and key, both PEM: for RTSPS, and for whatever of `media` runs over TLS.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Listeners beside RTSP, on ephemeral ports: `rtmp`, `rtmps`, and one of `http` and `https`. Those not named are off.
    pub media: Vec<&'static str>,
    /// Configuration beside that: `KEY=VALUE`, as for `--set`.
    pub settings: Vec<String>,
    /// Options of the command line, as `--demo`.
    pub options: Vec<&'static str>,
    /// Configuration file.
    pub file: Option<PathBuf>,
    /// Environment of the server.
    pub environment: Vec<(String, String)>,
    /// Control ports to open, on ephemeral ports: `api`, `metrics`, `pprof`.
    pub control: Vec<&'static str>,
    /// Whether the file says where is listened (see [`crate::config_file::ADDRESSES`]), so that it can change while the
    /// server runs; else the command line does, which no file overrides.
    pub addresses_in_file: bool,
    /// A command that runs the server, such as `unshare -m`.
    pub within: Vec<String>,
}

impl Default for Launch {
    fn default() -> Launch {
        Launch {
            host: Ipv4Addr::LOCALHOST.into(),
            shards: None,
            certificate: None,
            media: Vec::new(),
            settings: Vec::new(),
            options: Vec::new(),
            file: None,
            environment: Vec::new(),
            control: Vec::new(),
            addresses_in_file: false,
            within: Vec::new(),
        }
    }
}

impl Launch {
    /// The settings that open what `media` names, and close the rest.
    fn media_settings(&self, any_port: &str) -> Vec<String> {
        let has = |name: &str| self.media.contains(&name);
        let rtmp_encryption = match (has("rtmp"), has("rtmps")) {
            (false, true) => "strict",
            (true, true) => "optional",
            _ => "no",
        };
        let word = |on: bool| if on { "yes" } else { "no" };
        vec![
            format!("rtmp={}", word(has("rtmp") || has("rtmps"))),
            format!("rtmpEncryption=\"{rtmp_encryption}\""),
            format!("rtmpAddress='{any_port}'"),
            format!("rtmpsAddress='{any_port}'"),
            format!("hls={}", word(has("http") || has("https"))),
            format!("hlsEncryption={}", word(has("https"))),
            format!("hlsAddress='{any_port}'"),
        ]
    }
}

/// A running server, Headwater or (where a test allows it) a peer.
pub struct Server {
    process: Process,
    pub rtsp: SocketAddr,
    /// The UDP port that media comes from and goes to.
    pub rtp: SocketAddr,
    pub rtcp: SocketAddr,
    pub rtsps: Option<SocketAddr>,
    /// The listeners of `media` that were asked for, by name.
    pub media: BTreeMap<&'static str, SocketAddr>,
    /// The control ports that were asked for, by name.
    pub control: BTreeMap<&'static str, SocketAddr>,
    peer: bool,
    stopped: bool,
}

impl Server {
    /// Headwater with everything as it comes.
    ///
    /// # Errors
    /// When it is not built, does not start, or does not say where it listens within 5 s.
    pub fn start() -> Result<Server> {
        Server::launch(&Launch::default())
    }

    /// Headwater as `launch` says, on ephemeral ports. `HEADWATER_TEST_PEER` puts a peer with settings of its own in its
    /// place, to see whether a test asks what another server can also do.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn launch(launch: &Launch) -> Result<Server> {
        match std::env::var("HEADWATER_TEST_PEER").as_deref() {
            Err(_) | Ok("headwater") => {}
            Ok("mediamtx") => return Server::start_mediamtx(),
            Ok(other) => bail!("HEADWATER_TEST_PEER={other}: no such peer (mediamtx)"),
        }
        let mut command = match launch.within.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(binary()?);
                command
            }
            None => Command::new(binary()?),
        };
        let any_port = SocketAddr::new(launch.host, 0).to_string();
        let mut set = |setting: &str| {
            command.args(["--set", setting]);
        };
        let in_file = launch.addresses_in_file;
        for key in ["rtspAddress", "rtpAddress", "rtcpAddress"].iter().filter(|_| !in_file) {
            set(&format!("{key}='{any_port}'"));
        }
        if let Some((certificate, key)) = &launch.certificate {
            set(&format!("rtspsAddress='{any_port}'"));
            set("rtspEncryption=optional");
            for protocol in ["rtsp", "rtmp", "hls"] {
                set(&format!("{protocol}ServerCert={}", certificate.display()));
                set(&format!("{protocol}ServerKey={}", key.display()));
            }
        }
        if !in_file {
            launch.media_settings(&any_port).iter().for_each(|setting| set(setting));
        }
        if let Some(shards) = launch.shards {
            set(&format!("shards={shards}"));
        }
        for name in launch.control.iter().filter(|_| !in_file) {
            set(&format!("{name}=yes"));
            set(&format!("{name}Address='{any_port}'"));
        }
        launch.settings.iter().for_each(|setting| set(setting));
        command
            .env_remove("HEADWATER_BIN")
            .args(&launch.options)
            .args(&launch.file)
            .envs(launch.environment.iter().cloned());
        let mut process = Process::spawn("headwater", command)?;
        let wanted = launch.certificate.is_some();
        let listening = wait::until("the server to say where it listens", START, || {
            process.still_runs()?;
            let lines = listening(&process.stdout());
            let mut names = ["rtsp", "rtp", "rtcp"].iter().chain(&launch.control).chain(&launch.media);
            let complete = names.all(|name| lines.contains_key(*name));
            Ok((complete && (!wanted || lines.contains_key("rtsps"))).then_some(lines))
        });
        let listening = listening.map_err(|error| error.context(process.tail()))?;
        Ok(Server {
            rtsp: listening["rtsp"],
            rtp: listening["rtp"],
            rtcp: listening["rtcp"],
            rtsps: listening.get("rtsps").copied(),
            media: launch.media.iter().map(|name| (*name, listening[*name])).collect(),
            control: launch.control.iter().map(|name| (*name, listening[*name])).collect(),
            process,
            peer: false,
            stopped: false,
        })
    }

    /// MediaMTX with RTSP alone. It knows no port 0: free ports are looked up, and may in theory be taken meanwhile.
    fn start_mediamtx() -> Result<Server> {
        let built = Command::new(crate::root().join("tests/peers/mediamtx")).output()?;
        ensure!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let rtsp = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let rtp = even_udp_pair(rtsp.ip())?.0.local_addr()?;
        let rtcp = SocketAddr::new(rtp.ip(), rtp.port() + 1);
        let configuration = workspace().join(format!("mediamtx-{}.yml", rtsp.port()));
        let others = ["rtmp", "hls", "webrtc", "srt", "moq"].map(|name| format!("{name}: no\n")).concat();
        std::fs::write(
            &configuration,
            format!(
                "{others}rtspAddress: '{rtsp}'\nrtpAddress: '{rtp}'\nrtcpAddress: '{rtcp}'\n\
                 rtspTransports: [udp, tcp]\npaths:\n  all_others:\n"
            ),
        )?;
        let mut command = Command::new(String::from_utf8(built.stdout)?.trim());
        command.arg(configuration);
        let mut process = Process::spawn("mediamtx", command)?;
        wait::until("MediaMTX to listen", START, || {
            process.still_runs()?;
            Ok(process.stdout().contains("[RTSP] started with").then_some(()))
        })?;
        Ok(Server {
            process,
            rtsp,
            rtp,
            rtcp,
            rtsps: None,
            media: BTreeMap::new(),
            control: BTreeMap::new(),
            peer: true,
            stopped: false,
        })
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether this is a peer, of which less is asked than of Headwater.
    pub fn is_peer(&self) -> bool {
        self.peer
    }

    /// `http://…` of a control port, with a path.
    pub fn http(&self, name: &str, path: &str) -> String {
        format!("http://{}{path}", self.control[name])
    }

    /// `rtsp://…/path` on the address that is listened on.
    pub fn url(&self, path: &str) -> String {
        format!("rtsp://{}/{path}", self.rtsp)
    }

    /// The URL of a client that reaches the server at `host`.
    pub fn url_at(&self, host: IpAddr, path: &str) -> String {
        format!("rtsp://{}/{path}", SocketAddr::new(host, self.rtsp.port()))
    }

    /// Waits until `path` can be read: a DESCRIBE is answered 200.
    ///
    /// # Errors
    /// When that takes longer than 15 s.
    pub fn wait_for_stream(&mut self, path: &str) -> Result<()> {
        let url = self.url(path);
        let what = format!("a stream on {path}");
        wait::until(&what, Duration::from_secs(15), || {
            self.process.still_runs()?;
            let answer = rtsp::Connection::open(self.rtsp)?.request("DESCRIBE", &url, &[], "")?;
            Ok((answer.status == 200).then_some(()))
        })
    }

    /// The server's non-zero counters, by name: asked for by SIGUSR1, read from the log line `counters name=value …`.
    ///
    /// # Errors
    /// When no such line appears within 5 s, or it cannot be read.
    pub fn counters(&self) -> Result<BTreeMap<String, u64>> {
        let before = self.counter_lines().len();
        self.process.signal(Signal::USR1)?;
        let line = wait::until("the server to log its counters", Duration::from_secs(5), || {
            Ok(self.counter_lines().get(before).cloned())
        })?;
        line.split_whitespace()
            .map(|pair| {
                let (name, value) = pair.split_once('=').with_context(|| format!("{pair:?} in {line:?}"))?;
                Ok((name.to_owned(), value.parse().with_context(|| format!("the value of {name}"))?))
            })
            .collect()
    }

    /// One counter, 0 when it is not there.
    ///
    /// # Errors
    /// As [`Server::counters`].
    pub fn counter(&self, name: &str) -> Result<u64> {
        Ok(self.counters()?.get(name).copied().unwrap_or(0))
    }

    /// What stands behind `counters ` on each complete line of the log.
    fn counter_lines(&self) -> Vec<String> {
        let log = self.log();
        let complete = log.rfind('\n').map_or("", |end| &log[..end]);
        complete
            .lines()
            .filter_map(|line| line.split_once("counters "))
            .filter(|(before, _)| !before.contains('='))
            .map(|(_, counters)| counters.to_owned())
            .collect()
    }

    /// All it has printed and logged so far.
    pub fn log(&self) -> String {
        self.process.stdout() + &self.process.stderr()
    }

    /// Waits for a line of the log.
    ///
    /// # Errors
    /// When none contains `text` within 10 s.
    pub fn wait_for_log(&self, text: &str) -> Result<()> {
        wait::until_true(&format!("{text:?} in the log"), Duration::from_secs(10), || {
            self.log().contains(text)
        })
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Errors when it has ended by itself.
    ///
    /// # Errors
    /// When it has ended.
    pub fn still_runs(&mut self) -> Result<()> {
        self.process.still_runs()
    }

    /// Resident memory in bytes, from `/proc`.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }

    /// Open file descriptors, from `/proc`.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn descriptors(&self) -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.process.id()))?.count())
    }

    /// Sends SIGTERM and returns at once, for a test that watches the end.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn terminate(&self) -> Result<()> {
        self.process.signal(Signal::TERM)
    }

    /// Ends it by SIGTERM, or waits for the end that [`Server::terminate`] asked for; Headwater must exit with 0 within 2 s
    /// and must not have panicked meanwhile.
    ///
    /// # Errors
    /// When it does not.
    pub fn stop(mut self) -> Result<()> {
        let started = Instant::now();
        if self.process.ended()?.is_none() {
            self.terminate()?;
        }
        let status = self.process.wait(if self.peer { 5 * STOP } else { STOP })?;
        if !self.peer {
            ensure!(status.success(), "the server ended with {status} after {:?}", started.elapsed());
            ensure!(!self.log().contains("panicked at"), "the server has panicked: see its log");
        }
        self.stopped = true;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.stopped {
            eprintln!("{}", self.process.tail());
        }
    }
}

/// The lines `listening  NAME  tcp|udp  ADDRESS` of standard output, by name.
fn listening(stdout: &str) -> BTreeMap<String, SocketAddr> {
    let complete = stdout.rfind('\n').map_or("", |end| &stdout[..end]);
    complete
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next()? == "listening").then_some(())?;
            let name = words.next()?;
            let _transport = words.next()?;
            Some((name.to_owned(), words.next()?.parse().ok()?))
        })
        .collect()
}

/// Two UDP sockets on adjacent ports, the lower one even, as RTP and RTCP use them.
///
/// # Errors
/// When no pair is free after many tries.
pub fn even_udp_pair(host: IpAddr) -> Result<(UdpSocket, UdpSocket)> {
    for _ in 0..200 {
        let rtp = UdpSocket::bind((host, 0))?;
        let port = rtp.local_addr()?.port();
        if port % 2 == 0
            && let Ok(rtcp) = UdpSocket::bind((host, port + 1))
        {
            return Ok((rtp, rtcp));
        }
    }
    bail!("no free pair of UDP ports on {host}")
}
