//! The engine: shards, mesh, streams, sessions and modules.
//!
//! ```text
//! lib (Engine)  starts shards and hands the control core its door
//! ├── shard     one thread's state and loop: connections, sessions, streams, housekeeping
//! ├── stream    batches, log, cursors, ingest, flush
//! ├── rtsp      RTSP sessions between connections and streams; rtmp the same for RTMP
//! ├── web       requests on the HTTP listener    ├── hls  muxers and players
//! ├── modules   the walk of a request, and the modules that take part
//! ├── mesh      rings between shards        ├── registry  which shard is home to which path
//! ├── net       sockets and system calls    ├── runtime   glommio and io_uring, nowhere else
//! ├── http      HTTP/1.1 and HTTP/2 connections, by hyper
//! └── counters, limits, settings, door
//! ```
//! It knows nothing of configuration files, HTTP APIs or databases; those are the control core's, which reaches it
//! through [`Engine`] alone.

pub mod access;
pub mod counters;
mod door;
mod hls;
mod http;
pub mod limits;
mod listeners;
mod mesh;
mod modules;
mod net;
pub mod records;
mod registry;
mod rtmp;
mod rtsp;
mod runtime;
pub mod settings;
mod shard;
mod stream;
mod watch;
mod web;

pub use counters::Counters;
pub use settings::Settings;

use crossbeam::queue::ArrayQueue;
use door::{Ask, DatagramChange, Door, Events, Reconfiguration};
use hls::Writer;
use listeners::Open;
use mesh::{Mesh, ShardId};
use modules::{MakeModules, Modules};
use registry::Registry;
use runtime::executor::{self, ShardThread};
use runtime::wake::Wake;
use shard::Parts;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};
use watch::{Recording, Watch};

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
    /// The name of a [`records::Protocol`], `rtp` or `rtcp`.
    pub protocol: &'static str,
    /// `tcp` or `udp`.
    pub transport: &'static str,
    /// With the port the kernel chose where 0 was asked for.
    pub address: SocketAddr,
}

/// The running engine. All of it may be used from any thread, and nothing here waits for a shard but
/// [`Engine::shut_down`].
pub struct Engine {
    threads: Mutex<Vec<ShardThread>>,
    doors: Vec<Door>,
    counters: Vec<Arc<Counters>>,
    watches: Vec<Arc<Watch>>,
    events: Arc<Events>,
    open: Mutex<Open>,
    recording: Mutex<Option<Recording>>,
    segment_writer: Arc<Writer>,
}

impl Engine {
    /// Opens the sockets and starts the shards. `notify` is called by shards whenever there are events; it must not block.
    ///
    /// # Errors
    /// An impossible setting; an address in use; a kernel without io_uring.
    pub fn start(
        settings: Settings,
        notify: impl Fn() + Send + Sync + 'static,
    ) -> Result<Engine, StartError> {
        Engine::start_with(settings, Box::new(notify), Modules::built_in)
    }

