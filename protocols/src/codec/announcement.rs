//! Decoder configurations as session descriptions announce them: the format parameters (`a=fmtp`) of each codec's RTP
//! payload format, read leniently and written as MediaMTX and FFmpeg read them.
//!
//! AV1, VP8, VP9, MPEG video and audio, AC-3 and Motion JPEG announce nothing a decoder needs: their units tell.

use super::configuration::{Aac, Configuration, H264, H265, Opus, Samples, VIDEO_CLOCK_RATE};
use super::{h264, h265, latm, opus};
use crate::limits::{PARAMETER_SET_BYTES_MAX, PICTURE_PARAMETER_SETS_MAX};
use crate::sdp;
use crate::track::{Codec, Medium, Track};
use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use bytes::Bytes;

/// The first dynamic payload type (RFC 3551, section 3).
const DYNAMIC: u8 = 96;
/// Payload types of RFC 3551, section 6.
const PCMU: u8 = 0;
const PCMA: u8 = 8;
const MPA: u8 = 14;
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// A parameter set in an announcement is base64, of some cameras without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

impl Configuration {
    /// What the announcement of a track says; `None` where it says nothing, or nonsense: then the units tell.
    pub fn from_track(track: &Track) -> Option<Configuration> {
        let samples = |bits| Samples { bits, sample_rate: track.clock_rate, channels: track.channels.max(1) };
        match &track.codec {
            Codec::H264 => from_parameter_sets(track),
            Codec::H265 => {
                let one = |name, kind| sets(track, name).find(|unit| h265::kind(unit) == kind);
                let pps = sets(track, "sprop-pps").filter(|unit| h265::kind(unit) == h265::PPS);
                let pps = pps.take(PICTURE_PARAMETER_SETS_MAX).collect::<Vec<_>>();
                let (vps, sps) = (one("sprop-vps", h265::VPS)?, one("sprop-sps", h265::SPS)?);
                (!pps.is_empty()).then_some(Configuration::H265(H265 { vps, sps, pps }))
            }
            Codec::Mpeg4Video => {
                let headers = hexadecimal(parameter(track, "config")?)?;
                Some(Configuration::Mpeg4Video { headers })
            }
            Codec::Aac => {
                let config = hexadecimal(parameter(track, "config")?)?;
                Aac::parse(config).ok().map(Configuration::Aac)
            }
            Codec::AacLatm => {
                let config = hexadecimal(parameter(track, "config")?)?;
                latm::StreamMuxConfig::parse(&config).ok().map(|config| Configuration::Aac(config.aac))
            }
            Codec::Opus => Some(Configuration::Opus(Opus {
                channels: opus_channels(track),
                pre_skip: opus::PRE_SKIP_DEFAULT,
            })),
            Codec::Pcmu => Some(Configuration::Pcmu(samples(8))),
            Codec::Pcma => Some(Configuration::Pcma(samples(8))),
            Codec::Lpcm { bits } => Some(Configuration::Lpcm(samples(*bits))),
            Codec::Klv => Some(Configuration::Klv),
            _ => None,
        }
    }

    /// The track that announces this configuration: clock, channels, format parameters, and a payload type that is
    /// static where there is one. FLAC, which has no payload format, has neither payload format name nor parameters.
    pub fn track(&self) -> Track {
        let codec = self.codec();
        let (medium, clock_rate) = match (&codec, self.sample_rate()) {
            // The clock of its payload format is the one of video (RFC 2250, section 2).
            (Codec::MpegAudio, _) => (Medium::Audio, VIDEO_CLOCK_RATE),
            (_, Some(sample_rate)) => (Medium::Audio, sample_rate.max(1)),
            (Codec::Klv, None) => (Medium::Application, VIDEO_CLOCK_RATE),
            _ => (Medium::Video, VIDEO_CLOCK_RATE),
        };
        let channels = self.channels().unwrap_or(0);
        let payload_type = match &codec {
            Codec::Pcmu if (clock_rate, channels) == (8000, 1) => PCMU,
            Codec::Pcma if (clock_rate, channels) == (8000, 1) => PCMA,
            Codec::MpegAudio => MPA,
            _ => DYNAMIC,
        };
        // Opus is announced with two channels whatever it has (RFC 7587, section 7), and above two under another name.
        let rtpmap = match &codec {
            _ if payload_type != DYNAMIC => None,
            Codec::Opus if channels > 2 => Some(format!("multiopus/{clock_rate}/{channels}")),
            codec => sdp::rtpmap_of(codec, clock_rate, channels),
        };
        Track {
            medium,
            codec,
            clock_rate,
            channels: if let Configuration::Opus(opus) = self { opus.channels.max(2) } else { channels },
            payload_type,
            format_parameters: self.format_parameters().into(),
            rtpmap: rtpmap.unwrap_or_default().into(),
            attributes: Vec::new(),
        }
    }

