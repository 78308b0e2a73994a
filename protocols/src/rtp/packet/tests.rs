use bytes::{Bytes, BytesMut};
use webrtc_util::marshal::{Marshal, Unmarshal};

use super::{Error, Packet, Rewrite, header, write_header};
use crate::rtp::random::Random;
use crate::rtp::{Sequence, Ticks};

fn invalid(what: &'static str, offset: usize, length: usize) -> Result<Packet<'static>, Error> {
    Err(Error::Invalid { what, offset, length })
}

/// RFC 3550, section 5.1: all fixed fields.
#[test]
fn fixed_header() {
    let bytes = [0x80, 0xE0, 0x12, 0x34, 0xDE, 0xAD, 0xBE, 0xEF, 0x01, 0x02, 0x03, 0x04, 0xAA, 0xBB];
    assert_eq!(
        Packet::parse(&bytes),
        Ok(Packet {
            marker: true,
            payload_type: 96,
            sequence: Sequence(0x1234),
            timestamp: Ticks(0xDEAD_BEEF),
            ssrc: 0x0102_0304,
            payload: &[0xAA, 0xBB],
            header_bytes: 12,
        })
    );
}

/// RFC 3550, sections 5.1 and 5.3.1: two CSRCs, an extension of one word, padding of three.
#[test]
fn csrc_extension_and_padding_are_not_payload() {
    let mut bytes = vec![0xB2, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    bytes.extend([0, 0, 0, 4, 0, 0, 0, 5]);
    bytes.extend([0xBE, 0xDE, 0, 1, 0x10, 0xFF, 0, 0]);
    bytes.extend([1, 2, 3, 4, 5, 0, 0, 3]);
    let packet = Packet::parse(&bytes).unwrap();
    assert!(!packet.marker);
    assert_eq!((packet.header_bytes, packet.payload), (28, &[1, 2, 3, 4, 5][..]));
}

#[test]
fn empty_payload_and_all_padding() {
    let fixed = [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(Packet::parse(&fixed).unwrap().payload, b"");
    let padded = [0xA0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4];
    let packet = Packet::parse(&padded).unwrap();
    assert_eq!((packet.payload, packet.header_bytes), (&b""[..], 12));
}

#[test]
fn refused() {
    let padded = |tail: &[u8]| [&[0xA0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], tail].concat();
    for (bytes, expected) in [
        (vec![], invalid("header", 0, 0)),
        (vec![0x80; 11], invalid("header", 0, 11)),
        (vec![0x40; 12], Err(Error::Unsupported { version: 1 })),
        (vec![0xC0; 12], Err(Error::Unsupported { version: 3 })),
        (vec![0x81; 15], invalid("CSRC list or extension", 12, 15)),
        (vec![0x90; 15], invalid("extension header", 12, 15)),
        ([&[0x90; 12][..], &[0, 0, 0, 1, 9, 9, 9]].concat(), invalid("CSRC list or extension", 12, 19)),
        (vec![0x9F; 74], invalid("extension header", 72, 74)),
        (padded(&[]), invalid("padding count", 11, 12)),
        (padded(&[7, 0]), invalid("padding count", 13, 14)),
        (padded(&[0, 3]), invalid("padding count", 13, 14)),
        (padded(&[255]), invalid("padding count", 12, 13)),
    ] {
        assert_eq!(Packet::parse(&bytes), expected, "{bytes:02x?}");
    }
}

#[test]
fn rewriting_changes_four_fields_only() {
    let mut random = Random(1);
    for _ in 0..2_000 {
        let extra = random.below(60) as usize;
        let mut bytes = random.bytes(12 + extra);
        bytes[0] = bytes[0] & 0x3F | 0x80;
        let Ok(before) = Packet::parse(&bytes) else {
            continue;
        };
        let fields = Rewrite {
            payload_type: random.below(128) as u8,
            sequence: Sequence(random.number() as u16),
            timestamp: Ticks(random.number() as u32),
            ssrc: random.number() as u32,
        };
        let mut after_bytes = bytes.clone();
        fields.apply(&mut after_bytes);
        let after = Packet::parse(&after_bytes).unwrap();
        let Rewrite { payload_type, sequence, timestamp, ssrc } = fields;
        assert_eq!(after, Packet { payload_type, sequence, timestamp, ssrc, ..before });
        assert_eq!(after_bytes[0], bytes[0]);
        assert_eq!(after_bytes[12..], bytes[12..]);
    }
}

#[test]
fn written_header_reads_back() {
    let fields = Rewrite {
        payload_type: 127,
        sequence: Sequence(0xFFFF),
        timestamp: Ticks(u32::MAX),
        ssrc: 0x8000_0001,
    };
    for marker in [false, true] {
        let mut out = BytesMut::from(&b"before"[..]);
        write_header(&mut out, marker, fields);
        assert_eq!(out[6..], header(marker, fields));
        out.extend_from_slice(b"payload");
        let packet = Packet::parse(&out[6..]).unwrap();
        let Rewrite { payload_type, sequence, timestamp, ssrc } = fields;
        let payload = b"payload";
        assert_eq!(
            packet,
            Packet { marker, payload_type, sequence, timestamp, ssrc, payload, header_bytes: 12 }
        );
    }
}

/// What the `rtp` crate reads must be read the same, from packets it wrote itself.
#[test]
fn agrees_with_the_rtp_crate_on_its_own_packets() {
    let mut random = Random(2);
    for _ in 0..5_000 {
        let theirs = random_packet(&mut random);
        let bytes = theirs.marshal().unwrap();
        let ours = Packet::parse(&bytes).unwrap();
        compare(&ours, &theirs, &bytes);
    }
}

/// On random bytes both accept or both refuse. Two differences are known: the crate takes a padding count of zero, and
/// it reads into the extension elements of RFC 8285, which we leave alone.
#[test]
fn agrees_with_the_rtp_crate_on_random_bytes() {
    let mut random = Random(3);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..50_000 {
        let count = random.below(120) as usize;
        let mut bytes = random.bytes(count);
        if let Some(first) = bytes.first_mut() {
            *first = *first & 0x3F | 0x80;
        }
        let csrc = bytes.first().map_or(0, |first| usize::from(first & 15));
        if let Some(extension) = bytes.get_mut(12 + 4 * csrc..16 + 4 * csrc) {
            // A profile without elements, and a length that often fits.
            extension.copy_from_slice(&[0, 1, 0, random.below(16) as u8]);
        }
        let zero_padding = bytes.first().is_some_and(|first| first & 0x20 != 0) && bytes.last() == Some(&0);
        if zero_padding {
            continue;
        }
        let bytes = Bytes::from(bytes);
        let theirs = rtp::packet::Packet::unmarshal(&mut bytes.clone());
        match (Packet::parse(&bytes), theirs) {
            (Ok(ours), Ok(theirs)) => {
                compare(&ours, &theirs, &bytes);
                accepted += 1;
            }
            (Err(_), Err(_)) => refused += 1,
            (ours, theirs) => panic!("{ours:?} against {theirs:?} on {bytes:02x?}"),
        }
    }
    assert!(accepted > 10_000 && refused > 10_000, "{accepted} accepted, {refused} refused");
}

fn random_packet(random: &mut Random) -> rtp::packet::Packet {
    let extension = random.below(2) == 1;
    let extension_bytes = 4 * random.below(6) as usize;
    let payload_bytes = random.below(1200) as usize;
    let csrc_count = random.below(16);
    rtp::packet::Packet {
        header: rtp::header::Header {
            version: 2,
            padding: random.below(2) == 1,
            extension,
            marker: random.below(2) == 1,
            payload_type: random.below(128) as u8,
            sequence_number: random.number() as u16,
            timestamp: random.number() as u32,
            ssrc: random.number() as u32,
            csrc: (0..csrc_count).map(|_| random.number() as u32).collect(),
            extension_profile: 0x0042,
            extensions: if extension {
                vec![rtp::header::Extension { id: 0, payload: random.bytes(extension_bytes).into() }]
            } else {
                vec![]
            },
            extensions_padding: 0,
        },
        payload: random.bytes(payload_bytes).into(),
    }
}

fn compare(ours: &Packet<'_>, theirs: &rtp::packet::Packet, bytes: &[u8]) {
    let header = &theirs.header;
    assert_eq!(ours.marker, header.marker);
    assert_eq!(ours.payload_type, header.payload_type);
    assert_eq!(ours.sequence.0, header.sequence_number);
    assert_eq!(ours.timestamp.0, header.timestamp);
    assert_eq!(ours.ssrc, header.ssrc);
    assert_eq!(ours.payload, &theirs.payload[..]);
    let extension = if header.extension {
        4 + header.extensions.iter().map(|one| one.payload.len()).sum::<usize>()
    } else {
        0
    };
    assert_eq!(ours.header_bytes, 12 + 4 * header.csrc.len() + extension, "{bytes:02x?}");
}
