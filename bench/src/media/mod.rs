//! What the harness publishes and how it recognises it: H264 pictures in RTP packets (RFC 6184) of equal size
//! but the last, whose NAL units carry a checkable block in place of coded pixels.
//!
//! The reading side is written for itself, without the `protocols` crate: a harness does not trust the code it
//! measures.
//!
//! [`units`] are the same stream as RTMP carries it, for the protocols that are made of access units.
//!
//! The block, big endian, at the end of each packet:
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------------------------------------------------------+
//! |                        magic  "HWB1"                          |
//! +-------------------------------+-------------------------------+
//! |             path              |       packet in picture       |
//! +-------------------------------+-------------------------------+
//! |      packets in picture       |           reserved            |
//! +-------------------------------+-------------------------------+
//! |                           picture                             |
//! +---------------------------------------------------------------+
//! |            sent at, CLOCK_REALTIME ns (64 bits)               |
//! |                                                               |
//! +---------------------------------------------------------------+
//! |           checksum of all of the block but itself             |
//! +---------------------------------------------------------------+
//! |                          filler ...                           |
//! ```

pub(crate) mod check;
pub(crate) mod pace;
pub(crate) mod pictures;
pub(crate) mod units;

use std::time::{Duration, Instant};

use self::pace::{Pace, Rate};
use self::units::{Track, UnitShape};
use crate::limits;

pub(crate) const MAGIC: u32 = u32::from_be_bytes(*b"HWB1");
/// Bytes of the block before its filler.
pub(crate) const BLOCK_HEADER_BYTES: usize = 28;
/// Where in the block the checksum is.
pub(crate) const CHECKSUM_AT: usize = 24;
pub(crate) const RTP_HEADER_BYTES: usize = 12;
pub(crate) const PAYLOAD_TYPE: u8 = 96;

pub(crate) const NAL_SLICE: u8 = 1;
pub(crate) const NAL_IDR: u8 = 5;
pub(crate) const NAL_FILLER: u8 = 12;
pub(crate) const NAL_STAP_A: u8 = 24;
pub(crate) const NAL_FU_A: u8 = 28;

/// 1920×1080, constrained baseline, level 4.0.
pub(crate) const SPS: &[u8] = &[
    0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00,
    0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc9, 0x20,
];
pub(crate) const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];

/// What is announced for each path.
pub(crate) const SDP: &str = "v=0\r\n\
    o=- 0 0 IN IP4 127.0.0.1\r\n\
    s=headwater-bench\r\n\
    c=IN IP4 0.0.0.0\r\n\
    t=0 0\r\n\
    m=video 0 RTP/AVP 96\r\n\
    a=rtpmap:96 H264/90000\r\n\
    a=fmtp:96 packetization-mode=1; profile-level-id=42C028; sprop-parameter-sets=Z0LAKNkAeAIn5YQAAAMABAAAAwDwPGDJIA==,aM48gA==\r\n\
    a=control:trackID=0\r\n";

/// Sizes and rate of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Bytes of each picture, RTP headers included.
    pub(crate) picture_bytes: usize,
    /// Bytes of each RTP packet but the last of a picture.
    pub(crate) packet_bytes: usize,
    pub(crate) fps: u32,
}

/// How packets lie behind each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Back to back, for a segmented UDP send.
    Datagrams,
    /// Each behind `$`, channel and length (RFC 2326, section 10.12).
    Interleaved { channel: u8 },
}

impl Framing {
    /// Bytes before each packet.
    pub(crate) fn prefix_bytes(self) -> usize {
        match self {
            Framing::Datagrams => 0,
            Framing::Interleaved { .. } => 4,
        }
    }
}

impl Shape {
    /// The smallest last packet: the headers and one byte of filler.
    const LAST_PACKET_BYTES_MIN: usize = RTP_HEADER_BYTES + 2 + BLOCK_HEADER_BYTES + 1;

    /// A stream of `bits_per_second`. The picture size is rounded down to bytes, and up where its last packet
    /// would be too small for its headers.
    ///
    /// # Errors
    /// What does not fit together, in words.
    pub(crate) fn new(bits_per_second: u64, fps: u32, packet_bytes: usize) -> Result<Shape, String> {
        if !(limits::PACKET_BYTES_MIN..=limits::PACKET_BYTES_MAX).contains(&packet_bytes) {
            let (min, max) = (limits::PACKET_BYTES_MIN, limits::PACKET_BYTES_MAX);
            return Err(format!("--packet-bytes must be {min} to {max}, not {packet_bytes}"));
        }
        if !(1..=1_000).contains(&fps) {
            return Err(format!("--fps must be 1 to 1000, not {fps}"));
        }
        let bytes =
            usize::try_from(bits_per_second / 8 / u64::from(fps)).map_err(|error| error.to_string())?;
        let last = bytes % packet_bytes;
        let missing = if last == 0 { 0 } else { Self::LAST_PACKET_BYTES_MIN.saturating_sub(last) };
        let picture_bytes = (bytes + missing).max(packet_bytes);
        if picture_bytes.div_ceil(packet_bytes) > usize::from(u16::MAX) {
            return Err(format!("a picture of {picture_bytes} bytes has too many packets"));
        }
        Ok(Shape { picture_bytes, packet_bytes, fps })
    }

