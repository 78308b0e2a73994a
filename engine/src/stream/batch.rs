//! Batches: the units that arrived together, in the form readers get them in.
//!
//! - RTP is stored interleaved (RFC 2326, section 10.12), one contiguous buffer, since that is what most readers are sent
//!   as it is: `$`, channel, length, packet, and so on. Track `n` has channels `2n` (RTP) and `2n + 1` (RTCP) for every
//!   reader. The datagram form is derived at most once, when the first UDP reader wants it.
//! - RTMP messages, FLV tags and MPEG-TS packets are stored as they go out, a "packet" being what may not be cut from
//!   what follows it: all that one unit became.
//! - Access units are stored as they are; nobody is sent them, other forms are made of them. A "packet" is one unit.
//!
//! All are immutable and shared by all shards and readers.

use super::Position;
use crate::limits;
use bytes::{BufMut, Bytes, BytesMut};
use headwater_protocols::unit::AccessUnit;
use std::sync::OnceLock;
use std::time::Instant;

/// Bytes before each packet in the interleaved form.
pub(crate) const INTERLEAVED_HEADER_BYTES: usize = 4;

/// Which of a reader's flows a packet belongs to: the interleaved channel, and the bit in a [`Mask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Channel(u8);

impl Channel {
    pub(crate) fn rtp(track: usize) -> Channel {
        Channel(track as u8 * 2)
    }

    pub(crate) fn rtcp(track: usize) -> Channel {
        Channel(track as u8 * 2 + 1)
    }

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    pub(crate) fn is_rtcp(self) -> bool {
        self.0 & 1 == 1
    }
}

/// A set of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Mask(u32);

impl Mask {
    pub(crate) fn with_track(self, track: usize) -> Mask {
        Mask(self.0 | 0b11 << (2 * track))
    }

    pub(crate) fn all() -> Mask {
        Mask(u32::MAX)
    }

    pub(crate) fn has_track(self, track: usize) -> bool {
        self.has(Channel::rtp(track))
    }

    pub(crate) fn has(self, channel: Channel) -> bool {
        self.0 >> channel.0 & 1 == 1
    }

    pub(crate) fn contains(self, other: Mask) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Where a packet lies in its batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PacketAt {
    /// In the batch's buffer; of the interleaved header where there is one.
    offset: u32,
    /// Of RTP without that header.
    len: u32,
    pub(crate) channel: Channel,
}

/// Units that arrived together.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Position of the first packet.
    pub(crate) first: Position,
    /// The newest random access point of the stream, this batch included.
    pub(crate) random_access: Option<Position>,
    pub(crate) published: Instant,
    bytes: Bytes,
    packets: Box<[PacketAt]>,
    channels: Mask,
    /// Length of the largest RTP packet.
    packet_bytes_largest: usize,
    datagrams: OnceLock<Datagrams>,
    /// With their tracks, where the form is units.
    units: Box<[(usize, AccessUnit)]>,
}

impl Batch {
    /// A batch of access units with their tracks.
    pub(crate) fn of_units(
        first: Position,
        random_access: Option<Position>,
        published: Instant,
        units: Vec<(usize, AccessUnit)>,
    ) -> Batch {
        let packet =
            |(track, _): &(usize, AccessUnit)| PacketAt { offset: 0, len: 0, channel: Channel::rtp(*track) };
        Batch {
            first,
            random_access,
            published,
            bytes: Bytes::new(),
            packets: units.iter().map(packet).collect(),
            channels: Mask::all(),
            packet_bytes_largest: 0,
            datagrams: OnceLock::new(),
            units: units.into_boxed_slice(),
        }
    }

    /// The units of a batch in that form, with their tracks.
    pub(crate) fn units(&self) -> &[(usize, AccessUnit)] {
        &self.units
    }

    /// Position after the last packet.
    pub(crate) fn end(&self) -> Position {
        self.first + self.packets.len() as u64
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) fn packets(&self) -> &[PacketAt] {
        &self.packets
    }

    /// The channels that occur.
    pub(crate) fn channels(&self) -> Mask {
        self.channels
    }

    /// Length of the largest RTP packet, without its interleaved header; 0 in other forms.
    pub(crate) fn packet_bytes_largest(&self) -> usize {
        self.packet_bytes_largest
    }

    /// Offset of packet `index` (with its interleaved header); the length of the buffer for the index after the last.
    pub(crate) fn offset(&self, index: usize) -> usize {
        self.packets.get(index).map_or(self.bytes.len(), |packet| packet.offset as usize)
    }

