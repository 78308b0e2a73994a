//! Files and messages of others: FFmpeg's, and by hand after the tables of Enhanced RTMP.

use super::{bytes, demux_file, tags};
use crate::codec::Configuration;
use crate::codec::configuration::{Picture, Samples};
use crate::flv::extended::{Piece, Role};
use crate::flv::format::Format;
use crate::flv::{Demuxer, Event, Kind, audio, tag, video};
use crate::track::Codec;
use bytes::Bytes;

/// Made by FFmpeg 5.1: `ffmpeg -f lavfi -i testsrc=s=64x64:r=10:d=0.8 -f lavfi -i sine=r=44100:d=0.3 -c:v libx264 -bf 2
/// -c:a aac -ac 1 -f flv`; the others alike, with one audio track each.
pub(super) const H264_AAC: &[u8] = include_bytes!("../../../fuzz/seeds/flv_file/h264_aac");
pub(super) const MP3: &[u8] = include_bytes!("../../../fuzz/seeds/flv_file/mp3");
const PCMA: &[u8] = include_bytes!("../../../fuzz/seeds/flv_file/pcma");
const PCMU: &[u8] = include_bytes!("../../../fuzz/seeds/flv_file/pcmu");
const LPCM16: &[u8] = include_bytes!("../../../fuzz/seeds/flv_file/lpcm16");
const SORENSON: &[u8] = include_bytes!("../../../fuzz/seeds/flv_file/sorenson");

#[test]
fn file_of_ffmpeg_in_pieces() {
    let whole = tags(H264_AAC, H264_AAC.len());
    assert_eq!(whole[0].kind, Kind::Script);
    assert_eq!(whole.iter().filter(|tag| tag.kind == Kind::Video).count(), 10);
    for piece in [1, 7, 100] {
        assert_eq!(tags(H264_AAC, piece), whole, "in pieces of {piece}");
    }
    let mut reader = tag::Reader::new();
    reader.push(Bytes::from_static(b"FLV\x01\x05\0\0\0\x08"));
    assert!(reader.tag().is_err());
}

#[test]
fn h264_with_b_frames_and_aac() {
    let demuxed = demux_file(H264_AAC);
    let [video, audio] = &demuxed.tracks[..] else { panic!("two tracks: {:?}", demuxed.tracks) };
    assert_eq!((&video.track.codec, &audio.track.codec), (&Codec::H264, &Codec::Aac));
    let picture = video.configuration.as_ref().and_then(|configuration| configuration.picture());
    assert_eq!(picture, Some(Picture { width: 64, height: 64 }));
    assert_eq!((audio.track.clock_rate, audio.track.channels), (44_100, 1));
    let units = demuxed.of(0);
    let times =
        units.iter().map(|unit| (unit.dts.in_clock(1000), unit.pts.in_clock(1000))).collect::<Vec<_>>();
    let pts = [200, 500, 300, 400, 800, 600, 700, 900];
    let expected = (0..8).map(|index| (index * 100, pts[index as usize])).collect::<Vec<_>>();
    assert_eq!(times, expected);
    assert!(units[0].random_access && !units[1..].iter().any(|unit| unit.random_access));
    // Parameter sets came in front of the first picture.
    assert_eq!(units[0].parts.iter().map(|nal| nal[0] & 0x1F).collect::<Vec<_>>(), [7, 8, 5]);
    let units = demuxed.of(1);
    assert!(units.len() > 10 && units.windows(2).all(|pair| pair[1].pts.ticks - pair[0].pts.ticks == 1024));
}

