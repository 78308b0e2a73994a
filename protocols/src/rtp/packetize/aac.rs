//! AAC in the generic mode (RFC 3640): one access unit per packet, or a fragment of it.
//!
//! The header has the widths that the track announces; its flags are clear, and so are its indices.

use super::Error;
use crate::rtp::aac_header::Shape;
use crate::track::Track;

/// Widest header that is written, in bits; `AAC-hbr` has 16, `AAC-lbr` 8.
const HEADER_BITS_MAX: u32 = 64;

/// How the headers of one track look.
#[derive(Debug)]
pub(super) struct Packetizer {
    shape: Shape,
}

impl Packetizer {
    /// `None` where the announced header is too wide, or needs an auxiliary section.
    pub(super) fn new(track: &Track) -> Option<Packetizer> {
        let shape = Shape::from_format_parameters(&track.format_parameters)?;
        let writable = shape.first_header_bits() <= HEADER_BITS_MAX && shape.auxiliary_size == 0;
        writable.then_some(Packetizer { shape })
    }

    /// The packets of one access unit; the last one is marked.
    pub(super) fn packetize(
        &self,
        unit: &[u8],
        bytes_max: usize,
        each: &mut impl FnMut(bool, u32, &[&[u8]]),
    ) -> Result<(), Error> {
        if !self.shape.has_headers() {
            if unit.len() != self.shape.constant_size || unit.len() > bytes_max {
                return Err(Error::Unsupported { what: "access unit of another than the announced size" });
            }
            each(true, 0, &[unit]);
            return Ok(());
        }
        let size = unit.len() as u64;
        if self.shape.size == 0 || size >> self.shape.size != 0 {
            return Err(Error::Limit { what: "access unit longer than its header can say" });
        }
        let bits = self.shape.first_header_bits();
        let fields = (size << (64 - self.shape.size)).to_be_bytes();
        let length = (bits as u16).to_be_bytes();
        let header = &fields[..bits.div_ceil(8) as usize];
        let piece_bytes = bytes_max - length.len() - header.len();
        let count = unit.len().div_ceil(piece_bytes);
        for (index, piece) in unit.chunks(piece_bytes).enumerate() {
            each(index + 1 == count, 0, &[&length, header, piece]);
        }
        Ok(())
    }
}
