//! VP9 (RFC 9628, section 4.2) in the flexible mode, with picture identifiers of 15 bits and without layers.
//!
//! What a picture refers to is in the frame and not parsed; each says it was predicted from the one before, so that a
//! receiver knows a gap for what it is.

use bytes::Bytes;

use super::PictureId;

const PICTURE_ID: u8 = 0x80;
const PREDICTED: u8 = 0x40;
const FLEXIBLE: u8 = 0x10;
const BEGINS: u8 = 0x08;
const ENDS: u8 = 0x04;
/// P_DIFF 1, and no further one.
const PREVIOUS: u8 = 1 << 1;
const HEADER_BYTES_MAX: usize = 4;

/// The packets of one frame; the last one is marked.
pub(super) fn packetize(
    frame: &Bytes,
    is_key: bool,
    id: PictureId,
    bytes_max: usize,
    each: &mut impl FnMut(bool, u32, &[&[u8]]),
) {
    let piece_bytes = bytes_max - HEADER_BYTES_MAX;
    let count = frame.len().div_ceil(piece_bytes);
    let [high, low] = id.bytes();
    let (predicted, header_bytes) =
        if is_key { (0, HEADER_BYTES_MAX - 1) } else { (PREDICTED, HEADER_BYTES_MAX) };
    for (index, piece) in frame.chunks(piece_bytes).enumerate() {
        let begins = if index == 0 { BEGINS } else { 0 };
        let ends = if index + 1 == count { ENDS } else { 0 };
        let header = [PICTURE_ID | predicted | FLEXIBLE | begins | ends, high, low, PREVIOUS];
        each(index + 1 == count, 0, &[&header[..header_bytes], piece]);
    }
}
