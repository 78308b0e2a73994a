//! Motion JPEG: the frame header of JPEG (ITU-T T.81, B.2.2).

use super::configuration::Picture;

const MARKER: u8 = 0xFF;
const START_OF_IMAGE: u8 = 0xD8;
const START_OF_SCAN: u8 = 0xDA;
/// Baseline, extended sequential and progressive.
const START_OF_FRAME: [u8; 3] = [0xC0, 0xC1, 0xC2];

/// The size an image says.
pub fn picture(image: &[u8]) -> Option<Picture> {
    let mut rest = image.strip_prefix(&[MARKER, START_OF_IMAGE])?;
    loop {
        let (&[prefix, marker], after) = rest.split_first_chunk::<2>()?;
        if prefix != MARKER || marker == START_OF_SCAN {
            return None;
        }
        if marker == MARKER {
            rest = &rest[1..]; // fill byte
            continue;
        }
        let length = usize::from(u16::from_be_bytes(*after.first_chunk::<2>()?));
        if START_OF_FRAME.contains(&marker) {
            let &[_, _, _, h0, h1, w0, w1] = after.first_chunk::<7>()?;
            let size = |high, low| u32::from(u16::from_be_bytes([high, low]));
            return Some(Picture { width: size(w0, w1), height: size(h0, h1) });
        }
        rest = after.get(length.max(2)..)?;
    }
}
