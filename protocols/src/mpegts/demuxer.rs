//! Reads a transport stream of any alignment: the tracks of its first program, and their units.
//!
//! The tables say which streams there are; what their decoders must know comes with the units. So units are held back, for
//! two seconds of media time at most, until the parameters of all tracks are known, and [`Event::Tracks`] precedes them. A
//! program map that changes the streams begins this anew, and times go on.
//!
//! Times are in ticks of 90 kHz since the first unit, whatever the clock of the track is.

use super::error::Error;
use super::format::Format;
use super::packet::{Packet, Pid};
use super::psi::{self, Association, ProgramMap};
use super::splitter::Splitter;
use super::timeline::Timeline;
use super::timestamp::CLOCK_RATE;
use crate::limits::{MPEGTS_DETECTION_BYTES_MAX, MPEGTS_DETECTION_MS_MAX, TRACKS_MAX};
use crate::track::Elementary;
use crate::unit::AccessUnit;
use smallvec::SmallVec;
use stream::Stream;

mod reader;
mod stream;

const DETECTION_TICKS_MAX: i64 = (MPEGTS_DETECTION_MS_MAX * CLOCK_RATE as u64 / 1000) as i64;
/// What a unit held back takes besides its bytes, about.
const UNIT_OVERHEAD_BYTES: usize = 256;

/// What a demuxer found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The tracks, before the first unit; once more where the program changed, which ends the tracks before.
    Tracks(Vec<Elementary>),
    Unit {
        /// Index in the latest [`Event::Tracks`].
        track: usize,
        unit: AccessUnit,
    },
    /// A stream of the program that is no track.
    Ignored { pid: Pid, stream_type: u8, reason: &'static str },
}

/// What was damaged or lost since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Holes in the packets of a stream.
    pub continuity_errors: u64,
    /// Packets marked as damaged by who sent them.
    pub transport_errors: u64,
    /// Times that the packet boundaries were lost.
    pub sync_losses: u64,
    /// Packets, sections, PES packets and audio frames that were not what they should be.
    pub invalid: u64,
    /// PES packets cut short by losses, or too long.
    pub dropped: u64,
    /// Jumps of the time base.
    pub time_jumps: u64,
}

/// A reader of one program; see the module.
#[derive(Debug)]
pub struct Demuxer {
    splitter: Splitter,
    program: Program,
}

impl Default for Demuxer {
    fn default() -> Demuxer {
        Demuxer::new()
    }
}

impl Demuxer {
    pub fn new() -> Demuxer {
        Demuxer { splitter: Splitter::new(), program: Program::default() }
    }

    /// Takes bytes as they came, cut anywhere, and appends what they complete to `events`. Video without a length is
    /// complete when the next picture begins.
    ///
    /// # Errors
    /// No packet boundaries for long; scrambled content. The demuxer must not be used again.
    pub fn push(&mut self, mut input: &[u8], events: &mut Vec<Event>) -> Result<(), Error> {
        loop {
            let (used, packet) = self.splitter.next(input)?;
            let Some(packet) = packet else {
                return Ok(());
            };
            match Packet::parse(packet) {
                Ok(packet) => self.program.packet(&packet, events)?,
                Err(_) => self.program.counters.invalid += 1,
            }
            input = &input[used..];
        }
    }

    /// Ends the wait for parameters: announces the tracks there are.
    pub fn detection_over(&mut self, events: &mut Vec<Event>) {
        self.program.announce(events);
    }

    /// The end of the stream: appends the units that waited for what comes after them.
    ///
    /// # Errors
    /// Scrambled content.
    pub fn finish(&mut self, events: &mut Vec<Event>) -> Result<(), Error> {
        self.program.finish(events)
    }

    pub fn counters(&self) -> Counters {
        let (sync_losses, time_jumps) = (self.splitter.losses, self.program.timeline.jumps);
        Counters { sync_losses, time_jumps, ..self.program.counters }
    }
}

/// Units that wait for the tracks to be announced.
#[derive(Debug, Default)]
struct Held {
    /// With the index of the stream.
    units: Vec<(usize, AccessUnit)>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Program {
    association: psi::Assembler,
    /// Number and map of the program that was chosen.
    chosen: Option<(u16, Pid)>,
    map: psi::Assembler,
    streams: SmallVec<[Stream; 4]>,
    /// Whether there was a map.
    mapped: bool,
    /// Whether the streams are announced as tracks.
    announced: bool,
    held: Held,
    timeline: Timeline,
    counters: Counters,
}

impl Program {
    fn packet(&mut self, packet: &Packet<'_>, events: &mut Vec<Event>) -> Result<(), Error> {
        if packet.transport_error {
            self.counters.transport_errors += 1;
            return Ok(());
        }
        if let Some(index) = self.streams.iter().position(|stream| stream.pid == packet.pid) {
            return self.stream(index, packet, events);
        }
        let Some(payload) = packet.payload else {
            return Ok(());
        };
        if packet.pid == Pid::PAT {
            self.association(packet.unit_start, payload);
        } else if let Some((_, map)) = self.chosen
            && map == packet.pid
        {
            self.map(packet.unit_start, payload, events);
        }
        Ok(())
    }

