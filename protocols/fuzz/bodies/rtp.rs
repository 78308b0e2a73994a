//! RTP headers: what is read lies within the packet, and rewriting changes what it should and nothing else.

use headwater_protocols::rtp::{HEADER_BYTES, Packet, Rewrite, Sequence, Ticks};

/// Reads the bytes as they are, and once more as version 2.
pub fn rtp(data: &[u8]) {
    check(data);
    let mut bytes = data.to_vec();
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x3F | 0x80;
        check(&bytes);
    }
}

fn check(bytes: &[u8]) {
    let before = match Packet::parse(bytes) {
        Ok(packet) => packet,
        Err(error) => {
            assert!(!error.kind().is_empty() && !error.to_string().is_empty());
            return;
        }
    };
    let end = before.header_bytes + before.payload.len();
    assert!(before.header_bytes >= HEADER_BYTES && end <= bytes.len() && bytes.len() - end <= 255);
    assert_eq!(before.payload, &bytes[before.header_bytes..end]);
    assert!(before.payload_type < 128);
    let fields = Rewrite {
        payload_type: !before.payload_type & 0x7F,
        sequence: Sequence(!before.sequence.0),
        timestamp: Ticks(!before.timestamp.0),
        ssrc: !before.ssrc,
    };
    let mut rewritten = bytes.to_vec();
    fields.apply(&mut rewritten);
    let after = Packet::parse(&rewritten).expect("a rewritten packet is a packet");
    let Rewrite { payload_type, sequence, timestamp, ssrc } = fields;
    assert_eq!(after, Packet { payload_type, sequence, timestamp, ssrc, ..before });
    assert_eq!(rewritten[HEADER_BYTES..], bytes[HEADER_BYTES..]);
}
