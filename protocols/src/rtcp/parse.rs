//! The walk over a compound RTCP packet (RFC 3550, sections 6.1 and A.2).

use super::description::{App, Bye, Sdes};
use super::feedback::Feedback;
use super::packet_type;
use super::report::{ReceiverReport, SenderReport};
use crate::limits::RTCP_COMPOUND_MAX;

const HEADER_BYTES: usize = 4;

/// Why bytes are no RTCP packet. Offsets are in bytes from the start of the compound packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A packet ends inside `what`, or contradicts itself there.
    #[error("invalid RTCP packet at byte {offset}: {what}")]
    Invalid { what: &'static str, offset: usize },
    /// Not version 2.
    #[error("unsupported RTCP version {version} at byte {offset}")]
    Unsupported { version: u8, offset: usize },
    /// More packets in one compound than are looked at ([`RTCP_COMPOUND_MAX`]).
    #[error("more than {RTCP_COMPOUND_MAX} RTCP packets in one")]
    Limit,
}

impl Error {
    /// The sort of fault, as a metric label.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Invalid { .. } => "invalid",
            Error::Unsupported { .. } => "unsupported",
            Error::Limit => "limit",
        }
    }
}

/// One packet of a compound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    SenderReport(SenderReport),
    ReceiverReport(ReceiverReport),
    Sdes(Sdes<'a>),
    Bye(Bye<'a>),
    App(App<'a>),
    Feedback(Feedback<'a>),
    /// A packet type that is not looked into.
    Unknown(u8),
}

/// Reads a compound packet, packet by packet. Allocates only for reports with more than one block, at most 31 blocks.
pub fn parse(bytes: &[u8]) -> Compound<'_> {
    Compound { bytes, offset: 0, count: 0 }
}

/// The packets of one compound, in order. After an error of framing (version, length, padding) nothing follows; an
/// error in one packet's body concerns that packet alone.
#[derive(Clone, Debug)]
pub struct Compound<'a> {
    bytes: &'a [u8],
    offset: usize,
    count: usize,
}

impl<'a> Iterator for Compound<'a> {
    type Item = Result<Packet<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.offset == self.bytes.len() {
            return None;
        }
        let offset = self.offset;
        match self.frame() {
            Err(error) => {
                self.offset = self.bytes.len();
                Some(Err(error))
            }
            Ok(frame) => {
                self.offset += frame.bytes;
                Some(frame.read().map_err(|what| Error::Invalid { what, offset }))
            }
        }
    }
}

impl<'a> Compound<'a> {
    /// The extent of the next packet.
    fn frame(&mut self) -> Result<Frame<'a>, Error> {
        let offset = self.offset;
        let invalid = |what| Error::Invalid { what, offset };
        if self.count == RTCP_COMPOUND_MAX {
            return Err(Error::Limit);
        }
        self.count += 1;
        let rest = &self.bytes[offset..];
        let Some(&[first, packet_type, high, low]) = rest.first_chunk::<HEADER_BYTES>() else {
            return Err(invalid("header"));
        };
        if first >> 6 != 2 {
            return Err(Error::Unsupported { version: first >> 6, offset });
        }
        let bytes = HEADER_BYTES + 4 * usize::from(u16::from_be_bytes([high, low]));
        let mut body = rest.get(HEADER_BYTES..bytes).ok_or_else(|| invalid("length"))?;
        if first & 0x20 != 0 {
            let padding = usize::from(body.last().copied().unwrap_or(0));
            if padding == 0 || !padding.is_multiple_of(4) || padding > body.len() {
                return Err(invalid("padding count"));
            }
            body = &body[..body.len() - padding];
        }
        Ok(Frame { count: first & 0x1F, packet_type, body, bytes })
    }
}

/// One packet whose length is known to be right.
struct Frame<'a> {
    /// Report count, source count, subtype or feedback format, as the type has it.
    count: u8,
    packet_type: u8,
    /// What follows the first word, without padding.
    body: &'a [u8],
    /// The whole packet, in bytes.
    bytes: usize,
}

impl<'a> Frame<'a> {
    fn read(self) -> Result<Packet<'a>, &'static str> {
        let Frame { count, packet_type, body, .. } = self;
        match packet_type {
            packet_type::SENDER_REPORT => {
                SenderReport::read(count, body).map(Packet::SenderReport).ok_or("sender report")
            }
            packet_type::RECEIVER_REPORT => {
                ReceiverReport::read(count, body).map(Packet::ReceiverReport).ok_or("receiver report")
            }
            packet_type::SOURCE_DESCRIPTION => {
                Sdes::read(count, body).map(Packet::Sdes).ok_or("source description")
            }
            packet_type::BYE => Bye::read(count, body).map(Packet::Bye).ok_or("BYE"),
            packet_type::APP => App::read(count, body).map(Packet::App).ok_or("APP"),
            packet_type::TRANSPORT_FEEDBACK => {
                Feedback::read_transport(count, body).map(Packet::Feedback).ok_or("transport feedback")
            }
            packet_type::PAYLOAD_FEEDBACK => {
                Feedback::read_payload(count, body).map(Packet::Feedback).ok_or("payload feedback")
            }
            other => Ok(Packet::Unknown(other)),
        }
    }
}
