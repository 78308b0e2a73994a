//! VP8: the frame header (RFC 6386, 9.1).

use super::configuration::Picture;

/// The size a key frame says; `None` for other frames.
///
/// ```text
/// |Size0|H| VER |P|   P is 0 for a key frame
/// |     Size1     |     Size2     |      9D       |      01       |      2A       |
/// |         width (14, little-endian), scale      |        height, scale          |
/// ```
pub fn picture(frame: &[u8]) -> Option<Picture> {
    let &[first, _, _, 0x9D, 0x01, 0x2A, w0, w1, h0, h1] = frame.first_chunk::<10>()? else {
        return None;
    };
    let size = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3FFF);
    (first & 1 == 0).then(|| Picture { width: size(w0, w1), height: size(h0, h1) })
}

/// Whether decoding can start at this frame.
pub fn is_random_access(frame: &[u8]) -> bool {
    frame.first().is_some_and(|first| first & 1 == 0)
}
