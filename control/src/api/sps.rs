//! Sequence parameter sets of H.264 (ITU-T H.264, 7.3.2.1.1) and H.265 (ITU-T H.265, 7.3.2.2): the size of the picture,
//! profile and level.
//!
//! Only what comes before the cropping window is read. Every read is bounded by the set; nonsense is `None`.

/// A parameter set of a camera has some 50 bytes; scaling lists make it a few hundred.
const BYTES_MAX: usize = 1024;
/// The longest side that a level allows is below this.
const SIDE_MAX: u64 = 32_768;

/// What a sequence parameter set says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) width: u64,
    pub(super) height: u64,
    pub(super) profile: u8,
    pub(super) level: u8,
}

/// Bits, from the most significant one of each byte.
struct Bits {
    bytes: Vec<u8>,
    at: usize,
}

impl Bits {
    fn of(unit: &[u8]) -> Bits {
        Bits { bytes: without_prevention(&unit[..unit.len().min(BYTES_MAX)]), at: 0 }
    }

    fn bits(&mut self, count: usize) -> Option<u64> {
        (0..count).try_fold(0, |value, _| {
            let byte = *self.bytes.get(self.at / 8)?;
            let bit = byte >> (7 - self.at % 8) & 1;
            self.at += 1;
            Some(value << 1 | u64::from(bit))
        })
    }

    fn flag(&mut self) -> Option<bool> {
        self.bits(1).map(|bit| bit == 1)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.at += count;
        (self.at <= self.bytes.len() * 8).then_some(())
    }

    /// Exp-Golomb code `ue(v)` (H.264, 9.1).
    fn unsigned(&mut self) -> Option<u64> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.bits(zeros)?)
    }

    /// `se(v)`.
    fn signed(&mut self) -> Option<i64> {
        let code = self.unsigned()? as i64;
        Some(if code % 2 == 0 { -(code / 2) } else { code / 2 + 1 })
    }
}

/// The payload of a NAL unit without emulation prevention: the 3 of every `00 00 03` (H.264, 7.4.1).
fn without_prevention(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut zeros = 0;
    for &byte in bytes {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        plain.push(byte);
    }
    plain
}

/// Reads an H.264 set, with its NAL unit header.
pub(super) fn h264(unit: &[u8]) -> Option<Picture> {
    let (header, body) = unit.split_first()?;
    if header & 0x1F != 7 {
        return None;
    }
    let mut bits = Bits::of(body);
    let profile = bits.bits(8)? as u8;
    bits.skip(8)?; // constraint flags
    let level = bits.bits(8)? as u8;
    bits.unsigned()?; // seq_parameter_set_id
    let chroma = if has_chroma_format(profile) { h264_chroma(&mut bits)? } else { Chroma::default() };
    bits.unsigned()?; // log2_max_frame_num_minus4
    match bits.unsigned()? {
        0 => drop(bits.unsigned()?), // log2_max_pic_order_cnt_lsb_minus4
        1 => {
            bits.skip(1)?; // delta_pic_order_always_zero_flag
            bits.signed()?; // offset_for_non_ref_pic
            bits.signed()?; // offset_for_top_to_bottom_field
            let cycle = bits.unsigned()?;
            (cycle <= 255).then_some(())?;
            (0..cycle).try_for_each(|_| bits.signed().map(drop))?;
        }
        _ => {}
    }
    bits.unsigned()?; // max_num_ref_frames
    bits.skip(1)?; // gaps_in_frame_num_value_allowed_flag
    let macroblocks_wide = bits.unsigned()?.checked_add(1)?;
    let map_units_high = bits.unsigned()?.checked_add(1)?;
    let frames_only = bits.flag()?;
    if !frames_only {
        bits.skip(1)?; // mb_adaptive_frame_field_flag
    }
    bits.skip(1)?; // direct_8x8_inference_flag
    let crop = crop(&mut bits)?;
    let fields = if frames_only { 1 } else { 2 };
    let width = macroblocks_wide * 16;
    let height = map_units_high * 16 * fields;
    picture(width, height, crop, chroma, fields, profile, level)
}

/// Whether the set of this profile names a chroma format.
fn has_chroma_format(profile: u8) -> bool {
    matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135)
}

/// Samples of luma for one of chroma: the units of the cropping window.
#[derive(Clone, Copy)]
struct Chroma {
    width: u64,
    height: u64,
}

impl Default for Chroma {
    /// 4:2:0.
    fn default() -> Chroma {
        Chroma { width: 2, height: 2 }
    }
}

impl Chroma {
    fn of(format: u64, separate_planes: bool) -> Option<Chroma> {
        Some(match format {
            1 => Chroma::default(),
            2 => Chroma { width: 2, height: 1 },
            _ if separate_planes => Chroma { width: 1, height: 1 },
            0 | 3 => Chroma { width: 1, height: 1 },
            _ => return None,
        })
    }
}

