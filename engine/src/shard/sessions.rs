//! Sessions: what one client does with one path, from its first request to its end.
//!
//! A session usually lives on one connection. Over UDP it may outlive it, and be controlled from another one
//! (RFC 2326, section 1.1); interleaved on a connection it ends with it.

use super::connection::Connection;
use super::datagrams::PortsKey;
use super::{ConnectionKey, IngestKey, PeerTrack, SessionKey, Shard, State};
use crate::mesh::Message;
use crate::modules::{Request, Role};
use crate::net::Peer;
use crate::records::{self, Event, Id};
use crate::stream::reader::Sink;
use crate::stream::{CloseReason, Reader, ReaderKey, Side, StreamKey};
use headwater_protocols::rtsp::session as machine;
use headwater_protocols::rtsp::session::TrackTransport;
use headwater_protocols::track::Track;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

/// The publishing side of a session.
pub(crate) struct Publisher {
    pub(crate) tracks: Vec<Track>,
    /// `a=control` of each track (RTSP, as the four after it).
    pub(crate) controls: Vec<Option<String>>,
    /// What the controls are relative to.
    pub(crate) base: Box<str>,
    /// RTP and RTCP channel and track, for what comes interleaved.
    pub(crate) channels: Vec<(u8, u8, usize)>,
    /// Own sockets, for what comes over UDP.
    pub(crate) sockets: Vec<IngestKey>,
    pub(crate) last_media: Instant,
    pub(crate) next_report: Instant,
    pub(crate) received_bytes: u64,
    pub(crate) received_packets: u64,
    pub(crate) packets_in_error: u64,
    /// What the stream had lost before this publisher.
    pub(crate) lost_before: u64,
    /// Lost packets that have been counted.
    pub(crate) lost_seen: u64,
}

/// What controls a session, by protocol.
pub(crate) enum Control {
    Rtsp(machine::Session),
    /// The session is its connection, as in RTMP and endless streams over HTTP.
    Connection,
}

pub(crate) struct Session {
    pub(crate) record: Arc<records::Session>,
    pub(crate) control: Control,
    pub(crate) connection: Option<ConnectionKey>,
    pub(crate) peer: Peer,
    /// The address the client asked; answers and media leave from it.
    pub(crate) local: SocketAddr,
    /// The server's ports its datagrams use.
    pub(crate) ports: Option<PortsKey>,
    pub(crate) path: Arc<str>,
    pub(crate) stream: Option<StreamKey>,
    pub(crate) reader: Option<ReaderKey>,
    /// Packets lost of each track, as the client reports.
    pub(crate) reported_lost: Vec<u32>,
    pub(crate) publisher: Option<Box<Publisher>>,
    /// The last request, RTCP or media.
    pub(crate) last_seen: Instant,
    pub(crate) opened: Instant,
}

/// A session at its end, for modules.
pub(crate) struct SessionSummary {
    /// As the API names it; the session id of the protocol is a secret.
    pub(crate) id: Id,
    pub(crate) protocol: &'static str,
    pub(crate) role: &'static str,
    pub(crate) transport: &'static str,
    pub(crate) peer: Peer,
    pub(crate) path: Arc<str>,
    pub(crate) seconds: f64,
    /// Received from a publisher or sent to a reader.
    pub(crate) bytes: u64,
    /// Skips of a slow reader.
    pub(crate) skips: u32,
    pub(crate) reason: Box<str>,
}

impl Publisher {
    pub(crate) fn new(tracks: Vec<Track>, now: Instant) -> Publisher {
        Publisher {
            tracks,
            controls: Vec::new(),
            base: Box::default(),
            channels: Vec::new(),
            sockets: Vec::new(),
            last_media: now,
            next_report: now + crate::limits::REPORT_INTERVAL,
            received_bytes: 0,
            received_packets: 0,
            packets_in_error: 0,
            lost_before: 0,
            lost_seen: 0,
        }
    }
}

impl Session {
    pub(crate) fn protocol(&self) -> &'static str {
        self.record.protocol.name()
    }

    /// The machine of an RTSP session.
    pub(crate) fn rtsp(&self) -> Option<&machine::Session> {
        match &self.control {
            Control::Rtsp(machine) => Some(machine),
            Control::Connection => None,
        }
    }

    pub(crate) fn rtsp_mut(&mut self) -> Option<&mut machine::Session> {
        match &mut self.control {
            Control::Rtsp(machine) => Some(machine),
            Control::Connection => None,
        }
    }

    /// The tracks an RTSP client has set up; none for other protocols.
    pub(crate) fn tracks(&self) -> impl Iterator<Item = (usize, &TrackTransport)> {
        self.rtsp().into_iter().flat_map(machine::Session::tracks)
    }

    /// Whether media flow.
    pub(crate) fn is_active(&self) -> bool {
        match &self.control {
            Control::Rtsp(machine) => machine.is_active(),
            Control::Connection => self.reader.is_some() || self.publisher.is_some(),
        }
    }

    pub(crate) fn transport(&self) -> &'static str {
        match (&self.control, self.tracks().next()) {
            (Control::Connection, _) | (_, Some((_, TrackTransport::Interleaved { .. }))) => "tcp",
            (_, Some((_, TrackTransport::Udp { .. }))) => "udp",
            (_, None) => "none",
        }
    }

    pub(crate) fn uses_datagrams(&self) -> bool {
        self.transport() == "udp"
    }

    /// The client's RTP and RTCP addresses of each track over UDP.
    pub(crate) fn datagram_peers(&self) -> impl Iterator<Item = (usize, Peer, Peer)> {
        let peer = self.peer;
        self.tracks().filter_map(move |(track, transport)| match transport {
            TrackTransport::Udp { client_rtp, client_rtcp } => {
                Some((track, peer.with_port(*client_rtp), peer.with_port(*client_rtcp)))
            }
            TrackTransport::Interleaved { .. } => None,
        })
    }
}

