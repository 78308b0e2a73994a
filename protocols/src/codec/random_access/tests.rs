//! Packets built by the payloaders of the `rtp` crate, and vectors from the RFCs' layouts, looked into by [`RandomAccess`].

use bytes::Bytes;
use rtp::codecs::{
    av1::Av1Payloader, h264::H264Payloader, h265::HevcPayloader, vp8::Vp8Payloader, vp9::Vp9Payloader,
};
use rtp::packetizer::Payloader;

use super::RandomAccess;
use crate::rtp::random::Random;
use crate::track::Codec;

const MTU: usize = 200;

fn inspect(codec: &Codec, payload: &[u8]) -> bool {
    RandomAccess::new(codec).inspect(payload, false)
}

/// Each packet's answer, with the marker on the last one, as one picture.
fn picture(access: &mut RandomAccess, packets: &[Bytes]) -> Vec<bool> {
    let last = packets.len().wrapping_sub(1);
    packets.iter().enumerate().map(|(index, packet)| access.inspect(packet, index == last)).collect()
}

/// NAL units after start codes, each of `bytes` bytes that hold no start code.
fn annex_b(units: &[(&[u8], usize)]) -> Bytes {
    let mut stream = Vec::new();
    for (header, bytes) in units {
        stream.extend([0, 0, 0, 1]);
        stream.extend(*header);
        stream.extend((0..*bytes).map(|index| 0x80 | index as u8));
    }
    stream.into()
}

#[test]
fn h264_from_a_payloader() {
    let mut payloader = H264Payloader::default();
    let mut access = RandomAccess::new(&Codec::H264);
    // SPS and PPS go into a STAP-A before the IDR, which is fragmented.
    let key = annex_b(&[(&[0x67], 20), (&[0x68], 4), (&[0x65], 1000)]);
    let packets = payloader.payload(MTU, &key).unwrap();
    assert_eq!(packets[0][0] & 0x1F, 24);
    assert!(packets[1..].iter().all(|packet| packet[0] & 0x1F == 28));
    let answers = picture(&mut access, &packets);
    assert!(packets.len() > 5 && !answers[0] && answers[1..].iter().all(|answer| *answer), "{answers:?}");
    for other in
        [annex_b(&[(&[0x41], 1000)]), annex_b(&[(&[0x61], 50)]), annex_b(&[(&[0x09, 0xF0], 0), (&[0x01], 9)])]
    {
        let packets = payloader.payload(MTU, &other).unwrap();
        assert!(!packets.is_empty() && !picture(&mut access, &packets).contains(&true));
    }
    let small = payloader.payload(MTU, &annex_b(&[(&[0x65], 50)])).unwrap();
    assert_eq!(picture(&mut access, &small), [true]);
}

/// RFC 6184, sections 5.6 to 5.8.
#[test]
fn h264_packet_types() {
    for (payload, expected) in [
        (&[][..], false),
        (&[0x65], true),
        (&[0x41, 0x9A], false),
        (&[0x67, 0x42], false),
        // STAP-A of SPS and IDR; of SPS and PPS; with a size too large; with an empty unit.
        (&[0x78, 0, 2, 0x67, 0x42, 0, 2, 0x65, 0x88], true),
        (&[0x78, 0, 2, 0x67, 0x42, 0, 2, 0x68, 0xCE], false),
        (&[0x78, 0, 9, 0x65, 0x88], false),
        (&[0x78, 0, 0, 0, 1, 0x65], true),
        (&[0x78, 0], false),
        // STAP-B: DON.
        (&[0x79, 1, 2, 0, 2, 0x65, 0x88], true),
        (&[0x79, 1], false),
        // MTAP16: DONB, then size, DOND, 16 bits of time; MTAP24: 24 bits.
        (&[0x7A, 1, 2, 0, 2, 0, 0, 9, 0x41, 0x9A, 0, 2, 1, 0, 9, 0x65, 0x88], true),
        (&[0x7A, 1, 2, 0, 2, 0, 0, 9, 0x41, 0x9A], false),
        (&[0x7B, 1, 2, 0, 2, 0, 0, 0, 9, 0x65, 0x88], true),
        (&[0x7B, 1, 2, 0, 2, 0, 0], false),
        // FU-A: first, middle, last; FU-B; of another slice; without its header.
        (&[0x7C, 0x85, 0x88], true),
        (&[0x7C, 0x05, 0x88], true),
        (&[0x7C, 0x45, 0x88], true),
        (&[0x7D, 0x85, 0, 1, 0x88], true),
        (&[0x7C, 0x81, 0x9A], false),
        (&[0x7C], false),
    ] {
        assert_eq!(inspect(&Codec::H264, payload), expected, "{payload:02x?}");
    }
}