fn h264_chroma(bits: &mut Bits) -> Option<Chroma> {
    let format = bits.unsigned()?;
    let separate = format == 3 && bits.flag()?;
    bits.unsigned()?; // bit_depth_luma_minus8
    bits.unsigned()?; // bit_depth_chroma_minus8
    bits.skip(1)?; // qpprime_y_zero_transform_bypass_flag
    if bits.flag()? {
        let lists = if format == 3 { 12 } else { 8 };
        for list in 0..lists {
            if bits.flag()? {
                skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Chroma::of(format, separate)
}

/// H.264, 7.3.2.1.1.1.
fn skip_scaling_list(bits: &mut Bits, size: usize) -> Option<()> {
    let (mut last, mut next) = (8_i64, 8_i64);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.signed()? + 256).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

/// Left, right, top and bottom, in units of chroma samples.
fn crop(bits: &mut Bits) -> Option<[u64; 4]> {
    if !bits.flag()? {
        return Some([0; 4]);
    }
    Some([bits.unsigned()?, bits.unsigned()?, bits.unsigned()?, bits.unsigned()?])
}

fn picture(
    width: u64,
    height: u64,
    [left, right, top, bottom]: [u64; 4],
    chroma: Chroma,
    fields: u64,
    profile: u8,
    level: u8,
) -> Option<Picture> {
    let width = width.checked_sub((left + right) * chroma.width)?;
    let height = height.checked_sub((top + bottom) * chroma.height * fields)?;
    let sane = (1..=SIDE_MAX).contains(&width) && (1..=SIDE_MAX).contains(&height);
    sane.then_some(Picture { width, height, profile, level })
}

/// Reads an H.265 set, with its NAL unit header.
pub(super) fn h265(unit: &[u8]) -> Option<Picture> {
    let (header, body) = unit.split_first_chunk::<2>()?;
    if header[0] >> 1 & 0x3F != 33 {
        return None;
    }
    let mut bits = Bits::of(body);
    bits.skip(4)?; // sps_video_parameter_set_id
    let sub_layers = bits.bits(3)? as usize;
    bits.skip(1)?; // sps_temporal_id_nesting_flag
    let (profile, level) = profile_tier_level(&mut bits, sub_layers)?;
    bits.unsigned()?; // sps_seq_parameter_set_id
    let format = bits.unsigned()?;
    let separate = format == 3 && bits.flag()?;
    let width = bits.unsigned()?;
    let height = bits.unsigned()?;
    let crop = crop(&mut bits)?;
    picture(width, height, crop, Chroma::of(format, separate)?, 1, profile, level)
}

/// H.265, 7.3.3.
fn profile_tier_level(bits: &mut Bits, sub_layers: usize) -> Option<(u8, u8)> {
    bits.skip(3)?; // general_profile_space, general_tier_flag
    let profile = bits.bits(5)? as u8;
    bits.skip(32 + 48)?; // compatibility and constraint flags
    let level = bits.bits(8)? as u8;
    let mut present = Vec::with_capacity(sub_layers);
    for _ in 0..sub_layers {
        present.push((bits.flag()?, bits.flag()?));
    }
    if sub_layers > 0 {
        bits.skip((8 - sub_layers) * 2)?;
    }
    for (profile_present, level_present) in present {
        bits.skip(if profile_present { 88 } else { 0 })?;
        bits.skip(if level_present { 8 } else { 0 })?;
    }
    Some((profile, level))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;

    fn decoded(text: &str) -> Vec<u8> {
        BASE64_STANDARD.decode(text).unwrap()
    }

    #[test]
    fn h264_sizes_profiles_and_levels() {
        // From an SDP of ffmpeg (libx264, High, 640x360).
        let high = h264(&decoded("Z2QAHqzZQKAv+XARAAADAAEAAAMAPA8WLZY=")).unwrap();
        assert_eq!((high.width, high.height, high.profile, high.level), (640, 360, 100, 30));
        // RFC 6184, 8.2.1 has no full set; this one is of a camera, Baseline, 640x480.
        let baseline = h264(&decoded("Z0IAHpWoKA9k")).unwrap();
        assert_eq!((baseline.width, baseline.height, baseline.profile, baseline.level), (640, 480, 66, 30));
    }

    #[test]
    fn h265_sizes_profiles_and_levels() {
        // From an SDP of ffmpeg (libx265, Main, 1920x1080).
        let unit = decoded("QgEBAWAAAAMAkAAAAwAAAwB4oAPAgBDllmZpJMrgEAAAAwAQAAADAeCA");
        let main = h265(&unit).unwrap();
        assert_eq!((main.width, main.height, main.profile, main.level), (1920, 1080, 1, 120));
    }

    #[test]
    fn cut_and_foreign_units_are_nothing() {
        let unit = decoded("Z2QAHqzZQKAv+XARAAADAAEAAAMAPA8WLZY=");
        for length in 0..10 {
            assert_eq!(h264(&unit[..length]), None, "{length}");
        }
        assert_eq!(h264(&[0x68, 1, 2, 3]), None);
        assert_eq!(h265(&unit), None);
        assert_eq!(h264(&[0xFF; 4096]), None);
        assert_eq!(h264(&[0x67; 4096]), h264(&[0x67; BYTES_MAX + 1]));
    }
}
