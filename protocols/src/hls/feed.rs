//! One track of a rendition: its units as samples, until a part takes them.

use crate::codec::{Configuration, opus};
use crate::mp4::{self, Framing, Run, Sample};
use crate::unit::{AccessUnit, MediaTime};
use std::collections::VecDeque;
use std::sync::Arc;

/// Longest duration of one sample, in seconds: jumps above the target duration are discontinuities, so none is longer.
const SAMPLE_SECONDS_MAX: i64 = 3600;

/// A track's queue.
#[derive(Debug)]
pub(super) struct Feed {
    /// Index of the track as the muxer was given it.
    pub(super) track: usize,
    pub(super) configuration: Arc<Configuration>,
    pub(super) timescale: u32,
    framing: Framing,
    /// Decode time and sample, in order. The last one's duration is a guess until its successor comes.
    samples: VecDeque<(i64, Sample)>,
    /// Ticks that a unit lasts if nothing else is known: as long as the last one.
    frame: i64,
    /// Decode time after the last sample, as far as is known.
    end: i64,
    /// Bytes in `samples`.
    pub(super) bytes: usize,
}

impl Feed {
    pub(super) fn new(track: usize, configuration: Arc<Configuration>, frame_seconds: f64) -> Feed {
        let timescale = mp4::timescale(&configuration);
        Feed {
            track,
            framing: Framing::new(&configuration),
            timescale,
            samples: VecDeque::new(),
            frame: ((frame_seconds * f64::from(timescale)) as i64).clamp(1, i64::from(timescale)),
            end: i64::MIN,
            bytes: 0,
            configuration,
        }
    }

    /// Takes another configuration; nothing waits at that time.
    pub(super) fn reconfigure(&mut self, configuration: Arc<Configuration>) {
        self.timescale = mp4::timescale(&configuration);
        self.framing = Framing::new(&configuration);
        self.configuration = configuration;
    }

    /// Forgets where it was: the next unit may come at any time.
    pub(super) fn restart(&mut self) {
        self.end = i64::MIN;
    }

    /// Decode time of a unit on this track's clock, `shift` being what is added to the source's times. Clocks coarser
    /// than the track's own (milliseconds of RTMP) are evened out: within two of their ticks a unit follows the last.
    pub(super) fn time(&self, unit: &AccessUnit, shift: MediaTime) -> i64 {
        let time = unit.dts.in_clock(self.timescale).saturating_add(shift.in_clock(self.timescale));
        let tolerance = 2 * i64::from(self.timescale) / i64::from(unit.dts.clock_rate.max(1));
        let audio = matches!(self.framing, Framing::Plain) && self.known_frame(unit).is_some();
        let coarse = unit.dts.clock_rate < self.timescale;
        if audio && coarse && self.end != i64::MIN && time.abs_diff(self.end) <= tolerance.unsigned_abs() {
            return self.end;
        }
        time
    }

    /// Appends a unit with decode time `time`; false if it comes before the end of the last one, or nothing is left of it.
    pub(super) fn push(&mut self, time: i64, unit: &AccessUnit) -> bool {
        if let Some((last, sample)) = self.samples.back_mut() {
            if time < *last {
                return false;
            }
            let max = SAMPLE_SECONDS_MAX * i64::from(self.timescale);
            sample.duration = (time - *last).min(max) as u32;
            if time > *last {
                self.frame = time - *last;
            }
        } else if time < self.end && self.end - time > i64::from(self.timescale) / 50 {
            return false;
        }
        let frame = self.known_frame(unit).unwrap_or(self.frame);
        let offset = unit.pts.in_clock(self.timescale).saturating_sub(unit.dts.in_clock(self.timescale));
        let offset = offset.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
        let Some(sample) = Sample::new(self.framing, unit, frame as u32, offset) else {
            return false;
        };
        self.bytes += sample.bytes() as usize;
        self.samples.push_back((time, sample));
        self.end = time.saturating_add(frame);
        true
    }

    /// The duration of the last sample is what lies between it and `time`: nothing else will come before.
    pub(super) fn stretch(&mut self, time: i64) {
        if let Some((last, sample)) = self.samples.back_mut()
            && time > *last
        {
            sample.duration = (time - *last).min(SAMPLE_SECONDS_MAX * i64::from(self.timescale)) as u32;
            self.end = self.end.max(time);
        }
    }

    /// Takes the samples that begin before `end`, which is on this track's clock.
    pub(super) fn take(&mut self, track_id: u32, end: i64) -> Option<Run> {
        let count = self.samples.partition_point(|(time, _)| *time < end);
        let (decode_time, _) = self.samples.front().filter(|_| count > 0)?;
        let decode_time = u64::try_from(*decode_time).unwrap_or_default();
        let samples = self.samples.drain(..count).map(|(_, sample)| sample).collect::<Vec<_>>();
        self.bytes -= samples.iter().map(|sample| sample.bytes() as usize).sum::<usize>();
        Some(Run { track_id, decode_time, samples })
    }

    /// The last edge between samples within the two times.
    pub(super) fn edge(&self, earliest: i64, latest: i64) -> Option<i64> {
        let after = self.samples.partition_point(|(time, _)| *time <= latest);
        let (time, _) = self.samples.get(after.checked_sub(1)?)?;
        (*time >= earliest).then_some(*time)
    }

    /// Decode time of what comes next, as far as is known.
    pub(super) fn next(&self) -> i64 {
        self.samples.front().map_or(self.end, |(time, _)| *time)
    }

    /// Ticks that a unit of a codec lasts which says so; `None` for pictures and FLAC.
    fn known_frame(&self, unit: &AccessUnit) -> Option<i64> {
        match &*self.configuration {
            Configuration::Aac(aac) => Some(i64::from(aac.frame_samples.max(1))),
            Configuration::Opus(_) => {
                unit.parts.first().and_then(|packet| opus::packet_samples(packet)).map(i64::from)
            }
            _ => None,
        }
    }
}
