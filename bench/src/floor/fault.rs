//! Wrongs done on purpose, to prove that the checks of the harness see them. Asked for by an environment variable,
//! since only tests want them.

use anyhow::{Result, bail};

use super::Destination;
use crate::media::units::Body;
use crate::media::{Framing, Shape};

/// Each picture whose number this divides is wrong.
pub(super) const EVERY: u64 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The second packet, or the unit, is missing, for all readers.
    Drop,
    /// A bit of the last packet, or of the unit, is wrong, for all readers.
    Flip,
    /// The last reader misses the picture.
    Starve,
    /// The last reader is disconnected.
    Disconnect,
}

impl Fault {
    /// The fault that `HEADWATER_BENCH_FLOOR_FAULT` names.
    pub(super) fn from_environment() -> Result<Option<Fault>> {
        let Ok(name) = std::env::var("HEADWATER_BENCH_FLOOR_FAULT") else { return Ok(None) };
        Ok(Some(match name.as_str() {
            "drop" => Fault::Drop,
            "flip" => Fault::Flip,
            "starve" => Fault::Starve,
            "disconnect" => Fault::Disconnect,
            _ => bail!("no such fault: {name}"),
        }))
    }

    /// The picture as it is sent; the last reader loses its connection here.
    pub(super) fn apply(
        self,
        shape: Shape,
        framing: Framing,
        picture: &[u8],
        readers: &mut Vec<Destination>,
    ) -> Vec<u8> {
        let mut bytes = picture.to_vec();
        let packet = shape.packet_bytes + framing.prefix_bytes();
        match self {
            Fault::Drop => drop(bytes.drain(packet..(2 * packet).min(picture.len()))),
            Fault::Flip => {
                if let Some(last) = bytes.last_mut() {
                    *last ^= 4;
                }
            }
            Fault::Starve => {}
            Fault::Disconnect => drop(readers.pop()),
        }
        bytes
    }

    /// The unit as it is sent; `None` when it is not.
    pub(super) fn apply_to_unit(self, body: Body, readers: &mut Vec<Destination>) -> Option<Body> {
        match self {
            Fault::Drop => return None,
            Fault::Flip => {
                let mut bytes = body.bytes.to_vec();
                if let Some(last) = bytes.last_mut() {
                    *last ^= 4;
                }
                return Some(Body { bytes: bytes.into(), ..body });
            }
            Fault::Starve => {}
            Fault::Disconnect => drop(readers.pop()),
        }
        Some(body)
    }

    /// Those who get it.
    pub(super) fn readers(self, readers: &mut [Destination]) -> &mut [Destination] {
        let count = readers.len().saturating_sub(usize::from(self == Fault::Starve));
        &mut readers[..count]
    }
}
