//! Finds the transport packets in a stream of bytes, whatever pieces it comes in, and finds them again after damage.
//!
//! At the start, and as long as each packet begins where the last one ended, a sync byte is believed. After damage, a sync
//! byte counts only when another one follows a packet's length later.

use super::error::Error;
use super::packet::{PACKET_BYTES, SYNC_BYTE};
use crate::limits::MPEGTS_SYNC_BYTES_MAX;

/// A streaming splitter; see the module.
#[derive(Debug)]
pub(super) struct Splitter {
    /// What came of a packet that straddles two inputs.
    partial: [u8; PACKET_BYTES],
    filled: usize,
    synchronized: bool,
    /// Bytes skipped since packets were lost.
    skipped: usize,
    /// Times that packets were lost.
    pub(super) losses: u64,
    /// Bytes taken since the start of the stream.
    offset: u64,
}

impl Splitter {
    pub(super) fn new() -> Splitter {
        Splitter {
            partial: [0; PACKET_BYTES],
            filled: 0,
            synchronized: true,
            skipped: 0,
            losses: 0,
            offset: 0,
        }
    }

    /// Takes the next packet from the front of `input`, of which it says how much is used up. `None`: `input` is used up,
    /// and a part of a packet may be kept inside.
    ///
    /// # Errors
    /// No packets for [`MPEGTS_SYNC_BYTES_MAX`].
    pub(super) fn next<'a>(
        &'a mut self,
        input: &'a [u8],
    ) -> Result<(usize, Option<&'a [u8; PACKET_BYTES]>), Error> {
        let mut used = 0;
        let whole = loop {
            let rest = &input[used..];
            if self.synchronized && self.filled == 0 {
                match rest.first() {
                    None => break None,
                    Some(&SYNC_BYTE) => {
                        if let Some(packet) = rest.first_chunk::<PACKET_BYTES>() {
                            used += PACKET_BYTES;
                            break Some(packet);
                        }
                    }
                    Some(_) => {
                        self.synchronized = false;
                        self.losses += 1;
                    }
                }
            }
            if self.filled == PACKET_BYTES {
                match rest.first() {
                    _ if self.synchronized => {}
                    None => break None,
                    Some(&SYNC_BYTE) => self.synchronized = true,
                    Some(_) => {
                        self.drop_false_start();
                        continue;
                    }
                }
                self.filled = 0;
                self.skipped = 0;
                break Some(&self.partial);
            }
            if rest.is_empty() {
                break None;
            }
            used += self.fill(rest);
            if self.skipped > MPEGTS_SYNC_BYTES_MAX {
                return Err(Error::Invalid { what: "sync byte", offset: self.offset });
            }
        };
        self.offset += used as u64;
        Ok((used, whole))
    }

    /// Copies what a packet still lacks, after skipping what cannot be the start of one. Takes at least one byte.
    fn fill(&mut self, rest: &[u8]) -> usize {
        let mut skipped = 0;
        if self.filled == 0 {
            skipped = rest.iter().position(|&byte| byte == SYNC_BYTE).unwrap_or(rest.len());
            self.skipped += skipped;
        }
        let rest = &rest[skipped..];
        let taken = rest.len().min(PACKET_BYTES - self.filled);
        self.partial[self.filled..][..taken].copy_from_slice(&rest[..taken]);
        self.filled += taken;
        skipped + taken
    }

    /// What was kept is no packet: goes on at the next sync byte in it.
    fn drop_false_start(&mut self) {
        let next =
            self.partial[1..].iter().position(|&byte| byte == SYNC_BYTE).map_or(PACKET_BYTES, |at| at + 1);
        self.partial.copy_within(next.., 0);
        self.filled -= next;
        self.skipped += next;
    }
}

#[cfg(test)]
mod tests {
    use super::Splitter;
    use crate::limits::MPEGTS_SYNC_BYTES_MAX;
    use crate::mpegts::PACKET_BYTES;

    /// A packet without a second sync byte, told from others by `number`.
    fn packet(number: u8) -> Vec<u8> {
        let mut bytes = vec![number; PACKET_BYTES];
        bytes[0] = 0x47;
        bytes
    }

    /// Numbers of the packets found when the bytes come in pieces of `piece`.
    fn split(bytes: &[u8], piece: usize) -> (Vec<u8>, u64) {
        let mut splitter = Splitter::new();
        let mut found = Vec::new();
        for mut input in bytes.chunks(piece) {
            loop {
                let (used, packet) = splitter.next(input).expect("packets");
                match packet {
                    Some(packet) => found.push(packet[1]),
                    None => break,
                }
                input = &input[used..];
            }
        }
        (found, splitter.losses)
    }

    #[test]
    fn packets_are_found_in_any_pieces() {
        let bytes = [packet(1), packet(2), packet(3)].concat();
        for piece in 1..=bytes.len() {
            assert_eq!(split(&bytes, piece), (vec![1, 2, 3], 0), "pieces of {piece}");
        }
    }

    #[test]
    fn packets_are_found_again_after_damage() {
        let damage = [9, 0x47, 0, 0x47, 0x47, 9];
        let bytes = [&packet(1)[..], &packet(2)[7..], &packet(3), &damage, &packet(4), &packet(5)].concat();
        for piece in 1..=bytes.len() {
            let (found, losses) = split(&bytes, piece);
            assert!(found.starts_with(&[1]) && found.ends_with(&[4, 5]), "pieces of {piece}: {found:?}");
            assert!(losses >= 1);
        }
    }

    #[test]
    fn other_bytes_are_given_up_on() {
        let mut splitter = Splitter::new();
        assert!(splitter.next(&vec![0; MPEGTS_SYNC_BYTES_MAX + 1]).is_err());
    }
}
