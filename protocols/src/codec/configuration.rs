//! What a decoder must know before the first unit of a track, whatever protocol said it.
//!
//! Read from SDP (`a=fmtp`), from the records of FLV and MP4 (`avcC`, `hvcC`, …), from the tables of MPEG-TS, or from the
//! units themselves; written to all of these. The functions that do it are in the codecs' own files.

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
