use super::{Adaptation, Continuity, PACKET_BYTES, Packet, Pid, write_pcr, write_pes, write_section};
use crate::mpegts::Timestamp;
use bytes::BytesMut;

fn packets(bytes: &[u8]) -> Vec<Packet<'_>> {
    let (packets, rest) = bytes.as_chunks::<PACKET_BYTES>();
    assert!(rest.is_empty());
    packets.iter().map(|packet| Packet::parse(packet).expect("a packet")).collect()
}

/// The start of the first picture in `fixtures/h264_aac.ts`, made with FFmpeg 5.1.
#[test]
fn a_packet_of_ffmpeg() {
    let fixture = include_bytes!("../fixtures/h264_aac.ts");
    let packets = packets(fixture);
    let start = packets.iter().find(|packet| packet.pid == Pid(0x100)).expect("video");
    assert!(start.unit_start && start.random_access && !start.scrambled && !start.discontinuity);
    assert_eq!(start.pcr, Some(Timestamp::new(63_000)), "the first DTS less 700 ms");
    assert_eq!(start.payload.expect("payload")[..4], [0, 0, 1, 0xE0]);
    assert_eq!(packets[0].pid, Pid(0x11), "service description");
}

#[test]
fn what_is_no_packet() {
    let mut packet = [0xFF; PACKET_BYTES];
    assert!(Packet::parse(&packet).is_err(), "no sync byte");
    packet[..4].copy_from_slice(&[0x47, 0x1F, 0xFF, 0x00]);
    assert!(Packet::parse(&packet).is_err(), "neither field nor payload");
    packet[3] = 0x30;
    packet[4] = 184;
    assert!(Packet::parse(&packet).is_err(), "a field longer than the packet");
    packet[4] = 183;
    assert_eq!(Packet::parse(&packet).expect("a packet").payload, Some(&[][..]));
    packet[4..6].copy_from_slice(&[6, 0x10]);
    assert!(Packet::parse(&packet).is_err(), "a clock that is cut off");
}

#[test]
fn every_length_fills_whole_packets() {
    let content = (0..600).map(|at| at as u8).collect::<Vec<_>>();
    let pcr = Some(Timestamp::new(-7));
    let fields = [
        Adaptation::default(),
        Adaptation { random_access: true, ..Adaptation::default() },
        Adaptation { discontinuity: true, random_access: false, pcr },
    ];
    for adaptation in fields {
        for length in 1..content.len() {
            let (header, rest) = content[..length].split_at(length.min(14));
            let (one, other) = rest.split_at(rest.len() / 3);
            let mut out = BytesMut::new();
            let mut continuity = Continuity(14);
            write_pes(&mut out, Pid(0x1ABC), &mut continuity, adaptation, header, &[one, &[], other]);
            let packets = packets(&out);
            let payload = packets.iter().flat_map(|packet| packet.payload.expect("payload")).copied();
            assert_eq!(payload.collect::<Vec<_>>(), content[..length], "{length} bytes");
            assert!(packets[0].unit_start && packets[1..].iter().all(|packet| !packet.unit_start));
            assert_eq!(
                (packets[0].pcr, packets[0].random_access),
                (adaptation.pcr, adaptation.random_access)
            );
            assert_eq!(packets[0].discontinuity, adaptation.discontinuity);
            assert!(packets.windows(2).all(|pair| pair[0].continuity.next() == pair[1].continuity));
            assert_eq!(packets.last().expect("one").continuity.next(), continuity);
        }
    }
}

#[test]
fn a_clock_packet_leaves_the_counter() {
    let mut out = BytesMut::new();
    let adaptation = Adaptation { pcr: Some(Timestamp::new(9)), ..Adaptation::default() };
    write_pcr(&mut out, Pid(5), Continuity(0), adaptation);
    let packet = packets(&out)[0];
    assert_eq!((packet.payload, packet.continuity, packet.pcr), (None, Continuity(15), adaptation.pcr));
}

#[test]
fn a_long_section_goes_over_packets() {
    let section = [7; 400];
    let mut out = BytesMut::new();
    write_section(&mut out, Pid::PAT, &mut Continuity::default(), &section);
    let packets = packets(&out);
    let payload =
        packets.iter().flat_map(|packet| packet.payload.expect("payload")).copied().collect::<Vec<_>>();
    assert_eq!(payload.len(), 3 * 184);
    assert_eq!((payload[0], &payload[1..401]), (0, &section[..]));
    assert!(payload[401..].iter().all(|byte| *byte == 0xFF));
}
