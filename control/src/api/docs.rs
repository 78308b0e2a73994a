//! A page that shows the OpenAPI document. Its script and style are ours and served here: it works without a network.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};

/// Nothing but what this server sends; no frames around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) async fn home() -> Redirect {
    Redirect::temporary("/docs")
}

pub(super) async fn page() -> Response {
    asset("text/html; charset=utf-8", include_str!("docs/page.html"))
}

pub(super) async fn script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("docs/page.js"))
}

pub(super) async fn style() -> Response {
    asset("text/css; charset=utf-8", include_str!("docs/page.css"))
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (headers, text).into_response()
}