    fn format_parameters(&self) -> String {
        match self {
            Configuration::H264(h264) => {
                let [profile, constraints, level] = h264.profile_level();
                let sets = std::iter::once(&h264.sps).chain(&h264.pps);
                format!(
                    "packetization-mode=1; profile-level-id={profile:02X}{constraints:02X}{level:02X}; sprop-parameter-sets={}",
                    encoded(sets)
                )
            }
            Configuration::H265(h265) => format!(
                "sprop-vps={}; sprop-sps={}; sprop-pps={}",
                encoded([&h265.vps]),
                encoded([&h265.sps]),
                encoded(&h265.pps)
            ),
            Configuration::Av1(av1) => {
                let header = av1.header();
                format!(
                    "profile={}; level-idx={}; tier={}",
                    header.profile,
                    header.level,
                    u8::from(header.tier)
                )
            }
            Configuration::Vp9(vp9) => format!("profile-id={}", vp9.profile),
            Configuration::Mpeg4Video { headers } => {
                let level = super::mpeg4_video::profile_level(headers).unwrap_or(1);
                format!("profile-level-id={level}; config={}", digits(headers))
            }
            Configuration::Aac(aac) => format!(
                "streamtype=5; profile-level-id=1; mode=AAC-hbr; sizelength=13; indexlength=3; indexdeltalength=3; config={}",
                digits(&aac.specific_config)
            ),
            Configuration::Opus(opus) if opus.channels > 2 => {
                let (streams, coupled, mapping) = opus::mapping(opus.channels);
                let mapping = mapping.iter().map(u8::to_string).collect::<Vec<_>>().join(",");
                format!("channel_mapping={mapping}; num_streams={streams}; coupled_streams={coupled}")
            }
            Configuration::Opus(opus) => format!("sprop-stereo={}", u8::from(opus.channels == 2)),
            _ => String::new(),
        }
    }
}

/// A field of `a=fmtp`, whose names are of any case.
fn parameter<'a>(track: &'a Track, name: &str) -> Option<&'a str> {
    let mut fields = track.format_parameters.split(';').filter_map(|field| field.split_once('='));
    fields.find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// The NAL units of a parameter, each base64. Some cameras put a start code before them.
fn sets<'a>(track: &'a Track, name: &str) -> impl Iterator<Item = Bytes> + use<'a> {
    let text = parameter(track, name).unwrap_or_default();
    let sets = text.split(',').take(2 * PICTURE_PARAMETER_SETS_MAX).map(str::trim);
    sets.filter(|set| !set.is_empty() && set.len() <= PARAMETER_SET_BYTES_MAX).filter_map(|set| {
        let unit = Bytes::from(LENIENT.decode(set).ok()?);
        let start_code = [4, 3].into_iter().find(|size| unit.starts_with(&START_CODE[4 - size..]));
        let unit = unit.slice(start_code.unwrap_or(0)..);
        (!unit.is_empty()).then_some(unit)
    })
}

fn from_parameter_sets(track: &Track) -> Option<Configuration> {
    let of = |kind| sets(track, "sprop-parameter-sets").filter(move |unit| h264::kind(unit) == kind);
    let sps = of(h264::SPS).find(|unit| unit.len() >= 4)?;
    let pps = of(h264::PPS).take(PICTURE_PARAMETER_SETS_MAX).collect::<Vec<_>>();
    (!pps.is_empty()).then_some(Configuration::H264(H264 { sps, pps }))
}

/// `opus/48000/2` is said of mono too; the sender's hint tells (RFC 7587, 6.1). `multiopus` says the number itself.
fn opus_channels(track: &Track) -> u16 {
    match parameter(track, "sprop-stereo") {
        _ if track.channels > 2 => track.channels.min(8),
        Some("1") => 2,
        _ => 1,
    }
}

fn encoded<'a>(sets: impl IntoIterator<Item = &'a Bytes>) -> String {
    sets.into_iter().map(|set| STANDARD.encode(set)).collect::<Vec<_>>().join(",")
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hexadecimal(text: &str) -> Option<Bytes> {
    if text.is_empty() || text.len() > 2 * PARAMETER_SET_BYTES_MAX || !text.len().is_multiple_of(2) {
        return None;
    }
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    text.as_bytes().chunks_exact(2).map(byte).collect::<Option<Vec<u8>>>().map(Bytes::from)
}
