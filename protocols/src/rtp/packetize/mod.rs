//! Units into RTP payloads: the way out to readers over RTP.
//!
//! One file per payload format. A payload is given as pieces, header bytes and slices of the unit in turn, for the caller
//! to write behind an RTP header: nothing is copied here, and nothing allocated. Small NAL units and OBUs share packets,
//! large ones are fragmented; nothing waits for the next unit. Payloads never exceed the size asked for.

mod aac;
mod ac3;
mod av1;
mod h264;
mod h265;
mod latm;
mod mjpeg;
mod mpeg_audio;
mod mpeg_video;
mod samples;
mod vp8;
mod vp9;

use bytes::Bytes;

use crate::limits::{RTP_PAYLOAD_BYTES_MAX, RTP_PAYLOAD_BYTES_MIN};
use crate::track::{Codec, Track};
use crate::unit::AccessUnit;

/// Why a unit has no RTP payloads, or not all. Readers go without it; the next unit stands alone again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The unit is not what its codec's units are.
    #[error("invalid unit: {what}")]
    Invalid { what: &'static str },
    /// The payload format has no way to say it.
    #[error("no RTP payload for the unit: {what}")]
    Unsupported { what: &'static str },
    /// Too large for a payload, in a format that does not fragment.
    #[error("unit over a limit: {what}")]
    Limit { what: &'static str },
}

impl Error {
    /// The sort of fault, as a metric label.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Invalid { .. } => "invalid",
            Error::Unsupported { .. } => "unsupported",
            Error::Limit { .. } => "limit",
        }
    }
}

/// Makes packets of the units of one track.
#[derive(Debug)]
pub struct Packetizer {
    format: Format,
    payload_bytes_max: usize,
}

#[derive(Debug)]
enum Format {
    H264,
    H265,
    Av1,
    Vp9(PictureId),
    Vp8(PictureId),
    Mjpeg,
    MpegVideo,
    Aac(aac::Packetizer),
    Latm(latm::Packetizer),
    MpegAudio,
    Ac3,
    /// The unit as it is, in one packet: Opus (RFC 7587, 4.2).
    Whole,
    Samples(samples::Packetizer),
    /// The unit cut into payloads, the last one marked: KLV (RFC 6597, 4.2), MPEG-4 part 2 video (RFC 6416, 5.1).
    Cut,
}

/// The number of a picture of VP8 and VP9, of 15 bits. Receivers see gaps in it that lost packets leave.
#[derive(Clone, Copy, Debug, Default)]
struct PictureId(u16);

impl PictureId {
    /// Of the next picture.
    fn take(&mut self) -> PictureId {
        let taken = *self;
        self.0 = (self.0 + 1) & 0x7FFF;
        taken
    }

    /// As descriptors have it, with the mark of its 15 bits.
    fn bytes(self) -> [u8; 2] {
        (self.0 | 0x8000).to_be_bytes()
    }
}

impl Packetizer {
    /// For payloads of up to `payload_bytes_max` bytes, behind the RTP header; taken into the range of
    /// [`RTP_PAYLOAD_BYTES_MIN`] to [`RTP_PAYLOAD_BYTES_MAX`]. `None`: the codec has no payload format that is written here,
    /// or `track` announces a mode of it that is not.
    pub fn new(track: &Track, payload_bytes_max: usize) -> Option<Packetizer> {
        let format = match &track.codec {
            Codec::H264 => Format::H264,
            Codec::H265 => Format::H265,
            Codec::Av1 => Format::Av1,
            Codec::Vp9 => Format::Vp9(PictureId::default()),
            Codec::Vp8 => Format::Vp8(PictureId::default()),
            Codec::Mjpeg => Format::Mjpeg,
            Codec::MpegVideo => Format::MpegVideo,
            Codec::AacLatm => Format::Latm(latm::Packetizer::new(track)?),
            Codec::MpegAudio => Format::MpegAudio,
            Codec::Ac3 => Format::Ac3,
            Codec::Aac => Format::Aac(aac::Packetizer::new(track)?),
            Codec::Opus => Format::Whole,
            Codec::Pcmu | Codec::Pcma | Codec::Lpcm { .. } => {
                Format::Samples(samples::Packetizer::new(track)?)
            }
            Codec::Klv | Codec::Mpeg4Video => Format::Cut,
            _ => return None,
        };
        let payload_bytes_max = payload_bytes_max.clamp(RTP_PAYLOAD_BYTES_MIN, RTP_PAYLOAD_BYTES_MAX);
        Some(Packetizer { format, payload_bytes_max })
    }

    /// Calls `each` for every packet of the unit, in order, with its marker, its timestamp in ticks of the track's clock
    /// after that of the unit, and the pieces of its payload.
    ///
    /// # Errors
    /// See [`Error`]; `each` may have been called by then.
    pub fn packetize(
        &mut self,
        unit: &AccessUnit,
        mut each: impl FnMut(bool, u32, &[&[u8]]),
    ) -> Result<(), Error> {
        let each = &mut each;
        let bytes_max = self.payload_bytes_max;
        match &mut self.format {
            Format::H264 => h264::packetize(&unit.parts, bytes_max, each),
            Format::H265 => h265::packetize(&unit.parts, bytes_max, each),
            Format::Av1 => av1::packetize(&unit.parts, unit.random_access, bytes_max, each),
            Format::Samples(samples) => samples.packetize(&unit.parts, bytes_max, each),
            format => {
                unit.parts.iter().try_for_each(|part| format.part(part, unit.random_access, bytes_max, each))
            }
        }
    }
}

impl Format {
    /// The packets of a part that is all of its unit.
    fn part(
        &mut self,
        part: &Bytes,
        random_access: bool,
        bytes_max: usize,
        each: &mut impl FnMut(bool, u32, &[&[u8]]),
    ) -> Result<(), Error> {
        match self {
            Format::Aac(aac) => return aac.packetize(part, bytes_max, each),
            Format::Latm(latm) => return latm.packetize(part, bytes_max, each),
            Format::MpegAudio => return mpeg_audio::packetize(part, bytes_max, each),
            Format::MpegVideo => return mpeg_video::packetize(part, bytes_max, each),
            Format::Mjpeg => return mjpeg::packetize(part, bytes_max, each),
            Format::Whole => return whole(part, bytes_max, each),
            Format::Vp9(id) => vp9::packetize(part, random_access, id.take(), bytes_max, each),
            Format::Vp8(id) => vp8::packetize(part, id.take(), bytes_max, each),
            Format::Ac3 => ac3::packetize(part, bytes_max, each),
            Format::Cut => cut(part, bytes_max, each),
            Format::H264 | Format::H265 | Format::Av1 | Format::Samples(_) => {}
        }
        Ok(())
    }
}

fn whole(part: &Bytes, bytes_max: usize, each: &mut impl FnMut(bool, u32, &[&[u8]])) -> Result<(), Error> {
    if part.len() > bytes_max {
        return Err(Error::Limit { what: "an audio packet larger than a payload" });
    }
    each(false, 0, &[part]);
    Ok(())
}

fn cut(part: &Bytes, bytes_max: usize, each: &mut impl FnMut(bool, u32, &[&[u8]])) {
    let count = part.len().div_ceil(bytes_max);
    for (index, piece) in part.chunks(bytes_max).enumerate() {
        each(index + 1 == count, 0, &[piece]);
    }
}

#[cfg(test)]
pub(super) mod tests;
