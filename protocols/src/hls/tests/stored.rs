//! The folder of files that a server of files hands out.

use super::source::{Stream, aac, config, feed, opus};
use crate::hls::{Body, Config, Request, Variant};
use std::collections::HashSet;
use std::time::Duration;

fn text(body: &Body) -> String {
    String::from_utf8(body.pieces.concat()).expect("a playlist is text")
}

#[test]
fn a_folder_has_all_that_its_playlists_name_and_nothing_that_only_a_server_can_do() {
    for variant in [Variant::MpegTs, Variant::Fmp4, Variant::LowLatency] {
        let audio = if variant == Variant::MpegTs { vec![aac(48_000)] } else { vec![aac(48_000), opus()] };
        let stream = Stream { audio, ..Stream::default() };
        let settings =
            Config { segment_count: 3, segment_duration: Duration::from_secs(2), ..config(variant) };
        let mut muxer = stream.muxer(settings);
        assert!(muxer.stored().is_none(), "nothing can be played yet");
        let mut folders = 0;
        feed(&mut muxer, &stream.units(0, 21.0), |muxer| {
            let Some(stored) = muxer.stored() else { return };
            folders += 1;
            let names = stored.files.iter().chain(&stored.playlists).map(|(name, _)| name.as_str());
            let names = names.collect::<HashSet<_>>();
            assert!(names.iter().all(|name| Request::parse(name, "").is_ok()), "{names:?}");
            for (playlist, body) in &stored.playlists {
                let text = text(body);
                for tag in ["EXT-X-PART", "EXT-X-SERVER-CONTROL", "EXT-X-PRELOAD-HINT", "EXT-X-RENDITION"] {
                    assert!(!text.contains(tag), "{variant:?} {playlist}: {text}");
                }
                let uris = text.lines().flat_map(|line| {
                    let quoted = line.split("URI=\"").nth(1).and_then(|rest| rest.split('"').next());
                    quoted.or((!line.starts_with('#')).then_some(line))
                });
                uris.for_each(|uri| assert!(names.contains(uri), "{variant:?} {playlist}: no {uri}"));
            }
            let renditions = stored.playlists.len() - 1;
            assert!(stored.files.len() <= renditions * (1 + 3 + 3), "three listed, three that left");
            assert!(stored.files.iter().all(|(_, body)| body.bytes > 0));
        });
        assert!(folders >= 8, "{variant:?}: {folders}");
    }
}
