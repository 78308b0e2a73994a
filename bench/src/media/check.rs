//! Checks the packets that one reader got: each whole and unchanged, none missing, none twice.

use super::{
    BLOCK_HEADER_BYTES, CHECKSUM_AT, MAGIC, NAL_FILLER, NAL_FU_A, NAL_IDR, NAL_SLICE, NAL_STAP_A,
    RTP_HEADER_BYTES, block_checksum, hash,
};

/// What is wrong with a packet itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No RTP packet, or no H264 payload with a block.
    Malformed,
    /// The block is not what was sent.
    Checksum,
    /// A packet of another path.
    Path,
}

/// The verdict on one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Packets that should have come before this one and did not, by the numbers in the blocks.
    pub(crate) lost: u64,
    /// This packet or a later one came before.
    pub(crate) repeated: bool,
    /// The RTP sequence number does not follow the one before.
    pub(crate) gap: bool,
    /// When it was sent, ns since 1970.
    pub(crate) sent_at: u64,
}

/// The state of one reader's stream.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    path: u16,
    sequence: Option<u16>,
    /// The place of the last packet: the count of packets of its path before it.
    place: Option<u64>,
}

struct Block<'a> {
    path: u16,
    index: u16,
    packets: u16,
    picture: u32,
    sent_at: u64,
    bytes: &'a [u8],
}

impl Checker {
    /// For a reader of `path`.
    pub(crate) fn new(path: u16) -> Checker {
        Checker { path, ..Checker::default() }
    }

    /// The highest sequence number so far.
    pub(crate) fn sequence(&self) -> Option<u16> {
        self.sequence
    }

    /// Judges the next RTP packet. The first one may be any.
    pub(crate) fn check(&mut self, packet: &[u8]) -> Result<Verdict, Fault> {
        let (sequence, payload) = split(packet).ok_or(Fault::Malformed)?;
        let block = find_block(payload).and_then(read_block).ok_or(Fault::Malformed)?;
        let stored = &block.bytes[CHECKSUM_AT..BLOCK_HEADER_BYTES];
        let filler_hash = hash(0, &block.bytes[BLOCK_HEADER_BYTES..]);
        if block_checksum(&block.bytes[..CHECKSUM_AT], filler_hash).to_be_bytes() != stored {
            return Err(Fault::Checksum);
        }
        if block.path != self.path {
            return Err(Fault::Path);
        }
        let place = u64::from(block.picture) * u64::from(block.packets) + u64::from(block.index);
        let gap = self.sequence.is_some_and(|last| sequence != last.wrapping_add(1));
        let expected = self.place.map_or(place, |last| last + 1);
        self.sequence = Some(sequence);
        self.place = Some(self.place.map_or(place, |last| last.max(place)));
        let lost = place.saturating_sub(expected);
        Ok(Verdict { lost, repeated: place < expected, gap, sent_at: block.sent_at })
    }
}

/// Sequence number and payload of an RTP packet (RFC 3550, section 5.1).
fn split(packet: &[u8]) -> Option<(u16, &[u8])> {
    let &[first, _, high, low, ..] = packet else { return None };
    if first >> 6 != 2 {
        return None;
    }
    let mut start = RTP_HEADER_BYTES + 4 * usize::from(first & 0x0f);
    if first & 0x10 != 0 {
        let length = packet.get(start + 2..start + 4)?;
        start += 4 + 4 * usize::from(u16::from_be_bytes([length[0], length[1]]));
    }
    let padding = if first & 0x20 != 0 { usize::from(*packet.last()?) } else { 0 };
    let end = packet.len().checked_sub(padding)?;
    Some((u16::from_be_bytes([high, low]), packet.get(start..end)?))
}

/// The sequence number of an RTP packet, which is all that unsampled readers look at.
pub(crate) fn sequence_of(packet: &[u8]) -> Option<u16> {
    match packet {
        &[first, _, high, low, ..] if first >> 6 == 2 => Some(u16::from_be_bytes([high, low])),
        _ => None,
    }
}

/// The block within an H264 RTP payload (RFC 6184, section 5).
fn find_block(payload: &[u8]) -> Option<&[u8]> {
    let (&unit, mut rest) = payload.split_first()?;
    match unit & 0x1f {
        NAL_SLICE | NAL_IDR => Some(rest),
        NAL_FU_A => rest.get(1..),
        NAL_STAP_A => loop {
            let (length, after) = rest.split_first_chunk::<2>()?;
            let (inner, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            rest = after;
            if inner.first()? & 0x1f == NAL_FILLER {
                return inner.get(1..);
            }
        },
        _ => None,
    }
}

fn read_block(bytes: &[u8]) -> Option<Block<'_>> {
    let header: &[u8; BLOCK_HEADER_BYTES] = bytes.first_chunk()?;
    let short = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if word(0) != MAGIC || short(8) == 0 {
        return None;
    }
    let sent_at = u64::from(word(16)) << 32 | u64::from(word(20));
    Some(Block { path: short(4), index: short(6), packets: short(8), picture: word(12), sent_at, bytes })
}

