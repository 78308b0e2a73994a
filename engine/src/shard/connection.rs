//! One accepted connection: its socket, its protocol machine, and what waits to be written.
//!
//! Answers and media share the socket. While nothing waits, media go straight from the log to the kernel. When the
//! kernel is full, the rest of the packet that was cut and all later answers wait here, in order and bounded, and media
//! stay in the log until the queue is empty again.

use super::machine::Machine;
use super::walk::Suspended;
use super::{ConnectionKey, SessionKey};
use crate::access::Action;
use crate::counters::Counter;
use crate::limits;
use crate::net::tcp::Wire;
use crate::net::{Peer, tcp};
use crate::records::{self, Protocol};
use crate::settings::Access;
use bytes::{Buf, Bytes, BytesMut};
use headwater_protocols::proxy_protocol;
use rustls::ServerConnection;
use slotmap::SlotMap;
use socket2::Socket;
use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Instant;

/// All connections of a shard.
pub(crate) type Connections = SlotMap<ConnectionKey, Box<Connection>>;

/// A PROXY protocol header that may come.
pub(crate) struct ProxyHeader {
    pub(crate) begun: BytesMut,
    /// By when it has to be whole.
    pub(crate) until: Instant,
}

/// A request that was let in.
pub(crate) struct Admission {
    /// The rules it was let in by.
    pub(crate) rules: Arc<Access>,
    pub(crate) action: Action,
    pub(crate) path: Arc<str>,
    pub(crate) authorization: Option<Box<str>>,
    pub(crate) query: Box<str>,
    pub(crate) user: Box<str>,
}

/// How far a connection has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    No,
    /// To be closed when the queue is empty; nothing is read any more.
    AfterWrites {
        since: Instant,
    },
}

pub(crate) struct Connection {
    pub(crate) socket: Socket,
    /// The client; behind a trusted proxy, whom the proxy named.
    pub(crate) peer: Peer,
    pub(crate) local: SocketAddr,
    pub(crate) record: Arc<records::Connection>,
    /// The control core knows of it.
    pub(crate) told: bool,
    /// Set while a PROXY protocol header may come: what has come of it.
    pub(crate) proxy_header: Option<Box<ProxyHeader>>,
    /// A trusted proxy sent none.
    pub(crate) proxy_header_missing: bool,
    /// What was allowed last, so that a session's requests are not all asked about.
    pub(crate) admission: Option<Box<Admission>>,
    pub(crate) machine: Machine,
    pub(crate) sessions: Vec<SessionKey>,
    /// What Digest challenges on this connection carry, once there was one.
    pub(crate) nonce: Option<Box<str>>,
    /// A request that waits inside a module.
    pub(crate) suspended: Option<Box<Suspended>>,
    pub(crate) ending: Ending,
    /// Why it ends.
    pub(crate) reason: Option<Box<str>>,
    /// Listed in the shard's `unread`.
    pub(crate) unread: bool,
    /// Since when the kernel takes nothing.
    pub(crate) blocked_since: Option<Instant>,
    queue: VecDeque<Bytes>,
    queued_bytes: usize,
    /// The machine that writes by itself found the socket full.
    machine_blocked: bool,
    tls: Option<Box<ServerConnection>>,
}

/// Why nothing more can be written.
#[derive(Debug)]
pub(crate) enum WriteError {
    Io,
    /// [`limits::CONTROL_QUEUE_BYTES_MAX`]: the peer asks but does not read.
    QueueFull,
}

