//! What can be wrong with a codec's headers and records, sorted by fault.

/// A fault in what a peer sent. Nothing here ends a session by itself: a demuxer drops the unit, or refuses the track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Bytes that are not what they should be, or end too early.
    #[error("invalid {what}")]
    Invalid { what: &'static str },
    /// Well-formed, but not offered here.
    #[error("unsupported {what}")]
    Unsupported { what: &'static str },
    /// More than [`crate::limits`] allows.
    #[error("{what} over {max}")]
    Limit { what: &'static str, max: usize },
}

impl Error {
    pub(crate) const fn invalid(what: &'static str) -> Error {
        Error::Invalid { what }
    }

    pub(crate) const fn unsupported(what: &'static str) -> Error {
        Error::Unsupported { what }
    }
}
