//! What a decoder must know before the first unit of a track, whatever protocol said it.
//!
//! Read from SDP (`a=fmtp`), from the records of FLV and MP4 (`avcC`, `hvcC`, …), from the tables of MPEG-TS, or from the
//! units themselves; written to all of these. The functions that do it are in the codecs' own files.

use super::{h264, h265, mpeg_video, mpeg4_video, opus};
use crate::track::Codec;
use bytes::Bytes;

/// The parameters of one track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Configuration {
    H264(H264),
    H265(H265),
    Av1(Av1),
    Vp9(Vp9),
    Vp8(Picture),
    Mjpeg(Picture),
    Mpeg4Video {
        /// Visual object sequence, visual object and video object layer headers (ISO/IEC 14496-2), with start codes.
        headers: Bytes,
    },
    MpegVideo {
        /// Sequence header with its start code (ISO/IEC 13818-2), and the extensions after it.
        headers: Bytes,
    },
    /// Also for AAC that came as LATM.
    Aac(Aac),
    Opus(Opus),
    Flac(Flac),
    MpegAudio(MpegAudio),
    Ac3(Ac3),
    Pcmu(Samples),
    Pcma(Samples),
    Lpcm(Samples),
    Klv,
}

/// H.264 parameter sets, with their NAL unit headers, without start codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct H264 {
    pub sps: Bytes,
    /// At least one.
    pub pps: Vec<Bytes>,
}

/// H.265 parameter sets, with their NAL unit headers, without start codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct H265 {
    pub vps: Bytes,
    pub sps: Bytes,
    /// At least one.
    pub pps: Vec<Bytes>,
}

/// AV1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Av1 {
    /// The sequence header OBU with its header, without size field.
    pub sequence_header: Bytes,
}

/// What a VP9 key frame says ("VP Codec ISO Media File Format Binding" has the same fields in `vpcC`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vp9 {
    /// 0 to 3.
    pub profile: u8,
    /// 8, 10 or 12.
    pub bit_depth: u8,
    /// As `vpcC` has it: 0 4:2:0 vertical, 1 4:2:0 collocated, 2 4:2:2, 3 4:4:4.
    pub chroma_subsampling: u8,
    pub full_range: bool,
    pub picture: Picture,
}

/// Size of a picture in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    pub width: u32,
    pub height: u32,
}

/// AAC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aac {
    /// AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1), as it came.
    pub specific_config: Bytes,
    /// Audio object type, after SBR and PS signalling was stepped over (2 is AAC-LC).
    pub object_type: u8,
    /// Sampling rate of the core, in Hz; the track's clock.
    pub sample_rate: u32,
    pub channels: u16,
    /// Samples of one unit on that clock: 1024, or 960.
    pub frame_samples: u16,
}

/// Opus. The clock is always 48 kHz.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opus {
    /// 1 to 8 (RFC 7845, channel mapping families 0 and 1).
    pub channels: u16,
    /// Samples at 48 kHz to drop at the beginning.
    pub pre_skip: u16,
}

/// FLAC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flac {
    /// The STREAMINFO block without its block header: 34 bytes (RFC 9639, 8.2).
    pub stream_info: Bytes,
    pub sample_rate: u32,
    pub channels: u16,
    pub bits: u8,
}

/// MPEG-1, MPEG-2 and MPEG-2.5 audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MpegAudio {
    /// 1 to 3; 3 is MP3.
    pub layer: u8,
    pub sample_rate: u32,
    pub channels: u16,
}

/// AC-3 (ETSI TS 102 366): the fields that `dac3` repeats from the sync frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ac3 {
    pub sample_rate: u32,
    pub channels: u16,
    pub fscod: u8,
    pub bsid: u8,
    pub bsmod: u8,
    pub acmod: u8,
    pub lfe: bool,
    pub bit_rate_code: u8,
}

/// Plain samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Samples {
    /// Of one sample of one channel: 8, 16 or 24.
    pub bits: u8,
    pub sample_rate: u32,
    pub channels: u16,
}

/// The clock of every video track and of metadata, in Hz.
pub const VIDEO_CLOCK_RATE: u32 = 90_000;