#[test]
fn audio_without_sequence_header() {
    let demuxed = demux_file(MP3);
    assert_eq!(
        (&demuxed.tracks[0].track.codec, demuxed.tracks[0].track.clock_rate),
        (&Codec::MpegAudio, 90_000)
    );
    let times = demuxed.of(0).iter().map(|unit| unit.pts.ticks).collect::<Vec<_>>();
    assert_eq!(times[..4], [0, 2351, 4702, 7053], "1152 samples of 44.1 kHz, uneven on this clock");
    let mono = Samples { bits: 8, sample_rate: 8000, channels: 1 };
    let lpcm = Samples { bits: 16, sample_rate: 11_025, channels: 1 };
    for (file, expected) in [
        (PCMA, Configuration::Pcma(mono)),
        (PCMU, Configuration::Pcmu(mono)),
        (LPCM16, Configuration::Lpcm(lpcm)),
    ] {
        let demuxed = demux_file(file);
        assert_eq!(demuxed.tracks[0].configuration.as_deref(), Some(&expected));
        assert!(!demuxed.units.is_empty());
    }
    // Network byte order: the same samples as in the tag, swapped.
    let tag = tags(LPCM16, LPCM16.len()).into_iter().find(|tag| tag.kind == Kind::Audio).unwrap();
    let unit = demux_file(LPCM16).units.remove(0).1;
    assert_eq!(unit.parts[0][..4], [tag.body[2], tag.body[1], tag.body[4], tag.body[3]]);
}

#[test]
fn codecs_of_flash_are_reported_and_passed_over() {
    let mut demuxer = Demuxer::new();
    let mut events = Vec::new();
    for tag in tags(SORENSON, SORENSON.len()) {
        if let Ok(more) = demuxer.message(tag.kind, tag.timestamp_ms, tag.body) {
            events.extend(more);
        }
    }
    let reason = "its codec is not supported";
    assert_eq!(events, [Event::Ignored { kind: Kind::Video, track_id: 0, reason }]);
    assert!(demuxer.detection_over().is_err());
}

fn piece(track_id: u8, format: Format, role: Role, payload: &str) -> Piece {
    Piece { track_id, format, role, payload: bytes(payload) }
}

/// By hand after the tables `ExVideoTagHeader` and `ExVideoTagBody` of Enhanced RTMP, version 2.
#[test]
fn extended_video() {
    let coded = |composition_ms| Role::Coded { composition_ms };
    let (avc, hevc) = (Format::H264, Format::H265);
    for (hex, expected) in [
        ("90 68766331 AABB", vec![piece(0, hevc, Role::SequenceStart, "AABB")]),
        ("A1 68766331 000028 AABB", vec![piece(0, hevc, coded(40), "AABB")]),
        ("A1 61766331 FFFFD8 AA", vec![piece(0, avc, coded(-40), "AA")]),
        ("A3 68766331 AABB", vec![piece(0, hevc, coded(0), "AABB")]),
        ("91 61763031 1200", vec![piece(0, Format::Av1, coded(0), "1200")]),
        ("91 76703039 AA", vec![piece(0, Format::Vp9, coded(0), "AA")]),
        ("91 76703038 AA", vec![piece(0, Format::Vp8, coded(0), "AA")]),
        ("92 68766331", vec![piece(0, hevc, Role::SequenceEnd, "")]),
        // Metadata, whatever the frame type; a description as in MPEG-TS; a command; nothing.
        ("D4 68766331 02", vec![]),
        ("95 61763031 80", vec![]),
        ("D1 00", vec![]),
        ("", vec![]),
        // ModEx: nanoseconds of three bytes, then another of 257.
        ("A7 02 0F423F 03 68766331 AA", vec![piece(0, hevc, coded(0), "AA")]),
        // One track; many tracks of one codec; of many codecs.
        ("A6 03 68766331 05 AABB", vec![piece(5, hevc, coded(0), "AABB")]),
        (
            "A6 11 61766331 01 000004 000000AA 02 000005 000001BBCC",
            vec![piece(1, avc, coded(0), "AA"), piece(2, avc, coded(1), "BBCC")],
        ),
        (
            "A6 23 61766331 00 000001 AA 68766331 01 000002 BBCC",
            vec![piece(0, avc, coded(0), "AA"), piece(1, hevc, coded(0), "BBCC")],
        ),
        ("A6 03 78787878 01 AA", vec![piece(1, Format::Unsupported, coded(0), "AA")]),
        // Legacy: sequence header, unit before its decoding, end, command, Sorenson, H.265 of Chinese networks.
        ("17 00 000000 01", vec![piece(0, avc, Role::SequenceStart, "01")]),
        ("27 01 FFFFFF AA", vec![piece(0, avc, coded(-1), "AA")]),
        ("17 02 000000", vec![piece(0, avc, Role::SequenceEnd, "")]),
        ("57 00", vec![]),
        ("12 AA", vec![piece(0, Format::Unsupported, coded(0), "AA")]),
        ("1C 01 000001 AA", vec![piece(0, hevc, coded(1), "AA")]),
    ] {
        assert_eq!(video::parse(bytes(hex)).unwrap().as_slice(), expected, "{hex}");
    }
    let long = [&bytes("A7 FF 0100")[..], &[0; 257], &bytes("03 68766331 AA")].concat();
    assert_eq!(video::parse(long.into()).unwrap()[..], [piece(0, hevc, coded(0), "AA")]);
}

