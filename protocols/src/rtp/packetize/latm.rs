//! AAC as LATM (RFC 6416, section 6) with `cpresent=0`: one AudioMuxElement per unit, cut where it does not fit.
//!
//! A configuration in band is not written: it would move every byte by a bit.

use bytes::Bytes;

use super::Error;
use crate::codec::latm::{self, StreamMuxConfig};
use crate::rtp::format;
use crate::track::Track;

/// Bytes of 255 before the last one of PayloadLengthInfo: units of up to 16 KiB, twice what eight channels of AAC reach.
const LENGTH_BYTES_MAX: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct Packetizer;

impl Packetizer {
    /// `None` for a configuration in band, or one that is not of single units with their lengths before them.
    pub(super) fn new(track: &Track) -> Option<Packetizer> {
        let config = format::latm_config(track)?;
        let is_out_of_band = format::number(&track.format_parameters, "cpresent") == Some(0);
        (is_out_of_band && reads_back(&config)).then_some(Packetizer)
    }

    /// The packets of one unit; the last one is marked.
    pub(super) fn packetize(
        &self,
        unit: &[u8],
        bytes_max: usize,
        each: &mut impl FnMut(bool, u32, &[&[u8]]),
    ) -> Result<(), Error> {
        let full = unit.len() / 255;
        if full >= LENGTH_BYTES_MAX {
            return Err(Error::Limit { what: "AAC unit" });
        }
        let mut length = [0xFF; LENGTH_BYTES_MAX];
        length[full] = (unit.len() % 255) as u8;
        let length = &length[..=full];
        let first_bytes = unit.len().min(bytes_max - length.len());
        let (first, rest) = unit.split_at(first_bytes);
        each(rest.is_empty(), 0, &[length, first]);
        let count = rest.len().div_ceil(bytes_max);
        for (index, piece) in rest.chunks(bytes_max).enumerate() {
            each(index + 1 == count, 0, &[piece]);
        }
        Ok(())
    }
}

/// Whether an element of one byte, written as above, is read as one unit of one byte.
fn reads_back(config: &StreamMuxConfig) -> bool {
    let element = Bytes::from_static(&[1, 0xAA]);
    let read = latm::audio_mux_element(&element, &mut Some(config.clone()), false);
    read.is_ok_and(|units| units.len() == 1 && *units[0] == [0xAA])
}
