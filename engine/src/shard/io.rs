//! What the kernel has for a shard: connections to accept, bytes to read, room to write.

use super::connection::{Connection, Ending, ProxyHeader, WriteError};
use super::datagrams::{Ports, PortsKey};
use super::machine::Machine;
use super::{ConnectionKey, IngestKey, Listener, ListenerKey, SessionKey, Shard, State};
use crate::counters::Counter;
use crate::limits;
use crate::net::{Peer, listen, tcp};
use crate::records::{self, Event as Told, Id, Protocol};
use crate::runtime::poller::{Event, Token};
use crate::stream::reader::Flow;
use crate::web;
use bytes::{Bytes, BytesMut};
use headwater_protocols::rtsp::server::{Event as ServerEvent, Server};
use headwater_protocols::{proxy_protocol, rtmp};
use slotmap::{Key, KeyData};
use std::io;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::SystemTime;

/// What a poll token names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Connection(ConnectionKey),
    Listener(ListenerKey),
    Ingest(IngestKey),
    Datagrams { ports: PortsKey, rtcp: bool },
}

impl Target {
    const KIND_SHIFT: u32 = 28;
    const KIND_MASK: u64 = 0b111 << Target::KIND_SHIFT;

    /// The kind goes into three bits of the index that no slot map of ours ever reaches.
    pub(super) fn token(self) -> Token {
        let (kind, raw) = match self {
            Target::Connection(key) => (0, key.data().as_ffi()),
            Target::Listener(key) => (1, key.data().as_ffi()),
            Target::Ingest(key) => (2, key.data().as_ffi()),
            Target::Datagrams { ports, rtcp } => (3 + u64::from(rtcp), ports.data().as_ffi()),
        };
        debug_assert_eq!(raw & Target::KIND_MASK, 0);
        Token::new(raw | kind << Target::KIND_SHIFT)
    }

    fn of(token: Token) -> Target {
        let raw = token.raw() & !Target::KIND_MASK;
        match (token.raw() & Target::KIND_MASK) >> Target::KIND_SHIFT {
            0 => Target::Connection(KeyData::from_ffi(raw).into()),
            1 => Target::Listener(KeyData::from_ffi(raw).into()),
            2 => Target::Ingest(KeyData::from_ffi(raw).into()),
            kind => Target::Datagrams { ports: KeyData::from_ffi(raw).into(), rtcp: kind == 4 },
        }
    }
}

impl State {
    /// Starts listening.
    pub(super) fn watch(&mut self, listeners: Vec<Listener>) {
        for listener in listeners {
            let fd = listener.socket.as_raw_fd();
            let key = self.listeners.insert(listener);
            self.poller.watch_readable(fd, Target::Listener(key).token());
        }
    }

    /// Tells the control core of a connection that was accepted.
    fn tell_opened(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.told = true;
        if connection.proxy_header_missing {
            self.counters.proxy_headers_missing.add(1);
            if self.counters.proxy_headers_missing.value().is_power_of_two() {
                tracing::warn!(
                    peer = %connection.peer,
                    "a trusted proxy (rtspTrustedProxies, rtmpTrustedProxies) sends no PROXY protocol header: whoever connects through it could claim any address"
                );
            }
        }
        let record = Arc::clone(&connection.record);
        self.tell(Told::ConnectionOpened(record));
    }

    /// Connections this shard may have open: its part of what the operator set, within what the descriptors allow.
    fn connections_max(&self) -> usize {
        match self.settings.bounds.connections {
            0 => self.connections_max,
            all => all.div_ceil(self.settings.shards).min(self.connections_max),
        }
    }

    /// Makes `ports` what new sessions over UDP get.
    pub(super) fn replace_datagrams(&mut self, ports: Option<Ports>) {
        let Some(key) = self.datagrams.replace(ports) else { return };
        let Some(ports) = self.datagrams.get(key) else { return };
        for rtcp in [false, true] {
            let fd = ports.socket(rtcp).socket.as_raw_fd();
            self.poller.watch_readable(fd, Target::Datagrams { ports: key, rtcp }.token());
        }
    }

