//! What is written is read again: by the demuxer here, and once by hand with ffprobe 5.1, which reported no error.

use super::{Muxer, ORIGIN_TICKS};
use crate::codec::Configuration;
use crate::codec::configuration::{Aac, Ac3, H264, H265, MpegAudio, Opus, Samples};
use crate::mpegts::{Counters, Demuxer, Event, PACKET_BYTES, Packet, Pid};
use crate::track::Elementary;
use crate::unit::{AccessUnit, MediaTime, Parts};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;

fn elementary(configuration: &Arc<Configuration>) -> Elementary {
    Elementary { track: configuration.track(), configuration: Some(Arc::clone(configuration)) }
}

fn unit(ticks: i64, random_access: bool, parts: &[&[u8]]) -> AccessUnit {
    let time = MediaTime::new(ticks, 90_000);
    let parts = parts.iter().map(|part| Bytes::copy_from_slice(part)).collect::<Parts>();
    AccessUnit { pts: time, dts: time, random_access, configuration: None, parts }
}

fn packets(bytes: &[u8]) -> Vec<Packet<'_>> {
    let (packets, rest) = bytes.as_chunks::<PACKET_BYTES>();
    assert!(rest.is_empty());
    packets.iter().map(|packet| Packet::parse(packet).expect("a packet")).collect()
}

fn demux(bytes: &[u8]) -> (Vec<Elementary>, Vec<AccessUnit>) {
    let mut demuxer = Demuxer::new();
    let mut events = Vec::new();
    demuxer.push(bytes, &mut events).expect("a transport stream");
    demuxer.finish(&mut events).expect("not scrambled");
    assert_eq!(demuxer.counters(), Counters::default());
    let (mut tracks, mut units) = (Vec::new(), Vec::new());
    for event in events {
        match event {
            Event::Tracks(found) => tracks = found,
            Event::Unit { unit, .. } => units.push(unit),
            Event::Ignored { .. } => panic!("{event:?}"),
        }
    }
    (tracks, units)
}

const SPS: &[u8] =
    &[0x67, 0x42, 0xC0, 0x0A, 0xDA, 0x11, 0x3F, 0x97, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10];
const PPS: &[u8] = &[0x68, 0xCE, 0x0F, 0xC8];

fn h264() -> Arc<Configuration> {
    let (sps, pps) = (Bytes::from_static(SPS), vec![Bytes::from_static(PPS)]);
    Arc::new(Configuration::H264(H264 { sps, pps }))
}

/// A slice that ends in no zero, so that nothing of it can be taken for padding.
fn slice(kind: u8, bytes: usize) -> Vec<u8> {
    let mut slice = vec![0xA5; bytes];
    slice[0] = kind;
    slice
}

#[test]
fn h264_comes_back_at_any_size() {
    let configuration = h264();
    let (mut muxer, skipped) = Muxer::new(&[elementary(&configuration)]).expect("a muxer");
    assert!(skipped.is_empty());
    let mut out = BytesMut::new();
    let sizes = [2, 150, 151, 152, 153, 184, 2000, 70_000, 300_000];
    for (index, bytes) in sizes.into_iter().enumerate() {
        let picture = unit(index as i64 * 3600, true, &[SPS, PPS, &slice(0x65, bytes)]);
        assert!(muxer.unit(0, &picture, &mut out));
    }
    let (tracks, units) = demux(&out);
    assert_eq!(tracks, [elementary(&configuration)]);
    assert_eq!(units.len(), sizes.len());
    for (index, (unit, bytes)) in units.iter().zip(sizes).enumerate() {
        assert_eq!(unit.parts[..], [SPS, PPS, &slice(0x65, bytes)], "{bytes} bytes");
        assert_eq!(unit.pts.ticks, index as i64 * 3600);
        assert_eq!(unit.configuration.as_ref(), Some(&configuration));
    }
}

#[test]
fn reordered_pictures_keep_their_times_over_the_wrap() {
    let (mut muxer, _) = Muxer::new(&[elementary(&h264())]).expect("a muxer");
    let mut out = BytesMut::new();
    let start = (1 << 33) - ORIGIN_TICKS - 7200;
    for (index, (pts, dts)) in
        [(7200, 0), (18_000, 3600), (10_800, 7200), (14_400, 10_800)].into_iter().enumerate()
    {
        let mut picture = unit(start + dts, index == 0, &[&slice(if index == 0 { 0x65 } else { 0x41 }, 40)]);
        picture.pts = MediaTime::new(start + pts, 90_000);
        assert!(muxer.unit(0, &picture, &mut out));
    }
    let times = demux(&out).1.iter().map(|unit| (unit.pts.ticks, unit.dts.ticks)).collect::<Vec<_>>();
    assert_eq!(times, [(7200, 0), (18_000, 3600), (10_800, 7200), (14_400, 10_800)]);
}

