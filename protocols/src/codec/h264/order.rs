//! Picture order counts (ITU-T H.264, 8.2.1), from the first slice of each picture.
//!
//! Left out: `memory_management_control_operation` 5, which restarts the count in the middle of a sequence and stands
//! behind the prediction weights in the slice header. No known live encoder sends it.

use super::super::bits::Bits;
use super::sps::PicOrder;
use super::{IDR_SLICE, PPS, SLICE, SPS, SequenceParameterSet, kind};
use std::num::Wrapping;

/// Picture parameter sets whose flag is kept; ids above are rare, and their pictures go without a count.
const SETS: usize = 64;

/// The state of one track.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    sps: Option<SequenceParameterSet>,
    /// `bottom_field_pic_order_in_frame_present_flag` of each set, as bits.
    bottom_present: u64,
    previous_msb: Wrapping<i32>,
    previous_lsb: i32,
    previous_frame_num: i32,
    frame_num_offset: Wrapping<i32>,
}

/// What a slice header says of its picture's place.
struct Slice {
    idr: bool,
    reference: bool,
    bottom_field: bool,
    frame_num: i32,
    lsb: i32,
    delta_bottom: i32,
    delta: i32,
}

impl Order {
    /// Follows a parameter set; other units do nothing.
    pub(crate) fn parameter_set(&mut self, unit: &[u8]) {
        match kind(unit) {
            SPS => self.sps = SequenceParameterSet::parse(unit).or(self.sps.take()),
            PPS => drop(self.picture_parameter_set(&unit[1..])),
            _ => {}
        }
    }

    fn picture_parameter_set(&mut self, body: &[u8]) -> Option<()> {
        let mut bits = Bits::of_unit(body);
        let id = bits.unsigned().filter(|id| *id < SETS as u32)?;
        bits.unsigned()?; // seq_parameter_set_id
        bits.flag()?; // entropy_coding_mode_flag
        let present = u64::from(bits.flag()?);
        self.bottom_present = self.bottom_present & !(1 << id) | present << id;
        Some(())
    }

    /// Pictures that may come before one shown earlier, as far as the parameter set tells.
    pub(crate) fn reorder_max(&self) -> Option<u8> {
        self.sps.as_ref().and_then(|sps| sps.reorder_max)
    }

    /// The order count of the picture that `unit` is the first slice of, and whether it starts a new count; `None` for
    /// units that are no slice, and while the parameter set is missing.
    pub(crate) fn picture(&mut self, unit: &[u8]) -> Option<(i32, bool)> {
        if !matches!(kind(unit), SLICE | 2 | IDR_SLICE) {
            return None;
        }
        let slice = self.slice(unit)?;
        let count = match self.sps.as_ref()?.order {
            PicOrder::Lsb { bits } => self.count_of_lsb(&slice, bits),
            PicOrder::Cycle { .. } | PicOrder::Decoding => self.count_of_frame_num(&slice),
        };
        Some((count, slice.idr))
    }

    /// 7.3.3, up to the order count.
    fn slice(&self, unit: &[u8]) -> Option<Slice> {
        let sps = self.sps.as_ref()?;
        let (&header, body) = unit.split_first()?;
        let mut bits = Bits::of_unit(body);
        bits.unsigned()?; // first_mb_in_slice
        bits.unsigned()?; // slice_type
        let id = bits.unsigned()?;
        let bottom_present = self.bottom_present.checked_shr(id).unwrap_or(0) & 1 == 1;
        if sps.separate_planes {
            bits.skip(2)?;
        }
        let frame_num = bits.bits(sps.frame_num_bits)? as i32;
        let field = !sps.frames_only && bits.flag()?;
        let bottom_field = field && bits.flag()?;
        let idr = kind(unit) == IDR_SLICE;
        if idr {
            bits.unsigned()?; // idr_pic_id
        }
        let reference = header & 0x60 != 0;
        let mut slice = Slice { idr, reference, bottom_field, frame_num, lsb: 0, delta_bottom: 0, delta: 0 };
        match sps.order {
            PicOrder::Lsb { bits: size } => {
                slice.lsb = bits.bits(size)? as i32;
                if bottom_present && !field {
                    slice.delta_bottom = bits.signed()?;
                }
            }
            PicOrder::Cycle { always_zero: false, .. } => slice.delta = bits.signed()?,
            PicOrder::Cycle { .. } | PicOrder::Decoding => {}
        }
        Some(slice)
    }

