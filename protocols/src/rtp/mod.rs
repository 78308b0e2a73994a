//! RTP (RFC 3550): the header, serial numbers, reordering, and reception statistics.
//!
//! A packet is read in place ([`Packet::parse`]) and renumbered in place ([`Rewrite::apply`]); nothing on this path
//! allocates. [`Reorder`] puts the packets of a UDP publisher back in order within named bounds, [`Reception`] counts
//! what the receiver reports say. Left out on purpose: header extensions and CSRC lists are stepped over and passed on
//! untouched, since nothing here mixes; the probation of new sources (RFC 3550, A.1) is left out because a session
//! was negotiated before its first packet.

mod packet;
#[cfg(test)]
pub(crate) mod random;
mod reception;
mod reorder;
mod serial;

pub use packet::{Error, HEADER_BYTES, Packet, Rewrite, header, write_header};
pub use reception::Reception;
pub use reorder::Reorder;
pub use serial::{Sequence, Ticks};
