//! Access units: the middle of every conversion.
//!
//! Whatever a publisher sends is turned into [`AccessUnit`]s, and whatever a reader gets is made of them; so there are
//! N readers and M writers of units, and no converter from one protocol to another. The bytes are slices of what came
//! from the network wherever the wire allows it.
//!
//! What the parts of a unit are, by codec:
//!
//! | codec | parts |
//! |---|---|
//! | H.264, H.265 | NAL units with their headers, without start codes and lengths; parameter sets come first at each random access point |
//! | AV1 | OBUs with their headers but without size field (`obu_has_size_field` 0), without temporal delimiters |
//! | VP8, VP9, MPEG-4 video, MPEG-1/2 video | one part: the frame (with MPEG video: and the headers before it) |
//! | Motion JPEG | one part: a whole JFIF image |
//! | AAC (also from LATM) | one part: a raw data block, without ADTS or LATM framing |
//! | Opus, FLAC, AC-3, MPEG audio | one part: one packet or frame with its header |
//! | G.711 | one part: samples, one byte each and channels interleaved |
//! | LPCM | one part: samples as signed integers in network byte order (L8: unsigned), channels interleaved |
//! | KLV | one part: one KLV unit |

use crate::codec::Configuration;
use bytes::Bytes;
use smallvec::SmallVec;
use std::cmp::Ordering;
use std::sync::Arc;

/// The parts of a unit, see the module's table. Four is what most pictures have: two parameter sets, SEI, slice.
pub type Parts = SmallVec<[Bytes; 4]>;

/// A time on a track's clock, counted from the stream's beginning; it does not wrap. Negative times are before it.
#[derive(Clone, Copy, Debug)]
pub struct MediaTime {
    pub ticks: i64,
    /// Ticks per second; never zero.
    pub clock_rate: u32,
}

impl MediaTime {
    pub const fn new(ticks: i64, clock_rate: u32) -> MediaTime {
        MediaTime { ticks, clock_rate }
    }

    /// Ticks of the same time on a clock of another rate, rounded down, so that later times never come out earlier.
    pub fn in_clock(self, clock_rate: u32) -> i64 {
        if clock_rate == self.clock_rate {
            return self.ticks;
        }
        let scaled = i128::from(self.ticks) * i128::from(clock_rate);
        scaled.div_euclid(i128::from(self.clock_rate)).clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }

    /// Seconds from `earlier` to `self`; negative when `self` comes before.
    pub fn seconds_since(self, earlier: MediaTime) -> f64 {
        self.ticks as f64 / f64::from(self.clock_rate) - earlier.ticks as f64 / f64::from(earlier.clock_rate)
    }

    /// The time `ticks` of its own clock later.
    #[must_use]
    pub fn later(self, ticks: i64) -> MediaTime {
        MediaTime { ticks: self.ticks.saturating_add(ticks), clock_rate: self.clock_rate }
    }
}

impl PartialEq for MediaTime {
    fn eq(&self, other: &MediaTime) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for MediaTime {}

impl PartialOrd for MediaTime {
    fn partial_cmp(&self, other: &MediaTime) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for MediaTime {
    /// Exact, whatever the clocks.
    fn cmp(&self, other: &MediaTime) -> Ordering {
        let ours = i128::from(self.ticks) * i128::from(other.clock_rate);
        ours.cmp(&(i128::from(other.ticks) * i128::from(self.clock_rate)))
    }
}

/// What one track carries for one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessUnit {
    /// When it is presented.
    pub pts: MediaTime,
    /// When it is decoded: same clock, never after `pts`, never before the `dts` of the unit before it in the track.
    pub dts: MediaTime,
    /// Whether decoding can start here. Always true for audio and metadata.
    pub random_access: bool,
    /// What a decoder needs to know from here on. With video on every random access point whose parameters are known, in
    /// an `Arc` that stays the same while they do; with audio on the first unit and where it changes.
    pub configuration: Option<Arc<Configuration>>,
    /// At least one, none of them empty.
    pub parts: Parts,
}

impl AccessUnit {
    /// Bytes of all parts together.
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::MediaTime;

    #[test]
    fn times_compare_and_convert_over_clocks() {
        let second = MediaTime::new(90_000, 90_000);
        assert_eq!(second, MediaTime::new(44_100, 44_100));
        assert!(MediaTime::new(90_001, 90_000) > MediaTime::new(44_100, 44_100));
        assert_eq!(second.in_clock(1000), 1000);
        assert_eq!(MediaTime::new(-1, 90_000).in_clock(1000), -1, "rounded down, not towards zero");
        assert_eq!(MediaTime::new(i64::MAX, 1).in_clock(90_000), i64::MAX);
        assert!((second.seconds_since(MediaTime::new(0, 8000)) - 1.0).abs() < 1e-9);
    }
}
