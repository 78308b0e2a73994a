//! MPEG-1 and MPEG-2 video (payload format: RFC 2250, section 3.4).

const PICTURE_TYPE_INTRA: u8 = 1;

/// Whether the payload belongs to an intra-coded picture: every packet of it tells.
///
/// ```text
/// |   MBZ   |T|         TR        |AN|N|S|B|E|  P  | | BFC | | FFC |
/// ```
pub(super) fn is_random_access(payload: &[u8]) -> bool {
    payload.first_chunk::<4>().is_some_and(|header| header[2] & 0x07 == PICTURE_TYPE_INTRA)
}
