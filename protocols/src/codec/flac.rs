//! FLAC: the STREAMINFO metadata block (RFC 9639, 8.2).

use super::Error;
use super::bits::Bits;
use super::configuration::Flac;
use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of the block without its header.
pub const STREAM_INFO_BYTES: usize = 34;

impl Flac {
    /// Reads a STREAMINFO block without its header; bytes behind it are left out.
    ///
    /// # Errors
    /// A block that ends too early, or names no sample rate.
    pub fn from_stream_info(block: &Bytes) -> Result<Flac, Error> {
        let invalid = Error::invalid("STREAMINFO");
        let bits = &mut Bits::new(block.get(10..STREAM_INFO_BYTES).ok_or(invalid)?);
        let sample_rate = bits.bits(20).filter(|rate| *rate > 0).ok_or(invalid)?;
        let channels = bits.bits(3).ok_or(invalid)? as u16 + 1;
        let bits_per_sample = bits.bits(5).ok_or(invalid)? as u8 + 1;
        let stream_info = block.slice(..STREAM_INFO_BYTES);
        Ok(Flac { stream_info, sample_rate, channels, bits: bits_per_sample })
    }

    /// Reads metadata blocks with their headers, STREAMINFO first (8.1), as `dfLa` and enhanced FLV have them.
    ///
    /// # Errors
    /// As [`Flac::from_stream_info`].
    pub fn from_metadata(blocks: &Bytes) -> Result<Flac, Error> {
        if blocks.len() < 4 || blocks[0] & 0x7F != 0 {
            return Err(Error::invalid("FLAC metadata"));
        }
        Flac::from_stream_info(&blocks.slice(4..))
    }

    /// The block with its header, marked as the last one.
    pub fn metadata(&self) -> Bytes {
        let mut block = BytesMut::with_capacity(4 + self.stream_info.len());
        block.put_slice(&[0x80, 0, 0, STREAM_INFO_BYTES as u8]);
        block.put_slice(&self.stream_info);
        block.freeze()
    }
}