/// H.264, 7.3.2.3 and D.1.8.
#[test]
fn h264_recovery_points() {
    for (payload, expected) in [
        // recovery_frame_cnt 0 ("1…"), 1 ("010…"), and none.
        (&[0x06, 6, 1, 0xC4, 0x80][..], true),
        (&[0x06, 6, 1, 0x44, 0x80], false),
        (&[0x06, 6, 0, 0x80], false),
        (&[0x06, 6, 1], false),
        // Behind a buffering period whose payload holds an escape: 00 00 03 01 counts as three bytes.
        (&[0x06, 0, 3, 0, 0, 3, 1, 6, 1, 0xC4, 0x80], true),
        // Behind user data of 255 + 2 bytes.
        (&[&[0x06, 5, 0xFF, 2][..], &[0x55; 257], &[6, 1, 0xC4, 0x80]].concat(), true),
        // A type of 255 + 6.
        (&[0x06, 0xFF, 6, 1, 0xC4, 0x80], false),
        // In a STAP-A, in the first fragment, in a FU-B; a later fragment tells nothing.
        (&[0x78, 0, 5, 0x06, 6, 1, 0xC4, 0x80, 0, 2, 0x41, 0x9A], true),
        (&[0x7C, 0x86, 6, 1, 0xC4, 0x80], true),
        (&[0x7D, 0x86, 0, 0, 6, 1, 0xC4, 0x80], true),
        (&[0x7C, 0x06, 6, 1, 0xC4, 0x80], false),
        // Sizes that lead out.
        (&[0x06, 5, 0xFF, 0xFF, 0xFF, 6, 1, 0xC4], false),
        (&[0x06, 0xFF, 0xFF], false),
    ] {
        assert_eq!(inspect(&Codec::H264, payload), expected, "{payload:02x?}");
    }
}

#[test]
fn h265_from_a_payloader() {
    // The types this payloader knows.
    for (kind, expected) in [(0u8, false), (1, false), (19, true)] {
        let mut payloader = HevcPayloader::default();
        let stream =
            annex_b(&[(&[32 << 1, 1], 10), (&[33 << 1, 1], 10), (&[34 << 1, 1], 5), (&[kind << 1, 1], 1000)]);
        let packets = payloader.payload(MTU, &stream).unwrap();
        assert!(packets.iter().filter(|packet| packet[0] >> 1 == 49).count() > 5);
        let answers = picture(&mut RandomAccess::new(&Codec::H265), &packets);
        for (packet, answer) in packets.iter().zip(answers) {
            assert_eq!(answer, expected && packet[0] >> 1 == 49, "type {kind}: {packet:02x?}");
        }
        let small = payloader.payload(MTU, &annex_b(&[(&[kind << 1, 1], 20)])).unwrap();
        assert!(picture(&mut RandomAccess::new(&Codec::H265), &small).contains(&expected));
    }
}

/// H.265, table 7-1: BLA, IDR and CRA, and no other type a unit can have.
#[test]
fn h265_unit_types() {
    for kind in 0..48 {
        assert_eq!(inspect(&Codec::H265, &[kind << 1, 1, 0x80]), (16..=21).contains(&kind), "type {kind}");
        let aggregate = [48 << 1, 1, 0, 3, kind << 1, 1, 0x80];
        assert_eq!(inspect(&Codec::H265, &aggregate), (16..=21).contains(&kind), "type {kind}");
        assert_eq!(
            inspect(&Codec::H265, &[49 << 1, 1, kind, 0x80]),
            (16..=21).contains(&kind),
            "type {kind}"
        );
    }
}

