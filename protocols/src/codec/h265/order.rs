//! Picture order counts (ITU-T H.265, 8.3.1), from the first slice segment of each picture.

use super::super::bits::Bits;
use super::{IDR_N_LP, IDR_W_RADL, PPS, SPS, SequenceParameterSet, is_random_access, kind};
use std::num::Wrapping;

/// Picture parameter sets that are kept; the standard allows no more (7.4.3.3.1).
const SETS: usize = 64;

/// The state of one track.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    sps: Option<SequenceParameterSet>,
    /// `output_flag_present_flag` (bit 7) and `num_extra_slice_header_bits` of each set.
    pps: [u8; SETS],
    previous_msb: Wrapping<i32>,
    previous_lsb: i32,
    /// The next picture starts a new count even without being IDR.
    restarts: bool,
}

impl Default for Order {
    fn default() -> Order {
        Order { sps: None, pps: [0; SETS], previous_msb: Wrapping(0), previous_lsb: 0, restarts: true }
    }
}

impl Order {
    /// Follows a parameter set; other units do nothing.
    pub(crate) fn parameter_set(&mut self, unit: &[u8]) {
        match kind(unit) {
            SPS => self.sps = SequenceParameterSet::parse(unit).or(self.sps.take()),
            PPS => drop(self.picture_parameter_set(unit)),
            super::END_OF_SEQUENCE | super::END_OF_BITSTREAM => self.restarts = true,
            _ => {}
        }
    }

    fn picture_parameter_set(&mut self, unit: &[u8]) -> Option<()> {
        let mut bits = Bits::of_unit(unit.get(2..)?);
        let id = bits.unsigned().filter(|id| *id < SETS as u32)?;
        bits.unsigned()?; // pps_seq_parameter_set_id
        bits.flag()?; // dependent_slice_segments_enabled_flag
        let output_flag = u8::from(bits.flag()?) << 7;
        self.pps[id as usize] = output_flag | bits.bits(3)? as u8;
        Some(())
    }

    /// Pictures that may come before one shown earlier, as far as the parameter set tells.
    pub(crate) fn reorder_max(&self) -> Option<u8> {
        self.sps.as_ref().map(|sps| sps.reorder_max)
    }

    /// The order count of the picture that `unit` is the first slice segment of, and whether it starts a new count;
    /// `None` for other units, and while the parameter set is missing.
    pub(crate) fn picture(&mut self, unit: &[u8]) -> Option<(i32, bool)> {
        let kind = kind(unit);
        // Reserved types between the leading pictures and BLA are none that are coded.
        if !matches!(kind, 0..=9 | 16..=21) {
            return None;
        }
        let sps = self.sps.as_ref()?;
        let lsb = self.slice(unit, sps)?;
        let restarts = is_random_access(unit) && (kind <= IDR_N_LP || self.restarts);
        let modulus = 1_i32 << sps.order_bits;
        let ahead = lsb - self.previous_lsb;
        let msb = if restarts {
            Wrapping(0)
        } else if ahead <= -modulus / 2 {
            self.previous_msb + Wrapping(modulus)
        } else if ahead > modulus / 2 {
            self.previous_msb - Wrapping(modulus)
        } else {
            self.previous_msb
        };
        self.restarts &= !restarts;
        let temporal_id = unit.get(1).map_or(0, |second| second & 7);
        // Neither RADL and RASL (6 to 9) nor sub-layer non-reference pictures (even types) are counted from.
        if temporal_id == 1 && (kind >= 16 || kind < 6 && kind % 2 == 1) {
            (self.previous_msb, self.previous_lsb) = (msb, lsb);
        }
        Some(((msb + Wrapping(lsb)).0, restarts))
    }

    /// `slice_pic_order_cnt_lsb` (7.3.6.1).
    fn slice(&self, unit: &[u8], sps: &SequenceParameterSet) -> Option<i32> {
        let mut bits = Bits::of_unit(unit.get(2..)?);
        if !bits.flag()? {
            return None; // not the first segment
        }
        if is_random_access(unit) {
            bits.flag()?; // no_output_of_prior_pics_flag
        }
        let pps = *self.pps.get(bits.unsigned()? as usize)?;
        bits.skip(u32::from(pps & 7))?; // slice_reserved_flag
        bits.unsigned()?; // slice_type
        if pps & 0x80 != 0 {
            bits.flag()?; // pic_output_flag
        }
        if sps.separate_planes {
            bits.skip(2)?;
        }
        if matches!(kind(unit), IDR_W_RADL | IDR_N_LP) {
            return Some(0);
        }
        bits.bits(sps.order_bits).map(|lsb| lsb as i32)
    }
}
