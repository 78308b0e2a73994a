//! Round trips with [`Depacketizer`], whole and with loss, and the rtp crate on the other side.

use bytes::Bytes;
use std::collections::HashMap;

use super::{Error, Packetizer};
use crate::rtp::random::Random;
use crate::rtp::{Depacketizer, Packet, Rewrite, Sequence, Ticks, header};
use crate::track::{Codec, Medium, Track};
use crate::unit::{AccessUnit, MediaTime, Parts};

const PAYLOADS: [usize; 5] = [256, 500, 1200, 1460, 65_000];

pub(in crate::rtp) fn track(codec: Codec, clock_rate: u32, channels: u16, format_parameters: &str) -> Track {
    let medium = if channels == 0 { Medium::Video } else { Medium::Audio };
    Track {
        medium,
        codec,
        clock_rate,
        channels,
        payload_type: 96,
        format_parameters: format_parameters.into(),
        rtpmap: "".into(),
        attributes: Vec::new(),
    }
}

pub(in crate::rtp) fn unit(parts: impl IntoIterator<Item = Vec<u8>>) -> AccessUnit {
    let time = MediaTime::new(0, 90_000);
    let parts = parts.into_iter().map(Bytes::from).collect::<Parts>();
    AccessUnit { pts: time, dts: time, random_access: true, configuration: None, parts }
}

/// Marker, ticks and payload of each packet.
pub(in crate::rtp) fn packets(
    packetizer: &mut Packetizer,
    unit: &AccessUnit,
    max: usize,
) -> Vec<(bool, u32, Vec<u8>)> {
    let mut packets = Vec::new();
    let each = |marker, ticks, pieces: &[&[u8]]| packets.push((marker, ticks, pieces.concat()));
    packetizer.packetize(unit, each).expect("a unit of the codec");
    assert!(!packets.is_empty());
    for (_, _, payload) in &packets {
        assert!(!payload.is_empty() && payload.len() <= max, "{} bytes of {max}", payload.len());
    }
    packets
}

/// Pushes one payload as a packet.
pub(in crate::rtp) fn push(
    depacketizer: &mut Depacketizer,
    sequence: u16,
    timestamp: u32,
    marker: bool,
    payload: &[u8],
) -> (Result<(), crate::rtp::depacketize::Error>, Vec<(Ticks, Parts)>) {
    let fields =
        Rewrite { payload_type: 96, sequence: Sequence(sequence), timestamp: Ticks(timestamp), ssrc: 1 };
    let bytes = Bytes::from([&header(marker, fields)[..], payload].concat());
    let packet = Packet::parse(&bytes).expect("a packet");
    let mut out = Vec::new();
    let result = depacketizer.push(&packet, bytes.slice(12..), &mut out);
    (result, out)
}

/// A codec with a way to draw units of it; `n` is the number of the unit.
struct Case {
    track: Track,
    draw: fn(&mut Random, u32) -> AccessUnit,
}

fn bytes(random: &mut Random, max: u64) -> Vec<u8> {
    let count = match random.below(4) {
        0 => 1 + random.below(40),
        _ => 1 + random.below(max),
    };
    random.bytes(count as usize)
}

fn h264(random: &mut Random, n: u32) -> AccessUnit {
    let mut nals = Vec::new();
    if n.is_multiple_of(5) {
        nals.push([vec![0x67], bytes(random, 30)].concat());
        nals.push([vec![0x68], bytes(random, 10)].concat());
    }
    for slice in 0..1 + random.below(4) {
        let header = if n.is_multiple_of(5) { 0x65 } else { 0x41 };
        let first_mb = if slice == 0 { 0x80 } else { 0x40 };
        nals.push([vec![header, first_mb], bytes(random, 4000)].concat());
    }
    unit(nals)
}

fn h265(random: &mut Random, n: u32) -> AccessUnit {
    let mut nals = Vec::new();
    if n.is_multiple_of(5) {
        for nal_type in [32, 33, 34] {
            nals.push([vec![nal_type << 1, 1], bytes(random, 30)].concat());
        }
    }
    for slice in 0..1 + random.below(4) {
        let nal_type = if n.is_multiple_of(5) { 19 } else { 1 };
        let first = if slice == 0 { 0x80 } else { 0 };
        nals.push([vec![nal_type << 1, 1, first], bytes(random, 4000)].concat());
    }
    unit(nals)
}

