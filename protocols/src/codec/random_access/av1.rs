//! AV1 (payload format: the Alliance's "RTP Payload Format For AV1", section 4; OBUs: AV1 specification, 5.3 and 5.9).
//!
//! Decoding can start at a new coded video sequence: its first packet says so (N). For senders that never set N, a
//! sequence header followed by a shown key frame counts.

const OBU_SEQUENCE_HEADER: u8 = 1;
const OBU_TEMPORAL_DELIMITER: u8 = 2;
const OBU_FRAME_HEADER: u8 = 3;
const OBU_METADATA: u8 = 5;
const OBU_FRAME: u8 = 6;

/// Bits of the aggregation header, `|Z|Y| W |N|-|-|-|`.
const CONTINUES: u8 = 0x80;
const NEW_SEQUENCE: u8 = 0x08;

/// The state of one track.
#[derive(Clone, Debug, Default)]
pub(super) struct RandomAccess {
    /// A sequence header came in this temporal unit, and no frame yet.
    after_sequence_header: bool,
}

impl RandomAccess {
    pub(super) fn inspect(&mut self, payload: &[u8], marker: bool) -> bool {
        let random = payload.first().is_some_and(|header| header & NEW_SEQUENCE != 0)
            || self.starts_key_frame(payload);
        if marker {
            self.after_sequence_header = false;
        }
        random
    }

    /// Walks the OBU elements of the packet.
    fn starts_key_frame(&mut self, payload: &[u8]) -> bool {
        let mut elements = Elements::new(payload);
        if payload.first().is_some_and(|header| header & CONTINUES != 0) {
            // The rest of an OBU whose header came before.
            elements.next();
        }
        for element in elements {
            let Some((kind, body)) = obu(element) else {
                continue;
            };
            match kind {
                OBU_SEQUENCE_HEADER => self.after_sequence_header = true,
                OBU_TEMPORAL_DELIMITER | OBU_METADATA => {}
                OBU_FRAME | OBU_FRAME_HEADER => {
                    let key = self.after_sequence_header
                        && body.first().is_some_and(|&first| is_shown_key_frame(first));
                    self.after_sequence_header = false;
                    if key {
                        return true;
                    }
                }
                _ => self.after_sequence_header = false,
            }
        }
        false
    }
}

/// First bits of the frame header (5.9.2): `show_existing_frame` 0, `frame_type` KEY_FRAME (0), `show_frame` 1. With a
/// reduced still picture header none of them is there; such a stream is one picture, and N marks it.
fn is_shown_key_frame(first: u8) -> bool {
    first >> 4 == 0b0001
}

/// Type and body of an OBU. Its size field is optional, since the element's length says it already.
fn obu(element: &[u8]) -> Option<(u8, &[u8])> {
    let (&header, mut rest) = element.split_first()?;
    if header & 0x04 != 0 {
        rest = rest.get(1..)?;
    }
    if header & 0x02 != 0 {
        rest = leb128(rest)?.1;
    }
    Some((header >> 3 & 0x0F, rest))
}

/// The OBU elements of a payload: W of them, or, with W 0, as many as there are. Each has its length before it, but
/// with W above 0 the last has not.
struct Elements<'a> {
    rest: &'a [u8],
    /// Elements to come; `None` for W 0.
    remaining: Option<u8>,
}

impl<'a> Elements<'a> {
    fn new(payload: &'a [u8]) -> Elements<'a> {
        let (count, rest) =
            payload.split_first().map_or((0, payload), |(&header, rest)| (header >> 4 & 3, rest));
        Elements { rest, remaining: (count > 0).then_some(count) }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        if let Some(remaining) = &mut self.remaining {
            *remaining = remaining.checked_sub(1)?;
            if *remaining == 0 {
                return Some(std::mem::take(&mut self.rest));
            }
        }
        let element =
            leb128(self.rest).and_then(|(size, rest)| rest.split_at_checked(usize::try_from(size).ok()?));
        let (element, rest) = element.unwrap_or_default();
        self.rest = rest;
        (!element.is_empty() || !rest.is_empty()).then_some(element)
    }
}

/// A little-endian number in groups of seven bits, at most eight bytes (AV1 specification, 4.10.5).
fn leb128(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}
