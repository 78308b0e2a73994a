//! The body of a request, collected until it is whole.

use super::error::Error;
use bytes::{Bytes, BytesMut};
use http_body::Body;
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A request whose body is on its way.
pub(super) struct Collector {
    head: Option<http::Request<()>>,
    incoming: Incoming,
    /// The first piece alone, which mostly is everything.
    first: Bytes,
    rest: BytesMut,
    length: usize,
}

impl Collector {
    pub(super) fn new(request: http::Request<Incoming>) -> Collector {
        let (parts, incoming) = request.into_parts();
        let head = Some(http::Request::from_parts(parts, ()));
        Collector { head, incoming, first: Bytes::new(), rest: BytesMut::new(), length: 0 }
    }

    /// What hyper knows of the body's length already.
    pub(super) fn announced_bytes(&self) -> u64 {
        self.incoming.size_hint().lower()
    }

    /// Bytes collected.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Takes what came. `Ready` when the body is whole.
    ///
    /// # Errors
    /// More than `bytes_max`; a body that is malformed or breaks off.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        bytes_max: usize,
    ) -> Poll<Result<http::Request<Bytes>, Error>> {
        loop {
            match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(match Error::of(error) {
                        Error::Protocol(_) | Error::Io(std::io::ErrorKind::InvalidInput) => {
                            Error::Invalid("body")
                        }
                        other => other,
                    }));
                }
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers are dropped.
                    let Ok(piece) = frame.into_data() else { continue };
                    if self.length + piece.len() > bytes_max {
                        return Poll::Ready(Err(Error::BodyTooLarge));
                    }
                    self.append(piece);
                }
                Poll::Ready(None) => break,
            }
        }
        match self.head.take() {
            Some(head) => {
                let body = if self.rest.is_empty() {
                    std::mem::take(&mut self.first)
                } else {
                    std::mem::take(&mut self.rest).freeze()
                };
                Poll::Ready(Ok(head.map(|()| body)))
            }
            None => Poll::Pending,
        }
    }

    fn append(&mut self, piece: Bytes) {
        if self.length == 0 {
            self.length = piece.len();
            self.first = piece;
            return;
        }
        if self.rest.is_empty() {
            self.rest.extend_from_slice(&self.first);
            self.first = Bytes::new();
        }
        self.length += piece.len();
        self.rest.extend_from_slice(&piece);
    }
}
