//! What can be wrong with what a peer sends over RTSP, sorted by fault, and the status each fault is answered with.

use super::message::Status;
use std::fmt;

/// Where in the conversation the fault lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A header value or a URI on its own; whoever read the message knows where it stood.
    Unknown,
    /// Bytes since the start of the connection.
    Offset(u64),
    /// The CSeq of the request or response.
    CSeq(u32),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Unknown => Ok(()),
            Place::Offset(offset) => write!(f, " at byte {offset}"),
            Place::CSeq(cseq) => write!(f, " at CSeq {cseq}"),
        }
    }
}

/// A fault of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Bytes that are not RTSP.
    #[error("invalid {what}{at}")]
    Invalid { what: &'static str, at: Place },
    /// Well-formed, but not now: the state of the conversation forbids it.
    #[error("{what}{at}")]
    Misbehaved { what: &'static str, at: Place },
    /// Well-formed, but not offered here; `status` says what is missing.
    #[error("unsupported {what}{at}")]
    Unsupported { what: &'static str, status: Status, at: Place },
    /// More than [`crate::limits`] allows; `max` in the unit that `what` names.
    #[error("{what} over {max}{at}")]
    Limit { what: &'static str, max: usize, status: Status, at: Place },
}

impl Error {
    /// [`Error::Invalid`] without a place.
    pub const fn invalid(what: &'static str) -> Error {
        Error::Invalid { what, at: Place::Unknown }
    }

    /// [`Error::Misbehaved`] without a place.
    pub const fn misbehaved(what: &'static str) -> Error {
        Error::Misbehaved { what, at: Place::Unknown }
    }

    /// [`Error::Unsupported`] without a place.
    pub const fn unsupported(what: &'static str, status: Status) -> Error {
        Error::Unsupported { what, status, at: Place::Unknown }
    }

    /// [`Error::Limit`] without a place.
    pub const fn limit(what: &'static str, max: usize, status: Status) -> Error {
        Error::Limit { what, max, status, at: Place::Unknown }
    }

    /// The same fault with its place, unless it has one.
    pub fn at(mut self, place: Place) -> Error {
        let (Error::Invalid { at, .. }
        | Error::Misbehaved { at, .. }
        | Error::Unsupported { at, .. }
        | Error::Limit { at, .. }) = &mut self;
        if *at == Place::Unknown {
            *at = place;
        }
        self
    }

    /// What goes on the wire.
    pub fn status(&self) -> Status {
        match self {
            Error::Invalid { .. } => Status::BAD_REQUEST,
            Error::Misbehaved { .. } => Status::METHOD_NOT_VALID_IN_THIS_STATE,
            Error::Unsupported { status, .. } | Error::Limit { status, .. } => *status,
        }
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

impl From<crate::sdp::Error> for Error {
    /// A session description that cannot be read is a bad request; one without a usable track, 415.
    fn from(error: crate::sdp::Error) -> Error {
        match error {
            crate::sdp::Error::Invalid { what, .. } => Error::invalid(what),
            crate::sdp::Error::Unsupported { what } => {
                Error::unsupported(what, Status::UNSUPPORTED_MEDIA_TYPE)
            }
            crate::sdp::Error::Limit { what, max } => {
                Error::limit(what, max, Status::REQUEST_ENTITY_TOO_LARGE)
            }
        }
    }
}
