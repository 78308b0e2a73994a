//! FLV (Adobe, "Video File Format Specification", version 10.1, annex E) and Enhanced RTMP, version 2 (Veovera): the
//! messages that RTMP carries and that FLV files and HTTP-FLV have as tags.
//!
//! [`Muxer`] turns access units into [`Message`]s whose payloads are slices of the units; [`Demuxer`] turns messages
//! into units. [`tag`] writes and reads the framing of files. Timestamps are milliseconds in 32 bits that wrap.
//!
//! Read: the legacy tags of H.264, AAC, MP3, G.711 and LPCM; H.265 under codec 12, as Chinese networks and cameras send
//! it; the extended tags with their fourCCs, multitrack of all three kinds, and ModEx, whose nanoseconds are dropped.
//! Left out on purpose: encrypted tags, codecs of Flash (Sorenson, Screen, VP6, Nellymoser, Speex), E-AC-3, the
//! metadata tags of HDR, and AV1 described as in MPEG-TS.
//!
//! What a reader gets depends on what it says of itself ([`Capabilities`]): a legacy client at most one H.264 track and
//! one of AAC, MP3, G.711 or LPCM.

mod audio;
mod capabilities;
mod clock;
mod demuxer;
mod error;
mod extended;
mod format;
mod metadata;
mod muxer;
pub mod tag;
mod video;

pub use capabilities::Capabilities;
pub use demuxer::{Demuxer, Event};
pub use error::Error;
pub use format::{Format, FourCc};
pub use metadata::SET_DATA_FRAME;
pub use muxer::Muxer;

use bytes::Bytes;
use smallvec::SmallVec;

/// What a message or tag carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Audio,
    Video,
    /// Metadata in AMF0.
    Script,
}

impl Kind {
    /// The message type of RTMP, which is the tag type of FLV.
    pub const fn type_id(self) -> u8 {
        match self {
            Kind::Audio => 8,
            Kind::Video => 9,
            Kind::Script => 18,
        }
    }

    /// The kind of that type; `None` for all other types.
    pub const fn from_type_id(type_id: u8) -> Option<Kind> {
        match type_id {
            8 => Some(Kind::Audio),
            9 => Some(Kind::Video),
            18 => Some(Kind::Script),
            _ => None,
        }
    }
}

/// One message: an RTMP message's body, or a tag's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub kind: Kind,
    /// Decode time in milliseconds; wraps after 49 days.
    pub timestamp_ms: u32,
    /// The body, to be written one after the other. Headers have buffers of their own, payloads are slices of the unit.
    pub parts: SmallVec<[Bytes; 6]>,
}

impl Message {
    fn new(kind: Kind, timestamp_ms: u32, parts: impl IntoIterator<Item = Bytes>) -> Message {
        Message { kind, timestamp_ms, parts: parts.into_iter().collect() }
    }

    /// Bytes of the body.
    pub fn body_bytes(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    /// The body in one piece; without a copy where it has one part.
    pub fn body(&self) -> Bytes {
        match &self.parts[..] {
            [only] => only.clone(),
            parts => parts.concat().into(),
        }
    }
}

#[cfg(test)]
mod tests;
