//! The sequence parameter set (ITU-T H.265, 7.3.2.2), up to what tells the reordering of pictures.
//!
//! Every read is bounded by the set; nonsense is `None`.

use super::super::bits::Bits;
use super::super::configuration::Picture;
use super::super::h264::cropping;
use super::{SPS, kind};
use crate::limits::PARAMETER_SET_BYTES_MAX;

/// The longest side that a level allows is below this.
const SIDE_MAX: u32 = 32_768;

/// What a set says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SequenceParameterSet {
    /// From `general_profile_space` to `general_level_idc`, as they stand in `hvcC`.
    pub profile_tier_level: [u8; 12],
    /// Temporal sub-layers, 1 to 7.
    pub sub_layers: u8,
    pub temporal_id_nested: bool,
    /// `chroma_format_idc`: 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format: u8,
    pub bit_depth_luma: u8,
    pub bit_depth_chroma: u8,
    /// Within the conformance window.
    pub picture: Picture,
    /// `sps_max_num_reorder_pics` of the highest sub-layer.
    pub reorder_max: u8,
    pub(crate) separate_planes: bool,
    pub(crate) order_bits: u32,
}

impl SequenceParameterSet {
    /// Reads a NAL unit with its header; `None` where it is no set, or its fields make no sense.
    pub fn parse(unit: &[u8]) -> Option<SequenceParameterSet> {
        if kind(unit) != SPS || unit.len() > PARAMETER_SET_BYTES_MAX {
            return None;
        }
        let bits = &mut Bits::of_unit(unit.get(2..)?);
        bits.skip(4)?; // sps_video_parameter_set_id
        let sub_layers_below = bits.bits(3)?;
        let temporal_id_nested = bits.flag()?;
        let profile_tier_level = profile_tier_level(bits, sub_layers_below)?;
        bits.unsigned()?; // sps_seq_parameter_set_id
        let chroma_format = bits.unsigned().filter(|format| *format <= 3)? as u8;
        let separate_planes = chroma_format == 3 && bits.flag()?;
        let side = |bits: &mut Bits<'_>| bits.unsigned().filter(|side| (1..=SIDE_MAX).contains(side));
        let (width, height) = (side(bits)?, side(bits)?);
        let [left, right, top, bottom] = cropping(bits)?;
        let (across, down) = match chroma_format {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        let picture = Picture {
            width: width.checked_sub((left + right) * across).filter(|width| *width > 0)?,
            height: height.checked_sub((top + bottom) * down).filter(|height| *height > 0)?,
        };
        let depth =
            |bits: &mut Bits<'_>| bits.unsigned().filter(|depth| *depth <= 8).map(|depth| depth as u8 + 8);
        let (bit_depth_luma, bit_depth_chroma) = (depth(bits)?, depth(bits)?);
        let order_bits = bits.unsigned().filter(|size| *size <= 12)? + 4;
        let first = if bits.flag()? { 0 } else { sub_layers_below };
        let mut reorder_max = 0;
        for _ in first..=sub_layers_below {
            bits.unsigned()?; // sps_max_dec_pic_buffering_minus1
            reorder_max = bits.unsigned().filter(|count| *count <= 16)? as u8;
            bits.unsigned()?; // sps_max_latency_increase_plus1
        }
        Some(SequenceParameterSet {
            profile_tier_level,
            sub_layers: sub_layers_below as u8 + 1,
            temporal_id_nested,
            chroma_format,
            bit_depth_luma,
            bit_depth_chroma,
            picture,
            reorder_max,
            separate_planes,
            order_bits,
        })
    }
}

/// 7.3.3; the general part.
fn profile_tier_level(bits: &mut Bits<'_>, sub_layers_below: u32) -> Option<[u8; 12]> {
    let mut general = [0; 12];
    for byte in &mut general {
        *byte = bits.byte()?;
    }
    let mut skipped = 0;
    for _ in 0..sub_layers_below {
        skipped += if bits.flag()? { 88 } else { 0 };
        skipped += if bits.flag()? { 8 } else { 0 };
    }
    if sub_layers_below > 0 {
        bits.skip((8 - sub_layers_below) * 2)?;
    }
    bits.skip(skipped)?;
    Some(general)
}
