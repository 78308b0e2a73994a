//! What can be wrong with tracks given to the writer, and with boxes given to the reader.

/// A fault of a file or of what should become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No reading of the bytes makes sense; `at` counts bytes from the beginning of what was given.
    #[error("invalid {what} at byte {at} of an MP4 file")]
    Invalid { what: &'static str, at: usize },
    /// Well-formed, but nothing that is carried here.
    #[error("unsupported {what} in an MP4 file")]
    Unsupported { what: &'static str },
    /// More than [`crate::limits`] allows, or than the format's fields hold.
    #[error("{what} over {max} in an MP4 file")]
    Limit { what: &'static str, max: usize },
}
