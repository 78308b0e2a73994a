//! AV1: the sequence header (AV1 specification, 5.5), key frames (5.9.2), and the `av1C` record ("AV1 Codec ISO Media
//! File Format Binding", 2.3).

use super::bits::Bits;
use super::configuration::{Av1, Picture};
use super::{Error, obu};
use crate::unit::Parts;
use bytes::{BufMut, Bytes, BytesMut};

/// `color_primaries`, `transfer_characteristics` and `matrix_coefficients` that together mean sRGB, which is 4:4:4.
const SRGB: [u32; 3] = [1, 13, 0];

/// What a sequence header says; of several operating points the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SequenceHeader {
    pub profile: u8,
    /// `seq_level_idx`.
    pub level: u8,
    pub tier: bool,
    /// 8, 10 or 12.
    pub bit_depth: u8,
    pub monochrome: bool,
    pub subsampling_x: bool,
    pub subsampling_y: bool,
    pub chroma_sample_position: u8,
    /// The largest of the sequence.
    pub picture: Picture,
    reduced: bool,
}

impl SequenceHeader {
    /// Reads an OBU without size field; `None` where it is no sequence header, or ends too early.
    pub fn parse(obu: &[u8]) -> Option<SequenceHeader> {
        if obu::kind(obu)? != obu::SEQUENCE_HEADER {
            return None;
        }
        let bits = &mut Bits::new(obu::payload(obu));
        let mut header = SequenceHeader { profile: bits.bits(3)? as u8, ..SequenceHeader::default() };
        bits.flag()?; // still_picture
        header.reduced = bits.flag()?;
        if header.reduced {
            header.level = bits.bits(5)? as u8;
        } else {
            (header.level, header.tier) = operating_points(bits)?;
        }
        let (width_bits, height_bits) = (bits.bits(4)? + 1, bits.bits(4)? + 1);
        header.picture = Picture { width: bits.bits(width_bits)? + 1, height: bits.bits(height_bits)? + 1 };
        if !header.reduced && bits.flag()? {
            bits.skip(4 + 3)?; // delta_frame_id_length_minus_2, additional_frame_id_length_minus_1
        }
        bits.skip(3)?; // use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
        if !header.reduced {
            skip_tools(bits)?;
        }
        bits.skip(3)?; // enable_superres, enable_cdef, enable_restoration
        header.color(bits)?;
        Some(header)
    }

    /// 5.5.2.
    fn color(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        let high = bits.flag()?;
        let twelve = self.profile == 2 && high && bits.flag()?;
        self.bit_depth = if twelve { 12 } else { 8 + 2 * u8::from(high) };
        self.monochrome = self.profile != 1 && bits.flag()?;
        let described = if bits.flag()? { [bits.bits(8)?, bits.bits(8)?, bits.bits(8)?] } else { [2; 3] };
        if self.monochrome {
            bits.flag()?; // color_range
            (self.subsampling_x, self.subsampling_y) = (true, true);
            return Some(());
        }
        if described == SRGB {
            return Some(());
        }
        bits.flag()?; // color_range
        (self.subsampling_x, self.subsampling_y) = match self.profile {
            0 => (true, true),
            1 => (false, false),
            _ if self.bit_depth == 12 => {
                let across = bits.flag()?;
                (across, across && bits.flag()?)
            }
            _ => (true, false),
        };
        if self.subsampling_x && self.subsampling_y {
            self.chroma_sample_position = bits.bits(2)? as u8;
        }
        Some(())
    }
}

/// Level and tier of the first operating point; all are stepped over.
fn operating_points(bits: &mut Bits<'_>) -> Option<(u8, bool)> {
    let mut delay_bits = None;
    if bits.flag()? {
        bits.skip(32 + 32)?; // num_units_in_display_tick, time_scale
        if bits.flag()? {
            bits.unsigned()?; // num_ticks_per_picture_minus_1
        }
        if bits.flag()? {
            delay_bits = Some(bits.bits(5)? + 1);
            bits.skip(32 + 5 + 5)?;
        }
    }
    let display_delay = bits.flag()?;
    let mut first = None;
    for _ in 0..=bits.bits(5)? {
        bits.skip(12)?; // operating_point_idc
        let level = bits.bits(5)? as u8;
        let tier = level > 7 && bits.flag()?;
        if let Some(delay_bits) = delay_bits
            && bits.flag()?
        {
            bits.skip(delay_bits * 2 + 1)?;
        }
        if display_delay && bits.flag()? {
            bits.skip(4)?;
        }
        first = first.or(Some((level, tier)));
    }
    first
}

