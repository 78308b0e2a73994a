//! Puts the packets of one track back in order, as far as a short wait can.
//!
//! Packets that come in order pass without being queued. Behind a gap they wait, at most
//! [`RTP_REORDER_PACKETS_MAX`] numbers wide and at most [`RTP_REORDER_HOLD_MS_MAX`] each; then the gap is given up and
//! counted as lost. A jump too far for loss (RFC 3550, A.1: `MAX_DROPOUT`, `MAX_MISORDER`) is believed only when the
//! next packet follows it: a restarted sender, whose numbering is then adopted.
//!
//! Invariants: the numbers released between two restarts ascend; each released packet was pushed once; what waits
//! lies in `next + 1 .. next + RTP_REORDER_PACKETS_MAX`.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Sequence;
use crate::limits::{RTP_DROPOUT_MAX, RTP_MISORDER_MAX, RTP_REORDER_HOLD_MS_MAX, RTP_REORDER_PACKETS_MAX};

const HOLD: Duration = Duration::from_millis(RTP_REORDER_HOLD_MS_MAX);

/// The reordering stage of one track.
#[derive(Debug, Default)]
pub struct Reorder {
    /// The number to release next; `None` before the first packet.
    next: Option<Sequence>,
    /// Bit `n` is set when number `next − 1 − n` was released: tells duplicates from late packets.
    released: u64,
    /// What waits behind a gap, at index `sequence % RTP_REORDER_PACKETS_MAX`; empty until the first gap.
    held: Box<[Option<Held>]>,
    held_count: usize,
    /// When the packet that has waited longest is due.
    deadline: Option<Instant>,
    suspect: Option<Suspect>,
    lost: u64,
    late: u64,
    duplicates: u64,
}

#[derive(Debug)]
struct Held {
    due: Instant,
    packet: Bytes,
}

/// A packet far outside the numbering: a stray, or the first of a restarted sender.
#[derive(Debug)]
struct Suspect {
    sequence: Sequence,
    /// Kept for [`HOLD`]; the number is remembered longer.
    held: Option<Held>,
}

impl Reorder {
    pub fn new() -> Reorder {
        Reorder::default()
    }

    /// Takes one packet and appends to `out` what can be released, in order. Time never goes back between calls.
    pub fn push(&mut self, now: Instant, sequence: Sequence, packet: Bytes, out: &mut Vec<Bytes>) {
        let next = *self.next.get_or_insert(sequence);
        let ahead = sequence.distance(next);
        if ahead == 0 && self.held_count == 0 && self.suspect.is_none() {
            self.release(packet, out);
            return;
        }
        if !(-RTP_MISORDER_MAX..=RTP_DROPOUT_MAX).contains(&ahead) {
            self.push_suspect(now, sequence, packet, out);
        } else {
            self.drop_suspect();
            match usize::try_from(ahead) {
                Err(_) => self.count_behind(ahead),
                Ok(ahead) => self.push_ahead(now, sequence, ahead, packet, out),
            }
        }
        self.handle_timeout(now, out);
    }

