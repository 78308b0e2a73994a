//! VP9 (RFC 9628, section 4.2) in the non-flexible mode, with picture identifiers of 15 bits and without layers.
//!
//! Not the flexible one: FFmpeg 5 reads its reference indices as an early draft had them, and so the frame from the wrong
//! byte on.

use bytes::Bytes;

use super::PictureId;

const PICTURE_ID: u8 = 0x80;
const PREDICTED: u8 = 0x40;
const BEGINS: u8 = 0x08;
const ENDS: u8 = 0x04;
const HEADER_BYTES: usize = 3;

/// The packets of one frame; the last one is marked.
pub(super) fn packetize(
    frame: &Bytes,
    is_key: bool,
    id: PictureId,
    bytes_max: usize,
    each: &mut impl FnMut(bool, u32, &[&[u8]]),
) {
    let piece_bytes = bytes_max - HEADER_BYTES;
    let count = frame.len().div_ceil(piece_bytes);
    let [high, low] = id.bytes();
    let predicted = if is_key { 0 } else { PREDICTED };
    for (index, piece) in frame.chunks(piece_bytes).enumerate() {
        let begins = if index == 0 { BEGINS } else { 0 };
        let ends = if index + 1 == count { ENDS } else { 0 };
        let header = [PICTURE_ID | predicted | begins | ends, high, low];
        each(index + 1 == count, 0, &[&header, piece]);
    }
}
