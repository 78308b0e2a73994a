//! LATM and LOAS (ISO/IEC 14496-3, 1.7): AAC with its configuration in band, as RTP (RFC 6416) and MPEG-TS carry it.
//!
//! Left out: several programs or layers, scalable and fixed-rate (CELP, HVXC) payloads, and `audioMuxVersionA` 1. No
//! known sender has them.

use super::Error;
use super::bits::Bits;
use super::configuration::Aac;
use bytes::Bytes;
use smallvec::SmallVec;

/// `syncword` of LOAS (1.7.2), 11 bits.
const SYNC: [u8; 2] = [0x56, 0xE0];
/// `numSubFrames` has six bits.
const SUB_FRAMES_MAX: usize = 64;
const INVALID: Error = Error::invalid("StreamMuxConfig");

/// The raw data blocks of one AudioMuxElement.
pub type Payloads = SmallVec<[Bytes; 4]>;

/// StreamMuxConfig (1.7.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamMuxConfig {
    pub aac: Aac,
    /// Raw data blocks of each AudioMuxElement, 1 to 64.
    pub sub_frames: usize,
    /// `None`: each block's length is told before it; otherwise its length in bits.
    fixed_bits: Option<u32>,
    other_data_bits: u32,
}

impl StreamMuxConfig {
    /// Reads the bytes of SDP's `config` (RFC 6416, 7.3).
    ///
    /// # Errors
    /// Bytes that end too early, and what the module leaves out.
    pub fn parse(bytes: &[u8]) -> Result<StreamMuxConfig, Error> {
        StreamMuxConfig::read(&mut Bits::new(bytes))
    }

    fn read(bits: &mut Bits<'_>) -> Result<StreamMuxConfig, Error> {
        let version = bits.flag().ok_or(INVALID)?;
        if version {
            if bits.flag().ok_or(INVALID)? {
                return Err(Error::unsupported("audioMuxVersionA"));
            }
            value(bits).ok_or(INVALID)?; // taraBufferFullness
        }
        bits.flag().ok_or(INVALID)?; // allStreamsSameTimeFraming: with one stream it means nothing
        let sub_frames = bits.bits(6).ok_or(INVALID)? as usize + 1;
        let programs_and_layers = bits.bits(4 + 3).ok_or(INVALID)?;
        if programs_and_layers != 0 {
            return Err(Error::unsupported("LATM with several programs or layers"));
        }
        let aac = specific_config(bits, version)?;
        let fixed_bits = match bits.bits(3).ok_or(INVALID)? {
            0 => {
                bits.skip(8).ok_or(INVALID)?; // latmBufferFullness
                None
            }
            1 => Some((bits.bits(9).ok_or(INVALID)? + 20) * 8),
            _ => return Err(Error::unsupported("LATM frame length type")),
        };
        let other_data_bits = other_data(bits, version).ok_or(INVALID)?;
        if bits.flag().ok_or(INVALID)? {
            bits.skip(8).ok_or(INVALID)?; // crcCheckSum
        }
        Ok(StreamMuxConfig { aac, sub_frames, fixed_bits, other_data_bits })
    }

    /// The raw data blocks of an AudioMuxElement.
    fn payloads<'a>(&self, element: &'a Bytes, bits: &mut Bits<'a>) -> Option<Payloads> {
        let mut payloads = Payloads::new();
        for _ in 0..self.sub_frames.min(SUB_FRAMES_MAX) {
            let bytes = match self.fixed_bits {
                Some(fixed) => fixed as usize / 8,
                None => block_bytes(bits)?,
            };
            payloads.push(block(element, bits, bytes)?);
        }
        bits.skip(self.other_data_bits)?;
        Some(payloads)
    }
}

/// LatmGetValue (1.7.3.1, table 1.43).
fn value(bits: &mut Bits<'_>) -> Option<u32> {
    let count = bits.bits(2)? + 1;
    bits.bits(count * 8)
}

