//! Writes units as a transport stream of one program: for HTTP, for the segments of HLS, for UDP and SRT.
//!
//! Whole packets are appended to one buffer; payloads are copied once, since every packet cuts them apart. PAT and PMT go
//! before each random access point of video and at least every 100 ms of media time, and so does the clock, if need be in
//! packets of its own. Each unit becomes one PES packet. Tables and clock are spaced in media time: a stream that stands
//! still writes nothing.
//!
//! Times are those of the units, shifted by [`ORIGIN_TICKS`], so that several muxers of one stream agree.

use super::error::Error;
use super::format::Format;
use super::packet::{self, Adaptation, Continuity, Pid};
use super::pes;
use super::psi::{self, Association, Descriptors, MappedStream};
use super::timestamp::{CLOCK_RATE, Timestamp};
use crate::codec::Configuration;
use crate::limits::TRACKS_MAX;
use crate::track::{Elementary, Skipped};
use crate::unit::{AccessUnit, MediaTime};
use bytes::BytesMut;
use smallvec::SmallVec;
use std::sync::Arc;

mod payload;

/// What media time 0 is on the wire, in ticks of [`CLOCK_RATE`]: ten seconds, as Apple's segmenter has it, so that
/// neither the clock nor units before the stream's beginning start with a wrap.
pub const ORIGIN_TICKS: i64 = 10 * CLOCK_RATE as i64;

/// How far the clock is behind the decoding times, in ticks: 300 ms, which is how late the units of one track may come
/// after those of another without missing their time.
const CLOCK_LEAD_TICKS: i64 = 300 * CLOCK_RATE as i64 / 1000;
/// The longest distance of two clock references, in ticks: 90 ms, below the 100 ms of 2.7.2.
const CLOCK_INTERVAL_TICKS: i64 = 90 * CLOCK_RATE as i64 / 1000;
/// A hole in the media longer than this, in ticks, is not filled with clock references.
const CLOCK_FILL_TICKS_MAX: i64 = CLOCK_RATE as i64;
/// The longest distance of two repetitions of the tables, in ticks: 100 ms (ETSI TR 101 290, 5.2.1, allows 500 ms).
const TABLES_INTERVAL_TICKS: i64 = 100 * CLOCK_RATE as i64 / 1000;

const PROGRAM: u16 = 1;
const MAP_PID: Pid = Pid(0x1000);
/// The PID of the first track; those of the others follow it.
const FIRST_PID: u16 = 0x100;

/// A writer of one program; see the module.
#[derive(Debug)]
pub struct Muxer {
    /// By track; `None` for those skipped.
    streams: SmallVec<[Option<Stream>; 4]>,
    /// The track whose PID has the clock.
    clock_track: usize,
    /// Media time of the last clock reference, in ticks.
    clock_ticks: Option<i64>,
    association: Vec<u8>,
    association_continuity: Continuity,
    map: Vec<u8>,
    map_continuity: Continuity,
    /// Media time of the last tables, in ticks; `None` where they are due.
    tables_ticks: Option<i64>,
    /// Headers of the unit that is being written.
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Stream {
    pid: Pid,
    format: Format,
    continuity: Continuity,
    /// The last one known.
    configuration: Option<Arc<Configuration>>,
    /// Whether its next packet begins a discontinuity.
    discontinuity: bool,
}

impl Stream {
    fn adaptation(&mut self, random_access: bool, pcr: Option<Timestamp>) -> Adaptation {
        Adaptation { discontinuity: std::mem::take(&mut self.discontinuity), random_access, pcr }
    }
}

impl Muxer {
    /// A muxer for the tracks that MPEG-TS can carry, and those that it cannot.
    ///
    /// # Errors
    /// None of them can be carried, or there are more than [`TRACKS_MAX`].
    pub fn new(tracks: &[Elementary]) -> Result<(Muxer, Vec<Skipped>), Error> {
        if tracks.len() > TRACKS_MAX {
            return Err(Error::Limit { what: "tracks", max: TRACKS_MAX });
        }
        let mut skipped = Vec::new();
        let mut streams = SmallVec::<[Option<Stream>; 4]>::new();
        for (track, elementary) in tracks.iter().enumerate() {
            streams.push(match Format::for_track(elementary) {
                Ok(format) => Some(Stream {
                    pid: Pid(FIRST_PID + track as u16),
                    format,
                    continuity: Continuity::default(),
                    configuration: elementary.configuration.clone(),
                    discontinuity: false,
                }),
                Err(reason) => {
                    skipped.push(Skipped { track, reason });
                    None
                }
            });
        }
        let clock_track = clock_track(&streams)
            .ok_or(Error::Unsupported { what: "none of the tracks has a place in MPEG-TS" })?;
        let association = Association { transport_stream: 1, version: 0, program: PROGRAM, map: MAP_PID };
        let muxer = Muxer {
            map: map_section(&streams, Pid(FIRST_PID + clock_track as u16))?,
            streams,
            clock_track,
            clock_ticks: None,
            association: association.section(),
            association_continuity: Continuity::default(),
            map_continuity: Continuity::default(),
            tables_ticks: None,
            scratch: Vec::new(),
        };
        Ok((muxer, skipped))
    }

    /// Begins a segment: the next unit has the tables in front of it. Counters and clock go on.
    pub fn segment_start(&mut self) {
        self.tables_ticks = None;
    }

    /// Says that what comes next does not continue what came before: another publisher, or a hole. Times need not go on.
    pub fn discontinuity(&mut self) {
        self.tables_ticks = None;
        self.clock_ticks = None;
        self.streams.iter_mut().flatten().for_each(|stream| stream.discontinuity = true);
    }

