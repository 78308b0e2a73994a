//! Version 1: one line of text, at most 107 bytes (section 2.1).
//!
//! ```text
//! PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n
//! ```

use super::{Error, Header};
use crate::limits::PROXY_V1_BYTES_MAX;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// Reads a line that begins with [`SIGNATURE`].
pub(super) fn decode(bytes: &[u8]) -> Result<Option<(Header, usize)>, Error> {
    let window = &bytes[..bytes.len().min(PROXY_V1_BYTES_MAX)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        if window.len() == PROXY_V1_BYTES_MAX {
            return Err(Error::Limit { what: "line", max: PROXY_V1_BYTES_MAX });
        }
        return Ok(None);
    };
    let header = Fields { line: &window[..end], at: SIGNATURE.len() }.header()?;
    Ok(Some((header, end + 2)))
}

/// The fields of a line, separated by exactly one space.
struct Fields<'a> {
    line: &'a [u8],
    /// Where the next field begins.
    at: usize,
}

impl Fields<'_> {
    fn header(mut self) -> Result<Header, Error> {
        let protocol_at = self.at;
        let (source, destination): (IpAddr, IpAddr) = match self.next() {
            // Whatever follows is to be ignored.
            b"UNKNOWN" => return Ok(Header::UNKNOWN),
            b"TCP4" => (self.read::<Ipv4Addr>("source address")?.into(), {
                self.read::<Ipv4Addr>("destination address")?.into()
            }),
            b"TCP6" => (self.read::<Ipv6Addr>("source address")?.into(), {
                self.read::<Ipv6Addr>("destination address")?.into()
            }),
            _ => return Err(Error::Invalid { what: "protocol", at: protocol_at }),
        };
        let source = SocketAddr::new(source, self.port("source port")?);
        let destination = SocketAddr::new(destination, self.port("destination port")?);
        if self.at <= self.line.len() {
            return Err(Error::Invalid { what: "end of line", at: self.at });
        }
        Ok(Header { source: Some(source), destination: Some(destination) })
    }

    /// The bytes up to the next space; nothing when the line is at its end.
    fn next(&mut self) -> &[u8] {
        let rest = self.line.get(self.at..).unwrap_or_default();
        let field = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
        self.at += field.len() + 1;
        field
    }

    fn read<T: std::str::FromStr>(&mut self, what: &'static str) -> Result<T, Error> {
        let at = self.at;
        let text = str::from_utf8(self.next()).ok();
        text.and_then(|text| text.parse().ok()).ok_or(Error::Invalid { what, at })
    }

    /// Decimal digits without leading zeros; the standard's number parser would also take a sign.
    fn port(&mut self, what: &'static str) -> Result<u16, Error> {
        let at = self.at;
        let field = self.line.get(at..).unwrap_or_default();
        if field.starts_with(b"+") || field.starts_with(b"0") && field.get(1).is_some_and(u8::is_ascii_digit)
        {
            return Err(Error::Invalid { what, at });
        }
        self.read(what)
    }
}

/// The line for `header`; `UNKNOWN` where an address is missing or the two are not of one family.
pub fn write_v1(header: &Header) -> String {
    let mut line = String::with_capacity(PROXY_V1_BYTES_MAX);
    let ends = match (header.source, header.destination) {
        (Some(source @ SocketAddr::V4(_)), Some(destination @ SocketAddr::V4(_))) => {
            Some(("TCP4", source, destination))
        }
        (Some(source @ SocketAddr::V6(_)), Some(destination @ SocketAddr::V6(_))) => {
            Some(("TCP6", source, destination))
        }
        _ => None,
    };
    match ends {
        Some((protocol, source, destination)) => {
            let (from, to) = (source.ip(), destination.ip());
            // Writing to a string cannot fail.
            let _ = write!(line, "PROXY {protocol} {from} {to} {} {}\r\n", source.port(), destination.port());
        }
        None => line.push_str("PROXY UNKNOWN\r\n"),
    }
    line
}
