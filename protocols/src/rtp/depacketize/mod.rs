//! RTP payloads into units: what a publisher sent, as the parts of [`crate::unit::AccessUnit`].
//!
//! One file per payload format, each with its RFC. Packets come in order ([`super::Reorder`] sees to that), each once.
//! A unit ends with the marker, or with the next timestamp where senders omit the marker. Parts are slices of the
//! payloads; only what was fragmented is joined, once, in memory of exactly its size.
//!
//! A gap in the numbering drops the unit it lies in. Whether it also cut off the beginning of the unit after it is
//! decided by that unit's first packet, where the format tells a beginning from a middle. A wrong payload drops its
//! unit too; what was complete before it has been appended by then.
//!
//! Bounds: [`crate::limits::RTP_UNIT_BYTES_MAX`], [`crate::limits::RTP_UNIT_PACKETS_MAX`] and
//! [`crate::limits::UNIT_PARTS_MAX`].

mod aac;
mod ac3;
mod assembly;
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
use std::sync::Arc;

use super::{Packet, Sequence, Ticks};
use crate::codec::Configuration;
use crate::track::{Codec, Track};
use crate::unit::Parts;
use assembly::{Assembly, State};

/// Why a payload is no part of a unit. The unit it would have belonged to is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The payload ends inside `what`, or contradicts itself there.
    #[error("invalid RTP payload: {what}")]
    Invalid { what: &'static str },
    /// Allowed by the payload format, and not understood here.
    #[error("unsupported RTP payload: {what}")]
    Unsupported { what: &'static str },
    /// Larger than a named limit allows.
    #[error("RTP payload over a limit: {what}")]
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

fn invalid(what: &'static str) -> Error {
    Error::Invalid { what }
}

/// Makes units of the packets of one track.
#[derive(Debug)]
pub struct Depacketizer {
    format: Format,
    /// The number that continues the packets so far; `None` before the first one.
    next: Option<Sequence>,
    ssrc: u32,
}

#[derive(Debug)]
enum Format {
    Picture(Picture, Assembly),
    Aac(aac::Depacketizer),
    Latm(Box<latm::Depacketizer>),
    MpegAudio(mpeg_audio::Depacketizer),
    Ac3(ac3::Depacketizer),
    /// A packet is a unit: Opus (RFC 7587, 4.2).
    Packet,
    /// A packet is a unit of whole sample frames, each of so many bytes.
    Samples(samples::Depacketizer),
}

/// Formats whose units are spread over packets with one timestamp, the last of them marked.
#[derive(Debug)]
enum Picture {
    H264,
    H265(h265::Depacketizer),
    Av1,
    Vp9(vp9::Depacketizer),
    Vp8,
    Mjpeg(mjpeg::Depacketizer),
    MpegVideo,
    /// The payloads, one behind the other, are the unit, which begins with these bytes.
    Joined(&'static [u8]),
}

/// Start code prefix of MPEG-4 part 2 video, whose payloads have no header (RFC 6416, 5.1).
const START_CODE: &[u8] = &[0, 0, 1];
/// Beginning of every universal label of SMPTE 336M; the payloads of KLV have no header either (RFC 6597, 4.2).
const UNIVERSAL_LABEL: &[u8] = &[0x06, 0x0E, 0x2B, 0x34];

/// One packet, as the formats of audio see it.
struct Arrival {
    timestamp: Ticks,
    marker: bool,
    /// Packets are missing right before this one, or it is the first.
    lost: bool,
    payload: Bytes,
}

impl Depacketizer {
    /// `None`: the codec has no payload format that is understood here, or `track` announces a mode of it that is not.
    pub fn new(track: &Track) -> Option<Depacketizer> {
        let picture = |picture| Format::Picture(picture, Assembly::default());
        let format = match &track.codec {
            Codec::H264 => picture(Picture::H264),
            Codec::H265 => picture(Picture::H265(h265::Depacketizer::new(track))),
            Codec::Av1 => picture(Picture::Av1),
            Codec::Vp9 => picture(Picture::Vp9(vp9::Depacketizer::default())),
            Codec::Vp8 => picture(Picture::Vp8),
            Codec::Mjpeg => picture(Picture::Mjpeg(mjpeg::Depacketizer::default())),
            Codec::MpegVideo => picture(Picture::MpegVideo),
            Codec::Klv => picture(Picture::Joined(UNIVERSAL_LABEL)),
            Codec::Mpeg4Video => picture(Picture::Joined(START_CODE)),
            Codec::Aac => Format::Aac(aac::Depacketizer::new(track)?),
            Codec::AacLatm => Format::Latm(Box::new(latm::Depacketizer::new(track)?)),
            Codec::MpegAudio => Format::MpegAudio(mpeg_audio::Depacketizer::new(track.clock_rate)),
            Codec::Ac3 => Format::Ac3(ac3::Depacketizer::new(track.clock_rate)),
            Codec::Opus => Format::Packet,
            Codec::Pcmu | Codec::Pcma | Codec::Lpcm { .. } => {
                Format::Samples(samples::Depacketizer::new(track)?)
            }
            _ => return None,
        };
        Some(Depacketizer { format, next: None, ssrc: 0 })
    }

    /// The configuration of a format that has it in band, or in a form of its own: LATM. `None` for others, and before it
    /// came.
    pub fn configuration(&self) -> Option<&Arc<Configuration>> {
        match &self.format {
            Format::Latm(latm) => latm.configuration(),
            _ => None,
        }
    }

    /// Takes one packet, whose `payload` is that of `packet` as a slice of what was received, and appends each unit that
    /// it completes to `out`, with its timestamp. None of them is without parts, and no part is empty.
    ///
    /// # Errors
    /// See [`Error`]. `out` may have grown even so: by the unit before the one at fault.
    pub fn push(
        &mut self,
        packet: &Packet<'_>,
        payload: Bytes,
        out: &mut Vec<(Ticks, Parts)>,
    ) -> Result<(), Error> {
        let continues = self.next == Some(packet.sequence) && self.ssrc == packet.ssrc;
        self.next = Some(packet.sequence.next());
        self.ssrc = packet.ssrc;
        let arrival =
            Arrival { timestamp: packet.timestamp, marker: packet.marker, lost: !continues, payload };
        match &mut self.format {
            Format::Picture(picture, assembly) => picture.push(assembly, &arrival, out),
            Format::Aac(aac) => aac.push(&arrival, out),
            Format::Latm(latm) => latm.push(&arrival, out),
            Format::MpegAudio(audio) => audio.push(&arrival, out),
            Format::Ac3(ac3) => ac3.push(&arrival, out),
            Format::Packet => {
                if !arrival.payload.is_empty() {
                    out.push((arrival.timestamp, Parts::from_iter([arrival.payload])));
                }
                Ok(())
            }
            Format::Samples(samples) => samples.push(&arrival, out),
        }
    }
}

impl Picture {
    /// Adds a packet to the unit it belongs to, and appends what it completes.
    fn push(
        &mut self,
        assembly: &mut Assembly,
        arrival: &Arrival,
        out: &mut Vec<(Ticks, Parts)>,
    ) -> Result<(), Error> {
        // The unit before went without marker. With packets missing, its end may be among them.
        let before = match assembly.timestamp() {
            Some(timestamp) if timestamp != arrival.timestamp => {
                if arrival.lost {
                    assembly.damage();
                }
                self.end(assembly, out)
            }
            _ => Ok(()),
        };
        assembly.begin(arrival.timestamp, arrival.lost);
        let mut result = Ok(());
        if assembly.state() != State::Damaged {
            result = self.packet(assembly, &arrival.payload);
            if result.is_err() {
                assembly.damage();
            }
        }
        let end = if arrival.marker { self.end(assembly, out) } else { Ok(()) };
        before.and(result).and(end)
    }

    /// Adds a payload to the unit in progress.
    fn packet(&mut self, assembly: &mut Assembly, payload: &Bytes) -> Result<(), Error> {
        match self {
            Picture::H264 => h264::packet(assembly, payload),
            Picture::H265(h265) => h265.packet(assembly, payload),
            Picture::Av1 => av1::packet(assembly, payload),
            Picture::Vp9(vp9) => vp9.packet(assembly, payload),
            Picture::Vp8 => vp8::packet(assembly, payload),
            Picture::Mjpeg(mjpeg) => mjpeg.packet(assembly, payload),
            Picture::MpegVideo => mpeg_video::packet(assembly, payload),
            Picture::Joined(beginning) => {
                assembly.resolve(payload.starts_with(beginning));
                assembly.fragment(payload.clone())
            }
        }
    }

    /// Appends the unit in progress to `out`, unless it is damaged.
    fn end(&mut self, assembly: &mut Assembly, out: &mut Vec<(Ticks, Parts)>) -> Result<(), Error> {
        let result = match assembly.state() {
            State::Damaged => Ok(()),
            State::Suspect | State::Whole => self.complete(assembly),
        };
        if result.is_err() {
            assembly.damage();
        }
        // Parameter sets with a timestamp, or even a marker, of their own belong to the picture after them.
        let headers_only = match self {
            Picture::H264 => !assembly.parts().iter().any(h264::is_slice),
            Picture::H265(_) => !assembly.parts().iter().any(h265::is_slice),
            _ => false,
        };
        if headers_only && assembly.state() != State::Damaged {
            assembly.carry();
        } else {
            out.extend(assembly.take());
        }
        result
    }

    /// Makes parts of what was collected.
    fn complete(&mut self, assembly: &mut Assembly) -> Result<(), Error> {
        match self {
            Picture::H264 | Picture::H265(_) | Picture::Av1 => {
                if assembly.has_fragments() {
                    Err(invalid("fragmented unit without its end"))
                } else {
                    Ok(())
                }
            }
            Picture::Vp9(vp9) => vp9.complete(assembly),
            Picture::Mjpeg(mjpeg) => mjpeg.complete(assembly),
            Picture::Vp8 | Picture::MpegVideo | Picture::Joined(_) => assembly.join(),
        }
    }
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;
