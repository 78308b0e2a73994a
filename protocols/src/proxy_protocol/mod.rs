//! PROXY protocol, versions 1 and 2 (haproxy's proxy-protocol.txt, sections 2.1 and 2.2): what a load balancer writes
//! before the first byte of a connection, to say who the client is.
//!
//! Only for connections from proxies that are trusted: the sender can claim any address. Whoever trusts a proxy must
//! insist on the header (section 5), so there is no "perhaps a header" here: what does not begin as one is an error, at
//! the first byte that differs. Of the TLVs only the checksum is used; TLS facts, authority and names are skipped.
//!
//! Left out on purpose: Unix socket addresses, which no client of ours has. They are read as "not known".

mod checksum;
mod v1;
mod v2;

pub use v1::write_v1;
pub use v2::{TLV_CRC32C, write_v2};

use std::net::SocketAddr;

/// Who is at the two ends of the connection that the proxy relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The client. `None` where the proxy speaks for itself (health checks) or does not know: the connection's own
    /// addresses hold then.
    pub source: Option<SocketAddr>,
    /// What the client connected to; known if and only if `source` is.
    pub destination: Option<SocketAddr>,
}

impl Header {
    /// The connection's own addresses hold.
    pub const UNKNOWN: Header = Header { source: None, destination: None };
}

/// What is wrong with a header. The connection must be closed without an answer (section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Bytes that are no header; `at` counts from the connection's first byte.
    #[error("invalid {what} in the PROXY protocol header at byte {at}")]
    Invalid { what: &'static str, at: usize },
    /// The checksum does not fit the header.
    #[error("the PROXY protocol header says checksum {said:08x}, but its bytes have {found:08x}")]
    Checksum { said: u32, found: u32 },
    /// A version, command, address family or transport that the specification does not have.
    #[error("unsupported {what} {value} in the PROXY protocol header")]
    Unsupported { what: &'static str, value: u8 },
    /// More than [`crate::limits`] allows.
    #[error("{what} of the PROXY protocol header over {max} bytes")]
    Limit { what: &'static str, max: usize },
}

impl Error {
    /// The metric label: `invalid`, `unsupported` or `limit`.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Invalid { .. } | Error::Checksum { .. } => "invalid",
            Error::Unsupported { .. } => "unsupported",
            Error::Limit { .. } => "limit",
        }
    }
}

/// Reads the header at the start of `bytes`, which is all that has come on the connection. Returns it with its length:
/// what follows is the client's. `None`: more bytes are needed, never more than [`HEADER_BYTES_MAX`] in all.
///
/// # Errors
/// Whatever cannot become a header with more bytes.
pub fn decode(bytes: &[u8]) -> Result<Option<(Header, usize)>, Error> {
    let Some(first) = bytes.first() else { return Ok(None) };
    // The two versions differ in the first byte.
    let signature: &[u8] = if *first == v2::SIGNATURE[0] { v2::SIGNATURE } else { v1::SIGNATURE };
    if let Some(at) = bytes.iter().zip(signature).position(|(is, should)| is != should) {
        return Err(Error::Invalid { what: "signature", at });
    }
    if bytes.len() < signature.len() {
        return Ok(None);
    }
    if *first == v2::SIGNATURE[0] { v2::decode(bytes) } else { v1::decode(bytes) }
}

/// The longest header of either version: what a connection must buffer before it knows its client.
pub const HEADER_BYTES_MAX: usize = v2::HEADER_BYTES_MAX;

#[cfg(test)]
mod tests;