/// RFC 7798, sections 4.4.1 to 4.4.4.
#[test]
fn h265_packet_types() {
    for (payload, expected) in [
        (&[][..], false),
        (&[19 << 1], false),
        (&[19 << 1, 1], true),
        // Aggregation of VPS and IDR_N_LP; of VPS and a trailing picture; with a size too large.
        (&[48 << 1, 1, 0, 2, 32 << 1, 1, 0, 3, 20 << 1, 1, 9], true),
        (&[48 << 1, 1, 0, 2, 32 << 1, 1, 0, 3, 1 << 1, 1, 9], false),
        (&[48 << 1, 1, 0, 9, 20 << 1, 1], false),
        // Fragments of CRA: first, middle, last.
        (&[49 << 1, 1, 0x80 | 21, 9], true),
        (&[49 << 1, 1, 21, 9], true),
        (&[49 << 1, 1, 0x40 | 21, 9], true),
        (&[49 << 1, 1, 0x80 | 1, 9], false),
        (&[49 << 1, 1], false),
        // PACI around IDR_W_RADL without extension; around a fragment of it behind an extension of three bytes.
        (&[50 << 1, 1, 19 << 1, 0, 9], true),
        (&[50 << 1, 1, 49 << 1, 3 << 4, 7, 7, 7, 0x80 | 19, 9], true),
        (&[50 << 1, 1, 49 << 1, 3 << 4, 7, 7], false),
        (&[50 << 1, 1, 1 << 1, 0, 9], false),
        (&[50 << 1, 1, 50 << 1, 0, 50 << 1], false),
    ] {
        assert_eq!(inspect(&Codec::H265, payload), expected, "{payload:02x?}");
    }
}

#[test]
fn vp8_from_a_payloader() {
    for enable_picture_id in [false, true] {
        let mut payloader = Vp8Payloader::default();
        payloader.enable_picture_id = enable_picture_id;
        let mut access = RandomAccess::new(&Codec::Vp8);
        // Picture IDs grow from 7 to 15 bits on the way.
        for index in 0..300u32 {
            let key = index % 30 == 0;
            let mut frame = vec![if key { 0x10 } else { 0x11 }, 0, 0, 0x9D, 0x01, 0x2A];
            frame.resize(900, 0);
            let packets = payloader.payload(MTU, &frame.into()).unwrap();
            let answers = picture(&mut access, &packets);
            assert_eq!(answers[0], key, "frame {index}");
            assert!(answers.len() > 3 && !answers[1..].contains(&true));
        }
    }
}

/// RFC 7741, section 4.2.
#[test]
fn vp8_descriptors() {
    for (payload, expected) in [
        (&[][..], false),
        (&[0x10], false),
        (&[0x10, 0x10], true),
        (&[0x10, 0x11], false),
        // Not a start; a later partition.
        (&[0x00, 0x10], false),
        (&[0x11, 0x10], false),
        // X with nothing; I short and long; I, L, T and K.
        (&[0x90, 0x00, 0x10], true),
        (&[0x90, 0x80, 0x11, 0x10], true),
        (&[0x90, 0x80, 0x91, 0x11, 0x10], true),
        (&[0x90, 0x80, 0x91, 0x11, 0x11], false),
        (&[0x90, 0xF0, 0x91, 0x11, 0x01, 0x01, 0x10], true),
        (&[0x90, 0xF0, 0x91, 0x11, 0x01, 0x01], false),
        (&[0x90, 0x20, 0x01, 0x10], true),
        (&[0x90], false),
    ] {
        assert_eq!(inspect(&Codec::Vp8, payload), expected, "{payload:02x?}");
    }
}

#[test]
fn vp9_from_a_payloader() {
    let mut payloader = Vp9Payloader::default();
    let mut access = RandomAccess::new(&Codec::Vp9);
    // Frame marker 10, profile 0, then show_existing_frame and frame_type; this payloader never says P.
    for (first, expected) in
        [(0x82u8, true), (0x86, false), (0x8A, false), (0xB0, true), (0xB2, false), (0xB4, false)]
    {
        let mut frame = vec![first];
        frame.resize(900, 0x82);
        let packets = payloader.payload(MTU, &frame.into()).unwrap();
        let answers = picture(&mut access, &packets);
        assert_eq!(answers[0], expected, "{first:#x}");
        assert!(answers.len() > 3 && !answers[1..].contains(&true));
    }
}

