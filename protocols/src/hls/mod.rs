//! HTTP Live Streaming, second edition (draft-pantos-hls-rfc8216bis-16): segments, parts, playlists, and which request
//! is answered when. No HTTP: file names and queries come in, bodies go out.
//!
//! [`Muxer`] cuts units into segments at random access points, and in low latency segments into parts. One video track,
//! and one audio track muxed with it; several audio tracks become renditions of their own (`EXT-X-MEDIA`).
//!
//! What players may rely on, beyond the specification:
//! - `EXT-X-TARGETDURATION` and `PART-TARGET` are decided when the first segment is complete, and hold from then on. Only
//!   then is the first playlist served, so no `EXT-X-GAP` segments stand in for what was not there yet: players take a
//!   playlist of one segment (low latency) or two, and fill up from there.
//! - A segment begins at a random access point, unless none came within the target duration, or the segment grew above
//!   its bytes: then it is cut regardless, and `EXT-X-INDEPENDENT-SEGMENTS` is gone for the rest of the run.
//! - A changed configuration, a jump of time and a returning publisher begin a new segment with `EXT-X-DISCONTINUITY`, in
//!   all renditions, and media times in the files go on without a jump.
//! - Names carry a prefix that is new with each muxer, and a number that is used once: what has been fetched never changes.
//! - A segment is its parts, one after the other.
//!
//! Parts are cut at the edges of units where these lie within 85 and 100 % of the target, and at the target itself where
//! they do not, as with irregular pictures: a unit then belongs to the part in which it begins.

mod date;
mod error;
mod feed;
mod multivariant;
mod muxer;
mod pace;
mod playlist;
mod rendition;
mod request;
mod response;
mod selection;
mod stored;
mod text;
mod transport;
mod window;

pub use error::Error;
pub use muxer::{Muxer, Progress};
pub use request::{Directives, Request, Skip};
pub use response::{Body, Cacheability, ContentType, Position, Response};
pub use stored::Stored;

use std::time::Duration;

/// How segments are packed (`hlsVariant`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Variant {
    MpegTs,
    Fmp4,
    #[default]
    LowLatency,
}

/// The muxer's settings, with MediaMTX's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    pub variant: Variant,
    /// Segments in a playlist (`hlsSegmentCount`), at least 3. More are listed while they are shorter than three target durations.
    pub segment_count: usize,
    /// Segments are at least this long (`hlsSegmentDuration`), if random access points allow it.
    pub segment_duration: Duration,
    /// Parts are at most this long (`hlsPartDuration`); raised to a whole number of pictures where these fit badly.
    pub part_duration: Duration,
    /// A segment is cut when it would grow above this (`hlsSegmentMaxSize`).
    pub segment_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            variant: Variant::LowLatency,
            segment_count: 7,
            segment_duration: Duration::from_secs(1),
            part_duration: Duration::from_millis(200),
            segment_bytes_max: 50 * 1024 * 1024,
        }
    }
}

#[cfg(test)]
mod tests;
