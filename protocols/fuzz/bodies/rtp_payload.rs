//! RTP payloads of every format, into units and back: whatever comes, units keep their promises and payloads their size.

use bytes::Bytes;
use headwater_protocols::limits::{RTP_PAYLOAD_BYTES_MIN, RTP_UNIT_BYTES_MAX};
use headwater_protocols::rtp::{Depacketizer, Packet, Packetizer, Rewrite, Sequence, Ticks, header};
use headwater_protocols::track::{Codec, Medium, Track};
use headwater_protocols::unit::{AccessUnit, MediaTime, Parts};

/// Headers that a JPEG image is given, beyond what was received.
const JPEG_HEADER_BYTES_MAX: usize = 1024;

/// The formats, with their parameters.
const FORMATS: [(Codec, &str); 22] = [
    (Codec::H264, "packetization-mode=1"),
    (Codec::H265, ""),
    (Codec::H265, "sprop-max-don-diff=1"),
    (Codec::Av1, ""),
    (Codec::Vp9, ""),
    (Codec::Vp8, ""),
    (Codec::Mjpeg, ""),
    (Codec::MpegVideo, ""),
    (Codec::Mpeg4Video, ""),
    (Codec::Klv, ""),
    (Codec::Aac, "mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1190"),
    (Codec::Aac, "mode=AAC-lbr;sizelength=6;indexlength=2;indexdeltalength=2"),
    (
        Codec::Aac,
        "sizelength=32;indexlength=32;ctsdeltalength=9;randomaccessindication=1;auxiliarydatasizelength=7",
    ),
    (Codec::Aac, "constantsize=20;constantduration=240"),
    (Codec::AacLatm, "cpresent=0;config=400023103fc0"),
    (Codec::AacLatm, "cpresent=1"),
    (Codec::MpegAudio, ""),
    (Codec::Ac3, ""),
    (Codec::Opus, ""),
    (Codec::Pcmu, ""),
    (Codec::Lpcm { bits: 24 }, ""),
    (Codec::Lpcm { bits: 16 }, ""),
];

fn track(choice: u8) -> Track {
    let (codec, parameters) = &FORMATS[usize::from(choice) % FORMATS.len()];
    Track {
        medium: Medium::Audio,
        codec: codec.clone(),
        clock_rate: 48_000,
        channels: 2,
        payload_type: 96,
        format_parameters: (*parameters).into(),
        rtpmap: "".into(),
        attributes: Vec::new(),
    }
}

/// The first byte chooses the format. Then packets: flags (marker, a loss before it, another timestamp), a size, and the
/// payload.
pub fn depacketize(data: &[u8]) {
    let Some((&choice, mut rest)) = data.split_first() else { return };
    let track = track(choice);
    let mut depacketizer = Depacketizer::new(&track).expect("a format of the list");
    let mut packetizer = Packetizer::new(&track, 300);
    let (mut sequence, mut timestamp) = (Sequence(0xFFF0), Ticks(0xFFFF_0000));
    let mut received = 0;
    while let [flags, size, after @ ..] = rest {
        let (payload, after) = after.split_at(after.len().min(usize::from(*size)));
        rest = after;
        received += payload.len();
        sequence = sequence.advance(if flags & 2 == 0 { 1 } else { 2 });
        timestamp = timestamp.advance(if flags & 4 == 0 { 0 } else { 3000 });
        for (_, parts) in push(&mut depacketizer, sequence, timestamp, flags & 1 == 1, payload) {
            assert!(!parts.is_empty() && parts.iter().all(|part| !part.is_empty()));
            let bytes = parts.iter().map(Bytes::len).sum::<usize>();
            assert!(bytes <= RTP_UNIT_BYTES_MAX && bytes <= 2 * received + JPEG_HEADER_BYTES_MAX);
            if let Some(packetizer) = &mut packetizer {
                packets(packetizer, parts, 300);
            }
        }
        assert!(depacketizer.configuration().is_none() || track.codec == Codec::AacLatm);
    }
}

/// The first byte chooses the format, the second the size of payloads. Then units of a part or more: a number of parts,
/// and for each its size in two bytes and its bytes.
pub fn packetize(data: &[u8]) {
    let [choice, size, rest @ ..] = data else { return };
    let track = track(*choice);
    let bytes_max = RTP_PAYLOAD_BYTES_MIN + usize::from(*size) * 5;
    let Some(mut packetizer) = Packetizer::new(&track, bytes_max) else { return };
    let mut depacketizer = Depacketizer::new(&track).expect("a format of the list");
    let is_opaque = matches!(track.codec, Codec::Vp8 | Codec::Vp9 | Codec::Opus);
    let (mut rest, mut sequence, mut timestamp) = (rest, Sequence(0), Ticks(0));
    while let [count, after @ ..] = rest {
        rest = after;
        let mut parts = Parts::new();
        let count = if is_opaque { 1 } else { 1 + count % 16 };
        for _ in 0..count {
            let [high, low, after @ ..] = rest else { break };
            let bytes = usize::from(u16::from_be_bytes([*high & 0x0F, *low]));
            let (part, after) = after.split_at(after.len().min(bytes));
            rest = after;
            if !part.is_empty() {
                parts.push(Bytes::copy_from_slice(part));
            }
        }
        if parts.is_empty() {
            continue;
        }
        timestamp = timestamp.advance(3000);
        let mut found = Vec::new();
        let (sent, is_complete) = packets(&mut packetizer, parts.clone(), bytes_max);
        for (marker, payload) in sent {
            sequence = sequence.next();
            found.extend(push(&mut depacketizer, sequence, timestamp, marker, &payload));
        }
        if is_opaque && is_complete {
            assert_eq!(found, [(timestamp, parts)]);
        }
    }
}

/// What the packetizer makes of a unit: marker and payload of each packet, and whether it took all of it.
fn packets(packetizer: &mut Packetizer, parts: Parts, bytes_max: usize) -> (Vec<(bool, Vec<u8>)>, bool) {
    let time = MediaTime::new(0, 48_000);
    let unit = AccessUnit { pts: time, dts: time, random_access: true, configuration: None, parts };
    let mut sent = Vec::new();
    let result = packetizer.packetize(&unit, |marker, _, pieces| sent.push((marker, pieces.concat())));
    match result {
        Ok(()) => assert!(!sent.is_empty()),
        Err(error) => assert!(!error.kind().is_empty() && !error.to_string().is_empty()),
    }
    assert!(sent.iter().all(|(_, payload)| !payload.is_empty() && payload.len() <= bytes_max));
    (sent, result.is_ok())
}

fn push(
    depacketizer: &mut Depacketizer,
    sequence: Sequence,
    timestamp: Ticks,
    marker: bool,
    payload: &[u8],
) -> Vec<(Ticks, Parts)> {
    let fields = Rewrite { payload_type: 96, sequence, timestamp, ssrc: 1 };
    let bytes = Bytes::from([&header(marker, fields)[..], payload].concat());
    let packet = Packet::parse(&bytes).expect("a packet");
    let mut out = Vec::new();
    if let Err(error) = depacketizer.push(&packet, bytes.slice(12..), &mut out) {
        assert!(!error.kind().is_empty() && !error.to_string().is_empty());
    }
    out
}
