//! Where segments and parts are cut, and what is in them.

use super::player::{Player, body, text};
use super::source::{Stream, aac, config, feed, h264, opus, picture, sound};
use crate::hls::{Config, Muxer, Variant};
use crate::mp4::read;
use std::time::Duration;

const MAIN: &str = "a1b2c3d4e5f6_main.m3u8";

/// Feeds units, looking at each version of the first playlist.
fn watch(muxer: &mut Muxer, units: &[(usize, crate::unit::AccessUnit)]) -> Player {
    let mut player = Player::default();
    feed(muxer, units, |muxer| {
        if muxer.is_playable() {
            player.look(muxer, MAIN);
        }
    });
    player
}

/// `EXTINF` of all segments seen.
fn durations(player: &Player) -> Vec<f64> {
    let mut numbers = player.segments.keys().copied().collect::<Vec<_>>();
    numbers.sort_unstable();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "no segment was missed");
    numbers.iter().map(|number| player.segments[number].0).collect()
}

#[test]
fn segments_begin_at_random_access_points() {
    for variant in [Variant::Fmp4, Variant::LowLatency] {
        let stream = Stream::default();
        let mut muxer = stream.muxer(config(variant));
        let player = watch(&mut muxer, &stream.units(0, 30.0));
        let durations = durations(&player);
        assert_eq!(durations, vec![2.0; 14], "{variant:?}");
        assert!(text(&mut muxer, MAIN, "").contains("#EXT-X-INDEPENDENT-SEGMENTS\n"));
    }
}

#[test]
fn b_pictures_keep_their_presentation_times() {
    let stream = Stream { reordered: true, audio: Vec::new(), ..Stream::default() };
    let mut muxer = stream.muxer(config(Variant::Fmp4));
    feed(&mut muxer, &stream.units(0, 10.0), |_| ());
    let segment = body(&mut muxer, "a1b2c3d4e5f6_main_seg1.mp4", "");
    let run = &read::fragments(&segment).unwrap()[0].runs[0];
    assert_eq!((run.decode_time, run.samples.len()), (180_000, 50));
    let offsets = run.samples.iter().take(4).map(|sample| sample.composition_offset);
    assert_eq!(offsets.collect::<Vec<_>>(), [3600, 10_800, 0, 3600]);
    assert!(run.samples.iter().all(|sample| sample.duration == 3600));
}

#[test]
fn parts_fit_the_rate_of_pictures() {
    // 24 Hz: four pictures are 83 % of 200 ms, so parts have five. 29.97 Hz: six are 200.2 ms. 1 Hz: one.
    for (step, least, most) in [(3750, 0.2, 0.21), (3003, 0.2, 0.203), (90_000, 1.0, 1.01), (3600, 0.2, 0.2)]
    {
        let group = 180_000 / step;
        let stream = Stream { step, group, ..Stream::default() };
        let mut muxer = stream.muxer(config(Variant::LowLatency));
        let player = watch(&mut muxer, &stream.units(0, 20.0));
        assert!((least..=most).contains(&player.longest_part), "{step}: {}", player.longest_part);
        // Each part but the last has the edges of pictures, so all but it are alike.
        assert!(player.segments.len() > 5);
    }
}

#[test]
fn irregular_pictures_break_no_promise() {
    let configuration = h264(0);
    let stream = Stream::default();
    let mut muxer = stream.muxer(config(Variant::LowLatency));
    let mut units = stream.units(0, 60.0);
    units.retain(|(track, _)| *track == 1);
    let (mut time, mut index) = (0i64, 0i64);
    while time < 60 * 90_000 {
        let key = (index % 40 == 0).then_some(&configuration);
        units.push((0, picture(time, 0, key)));
        // From 8 to 700 ms, as a shared screen has it.
        index += 1;
        time += 720 + (index * index * 7919) % 63_000 / if index % 9 == 0 { 1 } else { 12 };
    }
    units.sort_by_key(|(_, unit)| unit.dts);
    let player = watch(&mut muxer, &units);
    assert!(player.segments.len() > 10);
    assert_eq!(player.discontinuities, 0);
}

#[test]
fn audio_alone_is_cut_by_duration() {
    for configuration in [aac(44_100), opus()] {
        let stream = Stream { video: None, audio: vec![configuration], ..Stream::default() };
        let mut muxer = stream.muxer(config(Variant::LowLatency));
        let player = watch(&mut muxer, &stream.units(0, 20.0));
        let durations = durations(&player);
        assert!(
            durations.len() >= 18 && durations.iter().all(|seconds| (1.0..1.05).contains(seconds)),
            "{durations:?}"
        );
    }
}

