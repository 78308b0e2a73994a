//! What a publisher brings into its stream: RTP packets or access units.
//!
//! The form of the log is the publisher's: what came as RTP is kept as RTP and goes to RTP readers untouched; what came
//! as units (RTMP, MPEG-TS) is kept as units, and RTP is one of the forms made of them.

use super::ingest::Ingest;
use super::{Batch, Description, Form, Position};
use crate::counters::Counters;
use crate::limits;
use headwater_protocols::track::{Medium, Track};
use headwater_protocols::unit::{AccessUnit, MediaTime};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) enum Input {
    Rtp(Box<Ingest>),
    Units(Box<Units>),
}

impl Input {
    /// An input whose log has the form `form`: RTP or units.
    pub(crate) fn new(form: Form, description: &Description) -> Input {
        match form {
            Form::Rtp => Input::Rtp(Box::new(Ingest::new(description))),
            _ => Input::Units(Box::new(Units::new(&description.tracks))),
        }
    }

    pub(crate) fn rtp(&mut self) -> Option<&mut Ingest> {
        match self {
            Input::Rtp(ingest) => Some(ingest),
            Input::Units(_) => None,
        }
    }

    pub(crate) fn units(&mut self) -> Option<&mut Units> {
        match self {
            Input::Rtp(_) => None,
            Input::Units(units) => Some(units),
        }
    }

    /// A new publisher of matching tracks takes over.
    pub(crate) fn change_publisher(&mut self, tracks: &[Track]) {
        match self {
            Input::Rtp(ingest) => ingest.change_publisher(tracks),
            Input::Units(units) => units.change_publisher(),
        }
    }

    /// Makes the reports that are due.
    pub(crate) fn tick(&mut self, now: Instant) {
        if let Input::Rtp(ingest) = self {
            ingest.tick(now);
        }
    }

    /// The last packets of the stream.
    pub(crate) fn bye(&mut self) {
        if let Input::Rtp(ingest) = self {
            ingest.bye();
        }
    }

    pub(crate) fn has_batch(&self) -> bool {
        match self {
            Input::Rtp(ingest) => ingest.has_batch(),
            Input::Units(units) => !units.collected.is_empty(),
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        match self {
            Input::Rtp(ingest) => ingest.is_full(),
            Input::Units(units) => units.bytes >= limits::BATCH_BYTES_MAX,
        }
    }

    /// Ends the batch under way.
    pub(crate) fn finish(&mut self, now: Instant, counters: &Counters) -> Arc<Batch> {
        match self {
            Input::Rtp(ingest) => ingest.finish(now, counters),
            Input::Units(units) => units.finish(now, counters),
        }
    }

    /// Packets missing in the publisher's sequence so far, all tracks.
    pub(crate) fn lost(&self) -> u64 {
        match self {
            Input::Rtp(ingest) => ingest.lost(),
            Input::Units(_) => 0,
        }
    }

    /// Mean of the tracks' interarrival jitter.
    pub(crate) fn jitter(&self) -> f64 {
        match self {
            Input::Rtp(ingest) => ingest.jitter(),
            Input::Units(_) => 0.0,
        }
    }
}

/// Where one publisher's times lie on the stream's own clock.
#[derive(Clone, Copy)]
struct Anchor {
    /// What is added to the publisher's times, in nanoseconds.
    offset: i128,
}

/// The units of a publisher, on one clock that goes on over a change of publisher.
///
/// Times never go back within a track. A publisher whose times jump, back or far ahead of the time that passed, is put
/// back on the stream's clock at the place where it is now.
pub(crate) struct Units {
    collected: Vec<(usize, AccessUnit)>,
    bytes: usize,
    /// Position of the next batch's first unit.
    next: Position,
    random_access: Option<Position>,
    /// Index of the track that random access points are counted by; `None`: every track.
    video: Option<usize>,
    anchor: Option<Anchor>,
    /// Latest decode time of any track, in nanoseconds, and when that unit arrived.
    newest: Option<(i128, Instant)>,
    /// Last decode time of each track.
    last: Vec<Option<MediaTime>>,
}

/// A decode time this far from where the stream is, more than the time that passed, is a jump of the publisher's clock.
const JUMP: Duration = Duration::from_secs(5);

impl Units {
    fn new(tracks: &[Track]) -> Units {
        Units {
            collected: Vec::new(),
            bytes: 0,
            next: 0,
            random_access: None,
            video: tracks.iter().position(|track| track.medium == Medium::Video),
            anchor: None,
            newest: None,
            last: vec![None; tracks.len()],
        }
    }

    fn change_publisher(&mut self) {
        self.anchor = None;
    }