/// RFC 9628, section 4.2.
#[test]
fn vp9_descriptors() {
    for (payload, expected) in [
        (&[][..], false),
        (&[0x08], false),
        (&[0x08, 0x82], true),
        // Not the beginning; predicted.
        (&[0x00, 0x82], false),
        (&[0x48, 0x82], false),
        // Picture ID short and long.
        (&[0x88, 0x11, 0x82], true),
        (&[0x88, 0x91, 0x11, 0x82], true),
        (&[0x88, 0x91, 0x11], false),
        // Layers with TL0PICIDX; spatial layer 1; flexible, without TL0PICIDX.
        (&[0x28, 0x00, 0x05, 0x82], true),
        (&[0x28, 0x02, 0x05, 0x82], false),
        (&[0x38, 0x00, 0x82], true),
        // Structure: two layers with sizes; a group of two pictures with two and no references.
        (&[0x0A, 0x30, 1, 1, 1, 1, 2, 2, 2, 2, 0x82], true),
        (&[0x0A, 0x08, 2, 0x08, 1, 2, 0x00, 0x82], true),
        (&[0x0A, 0x08, 255, 0x08, 1, 2, 0x00, 0x82], false),
        (&[0x0A, 0xF8], false),
        // No frame marker.
        (&[0x08, 0x42], false),
    ] {
        assert_eq!(inspect(&Codec::Vp9, payload), expected, "{payload:02x?}");
    }
}

/// An OBU with its size, as a low-overhead stream has it.
fn obu(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind << 3 | 2];
    let mut size = body.len();
    while size > 0x7F {
        bytes.push(0x80 | (size & 0x7F) as u8);
        size >>= 7;
    }
    bytes.push(size as u8);
    bytes.extend(body);
    bytes
}

#[test]
fn av1_from_a_payloader() {
    let mut payloader = Av1Payloader {};
    let mut access = RandomAccess::new(&Codec::Av1);
    let mut frame = vec![0x10];
    frame.resize(900, 0x55);
    let mut key = obu(1, &[0; 11]);
    key.extend(obu(6, &frame));
    let packets = payloader.payload(MTU, &key.into()).unwrap();
    assert!(packets.len() > 3 && packets[0][0] & 0x08 != 0);
    let answers = picture(&mut access, &packets);
    assert!(answers[0] && !answers[1..].contains(&true));
    // The same without N.
    let bare =
        packets.iter().map(|packet| [&[packet[0] & !0x08], &packet[1..]].concat().into()).collect::<Vec<_>>();
    let answers = picture(&mut access, &bare);
    assert!(answers[0] && !answers[1..].contains(&true));
    frame[0] = 0x30;
    let packets = payloader.payload(MTU, &obu(6, &frame).into()).unwrap();
    assert!(packets.len() > 3 && !picture(&mut access, &packets).contains(&true));
}

/// "RTP Payload Format For AV1", section 4.4, without the N bit.
#[test]
fn av1_elements() {
    for (payload, expected) in [
        (&[][..], false),
        (&[0x08], true),
        // W 2: sequence header with its length, key frame without. The same with W 0, and as frame header OBU.
        (&[0x20, 2, 0x08, 0, 0x30, 0x10], true),
        (&[0x00, 2, 0x08, 0, 2, 0x30, 0x10], true),
        (&[0x20, 2, 0x08, 0, 0x18, 0x10], true),
        // OBU sizes and extensions inside, metadata between.
        (&[0x30, 3, 0x0A, 1, 0, 2, 0x28, 9, 0x36, 0x00, 1, 0x10], true),
        // An inter frame, a frame not shown, an existing frame shown again; no sequence header; another OBU between.
        (&[0x20, 2, 0x08, 0, 0x30, 0x30], false),
        (&[0x20, 2, 0x08, 0, 0x30, 0x00], false),
        (&[0x20, 2, 0x08, 0, 0x30, 0x90], false),
        (&[0x10, 0x30, 0x10], false),
        (&[0x30, 2, 0x08, 0, 2, 0x20, 0, 0x30, 0x10], false),
        // The first element goes on from a packet before.
        (&[0xA0, 2, 0x08, 0, 0x30, 0x10], false),
        // Lengths that lead out or never end.
        (&[0x20, 9, 0x08, 0, 0x30, 0x10], false),
        (&[0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], false),
        (&[0x20, 0], false),
    ] {
        assert_eq!(inspect(&Codec::Av1, payload), expected, "{payload:02x?}");
    }
    // A sequence header in a packet of its own holds until the picture ends.
    let mut access = RandomAccess::new(&Codec::Av1);
    assert!(!access.inspect(&[0x10, 0x08, 0], false));
    assert!(access.inspect(&[0x10, 0x30, 0x10], true));
    assert!(!access.inspect(&[0x10, 0x08, 0], true));
    assert!(!access.inspect(&[0x10, 0x30, 0x10], true));
}

