//! VP8 (payload format: RFC 7741, section 4.2; frame header: RFC 6386, section 9.1).

/// Whether the payload starts a key frame. Only a frame's first packet tells.
///
/// ```text
/// |X|R|N|S|R| PID |   the descriptor
/// |I|L|T|K| RSV   |   X: which of these follow
/// |M| PictureID   |   I: 7 or, with M, 15 bits
/// |   TL0PICIDX   |   L
/// |TID|Y| KEYIDX  |   T or K
/// |Size0|H| VER |P|   of the frame: P is 0 for a key frame
/// ```
pub(super) fn is_random_access(payload: &[u8]) -> bool {
    starts_key_frame(payload).unwrap_or(false)
}

fn starts_key_frame(payload: &[u8]) -> Option<bool> {
    let (&descriptor, mut rest) = payload.split_first()?;
    let starts_frame = descriptor & 0x10 != 0 && descriptor & 0x07 == 0;
    if !starts_frame {
        return Some(false);
    }
    if descriptor & 0x80 != 0 {
        let (&fields, after) = rest.split_first()?;
        rest = after;
        if fields & 0x80 != 0 {
            let picture_id_bytes = if rest.first()? & 0x80 != 0 { 2 } else { 1 };
            rest = rest.get(picture_id_bytes..)?;
        }
        if fields & 0x40 != 0 {
            rest = rest.get(1..)?;
        }
        if fields & 0x30 != 0 {
            rest = rest.get(1..)?;
        }
    }
    Some(rest.first()? & 0x01 == 0)
}
