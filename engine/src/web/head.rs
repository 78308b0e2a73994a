//! Heads of responses: CORS, caching, ranges, compression.

use crate::settings::Settings;
use ::http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE, AUTHORIZATION, COOKIE, HOST, HeaderMap, HeaderName, IF_NONE_MATCH, ORIGIN, RANGE,
    UPGRADE, USER_AGENT, VARY,
};
use ::http::{HeaderValue, Method, Request, Response, StatusCode};
use std::net::IpAddr;

/// What of a request the answer depends on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// GET without a body in the answer.
    pub(crate) is_head: bool,
    /// What CORS allows the page that asks.
    pub(crate) origin: Option<Origin>,
    /// What CORS allows depends on the page: caches must tell the answers apart.
    pub(crate) varies_by_origin: bool,
    pub(crate) range: Option<Box<str>>,
    pub(crate) if_none_match: Option<Box<str>>,
    pub(crate) takes_gzip: bool,
    /// A page of another site asks, which CORS does not allow.
    pub(crate) is_foreign: bool,
    /// Set for a WebSocket: its key.
    pub(crate) websocket: Option<Box<str>>,
    /// Without the question mark.
    pub(crate) query: Box<str>,
    pub(crate) cookie: Option<Box<str>>,
    /// The client reached a proxy, or us, over TLS.
    pub(crate) is_secure: bool,
}

/// The value of `Access-Control-Allow-Origin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Any,
    One(Box<str>),
}

impl Facts {
    pub(crate) fn of<T>(request: &Request<T>, settings: &Settings, is_secure: bool) -> Facts {
        let text = |name: &HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
        let owned = |name: &HeaderName| text(name).map(Box::from);
        let upgrades = text(&UPGRADE).is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"));
        Facts {
            is_head: request.method() == Method::HEAD,
            origin: text(&ORIGIN).and_then(|origin| allowed(origin, &settings.http.allow_origins)),
            varies_by_origin: settings.http.allow_origins.iter().all(|pattern| pattern != "*"),
            range: owned(&RANGE),
            if_none_match: owned(&IF_NONE_MATCH),
            is_foreign: text(&ORIGIN).is_some_and(|origin| {
                allowed(origin, &settings.http.allow_origins).is_none() && !is_own(origin, text(&HOST))
            }),
            takes_gzip: text(&ACCEPT_ENCODING).is_some_and(takes_gzip),
            websocket: upgrades.then(|| owned(&::http::header::SEC_WEBSOCKET_KEY)).flatten(),
            query: request.uri().query().unwrap_or_default().into(),
            cookie: owned(&COOKIE),
            is_secure,
        }
    }

    /// Adds what every response has.
    pub(crate) fn finish(&self, head: &mut Response<()>) {
        let headers = head.headers_mut();
        if self.varies_by_origin {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        match &self.origin {
            Some(Origin::Any) => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            Some(Origin::One(origin)) => {
                if let Ok(origin) = HeaderValue::from_str(origin) {
                    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
                }
            }
            None => return,
        }
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Date, Content-Length, ETag"));
    }

    /// The answer to a preflight (Fetch standard, "CORS-preflight request").
    pub(crate) fn preflight(&self) -> Response<()> {
        let mut head = Response::new(());
        *head.status_mut() = StatusCode::NO_CONTENT;
        let headers = head.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("OPTIONS, GET, HEAD"));
        headers.insert(
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("Authorization, Range, Cache-Control, Content-Type"),
        );
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
        self.finish(&mut head);
        head
    }

    /// Whether the client has what `etag` names already.
    pub(crate) fn has(&self, etag: &str) -> bool {
        self.if_none_match.as_deref().is_some_and(|known| {
            known
                .split(',')
                .map(|one| one.trim().trim_start_matches("W/"))
                .any(|one| one == "*" || one == etag)
        })
    }
}

/// Whether a page was loaded from the host it asks.
fn is_own(origin: &str, host: Option<&str>) -> bool {
    origin.split_once("://").is_some_and(|(_, authority)| host.is_some_and(|host| host == authority))
}

/// What of `length` bytes is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    All,
    /// First and last byte.
    Range(usize, usize),
    /// 416.
    Unsatisfiable,
}

