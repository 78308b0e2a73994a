//! RTCP: the walk ends, what is read lies within bounds, and what can be written reads back equal.

use bytes::BytesMut;
use headwater_protocols::limits::RTCP_COMPOUND_MAX;
use headwater_protocols::rtcp::{
    Bye, FeedbackMessage, Packet, Sdes, parse, write_bye, write_nack, write_sdes_cname,
};

/// Walks the bytes as they are, and once more with lengths put right, so that bodies are reached.
pub fn rtcp(data: &[u8]) {
    walk(data);
    let mut bytes = data[..data.len() & !3].to_vec();
    put_lengths_right(&mut bytes);
    walk(&bytes);
}

/// Makes every packet version 2 and as long as the low bits of its length say, or the rest.
fn put_lengths_right(mut bytes: &mut [u8]) {
    while bytes.len() >= 4 {
        let words = usize::from(bytes[3] & 0x1F).min(bytes.len() / 4 - 1);
        bytes[0] = bytes[0] & 0x3F | 0x80;
        bytes[2..4].copy_from_slice(&(words as u16).to_be_bytes());
        bytes = &mut bytes[4 + 4 * words..];
    }
}

fn walk(bytes: &[u8]) {
    let mut count = 0;
    for packet in parse(bytes) {
        count += 1;
        match packet {
            Ok(packet) => check(&packet),
            Err(error) => assert!(!error.kind().is_empty() && !error.to_string().is_empty()),
        }
    }
    assert!(count <= RTCP_COMPOUND_MAX + 1);
}

fn check(packet: &Packet<'_>) {
    let mut out = BytesMut::new();
    match packet {
        Packet::SenderReport(report) => {
            assert!(report.reports.len() <= 31);
            let _ = report.ntp.to_unix();
            report.write(&mut out);
            assert_eq!(only(&out), *packet);
        }
        Packet::ReceiverReport(report) => {
            assert!(report.reports.len() <= 31);
            report.write(&mut out);
            assert_eq!(only(&out), *packet);
        }
        Packet::Sdes(sdes) => check_sdes(sdes),
        Packet::Bye(bye) => check_bye(bye),
        Packet::App(app) => assert!(app.subtype < 32 && app.data.len().is_multiple_of(4)),
        Packet::Feedback(feedback) => match feedback.message {
            FeedbackMessage::FullIntra(request) => assert!(request.entries().count() > 0),
            FeedbackMessage::Nack(nack) => {
                // Whatever order they came in, what we write of them starts with the first.
                let missing = nack.missing().collect::<Vec<_>>();
                write_nack(feedback.sender, feedback.media, &missing, &mut out);
                let Packet::Feedback(read) = only(&out) else { panic!("a NACK reads back as feedback") };
                let FeedbackMessage::Nack(read) = read.message else { panic!("a NACK reads back as one") };
                assert_eq!(read.missing().next(), missing.first().copied());
            }
            FeedbackMessage::PictureLoss
            | FeedbackMessage::TransportWide(_)
            | FeedbackMessage::Other { .. } => {}
        },
        Packet::Unknown(_) => {}
    }
}

fn check_sdes(sdes: &Sdes<'_>) {
    assert!(sdes.chunks().count() < 32);
    for chunk in sdes.chunks() {
        assert!(chunk.items().all(|(kind, text)| kind != 0 && text.len() < 256));
        if let Some(cname) = chunk.cname() {
            let mut out = BytesMut::new();
            write_sdes_cname(chunk.ssrc, cname, &mut out);
            let Packet::Sdes(read) = only(&out) else { panic!("a source description reads back as one") };
            assert!(read.chunks().any(|read| read.ssrc == chunk.ssrc && read.cname() == Some(cname)));
        }
    }
}

fn check_bye(bye: &Bye<'_>) {
    let sources = bye.sources().collect::<Vec<_>>();
    assert!(sources.len() < 32);
    let mut out = BytesMut::new();
    write_bye(&sources, &mut out);
    let Packet::Bye(read) = only(&out) else { panic!("a BYE reads back as one") };
    assert!(read.sources().eq(sources));
}

fn only(bytes: &[u8]) -> Packet<'_> {
    let mut packets = parse(bytes);
    let packet = packets.next().expect("one packet was written").expect("what we write we read");
    assert!(packets.next().is_none());
    packet
}
