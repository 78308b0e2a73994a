//! How long segments and parts of a rendition are, decided once.

use super::{Config, Variant};
use crate::limits::{HLS_TARGET_SECONDS_MAX, MP4_FRAGMENT_BYTES_MAX};

/// What the first segment may exceed a whole second by, and still be of that target duration: a group of pictures of two
/// seconds at 29.97 Hz lasts 2.002.
const TARGET_SLACK_SECONDS: f64 = 0.1;
/// What a segment may exceed the target duration by: `EXTINF`, rounded to the nearest integer, stays at it.
const OVERRUN_PERCENT: i64 = 49;
/// Shortest part that is not the last of its segment, of the part target (section 4.4.4.9).
const PART_PERCENT_MIN: i64 = 85;
/// Shortest part target: players ask once per part.
const PART_MS_MIN: u32 = 20;

/// Durations in ticks of the rendition's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// `EXT-X-TARGETDURATION`, in seconds.
    pub(super) target: u32,
    /// `PART-TARGET`.
    pub(super) part_target_ms: Option<u32>,
    /// From here on a random access point begins a new segment.
    pub(super) segment: i64,
    /// Here a new segment begins in any case.
    pub(super) segment_max: i64,
    pub(super) part_min: i64,
    /// `i64::MAX` without parts.
    pub(super) part_max: i64,
    /// A step of time above this is a jump.
    pub(super) jump: i64,
    /// A segment is cut when it would have more bytes.
    pub(super) bytes_max: usize,
}

/// The target duration in seconds, of what the first segment took.
pub(super) fn target(config: &Config, first_segment_seconds: f64) -> u32 {
    let longest = first_segment_seconds.max(config.segment_duration.as_secs_f64());
    ((longest - TARGET_SLACK_SECONDS).ceil() as u32).clamp(1, HLS_TARGET_SECONDS_MAX)
}

impl Pace {
    /// `segment_seconds` is what segments last at least, `frame_seconds` what most units of the leading track last.
    pub(super) fn new(
        config: &Config,
        target: u32,
        segment_seconds: f64,
        timescale: u32,
        frame_seconds: f64,
    ) -> Pace {
        let rate = i64::from(timescale);
        let target_ticks = i64::from(target) * rate;
        let part_target_ms =
            (config.variant == Variant::LowLatency).then(|| part_target_ms(config, target, frame_seconds));
        let part_max = part_target_ms.map_or(i64::MAX, |millis| i64::from(millis) * rate / 1000);
        let segment = ((segment_seconds * f64::from(timescale)) as i64).min(target_ticks);
        Pace {
            target,
            part_target_ms,
            segment,
            segment_max: target_ticks + rate * OVERRUN_PERCENT / 100,
            // Rounded up.
            part_min: part_target_ms
                .map_or(i64::MAX, |millis| (i64::from(millis) * rate * PART_PERCENT_MIN + 99_999) / 100_000),
            part_max,
            jump: target_ticks.max(2 * rate),
            bytes_max: config.segment_bytes_max.clamp(1, MP4_FRAGMENT_BYTES_MAX / 4),
        }
    }
}

/// The configured duration, if a whole number of units fits it well; else that of one unit more.
fn part_target_ms(config: &Config, target: u32, frame_seconds: f64) -> u32 {
    let asked = config.part_duration.as_secs_f64();
    let frames = (asked / frame_seconds + 1e-6).floor();
    let filled = frames * frame_seconds;
    let seconds = if filled >= asked * PART_PERCENT_MIN as f64 / 100.0 {
        asked
    } else {
        // A millisecond more, as sources with clocks of milliseconds waver.
        (frames + 1.0) * frame_seconds + 0.001
    };
    ((seconds * 1000.0 - 1e-6).ceil() as u32).clamp(PART_MS_MIN, target * 1000)
}