    /// 8.2.1.1. Of a frame the earlier field counts.
    fn count_of_lsb(&mut self, slice: &Slice, bits: u32) -> i32 {
        if slice.idr {
            (self.previous_msb, self.previous_lsb) = (Wrapping(0), 0);
        }
        let modulus = 1_i32 << bits;
        let ahead = slice.lsb - self.previous_lsb;
        let msb = if ahead <= -modulus / 2 {
            self.previous_msb + Wrapping(modulus)
        } else if ahead > modulus / 2 {
            self.previous_msb - Wrapping(modulus)
        } else {
            self.previous_msb
        };
        if slice.reference {
            (self.previous_msb, self.previous_lsb) = (msb, slice.lsb);
        }
        (msb + Wrapping(slice.lsb) + Wrapping(slice.delta_bottom.min(0))).0
    }

    /// 8.2.1.2 and 8.2.1.3.
    fn count_of_frame_num(&mut self, slice: &Slice) -> i32 {
        let Some(sps) = &self.sps else { return 0 };
        if slice.idr {
            self.frame_num_offset = Wrapping(0);
        } else if self.previous_frame_num > slice.frame_num {
            self.frame_num_offset += 1 << sps.frame_num_bits;
        }
        self.previous_frame_num = slice.frame_num;
        let absolute = self.frame_num_offset + Wrapping(slice.frame_num);
        let PicOrder::Cycle { non_reference, offsets, .. } = &sps.order else {
            let count = absolute * Wrapping(2) - Wrapping(i32::from(!slice.reference));
            return (count + Wrapping(i32::from(slice.bottom_field))).0;
        };
        let mut number = if offsets.is_empty() { Wrapping(0) } else { absolute };
        if !slice.reference && number.0 > 0 {
            number -= 1;
        }
        let mut expected = Wrapping(0);
        if number.0 > 0 {
            let whole = offsets.iter().map(|offset| Wrapping(*offset)).sum::<Wrapping<i32>>();
            let (cycles, within) =
                ((number.0 - 1) / offsets.len() as i32, (number.0 - 1) % offsets.len() as i32);
            let part = offsets.iter().take(within as usize + 1).map(|offset| Wrapping(*offset));
            expected = whole * Wrapping(cycles) + part.sum::<Wrapping<i32>>();
        }
        if !slice.reference {
            expected += *non_reference;
        }
        (expected + Wrapping(slice.delta)).0
    }
}

#[cfg(test)]
mod tests {
    use super::Order;

    /// A NAL unit of a header and bits, with the stop bit.
    fn unit(header: u8, bits: &[&str]) -> Vec<u8> {
        let mut text = bits.concat() + "1";
        text.extend(std::iter::repeat_n('0', text.len().next_multiple_of(8) - text.len()));
        let bytes = text.as_bytes().chunks(8);
        let byte = |digits| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 2).unwrap();
        std::iter::once(header).chain(bytes.map(byte)).collect()
    }

    /// Main profile, 64x48, four bits of `frame_num`, and an order count type with its fields.
    fn order(pic_order: &str) -> Order {
        let mut order = Order::default();
        let profile_level = "010011010000000000011110";
        order.parameter_set(&unit(
            0x67,
            &[profile_level, "11", pic_order, "010", "0", "00100", "011", "1100"],
        ));
        order.parameter_set(&unit(0x68, &["1100"]));
        assert!(order.sps.is_some());
        order
    }

    fn counts(mut order: Order, pictures: &[(u8, u32)]) -> Vec<i32> {
        let slice = |(header, number): &(u8, u32)| {
            let idr = if *header == 0x65 { "1" } else { "" };
            unit(*header, &["111", &format!("{number:04b}"), idr])
        };
        pictures.iter().map(|picture| order.picture(&slice(picture)).expect("a slice").0).collect()
    }

    /// H.264, 8.2.1.2: a cycle of one reference picture, 4 counts long, and others 2 counts before.
    #[test]
    fn counts_from_cycles() {
        let cycle = order("01010010110100001000");
        let pictures = [(0x65, 0), (0x41, 1), (0x01, 2), (0x41, 2), (0x01, 3), (0x65, 0), (0x41, 1)];
        assert_eq!(counts(cycle, &pictures), [0, 4, 2, 8, 6, 0, 4]);
    }

    /// H.264, 8.2.1.3, and `frame_num` going around.
    #[test]
    fn counts_in_decoding_order() {
        let pictures = [(0x65, 0), (0x41, 1), (0x01, 2), (0x41, 2), (0x41, 15), (0x41, 0)];
        let order = order("011");
        assert_eq!(order.reorder_max(), Some(0));
        assert_eq!(counts(order, &pictures), [0, 2, 3, 4, 30, 32]);
    }
}
