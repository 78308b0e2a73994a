//! Players: who watches a path over HLS.
//!
//! A session begins when a multivariant playlist is given out and ends when nothing has been asked for a while. Its secret
//! stands in the URIs of the playlist, or in a cookie; it is good for one path and one address. Any shard serves any
//! session: they stand in the [registry](crate::registry::Registry), counted by whoever serves them, and are watched
//! over by the shard that opened them.

use crate::limits;
use crate::mesh::ShardId;
use crate::modules::{Rejection, Request, Role};
use crate::net::Peer;
use crate::records::{self, Event, Id, Protocol, SessionCounts, SessionKind, SessionState, Transport};
use crate::registry::Live;
use crate::shard::{SessionSummary, Shard, State};
use crate::stream::{Description, StreamId};
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

slotmap::new_key_type! {
    /// A session's place on the shard that opened it.
    pub(crate) struct PlayerKey;
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) record: Arc<records::Session>,
    pub(crate) secret: Box<str>,
    /// `None` for a content delivery network, which asks from anywhere.
    ip: Option<IpAddr>,
    /// Let in without showing anything: its files need no secret.
    pub(crate) is_open: bool,
    /// What it watches, and where that is muxed: they outlast a publisher who is away for a moment.
    pub(crate) stream: StreamId,
    pub(crate) home: ShardId,
    description: Arc<Description>,
    opened: Instant,
    /// Milliseconds after `opened`.
    last_seen_ms: AtomicU64,
}

impl Session {
    pub(crate) fn is_cdn(&self) -> bool {
        self.record.kind == SessionKind::Cdn
    }

    /// Whether a request for `path` from `ip` belongs to this session.
    pub(crate) fn admits(&self, path: &str, ip: IpAddr) -> bool {
        *self.record.path == *path && self.ip.is_none_or(|known| known == ip)
    }

    /// Notes that it is alive.
    pub(crate) fn touch(&self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.opened).as_millis() as u64;
        self.last_seen_ms.store(elapsed, Ordering::Relaxed);
    }

    fn idle(&self, now: Instant) -> Duration {
        let last = self.opened + Duration::from_millis(self.last_seen_ms.load(Ordering::Relaxed));
        now.saturating_duration_since(last)
    }
}

impl State {
    /// Opens a session for a request that was let in. A content delivery network has one session per path and shard.
    ///
    /// # Errors
    /// The path has its maximum of readers, or this shard its maximum of players.
    pub(crate) fn open_player(
        &mut self,
        request: &Request,
        live: &Live,
        kind: SessionKind,
        is_open: bool,
    ) -> Result<Arc<Session>, Rejection> {
        if kind == SessionKind::Cdn
            && let Some(known) =
                self.players.values().find(|one| one.is_cdn() && one.record.path == request.path)
        {
            return Ok(Arc::clone(known));
        }
        if self.players.len() >= limits::HLS_SESSIONS_MAX {
            let reason = "this shard has its maximum of HLS sessions";
            return Err(Rejection::new(crate::modules::RejectionKind::Limit, reason));
        }
        let of_address = self.players_of.get(&request.peer.0.ip()).copied().unwrap_or(0);
        if of_address >= limits::HLS_SESSIONS_PER_ADDRESS_MAX && kind != SessionKind::Cdn {
            let reason = "this address has its maximum of HLS sessions";
            return Err(Rejection::new(crate::modules::RejectionKind::Limit, reason));
        }
        let description = &live.description;
        self.reserve_reader(request, description)?;
        *self.players_of.entry(request.peer.0.ip()).or_default() += 1;
        let (shard, now, peer) = (self.id, self.now, request.peer);
        let secret: Box<str> = crate::rtsp::session_id(shard);
        let key = self.players.insert_with_key(|key| {
            let record = Arc::new(records::Session {
                id: Id::new(shard, key),
                created: SystemTime::now(),
                protocol: Protocol::Hls,
                remote: peer.0,
                path: Arc::clone(&request.path),
                query: request.query.clone(),
                user: request.user.clone(),
                user_agent: request.user_agent.clone().unwrap_or_default(),
                kind,
                skipped: OnceLock::new(),
                counts: SessionCounts::default(),
            });
            Arc::new(Session {
                record,
                secret: secret.clone(),
                ip: (kind != SessionKind::Cdn).then(|| peer.0.ip()),
                is_open,
                stream: live.stream,
                home: live.home,
                description: Arc::clone(description),
                opened: now,
                last_seen_ms: AtomicU64::new(0),
            })
        });
        let session = Arc::clone(&self.players[key]);
        self.registry.add_player(&session);
        self.counters.sessions_opened.add(1);
        self.counters.sessions_open.add(1);
        let record = Arc::clone(&session.record);
        let id = record.id;
        tracing::info!(protocol = "hls", session = %id, peer = %peer, path = %record.path, "reading");
        self.tell(Event::SessionOpened { session: record, connection: None });
        self.tell(Event::SessionChanged { id, state: SessionState::Read, transport: Some(Transport::Tcp) });
        Ok(session)
    }

    /// The session of this shard with that id.
    pub(crate) fn player_by_id(&self, id: Id) -> Option<PlayerKey> {
        self.players.iter().find(|(_, session)| session.record.id == id).map(|(key, _)| key)
    }
}

impl Shard {
    /// Ends players that have not asked for anything for a while.
    pub(crate) fn check_players(&mut self) {
        let now = self.state.now;
        let idle: Vec<PlayerKey> = self
            .state
            .players
            .iter()
            .filter(|(_, session)| session.idle(now) >= limits::HLS_SESSION_IDLE)
            .map(|(key, _)| key)
            .collect();
        for key in idle {
            self.close_player(key, "it asks for nothing any more");
        }
    }

    /// Ends the players of a stream that is closed.
    pub(crate) fn close_players(&mut self, path: &str, reason: &str) {
        let of_path: Vec<PlayerKey> = self
            .state
            .players
            .iter()
            .filter(|(_, session)| *session.record.path == *path)
            .map(|(key, _)| key)
            .collect();
        for key in of_path {
            self.close_player(key, reason);
        }
    }

    pub(crate) fn close_player(&mut self, key: PlayerKey, reason: &str) {
        let Some(session) = self.state.players.remove(key) else { return };
        if let Entry::Occupied(mut count) = self.state.players_of.entry(session.record.remote.ip()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        self.state.registry.remove_player(&session.secret);
        session.description.readers.fetch_sub(1, Ordering::Relaxed);
        self.state.counters.sessions_open.sub(1);
        let record = &session.record;
        let summary = SessionSummary {
            id: record.id,
            protocol: record.protocol.name(),
            role: "reader",
            transport: "tcp",
            peer: Peer::new(record.remote),
            path: Arc::clone(&record.path),
            seconds: self.state.now.saturating_duration_since(session.opened).as_secs_f64(),
            bytes: record.counts.outbound_bytes.value(),
            skips: 0,
            reason: reason.into(),
        };
        for module in self.modules.each(Role::SessionClosing) {
            module.session_closing(&self.state, &summary);
        }
        self.state.tell(Event::SessionClosed { id: record.id, reason: summary.reason });
    }
}
