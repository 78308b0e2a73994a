//! What can be wrong with AMF0, sorted by fault.

/// A fault of the peer; `at` counts bytes from the beginning of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Bytes that are not AMF0.
    #[error("invalid {what} at byte {at}")]
    Invalid { what: &'static str, at: usize },
    /// A type this server does not read.
    #[error("unsupported type marker {marker} at byte {at}")]
    Unsupported { marker: u8, at: usize },
    /// More than [`crate::limits`] allows; `max` in the unit that `what` names.
    #[error("{what} over {max}")]
    Limit { what: &'static str, max: usize },
}

impl Error {
    /// The metric label: `invalid`, `unsupported` or `limit`.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Invalid { .. } => "invalid",
            Error::Unsupported { .. } => "unsupported",
            Error::Limit { .. } => "limit",
        }
    }
}
