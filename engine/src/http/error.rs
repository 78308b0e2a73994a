//! What can be wrong with a connection or a request on it, and what the peer is told.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use std::fmt::Write;
use std::io;
use std::time::SystemTime;

/// Why a connection ended, or a request was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Bytes that are no HTTP, or that two readers could understand differently.
    #[error("invalid: {0}")]
    Invalid(&'static str),
    /// Something was not whole in time.
    #[error("too slow: {0}")]
    TimedOut(&'static str),
    /// The request's line and headers pass their limit.
    #[error("the head of the request is too large")]
    HeadTooLarge,
    #[error("the body of the request is too large")]
    BodyTooLarge,
    #[error("unsupported: {0}")]
    Unsupported(&'static str),
    /// More than a peer with good intentions does.
    #[error("too much: {0}")]
    Flood(&'static str),
    /// The peer ended in the middle of a request.
    #[error("the connection ended in the middle of a request")]
    Incomplete,
    #[error("the connection failed: {0}")]
    Io(io::ErrorKind),
    /// A violation of HTTP/2 that ends the connection, or what hyper says of none of the above.
    #[error("{0}")]
    Protocol(hyper::Error),
}

impl Error {
    /// The status that tells the peer; `None` where it cannot be told.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        match self {
            Error::Invalid(_) => Some(StatusCode::BAD_REQUEST),
            Error::TimedOut(_) => Some(StatusCode::REQUEST_TIMEOUT),
            Error::HeadTooLarge => Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
            Error::BodyTooLarge => Some(StatusCode::PAYLOAD_TOO_LARGE),
            Error::Unsupported(_) => Some(StatusCode::NOT_IMPLEMENTED),
            Error::Flood(_) | Error::Incomplete | Error::Io(_) | Error::Protocol(_) => None,
        }
    }

    /// The same in a word or two, of a closed set.
    pub(crate) fn what(&self) -> &'static str {
        match self {
            Error::Invalid(what) | Error::TimedOut(what) | Error::Unsupported(what) | Error::Flood(what) => {
                what
            }
            Error::HeadTooLarge => "head too large",
            Error::BodyTooLarge => "body too large",
            Error::Incomplete => "incomplete",
            Error::Io(_) => "connection failed",
            Error::Protocol(_) => "protocol",
        }
    }

    /// Whether the peer just went away.
    pub(super) fn is_end(&self) -> bool {
        matches!(
            self,
            Error::Incomplete
                | Error::Io(
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
                )
        )
    }

    /// What hyper says.
    pub(super) fn of(error: hyper::Error) -> Error {
        if error.is_parse_too_large() {
            return Error::HeadTooLarge;
        }
        if error.is_parse() {
            return Error::Invalid("request");
        }
        if error.is_incomplete_message() {
            return Error::Incomplete;
        }
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            if let Some(io) = inner.downcast_ref::<io::Error>() {
                return Error::Io(io.kind());
            }
            source = inner.source();
        }
        Error::Protocol(error)
    }
}

/// A whole response without a body, after which the connection ends.
pub(super) fn refusal(status: StatusCode, server: &HeaderValue) -> Bytes {
    let mut head = String::with_capacity(160);
    let date = httpdate::HttpDate::from(SystemTime::now());
    let reason = status.canonical_reason().unwrap_or_default();
    let server = server.to_str().unwrap_or_default();
    // Writing to a string cannot fail.
    let _ = write!(
        head,
        "HTTP/1.1 {} {reason}\r\nconnection: close\r\ncontent-length: 0\r\ndate: {date}\r\nserver: {server}\r\n\r\n",
        status.as_str(),
    );
    head.into()
}
