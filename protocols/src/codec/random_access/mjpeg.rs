//! Motion JPEG (payload format: RFC 2435, section 3.1).

/// Whether the payload starts a picture: every picture stands alone, and its first packet has fragment offset 0.
///
/// ```text
/// | type-specific |              fragment offset                  |
/// |      type     |       Q       |     width     |     height    |
/// ```
pub(super) fn is_random_access(payload: &[u8]) -> bool {
    payload.len() >= 8 && payload[1..4] == [0; 3]
}
