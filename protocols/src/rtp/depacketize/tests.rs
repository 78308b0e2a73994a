//! Payloads as the RFCs draw them, and the ways of senders that bend them.

use super::{Depacketizer, Error};
use crate::rtp::Ticks;
use crate::rtp::packetize::tests::{push, track};
use crate::track::Codec;

/// Timestamps and parts of units, for comparison.
type Units = Vec<(u32, Vec<Vec<u8>>)>;

/// Pushes packets of (timestamp, marker, payload), numbered from 0; a payload of `None` is lost.
fn run(depacketizer: &mut Depacketizer, packets: &[(u32, bool, Option<&[u8]>)]) -> (Units, Vec<Error>) {
    let (mut units, mut errors) = (Units::new(), Vec::new());
    for (sequence, (timestamp, marker, payload)) in packets.iter().enumerate() {
        let Some(payload) = payload else { continue };
        let (result, out) = push(depacketizer, sequence as u16, *timestamp, *marker, payload);
        errors.extend(result.err());
        units.extend(
            out.into_iter().map(|(Ticks(timestamp), parts)| {
                (timestamp, parts.iter().map(|part| part.to_vec()).collect())
            }),
        );
    }
    (units, errors)
}

fn h264() -> Depacketizer {
    Depacketizer::new(&track(Codec::H264, 90_000, 0, "")).unwrap()
}

fn h265(parameters: &str) -> Depacketizer {
    Depacketizer::new(&track(Codec::H265, 90_000, 0, parameters)).unwrap()
}

fn aac(parameters: &str) -> Depacketizer {
    Depacketizer::new(&track(Codec::Aac, 48_000, 2, parameters)).unwrap()
}

#[test]
fn h264_packet_types() {
    // RFC 6184, figures 7 (STAP-A), 8 (STAP-B), 11 (MTAP16), 12 (MTAP24), 14 (FU-A), 15 (FU-B).
    let packets: &[(u32, bool, Option<&[u8]>)] = &[
        (1, true, Some(&[0x78, 0, 2, 0x67, 1, 0, 3, 0x65, 0x80, 2])),
        (2, true, Some(&[0x79, 0, 9, 0, 2, 0x67, 1, 0, 2, 0x41, 0x80])),
        (3, true, Some(&[0x7A, 0, 9, 0, 5, 0, 0, 0, 0x41, 0x80, 0, 5, 1, 0, 0, 0x41, 0x40])),
        (4, true, Some(&[0x7B, 0, 9, 0, 6, 0, 0, 0, 0, 0x41, 0x80])),
        (5, false, Some(&[0x7C, 0x85, 0x80, 1])),
        (5, false, Some(&[0x7C, 0x05, 2])),
        (5, true, Some(&[0x7C, 0x45, 3])),
        (6, false, Some(&[0x5D, 0x81, 0, 9, 0x80, 1])),
        (6, true, Some(&[0x5C, 0x41, 2])),
    ];
    let (units, errors) = run(&mut h264(), packets);
    assert_eq!(errors, []);
    let expected: Units = vec![
        (1, vec![vec![0x67, 1], vec![0x65, 0x80, 2]]),
        (2, vec![vec![0x67, 1], vec![0x41, 0x80]]),
        (3, vec![vec![0x41, 0x80], vec![0x41, 0x40]]),
        (4, vec![vec![0x41, 0x80]]),
        (5, vec![vec![0x65, 0x80, 1, 2, 3]]),
        (6, vec![vec![0x41, 0x80, 1, 2]]),
    ];
    assert_eq!(units, expected);
}

#[test]
fn h264_senders_without_markers_and_with_headers_apart() {
    let (units, errors) = run(
        &mut h264(),
        &[
            (0, true, Some(&[0x67, 1])),
            (0, true, Some(&[0x68, 1])),
            (10, false, Some(&[0x65, 0x80])),
            (10, false, Some(&[0x65, 0x40])),
            (20, false, Some(&[0x41, 0x80])),
            (30, true, Some(&[0x41, 0x80])),
        ],
    );
    assert_eq!(errors, []);
    let expected: Units = vec![
        (10, vec![vec![0x67, 1], vec![0x68, 1], vec![0x65, 0x80], vec![0x65, 0x40]]),
        (20, vec![vec![0x41, 0x80]]),
        (30, vec![vec![0x41, 0x80]]),
    ];
    assert_eq!(units, expected);
}

#[test]
fn h264_after_a_loss_the_next_whole_picture_comes() {
    let (units, errors) = run(
        &mut h264(),
        &[
            (0, true, Some(&[0x65, 0x80])),
            (10, false, None),
            (10, true, Some(&[0x41, 0x40])),
            (20, true, Some(&[0x41, 0x80])),
            (30, true, None),
            (40, true, Some(&[0x41, 0x80])),
            (50, false, Some(&[0x41, 0x80])),
            (50, true, None),
            (60, true, Some(&[0x41, 0x80])),
        ],
    );
    assert_eq!(errors, []);
    assert_eq!(units.iter().map(|unit| unit.0).collect::<Vec<_>>(), [0, 20, 40, 60]);
}