/// The record of a new session.
fn session_record(id: Id, on: &Connection, request: &Request) -> records::Session {
    records::Session {
        id,
        created: SystemTime::now(),
        protocol: on.protocol(),
        remote: on.peer.0,
        path: Arc::clone(&request.path),
        query: request.query.clone(),
        user: request.user.clone(),
        user_agent: request.user_agent.clone().unwrap_or_default(),
        kind: request.kind,
        skipped: OnceLock::new(),
        counts: records::SessionCounts::default(),
    }
}

impl State {
    /// Opens a session on a connection.
    pub(crate) fn open_session(
        &mut self,
        connection: ConnectionKey,
        control: Control,
        request: &Request,
        stream: Option<StreamKey>,
        publisher: Option<Box<Publisher>>,
    ) -> Option<SessionKey> {
        let on = self.connections.get(connection)?;
        if on.sessions.len() >= crate::limits::SESSIONS_PER_CONNECTION_MAX {
            return None;
        }
        let shard = self.id;
        let id = match &control {
            Control::Rtsp(machine) => Some(Box::from(machine.id())),
            Control::Connection => None,
        };
        let key = self.sessions.insert_with_key(|key| Session {
            record: Arc::new(session_record(Id::new(shard, key), on, request)),
            control,
            connection: Some(connection),
            peer: on.peer,
            local: on.local,
            ports: None,
            path: Arc::clone(&request.path),
            stream,
            reader: None,
            reported_lost: Vec::new(),
            publisher,
            last_seen: self.now,
            opened: self.now,
        });
        if let Some(on) = self.connections.get_mut(connection) {
            on.sessions.push(key);
            on.machine.set_attached(true);
            let (session, connection) = (Arc::clone(&self.sessions[key].record), Some(on.record.id));
            self.tell(Event::SessionOpened { session, connection });
        }
        if let Some(id) = id {
            self.session_ids.insert(id, key);
        }
        self.counters.sessions_opened.add(1);
        self.counters.sessions_open.add(1);
        Some(key)
    }

    fn disown_datagram_peers(&mut self, key: SessionKey, session: &Session) {
        for (_, rtp, rtcp) in session.datagram_peers() {
            for peer in [rtp, rtcp] {
                // A newer session of the same client may have taken the ports over.
                if self.peers.get(&peer).is_some_and(|owner| owner.session == key) {
                    self.peers.remove(&peer);
                    self.registry.disown_peer(peer, self.id);
                }
            }
        }
    }

    fn detach_from_connection(&mut self, key: SessionKey, session: &Session) {
        let connection = session.connection.and_then(|connection| self.connections.get_mut(connection));
        if let Some(connection) = connection {
            connection.sessions.retain(|other| *other != key);
            if connection.sessions.is_empty() {
                connection.machine.set_attached(false);
            }
        }
    }

