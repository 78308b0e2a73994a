//! What decoders get of the demo; the end-to-end test shows that FFmpeg sees the same.

use super::canvas::{COLUMNS, ROWS};
use super::source::{PICTURES_PER_SECOND, Source};
use headwater_protocols::codec::Configuration;
use headwater_protocols::codec::h264;
use std::time::{Duration, UNIX_EPOCH};

fn source() -> Source {
    Source::new(UNIX_EPOCH + Duration::from_millis(86_399_500)).expect("the constants are valid")
}

#[test]
fn the_announcement_says_what_comes() {
    let tracks = source().tracks();
    let [video, audio] = &tracks[..] else { panic!("two tracks") };
    let picture = video.configuration.as_deref().and_then(Configuration::picture).expect("a picture");
    assert_eq!((picture.width, picture.height), (640, 360));
    let codec = video.configuration.as_deref().and_then(Configuration::codec_string);
    assert_eq!(codec.as_deref(), Some("avc1.42c01e"));
    assert_eq!((audio.track.clock_rate, audio.track.channels), (48_000, 1));
}

#[test]
fn units_come_in_order_with_a_key_picture_each_second() {
    let mut source = source();
    let (mut last, mut pictures, mut blocks, mut bytes) = (Duration::ZERO, 0u32, 0, 0);
    while source.due() < Duration::from_secs(3) {
        assert!(source.due() >= last);
        last = source.due();
        let (track, unit) = source.next_unit();
        bytes += unit.bytes();
        assert!(unit.parts.iter().all(|part| !part.is_empty()));
        if track == 1 {
            blocks += 1;
            continue;
        }
        let key = pictures.is_multiple_of(PICTURES_PER_SECOND);
        assert_eq!(unit.random_access, key);
        let kinds = unit.parts.iter().map(|part| h264::kind(part)).collect::<Vec<_>>();
        assert_eq!(kinds, if key { vec![h264::SPS, h264::PPS, h264::IDR_SLICE] } else { vec![h264::SLICE] });
        pictures += 1;
    }
    assert_eq!((pictures, blocks), (75, 141));
    assert!(bytes < 3 * 60_000, "{bytes} bytes in 3 s are more than 480 kbit/s");
    assert_eq!(COLUMNS * ROWS, 920);
}
