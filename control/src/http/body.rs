//! Bodies of requests: bounded in bytes and time.

use super::answer::Failure;
use super::counters::{HttpCounters, Refusal};
use super::limits;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use std::sync::Arc;

/// Reads a whole body. The router needs `DefaultBodyLimit::max(limits::BODY_BYTES_MAX)`.
///
/// # Errors
/// 413 for one that is too large, before it is read where its length is told; 408 for one that is too slow.
pub(crate) async fn read(request: Request) -> Result<Bytes, Failure> {
    let counters = request.extensions().get::<Arc<HttpCounters>>().cloned();
    let refuse = |reason| counters.iter().for_each(|counters| counters.refuse(reason));
    let told = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let too_large = || {
        refuse(Refusal::BodyTooLarge);
        let message = format!("the body is too large; at most {} bytes are read", limits::BODY_BYTES_MAX);
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    if told.and_then(|length| length.parse::<u64>().ok()).is_some_and(|n| n > limits::BODY_BYTES_MAX as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(limits::BODY_READ, Bytes::from_request(request, &())).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)))) => {
            Err(too_large())
        }
        Ok(Err(error)) => Err(Failure::bad_request(format!("cannot read the body: {error}"))),
        Err(_) => {
            refuse(Refusal::BodyTimeout);
            let message = format!("the body took longer than {:?}", limits::BODY_READ);
            Err(Failure::new(StatusCode::REQUEST_TIMEOUT, message))
        }
    }
}
