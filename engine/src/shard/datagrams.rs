//! The shared RTP and RTCP sockets of a shard, and the sockets that publishers over UDP have of their own.

use super::SessionKey;
use crate::net::listen::{self, Datagram};
use crate::net::{Peer, udp};
use crate::stream::reader::DatagramSink;
use headwater_protocols::rtp::Reorder;
use slotmap::SlotMap;
use socket2::Socket;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;

slotmap::new_key_type! {
    /// A pair of RTP and RTCP ports.
    pub(crate) struct PortsKey;
}

/// The shard's sockets on the server's RTP and RTCP ports: the pair that new sessions get (without one they use TCP
/// only), and pairs from before a change of configuration, for as long as sessions use them.
#[derive(Default)]
pub(crate) struct DatagramSockets {
    open: SlotMap<PortsKey, Ports>,
    current: Option<PortsKey>,
}

pub(crate) struct Ports {
    pub(crate) rtp: Datagram,
    pub(crate) rtcp: Datagram,
    pub(crate) rtp_address: SocketAddr,
    pub(crate) rtcp_address: SocketAddr,
    /// Lives as long as any shard has the ports open.
    _open: Arc<()>,
    /// The RTP socket is full and watched for room.
    pub(crate) blocked: bool,
}

impl Ports {
    pub(crate) fn new(rtp: Datagram, rtcp: Datagram, open: Arc<()>) -> io::Result<Ports> {
        let (rtp_address, rtcp_address) = (listen::local(&rtp.socket)?, listen::local(&rtcp.socket)?);
        Ok(Ports { rtp, rtcp, rtp_address, rtcp_address, _open: open, blocked: false })
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
    /// The pair that new sessions get.
    pub(crate) fn current(&self) -> Option<PortsKey> {
        self.current
    }

    pub(crate) fn get(&self, key: PortsKey) -> Option<&Ports> {
        self.open.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: PortsKey) -> Option<&mut Ports> {
        self.open.get_mut(key)
    }

    /// Makes `ports` what new sessions get. The pair before stays until it is closed.
    pub(super) fn replace(&mut self, ports: Option<Ports>) -> Option<PortsKey> {
        self.current = ports.map(|ports| self.open.insert(ports));
        self.current
    }

    /// Pairs that new sessions do not get any more.
    pub(super) fn retired(&self) -> impl Iterator<Item = PortsKey> {
        self.open.keys().filter(|key| Some(*key) != self.current)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = PortsKey> {
        self.open.keys()
    }

    pub(super) fn close(&mut self, key: PortsKey) {
        self.open.remove(key);
    }

    /// Sends the first trains that leave from the same port. Returns how many the kernel took, at least one.
    pub(crate) fn send(&self, sink: &DatagramSink, trains: &[udp::Train<'_>]) -> io::Result<usize> {
        let Some(ports) = self.open.get(sink.ports) else { return Err(io::ErrorKind::NotConnected.into()) };
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
