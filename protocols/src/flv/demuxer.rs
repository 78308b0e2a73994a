//! Messages to access units.
//!
//! FLV does not say which tracks there are before they come, so units are held back until that is known: when what
//! `onMetaData` announced has come (without announcement: a track of each medium), after two seconds of media time, or
//! when the caller says so. Tracks that come later, and codecs nothing here reads, are reported once and passed over.

mod slot;

use super::clock::Clock;
use super::error::Error;
use super::extended::{Piece, Role};
use super::metadata::{self, Announced};
use super::{Kind, audio, video};
use crate::limits::{FLV_DETECTION_BYTES_MAX, FLV_DETECTION_MS_MAX, FLV_DETECTION_UNITS_MAX, TRACKS_MAX};
use crate::track::Elementary;
use crate::unit::AccessUnit;
use bytes::Bytes;
use slot::Slot;

/// What a publisher's messages come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The tracks, once, before the first unit; video before audio, in the order of their ids.
    Tracks(Vec<Elementary>),
    /// A unit of the track of that index in [`Event::Tracks`].
    Unit { track: usize, unit: AccessUnit },
    /// A track that is passed over, once for each.
    Ignored {
        kind: Kind,
        /// The publisher's, within the medium.
        track_id: u8,
        reason: &'static str,
    },
}

/// Reads the messages of one publisher.
#[derive(Debug, Default)]
pub struct Demuxer {
    clock: Clock,
    /// Every track seen; one for each kind and id.
    slots: Vec<Slot>,
    announced: Option<Announced>,
    /// Where each slot's units go; `None` while tracks are being found.
    indices: Option<Vec<Option<usize>>>,
    held: Held,
}

/// Units that came before the tracks were known.
#[derive(Debug, Default)]
struct Held {
    /// With the index of the slot.
    units: Vec<(usize, AccessUnit)>,
    bytes: usize,
}

impl Demuxer {
    pub fn new() -> Demuxer {
        Demuxer::default()
    }