#[test]
fn h264_faults_drop_their_unit() {
    for fault in [&[0x78, 0, 9, 0x67][..], &[0x78], &[0x7C], &[0x7C, 0x05, 2], &[]] {
        let (units, errors) = run(
            &mut h264(),
            &[
                (0, true, Some(&[0x65, 0x80])),
                (10, false, Some(&[0x41, 0x80])),
                (10, true, Some(fault)),
                (20, true, Some(&[0x41, 0x80])),
            ],
        );
        assert_eq!(errors.len(), 1, "{fault:x?}");
        assert_eq!(errors[0].kind(), "invalid");
        assert_eq!(units.iter().map(|unit| unit.0).collect::<Vec<_>>(), [0, 20], "{fault:x?}");
    }
}

#[test]
fn h265_packet_types() {
    // RFC 7798, figures 3 (single), 5 and 6 (AP), 9 (FU); then the same with decoding order numbers (4, 7, 8).
    let (units, errors) = run(
        &mut h265(""),
        &[
            (1, true, Some(&[0x60, 1, 0, 3, 0x42, 1, 9, 0, 3, 0x26, 1, 0x80])),
            (2, false, Some(&[0x62, 1, 0x81, 0x80])),
            (2, true, Some(&[0x62, 1, 0x41, 7])),
            (3, true, Some(&[0x02, 1, 0x80])),
        ],
    );
    assert_eq!(errors, []);
    let expected: Units = vec![
        (1, vec![vec![0x42, 1, 9], vec![0x26, 1, 0x80]]),
        (2, vec![vec![0x02, 1, 0x80, 7]]),
        (3, vec![vec![0x02, 1, 0x80]]),
    ];
    assert_eq!(units, expected);
    let (units, errors) = run(
        &mut h265("sprop-max-don-diff=1"),
        &[
            (1, true, Some(&[0x60, 1, 0, 0, 0, 3, 0x42, 1, 9, 1, 0, 3, 0x26, 1, 0x80])),
            (2, false, Some(&[0x62, 1, 0x81, 0, 1, 0x80])),
            (2, true, Some(&[0x62, 1, 0x41, 7])),
            (3, true, Some(&[0x02, 1, 0, 2, 0x80])),
        ],
    );
    assert_eq!(errors, []);
    assert_eq!(units, expected);
}

#[test]
fn aac_units_of_one_packet_advance() {
    // RFC 3640, 3.3.6: AU-headers-length 32 bits, two headers of 13 + 3 bits.
    let (units, errors) =
        run(&mut aac(""), &[(100, true, Some(&[0, 32, 0, 2 << 3, 0, 3 << 3, 1, 2, 3, 4, 5]))]);
    assert_eq!(errors, []);
    assert_eq!(units, [(100, vec![vec![1, 2]]), (1124, vec![vec![3, 4, 5]])]);
    let low = "mode=AAC-lbr; sizeLength=6; indexLength=2; indexDeltaLength=2; constantDuration=960";
    let (units, errors) = run(&mut aac(low), &[(100, true, Some(&[0, 16, 2 << 2, 1 << 2, 1, 2, 3]))]);
    assert_eq!(errors, []);
    assert_eq!(units, [(100, vec![vec![1, 2]]), (1060, vec![vec![3]])]);
    let constant = "constantSize=2; constantDuration=10";
    let (units, errors) = run(&mut aac(constant), &[(0, true, Some(&[1, 2, 3, 4]))]);
    assert_eq!(errors, []);
    assert_eq!(units, [(0, vec![vec![1, 2]]), (10, vec![vec![3, 4]])]);
}

#[test]
fn aac_refuses_interleaving_and_strips_adts() {
    let (units, errors) = run(&mut aac(""), &[(0, true, Some(&[0, 32, 0, 1 << 3, 0, 1 << 3 | 1, 1, 2]))]);
    assert_eq!(errors, [Error::Unsupported { what: "interleaved access units" }]);
    assert_eq!(units, [(0, vec![vec![1]])]);
    let adts: &[u8] = &[0, 16, 0, 9 << 3, 0xFF, 0xF1, 0x4C, 0x80, 1, 0x3F, 0xFC, 7, 8];
    assert_eq!(run(&mut aac(""), &[(0, true, Some(adts))]).0, [(0, vec![vec![7, 8]])]);
}