#[test]
fn without_key_pictures_segments_are_cut_at_the_target() {
    let stream = Stream::default();
    let mut muxer = stream.muxer(config(Variant::LowLatency));
    let configuration = h264(0);
    // One group of two seconds decides the target; then none comes any more.
    let units = (0..750).map(|index| {
        (0, picture(index * 3600, 0, (index % 50 == 0 && index < 60).then_some(&configuration)))
    });
    let player = watch(&mut muxer, &units.collect::<Vec<_>>());
    let durations = durations(&player);
    assert!(durations.iter().all(|&seconds| seconds <= 2.49) && durations.len() > 10, "{durations:?}");
    assert!(!text(&mut muxer, MAIN, "").contains("INDEPENDENT-SEGMENTS"));
}

#[test]
fn the_first_segment_ends_without_key_pictures_too() {
    let stream = Stream { group: i64::MAX, audio: Vec::new(), ..Stream::default() };
    let mut muxer = stream.muxer(config(Variant::LowLatency));
    let player = watch(&mut muxer, &stream.units(0, 40.0));
    assert!(durations(&player).iter().all(|&seconds| seconds <= 10.49));
    assert!(player.segments.len() >= 2);
}

#[test]
fn large_segments_are_cut_by_bytes() {
    let stream = Stream::default();
    let config = Config { segment_bytes_max: 10_000, ..config(Variant::Fmp4) };
    let mut muxer = stream.muxer(config);
    let player = watch(&mut muxer, &stream.units(0, 20.0));
    assert!(player.segments.len() > 20);
    let large = sound(960_000, 48_000);
    let large = crate::unit::AccessUnit { parts: [vec![0; 10_001].into()].into_iter().collect(), ..large };
    assert!(muxer.unit(Duration::ZERO, 1, &large).is_err());
}

#[test]
fn a_changed_picture_begins_a_discontinuity() {
    for variant in [Variant::Fmp4, Variant::LowLatency] {
        let stream = Stream::default();
        let mut muxer = stream.muxer(config(variant));
        let mut units = stream.units(0, 9.0);
        let other = Stream { video: Some(h264(1)), ..Stream::default() };
        units.extend(other.units(9 * 90_000, 9.0));
        let player = watch(&mut muxer, &units);
        assert_eq!(player.discontinuities, 1);
        let playlist = text(&mut muxer, MAIN, "");
        let after = playlist.split("#EXT-X-DISCONTINUITY\n").nth(1).unwrap_or(&playlist);
        assert!(after.contains("_init1.mp4"), "{playlist}");
        assert!(text(&mut muxer, "index.m3u8", "").contains("RESOLUTION=640x360"));
    }
}

#[test]
fn jumps_and_returning_publishers_begin_discontinuities() {
    let stream = Stream { audio: vec![aac(48_000), opus()], ..Stream::default() };
    let mut muxer = stream.muxer(config(Variant::LowLatency));
    let mut players = [Player::default(), Player::default(), Player::default()];
    let names = [MAIN, "a1b2c3d4e5f6_audio1.m3u8", "a1b2c3d4e5f6_audio2.m3u8"];
    let mut look = |muxer: &mut Muxer, discontinuities: Option<usize>| {
        for (player, name) in players.iter_mut().zip(names) {
            player.look(muxer, name);
            if let Some(expected) = discontinuities {
                assert_eq!(player.discontinuities, expected, "{name}");
            }
        }
    };
    feed(&mut muxer, &stream.units(0, 9.0), |_| ());
    look(&mut muxer, Some(0));
    // An hour ahead.
    feed(&mut muxer, &stream.units(3600 * 90_000, 9.0), |_| ());
    look(&mut muxer, Some(1));
    // Back to the beginning, without a word.
    feed(&mut muxer, &stream.units(0, 9.0), |_| ());
    look(&mut muxer, Some(2));
    // Announced.
    muxer.discontinuity();
    feed(&mut muxer, &stream.units(90_000, 9.0), |_| ());
    look(&mut muxer, Some(3));
}

