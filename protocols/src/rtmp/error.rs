//! What can be wrong with what a peer sends over RTMP, sorted by fault.

/// What is over its limit when a peer is silent for too long.
const IDLE: &str = "seconds of idling";

/// A fault of the peer. None of them can be answered on the wire: RTMP has a refusal only for its commands
/// ([`super::server::Refusal`]); after any of these the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Bytes that are not RTMP; `offset` counts from the first byte of the connection.
    #[error("invalid {what} at byte {offset}")]
    Invalid { what: &'static str, offset: u64 },
    /// Well-formed, but not now: the state of the conversation forbids it.
    #[error("{what} at byte {offset}")]
    Misbehaved { what: &'static str, offset: u64 },
    /// Well-formed, but not offered here.
    #[error("unsupported {what} at byte {offset}")]
    Unsupported { what: &'static str, offset: u64 },
    /// More than [`crate::limits`] allows; `max` in the unit that `what` names.
    #[error("{what} over {max} at byte {offset}")]
    Limit { what: &'static str, max: usize, offset: u64 },
}

impl Error {
    /// [`Error::Invalid`] without a place.
    pub(super) const fn invalid(what: &'static str) -> Error {
        Error::Invalid { what, offset: 0 }
    }

    /// [`Error::Misbehaved`] without a place.
    pub(super) const fn misbehaved(what: &'static str) -> Error {
        Error::Misbehaved { what, offset: 0 }
    }

    /// [`Error::Unsupported`] without a place.
    pub(super) const fn unsupported(what: &'static str) -> Error {
        Error::Unsupported { what, offset: 0 }
    }

    /// [`Error::Limit`] without a place.
    pub(super) const fn limit(what: &'static str, max: usize) -> Error {
        Error::Limit { what, max, offset: 0 }
    }

    /// The same fault at a place.
    pub(super) fn at(mut self, place: u64) -> Error {
        let (Error::Invalid { offset, .. }
        | Error::Misbehaved { offset, .. }
        | Error::Unsupported { offset, .. }
        | Error::Limit { offset, .. }) = &mut self;
        *offset = place;
        self
    }

    /// That the peer let its time pass, of so many seconds.
    pub(super) const fn idle(seconds: usize) -> Error {
        Error::limit(IDLE, seconds)
    }

    /// Whether the peer did nothing wrong but to let its time pass.
    pub fn is_idle(&self) -> bool {
        matches!(self, Error::Limit { what: IDLE, .. })
    }

    /// The metric label: `invalid`, `misbehaved`, `unsupported` or `limit`.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Invalid { .. } => "invalid",
            Error::Misbehaved { .. } => "misbehaved",
            Error::Unsupported { .. } => "unsupported",
            Error::Limit { .. } => "limit",
        }
    }
}
