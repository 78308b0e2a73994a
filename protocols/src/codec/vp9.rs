//! VP9 (payload format: RFC 9628, section 4.2).

const PICTURE_ID: u8 = 0x80;
const PREDICTED: u8 = 0x40;
const LAYERS: u8 = 0x20;
const BEGINS: u8 = 0x08;

/// Whether the payload begins the base layer of a picture that predicts from none before it. Only the first packet
/// of that layer frame tells.
///
/// ```text
/// |I|P|L|F|B|E|V|Z|   the descriptor
/// |M| PictureID   |   I: 7 or, with M, 15 bits
/// | TID |U| SID |D|   L: temporal and spatial layer
/// ```
pub(super) fn is_random_access(payload: &[u8]) -> bool {
    begins_key_picture(payload).unwrap_or(false)
}

fn begins_key_picture(payload: &[u8]) -> Option<bool> {
    let (&descriptor, mut rest) = payload.split_first()?;
    if descriptor & BEGINS == 0 || descriptor & PREDICTED != 0 {
        return Some(false);
    }
    if descriptor & PICTURE_ID != 0 {
        let picture_id_bytes = if rest.first()? & 0x80 != 0 { 2 } else { 1 };
        rest = rest.get(picture_id_bytes..)?;
    }
    if descriptor & LAYERS == 0 {
        return Some(true);
    }
    let spatial = rest.first()? >> 1 & 0x07;
    Some(spatial == 0)
}
