//! The command line.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::expect::Expectation;
use crate::limits;
use crate::media::units::UnitShape;
use crate::media::{Media, Shape};
use crate::procfs::parse_cpus;
use crate::scenario::Protocol;
use crate::sys::process::allowed_cpus;

/// Measures a media server beside its peers and beside the kernel's floor.
///
/// A table goes to standard error and one line of JSON to standard output. The exit code is 0 when all checks
/// and expectations were met, 1 when not, 2 for a wrong command line.
#[derive(Debug, Parser)]
#[command(name = "headwater-bench", version)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One publisher per path, many readers: CPU, memory, latency and loss of each contender.
    Fanout(FanoutOptions),
    /// The floor alone: the same bytes to as many sockets, one send per picture and reader, nothing else.
    Floor(LoadOptions),
    /// Time from exec to the first accepted connection and the first OPTIONS answer, and memory then.
    Startup(StartupOptions),
    /// Connect, DESCRIBE, SETUP, PLAY, close, over and over: descriptors and memory must not grow.
    Churn(ChurnOptions),
    /// The process that the floor is measured on; started by `fanout` and `floor`.
    #[command(hide = true)]
    FloorSender(FloorSenderOptions),
}

/// What is published.
#[derive(Debug, Clone, Args)]
pub(crate) struct StreamOptions {
    /// How readers get the media.
    #[arg(long, value_enum)]
    pub(crate) protocol: Protocol,
    /// Readers in all, spread over the paths in turn.
    #[arg(long, default_value_t = 300)]
    pub(crate) readers: usize,
    /// Bits per second of each path, RTP headers included; K, M and G are 1000s.
    #[arg(long, default_value = "2M", value_parser = parse_bits)]
    pub(crate) bitrate: u64,
    /// Pictures per second of each path.
    #[arg(long, default_value_t = 30)]
    pub(crate) fps: u32,
    /// Paths, each with its publisher.
    #[arg(long, default_value_t = 1)]
    pub(crate) paths: usize,
    /// Bytes of each RTP packet, header included; the last of a picture is shorter. Not for rtmp, flv, hls and ll-hls.
    #[arg(long, default_value_t = 1_200)]
    pub(crate) packet_bytes: usize,
    /// How segments are packed, for hls; ll-hls has parts of fMP4.
    #[arg(long, value_enum, default_value_t = HlsVariant::Mpegts)]
    pub(crate) hls_variant: HlsVariant,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct LoadOptions {
    #[command(flatten)]
    pub(crate) stream: StreamOptions,
    /// Length of the measured window.
    #[arg(long, default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// Time with all readers playing before the window.
    #[arg(long, default_value_t = 2.0)]
    pub(crate) warmup: f64,
    /// How often each contender has its turn; medians are shown.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// Readers of which each packet is checked and timed [default: 5 %, at least 8, at most 100].
    #[arg(long)]
    pub(crate) sample: Option<usize>,
    /// How the publishers send.
    #[arg(long, value_enum, default_value_t = Publish::Tcp)]
    pub(crate) publish: Publish,
    #[command(flatten)]
    pub(crate) cores: CoreOptions,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CoreOptions {
    /// Cores of the servers, such as 0-1,4 [default: the first ones, as many as shards].
    #[arg(long)]
    pub(crate) server_cpu: Option<String>,
    /// Cores of the load [default: the last one].
    #[arg(long)]
    pub(crate) load_cpu: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct OutputOptions {
    /// Fails the run when unmet: 'tcp.floor_share<=1.3', 'udp.mediamtx.cpu_ratio>=2.5'. May be repeated.
    #[arg(long)]
    pub(crate) expect: Vec<Expectation>,
    /// Writes the line of JSON to this file too.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Writes a report with plots to this file.
    #[arg(long)]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ServerOptions {
    /// The server under test [default: the `headwater` beside this program].
    #[arg(long)]
    pub(crate) server: Option<PathBuf>,
    /// Shards of the server under test.
    #[arg(long, default_value_t = 1)]
    pub(crate) shards: usize,
    /// Delivery window of the server under test, in milliseconds. A floor with the same window runs too.
    #[arg(long)]
    pub(crate) window_ms: Option<u64>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct FanoutOptions {
    #[command(flatten)]
    pub(crate) load: LoadOptions,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// Measures a server that runs already (rtsp://host:port), in place of starting ours. Needs --pid.
    #[arg(long, requires = "pid")]
    pub(crate) target: Option<String>,
    /// Process of the target.
    #[arg(long, requires = "target")]
    pub(crate) pid: Option<u32>,
    /// Another server: `mediamtx` (built when it is not there), `nginx-rtmp` (for rtmp and flv; has no HTTP-FLV, so its
    /// readers speak RTMP, as MediaMTX's do), `nginx` (for hls: the same segments as static files), or NAME=COMMAND. The
    /// command is run by `sh -c` with HEADWATER_BENCH_RTSP_PORT, …_RTP_PORT, …_RTCP_PORT, …_RTMP_PORT and …_HTTP_PORT set
    /// to the ports it is to use, and HEADWATER_BENCH_PROTOCOL and …_HLS_VARIANT to what is measured. May be repeated.
    #[arg(long)]
    pub(crate) peer: Vec<Peer>,
    /// Leaves the floor out.
    #[arg(long)]
    pub(crate) no_floor: bool,
    /// Leaves the server under test out.
    #[arg(long, conflicts_with = "target")]
    pub(crate) no_server: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct StartupOptions {
    /// Starts measured.
    #[arg(long, default_value_t = 20)]
    pub(crate) count: usize,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// Another server, as in `fanout`, in place of ours.
    #[arg(long)]
    pub(crate) peer: Option<Peer>,
    #[command(flatten)]
    pub(crate) cores: CoreOptions,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ChurnOptions {
    /// How readers get the media.
    #[arg(long, value_enum, default_value_t = Protocol::RtspTcp)]
    pub(crate) protocol: Protocol,
    /// Sessions opened and closed.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) cycles: usize,
    /// Sessions open at once.
    #[arg(long, default_value_t = 16)]
    pub(crate) concurrency: usize,
    /// How sessions end. A UDP session that ends without TEARDOWN may live on until its timeout, and hold memory.
    #[arg(long, value_enum, default_value_t = Close::Both)]
    pub(crate) close: Close,
    /// Growth of resident memory that is no leak, in KiB.
    #[arg(long, default_value_t = 1_024)]
    pub(crate) growth_kib: u64,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// Seconds within which what closed sessions held must be given back.
    #[arg(long, default_value_t = 5)]
    pub(crate) settle: u64,
    /// Another server, as in `fanout`, in place of ours.
    #[arg(long)]
    pub(crate) peer: Option<Peer>,
    #[command(flatten)]
    pub(crate) cores: CoreOptions,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct FloorSenderOptions {
    #[command(flatten)]
    pub(crate) stream: StreamOptions,
    /// Sends what came up in so many milliseconds at once.
    #[arg(long, default_value_t = 0)]
    pub(crate) window_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Publish {
    Tcp,
    Udp,
}

/// How sessions end in `churn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Close {
    /// TEARDOWN, and its answer.
    Teardown,
    /// The sockets are closed, with media unread.
    Abrupt,
    /// One and the other in turn.
    Both,
}

/// How HLS segments are packed, by the names of `hlsVariant`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HlsVariant {
    Mpegts,
    Fmp4,
}

impl HlsVariant {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            HlsVariant::Mpegts => "mpegts",
            HlsVariant::Fmp4 => "fmp4",
        }
    }
}

/// A peer's name and how it is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) kind: PeerKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PeerKind {
    Command(String),
    Mediamtx,
    NginxRtmp,
    /// nginx with static segments.
    Nginx,
}

impl PeerKind {
    /// How its readers get the media of `protocol`; `None` when they cannot.
    pub(crate) fn reads(&self, protocol: Protocol) -> Option<Protocol> {
        match (self, protocol) {
            (PeerKind::Command(_), protocol) => Some(protocol),
            (PeerKind::Mediamtx | PeerKind::NginxRtmp, Protocol::Flv | Protocol::Rtmp) => {
                Some(Protocol::Rtmp)
            }
            (PeerKind::Mediamtx, protocol) => Some(protocol),
            (PeerKind::Nginx, Protocol::Hls) => Some(Protocol::Hls),
            (PeerKind::NginxRtmp | PeerKind::Nginx, _) => None,
        }
    }
}

impl std::str::FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Peer, String> {
        let (name, kind) = match text.split_once('=') {
            Some((name, command)) if is_name(name) && !command.trim().is_empty() => {
                (name, PeerKind::Command(command.to_owned()))
            }
            None if text == "mediamtx" => (text, PeerKind::Mediamtx),
            None if text == "nginx-rtmp" => (text, PeerKind::NginxRtmp),
            None if text == "nginx" => (text, PeerKind::Nginx),
            _ => return Err(format!("{text:?} is neither mediamtx, nginx-rtmp, nginx nor NAME=COMMAND")),
        };
        Ok(Peer { name: name.to_owned(), kind })
    }
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !name.is_empty()
        && name.chars().all(fits)
        && !["floor", "floor-window", "headwater", "target"].contains(&name)
}

impl StreamOptions {
    /// What is published.
    pub(crate) fn media(&self) -> Result<Media> {
        ensure!(
            (1..=limits::READERS_MAX).contains(&self.readers),
            "--readers must be 1 to {}",
            limits::READERS_MAX
        );
        ensure!((1..=limits::PATHS_MAX).contains(&self.paths), "--paths must be 1 to {}", limits::PATHS_MAX);
        ensure!(self.paths <= self.readers, "each path needs a reader: --paths is larger than --readers");
        let media = match self.protocol.framing() {
            Some(_) => Shape::new(self.bitrate, self.fps, self.packet_bytes).map(Media::Pictures),
            None => UnitShape::new(self.bitrate, self.fps, self.protocol.audio()).map(Media::Units),
        };
        media.map_err(anyhow::Error::msg)
    }
}

impl LoadOptions {
    /// How many readers are sampled: spread evenly, 5 % unless told.
    pub(crate) fn sampled(&self) -> usize {
        let readers = self.stream.readers;
        self.sample
            .unwrap_or_else(|| (readers / 20).clamp(limits::SAMPLE_MIN, limits::SAMPLE_MAX))
            .min(readers)
    }

    /// Refuses what cannot be run.
    pub(crate) fn validate(&self) -> Result<()> {
        self.stream.media()?;
        ensure!(
            self.publish == Publish::Tcp || self.stream.protocol.framing().is_some(),
            "{} is published over RTMP: --publish udp is for RTSP",
            self.stream.protocol.as_str()
        );
        ensure!(self.rounds >= 1, "--rounds must be at least 1");
        ensure!((1.0..=86_400.0).contains(&self.seconds), "--seconds must be 1 to 86400");
        ensure!((0.0..=3_600.0).contains(&self.warmup), "--warmup must be 0 to 3600");
        Ok(())
    }
}

/// Who runs where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cores {
    pub(crate) server: Vec<usize>,
    pub(crate) load: Vec<usize>,
}

impl CoreOptions {
    /// The cores, `shards` of them for the server unless told.
    pub(crate) fn resolve(&self, shards: usize) -> Result<Cores> {
        let allowed = allowed_cpus().context("the cores this process may use")?;
        let parse = |text: &String| parse_cpus(text);
        let server = self.server_cpu.as_ref().map(parse).transpose()?;
        let load = self.load_cpu.as_ref().map(parse).transpose()?;
        resolve_cores(&allowed, server, load, shards)
    }
}

fn resolve_cores(
    allowed: &[usize],
    server: Option<Vec<usize>>,
    load: Option<Vec<usize>>,
    shards: usize,
) -> Result<Cores> {
    let last = *allowed.last().context("no core may be used")?;
    let load = load.unwrap_or_else(|| vec![last]);
    let free = || allowed.iter().copied().filter(|cpu| !load.contains(cpu));
    let server: Vec<usize> = server.unwrap_or_else(|| free().take(shards.max(1)).collect());
    if server.is_empty() || server.iter().any(|cpu| load.contains(cpu)) {
        bail!("server and load need cores of their own: {allowed:?} may be used, load has {load:?}");
    }
    if let Some(cpu) = server.iter().chain(&load).find(|cpu| !allowed.contains(cpu)) {
        bail!("core {cpu} may not be used; these may: {allowed:?}");
    }
    Ok(Cores { server, load })
}

fn parse_bits(text: &str) -> Result<u64, String> {
    let (number, factor) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 1e3),
        Some((at, 'm' | 'M')) => (&text[..at], 1e6),
        Some((at, 'g' | 'G')) => (&text[..at], 1e9),
        _ => (text, 1.0),
    };
    match number.parse::<f64>() {
        Ok(value) if (1e3..=1e10).contains(&(value * factor)) => Ok((value * factor).round() as u64),
        _ => Err(format!("{text:?} is no bit rate from 1K to 10G, such as 2M")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
        let line = "headwater-bench fanout --protocol rtsp-udp --readers 10 --bitrate 1.5M --expect udp.lost=0 --peer a=b=c";
        let options = Options::try_parse_from(line.split(' ')).expect("parses");
        let Command::Fanout(fanout) = options.command else { panic!("another command") };
        assert_eq!(fanout.load.stream.bitrate, 1_500_000);
        assert_eq!(fanout.peer, [Peer { name: "a".to_owned(), kind: PeerKind::Command("b=c".to_owned()) }]);
        assert_eq!(fanout.load.sampled(), 8);
    }

    #[test]
    fn wrong_values_are_refused() {
        for rest in
            ["--bitrate 2X", "--bitrate 0", "--peer floor=x", "--peer x", "--target rtsp://a", "--expect tcp"]
        {
            let line = format!("headwater-bench fanout --protocol rtsp-tcp {rest}");
            assert!(Options::try_parse_from(line.split(' ')).is_err(), "{rest} was accepted");
        }
    }

    #[test]
    fn server_and_load_never_share_a_core() {
        let cores = resolve_cores(&[0, 1], None, None, 1).expect("two are enough");
        assert_eq!(cores, Cores { server: vec![0], load: vec![1] });
        assert_eq!(resolve_cores(&[0, 1, 2, 3], None, None, 2).expect("enough").server, [0, 1]);
        assert_eq!(resolve_cores(&[0, 1], None, None, 4).expect("fewer").server, [0]);
        assert!(resolve_cores(&[0], None, None, 1).is_err());
        assert!(resolve_cores(&[0, 1], Some(vec![1]), None, 1).is_err());
        assert!(resolve_cores(&[0, 1], Some(vec![5]), None, 1).is_err());
    }
}