    /// Packets of each picture.
    pub(crate) fn packets(self) -> usize {
        self.picture_bytes.div_ceil(self.packet_bytes)
    }

    /// Bytes of each picture on the wire, above TCP or UDP.
    pub(crate) fn wire_bytes(self, framing: Framing) -> usize {
        self.picture_bytes + self.packets() * framing.prefix_bytes()
    }
}

/// Bytes of which slices fill up what is sent; more than any picture takes of them.
const FILLER_BYTES: usize = 1 << 16;

/// Filler of `path`, without a zero, so that no server takes a part of it for a start code.
fn filler(path: u16) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64 ^ u64::from(path);
    let mut filler = Vec::with_capacity(FILLER_BYTES);
    while filler.len() < FILLER_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        filler.extend(state.to_le_bytes().map(|byte| byte | 1));
    }
    filler
}

/// What is published on each path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    Pictures(Shape),
    Units(UnitShape),
}

impl Media {
    /// The schedules of its tracks, from `start` on.
    pub(crate) fn paces(self, start: Instant, paths: u32) -> Vec<(Track, Pace)> {
        match self {
            Media::Pictures(shape) => {
                vec![(Track::Video, Pace::new(start, Rate::per_second(shape.fps), paths))]
            }
            Media::Units(shape) => {
                let rates = Track::ALL.into_iter().filter_map(|track| Some((track, shape.track(track)?.0)));
                rates.map(|(track, rate)| (track, Pace::new(start, rate, paths))).collect()
            }
        }
    }

    /// Bytes of one path that come in `time`: pictures as they are framed for readers, units without any framing.
    pub(crate) fn bytes_in(self, time: Duration, framing: Option<Framing>) -> u64 {
        match self {
            Media::Pictures(shape) => {
                let wire = shape.wire_bytes(framing.unwrap_or(Framing::Datagrams));
                Rate::per_second(shape.fps).within(time) * wire as u64
            }
            Media::Units(shape) => {
                let tracks = Track::ALL.into_iter().filter_map(|track| shape.track(track));
                tracks.map(|(rate, bytes)| rate.within(time) * bytes as u64).sum()
            }
        }
    }
}

/// A 64 bit checksum in which each step can be undone, so that any change of one word changes the result.
pub(crate) fn hash(seed: u64, bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut words = bytes.chunks_exact(8);
    let mut sum = seed ^ bytes.len() as u64;
    for word in &mut words {
        let word = u64::from_le_bytes(word.try_into().expect("chunks of eight"));
        sum = (sum.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    }
    for &byte in words.remainder() {
        sum = (sum.rotate_left(23) ^ u64::from(byte)).wrapping_mul(FACTOR);
    }
    sum
}

/// The block's checksum: of its header fields before the checksum, and of `filler` (by its [`hash`]).
pub(crate) fn block_checksum(header: &[u8], filler_hash: u64) -> u32 {
    let sum = hash(filler_hash, header);
    ((sum >> 32) ^ sum) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_a_frame_time_of_the_bit_rate() {
        let shape = Shape::new(2_000_000, 30, 1_200).expect("fits");
        assert_eq!((shape.picture_bytes, shape.packets()), (8_333, 7));
        assert_eq!(shape.wire_bytes(Framing::Interleaved { channel: 0 }), 8_333 + 28);
        assert_eq!(shape.wire_bytes(Framing::Datagrams), 8_333);
    }

    #[test]
    fn a_last_packet_too_small_for_its_headers_grows() {
        let shape = Shape::new(1_210 * 8 * 25, 25, 1_200).expect("fits");
        assert_eq!((shape.picture_bytes, shape.packets()), (1_243, 2));
        let whole = Shape::new(2_400 * 8 * 25, 25, 1_200).expect("fits");
        assert_eq!((whole.picture_bytes, whole.packets()), (2_400, 2));
    }

    #[test]
    fn sizes_that_cannot_be_sent_are_refused() {
        assert!(Shape::new(2_000_000, 30, 9_000).is_err());
        assert!(Shape::new(2_000_000, 0, 1_200).is_err());
        assert!(Shape::new(2_000_000, 30, 40).is_err());
    }
}
