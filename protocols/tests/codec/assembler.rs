//! What an assembler makes of parts, whoever found them.

use crate::fixtures::fixture;
use bytes::Bytes;
use headwater_protocols::codec::configuration::{H264, Picture};
use headwater_protocols::codec::{Assembler, nal, obu};
use headwater_protocols::track::Codec;
use headwater_protocols::unit::{MediaTime, Parts};
use std::sync::Arc;

fn at(ticks: i64) -> MediaTime {
    MediaTime::new(ticks, 90_000)
}

fn parts(units: &[&[u8]]) -> Parts {
    units.iter().map(|unit| Bytes::copy_from_slice(unit)).collect()
}

#[test]
fn parameter_sets_are_followed_and_put_in_front() {
    let fixture = fixture!("h264_in_order");
    let H264 { sps, pps } = H264::from_avcc(&fixture.record("avcC")).unwrap().0;
    let units = fixture.units();
    let key = nal::length_prefixed(&units[0].bytes, 4).unwrap();
    let mut assembler = Assembler::new(&Codec::H264, 90_000, None);
    assert_eq!(assembler.unit(at(0), None, parts(&[&[9, 0xF0], &sps, &pps[0]])), None, "no picture");
    assert!(assembler.configuration().is_some());
    let mut delimited = key.clone();
    delimited.insert_many(0, parts(&[&[9, 0xF0], &[], &[12, 0xFF, 0x80]]));
    let first = assembler.unit(at(0), None, delimited).unwrap();
    assert_eq!(first.parts[..2], [sps.clone(), pps[0].clone()]);
    assert_eq!(first.parts[2..], key[..]);
    assert!(first.random_access && first.configuration.is_some());
    let other = assembler.unit(at(3600), None, nal::length_prefixed(&units[1].bytes, 4).unwrap()).unwrap();
    assert!(!other.random_access && other.configuration.is_none());
    let mut repeated = key.clone();
    repeated.insert_many(0, [sps.clone(), pps[0].clone()]);
    let second = assembler.unit(at(7200), None, repeated.clone()).unwrap();
    assert_eq!(second.parts, repeated, "nothing is put in front of what is complete");
    assert!(Arc::ptr_eq(first.configuration.as_ref().unwrap(), second.configuration.as_ref().unwrap()));
    let mut changed = sps.to_vec();
    changed.push(0);
    repeated[0] = changed.into();
    let third = assembler.unit(at(9000), None, repeated).unwrap();
    assert_ne!(second.configuration, third.configuration);
}

#[test]
fn told_decode_times_are_made_to_keep_the_promises() {
    let mut assembler = Assembler::new(&Codec::Opus, 48_000, None);
    let mut unit = |pts, dts| {
        let unit = assembler.unit(at(pts), Some(at(dts)), parts(&[&[1]])).unwrap();
        (unit.pts.in_clock(90_000), unit.dts.in_clock(90_000))
    };
    assert_eq!(unit(9000, 9000), (9000, 9000));
    assert_eq!(unit(18000, 27000), (18000, 18000), "after the presentation");
    assert_eq!(unit(27000, 9000), (27000, 18000), "before the last one");
    assert_eq!(unit(9000, 9000), (18000, 18000), "before both");
}

#[test]
fn configurations_are_found_in_the_units() {
    let picture = Some(Picture { width: 98, height: 50 });
    for (codec, fixture, expected) in [
        (Codec::Av1, fixture!("av1"), picture),
        (Codec::Vp9, fixture!("vp9"), picture),
        (Codec::Vp8, fixture!("vp8"), picture),
        (Codec::Mjpeg, fixture!("mjpeg"), picture),
        (Codec::MpegVideo, fixture!("mpeg2"), Some(Picture { width: 64, height: 48 })),
        (Codec::MpegAudio, fixture!("mp3"), None),
        (Codec::Ac3, fixture!("ac3"), None),
    ] {
        let mut assembler = Assembler::new(&codec, 90_000, None);
        let mut random = Vec::new();
        for (index, unit) in fixture.units().into_iter().enumerate() {
            let parts = match codec {
                Codec::Av1 => obu::split(&unit.bytes).unwrap(),
                _ => Parts::from_iter([unit.bytes]),
            };
            let found = assembler.unit(at(index as i64 * 3600), None, parts).unwrap();
            assert_eq!(
                found.configuration.is_some(),
                found.random_access && (expected.is_some() || index == 0)
            );
            if found.random_access {
                random.push(index);
            }
        }
        let found = assembler.configuration().unwrap();
        assert_eq!(found.codec(), codec);
        assert_eq!(found.picture(), expected, "{codec}");
        match codec {
            Codec::Av1 | Codec::Vp8 | Codec::Vp9 => assert_eq!(random, [0, 3], "{codec}: groups of three"),
            Codec::MpegVideo => assert_eq!(random, [0, 10]),
            _ => {}
        }
    }
}

#[test]
fn sequence_header_is_put_in_front_of_a_key_frame() {
    let fixture = fixture!("av1");
    let mut assembler = Assembler::new(&Codec::Av1, 90_000, None);
    let whole = obu::split(&fixture.units()[0].bytes).unwrap();
    assembler.unit(at(0), None, whole.clone()).unwrap();
    let bare =
        whole.iter().filter(|part| obu::kind(part) != Some(obu::SEQUENCE_HEADER)).cloned().collect::<Parts>();
    assert!(bare.len() < whole.len());
    assert_eq!(assembler.unit(at(3600), None, bare).unwrap().parts, whole);
}
