//! Version 2: binary (section 2.2).
//!
//! ```text
//!  0               12   13    14        16
//! +---------------+----+-----+---------+-----------------------------------+------------------------+
//! | signature     |v|c | f|t | length  | source, destination, ports        | TLVs: type, length,    |
//! |               |    |     |         | (12 bytes IPv4, 36 IPv6, 216 Unix)| value, ...             |
//! +---------------+----+-----+---------+-----------------------------------+------------------------+
//! v: version 2. c: command, 0 LOCAL, 1 PROXY. f: 0 unspecified, 1 IPv4, 2 IPv6, 3 Unix.
//! t: 0 unspecified, 1 stream, 2 datagram. Numbers in network order. length: of all that follows it.
//! ```

use super::checksum::crc32c;
use super::{Error, Header};
use crate::limits::PROXY_TLV_BYTES_MAX;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, length.
const FIXED_BYTES: usize = 16;
const IPV4_BYTES: usize = 12;
const IPV6_BYTES: usize = 36;
const UNIX_BYTES: usize = 216;
pub(super) const HEADER_BYTES_MAX: usize = FIXED_BYTES + UNIX_BYTES + PROXY_TLV_BYTES_MAX;

/// The TLV with the CRC-32C of the whole header, in which these four bytes count as zero.
pub const TLV_CRC32C: u8 = 0x03;

/// Reads a header that begins with [`SIGNATURE`].
pub(super) fn decode(bytes: &[u8]) -> Result<Option<(Header, usize)>, Error> {
    let after = &bytes[SIGNATURE.len()..];
    if let Some(byte) = after.first() {
        check("version", byte >> 4, &[2])?;
        check("command", byte & 0x0F, &[0, 1])?;
    }
    if let Some(byte) = after.get(1) {
        check("address family", byte >> 4, &[0, 1, 2, 3])?;
        check("transport", byte & 0x0F, &[0, 1, 2])?;
    }
    let &[command, family, high, low, ..] = after else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let address_bytes = match family >> 4 {
        1 => IPV4_BYTES,
        2 => IPV6_BYTES,
        3 => UNIX_BYTES,
        _ => 0,
    };
    let local = command & 0x0F == 0;
    if length > address_bytes + PROXY_TLV_BYTES_MAX {
        return Err(Error::Limit { what: "extensions", max: PROXY_TLV_BYTES_MAX });
    }
    // A proxy that speaks for itself may name a family without addresses; all of it is to be ignored.
    if length < address_bytes && !local {
        return Err(Error::Invalid { what: "length", at: SIGNATURE.len() + 2 });
    }
    let end = FIXED_BYTES + length;
    let Some(header) = bytes.get(..end) else { return Ok(None) };
    if local {
        return Ok(Some((Header::UNKNOWN, end)));
    }
    check_extensions(header, FIXED_BYTES + address_bytes)?;
    Ok(Some((addresses(family, &header[FIXED_BYTES..]), end)))
}

fn check(what: &'static str, value: u8, known: &[u8]) -> Result<(), Error> {
    if known.contains(&value) { Ok(()) } else { Err(Error::Unsupported { what, value }) }
}

/// The address block, which is known to be whole.
fn addresses(family: u8, block: &[u8]) -> Header {
    let port = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
    let (source, destination) = match family {
        // Without a transport, or for a Unix socket, the addresses say nothing to us.
        0x11 | 0x12 => {
            let ip = |at: usize| Ipv4Addr::new(block[at], block[at + 1], block[at + 2], block[at + 3]);
            (SocketAddr::from((ip(0), port(8))), SocketAddr::from((ip(4), port(10))))
        }
        0x21 | 0x22 => {
            let ip = |at: usize| {
                let octets: [u8; 16] = block[at..at + 16].try_into().expect("sixteen bytes");
                Ipv6Addr::from(octets)
            };
            (SocketAddr::from((ip(0), port(32))), SocketAddr::from((ip(16), port(34))))
        }
        _ => return Header::UNKNOWN,
    };
    Header { source: Some(source), destination: Some(destination) }
}

/// Every TLV fits, and the checksum, where there is one, is right.
fn check_extensions(header: &[u8], mut at: usize) -> Result<(), Error> {
    let mut checksum_seen = false;
    while let Some(rest) = header.get(at..).filter(|rest| !rest.is_empty()) {
        let &[kind, high, low, ..] = rest else { return Err(Error::Invalid { what: "extension", at }) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let value_at = at + 3;
        let Some(value) = header.get(value_at..value_at + length) else {
            return Err(Error::Invalid { what: "extension length", at: at + 1 });
        };
        if kind == TLV_CRC32C {
            let said: [u8; 4] =
                value.try_into().map_err(|_| Error::Invalid { what: "checksum length", at: at + 1 })?;
            if checksum_seen {
                return Err(Error::Invalid { what: "second checksum", at });
            }
            checksum_seen = true;
            let said = u32::from_be_bytes(said);
            let found = crc32c(&[&header[..value_at], &[0; 4], &header[value_at + 4..]]);
            if said != found {
                return Err(Error::Checksum { said, found });
            }
        }
        at = value_at + length;
    }
    Ok(())
}

/// The header in bytes: PROXY over a stream, or LOCAL where an address is missing or the two are not of one family.
/// With `checksum`, it ends in one.
pub fn write_v2(header: &Header, checksum: bool) -> Vec<u8> {
    let (command, family, block) = match (header.source, header.destination) {
        (Some(SocketAddr::V4(source)), Some(SocketAddr::V4(destination))) => {
            let mut block = Vec::with_capacity(IPV4_BYTES);
            block.extend(source.ip().octets());
            block.extend(destination.ip().octets());
            block.extend(source.port().to_be_bytes());
            block.extend(destination.port().to_be_bytes());
            (0x21, 0x11, block)
        }
        (Some(SocketAddr::V6(source)), Some(SocketAddr::V6(destination))) => {
            let mut block = Vec::with_capacity(IPV6_BYTES);
            block.extend(source.ip().octets());
            block.extend(destination.ip().octets());
            block.extend(source.port().to_be_bytes());
            block.extend(destination.port().to_be_bytes());
            (0x21, 0x21, block)
        }
        _ => (0x20, 0x00, Vec::new()),
    };
    let length = block.len() + if checksum { 7 } else { 0 };
    let mut bytes = Vec::with_capacity(FIXED_BYTES + length);
    bytes.extend_from_slice(SIGNATURE);
    bytes.extend([command, family]);
    bytes.extend(u16::try_from(length).expect("at most 43 bytes").to_be_bytes());
    bytes.extend(block);
    if checksum {
        bytes.extend([TLV_CRC32C, 0, 4]);
        let sum = crc32c(&[&bytes, &[0; 4]]);
        bytes.extend(sum.to_be_bytes());
    }
    bytes
}