fn av1(random: &mut Random, n: u32) -> AccessUnit {
    let mut obus = Vec::new();
    if n.is_multiple_of(5) {
        obus.push([vec![1 << 3], bytes(random, 20)].concat());
    }
    obus.push([vec![3 << 3 | 4, 0x20], bytes(random, 300)].concat());
    for _ in 0..random.below(4) {
        obus.push([vec![4 << 3], bytes(random, 5000)].concat());
    }
    AccessUnit { random_access: n.is_multiple_of(5), ..unit(obus) }
}

/// Frames of 64 kbit/s at 44.1 kHz: MPEG-1 layer II, 208 bytes.
fn mpeg_audio(random: &mut Random, _: u32) -> AccessUnit {
    let rates = [(0x40, 208), (0x80, 417), (0xE0, 1253)];
    let (rate, frame_bytes) = rates[random.below(3) as usize];
    unit([[vec![0xFF, 0xFD, rate, 0x04], random.bytes(frame_bytes - 4)].concat()])
}

/// 192 kbit/s at 48 kHz: 768 bytes.
fn ac3(random: &mut Random, _: u32) -> AccessUnit {
    unit([[vec![0x0B, 0x77, 1, 2, 0x14, 0x40, 0x43], random.bytes(761)].concat()])
}

/// Slices of which some are larger than a packet.
fn mpeg_video(random: &mut Random, n: u32) -> AccessUnit {
    let mut picture = Vec::new();
    if n.is_multiple_of(5) {
        picture.extend([0, 0, 1, 0xB3, 4, 0, 0x30, 0x13, 0xFF, 0xFF, 0xE0, 0x18]);
    }
    picture.extend([0, 0, 1, 0, n as u8, 0x17, 0xFF, 0xFB, 0x80]);
    for slice in 1..2 + random.below(6) as u8 {
        picture.extend([0, 0, 1, slice]);
        picture.extend(bytes(random, 900).into_iter().map(|byte| byte.max(1)));
    }
    unit([picture])
}

/// A picture of random scan behind headers as the depacketizer makes them.
fn mjpeg(random: &mut Random, n: u32) -> AccessUnit {
    let tables = crate::rtp::jpeg::Tables::of_quality(1 + (n % 99) as u8);
    let interval = n.is_multiple_of(3).then_some(4);
    let mut image = crate::rtp::jpeg::headers((640, 480), n.is_multiple_of(2), &tables, interval);
    image.extend(bytes(random, 9000).into_iter().map(|byte| byte & 0x7F));
    image.extend([0xFF, 0xD9]);
    unit([image])
}

fn frame(random: &mut Random, n: u32) -> AccessUnit {
    AccessUnit { random_access: n.is_multiple_of(5), ..unit([bytes(random, 6000)]) }
}

/// Configuration of LATM for AAC-LC, 44.1 kHz, stereo, as RFC 6416, 7.4.1 has one: single units with their lengths.
const LATM: &str = "profile-level-id=1; object=2; cpresent=0; config=400024203fc0";

fn cases() -> Vec<Case> {
    let hbr = "mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3";
    let wide = "mode=generic;sizeLength=16;indexLength=2;indexDeltaLength=2;CTSDeltaLength=8;randomAccessIndication=1";
    vec![
        Case { track: track(Codec::H264, 90_000, 0, "packetization-mode=1"), draw: h264 },
        Case { track: track(Codec::H265, 90_000, 0, ""), draw: h265 },
        Case {
            track: track(Codec::Aac, 48_000, 2, hbr),
            draw: |r, _| unit([[vec![0x21], bytes(r, 700)].concat()]),
        },
        Case {
            track: track(Codec::Aac, 48_000, 2, wide),
            draw: |r, _| unit([[vec![0x21], bytes(r, 9000)].concat()]),
        },
        Case { track: track(Codec::AacLatm, 44_100, 2, LATM), draw: |r, _| unit([bytes(r, 3000)]) },
        Case { track: track(Codec::MpegAudio, 90_000, 2, ""), draw: mpeg_audio },
        Case { track: track(Codec::Ac3, 48_000, 2, ""), draw: ac3 },
        Case { track: track(Codec::Av1, 90_000, 0, ""), draw: av1 },
        Case { track: track(Codec::Vp8, 90_000, 0, ""), draw: frame },
        Case { track: track(Codec::Vp9, 90_000, 0, ""), draw: frame },
        Case { track: track(Codec::Mjpeg, 90_000, 0, ""), draw: mjpeg },
        Case { track: track(Codec::MpegVideo, 90_000, 0, ""), draw: mpeg_video },
        Case { track: track(Codec::Opus, 48_000, 2, ""), draw: |r, _| unit([bytes(r, 256)]) },
        Case {
            track: track(Codec::Klv, 90_000, 0, ""),
            draw: |r, _| unit([[vec![6, 0x0E, 0x2B, 0x34], bytes(r, 3000)].concat()]),
        },
        Case {
            track: track(Codec::Mpeg4Video, 90_000, 0, ""),
            draw: |r, _| unit([[vec![0, 0, 1, 0xB6], bytes(r, 6000)].concat()]),
        },
    ]
}