    /// Packet `index` without its interleaved header.
    pub(crate) fn packet(&self, index: usize) -> &[u8] {
        let at = self.packets[index];
        let start = at.offset as usize + INTERLEAVED_HEADER_BYTES;
        &self.bytes[start..start + at.len as usize]
    }

    /// The same as a slice of the batch that may be kept.
    pub(crate) fn packet_bytes(&self, index: usize) -> Bytes {
        let at = self.packets[index];
        let start = at.offset as usize + INTERLEAVED_HEADER_BYTES;
        self.bytes.slice(start..start + at.len as usize)
    }

    /// The packet that byte `offset` of the interleaved form lies in.
    pub(crate) fn packet_at(&self, offset: usize) -> usize {
        self.packets.partition_point(|packet| packet.offset as usize <= offset).saturating_sub(1)
    }

    /// The datagram form, made by whoever asks first.
    pub(crate) fn datagrams(&self) -> &Datagrams {
        self.datagrams.get_or_init(|| Datagrams::new(self))
    }

    /// What a log is charged for holding this batch.
    pub(crate) fn cost(&self) -> usize {
        let units: usize =
            self.units.iter().map(|(_, unit)| unit.bytes() + size_of::<(usize, AccessUnit)>()).sum();
        self.bytes.len() + self.packets.len() * size_of::<PacketAt>() + size_of::<Batch>() + units
    }
}

/// Datagrams of one channel and equal size (the last may be shorter), for one segmented send.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) channel: Channel,
    offset: u32,
    len: u32,
    /// Size of each datagram but the last; `None` for a single one.
    pub(crate) segment: Option<u16>,
}

/// A batch as runs of datagrams.
#[derive(Debug)]
pub(crate) struct Datagrams {
    bytes: Bytes,
    pub(crate) runs: Box<[Run]>,
}

impl Datagrams {
    fn new(batch: &Batch) -> Datagrams {
        let mut bytes = BytesMut::with_capacity(batch.bytes.len());
        let mut runs: Vec<Run> = Vec::new();
        let mut open = None;
        for channel in (0..u32::BITS as u8).map(Channel).filter(|channel| batch.channels.has(*channel)) {
            for index in 0..batch.packets.len() {
                if batch.packets[index].channel == channel {
                    let packet = batch.packet(index);
                    open = extend_run(&mut runs, open, channel, bytes.len(), packet.len());
                    bytes.extend_from_slice(packet);
                }
            }
        }
        Datagrams { bytes: bytes.freeze(), runs: runs.into_boxed_slice() }
    }

    pub(crate) fn bytes(&self, run: &Run) -> &[u8] {
        &self.bytes[run.offset as usize..(run.offset + run.len) as usize]
    }
}

/// Adds a packet to the open run if it fits there, else to a new one. Returns how many packets the run has when it
/// can take more.
fn extend_run(
    runs: &mut Vec<Run>,
    open: Option<usize>,
    channel: Channel,
    offset: usize,
    len: usize,
) -> Option<usize> {
    if let (Some(count), Some(run)) = (open, runs.last_mut())
        && run.channel == channel
    {
        let segment = run.segment.map_or(run.len as usize, usize::from);
        let fits = count < limits::SEGMENTS_PER_SEND_MAX
            && run.len as usize + len <= limits::SEGMENTED_BYTES_MAX
            && len <= segment;
        if fits {
            run.segment = Some(segment as u16);
            run.len += len as u32;
            return (len == segment).then_some(count + 1);
        }
    }
    runs.push(Run { channel, offset: offset as u32, len: len as u32, segment: None });
    Some(1)
}

/// Collects the packets of one turn.
#[derive(Default)]
pub(crate) struct BatchBuilder {
    bytes: BytesMut,
    packets: Vec<PacketAt>,
    channels: u32,
    packet_bytes_largest: usize,
}

