//! Bits of headers, from the most significant one of each byte, and the codes made of them: Exp-Golomb (ITU-T H.264,
//! 9.1), `leb128` and `uvlc` (AV1, 4.10).
//!
//! Nothing is copied: emulation prevention bytes are stepped over while reading. Every read past the end is `None`.

/// A reader.
#[derive(Clone, Debug)]
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    /// Whether the 3 of every `00 00 03` is no part of the content (H.264, 7.4.1).
    escaped: bool,
    zeros: u8,
    current: u8,
    /// Bits of `current` not read yet.
    left: u32,
    read: usize,
}

impl<'a> Bits<'a> {
    /// Of plain bytes.
    pub(crate) fn new(bytes: &'a [u8]) -> Bits<'a> {
        Bits { bytes, escaped: false, zeros: 0, current: 0, left: 0, read: 0 }
    }

    /// Of plain bytes, from a bit on; `None` past the end.
    pub(crate) fn at(bytes: &'a [u8], bit: usize) -> Option<Bits<'a>> {
        let mut bits = Bits { read: bit / 8 * 8, ..Bits::new(bytes.get(bit / 8..)?) };
        bits.skip((bit % 8) as u32)?;
        Some(bits)
    }

    /// Of a NAL unit's bytes, with emulation prevention.
    pub(crate) fn of_unit(bytes: &'a [u8]) -> Bits<'a> {
        Bits { escaped: true, ..Bits::new(bytes) }
    }

    /// Bits read so far, without emulation prevention.
    pub(crate) fn position(&self) -> usize {
        self.read
    }

    /// Bits that are left, emulation prevention counted.
    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() * 8 + self.left as usize
    }

    fn refill(&mut self) -> Option<()> {
        let (&byte, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        if self.escaped && self.zeros >= 2 && byte == 3 {
            self.zeros = 0;
            return self.refill();
        }
        self.zeros = if byte == 0 { self.zeros.saturating_add(1) } else { 0 };
        (self.current, self.left) = (byte, 8);
        Some(())
    }

    /// An unsigned number of `count` bits, at most 32.
    pub(crate) fn bits(&mut self, count: u32) -> Option<u32> {
        debug_assert!(count <= 32, "wider than the result");
        let mut value = 0_u64;
        let mut wanted = count;
        while wanted > 0 {
            if self.left == 0 {
                self.refill()?;
            }
            let taken = wanted.min(self.left);
            let chunk = u32::from(self.current) >> (self.left - taken) & ((1 << taken) - 1);
            value = value << taken | u64::from(chunk);
            self.left -= taken;
            wanted -= taken;
        }
        self.read += count as usize;
        Some(value as u32)
    }

    pub(crate) fn flag(&mut self) -> Option<bool> {
        self.bits(1).map(|bit| bit == 1)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.bits(8).map(|byte| byte as u8)
    }

    pub(crate) fn skip(&mut self, count: u32) -> Option<()> {
        let mut left = count;
        while left > 0 {
            let step = left.min(32);
            self.bits(step)?;
            left -= step;
        }
        Some(())
    }

    /// To the next whole byte.
    pub(crate) fn align(&mut self) {
        self.read += self.left as usize;
        self.left = 0;
    }

    /// Exp-Golomb code `ue(v)`; also AV1's `uvlc`, whose longest code is never sent.
    pub(crate) fn unsigned(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1_u32 << zeros) - 1 + self.bits(zeros)?)
    }

    /// `se(v)`.
    pub(crate) fn signed(&mut self) -> Option<i32> {
        let code = i64::from(self.unsigned()?);
        i32::try_from(if code % 2 == 0 { -(code / 2) } else { code / 2 + 1 }).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Bits;

    /// ITU-T H.264, table 9-2 and 9-3.
    #[test]
    fn exp_golomb_codes() {
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1001_1000]);
        assert_eq!([0, 1, 2, 3, 4, 5].map(|_| bits.unsigned()), [0, 1, 2, 3, 4, 5].map(Some));
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1001_1000]);
        assert_eq!([0, 1, 2, 3, 4, 5].map(|_| bits.signed()), [0, 1, -1, 2, -2, 3].map(Some));
        assert_eq!(Bits::new(&[0; 16]).unsigned(), None, "no end");
    }

    #[test]
    fn emulation_prevention_is_stepped_over() {
        let mut bits = Bits::of_unit(&[0, 0, 3, 1, 0, 0, 0, 3]);
        assert_eq!(bits.bits(24), Some(1));
        assert_eq!(bits.bits(24), Some(0));
        assert_eq!(bits.bits(1), None);
        assert_eq!(Bits::new(&[0, 0, 3, 1]).bits(32), Some(0x301));
    }
}