    /// Closes ports of an older configuration that no session uses any more.
    pub(super) fn close_retired_datagrams(&mut self) {
        let retired: Vec<PortsKey> = self.datagrams.retired().collect();
        for key in retired {
            if !self.sessions.values().any(|session| session.ports == Some(key)) {
                for rtcp in [false, true] {
                    self.poller.forget(Target::Datagrams { ports: key, rtcp }.token());
                }
                self.datagrams.close(key);
            }
        }
    }

    pub(super) fn stop_listening(&mut self) {
        for (key, listener) in self.listeners.drain() {
            self.poller.forget(Target::Listener(key).token());
            drop(listener);
        }
    }

    /// The machine of a new connection.
    fn machine(&self, protocol: Protocol) -> Machine {
        match protocol {
            Protocol::Rtmp | Protocol::Rtmps => {
                let seed = u64::from_ne_bytes(crate::rtsp::random_bytes());
                let server = rtmp::Server::new(Arc::clone(&self.rtmp_config), self.now, seed);
                Machine::Rtmp(Box::new(crate::rtmp::Connection::new(server)))
            }
            Protocol::Http | Protocol::Https | Protocol::Hls => Machine::Http,
            Protocol::Rtsp | Protocol::Rtsps => {
                Machine::Rtsp(Box::new(Server::new(Arc::clone(&self.rtsp_config), self.now)))
            }
        }
    }

    /// Takes a connection into the shard.
    pub(crate) fn add_connection(&mut self, connection: Box<Connection>) -> ConnectionKey {
        self.add_connection_with(|_| connection)
    }

    fn add_connection_with(&mut self, make: impl FnOnce(ConnectionKey) -> Box<Connection>) -> ConnectionKey {
        let key = self.connections.insert_with_key(make);
        let fd = self.connections[key].fd();
        self.poller.watch_readable(fd, Target::Connection(key).token());
        self.counters.connections_open.add(1);
        key
    }

    /// Takes a connection out of the shard without closing it.
    pub(crate) fn remove_connection(&mut self, key: ConnectionKey) -> Option<Box<Connection>> {
        let mut connection = self.connections.remove(key)?;
        self.web.remove(key);
        connection.unread = false;
        self.poller.forget(Target::Connection(key).token());
        self.counters.connections_open.sub(1);
        Some(connection)
    }

    /// Queues the rest of what a connection could not take and watches for room. Its readers stop until then.
    pub(crate) fn block(&mut self, key: ConnectionKey, rest: Bytes) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.queue_rest(rest).is_err() {
            connection.ending = Ending::AfterWrites { since: now };
            self.counters.closed_control_queue.add(1);
        }
        if connection.blocked_since.is_none() {
            connection.blocked_since = Some(now);
            self.poller.watch_writable(connection.fd(), Target::Connection(key).token());
        }
        self.set_readers(key, Flow::blocked);
    }

    /// Changes the flow of the readers on a connection.
    fn set_readers(&mut self, key: ConnectionKey, change: fn(Flow) -> Flow) {
        let Some(connection) = self.connections.get(key) else { return };
        for session in connection.sessions.clone() {
            let Some(session) = self.sessions.get(session) else { continue };
            let (Some(stream_key), Some(reader)) = (session.stream, session.reader) else { continue };
            let Some(stream) = self.streams.get_mut(stream_key) else { continue };
            if let Some(reader) = stream.readers.get_mut(reader)
                && reader.connection() == Some(key)
            {
                reader.flow = change(reader.flow);
                let (flowing, behind) = (reader.flow == Flow::Flowing, reader.catching_up);
                if flowing && behind {
                    self.go_on_at(stream_key, self.now);
                } else if flowing {
                    self.mark_dirty(stream_key);
                }
            }
        }
    }

    /// Sends on a connection, behind what waits there.
    pub(crate) fn send(&mut self, key: ConnectionKey, bytes: Bytes) -> Result<(), WriteError> {
        let Some(connection) = self.connections.get_mut(key) else { return Ok(()) };
        connection.send(bytes)?;
        if connection.is_blocked() && connection.blocked_since.is_none() {
            self.block(key, Bytes::new());
        }
        Ok(())
    }

    /// Goes on reading a connection in the next turn.
    pub(crate) fn read_later(&mut self, key: ConnectionKey) {
        if let Some(connection) = self.connections.get_mut(key)
            && !std::mem::replace(&mut connection.unread, true)
        {
            self.unread.push(key);
        }
    }

    /// A reader that starts on a connection that is full already waits like the others.
    pub(crate) fn block_if_full(&mut self, key: SessionKey) {
        if let Some(connection) = self.sessions.get(key).and_then(|session| session.connection) {
            self.block_if_full_connection(connection);
        }
    }

    pub(crate) fn block_if_full_connection(&mut self, key: ConnectionKey) {
        if self.connections.get(key).is_some_and(|found| found.is_blocked()) {
            self.block(key, Bytes::new());
        }
    }

    pub(super) fn watch_datagrams_writable(&mut self, key: PortsKey) {
        let Some(ports) = self.datagrams.get_mut(key) else { return };
        if !std::mem::replace(&mut ports.blocked, true) {
            let fd = ports.socket(false).socket.as_raw_fd();
            self.poller.watch_writable(fd, Target::Datagrams { ports: key, rtcp: false }.token());
        }
    }

    fn datagrams_writable(&mut self, key: PortsKey) {
        if let Some(ports) = self.datagrams.get_mut(key) {
            ports.blocked = false;
        }
        let mut unblocked = Vec::new();
        for (key, stream) in &mut self.streams {
            for reader in stream.readers.values_mut() {
                if reader.flow == Flow::Blocked && reader.connection().is_none() {
                    reader.flow = Flow::Flowing;
                    unblocked.push(key);
                }
            }
        }
        for key in unblocked {
            self.mark_dirty(key);
            self.go_on_at(key, self.now);
        }
    }
}

