//! RTP (RFC 3550): the header, serial numbers, reordering, reception statistics, and the way between payloads and units.
//!
//! A packet is read in place ([`Packet::parse`]) and renumbered in place ([`Rewrite::apply`]); nothing on this path
//! allocates. [`Reorder`] puts the packets of a UDP publisher back in order within named bounds, [`Reception`] counts
//! what the receiver reports say. [`Depacketizer`] and [`Packetizer`] know the payload formats, [`Timeline`] joins the clocks
//! of tracks. Left out on purpose: header extensions and CSRC lists are stepped over and passed on
//! untouched, since nothing here mixes; the probation of new sources (RFC 3550, A.1) is left out because a session
//! was negotiated before its first packet.

mod aac_header;
pub mod depacketize;
mod format;
mod jpeg;
mod packet;
pub mod packetize;
#[cfg(test)]
pub(crate) mod random;
mod reception;
mod reorder;
mod serial;
mod timeline;

pub use depacketize::Depacketizer;
pub use packet::{Error, HEADER_BYTES, Packet, Rewrite, header, write_header};
pub use packetize::Packetizer;
pub use reception::Reception;
pub use reorder::Reorder;
pub use serial::{Sequence, Ticks};
pub use timeline::Timeline;
