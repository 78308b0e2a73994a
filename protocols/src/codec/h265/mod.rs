//! H.265: NAL units (ITU-T H.265, 7.3.1), the `hvcC` record (ISO/IEC 14496-15, 8.3.3.1), and what parameter sets say.

mod order;
mod sps;

pub(crate) use order::Order;
pub use sps::SequenceParameterSet;

use super::Error;
use super::bits::Bits;
use super::configuration::H265;
use super::h264::put_set;
use crate::limits::PICTURE_PARAMETER_SETS_MAX;
use bytes::{BufMut, Bytes, BytesMut};
use std::fmt::Write as _;

/// `nal_unit_type` (table 7-1).
pub const IDR_W_RADL: u8 = 19;
pub const IDR_N_LP: u8 = 20;
pub const CRA: u8 = 21;
pub const VPS: u8 = 32;
pub const SPS: u8 = 33;
pub const PPS: u8 = 34;
pub const ACCESS_UNIT_DELIMITER: u8 = 35;
pub const END_OF_SEQUENCE: u8 = 36;
pub const END_OF_BITSTREAM: u8 = 37;
pub const FILLER: u8 = 38;
pub const PREFIX_SEI: u8 = 39;
pub const SUFFIX_SEI: u8 = 40;

/// The type of a NAL unit; 63, which is none, when it is empty.
pub fn kind(unit: &[u8]) -> u8 {
    unit.first().map_or(63, |header| header >> 1 & 0x3F)
}

/// Whether this is a slice of a picture decoding can start at: BLA, IDR or CRA.
pub fn is_random_access(unit: &[u8]) -> bool {
    matches!(kind(unit), 16..=21)
}

/// `pps_pic_parameter_set_id` of a picture parameter set; `None` when `unit` is none.
pub(super) fn picture_parameter_set_id(unit: &[u8]) -> Option<u8> {
    let body = unit.get(2..).filter(|_| kind(unit) == PPS)?;
    Bits::of_unit(body).unsigned().and_then(|id| u8::try_from(id).ok())
}

impl H265 {
    /// Reads the body of `hvcC`: the parameter sets, and the bytes of each NAL unit's length in the samples.
    ///
    /// Of several video and sequence parameter sets the first of each counts; other arrays (SEI) are stepped over.
    ///
    /// # Errors
    /// Another version, sets that reach past the end, none of a kind, or more than [`PICTURE_PARAMETER_SETS_MAX`].
    pub fn from_hvcc(record: &Bytes) -> Result<(H265, u8), Error> {
        let invalid = Error::invalid("hvcC record");
        let &[version, .., size, arrays] = record.first_chunk::<23>().ok_or(invalid)?;
        // Version 0 is what early writers put there.
        if version > 1 {
            return Err(Error::unsupported("version of the hvcC record"));
        }
        let (mut vps, mut sps, mut pps) = (None, None, Vec::new());
        let mut at = 23;
        for _ in 0..arrays {
            let &[kind_of_array, high, low] =
                record.get(at..).and_then(|rest| rest.first_chunk::<3>()).ok_or(invalid)?;
            at += 3;
            for _ in 0..u16::from_be_bytes([high, low]) {
                let unit = set(record, &mut at).ok_or(invalid)?;
                match kind_of_array & 0x3F {
                    VPS => vps = vps.or(Some(unit)),
                    SPS => sps = sps.or(Some(unit)),
                    PPS if pps.len() == PICTURE_PARAMETER_SETS_MAX => {
                        let max = PICTURE_PARAMETER_SETS_MAX;
                        return Err(Error::Limit { what: "picture parameter sets of the hvcC record", max });
                    }
                    PPS => pps.push(unit),
                    _ => {}
                }
            }
        }
        pps.retain(|unit| kind(unit) == PPS);
        let vps = vps.filter(|unit| kind(unit) == VPS).ok_or(invalid)?;
        let sps = sps.filter(|unit| kind(unit) == SPS).ok_or(invalid)?;
        if pps.is_empty() {
            return Err(invalid);
        }
        Ok((H265 { vps, sps, pps }, (size & 3) + 1))
    }

    /// The body of `hvcC`, with lengths of four bytes. Of a sequence parameter set that cannot be read it says zeros.
    ///
    /// ```text
    /// | version 1 |PS T  IDC  | compatibility flags (32) | constraint flags (48) | level | 1111 min_spatial_segm. (12) |
    /// |11 1111 PAR|1111 11 CHR|1111 1 LUMA|1111 1 CHRO| frame rate (16) |CF LAY N SZ| arrays | NAL type, count, sets … |
    /// ```
    pub fn hvcc(&self) -> Bytes {
        let sets =
            self.vps.len() + self.sps.len() + self.pps.iter().map(|unit| unit.len() + 2).sum::<usize>();
        let mut record = BytesMut::with_capacity(sets + 40);
        let sps = SequenceParameterSet::parse(&self.sps).unwrap_or_default();
        record.put_u8(1);
        record.put_slice(&sps.profile_tier_level);
        // min_spatial_segmentation_idc 0, parallelismType 0: unknown.
        record.put_slice(&[0xF0, 0, 0xFC]);
        record.put_u8(0xFC | sps.chroma_format);
        record.put_u8(0xF8 | sps.bit_depth_luma.saturating_sub(8));
        record.put_u8(0xF8 | sps.bit_depth_chroma.saturating_sub(8));
        record.put_u16(0);
        record.put_u8((sps.sub_layers & 7) << 3 | u8::from(sps.temporal_id_nested) << 2 | 3);
        record.put_u8(3);
        let pps = &self.pps[..self.pps.len().min(PICTURE_PARAMETER_SETS_MAX)];
        let arrays =
            [(VPS, std::slice::from_ref(&self.vps)), (SPS, std::slice::from_ref(&self.sps)), (PPS, pps)];
        for (kind, units) in arrays {
            // array_completeness: `hvc1` promises that no other sets come in the samples.
            record.put_u8(0x80 | kind);
            record.put_u16(units.len() as u16);
            units.iter().for_each(|unit| put_set(&mut record, unit));
        }
        record.freeze()
    }

    /// `hvc1.1.6.L93.B0` (ISO/IEC 14496-15, E.3).
    pub(super) fn codec_string(&self) -> Option<String> {
        let sps = SequenceParameterSet::parse(&self.sps)?;
        let [first, compatibility @ .., level] = sps.profile_tier_level;
        let (compatibility, constraints) = compatibility.split_first_chunk::<4>()?;
        let space = ["", "A", "B", "C"][usize::from(first >> 6)];
        let tier = if first & 0x20 == 0 { 'L' } else { 'H' };
        let reversed = u32::from_be_bytes(*compatibility).reverse_bits();
        let mut text = format!("hvc1.{space}{}.{reversed:X}.{tier}{level}", first & 0x1F);
        let kept = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for byte in &constraints[..kept] {
            let _ = write!(text, ".{byte:X}");
        }
        Some(text)
    }
}

fn set(record: &Bytes, at: &mut usize) -> Option<Bytes> {
    let length = record.get(*at..*at + 2)?;
    let start = *at + 2;
    let end = start + usize::from(u16::from_be_bytes([length[0], length[1]]));
    (end <= record.len()).then(|| {
        *at = end;
        record.slice(start..end)
    })
}
