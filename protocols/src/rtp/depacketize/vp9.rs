//! VP9 (RFC 9628, section 4.2). The frames of spatial layers become one superframe, with its index (VP9 bitstream
//! specification, annex B), as files and other protocols have them.
//!
//! ```text
//! |I|P|L|F|B|E|V|Z|   the descriptor; B and E begin and end a layer's frame
//! |M| PictureID   |   I: 7 or, with M, 15 bits
//! | TID |U| SID |D|   L: temporal and spatial layer
//! |   TL0PICIDX   |   L and not F
//! | P_DIFF      |N|   P and F, up to 3 times while N
//! | N_S |Y|G|-|-|-|   V: the scalability structure
//! ```

use bytes::Bytes;
use smallvec::SmallVec;

use super::assembly::{Assembly, State};
use super::{Error, invalid};

const PICTURE_ID: u8 = 0x80;
const PREDICTED: u8 = 0x40;
const LAYERS: u8 = 0x20;
const FLEXIBLE: u8 = 0x10;
const BEGINS: u8 = 0x08;
const STRUCTURE: u8 = 0x02;

/// Layers of one picture; the index has three bits for their number.
const LAYERS_MAX: usize = 8;

/// The state of one track.
#[derive(Debug, Default)]
pub(super) struct Depacketizer {
    /// Bytes of each layer's frame in the unit in progress.
    layers: SmallVec<[u32; LAYERS_MAX]>,
}

impl Depacketizer {
    /// Adds one payload to the unit in progress.
    pub(super) fn packet(&mut self, assembly: &mut Assembly, payload: &Bytes) -> Result<(), Error> {
        let invalid_descriptor = invalid("VP9 payload descriptor");
        let &first = payload.first().ok_or(invalid_descriptor)?;
        let (header_bytes, spatial_layer) = descriptor(payload).ok_or(invalid_descriptor)?;
        let piece = payload.slice(header_bytes..);
        let begins = first & BEGINS != 0;
        assembly.resolve(begins && spatial_layer == 0);
        if assembly.state() == State::Damaged {
            return Ok(());
        }
        if !assembly.has_fragments() {
            self.layers.clear();
        }
        if begins {
            if self.layers.len() == LAYERS_MAX {
                return Err(Error::Limit { what: "layers of a VP9 picture" });
            }
            self.layers.push(0);
        }
        let layer = self.layers.last_mut().ok_or(invalid("VP9 frame without its beginning"))?;
        *layer = layer.saturating_add(u32::try_from(piece.len()).unwrap_or(u32::MAX));
        assembly.fragment(piece)
    }

    /// Makes the collected frames a part.
    pub(super) fn complete(&mut self, assembly: &mut Assembly) -> Result<(), Error> {
        if self.layers.len() > 1 {
            assembly.fragment(superframe_index(&self.layers))?;
        }
        self.layers.clear();
        assembly.join()
    }
}

/// Its bytes, and the spatial layer.
fn descriptor(payload: &[u8]) -> Option<(usize, u8)> {
    let &first = payload.first()?;
    let mut bytes = 1;
    let mut spatial_layer = 0;
    if first & PICTURE_ID != 0 {
        bytes += if payload.get(bytes)? & 0x80 != 0 { 2 } else { 1 };
    }
    if first & LAYERS != 0 {
        spatial_layer = payload.get(bytes)? >> 1 & 0x07;
        bytes += if first & FLEXIBLE == 0 { 2 } else { 1 };
    }
    if first & PREDICTED != 0 && first & FLEXIBLE != 0 {
        let mut differences = 1;
        while payload.get(bytes)? & 1 != 0 {
            differences += 1;
            bytes += 1;
            if differences > 3 {
                return None;
            }
        }
        bytes += 1;
    }
    if first & STRUCTURE != 0 {
        bytes += structure_bytes(payload.get(bytes..)?)?;
    }
    (bytes < payload.len()).then_some((bytes, spatial_layer))
}

/// Of the scalability structure (RFC 9628, 4.2.1): with Y four bytes of size for each of N_S + 1 layers; with G a count
/// of pictures, and for each a byte that tells how many P_DIFF bytes follow it.
fn structure_bytes(structure: &[u8]) -> Option<usize> {
    let &fields = structure.first()?;
    let mut bytes = 1;
    if fields & 0x10 != 0 {
        bytes += 4 * (usize::from(fields >> 5) + 1);
    }
    if fields & 0x08 != 0 {
        let &pictures = structure.get(bytes)?;
        bytes += 1;
        for _ in 0..pictures {
            bytes += 1 + usize::from(*structure.get(bytes)? >> 2 & 3);
        }
    }
    Some(bytes)
}

/// Marker, sizes as little-endian numbers of four bytes, marker.
fn superframe_index(sizes: &[u32]) -> Bytes {
    let marker = 0b1101_1000 | (sizes.len() - 1) as u8;
    let mut index = Vec::with_capacity(2 + 4 * sizes.len());
    index.push(marker);
    sizes.iter().for_each(|size| index.extend_from_slice(&size.to_le_bytes()));
    index.push(marker);
    index.into()
}