/// Frames whose content nobody looks at, in the forms of audio and metadata.
#[test]
fn audio_and_metadata_come_back() {
    let mp3 = [&[0xFF, 0xFB, 0x90, 0xC4][..], &[0x55; 413]].concat();
    let mp2_low = [&[0xFF, 0xF5, 0x84, 0xC4][..], &[0x55; 380]].concat();
    let ac3 = [&[0x0B, 0x77, 0, 0, 0x14, 0x40, 0x2F][..], &[0x55; 761]].concat();
    let opus = [&[0x78][..], &[0x55; 700]].concat();
    let klv = [&[0x06, 0x0E, 0x2B, 0x34][..], &[0x55; 300]].concat();
    let parsed = MpegAudio::parse(&mp3).expect("MP3").0;
    let parsed_low = MpegAudio::parse(&mp2_low).expect("MPEG-2 audio").0;
    let parsed_ac3 = Ac3::parse(&ac3).expect("AC-3").0;
    for (configuration, block, step) in [
        (Configuration::Aac(Aac::new(2, 44_100, 2)), vec![0x21; 400], 2090),
        (Configuration::Aac(Aac::new(2, 37_800, 2)), vec![0x21; 400], 2438),
        (Configuration::MpegAudio(parsed), mp3, 2351),
        (Configuration::MpegAudio(parsed_low), mp2_low, 4320),
        (Configuration::Ac3(parsed_ac3), ac3, 2880),
        (Configuration::Opus(Opus { channels: 6, pre_skip: 312 }), opus, 1800),
        (Configuration::Klv, klv, 90_000),
    ] {
        let configuration = Arc::new(configuration);
        let (mut muxer, _) = Muxer::new(&[elementary(&configuration)]).expect("a muxer");
        let mut out = BytesMut::new();
        (0..4).for_each(|index| assert!(muxer.unit(0, &unit(index * step, true, &[&block]), &mut out)));
        let (tracks, units) = demux(&out);
        assert_eq!(tracks, [elementary(&configuration)]);
        assert_eq!(units.len(), 4, "{configuration:?}");
        for (index, unit) in units.iter().enumerate() {
            assert_eq!(unit.parts[..], [&block[..]], "{configuration:?}");
            assert_eq!(unit.pts.ticks, index as i64 * step);
        }
    }
}

#[test]
fn headers_of_mpeg_video_are_repeated_where_they_lack() {
    let headers = Bytes::from_static(&[0, 0, 1, 0xB0, 1, 0, 0, 1, 0x20, 0x55]);
    let configuration = Arc::new(Configuration::Mpeg4Video { headers: headers.clone() });
    let (mut muxer, _) = Muxer::new(&[elementary(&configuration)]).expect("a muxer");
    let picture = [0, 0, 1, 0xB6, 0x10, 1, 2, 3];
    let with_headers = [&headers[..], &picture].concat();
    for part in [&picture[..], &with_headers] {
        let mut out = BytesMut::new();
        assert!(muxer.unit(0, &unit(0, true, &[part]), &mut out));
        let payload = packets(&out).last().expect("one").payload.expect("payload");
        assert_eq!(payload[14..], with_headers);
    }
}

#[test]
fn tables_and_clock_come_often_enough() {
    let (video, audio) = (h264(), Arc::new(Configuration::Aac(Aac::new(2, 48_000, 2))));
    let (mut muxer, _) = Muxer::new(&[elementary(&audio), elementary(&video)]).expect("a muxer");
    let mut out = BytesMut::new();
    // Two pictures a second, audio between them.
    for index in 0..200 {
        let ticks = index * 1920;
        if index % 24 == 0 {
            assert!(muxer.unit(1, &unit(ticks, index == 0, &[&slice(0x41, 500)]), &mut out));
        }
        assert!(muxer.unit(0, &unit(ticks, true, &[&[0x21; 90]]), &mut out));
    }
    let packets = packets(&out);
    assert_eq!((packets[0].pid, packets[1].pid), (Pid::PAT, Pid(0x1000)));
    let clock = packets.iter().filter_map(|packet| Some((packet.pid, packet.pcr?))).collect::<Vec<_>>();
    assert!(clock.iter().all(|(pid, _)| *pid == Pid(0x101)), "the clock is on the PID of the video");
    assert!(clock.windows(2).all(|pair| (0..=9000).contains(&pair[1].1.distance(pair[0].1))), "{clock:?}");
    let tables = packets.iter().filter(|packet| packet.pid == Pid::PAT).count();
    assert!((38..=45).contains(&tables), "{tables} in 4.2 s");
    for pid in [Pid::PAT, Pid(0x1000), Pid(0x100), Pid(0x101)] {
        let counted = packets.iter().filter(|packet| packet.pid == pid && packet.payload.is_some());
        let counters = counted.map(|packet| packet.continuity).collect::<Vec<_>>();
        assert!(counters.windows(2).all(|pair| pair[0].next() == pair[1]), "{pid:?}");
    }
}

