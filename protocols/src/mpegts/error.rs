//! What can be wrong with a transport stream, sorted by fault.

/// A fault of the stream that ends it. Single damaged packets, sections and PES packets are counted instead
/// ([`super::Counters`]): a transport stream is made to survive them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Bytes that are not what they should be. `offset` counts bytes: from the start of the stream in what a demuxer
    /// reports, from the start of the structure in what the parser of one reports.
    #[error("invalid MPEG-TS {what} at byte {offset}")]
    Invalid { what: &'static str, offset: u64 },
    /// Valid, but nothing this server reads or writes.
    #[error("unsupported MPEG-TS: {what}")]
    Unsupported { what: &'static str },
    /// More of `what` than `max` allows.
    #[error("more than {max} {what} in MPEG-TS")]
    Limit { what: &'static str, max: usize },
}

impl Error {
    pub(super) fn invalid(what: &'static str, offset: usize) -> Error {
        Error::Invalid { what, offset: offset as u64 }
    }

    /// The sort of fault, as a metric label.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Invalid { .. } => "invalid",
            Error::Unsupported { .. } => "unsupported",
            Error::Limit { .. } => "limit",
        }
    }
}
