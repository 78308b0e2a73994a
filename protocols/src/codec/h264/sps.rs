//! The sequence parameter set (ITU-T H.264, 7.3.2.1.1) and of its usability information (annex E) what tells the
//! reordering of pictures.
//!
//! Every read is bounded by the set; nonsense is `None`.

use super::super::bits::Bits;
use super::super::configuration::Picture;
use super::{SPS, kind, names_chroma_format};
use crate::limits::PARAMETER_SET_BYTES_MAX;

/// The longest side that a level allows is below this.
const SIDE_MAX: u32 = 32_768;

/// What a set says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceParameterSet {
    pub profile: u8,
    pub constraints: u8,
    pub level: u8,
    /// `chroma_format_idc`: 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format: u8,
    pub bit_depth_luma: u8,
    pub bit_depth_chroma: u8,
    /// Within the cropping window.
    pub picture: Picture,
    /// `max_num_reorder_frames`, where the set says it or its profile has no reordering.
    pub reorder_max: Option<u8>,
    pub(crate) separate_planes: bool,
    pub(crate) frame_num_bits: u32,
    pub(crate) frames_only: bool,
    pub(crate) order: PicOrder,
}

/// `pic_order_cnt_type` and its fields (7.4.2.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PicOrder {
    Lsb {
        bits: u32,
    },
    Cycle {
        always_zero: bool,
        non_reference: i32,
        /// Of each reference picture of a cycle; at most 255.
        offsets: Vec<i32>,
    },
    /// Output order is decoding order.
    Decoding,
}

impl SequenceParameterSet {
    /// Reads a NAL unit with its header; `None` where it is no set, or its fields make no sense.
    pub fn parse(unit: &[u8]) -> Option<SequenceParameterSet> {
        if kind(unit) != SPS || unit.len() > PARAMETER_SET_BYTES_MAX {
            return None;
        }
        let bits = &mut Bits::of_unit(&unit[1..]);
        let (profile, constraints, level) = (bits.byte()?, bits.byte()?, bits.byte()?);
        bits.unsigned()?; // seq_parameter_set_id
        let chroma = if names_chroma_format(profile) { Chroma::parse(bits)? } else { Chroma::DEFAULT };
        let frame_num_bits = bounded(bits.unsigned()?, 12)? + 4;
        let order = pic_order(bits)?;
        bits.unsigned()?; // max_num_ref_frames
        bits.flag()?; // gaps_in_frame_num_value_allowed_flag
        let wide = bounded(bits.unsigned()?, SIDE_MAX / 16)? + 1;
        let high = bounded(bits.unsigned()?, SIDE_MAX / 16)? + 1;
        let frames_only = bits.flag()?;
        if !frames_only {
            bits.flag()?; // mb_adaptive_frame_field_flag
        }
        bits.flag()?; // direct_8x8_inference_flag
        let fields = if frames_only { 1 } else { 2 };
        let [left, right, top, bottom] = cropping(bits)?;
        let (across, down) = chroma.cropping_units();
        let picture = Picture {
            width: (wide * 16).checked_sub((left + right) * across)?,
            height: (high * 16 * fields).checked_sub((top + bottom) * down * fields)?,
        };
        if picture.width == 0 || picture.height == 0 {
            return None;
        }
        // Sets of cameras that end too early or have nonsense here are good otherwise.
        let told = if bits.flag().unwrap_or(false) { reorder_max(bits) } else { None };
        let never = order == PicOrder::Decoding || profile == 66 || intra_only(profile, constraints);
        Some(SequenceParameterSet {
            profile,
            constraints,
            level,
            chroma_format: chroma.format,
            bit_depth_luma: chroma.bit_depth_luma,
            bit_depth_chroma: chroma.bit_depth_chroma,
            picture,
            reorder_max: if never { Some(0) } else { told },
            separate_planes: chroma.separate,
            frame_num_bits,
            frames_only,
            order,
        })
    }
}

fn bounded(value: u32, max: u32) -> Option<u32> {
    (value <= max).then_some(value)
}

/// A profile of intra pictures only (E.2.1, `max_num_reorder_frames`).
fn intra_only(profile: u8, constraints: u8) -> bool {
    profile == 44 || matches!(profile, 86 | 100 | 110 | 122 | 244) && constraints & 0x10 != 0
}

struct Chroma {
    format: u8,
    separate: bool,
    bit_depth_luma: u8,
    bit_depth_chroma: u8,
}