    /// Gives back the place that a reader took of its path's `maxReaders`.
    fn give_up_reading(&self, session: &Session) {
        if let (None, Some(stream)) =
            (&session.publisher, session.stream.and_then(|key| self.streams.get(key)))
        {
            stream.description.readers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn remove_reader(&mut self, session: &Session) -> Option<Reader> {
        let stream = self.streams.get_mut(session.stream?)?;
        let reader = stream.readers.remove(session.reader?)?;
        if let Sink::Body { connection, exchange } = reader.sink {
            self.finish_body(connection, exchange);
        }
        Some(reader)
    }

    /// Lets go of a publisher's sockets and of its path. Returns the stream when it has to be closed.
    fn end_publisher(&mut self, key: SessionKey, session: &Session) -> Option<StreamKey> {
        let publisher = session.publisher.as_ref()?;
        for socket in &publisher.sockets {
            self.close_ingest_socket(*socket);
        }
        let ended = session.stream.and_then(|stream| self.end_publishing(stream, key));
        self.registry.release(&session.path);
        ended
    }

    /// The publisher of a stream is gone: its readers wait for the grace time, if there are any.
    fn end_publishing(&mut self, key: StreamKey, session: SessionKey) -> Option<StreamKey> {
        self.finish_batch(key);
        let grace = {
            let stream = self.streams.get(key)?;
            self.settings.path(&stream.path).map_or(Duration::ZERO, |path| path.publisher_grace)
        };
        let now = self.now;
        let watched = self.streams.get(key).is_some_and(|stream| self.muxings.contains_key(&stream.id));
        let read = watched || self.with_forms(key).0 > 0;
        let stream = self.streams.get_mut(key)?;
        let Side::Home(home) = &mut stream.side else { return None };
        if home.publisher != Some(session) {
            return None;
        }
        home.publisher = None;
        let id = stream.id.0;
        let read = read || !home.subscribers.is_empty();
        self.registry.set_live(&stream.path, None);
        if grace.is_zero() || !read {
            return Some(key);
        }
        home.grace_until = Some(now + grace);
        tracing::info!(path = %stream.path, seconds = grace.as_secs_f64(), "publisher gone; its readers wait");
        self.tell(Event::StreamPublisher { id, session: None });
        None
    }
}

impl Shard {
    /// Makes this shard and session the receiver of a client's datagrams for one track. A session that had the same
    /// ports is over: its client came back without a TEARDOWN.
    pub(crate) fn own_datagram_peers(&mut self, session: SessionKey, only: usize) {
        let Some(found) = self.state.sessions.get(session) else { return };
        let peers: Vec<_> = found.datagram_peers().filter(|(track, ..)| *track == only).collect();
        for (track, rtp, rtcp) in peers {
            for peer in [rtp, rtcp] {
                self.end_predecessor(peer, session);
                if !self.state.sessions.contains_key(session) {
                    // It read what its predecessor published.
                    return;
                }
                self.state.peers.insert(peer, PeerTrack { session, track });
                let before = self.state.registry.own_peer(peer, self.state.id);
                if let Some(shard) = before.filter(|shard| *shard != self.state.id) {
                    self.state.mesh.send(shard, Message::PeerTaken { peer }, &self.state.counters);
                }
            }
        }
    }

    fn end_predecessor(&mut self, peer: Peer, successor: SessionKey) {
        let before = self.state.peers.get(&peer).map(|owner| owner.session);
        if let Some(before) = before.filter(|before| *before != successor) {
            self.close_session_and_connection(before, "its client uses the ports for another session");
        }
    }

    /// Another shard has a new session of this client.
    pub(crate) fn peer_taken(&mut self, peer: Peer) {
        // By now the client may have come back here.
        let ours = self.state.registry.peer_owner(peer) == Some(self.state.id);
        if let (false, Some(owner)) = (ours, self.state.peers.get(&peer).copied()) {
            self.close_session_and_connection(owner.session, "its client uses the ports for another session");
        }
    }

    /// Ends a session and tells the modules. Its connection stays.
    pub(crate) fn close_session(&mut self, key: SessionKey, reason: &str) {
        self.state.refresh_session(key);
        let Some(session) = self.state.sessions.remove(key) else { return };
        if let Some(machine) = session.rtsp() {
            self.state.session_ids.remove(machine.id());
        }
        self.state.counters.sessions_open.sub(1);
        self.state.detach_from_connection(key, &session);
        self.state.disown_datagram_peers(key, &session);
        let reader = self.state.remove_reader(&session);
        self.state.give_up_reading(&session);
        let ended = self.state.end_publisher(key, &session);
        let bytes = match (&reader, &session.publisher) {
            (Some(reader), _) => reader.sent_bytes,
            (None, Some(publisher)) => publisher.received_bytes,
            (None, None) => 0,
        };
        let summary = SessionSummary {
            id: session.record.id,
            protocol: session.protocol(),
            role: if session.publisher.is_some() { "publisher" } else { "reader" },
            transport: session.transport(),
            peer: session.peer,
            path: Arc::clone(&session.path),
            seconds: self.state.now.saturating_duration_since(session.opened).as_secs_f64(),
            bytes,
            skips: reader.map_or(0, |reader| reader.skips),
            reason: reason.into(),
        };
        for module in self.modules.each(Role::SessionClosing) {
            module.session_closing(&self.state, &summary);
        }
        self.state.tell(Event::SessionClosed { id: session.record.id, reason: summary.reason });
        if let Some(stream) = ended {
            self.close_stream(stream, CloseReason::PublisherGone);
        }
    }

    /// Ends a session, and its connection too when it has no other session.
    pub(crate) fn close_session_and_connection(&mut self, key: SessionKey, reason: &str) {
        let connection = self.state.sessions.get(key).and_then(|session| session.connection);
        self.close_session(key, reason);
        if let Some(connection) = connection
            && self.state.connections.get(connection).is_some_and(|c| c.sessions.is_empty())
        {
            self.end_connection(connection, reason);
        }
    }

    pub(crate) fn close_all_sessions(&mut self, reason: &str) {
        let sessions: Vec<_> = self.state.sessions.keys().collect();
        for session in sessions {
            self.close_session_and_connection(session, reason);
        }
        let connections: Vec<_> = self.state.connections.keys().collect();
        for connection in connections {
            self.end_connection(connection, reason);
        }
    }
}
