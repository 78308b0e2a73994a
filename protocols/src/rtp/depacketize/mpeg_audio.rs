//! MPEG audio (RFC 2250, section 3.5): whole frames, or a fragment of one.
//!
//! ```text
//! |             MBZ               |          Frag_offset          |
//! ```

use super::assembly::Fragments;
use super::{Arrival, Error, invalid};
use crate::codec::configuration::MpegAudio;
use crate::rtp::Ticks;
use crate::unit::Parts;

const HEADER_BYTES: usize = 4;

/// The state of one track.
#[derive(Debug)]
pub(super) struct Depacketizer {
    clock_rate: u32,
    fragments: Fragments,
    /// Of the frame in progress: its timestamp and its bytes in all.
    fragmented: Option<(Ticks, usize)>,
}

impl Depacketizer {
    /// `clock_rate` is the track's: 90 kHz, whatever the sampling rate.
    pub(super) fn new(clock_rate: u32) -> Depacketizer {
        Depacketizer { clock_rate, fragments: Fragments::default(), fragmented: None }
    }

    pub(super) fn push(&mut self, arrival: &Arrival, out: &mut Vec<(Ticks, Parts)>) -> Result<(), Error> {
        let &[_, _, high, low] = arrival.payload.first_chunk().ok_or(invalid("MPEG audio header"))?;
        let offset = usize::from(u16::from_be_bytes([high, low]));
        if arrival.lost || offset == 0 {
            self.fragmented = None;
        }
        if offset == 0 {
            return self.frames(arrival, out);
        }
        // Without its beginning, lost before or refused, a fragment is of no use.
        let Some((timestamp, frame_bytes)) = self.fragmented else { return Ok(()) };
        self.fragmented = None;
        let piece = arrival.payload.slice(HEADER_BYTES..);
        let bytes = offset + piece.len();
        if offset != self.fragments.bytes() || bytes > frame_bytes {
            return Err(invalid("fragment offset"));
        }
        self.fragments.push(piece, 0)?;
        if bytes < frame_bytes {
            self.fragmented = Some((timestamp, frame_bytes));
        } else {
            out.extend(self.fragments.join().map(|frame| (timestamp, Parts::from_iter([frame]))));
        }
        Ok(())
    }

    fn frames(&mut self, arrival: &Arrival, out: &mut Vec<(Ticks, Parts)>) -> Result<(), Error> {
        let mut rest = arrival.payload.slice(HEADER_BYTES..);
        let mut timestamp = arrival.timestamp;
        while !rest.is_empty() {
            let (audio, bytes, samples) = MpegAudio::parse(&rest).map_err(|_| invalid("MPEG audio frame"))?;
            if bytes > rest.len() {
                self.fragments.open(&[]);
                self.fragments.push(rest, 0)?;
                self.fragmented = Some((timestamp, bytes));
                return Ok(());
            }
            out.push((timestamp, Parts::from_iter([rest.split_to(bytes)])));
            let ticks = u64::from(samples) * u64::from(self.clock_rate) / u64::from(audio.sample_rate.max(1));
            timestamp = timestamp.advance(ticks as u32);
        }
        Ok(())
    }
}
