//! The muxer: tracks in, answers to requests out.
//!
//! The units of the first segment wait in full (as slices of what the network brought), until its end tells how long
//! segments and parts are to be; then they pass through the renditions as all later ones do.

use super::pace::{Pace, target};
use super::playlist::{self, Context, Report};
use super::rendition::{Anchor, Rendition};
use super::request::{Directives, Request};
use super::response::{Body, Cacheability, ContentType, Position, Response};
use super::selection::Selection;
use super::stored::Stored;
use super::text::{Names, Text};
use super::{Config, Error, Variant};
use crate::codec::Configuration;
use crate::limits::{HLS_FIRST_SEGMENT_SECONDS_MAX, HLS_FIRST_SEGMENT_UNITS_MAX, HLS_STREAM_SECONDS_MAX};
use crate::track::{Elementary, Skipped};
use crate::unit::{AccessUnit, MediaTime};
use std::sync::Arc;
use std::time::Duration;

/// A unit lasts this long if nothing is known, in seconds.
const FRAME_SECONDS_UNKNOWN: f64 = 1.0 / 30.0;
/// Segments beyond the last that a player may wait for (section 6.2.5.2).
const AHEAD_SEGMENTS_MAX: u64 = 2;

/// What a unit has brought about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Playlists have changed: whoever waits is to be looked at ([`Muxer::reached`]).
    pub changed: bool,
    /// A segment is complete.
    pub segment: bool,
}

/// Makes segments of units and answers requests.
pub struct Muxer {
    config: Config,
    prefix: u64,
    tracks: Vec<Elementary>,
    selection: Selection,
    /// Units of the first segment, with the wall clock's time; unused later.
    first: Vec<(Duration, usize, AccessUnit)>,
    first_bytes: usize,
    /// Empty until the first segment is complete.
    renditions: Vec<Rendition>,
    /// What most units of the first rendition's leading track last.
    /// Pictures per second in the first segment.
    frame_rate: f64,
    anchor: Anchor,
    multivariant: Option<(u64, Text)>,
    /// Media playlist and its delta update of each rendition, with the version they are of.
    playlists: Vec<[Option<(u64, Text)>; 2]>,
    ended: bool,
}

impl Muxer {
    /// A muxer of the tracks HLS can carry; the others are returned with the reason. `seed` gives the names of its files
    /// their prefix: it must differ from those of all muxers whose files may still be in a cache.
    ///
    /// Errors: [`Error::Unsupported`] if no track can be carried.
    pub fn new(config: Config, tracks: &[Elementary], seed: u64) -> Result<(Muxer, Vec<Skipped>), Error> {
        let selection = Selection::new(config.variant, tracks)?;
        let skipped = selection.skipped.clone();
        let config = Config {
            segment_count: config.segment_count.max(3),
            segment_duration: config.segment_duration.max(Duration::from_millis(100)),
            part_duration: config.part_duration.max(Duration::from_millis(20)).min(config.segment_duration),
            ..config
        };
        let muxer = Muxer {
            config,
            prefix: seed & 0xFFFF_FFFF_FFFF,
            tracks: tracks.to_vec(),
            selection,
            first: Vec::new(),
            first_bytes: 0,
            renditions: Vec::new(),
            frame_rate: 1.0 / FRAME_SECONDS_UNKNOWN,
            anchor: Anchor::default(),
            multivariant: None,
            playlists: Vec::new(),
            ended: false,
        };
        Ok((muxer, skipped))
    }

    /// The tracks that are not muxed; after the first segment with those that were silent until then.
    pub fn skipped(&self) -> &[Skipped] {
        &self.selection.skipped
    }

    /// Whether the multivariant playlist can be served.
    pub fn is_playable(&self) -> bool {
        !self.renditions.is_empty() && self.renditions.iter().all(|rendition| rendition.window.is_playable())
    }

