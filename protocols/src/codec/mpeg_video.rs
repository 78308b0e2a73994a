//! MPEG-1 and MPEG-2 video: start codes and headers (ISO/IEC 13818-2, 6.2).

use super::configuration::Picture;
use bytes::Bytes;

const PICTURE: u8 = 0x00;
const SEQUENCE: u8 = 0xB3;
const GROUP: u8 = 0xB8;
const INTRA: u8 = 1;

/// Where the start code of one of `kinds` begins, and its kind.
pub(super) fn start_code(bytes: &[u8], kinds: impl Fn(u8) -> bool) -> Option<(usize, u8)> {
    let mut at = 0;
    while let Some(&[a, b, c, kind]) = bytes.get(at..at + 4).and_then(|window| window.first_chunk::<4>()) {
        if (a, b, c) == (0, 0, 1) && kinds(kind) {
            return Some((at, kind));
        }
        at += if c > 1 { 3 } else { 1 };
    }
    None
}

/// `picture_coding_type` of the first picture.
fn coding_type(frame: &[u8]) -> Option<u8> {
    let (at, _) = start_code(frame, |kind| kind == PICTURE)?;
    frame.get(at + 5).map(|byte| byte >> 3 & 7)
}

/// Whether decoding can start here: an intra-coded picture.
pub fn is_random_access(frame: &[u8]) -> bool {
    coding_type(frame) == Some(INTRA)
}

/// The order in which pictures are shown: `temporal_reference`, which begins anew with each group of pictures.
#[derive(Clone, Debug, Default)]
pub(super) struct Order {
    /// The count of the group's first picture.
    base: i32,
    /// The count after all that came.
    next: i32,
}

impl Order {
    /// The picture's place, counted through all groups; `None` where there is no picture.
    pub(super) fn picture(&mut self, frame: &[u8]) -> Option<(i32, bool)> {
        let (at, kind) = start_code(frame, |kind| matches!(kind, PICTURE | GROUP))?;
        let starts_group = kind == GROUP;
        let at = if starts_group { at + start_code(&frame[at..], |kind| kind == PICTURE)?.0 } else { at };
        let &[high, low] = frame.get(at + 4..)?.first_chunk::<2>()?;
        if starts_group {
            self.base = self.next;
        }
        let count = self.base.wrapping_add(i32::from(u16::from_be_bytes([high, low]) >> 6));
        self.next = self.next.max(count.wrapping_add(1));
        Some((count, false))
    }
}

/// The sequence header that a frame begins with and its extensions; `None` where there is none.
pub fn headers(frame: &Bytes) -> Option<Bytes> {
    let (start, _) =
        start_code(frame, |kind| matches!(kind, SEQUENCE | PICTURE)).filter(|(_, kind)| *kind == SEQUENCE)?;
    let length = start_code(&frame[start..], |kind| matches!(kind, PICTURE | GROUP))?.0;
    Some(frame.slice(start..start + length))
}

/// The size a sequence header says, the upper bits of its extension left out: they are 0 up to 4095 pixels.
pub fn picture(headers: &[u8]) -> Option<Picture> {
    let (at, _) = start_code(headers, |kind| kind == SEQUENCE)?;
    let &[a, b, c] = headers.get(at + 4..)?.first_chunk::<3>()?;
    let (a, b, c) = (u32::from(a), u32::from(b), u32::from(c));
    Some(Picture { width: a << 4 | b >> 4, height: (b & 0x0F) << 8 | c })
}
