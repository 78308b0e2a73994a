//! What the API says of tracks: MediaMTX's labels, and properties read from what the publisher announced.
//!
//! As in MediaMTX a property that is not known is zero or empty, never missing.

use super::sps;
use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{GeneralPurposeConfig, STANDARD};
use headwater_engine::records::Stream;
use headwater_protocols::track::{Codec, Skipped, Track};
use serde::Serialize;
use utoipa::ToSchema;

/// A track as `tracks2` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PathTrack {
    #[schema(schema_with = super::openapi::codec_label)]
    codec: &'static str,
    #[schema(required)]
    codec_props: Option<CodecProps>,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged, rename_all_fields = "camelCase")]
#[schema(as = PathTrackCodecProps)]
pub(crate) enum CodecProps {
    Av1 {
        width: u64,
        height: u64,
        profile: u64,
        level: u64,
        tier: u64,
    },
    /// H264 and H265.
    Picture {
        width: u64,
        height: u64,
        profile: String,
        level: String,
    },
    Vp9 {
        profile: u64,
    },
    G711 {
        mu_law: bool,
        sample_rate: u64,
        channel_count: u64,
    },
    Lpcm {
        bit_depth: u64,
        sample_rate: u64,
        channel_count: u64,
    },
    /// MPEG-4 Audio and AC3.
    Audio {
        sample_rate: u64,
        channel_count: u64,
    },
    Opus {
        channel_count: u64,
    },
}

/// The words of `tracks` and of `codec`.
pub(super) const LABELS: [&str; 23] = [
    "AV1",
    "VP9",
    "VP8",
    "H265",
    "H264",
    "MPEG-4 Video",
    "MPEG-1/2 Video",
    "M-JPEG",
    "Opus",
    "FLAC",
    "Vorbis",
    "MPEG-4 Audio",
    "MPEG-4 Audio LATM",
    "MPEG-1/2 Audio",
    "AC3",
    "Speex",
    "G726",
    "G722",
    "G711",
    "LPCM",
    "MPEG-TS",
    "KLV",
    "Generic",
];

/// MediaMTX's name of the codec.
pub(crate) fn label(codec: &Codec) -> &'static str {
    let name = match codec {
        Codec::Ac3 => "AC3".to_owned(),
        Codec::Other(_) => "Generic".to_owned(),
        codec => codec.to_string(),
    };
    LABELS.into_iter().find(|label| *label == name).unwrap_or("Generic")
}

/// What `tracks2` shows of a track.
pub(crate) fn shown(track: &Track) -> PathTrack {
    PathTrack { codec: label(&track.codec), codec_props: properties(track) }
}

/// A track of a path that somebody is not given.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct SkippedTrack {
    /// Among the tracks of the path, from 0.
    index: u64,
    /// `null` where the path is gone.
    #[schema(required, schema_with = super::openapi::nullable_codec_label)]
    codec: Option<&'static str>,
    reason: &'static str,
}

/// What is skipped of a stream.
pub(super) fn skipped(skipped: &[Skipped], stream: Option<&Stream>) -> Vec<SkippedTrack> {
    let shown = |one: &Skipped| SkippedTrack {
        index: one.track as u64,
        codec: codec_of(one, stream),
        reason: one.reason,
    };
    skipped.iter().map(shown).collect()
}

/// MediaMTX's name of the codec of a track that is skipped.
pub(crate) fn codec_of(skipped: &Skipped, stream: Option<&Stream>) -> Option<&'static str> {
    stream?.tracks.get(skipped.track).map(|track| label(&track.codec))
}

