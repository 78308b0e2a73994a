//! AAC: AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1) and ADTS (1.A.2.2).

use super::Error;
use super::bits::Bits;
use super::configuration::Aac;
use bytes::Bytes;

/// By `samplingFrequencyIndex` (table 1.18).
const SAMPLE_RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
const RATE_ESCAPE: u32 = 15;
/// Audio object types (table 1.17).
const SBR: u8 = 5;
const PARAMETRIC_STEREO: u8 = 29;
const ESCAPE: u8 = 31;
const ADTS_HEADER_BYTES: usize = 7;
/// Longest AudioSpecificConfig that is read, in bytes: a program config element with its comment has 300.
const CONFIG_BYTES_MAX: usize = 512;

/// Channels by `channelConfiguration` (table 1.19).
fn channels_of(configuration: u32) -> Option<u16> {
    Some(match configuration {
        1..=6 => configuration as u16,
        7 | 12 | 14 => 8,
        11 => 7,
        _ => return None,
    })
}

fn configuration_of(channels: u16) -> Option<u8> {
    match channels {
        1..=6 => Some(channels as u8),
        7 => Some(11),
        8 => Some(7),
        _ => None,
    }
}

fn sample_rate(bits: &mut Bits<'_>) -> Option<u32> {
    match bits.bits(4)? {
        RATE_ESCAPE => bits.bits(24),
        index => SAMPLE_RATES.get(index as usize).copied(),
    }
    .filter(|rate| *rate > 0)
}

fn object_type(bits: &mut Bits<'_>) -> Option<u8> {
    match bits.bits(5)? as u8 {
        ESCAPE => bits.bits(6).map(|extended| 32 + extended as u8),
        kind => Some(kind),
    }
}

impl Aac {
    /// Reads an AudioSpecificConfig.
    ///
    /// # Errors
    /// Bytes that end too early or name a rate or layout that does not exist; object types that are not AAC.
    pub fn parse(specific_config: Bytes) -> Result<Aac, Error> {
        if specific_config.len() > CONFIG_BYTES_MAX {
            return Err(Error::Limit { what: "bytes of AudioSpecificConfig", max: CONFIG_BYTES_MAX });
        }
        let mut aac = Aac::read(&mut Bits::new(&specific_config))?;
        aac.specific_config = specific_config;
        Ok(aac)
    }

    /// Reads an AudioSpecificConfig and stops behind it; the bytes are the caller's to fill in.
    pub(super) fn read(bits: &mut Bits<'_>) -> Result<Aac, Error> {
        let invalid = Error::invalid("AudioSpecificConfig");
        let mut kind = object_type(bits).ok_or(invalid)?;
        let sample_rate_core = sample_rate(bits).ok_or(invalid)?;
        let configuration = bits.bits(4).ok_or(invalid)?;
        if kind == SBR || kind == PARAMETRIC_STEREO {
            sample_rate(bits).ok_or(invalid)?; // of the extension
            kind = object_type(bits).ok_or(invalid)?;
        }
        if !matches!(kind, 1..=4 | 6 | 7 | 17 | 19 | 20 | 23 | 39) {
            return Err(Error::unsupported("audio object type"));
        }
        let short = bits.flag().ok_or(invalid)?; // frameLengthFlag
        let frame_samples = match (kind, short) {
            (23 | 39, false) => 512,
            (23 | 39, true) => 480,
            (_, false) => 1024,
            (_, true) => 960,
        };
        let channels = if kind == 39 {
            channels_of(configuration)
        } else {
            general_audio(bits, kind, configuration).ok_or(invalid)?
        };
        let channels =
            channels.filter(|channels| *channels > 0).ok_or(Error::unsupported("channel layout"))?;
        let (object_type, sample_rate) = (kind, sample_rate_core);
        Ok(Aac { specific_config: Bytes::new(), object_type, sample_rate, channels, frame_samples })
    }

    /// With an AudioSpecificConfig made of these. Above eight channels it says none.
    pub fn new(object_type: u8, sample_rate: u32, channels: u16) -> Aac {
        let mut config = 0_u64;
        let mut length = 0;
        let mut put = |value: u32, size: u32| {
            config = config << size | u64::from(value);
            length += size;
        };
        if object_type >= ESCAPE {
            put(ESCAPE.into(), 5);
            put(u32::from(object_type) - 32, 6);
        } else {
            put(object_type.into(), 5);
        }
        match SAMPLE_RATES.iter().position(|rate| *rate == sample_rate) {
            Some(index) => put(index as u32, 4),
            None => {
                put(RATE_ESCAPE, 4);
                put(sample_rate & 0xFF_FFFF, 24);
            }
        }
        put(configuration_of(channels).unwrap_or(0).into(), 4);
        put(0, 3); // frameLengthFlag, dependsOnCoreCoder, extensionFlag
        let bytes = length.div_ceil(8);
        let padded = config << (64 - length);
        let specific_config = Bytes::copy_from_slice(&padded.to_be_bytes()[..bytes as usize]);
        Aac { specific_config, object_type, sample_rate, channels, frame_samples: 1024 }
    }

