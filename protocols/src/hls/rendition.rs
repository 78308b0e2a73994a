//! One rendition: units in, parts and segments out.
//!
//! Its clock is that of its leading track, the video if there is one. All times here are on that clock and on the
//! rendition's own time line, which begins with 0 and has no jumps: `shift` is what is added to the source's times.

use super::feed::Feed;
use super::pace::Pace;
use super::response::Body;
use super::text::Names;
use super::transport::Transport;
use super::window::Window;
use super::{Error, Variant};
use crate::codec::Configuration;
use crate::limits::{HLS_LAG_SECONDS, HLS_STRAY_UNITS_MAX};
use crate::mp4::{self, Run};
use crate::unit::{AccessUnit, MediaTime};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// Wall-clock time of the time line's zero, in microseconds since the UNIX epoch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Anchor(pub(super) i64);

/// How far the wall clock may go from the time line before the dates of segments follow it, in microseconds.
const DRIFT_MICROS_MAX: u64 = 1_000_000;

/// A discontinuity that is to come.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Junction {
    None,
    /// With the next random access point of the leading track, whatever its time; all before it is dropped.
    Here,
    /// With the next random access point that this shift, which another rendition found, fits.
    Shift(MediaTime),
}

#[derive(Debug)]
enum Form {
    /// MP4 fragments. The first feed is the leading track's.
    Fragments(Vec<Feed>),
    Transport(Box<Transport>),
}

/// One rendition.
#[derive(Debug)]
pub(super) struct Rendition {
    pub(super) names: Names,
    pub(super) window: Window,
    pub(super) video: bool,
    form: Form,
    /// Index of the leading track as the muxer was given it.
    leading: usize,
    pace: Pace,
    timescale: u32,
    shift: MediaTime,
    segment_start: i64,
    part_start: i64,
    /// Decode time of the leading track's last unit, and what it lasts.
    last: i64,
    frame: i64,
    /// Number of the last fragment.
    sequence: u32,
    /// Bytes of the open segment's parts.
    segment_bytes: usize,
    junction: Junction,
    started: bool,
    strays: u32,
    /// Configurations that tracks other than the leading one take at the junction, by feed.
    reconfigured: Vec<(usize, Arc<Configuration>)>,
}

impl Rendition {
    /// `configurations` has the tracks' indices, the leading one first; `frame_seconds` is what most of its units last.
    pub(super) fn new(
        variant: Variant,
        names: Names,
        configurations: &[(usize, Arc<Configuration>)],
        pace: Pace,
        segment_count: usize,
        frame_seconds: f64,
    ) -> Result<Rendition, Error> {
        let (leading, configuration) =
            configurations.first().ok_or(Error::Unsupported { what: "rendition without tracks" })?;
        let timescale = mp4::timescale(configuration);
        let form = if variant == Variant::MpegTs {
            Form::Transport(Box::new(Transport::new(configurations)?))
        } else {
            let feed = |(track, configuration): &(usize, Arc<Configuration>)| {
                Feed::new(*track, Arc::clone(configuration), frame_seconds)
            };
            Form::Fragments(configurations.iter().map(feed).collect())
        };
        Ok(Rendition {
            names,
            window: Window::new(timescale, pace.target, pace.part_target_ms, segment_count),
            video: is_video(configuration),
            form,
            leading: *leading,
            pace,
            timescale,
            shift: MediaTime::new(0, timescale),
            segment_start: 0,
            part_start: 0,
            last: 0,
            frame: ((frame_seconds * f64::from(timescale)) as i64).max(1),
            sequence: 0,
            segment_bytes: 0,
            junction: Junction::Here,
            started: false,
            strays: 0,
            reconfigured: Vec::new(),
        })
    }

    /// The present configurations of the tracks, in the order of the initialization segment.
    pub(super) fn configurations(&self) -> Vec<Arc<Configuration>> {
        match &self.form {
            Form::Fragments(feeds) => feeds.iter().map(|feed| Arc::clone(&feed.configuration)).collect(),
            Form::Transport(transport) => transport.configurations(),
        }
    }

    /// Whether the track is one of this rendition's.
    pub(super) fn has(&self, track: usize) -> bool {
        match &self.form {
            Form::Fragments(feeds) => feeds.iter().any(|feed| feed.track == track),
            Form::Transport(transport) => transport.has(track),
        }
    }

    /// The next random access point begins a discontinuity; all before it is dropped.
    pub(super) fn interrupt(&mut self) {
        self.junction = Junction::Here;
    }

    /// Another rendition has begun a discontinuity.
    pub(super) fn join(&mut self, shift: MediaTime) {
        self.junction = Junction::Shift(shift);
        self.strays = 0;
    }