impl Connection {
    pub(crate) fn new(
        socket: Socket,
        peer: Peer,
        local: SocketAddr,
        record: Arc<records::Connection>,
        machine: Machine,
        tls: Option<Box<ServerConnection>>,
    ) -> Connection {
        Connection {
            socket,
            peer,
            local,
            record,
            told: false,
            proxy_header: None,
            proxy_header_missing: false,
            admission: None,
            machine,
            sessions: Vec::new(),
            nonce: None,
            suspended: None,
            ending: Ending::No,
            reason: None,
            unread: false,
            blocked_since: None,
            queue: VecDeque::new(),
            queued_bytes: 0,
            machine_blocked: false,
            tls,
        }
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether the TLS handshake agreed on HTTP/2 (RFC 7301).
    pub(crate) fn speaks_http2(&self) -> bool {
        self.tls.as_ref().and_then(|tls| tls.alpn_protocol()).is_some_and(|protocol| protocol == b"h2")
    }

    /// The TLS session, for a machine that writes by itself. It comes back by [`Connection::take_tls_back`].
    pub(crate) fn lend_tls(&mut self) -> Option<Box<ServerConnection>> {
        self.tls.take()
    }

    pub(crate) fn take_tls_back(&mut self, tls: Option<Box<ServerConnection>>) {
        self.tls = tls;
    }

    pub(crate) fn set_machine_blocked(&mut self, blocked: bool) {
        self.machine_blocked = blocked;
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.record.protocol
    }

    /// Whether something waits for the kernel.
    pub(crate) fn is_blocked(&self) -> bool {
        self.machine_blocked
            || !self.queue.is_empty()
            || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Sends, or queues behind what waits already.
    pub(crate) fn send(&mut self, mut bytes: Bytes) -> Result<(), WriteError> {
        self.record.outbound_bytes.add(bytes.len() as u64);
        if self.tls.is_some() {
            if self.is_blocked() && self.queued_bytes > limits::CONTROL_QUEUE_BYTES_MAX {
                return Err(WriteError::QueueFull);
            }
            self.queued_bytes += bytes.len();
            return self.encrypt(&[IoSlice::new(&bytes)]).map_err(|_| WriteError::Io);
        }
        if self.queue.is_empty() {
            match tcp::send(self.fd(), &bytes) {
                Ok(taken) => bytes.advance(taken),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Err(WriteError::Io),
            }
        }
        self.queue_rest(bytes)
    }

    /// Queues what the kernel did not take.
    pub(crate) fn queue_rest(&mut self, bytes: Bytes) -> Result<(), WriteError> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.queued_bytes + bytes.len() > limits::CONTROL_QUEUE_BYTES_MAX {
            return Err(WriteError::QueueFull);
        }
        self.queued_bytes += bytes.len();
        self.queue.push_back(bytes);
        Ok(())
    }

    /// Writes what waits. Returns whether the kernel took anything.
    pub(crate) fn drain(&mut self) -> io::Result<bool> {
        if self.tls.is_some() {
            return self.write_tls();
        }
        let mut progress = false;
        while let Some(front) = self.queue.front_mut() {
            match tcp::send(self.socket.as_raw_fd(), front) {
                Ok(taken) => {
                    progress = true;
                    self.queued_bytes -= taken;
                    front.advance(taken);
                    if front.is_empty() {
                        self.queue.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(progress),
                Err(error) => return Err(error),
            }
        }
        // An idle connection owns no heap.
        self.queue = VecDeque::new();
        Ok(progress)
    }

    /// Says the end of an encrypted connection (RFC 8446, section 6.1), behind what waits.
    pub(crate) fn notify_close(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let _ = self.write_tls();
        }
    }

    /// Whether all that was sent has been acknowledged.
    pub(crate) fn is_delivered(&self) -> bool {
        !self.is_blocked() && tcp::unacknowledged(self.socket.as_raw_fd()) == 0
    }

    /// Encrypts and sends; what the kernel does not take waits in the TLS session.
    pub(crate) fn encrypt(&mut self, slices: &[IoSlice<'_>]) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            for slice in slices {
                tls.writer().write_all(slice)?;
            }
        }
        self.write_tls().map(drop)
    }

    fn write_tls(&mut self) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else { return Ok(false) };
        let mut progress = false;
        let mut wire = Wire(self.socket.as_raw_fd());
        while tls.wants_write() {
            match tls.write_tls(&mut wire) {
                Ok(_) => progress = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(progress),
                Err(error) => return Err(error),
            }
        }
        self.queued_bytes = 0;
        Ok(progress)
    }

    /// Reads once: what the peer said, and the bytes that took on the wire. `Ok(None)` is the peer's end; `WouldBlock`
    /// means that nothing is there.
    pub(crate) fn receive(&mut self, buffer: &mut BytesMut) -> io::Result<Option<(Bytes, usize)>> {
        if buffer.capacity() - buffer.len() < limits::READ_BUFFER_BYTES / 2 {
            buffer.reserve(limits::READ_BUFFER_BYTES);
        }
        let n = tcp::receive(self.socket.as_raw_fd(), buffer)?;
        if n == 0 {
            return Ok(None);
        }
        self.record.inbound_bytes.add(n as u64);
        let mut input = buffer.split().freeze();
        if self.proxy_header.is_some() {
            match self.read_proxy_header(&input)? {
                Some(rest) => input = rest,
                None => return Ok(Some((Bytes::new(), n))),
            }
        }
        let Some(tls) = &mut self.tls else { return Ok(Some((input, n))) };
        let mut plain = Vec::new();
        let mut cipher = &input[..];
        while !cipher.is_empty() {
            if tls.read_tls(&mut cipher)? == 0 {
                // After close_notify nothing more is taken: that was the peer's end.
                return Ok(None);
            }
            if let Err(error) = tls.process_new_packets() {
                // The alert that says what was wrong; whether it arrives no longer matters.
                let _ = self.write_tls();
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            read_plain(tls, &mut plain)?;
        }
        self.write_tls()?;
        Ok(Some((plain.into(), n)))
    }
}

impl Connection {
    /// Takes the header with which a trusted proxy names its client. Returns what follows it; `None` while it is not
    /// whole. A proxy may leave it out: what does not begin like one is the client's own.
    fn read_proxy_header(&mut self, input: &[u8]) -> io::Result<Option<Bytes>> {
        let Some(mut header) = self.proxy_header.take() else { return Ok(None) };
        header.begun.extend_from_slice(input);
        match proxy_protocol::decode(&header.begun) {
            Ok(None) => {
                self.proxy_header = Some(header);
                Ok(None)
            }
            Ok(Some((decoded, used))) => {
                if let Some(source) = decoded.source {
                    self.peer = Peer::new(source);
                    self.record = Arc::new(records::Connection {
                        remote: self.peer.0,
                        inbound_bytes: Counter::of(self.record.inbound_bytes.value()),
                        outbound_bytes: Counter::default(),
                        ..*self.record
                    });
                }
                Ok(Some(header.begun.split_off(used).freeze()))
            }
            Err(proxy_protocol::Error::Invalid { what: "signature", .. }) => {
                self.proxy_header_missing = true;
                Ok(Some(header.begun.freeze()))
            }
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }
}

fn read_plain(tls: &mut ServerConnection, plain: &mut Vec<u8>) -> io::Result<()> {
    let mut chunk = [0; 4096];
    loop {
        match tls.reader().read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(n) => plain.extend_from_slice(&chunk[..n]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            // The peer ended without close_notify, as many do; the end of the socket follows.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
