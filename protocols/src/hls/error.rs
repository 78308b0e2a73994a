//! What can be wrong with requests and with what is to be muxed.

/// A fault, of whom its variant says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The query of a request is not what the specification says (section 6.2.5.2).
    #[error("invalid {what} in an HLS request")]
    Invalid { what: &'static str },
    /// No file of a muxer is named like this.
    #[error("no HLS file of that name")]
    Unknown,
    /// Nothing that HLS can carry.
    #[error("unsupported {what} in HLS")]
    Unsupported { what: &'static str },
    /// More than the settings or [`crate::limits`] allow.
    #[error("{what} over {max} in HLS")]
    Limit { what: &'static str, max: usize },
}

impl Error {
    /// The HTTP status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Error::Invalid { .. } => 400,
            Error::Unknown => 404,
            Error::Unsupported { .. } | Error::Limit { .. } => 500,
        }
    }
}
