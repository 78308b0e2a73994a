//! The engine: shards, mesh, streams, sessions and modules.
//!
//! ```text
//! lib (Engine)  starts shards and hands the control core its door
//! ├── shard     one thread's state and loop: connections, sessions, streams, housekeeping
//! ├── stream    batches, log, cursors, ingest, flush
//! ├── rtsp      RTSP sessions between connections and streams
//! ├── modules   the walk of a request, and the modules that take part
//! ├── mesh      rings between shards        ├── registry  which shard is home to which path
//! ├── net       sockets and system calls    ├── runtime   glommio and io_uring, nowhere else
//! └── counters, limits, settings, door
//! ```
//! It knows nothing of configuration files, HTTP APIs or databases; those are the control core's, which reaches it
//! through [`Engine`] alone.

pub mod access;
pub mod counters;
mod door;
pub mod limits;
mod mesh;
mod modules;
mod net;
pub mod records;
mod registry;
mod rtsp;
mod runtime;
pub mod settings;
mod shard;
mod stream;

pub use counters::Counters;
pub use settings::{PathSettings, Rtsp, Settings, User};

use door::{Ask, Door};
use mesh::{Mesh, ShardId};
use net::listen::{self, Datagram};
use registry::Registry;
use runtime::executor::{self, ShardThread};
use runtime::wake::Wake;
use shard::datagrams::{DatagramSockets, Ports};
use shard::{Listener, Parts};
use socket2::Socket;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Settings(String),
    /// A listener could not be opened.
    #[error("cannot listen on {protocol} {address}: {error}{hint}")]
    Listen { protocol: &'static str, address: SocketAddr, error: io::Error, hint: &'static str },
    #[error("cannot start a shard: {0}")]
    Shard(String),
}

/// One thing the server listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// `rtsp`, `rtsps`, `rtp` or `rtcp`.
    pub protocol: &'static str,
    /// `tcp` or `udp`.
    pub transport: &'static str,
    /// With the port the kernel chose where 0 was asked for.
    pub address: SocketAddr,
}

/// The running engine.
pub struct Engine {
    threads: Vec<ShardThread>,
    doors: Vec<Door>,
    counters: Vec<Arc<Counters>>,
    listening: Vec<Listening>,
}

/// The sockets of all shards, opened before the first shard starts, so that every error is met at once.
struct Sockets {
    /// Per shard.
    listeners: Vec<Vec<Listener>>,
    datagrams: Vec<DatagramSockets>,
    listening: Vec<Listening>,
}

impl Engine {
    /// Opens the sockets and starts the shards.
    ///
    /// # Errors
    /// An impossible setting; an address in use; a kernel without io_uring.
    pub fn start(settings: Settings) -> Result<Engine, StartError> {
        settings.check().map_err(StartError::Settings)?;
        let settings = Arc::new(settings);
        let sockets = Sockets::open(&settings)?;
        let wakes: Vec<Wake> = (0..settings.shards)
            .map(|_| Wake::new())
            .collect::<io::Result<_>>()
            .map_err(|error| StartError::Shard(error.to_string()))?;
        let registry = Arc::new(Registry::new());
        let connections_max = connections_max(settings.shards);
        let (report, reports) = mpsc::channel();
        let mut engine = Engine {
            threads: Vec::new(),
            doors: Vec::new(),
            counters: Vec::new(),
            listening: sockets.listening,
        };
        let ends = Mesh::connect(&wakes).into_iter().zip(sockets.listeners).zip(sockets.datagrams).zip(wakes);
        for (index, (((mesh, listeners), datagrams), wake)) in ends.enumerate() {
            let counters = Arc::new(Counters::default());
            let (door, inbox) = Door::new(wake.clone());
            let parts = Parts {
                id: ShardId(index as u8),
                settings: Arc::clone(&settings),
                registry: Arc::clone(&registry),
                counters: Arc::clone(&counters),
                mesh,
                wake,
                inbox,
                listeners,
                datagrams,
                connections_max,
            };
            let processor = settings.processors.get(index % settings.processors.len().max(1)).copied();
            let report = report.clone();
            let body = move || shard::run(parts, move |result| drop(report.send(result)));
            let thread = executor::spawn(&format!("shard-{index}"), processor, body).map_err(|error| {
                StartError::Shard(format!("{error}; check the locked-memory limit (ulimit -l)"))
            })?;
            engine.threads.push(thread);
            engine.doors.push(door);
            engine.counters.push(counters);
        }
        drop(report);
        for _ in 0..settings.shards {
            match reports.recv() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(StartError::Shard(error)),
                Err(_) => return Err(StartError::Shard("a shard ended while it started".to_owned())),
            }
        }
        Ok(engine)
    }

    /// What the server listens on.
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// The counters of each shard.
    pub fn counters(&self) -> &[Arc<Counters>] {
        &self.counters
    }

    /// The next event, in the order of happening. The notifier given at start says when there are some.
    pub fn next_event(&self) -> Option<records::Event> {
        None
    }

    /// Answers a question. An answer to a question that was given up is ignored.
    pub fn answer(&self, ticket: records::Ticket, verdict: access::Verdict) {
        let _ = (ticket, verdict);
    }

    /// Ends a session and its connection. Takes effect within a turn of its shard; the event tells when. Returns false
    /// when the shard has too much to do to be asked.
    pub fn kick_session(&self, id: records::Id) -> bool {
        let _ = id;
        false
    }

    /// Ends a connection and the sessions on it, as [`Engine::kick_session`].
    pub fn kick_connection(&self, id: records::Id) -> bool {
        let _ = id;
        false
    }

    /// What each shard is doing now.
    pub fn activities(&self) -> Vec<records::Activity> {
        Vec::new()
    }

    /// Starts or stops recording spans. A shard keeps the newest [`limits::SPANS_MAX`].
    pub fn record_spans(&self, on: bool) {
        let _ = on;
    }

    /// Takes the spans recorded so far.
    pub fn take_spans(&self) -> Vec<records::Span> {
        Vec::new()
    }

    /// Tells every session that the server ends, writes what is due, and waits for the shards, at most for `patience`.
    /// Returns whether all ended in time.
    pub fn shut_down(self, patience: Duration) -> bool {
        for door in &self.doors {
            door.ask(Ask::Shutdown);
        }
        let (ended, all_ended) = mpsc::channel();
        let threads = self.threads;
        std::thread::spawn(move || {
            let fine = threads.into_iter().map(ShardThread::join).filter(Result::is_err).count() == 0;
            let _ = ended.send(fine);
        });
        let deadline = Instant::now() + patience;
        all_ended.recv_timeout(deadline.saturating_duration_since(Instant::now())).unwrap_or(false)
    }
}

