//! Listening sockets: one per shard on the same port, so that the kernel spreads connections and datagrams over the shards.

use super::address::Family;
use crate::limits;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Send and receive buffer asked for on the shared datagram sockets; the kernel caps it at net.core.{w,r}mem_max.
const DATAGRAM_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// A UDP socket and the family it speaks.
#[derive(Debug)]
pub(crate) struct Datagram {
    pub(crate) socket: Socket,
    pub(crate) family: Family,
}

/// Binds `count` TCP listeners to `address` (port 0: the kernel picks one port for all).
///
/// Errors: the address is in use by another program, or is not of this machine.
pub(crate) fn tcp(address: SocketAddr, count: usize) -> io::Result<Vec<Socket>> {
    let first = tcp_one(address, true)?;
    let bound = local(&first)?;
    let mut all = vec![first];
    for _ in 1..count {
        all.push(tcp_one(bound, true)?);
    }
    for socket in &all {
        socket.listen(limits::LISTEN_BACKLOG)?;
    }
    Ok(all)
}

fn tcp_one(address: SocketAddr, reuse_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Finds out whether another program listens on `address` already: with SO_REUSEPORT a second server of the same user
/// would silently share the port.
pub(crate) fn is_taken(address: SocketAddr) -> bool {
    address.port() != 0
        && tcp_one(address, false).err().is_some_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

/// The same for UDP.
pub(crate) fn is_taken_udp(address: SocketAddr) -> bool {
    let bind = || -> io::Result<()> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.bind(&address.into())
    };
    address.port() != 0 && bind().is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

/// Binds `count` UDP sockets to `address`, sharing its port. A receive `buffer` of 0 bytes is the engine's choice.
pub(crate) fn udp(address: SocketAddr, count: usize, buffer: usize) -> io::Result<Vec<Datagram>> {
    let first = udp_one(address, buffer)?;
    let bound = local(&first.socket)?;
    let mut all = vec![first];
    for _ in 1..count {
        all.push(udp_one(bound, buffer)?);
    }
    Ok(all)
}

/// Binds RTP and RTCP sockets. Where the RTP port is 0, an even port with a free odd neighbour is looked for
/// (RFC 3550, section 11).
pub(crate) fn udp_pair(
    rtp: SocketAddr,
    rtcp: SocketAddr,
    count: usize,
    buffer: usize,
) -> io::Result<(Vec<Datagram>, Vec<Datagram>)> {
    if rtp.port() != 0 {
        return Ok((udp(rtp, count, buffer)?, udp(rtcp, count, buffer)?));
    }
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..64 {
        let first = udp(rtp, count, buffer)?;
        let port = local(&first[0].socket)?.port();
        if !port.is_multiple_of(2) {
            continue;
        }
        match udp(SocketAddr::new(rtcp.ip(), port + 1), count, buffer) {
            Ok(second) => return Ok((first, second)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn udp_one(address: SocketAddr, buffer: usize) -> io::Result<Datagram> {
    let datagram = unbound_udp(address)?;
    if buffer > 0 {
        datagram.socket.set_recv_buffer_size(buffer)?;
    }
    datagram.socket.bind(&address.into())?;
    Ok(datagram)
}

fn unbound_udp(address: SocketAddr) -> io::Result<Datagram> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_port(true)?;
    // The defaults lose datagrams in bursts; less than asked for is still fine.
    let _ = socket.set_send_buffer_size(DATAGRAM_BUFFER_BYTES);
    let _ = socket.set_recv_buffer_size(DATAGRAM_BUFFER_BYTES);
    let family = if address.is_ipv6() { Family::V6 } else { Family::V4 };
    Ok(Datagram { socket, family })
}

/// A socket of one session's own on the shared port, connected to its peer: the kernel prefers it over the shared ones
/// for that peer's datagrams, which thus reach the owning shard.
pub(crate) fn udp_connected(local: SocketAddr, peer: SocketAddr, buffer: usize) -> io::Result<Socket> {
    let Datagram { socket, .. } = unbound_udp(local)?;
    if buffer > 0 {
        socket.set_recv_buffer_size(buffer)?;
    }
    super::udp::enable_receive_offload(&socket);
    socket.bind(&local.into())?;
    socket.connect(&peer.into())?;
    Ok(socket)
}

/// The address a socket is bound to.
pub(crate) fn local(socket: &Socket) -> io::Result<SocketAddr> {
    socket
        .local_addr()?
        .as_socket()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the socket has no IP address"))
}

/// The IPv4 wildcard for a machine without IPv6, where `address` is the IPv6 wildcard.
pub(crate) fn without_ipv6(address: SocketAddr) -> Option<SocketAddr> {
    (address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED))
        .then(|| SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), address.port()))
}

#[cfg(test)]
mod tests {
    use super::{local, tcp, udp_pair};
    use std::net::SocketAddr;

    #[test]
    fn shards_share_a_port_and_the_rtp_port_is_even() {
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let listeners = tcp(any, 3).expect("three listeners");
        let ports: Vec<u16> = listeners.iter().map(|l| local(l).expect("bound").port()).collect();
        assert!(ports.iter().all(|port| *port == ports[0]));
        let (rtp, rtcp) = udp_pair(any, any, 2, 0).expect("a pair of ports");
        let rtp_port = local(&rtp[1].socket).expect("bound").port();
        assert_eq!(rtp_port % 2, 0);
        assert_eq!(local(&rtcp[0].socket).expect("bound").port(), rtp_port + 1);
    }
}
