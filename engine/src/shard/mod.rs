//! A shard: one pinned thread and everything it owns. Nothing here is shared but the registry, the mesh's rings and the
//! counters.
//!
//! The shard is a loop of turns. A turn takes what the kernel, the other shards and the control core have for it, ends
//! the batches that were built meanwhile, and then flushes the streams that have something due: whatever arrived while
//! the last flush ran goes out together. When a turn finds nothing, the shard sleeps.

pub(crate) mod connection;
pub(crate) mod datagrams;
mod forms;
mod io;
pub(crate) mod machine;
mod media;
pub(crate) mod questions;
mod readers;
mod reconfigure;
mod records;
pub(crate) mod sessions;
pub(crate) mod streams;
mod tick;
pub(crate) mod walk;

use crate::counters::Counters;
use crate::door::{Ask, Events, Inbox};
use crate::hls::ask::Muxings;
use crate::hls::{Asks, PlayerKey, Writer};
use crate::limits;
use crate::mesh::{Mesh, ShardId};
use crate::modules::{MakeModules, Modules, Role, ServerState};
use crate::net::Peer;
use crate::records::{Phase, Protocol};
use crate::registry::Registry;
use crate::runtime::executor::{self, Sleep};
use crate::runtime::poller::{Event, Poller};
use crate::runtime::wake::Wake;
use crate::settings::Settings;
use crate::stream::{Stream, StreamId, StreamKey};
use crate::watch::{Recording, Watch};
use crate::web;
use bytes::BytesMut;
use connection::Connections;
use datagrams::{DatagramSockets, IngestSocket, Ports};
use headwater_protocols::{rtmp, rtsp};
use io::Target;
use questions::Questions;
use sessions::Session;
use slotmap::{SecondaryMap, SlotMap};
use socket2::Socket;
use std::collections::HashMap;
use std::io::Write as _;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

pub(crate) use sessions::SessionSummary;

slotmap::new_key_type! {
    pub(crate) struct ConnectionKey;
    pub(crate) struct SessionKey;
    pub(crate) struct IngestKey;
    pub(crate) struct ListenerKey;
}

/// Names a listener, the same on every shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListenerId(pub(crate) u32);

/// A listening socket.
pub(crate) struct Listener {
    pub(crate) id: ListenerId,
    pub(crate) protocol: Protocol,
    pub(crate) socket: Socket,
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    /// Lives as long as any shard has the listener open.
    pub(crate) _open: Arc<()>,
    /// Set while accepting pauses because the descriptor table was full.
    pub(crate) paused_until: Option<Instant>,
    /// The descriptor table was full at the last attempt; said once.
    pub(crate) exhausted: bool,
}

impl Listener {
    pub(crate) fn new(
        id: ListenerId,
        protocol: Protocol,
        socket: Socket,
        tls: Option<Arc<rustls::ServerConfig>>,
        open: Arc<()>,
    ) -> Listener {
        Listener { id, protocol, socket, tls, _open: open, paused_until: None, exhausted: false }
    }
}

/// What a shard is given at start.
pub(crate) struct Parts {
    pub(crate) id: ShardId,
    pub(crate) settings: Arc<Settings>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) mesh: Mesh,
    pub(crate) wake: Wake,
    pub(crate) inbox: Inbox,
    pub(crate) events: Arc<Events>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) datagrams: Option<Ports>,
    /// Makes the shard's modules.
    pub(crate) modules: MakeModules,
    /// Connections this shard may have open at most.
    pub(crate) connections_max: usize,
    pub(crate) segment_writer: Arc<Writer>,
}

/// Who a datagram from a known peer belongs to.
#[derive(Clone, Copy)]
pub(crate) struct PeerTrack {
    pub(crate) session: SessionKey,
    pub(crate) track: usize,
}

/// What new RTSP connections are held to.
fn rtsp_config(settings: &Settings) -> Arc<rtsp::server::Config> {
    Arc::new(rtsp::server::Config {
        server_header: "headwater".into(),
        idle_timeout: settings.read_timeout.max(settings.rtsp.session_timeout / 2),
    })
}