    /// The ADTS header for one raw data block of `payload_bytes` (at most 8184), without checksum. ADTS knows object
    /// types 1 to 4 and the rates of its table; others are written as AAC-LC and the nearest rate.
    ///
    /// ```text
    /// | FFF sync (12) |I|00|1|PR|  RATE  |-|CHANNE| ---- |  length (13)  | fullness 7FF (11) |00|
    /// ```
    pub fn adts_header(&self, payload_bytes: usize) -> [u8; 7] {
        let profile = if (1..=4).contains(&self.object_type) { self.object_type - 1 } else { 1 };
        let nearest = |index: &usize| SAMPLE_RATES[*index].abs_diff(self.sample_rate);
        let rate = (0..SAMPLE_RATES.len()).min_by_key(nearest).unwrap_or(0) as u8;
        let channels = configuration_of(self.channels).filter(|channels| *channels <= 7).unwrap_or(0);
        let length = (payload_bytes + ADTS_HEADER_BYTES).min(0x1FFF) as u16;
        [
            0xFF,
            0xF1,
            profile << 6 | rate << 2 | channels >> 2,
            channels << 6 | (length >> 11) as u8,
            (length >> 3) as u8,
            (length << 5) as u8 | 0x1F,
            0xFC,
        ]
    }
}

/// GASpecificConfig (4.4.1) after `frameLengthFlag`: the channels, from a program config element where there is one.
fn general_audio(bits: &mut Bits<'_>, kind: u8, configuration: u32) -> Option<Option<u16>> {
    if bits.flag()? {
        bits.skip(14)?; // coreCoderDelay
    }
    let extension = bits.flag()?;
    let channels =
        if configuration == 0 { Some(program_config_element(bits)?) } else { channels_of(configuration) };
    if matches!(kind, 6 | 20) {
        bits.skip(3)?; // layerNr
    }
    if extension {
        if matches!(kind, 17 | 19 | 20 | 23) {
            bits.skip(3)?; // resilience flags
        }
        bits.flag()?; // extensionFlag3
    }
    Some(channels)
}

/// The channels of a program config element (4.4.1.1).
fn program_config_element(bits: &mut Bits<'_>) -> Option<u16> {
    bits.skip(4 + 2 + 4)?; // element_instance_tag, object_type, sampling_frequency_index
    let [front, side, back] = [bits.bits(4)?, bits.bits(4)?, bits.bits(4)?];
    let [low, associated, coupling] = [bits.bits(2)?, bits.bits(3)?, bits.bits(4)?];
    for size in [4, 4, 3] {
        if bits.flag()? {
            bits.skip(size)?; // mono, stereo and matrix mixdown
        }
    }
    let mut channels = low as u16;
    for _ in 0..front + side + back {
        channels += 1 + u16::from(bits.flag()?);
        bits.skip(4)?;
    }
    bits.skip(low * 4 + associated * 4 + coupling * 5)?;
    bits.align();
    let comment = bits.bits(8)?;
    bits.skip(comment * 8)?;
    Some(channels)
}

/// The frames of an ADTS stream that begins with one: configuration and raw data block of each. A frame that is no ADTS,
/// or cut, is an error and the last item.
pub fn adts_frames(stream: Bytes) -> impl Iterator<Item = Result<(Aac, Bytes), Error>> {
    let mut rest = stream;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let frame = adts_frame(&rest);
        rest = match &frame {
            Ok((_, _, bytes)) => rest.slice(*bytes..),
            Err(_) => Bytes::new(),
        };
        Some(frame.map(|(aac, payload, _)| (aac, payload)))
    })
}

/// Bytes of the ADTS frame that begins here, its header included; `None` where none begins, or its header is not
/// complete. At least 7.
pub fn adts_frame_bytes(bytes: &[u8]) -> Option<usize> {
    let header = bytes.first_chunk::<ADTS_HEADER_BYTES>()?;
    if header[0] != 0xFF || header[1] & 0xF6 != 0xF0 {
        return None;
    }
    let length = usize::from(header[3] & 3) << 11 | usize::from(header[4]) << 3 | usize::from(header[5] >> 5);
    let header_bytes = if header[1] & 1 == 1 { 7 } else { 9 };
    (length >= header_bytes).then_some(length)
}

fn adts_frame(bytes: &Bytes) -> Result<(Aac, Bytes, usize), Error> {
    let invalid = Error::invalid("ADTS header");
    let length = adts_frame_bytes(bytes).ok_or(invalid)?;
    if length > bytes.len() {
        return Err(Error::invalid("ADTS frame, cut"));
    }
    if bytes[6] & 3 != 0 {
        return Err(Error::unsupported("ADTS frame of several raw data blocks"));
    }
    let object_type = (bytes[2] >> 6) + 1;
    let sample_rate = *SAMPLE_RATES.get(usize::from(bytes[2] >> 2 & 0x0F)).ok_or(invalid)?;
    let configuration = u32::from(bytes[2] & 1) << 2 | u32::from(bytes[3] >> 6);
    let channels =
        channels_of(configuration).ok_or(Error::unsupported("ADTS without channel configuration"))?;
    let header_bytes = if bytes[1] & 1 == 1 { 7 } else { 9 };
    Ok((Aac::new(object_type, sample_rate, channels), bytes.slice(header_bytes..length), length))
}
