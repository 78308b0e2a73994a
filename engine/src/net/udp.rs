//! UDP: segmented sends (GSO) from the address that was asked, and receives of whole trains (GRO).
//!
//! A segmented send hands the kernel up to 64 datagrams of equal size (the last may be shorter) as one buffer; it costs
//! a quarter of a send per datagram. Source: Linux `udp(7)`, UDP_SEGMENT and UDP_GRO.

#![allow(unsafe_code)]

use super::address::{Destination, Family, Peer, from_storage, mapped};
use crate::limits;
use bytes::BytesMut;
use socket2::Socket;
use std::io;
use std::mem;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};

/// Room for IPV6_PKTINFO (or IP_PKTINFO) and UDP_SEGMENT, aligned as `cmsghdr` wants.
#[repr(align(8))]
struct Control([u8; 96]);

/// The address datagrams to one peer are sent from.
#[derive(Clone, Copy)]
pub(crate) struct Source(Option<IpAddr>);

impl Source {
    /// A loopback, global or other concrete address; the wildcard leaves the choice to the kernel.
    pub(crate) fn new(address: IpAddr) -> Source {
        Source((!address.is_unspecified()).then_some(address))
    }
}

/// One or more datagrams of one size for one of a peer's ports.
pub(crate) struct Train<'a> {
    pub(crate) bytes: &'a [u8],
    /// Size of each datagram but the last; `None` for a single one.
    pub(crate) segment: Option<u16>,
    /// Index into the peer's destinations.
    pub(crate) target: usize,
}

fn put(control: &mut Control, at: usize, level: i32, kind: i32, data: &[u8]) -> usize {
    let header = size_of::<libc::cmsghdr>();
    let len = header + data.len();
    control.0[at..at + 8].copy_from_slice(&len.to_ne_bytes());
    control.0[at + 8..at + 12].copy_from_slice(&level.to_ne_bytes());
    control.0[at + 12..at + 16].copy_from_slice(&kind.to_ne_bytes());
    control.0[at + header..at + len].copy_from_slice(data);
    at + len.next_multiple_of(align_of::<libc::cmsghdr>())
}