/// What new RTMP connections are held to.
fn rtmp_config(settings: &Settings) -> Arc<rtmp::server::Config> {
    Arc::new(rtmp::server::Config { idle_timeout: settings.read_timeout })
}

/// Everything a shard owns but its modules.
pub(crate) struct State {
    pub(crate) id: ShardId,
    pub(crate) settings: Arc<Settings>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) mesh: Mesh,
    pub(crate) poller: Poller,
    /// The time this turn began.
    pub(crate) now: Instant,
    pub(crate) listeners: SlotMap<ListenerKey, Listener>,
    pub(crate) connections: Connections,
    pub(crate) sessions: SlotMap<SessionKey, Session>,
    pub(crate) session_ids: HashMap<Box<str>, SessionKey>,
    pub(crate) streams: SlotMap<StreamKey, Stream>,
    pub(crate) streams_by_path: HashMap<Arc<str>, StreamKey>,
    pub(crate) streams_by_id: HashMap<StreamId, StreamKey>,
    pub(crate) datagrams: DatagramSockets,
    pub(crate) ingest_sockets: SlotMap<IngestKey, IngestSocket>,
    /// Datagram peers of this shard's sessions, by address, RTP and RTCP alike.
    pub(crate) peers: HashMap<Peer, PeerTrack>,
    /// Streams with something due.
    pub(crate) dirty: Vec<StreamKey>,
    /// Streams with a batch under way.
    pub(crate) ingesting: Vec<StreamKey>,
    /// Suspended requests to look at again.
    pub(crate) resumed: Vec<ConnectionKey>,
    /// Connections that had more to read than one turn allows.
    pub(crate) unread: Vec<ConnectionKey>,
    /// Datagram sockets of which the same is true.
    pub(crate) unread_datagrams: Vec<Target>,
    pub(crate) read_buffer: BytesMut,
    pub(crate) rtsp_config: Arc<rtsp::server::Config>,
    pub(crate) rtmp_config: Arc<rtmp::server::Config>,
    pub(crate) http_config: Arc<crate::http::Config>,
    /// The machines of HTTP connections.
    pub(crate) web: web::Connections,
    /// Requests for HLS that wait for their answer.
    pub(crate) hls_asks: Asks,
    /// Muxers of streams that are at home here.
    pub(crate) muxings: Muxings,
    pub(crate) segment_writer: Arc<Writer>,
    /// HLS players whose sessions were opened here.
    pub(crate) players: SlotMap<PlayerKey, Arc<crate::hls::Session>>,
    /// How many of them each address has.
    pub(crate) players_of: HashMap<IpAddr, usize>,
    pub(crate) zipped: web::Zipped,
    connections_max: usize,
    pub(crate) questions: Questions,
    events: Arc<Events>,
    /// Events wait to be told of.
    told: bool,
    /// Events were dropped; everything is to be told anew.
    census_due: bool,
    watch: Arc<Watch>,
    /// The phase of the turn, and since when (while spans are recorded).
    phase: (Phase, Instant),
    spans: Option<Recording>,
    ticks: u64,
    next_tick: Instant,
    /// Set when the shard is to end, with the time by which it must.
    closing: Option<Instant>,
}

/// A shard with its modules.
pub(crate) struct Shard {
    pub(crate) state: State,
    pub(crate) modules: Modules,
    make_modules: MakeModules,
    inbox: Inbox,
    events: Vec<Event>,
}

