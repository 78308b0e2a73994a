//! A TCP connection with its conversation, and the UDP ports of readers and publishers.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd as _, RawFd};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use bytes::{Bytes, BytesMut};
use socket2::{Domain, SockRef, Socket, Type};

use crate::limits;
use crate::media::units::Body;
use crate::scenario::{Element, Talk};
use crate::sys::net::{self, Epoll, Interest};

/// See the module.
pub(crate) struct Connection {
    socket: Socket,
    pub(crate) talk: Talk,
    /// What could not be sent yet.
    pending: BytesMut,
    connected: bool,
}

impl Connection {
    /// Starts to connect to `address`; events carry `token`.
    pub(crate) fn start(epoll: &Epoll, address: SocketAddr, token: u64, talk: Talk) -> Result<Connection> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).context("a socket")?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => {
                return Err(error).context("connect");
            }
            _ => {}
        }
        epoll.add(socket.as_raw_fd(), token, Interest::ReadWrite).context("epoll")?;
        Ok(Connection { socket, talk, pending: BytesMut::new(), connected: false })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Whether something waits for the socket to take more.
    pub(crate) fn stalled(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The socket takes bytes: completes the connect, or sends what waited.
    pub(crate) fn writable(&mut self, now: Instant) -> Result<()> {
        if !self.connected {
            if let Some(error) = self.socket.take_error()? {
                return Err(error).context("connect");
            }
            if self.socket.peer_addr().is_err() {
                return Ok(());
            }
            self.connected = true;
            self.talk.open(now, &mut self.pending)?;
        }
        self.flush()
    }

    /// Reads all there is into the conversation. False: the server closed the connection.
    pub(crate) fn readable(
        &mut self,
        now: Instant,
        buffer: &mut [u8],
        media: &mut Vec<Element>,
    ) -> Result<bool> {
        while self.connected {
            match self.socket.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(length) => self.input(now, &buffer[..length], media)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("receive"),
            }
            if self.talk.started() {
                // Whoever reads media reads on in its own way.
                break;
            }
        }
        Ok(true)
    }

    /// Gives received bytes to the conversation and sends what it answers.
    pub(crate) fn input(&mut self, now: Instant, bytes: &[u8], media: &mut Vec<Element>) -> Result<()> {
        self.talk.input(now, Bytes::copy_from_slice(bytes), &mut self.pending, media)?;
        self.flush()
    }

    /// Tells the conversation that bytes were taken unseen, and sends what it wants then.
    pub(crate) fn passed(&mut self, now: Instant, bytes: usize) -> Result<()> {
        self.talk.passed(now, bytes, &mut self.pending)?;
        self.flush()
    }

    /// Lets the conversation look at the clock. `unseen`: bytes received that it was not shown.
    pub(crate) fn timer(&mut self, now: Instant, unseen: Option<u64>) -> Result<()> {
        self.talk.timer(now, unseen, &mut self.pending)?;
        self.flush()
    }

    /// Sends a unit with one call, behind what waits.
    pub(crate) fn publish(&mut self, body: &Body) -> Result<()> {
        self.talk.publish(body, &mut self.pending)?;
        self.flush()
    }

    /// Asks the server to end the session.
    pub(crate) fn teardown(&mut self) -> Result<()> {
        self.talk.teardown(&mut self.pending);
        self.flush()
    }

    /// Sends `bytes` with one call, behind what waits.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        if self.stalled() {
            self.pending.extend_from_slice(bytes);
            return self.flush();
        }
        let sent = self.attempt(bytes)?;
        self.pending.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if !self.pending.is_empty() && self.connected {
            let pending = self.pending.split();
            let sent = self.attempt(&pending)?;
            self.pending.extend_from_slice(&pending[sent..]);
        }
        Ok(())
    }

    fn attempt(&mut self, bytes: &[u8]) -> Result<usize> {
        match self.socket.write(bytes) {
            Ok(sent) => {
                // A socket that has written delays its acknowledgements until the next picture comes, and over loopback
                // they are then worked off inside the server's send. Readers of the floor never write, so theirs leave
                // when the load reads; with this all readers' do.
                let _ = SockRef::from(&self.socket).set_tcp_quickack(true);
                Ok(sent)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error).context("send"),
        }
    }

    /// Closes in order: what the server sent last is not answered with a reset.
    pub(crate) fn shutdown(&mut self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Write);
    }
}

/// Gives out pairs of UDP ports, even and odd, that are bound already.
pub(crate) struct Ports {
    next: u16,
}

impl Ports {
    pub(crate) fn new() -> Ports {
        Ports { next: limits::UDP_PORTS.start }
    }

    /// Two sockets on neighbouring ports, the first even, not blocking.
    pub(crate) fn pair(&mut self) -> Result<(UdpSocket, UdpSocket)> {
        let bind = |port: u16| UdpSocket::bind((Ipv4Addr::LOCALHOST, port));
        for _ in limits::UDP_PORTS.step_by(2) {
            let port = self.next;
            self.next = if port + 2 < limits::UDP_PORTS.end { port + 2 } else { limits::UDP_PORTS.start };
            if let (Ok(rtp), Ok(rtcp)) = (bind(port), bind(port + 1)) {
                rtp.set_nonblocking(true)?;
                rtcp.set_nonblocking(true)?;
                net::enlarge_receive_buffer(rtp.as_raw_fd())?;
                return Ok((rtp, rtcp));
            }
        }
        bail!("no free pair of UDP ports is left in {:?}", limits::UDP_PORTS)
    }
}
