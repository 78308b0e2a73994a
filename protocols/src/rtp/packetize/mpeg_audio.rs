//! MPEG audio (RFC 2250, section 3.5): a frame per packet, or a fragment of one.

use super::Error;

const HEADER_BYTES: usize = 4;

/// The packets of one frame.
pub(super) fn packetize(
    frame: &[u8],
    bytes_max: usize,
    each: &mut impl FnMut(bool, u32, &[&[u8]]),
) -> Result<(), Error> {
    if frame.len() > usize::from(u16::MAX) {
        return Err(Error::Limit { what: "MPEG audio frame longer than offsets can say" });
    }
    let piece_bytes = bytes_max - HEADER_BYTES;
    for (index, piece) in frame.chunks(piece_bytes).enumerate() {
        let [high, low] = ((index * piece_bytes) as u16).to_be_bytes();
        each(false, 0, &[&[0, 0, high, low], piece]);
    }
    Ok(())
}