/// Runs a shard to its end. Must be called on the shard's thread.
pub(crate) async fn run(parts: Parts, started: impl FnOnce(Result<(), String>)) {
    let id = parts.id;
    let wake = parts.wake.clone();
    let prepared = Shard::new(parts).and_then(|shard| {
        let sleep = Sleep::new(&wake).map_err(|error| format!("the shard's wake-up file: {error}"))?;
        Ok((shard, sleep))
    });
    let (mut shard, sleep) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return started(Err(format!("shard {}: {error}", id.0))),
    };
    started(Ok(()));
    let alarm = Alarm(id);
    while !shard.turn_contained() {
        if shard.state.may_sleep() {
            shard.state.watch.begin(Instant::now(), Phase::Sleep);
            if let Err(error) = sleep.until_signalled().await {
                tracing::error!(shard = id.0, "the shard cannot sleep: {error}");
                return;
            }
            shard.state.mesh.awake();
            shard.state.poller.disarm();
        } else {
            executor::yield_if_needed().await;
        }
    }
    std::mem::forget(alarm);
    sleep.close().await;
}

/// Ends the process when a shard ends unasked: its paths would stay claimed and the others would send to nobody.
struct Alarm(ShardId);

impl Drop for Alarm {
    fn drop(&mut self) {
        // Not through the log, which is written by a thread that ends here too.
        let _ = writeln!(std::io::stderr(), "shard {} ended unexpectedly; the server ends with it", self.0.0);
        std::process::abort();
    }
}

impl Shard {
    fn new(parts: Parts) -> Result<Shard, String> {
        let poller = Poller::new(&parts.wake).map_err(|error| {
            format!("the kernel refuses io_uring ({error}); Headwater needs Linux 5.13 or later with io_uring enabled")
        })?;
        let now = Instant::now();
        let mut state = State {
            id: parts.id,
            rtsp_config: rtsp_config(&parts.settings),
            rtmp_config: rtmp_config(&parts.settings),
            http_config: web::config(&parts.settings),
            web: SecondaryMap::new(),
            hls_asks: Asks::default(),
            muxings: Muxings::new(),
            segment_writer: parts.segment_writer,
            players: SlotMap::with_key(),
            players_of: HashMap::new(),
            zipped: web::Zipped::default(),
            settings: parts.settings,
            registry: parts.registry,
            counters: parts.counters,
            mesh: parts.mesh,
            poller,
            now,
            listeners: SlotMap::with_key(),
            connections: SlotMap::with_key(),
            sessions: SlotMap::with_key(),
            session_ids: HashMap::new(),
            streams: SlotMap::with_key(),
            streams_by_path: HashMap::new(),
            streams_by_id: HashMap::new(),
            datagrams: DatagramSockets::default(),
            ingest_sockets: SlotMap::with_key(),
            peers: HashMap::new(),
            dirty: Vec::new(),
            ingesting: Vec::new(),
            resumed: Vec::new(),
            unread: Vec::new(),
            unread_datagrams: Vec::new(),
            read_buffer: BytesMut::with_capacity(limits::READ_BUFFER_BYTES),
            connections_max: parts.connections_max,
            questions: Questions::default(),
            events: parts.events,
            told: false,
            census_due: false,
            watch: parts.watch,
            phase: (Phase::Sleep, now),
            spans: None,
            ticks: 0,
            next_tick: now + limits::TICK,
            closing: None,
        };
        state.watch(parts.listeners);
        state.replace_datagrams(parts.datagrams);
        let make_modules = parts.modules;
        let mut modules = make_modules()?;
        for module in modules.each(Role::StateChange) {
            module.state_change(ServerState::Running);
        }
        Ok(Shard { state, modules, make_modules, inbox: parts.inbox, events: Vec::new() })
    }

    /// One turn. A panic outside of any session is counted, and the shard goes on with the next turn.
    fn turn_contained(&mut self) -> bool {
        match catch_unwind(AssertUnwindSafe(|| self.turn())) {
            Ok(finished) => finished,
            Err(_) => {
                self.state.counters.session_panics.add(1);
                tracing::error!(shard = self.state.id.0, "a turn of the shard panicked; please report this");
                self.restore_modules();
                self.state.look_at_everything();
                false
            }
        }
    }

    /// Replaces the modules after a panic while they were lent to a walk.
    pub(crate) fn restore_modules(&mut self) {
        if self.modules.len() == 0 {
            self.modules = (self.make_modules)().unwrap_or_default();
        }
    }

