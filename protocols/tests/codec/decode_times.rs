//! Decode times computed from presentation times, against those the encoders chose.

use crate::fixtures::{Fixture, fixture};
use headwater_protocols::codec::configuration::{H264, H265};
use headwater_protocols::codec::{Assembler, Configuration, nal};
use headwater_protocols::track::Codec;
use headwater_protocols::unit::{AccessUnit, Parts};
use std::sync::Arc;

/// The units of a fixture through an assembler that is not told decode times.
fn assembled(fixture: &Fixture, known: Configuration) -> Vec<AccessUnit> {
    let codec = known.codec();
    let mut assembler = Assembler::new(&codec, 90_000, Some(Arc::new(known)));
    let mut units = Vec::new();
    for unit in fixture.units() {
        let parts = match codec {
            Codec::H264 | Codec::H265 => nal::length_prefixed(&unit.bytes, 4).unwrap(),
            _ => Parts::from_iter([unit.bytes.clone()]),
        };
        let found = assembler.unit(unit.pts, None, parts).unwrap();
        assert_eq!(found.pts, unit.pts, "shown when it should be");
        assert!(found.dts <= found.pts);
        assert!(units.last().is_none_or(|last: &AccessUnit| last.dts < found.dts));
        units.push(found);
    }
    units
}

/// From the unit `from` on the times are the encoder's.
fn check(fixture: &Fixture, units: &[AccessUnit], from: usize) {
    let ticks = |units: &[AccessUnit]| units.iter().skip(from).map(|unit| unit.dts.ticks).collect::<Vec<_>>();
    let expected =
        fixture.units().iter().take(units.len()).skip(from).map(|unit| unit.dts.ticks).collect::<Vec<_>>();
    assert_eq!(ticks(units), expected);
}

fn h264(fixture: &Fixture) -> H264 {
    H264::from_avcc(&fixture.record("avcC")).unwrap().0
}

#[test]
fn h264_with_a_pyramid_and_told_reordering() {
    let fixture = fixture!("h264_pyramid");
    let units = assembled(&fixture, Configuration::H264(h264(&fixture)));
    check(&fixture, &units, 2);
    let random = units.iter().enumerate().filter(|(_, unit)| unit.random_access).map(|(index, _)| index);
    assert_eq!(random.collect::<Vec<_>>(), [0, 16]);
}

/// Only the picture order counts tell that pictures are reordered, and how deep.
#[test]
fn h264_whose_parameter_set_tells_nothing() {
    let fixture = fixture!("h264_pyramid");
    let sps = fixture.record("sps_without_vui");
    let units = assembled(&fixture, Configuration::H264(H264 { sps, ..h264(&fixture) }));
    check(&fixture, &units, 3);
}

#[test]
fn h264_interlaced_in_open_groups() {
    let fixture = fixture!("h264_interlaced");
    let units = assembled(&fixture, Configuration::H264(h264(&fixture)));
    let second = units.iter().skip(1).position(|unit| unit.random_access).expect("a recovery point") + 1;
    check(&fixture, &units[..second], 2);
    // Of the two pictures that the set allows one is used, as the first group shows.
    let told = fixture.units().into_iter().skip(second).map(|unit| unit.dts.later(3600)).collect::<Vec<_>>();
    assert_eq!(units[second..].iter().map(|unit| unit.dts).collect::<Vec<_>>(), told);
}

#[test]
fn streams_in_order_have_no_delay() {
    let h264_in_order = fixture!("h264_in_order");
    let units = assembled(&h264_in_order, Configuration::H264(h264(&h264_in_order)));
    assert!(units.iter().all(|unit| unit.dts == unit.pts));
}

/// The set allows two pictures, and the first group reorders none: the second is not delayed, until its ninth picture
/// leaves room for one before it.
#[test]
fn told_reordering_that_does_not_happen_is_given_up() {
    let fixture = fixture!("h264_unused");
    let units = assembled(&fixture, Configuration::H264(h264(&fixture)));
    assert!(units[..10].iter().all(|unit| unit.dts < unit.pts));
    assert!(units[10].random_access && units[10..18].iter().all(|unit| unit.dts == unit.pts));
    assert!(units[19].pts < units[18].pts, "a B-frame");
}

#[test]
fn h265_in_open_groups() {
    let fixture = fixture!("h265_open");
    let known = H265::from_hvcc(&fixture.record("hvcC")).unwrap().0;
    let units = assembled(&fixture, Configuration::H265(known));
    check(&fixture, &units, 2);
    assert!(units[1..].iter().any(|unit| unit.random_access), "CRA pictures");
}

#[test]
fn mpeg2_from_temporal_references() {
    let fixture = fixture!("mpeg2");
    let headers = fixture.units()[0].bytes.clone();
    let headers = headwater_protocols::codec::mpeg_video::headers(&headers).unwrap();
    let units = assembled(&fixture, Configuration::MpegVideo { headers });
    check(&fixture, &units, 2);
}

/// Losing any one picture delays or hurries no other beyond its presentation time.
#[test]
fn losses_break_no_promise() {
    for lost in 1..30 {
        let fixture = fixture!("h264_pyramid");
        let mut assembler =
            Assembler::new(&Codec::H264, 90_000, Some(Arc::new(Configuration::H264(h264(&fixture)))));
        let mut last = None;
        for (index, unit) in fixture.units().into_iter().enumerate().filter(|(index, _)| *index != lost) {
            let found =
                assembler.unit(unit.pts, None, nal::length_prefixed(&unit.bytes, 4).unwrap()).unwrap();
            assert_eq!(found.pts, unit.pts, "{index} after the loss of {lost}");
            assert!(found.dts <= found.pts && last.is_none_or(|last| last <= found.dts));
            last = Some(found.dts);
        }
    }
}
