//! Sequence numbers and timestamps of RTP: serial numbers that wrap (RFC 3550, section 5.1; compared as RFC 1982 does).
//!
//! Neither type is ordered: "before" means something only for two numbers less than half the range apart, so code asks
//! for the signed distance instead.

/// A 16-bit RTP sequence number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sequence(pub u16);

impl Sequence {
    /// The number after this one.
    pub fn next(self) -> Sequence {
        self.advance(1)
    }

    /// The number `count` further on.
    pub fn advance(self, count: u16) -> Sequence {
        Sequence(self.0.wrapping_add(count))
    }

    /// `self − other`: positive when `self` comes after `other`. Exactly half the range apart gives `i16::MIN` both ways.
    pub fn distance(self, other: Sequence) -> i16 {
        self.0.wrapping_sub(other.0).cast_signed()
    }
}

/// A 32-bit RTP timestamp, in units of the track's clock rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ticks(pub u32);

impl Ticks {
    /// The timestamp `ticks` later.
    pub fn advance(self, ticks: u32) -> Ticks {
        Ticks(self.0.wrapping_add(ticks))
    }

    /// `self − other` in ticks: positive when `self` is later. Exactly half the range apart gives `i32::MIN` both ways.
    pub fn distance(self, other: Ticks) -> i32 {
        self.0.wrapping_sub(other.0).cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::{Sequence, Ticks};

    #[test]
    fn sequence_distance_wraps() {
        for (later, earlier, distance) in [
            (0, 0, 0),
            (1, 0, 1),
            (0, 1, -1),
            (0, 0xFFFF, 1),
            (0xFFFF, 0, -1),
            (5, 0xFFFB, 10),
            (0x7FFF, 0, i16::MAX),
            (0x8000, 0, i16::MIN),
            (0, 0x8000, i16::MIN),
            (0x8001, 0, -0x7FFF),
            (0x1234, 0x9233, -0x7FFF),
        ] {
            assert_eq!(Sequence(later).distance(Sequence(earlier)), distance, "{later:#x} - {earlier:#x}");
        }
        assert_eq!(Sequence(0xFFFF).next(), Sequence(0));
        assert_eq!(Sequence(0xFFF0).advance(0x20), Sequence(0x10));
    }

    #[test]
    fn ticks_distance_wraps() {
        for (later, earlier, distance) in [
            (0, 0, 0),
            (3000, 0, 3000),
            (0, 3000, -3000),
            (1000, 0xFFFF_FFFF - 1999, 3000),
            (0xFFFF_FFFF, 0, -1),
            (0x7FFF_FFFF, 0, i32::MAX),
            (0x8000_0000, 0, i32::MIN),
            (0, 0x8000_0000, i32::MIN),
            (0x8000_0001, 0, -0x7FFF_FFFF),
        ] {
            assert_eq!(Ticks(later).distance(Ticks(earlier)), distance, "{later:#x} - {earlier:#x}");
        }
        assert_eq!(Ticks(0xFFFF_FFFF).advance(3600), Ticks(3599));
    }
}