    /// One turn. Returns whether the shard is at its end.
    fn turn(&mut self) -> bool {
        let start = Instant::now();
        self.state.begin_turn(start);
        self.take_events();
        self.state.enter(Phase::Mesh);
        let mut messages = 0;
        while let Some(message) = self.state.mesh.receive() {
            messages += 1;
            self.mesh_message(message);
        }
        self.state.enter(Phase::Asks);
        while let Some(ask) = self.inbox.take() {
            self.asked(ask);
        }
        self.state.enter(Phase::Read);
        self.read_on();
        self.expire_reordering();
        self.state.enter(Phase::Requests);
        self.resume_requests();
        self.answer_players();
        if self.state.now >= self.state.next_tick {
            self.state.enter(Phase::Tick);
            // First, so that a tick that panics is not met again in the next turn.
            self.state.next_tick = self.state.now + limits::TICK;
            self.tick();
        }
        self.state.enter(Phase::Publish);
        self.state.finish_batches();
        self.answer_players();
        self.state.enter(Phase::Flush);
        self.flush();
        self.state.rearm();
        self.state.end_turn(start, messages);
        self.state.is_finished()
    }

    fn take_events(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        if let Err(error) = self.state.poller.poll(&mut events) {
            tracing::error!(shard = self.state.id.0, "polling failed: {error}");
        }
        for event in events.drain(..) {
            self.event(event);
        }
        self.events = events;
    }

    fn asked(&mut self, ask: Ask) {
        match ask {
            Ask::Shutdown => self.shut_down(),
            Ask::Reconfigure(change) => self.reconfigure(*change),
            Ask::KickSession(id) => {
                if let Some(key) = self.state.session_by_id(id) {
                    self.close_session_and_connection(key, "kicked");
                } else if let Some(key) = self.state.player_by_id(id) {
                    self.close_player(key, "kicked");
                }
            }
            Ask::KickConnection(id) => {
                if let Some(key) = self.state.connection_by_id(id) {
                    self.close_connection(key, "kicked");
                }
            }
            Ask::Answer { question, verdict } => self.state.answered(question, *verdict),
            Ask::RecordSpans(spans) => self.state.spans = spans,
        }
    }

    /// Tells every session, sends what is due, and lets the loop end when all is written.
    fn shut_down(&mut self) {
        if self.state.closing.is_some() {
            return;
        }
        self.state.closing = Some(self.state.now + limits::SHUTDOWN_FLUSH);
        for module in self.modules.each(Role::StateChange) {
            module.state_change(ServerState::ShuttingDown);
        }
        self.state.stop_listening();
        self.state.finish_batches();
        self.flush();
        self.state.say_goodbye();
        self.close_all_sessions("the server is shutting down");
        self.state.close_muxers("the server is shutting down");
    }
}