    /// Takes a unit of one of its tracks. `now` is the wall clock, `None` where it says nothing of this unit. Returns the
    /// new shift if a discontinuity begins, which the other renditions are to join.
    pub(super) fn unit(
        &mut self,
        track: usize,
        unit: &AccessUnit,
        now: Option<Duration>,
        anchor: &mut Anchor,
    ) -> Result<Option<MediaTime>, Error> {
        if track == self.leading { self.lead(unit, now, anchor) } else { self.follow(track, unit, *anchor) }
    }

    /// All that waits becomes a last segment, and the playlist ends.
    pub(super) fn finish(&mut self, anchor: Anchor) -> Result<(), Error> {
        if self.started {
            self.close(anchor)?;
        }
        self.window.ended = true;
        self.window.version += 1;
        Ok(())
    }

    fn lead(
        &mut self,
        unit: &AccessUnit,
        now: Option<Duration>,
        anchor: &mut Anchor,
    ) -> Result<Option<MediaTime>, Error> {
        let own = self.time_of(self.leading, unit);
        let time = own.in_clock(self.timescale);
        let follows = time >= self.last && time - self.last.max(self.part_start) <= self.pace.jump;
        match self.junction {
            Junction::Here if !unit.random_access => return Ok(None),
            Junction::Here => return self.begin(unit, None, now, anchor).map(Some),
            Junction::Shift(shift) if unit.random_access => {
                let shifted =
                    unit.dts.in_clock(self.timescale).saturating_add(shift.in_clock(self.timescale));
                // A little before the end too: the rendition that began may have ended earlier than this one.
                let fits = shifted.abs_diff(self.last) <= self.pace.jump.unsigned_abs();
                if !fits && self.strays < HLS_STRAY_UNITS_MAX {
                    self.strays += 1;
                    return Ok(None);
                }
                // The others have begun theirs already, so none is told.
                return self.begin(unit, fits.then_some(shift), now, anchor).map(|_| None);
            }
            Junction::Shift(_) if !follows => {
                self.strays += 1;
                return Ok(None);
            }
            _ => {}
        }
        let current = self.configuration(self.leading);
        let changed =
            unit.configuration.as_ref().is_some_and(|new| current.is_some_and(|old| !same(old, new)));
        if changed || !follows {
            return self.begin(unit, None, now, anchor).map(Some);
        }
        if !self.push(self.leading, own.ticks, unit)? {
            return Ok(None);
        }
        if time > self.last {
            self.frame = time - self.last;
        }
        self.last = time;
        self.advance(time, *anchor)?;
        self.cut(time, unit.random_access, now, anchor)?;
        self.write_transport(self.leading, unit);
        Ok(None)
    }

    fn follow(
        &mut self,
        track: usize,
        unit: &AccessUnit,
        anchor: Anchor,
    ) -> Result<Option<MediaTime>, Error> {
        if !self.started || self.junction == Junction::Here {
            return Ok(None);
        }
        let current = self.configuration(track);
        if let Some(new) = &unit.configuration
            && current.is_some_and(|old| !same(old, new))
        {
            self.reconfigured.retain(|(other, _)| *other != track);
            self.reconfigured.push((track, Arc::clone(new)));
            self.join(self.shift);
            return Ok(Some(self.shift));
        }
        if self.reconfigured.iter().any(|(other, _)| *other == track) {
            return Ok(None);
        }
        let own = self.time_of(track, unit);
        let time = own.in_clock(self.timescale);
        let progress = self.last.max(self.part_start);
        if own.ticks < 0
            || time > progress.saturating_add(self.pace.jump)
            || !self.push(track, own.ticks, unit)?
        {
            return Ok(None);
        }
        // The leading track is silent: time goes on without it.
        let lag = i64::from(HLS_LAG_SECONDS) * i64::from(self.timescale);
        let without = time - lag;
        if without > self.last + self.frame && without > self.part_start.saturating_add(self.pace.part_max)
            || without > self.segment_start + self.pace.segment_max
        {
            if let Form::Fragments(feeds) = &mut self.form {
                let end = MediaTime::new(without, self.timescale).in_clock(feeds[0].timescale);
                feeds[0].stretch(end);
            }
            self.advance(without, anchor)?;
        }
        self.write_transport(track, unit);
        Ok(None)
    }

    /// Decode time of a unit on its own track's clock.
    fn time_of(&self, track: usize, unit: &AccessUnit) -> MediaTime {
        if let Form::Fragments(feeds) = &self.form
            && let Some(feed) = feeds.iter().find(|feed| feed.track == track)
        {
            return MediaTime::new(feed.time(unit, self.shift), feed.timescale);
        }
        let ticks = unit.dts.in_clock(self.timescale).saturating_add(self.shift.ticks);
        MediaTime::new(ticks, self.timescale)
    }

