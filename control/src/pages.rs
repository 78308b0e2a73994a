//! The pages that browsers are shown on the listener for media, from `control/web`, built into the binary.
//!
//! The engine answers with them by name and computes their entity tags; nothing is read from disk while the server runs.
//! A new file is a line of [`FILES`].

use bytes::Bytes;
use headwater_engine::settings::Page;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        /// Name and content of every page.
        const FILES: &[(&str, &[u8])] = &[$(($name, include_bytes!(concat!("../web/", $name)))),+];
    };
}

files![
    "buffer.js",
    "controls.js",
    "figures.js",
    "icon.svg",
    "index.css",
    "index.html",
    "index.js",
    "live.js",
    "mp4.js",
    "native.js",
    "options.js",
    "page.css",
    "player.css",
    "player.html",
    "player.js",
    "playlist.js",
    "rendition.js",
    "request.js",
    "session.js",
    "timeline.js",
];

/// All pages by their names.
pub(crate) fn all() -> Arc<HashMap<&'static str, Page>> {
    static ALL: LazyLock<Arc<HashMap<&'static str, Page>>> = LazyLock::new(|| {
        let page = |(name, body): &(&'static str, &'static [u8])| {
            (*name, Page { content_type: content_type(name), body: Bytes::from_static(body) })
        };
        Arc::new(FILES.iter().map(page).collect())
    });
    Arc::clone(&ALL)
}

/// The media type that follows from the end of the name.
fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "webmanifest" => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::{FILES, all};

    #[test]
    fn every_file_of_the_folder_is_a_page_of_a_known_type() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/web");
        let entries = std::fs::read_dir(folder).expect("the folder");
        let mut found: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
        found.sort();
        let mut known: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        known.sort_unstable();
        assert_eq!(found, known);
        for (name, page) in all().iter() {
            assert_ne!(page.content_type, "application/octet-stream", "{name}");
            assert!(!page.body.is_empty(), "{name}");
        }
    }
}