impl State {
    /// Whether the shard is to end.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    fn begin_turn(&mut self, now: Instant) {
        self.now = now;
        self.counters.turns.add(1);
        self.phase = (Phase::Events, now);
        self.watch.begin(now, Phase::Events);
    }

    /// Goes on to another phase of the turn.
    fn enter(&mut self, phase: Phase) {
        if let Some(spans) = &self.spans {
            self.phase.1 = self.watch.span(spans, self.phase.0, self.phase.1);
        }
        self.phase.0 = phase;
        self.watch.enter(phase);
    }

    fn end_turn(&mut self, start: Instant, messages: u64) {
        if let Some(spans) = &self.spans {
            self.watch.span(spans, self.phase.0, self.phase.1);
        }
        if std::mem::take(&mut self.told) {
            self.events.notify();
        }
        let elapsed = start.elapsed();
        let histograms = &self.counters.histograms;
        histograms.turn_seconds.observe(elapsed.as_secs_f64(), 1);
        if messages > 0 {
            histograms.ring_depth.observe(messages as f64, 1);
        }
        if elapsed.as_millis() >= 10 {
            self.counters.turns_stalled.add(1);
        }
    }

    /// After a turn that was cut short: whatever it held in its hands is looked at again.
    fn look_at_everything(&mut self) {
        self.dirty.clear();
        let streams: Vec<_> = self.streams.keys().collect();
        for key in streams {
            self.streams[key].dirty = false;
            self.mark_dirty(key);
        }
        self.unread = self.connections.keys().collect();
        for connection in self.connections.values_mut() {
            connection.unread = true;
        }
        self.unread_datagrams = self.ingest_sockets.keys().map(Target::Ingest).collect();
        for ports in self.datagrams.keys() {
            self.unread_datagrams.extend([false, true].map(|rtcp| Target::Datagrams { ports, rtcp }));
        }
    }

    /// Whether nothing is left to do before the next signal; announces the sleep.
    fn may_sleep(&mut self) -> bool {
        let quiet = self.unread.is_empty()
            && self.unread_datagrams.is_empty()
            && self.resumed.is_empty()
            && !self.hls_asks.has_ready()
            && !self.dirty_now()
            && !self
                .listeners
                .values()
                .any(|listener| listener.paused_until.is_some_and(|at| at <= self.now));
        if quiet && self.poller.arm() {
            if self.mesh.may_sleep() {
                return true;
            }
            self.poller.disarm();
        }
        false
    }

    fn dirty_now(&self) -> bool {
        self.dirty.iter().filter_map(|key| self.streams.get(*key)?.flush_at()).any(|at| at <= self.now)
    }

    /// Sets the timer for whatever comes first, and wakes the shards that were sent something.
    fn rearm(&mut self) {
        let counters = Arc::clone(&self.counters);
        let mut deadline = self.next_tick;
        if self.mesh.flush(&counters) {
            deadline = deadline.min(self.now + std::time::Duration::from_millis(1));
        }
        for key in &self.dirty {
            if let Some(at) = self.streams.get(*key).and_then(Stream::flush_at) {
                deadline = deadline.min(at);
            }
        }
        for until in self.listeners.values().filter_map(|listener| listener.paused_until) {
            deadline = deadline.min(until);
        }
        if self.closing.is_some() {
            deadline = deadline.min(self.now + limits::SHUTDOWN_LOOK);
        }
        for socket in self.ingest_sockets.values() {
            if let Some(timeout) = socket.reorder.poll_timeout() {
                deadline = deadline.min(timeout);
            }
        }
        self.poller.wake_at(self.now, deadline);
    }

    /// Whether the shard is to end: everything it sent has arrived, or the time for that is over.
    fn is_finished(&self) -> bool {
        self.closing.is_some_and(|deadline| {
            self.now >= deadline || self.connections.values().all(|connection| connection.is_delivered())
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Parts, Shard, State, Writer};
    use crate::counters::Counters;
    use crate::door::{Door, Events};
    use crate::mesh::{Mesh, ShardId};
    use crate::modules::Modules;
    use crate::registry::Registry;
    use crate::runtime::wake::Wake;
    use crate::settings::Settings;
    use crate::watch::Watch;
    use std::sync::Arc;
    use std::time::Instant;

    /// The state of a shard that listens nowhere and whose loop does not run.
    pub(crate) fn state() -> State {
        let wake = Wake::new().expect("an eventfd");
        let (_, inbox) = Door::new(wake.clone());
        let parts = Parts {
            id: ShardId(0),
            settings: Arc::new(Settings::default()),
            registry: Arc::new(Registry::new()),
            counters: Arc::new(Counters::default()),
            mesh: Mesh::connect(std::slice::from_ref(&wake)).remove(0),
            wake,
            inbox,
            events: Arc::new(Events::new(Box::new(|| {}))),
            watch: Arc::new(Watch::new(0, Instant::now())),
            listeners: Vec::new(),
            datagrams: None,
            modules: Modules::built_in,
            connections_max: 10,
            segment_writer: Arc::new(Writer::new()),
        };
        Shard::new(parts).expect("a shard").state
    }
}