#[cfg(test)]
mod tests {
    use super::super::pictures::Pictures;
    use super::super::{Framing, Shape};
    use super::*;

    /// The packets of the first `pictures` pictures of path 3.
    fn packets(pictures: u32) -> Vec<Vec<u8>> {
        let shape = Shape::new(2_000_000, 30, 1_200).expect("fits");
        let mut source = Pictures::new(3, shape, Framing::Interleaved { channel: 4 });
        let mut packets = Vec::new();
        for number in 0..pictures {
            source.prepare();
            let mut bytes = source.stamped(1_000_000 + u64::from(number));
            assert_eq!(bytes.len(), shape.wire_bytes(Framing::Interleaved { channel: 4 }));
            while let Some((prefix, rest)) = bytes.split_first_chunk::<4>() {
                assert_eq!(prefix[..2], [b'$', 4]);
                let (packet, rest) = rest.split_at(usize::from(u16::from_be_bytes([prefix[2], prefix[3]])));
                packets.push(packet.to_vec());
                bytes = rest;
            }
        }
        packets
    }

    #[test]
    fn what_was_made_is_accepted_across_the_wrap_of_the_sequence() {
        let mut checker = Checker::new(3);
        for (place, packet) in packets(100).iter().enumerate() {
            let sent_at = 1_000_000 + place as u64 / 7;
            let verdict = checker.check(packet).expect("good");
            assert_eq!(verdict, Verdict { lost: 0, repeated: false, gap: false, sent_at }, "packet {place}");
            assert_eq!(packet.len(), if place % 7 == 6 { 8_333 - 6 * 1_200 } else { 1_200 });
        }
    }

    #[test]
    fn a_changed_bit_anywhere_in_the_block_is_found() {
        for (number, packet) in packets(2).iter().enumerate() {
            let block = find_block(split(packet).expect("RTP").1).expect("block").len();
            for at in packet.len() - block..packet.len() {
                let mut changed = packet.clone();
                changed[at] ^= 1 << (at % 8);
                assert!(Checker::new(3).check(&changed).is_err(), "packet {number}, byte {at}");
            }
        }
    }

    #[test]
    fn missing_repeated_and_foreign_packets_are_found() {
        let packets = packets(3);
        let mut checker = Checker::new(3);
        checker.check(&packets[0]).expect("good");
        let verdict = checker.check(&packets[3]).expect("good");
        assert_eq!((verdict.lost, verdict.gap, verdict.repeated), (2, true, false));
        let verdict = checker.check(&packets[2]).expect("good");
        assert_eq!((verdict.lost, verdict.gap, verdict.repeated), (0, true, true));
        let verdict = checker.check(&packets[4]).expect("good");
        assert_eq!((verdict.lost, verdict.repeated), (0, false));
        assert_eq!(Checker::new(2).check(&packets[0]), Err(Fault::Path));
        assert_eq!(Checker::new(3).check(&packets[0][..20]), Err(Fault::Malformed));
        assert_eq!(Checker::new(3).check(&packets[1][..900]), Err(Fault::Checksum));
    }

    #[test]
    fn a_skip_hidden_by_renumbering_is_found() {
        let mut packets = packets(3);
        let mut checker = Checker::new(3);
        checker.check(&packets[0]).expect("good");
        let next = packets[1][2..4].to_vec();
        packets[8][2..4].copy_from_slice(&next);
        let verdict = checker.check(&packets[8]).expect("good");
        assert_eq!((verdict.lost, verdict.gap), (7, false));
    }

    #[test]
    fn each_second_starts_with_parameter_sets_and_an_idr_picture() {
        let packets = packets(31);
        for number in [0, 30] {
            assert_eq!(packets[number * 7][12] & 0x1f, NAL_STAP_A);
            assert_eq!(packets[number * 7 + 1][12..14], [0x60 | NAL_FU_A, 0x80 | NAL_IDR]);
            assert_eq!(packets[number * 7 + 6][12..14], [0x60 | NAL_FU_A, 0x40 | NAL_IDR]);
            assert_eq!(packets[number * 7 + 6][1] & 0x80, 0x80);
        }
        assert_eq!(packets[7][12..14], [0x60 | NAL_FU_A, 0x80 | NAL_SLICE]);
    }
}
