//! AAC as LATM in LOAS (ISO/IEC 14496-3, 1.7), written for what ADTS cannot say: every element has its configuration.
//!
//! ```text
//! | sync 0x2B7 (11) | length (13) | 0 | StreamMuxConfig, version 1 | block length: 255 … < 255 | block | padding to a byte
//! ```
//!
//! Version 1 tells how long the AudioSpecificConfig is, so that it can be written as it came. Reading is in
//! [`crate::codec::latm`].

use crate::codec::configuration::Aac;

/// Up to and with the length.
const HEADER_BYTES: usize = 3;
/// The longest raw data block that ADTS and LOAS hold with their headers, whose lengths have 13 bits. Decoders allow
/// no more than 768 bytes per channel (ISO/IEC 14496-3, 4.5.3.1).
pub(super) const BLOCK_BYTES_MAX: usize = 8000;

/// Bits from the most significant one of each byte, appended to whole bytes.
struct Bits<'a> {
    out: &'a mut Vec<u8>,
    /// Bits of the last byte that are not written yet.
    free: u32,
}

impl Bits<'_> {
    /// The lower `count` bits of `value`, at most 8.
    fn put(&mut self, value: u8, count: u32) {
        let mut left = count;
        while left > 0 {
            if self.free == 0 {
                self.out.push(0);
                self.free = 8;
            }
            let taken = left.min(self.free);
            let bits = u32::from(value) >> (left - taken) & ((1 << taken) - 1);
            if let Some(last) = self.out.last_mut() {
                *last |= (bits << (self.free - taken)) as u8;
            }
            self.free -= taken;
            left -= taken;
        }
    }

    fn put_all(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.put(*byte, 8));
    }
}

/// Appends the LOAS element of one raw data block; `out` comes empty. `None`, when block or configuration is too long.
pub(super) fn write(aac: &Aac, block: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let config_bits = u8::try_from(aac.specific_config.len() * 8).ok()?;
    if block.len() > BLOCK_BYTES_MAX {
        return None;
    }
    out.reserve(block.len() + block.len() / 255 + 64);
    out.extend([0; HEADER_BYTES]);
    let mut bits = Bits { out, free: 0 };
    bits.put(0b010, 3); // a configuration follows; audioMuxVersion 1, audioMuxVersionA 0
    bits.put(0, 2); // taraBufferFullness of one byte: any
    bits.put(0xFF, 8);
    bits.put(1, 1); // allStreamsSameTimeFraming
    bits.put(0, 6); // one block
    bits.put(0, 4 + 3); // one program, one layer
    bits.put(0, 2);
    bits.put(config_bits, 8);
    bits.put_all(&aac.specific_config);
    bits.put(0, 3); // lengths are told
    bits.put(0xFF, 8); // latmBufferFullness: variable rate
    bits.put(0, 2); // no other data, no checksum
    (0..block.len() / 255).for_each(|_| bits.put(0xFF, 8));
    bits.put((block.len() % 255) as u8, 8);
    bits.put_all(block);
    let length = u16::try_from(out.len() - HEADER_BYTES).ok().filter(|length| *length < 1 << 13)?;
    let [high, low] = length.to_be_bytes();
    out[..HEADER_BYTES].copy_from_slice(&[0x56, 0xE0 | high, low]);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::write;
    use crate::codec::configuration::Aac;
    use crate::codec::latm;
    use bytes::Bytes;

    #[test]
    fn elements_are_read_as_written() {
        let aac = Aac::new(2, 37_800, 2);
        for length in [1, 254, 255, 256, 1000] {
            let block = (0..length).map(|at| at as u8).collect::<Vec<_>>();
            let mut element = Vec::new();
            write(&aac, &block, &mut element).expect("an element");
            let mut elements = latm::loas_elements(element.into());
            let element = elements.next().expect("one").expect("an element");
            let mut config = None;
            let blocks = latm::audio_mux_element(&element, &mut config, true).expect("blocks");
            assert_eq!(
                (&blocks[..], config.expect("a configuration").aac),
                (&[Bytes::from(block)][..], aac.clone())
            );
            assert!(elements.next().is_none());
        }
        assert!(write(&aac, &[0; 8001], &mut Vec::new()).is_none());
    }
}
