//! MPEG-1, MPEG-2 and MPEG-2.5 audio: the frame header (ISO/IEC 11172-3, 2.4.1.3; ISO/IEC 13818-3, 2.4.2.3).

use super::Error;
use super::configuration::MpegAudio;

/// kbit/s by `bitrate_index`, from 1: MPEG-1 layers I, II, III; MPEG-2 layer I; MPEG-2 layers II and III.
const BIT_RATES: [[usize; 14]; 5] = [
    [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];
/// Hz of MPEG-1; MPEG-2 has half of it, MPEG-2.5 a quarter.
const SAMPLE_RATES: [u32; 3] = [44_100, 48_000, 32_000];
const MONO: u8 = 3;

impl MpegAudio {
    /// Reads a frame's header: the configuration, the frame's bytes with the header, and its samples.
    ///
    /// ```text
    /// | FFE sync (11) |VER|LAY|C| BITRATE |RATE|P|-|MODE| …
    /// ```
    ///
    /// # Errors
    /// Bytes that are no header, and free format, whose frames do not say their length.
    pub fn parse(frame: &[u8]) -> Result<(MpegAudio, usize, u32), Error> {
        let invalid = Error::invalid("MPEG audio header");
        let &[first, second, third, fourth] = frame.first_chunk::<4>().ok_or(invalid)?;
        if first != 0xFF || second & 0xE0 != 0xE0 {
            return Err(invalid);
        }
        let divisor = match second >> 3 & 3 {
            3 => 1,
            2 => 2,
            0 => 4,
            _ => return Err(invalid),
        };
        let layer = 4 - (second >> 1 & 3);
        if layer == 4 {
            return Err(invalid);
        }
        let sample_rate = *SAMPLE_RATES.get(usize::from(third >> 2 & 3)).ok_or(invalid)? / divisor;
        let index =
            usize::from(third >> 4).checked_sub(1).ok_or(Error::unsupported("free format MPEG audio"))?;
        let table = match (divisor, layer) {
            (1, layer) => usize::from(layer) - 1,
            (_, 1) => 3,
            _ => 4,
        };
        let bit_rate = BIT_RATES[table].get(index).ok_or(invalid)? * 1000;
        let padding = usize::from(third >> 1 & 1);
        let samples = match (layer, divisor) {
            (1, _) => 384,
            (3, 2 | 4) => 576,
            _ => 1152,
        };
        let slot = if layer == 1 { 4 } else { 1 };
        let bytes = (samples / 8 / slot * bit_rate / sample_rate as usize + padding) * slot;
        let channels = if fourth >> 6 == MONO { 1 } else { 2 };
        Ok((MpegAudio { layer, sample_rate, channels }, bytes, samples as u32))
    }
}