/// RFC 2435, section 3.1.
#[test]
fn mjpeg() {
    assert!(inspect(&Codec::Mjpeg, &[0, 0, 0, 0, 1, 255, 80, 60, 0]));
    assert!(!inspect(&Codec::Mjpeg, &[0, 0, 0, 1, 1, 255, 80, 60, 0]));
    assert!(!inspect(&Codec::Mjpeg, &[0, 1, 0, 0, 1, 255, 80, 60, 0]));
    assert!(!inspect(&Codec::Mjpeg, &[0, 0, 0, 0]));
}

/// ISO/IEC 14496-2, 6.2.
#[test]
fn mpeg4_video() {
    for (payload, expected) in [
        (&[][..], false),
        (&[0, 0, 1, 0xB6, 0x10], true),
        (&[0, 0, 1, 0xB6, 0x50], false),
        (&[0, 0, 1, 0xB6], false),
        // Sequence, visual object, video object, layer; group of VOPs, then I or P.
        (&[0, 0, 1, 0xB0, 1, 0, 0, 1, 0xB5, 9, 0, 0, 1, 0x00, 0, 0, 1, 0x20, 8], true),
        (&[0, 0, 1, 0xB3, 0, 1, 7, 0, 0, 1, 0xB6, 0x10], true),
        (&[0, 0, 1, 0xB3, 0, 1, 7, 0, 0, 1, 0xB6, 0x50], false),
        (&[0, 0, 1, 0xB0, 1], false),
        // The middle of a picture.
        (&[7, 0, 0, 1, 0xB6, 0x10], false),
        (&[0, 0, 1], false),
    ] {
        assert_eq!(inspect(&Codec::Mpeg4Video, payload), expected, "{payload:02x?}");
    }
}

/// RFC 2250, section 3.4: P is 1 for I, 2 for P, 3 for B.
#[test]
fn mpeg_video() {
    for (payload, expected) in [
        (&[0, 0, 0x39, 0, 9][..], true),
        (&[0, 0, 0x01, 0], true),
        (&[0, 0, 0x3A, 0, 9], false),
        (&[0, 0, 0x1B, 0, 9], false),
        (&[0, 0, 0x01], false),
    ] {
        assert_eq!(inspect(&Codec::MpegVideo, payload), expected, "{payload:02x?}");
    }
}

#[test]
fn audio_and_the_unknown_start_anywhere() {
    for codec in [
        Codec::Opus,
        Codec::Aac,
        Codec::Lpcm { bits: 16 },
        Codec::Klv,
        Codec::MpegTs,
        Codec::Other("X".into()),
    ] {
        assert!(inspect(&codec, &[]) && inspect(&codec, &[1, 2, 3]));
    }
}

#[test]
fn random_bytes_do_no_harm() {
    let mut random = Random(21);
    for codec in [
        Codec::H264,
        Codec::H265,
        Codec::Av1,
        Codec::Vp8,
        Codec::Vp9,
        Codec::Mjpeg,
        Codec::Mpeg4Video,
        Codec::MpegVideo,
    ] {
        let mut access = RandomAccess::new(&codec);
        let mut found = 0;
        for _ in 0..20_000 {
            let count = random.below(40) as usize;
            found += u32::from(access.inspect(&random.bytes(count), random.below(4) == 0));
        }
        // Three start bytes of MJPEG and MPEG-4 are rare; the others are met.
        assert!(found > 0 || matches!(codec, Codec::Mjpeg | Codec::Mpeg4Video), "{codec}");
    }
}
