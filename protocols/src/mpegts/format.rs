//! What an elementary stream holds, as the program map says it: a stream type, or private data with a registration.
//!
//! | codec | stream type | descriptors |
//! |---|---|---|
//! | MPEG-1, MPEG-2 video | 0x01, 0x02 | |
//! | MPEG audio | 0x03, 0x04 | |
//! | AAC | 0x0F in ADTS, 0x11 in LATM (LOAS) | |
//! | MPEG-4 video, H.264, H.265 | 0x10, 0x1B, 0x24 | `HEVC` registration is written for H.265 |
//! | AC-3 | 0x81 (ATSC A/53), 0x06 (ETSI EN 300 468, annex D) | registration `AC-3`; descriptor 0x6A |
//! | Opus | 0x06 | registration `Opus`; extension descriptor with the channels |
//! | KLV | 0x06 asynchronous, 0x15 synchronous (MISB ST 1402) | registration `KLVA`; metadata descriptor |

use super::pes;
use super::psi::{Descriptors, MappedStream};
use crate::codec::Configuration;
use crate::codec::configuration::{Aac, MpegAudio, Opus};
use crate::track::{Codec, Elementary};
use smallvec::SmallVec;

const MPEG1_VIDEO: u8 = 0x01;
const MPEG2_VIDEO: u8 = 0x02;
const MPEG1_AUDIO: u8 = 0x03;
const MPEG2_AUDIO: u8 = 0x04;
const PRIVATE: u8 = 0x06;
const ADTS: u8 = 0x0F;
const MPEG4_VIDEO: u8 = 0x10;
const LATM: u8 = 0x11;
const METADATA: u8 = 0x15;
const H264: u8 = 0x1B;
const H265: u8 = 0x24;
const AC3: u8 = 0x81;

const REGISTRATION_TAG: u8 = 0x05;
const METADATA_TAG: u8 = 0x26;
const AC3_TAG: u8 = 0x6A;
const EXTENSION_TAG: u8 = 0x7F;
/// Opus audio descriptor, in the extension descriptor (the Opus mapping of ETSI TS 101 154 and FFmpeg).
const OPUS_EXTENSION_TAG: u8 = 0x80;
/// `metadata_application_format` that says that a format identifier follows (2.6.60).
const METADATA_APPLICATION: [u8; 2] = [0xFF; 2];

/// How the units of one stream lie in its PES packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    H264,
    H265,
    Mpeg4Video,
    Mpeg1Video,
    Mpeg2Video,
    /// AAC with an ADTS header before each raw data block.
    Adts,
    /// AAC as LATM in LOAS audio sync streams.
    Latm,
    Opus {
        /// 1 to 8.
        channels: u8,
    },
    Mpeg1Audio,
    /// MPEG-2 audio: the low sampling rates.
    Mpeg2Audio,
    Ac3,
    Klv,
    /// KLV units in metadata access unit cells.
    SynchronousKlv,
}

impl Format {
    /// What a stream of a program map holds; `None` for what no track can be made of.
    pub fn of(stream: &MappedStream<'_>) -> Option<Format> {
        let descriptors = stream.descriptors;
        match stream.stream_type {
            MPEG1_VIDEO => Some(Format::Mpeg1Video),
            MPEG2_VIDEO => Some(Format::Mpeg2Video),
            MPEG1_AUDIO => Some(Format::Mpeg1Audio),
            MPEG2_AUDIO => Some(Format::Mpeg2Audio),
            ADTS => Some(Format::Adts),
            LATM => Some(Format::Latm),
            MPEG4_VIDEO => Some(Format::Mpeg4Video),
            H264 => Some(Format::H264),
            H265 => Some(Format::H265),
            AC3 => Some(Format::Ac3),
            PRIVATE => Format::of_private(descriptors),
            METADATA if is_klv_metadata(descriptors) => Some(Format::SynchronousKlv),
            _ => None,
        }
    }

    fn of_private(descriptors: Descriptors<'_>) -> Option<Format> {
        match registration(descriptors) {
            Some(b"AC-3") => Some(Format::Ac3),
            Some(b"KLVA") => Some(Format::Klv),
            Some(b"HEVC") => Some(Format::H265),
            Some(b"Opus") => descriptors.iter().filter(|(tag, _)| *tag == EXTENSION_TAG).find_map(
                |(_, body)| match *body {
                    // Zero is two independent channels, and above 8 the channels are listed in ways nobody sends.
                    [OPUS_EXTENSION_TAG, 0, ..] => Some(Format::Opus { channels: 2 }),
                    [OPUS_EXTENSION_TAG, channels @ 1..=8, ..] => Some(Format::Opus { channels }),
                    _ => None,
                },
            ),
            _ => descriptors.find(AC3_TAG).map(|_| Format::Ac3),
        }
    }

