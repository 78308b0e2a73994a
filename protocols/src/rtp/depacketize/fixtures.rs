//! What ffmpeg 5.1 sends of known streams, in `fixtures/`: lines of `unit` with its parts, and `packet`, all in hexadecimal.

use bytes::Bytes;

use super::Depacketizer;
use crate::rtp::Packet;
use crate::rtp::packetize::tests::track;
use crate::track::{Codec, Track};

/// The parts of a unit.
type Unit = Vec<Vec<u8>>;

/// Units and packets.
fn read(fixture: &str) -> (Vec<Unit>, Vec<Bytes>) {
    let hexadecimal = |digits: &str| {
        let pairs = digits.as_bytes().chunks(2);
        let bytes = pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
        bytes.collect::<Vec<u8>>()
    };
    let (mut units, mut packets) = (Vec::new(), Vec::new());
    for line in fixture.lines() {
        let (kind, rest) = line.split_once(' ').unwrap();
        match kind {
            "unit" => units.push(rest.split(' ').map(hexadecimal).collect()),
            "packet" => packets.push(hexadecimal(rest).into()),
            _ => assert_eq!(kind, "#"),
        }
    }
    (units, packets)
}

/// The units of a fixture, and what came of its packets, each with its timestamp.
fn run(track: &Track, fixture: &str) -> (Vec<Unit>, Vec<(u32, Unit)>) {
    let (expected, packets) = read(fixture);
    let mut depacketizer = Depacketizer::new(track).unwrap();
    let mut out = Vec::new();
    for bytes in packets {
        let packet = Packet::parse(&bytes).unwrap();
        let payload = bytes.slice(packet.header_bytes..packet.header_bytes + packet.payload.len());
        depacketizer.push(&packet, payload, &mut out).unwrap();
    }
    let found =
        out.into_iter().map(|(time, parts)| (time.0, parts.iter().map(|part| part.to_vec()).collect()));
    (expected, found.collect())
}

#[test]
fn streams_come_out_as_they_went_in() {
    let latm = "profile-level-id=41;cpresent=0;config=400023103fc0";
    for (codec, clock_rate, channels, parameters, unit_ticks, fixture) in [
        (Codec::H264, 90_000, 0, "", 3600, include_str!("fixtures/h264.hex")),
        (Codec::H265, 90_000, 0, "", 3600, include_str!("fixtures/h265.hex")),
        (Codec::Vp8, 90_000, 0, "", 3600, include_str!("fixtures/vp8.hex")),
        (Codec::Vp9, 90_000, 0, "", 3600, include_str!("fixtures/vp9.hex")),
        (Codec::MpegVideo, 90_000, 0, "", 0, include_str!("fixtures/mpeg_video.hex")),
        (Codec::Mpeg4Video, 90_000, 0, "", 3600, include_str!("fixtures/mpeg4_video.hex")),
        (Codec::Aac, 48_000, 1, "mode=AAC-hbr", 1024, include_str!("fixtures/aac.hex")),
        (Codec::AacLatm, 48_000, 1, latm, 1024, include_str!("fixtures/latm.hex")),
        (Codec::MpegAudio, 90_000, 1, "", 2351, include_str!("fixtures/mpeg_audio.hex")),
    ] {
        let (expected, found) = run(&track(codec.clone(), clock_rate, channels, parameters), fixture);
        assert!(!expected.is_empty());
        let parts = found.iter().map(|(_, parts)| parts.clone()).collect::<Vec<_>>();
        assert!(parts == expected, "{codec}: {} units for {}", parts.len(), expected.len());
        // The elementary stream of MPEG-2 has no times, and ffmpeg made none up: 0.
        for pair in found.windows(2) {
            let ticks = pair[1].0.wrapping_sub(pair[0].0);
            assert!(ticks.abs_diff(unit_ticks) <= 1, "{codec}: {ticks} ticks");
        }
    }
}

/// The headers are made anew; the scan is the sender's.
#[test]
fn jpeg_images_are_put_together() {
    let track = track(Codec::Mjpeg, 90_000, 0, "");
    let (expected, found) = run(&track, include_str!("fixtures/mjpeg.hex"));
    assert_eq!(found.len(), expected.len());
    for ((_, image), scan) in found.iter().zip(&expected) {
        assert!(image[0].ends_with(&scan[0]));
        let picture = crate::codec::mjpeg::picture(&image[0]).unwrap();
        assert_eq!((picture.width, picture.height), (64, 48));
    }
}
