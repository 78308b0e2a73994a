//! What an announcement says about the shape of payloads: values of `a=fmtp`, the size of a sample, the length of a unit.

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
    number(&track.format_parameters, "constantDuration").filter(|&ticks| ticks > 0).unwrap_or(UNIT_TICKS)
}