    fn configuration(&self, track: usize) -> Option<&Arc<Configuration>> {
        match &self.form {
            Form::Fragments(feeds) => {
                feeds.iter().find(|feed| feed.track == track).map(|feed| &feed.configuration)
            }
            Form::Transport(transport) => transport.configuration(track),
        }
    }

    /// Queues the unit; false if it does not fit behind those before it. Transport streams queue nothing.
    fn push(&mut self, track: usize, time: i64, unit: &AccessUnit) -> Result<bool, Error> {
        if unit.bytes() > self.pace.bytes_max {
            return Err(Error::Limit { what: "bytes of a unit", max: self.pace.bytes_max });
        }
        Ok(match &mut self.form {
            Form::Fragments(feeds) => {
                feeds.iter_mut().find(|feed| feed.track == track).is_some_and(|feed| feed.push(time, unit))
            }
            Form::Transport(_) => true,
        })
    }

    fn write_transport(&mut self, track: usize, unit: &AccessUnit) {
        if let Form::Transport(transport) = &mut self.form {
            transport.write(track, unit);
        }
    }

    /// Begins with a unit of the leading track: after what was before it, with a discontinuity. Returns the new shift.
    fn begin(
        &mut self,
        unit: &AccessUnit,
        shift: Option<MediaTime>,
        now: Option<Duration>,
        anchor: &mut Anchor,
    ) -> Result<MediaTime, Error> {
        let mut end = 0;
        let was_started = self.started;
        if was_started {
            end = self.close(*anchor)?;
        }
        let source = unit.dts.in_clock(self.timescale);
        let mut configuration_changed = !was_started;
        let mut next = std::mem::take(&mut self.reconfigured);
        if let Some(new) = &unit.configuration {
            next.push((self.leading, Arc::clone(new)));
        }
        for (track, new) in next {
            if self.configuration(track).is_some_and(|old| !same(old, &new)) {
                configuration_changed = true;
                self.reconfigure(track, &new);
            }
        }
        self.shift = match shift {
            Some(shift) => MediaTime::new(shift.in_clock(self.timescale), self.timescale),
            None => MediaTime::new(end.saturating_sub(source), self.timescale),
        };
        if let Form::Fragments(feeds) = &mut self.form {
            feeds.iter_mut().for_each(Feed::restart);
            if configuration_changed {
                let configurations = feeds.iter().map(|feed| &*feed.configuration).collect::<Vec<_>>();
                let init =
                    mp4::init(&configurations).map_err(|_| Error::Unsupported { what: "configuration" })?;
                self.window.set_init(init);
            }
        }
        if let Form::Transport(transport) = &mut self.form {
            transport.restart()?;
        }
        let start = source.saturating_add(self.shift.ticks).max(0);
        (self.segment_start, self.part_start, self.last) = (start, start, start);
        (self.junction, self.started, self.strays) = (Junction::None, true, 0);
        if let Some(now) = now {
            anchor.0 = micros(now) - self.micros(start);
        }
        self.window.open.wall = self.wall(start, *anchor);
        self.window.open.discontinuity |= was_started;
        self.window.independent &= unit.random_access || !self.video;
        let own = match &self.form {
            Form::Fragments(feeds) => MediaTime::new(start, self.timescale).in_clock(feeds[0].timescale),
            Form::Transport(_) => start,
        };
        self.push(self.leading, own, unit)?;
        self.write_transport(self.leading, unit);
        Ok(self.shift)
    }

    fn reconfigure(&mut self, track: usize, configuration: &Arc<Configuration>) {
        match &mut self.form {
            Form::Fragments(feeds) => {
                let feed = feeds.iter_mut().find(|feed| feed.track == track);
                feed.into_iter().for_each(|feed| feed.reconfigure(Arc::clone(configuration)));
            }
            Form::Transport(transport) => transport.reconfigure(track, configuration),
        }
    }

    /// Ends what was begun, after the last unit of the leading track: its parts, its segment. Returns the time of the end.
    fn close(&mut self, anchor: Anchor) -> Result<i64, Error> {
        let end = (self.last + self.frame).max(self.part_start);
        self.advance(end, anchor)?;
        self.cut_part(end)?;
        self.cut_segment(end, anchor, true);
        if let Form::Fragments(feeds) = &mut self.form {
            // What other tracks had beyond it.
            feeds.iter_mut().for_each(|feed| drop(feed.take(0, i64::MAX)));
        }
        Ok(end)
    }