impl Configuration {
    pub fn codec(&self) -> Codec {
        match self {
            Configuration::H264(_) => Codec::H264,
            Configuration::H265(_) => Codec::H265,
            Configuration::Av1(_) => Codec::Av1,
            Configuration::Vp9(_) => Codec::Vp9,
            Configuration::Vp8(_) => Codec::Vp8,
            Configuration::Mjpeg(_) => Codec::Mjpeg,
            Configuration::Mpeg4Video { .. } => Codec::Mpeg4Video,
            Configuration::MpegVideo { .. } => Codec::MpegVideo,
            Configuration::Aac(_) => Codec::Aac,
            Configuration::Opus(_) => Codec::Opus,
            Configuration::Flac(_) => Codec::Flac,
            Configuration::MpegAudio(_) => Codec::MpegAudio,
            Configuration::Ac3(_) => Codec::Ac3,
            Configuration::Pcmu(_) => Codec::Pcmu,
            Configuration::Pcma(_) => Codec::Pcma,
            Configuration::Lpcm(samples) => Codec::Lpcm { bits: samples.bits },
            Configuration::Klv => Codec::Klv,
        }
    }

    /// The codec as the `codecs` parameter of MP4 and HLS names it (RFC 6381); `None` for those without a name there.
    pub fn codec_string(&self) -> Option<String> {
        Some(match self {
            Configuration::H264(h264) => {
                let [profile, constraints, level] = h264.profile_level();
                format!("avc1.{profile:02x}{constraints:02x}{level:02x}")
            }
            Configuration::H265(h265) => h265.codec_string()?,
            Configuration::Av1(av1) => av1.codec_string(),
            Configuration::Vp9(vp9) => vp9.codec_string(),
            Configuration::Vp8(_) => "vp08.00.10.08".to_owned(),
            Configuration::Mpeg4Video { headers } => {
                format!("mp4v.20.{}", mpeg4_video::profile_level(headers).unwrap_or(1))
            }
            // Object type indications of ISO/IEC 14496-1, table 5: MPEG-2 video of main profile, MPEG-2 and MPEG-1 audio.
            Configuration::MpegVideo { .. } => "mp4v.61".to_owned(),
            Configuration::Aac(aac) => format!("mp4a.40.{}", aac.object_type),
            // Audio object types of ISO/IEC 14496-3: 32 to 34 are the layers.
            Configuration::MpegAudio(audio) => format!("mp4a.40.{}", 31 + audio.layer),
            Configuration::Opus(_) => "opus".to_owned(),
            Configuration::Flac(_) => "fLaC".to_owned(),
            Configuration::Ac3(_) => "ac-3".to_owned(),
            Configuration::Lpcm(_) => "ipcm".to_owned(),
            Configuration::Mjpeg(_)
            | Configuration::Pcmu(_)
            | Configuration::Pcma(_)
            | Configuration::Klv => return None,
        })
    }

    /// The size of the picture; `None` for audio and metadata, and where the parameters cannot be read.
    pub fn picture(&self) -> Option<Picture> {
        let picture = match self {
            Configuration::H264(h264) => h264::SequenceParameterSet::parse(&h264.sps)?.picture,
            Configuration::H265(h265) => h265::SequenceParameterSet::parse(&h265.sps)?.picture,
            Configuration::Av1(av1) => av1.header().picture,
            Configuration::Vp9(vp9) => vp9.picture,
            Configuration::Vp8(picture) | Configuration::Mjpeg(picture) => *picture,
            Configuration::Mpeg4Video { headers } => mpeg4_video::picture(headers)?,
            Configuration::MpegVideo { headers } => mpeg_video::picture(headers)?,
            _ => return None,
        };
        (picture.width > 0 && picture.height > 0).then_some(picture)
    }

    /// Audio samples per second, of the core with AAC; `None` for video and metadata.
    pub fn sample_rate(&self) -> Option<u32> {
        match self {
            Configuration::Aac(aac) => Some(aac.sample_rate),
            Configuration::Opus(_) => Some(opus::SAMPLE_RATE),
            Configuration::Flac(flac) => Some(flac.sample_rate),
            Configuration::MpegAudio(audio) => Some(audio.sample_rate),
            Configuration::Ac3(ac3) => Some(ac3.sample_rate),
            Configuration::Pcmu(samples) | Configuration::Pcma(samples) | Configuration::Lpcm(samples) => {
                Some(samples.sample_rate)
            }
            _ => None,
        }
    }

    /// Audio channels; `None` for video and metadata.
    pub fn channels(&self) -> Option<u16> {
        match self {
            Configuration::Aac(aac) => Some(aac.channels),
            Configuration::Opus(opus) => Some(opus.channels),
            Configuration::Flac(flac) => Some(flac.channels),
            Configuration::MpegAudio(audio) => Some(audio.channels),
            Configuration::Ac3(ac3) => Some(ac3.channels),
            Configuration::Pcmu(samples) | Configuration::Pcma(samples) | Configuration::Lpcm(samples) => {
                Some(samples.channels)
            }
            _ => None,
        }
    }
}
