//! Which request is answered when: blocking reloads, hints, files that are gone.

use super::player::{media, text};
use super::source::{Stream, config, feed};
use crate::hls::{Cacheability, Directives, Error, Position, Request, Response, Skip, Variant};

const MAIN: &str = "a1b2c3d4e5f6_main.m3u8";

#[test]
fn names_and_directives_are_understood() {
    let prefix = 0xA1B2_C3D4_E5F6;
    let parse = |name| Request::parse(name, "");
    assert_eq!(parse("index.m3u8"), Ok(Request::Multivariant));
    assert_eq!(parse("a1b2c3d4e5f6_main_seg7.mp4"), Ok(Request::Segment { prefix, rendition: 0, msn: 7 }));
    assert_eq!(parse("a1b2c3d4e5f6_main_seg7.ts"), Ok(Request::Segment { prefix, rendition: 0, msn: 7 }));
    assert_eq!(parse("a1b2c3d4e5f6_audio2_part9.mp"), Ok(Request::Part { prefix, rendition: 2, part: 9 }));
    assert_eq!(parse("a1b2c3d4e5f6_main_init0.mp4"), Ok(Request::Init { prefix, rendition: 0, version: 0 }));
    for name in [
        "",
        "main.m3u8",
        "a1b2c3d4e5f_main.m3u8",
        "A1B2C3D4E5F6_main.m3u8",
        "a1b2c3d4e5f6_video.m3u8",
        "a1b2c3d4e5f6_audio0.m3u8",
        "a1b2c3d4e5f6_audio256.m3u8",
        "a1b2c3d4e5f6_main_seg.mp4",
        "a1b2c3d4e5f6_main_seg+7.mp4",
        "a1b2c3d4e5f6_main_part7.ts",
        "a1b2c3d4e5f6_main_init4294967296.mp4",
        "a1b2c3d4e5f6_main_seg99999999999999999999999.mp4",
        "a1b2c3d4e5f6_main_seg7_x.mp4",
    ] {
        assert_eq!(parse(name), Err(Error::Unknown), "{name}");
    }
    let directives = media(MAIN, "session=x&_HLS_msn=12&_HLS_part=3&_HLS_skip=v2");
    assert_eq!(
        directives,
        Directives { msn: Some(12), part: Some(3), skip: Some(Skip::DateRanges) },
        "other keys are stepped over"
    );
    for query in ["_HLS_msn=-1", "_HLS_msn=", "_HLS_part=1", "_HLS_skip=NO", "_HLS_msn=1&_HLS_part=x"] {
        assert_eq!(Request::parse(MAIN, query).map_err(|error| error.status()), Err(400), "{query}");
    }
}

#[test]
fn nothing_is_served_before_the_first_segment() {
    let stream = Stream::default();
    let mut muxer = stream.muxer(config(Variant::LowLatency));
    let index = Request::parse("index.m3u8", "").unwrap();
    let Response::Wait(position) = muxer.respond(&index, "") else { panic!("it waits") };
    let units = stream.units(0, 2.5);
    let (before, after) = units.split_at(units.len() / 2);
    feed(&mut muxer, before, |_| ());
    assert!(!muxer.reached(&position) && !muxer.is_playable());
    feed(&mut muxer, after, |_| ());
    assert!(muxer.reached(&position) && muxer.is_playable());
    assert!(matches!(muxer.respond(&index, ""), Response::Ready { .. }));
}