    /// Takes one message. Its payload is sliced.
    ///
    /// # Errors
    /// Bodies that cannot be read; no track that can be used in the time given for detection; tracks that change their
    /// codec. The next message may be read all the same.
    pub fn message(&mut self, kind: Kind, timestamp_ms: u32, body: Bytes) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        let pieces = match kind {
            Kind::Script => {
                if let Some(announced) = metadata::parse(&body)? {
                    self.announced = Some(announced);
                }
                return Ok(events);
            }
            Kind::Audio => audio::parse(body)?,
            Kind::Video => video::parse(body)?,
        };
        // Sequence headers often have a timestamp of zero, whatever the media's.
        let coded = pieces.iter().any(|piece| matches!(piece.role, Role::Coded { .. }));
        let time_ms = if coded { self.clock.time_ms(timestamp_ms) } else { 0 };
        for piece in pieces {
            self.piece(kind, time_ms, piece, &mut events)?;
        }
        if coded && self.indices.is_none() && (self.is_complete() || time_ms >= FLV_DETECTION_MS_MAX) {
            self.finish_detection(&mut events)?;
        }
        Ok(events)
    }

    /// Ends the search for tracks now: time is up for the caller. Nothing happens when it is over already.
    ///
    /// # Errors
    /// No track that can be used was found.
    pub fn detection_over(&mut self) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        if self.indices.is_none() {
            self.finish_detection(&mut events)?;
        }
        Ok(events)
    }

    fn piece(
        &mut self,
        kind: Kind,
        time_ms: i64,
        piece: Piece,
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let Some(index) = self.slot(kind, &piece, events)? else { return Ok(()) };
        let slot = &mut self.slots[index];
        match piece.role {
            Role::SequenceStart => slot.configure(&piece.payload)?,
            Role::Coded { composition_ms } => {
                let mut units = slot::Units::new();
                slot.units(time_ms, composition_ms, piece.payload, &mut units)?;
                for unit in units {
                    self.unit(index, unit, events);
                }
            }
            Role::SequenceEnd => {}
        }
        Ok(())
    }

    /// Index of the piece's slot, made when it is the first of its track; `None` when the track is passed over.
    fn slot(&mut self, kind: Kind, piece: &Piece, events: &mut Vec<Event>) -> Result<Option<usize>, Error> {
        let known = self.slots.iter().position(|slot| slot.is(kind, piece.track_id));
        if let Some(index) = known {
            let slot = &mut self.slots[index];
            if slot.is_ignored() || slot.format == piece.format {
                return Ok((!slot.is_ignored()).then_some(index));
            }
            if self.indices.is_some() {
                return Err(Error::Misbehaved { what: "codec of a track changed" });
            }
            // Still nobody was told of it.
            self.held.forget(index);
        }
        let reason = if self.indices.is_some() {
            Some("it came after the tracks were known")
        } else if known.is_none() && self.slots.iter().filter(|slot| !slot.is_ignored()).count() >= TRACKS_MAX
        {
            Some("too many tracks")
        } else {
            piece.format.codec().is_none().then_some("its codec is not supported")
        };
        let slot = match reason {
            Some(reason) => {
                events.push(Event::Ignored { kind, track_id: piece.track_id, reason });
                Slot::ignored(kind, piece)
            }
            None => Slot::new(kind, piece),
        };
        let index = known.unwrap_or(self.slots.len());
        match known {
            Some(index) => self.slots[index] = slot,
            None => {
                self.slots.push(slot);
                if let Some(indices) = &mut self.indices {
                    indices.push(None);
                }
            }
        }
        Ok(reason.is_none().then_some(index))
    }

    fn unit(&mut self, slot: usize, unit: AccessUnit, events: &mut Vec<Event>) {
        match &self.indices {
            Some(indices) => {
                if let Some(track) = indices[slot] {
                    events.push(Event::Unit { track, unit });
                }
            }
            None => self.held.hold(slot, unit),
        }
    }

    /// Whether everything that is to be expected has come.
    fn is_complete(&self) -> bool {
        if self.held.is_full() {
            return true;
        }
        if !self.slots.iter().all(|slot| slot.is_ignored() || slot.is_ready()) {
            return false;
        }
        // Codecs that nothing reads do not end the search: another track may come.
        if self.slots.iter().all(Slot::is_ignored) {
            return false;
        }
        let seen = |kind| self.slots.iter().filter(|slot| slot.kind == kind).count();
        let expected = self.announced.unwrap_or(Announced { video: 1, audio: 1 });
        seen(Kind::Video) >= expected.video && seen(Kind::Audio) >= expected.audio
    }

    fn finish_detection(&mut self, events: &mut Vec<Event>) -> Result<(), Error> {
        let mut order =
            (0..self.slots.len()).filter(|index| self.slots[*index].is_usable()).collect::<Vec<_>>();
        order.sort_by_key(|index| (self.slots[*index].kind != Kind::Video, self.slots[*index].track_id));
        let tracks = order.iter().filter_map(|index| self.slots[*index].elementary()).collect::<Vec<_>>();
        if tracks.is_empty() {
            return Err(Error::Misbehaved { what: "no track that can be used" });
        }
        let mut indices = vec![None; self.slots.len()];
        for (track, slot) in order.into_iter().enumerate() {
            indices[slot] = Some(track);
        }
        events.push(Event::Tracks(tracks));
        for (slot, unit) in std::mem::take(&mut self.held).units {
            if let Some(track) = indices[slot] {
                events.push(Event::Unit { track, unit });
            }
        }
        for (slot, index) in self.slots.iter_mut().zip(&indices) {
            if index.is_none() && !slot.is_ignored() {
                slot.ignore();
                let reason = "it was announced, but did not come in time";
                events.push(Event::Ignored { kind: slot.kind, track_id: slot.track_id, reason });
            }
        }
        self.indices = Some(indices);
        Ok(())
    }
}

impl Held {
    fn hold(&mut self, slot: usize, unit: AccessUnit) {
        self.bytes += unit.bytes();
        self.units.push((slot, unit));
    }

    fn forget(&mut self, slot: usize) {
        self.units.retain(|(index, _)| *index != slot);
        self.bytes = self.units.iter().map(|(_, unit)| unit.bytes()).sum();
    }

    fn is_full(&self) -> bool {
        self.bytes >= FLV_DETECTION_BYTES_MAX || self.units.len() >= FLV_DETECTION_UNITS_MAX
    }
}
