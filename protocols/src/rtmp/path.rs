//! Which path and query the parts of an RTMP URL name.
//!
//! A client cuts the URL in two, `app` and stream name, where it likes: `rtmp://host/a/b/c?q` may come as `a` and `b/c?q`,
//! as `a/b` and `c?q`, as `a?q` and `b/c`, or as `a/b/c?q` and nothing. The path is what all of them mean. Nothing is
//! percent-decoded.

/// Path (`app` and stream name without empty parts) and query (of all parts, joined by `&`).
pub(super) fn join(app: Option<&str>, tc_url: &str, name: &str) -> (String, String) {
    let from_url = after_host(tc_url);
    // Encoders that leave out `app` have it in `tcUrl`.
    let app = app.filter(|app| !app.is_empty()).unwrap_or(from_url);
    let name =
        ["mp4:", "flv:", "f4v:", "mp3:"].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    let ((app, app_query), (name, name_query)) = (cut(app), cut(name));
    let url_query = cut(from_url).1;
    let parts = app.split('/').chain(name.split('/')).filter(|part| !part.is_empty());
    let path = parts.collect::<Vec<_>>().join("/");
    // librtmp repeats in `tcUrl` what `app` has.
    let url_query = if url_query == app_query { "" } else { url_query };
    let queries = [name_query, app_query, url_query].into_iter().filter(|query| !query.is_empty());
    (path, queries.collect::<Vec<_>>().join("&"))
}

/// Path and query of a URL, without the slash between host and path.
fn after_host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    match rest.find(['/', '?']) {
        Some(at) => rest[at..].strip_prefix('/').unwrap_or(&rest[at..]),
        None => "",
    }
}

fn cut(text: &str) -> (&str, &str) {
    text.split_once('?').unwrap_or((text, ""))
}

/// `tcUrl`, `app` and stream name of an `rtmp://` or `rtmps://` URL: the last part of the path, with the query, is the
/// name. `None` where there is no host.
pub(super) fn split(url: &str) -> Option<(String, String, String)> {
    let (scheme, rest) = url.split_once("://")?;
    if !matches!(scheme, "rtmp" | "rtmps") {
        return None;
    }
    let host = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
    // Credentials before the host are nothing that RTMP can say.
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let (path, _) = cut(after_host(url));
    let (app, last) = path.rsplit_once('/').unwrap_or((path, ""));
    let query = &after_host(url)[path.len()..];
    (!host.is_empty()).then(|| (format!("{scheme}://{host}/{app}"), app.to_owned(), format!("{last}{query}")))
}

#[cfg(test)]
mod tests {
    use super::{join, split};

    #[test]
    fn all_ways_to_cut_a_url_mean_the_same_path() {
        let cuts = [
            (Some("a"), "rtmp://h/a", "b/c?user=u&pass=p"),
            (Some("a/b"), "rtmp://h:1935/a/b", "c?user=u&pass=p"),
            (Some("a?user=u&pass=p"), "rtmp://h/a?user=u&pass=p", "/b/c"),
            (Some("a/b/c?user=u&pass=p"), "rtmp://h/a/b/c", ""),
            (None, "rtmp://h/a//b/?user=u&pass=p", "c"),
            (Some(""), "rtmp://h/a/b", "mp4:c?user=u&pass=p"),
        ];
        for (app, tc_url, name) in cuts {
            assert_eq!(join(app, tc_url, name), ("a/b/c".into(), "user=u&pass=p".into()), "{tc_url} {name}");
        }
        assert_eq!(join(Some("a?x=1"), "rtmp://h/a?y=2", "b?z=3").1, "z=3&x=1&y=2");
        assert_eq!(join(None, "rtmp://h", ""), (String::new(), String::new()));
        assert_eq!(join(None, "rtmp://h?token=t", "k"), ("k".into(), "token=t".into()));
    }

    #[test]
    fn a_url_is_cut_before_its_last_part() {
        let cut = |url| split(url).expect("a URL");
        let expected = ("rtmp://h:1935/a/b".into(), "a/b".into(), "c?token=x/y".into());
        assert_eq!(cut("rtmp://u:p@h:1935/a/b/c?token=x/y"), expected);
        assert_eq!(cut("rtmps://h/a"), ("rtmps://h/a".into(), "a".into(), String::new()));
        assert!(split("rtmp:///a").is_none() && split("http://h/a").is_none() && split("h").is_none());
    }
}
