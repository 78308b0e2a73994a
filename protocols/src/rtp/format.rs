//! What an announcement says about the shape of payloads: values of `a=fmtp`, the size of a sample, the length of a unit.

use crate::codec::Configuration;
use crate::codec::configuration::Aac;
use crate::codec::latm::StreamMuxConfig;
use crate::track::{Codec, Track};

/// The value of a parameter of `a=fmtp`, without spaces around it. Names are compared without regard to case.
pub(super) fn parameter<'a>(format_parameters: &'a str, name: &str) -> Option<&'a str> {
    format_parameters.split(';').find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// The value of a parameter that is a decimal number.
pub(super) fn number(format_parameters: &str, name: &str) -> Option<u32> {
    parameter(format_parameters, name)?.parse().ok()
}

/// Bytes of one sample of all channels, never zero. `None`: not a codec of plain samples, or samples of other than 8, 16
/// or 24 bits.
pub(super) fn sample_frame_bytes(track: &Track) -> Option<usize> {
    let bits = match track.codec {
        Codec::Pcmu | Codec::Pcma => 8,
        Codec::Lpcm { bits } => bits,
        _ => return None,
    };
    let channels = usize::from(track.channels.max(1));
    matches!(bits, 8 | 16 | 24).then_some(usize::from(bits) / 8 * channels)
}

/// Ticks from one AAC access unit to the next: as announced, else as its configuration has it, else 1024.
pub(super) fn aac_unit_ticks(track: &Track) -> u32 {
    const UNIT_TICKS: u32 = 1024;
    let announced = number(&track.format_parameters, "constantDuration").filter(|&ticks| ticks > 0);
    announced.unwrap_or_else(|| match Configuration::from_track(track) {
        Some(Configuration::Aac(aac)) => unit_ticks(&aac, track.clock_rate),
        _ => UNIT_TICKS,
    })
}

/// Ticks of one AAC access unit: with SBR the clock runs at twice the core's sampling rate.
pub(super) fn unit_ticks(aac: &Aac, clock_rate: u32) -> u32 {
    let ticks = u64::from(aac.frame_samples) * u64::from(clock_rate) / u64::from(aac.sample_rate.max(1));
    u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// The StreamMuxConfig in `config` of a LATM track's `a=fmtp`, in hexadecimal digits (RFC 6416, 7.3).
pub(super) fn latm_config(track: &Track) -> Option<StreamMuxConfig> {
    let digits = parameter(&track.format_parameters, "config")?;
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes = digits.as_bytes().chunks(2).map(byte).collect::<Option<Vec<u8>>>()?;
    StreamMuxConfig::parse(&bytes).ok()
}
