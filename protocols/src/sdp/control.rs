//! From `a=control` to a URL (RFC 2326, appendix C.1.1).

/// The URL that a SETUP, or an aggregate request, is sent to.
///
/// `base` is `Content-Base`, `Content-Location` or the request URI. An absolute control stands for itself; none and `*`
/// stand for the base; anything else is appended to the base as text, behind its query too. That is what ffmpeg, live555
/// and gortsplib do, and cameras with a query in their URL rely on it, where RFC 3986 would drop the query.
pub fn resolve_control(base: &str, control: Option<&str>) -> String {
    let control = control.map_or("", str::trim_ascii);
    if control.is_empty() || control == "*" {
        return base.to_owned();
    }
    if let Some((scheme, _)) = control.split_once("://")
        && !scheme.contains(['/', '?', '='])
    {
        return control.to_owned();
    }
    if control.starts_with('?') || base.ends_with('/') != control.starts_with('/') {
        return format!("{base}{control}");
    }
    match control.strip_prefix('/') {
        Some(control) => format!("{base}{control}"),
        None => format!("{base}/{control}"),
    }
}
