//! RTCP (RFC 3550, section 6; feedback of RFC 4585 and RFC 5104): compound packets read and written.
//!
//! [`parse`] walks a compound packet without panicking whatever the bytes are. It is lenient where RFC 3550, A.2 is
//! strict: reduced-size packets (RFC 5506) need not begin with a report, and padding may be on any packet. A length
//! that leads out of the datagram ends the walk; a body too short for its type is an error of that packet alone.
//! Left out on purpose: extended reports (RFC 3611) and the legacy types 192 and 193, which come out as
//! [`Packet::Unknown`]; the fine structure of transport-wide feedback, which comes out raw.

mod description;
mod feedback;
mod parse;
mod report;
mod time;

pub use description::{App, Bye, Sdes, SdesChunk, write_bye, write_sdes_cname};
pub use feedback::{
    Feedback, FeedbackMessage, FullIntraRequest, NACK_ENTRIES_MAX, Nack, write_full_intra_request,
    write_nack, write_picture_loss,
};
pub use parse::{Compound, Error, Packet, parse};
pub use report::{ReceiverReport, ReportBlock, ReportBlocks, SenderReport};
pub use time::Ntp;

/// Packet types (RFC 3550, section 12.1; RFC 4585, section 6.1).
mod packet_type {
    pub(super) const SENDER_REPORT: u8 = 200;
    pub(super) const RECEIVER_REPORT: u8 = 201;
    pub(super) const SOURCE_DESCRIPTION: u8 = 202;
    pub(super) const BYE: u8 = 203;
    pub(super) const APP: u8 = 204;
    pub(super) const TRANSPORT_FEEDBACK: u8 = 205;
    pub(super) const PAYLOAD_FEEDBACK: u8 = 206;
}

/// The word every RTCP packet begins with (RFC 3550, 6.4.1):
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |V=2|P|  count  |  packet type  |   length in words, less one   |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// `body_bytes` is a multiple of 4: our own writers know what they write.
fn header(count: u8, packet_type: u8, body_bytes: usize) -> [u8; 4] {
    debug_assert!(count < 32 && body_bytes.is_multiple_of(4));
    let words = u16::try_from(body_bytes / 4).expect("our packets are far below 256 KiB");
    let [high, low] = words.to_be_bytes();
    [2 << 6 | count, packet_type, high, low]
}

/// The big-endian word at byte `offset`, if it lies within `bytes`.
fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().copied().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests;