    /// Takes a unit of a track. `now` is the wall clock since the UNIX epoch: of the unit's arrival, or of the call for
    /// units that waited before.
    ///
    /// Errors: [`Error::Limit`] for a unit larger than a segment may be, or at a time no stream reaches, which is dropped.
    pub fn unit(&mut self, now: Duration, track: usize, unit: &AccessUnit) -> Result<Progress, Error> {
        if unit.dts.in_clock(1).unsigned_abs() > HLS_STREAM_SECONDS_MAX {
            return Err(Error::Limit { what: "seconds of a stream", max: HLS_STREAM_SECONDS_MAX as usize });
        }
        if !self.selection.has(track) || self.ended {
            return Ok(Progress::default());
        }
        let before = self.counts();
        if self.renditions.is_empty() {
            self.wait(now, track, unit)?;
        } else {
            self.pass(Some(now), track, unit)?;
        }
        Ok(self.progress(before))
    }

    /// The publisher went and another came with the same tracks: what comes next begins a discontinuity.
    pub fn discontinuity(&mut self) {
        self.first.clear();
        self.first_bytes = 0;
        self.renditions.iter_mut().for_each(Rendition::interrupt);
    }

    /// Nothing will come: the playlists end.
    pub fn finish(&mut self) -> Result<Progress, Error> {
        let before = self.counts();
        if self.renditions.is_empty() && !self.first.is_empty() {
            self.start()?;
        }
        self.ended = true;
        for rendition in &mut self.renditions {
            rendition.finish(self.anchor)?;
        }
        Ok(self.progress(before))
    }

    /// Answers a request; `query` goes behind each URI of a playlist, without `?`, if it is not empty.
    pub fn respond(&mut self, request: &Request, query: &str) -> Response {
        match *request {
            Request::Multivariant => self.respond_multivariant(query),
            Request::Media { prefix, rendition, directives } => match self.index(prefix, rendition) {
                Some(index) => self.respond_media(index, directives, query),
                None => Response::NotFound,
            },
            Request::Init { prefix, rendition, version } => {
                self.respond_file(prefix, rendition, |rendition| {
                    rendition.init(version).map(|bytes| bytes.clone().into())
                })
            }
            Request::Segment { prefix, rendition, msn } => {
                self.respond_file(prefix, rendition, |rendition| {
                    rendition.window.segment(msn).map(|segment| segment.body.clone())
                })
            }
            Request::Part { prefix, rendition, part } => self.respond_part(prefix, rendition, part),
        }
    }

    /// What a folder of files must hold to be played; `None` while nothing can be.
    pub fn stored(&self) -> Option<Stored> {
        self.is_playable().then(|| Stored::of(self.config.variant, &self.renditions, self.frame_rate))
    }

    /// Whether a request that was told to wait can be answered now.
    pub fn reached(&self, position: &Position) -> bool {
        let Some(rendition) = self.renditions.get(usize::from(position.rendition)) else {
            return self.ended;
        };
        let window = &rendition.window;
        if window.ended {
            return true;
        }
        if !window.is_playable() {
            return false;
        }
        let open = &window.open;
        match position.part {
            _ if position.msn > open.msn => false,
            None => position.msn < open.msn,
            Some(part) if position.msn == open.msn => part < open.parts.len() as u64,
            // A part beyond the last of its segment stands for the first of the next.
            Some(part) if position.msn + 1 == open.msn && open.parts.is_empty() => {
                window.segment(position.msn).is_none_or(|segment| part < segment.parts.len() as u64)
            }
            Some(_) => true,
        }
    }

    fn counts(&self) -> (u64, u64) {
        self.renditions.iter().fold((0, 0), |(versions, segments), rendition| {
            (versions + rendition.window.version, segments + rendition.window.open.msn)
        })
    }

    fn progress(&self, before: (u64, u64)) -> Progress {
        let after = self.counts();
        Progress { changed: after.0 != before.0, segment: after.1 != before.1 }
    }

