//! Which web pages may call a control port (CORS; <https://fetch.spec.whatwg.org>, as MediaMTX answers it).

use super::Rules;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};

const METHODS: &str = "OPTIONS, GET, POST, PATCH, DELETE";
/// For pages that are let in by "*" alone ([`super::origin`]).
const METHODS_READING: &str = "OPTIONS, GET";
const HEADERS: &str = "Authorization, Content-Type";

/// The method of the request that a browser asks leave for.
pub(super) fn asked_method<B>(request: &Request<B>) -> Option<&HeaderValue> {
    let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD);
    asked.filter(|_| request.method() == Method::OPTIONS)
}

/// The answer to a browser that asks before the request itself.
pub(super) fn preflight<B>(request: &Request<B>, rules: &Rules) -> Option<Response> {
    asked_method(request)?;
    let origin = request.headers().get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let methods =
        if origin.is_some_and(|origin| is_listed(origin, rules)) { METHODS } else { METHODS_READING };
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods)),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS)),
    ];
    Some((StatusCode::NO_CONTENT, headers).into_response())
}

/// What `Access-Control-Allow-Origin` says to a request with these headers.
pub(super) fn allowed(headers: &HeaderMap, rules: &Rules) -> Option<HeaderValue> {
    if rules.allow_origins.iter().any(|allowed| allowed == "*") {
        return Some(HeaderValue::from_static("*"));
    }
    let value = headers.get(header::ORIGIN)?;
    let origin = value.to_str().ok()?;
    is_listed(origin, rules).then(|| value.clone())
}

/// Whether the origin is allowed by more than "*" alone.
pub(super) fn is_listed(origin: &str, rules: &Rules) -> bool {
    rules.allow_origins.iter().any(|allowed| allowed != "*" && matches(allowed, origin))
}

/// Adds what a browser needs to hand the answer to its page.
pub(super) fn annotate(headers: &mut HeaderMap, allowed: Option<HeaderValue>) {
    let Some(origin) = allowed else {
        return;
    };
    if origin != "*" {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
}

/// `https://*.example.com` stands for every name below `example.com`; the scheme and port have to be the same.
fn matches(allowed: &str, origin: &str) -> bool {
    let allowed = allowed.trim_end_matches('/');
    let (Some((scheme, pattern)), Some((other_scheme, host))) =
        (allowed.split_once("://"), origin.split_once("://"))
    else {
        return allowed == origin;
    };
    if !scheme.eq_ignore_ascii_case(other_scheme) {
        return false;
    }
    match pattern.split_once('*') {
        None => pattern.eq_ignore_ascii_case(host),
        Some((before, after)) => {
            let (host, before, after) =
                (host.to_ascii_lowercase(), before.to_ascii_lowercase(), after.to_ascii_lowercase());
            // What the star stands for is part of a host name, not a port or a user.
            host.strip_prefix(before.as_str()).and_then(|rest| rest.strip_suffix(after.as_str())).is_some_and(
                |star| {
                    !star.is_empty() && star.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
                },
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_exact_or_patterns() {
        for (allowed, origin, expected) in [
            ("https://example.com", "https://example.com", true),
            ("https://example.com/", "https://example.com", true),
            ("https://example.com", "http://example.com", false),
            ("https://example.com", "https://example.com:8443", false),
            ("https://*.example.com", "https://a.example.com", true),
            ("https://*.example.com", "https://a.b.example.com", true),
            ("https://*.example.com", "https://example.com", false),
            ("https://*.example.com", "https://evil.com/.example.com", false),
            ("https://*.example.com", "https://evil.com:1@x.example.com", false),
            ("https://*.example.com", "https://x.example.com.evil.com", false),
            ("http://localhost:*", "http://localhost:3000", true),
            ("null", "null", true),
        ] {
            assert_eq!(matches(allowed, origin), expected, "{allowed} {origin}");
        }
    }

    #[test]
    fn only_allowed_origins_are_told_so() {
        let rules = Rules { allow_origins: vec!["https://a.example".to_owned()], ..Rules::default() };
        let origin = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, HeaderValue::from_static(text));
            headers
        };
        assert_eq!(allowed(&origin("https://a.example"), &rules).unwrap(), "https://a.example");
        assert_eq!(allowed(&origin("https://b.example"), &rules), None);
        assert_eq!(allowed(&HeaderMap::new(), &rules), None);
        let everybody = Rules { allow_origins: vec!["*".to_owned()], ..Rules::default() };
        assert_eq!(allowed(&HeaderMap::new(), &everybody).unwrap(), "*");
    }
}
