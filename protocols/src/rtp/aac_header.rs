//! The AU header section of MPEG-4 generic payloads (RFC 3640, sections 3.2.1 and 4.1), as `a=fmtp` shapes it.
//!
//! ```text
//! | AU-headers-length 16 | AU-header | AU-header | ... | padding | auxiliary section | access units |
//! AU-header: | AU-size | AU-Index / -delta | CTS-flag [CTS-delta] | DTS-flag [DTS-delta] | RAP | stream state |
//! ```

use super::format;

/// Widths of the fields in bits, each 0 to 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) size: u32,
    pub(super) index: u32,
    pub(super) index_delta: u32,
    pub(super) cts_delta: u32,
    pub(super) dts_delta: u32,
    pub(super) random_access: u32,
    pub(super) stream_state: u32,
    pub(super) auxiliary_size: u32,
    /// Bytes of each access unit where no header tells; 0 otherwise.
    pub(super) constant_size: usize,
}

/// The most bits a field may have: none is defined with more.
const FIELD_BITS_MAX: u32 = 32;

impl Shape {
    /// From `a=fmtp`. Where it says nothing, the widths of the mode AAC-hbr are assumed, as all senders use them.
    /// `None`: a field is too wide, or neither a size nor a constant size is there.
    pub(super) fn from_format_parameters(parameters: &str) -> Option<Shape> {
        let low_bit_rate =
            format::parameter(parameters, "mode").is_some_and(|mode| mode.eq_ignore_ascii_case("AAC-lbr"));
        let constant_size = format::number(parameters, "constantSize").unwrap_or(0);
        let announced = ["sizeLength", "indexLength", "indexDeltaLength", "constantSize"]
            .iter()
            .any(|name| format::parameter(parameters, name).is_some());
        let default = match (announced, low_bit_rate) {
            (true, _) => (0, 0, 0),
            (false, true) => (6, 2, 2),
            (false, false) => (13, 3, 3),
        };
        let bits = |name, default| {
            format::parameter(parameters, name)
                .map_or(Some(default), |value| value.parse().ok())
                .filter(|&bits| bits <= FIELD_BITS_MAX)
        };
        let shape = Shape {
            size: bits("sizeLength", default.0)?,
            index: bits("indexLength", default.1)?,
            index_delta: bits("indexDeltaLength", default.2)?,
            cts_delta: bits("CTSDeltaLength", 0)?,
            dts_delta: bits("DTSDeltaLength", 0)?,
            random_access: bits("randomAccessIndication", 0)?.min(1),
            stream_state: bits("streamStateIndication", 0)?,
            auxiliary_size: bits("auxiliaryDataSizeLength", 0)?,
            constant_size: usize::try_from(constant_size).ok()?,
        };
        (shape.size > 0 || shape.constant_size > 0).then_some(shape)
    }

    /// Bits of the header of a packet's first access unit as this server writes it: flags clear, so no deltas.
    pub(super) fn first_header_bits(&self) -> u32 {
        let flags = u32::from(self.cts_delta > 0) + u32::from(self.dts_delta > 0);
        self.size + self.index + flags + self.random_access + self.stream_state
    }

    /// Whether there is a header section at all.
    pub(super) fn has_headers(&self) -> bool {
        self.first_header_bits() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::Shape;

    #[test]
    fn shapes_of_announcements() {
        let shape = |parameters| Shape::from_format_parameters(parameters);
        let high =
            shape("profile-level-id=1; mode=AAC-hbr; sizelength=13; indexlength=3; indexdeltalength=3")
                .unwrap();
        assert_eq!((high.size, high.index, high.index_delta, high.first_header_bits()), (13, 3, 3, 16));
        assert_eq!(shape(""), Some(high), "nothing said: AAC-hbr");
        let low = shape("mode=AAC-lbr").unwrap();
        assert_eq!((low.size, low.index, low.index_delta), (6, 2, 2));
        let celp = shape("mode=CELP-cbr; constantSize=27; constantDuration=240").unwrap();
        assert!(!celp.has_headers() && celp.constant_size == 27);
        assert_eq!(shape("sizeLength=33"), None);
        assert_eq!(shape("indexLength=3"), None);
    }
}
