//! Video tags (annex E.4.3; Enhanced RTMP, "Enhanced Video").
//!
//! ```text
//! |0| type  | codec |  AVC packet type  |      composition time (24 bits, signed)      |   legacy
//! |1| type  | packet|  fourCC, or ModEx and multitrack  | composition time, if any     |   extended
//! ```

use super::Kind;
use super::error::Error;
use super::extended::{self, CODED_FRAMES, Piece, Pieces, Role, SEQUENCE_END, SEQUENCE_START, take};
use super::format::{Format, FourCc};
use bytes::Bytes;
use smallvec::SmallVec;

pub(super) const CODEC_AVC: u8 = 7;
/// H.265 as Chinese networks agreed on it, before Enhanced RTMP.
const CODEC_HEVC: u8 = 12;

const EXTENDED: u8 = 0x80;
const KEY: u8 = 1;
const INTER: u8 = 2;
const COMMAND: u8 = 5;

/// `VideoPacketType`, beyond those that audio shares.
const CODED_FRAMES_X: u8 = 3;
const METADATA: u8 = 4;
const MPEG2_TS_SEQUENCE_START: u8 = 5;
pub(super) const MULTITRACK: u8 = 6;

/// `AVCPacketType`.
const AVC_SEQUENCE_HEADER: u8 = 0;
const AVC_UNITS: u8 = 1;
const AVC_END: u8 = 2;

/// Reads the body of a video message. Commands, metadata and what is reserved give no pieces.
pub(super) fn parse(mut body: Bytes) -> Result<Pieces, Error> {
    let Some(&first) = body.first() else { return Ok(Pieces::new()) };
    let _ = body.split_to(1);
    let frame_type = first >> 4 & 0x07;
    if first & EXTENDED == 0 {
        return if frame_type == COMMAND { Ok(Pieces::new()) } else { legacy(first & 0x0F, body) };
    }
    if frame_type == COMMAND && first & 0x0F != METADATA {
        return Ok(Pieces::new());
    }
    let (packet_type, parts) = extended::parts(Kind::Video, first & 0x0F, MULTITRACK, body)?;
    let mut pieces = Pieces::new();
    for extended::Part { track_id, format, mut body } in parts {
        let role = match packet_type {
            SEQUENCE_START => Role::SequenceStart,
            CODED_FRAMES if format.has_composition_time() => {
                Role::Coded { composition_ms: composition_ms(&mut body)? }
            }
            CODED_FRAMES | CODED_FRAMES_X => Role::Coded { composition_ms: 0 },
            SEQUENCE_END => Role::SequenceEnd,
            METADATA | MPEG2_TS_SEQUENCE_START => continue,
            _ => return Err(Error::Unsupported { what: "video packet type" }),
        };
        pieces.push(Piece { track_id, format, role, payload: body });
    }
    Ok(pieces)
}

fn legacy(codec: u8, mut body: Bytes) -> Result<Pieces, Error> {
    let format = match codec {
        CODEC_AVC => Format::H264,
        CODEC_HEVC => Format::H265,
        _ => {
            let role = Role::Coded { composition_ms: 0 };
            let piece = Piece { track_id: 0, format: Format::Unsupported, role, payload: body };
            return Ok(Pieces::from_iter([piece]));
        }
    };
    let [packet_type] = take(&mut body, "AVC packet type")?;
    let composition_ms = composition_ms(&mut body)?;
    let role = match packet_type {
        AVC_SEQUENCE_HEADER => Role::SequenceStart,
        AVC_UNITS => Role::Coded { composition_ms },
        AVC_END => Role::SequenceEnd,
        _ => return Err(Error::invalid("AVC packet type")),
    };
    Ok(Pieces::from_iter([Piece { track_id: 0, format, role, payload: body }]))
}

/// A signed number of 24 bits.
fn composition_ms(body: &mut Bytes) -> Result<i32, Error> {
    let [high, middle, low] = take(body, "composition time")?;
    Ok(i32::from_be_bytes([high, middle, low, 0]) >> 8)
}

/// The start of a body, up to the payload.
pub(super) type Head = SmallVec<[u8; 12]>;

/// Head of a legacy H.264 sequence header.
pub(super) fn legacy_sequence_header() -> Head {
    Head::from_slice(&[KEY << 4 | CODEC_AVC, AVC_SEQUENCE_HEADER, 0, 0, 0])
}

/// Head of a legacy H.264 access unit; `composition_ms` is cut to 24 bits.
pub(super) fn legacy_unit(random_access: bool, composition_ms: i32) -> Head {
    let [_, high, middle, low] = composition_ms.to_be_bytes();
    Head::from_slice(&[frame_type(random_access) | CODEC_AVC, AVC_UNITS, high, middle, low])
}

/// Head of an extended sequence header.
pub(super) fn sequence_header(fourcc: FourCc, track_id: u8) -> Head {
    extended::head(EXTENDED | KEY << 4, MULTITRACK, SEQUENCE_START, fourcc, track_id).into_iter().collect()
}

/// Head of an extended access unit; without composition time where it is zero, and where the codec has none.
pub(super) fn unit(fourcc: FourCc, track_id: u8, random_access: bool, composition_ms: i32) -> Head {
    let first = EXTENDED | frame_type(random_access);
    let composed = Format::from_fourcc(Kind::Video, fourcc).has_composition_time();
    let packet_type = if composed && composition_ms == 0 { CODED_FRAMES_X } else { CODED_FRAMES };
    let mut head: Head =
        extended::head(first, MULTITRACK, packet_type, fourcc, track_id).into_iter().collect();
    if packet_type == CODED_FRAMES && composed {
        head.extend_from_slice(&composition_ms.to_be_bytes()[1..]);
    }
    head
}

fn frame_type(random_access: bool) -> u8 {
    if random_access { KEY << 4 } else { INTER << 4 }
}