impl BatchBuilder {
    pub(crate) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.packets.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= limits::BATCH_BYTES_MAX
    }

    /// Copies a packet of at most 65,535 bytes and gives the copy back, to be renumbered in place.
    pub(crate) fn push(&mut self, channel: Channel, packet: &[u8]) -> &mut [u8] {
        debug_assert!(packet.len() <= usize::from(u16::MAX));
        let offset = self.bytes.len();
        let len = packet.len() as u16;
        self.bytes.reserve(INTERLEAVED_HEADER_BYTES + packet.len());
        self.bytes.put_u8(b'$');
        self.bytes.put_u8(channel.0);
        self.bytes.put_u16(len);
        self.bytes.put_slice(packet);
        self.packets.push(PacketAt { offset: offset as u32, len: u32::from(len), channel });
        self.channels |= 1 << channel.0;
        self.packet_bytes_largest = self.packet_bytes_largest.max(packet.len());
        &mut self.bytes[offset + INTERLEAVED_HEADER_BYTES..]
    }

    /// Adds what `write` appends as one packet without interleaved header. What appends nothing is no packet.
    pub(crate) fn append(&mut self, channel: Channel, write: impl FnOnce(&mut BytesMut)) {
        let offset = self.bytes.len();
        write(&mut self.bytes);
        let len = self.bytes.len() - offset;
        if len > 0 {
            self.packets.push(PacketAt { offset: offset as u32, len: len as u32, channel });
            self.channels |= 1 << channel.0;
        }
    }

    /// Ends the batch. The next one starts with room for as much.
    pub(crate) fn finish(
        &mut self,
        first: Position,
        random_access: Option<Position>,
        published: Instant,
    ) -> Batch {
        let room = self.packets.len();
        Batch {
            first,
            random_access,
            published,
            bytes: self.bytes.split().freeze(),
            packets: std::mem::replace(&mut self.packets, Vec::with_capacity(room)).into_boxed_slice(),
            channels: Mask(std::mem::take(&mut self.channels)),
            packet_bytes_largest: std::mem::take(&mut self.packet_bytes_largest),
            datagrams: OnceLock::new(),
            units: Box::default(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Batch, BatchBuilder, Channel, Mask, Position};
    use std::time::Instant;

    /// A batch of packets with the given channels and lengths, each byte the packet's index.
    pub(crate) fn batch(
        first: Position,
        random_access: Option<Position>,
        packets: &[(Channel, usize)],
    ) -> Batch {
        let mut builder = BatchBuilder::default();
        for (index, (channel, len)) in packets.iter().enumerate() {
            builder.push(*channel, &vec![index as u8; *len]);
        }
        builder.finish(first, random_access, Instant::now())
    }

    #[test]
    fn the_interleaved_form_has_a_header_per_packet() {
        let batch = batch(7, None, &[(Channel::rtp(0), 3), (Channel::rtcp(1), 2)]);
        assert_eq!(&batch.bytes()[..], [b'$', 0, 0, 3, 0, 0, 0, b'$', 3, 0, 2, 1, 1]);
        assert_eq!(batch.end(), 9);
        assert_eq!([batch.offset(0), batch.offset(1), batch.offset(2)], [0, 7, 13]);
        assert_eq!(batch.packet(1), [1, 1]);
        let packets: Vec<usize> = [0, 6, 7, 12].iter().map(|offset| batch.packet_at(*offset)).collect();
        assert_eq!(packets, [0, 0, 1, 1]);
        assert!(Mask::default().with_track(0).with_track(1).contains(batch.channels()));
        assert!(!Mask::default().with_track(0).contains(batch.channels()));
    }

    #[test]
    fn runs_hold_equal_sizes_and_one_shorter_at_the_end() {
        let (video, audio) = (Channel::rtp(0), Channel::rtp(1));
        let sizes = [(video, 9), (video, 9), (audio, 4), (video, 5), (video, 5), (video, 6)];
        let batch = batch(0, None, &sizes);
        let datagrams = batch.datagrams();
        let runs: Vec<_> =
            datagrams.runs.iter().map(|run| (run.channel, run.segment, datagrams.bytes(run).len())).collect();
        // 9 9 5, then 5, then 6 (longer than the one before), then the audio.
        assert_eq!(runs, [(video, Some(9), 23), (video, None, 5), (video, None, 6), (audio, None, 4)]);
        assert_eq!(&datagrams.bytes(&datagrams.runs[0])[18..], [3; 5]);
    }

    #[test]
    fn a_run_stops_at_the_kernels_limits() {
        let many = batch(0, None, &[(Channel::rtp(0), 100); 130]);
        let counts: Vec<_> = many.datagrams().runs.iter().map(|run| run.len / 100).collect();
        assert_eq!(counts, [64, 64, 2]);
        let large = batch(0, None, &[(Channel::rtp(0), 30_000); 3]);
        let counts: Vec<_> = large.datagrams().runs.iter().map(|run| run.len / 30_000).collect();
        assert_eq!(counts, [2, 1]);
    }
}
