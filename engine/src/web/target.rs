//! What a URL names on the HTTP listener.
//!
//! | URL | what |
//! |---|---|
//! | `/` | the page that lists live paths |
//! | `/~/<name>` | files of the pages, and `paths.json`; no path name begins with a tilde |
//! | `/<path>/` | the page that plays a path; without the final slash, a redirect to it |
//! | `/<path>/index.m3u8` and the files it names | HLS |
//! | `/<path>.flv`, `/<path>.ts` | the stream without end, as FLV (also over WebSocket) or MPEG-TS |

use headwater_protocols::hls;
use std::borrow::Cow;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Index,
    /// A file of the pages.
    File(Box<str>),
    /// The live paths, as JSON.
    Paths,
    Page {
        path: Box<str>,
    },
    /// To the page of a path, whose last part is so named in the URL.
    ToPage {
        name: Box<str>,
    },
    Hls {
        path: Box<str>,
        request: hls::Request,
    },
    Endless {
        path: Box<str>,
        kind: Kind,
    },
}

/// What an endless stream consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Flv,
    MpegTs,
}

/// Why a URL names nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    NotFound,
    /// The delivery directives of a playlist are wrong.
    Invalid(Box<str>),
}

impl Target {
    /// Reads the path and query of a request's URL.
    pub(crate) fn parse(url: &str, query: &str) -> Result<Target, Fault> {
        let path = decoded(url).ok_or(Fault::NotFound)?;
        let path = path.strip_prefix('/').ok_or(Fault::NotFound)?;
        if path.is_empty() {
            return Ok(Target::Index);
        }
        if let Some(file) = path.strip_prefix("~/") {
            return Ok(if file == "paths.json" { Target::Paths } else { Target::File(file.into()) });
        }
        if let Some(page) = path.strip_suffix('/') {
            return Ok(Target::Page { path: page.into() });
        }
        if let Some((directory, file)) = path.rsplit_once('/') {
            match hls::Request::parse(file, query) {
                Ok(request) => return Ok(Target::Hls { path: directory.into(), request }),
                Err(hls::Error::Unknown) => {}
                Err(error) => return Err(Fault::Invalid(error.to_string().into())),
            }
        }
        for (extension, kind) in [(".flv", Kind::Flv), (".ts", Kind::MpegTs)] {
            if let Some(path) = path.strip_suffix(extension).filter(|path| !path.is_empty()) {
                return Ok(Target::Endless { path: path.into(), kind });
            }
        }
        // What browsers and robots look for everywhere.
        if path == "favicon.ico" || path == "robots.txt" || path.ends_with(".m3u8") {
            return Err(Fault::NotFound);
        }
        Ok(Target::ToPage { name: url.rsplit('/').next().unwrap_or_default().into() })
    }
}

/// The value of a key of a query, percent-decoded.
pub(crate) fn parameter<'a>(query: &'a str, key: &str) -> Option<Cow<'a, str>> {
    let value = query.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name == key).then_some(value)
    })?;
    decoded(value)
}

/// Percent-decoded; `None` for what is no text then.
pub(crate) fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(first);
        }
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::{Fault, Kind, Target, parameter};
    use headwater_protocols::hls;

    #[test]
    fn urls_name_pages_files_playlists_and_streams() {
        let of = |path: &str| Target::parse(path, "");
        let path = |text: &str| text.into();
        assert_eq!(of("/"), Ok(Target::Index));
        assert_eq!(of("/~/player.js"), Ok(Target::File("player.js".into())));
        assert_eq!(of("/~/paths.json"), Ok(Target::Paths));
        assert_eq!(of("/a/b/"), Ok(Target::Page { path: path("a/b") }));
        assert_eq!(of("/a/b"), Ok(Target::ToPage { name: path("b") }));
        assert_eq!(of("/a%2fb%0d"), Ok(Target::ToPage { name: path("a%2fb%0d") }));
        let index = Target::Hls { path: path("a/b"), request: hls::Request::Multivariant };
        assert_eq!(of("/a/b/index.m3u8"), Ok(index.clone()));
        assert_eq!(of("/a%2fb/index.m3u8"), Ok(index));
        assert_eq!(of("/a.flv"), Ok(Target::Endless { path: path("a"), kind: Kind::Flv }));
        assert_eq!(of("/a/b.ts"), Ok(Target::Endless { path: path("a/b"), kind: Kind::MpegTs }));
        assert_eq!(of("/favicon.ico"), Err(Fault::NotFound));
        assert_eq!(of("/%zz"), Err(Fault::NotFound));
        let directive = Target::parse("/a/0123456789ab_main.m3u8", "_HLS_msn=x");
        assert!(matches!(directive, Err(Fault::Invalid(_))), "{directive:?}");
    }

    #[test]
    fn parameters_are_found_and_decoded() {
        assert_eq!(parameter("a=1&session=x%2Fy", "session").as_deref(), Some("x/y"));
        assert_eq!(parameter("sessions=1", "session"), None);
    }
}
