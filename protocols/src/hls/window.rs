//! What one rendition has to offer at present: closed segments, the open one with its parts, initialization segments.

use super::response::Body;
use crate::limits::HLS_SEGMENTS_RETIRED;
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;

/// A partial segment; with whole segments only, the one part of each.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Counts from the muxer's beginning.
    pub(super) number: u64,
    /// In ticks of the rendition's clock.
    pub(super) duration: i64,
    /// Has a unit that decoding can start at.
    pub(super) independent: bool,
    pub(super) body: Body,
}

/// A segment; open until [`Segment::duration`] is final.
#[derive(Clone, Debug, Default)]
pub(super) struct Segment {
    /// Media sequence number.
    pub(super) msn: u64,
    /// In ticks of the rendition's clock.
    pub(super) duration: i64,
    /// Wall-clock time of its beginning, since the UNIX epoch.
    pub(super) wall: Duration,
    /// Follows a discontinuity.
    pub(super) discontinuity: bool,
    /// Version of the initialization segment.
    pub(super) init: u32,
    pub(super) parts: Vec<Part>,
    /// Of all parts; empty while open.
    pub(super) body: Body,
}

/// Segments of one rendition.
#[derive(Debug)]
pub(super) struct Window {
    /// The rendition's clock, in Hz.
    pub(super) timescale: u32,
    /// Target duration in seconds.
    pub(super) target: u32,
    /// Part target, in milliseconds, in low latency.
    pub(super) part_target_ms: Option<u32>,
    /// Segments to list, at least.
    count: usize,
    /// Closed segments, oldest first. The first `retired` are not in the playlist any more.
    segments: VecDeque<Segment>,
    retired: usize,
    pub(super) open: Segment,
    pub(super) next_part: u64,
    /// Discontinuities before the first listed segment.
    pub(super) discontinuity_sequence: u64,
    /// Versions in use, oldest first.
    inits: VecDeque<(u32, Bytes)>,
    /// All segments since the beginning start at a random access point.
    pub(super) independent: bool,
    /// No segment will come.
    pub(super) ended: bool,
    /// Counts changes, for what is made of it.
    pub(super) version: u64,
}

impl Window {
    pub(super) fn new(timescale: u32, target: u32, part_target_ms: Option<u32>, count: usize) -> Window {
        Window {
            timescale,
            target,
            part_target_ms,
            count,
            segments: VecDeque::new(),
            retired: 0,
            open: Segment::default(),
            next_part: 0,
            discontinuity_sequence: 0,
            inits: VecDeque::new(),
            independent: true,
            ended: false,
            version: 0,
        }
    }

    /// The closed segments of the playlist.
    pub(super) fn listed(&self) -> impl DoubleEndedIterator<Item = &Segment> + ExactSizeIterator {
        self.segments.range(self.retired..)
    }

    /// All closed segments, also those that have left the playlist.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter()
    }

    /// Versions and initialization segments in use.
    pub(super) fn inits(&self) -> impl Iterator<Item = &(u32, Bytes)> {
        self.inits.iter()
    }

    /// Whether a playlist can be served.
    pub(super) fn is_playable(&self) -> bool {
        let needed = if self.part_target_ms.is_some() { 1 } else { 2 };
        self.ended || self.listed().len() >= needed
    }

    /// Files below this number are parts of segments that are still kept.
    pub(super) fn part(&self, number: u64) -> Option<&Part> {
        let found = |segment: &'_ Segment| {
            let first = segment.parts.first()?.number;
            usize::try_from(number.checked_sub(first)?).ok().filter(|&index| index < segment.parts.len())
        };
        self.segments
            .iter()
            .chain([&self.open])
            .find_map(|segment| found(segment).map(|index| &segment.parts[index]))
    }

    /// A closed segment.
    pub(super) fn segment(&self, msn: u64) -> Option<&Segment> {
        let first = self.segments.front()?.msn;
        self.segments.get(usize::try_from(msn.checked_sub(first)?).ok()?)
    }

    pub(super) fn init(&self, version: u32) -> Option<&Bytes> {
        self.inits.iter().find(|(known, _)| *known == version).map(|(_, bytes)| bytes)
    }

    /// The newest segment and part of the playlist; `None` while it has none.
    pub(super) fn last(&self) -> Option<(u64, Option<u64>)> {
        if !self.open.parts.is_empty() && self.part_target_ms.is_some() {
            return Some((self.open.msn, Some(self.open.parts.len() as u64 - 1)));
        }
        let last = self.segments.back()?;
        Some((last.msn, (self.part_target_ms.is_some()).then(|| last.parts.len() as u64 - 1)))
    }

    /// Makes an initialization segment the one of the open segment and those after it.
    pub(super) fn set_init(&mut self, bytes: Bytes) {
        let version = self.inits.back().map_or(0, |(last, _)| last.wrapping_add(1));
        self.inits.push_back((version, bytes));
        self.open.init = version;
        self.drop_inits();
    }

    pub(super) fn push_part(&mut self, duration: i64, independent: bool, body: Body) {
        let number = self.next_part;
        self.next_part += 1;
        self.open.parts.push(Part { number, duration, independent, body });
        // Without low latency nobody sees a part.
        self.version += u64::from(self.part_target_ms.is_some());
    }

    /// Closes the open segment, which has at least one part, and opens the next; drops what the playlist can spare.
    pub(super) fn close(&mut self, wall: Duration, discontinuity: bool) {
        let next = Segment {
            msn: self.open.msn + 1,
            wall,
            discontinuity,
            init: self.open.init,
            ..Segment::default()
        };
        let mut closed = std::mem::replace(&mut self.open, next);
        closed.duration = closed.parts.iter().map(|part| part.duration).sum();
        let pieces =
            closed.parts.iter().flat_map(|part| part.body.pieces.iter().cloned()).collect::<Vec<_>>();
        closed.body = pieces.into();
        self.segments.push_back(closed);
        self.retire();
        self.version += 1;
    }

    fn retire(&mut self) {
        // Section 6.2.2: no segment goes while the rest is shorter than three target durations.
        let least = i64::from(self.target) * 3 * i64::from(self.timescale);
        let mut listed = self.listed().map(|segment| segment.duration).sum::<i64>();
        while self.listed().len() > self.count {
            let first = &self.segments[self.retired];
            listed -= first.duration;
            if listed < least {
                break;
            }
            self.discontinuity_sequence += u64::from(first.discontinuity);
            self.retired += 1;
        }
        while self.retired > HLS_SEGMENTS_RETIRED {
            self.segments.pop_front();
            self.retired -= 1;
        }
        self.drop_inits();
    }

    fn drop_inits(&mut self) {
        let oldest = self.segments.front().map_or(self.open.init, |segment| segment.init);
        while self.inits.front().is_some_and(|(version, _)| *version != oldest) && self.inits.len() > 1 {
            self.inits.pop_front();
        }
    }
}
