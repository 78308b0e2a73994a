//! One publisher: a path's connection and what it sends, one write per picture or unit.

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
use crate::media::units::{Track, UnitShape, Units};
use crate::media::{Framing, Shape};
use crate::scenario::Talk;
use crate::sys::net::{self, Epoll};

/// What it sends.
enum Source {
    /// Over RTSP.
    Pictures {
        pictures: Pictures,
        shape: Shape,
        /// RTP and RTCP sockets when it sends over UDP.
        sockets: Option<(UdpSocket, UdpSocket)>,
    },
    /// Over RTMP.
    Units { units: Units, begun: bool },
}

/// See the module.
pub(crate) struct Publisher {
    connection: Connection,
    source: Source,
    /// Bytes sent: of pictures as they are framed for readers of the same protocol, of units without any framing.
    pub(crate) sent: u64,
    /// Pictures and units that the server did not take at once.
    pub(crate) stalls: u64,
}

impl Publisher {
    /// Starts to connect the publisher of `path` over RTSP.
    pub(crate) fn of_pictures(
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
        let source = Source::Pictures { pictures, shape, sockets };
        Ok(Publisher { connection, source, sent: 0, stalls: 0 })
    }

    /// Starts to connect the publisher of `path` over RTMP.
    pub(crate) fn of_units(
        epoll: &Epoll,
        path: usize,
        shape: UnitShape,
        address: SocketAddr,
        talk: Talk,
    ) -> Result<Publisher> {
        let connection = Connection::start(epoll, address, Token::Publisher(path).pack(), talk)?;
        let source = Source::Units { units: Units::new(path as u16, shape), begun: false };
        Ok(Publisher { connection, source, sent: 0, stalls: 0 })
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
                Err(error) if net::would_block(&error) => return Ok(()),
                Err(error) => return Err(error).context("receive"),
            }
        }
    }

    /// Sends the next picture, or the next unit of `track`, stamped with the time just before. `readers`: how pictures
    /// are framed for them.
    pub(crate) fn publish(&mut self, track: Track, readers: Option<Framing>) -> Result<()> {
        let (connection, stalls) = (&mut self.connection, &mut self.stalls);
        match &mut self.source {
            Source::Pictures { pictures, shape, sockets } => {
                self.sent += shape.wire_bytes(readers.unwrap_or(Framing::Datagrams)) as u64;
                publish_picture(connection, pictures, *shape, sockets.as_ref(), stalls)
            }
            Source::Units { units, begun } => {
                if !std::mem::replace(begun, true) {
                    units.headers().iter().try_for_each(|body| connection.publish(body))?;
                }
                *stalls += u64::from(connection.stalled());
                let (body, bytes) = units.next(track, realtime_ns());
                self.sent += bytes as u64;
                connection.publish(&body)
            }
        }
    }

    /// A look at the clock, for keep-alives, and a sender report.
    pub(crate) fn visit(&mut self, now: Instant) -> Result<()> {
        self.connection.timer(now, None)?;
        let Source::Pictures { pictures, sockets, .. } = &self.source else { return Ok(()) };
        let (ssrc, rtp, packets, octets) = pictures.sent();
        let ntp = Ntp::from_unix(Duration::from_nanos(realtime_ns()));
        let mut report = BytesMut::with_capacity(96);
        if sockets.is_none() {
            report.put_slice(&[b'$', 1, 0, 0]);
        }
        let start = report.len();
        let reports = ReportBlocks::new();
        SenderReport { ssrc, ntp, rtp: Ticks(rtp), packets, octets, reports }.write(&mut report);
        write_sdes_cname(ssrc, b"headwater-bench", &mut report);
        match (sockets, self.connection.talk.server_ports()) {
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

/// The next picture, over TCP in one call or over UDP in as few as may be.
fn publish_picture(
    connection: &mut Connection,
    pictures: &mut Pictures,
    shape: Shape,
    sockets: Option<&(UdpSocket, UdpSocket)>,
    stalls: &mut u64,
) -> Result<()> {
    pictures.prepare();
    let bytes = pictures.stamped(realtime_ns());
    let Some((rtp, _)) = sockets else {
        *stalls += u64::from(connection.stalled());
        return connection.send(bytes);
    };
    let (to, _) = connection.talk.server_ports().context("the server named no port for RTP")?;
    let segment = shape.packet_bytes;
    for part in bytes.chunks(limits::SEGMENTS_MAX.min(limits::DATAGRAMS_BYTES_MAX / segment) * segment) {
        let sent = net::send_segmented(rtp.as_raw_fd(), part, segment as u16, Some(&to.into()));
        sent.context("publish over UDP")?;
    }
    Ok(())
}