fn connection_record(id: Id, protocol: Protocol, peer: Peer) -> records::Connection {
    records::Connection {
        id,
        created: SystemTime::now(),
        protocol,
        remote: peer.0,
        inbound_bytes: Counter::default(),
        outbound_bytes: Counter::default(),
    }
}

impl Shard {
    pub(super) fn event(&mut self, event: Event) {
        match event {
            Event::Writable { token } => match Target::of(token) {
                Target::Connection(key) => self.writable(key),
                Target::Datagrams { ports, .. } => self.state.datagrams_writable(ports),
                Target::Listener(_) | Target::Ingest(_) => {}
            },
            Event::Readable { token, watched } => self.readable(token, watched),
        }
    }

    fn readable(&mut self, token: Token, watched: bool) {
        let target = Target::of(token);
        let fd = match target {
            Target::Connection(key) => {
                self.read_connection(key);
                self.state.connections.get(key).map(|connection| connection.fd())
            }
            Target::Listener(key) => {
                self.accept(key);
                self.state.listeners.get(key).map(|listener| listener.socket.as_raw_fd())
            }
            Target::Ingest(key) => {
                self.guarded_ingest(key);
                self.state.ingest_sockets.get(key).map(|socket| socket.socket.as_raw_fd())
            }
            Target::Datagrams { ports, rtcp } => {
                self.read_datagrams(ports, rtcp);
                self.state.datagrams.get(ports).map(|ports| ports.socket(rtcp).socket.as_raw_fd())
            }
        };
        if let (false, Some(fd)) = (watched, fd) {
            self.state.poller.watch_readable(fd, token);
        }
    }

