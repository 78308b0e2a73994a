//! One publisher: a path's connection and its pictures, one write per picture.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bytes::{BufMut as _, BytesMut};
use headwater_protocols::rtcp::{Ntp, ReportBlocks, SenderReport, write_sdes_cname};
use headwater_protocols::rtp::Ticks;

use super::Token;
use super::connection::Connection;
use super::reader::Scratch;
use super::tally::realtime_ns;
use crate::limits;
use crate::media::pictures::Pictures;
use crate::media::{Framing, Shape};
use crate::scenario::Talk;
use crate::sys::net::{self, Epoll};

/// See the module.
pub(crate) struct Publisher {
    connection: Connection,
    pictures: Pictures,
    shape: Shape,
    /// RTP and RTCP sockets when it sends over UDP.
    sockets: Option<(UdpSocket, UdpSocket)>,
    /// Pictures sent.
    pub(crate) sent: u64,
    /// Pictures that the server did not take at once.
    pub(crate) stalls: u64,
}

impl Publisher {
    /// Starts to connect the publisher of `path`.
    pub(crate) fn start(
        epoll: &Epoll,
        path: usize,
        shape: Shape,
        address: SocketAddr,
        talk: Talk,
        sockets: Option<(UdpSocket, UdpSocket)>,
    ) -> Result<Publisher> {
        let framing = match sockets {
            Some(_) => Framing::Datagrams,
            None => Framing::Interleaved { channel: 0 },
        };
        let connection = Connection::start(epoll, address, Token::Publisher(path).pack(), talk)?;
        let pictures = Pictures::new(path as u16, shape, framing);
        Ok(Publisher { connection, pictures, shape, sockets, sent: 0, stalls: 0 })
    }

    pub(crate) fn recording(&self) -> bool {
        self.connection.talk.started()
    }

    /// The connection is ready for something. What the server sends is answers and reports.
    pub(crate) fn ready(&mut self, now: Instant, writable: bool, scratch: &mut Scratch) -> Result<()> {
        if writable {
            self.connection.writable(now)?;
        }
        loop {
            match net::receive_stamped(self.connection.fd(), &mut scratch.buffer) {
                Ok((0, _)) => bail!("the server closed the connection"),
                Ok((length, _)) => {
                    self.connection.input(now, &scratch.buffer[..length], &mut scratch.media)?;
                    scratch.media.clear();
                }
                Err(error) if would_block(&error) => return Ok(()),
                Err(error) => return Err(error).context("receive"),
            }
        }
    }

    /// Sends the next picture, stamped with the time just before.
    pub(crate) fn publish(&mut self) -> Result<()> {
        self.pictures.prepare();
        self.sent += 1;
        let bytes = self.pictures.stamped(realtime_ns());
        let Some((rtp, _)) = &self.sockets else {
            self.stalls += u64::from(self.connection.stalled());
            return self.connection.send(bytes);
        };
        let (to, _) = self.connection.talk.server_ports().context("the server named no port for RTP")?;
        let segment = self.shape.packet_bytes;
        for part in bytes.chunks(limits::SEGMENTS_MAX.min(limits::DATAGRAMS_BYTES_MAX / segment) * segment) {
            let sent = net::send_segmented(rtp.as_raw_fd(), part, segment as u16, Some(&to.into()));
            sent.context("publish over UDP")?;
        }
        Ok(())
    }

    /// A look at the clock, for keep-alives, and a sender report.
    pub(crate) fn visit(&mut self, now: Instant) -> Result<()> {
        self.connection.timer(now, true)?;
        let (ssrc, rtp, packets, octets) = self.pictures.sent();
        let ntp = Ntp::from_unix(Duration::from_nanos(realtime_ns()));
        let mut report = BytesMut::with_capacity(96);
        if self.sockets.is_none() {
            report.put_slice(&[b'$', 1, 0, 0]);
        }
        let start = report.len();
        let reports = ReportBlocks::new();
        SenderReport { ssrc, ntp, rtp: Ticks(rtp), packets, octets, reports }.write(&mut report);
        write_sdes_cname(ssrc, b"headwater-bench", &mut report);
        match (&self.sockets, self.connection.talk.server_ports()) {
            (Some((_, rtcp)), Some((_, to))) => {
                // A full socket buffer drops a report, as the network may.
                let _ = rtcp.send_to(&report, to);
                Ok(())
            }
            (Some(_), None) => Ok(()),
            (None, _) => {
                let length = (report.len() - start) as u16;
                report[2..4].copy_from_slice(&length.to_be_bytes());
                self.connection.send(&report)
            }
        }
    }
}

fn would_block(error: &std::io::Error) -> bool {
    // Events come before the connect is through: then the socket is not connected yet.
    error.kind() == std::io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOTCONN)
}