    /// Keeps a unit of the first segment; starts when that ends with it.
    fn wait(&mut self, now: Duration, track: usize, unit: &AccessUnit) -> Result<(), Error> {
        if unit.bytes() > self.config.segment_bytes_max {
            return Err(Error::Limit { what: "bytes of a unit", max: self.config.segment_bytes_max });
        }
        let leading = self.selection.leading();
        let begun = self.first.iter().find(|(_, index, _)| Some(*index) == leading);
        if Some(track) == leading && begun.is_none() && !unit.random_access {
            return Ok(());
        }
        let reference = begun.or(self.first.first());
        let length = reference.map_or(0.0, |(_, _, first)| unit.dts.seconds_since(first.dts));
        let leads = Some(track) == leading && begun.is_some();
        let ends = leads && unit.random_access && length >= self.config.segment_duration.as_secs_f64();
        let longest =
            f64::from(HLS_FIRST_SEGMENT_SECONDS_MAX).max(self.config.segment_duration.as_secs_f64() * 2.0);
        let full = self.first_bytes + unit.bytes() > self.config.segment_bytes_max
            || self.first.len() >= HLS_FIRST_SEGMENT_UNITS_MAX;
        if length < 0.0 && leads {
            // The source went back before anything was served.
            self.discontinuity();
        }
        self.first_bytes += unit.bytes();
        self.first.push((now, track, unit.clone()));
        if ends || length >= longest || full { self.start() } else { Ok(()) }
    }

    /// Decides how long segments and parts are, and passes on what waited.
    fn start(&mut self) -> Result<(), Error> {
        for track in (0..self.tracks.len()).filter(|&track| self.selection.has(track)).collect::<Vec<_>>() {
            let mut units = self.first.iter().filter(|(_, index, _)| *index == track).peekable();
            let silent = units.peek().is_none();
            if silent || self.configuration(track).is_none() {
                self.selection.leave_out(track);
            }
        }
        let Some(leading) = self.selection.leading() else {
            // Nothing of it can be decoded: wait for what can.
            self.selection = Selection::new(self.config.variant, &self.tracks)?;
            self.discontinuity();
            return Ok(());
        };
        self.frame_rate = self.frame_rate(leading);
        let length = self.first_segment_seconds(leading);
        let target = target(&self.config, length);
        let groups = self.selection.renditions();
        for (index, group) in (0u8..).zip(&groups) {
            let configurations = group
                .iter()
                .filter_map(|&track| Some((track, self.configuration(track)?)))
                .collect::<Vec<_>>();
            let Some((leading, configuration)) = configurations.first() else { continue };
            let frame_seconds = self.frame_seconds(*leading);
            let timescale = crate::mp4::timescale(configuration);
            // Renditions of sound are cut about where the pictures are.
            let wanted = self.config.segment_duration.as_secs_f64();
            let segment_seconds = if index == 0 { wanted } else { wanted.max(length) };
            let pace = Pace::new(&self.config, target, segment_seconds, timescale, frame_seconds);
            let extension = if self.config.variant == Variant::MpegTs { "ts" } else { "mp4" };
            let names = Names { prefix: self.prefix, rendition: index, extension };
            let count = self.config.segment_count;
            let rendition =
                Rendition::new(self.config.variant, names, &configurations, pace, count, frame_seconds)?;
            self.renditions.push(rendition);
        }
        self.playlists = vec![[None, None]; self.renditions.len()];
        self.replay(leading)
    }

    /// Passes on what waited. Its last unit tells where the wall clock is; those before it may have waited elsewhere.
    fn replay(&mut self, leading: usize) -> Result<(), Error> {
        self.first_bytes = 0;
        let first = std::mem::take(&mut self.first);
        let mut of_leading = first.iter().filter(|(_, track, _)| *track == leading);
        let Some((_, _, begin)) = of_leading.next() else { return Ok(()) };
        let (now, _, end) = of_leading.next_back().or(first.last()).unwrap_or(&first[0]);
        let passed = end.dts.seconds_since(begin.dts).max(0.0);
        self.anchor.0 = now.as_micros() as i64 - (passed * 1e6) as i64;
        // The leading track first: its first unit is the time line's zero, for all renditions.
        let (head, rest): (Vec<_>, Vec<_>) = {
            let at = first.iter().position(|(_, track, _)| *track == leading).unwrap_or_default();
            let mut first = first;
            let head = first.remove(at);
            (vec![head], first)
        };
        for (_, track, unit) in head.into_iter().chain(rest) {
            self.pass(None, track, &unit)?;
        }
        Ok(())
    }