#[test]
fn reloads_block_until_what_they_ask_for_is_there() {
    let stream = Stream::default();
    let mut muxer = stream.muxer(config(Variant::LowLatency));
    let units = stream.units(0, 10.0);
    // Two groups of pictures and a bit: segments 0 and 1 are there, of ten parts each, and two parts of segment 2.
    let at = units.iter().position(|(_, unit)| unit.dts.in_clock(1000) >= 4500).unwrap();
    feed(&mut muxer, &units[..at], |_| ());
    let ask = |query: &str| Request::parse(MAIN, query).unwrap();
    let ready = |response| matches!(response, Response::Ready { .. });
    let waits = |response| match response {
        Response::Wait(position) => position,
        other => panic!("{other:?}"),
    };
    assert!(ready(muxer.respond(&ask(""), "")));
    assert!(ready(muxer.respond(&ask("_HLS_msn=1"), "")));
    assert!(ready(muxer.respond(&ask("_HLS_msn=2&_HLS_part=1"), "")));
    let next = waits(muxer.respond(&ask("_HLS_msn=2&_HLS_part=2"), ""));
    assert_eq!(next, Position { rendition: 0, msn: 2, part: Some(2) });
    let segment = waits(muxer.respond(&ask("_HLS_msn=2"), ""));
    waits(muxer.respond(&ask("_HLS_msn=4"), ""));
    assert!(matches!(muxer.respond(&ask("_HLS_msn=5"), ""), Response::BadRequest));
    assert!(matches!(muxer.respond(&ask("_HLS_msn=2&_HLS_part=40"), ""), Response::BadRequest));
    // A part beyond the last of its segment: part 0 of the next, which is there.
    assert!(ready(muxer.respond(&ask("_HLS_msn=1&_HLS_part=99"), "")));
    // The hint: part 22 (from 0) is the next of all.
    let hinted = Request::parse("a1b2c3d4e5f6_main_part22.mp4", "").unwrap();
    let part = waits(muxer.respond(&hinted, ""));
    let beyond = Request::parse("a1b2c3d4e5f6_main_part23.mp4", "").unwrap();
    assert!(matches!(muxer.respond(&beyond, ""), Response::NotFound));
    let rest = &units[at..];
    let at = rest.iter().position(|(_, unit)| unit.dts.in_clock(1000) >= 4700).unwrap();
    feed(&mut muxer, &rest[..at], |_| ());
    assert!(muxer.reached(&next) && muxer.reached(&part) && !muxer.reached(&segment));
    let Response::Ready { cacheability, .. } = muxer.respond(&hinted, "") else { panic!("it is there") };
    assert_eq!(cacheability, Cacheability::Immutable);
    feed(&mut muxer, &rest[at..], |_| ());
    assert!(muxer.reached(&segment));
}

#[test]
fn other_prefixes_and_renditions_are_not_found() {
    let stream = Stream::default();
    let mut muxer = stream.muxer(config(Variant::Fmp4));
    feed(&mut muxer, &stream.units(0, 10.0), |_| ());
    for name in ["a1b2c3d4e5f7_main.m3u8", "a1b2c3d4e5f6_audio1.m3u8", "a1b2c3d4e5f6_main_seg99.mp4"] {
        let request = Request::parse(name, "").unwrap();
        assert!(matches!(muxer.respond(&request, ""), Response::NotFound), "{name}");
    }
    assert!(!text(&mut muxer, MAIN, "").contains("EXT-X-PART"));
}

#[test]
fn the_readers_query_goes_behind_every_uri() {
    let stream = Stream::default();
    let mut muxer = stream.muxer(config(Variant::LowLatency));
    feed(&mut muxer, &stream.units(0, 5.0), |_| ());
    for name in ["index.m3u8", MAIN] {
        let request = Request::parse(name, "").unwrap();
        let Response::Ready { body, .. } = muxer.respond(&request, "session=abc") else {
            panic!("it is there")
        };
        let playlist = String::from_utf8(body.pieces.concat()).unwrap();
        let uris = playlist.matches("a1b2c3d4e5f6_").count();
        assert!(uris > 0);
        assert_eq!(playlist.matches("?session=abc").count(), uris);
        // A query that would break out of an attribute is none.
        let Response::Ready { body, .. } = muxer.respond(&request, "x=\"\n#EXT") else {
            panic!("it is there")
        };
        assert!(!body.pieces.concat().contains(&b'?'));
    }
}

#[test]
fn a_finished_stream_ends_its_playlist() {
    let stream = Stream::default();
    let mut muxer = stream.muxer(config(Variant::LowLatency));
    feed(&mut muxer, &stream.units(0, 5.0), |_| ());
    let waiting = Position { rendition: 0, msn: 4, part: None };
    assert!(!muxer.reached(&waiting));
    assert!(muxer.finish().unwrap().segment);
    assert!(muxer.reached(&waiting));
    let playlist = text(&mut muxer, MAIN, "_HLS_msn=9");
    assert!(playlist.ends_with("#EXT-X-ENDLIST\n") && !playlist.contains("PRELOAD-HINT"), "{playlist}");
    assert_eq!(playlist.matches("#EXTINF").count(), 3, "two groups of pictures, and what was left");
}
