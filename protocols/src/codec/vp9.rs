//! VP9: the uncompressed header (VP9 specification, 6.2) and the `vpcC` record ("VP Codec ISO Media File Format
//! Binding", 2.2).

use super::Error;
use super::bits::Bits;
use super::configuration::{Picture, Vp9};
use bytes::Bytes;

const SYNC_CODE: u32 = 0x49_83_42;
const CS_RGB: u32 = 7;
/// Levels of 10 times their number, and the largest picture of each in luma samples (VP9, annex A).
const LEVELS: [(u8, u64); 14] = [
    (10, 36_864),
    (11, 73_728),
    (20, 122_880),
    (21, 245_760),
    (30, 552_960),
    (31, 983_040),
    (40, 2_228_224),
    (41, 2_228_224),
    (50, 8_912_896),
    (51, 8_912_896),
    (52, 8_912_896),
    (60, 35_651_584),
    (61, 35_651_584),
    (62, 35_651_584),
];

impl Vp9 {
    /// Reads the beginning of a key frame; `None` for all others. Of a superframe the first frame counts.
    pub fn parse(frame: &[u8]) -> Option<Vp9> {
        let bits = &mut Bits::new(frame);
        if bits.bits(2)? != 2 {
            return None;
        }
        let profile = (bits.bits(1)? | bits.bits(1)? << 1) as u8;
        if profile == 3 {
            bits.flag()?;
        }
        let (existing, other) = (bits.flag()?, bits.flag()?);
        if existing || other {
            return None;
        }
        bits.skip(2)?; // show_frame, error_resilient_mode
        if bits.bits(24)? != SYNC_CODE {
            return None;
        }
        let bit_depth = match profile {
            0 | 1 => 8,
            _ if bits.flag()? => 12,
            _ => 10,
        };
        let (full_range, chroma_subsampling) = if bits.bits(3)? == CS_RGB {
            if profile & 1 == 1 {
                bits.flag()?;
            }
            (true, 3)
        } else {
            let full_range = bits.flag()?;
            let subsampling = if profile & 1 == 1 { bits.bits(3)? >> 1 } else { 0b11 };
            // 4:4:0 has no value of its own in `vpcC`.
            (full_range, [3, 3, 2, 1][subsampling as usize])
        };
        let picture = Picture { width: bits.bits(16)? + 1, height: bits.bits(16)? + 1 };
        Some(Vp9 { profile, bit_depth, chroma_subsampling, full_range, picture })
    }

    /// Reads `vpcC` after its version and flags; the record knows no picture size.
    ///
    /// ```text
    /// |    profile    |     level     | DEPTH | CHROM |R| primaries | transfer | matrix | initialization size (16) |
    /// ```
    ///
    /// # Errors
    /// A record that ends too early, or with fields that do not exist.
    pub fn from_vpcc(record: &Bytes) -> Result<Vp9, Error> {
        let invalid = Error::invalid("vpcC record");
        let &[profile, _, depths, ..] = record.first_chunk::<8>().ok_or(invalid)?;
        let (bit_depth, chroma_subsampling) = (depths >> 4, depths >> 1 & 7);
        if profile > 3 || !matches!(bit_depth, 8 | 10 | 12) || chroma_subsampling > 3 {
            return Err(invalid);
        }
        let full_range = depths & 1 == 1;
        Ok(Vp9 { profile, bit_depth, chroma_subsampling, full_range, picture: Picture::default() })
    }

    /// `vpcC` after its version and flags, with colours unspecified.
    pub fn vpcc(&self) -> Bytes {
        let depths = self.bit_depth << 4 | self.chroma_subsampling << 1 | u8::from(self.full_range);
        Bytes::copy_from_slice(&[self.profile, self.level(), depths, 2, 2, 2, 0, 0])
    }

    /// Ten times the lowest level with pictures of this size; the stream does not say its own.
    pub fn level(&self) -> u8 {
        let samples = u64::from(self.picture.width) * u64::from(self.picture.height);
        LEVELS.iter().find(|(_, largest)| samples <= *largest).map_or(62, |(level, _)| *level)
    }

    /// `vp09.00.40.08` (the same binding, 6.2).
    pub(super) fn codec_string(&self) -> String {
        format!("vp09.{:02}.{:02}.{:02}", self.profile, self.level(), self.bit_depth)
    }
}