fn fill_control(control: &mut Control, family: Family, source: Source, segment: Option<u16>) -> usize {
    let mut end = 0;
    match (family, source.0) {
        (_, None) => {}
        (Family::V6, Some(address)) => {
            // struct in6_pktinfo: the address, then an interface index of 0 (any).
            let mut info = [0u8; 20];
            info[..16].copy_from_slice(&mapped(address));
            end = put(control, end, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
        }
        (Family::V4, Some(IpAddr::V4(address))) => {
            // struct in_pktinfo: interface index, source ("spec_dst"), and a field the kernel ignores here.
            let mut info = [0u8; 12];
            info[4..8].copy_from_slice(&address.octets());
            end = put(control, end, libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
        }
        (Family::V4, Some(IpAddr::V6(_))) => {}
    }
    if let Some(segment) = segment {
        end = put(control, end, libc::SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes());
    }
    end
}

/// Sends trains in order, [`limits::TRAINS_PER_SEND_MAX`] in one system call. Returns how many of them the kernel took; an error concerns the
/// first. A train whose target is none of `destinations` is an error: masks and destinations come from the same tracks.
pub(crate) fn send(
    fd: RawFd,
    family: Family,
    source: Source,
    destinations: &[Option<Destination>],
    trains: &[Train<'_>],
) -> io::Result<usize> {
    const MANY: usize = limits::TRAINS_PER_SEND_MAX;
    if let [_] = trains {
        return send_group::<1>(fd, family, source, destinations, trains);
    }
    let mut sent = 0;
    for group in trains.chunks(MANY) {
        match send_group::<MANY>(fd, family, source, destinations, group) {
            Ok(n) if n == group.len() => sent += n,
            Ok(n) => return Ok(sent + n),
            Err(_) if sent > 0 => return Ok(sent),
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

/// Sends at most `N` trains in one system call.
fn send_group<const N: usize>(
    fd: RawFd,
    family: Family,
    source: Source,
    destinations: &[Option<Destination>],
    group: &[Train<'_>],
) -> io::Result<usize> {
    let mut controls: [Control; N] = [const { Control([0; 96]) }; N];
    // SAFETY: iovec is plain data, for which all zeros is a value.
    let mut slices: [libc::iovec; N] = unsafe { mem::zeroed() };
    // SAFETY: mmsghdr is plain data, for which all zeros is a value.
    let mut messages: [libc::mmsghdr; N] = unsafe { mem::zeroed() };
    for (n, train) in group.iter().enumerate() {
        let Some(Some(to)) = destinations.get(train.target) else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        let len = fill_control(&mut controls[n], family, source, train.segment);
        slices[n].iov_base = train.bytes.as_ptr().cast_mut().cast();
        slices[n].iov_len = train.bytes.len();
        let header = &mut messages[n].msg_hdr;
        header.msg_name = to.as_ptr().cast_mut();
        header.msg_namelen = to.len();
        header.msg_iov = &raw mut slices[n];
        header.msg_iovlen = 1;
        header.msg_control = if len == 0 { std::ptr::null_mut() } else { controls[n].0.as_mut_ptr().cast() };
        header.msg_controllen = len as _;
    }
    transmit(fd, &mut messages[..group.len()])
}

fn transmit(fd: RawFd, messages: &mut [libc::mmsghdr]) -> io::Result<usize> {
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    if let [one] = messages {
        // SAFETY: the header points to arrays of the caller that outlive the call.
        let n = unsafe { libc::sendmsg(fd, &raw const one.msg_hdr, flags) };
        return if n < 0 { Err(io::Error::last_os_error()) } else { Ok(1) };
    }
    // SAFETY: as above, for each header; the kernel writes the lengths into the array itself.
    let n = unsafe { libc::sendmmsg(fd, messages.as_mut_ptr(), messages.len() as u32, flags) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n as usize) }
}

/// Whether this kernel segments datagrams (Linux 4.18 and later).
pub(crate) fn segmentation_works(socket: &Socket) -> bool {
    option(socket, libc::UDP_SEGMENT, 0).is_ok()
}

/// Asks for trains on receive. Without it each datagram is received by itself.
pub(super) fn enable_receive_offload(socket: &Socket) {
    let _ = option(socket, libc::UDP_GRO, 1);
}

fn option(socket: &Socket, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the pointer and length describe a local integer.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            name,
            std::ptr::from_ref(&value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// What one receive brought.
pub(crate) struct Received {
    /// `None` when the kernel names no IP address.
    pub(crate) peer: Option<Peer>,
    /// Size of each datagram but the last; the whole length when there is one.
    pub(crate) segment: usize,
}

/// Appends one datagram or train to `buffer`, within its spare capacity.
///
/// Errors: `WouldBlock` when there is none; `ConnectionRefused` and the like report an earlier send of a connected socket.
pub(crate) fn receive(fd: RawFd, buffer: &mut BytesMut) -> io::Result<Received> {
    // SAFETY: sockaddr_storage, msghdr and the control array are plain data, for which all zeros is a value.
    let (mut storage, mut message): (libc::sockaddr_storage, libc::msghdr) = unsafe { mem::zeroed() };
    let mut control = Control([0; 96]);
    let spare = buffer.spare_capacity_mut();
    let mut slice = libc::iovec { iov_base: spare.as_mut_ptr().cast(), iov_len: spare.len() };
    message.msg_name = std::ptr::from_mut(&mut storage).cast();
    message.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    message.msg_iov = &raw mut slice;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len() as _;
    // SAFETY: the header points to locals and to the buffer's own spare memory.
    let n = unsafe { libc::recvmsg(fd, &raw mut message, libc::MSG_DONTWAIT) };
    if n < 0 {
        return Err(io::Error::last_os_error());
    }
    let len = n as usize;
    // SAFETY: the kernel initialised len more bytes, len ≤ spare.len().
    unsafe { buffer.set_len(buffer.len() + len) };
    let segment = train_segment(&message).filter(|segment| *segment > 0).unwrap_or(len);
    Ok(Received { peer: from_storage(&storage).map(Peer::new), segment })
}

fn train_segment(message: &libc::msghdr) -> Option<usize> {
    // SAFETY: the kernel filled the control buffer and its length; the macros stay within it.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_UDP && (*header).cmsg_type == libc::UDP_GRO {
                let value = libc::CMSG_DATA(header).cast::<i32>().read_unaligned();
                return usize::try_from(value).ok();
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::address::Destination;
    use super::super::listen;
    use super::{Source, Train, receive, segmentation_works, send};
    use bytes::BytesMut;
    use std::net::SocketAddr;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_train_arrives_as_datagrams_from_the_named_address() {
        let any: SocketAddr = "[::]:0".parse().expect("an address");
        let sender = listen::udp(any, 1, 0).expect("a socket").remove(0);
        assert!(segmentation_works(&sender.socket));
        let receiver = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let to = Destination::new(sender.family, receiver.local_addr().expect("bound")).expect("reachable");
        let bytes: Vec<u8> = (0..250u8).collect();
        let train = Train { bytes: &bytes, segment: Some(100), target: 0 };
        let source = Source::new("127.0.0.3".parse().expect("an address"));
        let fd = sender.socket.as_raw_fd();
        assert_eq!(send(fd, sender.family, source, &[Some(to)], &[train]).expect("sent"), 1);
        let mut got = Vec::new();
        for expected in [100, 100, 50] {
            let mut datagram = [0; 200];
            let (n, from) = receiver.recv_from(&mut datagram).expect("received");
            assert_eq!(n, expected);
            assert_eq!(from.ip().to_string(), "127.0.0.3");
            got.extend_from_slice(&datagram[..n]);
        }
        assert_eq!(got, bytes);
    }

    #[test]
    fn a_connected_socket_takes_its_peers_datagrams() {
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let shared = listen::udp(any, 1, 0).expect("a socket").remove(0);
        let local = listen::local(&shared.socket).expect("bound");
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let own = listen::udp_connected(local, peer.local_addr().expect("bound"), 0).expect("a socket");
        peer.send_to(b"hello", local).expect("sent");
        let mut buffer = BytesMut::with_capacity(2048);
        let received = receive(own.as_raw_fd(), &mut buffer).expect("received on the own socket");
        assert_eq!((received.segment, &buffer[..]), (5, &b"hello"[..]));
        assert!(receive(shared.socket.as_raw_fd(), &mut buffer).is_err());
    }
}
