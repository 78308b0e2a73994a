//! Decode times of streams whose protocol tells presentation times only (RTP, and FLV or MPEG-TS where they lie).
//!
//! With pictures reordered by at most R, the decode time of a picture is the (R + 1)-th largest presentation time so
//! far: that is the presentation times in order, delayed by R pictures. It is exact at any rate and through losses,
//! never decreases, is never after the presentation time, and needs no picture held back.
//!
//! R begins as what the sequence parameter set allows. Picture order counts tell more: a count that skips some shows
//! that pictures shown earlier are still to come, before the first of them comes; and a whole group of pictures that
//! came in order needs no delay, whatever the set allows. Where nothing was told and a picture comes that is shown
//! before its predecessor's decode time, R grows, and that picture alone is shown late.

use super::{h264, h265, mpeg_video, mpeg4_video};
use crate::limits::REORDERED_PICTURES_MAX;
use crate::track::Codec;
use crate::unit::Parts;
use bytes::Bytes;
use smallvec::SmallVec;

/// Distance of the decode times before the first presentation time: a tenth of a second has ten. It only must be short.
const STARTS_PER_SECOND: i64 = 100;

/// The state of one track.
#[derive(Clone, Debug)]
pub struct DecodeTimes {
    order: Order,
    shown: Shown,
    /// Presentation times, the largest first.
    largest: SmallVec<[i64; REORDERED_PICTURES_MAX + 1]>,
    /// R.
    reorder: usize,
    /// What the parameter set said last.
    told: Option<u8>,
    /// The reordering seen since the last random access point, and whether there was one.
    seen: Option<usize>,
    last: Option<i64>,
    start_step: i64,
}

#[derive(Clone, Debug)]
enum Order {
    H264(Box<h264::Order>),
    H265(Box<h265::Order>),
    Mpeg4Video,
    MpegVideo(mpeg_video::Order),
    /// Nothing tells, or nothing is reordered.
    Untold,
}

impl DecodeTimes {
    pub fn new(codec: &Codec, clock_rate: u32) -> DecodeTimes {
        let (order, step) = match codec {
            Codec::H264 => (Order::H264(Box::default()), 2),
            Codec::H265 => (Order::H265(Box::default()), 1),
            Codec::Mpeg4Video => (Order::Mpeg4Video, 1),
            Codec::MpegVideo => (Order::MpegVideo(mpeg_video::Order::default()), 1),
            _ => (Order::Untold, 1),
        };
        DecodeTimes {
            order,
            shown: Shown::new(step),
            largest: SmallVec::new(),
            reorder: 0,
            told: None,
            seen: None,
            last: None,
            start_step: (i64::from(clock_rate) / STARTS_PER_SECOND).max(1),
        }
    }

    /// Follows a parameter set that is known before the first unit.
    pub fn parameter_set(&mut self, unit: &[u8]) {
        match &mut self.order {
            Order::H264(order) => order.parameter_set(unit),
            Order::H265(order) => order.parameter_set(unit),
            Order::Mpeg4Video | Order::MpegVideo(_) | Order::Untold => {}
        }
    }

    /// The decode time of the next unit, in the ticks of `pts`. After `pts` only where nothing announced that a picture
    /// would be shown before its predecessor: then the unit must be shown at its decode time.
    pub fn next(&mut self, pts: i64, random_access: bool, parts: &Parts) -> i64 {
        let needed = self.needed(parts);
        if random_access {
            self.reorder = self.seen.unwrap_or(self.reorder);
            self.seen = Some(0);
        }
        self.follow_told();
        self.need(needed);
        let at = self.largest.partition_point(|time| *time > pts);
        if self.largest.len() <= REORDERED_PICTURES_MAX {
            self.largest.insert(at, pts);
        } else if at < self.largest.len() {
            self.largest.pop();
            self.largest.insert(at, pts);
        }
        let dts = match self.largest.get(self.reorder) {
            Some(dts) => *dts,
            None => {
                let missing = (self.reorder + 1 - self.largest.len()) as i64;
                let first = self.largest.last().copied().unwrap_or(pts);
                first.saturating_sub(missing.saturating_mul(self.start_step))
            }
        };
        let dts = match (dts.min(pts), self.last) {
            // Distinct where there is room: some muxers want rising decode times.
            (dts, Some(last)) if dts <= last => last.saturating_add(1).min(pts.max(last)),
            (dts, _) => dts,
        };
        if dts > pts {
            self.need(at.max(self.reorder + 1));
        }
        self.last = Some(dts);
        dts
    }