    /// When [`Reorder::handle_timeout`] wants to be called; `None` while nothing waits.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let suspect = self.suspect.as_ref().and_then(|suspect| suspect.held.as_ref()).map(|held| held.due);
        match (self.deadline, suspect) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Gives up the gaps before packets that have waited their time, and appends those packets to `out`.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Bytes>) {
        while self.deadline.is_some_and(|deadline| deadline <= now) {
            self.skip_gap();
            self.release_run(out);
            self.set_deadline();
        }
        if let Some(suspect) = &mut self.suspect
            && suspect.held.as_ref().is_some_and(|held| held.due <= now)
        {
            suspect.held = None;
            self.late += 1;
        }
    }

    /// Releases all that waits and forgets the numbering: the next packet starts it anew (a new SSRC, a new RECORD).
    pub fn reset(&mut self, out: &mut Vec<Bytes>) {
        while self.held_count > 0 {
            self.skip_gap();
            self.release_run(out);
        }
        self.drop_suspect();
        self.deadline = None;
        self.next = None;
        self.released = 0;
    }

    /// Packets that wait at present.
    pub fn held(&self) -> usize {
        self.held_count + usize::from(self.suspect.as_ref().is_some_and(|suspect| suspect.held.is_some()))
    }

    /// Numbers given up. A packet that comes after that counts here and in [`Reorder::late`].
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Packets dropped because their turn had passed, or because they were strays far outside the numbering.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Packets dropped because their number had come before.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// A packet at or after `next`, within reach of loss.
    fn push_ahead(
        &mut self,
        now: Instant,
        sequence: Sequence,
        ahead: usize,
        packet: Bytes,
        out: &mut Vec<Bytes>,
    ) {
        if ahead == 0 {
            self.release(packet, out);
            self.release_run(out);
            self.set_deadline();
            return;
        }
        for _ in RTP_REORDER_PACKETS_MAX..=ahead {
            self.advance(out);
        }
        if ahead >= RTP_REORDER_PACKETS_MAX {
            self.release_run(out);
            self.set_deadline();
        }
        // All numbers before this one may have waited, and gone just now.
        if self.next == Some(sequence) {
            self.release(packet, out);
            return;
        }
        if self.held.is_empty() {
            self.held = (0..RTP_REORDER_PACKETS_MAX).map(|_| None).collect();
        }
        let slot = &mut self.held[slot(sequence)];
        if slot.is_some() {
            self.duplicates += 1;
            return;
        }
        let due = now + HOLD;
        *slot = Some(Held { due, packet });
        self.held_count += 1;
        self.deadline.get_or_insert(due);
    }

    /// A packet before `next`, near enough to be told late or duplicate.
    fn count_behind(&mut self, ahead: i16) {
        debug_assert!(ahead < 0);
        let age = u32::from(ahead.unsigned_abs()) - 1;
        if self.released.checked_shr(age).is_some_and(|bits| bits & 1 == 1) {
            self.duplicates += 1;
        } else {
            self.late += 1;
        }
    }

    fn push_suspect(&mut self, now: Instant, sequence: Sequence, packet: Bytes, out: &mut Vec<Bytes>) {
        let Some(suspect) = self.suspect.take_if(|suspect| suspect.sequence.next() == sequence) else {
            self.drop_suspect();
            self.suspect = Some(Suspect { sequence, held: Some(Held { due: now + HOLD, packet }) });
            return;
        };
        self.reset(out);
        self.next = Some(suspect.sequence);
        match suspect.held {
            Some(held) => self.release(held.packet, out),
            None => self.next = Some(sequence),
        }
        self.release(packet, out);
    }

    fn drop_suspect(&mut self) {
        if self.suspect.take().is_some_and(|suspect| suspect.held.is_some()) {
            self.late += 1;
        }
    }

    fn release(&mut self, packet: Bytes, out: &mut Vec<Bytes>) {
        out.push(packet);
        self.step(true);
    }

    /// Moves `next` on by one.
    fn step(&mut self, released: bool) {
        self.next = self.next.map(Sequence::next);
        self.released = self.released << 1 | u64::from(released);
    }

    /// Releases the packet whose turn it is, or gives its number up.
    fn advance(&mut self, out: &mut Vec<Bytes>) {
        match self.take_next() {
            Some(packet) => self.release(packet, out),
            None => {
                self.lost += 1;
                self.step(false);
            }
        }
    }

    /// Gives up numbers until the packet whose turn it is waits.
    fn skip_gap(&mut self) {
        debug_assert!(self.held_count > 0);
        while let Some(next) = self.next
            && self.held[slot(next)].is_none()
        {
            self.lost += 1;
            self.step(false);
        }
    }

    /// Releases what waits without a gap before it.
    fn release_run(&mut self, out: &mut Vec<Bytes>) {
        while let Some(packet) = self.take_next() {
            self.release(packet, out);
        }
    }

    /// After packets were taken from the held ones: the longest wait may be another's now.
    fn set_deadline(&mut self) {
        self.deadline = match self.held_count {
            0 => None,
            _ => self.held.iter().flatten().map(|held| held.due).min(),
        };
    }

    fn take_next(&mut self) -> Option<Bytes> {
        if self.held_count == 0 {
            return None;
        }
        let held = self.held[slot(self.next?)].take()?;
        self.held_count -= 1;
        Some(held.packet)
    }
}

fn slot(sequence: Sequence) -> usize {
    // Numbers wrap at a multiple of the slots, so that neighbours never share one.
    const { assert!(65_536 % RTP_REORDER_PACKETS_MAX == 0) };
    usize::from(sequence.0) % RTP_REORDER_PACKETS_MAX
}

#[cfg(test)]
mod tests;
