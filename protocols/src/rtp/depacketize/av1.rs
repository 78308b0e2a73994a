//! AV1 (the Alliance's "RTP Payload Format For AV1", section 4).
//!
//! OBU elements become parts; a size field that a sender left in is taken out, temporal delimiters and padding are
//! dropped. A temporal unit has no mark at its beginning: after a loss, one whose first OBU is a tile group lacks it.
//!
//! ```text
//! |Z|Y| W |N|-|-|-|   Z the first element continues an OBU, Y the last goes on in the next packet, W elements
//! ```

use bytes::Bytes;

use super::assembly::{Assembly, State};
use super::{Error, invalid};
use crate::codec::obu;

const CONTINUES: u8 = 0x80;
const GOES_ON: u8 = 0x40;
const TILE_GROUP: u8 = 4;

/// Adds one payload to the unit in progress.
pub(super) fn packet(assembly: &mut Assembly, payload: &Bytes) -> Result<(), Error> {
    let &header = payload.first().ok_or(invalid("aggregation header"))?;
    let mut rest = payload.slice(1..);
    let continues = header & CONTINUES != 0;
    if assembly.state() == State::Suspect && continues {
        assembly.damage();
        return Ok(());
    }
    if continues != assembly.has_fragments() {
        return Err(invalid("OBU without its beginning or end"));
    }
    // With W 0 every element has its length before it; otherwise the last of W has not.
    let mut remaining = match header >> 4 & 3 {
        0 => None,
        count => Some(count),
    };
    let mut is_first = true;
    while !rest.is_empty() {
        let is_unsized = remaining == Some(1);
        let bytes = if is_unsized {
            rest.len()
        } else {
            let (bytes, size_bytes) = obu::leb128(&rest).ok_or(invalid("size of OBU element"))?;
            rest = rest.slice(size_bytes..);
            bytes as usize
        };
        if bytes > rest.len() {
            return Err(invalid("size of OBU element"));
        }
        let element = rest.split_to(bytes);
        remaining = remaining.map(|count| count - 1);
        if is_unsized && !rest.is_empty() {
            return Err(invalid("more OBU elements than announced"));
        }
        if is_first && !continues {
            assembly.resolve(obu::kind(&element) != Some(TILE_GROUP));
        }
        let goes_on = rest.is_empty() && header & GOES_ON != 0;
        if goes_on || (is_first && continues) {
            assembly.fragment(element)?;
            if !goes_on && let Some(joined) = assembly.fragments().join() {
                add(assembly, &joined)?;
            }
        } else {
            add(assembly, &element)?;
        }
        is_first = false;
    }
    Ok(())
}

fn add(assembly: &mut Assembly, element: &Bytes) -> Result<(), Error> {
    if element.is_empty() {
        return Ok(());
    }
    let obus = obu::split(element).map_err(|_| invalid("OBU"))?;
    obus.into_iter().try_for_each(|obu| assembly.part(obu))
}
