//! VP8 (RFC 7741, section 4.2). Partitions follow one another as they do in the frame.
//!
//! ```text
//! |X|R|N|S|R| PID |   the descriptor; S starts a partition
//! |I|L|T|K| RSV   |   X: which of these follow
//! |M| PictureID   |   I: 7 or, with M, 15 bits
//! |   TL0PICIDX   |   L
//! |TID|Y| KEYIDX  |   T or K
//! ```

use bytes::Bytes;

use super::assembly::{Assembly, State};
use super::{Error, invalid};

/// Adds one payload to the unit in progress.
pub(super) fn packet(assembly: &mut Assembly, payload: &Bytes) -> Result<(), Error> {
    let (header_bytes, starts_frame) = descriptor(payload).ok_or(invalid("VP8 payload descriptor"))?;
    assembly.resolve(starts_frame);
    if assembly.state() == State::Whole && !starts_frame && !assembly.has_fragments() {
        return Err(invalid("VP8 frame without its beginning"));
    }
    assembly.fragment(payload.slice(header_bytes..))
}

/// Its bytes, and whether the frame starts behind it.
fn descriptor(payload: &[u8]) -> Option<(usize, bool)> {
    let &first = payload.first()?;
    let mut bytes = 1;
    if first & 0x80 != 0 {
        let &fields = payload.get(bytes)?;
        bytes += 1;
        if fields & 0x80 != 0 {
            bytes += if payload.get(bytes)? & 0x80 != 0 { 2 } else { 1 };
        }
        bytes += usize::from(fields & 0x40 != 0) + usize::from(fields & 0x30 != 0);
    }
    (bytes < payload.len()).then_some((bytes, first & 0x10 != 0 && first & 0x07 == 0))
}
