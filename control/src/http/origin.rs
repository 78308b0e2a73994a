//! Requests that a web page may have made without its user's knowledge, which are not taken.
//!
//! A browser on a machine that needs no credentials lends that right to every page it shows. Two doors are shut: a page
//! from elsewhere that changes something (a POST of `text/plain` is sent without asking first), and a page whose own
//! name was made to point here (DNS rebinding), for which only the name in `Host` tells. Programs that are no browsers
//! send neither `Origin` nor `Sec-Fetch-Site` and notice nothing.

use super::Rules;
use super::answer::Failure;
use super::client::Client;
use super::cors;
use super::counters::Refusal;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use std::net::IpAddr;
use std::sync::LazyLock;

const FETCH_SITE: &str = "sec-fetch-site";

/// What this machine calls itself.
static HOST_NAME: LazyLock<String> = LazyLock::new(|| {
    // The kernel's own memory, not a disk.
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_ascii_lowercase()
});

/// Whether requests of this method are only asking.
pub(super) fn only_reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// Refuses what a page must not do. A preflight is judged as the request that it asks for.
pub(super) fn check<B>(
    request: &Request<B>,
    client: Client,
    rules: &Rules,
) -> Result<(), (Refusal, Failure)> {
    let headers = request.headers();
    let of_page = headers.contains_key(header::ORIGIN) || headers.contains_key(FETCH_SITE);
    if !of_page {
        return Ok(());
    }
    let host = host(request);
    // Whatever credentials it shows: a user "any" takes all of them, also those that a page made up.
    if client.0.is_loopback() && !is_name_of_this_machine(host, &HOST_NAME) && !is_listed_host(host, rules) {
        return Err((
            Refusal::ForeignHost,
            refusal(
                "a web page reached this server by a name that is not this machine's: use its IP address or localhost, \
             or list http:// or https:// and the name in the port's allowOrigins",
            ),
        ));
    }
    let asked = match cors::asked_method(request) {
        Some(method) => Method::from_bytes(method.as_bytes()).unwrap_or(Method::POST),
        None => request.method().clone(),
    };
    if only_reads(&asked) || may_change(headers, host, rules) {
        return Ok(());
    }
    Err((
        Refusal::ForeignOrigin,
        refusal(
            "a web page of another origin may not change anything here: list its origin in the port's allowOrigins \
         (\"*\" alone lets pages only read)",
        ),
    ))
}

/// 403 says that credentials would not help either.
fn refusal(message: &str) -> Failure {
    Failure::new(StatusCode::FORBIDDEN, message)
}

fn may_change(headers: &HeaderMap, host: &str, rules: &Rules) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    match (origins.next(), origins.next()) {
        // Old browsers leave the origin out of some requests.
        (None, _) => {
            headers.get(FETCH_SITE).is_none_or(|site| matches!(site.as_bytes(), b"same-origin" | b"none"))
        }
        (Some(origin), None) => {
            origin.to_str().is_ok_and(|origin| is_own(origin, host) || cors::is_listed(origin, rules))
        }
        _ => false,
    }
}

/// Whom the client believes to talk to: name or address, perhaps with a port.
fn host<B>(request: &Request<B>) -> &str {
    let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    request.uri().authority().map(|authority| authority.as_str()).or(named).unwrap_or_default()
}

/// Whether the page came from this very server. The scheme may differ: a proxy may do the encryption.
fn is_own(origin: &str, host: &str) -> bool {
    let (origin, default) = match (origin.strip_prefix("http://"), origin.strip_prefix("https://")) {
        (Some(origin), _) => (origin, ":80"),
        (_, Some(origin)) => (origin, ":443"),
        _ => return false,
    };
    let bare = |text: &str| text.strip_suffix(default).unwrap_or(text).to_ascii_lowercase();
    !host.is_empty() && bare(origin) == bare(host)
}

fn is_listed_host(host: &str, rules: &Rules) -> bool {
    !host.is_empty()
        && ["http", "https"].iter().any(|scheme| cors::is_listed(&format!("{scheme}://{host}"), rules))
}