    /// Takes a unit of `track` into the batch under way. A track that does not exist is ignored.
    pub(crate) fn push(&mut self, now: Instant, track: usize, mut unit: AccessUnit) {
        let Some(last) = self.last.get(track).copied() else { return };
        let offset = self.offset(now, nanoseconds(unit.dts));
        let shift = |time: MediaTime| {
            let ticks = (offset * i128::from(time.clock_rate)).div_euclid(1_000_000_000);
            time.later(ticks.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
        };
        (unit.pts, unit.dts) = (shift(unit.pts), shift(unit.dts));
        if let Some(last) = last.filter(|last| unit.dts < *last) {
            let back = last.in_clock(unit.dts.clock_rate);
            unit.dts = MediaTime::new(back, unit.dts.clock_rate);
            unit.pts = unit.pts.max(unit.dts);
        }
        self.last[track] = Some(unit.dts);
        let decode = nanoseconds(unit.dts);
        if self.newest.is_none_or(|(newest, _)| decode >= newest) {
            self.newest = Some((decode, now));
        }
        let counts = self.video.is_none_or(|video| video == track);
        if counts && unit.random_access {
            self.random_access = Some(self.next + self.collected.len() as u64);
        }
        self.bytes += unit.bytes();
        self.collected.push((track, unit));
    }

    /// What to add to the publisher's times for a unit that is decoded at `decode` (nanoseconds of its clock).
    fn offset(&mut self, now: Instant, decode: i128) -> i128 {
        let expected = self.newest.map_or(0, |(newest, at)| {
            newest + i128::try_from(now.saturating_duration_since(at).as_nanos()).unwrap_or(0)
        });
        if let Some(anchor) = self.anchor {
            let off = decode + anchor.offset - expected;
            if self.newest.is_none() || off.unsigned_abs() <= JUMP.as_nanos() {
                return anchor.offset;
            }
        }
        // A new publisher goes on one unit after the last one, so that no two have the same time.
        let offset = expected - decode + i128::from(self.newest.is_some()) * 1_000_000;
        self.anchor = Some(Anchor { offset });
        offset
    }

    fn finish(&mut self, now: Instant, counters: &Counters) -> Arc<Batch> {
        let room = self.collected.len();
        let units = std::mem::replace(&mut self.collected, Vec::with_capacity(room));
        self.bytes = 0;
        let batch = Batch::of_units(self.next, self.random_access, now, units);
        self.next = batch.end();
        counters.ingest_batches.add(1);
        Arc::new(batch)
    }
}

fn nanoseconds(time: MediaTime) -> i128 {
    i128::from(time.ticks) * 1_000_000_000 / i128::from(time.clock_rate.max(1))
}

#[cfg(test)]
mod tests {
    use super::Units;
    use crate::counters::Counters;
    use bytes::Bytes;
    use headwater_protocols::track::{Codec, Medium, Track};
    use headwater_protocols::unit::{AccessUnit, MediaTime};
    use std::time::{Duration, Instant};

    fn track(medium: Medium, codec: Codec, clock_rate: u32) -> Track {
        Track {
            medium,
            codec,
            clock_rate,
            channels: 0,
            payload_type: 96,
            format_parameters: "".into(),
            rtpmap: "".into(),
            attributes: Vec::new(),
        }
    }

    fn unit(ticks: i64, clock_rate: u32, random_access: bool) -> AccessUnit {
        let time = MediaTime::new(ticks, clock_rate);
        let parts = [Bytes::from_static(&[0x65])].into_iter().collect();
        AccessUnit { pts: time, dts: time, random_access, configuration: None, parts }
    }

    fn seconds(units: &mut Units, now: Instant) -> Vec<f64> {
        let batch = units.finish(now, &Counters::default());
        batch.units().iter().map(|(_, unit)| unit.dts.seconds_since(MediaTime::new(0, 1))).collect()
    }

    #[test]
    fn times_begin_at_zero_and_go_on_over_jumps_and_publishers() {
        let tracks = [track(Medium::Video, Codec::H264, 90_000), track(Medium::Audio, Codec::Opus, 48_000)];
        let mut units = Units::new(&tracks);
        let start = Instant::now();
        units.push(start, 0, unit(900_000, 90_000, true));
        units.push(start, 1, unit(480_480, 48_000, true));
        let later = start + Duration::from_secs(1);
        units.push(later, 0, unit(990_000, 90_000, false));
        assert_eq!(seconds(&mut units, start), [0.0, 0.01, 1.0]);
        // The clock jumps back by nine seconds; the unit comes when it is due.
        units.push(later + Duration::from_millis(40), 0, unit(93_600, 90_000, false));
        let jumped = seconds(&mut units, start);
        assert!((jumped[0] - 1.041).abs() < 1e-6, "{jumped:?}");
        units.change_publisher();
        units.push(later + Duration::from_secs(2), 0, unit(5, 90_000, true));
        let returned = seconds(&mut units, start);
        assert!((returned[0] - 3.002).abs() < 1e-3, "{returned:?}");
    }

    #[test]
    fn random_access_points_are_those_of_the_video() {
        let tracks = [track(Medium::Audio, Codec::Opus, 48_000), track(Medium::Video, Codec::H264, 90_000)];
        let mut units = Units::new(&tracks);
        let now = Instant::now();
        units.push(now, 0, unit(0, 48_000, true));
        units.push(now, 1, unit(0, 90_000, true));
        units.push(now, 0, unit(960, 48_000, true));
        assert_eq!(units.finish(now, &Counters::default()).random_access, Some(1));
    }
}
