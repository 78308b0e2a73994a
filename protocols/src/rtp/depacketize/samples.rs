//! G.711 and linear PCM (RFC 3551, section 4.5; RFC 3190): samples without any header.

use super::{Arrival, Error, invalid};
use crate::rtp::Ticks;
use crate::track::Track;
use crate::unit::Parts;

/// A packet is a unit.
#[derive(Debug)]
pub(super) struct Depacketizer {
    /// Bytes of one sample of all channels; never zero.
    frame_bytes: usize,
}

impl Depacketizer {
    /// `None` for samples of other than whole bytes.
    pub(super) fn new(track: &Track) -> Option<Depacketizer> {
        crate::rtp::format::sample_frame_bytes(track).map(|frame_bytes| Depacketizer { frame_bytes })
    }

    pub(super) fn push(&mut self, arrival: &Arrival, out: &mut Vec<(Ticks, Parts)>) -> Result<(), Error> {
        let whole = arrival.payload.len() / self.frame_bytes * self.frame_bytes;
        if whole > 0 {
            out.push((arrival.timestamp, Parts::from_iter([arrival.payload.slice(..whole)])));
        }
        if whole == arrival.payload.len() { Ok(()) } else { Err(invalid("sample cut off")) }
    }
}
