//! VP8 (RFC 7741, section 4.2), with picture identifiers of 15 bits. Partitions are not told apart.

use bytes::Bytes;

use super::PictureId;

const EXTENDED: u8 = 0x80;
const STARTS_PARTITION: u8 = 0x10;
const HAS_PICTURE_ID: u8 = 0x80;
const HEADER_BYTES: usize = 4;

/// The packets of one frame; the last one is marked.
pub(super) fn packetize(
    frame: &Bytes,
    id: PictureId,
    bytes_max: usize,
    each: &mut impl FnMut(bool, u32, &[&[u8]]),
) {
    let piece_bytes = bytes_max - HEADER_BYTES;
    let count = frame.len().div_ceil(piece_bytes);
    let [high, low] = id.bytes();
    for (index, piece) in frame.chunks(piece_bytes).enumerate() {
        let starts = if index == 0 { STARTS_PARTITION } else { 0 };
        each(index + 1 == count, 0, &[&[EXTENDED | starts, HAS_PICTURE_ID, high, low], piece]);
    }
}
