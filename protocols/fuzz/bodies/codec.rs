//! Random access: no payload does harm, and a unit is judged alike alone, aggregated and fragmented.

use headwater_protocols::codec::RandomAccess;
use headwater_protocols::track::Codec;

const CODECS: [Codec; 9] = [
    Codec::H264,
    Codec::H265,
    Codec::Av1,
    Codec::Vp8,
    Codec::Vp9,
    Codec::Mjpeg,
    Codec::Mpeg4Video,
    Codec::MpegVideo,
    Codec::Opus,
];

/// First byte: codec. Then packets: a byte of length and marker, and the payload.
pub fn codec(data: &[u8]) {
    let Some((&choice, mut rest)) = data.split_first() else {
        return;
    };
    let codec = &CODECS[usize::from(choice) % CODECS.len()];
    let mut access = RandomAccess::new(codec);
    while let Some((&header, after)) = rest.split_first() {
        let length = usize::from(header & 0x7F).min(after.len());
        let (payload, after) = after.split_at(length);
        access.inspect(payload, header & 0x80 != 0);
        check(codec, payload);
        rest = after;
    }
    if let Some(all) = data.get(1..) {
        check(codec, all);
    }
}

fn check(codec: &Codec, payload: &[u8]) {
    let alone = inspect(codec, payload);
    let size = payload.len() as u16;
    match (codec, payload) {
        (Codec::H264, [header, body @ ..]) if header & 0x1F < 24 => {
            let unit = [&size.to_be_bytes(), payload].concat();
            assert_eq!(inspect(codec, &[&[24][..], &unit].concat()), alone, "STAP-A of {payload:02x?}");
            assert_eq!(inspect(codec, &[&[24, 0, 1, 1][..], &unit].concat()), alone, "second in STAP-A");
            assert_eq!(inspect(codec, &[&[25, 0, 0][..], &unit].concat()), alone, "STAP-B of {payload:02x?}");
            for (kind, skipped) in [(26, 3), (27, 4)] {
                let mtap = [&[kind, 0, 0][..], &size.to_be_bytes(), &[9; 4][..skipped], payload].concat();
                assert_eq!(inspect(codec, &mtap), alone, "MTAP of {payload:02x?}");
            }
            let start = 0x80 | header & 0x1F;
            assert_eq!(inspect(codec, &[&[28, start][..], body].concat()), alone, "FU-A of {payload:02x?}");
            assert_eq!(
                inspect(codec, &[&[29, start, 0, 0][..], body].concat()),
                alone,
                "FU-B of {payload:02x?}"
            );
        }
        (Codec::H265, [first, _, body @ ..]) if first >> 1 & 0x3F < 48 => {
            let unit = [&size.to_be_bytes(), payload].concat();
            assert_eq!(inspect(codec, &[&[96, 1][..], &unit].concat()), alone, "AP of {payload:02x?}");
            let kind = first >> 1 & 0x3F;
            assert_eq!(
                inspect(codec, &[&[98, 1, 0x80 | kind][..], body].concat()),
                alone,
                "FU of {payload:02x?}"
            );
            assert_eq!(
                inspect(codec, &[&[100, 1, kind << 1, 0][..], body].concat()),
                alone,
                "PACI of {payload:02x?}"
            );
        }
        (Codec::Opus, _) => assert!(alone),
        _ => {}
    }
}

fn inspect(codec: &Codec, payload: &[u8]) -> bool {
    RandomAccess::new(codec).inspect(payload, false)
}
