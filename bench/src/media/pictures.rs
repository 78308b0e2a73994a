//! Makes the pictures of one path: each second starts with a key picture (STAP-A of SPS, PPS and filler, then an
//! IDR slice in FU-A), the others are one slice in FU-A. The sequence number starts shortly before it wraps, so
//! that every run passes the wrap.

use super::{
    BLOCK_HEADER_BYTES, CHECKSUM_AT, FILLER_BYTES, Framing, MAGIC, NAL_FILLER, NAL_FU_A, NAL_IDR, NAL_SLICE,
    NAL_STAP_A, PAYLOAD_TYPE, PPS, RTP_HEADER_BYTES, SPS, Shape, block_checksum, filler, hash,
};

const CLOCK_RATE: u64 = 90_000;
const FIRST_SEQUENCE: u16 = u16::MAX - 500;

/// The pictures of one path, one at a time.
pub(crate) struct Pictures {
    shape: Shape,
    framing: Framing,
    path: u16,
    ssrc: u32,
    sequence: u16,
    picture: u32,
    filler: Vec<u8>,
    /// The current picture as it goes on the wire.
    bytes: Vec<u8>,
    /// Of each packet of `bytes`: where its block starts, where the packet ends, and the hash of its filler.
    blocks: Vec<Block>,
}

struct Block {
    start: usize,
    end: usize,
    filler_hash: u64,
}

impl Pictures {
    /// Starts a stream for `path`.
    pub(crate) fn new(path: u16, shape: Shape, framing: Framing) -> Pictures {
        Pictures {
            shape,
            framing,
            path,
            ssrc: 0x4857_0000 | u32::from(path),
            sequence: FIRST_SEQUENCE,
            picture: 0,
            filler: filler(path),
            bytes: Vec::with_capacity(shape.wire_bytes(framing)),
            blocks: Vec::with_capacity(shape.packets()),
        }
    }

    /// Makes the next picture, to be taken with [`Pictures::stamped`].
    pub(crate) fn prepare(&mut self) {
        self.bytes.clear();
        self.blocks.clear();
        let packets = self.shape.packets();
        let mut left = self.shape.picture_bytes;
        for index in 0..packets {
            let packet_bytes = left.min(self.shape.packet_bytes);
            left -= packet_bytes;
            self.packet(index, packets, packet_bytes);
        }
        self.picture = self.picture.wrapping_add(1);
    }

    /// The source's SSRC, the RTP timestamp of the next picture, and packets and payload bytes made so far: what a
    /// sender report says.
    pub(crate) fn sent(&self) -> (u32, u32, u32, u32) {
        let pictures = self.picture;
        let packets = pictures.wrapping_mul(self.shape.packets() as u32);
        let octets = pictures.wrapping_mul(self.shape.picture_bytes as u32);
        let headers = packets.wrapping_mul(RTP_HEADER_BYTES as u32);
        (self.ssrc, self.timestamp(), packets, octets.wrapping_sub(headers))
    }

    fn timestamp(&self) -> u32 {
        (u64::from(self.picture) * CLOCK_RATE / u64::from(self.shape.fps)) as u32
    }

    /// The prepared picture, saying that it was sent at `now_ns` since 1970.
    pub(crate) fn stamped(&mut self, now_ns: u64) -> &[u8] {
        for block in &self.blocks {
            let bytes = &mut self.bytes[block.start..block.end];
            bytes[CHECKSUM_AT - 8..CHECKSUM_AT].copy_from_slice(&now_ns.to_be_bytes());
            let checksum = block_checksum(&bytes[..CHECKSUM_AT], block.filler_hash);
            bytes[CHECKSUM_AT..BLOCK_HEADER_BYTES].copy_from_slice(&checksum.to_be_bytes());
        }
        &self.bytes
    }

    fn packet(&mut self, index: usize, packets: usize, packet_bytes: usize) {
        let start = self.bytes.len() + self.framing.prefix_bytes();
        if let Framing::Interleaved { channel } = self.framing {
            self.bytes.extend_from_slice(&[b'$', channel]);
            self.bytes.extend_from_slice(&(packet_bytes as u16).to_be_bytes());
        }
        let last = index + 1 == packets;
        self.bytes.extend_from_slice(&[0x80, PAYLOAD_TYPE | if last { 0x80 } else { 0 }]);
        self.bytes.extend_from_slice(&self.sequence.to_be_bytes());
        self.bytes.extend_from_slice(&self.timestamp().to_be_bytes());
        self.bytes.extend_from_slice(&self.ssrc.to_be_bytes());
        self.sequence = self.sequence.wrapping_add(1);
        debug_assert_eq!(self.bytes.len(), start + RTP_HEADER_BYTES);
        self.nal_header(index, packets, start + packet_bytes);
        self.block(index, packets, start + packet_bytes);
    }

    /// The RTP payload up to the block, for a packet that ends at `end`.
    fn nal_header(&mut self, index: usize, packets: usize, end: usize) {
        let key = self.picture.is_multiple_of(self.shape.fps);
        if key && index == 0 {
            self.bytes.push(0x60 | NAL_STAP_A);
            for parameter_set in [SPS, PPS] {
                self.bytes.extend_from_slice(&(parameter_set.len() as u16).to_be_bytes());
                self.bytes.extend_from_slice(parameter_set);
            }
            let filler_unit = end - self.bytes.len() - 2;
            self.bytes.extend_from_slice(&(filler_unit as u16).to_be_bytes());
            self.bytes.push(NAL_FILLER);
            return;
        }
        let unit = if key { NAL_IDR } else { NAL_SLICE };
        if packets == 1 {
            self.bytes.push(0x60 | unit);
            return;
        }
        let first = index == usize::from(key);
        let last = index + 1 == packets;
        let fragment = unit | if first { 0x80 } else { 0 } | if last && !first { 0x40 } else { 0 };
        self.bytes.extend_from_slice(&[0x60 | NAL_FU_A, fragment]);
    }

    fn block(&mut self, index: usize, packets: usize, end: usize) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&MAGIC.to_be_bytes());
        self.bytes.extend_from_slice(&self.path.to_be_bytes());
        self.bytes.extend_from_slice(&(index as u16).to_be_bytes());
        self.bytes.extend_from_slice(&(packets as u16).to_be_bytes());
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&self.picture.to_be_bytes());
        self.bytes.extend_from_slice(&[0; 8 + 4]);
        debug_assert_eq!(self.bytes.len(), start + BLOCK_HEADER_BYTES);
        let length = end - self.bytes.len();
        let from = (self.picture as usize * 131 + index * 977) % (FILLER_BYTES - length);
        let filler = &self.filler[from..from + length];
        self.bytes.extend_from_slice(filler);
        self.blocks.push(Block { start, end, filler_hash: hash(0, filler) });
    }
}
