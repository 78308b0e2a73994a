//! AC-3 (RFC 4184): whole frames, or a fragment of one.
//!
//! ```text
//! |    MBZ    | FT|       NF      |   FT 0 whole frames, 1 and 2 the first fragment, 3 another; NF their number
//! ```

use super::assembly::Fragments;
use super::{Arrival, Error, invalid};
use crate::codec::configuration::Ac3;
use crate::rtp::Ticks;
use crate::unit::Parts;

const HEADER_BYTES: usize = 2;
const FRAME_SAMPLES: u64 = 1536;

/// The state of one track.
#[derive(Debug)]
pub(super) struct Depacketizer {
    clock_rate: u32,
    fragments: Fragments,
    /// Of the frame in progress: its timestamp and its bytes in all.
    fragmented: Option<(Ticks, usize)>,
}

impl Depacketizer {
    pub(super) fn new(clock_rate: u32) -> Depacketizer {
        Depacketizer { clock_rate, fragments: Fragments::default(), fragmented: None }
    }

    pub(super) fn push(&mut self, arrival: &Arrival, out: &mut Vec<(Ticks, Parts)>) -> Result<(), Error> {
        let &[first, _] = arrival.payload.first_chunk().ok_or(invalid("AC-3 header"))?;
        let piece = arrival.payload.slice(HEADER_BYTES..);
        let before = self.fragmented.take().filter(|_| !arrival.lost);
        match first & 3 {
            0 => self.frames(arrival, out),
            1 | 2 => {
                let (_, frame_bytes) = Ac3::parse(&piece).map_err(|_| invalid("AC-3 frame"))?;
                if piece.len() >= frame_bytes {
                    return self.frames(arrival, out);
                }
                self.fragments.open(&[]);
                self.fragments.push(piece, 0)?;
                self.fragmented = Some((arrival.timestamp, frame_bytes));
                Ok(())
            }
            _ => {
                // Without its beginning, lost before or refused, a fragment is of no use.
                let Some((timestamp, frame_bytes)) = before else { return Ok(()) };
                if timestamp != arrival.timestamp || self.fragments.bytes() + piece.len() > frame_bytes {
                    return Err(invalid("AC-3 fragment"));
                }
                self.fragments.push(piece, 0)?;
                if self.fragments.bytes() < frame_bytes {
                    self.fragmented = Some((timestamp, frame_bytes));
                } else {
                    out.extend(self.fragments.join().map(|frame| (timestamp, Parts::from_iter([frame]))));
                }
                Ok(())
            }
        }
    }

    fn frames(&self, arrival: &Arrival, out: &mut Vec<(Ticks, Parts)>) -> Result<(), Error> {
        let mut rest = arrival.payload.slice(HEADER_BYTES..);
        let mut timestamp = arrival.timestamp;
        while !rest.is_empty() {
            let (audio, bytes) = Ac3::parse(&rest).map_err(|_| invalid("AC-3 frame"))?;
            if bytes == 0 || bytes > rest.len() {
                return Err(invalid("AC-3 frame cut off"));
            }
            out.push((timestamp, Parts::from_iter([rest.split_to(bytes)])));
            let ticks = FRAME_SAMPLES * u64::from(self.clock_rate) / u64::from(audio.sample_rate.max(1));
            timestamp = timestamp.advance(ticks as u32);
        }
        Ok(())
    }
}
