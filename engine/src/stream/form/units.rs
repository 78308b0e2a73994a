//! Published RTP as access units.
//!
//! Each track has a depacketizer and an assembler; the timeline joins their timestamps on one clock. A payload that is
//! wrong costs its unit and is counted. Nothing before the first random access point of the video is given out, since no
//! decoder could use it.

use super::super::{Batch, Description, Position};
use crate::counters::Counters;
use crate::limits;
use headwater_protocols::codec::{Assembler, Configuration};
use headwater_protocols::rtp::{Depacketizer, Packet, Ticks, Timeline};
use headwater_protocols::track::{Medium, Track};
use headwater_protocols::unit::{AccessUnit, MediaTime, Parts};
use headwater_protocols::{rtcp, rtp};
use std::sync::Arc;
use std::time::Instant;

struct MakerTrack {
    depacketizer: Option<Depacketizer>,
    assembler: Assembler,
}

pub(crate) struct Maker {
    tracks: Vec<MakerTrack>,
    timeline: Timeline,
    next: Position,
    random_access: Option<Position>,
    video: Option<usize>,
    /// The video has begun at a random access point.
    begun: bool,
    scratch: Vec<(Ticks, Parts)>,
}

impl Maker {
    pub(super) fn new(description: &Description) -> Maker {
        let tracks = &description.tracks;
        let clock_rates: Vec<u32> = tracks.iter().map(|track| track.clock_rate).collect();
        let of = |(track, configuration): (&Track, &Option<Arc<Configuration>>)| MakerTrack {
            depacketizer: Depacketizer::new(track),
            assembler: Assembler::new(&track.codec, track.clock_rate, configuration.clone()),
        };
        let convertible = |track: &Track| Depacketizer::new(track).is_some();
        let video = tracks.iter().position(|track| track.medium == Medium::Video && convertible(track));
        Maker {
            tracks: tracks.iter().zip(&description.configurations).map(of).collect(),
            timeline: Timeline::new(&clock_rates),
            next: 0,
            random_access: None,
            video,
            begun: false,
            scratch: Vec::new(),
        }
    }

    pub(super) fn take(&mut self, batch: &Batch, counters: &Counters) -> Option<Arc<Batch>> {
        let mut units = Vec::new();
        for index in 0..batch.packets().len() {
            let channel = batch.packets()[index].channel;
            let track = channel.index() / 2;
            if channel.is_rtcp() {
                self.report(track, batch.packet(index));
            } else {
                self.packet(batch, index, track, &mut units, counters);
            }
        }
        if units.is_empty() {
            return None;
        }
        let made = Batch::of_units(self.next, self.random_access, batch.published, units);
        self.next = made.end();
        Some(Arc::new(made))
    }

    /// Takes a sender report of a track, with the server's numbers.
    pub(super) fn report(&mut self, track: usize, packet: &[u8]) {
        for parsed in rtcp::parse(packet) {
            if let Ok(rtcp::Packet::SenderReport(report)) = parsed {
                self.timeline.report(track, report.ntp, report.rtp);
            }
        }
    }

    fn packet(
        &mut self,
        batch: &Batch,
        index: usize,
        track: usize,
        units: &mut Vec<(usize, AccessUnit)>,
        counters: &Counters,
    ) {
        let Some(of) = self.tracks.get_mut(track) else { return };
        let Some(depacketizer) = &mut of.depacketizer else { return };
        let whole = batch.packet_bytes(index);
        let Ok(packet) = Packet::parse(&whole) else { return };
        let payload = whole.slice(packet.header_bytes..packet.header_bytes + packet.payload.len());
        let result: Result<(), rtp::depacketize::Error> =
            depacketizer.push(&packet, payload, &mut self.scratch);
        if let Err(error) = result {
            counters.conversion_errors.add(1);
            tracing::trace!(track, "RTP payload without unit: {error}");
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        for (ticks, parts) in scratch.drain(..) {
            self.unit(batch.published, track, ticks, parts, units);
        }
        self.scratch = scratch;
    }

    fn unit(
        &mut self,
        now: Instant,
        track: usize,
        ticks: Ticks,
        parts: Parts,
        units: &mut Vec<(usize, AccessUnit)>,
    ) {
        let time = self.timeline.time(now, track, ticks);
        let lead = MediaTime::new(limits::UNITS_LEAD.as_millis() as i64, 1000);
        let time = time.later(lead.in_clock(time.clock_rate));
        let Some(unit) = self.tracks[track].assembler.unit(time, None, parts) else { return };
        let counts = self.video.is_none_or(|video| video == track);
        if counts && unit.random_access {
            self.begun = true;
            self.random_access = Some(self.next + units.len() as u64);
        }
        if self.begun || Some(track) != self.video {
            units.push((track, unit));
        }
    }
}