/// By hand after the tables `ExAudioTagHeader` and `ExAudioTagBody`, and annex E.4.2 of FLV.
#[test]
fn extended_and_legacy_audio() {
    let coded = Role::Coded { composition_ms: 0 };
    let lpcm = Format::Lpcm { bits: 8, sample_rate: 5512, channels: 1 };
    for (hex, expected) in [
        ("90 4F707573 AA", vec![piece(0, Format::Opus, Role::SequenceStart, "AA")]),
        ("91 4F707573 AA", vec![piece(0, Format::Opus, coded, "AA")]),
        ("91 664C6143 AA", vec![piece(0, Format::Flac, coded, "AA")]),
        ("91 61632D33 AA", vec![piece(0, Format::Ac3, coded, "AA")]),
        ("91 2E6D7033 AA", vec![piece(0, Format::MpegAudio, coded, "AA")]),
        ("91 6D703461 AA", vec![piece(0, Format::Aac, coded, "AA")]),
        ("91 68766331 AA", vec![piece(0, Format::Unsupported, coded, "AA")]),
        ("91 65632D33 AA", vec![piece(0, Format::Unsupported, coded, "AA")]),
        ("94 4F707573 0102 00000003", vec![]),
        ("97 02 000001 01 4F707573 AA", vec![piece(0, Format::Opus, coded, "AA")]),
        ("95 01 6D703461 03 AA", vec![piece(3, Format::Aac, coded, "AA")]),
        ("", vec![]),
        ("AF 00 1210", vec![piece(0, Format::Aac, Role::SequenceStart, "1210")]),
        ("AF 01 AA", vec![piece(0, Format::Aac, coded, "AA")]),
        ("2F AA", vec![piece(0, Format::MpegAudio, coded, "AA")]),
        ("E2 AA", vec![piece(0, Format::MpegAudio, coded, "AA")]),
        ("73 AA", vec![piece(0, Format::Pcma { channels: 2 }, coded, "AA")]),
        ("82 AA", vec![piece(0, Format::Pcmu { channels: 1 }, coded, "AA")]),
        ("30 AA", vec![piece(0, lpcm, coded, "AA")]),
        ("B2 AA", vec![piece(0, Format::Unsupported, coded, "AA")]),
    ] {
        assert_eq!(audio::parse(bytes(hex)).unwrap().as_slice(), expected, "{hex}");
    }
}

#[test]
fn faults_are_told_apart() {
    for (hex, kind) in [
        ("17", "invalid"),
        ("17 01 0000", "invalid"),
        ("17 09 000000", "invalid"),
        ("91 6876", "invalid"),
        ("A7 05 00", "invalid"),
        ("A7 00 00", "invalid"),
        ("A6 13 68766331 00 000009 AA", "invalid"),
        ("A6 06 68766331 00", "invalid"),
        ("A6 07 00", "invalid"),
        ("A6 33 68766331 00", "unsupported"),
        ("A8 68766331 00", "unsupported"),
    ] {
        assert_eq!(video::parse(bytes(hex)).unwrap_err().kind(), kind, "{hex}");
    }
    let tracks = [&bytes("A6 13 68766331")[..], &[0, 0, 0, 0].repeat(17)].concat();
    assert_eq!(video::parse(tracks.into()).unwrap_err().kind(), "limit");
    assert_eq!(audio::parse(bytes("AF 02")).unwrap_err().kind(), "invalid");
    assert_eq!(audio::parse(bytes("93 4F707573")).unwrap_err().kind(), "unsupported");
}