    /// Cuts what must be cut before `time`: no part and no segment is longer than it may.
    fn advance(&mut self, time: i64, anchor: Anchor) -> Result<(), Error> {
        loop {
            let segment_limit = self.segment_start + self.pace.segment_max;
            let part_limit = self.part_start.saturating_add(self.pace.part_max);
            let limit = segment_limit.min(part_limit);
            if time <= limit {
                return Ok(());
            }
            let ends_segment = limit == segment_limit;
            let earliest = self.part_start + if ends_segment { 1 } else { self.pace.part_min };
            let edge = match &self.form {
                // Audio may have changed its sampling rate; the playlist's clock is that of the beginning.
                Form::Fragments(feeds) if feeds[0].timescale == self.timescale => {
                    feeds[0].edge(earliest, limit)
                }
                _ => None,
            };
            let at = edge.unwrap_or(limit);
            self.cut_part(at)?;
            if ends_segment {
                self.cut_segment(at, anchor, !self.video);
            }
        }
    }

    /// Cuts at `time`, where a unit of the leading track begins, if it is due.
    fn cut(
        &mut self,
        time: i64,
        random_access: bool,
        now: Option<Duration>,
        anchor: &mut Anchor,
    ) -> Result<(), Error> {
        let length = time - self.segment_start;
        let due = random_access && length >= self.pace.segment
            || length + self.frame > self.pace.segment_max
            || self.bytes() >= self.pace.bytes_max;
        if due && length > 0 {
            if let Some(now) = now {
                let measured = micros(now) - self.micros(time);
                if measured.abs_diff(anchor.0) > DRIFT_MICROS_MAX {
                    anchor.0 = measured;
                }
            }
            self.cut_part(time)?;
            self.cut_segment(time, *anchor, random_access || !self.video);
        } else if time - self.part_start >= self.pace.part_min
            && time - self.part_start + self.frame > self.pace.part_max
        {
            self.cut_part(time)?;
        }
        Ok(())
    }

    /// Bytes of the open segment, and of what waits for it.
    fn bytes(&self) -> usize {
        self.segment_bytes
            + match &self.form {
                Form::Fragments(feeds) => feeds.iter().map(|feed| feed.bytes).sum(),
                Form::Transport(transport) => transport.bytes(),
            }
    }

    fn cut_part(&mut self, end: i64) -> Result<(), Error> {
        if end <= self.part_start {
            return Ok(());
        }
        let (independent, body) = match &mut self.form {
            Form::Fragments(feeds) => {
                let end = MediaTime::new(end, self.timescale);
                let mut runs = Vec::with_capacity(feeds.len());
                for (id, feed) in (1..).zip(feeds.iter_mut()) {
                    runs.extend(feed.take(id, end.in_clock(feed.timescale)));
                }
                let leading = runs.first().filter(|run| run.track_id == 1);
                let independent = !self.video
                    || leading.is_some_and(|run| run.samples.iter().any(|sample| sample.random_access));
                if runs.is_empty() {
                    // A pause: the time of a part with nothing in it.
                    let decode_time = u64::try_from(feeds[0].next()).unwrap_or_default();
                    runs.push(Run { track_id: 1, decode_time, samples: Vec::new() });
                }
                self.sequence = self.sequence.wrapping_add(1);
                let mut pieces = Vec::new();
                let starts_segment = self.window.open.parts.is_empty();
                mp4::fragment(self.sequence, starts_segment, runs, &mut pieces)
                    .map_err(|_| Error::Limit { what: "bytes of a part", max: self.pace.bytes_max })?;
                (independent, Body::from(pieces))
            }
            Form::Transport(transport) => (true, Body::from(transport.take())),
        };
        self.segment_bytes += body.bytes;
        self.window.push_part(end - self.part_start, independent, body);
        self.part_start = end;
        Ok(())
    }

    /// Closes the open segment at `time`, where its last part ended; the next begins at a random access point or not.
    fn cut_segment(&mut self, time: i64, anchor: Anchor, independent: bool) {
        if self.window.open.parts.is_empty() {
            return;
        }
        self.window.close(self.wall(time, anchor), false);
        self.window.independent &= independent;
        self.segment_start = time;
        self.segment_bytes = 0;
        if let Form::Transport(transport) = &mut self.form {
            transport.start_segment();
        }
    }

    fn micros(&self, time: i64) -> i64 {
        MediaTime::new(time, self.timescale).in_clock(1_000_000)
    }

    fn wall(&self, time: i64, anchor: Anchor) -> Duration {
        Duration::from_micros(u64::try_from(anchor.0.saturating_add(self.micros(time))).unwrap_or_default())
    }

    /// An initialization segment.
    pub(super) fn init(&self, version: u32) -> Option<&Bytes> {
        self.window.init(version)
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX / 2)
}

fn same(old: &Arc<Configuration>, new: &Arc<Configuration>) -> bool {
    Arc::ptr_eq(old, new) || old == new
}

fn is_video(configuration: &Configuration) -> bool {
    matches!(
        configuration,
        Configuration::H264(_) | Configuration::H265(_) | Configuration::Av1(_) | Configuration::Vp9(_)
    )
}
