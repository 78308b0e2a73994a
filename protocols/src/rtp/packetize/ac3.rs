//! AC-3 (RFC 4184): a frame per packet, or a fragment of one; the last packet is marked.

const HEADER_BYTES: usize = 2;
const WHOLE: u8 = 0;
/// The first fragment, with at least five eighths of the frame: enough to decode half of its blocks.
const FIRST_LARGE: u8 = 1;
const FIRST_SMALL: u8 = 2;
const FURTHER: u8 = 3;

/// The packets of one frame.
pub(super) fn packetize(frame: &[u8], bytes_max: usize, each: &mut impl FnMut(bool, u32, &[&[u8]])) {
    let piece_bytes = bytes_max - HEADER_BYTES;
    let count = frame.len().div_ceil(piece_bytes);
    for (index, piece) in frame.chunks(piece_bytes).enumerate() {
        let fragment = match index {
            0 if count == 1 => WHOLE,
            0 if piece.len() * 8 >= frame.len() * 5 => FIRST_LARGE,
            0 => FIRST_SMALL,
            _ => FURTHER,
        };
        each(index + 1 == count, 0, &[&[fragment, u8::try_from(count).unwrap_or(u8::MAX)], piece]);
    }
}
