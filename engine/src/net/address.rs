//! Addresses in the two forms the engine needs: canonical for keys and logs, and as the kernel's bytes for sends.

#![allow(unsafe_code)]

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// A peer's address with IPv4-mapped IPv6 addresses turned into IPv4, so that one peer has one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Peer(pub(crate) SocketAddr);

impl Peer {
    pub(crate) fn new(address: SocketAddr) -> Peer {
        match address {
            SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
                Some(v4) => Peer(SocketAddr::new(v4.into(), v6.port())),
                // The scope names the interface of a link-local address.
                None => Peer(SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id()).into()),
            },
            v4 @ SocketAddr::V4(_) => Peer(v4),
        }
    }

    /// The same host at another port.
    pub(crate) fn with_port(self, port: u16) -> Peer {
        let mut address = self.0;
        address.set_port(port);
        Peer(address)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Address family of a socket; an IPv6 socket here always speaks IPv4 as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// A destination as the kernel wants it: `sockaddr_in` or `sockaddr_in6`, whichever the socket's family asks for.
#[derive(Clone, Copy)]
pub(crate) struct Destination {
    bytes: [u8; size_of::<libc::sockaddr_in6>()],
    len: u8,
}

impl Destination {
    /// `None` when an IPv6 address is asked of an IPv4 socket.
    pub(crate) fn new(family: Family, address: SocketAddr) -> Option<Destination> {
        let mut bytes = [0; size_of::<libc::sockaddr_in6>()];
        let len = match (family, address) {
            (Family::V4, SocketAddr::V4(v4)) => {
                bytes[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
                bytes[2..4].copy_from_slice(&v4.port().to_be_bytes());
                bytes[4..8].copy_from_slice(&v4.ip().octets());
                size_of::<libc::sockaddr_in>()
            }
            (Family::V4, SocketAddr::V6(_)) => return None,
            (Family::V6, address) => {
                let v6 = to_v6(address);
                bytes[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
                bytes[2..4].copy_from_slice(&v6.port().to_be_bytes());
                bytes[8..24].copy_from_slice(&v6.ip().octets());
                bytes[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
                size_of::<libc::sockaddr_in6>()
            }
        };
        Some(Destination { bytes, len: len as u8 })
    }

    pub(super) fn as_ptr(&self) -> *const libc::c_void {
        self.bytes.as_ptr().cast()
    }

    pub(super) fn len(&self) -> libc::socklen_t {
        libc::socklen_t::from(self.len)
    }
}

pub(super) fn to_v6(address: SocketAddr) -> SocketAddrV6 {
    match address {
        SocketAddr::V4(v4) => SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0),
        SocketAddr::V6(v6) => v6,
    }
}

/// `address` as the kernel's `in6_addr` bytes, IPv4 in its mapped form.
pub(super) fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Reads what the kernel wrote into a `sockaddr_storage`.
pub(super) fn from_storage(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that this is a sockaddr_in, which is smaller than the storage and as aligned.
            let v4 = unsafe { &*(std::ptr::from_ref(storage).cast::<libc::sockaddr_in>()) };
            let ip = std::net::Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::new(ip.into(), u16::from_be(v4.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that this is a sockaddr_in6, which is smaller than the storage and as aligned.
            let v6 = unsafe { &*(std::ptr::from_ref(storage).cast::<libc::sockaddr_in6>()) };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), 0, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Destination, Family, Peer};
    use std::net::SocketAddr;

    #[test]
    fn mapped_addresses_are_one_peer() {
        let plain: SocketAddr = "10.0.0.1:5000".parse().expect("an address");
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:5000".parse().expect("an address");
        assert_eq!(Peer::new(plain), Peer::new(mapped));
        assert_eq!(Peer::new(mapped).to_string(), "10.0.0.1:5000");
    }

    #[test]
    fn an_ipv4_socket_cannot_reach_ipv6() {
        let v6: SocketAddr = "[2001:db8::1]:5000".parse().expect("an address");
        assert!(Destination::new(Family::V4, v6).is_none());
        assert!(Destination::new(Family::V6, v6).is_some());
    }
}
