//! MPEG-1 and MPEG-2 video (RFC 2250, section 3.4): the payloads without their headers, one behind the other.
//!
//! ```text
//! |    MBZ  |T|         TR        | |N|S|B|E|  P  | | BFC | | FFC |
//!                                  AN              FBV     FFV       T: four bytes of MPEG-2 extensions follow
//! ```

use bytes::Bytes;

use super::assembly::{Assembly, State};
use super::{Error, invalid};

const EXTENDED: u8 = 0x04;

/// Start codes of picture, sequence and group of pictures (ISO/IEC 13818-2, table 6-1).
const BEGINNINGS: [u8; 3] = [0x00, 0xB3, 0xB8];

/// Adds one payload to the unit in progress.
pub(super) fn packet(assembly: &mut Assembly, payload: &Bytes) -> Result<(), Error> {
    let &[first, _, _, _] = payload.first_chunk().ok_or(invalid("MPEG video header"))?;
    let header_bytes = if first & EXTENDED != 0 { 8 } else { 4 };
    if payload.len() <= header_bytes {
        return Err(invalid("MPEG video header"));
    }
    let piece = payload.slice(header_bytes..);
    let begins = matches!(*piece, [0, 0, 1, code, ..] if BEGINNINGS.contains(&code));
    assembly.resolve(begins);
    if assembly.state() == State::Whole && !begins && !assembly.has_fragments() {
        return Err(invalid("MPEG picture without its beginning"));
    }
    assembly.fragment(piece)
}