    pub(super) fn accept(&mut self, key: ListenerKey) {
        for _ in 0..limits::ACCEPTS_PER_TURN_MAX {
            let Some(listener) = self.state.listeners.get_mut(key) else { return };
            match tcp::accept(&listener.socket) {
                Ok((socket, peer)) => {
                    listener.exhausted = false;
                    let (protocol, tls) = (listener.protocol, listener.tls.clone());
                    self.accepted(socket, peer, protocol, tls);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM)) =>
                {
                    if !std::mem::replace(&mut listener.exhausted, true) {
                        tracing::error!(
                            "cannot accept connections: {error}; raise the limit of open files (ulimit -n)"
                        );
                    }
                    listener.paused_until = Some(self.state.now + limits::ACCEPT_PAUSE);
                    self.state.counters.accept_errors.add(1);
                    return;
                }
                // The peer gave up before it was accepted.
                Err(_) => self.state.counters.accept_errors.add(1),
            }
        }
        // More may wait, and the poll does not tell twice.
        if let Some(listener) = self.state.listeners.get_mut(key) {
            listener.paused_until = Some(self.state.now);
        }
    }

    fn accepted(
        &mut self,
        socket: socket2::Socket,
        peer: Peer,
        protocol: Protocol,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) {
        let state = &mut self.state;
        if state.connections.len() >= state.connections_max() {
            state.counters.connections_refused.add(1);
            return;
        }
        let Ok(local) = listen::local(&socket) else { return };
        tcp::prepare(&socket);
        let tls = match tls.map(rustls::ServerConnection::new).transpose() {
            Ok(tls) => tls.map(|mut tls| {
                tls.set_buffer_limit(None);
                Box::new(tls)
            }),
            Err(error) => {
                tracing::error!(%peer, "cannot start TLS: {error}");
                return;
            }
        };
        state.counters.connections_accepted.add(1);
        let machine = state.machine(protocol);
        let local = Peer::new(local).0;
        let shard = state.id;
        let key = state.add_connection_with(|key| {
            let record = Arc::new(connection_record(Id::new(shard, key), protocol, peer));
            Box::new(Connection::new(socket, peer, local, record, machine, tls))
        });
        if state.settings.trusts_proxy(protocol, peer.0.ip()) {
            // Who it really is comes first, and is told then.
            let until = state.now + limits::PROXY_HEADER_WAIT;
            state.connections[key].proxy_header =
                Some(Box::new(ProxyHeader { begun: BytesMut::new(), until }));
        } else if State::tells_of_connection(protocol) {
            state.tell_opened(key);
        }
        if let Machine::Http = state.connections[key].machine {
            let web = web::Connection::new(Arc::clone(&state.http_config), state.now);
            state.web.insert(key, Box::new(web));
        }
        // Most clients have sent their first request by now.
        self.read_connection(key);
    }

    /// Goes on with what was left over from the last turn.
    pub(super) fn read_on(&mut self) {
        for key in std::mem::take(&mut self.state.unread) {
            if let Some(connection) = self.state.connections.get_mut(key) {
                connection.unread = false;
            }
            self.read_connection(key);
        }
        for target in std::mem::take(&mut self.state.unread_datagrams) {
            match target {
                Target::Ingest(key) => self.guarded_ingest(key),
                Target::Datagrams { ports, rtcp } => self.read_datagrams(ports, rtcp),
                Target::Connection(_) | Target::Listener(_) => {}
            }
        }
        let waiting: Vec<_> = self
            .state
            .listeners
            .iter()
            .filter(|(_, listener)| listener.paused_until.is_some_and(|until| until <= self.state.now))
            .map(|(key, _)| key)
            .collect();
        for key in waiting {
            if let Some(listener) = self.state.listeners.get_mut(key) {
                listener.paused_until = None;
            }
            self.accept(key);
        }
    }

    /// Reads a connection. A panic in its session ends it and is counted; others go on.
    pub(crate) fn read_connection(&mut self, key: ConnectionKey) {
        self.guarded(key, |shard| shard.read_bounded(key));
    }

    /// Runs `body` for a connection and contains its panics.
    pub(crate) fn guarded(&mut self, key: ConnectionKey, body: impl FnOnce(&mut Shard)) {
        if catch_unwind(AssertUnwindSafe(|| body(self))).is_err() {
            self.state.counters.session_panics.add(1);
            let peer = self.state.connections.get(key).map(|connection| connection.peer.to_string());
            tracing::error!(
                peer = peer.as_deref().unwrap_or("gone"),
                "a session panicked and is closed; please report this"
            );
            self.restore_modules();
            self.close_connection(key, "internal error");
        }
    }

    /// The same for a publisher's own socket.
    fn guarded_ingest(&mut self, key: IngestKey) {
        let session = self.state.ingest_sockets.get(key).map(|socket| socket.session);
        if catch_unwind(AssertUnwindSafe(|| self.read_ingest(key))).is_err() {
            self.state.counters.session_panics.add(1);
            tracing::error!("a publisher's session panicked and is closed; please report this");
            if let Some(session) = session {
                self.close_session_and_connection(session, "internal error");
            }
        }
    }

    fn read_bounded(&mut self, key: ConnectionKey) {
        let mut budget = limits::READ_BYTES_PER_TURN_MAX;
        loop {
            let state = &mut self.state;
            let Some(connection) = state.connections.get_mut(key) else { return };
            if connection.ending != Ending::No {
                self.discard_input(key);
                return;
            }
            if let Some(web) = state.web.get_mut(key)
                && !web.wants_input()
            {
                web.paused = true;
                return;
            }
            let received = connection.receive(&mut state.read_buffer);
            if connection.is_blocked() && connection.blocked_since.is_none() {
                // The TLS session has something to say that the kernel did not take.
                state.block(key, Bytes::new());
            }
            let Some(connection) = state.connections.get_mut(key) else { return };
            if !connection.told
                && connection.proxy_header.is_none()
                && State::tells_of_connection(connection.protocol())
            {
                state.tell_opened(key);
            }
            let Some(connection) = state.connections.get_mut(key) else { return };
            match received {
                Ok(Some((input, wire_bytes))) => {
                    budget = budget.saturating_sub(wire_bytes);
                    if !input.is_empty() {
                        if let Machine::Http = connection.machine {
                            state.web_input(key, input);
                        } else {
                            connection.machine.handle_input(state.now, input);
                        }
                        self.drive(key);
                    }
                }
                Ok(None) => {
                    connection.machine.handle_eof();
                    if let Some(web) = state.web.get_mut(key) {
                        web.handle_eof();
                    }
                    self.drive(key);
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    self.receive_failed(key, &error);
                    return;
                }
            }
            if budget == 0 {
                self.state.read_later(key);
                return;
            }
        }
    }

    fn receive_failed(&mut self, key: ConnectionKey, error: &io::Error) {
        let Some(connection) = self.state.connections.get(key) else { return };
        let counters = &self.state.counters;
        let of_proxy = error.get_ref().is_some_and(|inner| inner.is::<proxy_protocol::Error>());
        let reason = match (error.kind(), of_proxy) {
            (_, true) => {
                counters.proxy_headers_invalid.add(1);
                tracing::warn!(peer = %connection.peer, "closing the connection of a trusted proxy: {error}");
                "malformed PROXY protocol header"
            }
            (io::ErrorKind::InvalidData, _) => {
                counters.closed_invalid.add(1);
                "invalid TLS"
            }
            _ => "the connection failed",
        };
        self.close_connection(key, reason);
    }

    /// A connection that is being closed is read only to see its end.
    fn discard_input(&mut self, key: ConnectionKey) {
        let state = &mut self.state;
        let Some(connection) = state.connections.get_mut(key) else { return };
        let mut budget = limits::READ_BYTES_PER_TURN_MAX;
        loop {
            if budget == 0 {
                self.state.read_buffer.clear();
                self.state.read_later(key);
                return;
            }
            state.read_buffer.clear();
            state.read_buffer.reserve(limits::READ_BUFFER_BYTES);
            match tcp::receive(connection.fd(), &mut state.read_buffer) {
                Ok(n) if n > 0 => budget = budget.saturating_sub(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => {
                    state.read_buffer.clear();
                    self.close_connection(key, "closed");
                    return;
                }
            }
        }
        state.read_buffer.clear();
    }

    /// Takes what the connection's machine has to tell, and writes what it has to say.
    pub(crate) fn drive(&mut self, key: ConnectionKey) {
        let open = match self.state.connections.get(key).map(|connection| &connection.machine) {
            Some(Machine::Rtsp(_)) => self.drive_rtsp(key),
            Some(Machine::Rtmp(_)) => self.drive_rtmp(key),
            Some(Machine::Http) => self.drive_web(key),
            None => false,
        };
        if open {
            self.transmit(key);
        }
    }

    /// The same for RTSP, without writing. Returns false when the connection is gone.
    fn drive_rtsp(&mut self, key: ConnectionKey) -> bool {
        loop {
            let Some(connection) = self.state.connections.get_mut(key) else { return false };
            let Some(event) = connection.machine.rtsp().and_then(|server| server.poll_event()) else {
                return true;
            };
            match event {
                ServerEvent::Interleaved { channel, payload } => self.interleaved(key, channel, &payload),
                ServerEvent::Request(request) => self.rtsp_request(key, request),
                ServerEvent::Response(_) => {}
                ServerEvent::Closed(None) => {
                    self.close_connection(key, "the client closed the connection");
                    return false;
                }
                ServerEvent::Closed(Some(error)) => {
                    self.transmit(key);
                    let idle = error.status() == headwater_protocols::rtsp::message::Status::REQUEST_TIMEOUT;
                    self.misbehaved(key, if idle { "idle" } else { error.kind() }, &error);
                    return false;
                }
            }
        }
    }

    /// Closes the connection of a client that broke the protocol or a limit, by kind of fault.
    pub(crate) fn misbehaved(
        &mut self,
        key: ConnectionKey,
        kind: &'static str,
        error: &dyn std::error::Error,
    ) {
        let counters = &self.state.counters;
        let peer = self.state.connections.get(key).map(|connection| connection.peer.to_string());
        match kind {
            "idle" => counters.closed_idle.add(1),
            "limit" => counters.closed_limit.add(1),
            _ => counters.closed_invalid.add(1),
        }
        let reason = error.to_string();
        tracing::info!(peer = peer.as_deref().unwrap_or(""), "closing the connection: {reason}");
        self.end_connection(key, &reason);
    }

    /// Writes the machine's output.
    pub(crate) fn transmit(&mut self, key: ConnectionKey) {
        while let Some(bytes) =
            self.state.connections.get_mut(key).and_then(|connection| connection.machine.poll_transmit())
        {
            match self.state.send(key, bytes) {
                Ok(()) => {}
                Err(WriteError::QueueFull) => {
                    self.state.counters.closed_control_queue.add(1);
                    self.close_connection(key, "it asks but does not read the answers");
                    return;
                }
                Err(WriteError::Io) => {
                    self.close_connection(key, "the connection failed");
                    return;
                }
            }
        }
    }

    fn writable(&mut self, key: ConnectionKey) {
        let now = self.state.now;
        let Some(connection) = self.state.connections.get_mut(key) else { return };
        match connection.drain() {
            Err(_) => return self.close_connection(key, "the connection failed"),
            Ok(progress) if progress => connection.blocked_since = Some(now),
            Ok(_) => {}
        }
        if let Machine::Http = connection.machine {
            connection.set_machine_blocked(false);
            self.guarded(key, |shard| shard.drive(key));
        }
        let Some(connection) = self.state.connections.get_mut(key) else { return };
        if connection.is_blocked() {
            let fd = connection.fd();
            self.state.poller.watch_writable(fd, Target::Connection(key).token());
            return;
        }
        connection.blocked_since = None;
        if connection.ending != Ending::No {
            tcp::shutdown_write(&connection.socket);
            return;
        }
        self.state.set_readers(key, Flow::unblocked);
    }

    /// Closes a connection at once. Sessions over UDP stay; those interleaved on it end.
    pub(crate) fn close_connection(&mut self, key: ConnectionKey, reason: &str) {
        self.leave_sessions(key, reason);
        self.state.forget_question(key);
        if let Some(mut connection) = self.state.remove_connection(key) {
            tcp::shutdown(&connection.socket);
            if connection.told {
                let reason = connection.reason.take().unwrap_or_else(|| reason.into());
                self.state.tell(Told::ConnectionClosed { id: connection.record.id, reason });
            }
        }
    }

    /// Closes a connection after what it still has to write; the peer then sees FIN and closes its side.
    pub(crate) fn end_connection(&mut self, key: ConnectionKey, reason: &str) {
        self.leave_sessions(key, reason);
        if let Some(connection) = self.state.connections.get_mut(key).filter(|c| c.ending == Ending::No) {
            connection.machine.say_goodbye();
            let now = self.state.now;
            if let Some(web) = self.state.web.get_mut(key) {
                web.shut_down(now);
                self.state.advance_web(key);
            }
            self.transmit(key);
        }
        let Some(connection) = self.state.connections.get_mut(key) else { return };
        connection.suspended = None;
        connection.reason.get_or_insert_with(|| reason.into());
        connection.ending = Ending::AfterWrites { since: self.state.now };
        connection.notify_close();
        if connection.is_blocked() {
            self.state.block(key, Bytes::new());
        } else {
            tcp::shutdown_write(&connection.socket);
        }
    }

    fn leave_sessions(&mut self, key: ConnectionKey, reason: &str) {
        let Some(connection) = self.state.connections.get_mut(key) else { return };
        for session in std::mem::take(&mut connection.sessions) {
            let Some(found) = self.state.sessions.get_mut(session) else { continue };
            if found.uses_datagrams() && found.is_active() {
                found.connection = None;
                let id = found.record.id;
                self.state.tell(Told::SessionMoved { id, connection: None });
            } else {
                self.close_session(session, reason);
            }
        }
    }
}
