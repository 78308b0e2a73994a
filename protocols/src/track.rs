//! What every protocol says of a track: medium, codec, clock, and the parameters a decoder needs before the first unit.
//!
//! A [`Track`] is neutral: SDP, and later FLV, MPEG-TS and MP4, are read into it and written from it.

use crate::codec::Configuration;
use std::fmt;
use std::sync::Arc;

/// The medium of a track, as SDP's `m=` line names it (RFC 8866, section 5.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Medium {
    Video,
    Audio,
    /// Anything else: `application`, `text`, `message`.
    Application,
}

/// The codec of a track. `Other` passes through untouched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    H264,
    H265,
    Av1,
    Vp8,
    Vp9,
    /// Motion JPEG over RTP (RFC 2435).
    Mjpeg,
    /// MPEG-4 part 2 video (RFC 6416).
    Mpeg4Video,
    /// MPEG-1 and MPEG-2 video (RFC 2250).
    MpegVideo,
    /// MPEG-4 audio, generic mode (RFC 3640).
    Aac,
    /// MPEG-4 audio as LATM (RFC 6416).
    AacLatm,
    Opus,
    /// MPEG-1 and MPEG-2 audio, layers I to III (RFC 2250).
    MpegAudio,
    Ac3,
    /// Has no RTP payload format: readers over RTP go without it.
    Flac,
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    G722,
    G726,
    /// Linear PCM, 8, 16 or 24 bits (RFC 3551, RFC 3190).
    Lpcm {
        bits: u8,
    },
    Vorbis,
    Speex,
    /// SMPTE 336M metadata (RFC 6597).
    Klv,
    /// MPEG transport stream (RFC 2250).
    MpegTs,
    /// The encoding name as announced, for codecs this server only passes through.
    Other(Box<str>),
}

/// One elementary stream of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    pub medium: Medium,
    pub codec: Codec,
    /// RTP clock rate in Hz; never zero.
    pub clock_rate: u32,
    /// Audio channels; 1 where the announcement is silent; 0 for other media.
    pub channels: u16,
    /// RTP payload type, 0 to 127.
    pub payload_type: u8,
    /// The value of `a=fmtp` without the payload type; empty where there is none.
    pub format_parameters: Box<str>,
    /// The encoding as announced in `a=rtpmap` (`H264/90000`); empty for static payload types announced without one.
    pub rtpmap: Box<str>,
    /// Further media-level attributes worth passing on to readers (`framesize`, `framerate`, `rtcp-fb` are not).
    pub attributes: Vec<Box<str>>,
}

/// A track with what its decoder must know, where that is known already: what demuxers find and muxers are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elementary {
    pub track: Track,
    /// `None` while only the units can tell, as with H.264 announced without parameter sets.
    pub configuration: Option<Arc<Configuration>>,
}

/// A track that a form cannot carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Index of the track in what the muxer was given.
    pub track: usize,
    /// Why, for the log and the API: "the client did not offer it", "FLV has no place for it".
    pub reason: &'static str,
}

impl Track {
    /// Whether readers of `self` can go on with `other` in its place: same medium, codec, clock, channels and decoder
    /// parameters. The payload type and attributes may differ, since packets are rewritten to what readers were told.
    pub fn continues(&self, other: &Track) -> bool {
        self.medium == other.medium
            && self.codec == other.codec
            && self.clock_rate == other.clock_rate
            && self.channels == other.channels
            && self.format_parameters == other.format_parameters
    }
}

impl fmt::Display for Codec {
    /// The name MediaMTX's API and logs use.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Codec::H264 => "H264",
            Codec::H265 => "H265",
            Codec::Av1 => "AV1",
            Codec::Vp8 => "VP8",
            Codec::Vp9 => "VP9",
            Codec::Mjpeg => "M-JPEG",
            Codec::Mpeg4Video => "MPEG-4 Video",
            Codec::MpegVideo => "MPEG-1/2 Video",
            Codec::Aac => "MPEG-4 Audio",
            Codec::AacLatm => "MPEG-4 Audio LATM",
            Codec::Opus => "Opus",
            Codec::MpegAudio => "MPEG-1/2 Audio",
            Codec::Ac3 => "AC-3",
            Codec::Flac => "FLAC",
            Codec::Pcmu | Codec::Pcma => "G711",
            Codec::G722 => "G722",
            Codec::G726 => "G726",
            Codec::Lpcm { .. } => "LPCM",
            Codec::Vorbis => "Vorbis",
            Codec::Speex => "Speex",
            Codec::Klv => "KLV",
            Codec::MpegTs => "MPEG-TS",
            Codec::Other(name) => name,
        })
    }
}