#[test]
fn units_come_back_as_they_were() {
    for Case { track, draw } in cases() {
        for max in PAYLOADS {
            let mut random = Random(max as u64);
            let mut packetizer = Packetizer::new(&track, max).unwrap();
            let mut depacketizer = Depacketizer::new(&track).unwrap();
            let mut sequence = 65_500_u16;
            for n in 0..60 {
                let unit = draw(&mut random, n);
                let mut found = Vec::new();
                for (marker, ticks, payload) in packets(&mut packetizer, &unit, max) {
                    assert_eq!(ticks, 0);
                    let (result, out) = push(&mut depacketizer, sequence, n * 3000, marker, &payload);
                    result.unwrap_or_else(|error| panic!("{}: {error}", track.codec));
                    found.extend(out);
                    sequence = sequence.wrapping_add(1);
                }
                assert_eq!(found, [(Ticks(n * 3000), unit.parts)], "{} at {max}", track.codec);
            }
        }
    }
}

/// What comes out is whole; what was touched by no loss comes out.
#[test]
fn a_loss_takes_its_own_unit_and_no_other() {
    for Case { track, draw } in cases() {
        for max in [256, 1200] {
            let mut random = Random(7 + max as u64);
            let mut packetizer = Packetizer::new(&track, max).unwrap();
            let mut depacketizer = Depacketizer::new(&track).unwrap();
            let (mut sequence, mut touched, mut sent) = (0_u16, Vec::new(), HashMap::new());
            let mut found = Vec::new();
            for n in 0..300 {
                let unit = draw(&mut random, n);
                let mut lost = false;
                for (marker, _, payload) in packets(&mut packetizer, &unit, max) {
                    sequence = sequence.wrapping_add(1);
                    if random.below(12) == 0 {
                        lost = true;
                        continue;
                    }
                    let (result, out) = push(&mut depacketizer, sequence, n, marker, &payload);
                    assert_eq!(result, Ok(()), "{} at {max}, unit {n}", track.codec);
                    found.extend(out);
                }
                touched.push(lost);
                sent.insert(n, unit.parts);
            }
            assert!(touched.iter().any(|lost| *lost));
            for (timestamp, parts) in &found {
                let whole = &sent[&timestamp.0];
                // Parameter sets of a picture may have been lost in a packet of their own before it.
                let at = whole.len().saturating_sub(parts.len());
                let headers_lost = touched[timestamp.0 as usize] && at <= 3 && whole[at..] == **parts;
                assert!(whole == parts || headers_lost, "{} at {max}, unit {}", track.codec, timestamp.0);
            }
            for (n, _) in touched.iter().enumerate().filter(|(_, lost)| !**lost) {
                let came = found.iter().any(|(timestamp, _)| timestamp.0 as usize == n);
                assert!(came, "{} at {max}: unit {n} went missing", track.codec);
            }
        }
    }
}

