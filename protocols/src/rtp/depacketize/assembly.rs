//! The unit in progress of a format that spreads units over packets.
//!
//! Invariants: the bytes and packets held are within the limits; fragments are pieces of one part, in order, and become
//! a part in [`Assembly::join`]; a damaged unit holds nothing.

use bytes::Bytes;
use smallvec::SmallVec;

use super::{Error, Ticks};
use crate::limits::{RTP_UNIT_BYTES_MAX, RTP_UNIT_PACKETS_MAX, UNIT_PARTS_MAX};
use crate::unit::Parts;

/// Whether the unit in progress can still become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Whole,
    /// Packets are missing before its first one; they may have been its beginning.
    Suspect,
    /// Something of it is missing or wrong: the rest is waited out.
    Damaged,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    /// `None` between units.
    timestamp: Option<Ticks>,
    state: State,
    parts: Parts,
    /// Bytes of `parts`.
    parts_bytes: usize,
    fragments: Fragments,
}

/// Pieces of one part.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    /// Rebuilt header bytes in front of the pieces.
    prefix: SmallVec<[u8; 2]>,
    pieces: Vec<Bytes>,
    /// Of prefix and pieces together.
    bytes: usize,
}

impl Fragments {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the last piece ends so.
    pub(super) fn ends_with(&self, end: &[u8]) -> bool {
        self.pieces.last().is_some_and(|piece| piece.ends_with(end))
    }

    /// Forgets what was collected, and begins a part with header bytes that were not in the payload as they are.
    pub(super) fn open(&mut self, prefix: &[u8]) {
        self.clear();
        self.prefix.extend_from_slice(prefix);
        self.bytes = prefix.len();
    }

    /// Adds a piece. `bytes_before` counts towards the limit of the unit.
    ///
    /// # Errors
    /// [`Error::Limit`].
    pub(super) fn push(&mut self, piece: Bytes, bytes_before: usize) -> Result<(), Error> {
        if bytes_before + self.bytes + piece.len() > RTP_UNIT_BYTES_MAX {
            return Err(Error::Limit { what: "bytes of a unit" });
        }
        if self.pieces.len() == RTP_UNIT_PACKETS_MAX {
            return Err(Error::Limit { what: "packets of a unit" });
        }
        if !piece.is_empty() {
            self.bytes += piece.len();
            self.pieces.push(piece);
        }
        Ok(())
    }

    /// Everything collected as one piece, copied unless it is one already; `None` if there is nothing.
    pub(super) fn join(&mut self) -> Option<Bytes> {
        if self.bytes == 0 {
            return None;
        }
        if self.prefix.is_empty() && self.pieces.len() == 1 {
            self.bytes = 0;
            return self.pieces.pop();
        }
        let mut joined = Vec::with_capacity(self.bytes);
        joined.extend_from_slice(&self.prefix);
        self.pieces.iter().for_each(|piece| joined.extend_from_slice(piece));
        self.clear();
        Some(joined.into())
    }

    pub(super) fn clear(&mut self) {
        self.prefix.clear();
        self.pieces.clear();
        self.bytes = 0;
    }
}

impl Assembly {
    /// Of the unit in progress; `None` between units.
    pub(super) fn timestamp(&self) -> Option<Ticks> {
        self.timestamp
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    pub(super) fn has_fragments(&self) -> bool {
        !self.fragments.is_empty()
    }

    pub(super) fn fragments(&mut self) -> &mut Fragments {
        &mut self.fragments
    }

    /// Starts on a packet with that timestamp: of the unit in progress, or of a new one.
    pub(super) fn begin(&mut self, timestamp: Ticks, lost: bool) {
        if self.timestamp.is_some() {
            if lost {
                self.damage();
            }
            return;
        }
        self.timestamp = Some(timestamp);
        self.state = if lost { State::Suspect } else { State::Whole };
    }

    /// Gives the unit in progress up.
    pub(super) fn damage(&mut self) {
        self.clear();
        self.state = State::Damaged;
    }

    /// Tells a unit with packets missing before it whether what came of it is its beginning.
    pub(super) fn resolve(&mut self, is_beginning: bool) {
        if self.state == State::Suspect {
            if is_beginning {
                self.state = State::Whole;
            } else {
                self.damage();
            }
        }
    }

    /// Adds a part; an empty one is none. Not for damaged units.
    ///
    /// # Errors
    /// [`Error::Limit`].
    pub(super) fn part(&mut self, part: Bytes) -> Result<(), Error> {
        if part.is_empty() || self.state == State::Damaged {
            return Ok(());
        }
        if self.parts_bytes + self.fragments.bytes() + part.len() > RTP_UNIT_BYTES_MAX {
            return Err(Error::Limit { what: "bytes of a unit" });
        }
        if self.parts.len() == UNIT_PARTS_MAX {
            return Err(Error::Limit { what: "parts of a unit" });
        }
        self.parts_bytes += part.len();
        self.parts.push(part);
        Ok(())
    }

    /// Adds a piece to the part that is being joined. Not for damaged units.
    ///
    /// # Errors
    /// [`Error::Limit`].
    pub(super) fn fragment(&mut self, piece: Bytes) -> Result<(), Error> {
        if self.state == State::Damaged {
            return Ok(());
        }
        self.fragments.push(piece, self.parts_bytes)
    }

    /// Makes a part of the pieces.
    ///
    /// # Errors
    /// [`Error::Limit`].
    pub(super) fn join(&mut self) -> Result<(), Error> {
        match self.fragments.join() {
            Some(part) => self.part(part),
            None => Ok(()),
        }
    }

    /// Ends the unit without giving its parts away: they come before those of the next unit.
    pub(super) fn carry(&mut self) {
        self.fragments.clear();
        self.timestamp = None;
    }

    /// Ends the unit. `None` if it is damaged or empty.
    pub(super) fn take(&mut self) -> Option<(Ticks, Parts)> {
        let timestamp = self.timestamp.take();
        let parts = std::mem::take(&mut self.parts);
        let damaged = self.state == State::Damaged;
        self.clear();
        self.state = State::Whole;
        if damaged || parts.is_empty() { None } else { timestamp.map(|timestamp| (timestamp, parts)) }
    }

    fn clear(&mut self) {
        self.parts.clear();
        self.parts_bytes = 0;
        self.fragments.clear();
    }
}
