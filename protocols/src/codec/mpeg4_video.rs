//! MPEG-4 part 2 video: headers and picture types (ISO/IEC 14496-2, 6.2).

use super::bits::Bits;
use super::configuration::Picture;
use super::mpeg_video::start_code;
use bytes::Bytes;

const VIDEO_OBJECT_LAYER: std::ops::RangeInclusive<u8> = 0x20..=0x2F;
const VISUAL_OBJECT_SEQUENCE: u8 = 0xB0;
const GROUP_OF_VOP: u8 = 0xB3;
const VOP: u8 = 0xB6;

/// `vop_coding_type` of the first picture: 0 is I, 2 is B.
fn coding_type(frame: &[u8]) -> Option<u8> {
    let (at, _) = start_code(frame, |kind| kind == VOP)?;
    frame.get(at + 4).map(|byte| byte >> 6)
}

/// Whether decoding can start here: an intra-coded picture.
pub fn is_random_access(frame: &[u8]) -> bool {
    coding_type(frame) == Some(0)
}

/// Whether the picture refers to one shown after it.
pub(super) fn is_bidirectional(frame: &[u8]) -> bool {
    coding_type(frame) == Some(2)
}

/// The headers that a frame begins with, from the first start code to the picture; `None` where there is no video
/// object layer among them.
pub fn headers(frame: &Bytes) -> Option<Bytes> {
    let (start, _) = start_code(frame, |_| true)?;
    let end =
        start_code(frame, |kind| matches!(kind, VOP | GROUP_OF_VOP)).map_or(frame.len(), |(end, _)| end);
    let headers = frame.slice(start..end);
    start_code(&headers, |kind| VIDEO_OBJECT_LAYER.contains(&kind))?;
    Some(headers)
}

/// `profile_and_level_indication`, where the headers have it.
pub fn profile_level(headers: &[u8]) -> Option<u8> {
    let (at, _) = start_code(headers, |kind| kind == VISUAL_OBJECT_SEQUENCE)?;
    headers.get(at + 4).copied()
}

/// The size that a rectangular video object layer says.
pub fn picture(headers: &[u8]) -> Option<Picture> {
    let (at, _) = start_code(headers, |kind| VIDEO_OBJECT_LAYER.contains(&kind))?;
    let bits = &mut Bits::new(headers.get(at + 4..)?);
    bits.skip(1 + 8)?; // random_accessible_vol, video_object_type_indication
    if bits.flag()? {
        bits.skip(4 + 3)?;
    }
    if bits.bits(4)? == 15 {
        bits.skip(16)?; // par_width, par_height
    }
    if bits.flag()? {
        bits.skip(2 + 1)?; // chroma_format, low_delay
        if bits.flag()? {
            bits.skip(79)?; // vbv_parameters
        }
    }
    if bits.bits(2)? != 0 {
        return None;
    }
    bits.flag()?;
    let resolution = bits.bits(16)?;
    bits.flag()?;
    if bits.flag()? {
        // fixed_vop_time_increment, in the bits of a number below the resolution.
        bits.skip(u32::BITS - resolution.saturating_sub(1).max(1).leading_zeros())?;
    }
    bits.flag()?;
    let width = bits.bits(13)?;
    bits.flag()?;
    Some(Picture { width, height: bits.bits(13)? })
}
