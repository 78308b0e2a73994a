//! AV1 (the Alliance's "RTP Payload Format For AV1", section 4): up to three OBU elements in a packet, so that W says how
//! many and the last goes without its length.
//!
//! ```text
//! |Z|Y| W |N|-|-|-|   Z the first element continues an OBU, Y the last goes on, N a new coded video sequence begins
//! ```

use bytes::Bytes;

use super::Error;
use crate::codec::obu;

const CONTINUES: u8 = 0x80;
const GOES_ON: u8 = 0x40;
const NEW_SEQUENCE: u8 = 0x08;
const ELEMENTS_MAX: usize = 3;

/// Elements of one packet.
#[derive(Default)]
struct Elements<'a> {
    elements: [&'a [u8]; ELEMENTS_MAX],
    count: usize,
    /// With lengths before all elements.
    bytes: usize,
}

/// The packets of one temporal unit; the last one is marked.
pub(super) fn packetize(
    obus: &[Bytes],
    random_access: bool,
    bytes_max: usize,
    each: &mut impl FnMut(bool, u32, &[&[u8]]),
) -> Result<(), Error> {
    let starts_sequence =
        random_access && obus.iter().any(|unit| obu::kind(unit) == Some(obu::SEQUENCE_HEADER));
    let mut first = if starts_sequence { NEW_SEQUENCE } else { 0 };
    let (mut rest, mut offset) = (obus, 0);
    while !rest.is_empty() {
        let continues = if offset > 0 { CONTINUES } else { 0 };
        let elements = fill(&mut rest, &mut offset, bytes_max - 1);
        let goes_on = if offset > 0 { GOES_ON } else { 0 };
        let header = continues | goes_on | (elements.count as u8) << 4 | std::mem::take(&mut first);
        write(header, &elements, rest.is_empty(), each);
    }
    Ok(())
}

/// Takes as much as fits into `room` bytes off the OBUs, of which the first was sent up to `offset`.
fn fill<'a>(obus: &mut &'a [Bytes], offset: &mut usize, room: usize) -> Elements<'a> {
    let mut filled = Elements::default();
    while let Some((first, after)) = obus.split_first() {
        let left = room.saturating_sub(filled.bytes);
        if filled.count == ELEMENTS_MAX || left == 0 {
            break;
        }
        let unsent = &first[*offset..];
        let element = &unsent[..unsent.len().min(left)];
        filled.elements[filled.count] = element;
        filled.count += 1;
        filled.bytes += leb128(element.len()).1 + element.len();
        if element.len() < unsent.len() {
            *offset += element.len();
            break;
        }
        *offset = 0;
        *obus = after;
    }
    filled
}

fn write(header: u8, filled: &Elements<'_>, marker: bool, each: &mut impl FnMut(bool, u32, &[&[u8]])) {
    let header = [header];
    let sizes = filled.elements.map(|element| leb128(element.len()));
    let mut pieces: [&[u8]; 2 * ELEMENTS_MAX] = [&[]; 2 * ELEMENTS_MAX];
    pieces[0] = &header;
    let mut count = 1;
    for (index, (bytes, size_bytes)) in sizes.iter().enumerate().take(filled.count) {
        if index + 1 < filled.count {
            pieces[count] = &bytes[..*size_bytes];
            count += 1;
        }
        pieces[count] = filled.elements[index];
        count += 1;
    }
    each(marker, 0, &pieces[..count]);
}

/// The size of an element, which is below 2^21: bytes, and how many of them count.
fn leb128(value: usize) -> ([u8; 3], usize) {
    let groups = [value as u8 & 0x7F, (value >> 7) as u8 & 0x7F, (value >> 14) as u8 & 0x7F];
    match value {
        0..0x80 => ([groups[0], 0, 0], 1),
        0x80..0x4000 => ([groups[0] | 0x80, groups[1], 0], 2),
        _ => ([groups[0] | 0x80, groups[1] | 0x80, groups[2]], 3),
    }
}
