//! What surrounds every request of a control port, whatever its route.

use super::answer::Failure;
use super::client::{self, Peer};
use super::counters::{HttpCounters, Refusal};
use super::{Rules, cors, limits, origin};
use arc_swap::ArcSwap;
use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

/// Everything a listener's connections share.
pub(super) struct Guard {
    pub(super) rules: Arc<ArcSwap<Rules>>,
    pub(super) counters: Arc<HttpCounters>,
    router: Router,
    /// Until the head of an answer is there.
    patience: Duration,
}

impl Guard {
    pub(super) fn new(
        router: Router,
        rules: Arc<ArcSwap<Rules>>,
        counters: Arc<HttpCounters>,
        patience: Duration,
    ) -> Guard {
        let router = router.layer(Extension(Arc::clone(&counters)));
        Guard { rules, counters, router, patience }
    }

    /// Answers one request.
    pub(super) async fn answer(&self, mut request: Request<Body>, peer: Peer) -> Response {
        let _running = self.counters.begin();
        let rules = self.rules.load_full();
        let mut allowed = cors::allowed(request.headers(), &rules);
        let client = client::client(peer, request.headers(), &rules);
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(client);
        let mut response = if let Err((reason, failure)) = origin::check(&request, client, &rules) {
            self.counters.refuse(reason);
            allowed = None;
            failure.into_response()
        } else if let Some(response) = cors::preflight(&request, &rules) {
            response
        } else {
            self.route(request).await
        };
        if let Some(reason) = response.extensions().get::<Refusal>() {
            self.counters.refuse(*reason);
        }
        let headers = response.headers_mut();
        headers.insert(header::SERVER, HeaderValue::from_static("headwater"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        cors::annotate(headers, allowed);
        self.counters.answered(response.status().as_u16());
        response
    }

    async fn route(&self, request: Request<Body>) -> Response {
        let length = request.uri().path_and_query().map_or(0, |url| url.as_str().len());
        if length > limits::URL_BYTES_MAX {
            self.counters.refuse(Refusal::UrlTooLong);
            let message = format!("the URL has {length} bytes; at most {} are read", limits::URL_BYTES_MAX);
            return Failure::new(StatusCode::URI_TOO_LONG, message).into_response();
        }
        let head = head_bytes(&request);
        if head > limits::HEAD_BYTES_MAX {
            self.counters.refuse(Refusal::HeadTooLarge);
            let most = limits::HEAD_BYTES_MAX;
            let message =
                format!("the request line and its header fields have {head} bytes; at most {most} are read");
            return Failure::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, message).into_response();
        }
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answer = AssertUnwindSafe(self.router.clone().oneshot(request)).catch_unwind();
        match tokio::time::timeout(self.patience, answer).await {
            Ok(Ok(Ok(response))) => response,
            Ok(Ok(Err(never))) => match never {},
            Ok(Err(panic)) => self.panicked(&method, &path, panic.as_ref()),
            Err(_) => {
                self.counters.refuse(Refusal::RequestTimeout);
                Failure::unavailable("the request took too long and was given up").into_response()
            }
        }
    }

    fn panicked(&self, method: &Method, path: &str, panic: &(dyn std::any::Any + Send)) -> Response {
        self.counters.panicked();
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("");
        let port = self.counters.name;
        tracing::error!("{port}: {method} {path} panicked: {text}; please report this");
        Failure::internal("internal error").into_response()
    }
}

/// The bytes of a head as HTTP/1.1 has them, about. The protocol machines stop reading not much later, but not exactly.
fn head_bytes<B>(request: &Request<B>) -> usize {
    const SEPARATORS: usize = 4;
    let fields = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + SEPARATORS);
    let url = request.uri().path_and_query().map_or(0, |url| url.as_str().len());
    request.method().as_str().len() + url + fields.sum::<usize>()
}