fn properties(track: &Track) -> Option<CodecProps> {
    let number = |name| parameter(track, name).and_then(|value| value.parse().ok()).unwrap_or(0);
    let (sample_rate, channel_count) = (u64::from(track.clock_rate), u64::from(track.channels));
    Some(match &track.codec {
        Codec::Av1 => CodecProps::Av1 {
            width: 0,
            height: 0,
            profile: number("profile"),
            level: number("level-idx"),
            tier: number("tier"),
        },
        Codec::Vp9 => CodecProps::Vp9 { profile: number("profile-id") },
        Codec::H264 => h264(track),
        Codec::H265 => h265(track),
        Codec::Opus => CodecProps::Opus { channel_count: opus_channels(track) },
        Codec::Aac => aac(track),
        Codec::Ac3 => CodecProps::Audio { sample_rate, channel_count },
        Codec::Pcmu | Codec::Pcma => {
            CodecProps::G711 { mu_law: track.codec == Codec::Pcmu, sample_rate, channel_count }
        }
        Codec::Lpcm { bits } => CodecProps::Lpcm { bit_depth: u64::from(*bits), sample_rate, channel_count },
        _ => return None,
    })
}

/// A field of `a=fmtp`, whose names are of any case.
fn parameter<'a>(track: &'a Track, name: &str) -> Option<&'a str> {
    let mut fields = track.format_parameters.split(';').filter_map(|field| field.split_once('='));
    fields.find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// A parameter set in an announcement is base64, of some cameras without padding.
fn decoded(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    STANDARD.decode(text).or_else(|_| LENIENT.decode(text)).ok()
}

fn h264(track: &Track) -> CodecProps {
    let sets = parameter(track, "sprop-parameter-sets").unwrap_or_default().split(',');
    let picture = sets.filter_map(decoded).find_map(|unit| sps::h264(&unit));
    picture.map_or_else(unknown_picture, |picture| CodecProps::Picture {
        width: picture.width,
        height: picture.height,
        profile: match picture.profile {
            66 => "Baseline".to_owned(),
            77 => "Main".to_owned(),
            88 => "Extended".to_owned(),
            100 => "High".to_owned(),
            110 => "High 10".to_owned(),
            122 => "High 4:2:2".to_owned(),
            244 => "High 4:4:4 Predictive".to_owned(),
            other => other.to_string(),
        },
        level: match (picture.level / 10, picture.level % 10) {
            (major, 0) => major.to_string(),
            (major, minor) => format!("{major}.{minor}"),
        },
    })
}

fn h265(track: &Track) -> CodecProps {
    let sets = parameter(track, "sprop-sps").unwrap_or_default().split(',');
    let picture = sets.filter_map(decoded).find_map(|unit| sps::h265(&unit));
    picture.map_or_else(unknown_picture, |picture| CodecProps::Picture {
        width: picture.width,
        height: picture.height,
        profile: match picture.profile {
            1 => "Main".to_owned(),
            2 => "Main 10".to_owned(),
            3 => "Main Still Picture".to_owned(),
            4 => "Range Extensions".to_owned(),
            5 => "High Throughput".to_owned(),
            6 => "Multiview Main".to_owned(),
            7 => "Scalable Main".to_owned(),
            8 => "3D Main".to_owned(),
            9 => "Screen Content Coding Extensions".to_owned(),
            10 => "Scalable Range Extensions".to_owned(),
            other => other.to_string(),
        },
        // Thirty times the level (H.265, A.4).
        level: match picture.level % 30 {
            0 => (picture.level / 30).to_string(),
            _ => format!("{:.1}", f64::from(picture.level) / 30.0),
        },
    })
}

fn unknown_picture() -> CodecProps {
    CodecProps::Picture { width: 0, height: 0, profile: String::new(), level: String::new() }
}

/// `opus/48000/2` is said of mono too; the sender's hint tells (RFC 7587, 6.1). `multiopus` says the number itself.
fn opus_channels(track: &Track) -> u64 {
    match parameter(track, "sprop-stereo") {
        _ if track.channels > 2 => u64::from(track.channels),
        Some("1") => 2,
        _ => 1,
    }
}