#[test]
fn sound_goes_on_without_pictures() {
    let stream = Stream::default();
    let mut muxer = stream.muxer(config(Variant::LowLatency));
    let mut units = stream.units(0, 30.0);
    units.retain(|(track, unit)| *track == 1 || !(6.0..16.0).contains(&(unit.dts.ticks as f64 / 90_000.0)));
    let player = watch(&mut muxer, &units);
    assert_eq!(player.discontinuities, 0);
    let seconds = durations(&player).iter().sum::<f64>();
    assert!(seconds > 24.0, "{seconds}");
}

#[test]
fn silent_tracks_are_left_out() {
    let stream = Stream::default();
    let mut muxer = stream.muxer(config(Variant::Fmp4));
    let mut units = stream.units(0, 10.0);
    units.retain(|(track, _)| *track == 0);
    feed(&mut muxer, &units, |_| ());
    assert_eq!(muxer.skipped().len(), 1);
    let init = body(&mut muxer, "a1b2c3d4e5f6_main_init0.mp4", "");
    assert_eq!(read::tracks(&init).unwrap().len(), 1);
    assert!(!text(&mut muxer, "index.m3u8", "").contains("mp4a"));
}

#[test]
fn clocks_of_milliseconds_are_evened_out() {
    let stream = Stream { video: None, audio: vec![aac(44_100)], ..Stream::default() };
    let mut muxer = stream.muxer(config(Variant::Fmp4));
    let units =
        (0..1000).map(|index: i64| (0, sound(index * 1024 * 1000 / 44_100, 1000))).collect::<Vec<_>>();
    feed(&mut muxer, &units, |_| ());
    let segment = body(&mut muxer, "a1b2c3d4e5f6_main_seg17.mp4", "");
    let run = &read::fragments(&segment).unwrap()[0].runs[0];
    assert!(run.samples.iter().all(|sample| sample.duration == 1024));
}

#[test]
fn transport_streams_begin_with_their_tables() {
    for stream in [Stream::default(), Stream { video: None, ..Stream::default() }] {
        let mut muxer = stream.muxer(config(Variant::MpegTs));
        let mut units = stream.units(0, 12.0);
        // Without key pictures at the end: cut all the same.
        units.retain(|(_, unit)| unit.dts.in_clock(10) < 60 || unit.configuration.is_none());
        let player = watch(&mut muxer, &units);
        assert!(player.segments.len() >= 4);
        let mut last = 0;
        for number in 2.. {
            let name = format!("a1b2c3d4e5f6_main_seg{number}.ts");
            let request = crate::hls::Request::parse(&name, "").unwrap();
            let crate::hls::Response::Ready { body, .. } = muxer.respond(&request, "") else { break };
            let bytes = body.pieces.concat();
            assert!(bytes.len() % 188 == 0 && bytes.chunks(188).all(|packet| packet[0] == 0x47));
            assert_eq!((bytes[1] & 0x1F, bytes[2]), (0, 0), "the program association table first");
            last = number;
        }
        assert!(last >= 3);
    }
}

#[test]
fn transport_streams_skip_what_they_cannot_carry() {
    let stream = Stream { audio: vec![opus(), aac(48_000), aac(44_100)], ..Stream::default() };
    let (_, skipped) = Muxer::new(config(Variant::MpegTs), &stream.tracks(), 1).unwrap();
    assert_eq!(skipped.iter().map(|skipped| skipped.track).collect::<Vec<_>>(), [1, 3]);
    assert!(Muxer::new(config(Variant::MpegTs), &stream.tracks()[1..2], 1).is_err());
}

#[test]
fn renditions_that_ended_apart_go_on_together() {
    let stream = Stream { audio: vec![aac(48_000), opus()], ..Stream::default() };
    let mut muxer = stream.muxer(config(Variant::Fmp4));
    let mut units = stream.units(0, 9.0);
    units.retain(|(track, unit)| *track == 0 || unit.dts.in_clock(10) < 85);
    feed(&mut muxer, &units, |_| ());
    muxer.discontinuity();
    // The sound is first, and the picture half a second ahead of it.
    feed(&mut muxer, &[(1, sound(480_000, 48_000))], |_| ());
    feed(&mut muxer, &stream.units(10 * 90_000, 9.0), |_| ());
    for name in [MAIN, "a1b2c3d4e5f6_audio1.m3u8", "a1b2c3d4e5f6_audio2.m3u8"] {
        let playlist = text(&mut muxer, name, "");
        let after = playlist.split("#EXT-X-DISCONTINUITY\n").nth(1).expect("a discontinuity");
        assert!(after.matches("#EXTINF").count() >= 3, "{playlist}");
    }
}
