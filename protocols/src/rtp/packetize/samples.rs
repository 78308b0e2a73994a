//! G.711 and linear PCM (RFC 3551, section 4.5; RFC 3190): samples without any header, a long unit as several packets.

use bytes::Bytes;

use super::Error;
use crate::track::Track;

/// How samples are cut.
#[derive(Debug)]
pub(super) struct Packetizer {
    /// Bytes of one sample of all channels; never zero.
    frame_bytes: usize,
}

impl Packetizer {
    /// `None` for samples of other than whole bytes.
    pub(super) fn new(track: &Track) -> Option<Packetizer> {
        crate::rtp::format::sample_frame_bytes(track).map(|frame_bytes| Packetizer { frame_bytes })
    }

    /// The packets of one unit, each with whole samples of all channels, and its time in the unit.
    pub(super) fn packetize(
        &self,
        parts: &[Bytes],
        bytes_max: usize,
        each: &mut impl FnMut(bool, u32, &[&[u8]]),
    ) -> Result<(), Error> {
        let frames_max = bytes_max / self.frame_bytes;
        if frames_max == 0 {
            return Err(Error::Unsupported { what: "so many channels in one payload" });
        }
        let mut ticks = 0;
        for part in parts {
            if !part.len().is_multiple_of(self.frame_bytes) {
                return Err(Error::Invalid { what: "sample cut off" });
            }
            for piece in part.chunks(frames_max * self.frame_bytes) {
                each(false, ticks, &[piece]);
                ticks += (piece.len() / self.frame_bytes) as u32;
            }
        }
        Ok(())
    }
}