impl Chroma {
    const DEFAULT: Chroma = Chroma { format: 1, separate: false, bit_depth_luma: 8, bit_depth_chroma: 8 };

    fn parse(bits: &mut Bits<'_>) -> Option<Chroma> {
        let format = bounded(bits.unsigned()?, 3)? as u8;
        let separate = format == 3 && bits.flag()?;
        let bit_depth_luma = bounded(bits.unsigned()?, 6)? as u8 + 8;
        let bit_depth_chroma = bounded(bits.unsigned()?, 6)? as u8 + 8;
        bits.flag()?; // qpprime_y_zero_transform_bypass_flag
        if bits.flag()? {
            for list in 0..if format == 3 { 12 } else { 8 } {
                if bits.flag()? {
                    skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
        Some(Chroma { format, separate, bit_depth_luma, bit_depth_chroma })
    }

    /// Samples of luma for one of chroma, across and down.
    fn cropping_units(&self) -> (u32, u32) {
        match self.format {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        }
    }
}

/// 7.3.2.1.1.1.
fn skip_scaling_list(bits: &mut Bits<'_>, size: usize) -> Option<()> {
    let (mut last, mut next) = (8_i64, 8_i64);
    for _ in 0..size {
        if next != 0 {
            next = (last + i64::from(bits.signed()?)).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

fn pic_order(bits: &mut Bits<'_>) -> Option<PicOrder> {
    Some(match bits.unsigned()? {
        0 => PicOrder::Lsb { bits: bounded(bits.unsigned()?, 12)? + 4 },
        1 => {
            let always_zero = bits.flag()?;
            let non_reference = bits.signed()?;
            bits.signed()?; // offset_for_top_to_bottom_field
            let cycle = bounded(bits.unsigned()?, 255)?;
            let offsets = (0..cycle).map(|_| bits.signed()).collect::<Option<_>>()?;
            PicOrder::Cycle { always_zero, non_reference, offsets }
        }
        2 => PicOrder::Decoding,
        _ => return None,
    })
}

/// Left, right, top and bottom.
pub(crate) fn cropping(bits: &mut Bits<'_>) -> Option<[u32; 4]> {
    let mut window = [0; 4];
    if bits.flag()? {
        for side in &mut window {
            *side = bounded(bits.unsigned()?, SIDE_MAX)?;
        }
    }
    Some(window)
}

/// `max_num_reorder_frames` of E.1.1.
fn reorder_max(bits: &mut Bits<'_>) -> Option<u8> {
    if bits.flag()? && bits.byte()? == 255 {
        bits.skip(32)?; // sar_width, sar_height
    }
    if bits.flag()? {
        bits.flag()?; // overscan_appropriate_flag
    }
    if bits.flag()? {
        bits.skip(4)?; // video_format, video_full_range_flag
        if bits.flag()? {
            bits.skip(24)?; // colour description
        }
    }
    if bits.flag()? {
        bits.unsigned()?; // chroma_sample_loc_type_top_field
        bits.unsigned()?;
    }
    if bits.flag()? {
        bits.skip(32 + 32 + 1)?; // num_units_in_tick, time_scale, fixed_frame_rate_flag
    }
    let nal = bits.flag()?;
    if nal {
        skip_hypothetical_reference_decoder(bits)?;
    }
    let vcl = bits.flag()?;
    if vcl {
        skip_hypothetical_reference_decoder(bits)?;
    }
    if nal || vcl {
        bits.flag()?; // low_delay_hrd_flag
    }
    bits.flag()?; // pic_struct_present_flag
    if !bits.flag()? {
        return None;
    }
    bits.flag()?; // motion_vectors_over_pic_boundaries_flag
    for _ in 0..4 {
        bits.unsigned()?; // max_bytes_per_pic_denom to log2_max_mv_length_vertical
    }
    bounded(bits.unsigned()?, 16).map(|reorder| reorder as u8)
}

/// E.1.2.
fn skip_hypothetical_reference_decoder(bits: &mut Bits<'_>) -> Option<()> {
    let count = bounded(bits.unsigned()?, 31)? + 1;
    bits.skip(8)?; // bit_rate_scale, cpb_size_scale
    for _ in 0..count {
        bits.unsigned()?;
        bits.unsigned()?;
        bits.flag()?;
    }
    bits.skip(20)
}
