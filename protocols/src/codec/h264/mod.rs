//! H.264: NAL units (ITU-T H.264, 7.3.1), the `avcC` record (ISO/IEC 14496-15, 5.3.3.1), and what parameter sets say.

mod order;
mod sps;

pub(crate) use order::Order;
pub use sps::SequenceParameterSet;
pub(super) use sps::cropping;

use super::Error;
use super::bits::Bits;
use super::configuration::H264;
use super::random_access::h264_unit;
use crate::limits::PICTURE_PARAMETER_SETS_MAX;
use bytes::{BufMut, Bytes, BytesMut};

/// `nal_unit_type` (table 7-1).
pub const SLICE: u8 = 1;
pub const IDR_SLICE: u8 = 5;
pub const SEI: u8 = 6;
pub const SPS: u8 = 7;
pub const PPS: u8 = 8;
pub const ACCESS_UNIT_DELIMITER: u8 = 9;
pub const END_OF_SEQUENCE: u8 = 10;
pub const END_OF_STREAM: u8 = 11;
pub const FILLER: u8 = 12;

/// The type of a NAL unit; 0 when it is empty.
pub fn kind(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |header| header & 0x1F)
}

/// Whether the picture this NAL unit belongs to is one decoding can start at: an IDR slice, or a recovery point with
/// nothing to wait for.
pub fn is_random_access(unit: &[u8]) -> bool {
    matches!(kind(unit), IDR_SLICE | SEI) && h264_unit(unit)
}

/// `pic_parameter_set_id` of a picture parameter set; `None` when `unit` is none.
pub(super) fn picture_parameter_set_id(unit: &[u8]) -> Option<u8> {
    let body = unit.get(1..).filter(|_| kind(unit) == PPS)?;
    Bits::of_unit(body).unsigned().and_then(|id| u8::try_from(id).ok())
}

/// Profiles whose sets name a chroma format (7.3.2.1.1).
fn names_chroma_format(profile: u8) -> bool {
    matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135)
}

impl H264 {
    /// Reads the body of `avcC`: the parameter sets, and the bytes of each NAL unit's length in the samples (1, 2 or 4).
    ///
    /// ```text
    /// | version 1 |  profile  | compatib. |   level   |11 1111 SZ |111 NUM SPS| size, SPS … | NUM PPS | size, PPS … |
    /// ```
    ///
    /// Of several sequence parameter sets the first counts.
    ///
    /// # Errors
    /// Another version, sets that reach past the end, none of a kind, or more than [`PICTURE_PARAMETER_SETS_MAX`].
    pub fn from_avcc(record: &Bytes) -> Result<(H264, u8), Error> {
        let invalid = Error::invalid("avcC record");
        let (&[version, _, _, _, size, count], _) = record.split_first_chunk::<6>().ok_or(invalid)?;
        if version != 1 {
            return Err(Error::unsupported("version of the avcC record"));
        }
        let mut at = 6;
        let sps = sets(record, &mut at, usize::from(count & 0x1F)).ok_or(invalid)?;
        let count = *record.get(at).ok_or(invalid)?;
        if usize::from(count) > PICTURE_PARAMETER_SETS_MAX {
            let max = PICTURE_PARAMETER_SETS_MAX;
            return Err(Error::Limit { what: "picture parameter sets of the avcC record", max });
        }
        at += 1;
        let mut pps = sets(record, &mut at, usize::from(count)).ok_or(invalid)?;
        pps.retain(|unit| kind(unit) == PPS);
        let sps = sps.into_iter().find(|unit| kind(unit) == SPS && unit.len() >= 4).ok_or(invalid)?;
        if pps.is_empty() {
            return Err(invalid);
        }
        Ok((H264 { sps, pps }, (size & 3) + 1))
    }

    /// The body of `avcC`, with lengths of four bytes.
    pub fn avcc(&self) -> Bytes {
        let sets = self.sps.len() + self.pps.iter().map(|unit| unit.len() + 2).sum::<usize>();
        let mut record = BytesMut::with_capacity(sets + 16);
        let [profile, constraints, level] = self.profile_level();
        record.put_slice(&[1, profile, constraints, level, 0xFF, 0xE1]);
        put_set(&mut record, &self.sps);
        let pps = &self.pps[..self.pps.len().min(PICTURE_PARAMETER_SETS_MAX)];
        record.put_u8(pps.len() as u8);
        pps.iter().for_each(|unit| put_set(&mut record, unit));
        if matches!(profile, 100 | 110 | 122 | 144 | 244) {
            let (chroma, luma_depth, chroma_depth) = SequenceParameterSet::parse(&self.sps)
                .map_or((1, 8, 8), |sps| (sps.chroma_format, sps.bit_depth_luma, sps.bit_depth_chroma));
            record.put_slice(&[0xFC | chroma, 0xF8 | (luma_depth - 8), 0xF8 | (chroma_depth - 8), 0]);
        }
        record.freeze()
    }

    /// `profile_idc`, the constraint flags, and `level_idc`: the bytes of `profile-level-id` (RFC 6184, 8.1).
    pub fn profile_level(&self) -> [u8; 3] {
        match *self.sps {
            [_, profile, constraints, level, ..] => [profile, constraints, level],
            _ => [0; 3],
        }
    }
}

/// `count` sets, each after its length in 16 bits; `at` moves behind them.
fn sets(record: &Bytes, at: &mut usize, count: usize) -> Option<Vec<Bytes>> {
    let mut found = Vec::new();
    for _ in 0..count {
        let length = record.get(*at..*at + 2)?;
        let start = *at + 2;
        let end = start + usize::from(u16::from_be_bytes([length[0], length[1]]));
        if end > record.len() {
            return None;
        }
        found.push(record.slice(start..end));
        *at = end;
    }
    Some(found)
}

/// A set after its length. Longer ones than the field can say are not followed (`PARAMETER_SET_BYTES_MAX`).
pub(super) fn put_set(record: &mut BytesMut, unit: &Bytes) {
    let length = u16::try_from(unit.len()).unwrap_or(u16::MAX);
    record.put_u16(length);
    record.put_slice(&unit[..usize::from(length)]);
}
