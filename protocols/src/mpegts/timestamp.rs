//! The 90 kHz timestamps of PES headers, 33 bits wide, and the program clock reference (ISO/IEC 13818-1, 2.4.3.5 to 2.4.3.7).
//!
//! A timestamp wraps every 26.5 hours and is not ordered: "before" means something only for two timestamps less than half
//! the range apart, so code asks for the signed distance instead.

/// Ticks per second of PTS and DTS, in Hz.
pub const CLOCK_RATE: u32 = 90_000;

const BITS: u32 = 33;
const MASK: u64 = (1 << BITS) - 1;

/// A PTS or DTS, or the base of a PCR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The low 33 bits of `ticks` of the 90 kHz clock.
    pub fn new(ticks: i64) -> Timestamp {
        Timestamp(ticks.cast_unsigned() & MASK)
    }

    /// 0 to 2³³ − 1.
    pub fn ticks(self) -> u64 {
        self.0
    }

    /// `self − other` in ticks: positive when `self` is later.
    pub fn distance(self, other: Timestamp) -> i64 {
        (self.0.wrapping_sub(other.0) << (64 - BITS)).cast_signed() >> (64 - BITS)
    }

    /// Reads the five bytes of a PES header: four bits of prefix, then 3, 15 and 15 bits, each with a marker bit after it.
    /// Prefix and markers are not checked: several encoders get them wrong, and nothing depends on them.
    pub(super) fn from_pes(field: [u8; 5]) -> Timestamp {
        let [top, high, middle, low, bottom] = field.map(u64::from);
        Timestamp((top & 0x0E) << 29 | high << 22 | (middle & 0xFE) << 14 | low << 7 | bottom >> 1)
    }

    /// Writes the five bytes of a PES header; `prefix` is 2 (PTS alone), 3 (PTS before DTS) or 1 (DTS).
    pub(super) fn pes(self, prefix: u8) -> [u8; 5] {
        [
            prefix << 4 | (self.0 >> 29) as u8 & 0x0E | 1,
            (self.0 >> 22) as u8,
            (self.0 >> 14) as u8 | 1,
            (self.0 >> 7) as u8,
            (self.0 << 1) as u8 | 1,
        ]
    }

    /// Reads the base of a program clock reference; the 27 MHz extension is left out.
    pub(super) fn from_pcr(field: [u8; 6]) -> Timestamp {
        let [a, b, c, d, e, _] = field.map(u64::from);
        Timestamp(a << 25 | b << 17 | c << 9 | d << 1 | e >> 7)
    }

    /// Writes a program clock reference with an extension of zero.
    pub(super) fn pcr(self) -> [u8; 6] {
        [
            (self.0 >> 25) as u8,
            (self.0 >> 17) as u8,
            (self.0 >> 9) as u8,
            (self.0 >> 1) as u8,
            (self.0 << 7) as u8 | 0x7E,
            0,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::{MASK, Timestamp};

    #[test]
    fn timestamps_wrap_at_33_bits() {
        assert_eq!(Timestamp::new(-1).ticks(), MASK);
        assert_eq!(Timestamp::new(5).distance(Timestamp::new(-5)), 10);
        assert_eq!(Timestamp::new(-5).distance(Timestamp::new(5)), -10);
        assert_eq!(Timestamp::new(1 << 33).ticks(), 0);
    }

    #[test]
    fn fields_are_read_as_written() {
        for ticks in [0, 1, 0x7FFF, 0x8000, 0x3FFF_FFFF, 0x1_2345_6789, MASK.cast_signed()] {
            let timestamp = Timestamp::new(ticks);
            assert_eq!(Timestamp::from_pes(timestamp.pes(2)), timestamp);
            assert_eq!(Timestamp::from_pcr(timestamp.pcr()), timestamp);
        }
        assert_eq!(Timestamp::new(132_000).pes(2), [0x21, 0x00, 0x09, 0x07, 0x41]);
    }
}
