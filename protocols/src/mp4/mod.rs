//! Fragmented MP4 (ISO/IEC 14496-12), as HLS serves it: an initialization segment per set of tracks, then fragments of one
//! `moof` and one `mdat`.
//!
//! Sample entries: H.264 `avc1` (ISO/IEC 14496-15), H.265 `hvc1` (the same), AV1 `av01` ("AV1 Codec ISO Media File Format
//! Binding"), VP9 `vp09` ("VP Codec ISO Media File Format Binding"), AAC `mp4a` (ISO/IEC 14496-14), Opus `Opus`
//! ("Encapsulation of Opus in ISO Base Media File Format"), FLAC `fLaC` (the like for FLAC). With `avc1` and `hvc1` the
//! parameter sets live in the sample entry alone; those in the units are left out, and whoever sees the configuration
//! change writes a new initialization segment.
//!
//! No edit lists: live readers join in the middle of a stream, where the samples Opus wants skipped at the beginning are
//! long gone; `dOps` has their number for those who read from the beginning. No encryption, no `sidx`.
//!
//! Payloads are never copied, except parts so short that a slice would cost more: a fragment is a list of slices, cut
//! from one allocation of headers and from the units' own bytes.

mod error;
mod fragment;
mod init;
pub mod read;
mod sample;
mod sample_entry;
mod write;

pub use error::Error;
pub use fragment::{Run, fragment};
pub use init::init;
pub use sample::{Framing, Sample};

use crate::codec::{Configuration, configuration::VIDEO_CLOCK_RATE};

/// Ticks per second of a track in files: 90000 for pictures, the sampling rate for audio, 48000 for Opus.
pub fn timescale(configuration: &Configuration) -> u32 {
    match configuration {
        Configuration::Aac(aac) => aac.sample_rate.max(1),
        Configuration::Flac(flac) => flac.sample_rate.max(1),
        Configuration::Opus(_) => 48_000,
        _ => VIDEO_CLOCK_RATE,
    }
}

/// Whether [`init`] and [`fragment`] can carry such a track.
pub fn carries(configuration: &Configuration) -> bool {
    matches!(
        configuration,
        Configuration::H264(_)
            | Configuration::H265(_)
            | Configuration::Av1(_)
            | Configuration::Vp9(_)
            | Configuration::Aac(_)
            | Configuration::Opus(_)
            | Configuration::Flac(_)
    )
}

#[cfg(test)]
mod tests;
