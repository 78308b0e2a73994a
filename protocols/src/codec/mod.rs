//! Codecs, as far as conversion and routing need them: where decoding can start, what a decoder must know before it
//! starts, and when each picture is decoded. Nothing here decodes a picture or a sample.
//!
//! - [`RandomAccess`] looks into RTP payloads as they pass.
//! - [`Configuration`] is what a decoder must know; the codecs' modules read it from records and streams and write it.
//! - [`nal`] and [`obu`] take byte streams apart. [`Assembler`] makes [`AccessUnit`](crate::unit::AccessUnit)s of what
//!   demuxers and depacketizers found, with the same promises whatever the protocol; [`DecodeTimes`] is its clock.
//!
//! One file or folder per codec, each with its specification. Wrong bytes are an [`Error`] or "not found": a session
//! never ends for what is inside a picture.

pub mod aac;
pub mod ac3;
mod announcement;
mod assembler;
pub mod av1;
pub(crate) mod bits;
pub mod configuration;
mod decode_times;
mod error;
pub mod flac;
pub mod h264;
pub mod h265;
pub mod latm;
pub mod mjpeg;
pub mod mpeg4_video;
pub mod mpeg_audio;
pub mod mpeg_video;
pub mod nal;
pub mod obu;
pub mod opus;
mod parameter_sets;
mod random_access;
pub mod vp8;
pub mod vp9;

pub use assembler::Assembler;
pub use configuration::Configuration;
pub use decode_times::DecodeTimes;
pub use error::Error;
pub use random_access::{Access, RandomAccess};
