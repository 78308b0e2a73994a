//! Answers, as an HTTP server sends them on.

use bytes::Bytes;
use std::sync::Arc;

/// What to do with a request.
#[derive(Clone, Debug)]
pub enum Response {
    Ready {
        body: Body,
        content_type: ContentType,
        cacheability: Cacheability,
    },
    /// Ask again when [`super::Muxer::reached`] says so: a blocking playlist reload, or a part that was hinted at.
    Wait(Position),
    /// 404: never was, or is gone.
    NotFound,
    /// 400: a playlist further ahead than one may wait for (section 6.2.5.2).
    BadRequest,
}

/// Pieces that belong one after the other.
#[derive(Clone, Debug, Default)]
pub struct Body {
    pub pieces: Arc<[Bytes]>,
    /// Of all pieces.
    pub bytes: usize,
}

/// A place in a media playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub rendition: u8,
    /// Media sequence number.
    pub msn: u64,
    /// Index in the segment; `None` for the whole segment.
    pub part: Option<u64>,
}

/// The value of the Content-Type header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    Playlist,
    VideoMp4,
    AudioMp4,
    TransportStream,
}

/// How long an answer may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cacheability {
    /// The file never changes: as long as the cache likes.
    Immutable,
    /// `max-age`, in seconds.
    Seconds(u32),
    NoStore,
}

impl ContentType {
    pub fn as_str(self) -> &'static str {
        match self {
            ContentType::Playlist => "application/vnd.apple.mpegurl",
            ContentType::VideoMp4 => "video/mp4",
            ContentType::AudioMp4 => "audio/mp4",
            ContentType::TransportStream => "video/mp2t",
        }
    }
}

impl From<Vec<Bytes>> for Body {
    fn from(pieces: Vec<Bytes>) -> Body {
        Body { bytes: pieces.iter().map(Bytes::len).sum(), pieces: pieces.into() }
    }
}

impl From<Bytes> for Body {
    fn from(piece: Bytes) -> Body {
        Body { bytes: piece.len(), pieces: Arc::new([piece]) }
    }
}
