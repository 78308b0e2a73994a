use std::time::Duration;

use bytes::BytesMut;

use super::{
    App, Error, Feedback, FeedbackMessage, NACK_ENTRIES_MAX, Ntp, Packet, ReceiverReport, ReportBlock,
    ReportBlocks, SenderReport, parse, write_bye, write_full_intra_request, write_nack, write_picture_loss,
    write_sdes_cname,
};
use crate::limits::RTCP_COMPOUND_MAX;
use crate::rtp::random::Random;
use crate::rtp::{Sequence, Ticks};

fn all(bytes: &[u8]) -> Vec<Result<Packet<'_>, Error>> {
    parse(bytes).collect()
}

fn one(bytes: &[u8]) -> Packet<'_> {
    let packets = all(bytes);
    assert_eq!(packets.len(), 1, "{packets:?}");
    packets.into_iter().next().unwrap().unwrap()
}

fn written(write: impl FnOnce(&mut BytesMut)) -> BytesMut {
    let mut out = BytesMut::new();
    write(&mut out);
    out
}

fn invalid(what: &'static str, offset: usize) -> Result<Packet<'static>, Error> {
    Err(Error::Invalid { what, offset })
}

#[rustfmt::skip]
const SENDER_REPORT: [u8; 52] = [
    0x81, 200, 0, 12,
    0x01, 0x02, 0x03, 0x04,
    0xB4, 0x4D, 0xB7, 0x05, 0x20, 0x00, 0x00, 0x00, // NTP of RFC 3550, figure 2
    0x00, 0x01, 0x5F, 0x90,
    0x00, 0x00, 0x00, 0x10,
    0x00, 0x00, 0x40, 0x00,
    0x0A, 0x0B, 0x0C, 0x0D,
    0x40, 0xFF, 0xFF, 0xFE, // a quarter lost; −2 in all
    0x00, 0x01, 0x00, 0x05,
    0x00, 0x00, 0x00, 0x2A,
    0xB7, 0x05, 0x20, 0x00,
    0x00, 0x05, 0x40, 0x00,
];

fn sender_report() -> SenderReport {
    SenderReport {
        ssrc: 0x0102_0304,
        ntp: Ntp(0xB44D_B705_2000_0000),
        rtp: Ticks(90_000),
        packets: 16,
        octets: 16_384,
        reports: [ReportBlock {
            ssrc: 0x0A0B_0C0D,
            fraction_lost: 64,
            cumulative_lost: -2,
            highest_sequence: 0x1_0005,
            jitter: 42,
            last_sr: 0xB705_2000,
            delay_since_last_sr: 0x0005_4000,
        }]
        .into_iter()
        .collect(),
    }
}

/// RFC 3550, section 6.4.1.
#[test]
fn sender_report_vector() {
    assert_eq!(one(&SENDER_REPORT), Packet::SenderReport(sender_report()));
    assert_eq!(written(|out| sender_report().write(out)), SENDER_REPORT[..]);
}

/// RFC 3550, section 6.4.2.
#[test]
fn empty_receiver_report_vector() {
    let bytes = [0x80, 201, 0, 1, 9, 8, 7, 6];
    let report = ReceiverReport { ssrc: 0x0908_0706, reports: ReportBlocks::new() };
    assert_eq!(one(&bytes), Packet::ReceiverReport(report.clone()));
    assert_eq!(written(|out| report.write(out)), bytes[..]);
}

/// A profile-specific extension after the blocks (RFC 3550, section 6.4.3) is stepped over.
#[test]
fn reports_may_carry_an_extension() {
    let bytes = [0x80, 201, 0, 3, 9, 8, 7, 6, 1, 2, 3, 4, 5, 6, 7, 8];
    assert_eq!(
        one(&bytes),
        Packet::ReceiverReport(ReceiverReport { ssrc: 0x0908_0706, reports: ReportBlocks::new() })
    );
}

#[test]
fn thirty_one_blocks_and_no_more() {
    let block = |ssrc| ReportBlock { ssrc, ..ReportBlock::default() };
    let mut reports = (0..31).map(block).collect::<ReportBlocks>();
    assert!(!reports.push(block(31)));
    assert_eq!((0..40).map(block).collect::<ReportBlocks>(), reports);
    let report = ReceiverReport { ssrc: 1, reports };
    let bytes = written(|out| report.write(out));
    assert_eq!(bytes[..4], [0x9F, 201, 0, 1 + 31 * 6]);
    assert_eq!(one(&bytes), Packet::ReceiverReport(report));
}

#[test]
fn cumulative_loss_is_clamped_to_24_bits() {
    for (lost, expected) in [(i32::MAX, 0x7F_FFFF), (i32::MIN, -0x80_0000), (-1, -1), (0x7F_FFFF, 0x7F_FFFF)]
    {
        let reports = [ReportBlock { cumulative_lost: lost, ..ReportBlock::default() }].into_iter().collect();
        let bytes = written(|out| ReceiverReport { ssrc: 1, reports }.write(out));
        let Packet::ReceiverReport(report) = one(&bytes) else { panic!("{bytes:?}") };
        assert_eq!(report.reports[0].cumulative_lost, expected);
    }
}

/// RFC 3550, section 6.5: every length of name, so every count of zeros at the end, of which there is at least one.
#[test]
fn cname_round_trip() {
    for length in [0, 1, 2, 3, 4, 5, 6, 7, 8, 254, 255, 300] {
        let name = vec![b'n'; length];
        let bytes = written(|out| write_sdes_cname(0xAABB_CCDD, &name, out));
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(bytes.last(), Some(&0));
        let Packet::Sdes(sdes) = one(&bytes) else { panic!("{bytes:?}") };
        let chunks = sdes.chunks().collect::<Vec<_>>();
        assert_eq!(chunks.len(), 1);
        assert_eq!((chunks[0].ssrc, chunks[0].cname()), (0xAABB_CCDD, Some(&name[..length.min(255)])));
    }
    let bytes = written(|out| write_sdes_cname(1, b"ab", out));
    assert_eq!(bytes[..], [0x81, 202, 0, 3, 0, 0, 0, 1, 1, 2, b'a', b'b', 0, 0, 0, 0]);
}

#[test]
fn source_description_of_two_chunks() {
    #[rustfmt::skip]
    let bytes = [
        0x82, 202, 0, 6,
        0, 0, 0, 1, 2, 1, b'N', 1, 1, b'c', 0, 0,
        0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let Packet::Sdes(sdes) = one(&bytes) else { panic!() };
    let chunks =
        sdes.chunks().map(|chunk| (chunk.ssrc, chunk.items().collect::<Vec<_>>())).collect::<Vec<_>>();
    assert_eq!(chunks, [(1, vec![(2, &b"N"[..]), (1, b"c")]), (2, vec![])]);
    // Items that end on a word are followed by a whole word of zeros.
    let bytes = [0x82, 202, 0, 5, 0, 0, 0, 1, 1, 2, b'a', b'b', 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0];
    let Packet::Sdes(sdes) = one(&bytes) else { panic!() };
    assert_eq!(sdes.chunks().map(|chunk| chunk.ssrc).collect::<Vec<_>>(), [1, 2]);
    // The second chunk cut off, its items not ended, and a text longer than the packet.
    assert_eq!(all(&[0x82, 202, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0]), [invalid("source description", 0)]);
    assert_eq!(all(&[0x81, 202, 0, 2, 0, 0, 0, 1, 1, 2, 9, 9]), [invalid("source description", 0)]);
    assert_eq!(all(&[0x81, 202, 0, 2, 0, 0, 0, 1, 1, 200, 9, 9]), [invalid("source description", 0)]);
}

/// RFC 3550, section 6.6.
#[test]
fn bye_with_and_without_reason() {
    let bytes = written(|out| write_bye(&[1, 0x0203_0405], out));
    assert_eq!(bytes[..], [0x82, 203, 0, 2, 0, 0, 0, 1, 2, 3, 4, 5]);
    let Packet::Bye(bye) = one(&bytes) else { panic!() };
    assert_eq!((bye.sources().collect::<Vec<_>>(), bye.reason), (vec![1, 0x0203_0405], None));
    let bytes = [0x81, 203, 0, 2, 0, 0, 0, 1, 2, b'b', b'y', 0];
    let Packet::Bye(bye) = one(&bytes) else { panic!() };
    assert_eq!((bye.sources().collect::<Vec<_>>(), bye.reason), (vec![1], Some(&b"by"[..])));
    // A reason longer than the packet costs only the reason.
    let bytes = [0x81, 203, 0, 2, 0, 0, 0, 1, 9, b'b', b'y', 0];
    let Packet::Bye(bye) = one(&bytes) else { panic!() };
    assert_eq!((bye.sources().count(), bye.reason), (1, None));
    assert_eq!(all(&[0x82, 203, 0, 1, 0, 0, 0, 1]), [invalid("BYE", 0)]);
    let sources = (0..40).collect::<Vec<_>>();
    let bytes = written(|out| write_bye(&sources, out));
    let Packet::Bye(bye) = one(&bytes) else { panic!() };
    assert_eq!(bye.sources().collect::<Vec<_>>(), sources[..31]);
}

/// RFC 3550, section 6.7.
#[test]
fn application_packet() {
    let bytes = [0x85, 204, 0, 3, 0, 0, 0, 9, b'n', b'a', b'm', b'e', 1, 2, 3, 4];
    assert_eq!(one(&bytes), Packet::App(App { subtype: 5, ssrc: 9, name: *b"name", data: &[1, 2, 3, 4] }));
    assert_eq!(all(&[0x85, 204, 0, 1, 0, 0, 0, 9]), [invalid("APP", 0)]);
}

/// RFC 4585, section 6.3.1, and RFC 5104, section 4.3.1.
#[test]
fn requests_for_a_picture() {
    let bytes = written(|out| write_picture_loss(1, 2, out));
    assert_eq!(bytes[..], [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
    assert_eq!(
        one(&bytes),
        Packet::Feedback(Feedback { sender: 1, media: 2, message: FeedbackMessage::PictureLoss })
    );
    let bytes = written(|out| write_full_intra_request(1, 2, 3, out));
    assert_eq!(bytes[..], [0x84, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 3, 0, 0, 0]);
    let Packet::Feedback(Feedback { sender: 1, media: 0, message: FeedbackMessage::FullIntra(request) }) =
        one(&bytes)
    else {
        panic!("{bytes:?}")
    };
    assert_eq!(request.entries().collect::<Vec<_>>(), [(2, 3)]);
}

/// The eight bytes that panic the `rtcp` crate, and other feedback too short for what it says it is.
#[test]
fn feedback_too_short() {
    assert_eq!(all(&[0x84, 206, 0, 1, 0, 0, 0, 1]), [invalid("payload feedback", 0)]);
    assert_eq!(all(&[0x84, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0]), [invalid("payload feedback", 0)]);
    assert_eq!(all(&[0x84, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]), [invalid("payload feedback", 0)]);
    assert_eq!(all(&[0x81, 206, 0, 0]), [invalid("payload feedback", 0)]);
    assert_eq!(all(&[0x81, 205, 0, 1, 0, 0, 0, 1]), [invalid("transport feedback", 0)]);
    assert_eq!(all(&[0x81, 205, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]), [invalid("transport feedback", 0)]);
}

/// RFC 4585, section 6.2.1: the mask's lowest bit is the packet after the first.
#[test]
fn nack() {
    let missing = [0xFFFE, 0xFFFF, 0x000E, 0x0010, 0x0100].map(Sequence);
    let bytes = written(|out| write_nack(1, 2, &missing, out));
    #[rustfmt::skip]
    assert_eq!(bytes[..], [
        0x81, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2,
        0xFF, 0xFE, 0x80, 0x01, 0x00, 0x10, 0, 0, 0x01, 0x00, 0, 0,
    ]);
    let Packet::Feedback(Feedback { message: FeedbackMessage::Nack(nack), .. }) = one(&bytes) else {
        panic!()
    };
    assert_eq!(nack.missing().collect::<Vec<_>>(), missing);
    assert!(written(|out| write_nack(1, 2, &[], out)).is_empty());
    let many = (0..1000).map(|n| Sequence(n * 20)).collect::<Vec<_>>();
    let bytes = written(|out| write_nack(1, 2, &many, out));
    let Packet::Feedback(Feedback { message: FeedbackMessage::Nack(nack), .. }) = one(&bytes) else {
        panic!()
    };
    assert_eq!(nack.missing().collect::<Vec<_>>(), many[..NACK_ENTRIES_MAX]);
}

#[test]
fn other_feedback_comes_out_raw() {
    let bytes = [0x8F, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4];
    let message = FeedbackMessage::TransportWide(&[1, 2, 3, 4]);
    assert_eq!(one(&bytes), Packet::Feedback(Feedback { sender: 1, media: 2, message }));
    let bytes = [0x8F, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B'];
    let message = FeedbackMessage::Other { packet_type: 206, format: 15, fci: b"REMB" };
    assert_eq!(one(&bytes), Packet::Feedback(Feedback { sender: 1, media: 0, message }));
}

#[test]
fn a_compound_is_walked_past_a_broken_body() {
    let mut bytes = BytesMut::from(&SENDER_REPORT[..]);
    bytes.extend_from_slice(&[0x84, 206, 0, 1, 0, 0, 0, 1]);
    bytes.extend_from_slice(&[0x80, 207, 0, 0]);
    write_bye(&[5], &mut bytes);
    let packets = all(&bytes);
    assert_eq!(packets[0], Ok(Packet::SenderReport(sender_report())));
    assert_eq!(packets[1], invalid("payload feedback", 52));
    assert_eq!(packets[2], Ok(Packet::Unknown(207)));
    assert!(matches!(packets[3], Ok(Packet::Bye(_))));
    assert_eq!(packets.len(), 4);
}

#[test]
fn wrong_framing_ends_the_walk() {
    let report = [0x80, 201, 0, 1, 9, 8, 7, 6];
    for (bad, expected) in [
        (&[0x40, 201, 0, 0][..], Err(Error::Unsupported { version: 1, offset: 8 })),
        (&[0xA0, 201, 0, 0], invalid("padding count", 8)),
        (&[0xA0, 201, 0, 1, 0, 0, 0, 0], invalid("padding count", 8)),
        (&[0xA0, 201, 0, 1, 0, 0, 0, 3], invalid("padding count", 8)),
        (&[0xA0, 201, 0, 1, 0, 0, 0, 8], invalid("padding count", 8)),
        (&[0x80, 201, 255, 255, 0, 0, 0, 1], invalid("length", 8)),
    ] {
        let bytes = [&report, bad, &report].concat();
        let packets = all(&bytes);
        assert_eq!(packets.len(), 2, "{bad:?}: {packets:?}");
        assert_eq!(packets[1], expected, "{bad:?}");
    }
    for (end, expected) in [
        (&[0x80][..], invalid("header", 8)),
        (&[0x80, 201, 0], invalid("header", 8)),
        (&[0x80, 201, 0, 2, 0, 0, 0, 1], invalid("length", 8)),
    ] {
        assert_eq!(all(&[&report, end].concat())[1], expected, "{end:?}");
    }
    assert_eq!(all(&[]), []);
}

#[test]
fn padding_is_no_part_of_the_body() {
    let bytes = [0xA1, 203, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 8];
    let Packet::Bye(bye) = one(&bytes) else { panic!() };
    assert_eq!((bye.sources().collect::<Vec<_>>(), bye.reason), (vec![1], None));
}

#[test]
fn a_compound_of_too_many_is_cut() {
    let bytes = [0x80, 203, 0, 0].repeat(RTCP_COMPOUND_MAX);
    assert!(all(&bytes).iter().all(Result::is_ok));
    let bytes = [0x80, 203, 0, 0].repeat(RTCP_COMPOUND_MAX + 2);
    let packets = all(&bytes);
    assert_eq!(packets.len(), RTCP_COMPOUND_MAX + 1);
    assert_eq!(packets[RTCP_COMPOUND_MAX], Err(Error::Limit));
}

#[test]
fn reports_read_back_as_written() {
    let mut random = Random(11);
    for _ in 0..1000 {
        let mut block = || ReportBlock {
            ssrc: random.number() as u32,
            fraction_lost: random.number() as u8,
            cumulative_lost: (random.number() as i32) >> 8,
            highest_sequence: random.number() as u32,
            jitter: random.number() as u32,
            last_sr: random.number() as u32,
            delay_since_last_sr: random.number() as u32,
        };
        let blocks = [block(), block(), block()];
        let count = random.below(4) as usize;
        let report = SenderReport {
            ssrc: random.number() as u32,
            ntp: Ntp(random.number()),
            rtp: Ticks(random.number() as u32),
            packets: random.number() as u32,
            octets: random.number() as u32,
            reports: blocks.into_iter().take(count).collect(),
        };
        let bytes = written(|out| report.write(out));
        assert_eq!(one(&bytes), Packet::SenderReport(report));
    }
}

/// Every prefix of a rich compound, and every single byte of it changed: nothing panics, and the walk ends.
#[test]
fn prefixes_and_flips_do_no_harm() {
    let mut bytes = BytesMut::from(&SENDER_REPORT[..]);
    write_sdes_cname(1, b"camera", &mut bytes);
    write_full_intra_request(1, 2, 3, &mut bytes);
    write_nack(1, 2, &[Sequence(5), Sequence(9)], &mut bytes);
    write_bye(&[1, 2], &mut bytes);
    for end in 0..bytes.len() {
        exhaust(&bytes[..end]);
    }
    for index in 0..bytes.len() {
        for value in [0, 1, 3, 0x1F, 0x7F, 0x80, 0x9F, 0xA0, 0xFF] {
            let mut changed = bytes.clone();
            changed[index] = value;
            exhaust(&changed);
        }
    }
}

fn exhaust(bytes: &[u8]) {
    let mut count = 0;
    for packet in parse(bytes) {
        count += 1;
        match packet {
            Ok(Packet::Sdes(sdes)) => assert!(sdes.chunks().all(|chunk| chunk.items().count() < 256)),
            Ok(Packet::Bye(bye)) => assert!(bye.sources().count() < 32),
            Ok(Packet::Feedback(Feedback { message: FeedbackMessage::FullIntra(request), .. })) => {
                assert!(request.entries().count() > 0);
            }
            Ok(Packet::Feedback(Feedback { message: FeedbackMessage::Nack(nack), .. })) => {
                assert!(nack.missing().count() > 0);
            }
            _ => {}
        }
    }
    assert!(count <= RTCP_COMPOUND_MAX + 1);
}

#[test]
fn ntp_to_unix_and_back() {
    // 2025-01-01 00:00:00.5 UTC.
    let unix = Duration::new(1_735_689_600, 500_000_000);
    let ntp = Ntp::from_unix(unix);
    assert_eq!(ntp, Ntp(0xEB1F_0400_8000_0000));
    assert_eq!(ntp.to_unix(), unix);
    assert_eq!(Ntp::from_unix(Duration::ZERO), Ntp(2_208_988_800 << 32));
    // The wrap, 2036-02-07 06:28:16, and after it.
    assert_eq!(Ntp::from_unix(Duration::from_secs(2_085_978_496)), Ntp(0));
    assert_eq!(Ntp(0).to_unix(), Duration::from_secs(2_085_978_496));
    assert_eq!(Ntp(0xB44D_B705_2000_0000).middle32(), 0xB705_2000);
    let mut random = Random(12);
    for _ in 0..10_000 {
        let unix = Duration::new(random.below(1 << 32), random.below(1_000_000_000) as u32);
        if unix.as_secs() < (1 << 31) {
            assert_eq!(Ntp::from_unix(unix).to_unix(), unix);
        }
        // Whatever a peer sends is some time.
        let _ = Ntp(random.number()).to_unix();
    }
    // 1968 and 1969 have no Unix time.
    assert_eq!(Ntp(1 << 63).to_unix(), Duration::from_secs(0));
    assert_eq!(Ntp(u64::MAX).to_unix().as_secs(), 2_085_978_495);
}