    fn start_with(
        settings: Settings,
        notify: Box<dyn Fn() + Send + Sync>,
        modules: MakeModules,
    ) -> Result<Engine, StartError> {
        settings.check().map_err(StartError::Settings)?;
        let settings = Arc::new(settings);
        let change = Open::default().change(&settings)?;
        let wakes: Vec<Wake> = (0..settings.shards)
            .map(|_| Wake::new())
            .collect::<io::Result<_>>()
            .map_err(|error| StartError::Shard(error.to_string()))?;
        let registry = Arc::new(Registry::new());
        let connections_max = connections_max(settings.shards);
        let started = Instant::now();
        let (report, reports) = mpsc::channel();
        let mut threads = Vec::new();
        let mut engine = Engine {
            threads: Mutex::default(),
            doors: Vec::new(),
            counters: Vec::new(),
            watches: Vec::new(),
            events: Arc::new(Events::new(notify)),
            open: Mutex::new(change.after),
            recording: Mutex::default(),
            segment_writer: Arc::new(Writer::new()),
        };
        engine.prepare_segments(&settings)?;
        let ends = Mesh::connect(&wakes).into_iter().zip(change.open).zip(change.datagrams).zip(wakes);
        for (index, (((mesh, listeners), datagrams), wake)) in ends.enumerate() {
            let counters = Arc::new(Counters::default());
            let watch = Arc::new(Watch::new(index as u8, started));
            let (door, inbox) = Door::new(wake.clone());
            let parts = Parts {
                id: ShardId(index as u8),
                settings: Arc::clone(&settings),
                registry: Arc::clone(&registry),
                counters: Arc::clone(&counters),
                mesh,
                wake,
                inbox,
                events: Arc::clone(&engine.events),
                watch: Arc::clone(&watch),
                listeners,
                datagrams: match datagrams {
                    DatagramChange::Replace(ports) => ports.map(|ports| *ports),
                    DatagramChange::Keep => None,
                },
                modules,
                connections_max,
                segment_writer: Arc::clone(&engine.segment_writer),
            };
            let processor = settings.processors.get(index % settings.processors.len().max(1)).copied();
            let report = report.clone();
            let body = move || shard::run(parts, move |result| drop(report.send(result)));
            let thread = executor::spawn(&format!("shard-{index}"), processor, body).map_err(|error| {
                StartError::Shard(format!("{error}; check the locked-memory limit (ulimit -l)"))
            })?;
            threads.push(thread);
            engine.doors.push(door);
            engine.counters.push(counters);
            engine.watches.push(watch);
        }
        drop(report);
        for _ in 0..settings.shards {
            match reports.recv() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(StartError::Shard(error)),
                Err(_) => return Err(StartError::Shard("a shard ended while it started".to_owned())),
            }
        }
        *lock(&engine.threads) = threads;
        Ok(engine)
    }

    /// Puts new settings in force on every shard, within a turn of each. Listeners that stay are not touched, sessions of
    /// listeners that close go on, and streams of paths that exist no more end. The number of shards and their
    /// processors stay as they are.
    ///
    /// # Errors
    /// An impossible setting, or an address that cannot be listened on: then nothing has changed.
    pub fn apply(&self, settings: Settings) -> Result<(), StartError> {
        let settings = Settings { shards: self.doors.len(), ..settings };
        settings.check().map_err(StartError::Settings)?;
        self.prepare_segments(&settings)?;
        let settings = Arc::new(settings);
        let mut open = lock(&self.open);
        let change = open.change(&settings)?;
        *open = change.after;
        for ((door, open), datagrams) in self.doors.iter().zip(change.open).zip(change.datagrams) {
            let settings = Arc::clone(&settings);
            let close = change.close.clone();
            door.must(Ask::Reconfigure(Box::new(Reconfiguration { settings, open, close, datagrams })));
        }
        Ok(())
    }

    /// Starts what writes segments to disk, where that is asked for.
    fn prepare_segments(&self, settings: &Settings) -> Result<(), StartError> {
        if settings.http.hls.directory.is_none() {
            return Ok(());
        }
        let started = self.segment_writer.start();
        started.map_err(|error| StartError::Settings(format!("no thread to write segments to disk: {error}")))
    }

    /// What the server listens on.
    pub fn listening(&self) -> Vec<Listening> {
        lock(&self.open).listening()
    }

    /// The counters of each shard.
    pub fn counters(&self) -> &[Arc<Counters>] {
        &self.counters
    }

    /// The next event, in the order of happening. The notifier given at start says when there are some.
    pub fn next_event(&self) -> Option<records::Event> {
        self.events.take()
    }

    /// Events that wait to be taken.
    pub fn events_waiting(&self) -> usize {
        self.events.waiting()
    }

    /// Answers a question. An answer to a question that was given up is ignored.
    pub fn answer(&self, ticket: records::Ticket, verdict: access::Verdict) {
        if let Some(door) = self.doors.get(usize::from(ticket.shard)) {
            door.must(Ask::Answer { question: ticket.number, verdict: Box::new(verdict) });
        }
    }

    /// Ends a session and its connection. Takes effect within a turn of its shard; the event tells when. Returns false
    /// when the shard has too much to do to be asked.
    pub fn kick_session(&self, id: records::Id) -> bool {
        self.doors.get(id.shard().index()).is_some_and(|door| door.ask(Ask::KickSession(id)))
    }

    /// Ends a connection and the sessions on it, as [`Engine::kick_session`].
    pub fn kick_connection(&self, id: records::Id) -> bool {
        // It may have moved to another shard since it was accepted.
        let asked = self.doors.iter().filter(|door| door.ask(Ask::KickConnection(id))).count();
        asked == self.doors.len()
    }

    /// What each shard is doing now.
    pub fn activities(&self) -> Vec<records::Activity> {
        let shards = self.watches.iter().zip(&self.doors).zip(&self.counters);
        shards
            .map(|((watch, door), counters)| watch.activity(counters.turns.value(), door.waiting()))
            .collect()
    }

    /// Starts or stops recording spans. The newest [`limits::SPANS_MAX`] of all shards are kept.
    pub fn record_spans(&self, on: bool) {
        let recording = on.then(|| Arc::new(ArrayQueue::new(limits::SPANS_MAX)));
        for door in &self.doors {
            door.must(Ask::RecordSpans(recording.clone()));
        }
        if on {
            *lock(&self.recording) = recording;
        }
    }

    /// Takes the spans recorded so far.
    pub fn take_spans(&self) -> Vec<records::Span> {
        let recording = lock(&self.recording);
        recording.iter().flat_map(|spans| std::iter::from_fn(|| spans.pop())).collect()
    }

    /// Tells every session that the server ends, writes what is due, and waits for the shards, at most for `patience`.
    /// Returns whether all ended in time.
    pub fn shut_down(&self, patience: Duration) -> bool {
        for door in &self.doors {
            door.must(Ask::Shutdown);
        }
        let (ended, all_ended) = mpsc::channel();
        let threads = std::mem::take(&mut *lock(&self.threads));
        let segment_writer = Arc::clone(&self.segment_writer);
        std::thread::spawn(move || {
            let fine = threads.into_iter().map(ShardThread::join).filter(Result::is_err).count() == 0;
            // Now nothing more can come for it.
            segment_writer.end();
            let _ = ended.send(fine);
        });
        let deadline = Instant::now() + patience;
        all_ended.recv_timeout(deadline.saturating_duration_since(Instant::now())).unwrap_or(false)
    }
}

