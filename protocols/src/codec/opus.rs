//! Opus: packets (RFC 6716, 3.1), the identification header (RFC 7845, 5.1) and the `dOps` record ("Encapsulation of
//! Opus in ISO Base Media File Format", 4.3.2).

use super::Error;
use super::configuration::Opus;
use bytes::{BufMut, Bytes, BytesMut};

/// The clock of every Opus track, in Hz.
pub const SAMPLE_RATE: u32 = 48_000;
/// Longest packet: 120 ms (RFC 6716, 3.2.5, R5).
const PACKET_SAMPLES_MAX: u32 = 5760;
const MAGIC: &[u8; 8] = b"OpusHead";
/// 80 ms, which is what a decoder needs to converge (RFC 7845, 4.2): what is assumed where nothing says it.
pub const PRE_SKIP_DEFAULT: u16 = 3840;

/// Samples of one packet at 48 kHz; `None` for a packet that breaks the format.
///
/// ```text
/// | config  |S| C |   the first byte: C 0 one frame, 1 and 2 two, 3 as many as the next byte's lower six bits say
/// ```
pub fn packet_samples(packet: &[u8]) -> Option<u32> {
    let first = *packet.first()?;
    let frame = match first >> 3 {
        config @ 0..=11 => [480, 960, 1920, 2880][usize::from(config & 3)],
        config @ 12..=15 => [480, 960][usize::from(config & 1)],
        config => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match first & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3F),
    };
    Some(frame * frames).filter(|samples| (1..=PACKET_SAMPLES_MAX).contains(samples))
}

/// Streams, coupled streams, and the channel mapping of family 1 (RFC 7845, 5.1.1.2) as encoders write it.
pub(super) fn mapping(channels: u16) -> (u8, u8, &'static [u8]) {
    match channels {
        1 => (1, 0, &[0]),
        3 => (2, 1, &[0, 2, 1]),
        4 => (2, 2, &[0, 1, 2, 3]),
        5 => (3, 2, &[0, 4, 1, 2, 3]),
        6 => (4, 2, &[0, 4, 1, 2, 3, 5]),
        7 => (4, 3, &[0, 4, 1, 2, 3, 5, 6]),
        8 => (5, 3, &[0, 6, 1, 2, 3, 4, 5, 7]),
        _ => (1, 1, &[0, 1]),
    }
}

impl Opus {
    /// Reads an identification header.
    ///
    /// # Errors
    /// Bytes that are none, no channels or more than eight, and mapping families other than 0 and 1.
    pub fn from_head(head: &Bytes) -> Result<Opus, Error> {
        let body = head.strip_prefix(MAGIC).and_then(|body| body.first_chunk::<11>());
        let &[version, channels, low, high, .., family] = body.ok_or(Error::invalid("OpusHead"))?;
        if version & 0xF0 != 0 || family > 1 || channels > 8 {
            return Err(Error::unsupported("version or channel mapping of OpusHead"));
        }
        if channels == 0 || family == 0 && channels > 2 {
            return Err(Error::invalid("channels of OpusHead"));
        }
        Ok(Opus { channels: channels.into(), pre_skip: u16::from_le_bytes([low, high]) })
    }

    /// The identification header; integers are little-endian.
    pub fn head(&self) -> Bytes {
        let mut head = BytesMut::with_capacity(32);
        head.put_slice(MAGIC);
        head.put_slice(&[1, self.channels_byte()]);
        head.put_u16_le(self.pre_skip);
        head.put_u32_le(SAMPLE_RATE);
        head.put_u16_le(0); // output gain
        self.put_mapping(&mut head);
        head.freeze()
    }

    /// The body of `dOps`; integers are big-endian.
    pub fn dops(&self) -> Bytes {
        let mut record = BytesMut::with_capacity(24);
        record.put_slice(&[0, self.channels_byte()]);
        record.put_u16(self.pre_skip);
        record.put_u32(SAMPLE_RATE);
        record.put_u16(0);
        self.put_mapping(&mut record);
        record.freeze()
    }

    fn channels_byte(&self) -> u8 {
        self.channels.clamp(1, 8) as u8
    }

    fn put_mapping(&self, out: &mut BytesMut) {
        if self.channels <= 2 {
            out.put_u8(0);
            return;
        }
        let (streams, coupled, mapping) = mapping(self.channels_byte().into());
        out.put_slice(&[1, streams, coupled]);
        out.put_slice(mapping);
    }
}