    fn association(&mut self, unit_start: bool, payload: &[u8]) {
        let (mut found, mut invalid) = (None, 0);
        self.association.push(unit_start, payload, |section| match Association::parse(section) {
            Ok(association) => found = association.or(found),
            Err(_) => invalid += 1,
        });
        self.counters.invalid += invalid;
        let Some(association) = found else {
            return;
        };
        let chosen = Some((association.program, association.map));
        if self.chosen != chosen {
            self.chosen = chosen;
            self.map.interrupt();
        }
    }

    fn map(&mut self, unit_start: bool, payload: &[u8], events: &mut Vec<Event>) {
        let Some((program, _)) = self.chosen else {
            return;
        };
        let mut assembler = std::mem::take(&mut self.map);
        assembler.push(unit_start, payload, |section| match ProgramMap::parse(section) {
            // Several programs may have their maps on one PID.
            Ok(Some(map)) if map.program == program => self.program_map(&map, events),
            Ok(_) => {}
            Err(_) => self.counters.invalid += 1,
        });
        self.map = assembler;
    }

    /// Takes over the streams of a map, unless they are those already known. Streams that stay keep what they learned.
    fn program_map(&mut self, map: &ProgramMap<'_>, events: &mut Vec<Event>) {
        let mut wanted = SmallVec::<[(Pid, u8, Format); 4]>::new();
        let mut ignored = Vec::new();
        for stream in map.streams() {
            let (pid, stream_type) = (stream.pid, stream.stream_type);
            let reason = match Format::of(&stream) {
                Some(_) if wanted.iter().any(|(taken, ..)| *taken == pid) => "its PID is taken",
                Some(_) if wanted.len() == TRACKS_MAX => "there are too many streams",
                Some(format) => {
                    wanted.push((pid, stream_type, format));
                    continue;
                }
                None => "its codec is not supported",
            };
            ignored.push(Event::Ignored { pid, stream_type, reason });
        }
        let known = self.streams.iter().map(|stream| (stream.pid, stream.stream_type, stream.format));
        if self.mapped && wanted.iter().copied().eq(known) {
            return;
        }
        self.mapped = true;
        let mut before = std::mem::take(&mut self.streams);
        for (pid, stream_type, format) in wanted {
            let same = before.iter().position(|stream| stream.pid == pid && stream.format == format);
            self.streams.push(match same {
                Some(at) => before.swap_remove(at),
                None => Stream::new(pid, stream_type, format),
            });
        }
        events.append(&mut ignored);
        self.held = Held::default();
        self.announced = false;
    }

    fn stream(&mut self, index: usize, packet: &Packet<'_>, events: &mut Vec<Event>) -> Result<(), Error> {
        let mut units = Vec::new();
        self.streams[index].packet(packet, &mut self.timeline, &mut self.counters, &mut units)?;
        self.units(index, units, events);
        Ok(())
    }

    fn units(&mut self, index: usize, units: Vec<AccessUnit>, events: &mut Vec<Event>) {
        if units.is_empty() {
            return;
        }
        if self.announced {
            let Some(track) = self.streams[index].track else {
                return;
            };
            events.extend(units.into_iter().map(|unit| Event::Unit { track, unit }));
            return;
        }
        for unit in units {
            self.held.bytes += unit.bytes() + UNIT_OVERHEAD_BYTES;
            self.held.units.push((index, unit));
        }
        let ticks = |at: Option<&(usize, AccessUnit)>| at.map_or(0, |(_, unit)| unit.dts.ticks);
        let waited = ticks(self.held.units.last()) - ticks(self.held.units.first());
        if self.streams.iter().all(Stream::is_known)
            || waited >= DETECTION_TICKS_MAX
            || self.held.bytes > MPEGTS_DETECTION_BYTES_MAX
        {
            self.announce(events);
        }
    }

    /// Makes tracks of the streams, as far as they are known, and gives out what was held back.
    fn announce(&mut self, events: &mut Vec<Event>) {
        if self.announced || self.streams.is_empty() {
            return;
        }
        self.announced = true;
        let mut tracks = Vec::new();
        for stream in &mut self.streams {
            let elementary = stream.elementary();
            stream.track = elementary.is_some().then_some(tracks.len());
            if elementary.is_none() {
                let (pid, stream_type) = (stream.pid, stream.stream_type);
                let reason = "nothing said its sampling rate in time";
                events.push(Event::Ignored { pid, stream_type, reason });
            }
            tracks.extend(elementary);
        }
        events.push(Event::Tracks(tracks));
        for (index, unit) in std::mem::take(&mut self.held).units {
            if let Some(track) = self.streams[index].track {
                events.push(Event::Unit { track, unit });
            }
        }
    }

    fn finish(&mut self, events: &mut Vec<Event>) -> Result<(), Error> {
        for index in 0..self.streams.len() {
            let mut units = Vec::new();
            self.streams[index].finish(&mut self.timeline, &mut self.counters, &mut units)?;
            self.units(index, units, events);
        }
        self.announce(events);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
