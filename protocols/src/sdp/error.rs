//! What can be wrong with a session description.

/// A fault of a session description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No reading of it makes sense; `line` counts from 1.
    #[error("invalid {what} in line {line} of a session description")]
    Invalid { what: &'static str, line: usize },
    /// Well-formed, but nothing this server can carry.
    #[error("unsupported {what} in a session description")]
    Unsupported { what: &'static str },
    /// More than [`crate::limits`] allows.
    #[error("{what} over {max} in a session description")]
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
