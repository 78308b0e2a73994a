//! The tone: a pip of 984 Hz at the beginning of each second, as AAC-LC (ISO/IEC 14496-3), one channel of 48 kHz.
//!
//! 984.375 Hz are 21 periods in the 1024 samples of a block, so every block of the tone is the same. The two blocks were
//! made once, with FFmpeg's encoder from its own sources of sound, and taken from the middle of what came out:
//! `ffmpeg -f lavfi -i "aevalsrc=0.1*sin(2*PI*984.375*t):s=48000:d=3" -c:a aac -aac_tns 0 -aac_pns 0 -q:a 1 tone.aac`,
//! and the same with `aevalsrc=0`.

use bytes::Bytes;
use headwater_protocols::codec::Error;
use headwater_protocols::codec::configuration::Aac;

pub(super) const SAMPLE_RATE: u32 = 48_000;
pub(super) const BLOCK_SAMPLES: u32 = 1024;
/// How much of each second is sound.
const PIP_MILLIS: u64 = 200;

/// AudioSpecificConfig: AAC-LC, 48 kHz, one channel.
const SPECIFIC_CONFIG: &[u8] = &[0x11, 0x88];
#[rustfmt::skip]
const TONE: &[u8] = &[
    0x00, 0xEE, 0x2C, 0x91, 0x36, 0x24, 0x70, 0x97, 0x7F, 0x3E, 0xFE, 0xBE, 0x7E, 0x7F, 0xDB, 0xFC, 0x7E, 0xFB, 0x49, 0x25,
    0xCB, 0x80, 0x0C, 0x0C, 0x0C, 0x0C, 0x0D, 0x46, 0x11, 0x22, 0x51, 0xCA, 0x2A, 0xAD, 0xE5, 0xD1, 0x11, 0xEA, 0xD0, 0x36,
    0xE6, 0xDE, 0x88, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x92, 0xA1, 0x21,
    0x21, 0x21, 0x21, 0x21, 0x21, 0x21, 0x21, 0x21, 0x21, 0x21, 0x21, 0x21, 0x21, 0x21, 0x37, 0x6E, 0xDD, 0xBB, 0x77, 0x80,
];
const SILENCE: &[u8] = &[0x01, 0x18, 0x20, 0x07];

/// What decoders need to know.
///
/// # Errors
/// None: the bytes are those above.
pub(super) fn configuration() -> Result<Aac, Error> {
    Aac::parse(Bytes::from_static(SPECIFIC_CONFIG))
}

/// The block that begins at this wall-clock time.
pub(super) fn block(millis: u64) -> Bytes {
    Bytes::from_static(if millis % 1000 < PIP_MILLIS { TONE } else { SILENCE })
}