fn is_name_of_this_machine(host: &str, machine: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => return rest.split(']').next().is_some_and(|ip| ip.parse::<IpAddr>().is_ok()),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    // Browsers never ask a name server for names below localhost.
    name.parse::<IpAddr>().is_ok()
        || name == "localhost"
        || name.ends_with(".localhost")
        || (!name.is_empty() && name == machine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(method: &str, headers: &[(&str, &str)], client: &str, allowed: &[&str]) -> Option<Refusal> {
        let mut request = Request::builder().method(method).uri("/v3/config/paths/add/x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let rules = Rules {
            allow_origins: allowed.iter().map(|&origin| origin.into()).collect(),
            ..Rules::default()
        };
        let client = Client(client.parse().unwrap());
        check(&request.body(()).unwrap(), client, &rules).err().map(|(refusal, _)| refusal)
    }

    #[test]
    fn a_page_from_elsewhere_changes_nothing() {
        let host = ("host", "127.0.0.1:9997");
        let evil = ("origin", "https://evil.example");
        for method in ["POST", "PATCH", "PUT", "DELETE", "BREW"] {
            assert_eq!(verdict(method, &[host, evil], "127.0.0.1", &["*"]), Some(Refusal::ForeignOrigin));
        }
        assert_eq!(verdict("GET", &[host, evil], "127.0.0.1", &["*"]), None);
        assert_eq!(verdict("POST", &[host], "127.0.0.1", &["*"]), None, "no browser");
        let ask = ("access-control-request-method", "PATCH");
        assert_eq!(verdict("OPTIONS", &[host, evil, ask], "127.0.0.1", &["*"]), Some(Refusal::ForeignOrigin));
        let post = |origin, allowed| verdict("POST", &[host, ("origin", origin)], "127.0.0.1", &[allowed]);
        assert_eq!(post("null", "*"), Some(Refusal::ForeignOrigin));
        assert_eq!(post("http://127.0.0.1:9998", "*"), Some(Refusal::ForeignOrigin), "another server here");
        assert_eq!(post("http://127.0.0.1:9997", "*"), None, "our own page");
        assert_eq!(post("https://panel.example", "https://panel.example"), None);
        assert_eq!(post("https://a.example.com", "https://*.example.com"), None);
        let two = [host, ("origin", "http://127.0.0.1:9997"), evil];
        assert_eq!(verdict("POST", &two, "127.0.0.1", &["*"]), Some(Refusal::ForeignOrigin));
        for (site, expected) in
            [("cross-site", Some(Refusal::ForeignOrigin)), ("same-origin", None), ("none", None)]
        {
            assert_eq!(verdict("POST", &[host, (FETCH_SITE, site)], "127.0.0.1", &["*"]), expected, "{site}");
        }
    }

    #[test]
    fn a_page_whose_name_was_bent_to_here_is_not_trusted() {
        let own = [("host", "evil.example:9997"), ("origin", "http://evil.example:9997")];
        assert_eq!(verdict("POST", &own, "127.0.0.1", &["*"]), Some(Refusal::ForeignHost));
        assert_eq!(verdict("GET", &own, "::1", &["*"]), Some(Refusal::ForeignHost));
        assert_eq!(verdict("GET", &own, "192.0.2.1", &["*"]), None, "it has to log in");
        let made_up = [own[0], own[1], ("authorization", "Basic bWU6aXQ=")];
        assert_eq!(verdict("POST", &made_up, "127.0.0.1", &["*"]), Some(Refusal::ForeignHost));
        assert_eq!(verdict("POST", &own, "127.0.0.1", &["http://evil.example:9997"]), None, "listed");
        assert_eq!(verdict("GET", &own[..1], "127.0.0.1", &["*"]), None, "no browser");
        let fetched = [own[0], (FETCH_SITE, "same-origin")];
        assert_eq!(verdict("GET", &fetched, "127.0.0.1", &["*"]), Some(Refusal::ForeignHost));
    }

    #[test]
    fn this_machine_goes_by_its_addresses_and_names() {
        for name in [
            "127.0.0.1:9997",
            "[::1]:9997",
            "[::1]",
            "localhost",
            "LOCALHOST:1",
            "hall.lan:80",
            "a.localhost",
        ] {
            assert!(is_name_of_this_machine(name, "hall.lan"), "{name}");
        }
        for name in ["", ":80", "evil.example", "127.0.0.1.evil.example:80", "localhost.evil", "[evil]:80"] {
            assert!(!is_name_of_this_machine(name, "hall.lan"), "{name}");
        }
        assert!(!is_name_of_this_machine("", ""), "a machine without a name");
        assert!(is_own("https://a.example", "a.example:443") && is_own("http://A.example:80", "a.example"));
        assert!(!is_own("http://a.example:8080", "a.example") && !is_own("null", "null"));
    }
}
