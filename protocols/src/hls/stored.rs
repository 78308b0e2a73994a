//! The stream as a folder of files, which any server of files can hand out.
//!
//! Nobody holds a request back there, so what is low latency elsewhere is fMP4 here: segments, no parts.

use super::Variant;
use super::playlist::{self, Context};
use super::rendition::Rendition;
use super::response::Body;
use super::{multivariant, request};

/// What the folder holds at one time.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// Names and bodies of initialization segments and segments, which never change. Those that have just left the
    /// playlist are among them, for players that lag.
    pub files: Vec<(String, Body)>,
    /// Names and texts of the playlists that name them, the multivariant playlist last.
    pub playlists: Vec<(String, Body)>,
}

impl Stored {
    pub(super) fn of(variant: Variant, renditions: &[Rendition], frame_rate: f64) -> Stored {
        let variant = if variant == Variant::LowLatency { Variant::Fmp4 } else { variant };
        let mut stored = Stored::default();
        for Rendition { names, window, .. } in renditions {
            let inits = window.inits().filter(|_| variant != Variant::MpegTs);
            let inits =
                inits.map(|(version, bytes)| (format!("{names}_init{version}.mp4"), bytes.clone().into()));
            stored.files.extend(inits);
            stored.files.extend(window.kept().map(|segment| {
                (format!("{names}_seg{}.{}", segment.msn, names.extension), segment.body.clone())
            }));
            let context = Context { variant, names: *names, others: &[], served: false };
            let text = playlist::write(window, &context, false).with_query("");
            stored.playlists.push((format!("{names}.m3u8"), text.into()));
        }
        let text = multivariant::write(variant, renditions, frame_rate).with_query("");
        stored.playlists.push((request::MULTIVARIANT.to_owned(), text.into()));
        stored
    }
}