    /// What to write a track as.
    ///
    /// # Errors
    /// The reason why there is no way to.
    pub fn for_track(elementary: &Elementary) -> Result<Format, &'static str> {
        let configuration = elementary.configuration.as_deref();
        match (&elementary.track.codec, configuration) {
            (Codec::H264, _) => Ok(Format::H264),
            (Codec::H265, _) => Ok(Format::H265),
            (Codec::Mpeg4Video, _) => Ok(Format::Mpeg4Video),
            (Codec::MpegVideo, Some(Configuration::MpegVideo { headers })) if is_mpeg1_video(headers) => {
                Ok(Format::Mpeg1Video)
            }
            (Codec::MpegVideo, _) => Ok(Format::Mpeg2Video),
            (Codec::Aac | Codec::AacLatm, Some(Configuration::Aac(aac))) if !fits_adts(aac) => {
                Ok(Format::Latm)
            }
            (Codec::Aac | Codec::AacLatm, _) => Ok(Format::Adts),
            (Codec::Opus, Some(Configuration::Opus(Opus { channels, .. }))) => opus(*channels),
            (Codec::Opus, _) => opus(elementary.track.channels),
            (Codec::MpegAudio, Some(Configuration::MpegAudio(MpegAudio { sample_rate: ..32_000, .. }))) => {
                Ok(Format::Mpeg2Audio)
            }
            (Codec::MpegAudio, _) => Ok(Format::Mpeg1Audio),
            (Codec::Ac3, _) => Ok(Format::Ac3),
            (Codec::Klv, _) => Ok(Format::Klv),
            _ => Err("MPEG-TS has no place for it"),
        }
    }

    pub fn is_video(self) -> bool {
        use Format::{H264, H265, Mpeg1Video, Mpeg2Video, Mpeg4Video};
        matches!(self, H264 | H265 | Mpeg4Video | Mpeg1Video | Mpeg2Video)
    }

    pub(super) fn codec(self) -> Codec {
        match self {
            Format::H264 => Codec::H264,
            Format::H265 => Codec::H265,
            Format::Mpeg4Video => Codec::Mpeg4Video,
            Format::Mpeg1Video | Format::Mpeg2Video => Codec::MpegVideo,
            Format::Adts | Format::Latm => Codec::Aac,
            Format::Opus { .. } => Codec::Opus,
            Format::Mpeg1Audio | Format::Mpeg2Audio => Codec::MpegAudio,
            Format::Ac3 => Codec::Ac3,
            Format::Klv | Format::SynchronousKlv => Codec::Klv,
        }
    }

    pub(super) fn stream_type(self) -> u8 {
        match self {
            Format::H264 => H264,
            Format::H265 => H265,
            Format::Mpeg4Video => MPEG4_VIDEO,
            Format::Mpeg1Video => MPEG1_VIDEO,
            Format::Mpeg2Video => MPEG2_VIDEO,
            Format::Adts => ADTS,
            Format::Latm => LATM,
            Format::Mpeg1Audio => MPEG1_AUDIO,
            Format::Mpeg2Audio => MPEG2_AUDIO,
            Format::Ac3 => AC3,
            Format::Opus { .. } | Format::Klv => PRIVATE,
            Format::SynchronousKlv => METADATA,
        }
    }

    pub(super) fn stream_id(self) -> u8 {
        match self {
            _ if self.is_video() => pes::VIDEO,
            Format::Opus { .. } | Format::Ac3 | Format::Klv => pes::PRIVATE_1,
            Format::SynchronousKlv => pes::METADATA,
            _ => pes::AUDIO,
        }
    }

    /// The descriptors a reader needs to know the stream by.
    pub(super) fn descriptors(self) -> SmallVec<[u8; 16]> {
        let mut descriptors = SmallVec::new();
        let mut registration = |identifier: &[u8; 4]| {
            descriptors.extend_from_slice(&[REGISTRATION_TAG, 4]);
            descriptors.extend_from_slice(identifier);
        };
        match self {
            Format::H265 => registration(b"HEVC"),
            Format::Ac3 => registration(b"AC-3"),
            Format::Klv => registration(b"KLVA"),
            Format::Opus { channels } => {
                registration(b"Opus");
                descriptors.extend_from_slice(&[EXTENSION_TAG, 2, OPUS_EXTENSION_TAG, channels]);
            }
            Format::SynchronousKlv => {
                // General metadata, format by identifier, service 0, no decoder configuration (2.6.60, MISB ST 1402).
                descriptors.extend_from_slice(&[METADATA_TAG, 9, 0x01, 0x00, 0xFF]);
                descriptors.extend_from_slice(b"KLVA");
                descriptors.extend_from_slice(&[0, 0x0F]);
            }
            _ => {}
        }
        descriptors
    }
}