    /// Appends the packets of one unit, with tables and clock before it where they are due. `false`, and nothing is
    /// written, when the unit has no form: its track was skipped, its codec's parameters are not known yet or changed to
    /// what the tables do not say, or it is too long (64 KiB for anything but video).
    pub fn unit(&mut self, track: usize, unit: &AccessUnit, out: &mut BytesMut) -> bool {
        let Some(stream) = self.streams.get_mut(track).and_then(Option::as_mut) else {
            return false;
        };
        if let Some(configuration) = &unit.configuration {
            stream.configuration = Some(Arc::clone(configuration));
        }
        let (format, configuration) = (stream.format, stream.configuration.clone());
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let written = match payload::pieces(format, configuration.as_deref(), unit, &mut scratch) {
            Some(pieces) => self.write(track, unit, &pieces, out).is_ok(),
            None => false,
        };
        self.scratch = scratch;
        written
    }

    /// Appends what is due before a unit, and the unit.
    fn write(
        &mut self,
        track: usize,
        unit: &AccessUnit,
        pieces: &[&[u8]],
        out: &mut BytesMut,
    ) -> Result<(), Error> {
        let (pts, dts) = (ticks(unit.pts), ticks(unit.dts));
        let format = self.streams[track].as_ref().expect("the caller found the stream").format;
        let header = pes::header(
            format.stream_id(),
            on_wire(pts),
            on_wire(dts),
            pieces.iter().map(|piece| piece.len()).sum(),
        )?;
        let random_access = unit.random_access && (format.is_video() || track == self.clock_track);
        self.tables(dts, random_access && format.is_video(), out);
        let pcr = self.clock(dts, track == self.clock_track, out);
        let stream = self.streams[track].as_mut().expect("the caller found the stream");
        let adaptation = stream.adaptation(random_access, pcr);
        packet::write_pes(out, stream.pid, &mut stream.continuity, adaptation, &header, pieces);
        Ok(())
    }

    /// Appends the tables where they are due.
    fn tables(&mut self, dts: i64, forced: bool, out: &mut BytesMut) {
        let recent = self.tables_ticks.is_some_and(|last| (dts - last).abs() < TABLES_INTERVAL_TICKS);
        if recent && !forced {
            return;
        }
        self.tables_ticks = Some(dts);
        packet::write_section(out, Pid::PAT, &mut self.association_continuity, &self.association);
        packet::write_section(out, MAP_PID, &mut self.map_continuity, &self.map);
    }

    /// Brings the clock up to `dts`: by packets of their own, and by what is returned, which goes with the unit if that is
    /// `carried` on the PID of the clock.
    fn clock(&mut self, dts: i64, carried: bool, out: &mut BytesMut) -> Option<Timestamp> {
        // Other tracks may lag behind; the track of the clock goes far back only where the media begin anew.
        let continued = |last: &i64| {
            let since = dts - last;
            since <= CLOCK_FILL_TICKS_MAX && (since >= -CLOCK_FILL_TICKS_MAX || !carried)
        };
        let mut last = self.clock_ticks.filter(continued).unwrap_or(dts - CLOCK_INTERVAL_TICKS);
        // A unit that carries the clock itself needs no packet at its own time.
        let until = if carried { dts - 1 } else { dts };
        while last + CLOCK_INTERVAL_TICKS <= until {
            last += CLOCK_INTERVAL_TICKS;
            let stream = self.streams[self.clock_track].as_mut().expect("the stream of the clock is written");
            let adaptation = stream.adaptation(false, Some(on_wire(last - CLOCK_LEAD_TICKS)));
            packet::write_pcr(out, stream.pid, stream.continuity, adaptation);
        }
        let now = if carried { last.max(dts) } else { last };
        self.clock_ticks = Some(now);
        carried.then(|| on_wire(now - CLOCK_LEAD_TICKS))
    }
}

/// Media time on the clock of the wire, kept so far from the ends of its type that no sum or difference overflows.
fn ticks(time: MediaTime) -> i64 {
    const MAX: i64 = 1 << 60;
    time.in_clock(CLOCK_RATE).clamp(-MAX, MAX)
}

fn on_wire(ticks: i64) -> Timestamp {
    Timestamp::new(ticks + ORIGIN_TICKS)
}

/// The first video track, else the first that is audio, else the first: metadata may be silent for long.
fn clock_track(streams: &[Option<Stream>]) -> Option<usize> {
    let rank = |stream: &Stream| match stream.format {
        format if format.is_video() => 0,
        Format::Klv | Format::SynchronousKlv => 2,
        _ => 1,
    };
    let ranked =
        streams.iter().enumerate().filter_map(|(track, stream)| Some((rank(stream.as_ref()?), track)));
    ranked.min().map(|(_, track)| track)
}

fn map_section(streams: &[Option<Stream>], pcr: Pid) -> Result<Vec<u8>, Error> {
    let described = streams.iter().flatten().map(|stream| (stream, stream.format.descriptors()));
    let described = described.collect::<Vec<_>>();
    let mapped = described
        .iter()
        .map(|(stream, descriptors)| MappedStream {
            stream_type: stream.format.stream_type(),
            pid: stream.pid,
            descriptors: Descriptors(descriptors),
        })
        .collect::<Vec<_>>();
    psi::program_map(PROGRAM, 0, pcr, &mapped)
}

#[cfg(test)]
mod tests;