/// From `enable_interintra_compound` to `order_hint_bits_minus_1`.
fn skip_tools(bits: &mut Bits<'_>) -> Option<()> {
    bits.skip(4)?;
    let order_hint = bits.flag()?;
    if order_hint {
        bits.skip(2)?; // enable_jnt_comp, enable_ref_frame_mvs
    }
    let screen_content = bits.flag()? || bits.flag()?;
    // seq_choose_integer_mv, and seq_force_integer_mv where it is not chosen per frame.
    if screen_content && !bits.flag()? {
        bits.flag()?;
    }
    if order_hint {
        bits.skip(3)?;
    }
    Some(())
}

/// Whether decoding can start at a temporal unit: its first frame is a key frame that is shown. The sequence header may
/// have come earlier.
pub fn is_random_access(parts: &Parts) -> bool {
    let is_frame = |part: &&Bytes| matches!(obu::kind(part), Some(obu::FRAME | obu::FRAME_HEADER));
    let header = parts.iter().find(|part| obu::kind(part) == Some(obu::SEQUENCE_HEADER));
    if header.and_then(|part| SequenceHeader::parse(part)).is_some_and(|header| header.reduced) {
        return true;
    }
    // show_existing_frame 0, frame_type KEY_FRAME (0), show_frame 1.
    let first = parts.iter().find(is_frame).and_then(|part| obu::payload(part).first().copied());
    first.is_some_and(|first| first >> 4 == 0b0001)
}

impl Av1 {
    /// Reads the body of `av1C`.
    ///
    /// ```text
    /// |1| version 1  |PROFIL|  LEVEL  |T|H|12|M|X|Y|CSP| 000 |I| delay | configOBUs …
    /// ```
    ///
    /// # Errors
    /// Another version, and a record without a sequence header.
    pub fn from_av1c(record: &Bytes) -> Result<Av1, Error> {
        if record.first() != Some(&0x81) || record.len() < 4 {
            return Err(Error::invalid("av1C record"));
        }
        let parts = obu::split(&record.slice(4..))?;
        let header = parts.into_iter().find(|part| obu::kind(part) == Some(obu::SEQUENCE_HEADER));
        let sequence_header = header.ok_or(Error::unsupported("av1C record without sequence header"))?;
        SequenceHeader::parse(&sequence_header).ok_or(Error::invalid("AV1 sequence header"))?;
        Ok(Av1 { sequence_header })
    }

    /// The body of `av1C`. Of a sequence header that cannot be read it says zeros.
    pub fn av1c(&self) -> Bytes {
        let header = self.header();
        let mut record = BytesMut::with_capacity(self.sequence_header.len() + 8);
        let flag = |set: bool, bit: u8| u8::from(set) << bit;
        record.put_slice(&[0x81, header.profile << 5 | header.level & 0x1F]);
        record.put_u8(
            flag(header.tier, 7)
                | flag(header.bit_depth > 8, 6)
                | flag(header.bit_depth == 12, 5)
                | flag(header.monochrome, 4)
                | flag(header.subsampling_x, 3)
                | flag(header.subsampling_y, 2)
                | header.chroma_sample_position,
        );
        record.put_u8(0);
        for (head, payload) in obu::with_sizes(&Parts::from_iter([self.sequence_header.clone()])) {
            record.put_slice(&head);
            record.put_slice(&payload);
        }
        record.freeze()
    }

    /// What the sequence header says; zeros where it cannot be read.
    pub fn header(&self) -> SequenceHeader {
        SequenceHeader::parse(&self.sequence_header).unwrap_or_default()
    }

    /// `av01.0.08M.08` ("AV1 Codec ISO Media File Format Binding", 5).
    pub(super) fn codec_string(&self) -> String {
        let header = self.header();
        let tier = if header.tier { 'H' } else { 'M' };
        format!("av01.{}.{:02}{tier}.{:02}", header.profile, header.level, header.bit_depth)
    }
}