/// What the kernel's io_uring offers, by name (`fastPoll`, …). Makes a small ring, which takes a moment.
///
/// # Errors
/// The kernel refuses io_uring.
pub fn io_uring_features() -> io::Result<Vec<&'static str>> {
    runtime::poller::features()
}

/// A panic while one of these locks was held leaves what it guards whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many connections a shard may have open: its share of the descriptors.
fn connections_max(shards: usize) -> usize {
    let open_files = net::raise_open_files_limit().saturating_sub(limits::DESCRIPTORS_RESERVED);
    usize::try_from(open_files).unwrap_or(usize::MAX).div_ceil(shards).min(limits::CONNECTIONS_PER_SHARD_MAX)
}

#[cfg(test)]
mod tests {
    use super::{Engine, Settings, StartError};
    use crate::modules::{LiveReflector, Module, Modules, Role};
    use crate::settings::Rtsp;
    use std::net::{Ipv4Addr, SocketAddr, TcpStream};
    use std::time::{Duration, Instant};

    struct Usurper;

    impl Module for Usurper {
        fn name(&self) -> &'static str {
            "usurper"
        }

        fn roles(&self) -> &'static [Role] {
            &[Role::Request]
        }
    }

    #[test]
    fn a_second_owner_of_request_stops_start_up() {
        let modules = || Modules::new(vec![Box::new(LiveReflector), Box::new(Usurper)]);
        match Engine::start_with(Settings::default(), Box::new(|| {}), modules) {
            Err(StartError::Shard(error)) => {
                assert!(error.contains("live-reflector") && error.contains("usurper"), "{error}");
            }
            Err(other) => panic!("another error: {other}"),
            Ok(_) => panic!("two owners of request were accepted"),
        }
    }

    #[test]
    fn a_listener_moves_and_a_change_that_fails_changes_nothing() {
        let at = |port| Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let with = |address| Settings { rtsp: Rtsp { address, ..Rtsp::default() }, ..Settings::default() };
        let engine = Engine::start(with(at(0)), || {}).expect("the engine starts");
        let first = engine.listening()[0].address;
        let old = TcpStream::connect(first).expect("the first port is open");
        let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = taken.local_addr().expect("bound").port();
        assert!(engine.apply(with(at(port))).is_err(), "a port that is taken");
        assert_eq!(engine.listening()[0].address, first);
        drop(taken);
        engine.apply(with(at(port))).expect("the port is free now");
        assert_eq!(engine.listening()[0].address.port(), port);
        TcpStream::connect(engine.listening()[0].address).expect("the new port is open");
        let deadline = Instant::now() + Duration::from_secs(5);
        while TcpStream::connect(first).is_ok() {
            assert!(Instant::now() < deadline, "the old port stays open");
            std::thread::yield_now();
        }
        old.set_nonblocking(true).expect("a socket");
        let mut byte = [0];
        let still_open = std::io::Read::read(&mut (&old), &mut byte);
        assert_eq!(still_open.map_err(|error| error.kind()), Err(std::io::ErrorKind::WouldBlock));
        assert!(engine.shut_down(Duration::from_secs(5)));
    }
}
