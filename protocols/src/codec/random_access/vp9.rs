//! VP9 (payload format: RFC 9628, section 4.2; frame header: VP9 bitstream specification, 6.2).

const PICTURE_ID: u8 = 0x80;
const PREDICTED: u8 = 0x40;
const LAYERS: u8 = 0x20;
const FLEXIBLE: u8 = 0x10;
const BEGINS: u8 = 0x08;
const STRUCTURE: u8 = 0x02;

/// Whether the payload begins a key frame of the base layer. Only the first packet of that layer frame tells.
///
/// That nothing before it is predicted from (P 0) is not enough: intra-only frames leave references unset, and the
/// payloaders of pion and webrtc-rs never set P. So the frame's own header decides.
///
/// ```text
/// |I|P|L|F|B|E|V|Z|   the descriptor
/// |M| PictureID   |   I: 7 or, with M, 15 bits
/// | TID |U| SID |D|   L: temporal and spatial layer
/// |   TL0PICIDX   |   L and not F
/// | P_DIFF      |N|   P and F
/// | N_S |Y|G|-|-|-|   V: the scalability structure
/// ```
pub(super) fn is_random_access(payload: &[u8]) -> bool {
    begins_key_frame(payload).unwrap_or(false)
}

fn begins_key_frame(payload: &[u8]) -> Option<bool> {
    let (&descriptor, mut rest) = payload.split_first()?;
    if descriptor & BEGINS == 0 || descriptor & PREDICTED != 0 {
        return Some(false);
    }
    if descriptor & PICTURE_ID != 0 {
        let picture_id_bytes = if rest.first()? & 0x80 != 0 { 2 } else { 1 };
        rest = rest.get(picture_id_bytes..)?;
    }
    if descriptor & LAYERS != 0 {
        let spatial = rest.first()? >> 1 & 0x07;
        if spatial != 0 {
            return Some(false);
        }
        rest = rest.get(if descriptor & FLEXIBLE == 0 { 2 } else { 1 }..)?;
    }
    if descriptor & STRUCTURE != 0 {
        rest = skip_structure(rest)?;
    }
    rest.first().map(|&first| is_key_frame(first))
}

/// Steps over the scalability structure (RFC 9628, 4.2.1): with Y four bytes of size for each of N_S + 1 layers; with
/// G a count of pictures, and for each a byte that tells how many P_DIFF bytes follow it.
fn skip_structure(bytes: &[u8]) -> Option<&[u8]> {
    let (&fields, mut rest) = bytes.split_first()?;
    if fields & 0x10 != 0 {
        rest = rest.get(4 * (usize::from(fields >> 5) + 1)..)?;
    }
    if fields & 0x08 != 0 {
        let (&pictures, after) = rest.split_first()?;
        rest = after;
        for _ in 0..pictures {
            let references = usize::from(*rest.first()? >> 2 & 3);
            rest = rest.get(1 + references..)?;
        }
    }
    Some(rest)
}

/// First byte of the uncompressed header: marker 10, two bits of profile (3 has one more, reserved), then
/// `show_existing_frame` and `frame_type`, both 0 for a key frame.
fn is_key_frame(first: u8) -> bool {
    let reserved_bits = if first & 0x30 == 0x30 { 1 } else { 0 };
    first >> 6 == 0b10 && first << (4 + reserved_bits) >> 6 == 0
}