#[test]
fn long_units_of_samples_become_packets_with_times() {
    for (codec, channels, frame_bytes) in [
        (Codec::Pcmu, 1, 1),
        (Codec::Pcma, 2, 2),
        (Codec::Lpcm { bits: 24 }, 2, 6),
        (Codec::Lpcm { bits: 16 }, 6, 12),
    ] {
        let track = track(codec, 48_000, channels, "");
        let mut packetizer = Packetizer::new(&track, 500).unwrap();
        let mut depacketizer = Depacketizer::new(&track).unwrap();
        let unit = unit([Random(1).bytes(frame_bytes * 1000)]);
        let mut joined = Vec::new();
        for (index, (marker, ticks, payload)) in packets(&mut packetizer, &unit, 500).into_iter().enumerate()
        {
            assert_eq!(ticks as usize * frame_bytes, joined.len());
            let (result, out) = push(&mut depacketizer, index as u16, ticks, marker, &payload);
            assert_eq!(result, Ok(()));
            assert_eq!(out[0].0, Ticks(ticks));
            joined.extend_from_slice(&out[0].1[0]);
        }
        assert_eq!(joined, unit.parts[0]);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |track: &Track, parts: Vec<Vec<u8>>| {
        let mut packetizer = Packetizer::new(track, 300).unwrap();
        packetizer.packetize(&unit(parts), |_, _, _| panic!("a packet")).unwrap_err()
    };
    let opus = track(Codec::Opus, 48_000, 2, "");
    assert!(matches!(refused(&opus, vec![vec![1; 301]]), Error::Limit { .. }));
    let aac = track(Codec::Aac, 48_000, 2, "");
    assert!(matches!(refused(&aac, vec![vec![1; 8192]]), Error::Limit { .. }));
    assert!(matches!(refused(&track(Codec::H265, 90_000, 0, ""), vec![vec![2]]), Error::Invalid { .. }));
    assert!(matches!(
        refused(&track(Codec::Lpcm { bits: 16 }, 8000, 1, ""), vec![vec![2]]),
        Error::Invalid { .. }
    ));
}

mod differential {
    use super::{Case, PAYLOADS, cases, packets, push, unit};
    use crate::rtp::random::Random;
    use crate::rtp::{Depacketizer, Packetizer};
    use crate::track::Codec;
    use bytes::Bytes;
    use rtp::codecs::{av1, h264, h265, vp8, vp9};
    use rtp::packetizer::{Depacketizer as _, Payloader as _};

    fn annex_b(nals: &[Bytes]) -> Bytes {
        nals.iter().flat_map(|nal| [&[0, 0, 0, 1], &nal[..]].concat()).collect::<Vec<u8>>().into()
    }

    /// Random bytes hold start codes, on which the other side splits.
    fn without_zeros(parts: &[Bytes]) -> Vec<Vec<u8>> {
        parts.iter().map(|part| part.iter().map(|&byte| byte.max(1)).collect()).collect()
    }

    fn case(codec: &Codec) -> Case {
        cases().into_iter().find(|case| case.track.codec == *codec).expect("a case")
    }

    #[test]
    fn the_rtp_crate_reads_our_h264() {
        let Case { track, draw } = case(&Codec::H264);
        for max in PAYLOADS {
            let mut random = Random(3);
            let mut packetizer = Packetizer::new(&track, max).unwrap();
            let mut theirs = h264::H264Packet::default();
            for n in 0..20 {
                let unit = draw(&mut random, n);
                let mut read = Vec::new();
                for (_, _, payload) in packets(&mut packetizer, &unit, max) {
                    read.extend_from_slice(&theirs.depacketize(&payload.into()).unwrap());
                }
                assert_eq!(read, annex_b(&unit.parts));
            }
        }
    }

    #[test]
    fn we_read_h264_and_h265_of_the_rtp_crate() {
        for max in [256, 1200] {
            for codec in [Codec::H264, Codec::H265] {
                let Case { track, draw } = case(&codec);
                let mut random = Random(4);
                let mut ours = Depacketizer::new(&track).unwrap();
                let mut h264 = h264::H264Payloader::default();
                let mut h265 = h265::HevcPayloader::default();
                let mut sequence = 0;
                for n in 0..40 {
                    let unit = unit(without_zeros(&draw(&mut random, n).parts));
                    let stream = annex_b(&unit.parts);
                    let payloads = match codec {
                        Codec::H264 => h264.payload(max, &stream).unwrap(),
                        _ => h265.payload(max, &stream).unwrap(),
                    };
                    let mut found = Vec::new();
                    for (index, payload) in payloads.iter().enumerate() {
                        let marker = index + 1 == payloads.len();
                        let (result, out) = push(&mut ours, sequence, n, marker, payload);
                        assert_eq!(result, Ok(()));
                        found.extend(out);
                        sequence += 1;
                    }
                    assert_eq!(found.len(), 1);
                    assert_eq!(found[0].1, unit.parts, "{codec} at {max}");
                }
            }
        }
    }

    #[test]
    fn the_rtp_crate_reads_our_h265() {
        let Case { track, draw } = case(&Codec::H265);
        let mut random = Random(5);
        let mut packetizer = Packetizer::new(&track, 500).unwrap();
        for n in 0..20 {
            let unit = draw(&mut random, n);
            let mut read = Vec::<Vec<u8>>::new();
            for (_, _, payload) in packets(&mut packetizer, &unit, 500) {
                let mut theirs = h265::H265Packet::default();
                theirs.depacketize(&payload.clone().into()).unwrap();
                match theirs.payload() {
                    h265::H265Payload::H265SingleNALUnitPacket(_) => read.push(payload),
                    h265::H265Payload::H265AggregationPacket(packet) => {
                        read.push(packet.first_unit().unwrap().nal_unit().to_vec());
                        read.extend(packet.other_units().iter().map(|unit| unit.nal_unit().to_vec()));
                    }
                    h265::H265Payload::H265FragmentationUnitPacket(packet) => {
                        let fragment = packet.fu_header();
                        if fragment.s() {
                            read.push(vec![fragment.fu_type() << 1, 1]);
                        }
                        read.last_mut().unwrap().extend_from_slice(&packet.payload());
                    }
                    h265::H265Payload::H265PACIPacket(_) => panic!("PACI"),
                }
            }
            assert_eq!(read, unit.parts.iter().map(|part| part.to_vec()).collect::<Vec<_>>());
        }
    }
    #[test]
    fn the_rtp_crate_reads_our_vp8_and_vp9() {
        for (codec, max) in [(Codec::Vp8, 256), (Codec::Vp8, 1200), (Codec::Vp9, 256), (Codec::Vp9, 1200)] {
            let Case { track, draw } = case(&codec);
            let mut random = Random(6);
            let mut packetizer = Packetizer::new(&track, max).unwrap();
            for n in 0..40 {
                let unit = draw(&mut random, n);
                let mut read = Vec::new();
                for (index, (marker, _, payload)) in
                    packets(&mut packetizer, &unit, max).into_iter().enumerate()
                {
                    let payload = Bytes::from(payload);
                    if codec == Codec::Vp8 {
                        let mut theirs = vp8::Vp8Packet::default();
                        read.extend_from_slice(&theirs.depacketize(&payload).unwrap());
                        assert_eq!((theirs.s == 1, u32::from(theirs.picture_id)), (index == 0, n));
                    } else {
                        let mut theirs = vp9::Vp9Packet::default();
                        read.extend_from_slice(&theirs.depacketize(&payload).unwrap());
                        assert_eq!(
                            (theirs.b, theirs.e, u32::from(theirs.picture_id)),
                            (index == 0, marker, n)
                        );
                        assert_eq!(theirs.p, !unit.random_access);
                    }
                }
                assert_eq!(read, unit.parts[0]);
            }
        }
    }

    #[test]
    fn we_read_vp8_vp9_and_av1_of_the_rtp_crate() {
        for (codec, max) in [(Codec::Vp8, 256), (Codec::Vp9, 256), (Codec::Av1, 256), (Codec::Av1, 1200)] {
            let Case { track, draw } = case(&codec);
            let mut random = Random(7);
            let mut ours = Depacketizer::new(&track).unwrap();
            let mut vp8 = vp8::Vp8Payloader::default();
            vp8.enable_picture_id = true;
            let mut vp9 = vp9::Vp9Payloader::default();
            let mut av1 = av1::Av1Payloader::default();
            let mut sequence = 0;
            for n in 0..200 {
                let mut unit = draw(&mut random, n);
                // The other side writes sizes of 128 and more wrongly; only the last of up to
                // three elements has none.
                let large = unit.parts.iter().position(|part| part.len() > 127).unwrap_or(unit.parts.len());
                unit.parts.truncate((large + 1).min(3));
                let payloads = match codec {
                    Codec::Vp8 => vp8.payload(max, &unit.parts[0]),
                    Codec::Vp9 => vp9.payload(max, &unit.parts[0]),
                    _ => {
                        let sized = crate::codec::obu::with_sizes(&unit.parts);
                        let stream = sized.flat_map(|(head, payload)| [&head[..], &payload[..]].concat());
                        av1.payload(max, &stream.collect::<Vec<u8>>().into())
                    }
                };
                let payloads = payloads.unwrap();
                let mut found = Vec::new();
                for (index, payload) in payloads.iter().enumerate() {
                    let (result, out) = push(&mut ours, sequence, n, index + 1 == payloads.len(), payload);
                    assert_eq!(result, Ok(()));
                    found.extend(out);
                    sequence += 1;
                }
                assert_eq!(found.len(), 1);
                assert_eq!(found[0].1, unit.parts, "{codec} at {max}");
            }
        }
    }
}