/// The AudioSpecificConfig, moved to whole bytes.
fn specific_config(bits: &mut Bits<'_>, told: bool) -> Result<Aac, Error> {
    let length = if told { Some(value(bits).ok_or(INVALID)? as usize) } else { None };
    let mut copied = bits.clone();
    let before = bits.position();
    let mut aac = Aac::read(bits)?;
    let read = bits.position() - before;
    let length = length.unwrap_or(read);
    let over = length.checked_sub(read).and_then(|over| u32::try_from(over).ok()).ok_or(INVALID)?;
    if over as usize > bits.remaining() {
        return Err(INVALID);
    }
    bits.skip(over).ok_or(INVALID)?;
    let mut config = Vec::with_capacity(length.div_ceil(8).min(64));
    let mut left = length;
    while left > 0 {
        let size = left.min(8) as u32;
        let byte = copied.bits(size).ok_or(INVALID)? << (8 - size);
        config.push(byte as u8);
        left -= size as usize;
    }
    aac.specific_config = config.into();
    Ok(aac)
}

/// Bits of other data behind the payloads; 0 where there is none.
fn other_data(bits: &mut Bits<'_>, version: bool) -> Option<u32> {
    if !bits.flag()? {
        return Some(0);
    }
    if version {
        return value(bits);
    }
    let mut length = 0_u32;
    loop {
        let more = bits.flag()?;
        length = length.checked_mul(256)?.checked_add(bits.bits(8)?)?;
        if !more {
            return Some(length);
        }
    }
}

/// PayloadLengthInfo (1.7.3.1, table 1.44).
fn block_bytes(bits: &mut Bits<'_>) -> Option<usize> {
    let mut length = 0;
    loop {
        let byte = bits.byte()?;
        length += usize::from(byte);
        if byte != 0xFF {
            return Some(length);
        }
    }
}

/// A block: a slice where it begins at a whole byte, as it does when the configuration is not in band.
fn block<'a>(element: &'a Bytes, bits: &mut Bits<'a>, bytes: usize) -> Option<Bytes> {
    if bytes * 8 > bits.remaining() {
        return None;
    }
    let start = bits.position();
    if start.is_multiple_of(8) {
        let from = start / 8;
        *bits = Bits::at(element, (from + bytes) * 8)?;
        return Some(element.slice(from..from + bytes));
    }
    (0..bytes).map(|_| bits.byte()).collect::<Option<Vec<u8>>>().map(Bytes::from)
}

/// The raw data blocks of one AudioMuxElement. With `in_band` (RTP: `cpresent=1`, and always in LOAS) it may begin with a
/// configuration, which replaces `config`.
///
/// # Errors
/// An element without known configuration, lengths that reach past the end, and what the module leaves out.
pub fn audio_mux_element(
    element: &Bytes,
    config: &mut Option<StreamMuxConfig>,
    in_band: bool,
) -> Result<Payloads, Error> {
    let invalid = Error::invalid("AudioMuxElement");
    let bits = &mut Bits::new(element);
    if in_band && !bits.flag().ok_or(invalid)? {
        let found = StreamMuxConfig::read(bits)?;
        if config.as_ref() != Some(&found) {
            *config = Some(found);
        }
    }
    let config = config.as_ref().ok_or(Error::invalid("AudioMuxElement before any configuration"))?;
    config.payloads(element, bits).ok_or(invalid)
}

/// The AudioMuxElements of a LOAS stream (AudioSyncStream, 1.7.2) that begins with one, as slices. What is no element, or
/// cut, is an error and the last item.
pub fn loas_elements(stream: Bytes) -> impl Iterator<Item = Result<Bytes, Error>> {
    let mut rest = stream;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(bytes) = loas_element_bytes(&rest).filter(|bytes| *bytes <= rest.len()) else {
            rest = Bytes::new();
            return Some(Err(Error::invalid("LOAS element")));
        };
        let element = rest.split_to(bytes).slice(3..);
        Some(Ok(element))
    })
}

/// Bytes of the LOAS element that begins here, its header included; `None` where none begins.
pub fn loas_element_bytes(bytes: &[u8]) -> Option<usize> {
    let &[first, second, third] = bytes.first_chunk::<3>()?;
    let sync = first == SYNC[0] && second & 0xE0 == SYNC[1];
    sync.then(|| 3 + (usize::from(second & 0x1F) << 8 | usize::from(third)))
}
