//! What can be wrong with FLV messages and files, sorted by fault.

use crate::{amf0, codec};

/// A fault of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Bytes that are not FLV.
    #[error("invalid {what}")]
    Invalid { what: &'static str },
    /// Well-formed, but the messages before forbid it.
    #[error("{what}")]
    Misbehaved { what: &'static str },
    /// Well-formed, but not offered here.
    #[error("unsupported {what}")]
    Unsupported { what: &'static str },
    /// More than [`crate::limits`] allows; `max` in the unit that `what` names.
    #[error("{what} over {max}")]
    Limit { what: &'static str, max: usize },
}

impl Error {
    pub(super) const fn invalid(what: &'static str) -> Error {
        Error::Invalid { what }
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

impl From<codec::Error> for Error {
    fn from(error: codec::Error) -> Error {
        match error {
            codec::Error::Invalid { what } => Error::Invalid { what },
            codec::Error::Unsupported { what } => Error::Unsupported { what },
            codec::Error::Limit { what, max } => Error::Limit { what, max },
        }
    }
}

impl From<amf0::Error> for Error {
    fn from(error: amf0::Error) -> Error {
        match error {
            amf0::Error::Invalid { what, .. } => Error::Invalid { what },
            amf0::Error::Unsupported { .. } => Error::Unsupported { what: "AMF0 type" },
            amf0::Error::Limit { what, max } => Error::Limit { what, max },
        }
    }
}
