//! Who a request comes from: the connection's other end, or, behind proxies that are trusted, whom they name.

use super::Rules;
use axum::http::HeaderMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The other end of a connection, as a request extension. `None` is a Unix socket, which is this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) Option<SocketAddr>);

impl Peer {
    pub(crate) fn ip(self) -> IpAddr {
        self.0.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip().to_canonical())
    }
}

/// The client's address, as a request extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client(pub(crate) IpAddr);

/// The rightmost address of `X-Forwarded-For` that is no trusted proxy: whatever is left of it, the client may have
/// made up. Without a trusted proxy at the other end the header means nothing.
pub(super) fn client(peer: Peer, headers: &HeaderMap, rules: &Rules) -> Client {
    let mut address = peer.ip();
    let fields: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    for named in fields.iter().rev().flat_map(|field| field.rsplit(',')) {
        if !rules.trusts(address) {
            break;
        }
        match parse(named) {
            Some(named) => address = named,
            None => break,
        }
    }
    Client(address)
}

/// An address, with or without a port.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
        .map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::values::Networks;

    fn seen(peer: &str, forwarded: &[&str]) -> String {
        let trusted = Networks(vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
        let rules = Rules { trusted_proxies: trusted, ..Rules::default() };
        let mut headers = HeaderMap::new();
        for field in forwarded {
            headers.append("x-forwarded-for", field.parse().unwrap());
        }
        client(Peer(Some(peer.parse().unwrap())), &headers, &rules).0.to_string()
    }

    #[test]
    fn the_header_counts_only_behind_a_trusted_proxy() {
        assert_eq!(seen("192.0.2.1:1", &["1.2.3.4"]), "192.0.2.1");
        assert_eq!(seen("10.1.1.1:1", &["1.2.3.4"]), "1.2.3.4");
        assert_eq!(seen("10.1.1.1:1", &[]), "10.1.1.1");
        assert_eq!(seen("[::1]:1", &["[2001:db8::1]:443"]), "2001:db8::1");
    }

    #[test]
    fn the_rightmost_untrusted_address_is_the_client() {
        assert_eq!(seen("10.1.1.1:1", &["6.6.6.6, 1.2.3.4, 10.2.2.2"]), "1.2.3.4");
        assert_eq!(seen("10.1.1.1:1", &["6.6.6.6", "1.2.3.4", "10.2.2.2 , 10.3.3.3"]), "1.2.3.4");
        assert_eq!(seen("10.1.1.1:1", &["6.6.6.6, nonsense, 10.2.2.2"]), "10.2.2.2");
    }

    #[test]
    fn a_unix_socket_is_this_machine() {
        assert!(Peer(None).ip().is_loopback());
    }
}
