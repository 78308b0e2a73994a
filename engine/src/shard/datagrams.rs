//! The shared RTP and RTCP sockets of a shard, and the sockets that publishers over UDP have of their own.

use super::SessionKey;
use crate::net::listen::{self, Datagram};
use crate::net::{Peer, udp};
use crate::stream::reader::DatagramSink;
use headwater_protocols::rtp::Reorder;
use socket2::Socket;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

/// The shard's sockets on the server's RTP and RTCP ports. Without them (`None`) readers and publishers use TCP only.
pub(crate) struct DatagramSockets(pub(crate) Option<Ports>);

pub(crate) struct Ports {
    pub(crate) rtp: Datagram,
    pub(crate) rtcp: Datagram,
    pub(crate) rtp_address: SocketAddr,
    pub(crate) rtcp_address: SocketAddr,
}

impl Ports {
    pub(crate) fn new(rtp: Datagram, rtcp: Datagram) -> io::Result<Ports> {
        let (rtp_address, rtcp_address) = (listen::local(&rtp.socket)?, listen::local(&rtcp.socket)?);
        Ok(Ports { rtp, rtcp, rtp_address, rtcp_address })
    }

    /// Where datagrams of a session leave from: the address its client asked, unless these ports are bound to one.
    pub(crate) fn leave_from(&self, asked: SocketAddr) -> SocketAddr {
        if self.rtp_address.ip().is_unspecified() { asked } else { self.rtp_address }
    }

    pub(crate) fn socket(&self, rtcp: bool) -> &Datagram {
        if rtcp { &self.rtcp } else { &self.rtp }
    }
}

impl DatagramSockets {
    /// Sends the first trains that leave from the same port. Returns how many the kernel took, at least one.
    pub(crate) fn send(&self, sink: &DatagramSink, trains: &[udp::Train<'_>]) -> io::Result<usize> {
        let Some(ports) = &self.0 else { return Err(io::ErrorKind::NotConnected.into()) };
        let rtcp = |train: &udp::Train<'_>| train.target % 2 == 1;
        let Some(first) = trains.first().map(rtcp) else { return Ok(0) };
        let same = trains.iter().take_while(|train| rtcp(train) == first).count();
        let Datagram { socket, family } = ports.socket(first);
        let sent = udp::send(socket.as_raw_fd(), *family, sink.source, &sink.destinations, &trains[..same]);
        match sent {
            // Reports are not worth waiting for; only the RTP socket is watched for room.
            Err(error) if first && error.kind() == io::ErrorKind::WouldBlock => Ok(same),
            other => other,
        }
    }
}

/// A publisher's own socket for one track, connected to its peer.
pub(crate) struct IngestSocket {
    pub(crate) socket: Socket,
    pub(crate) peer: Peer,
    pub(crate) session: SessionKey,
    pub(crate) track: usize,
    pub(crate) reorder: Reorder,
}