impl Sockets {
    fn open(settings: &Settings) -> Result<Sockets, StartError> {
        let shards = settings.shards;
        let mut sockets = Sockets {
            listeners: (0..shards).map(|_| Vec::new()).collect(),
            datagrams: Vec::new(),
            listening: Vec::new(),
        };
        if let Some(address) = settings.rtsp.address {
            sockets.listen("rtsp", address, None, shards)?;
        }
        if let Some((address, tls)) = &settings.rtsp.secure {
            sockets.listen("rtsps", *address, Some(tls), shards)?;
        }
        match settings.rtsp.datagrams {
            Some((rtp, rtcp)) => sockets.open_datagrams(rtp, rtcp, shards)?,
            None => sockets.datagrams = (0..shards).map(|_| DatagramSockets(None)).collect(),
        }
        Ok(sockets)
    }

    fn listen(
        &mut self,
        protocol: &'static str,
        address: SocketAddr,
        tls: Option<&Arc<rustls::ServerConfig>>,
        shards: usize,
    ) -> Result<(), StartError> {
        let fault = |error| listen_error(protocol, address, error);
        if listen::is_taken(address) {
            return Err(fault(io::ErrorKind::AddrInUse.into()));
        }
        let opened = with_fallback(address, |address| listen::tcp(address, shards)).map_err(fault)?;
        self.note(protocol, "tcp", &opened[0]).map_err(fault)?;
        for (listeners, socket) in self.listeners.iter_mut().zip(opened) {
            listeners.push(Listener { socket, tls: tls.cloned(), paused_until: None, exhausted: false });
        }
        Ok(())
    }

    fn open_datagrams(&mut self, rtp: SocketAddr, rtcp: SocketAddr, shards: usize) -> Result<(), StartError> {
        let fault = |error| listen_error("rtp and rtcp", rtp, error);
        for (protocol, address) in [("rtp", rtp), ("rtcp", rtcp)] {
            if listen::is_taken_udp(address) {
                return Err(listen_error(protocol, address, io::ErrorKind::AddrInUse.into()));
            }
        }
        let open = |rtp: SocketAddr| {
            let rtcp = if rtp.is_ipv6() { rtcp } else { listen::without_ipv6(rtcp).unwrap_or(rtcp) };
            listen::udp_pair(rtp, rtcp, shards)
        };
        let (rtp, rtcp) = with_fallback(rtp, open).map_err(fault)?;
        self.note("rtp", "udp", &rtp[0].socket).map_err(fault)?;
        self.note("rtcp", "udp", &rtcp[0].socket).map_err(fault)?;
        if !net::udp::segmentation_works(&rtp[0].socket) {
            tracing::warn!(
                "this kernel does not segment datagrams (UDP GSO); readers over UDP will cost more"
            );
        }
        let ports = |(rtp, rtcp): (Datagram, Datagram)| Ports::new(rtp, rtcp).map(Some).map(DatagramSockets);
        self.datagrams = rtp.into_iter().zip(rtcp).map(ports).collect::<io::Result<_>>().map_err(fault)?;
        Ok(())
    }

    fn note(&mut self, protocol: &'static str, transport: &'static str, socket: &Socket) -> io::Result<()> {
        self.listening.push(Listening { protocol, transport, address: listen::local(socket)? });
        Ok(())
    }
}

/// Opens on `address`, or on the IPv4 wildcard where the machine has no IPv6.
fn with_fallback<T>(address: SocketAddr, open: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    open(address).or_else(|error| match listen::without_ipv6(address) {
        Some(address) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => open(address),
        _ => Err(error),
    })
}

fn listen_error(protocol: &'static str, address: SocketAddr, error: io::Error) -> StartError {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "; another program uses this port: stop it or choose another address",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need the capability CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    };
    StartError::Listen { protocol, address, error, hint }
}

/// How many connections a shard may have open: its share of the descriptors.
fn connections_max(shards: usize) -> usize {
    let open_files = net::raise_open_files_limit().saturating_sub(limits::DESCRIPTORS_RESERVED);
    usize::try_from(open_files).unwrap_or(usize::MAX).div_ceil(shards).min(limits::CONNECTIONS_PER_SHARD_MAX)
}
