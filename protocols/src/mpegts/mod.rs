//! MPEG transport streams (ISO/IEC 13818-1, ITU-T H.222.0): read from files, UDP and SRT, written for HTTP, HLS, UDP and SRT.
//!
//! [`Muxer`] writes units as packets, [`Demuxer`] makes units of bytes. Both know one program. A transport stream is made
//! to survive damage, so the demuxer counts lost and damaged packets and goes on; what ends a stream is an [`Error`].
//!
//! Left out: several programs (the first one is taken), conditional access, packets of 192 and 204 bytes, constant bit
//! rate (the multiplex is as fast as the media), H.264 and H.265 with several access units in one PES packet.

mod demuxer;
mod error;
mod format;
mod loas;
mod muxer;
pub mod opus_control;
pub mod packet;
pub mod pes;
pub mod psi;
mod splitter;
mod timeline;
mod timestamp;

pub use demuxer::{Counters, Demuxer, Event};
pub use error::Error;
pub use format::Format;
pub use muxer::{Muxer, ORIGIN_TICKS};
pub use packet::{Continuity, PACKET_BYTES, Packet, Pid};
pub use pes::Pes;
pub use timestamp::{CLOCK_RATE, Timestamp};
