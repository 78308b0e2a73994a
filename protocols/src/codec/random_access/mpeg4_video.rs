//! MPEG-4 part 2 video (payload format: RFC 6416, section 5; headers: ISO/IEC 14496-2, 6.2).
//!
//! A header always comes first in its packet, or right behind a header above it, so a packet that does not begin with
//! a start code tells nothing.

const START_CODE_PREFIX: [u8; 3] = [0, 0, 1];
const VIDEO_OBJECT_LAYER_FIRST: u8 = 0x20;
const VIDEO_OBJECT_LAYER_LAST: u8 = 0x2F;
const VOP: u8 = 0xB6;

/// Whether the payload starts an intra-coded picture, or brings the decoder's configuration, which comes before one.
pub(super) fn is_random_access(payload: &[u8]) -> bool {
    let mut rest = payload;
    while let Some((&code, body)) = rest.strip_prefix(&START_CODE_PREFIX).and_then(<[u8]>::split_first) {
        match code {
            VIDEO_OBJECT_LAYER_FIRST..=VIDEO_OBJECT_LAYER_LAST => return true,
            // vop_coding_type: 0 is I.
            VOP => return body.first().is_some_and(|first| first >> 6 == 0),
            _ => {}
        }
        let Some(next) = body.windows(3).position(|bytes| bytes == START_CODE_PREFIX) else {
            return false;
        };
        rest = &body[next..];
    }
    false
}
