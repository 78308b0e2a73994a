//! Sender and receiver reports (RFC 3550, sections 6.4.1 and 6.4.2).

use std::ops::Deref;

use bytes::{BufMut, BytesMut};
use smallvec::SmallVec;

use super::{Ntp, header, packet_type, word};
use crate::rtp::Ticks;

const BLOCK_BYTES: usize = 24;
/// What the 5-bit report count can say.
const BLOCKS_MAX: usize = 31;

/// What a sender says of its stream, and of the streams it receives.
///
/// ```text
/// |                        SSRC of sender                         |
/// |              NTP timestamp, most significant word             |
/// |             NTP timestamp, least significant word             |
/// |                         RTP timestamp                         |
/// |                     sender's packet count                     |
/// |                      sender's octet count                     |
/// |                      report blocks, 0 to 31                   |
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderReport {
    pub ssrc: u32,
    /// Wall clock of the sender at `rtp`.
    pub ntp: Ntp,
    pub rtp: Ticks,
    /// Packets sent, modulo 2^32.
    pub packets: u32,
    /// Payload octets sent, modulo 2^32.
    pub octets: u32,
    pub reports: ReportBlocks,
}

/// What a receiver says of the streams it receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverReport {
    pub ssrc: u32,
    pub reports: ReportBlocks,
}

/// Reception of one source.
///
/// ```text
/// |                             SSRC                              |
/// | fraction lost |       cumulative number of packets lost       |
/// |           extended highest sequence number received           |
/// |                      interarrival jitter                      |
/// |                         last SR (LSR)                         |
/// |                   delay since last SR (DLSR)                  |
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source reported on.
    pub ssrc: u32,
    /// Of the packets expected since the previous report, in 1/256.
    pub fraction_lost: u8,
    /// −8,388,608 to 8,388,607; negative when duplicates came. Writing clamps.
    pub cumulative_lost: i32,
    /// Sequence number in the low half, wraps in the high half.
    pub highest_sequence: u32,
    /// In ticks.
    pub jitter: u32,
    /// [`Ntp::middle32`] of the last sender report; 0 for none.
    pub last_sr: u32,
    /// In 1/65,536 s.
    pub delay_since_last_sr: u32,
}

/// At most 31 report blocks; the first lies inline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportBlocks(SmallVec<[ReportBlock; 1]>);

impl ReportBlocks {
    pub fn new() -> ReportBlocks {
        ReportBlocks::default()
    }

    /// Adds a block. False when there are 31 already: the next report carries it.
    #[must_use]
    pub fn push(&mut self, block: ReportBlock) -> bool {
        let fits = self.0.len() < BLOCKS_MAX;
        if fits {
            self.0.push(block);
        }
        fits
    }

    fn read(count: u8, bytes: &[u8]) -> Option<ReportBlocks> {
        let bytes = bytes.get(..usize::from(count) * BLOCK_BYTES)?;
        bytes.chunks_exact(BLOCK_BYTES).map(ReportBlock::read).collect::<Option<_>>().map(ReportBlocks)
    }

    fn write(&self, out: &mut BytesMut) {
        self.0.iter().for_each(|block| block.write(out));
    }

    fn count(&self) -> u8 {
        u8::try_from(self.0.len()).expect("at most 31")
    }

    fn bytes(&self) -> usize {
        self.0.len() * BLOCK_BYTES
    }
}

impl Deref for ReportBlocks {
    type Target = [ReportBlock];

    fn deref(&self) -> &[ReportBlock] {
        &self.0
    }
}

impl FromIterator<ReportBlock> for ReportBlocks {
    /// Takes the first 31 blocks.
    fn from_iter<I: IntoIterator<Item = ReportBlock>>(blocks: I) -> ReportBlocks {
        ReportBlocks(blocks.into_iter().take(BLOCKS_MAX).collect())
    }
}

impl ReportBlock {
    fn read(bytes: &[u8]) -> Option<ReportBlock> {
        let loss = word(bytes, 4)?;
        Some(ReportBlock {
            ssrc: word(bytes, 0)?,
            fraction_lost: bytes[4],
            // Shifted up and back down, the sign of the 24-bit number spreads.
            cumulative_lost: (loss << 8).cast_signed() >> 8,
            highest_sequence: word(bytes, 8)?,
            jitter: word(bytes, 12)?,
            last_sr: word(bytes, 16)?,
            delay_since_last_sr: word(bytes, 20)?,
        })
    }

    fn write(&self, out: &mut BytesMut) {
        let cumulative = self.cumulative_lost.clamp(-0x80_0000, 0x7F_FFFF).cast_unsigned() & 0xFF_FFFF;
        out.put_u32(self.ssrc);
        out.put_u32(u32::from(self.fraction_lost) << 24 | cumulative);
        out.put_u32(self.highest_sequence);
        out.put_u32(self.jitter);
        out.put_u32(self.last_sr);
        out.put_u32(self.delay_since_last_sr);
    }
}

impl SenderReport {
    /// The sender's part, in bytes, without the first word.
    const INFO_BYTES: usize = 24;

    pub(super) fn read(count: u8, body: &[u8]) -> Option<SenderReport> {
        Some(SenderReport {
            ssrc: word(body, 0)?,
            ntp: Ntp(u64::from(word(body, 4)?) << 32 | u64::from(word(body, 8)?)),
            rtp: Ticks(word(body, 12)?),
            packets: word(body, 16)?,
            octets: word(body, 20)?,
            reports: ReportBlocks::read(count, &body[Self::INFO_BYTES..])?,
        })
    }

    /// Appends the packet to `out`.
    pub fn write(&self, out: &mut BytesMut) {
        let body_bytes = Self::INFO_BYTES + self.reports.bytes();
        out.put_slice(&header(self.reports.count(), packet_type::SENDER_REPORT, body_bytes));
        out.put_u32(self.ssrc);
        out.put_u64(self.ntp.0);
        out.put_u32(self.rtp.0);
        out.put_u32(self.packets);
        out.put_u32(self.octets);
        self.reports.write(out);
    }
}

impl ReceiverReport {
    pub(super) fn read(count: u8, body: &[u8]) -> Option<ReceiverReport> {
        Some(ReceiverReport { ssrc: word(body, 0)?, reports: ReportBlocks::read(count, &body[4..])? })
    }

    /// Appends the packet to `out`.
    pub fn write(&self, out: &mut BytesMut) {
        out.put_slice(&header(self.reports.count(), packet_type::RECEIVER_REPORT, 4 + self.reports.bytes()));
        out.put_u32(self.ssrc);
        self.reports.write(out);
    }
}