    fn pass(&mut self, now: Option<Duration>, track: usize, unit: &AccessUnit) -> Result<(), Error> {
        let Some(index) = self.renditions.iter().position(|rendition| rendition.has(track)) else {
            return Ok(());
        };
        if let Some(shift) = self.renditions[index].unit(track, unit, now, &mut self.anchor)? {
            for (other, rendition) in self.renditions.iter_mut().enumerate() {
                if other != index {
                    rendition.join(shift);
                }
            }
        }
        Ok(())
    }

    /// What is known of a track's decoder: from its first unit that says it, else from the announcement.
    fn configuration(&self, track: usize) -> Option<Arc<Configuration>> {
        let units = self.first.iter().filter(|(_, index, _)| *index == track);
        units
            .map(|(_, _, unit)| unit.configuration.clone())
            .find(Option::is_some)
            .flatten()
            .or_else(|| self.tracks.get(track)?.configuration.clone())
    }

    /// The median of what a track's units last.
    fn frame_seconds(&self, track: usize) -> f64 {
        let steps = self.steps(track);
        steps.get(steps.len() / 2).copied().unwrap_or(FRAME_SECONDS_UNKNOWN).clamp(0.001, 10.0)
    }

    /// Pictures per second: the mean of what most units last, since RTMP's milliseconds make 33 and 34 of 33.3.
    fn frame_rate(&self, track: usize) -> f64 {
        let median = self.frame_seconds(track);
        let mut steps = self.steps(track);
        steps.retain(|step| (step - median).abs() < median / 2.0);
        if steps.is_empty() { 1.0 / median } else { steps.len() as f64 / steps.iter().sum::<f64>() }
    }

    /// What the units of a track in the first segment last, in ascending order.
    fn steps(&self, track: usize) -> Vec<f64> {
        let times = self.first.iter().filter(|(_, index, _)| *index == track).map(|(_, _, unit)| unit.dts);
        let times = times.collect::<Vec<MediaTime>>();
        let mut steps = times.windows(2).map(|pair| pair[1].seconds_since(pair[0])).collect::<Vec<_>>();
        steps.retain(|&step| step > 0.0);
        steps.sort_by(f64::total_cmp);
        steps
    }

    /// What the first segment lasts: to the last unit of the leading track.
    fn first_segment_seconds(&self, leading: usize) -> f64 {
        let mut times =
            self.first.iter().filter(|(_, index, _)| *index == leading).map(|(_, _, unit)| unit.dts);
        let Some(first) = times.next() else { return 0.0 };
        times.next_back().map_or(0.0, |last| last.seconds_since(first)).max(0.0)
    }

    fn index(&self, prefix: u64, rendition: u8) -> Option<usize> {
        let index = usize::from(rendition);
        (prefix == self.prefix && index < self.renditions.len()).then_some(index)
    }

    fn respond_file(
        &self,
        prefix: u64,
        rendition: u8,
        find: impl FnOnce(&Rendition) -> Option<Body>,
    ) -> Response {
        let rendition = self.index(prefix, rendition).map(|index| &self.renditions[index]);
        let Some((rendition, body)) = rendition.and_then(|rendition| Some((rendition, find(rendition)?)))
        else {
            return Response::NotFound;
        };
        let content_type = match self.config.variant {
            Variant::MpegTs => ContentType::TransportStream,
            _ if rendition.video => ContentType::VideoMp4,
            _ => ContentType::AudioMp4,
        };
        Response::Ready { body, content_type, cacheability: Cacheability::Immutable }
    }

    fn respond_part(&self, prefix: u64, rendition: u8, part: u64) -> Response {
        let Some(index) = self.index(prefix, rendition) else { return Response::NotFound };
        let window = &self.renditions[index].window;
        if window.part_target_ms.is_none() {
            return Response::NotFound;
        }
        if part == window.next_part && !window.ended {
            return Response::Wait(Position {
                rendition,
                msn: window.open.msn,
                part: Some(window.open.parts.len() as u64),
            });
        }
        self.respond_file(prefix, rendition, |rendition| {
            rendition.window.part(part).map(|part| part.body.clone())
        })
    }

