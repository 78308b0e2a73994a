//! Audio tags (annex E.4.2; Enhanced RTMP, "Enhanced Audio").
//!
//! ```text
//! | format|rate |b|s|  AAC packet type, with AAC   |   legacy: rate 5.5 to 44.1 kHz, b 16 bits, s stereo
//! |   9   | packet  |  fourCC, or ModEx and multitrack |   extended
//! ```

use super::Kind;
use super::error::Error;
use super::extended::{self, CODED_FRAMES, Piece, Pieces, Role, SEQUENCE_END, SEQUENCE_START, take};
use super::format::{Format, FourCc};
use bytes::Bytes;
use smallvec::SmallVec;

/// `SoundFormat`.
const FORMAT_LPCM_PLATFORM: u8 = 0;
pub(super) const FORMAT_MP3: u8 = 2;
pub(super) const FORMAT_LPCM: u8 = 3;
pub(super) const FORMAT_PCMA: u8 = 7;
pub(super) const FORMAT_PCMU: u8 = 8;
const FORMAT_EXTENDED: u8 = 9;
pub(super) const FORMAT_AAC: u8 = 10;
const FORMAT_MP3_8_KHZ: u8 = 14;

/// `SoundRate`: rates in Hz, by their code.
pub(super) const SAMPLE_RATES: [u32; 4] = [5512, 11_025, 22_050, 44_100];
/// Of G.711, whatever `SoundRate` says.
pub(super) const G711_SAMPLE_RATE: u32 = 8000;
const BITS_16: u8 = 0x02;
const STEREO: u8 = 0x01;

/// `AACPacketType`.
const AAC_SEQUENCE_HEADER: u8 = 0;
const AAC_RAW: u8 = 1;

/// `AudioPacketType`, beyond those that video shares.
const MULTICHANNEL_CONFIG: u8 = 4;
pub(super) const MULTITRACK: u8 = 5;

/// Reads the body of an audio message. An empty one, which stands for silence, gives no pieces.
pub(super) fn parse(mut body: Bytes) -> Result<Pieces, Error> {
    let Some(&first) = body.first() else { return Ok(Pieces::new()) };
    let _ = body.split_to(1);
    if first >> 4 != FORMAT_EXTENDED {
        return legacy(first, body);
    }
    let (packet_type, parts) = extended::parts(Kind::Audio, first & 0x0F, MULTITRACK, body)?;
    let role = match packet_type {
        SEQUENCE_START => Role::SequenceStart,
        CODED_FRAMES => Role::Coded { composition_ms: 0 },
        SEQUENCE_END => Role::SequenceEnd,
        // Which speaker each channel is for: the codecs say it themselves.
        MULTICHANNEL_CONFIG => return Ok(Pieces::new()),
        _ => return Err(Error::Unsupported { what: "audio packet type" }),
    };
    let piece = |part: extended::Part| Piece {
        track_id: part.track_id,
        format: part.format,
        role,
        payload: part.body,
    };
    Ok(parts.into_iter().map(piece).collect())
}

fn legacy(first: u8, mut body: Bytes) -> Result<Pieces, Error> {
    let channels = if first & STEREO != 0 { 2 } else { 1 };
    let mut role = Role::Coded { composition_ms: 0 };
    let format = match first >> 4 {
        FORMAT_LPCM_PLATFORM | FORMAT_LPCM => Format::Lpcm {
            bits: if first & BITS_16 != 0 { 16 } else { 8 },
            sample_rate: SAMPLE_RATES[usize::from(first >> 2 & 3)],
            channels,
        },
        FORMAT_MP3 | FORMAT_MP3_8_KHZ => Format::MpegAudio,
        FORMAT_PCMA => Format::Pcma { channels },
        FORMAT_PCMU => Format::Pcmu { channels },
        FORMAT_AAC => {
            let [packet_type] = take(&mut body, "AAC packet type")?;
            role = match packet_type {
                AAC_SEQUENCE_HEADER => Role::SequenceStart,
                AAC_RAW => role,
                _ => return Err(Error::invalid("AAC packet type")),
            };
            Format::Aac
        }
        _ => Format::Unsupported,
    };
    Ok(Pieces::from_iter([Piece { track_id: 0, format, role, payload: body }]))
}

/// The start of a body, up to the payload.
pub(super) type Head = SmallVec<[u8; 8]>;

/// Head of a legacy AAC sequence header. Rate, size and channels are constants with AAC.
pub(super) fn aac_sequence_header() -> Head {
    Head::from_slice(&[FORMAT_AAC << 4 | 0x0F, AAC_SEQUENCE_HEADER])
}

/// Head of a legacy unit; `None` where legacy tags do not carry the format. `sample_rate` and `channels` are told of
/// MPEG audio only, where players read them from the frames anyway.
pub(super) fn legacy_unit(format: Format, sample_rate: u32, channels: u16) -> Option<Head> {
    let stereo = |channels| if channels > 1 { STEREO } else { 0 };
    let rate = |sample_rate| SAMPLE_RATES.iter().position(|rate| *rate == sample_rate).unwrap_or(3) as u8;
    let flags = match format {
        Format::Aac => return Some(Head::from_slice(&[FORMAT_AAC << 4 | 0x0F, AAC_RAW])),
        Format::MpegAudio if sample_rate == 8000 => {
            return Some(Head::from_slice(&[FORMAT_MP3_8_KHZ << 4 | BITS_16 | stereo(channels)]));
        }
        Format::MpegAudio => rate(sample_rate) << 2 | BITS_16 | stereo(channels),
        Format::Pcma { channels } | Format::Pcmu { channels } => BITS_16 | stereo(channels),
        Format::Lpcm { bits, sample_rate, channels } => {
            rate(sample_rate) << 2 | if bits == 16 { BITS_16 } else { 0 } | stereo(channels)
        }
        _ => return None,
    };
    Some(Head::from_slice(&[format.legacy_id()? << 4 | flags]))
}

/// Head of an extended sequence header.
pub(super) fn sequence_header(fourcc: FourCc, track_id: u8) -> Head {
    extended::head(FORMAT_EXTENDED << 4, MULTITRACK, SEQUENCE_START, fourcc, track_id)
}

/// Head of an extended unit.
pub(super) fn unit(fourcc: FourCc, track_id: u8) -> Head {
    extended::head(FORMAT_EXTENDED << 4, MULTITRACK, CODED_FRAMES, fourcc, track_id)
}
