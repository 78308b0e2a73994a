//! Bits as H.264 writes them: Exp-Golomb codes (ITU-T H.264, 9.1), trailing bits (7.3.2.11) and emulation prevention
//! (7.4.1).

use bytes::Bytes;

/// Writes the payload of one NAL unit.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// The bits that do not fill a byte yet, and how many.
    rest: u8,
    held: u32,
}

impl BitWriter {
    /// The `count` lowest bits of `value`, the highest first.
    pub(super) fn put(&mut self, value: u32, count: u32) {
        for bit in (0..count).rev() {
            self.rest = self.rest << 1 | (value >> bit & 1) as u8;
            self.held += 1;
            if self.held == 8 {
                self.bytes.push(self.rest);
                (self.rest, self.held) = (0, 0);
            }
        }
    }

    pub(super) fn flag(&mut self, value: bool) {
        self.put(value.into(), 1);
    }

    /// `ue(v)`.
    pub(super) fn unsigned(&mut self, value: u32) {
        let code = value + 1;
        let length = 32 - code.leading_zeros();
        self.put(0, length - 1);
        self.put(code, length);
    }

    /// `se(v)`.
    pub(super) fn signed(&mut self, value: i32) {
        let magnitude = value.unsigned_abs();
        self.unsigned(if value > 0 { 2 * magnitude - 1 } else { 2 * magnitude });
    }

    /// Zero bits to the next byte.
    pub(super) fn align(&mut self) {
        self.put(0, (8 - self.held) % 8);
    }

    /// Whole bytes, where a byte begins.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        debug_assert_eq!(self.held, 0, "a byte begins here");
        self.bytes.extend_from_slice(bytes);
    }

    /// The NAL unit with that first byte.
    pub(super) fn into_unit(mut self, header: u8) -> Bytes {
        self.put(1, 1);
        self.align();
        let mut unit = Vec::with_capacity(self.bytes.len() + self.bytes.len() / 64 + 2);
        unit.push(header);
        let mut zeros = 0;
        for byte in self.bytes {
            if zeros == 2 && byte <= 3 {
                unit.push(3);
                zeros = 0;
            }
            unit.push(byte);
            zeros = if byte == 0 { zeros + 1 } else { 0 };
        }
        unit.into()
    }
}

#[cfg(test)]
mod tests {
    use super::BitWriter;

    /// ITU-T H.264, tables 9-2 and 9-3.
    #[test]
    fn exp_golomb_codes() {
        let mut bits = BitWriter::default();
        [0, 1, 2, 3].into_iter().for_each(|value| bits.unsigned(value));
        [0, 1, -1, 2].into_iter().for_each(|value| bits.signed(value));
        // 1 010 011 00100, 1 010 011 00100, and the trailing bit.
        assert_eq!(bits.into_unit(9)[..], [9, 0b1010_0110, 0b0100_1010, 0b0110_0100, 0b1000_0000]);
    }

    #[test]
    fn start_codes_do_not_occur_in_a_unit() {
        let mut bits = BitWriter::default();
        bits.bytes(&[0, 0, 0, 0, 0, 1, 0, 0, 4]);
        assert_eq!(bits.into_unit(1)[..], [1, 0, 0, 3, 0, 0, 3, 0, 1, 0, 0, 4, 0x80]);
    }
}
