//! The text of playlists, line by line.

use super::player::text;
use super::source::{Stream, aac, config, feed, opus};
use crate::hls::{Config, Variant};
use std::time::Duration;

const MAIN: &str = "a1b2c3d4e5f6_main.m3u8";

#[test]
fn low_latency_with_renditions_of_sound() {
    let stream = Stream { audio: vec![aac(48_000), opus()], ..Stream::default() };
    let config = Config {
        segment_count: 3,
        part_duration: Duration::from_secs(1),
        segment_duration: Duration::from_secs(2),
        ..config(Variant::LowLatency)
    };
    let mut muxer = stream.muxer(config);
    feed(&mut muxer, &stream.units(0, 11.5), |_| ());
    let multivariant = "\
#EXTM3U
#EXT-X-VERSION:9
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"Audio 1\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"a1b2c3d4e5f6_audio1.m3u8\"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"Audio 2\",DEFAULT=NO,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"a1b2c3d4e5f6_audio2.m3u8\"
#EXT-X-STREAM-INF:BANDWIDTH=125440,AVERAGE-BANDWIDTH=125440,CODECS=\"avc1.4d400c,mp4a.40.2,opus\",RESOLUTION=320x180,FRAME-RATE=25.000,AUDIO=\"audio\"
a1b2c3d4e5f6_main.m3u8
";
    assert_eq!(text(&mut muxer, "index.m3u8", ""), multivariant);
    let main = "\
#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:2
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12,HOLD-BACK=6,PART-HOLD-BACK=3.000
#EXT-X-PART-INF:PART-TARGET=1.000
#EXT-X-MEDIA-SEQUENCE:2
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MAP:URI=\"a1b2c3d4e5f6_main_init0.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:09.000Z
#EXTINF:2.00000,
a1b2c3d4e5f6_main_seg2.mp4
#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:11.000Z
#EXT-X-PART:DURATION=1.00000,URI=\"a1b2c3d4e5f6_main_part6.mp4\",INDEPENDENT=YES
#EXT-X-PART:DURATION=1.00000,URI=\"a1b2c3d4e5f6_main_part7.mp4\"
#EXTINF:2.00000,
a1b2c3d4e5f6_main_seg3.mp4
#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:13.000Z
#EXT-X-PART:DURATION=1.00000,URI=\"a1b2c3d4e5f6_main_part8.mp4\",INDEPENDENT=YES
#EXT-X-PART:DURATION=1.00000,URI=\"a1b2c3d4e5f6_main_part9.mp4\"
#EXTINF:2.00000,
a1b2c3d4e5f6_main_seg4.mp4
#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:15.000Z
#EXT-X-PART:DURATION=1.00000,URI=\"a1b2c3d4e5f6_main_part10.mp4\",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"a1b2c3d4e5f6_main_part11.mp4\"
#EXT-X-RENDITION-REPORT:URI=\"a1b2c3d4e5f6_audio1.m3u8\",LAST-MSN=5,LAST-PART=0
#EXT-X-RENDITION-REPORT:URI=\"a1b2c3d4e5f6_audio2.m3u8\",LAST-MSN=5,LAST-PART=0
";
    assert_eq!(text(&mut muxer, MAIN, ""), main);
}

#[test]
fn whole_segments() {
    let stream = Stream::default();
    let mut muxer = stream.muxer(Config { segment_count: 3, ..config(Variant::Fmp4) });
    feed(&mut muxer, &stream.units(0, 11.0), |_| ());
    let main = "\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:2
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,HOLD-BACK=6
#EXT-X-MEDIA-SEQUENCE:2
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MAP:URI=\"a1b2c3d4e5f6_main_init0.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:09.000Z
#EXTINF:2.00000,
a1b2c3d4e5f6_main_seg2.mp4
#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:11.000Z
#EXTINF:2.00000,
a1b2c3d4e5f6_main_seg3.mp4
#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:13.000Z
#EXTINF:2.00000,
a1b2c3d4e5f6_main_seg4.mp4
";
    assert_eq!(text(&mut muxer, MAIN, ""), main);
    assert_eq!(text(&mut muxer, MAIN, "_HLS_skip=YES"), main, "nothing is old enough to be left out");
    let multivariant = text(&mut muxer, "index.m3u8", "");
    assert!(multivariant.contains(",CODECS=\"avc1.4d400c,mp4a.40.2\",RESOLUTION=320x180,"), "{multivariant}");
    assert!(!multivariant.contains("EXT-X-MEDIA:"), "one sound goes with the pictures");
}

#[test]
fn delta_updates_leave_out_what_is_older_than_six_targets() {
    let stream = Stream::default();
    let mut muxer = stream.muxer(Config { segment_count: 12, ..config(Variant::LowLatency) });
    feed(&mut muxer, &stream.units(0, 30.1), |_| ());
    let full = text(&mut muxer, MAIN, "");
    let delta = text(&mut muxer, MAIN, "_HLS_msn=14&_HLS_skip=v2");
    // Twelve segments of two seconds, of which the last six are within twelve seconds of the end; one reaches into them.
    assert!(delta.contains("\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-SKIP:SKIPPED-SEGMENTS=6\n"), "{delta}");
    assert!(!delta.contains("EXT-X-MAP"), "{delta}");
    let head = |text: &str| text.split("#EXT-X-PROGRAM").next().map(str::to_owned).unwrap();
    let tail = &delta[head(&delta).len()..];
    assert!(full.ends_with(tail) && full.matches("#EXTINF").count() == tail.matches("#EXTINF").count() + 6);
    // Parts are there for the last three segments, of which the open one has no more than a hint here.
    assert_eq!(full.matches("#EXT-X-PART:").count(), 2 * 10);
}

#[test]
fn sound_alone_in_several_renditions() {
    let stream = Stream { video: None, audio: vec![aac(44_100), opus()], ..Stream::default() };
    let mut muxer = stream.muxer(config(Variant::Fmp4));
    feed(&mut muxer, &stream.units(0, 11.0), |_| ());
    let multivariant = text(&mut muxer, "index.m3u8", "");
    assert!(multivariant.contains(
        "NAME=\"Audio 1\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"a1b2c3d4e5f6_main.m3u8\""
    ));
    assert!(
        multivariant.contains("CODECS=\"mp4a.40.2,opus\",AUDIO=\"audio\"\na1b2c3d4e5f6_main.m3u8\n"),
        "{multivariant}"
    );
    assert!(!multivariant.contains("FRAME-RATE") && !multivariant.contains("RESOLUTION"));
}