#[test]
fn samples_are_whole() {
    let mut depacketizer = Depacketizer::new(&track(Codec::Lpcm { bits: 16 }, 8000, 2, "")).unwrap();
    let (units, errors) =
        run(&mut depacketizer, &[(5, false, Some(&[1, 2, 3, 4, 5])), (6, false, Some(&[]))]);
    assert_eq!(errors.len(), 1);
    assert_eq!(units, [(5, vec![vec![1, 2, 3, 4]])]);
    assert!(Depacketizer::new(&track(Codec::Lpcm { bits: 20 }, 8000, 2, "")).is_none());
}

#[test]
fn vp9_layers_become_a_superframe() {
    // Flexible mode with layers: spatial layer 0, then 1, in one picture.
    let mut depacketizer = Depacketizer::new(&track(Codec::Vp9, 90_000, 0, "")).unwrap();
    let (units, errors) = run(
        &mut depacketizer,
        &[
            (0, false, Some(&[0xBC, 0x80, 1, 0x00, 0x82, 1, 2])),
            (0, true, Some(&[0xBC, 0x80, 1, 0x02, 0x86, 3])),
        ],
    );
    assert_eq!(errors, []);
    let index = [0xD9, 3, 0, 0, 0, 2, 0, 0, 0, 0xD9];
    assert_eq!(units, [(0, vec![[&[0x82, 1, 2, 0x86, 3][..], &index].concat()])]);
}

#[test]
fn av1_size_fields_and_delimiters_are_taken_out() {
    let mut depacketizer = Depacketizer::new(&track(Codec::Av1, 90_000, 0, "")).unwrap();
    let (units, errors) = run(
        &mut depacketizer,
        &[
            (0, false, Some(&[0x08, 2, 0x12, 0, 4, 0x0A, 2, 7, 8])),
            (0, true, Some(&[0x10, 0x30, 1, 2])),
            (9, true, Some(&[0x90, 1, 2])),
            (10, true, Some(&[0x20, 9, 0x30])),
            (11, true, Some(&[0x10, 0x30, 3])),
        ],
    );
    assert_eq!(errors.len(), 2, "an end without beginning, and a size beyond the payload");
    assert_eq!(units, [(0, vec![vec![0x08, 7, 8], vec![0x30, 1, 2]]), (11, vec![vec![0x30, 3]])]);
}

#[test]
fn latm_in_band_tells_its_configuration() {
    use crate::codec::Configuration;
    let mut depacketizer = Depacketizer::new(&track(Codec::AacLatm, 48_000, 1, "cpresent=1")).unwrap();
    assert!(depacketizer.configuration().is_none());
    // useSameStreamMux 0, the 44 bits of the configuration 400023103fc0, the length 2, the unit; then useSameStreamMux 1.
    let with = 0x4000_2310_3FC0_u64 >> 4;
    let element = (u128::from(with) << 24 | 0x02_ABCD) << (128 - 1 - 44 - 24);
    let bytes = &element.to_be_bytes()[..9];
    let again = &(0x8000_0000_u32 | 0x01_EF << 15).to_be_bytes()[..3];
    let (units, errors) = run(&mut depacketizer, &[(0, true, Some(bytes)), (1024, true, Some(again))]);
    assert_eq!(errors, []);
    assert_eq!(units, [(0, vec![vec![0xAB, 0xCD]]), (1024, vec![vec![0xEF]])]);
    let Some(Configuration::Aac(aac)) = depacketizer.configuration().map(AsRef::as_ref) else { panic!() };
    assert_eq!((aac.sample_rate, aac.channels), (48_000, 1));
}

#[test]
fn jpeg_tables_come_once_or_never() {
    let mut depacketizer = Depacketizer::new(&track(Codec::Mjpeg, 90_000, 0, "")).unwrap();
    let header = |q: u8, width: u8| vec![0, 0, 0, 0, 1, q, width, 6];
    let with_tables = [header(200, 8), vec![0, 0, 0, 128], vec![7; 128], vec![1, 2]].concat();
    let without = [header(200, 8), vec![0; 4], vec![3, 4]].concat();
    let computed = [header(50, 8), vec![5, 6]].concat();
    let unknown = [header(201, 8), vec![0; 4], vec![3, 4]].concat();
    let huge = [header(50, 0), vec![5, 6]].concat();
    let packets = [&with_tables, &without, &computed, &unknown, &huge]
        .map(|payload| (0, true, Some(payload.as_slice())));
    let (units, errors) = run(&mut depacketizer, &packets);
    assert_eq!(errors.iter().map(Error::kind).collect::<Vec<_>>(), ["invalid", "unsupported"]);
    let tables = units.iter().map(|(_, parts)| parts[0][6..8].to_vec()).collect::<Vec<_>>();
    assert_eq!(tables, [[0, 7], [0, 7], [0, 16]], "T.81's own at quality 50");
    assert!(units.iter().all(|(_, parts)| parts[0].ends_with(&[0xFF, 0xD9])));
}
