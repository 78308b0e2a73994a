//! Where decoding can start, seen from inside RTP payloads.
//!
//! One file per codec, each with the payload format's RFC. Nothing is reassembled: an answer comes from one packet's
//! first bytes, at most from one pass over its headers, so a packet costs a few nanoseconds. Wrong bytes are "not a
//! start", never an error: the server passes on what it does not understand.
//!
//! An answer of `true` is about the picture the packet belongs to. Parameter sets and delimiters that come in packets
//! of their own before it answer `false`: the picture starts at the first packet with the same timestamp, and a caller
//! that keeps packets starts a reader there. Which later packets of a picture answer `true` differs by codec.

mod av1;
mod h264;
mod h265;
mod mjpeg;
mod mpeg4_video;
mod mpeg_video;
mod vp8;
mod vp9;

use crate::track::Codec;

pub(super) use h264::is_random_access as h264_unit;

/// Whether a reader can start here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Random,
    Other,
}

/// Finds the random access points of one track in its RTP payloads.
#[derive(Clone, Debug)]
pub struct RandomAccess(Inspector);

#[derive(Clone, Debug)]
enum Inspector {
    /// Audio, metadata, and what is only passed through: each packet is a start.
    Every,
    H264,
    H265,
    Av1(av1::RandomAccess),
    Vp8,
    Vp9,
    Mjpeg,
    Mpeg4Video,
    MpegVideo,
}

impl RandomAccess {
    pub fn new(codec: &Codec) -> RandomAccess {
        RandomAccess(match codec {
            Codec::H264 => Inspector::H264,
            Codec::H265 => Inspector::H265,
            Codec::Av1 => Inspector::Av1(av1::RandomAccess::default()),
            Codec::Vp8 => Inspector::Vp8,
            Codec::Vp9 => Inspector::Vp9,
            Codec::Mjpeg => Inspector::Mjpeg,
            Codec::Mpeg4Video => Inspector::Mpeg4Video,
            Codec::MpegVideo => Inspector::MpegVideo,
            Codec::Aac
            | Codec::AacLatm
            | Codec::Opus
            | Codec::MpegAudio
            | Codec::Ac3
            | Codec::Flac
            | Codec::Pcmu
            | Codec::Pcma
            | Codec::G722
            | Codec::G726
            | Codec::Lpcm { .. }
            | Codec::Vorbis
            | Codec::Speex
            | Codec::Klv
            | Codec::MpegTs
            | Codec::Other(_) => Inspector::Every,
        })
    }

    /// Whether the packet shows that its picture is one decoding can start at. `payload` is what
    /// [`crate::rtp::Packet::payload`] gives, `marker` its marker bit. Packets are given in order, each once.
    pub fn inspect(&mut self, payload: &[u8], marker: bool) -> bool {
        match &mut self.0 {
            Inspector::Every => true,
            Inspector::H264 => h264::is_random_access(payload),
            Inspector::H265 => h265::is_random_access(payload),
            Inspector::Av1(state) => state.inspect(payload, marker),
            Inspector::Vp8 => vp8::is_random_access(payload),
            Inspector::Vp9 => vp9::is_random_access(payload),
            Inspector::Mjpeg => mjpeg::is_random_access(payload),
            Inspector::Mpeg4Video => mpeg4_video::is_random_access(payload),
            Inspector::MpegVideo => mpeg_video::is_random_access(payload),
        }
    }
}

#[cfg(test)]
mod tests;
