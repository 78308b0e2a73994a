//! MPEG-1 and MPEG-2 video (RFC 2250, section 3.4): cut between slices where that is possible.
//!
//! ```text
//! |    MBZ  |T|         TR        | |N|S|B|E|  P  | | BFC | | FFC |
//!                                  AN              FBV     FFV
//! ```

use bytes::Bytes;

use super::Error;

const HEADER_BYTES: usize = 4;
const PICTURE: u8 = 0x00;
const SLICES: std::ops::RangeInclusive<u8> = 0x01..=0xAF;
const SEQUENCE: u8 = 0xB3;
/// Bits of the third header byte.
const HAS_SEQUENCE: u8 = 0x20;
const BEGINS_SLICE: u8 = 0x10;
const ENDS_SLICE: u8 = 0x08;

/// The packets of one picture; the last one is marked.
pub(super) fn packetize(
    picture: &Bytes,
    bytes_max: usize,
    each: &mut impl FnMut(bool, u32, &[&[u8]]),
) -> Result<(), Error> {
    let invalid = Error::Invalid { what: "MPEG picture without its header" };
    let mut codes = start_codes(picture, 0);
    let (at, _) = codes.find(|(_, code)| *code == PICTURE).ok_or(invalid)?;
    let fields = fields(&picture[at + 4..]).ok_or(invalid)?;
    let piece_bytes = bytes_max - HEADER_BYTES;
    let (mut start, mut begins) = (0, true);
    while start < picture.len() {
        let end = picture.len().min(start + piece_bytes);
        let whole = (end == picture.len()).then_some(end);
        let cut = match begins {
            true => whole.or_else(|| slices(picture, start, end).skip(1).last()),
            // A slice may not follow on the end of a fragmented one.
            false => slices(picture, start, end).find(|at| *at > start).or(whole),
        };
        let stop = cut.unwrap_or(end);
        let piece = &picture[start..stop];
        let mut header = fields;
        if start_codes(piece, 0).any(|(_, code)| code == SEQUENCE) {
            header[2] |= HAS_SEQUENCE;
        }
        header[2] |= if begins { BEGINS_SLICE } else { 0 } | if cut.is_some() { ENDS_SLICE } else { 0 };
        each(stop == picture.len(), 0, &[&header, piece]);
        begins = cut.is_some();
        start = stop;
    }
    Ok(())
}

/// Where slices begin in a packet, or right behind it. Headers stay with the slice behind them, so the first one of a
/// packet that begins with headers or a slice is no place to cut.
fn slices(picture: &[u8], start: usize, end: usize) -> impl Iterator<Item = usize> {
    let window = &picture[..picture.len().min(end + 4)];
    start_codes(window, start).filter(|(_, code)| SLICES.contains(code)).map(|(at, _)| at)
}

/// What the picture header (ISO/IEC 13818-2, 6.2.3) says for every packet: temporal reference, type, motion vector codes.
fn fields(picture_header: &[u8]) -> Option<[u8; HEADER_BYTES]> {
    let bytes = picture_header.get(..4)?;
    let reference = u16::from_be_bytes([bytes[0], bytes[1]]) >> 6;
    let picture_type = bytes[1] >> 3 & 7;
    // full_pel and f_code, forward behind 29 bits, and backward behind those.
    let fifth = picture_header.get(4).copied().unwrap_or(0);
    let forward = if matches!(picture_type, 2 | 3) { (bytes[3] & 7) << 1 | fifth >> 7 } else { 0 };
    let backward = if picture_type == 3 { fifth >> 3 & 0x0F } else { 0 };
    let [high, low] = reference.to_be_bytes();
    Some([high, low, picture_type, backward << 4 | forward])
}

/// Places and values of start codes, from `from` on.
fn start_codes(bytes: &[u8], from: usize) -> impl Iterator<Item = (usize, u8)> {
    let mut at = from;
    std::iter::from_fn(move || {
        while let Some(window) = bytes.get(at..at + 4) {
            match window {
                [0, 0, 1, code] => {
                    at += 4;
                    return Some((at - 4, *code));
                }
                // A third byte above 1 is no part of any start code.
                [_, _, 2..=255, _] => at += 3,
                _ => at += 1,
            }
        }
        None
    })
}