impl Facts {
    /// The one range that is asked for (RFC 9110, section 14.2). Several, or what cannot be read, mean all.
    pub(crate) fn part(&self, length: usize) -> Part {
        let range = self.range.as_deref().and_then(|range| range.strip_prefix("bytes="));
        let Some((first, last)) = range.and_then(|range| range.split_once('-')) else { return Part::All };
        let number = |text: &str| text.trim().parse::<usize>().ok();
        let end = length.saturating_sub(1);
        match (number(first), number(last)) {
            (Some(first), _) if first >= length => Part::Unsatisfiable,
            (Some(first), Some(last)) if last >= first => Part::Range(first, last.min(end)),
            (Some(first), None) if last.trim().is_empty() => Part::Range(first, end),
            (None, Some(0)) if first.trim().is_empty() => Part::Unsatisfiable,
            (None, Some(suffix)) if first.trim().is_empty() && length > 0 => {
                Part::Range(length.saturating_sub(suffix), end)
            }
            _ => Part::All,
        }
    }
}

fn takes_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|one| {
        let (coding, weight) = one.split_once(';').unwrap_or((one, ""));
        let refused = matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
        coding.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

/// What CORS answers a page of `origin`. Patterns are `*`, an origin, or one with a `*` for its first label.
fn allowed(origin: &str, patterns: &[String]) -> Option<Origin> {
    if patterns.iter().any(|pattern| pattern == "*") {
        return Some(Origin::Any);
    }
    let matches = |pattern: &String| match pattern.split_once("*.") {
        Some((scheme, domain)) => origin
            .strip_prefix(scheme)
            .and_then(|host| host.strip_suffix(domain))
            .is_some_and(|label| label.len() > 1 && label.ends_with('.') && !label.contains('/')),
        None => pattern.trim_end_matches('/').eq_ignore_ascii_case(origin),
    };
    patterns.iter().any(matches).then(|| Origin::One(origin.into()))
}

/// The client that a trusted proxy names: the last address of `X-Forwarded-For` that is no trusted proxy itself.
pub(crate) fn forwarded_for(headers: &HeaderMap, is_trusted: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let all = headers.get_all("x-forwarded-for").iter().rev();
    let mut named = None;
    for address in all.filter_map(|value| value.to_str().ok()).flat_map(|value| value.rsplit(',')) {
        let ip: IpAddr = address.trim().parse().ok()?;
        named = Some(ip.to_canonical());
        if !is_trusted(ip) {
            break;
        }
    }
    named
}

pub(crate) fn user_agent(headers: &HeaderMap) -> Option<Box<str>> {
    headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).map(Box::from)
}

pub(crate) fn authorization(headers: &HeaderMap) -> Option<Box<str>> {
    headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).map(Box::from)
}

/// Says that ranges are served.
pub(crate) fn accept_ranges(head: &mut Response<()>) {
    head.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
}

#[cfg(test)]
mod tests {
    use super::{Facts, Origin, Part, allowed, forwarded_for, takes_gzip};
    use ::http::{HeaderMap, HeaderValue};
    use std::net::IpAddr;

    #[test]
    fn one_range_is_served_and_others_mean_all() {
        let of = |range: &str| Facts { range: Some(range.into()), ..Facts::default() }.part(100);
        for (range, part) in [
            ("bytes=0-9", Part::Range(0, 9)),
            ("bytes=90-", Part::Range(90, 99)),
            ("bytes=90-1000", Part::Range(90, 99)),
            ("bytes=-10", Part::Range(90, 99)),
            ("bytes=-1000", Part::Range(0, 99)),
            ("bytes=100-", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
            ("bytes=9-0", Part::All),
            ("bytes=0-1,5-6", Part::All),
            ("items=0-1", Part::All),
        ] {
            assert_eq!(of(range), part, "{range}");
        }
    }

    #[test]
    fn origins_match_patterns() {
        let patterns = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let one = |origin: &str| Some(Origin::One(origin.into()));
        assert_eq!(allowed("https://a.b", &patterns(&["*"])), Some(Origin::Any));
        assert_eq!(allowed("https://a.b", &patterns(&["https://a.b/"])), one("https://a.b"));
        assert_eq!(allowed("https://x.a.b", &patterns(&["https://*.a.b"])), one("https://x.a.b"));
        assert_eq!(allowed("https://xa.b", &patterns(&["https://*.a.b"])), None);
        assert_eq!(allowed("https://a.b", &patterns(&[])), None);
    }

    #[test]
    fn the_client_is_the_last_address_that_is_no_proxy() {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_static("6.6.6.6, 1.2.3.4, 10.0.0.1"));
        let proxy = |ip: IpAddr| ip.to_string().starts_with("10.");
        assert_eq!(forwarded_for(&headers, proxy), "1.2.3.4".parse().ok());
        assert_eq!(forwarded_for(&HeaderMap::new(), proxy), None);
    }

    #[test]
    fn gzip_is_taken_by_who_says_so() {
        assert!(takes_gzip("deflate, GZIP;q=0.5") && !takes_gzip("gzip;q=0") && !takes_gzip("br"));
    }
}
