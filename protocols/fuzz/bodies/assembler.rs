//! Access units of any parts at any times keep the promises of their type.

use bytes::Bytes;
use headwater_protocols::codec::Assembler;
use headwater_protocols::track::Codec;
use headwater_protocols::unit::{MediaTime, Parts};

const CODECS: [Codec; 11] = [
    Codec::H264,
    Codec::H265,
    Codec::Av1,
    Codec::Vp8,
    Codec::Vp9,
    Codec::Mjpeg,
    Codec::Mpeg4Video,
    Codec::MpegVideo,
    Codec::MpegAudio,
    Codec::Ac3,
    Codec::Opus,
];

/// First byte: codec. Then units: a byte of flags and the time's step, a byte of parts, and each part after its length
/// in two bytes.
pub fn assembler(data: &[u8]) {
    let mut rest = data.iter().copied();
    let Some(choice) = rest.next() else { return };
    let codec = &CODECS[usize::from(choice) % CODECS.len()];
    let mut assembler = Assembler::new(codec, 90_000, None);
    let mut pts = 0;
    let mut last = None;
    while let (Some(flags), Some(count)) = (rest.next(), rest.next()) {
        pts = match flags {
            0xFE => i64::MAX,
            0xFF => i64::MIN,
            step => pts.saturating_add((i64::from(step & 0x3F) - 16) * 900),
        };
        let mut parts = Parts::new();
        for _ in 0..count % 8 {
            let (high, low) = (rest.next().unwrap_or(0), rest.next().unwrap_or(0));
            let length = usize::from(u16::from_be_bytes([high, low]));
            parts.push(rest.by_ref().take(length).collect::<Bytes>());
        }
        let told = (flags & 0x40 != 0).then(|| MediaTime::new(pts.saturating_sub(900), 90_000));
        let Some(unit) = assembler.unit(MediaTime::new(pts, 90_000), told, parts) else {
            continue;
        };
        assert!(unit.dts <= unit.pts && last.is_none_or(|last| last <= unit.dts), "{unit:?} after {last:?}");
        assert!(!unit.parts.is_empty() && unit.parts.iter().all(|part| !part.is_empty()));
        last = Some(unit.dts);
    }
}
