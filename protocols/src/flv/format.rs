//! Codecs as FLV names them: numbers in legacy tags, fourCCs in extended ones.

use super::Kind;
use crate::track::Codec;
use std::fmt;

/// A codec of an extended tag (Enhanced RTMP, `VideoFourCc` and `AudioFourCc`).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FourCc(pub [u8; 4]);

impl FourCc {
    pub const AVC1: FourCc = FourCc(*b"avc1");
    pub const HVC1: FourCc = FourCc(*b"hvc1");
    pub const AV01: FourCc = FourCc(*b"av01");
    pub const VP09: FourCc = FourCc(*b"vp09");
    pub const VP08: FourCc = FourCc(*b"vp08");
    pub const OPUS: FourCc = FourCc(*b"Opus");
    pub const FLAC: FourCc = FourCc(*b"fLaC");
    pub const AC_3: FourCc = FourCc(*b"ac-3");
    pub const MP3: FourCc = FourCc(*b".mp3");
    pub const MP4A: FourCc = FourCc(*b"mp4a");

    /// All that are written and read here.
    pub const ALL: [FourCc; 10] = [
        FourCc::AVC1,
        FourCc::HVC1,
        FourCc::AV01,
        FourCc::VP09,
        FourCc::VP08,
        FourCc::OPUS,
        FourCc::FLAC,
        FourCc::AC_3,
        FourCc::MP3,
        FourCc::MP4A,
    ];
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// A codec, with what a legacy audio tag says of the samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    H264,
    H265,
    Av1,
    Vp9,
    Vp8,
    Aac,
    Opus,
    Flac,
    Ac3,
    MpegAudio,
    Pcma {
        channels: u16,
    },
    Pcmu {
        channels: u16,
    },
    Lpcm {
        bits: u8,
        sample_rate: u32,
        channels: u16,
    },
    /// Known or not, nothing here reads it.
    Unsupported,
}

impl Format {
    /// What an extended tag of that kind and fourCC carries.
    pub fn from_fourcc(kind: Kind, fourcc: FourCc) -> Format {
        let format = match fourcc {
            FourCc::AVC1 => Format::H264,
            FourCc::HVC1 => Format::H265,
            FourCc::AV01 => Format::Av1,
            FourCc::VP09 => Format::Vp9,
            FourCc::VP08 => Format::Vp8,
            FourCc::OPUS => Format::Opus,
            FourCc::FLAC => Format::Flac,
            FourCc::AC_3 => Format::Ac3,
            FourCc::MP3 => Format::MpegAudio,
            FourCc::MP4A => Format::Aac,
            _ => Format::Unsupported,
        };
        if format.kind() == kind { format } else { Format::Unsupported }
    }

    /// The kind of its messages.
    pub fn kind(self) -> Kind {
        match self {
            Format::H264 | Format::H265 | Format::Av1 | Format::Vp9 | Format::Vp8 => Kind::Video,
            _ => Kind::Audio,
        }
    }

    /// The fourCC of extended tags; `None` for what only legacy tags carry.
    pub fn fourcc(self) -> Option<FourCc> {
        match self {
            Format::H264 => Some(FourCc::AVC1),
            Format::H265 => Some(FourCc::HVC1),
            Format::Av1 => Some(FourCc::AV01),
            Format::Vp9 => Some(FourCc::VP09),
            Format::Vp8 => Some(FourCc::VP08),
            Format::Opus => Some(FourCc::OPUS),
            Format::Flac => Some(FourCc::FLAC),
            Format::Ac3 => Some(FourCc::AC_3),
            Format::MpegAudio => Some(FourCc::MP3),
            Format::Aac => Some(FourCc::MP4A),
            Format::Pcma { .. } | Format::Pcmu { .. } | Format::Lpcm { .. } | Format::Unsupported => None,
        }
    }

    /// Number of the codec in legacy tags: `CodecID` or `SoundFormat`; `None` for what only extended tags carry.
    pub fn legacy_id(self) -> Option<u8> {
        match self {
            Format::H264 => Some(super::video::CODEC_AVC),
            Format::Aac => Some(super::audio::FORMAT_AAC),
            Format::MpegAudio => Some(super::audio::FORMAT_MP3),
            Format::Pcma { .. } => Some(super::audio::FORMAT_PCMA),
            Format::Pcmu { .. } => Some(super::audio::FORMAT_PCMU),
            Format::Lpcm { .. } => Some(super::audio::FORMAT_LPCM),
            _ => None,
        }
    }

    /// The codec of the track; `None` where nothing here reads it.
    pub fn codec(self) -> Option<Codec> {
        Some(match self {
            Format::H264 => Codec::H264,
            Format::H265 => Codec::H265,
            Format::Av1 => Codec::Av1,
            Format::Vp9 => Codec::Vp9,
            Format::Vp8 => Codec::Vp8,
            Format::Aac => Codec::Aac,
            Format::Opus => Codec::Opus,
            Format::Flac => Codec::Flac,
            Format::Ac3 => Codec::Ac3,
            Format::MpegAudio => Codec::MpegAudio,
            Format::Pcma { .. } => Codec::Pcma,
            Format::Pcmu { .. } => Codec::Pcmu,
            Format::Lpcm { bits, .. } => Codec::Lpcm { bits },
            Format::Unsupported => return None,
        })
    }

    /// Whether tags of it may carry a composition time offset.
    pub(super) fn has_composition_time(self) -> bool {
        matches!(self, Format::H264 | Format::H265)
    }
}