    fn respond_multivariant(&mut self, query: &str) -> Response {
        if let Some(waiting) = self.first_unplayable() {
            return waiting;
        }
        // Measured figures change with segments, not with parts.
        let version = self.counts().1;
        if self.multivariant.as_ref().is_none_or(|(known, _)| *known != version) {
            let text = super::multivariant::write(self.config.variant, &self.renditions, self.frame_rate);
            self.multivariant = Some((version, text));
        }
        let seconds = self.renditions.first().map_or(1, |rendition| rendition.window.target);
        match &self.multivariant {
            Some((_, text)) => playlist_response(text, query, Cacheability::Seconds(seconds)),
            None => Response::NotFound,
        }
    }

    /// The answer while nothing can be played.
    fn first_unplayable(&self) -> Option<Response> {
        if self.ended && self.renditions.is_empty() {
            return Some(Response::NotFound);
        }
        let index = self.renditions.iter().position(|rendition| !rendition.window.is_playable());
        let index = index.or(self.renditions.is_empty().then_some(0))?;
        let msn = self.renditions.get(index).map_or(0, |rendition| rendition.window.open.msn);
        Some(Response::Wait(Position { rendition: index as u8, msn, part: None }))
    }

    fn respond_media(&mut self, index: usize, directives: Directives, query: &str) -> Response {
        if let Some(waiting) = self.first_unplayable() {
            return waiting;
        }
        let window = &self.renditions[index].window;
        if let (Some(msn), false) = (directives.msn, window.ended) {
            let part = directives.part.filter(|_| window.part_target_ms.is_some());
            let position = Position { rendition: index as u8, msn, part };
            if is_too_far(window.last(), window.part_target_ms, &position) {
                return Response::BadRequest;
            }
            if !self.reached(&position) {
                return Response::Wait(position);
            }
        }
        let window = &self.renditions[index].window;
        let cacheability = match (directives.msn, window.part_target_ms) {
            // The answer to a blocking request is always the same, or newer.
            (Some(_), _) => Cacheability::Seconds(window.target * 6),
            (None, Some(_)) => Cacheability::NoStore,
            (None, None) => Cacheability::Seconds((window.target / 2).max(1)),
        };
        let delta = playlist::can_skip(window, &directives);
        self.refresh(index, delta);
        match &self.playlists[index][usize::from(delta)] {
            Some((_, text)) => playlist_response(text, query, cacheability),
            None => Response::NotFound,
        }
    }

    /// Builds the text of a playlist, unless nothing has changed since it was built.
    fn refresh(&mut self, index: usize, delta: bool) {
        // Low latency reports the other renditions' ends.
        let version = match self.config.variant {
            Variant::LowLatency => self.counts().0,
            _ => self.renditions[index].window.version,
        };
        let slot = &mut self.playlists[index][usize::from(delta)];
        if slot.as_ref().is_some_and(|(known, _)| *known == version) {
            return;
        }
        let others = self.renditions.iter().enumerate().filter(|(other, _)| *other != index);
        let others = others
            .map(|(_, other)| Report { names: other.names, last: other.window.last() })
            .collect::<Vec<_>>();
        let rendition = &self.renditions[index];
        let variant = self.config.variant;
        let context = Context { variant, names: rendition.names, others: &others, served: true };
        *slot = Some((version, playlist::write(&rendition.window, &context, delta)));
    }
}

/// Whether a playlist is asked for that is further ahead than a player may wait for: more than two segments, or more
/// parts of the last segment than the advance part limit.
fn is_too_far(last: Option<(u64, Option<u64>)>, part_target_ms: Option<u32>, position: &Position) -> bool {
    let Some((msn, part)) = last else { return position.msn > AHEAD_SEGMENTS_MAX };
    if position.msn > msn.saturating_add(AHEAD_SEGMENTS_MAX) {
        return true;
    }
    let (Some(asked), Some(target)) = (position.part, part_target_ms) else { return false };
    let limit = if target < 1000 { 3000u64.div_ceil(u64::from(target)) } else { 3 };
    let newest = if position.msn == msn { part.unwrap_or_default() } else { 0 };
    position.msn >= msn && asked > newest + limit
}

fn playlist_response(text: &Text, query: &str, cacheability: Cacheability) -> Response {
    Response::Ready {
        body: Body::from(text.with_query(query)),
        content_type: ContentType::Playlist,
        cacheability,
    }
}