    /// Takes over a decode time that the protocol told, as what it must be: never before the last one.
    pub fn follow(&mut self, dts: i64) -> i64 {
        let dts = self.last.map_or(dts, |last| dts.max(last));
        self.last = Some(dts);
        dts
    }

    fn need(&mut self, needed: usize) {
        let needed = needed.min(REORDERED_PICTURES_MAX);
        self.reorder = self.reorder.max(needed);
        self.seen = self.seen.map(|seen| seen.max(needed));
    }

    /// What the parameter set allows.
    fn allowed(&self) -> Option<u8> {
        match &self.order {
            Order::H264(order) => order.reorder_max(),
            Order::H265(order) => order.reorder_max(),
            Order::Mpeg4Video | Order::MpegVideo(_) | Order::Untold => None,
        }
    }

    fn follow_told(&mut self) {
        let told = self.allowed();
        if told != self.told {
            self.told = told;
            self.reorder = self.reorder.max(told.map_or(0, usize::from)).min(REORDERED_PICTURES_MAX);
        }
    }

    /// The least R that the unit shows to be needed.
    fn needed(&mut self, parts: &Parts) -> usize {
        let place = match &mut self.order {
            Order::H264(order) => place(parts, |unit| {
                order.parameter_set(unit);
                order.picture(unit)
            }),
            Order::H265(order) => place(parts, |unit| {
                order.parameter_set(unit);
                order.picture(unit)
            }),
            Order::Mpeg4Video => {
                return usize::from(parts.iter().any(|frame| mpeg4_video::is_bidirectional(frame)));
            }
            Order::MpegVideo(order) => place(parts, |frame| order.picture(frame)),
            Order::Untold => return 0,
        };
        let needed = place.map_or(0, |(count, restarts)| self.shown.needed(count, restarts));
        // A set that allows none is believed, whatever the counts: some encoders' rise by more than one picture.
        if self.allowed() == Some(0) { 0 } else { needed }
    }
}

/// The place of the first slice among the parts.
fn place(parts: &Parts, mut of: impl FnMut(&Bytes) -> Option<(i32, bool)>) -> Option<(i32, bool)> {
    parts.iter().find_map(&mut of)
}

/// Which picture order counts came, and up to which one none is missing.
#[derive(Clone, Debug)]
struct Shown {
    /// Counts that came since the last restart, the largest first.
    largest: SmallVec<[i64; REORDERED_PICTURES_MAX + 1]>,
    /// The next count if none is skipped.
    next: i64,
    /// Counts from one picture to the next: 2 where fields are counted, for encoders that count so.
    step: i64,
    /// A picture was shown before one that came earlier.
    reordered: bool,
}

impl Shown {
    fn new(step: i64) -> Shown {
        Shown { largest: SmallVec::new(), next: 0, step, reordered: false }
    }

    /// The pictures that came already, and are shown after this one or after one that is still missing.
    fn needed(&mut self, count: i32, restarts: bool) -> usize {
        let count = i64::from(count);
        if restarts || self.largest.is_empty() {
            self.largest.clear();
            self.largest.push(count);
            self.next = count + self.step;
            return 0;
        }
        let at = self.largest.partition_point(|shown| *shown > count);
        match at {
            0 => self.anchor(count),
            _ => self.reordered = true,
        }
        let around =
            [at.checked_sub(1), Some(at)].into_iter().flatten().filter_map(|at| self.largest.get(at));
        let nearest = around.map(|shown| (shown - count).abs()).filter(|distance| *distance > 0).min();
        self.step = self.step.min(nearest.unwrap_or(self.step));
        self.largest.insert(at, count);
        self.largest.truncate(REORDERED_PICTURES_MAX);
        if count > self.next {
            return at + 1;
        }
        if count == self.next || at == 0 {
            self.next = count + self.step;
            while self.largest.contains(&self.next) {
                self.next += self.step;
            }
        }
        at
    }

    /// A picture shown after all that came: what is missing before the last of those will not come any more.
    fn anchor(&mut self, count: i64) {
        let Some(&last) = self.largest.first() else { return };
        // An encoder without reordering whose counts rise by more than expected.
        if !self.reordered && self.next < last {
            self.step = (count - last).max(1);
        }
        self.next = self.next.max(last + self.step);
    }
}
