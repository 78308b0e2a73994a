//! Which codec a payload type stands for: encoding names of `a=rtpmap`, and the static table of RFC 3551, section 6.

use crate::track::{Codec, Medium, Track};

/// What `a=rtpmap` or the static table says of a payload type.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) codec: Codec,
    pub(super) clock_rate: u32,
    pub(super) channels: u16,
}

impl Format {
    /// Whether this says all of `track` that an `a=rtpmap` could say.
    pub(super) fn describes(&self, track: &Track) -> bool {
        (&self.codec, self.clock_rate, self.channels) == (&track.codec, track.clock_rate, track.channels)
    }
}

/// Reads `H264/90000` or `opus/48000/2`; names compare without case, and a missing or zero rate is the codec's own.
pub(super) fn from_rtpmap(rtpmap: &str, medium: Medium) -> Option<Format> {
    let mut parts = rtpmap.split('/').map(str::trim_ascii);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let codec = codec(name);
    let number =
        |text: Option<&str>| text.and_then(|text| text.parse::<u32>().ok()).filter(|&number| number > 0);
    let clock_rate = number(parts.next()).unwrap_or_else(|| default_clock_rate(&codec, medium));
    let channels = number(parts.next()).and_then(|channels| u16::try_from(channels).ok()).unwrap_or(1);
    Some(Format { codec, clock_rate, channels: if medium == Medium::Audio { channels } else { 0 } })
}

fn codec(name: &str) -> Codec {
    match name.to_ascii_uppercase().as_str() {
        "H264" => Codec::H264,
        "H265" | "HEVC" => Codec::H265,
        "AV1" => Codec::Av1,
        "VP8" => Codec::Vp8,
        "VP9" => Codec::Vp9,
        "JPEG" => Codec::Mjpeg,
        "MP4V-ES" => Codec::Mpeg4Video,
        "MPV" => Codec::MpegVideo,
        "MPEG4-GENERIC" => Codec::Aac,
        "MP4A-LATM" => Codec::AacLatm,
        "OPUS" | "MULTIOPUS" => Codec::Opus,
        "MPA" => Codec::MpegAudio,
        "AC3" => Codec::Ac3,
        "PCMU" => Codec::Pcmu,
        "PCMA" => Codec::Pcma,
        "G722" => Codec::G722,
        "G726-16" | "G726-24" | "G726-32" | "G726-40" => Codec::G726,
        "AAL2-G726-16" | "AAL2-G726-24" | "AAL2-G726-32" | "AAL2-G726-40" => Codec::G726,
        "L8" => Codec::Lpcm { bits: 8 },
        "L16" => Codec::Lpcm { bits: 16 },
        "L24" => Codec::Lpcm { bits: 24 },
        "VORBIS" => Codec::Vorbis,
        "SPEEX" => Codec::Speex,
        "SMPTE336M" => Codec::Klv,
        "MP2T" => Codec::MpegTs,
        _ => Codec::Other(name.into()),
    }
}

fn default_clock_rate(codec: &Codec, medium: Medium) -> u32 {
    match codec {
        Codec::Opus => 48_000,
        Codec::MpegAudio | Codec::Klv | Codec::MpegTs => 90_000,
        _ if medium == Medium::Audio => 8_000,
        _ => 90_000,
    }
}

/// A static payload type announced without `a=rtpmap`.
pub(super) fn from_static(payload_type: u8, medium: Medium) -> Option<Format> {
    let other = |name: &str| Codec::Other(name.into());
    let (codec, clock_rate, channels) = match payload_type {
        0 => (Codec::Pcmu, 8_000, 1),
        3 => (other("GSM"), 8_000, 1),
        4 => (other("G723"), 8_000, 1),
        5 => (other("DVI4"), 8_000, 1),
        6 => (other("DVI4"), 16_000, 1),
        7 => (other("LPC"), 8_000, 1),
        8 => (Codec::Pcma, 8_000, 1),
        // The clock of G.722 is 8 kHz by an error that was kept (RFC 3551, section 4.5.2).
        9 => (Codec::G722, 8_000, 1),
        10 => (Codec::Lpcm { bits: 16 }, 44_100, 2),
        11 => (Codec::Lpcm { bits: 16 }, 44_100, 1),
        12 => (other("QCELP"), 8_000, 1),
        13 => (other("CN"), 8_000, 1),
        14 => (Codec::MpegAudio, 90_000, 1),
        15 => (other("G728"), 8_000, 1),
        16 => (other("DVI4"), 11_025, 1),
        17 => (other("DVI4"), 22_050, 1),
        18 => (other("G729"), 8_000, 1),
        25 => (other("CelB"), 90_000, 0),
        26 => (Codec::Mjpeg, 90_000, 0),
        28 => (other("nv"), 90_000, 0),
        31 => (other("H261"), 90_000, 0),
        32 => (Codec::MpegVideo, 90_000, 0),
        33 => (Codec::MpegTs, 90_000, 0),
        34 => (other("H263"), 90_000, 0),
        _ => return None,
    };
    // Only audio has channels, whatever the section calls itself.
    let channels = if medium == Medium::Audio { channels.max(1) } else { 0 };
    Some(Format { codec, clock_rate, channels })
}

/// The `a=rtpmap` value of a track that came without one.
pub(crate) fn rtpmap_of(codec: &Codec, clock_rate: u32, channels: u16) -> Option<String> {
    let name = match codec {
        Codec::H264 => "H264",
        Codec::H265 => "H265",
        Codec::Av1 => "AV1",
        Codec::Vp8 => "VP8",
        Codec::Vp9 => "VP9",
        Codec::Mjpeg => "JPEG",
        Codec::Mpeg4Video => "MP4V-ES",
        Codec::MpegVideo => "MPV",
        Codec::Aac => "mpeg4-generic",
        Codec::AacLatm => "MP4A-LATM",
        Codec::Opus => "opus",
        Codec::MpegAudio => "MPA",
        Codec::Ac3 => "AC3",
        Codec::Pcmu => "PCMU",
        Codec::Pcma => "PCMA",
        Codec::G722 => "G722",
        Codec::Lpcm { bits } => return Some(with_channels(&format!("L{bits}"), clock_rate, channels)),
        Codec::Vorbis => "VORBIS",
        Codec::Speex => "speex",
        Codec::Klv => "smpte336m",
        Codec::MpegTs => "MP2T",
        // The bit rate is part of the name, and only the announcement knows it.
        Codec::G726 => return None,
        Codec::Flac => return None,
        Codec::Other(name) => name,
    };
    // RFC 7587, section 7: Opus is always announced with two channels.
    let channels = if *codec == Codec::Opus { channels.max(2) } else { channels };
    Some(with_channels(name, clock_rate, channels))
}

fn with_channels(name: &str, clock_rate: u32, channels: u16) -> String {
    if channels > 1 { format!("{name}/{clock_rate}/{channels}") } else { format!("{name}/{clock_rate}") }
}
