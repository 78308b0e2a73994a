//! What the extended tags of audio and video have in common: ModEx, multitrack and fourCC (Enhanced RTMP,
//! `ExAudioTagHeader` and `ExVideoTagHeader`).
//!
//! ```text
//! |   of its medium   |packet type|                          first byte
//! | size - 1 | ... data ... |ModEx type|packet type|          while the packet type is ModEx (7)
//! |multitrack |packet type|                                  where the packet type is multitrack
//! |      fourCC of all tracks (unless many codecs)      |
//! | fourCC (many codecs) | track id | size (many tracks) |   for each track, and its body
//! ```

use super::Kind;
use super::error::Error;
use super::format::{Format, FourCc};
use crate::limits::TRACKS_MAX;
use bytes::{Buf, Bytes};
use smallvec::SmallVec;

/// Packet types that audio and video share.
pub(super) const SEQUENCE_START: u8 = 0;
pub(super) const CODED_FRAMES: u8 = 1;
pub(super) const SEQUENCE_END: u8 = 2;
const MOD_EX: u8 = 7;

/// `AvMultitrackType`.
const ONE_TRACK: u8 = 0;
const MANY_TRACKS: u8 = 1;
const MANY_TRACKS_MANY_CODECS: u8 = 2;

/// What a piece is to its track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The payload is the decoder's configuration.
    SequenceStart,
    /// The payload is one access unit, or several frames of audio.
    Coded {
        /// Presentation after decoding, in milliseconds.
        composition_ms: i32,
    },
    SequenceEnd,
}

/// What one message carries of one track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// 0 where the message says nothing of tracks.
    pub(super) track_id: u8,
    pub(super) format: Format,
    pub(super) role: Role,
    pub(super) payload: Bytes,
}

/// The pieces of a message; nearly always one.
pub(super) type Pieces = SmallVec<[Piece; 2]>;

/// A track's part of an extended body, its packet type known to the caller.
pub(super) struct Part {
    pub(super) track_id: u8,
    pub(super) format: Format,
    pub(super) body: Bytes,
}

/// Reads what follows the first byte, in whose low bits `packet_type` was. The packet type it ends with, and the parts.
pub(super) fn parts(
    kind: Kind,
    mut packet_type: u8,
    multitrack: u8,
    mut body: Bytes,
) -> Result<(u8, SmallVec<[Part; 2]>), Error> {
    while packet_type == MOD_EX {
        packet_type = skip_mod_ex(&mut body)?;
    }
    if packet_type != multitrack {
        let format = format(kind, &mut body)?;
        return Ok((packet_type, SmallVec::from_iter([Part { track_id: 0, format, body }])));
    }
    let [types] = take(&mut body, "multitrack type")?;
    let packet_type = types & 0x0F;
    if packet_type == multitrack || packet_type == MOD_EX {
        return Err(Error::invalid("packet type in multitrack"));
    }
    let parts = match types >> 4 {
        ONE_TRACK => {
            let format = format(kind, &mut body)?;
            let [track_id] = take(&mut body, "track id")?;
            SmallVec::from_iter([Part { track_id, format, body }])
        }
        MANY_TRACKS => {
            let format = format(kind, &mut body)?;
            many_tracks(&mut body, |_| Ok(format))?
        }
        MANY_TRACKS_MANY_CODECS => many_tracks(&mut body, |body| format(kind, body))?,
        _ => return Err(Error::Unsupported { what: "multitrack type" }),
    };
    Ok((packet_type, parts))
}

fn many_tracks(
    body: &mut Bytes,
    mut format: impl FnMut(&mut Bytes) -> Result<Format, Error>,
) -> Result<SmallVec<[Part; 2]>, Error> {
    let mut parts = SmallVec::new();
    while !body.is_empty() {
        if parts.len() == TRACKS_MAX {
            return Err(Error::Limit { what: "tracks of one message", max: TRACKS_MAX });
        }
        let format = format(body)?;
        let [track_id, high, middle, low] = take(body, "track size")?;
        let size = u32::from_be_bytes([0, high, middle, low]) as usize;
        if size > body.len() {
            return Err(Error::invalid("track size"));
        }
        parts.push(Part { track_id, format, body: body.split_to(size) });
    }
    Ok(parts)
}

/// Steps over one modifier. Only nanoseconds within the timestamp's millisecond are defined, which no clock here keeps.
fn skip_mod_ex(body: &mut Bytes) -> Result<u8, Error> {
    let [size] = take(body, "ModEx size")?;
    let size = match size {
        0xFF => usize::from(u16::from_be_bytes(take(body, "ModEx size")?)) + 1,
        _ => usize::from(size) + 1,
    };
    if size > body.len() {
        return Err(Error::invalid("ModEx size"));
    }
    body.advance(size);
    let [types] = take(body, "ModEx type")?;
    Ok(types & 0x0F)
}

fn format(kind: Kind, body: &mut Bytes) -> Result<Format, Error> {
    Ok(Format::from_fourcc(kind, FourCc(take(body, "fourCC")?)))
}

/// The first bytes, taken off.
pub(super) fn take<const BYTES: usize>(body: &mut Bytes, what: &'static str) -> Result<[u8; BYTES], Error> {
    let first = *body.first_chunk().ok_or(Error::Invalid { what })?;
    body.advance(BYTES);
    Ok(first)
}

/// The start of an extended body of the medium whose first byte without packet type is `first`, up to where the
/// configuration, composition time or payload begins; with `track_id` above 0 as one track of a multitrack message.
pub(super) fn head(
    first: u8,
    multitrack: u8,
    packet_type: u8,
    fourcc: FourCc,
    track_id: u8,
) -> SmallVec<[u8; 8]> {
    let mut head = SmallVec::new();
    if track_id == 0 {
        head.push(first | packet_type);
        head.extend_from_slice(&fourcc.0);
    } else {
        head.extend_from_slice(&[first | multitrack, ONE_TRACK << 4 | packet_type]);
        head.extend_from_slice(&fourcc.0);
        head.push(track_id);
    }
    head
}