fn opus(channels: u16) -> Result<Format, &'static str> {
    match u8::try_from(channels) {
        Ok(channels @ 1..=8) => Ok(Format::Opus { channels }),
        _ => Err("Opus of more than 8 channels has no form in MPEG-TS"),
    }
}

/// Whether ADTS can say it (ISO/IEC 14496-3, 1.A.2.2): it has two bits for the object type, no rate but those listed, no
/// channel lists, and no short frames.
pub(super) fn fits_adts(aac: &Aac) -> bool {
    const RATES: [u32; 13] = [
        96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350,
    ];
    matches!(aac.object_type, 1..=4)
        && RATES.contains(&aac.sample_rate)
        && matches!(aac.channels, 1..=6 | 8)
        && aac.frame_samples == 1024
}

/// MPEG-1 has no extension after its sequence header.
fn is_mpeg1_video(headers: &[u8]) -> bool {
    !headers.is_empty() && !headers.windows(4).any(|code| code == [0, 0, 1, 0xB5])
}

fn registration(descriptors: Descriptors<'_>) -> Option<&[u8; 4]> {
    descriptors.find(REGISTRATION_TAG)?.first_chunk()
}

/// Timed ID3 has the same stream type, so the identifier is asked for.
fn is_klv_metadata(descriptors: Descriptors<'_>) -> bool {
    let described = |body: &[u8]| {
        let rest = match body.split_first_chunk() {
            Some((application, rest)) if *application == METADATA_APPLICATION => rest.get(4..),
            Some((_, rest)) => Some(rest),
            None => None,
        };
        matches!(rest, Some([0xFF, b'K', b'L', b'V', b'A', ..]))
    };
    registration(descriptors) == Some(b"KLVA") || descriptors.find(METADATA_TAG).is_some_and(described)
}

#[cfg(test)]
mod tests {
    use super::Format;
    use crate::mpegts::Pid;
    use crate::mpegts::psi::{Descriptors, MappedStream};

    fn of(stream_type: u8, descriptors: &[u8]) -> Option<Format> {
        Format::of(&MappedStream { stream_type, pid: Pid(256), descriptors: Descriptors(descriptors) })
    }

    #[test]
    fn every_format_is_known_by_what_is_written_of_it() {
        use Format::{Ac3, Adts, H264, H265, Klv, Latm, Mpeg1Audio, Mpeg1Video, Mpeg2Audio, Mpeg2Video};
        let opus = Format::Opus { channels: 6 };
        for format in [
            H264,
            H265,
            Format::Mpeg4Video,
            Mpeg1Video,
            Mpeg2Video,
            Adts,
            Latm,
            opus,
            Mpeg1Audio,
            Mpeg2Audio,
            Ac3,
            Klv,
            Format::SynchronousKlv,
        ] {
            assert_eq!(of(format.stream_type(), &format.descriptors()), Some(format));
        }
    }

    #[test]
    fn private_streams_are_known_by_their_descriptors() {
        assert_eq!(of(0x06, &[0x6A, 1, 0]), Some(Format::Ac3), "DVB");
        assert_eq!(of(0x06, &[0x7A, 1, 0]), None, "E-AC-3");
        assert_eq!(of(0x06, b"\x05\x04Opus"), None, "no channels");
        assert_eq!(of(0x06, b"\x05\x04Opus\x7F\x02\x80\x00"), Some(Format::Opus { channels: 2 }));
        assert_eq!(of(0x15, b"\x26\x0DAAAA"), None, "cut off");
        assert_eq!(of(0x15, b"\x26\x0D\xFF\xFFID3 \xFFID3 \x00\x0F\x00"), None, "timed ID3");
        assert_eq!(
            of(0x15, b"\x26\x09\x01\x00\xFFKLVA\x00\x0F"),
            Some(Format::SynchronousKlv),
            "MISB ST 1402"
        );
        assert_eq!(of(0x06, &[]), None);
        assert_eq!(of(0x05, &[]), None);
    }
}