#[test]
fn the_clock_goes_on_between_slow_pictures() {
    let (mut muxer, _) = Muxer::new(&[elementary(&h264())]).expect("a muxer");
    let mut out = BytesMut::new();
    (0..5)
        .for_each(|index| assert!(muxer.unit(0, &unit(index * 45_000, true, &[&slice(0x65, 9)]), &mut out)));
    let clock = packets(&out).iter().filter_map(|packet| packet.pcr).collect::<Vec<_>>();
    assert!(clock.windows(2).all(|pair| (0..=9000).contains(&pair[1].distance(pair[0]))), "{clock:?}");
    out.clear();
    assert!(muxer.unit(0, &unit(1 << 40, true, &[&slice(0x65, 9)]), &mut out));
    assert_eq!(packets(&out).len(), 3, "a hole is not filled");
    for ticks in [i64::MAX, 0, i64::MIN, i64::MAX] {
        out.clear();
        assert!(muxer.unit(0, &unit(ticks, true, &[&slice(0x65, 9)]), &mut out));
        assert_eq!(packets(&out).len(), 3);
    }
}

#[test]
fn segments_begin_with_tables_and_continue_the_counters() {
    let (mut muxer, _) = Muxer::new(&[elementary(&h264())]).expect("a muxer");
    let mut out = BytesMut::new();
    assert!(muxer.unit(0, &unit(0, false, &[&slice(0x41, 9)]), &mut out));
    assert!(muxer.unit(0, &unit(10, false, &[&slice(0x41, 9)]), &mut out));
    assert_eq!(packets(&out).len(), 4);
    muxer.segment_start();
    assert!(muxer.unit(0, &unit(20, false, &[&slice(0x41, 9)]), &mut out));
    assert!(muxer.unit(0, &unit(30, true, &[&slice(0x65, 9)]), &mut out));
    let pids = packets(&out)[4..].iter().map(|packet| packet.pid.0).collect::<Vec<_>>();
    assert_eq!(pids, [0, 0x1000, 0x100, 0, 0x1000, 0x100]);
    demux(&out);
    muxer.discontinuity();
    out.clear();
    assert!(muxer.unit(0, &unit(0, false, &[&slice(0x41, 9)]), &mut out));
    assert!(muxer.unit(0, &unit(1, false, &[&slice(0x41, 9)]), &mut out));
    let marked = packets(&out).iter().map(|packet| packet.discontinuity).collect::<Vec<_>>();
    assert_eq!(marked, [false, false, true, false]);
}

#[test]
fn what_has_no_place_is_skipped() {
    let samples = Samples { bits: 8, sample_rate: 8000, channels: 1 };
    let pcmu = Arc::new(Configuration::Pcmu(samples));
    let (mut muxer, skipped) = Muxer::new(&[elementary(&pcmu), elementary(&h264())]).expect("a muxer");
    assert_eq!(skipped.iter().map(|skipped| skipped.track).collect::<Vec<_>>(), [0]);
    let mut out = BytesMut::new();
    assert!(!muxer.unit(0, &unit(0, true, &[&[0; 160]]), &mut out));
    assert!(!muxer.unit(7, &unit(0, true, &[&[0; 160]]), &mut out));
    assert!(out.is_empty());
    assert!(Muxer::new(&[elementary(&pcmu)]).is_err());
    assert!(Muxer::new(&vec![elementary(&h264()); 17]).is_err());
}

#[test]
fn audio_without_parameters_waits_for_them() {
    let aac = Arc::new(Configuration::Aac(Aac::new(2, 48_000, 2)));
    let track = Elementary { configuration: None, ..elementary(&aac) };
    let (mut muxer, _) = Muxer::new(&[track]).expect("a muxer");
    let mut out = BytesMut::new();
    let mut block = unit(0, true, &[&[0x21; 90]]);
    assert!(!muxer.unit(0, &block, &mut out));
    block.configuration = Some(Arc::clone(&aac));
    assert!(muxer.unit(0, &block, &mut out));
    block.parts[0] = vec![0; 9000].into();
    assert!(!muxer.unit(0, &block, &mut out), "longer than ADTS can say");
    assert_eq!(demux(&out).0, [elementary(&aac)]);
}

#[test]
fn h265_comes_back() {
    let sets: [&[u8]; 3] = [&[0x40, 1, 0x0C], &[0x42, 1, 1], &[0x44, 1, 0xC1]];
    let [vps, sps, pps] = sets.map(Bytes::from_static);
    let configuration = Arc::new(Configuration::H265(H265 { vps, sps, pps: vec![pps] }));
    let (mut muxer, _) = Muxer::new(&[elementary(&configuration)]).expect("a muxer");
    let mut out = BytesMut::new();
    let parts = [sets[0], sets[1], sets[2], &[0x26, 1, 0xAF, 0x80]];
    assert!(muxer.unit(0, &unit(0, true, &parts), &mut out));
    let units = demux(&out).1;
    assert_eq!(units[0].parts[..], parts);
}