/// From the AudioSpecificConfig where there is one (ISO/IEC 14496-3, 1.6.2.1).
fn aac(track: &Track) -> CodecProps {
    const RATES: [u64; 13] =
        [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];
    let bytes: Vec<u8> = parameter(track, "config")
        .unwrap_or_default()
        .as_bytes()
        .chunks_exact(2)
        .take(8)
        .map_while(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    let bits = bytes.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    let total = bytes.len() * 8;
    let mut at = 0;
    let mut take = |count: usize| {
        at += count;
        (at <= total).then(|| bits >> (total - at) & ((1 << count) - 1))
    };
    let mut read = || {
        if take(5)? == 31 {
            take(6)?; // the object type, extended
        }
        let rate = match take(4)? {
            15 => take(24)?,
            index => *RATES.get(index as usize)?,
        };
        let channels = match take(4)? {
            7 => 8,
            channels => channels,
        };
        Some((rate, channels))
    };
    let (sample_rate, channel_count) =
        read().unwrap_or((u64::from(track.clock_rate), u64::from(track.channels)));
    CodecProps::Audio { sample_rate, channel_count }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_protocols::track::Medium;
    use serde_json::{Value, json};

    pub(super) fn track(codec: Codec, clock_rate: u32, channels: u16, parameters: &str) -> Track {
        Track {
            medium: if channels > 0 { Medium::Audio } else { Medium::Video },
            codec,
            clock_rate,
            channels,
            payload_type: 96,
            format_parameters: parameters.into(),
            rtpmap: "".into(),
            attributes: Vec::new(),
        }
    }

    fn of(codec: Codec, clock_rate: u32, channels: u16, parameters: &str) -> Value {
        serde_json::to_value(shown(&track(codec, clock_rate, channels, parameters))).unwrap()
    }

    #[test]
    fn properties_come_from_the_announcement() {
        let h264 = "packetization-mode=1; sprop-parameter-sets=Z2QAHqzZQKAv+XARAAADAAEAAAMAPA8WLZY=,aOvjyyLA; profile-level-id=64001E";
        for (shown, codec, props) in [
            (
                of(Codec::H264, 90000, 0, h264),
                "H264",
                json!({"width":640,"height":360,"profile":"High","level":"3"}),
            ),
            (of(Codec::H264, 90000, 0, ""), "H264", json!({"width":0,"height":0,"profile":"","level":""})),
            (
                of(Codec::H265, 90000, 0, "sprop-sps=!!!"),
                "H265",
                json!({"width":0,"height":0,"profile":"","level":""}),
            ),
            (
                of(Codec::Av1, 90000, 0, "profile=1;level-idx=9;tier=0"),
                "AV1",
                json!({"width":0,"height":0,"profile":1,"level":9,"tier":0}),
            ),
            (of(Codec::Vp9, 90000, 0, "profile-id=2"), "VP9", json!({"profile":2})),
            (of(Codec::Opus, 48000, 2, "sprop-stereo=1"), "Opus", json!({"channelCount":2})),
            (of(Codec::Opus, 48000, 2, ""), "Opus", json!({"channelCount":1})),
            (
                of(Codec::Aac, 44100, 2, "mode=AAC-hbr;config=1190"),
                "MPEG-4 Audio",
                json!({"sampleRate":48000,"channelCount":2}),
            ),
            (
                of(Codec::Aac, 44100, 2, "config=zz"),
                "MPEG-4 Audio",
                json!({"sampleRate":44100,"channelCount":2}),
            ),
            (of(Codec::Ac3, 48000, 6, ""), "AC3", json!({"sampleRate":48000,"channelCount":6})),
            (of(Codec::Pcmu, 8000, 1, ""), "G711", json!({"muLaw":true,"sampleRate":8000,"channelCount":1})),
            (
                of(Codec::Lpcm { bits: 24 }, 48000, 2, ""),
                "LPCM",
                json!({"bitDepth":24,"sampleRate":48000,"channelCount":2}),
            ),
            (of(Codec::Vp8, 90000, 0, ""), "VP8", Value::Null),
            (of(Codec::Other("x".into()), 90000, 0, ""), "Generic", Value::Null),
        ] {
            assert_eq!(shown, json!({"codec": codec, "codecProps": props}));
        }
    }
}
