use super::{Error, Framing, Run, Sample, fragment, init, read};
use crate::codec::{Configuration, configuration};
use crate::unit::{AccessUnit, MediaTime};
use bytes::Bytes;

/// 320 × 180, main profile (`ffmpeg -f lavfi -i testsrc2=s=320x180:r=25 -c:v libx264 -profile:v main`).
const SPS: &[u8] = &[
    0x67, 0x4d, 0x40, 0x0c, 0xec, 0xa0, 0xa0, 0xcf, 0xcf, 0x80, 0x88, 0, 0, 3, 0, 8, 0, 0, 3, 1, 0x90, 0x78,
    0xa1, 0x4c, 0xb0,
];
const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x20];

fn h264() -> Configuration {
    Configuration::H264(configuration::H264 {
        sps: Bytes::from_static(SPS),
        pps: vec![Bytes::from_static(PPS)],
    })
}

fn opus() -> Configuration {
    Configuration::Opus(configuration::Opus { channels: 2, pre_skip: 312 })
}

fn unit(parts: &[Bytes], random_access: bool) -> AccessUnit {
    let time = MediaTime::new(0, 90_000);
    AccessUnit { pts: time, dts: time, random_access, configuration: None, parts: parts.into() }
}

fn joined(pieces: &[Bytes]) -> Vec<u8> {
    pieces.concat()
}

#[test]
fn an_initialization_segment_is_read_again() {
    let (h264, opus, aac) = (h264(), opus(), Configuration::Aac(configuration::Aac::new(2, 44_100, 2)));
    let flac = Configuration::Flac(configuration::Flac {
        stream_info: Bytes::from_static(&[0x10; 34]),
        sample_rate: 96_000,
        channels: 2,
        bits: 24,
    });
    let file = init(&[&h264, &opus, &aac, &flac]).unwrap();
    let tracks = read::tracks(&file).unwrap();
    let found =
        tracks.iter().map(|track| (track.id, track.timescale, &track.sample_entry)).collect::<Vec<_>>();
    let expected = [(1, 90_000, b"avc1"), (2, 48_000, b"Opus"), (3, 44_100, b"mp4a"), (4, 96_000, b"fLaC")];
    assert_eq!(found, expected);
    let Configuration::H264(parameters) = &h264 else { unreachable!() };
    assert_eq!(tracks[0].record, parameters.avcc());
    // dOps (4.3.2 of the Opus encapsulation): version 0, channels, pre-skip, input rate, gain, mapping family 0.
    assert_eq!(tracks[1].record, [0, 2, 0x01, 0x38, 0, 0, 0xBB, 0x80, 0, 0, 0]);
    // AudioSpecificConfig of AAC-LC at 44.1 kHz in stereo, in its descriptors.
    assert_eq!(tracks[2].record[tracks[2].record.len() - 13..][..7], [5, 0x80, 0x80, 0x80, 2, 0x12, 0x10]);
    assert_eq!(tracks[3].record[..8], [0, 0, 0, 0, 0x80, 0, 0, 34]);
}

#[test]
fn codecs_without_a_place_are_refused() {
    assert_eq!(init(&[&Configuration::Klv]), Err(Error::Unsupported { what: "codec" }));
}

#[test]
fn a_fragment_is_read_again() {
    let slice = Bytes::from(vec![0x41; 300]);
    let tiny = Bytes::from_static(&[0x06, 5, 1, 0x80]);
    let key = unit(&[Bytes::from_static(SPS), Bytes::from_static(PPS), tiny.clone(), slice.clone()], true);
    let other = unit(std::slice::from_ref(&slice), false);
    let sound = unit(&[Bytes::from(vec![0xFC; 120])], true);
    let video = vec![
        Sample::new(Framing::H264, &key, 3600, 7200).unwrap(),
        Sample::new(Framing::H264, &other, 3600, -3600).unwrap(),
        Sample::new(Framing::H264, &other, 3000, 0).unwrap(),
    ];
    let audio = (0..3).map(|_| Sample::new(Framing::Plain, &sound, 960, 0).unwrap()).collect();
    let runs = vec![
        Run { track_id: 1, decode_time: 1 << 40, samples: video },
        Run { track_id: 2, decode_time: 77, samples: audio },
    ];
    let mut pieces = Vec::new();
    fragment(9, true, runs, &mut pieces).unwrap();
    let shared = pieces.iter().any(|piece| piece.as_ptr() == slice.as_ptr());
    assert!(shared, "payloads are slices, not copies");
    let bytes = joined(&pieces);
    let kinds = read::boxes(&bytes).map(|found| found.unwrap().kind).collect::<Vec<_>>();
    assert_eq!(kinds, [*b"styp", *b"moof", *b"mdat"]);
    let [read] = &read::fragments(&bytes).unwrap()[..] else { panic!("one fragment") };
    assert_eq!((read.sequence, read.runs[0].decode_time, read.runs[1].decode_time), (9, 1 << 40, 77));
    let sample = |run: usize, index: usize| &read.runs[run].samples[index];
    let times = read.runs[0].samples.iter().map(|sample| (sample.duration, sample.composition_offset));
    assert_eq!(times.collect::<Vec<_>>(), [(3600, 7200), (3600, -3600), (3000, 0)]);
    assert!(sample(0, 0).random_access && !sample(0, 1).random_access && sample(1, 0).random_access);
    // Parameter sets stay outside; each NAL unit has its length before it.
    let expected = [&[0, 0, 0, 4][..], &tiny, &[0, 0, 1, 44], &slice].concat();
    assert_eq!(bytes[sample(0, 0).range.clone()], expected);
    assert_eq!(bytes[sample(1, 2).range.clone()], [0xFC; 120]);
    assert_eq!(sample(1, 2).range.end, bytes.len());
}

#[test]
fn obus_get_their_size_fields() {
    // Sequence header, 3 bytes; a frame with an extension byte, 200 bytes of payload.
    let frame = [&[0x34, 0x08][..], &[7; 200]].concat();
    let unit = unit(&[Bytes::from_static(&[0x08, 1, 2, 3]), Bytes::from(frame)], true);
    let sample = Sample::new(Framing::Obus, &unit, 1, 0).unwrap();
    let mut pieces = Vec::new();
    let runs = vec![Run { track_id: 1, decode_time: 0, samples: vec![sample] }];
    fragment(1, false, runs, &mut pieces).unwrap();
    let bytes = joined(&pieces);
    let range = read::fragments(&bytes).unwrap()[0].runs[0].samples[0].range.clone();
    assert_eq!(bytes[range], [&[0x0A, 3, 1, 2, 3, 0x36, 0x08, 0xC8, 0x01][..], &[7; 200]].concat());
}

#[test]
fn a_fragment_may_be_empty() {
    let mut pieces = Vec::new();
    let runs = vec![Run { track_id: 1, decode_time: 5, samples: Vec::new() }];
    fragment(1, false, runs, &mut pieces).unwrap();
    let read = read::fragments(&joined(&pieces)).unwrap();
    assert_eq!((read[0].runs[0].decode_time, read[0].runs[0].samples.len()), (5, 0));
}

#[test]
fn nonsense_is_a_fault_and_not_a_loop() {
    assert!(matches!(
        read::fragments(&[0, 0, 0, 7, b'm', b'o', b'o', b'f']),
        Err(Error::Invalid { at: 0, .. })
    ));
    assert!(read::tracks(b"\0\0\0\x08free").is_err());
    assert_eq!(read::boxes(&[0, 0, 0, 1, b'f', b'r', b'e', b'e', 0xFF]).count(), 1);
}
