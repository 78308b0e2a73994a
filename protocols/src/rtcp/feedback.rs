//! Feedback of receivers: what they lost, and that they need a picture to start at (RFC 4585, section 6; RFC 5104,
//! section 4.3.1).
//!
//! ```text
//! |V=2|P|   FMT   |  PT 205, 206  |            length             |
//! |                  SSRC of packet sender                        |
//! |                  SSRC of media source                         |
//! |            Feedback Control Information (FCI)                 |
//! ```

use bytes::{BufMut, BytesMut};

use super::{header, packet_type, word};
use crate::rtp::Sequence;

/// Formats of transport feedback (205).
const FORMAT_NACK: u8 = 1;
const FORMAT_TRANSPORT_WIDE: u8 = 15;
/// Formats of payload-specific feedback (206).
const FORMAT_PICTURE_LOSS: u8 = 1;
const FORMAT_FULL_INTRA: u8 = 4;

/// One feedback message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feedback<'a> {
    /// SSRC of who sends the feedback.
    pub sender: u32,
    /// SSRC of the stream it is about; 0 where the message carries it elsewhere (FIR).
    pub media: u32,
    pub message: FeedbackMessage<'a>,
}

/// What a feedback message asks or tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedbackMessage<'a> {
    /// PLI: a picture was lost; send one that decoding can start at.
    PictureLoss,
    /// FIR: send a picture that decoding can start at.
    FullIntra(FullIntraRequest<'a>),
    /// Generic NACK: packets that did not come.
    Nack(Nack<'a>),
    /// Transport-wide congestion control, raw (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    TransportWide(&'a [u8]),
    /// Any other, with its packet type (205 or 206), format and FCI.
    Other { packet_type: u8, format: u8, fci: &'a [u8] },
}

impl<'a> Feedback<'a> {
    pub(super) fn read_transport(format: u8, body: &'a [u8]) -> Option<Feedback<'a>> {
        Feedback::read(body, |fci| match format {
            FORMAT_NACK => Nack::read(fci).map(FeedbackMessage::Nack),
            FORMAT_TRANSPORT_WIDE => Some(FeedbackMessage::TransportWide(fci)),
            _ => Some(FeedbackMessage::Other { packet_type: packet_type::TRANSPORT_FEEDBACK, format, fci }),
        })
    }

    pub(super) fn read_payload(format: u8, body: &'a [u8]) -> Option<Feedback<'a>> {
        Feedback::read(body, |fci| match format {
            FORMAT_PICTURE_LOSS => Some(FeedbackMessage::PictureLoss),
            FORMAT_FULL_INTRA => FullIntraRequest::read(fci).map(FeedbackMessage::FullIntra),
            _ => Some(FeedbackMessage::Other { packet_type: packet_type::PAYLOAD_FEEDBACK, format, fci }),
        })
    }

    fn read(
        body: &'a [u8],
        message: impl FnOnce(&'a [u8]) -> Option<FeedbackMessage<'a>>,
    ) -> Option<Feedback<'a>> {
        let (sender, media) = (word(body, 0)?, word(body, 4)?);
        Some(Feedback { sender, media, message: message(&body[8..])? })
    }
}

/// The entries of a FIR: at least one; each an SSRC, a sequence number of requests, and three reserved bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FullIntraRequest<'a>(&'a [[u8; 8]]);

impl<'a> FullIntraRequest<'a> {
    fn read(fci: &'a [u8]) -> Option<FullIntraRequest<'a>> {
        let (entries, rest) = fci.as_chunks();
        (!entries.is_empty() && rest.is_empty()).then_some(FullIntraRequest(entries))
    }

    /// SSRC of the stream asked for, and number of the request (a repeated request repeats it).
    pub fn entries(&self) -> impl Iterator<Item = (u32, u8)> + use<'a> {
        self.0.iter().map(|&[a, b, c, d, number, ..]| (u32::from_be_bytes([a, b, c, d]), number))
    }
}

/// The entries of a generic NACK: at least one; each a packet and a mask of the 16 after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nack<'a>(&'a [[u8; 4]]);

impl<'a> Nack<'a> {
    fn read(fci: &'a [u8]) -> Option<Nack<'a>> {
        let (entries, rest) = fci.as_chunks();
        (!entries.is_empty() && rest.is_empty()).then_some(Nack(entries))
    }

    /// The missing packets, up to 17 per entry, in the order told.
    pub fn missing(&self) -> impl Iterator<Item = Sequence> + use<'a> {
        self.0.iter().flat_map(|&[a, b, c, d]| {
            let first = Sequence(u16::from_be_bytes([a, b]));
            let mask = u16::from_be_bytes([c, d]);
            let after =
                (0..16).filter(move |bit| mask >> bit & 1 == 1).map(move |bit| first.advance(bit + 1));
            std::iter::once(first).chain(after)
        })
    }
}

/// Appends a PLI.
pub fn write_picture_loss(sender: u32, media: u32, out: &mut BytesMut) {
    out.put_slice(&header(FORMAT_PICTURE_LOSS, packet_type::PAYLOAD_FEEDBACK, 8));
    out.put_u32(sender);
    out.put_u32(media);
}

/// Appends a FIR for one stream. `number` goes up with each new request to it.
pub fn write_full_intra_request(sender: u32, media: u32, number: u8, out: &mut BytesMut) {
    out.put_slice(&header(FORMAT_FULL_INTRA, packet_type::PAYLOAD_FEEDBACK, 16));
    out.put_u32(sender);
    out.put_u32(0);
    out.put_u32(media);
    out.put_slice(&[number, 0, 0, 0]);
}

/// Appends a generic NACK. `missing` is in ascending order; neighbours within 16 share an entry. Of more than fit
/// ([`NACK_ENTRIES_MAX`] entries) the rest is left for the next; of none nothing is written.
pub fn write_nack(sender: u32, media: u32, missing: &[Sequence], out: &mut BytesMut) {
    if missing.is_empty() {
        return;
    }
    let start = out.len();
    out.put_slice(&[0; 4]);
    out.put_u32(sender);
    out.put_u32(media);
    let mut missing = missing.iter().copied().peekable();
    let mut entries = 0;
    while let Some(first) = missing.next_if(|_| entries < NACK_ENTRIES_MAX) {
        let mut mask = 0u16;
        while let Some(next) = missing.next_if(|next| (1..=16).contains(&next.distance(first))) {
            mask |= 1 << (next.distance(first) - 1);
        }
        out.put_u16(first.0);
        out.put_u16(mask);
        entries += 1;
    }
    out[start..start + 4].copy_from_slice(&header(
        FORMAT_NACK,
        packet_type::TRANSPORT_FEEDBACK,
        8 + 4 * entries,
    ));
}

/// Entries of one NACK we write: it stays below any MTU.
pub const NACK_ENTRIES_MAX: usize = 128;
