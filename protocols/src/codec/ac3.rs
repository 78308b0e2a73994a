//! AC-3: the synchronization frame and the `dac3` record (ETSI TS 102 366, 4.3 and annex F).

use super::Error;
use super::bits::Bits;
use super::configuration::Ac3;

/// Samples of every frame.
pub const FRAME_SAMPLES: u32 = 1536;
const SYNC: u32 = 0x0B77;
/// kbit/s by half of `frmsizecod` (table 4.13).
const BIT_RATES: [usize; 19] =
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
/// By `fscod`.
const SAMPLE_RATES: [u32; 3] = [48_000, 44_100, 32_000];
/// By `acmod`.
const CHANNELS: [u16; 8] = [2, 1, 2, 3, 3, 4, 4, 5];
/// Above it the syntax is another one: E-AC-3 has 16.
const BSID_MAX: u8 = 8;

impl Ac3 {
    /// Reads a frame's beginning: the configuration, and the frame's bytes.
    ///
    /// # Errors
    /// Bytes that are no such frame, and E-AC-3.
    pub fn parse(frame: &[u8]) -> Result<(Ac3, usize), Error> {
        let invalid = Error::invalid("AC-3 frame");
        let bits = &mut Bits::new(frame);
        if bits.bits(16) != Some(SYNC) {
            return Err(invalid);
        }
        let read = |bits: &mut Bits<'_>, count| bits.bits(count).map(|value| value as u8).ok_or(invalid);
        bits.skip(16).ok_or(invalid)?; // crc1
        let (fscod, size, bsid, bsmod) = (read(bits, 2)?, read(bits, 6)?, read(bits, 5)?, read(bits, 3)?);
        if bsid > BSID_MAX {
            return Err(Error::unsupported("bit stream identification of AC-3"));
        }
        let acmod = read(bits, 3)?;
        let has_center_level = acmod & 1 == 1 && acmod != 1;
        let levels = [has_center_level, acmod & 4 != 0, acmod == 2].into_iter().filter(|has| *has).count();
        read(bits, 2 * levels as u32)?;
        let lfe = read(bits, 1)? == 1;
        let sample_rate = *SAMPLE_RATES.get(usize::from(fscod)).ok_or(invalid)?;
        let bit_rate_code = size / 2;
        let bit_rate = *BIT_RATES.get(usize::from(bit_rate_code)).ok_or(invalid)?;
        let bytes = match fscod {
            0 => bit_rate * 4,
            1 => (bit_rate * 320 / 147 + usize::from(size & 1)) * 2,
            _ => bit_rate * 6,
        };
        let channels = CHANNELS[usize::from(acmod)] + u16::from(lfe);
        Ok((Ac3 { sample_rate, channels, fscod, bsid, bsmod, acmod, lfe, bit_rate_code }, bytes))
    }

    /// The body of `dac3`.
    ///
    /// ```text
    /// |FS |  BSID   |BSMOD|ACMOD|L| BITRATE |  00000  |
    /// ```
    pub fn dac3(&self) -> [u8; 3] {
        let fields = [
            (self.fscod, 2),
            (self.bsid, 5),
            (self.bsmod, 3),
            (self.acmod, 3),
            (u8::from(self.lfe), 1),
            (self.bit_rate_code, 5),
            (0, 5),
        ];
        let [_, record @ ..] = fields
            .iter()
            .fold(0_u32, |record, (value, size)| record << size | u32::from(*value))
            .to_be_bytes();
        record
    }
}
