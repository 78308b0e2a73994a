//! Streams made with FFmpeg 5.1 (`testsrc` and `sine`, `-f mpegts`), what ffprobe says of them, and damage done to them.

use super::{Counters, Demuxer, Event};
use crate::codec::Configuration;
use crate::codec::configuration::Aac;
use crate::mpegts::packet::{Adaptation, write_pes, write_section};
use crate::mpegts::pes::header;
use crate::mpegts::{Continuity, Error, PACKET_BYTES, Pid, Timestamp, psi};
use crate::track::{Codec, Elementary};
use crate::unit::AccessUnit;
use bytes::BytesMut;

const H264_AAC: &[u8] = include_bytes!("../fixtures/h264_aac.ts");
const H265_OPUS: &[u8] = include_bytes!("../fixtures/h265_opus.ts");
const MPEG1_MP2: &[u8] = include_bytes!("../fixtures/mpeg1_mp2.ts");
const MPEG2_MP3: &[u8] = include_bytes!("../fixtures/mpeg2_mp3.ts");
const MPEG4_AC3: &[u8] = include_bytes!("../fixtures/mpeg4_ac3.ts");
const LATM: &[u8] = include_bytes!("../fixtures/latm.ts");

fn demux(bytes: &[u8], piece: usize) -> (Vec<Event>, Counters) {
    let mut demuxer = Demuxer::new();
    let mut events = Vec::new();
    for piece in bytes.chunks(piece) {
        demuxer.push(piece, &mut events).expect("a transport stream");
    }
    demuxer.finish(&mut events).expect("nothing scrambled");
    (events, demuxer.counters())
}

fn tracks(events: &[Event]) -> &[Elementary] {
    let found = events.iter().find_map(|event| match event {
        Event::Tracks(tracks) => Some(tracks),
        _ => None,
    });
    found.expect("tracks")
}

fn units(events: &[Event], wanted: usize) -> Vec<&AccessUnit> {
    let of_track = events.iter().filter_map(|event| match event {
        Event::Unit { track, unit } if *track == wanted => Some(unit),
        _ => None,
    });
    of_track.collect()
}

/// PTS, DTS and random access.
fn times(events: &[Event], track: usize) -> Vec<(i64, i64, bool)> {
    let unit = |unit: &AccessUnit| (unit.pts.ticks, unit.dts.ticks, unit.random_access);
    units(events, track).into_iter().map(unit).collect()
}

#[test]
fn h264_with_reordered_pictures_and_aac() {
    let (events, counters) = demux(H264_AAC, H264_AAC.len());
    assert_eq!(counters, Counters::default());
    let [video, audio] = tracks(&events) else { panic!("{events:?}") };
    assert_eq!((&video.track.codec, &audio.track.codec), (&Codec::H264, &Codec::Aac));
    assert_eq!((audio.track.clock_rate, audio.track.channels), (48_000, 1));
    let picture = video.configuration.as_ref().and_then(|configuration| configuration.picture());
    assert_eq!(picture.map(|picture| (picture.width, picture.height)), Some((64, 48)));
    // ffprobe's times less its first, 126000.
    let expected = [
        (18_000, 0, true),
        (45_000, 9_000, false),
        (27_000, 18_000, false),
        (36_000, 27_000, false),
        (54_000, 36_000, true),
        (63_000, 45_000, false),
    ];
    assert_eq!(times(&events, 0), expected);
    let audio = times(&events, 1);
    assert_eq!((audio.len(), audio[0], audio[29].0), (30, (16_080, 16_080, true), 197_760 - 126_000));
    let first = &units(&events, 0)[0].parts;
    let kinds = first.iter().map(|part| part[0] & 0x1F).collect::<Vec<_>>();
    assert!(kinds.starts_with(&[7, 8]) && kinds.contains(&5), "{kinds:?}");
}

#[test]
fn h265_and_opus() {
    let (events, counters) = demux(H265_OPUS, 1316);
    assert_eq!(counters, Counters::default());
    let [video, audio] = tracks(&events) else { panic!("{events:?}") };
    assert_eq!((&video.track.codec, &audio.track.codec), (&Codec::H265, &Codec::Opus));
    assert!(matches!(video.configuration.as_deref(), Some(Configuration::H265(_))));
    let Some(Configuration::Opus(opus)) = audio.configuration.as_deref() else { panic!("{audio:?}") };
    assert_eq!((opus.channels, opus.pre_skip), (1, 312));
    let pts = times(&events, 0).iter().map(|(pts, ..)| *pts).collect::<Vec<_>>();
    assert_eq!(pts, [18_000, 45_000, 36_000, 27_000]);
    let audio = units(&events, 1);
    assert_eq!((audio.len(), audio[0].bytes(), audio[0].pts.ticks), (21, 115, 143_415 - 126_000));
    assert_eq!(audio[20].bytes(), 157);
}

#[test]
fn the_older_codecs() {
    for (bytes, video, audio, pictures, frames, frame_bytes) in [
        (MPEG1_MP2, Codec::MpegVideo, Codec::MpegAudio, 3, 13, 192),
        (MPEG2_MP3, Codec::MpegVideo, Codec::MpegAudio, 3, 14, 192),
        (MPEG4_AC3, Codec::Mpeg4Video, Codec::Ac3, 3, 10, 256),
    ] {
        let (events, counters) = demux(bytes, 1000);
        assert_eq!(counters, Counters::default());
        let found =
            tracks(&events).iter().map(|elementary| elementary.track.codec.clone()).collect::<Vec<_>>();
        assert_eq!(found, [video, audio]);
        assert!(tracks(&events).iter().all(|elementary| elementary.configuration.is_some()));
        assert_eq!((units(&events, 0).len(), units(&events, 1).len()), (pictures, frames));
        assert!(units(&events, 0)[0].random_access);
        assert!(units(&events, 1).iter().all(|unit| unit.bytes() == frame_bytes));
    }
}

#[test]
fn aac_as_latm() {
    let (events, counters) = demux(LATM, 188);
    assert_eq!(counters, Counters::default());
    let [audio] = tracks(&events) else { panic!("{events:?}") };
    assert_eq!((&audio.track.codec, audio.track.clock_rate), (&Codec::Aac, 48_000));
    let pts = times(&events, 0).iter().map(|(pts, ..)| *pts).collect::<Vec<_>>();
    assert_eq!(pts, (0..16).map(|index| index * 1920).collect::<Vec<_>>());
}

#[test]
fn any_alignment_gives_the_same() {
    for bytes in [H264_AAC, LATM] {
        let whole = demux(bytes, bytes.len());
        for piece in [1, 7, 187, 189, 1316] {
            assert_eq!(demux(bytes, piece), whole, "pieces of {piece}");
        }
    }
}

#[test]
fn lost_packets_cost_the_units_they_were_of() {
    let whole = units(&demux(H264_AAC, 1316).0, 0).len();
    let of_video = |packet: &&[u8]| packet[1] & 0x5F == 1 && packet[2] == 0;
    let lost =
        H264_AAC.chunks(PACKET_BYTES).position(|packet| of_video(&packet)).expect("a later packet of video");
    let damaged = [&H264_AAC[..lost * PACKET_BYTES], &H264_AAC[(lost + 1) * PACKET_BYTES..]].concat();
    let (events, counters) = demux(&damaged, 1316);
    assert_eq!((counters.continuity_errors, counters.dropped), (1, 1));
    assert_eq!(units(&events, 0).len(), whole - 1);

    let twice =
        H264_AAC.chunks(PACKET_BYTES).flat_map(|packet| [packet, packet].concat()).collect::<Vec<_>>();
    let (events, counters) = demux(&twice, 1316);
    assert_eq!((counters, units(&events, 0).len()), (Counters::default(), whole), "every packet sent twice");
}

#[test]
fn garbage_between_packets_is_skipped() {
    let at = 20 * PACKET_BYTES;
    let damaged = [&H264_AAC[..at], &[0x47, 1, 2, 3], &H264_AAC[at..]].concat();
    let (events, counters) = demux(&damaged, 1316);
    assert!(counters.sync_losses >= 1);
    assert_eq!(tracks(&events).len(), 2);
    assert!(Demuxer::new().push(&[0; 100_000], &mut Vec::new()).is_err());
}

#[test]
fn scrambled_streams_are_refused() {
    let mut bytes = H264_AAC.to_vec();
    bytes
        .chunks_exact_mut(PACKET_BYTES)
        .filter(|packet| packet[1] & 0x1F == 1)
        .for_each(|packet| packet[3] |= 0x80);
    let refused = Demuxer::new().push(&bytes, &mut Vec::new());
    assert!(matches!(refused, Err(Error::Unsupported { .. })), "{refused:?}");
}

#[test]
fn another_map_gives_other_tracks_and_time_goes_on() {
    let (events, counters) = demux(&[H264_AAC, MPEG2_MP3].concat(), 1316);
    assert_eq!(counters.invalid, 0);
    let announced = events.iter().filter(|event| matches!(event, Event::Tracks(_))).count();
    assert_eq!(announced, 2);
    let second = events.iter().rposition(|event| matches!(event, Event::Tracks(_))).expect("tracks");
    assert_eq!(tracks(&events[second..])[0].track.codec, Codec::MpegVideo);
    assert!(times(&events[second..], 0)[0].1 >= 0);
}

#[test]
fn a_stream_begun_again_goes_on() {
    let (events, counters) = demux(&[H264_AAC, H264_AAC].concat(), 1316);
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Tracks(_))).count(), 1);
    let times = times(&events, 0);
    assert!(times.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{times:?}");
    assert_eq!(counters.time_jumps, 0, "a second back is no new base");
}

#[test]
fn unknown_streams_are_told_once() {
    let section = psi::program_map(
        1,
        0,
        Pid(0x100),
        &[psi::MappedStream { stream_type: 0x05, pid: Pid(0x100), descriptors: psi::Descriptors(&[]) }],
    );
    let mut bytes = H264_AAC[PACKET_BYTES..2 * PACKET_BYTES].to_vec();
    let mut map = [&[0x47, 0x50, 0, 0x10, 0][..], &section.expect("it fits")].concat();
    map.resize(PACKET_BYTES, 0xFF);
    bytes.extend(map.repeat(2));
    let reason = "its codec is not supported";
    assert_eq!(demux(&bytes, 188).0, [Event::Ignored { pid: Pid(0x100), stream_type: 0x05, reason }]);
}

/// A stream of one program with one stream, whose PES packets are given.
fn program(stream: psi::MappedStream<'_>, pes: &[Vec<u8>]) -> BytesMut {
    let mut out = BytesMut::new();
    let association = psi::Association { transport_stream: 1, version: 0, program: 1, map: Pid(0x1000) };
    let map = psi::program_map(1, 0, stream.pid, &[stream]).expect("it fits");
    write_section(&mut out, Pid::PAT, &mut Continuity::default(), &association.section());
    write_section(&mut out, Pid(0x1000), &mut Continuity::default(), &map);
    let mut continuity = Continuity::default();
    for bytes in pes {
        write_pes(&mut out, stream.pid, &mut continuity, Adaptation::default(), bytes, &[]);
    }
    out
}

fn pes(stream_id: u8, ticks: i64, payload: &[u8]) -> Vec<u8> {
    let time = Timestamp::new(ticks);
    let mut pes = header(stream_id, time, time, payload.len()).expect("a header").to_vec();
    pes.extend(payload);
    pes
}

#[test]
fn audio_frames_lie_across_pes_packets() {
    let aac = Aac::new(2, 48_000, 2);
    let frames = (1..=4).map(|index| [&aac.adts_header(100)[..], &[index; 100]].concat()).collect::<Vec<_>>();
    let stream = frames.concat();
    // The second one's PTS is that of the third frame, the first to begin there.
    let pes = [pes(0xC0, 0, &stream[..150]), pes(0xC0, 3840, &stream[150..])];
    let mapped = psi::MappedStream { stream_type: 0x0F, pid: Pid(0x100), descriptors: psi::Descriptors(&[]) };
    let (events, counters) = demux(&program(mapped, &pes), 1316);
    assert_eq!(counters, Counters::default());
    let found =
        units(&events, 0).into_iter().map(|unit| (unit.pts.ticks, unit.parts[0][0])).collect::<Vec<_>>();
    assert_eq!(found, [(0, 1), (1920, 2), (3840, 3), (5760, 4)]);
}

#[test]
fn synchronous_metadata_comes_in_cells() {
    let cells = |cells: &[(u8, &[u8])]| {
        let cell = |(flags, bytes): &(u8, &[u8])| [&[0, 0, *flags, 0, bytes.len() as u8], *bytes].concat();
        cells.iter().flat_map(cell).collect::<Vec<_>>()
    };
    let descriptors = b"\x26\x09\x01\x00\xFFKLVA\x00\x0F";
    let mapped =
        psi::MappedStream { stream_type: 0x15, pid: Pid(0x100), descriptors: psi::Descriptors(descriptors) };
    let pes = [
        pes(0xFC, 0, &cells(&[(0xD0, b"one"), (0xD0, b"two"), (0x90, b"th")])),
        pes(0xFC, 9000, &cells(&[(0x10, b"re"), (0x50, b"e")])),
        pes(0xFC, 18_000, &cells(&[(0x50, b"an end without a start")])),
    ];
    let (events, counters) = demux(&program(mapped, &pes), 1316);
    assert_eq!(counters, Counters { invalid: 1, ..Counters::default() });
    assert_eq!(tracks(&events)[0].track.codec, Codec::Klv);
    let found = units(&events, 0).into_iter().map(|unit| (unit.pts.ticks, &unit.parts[0][..]));
    assert_eq!(found.collect::<Vec<_>>(), [(0, &b"one"[..]), (0, b"two"), (9000, b"three")]);
}

#[test]
fn tracks_are_announced_without_parameters_after_a_while() {
    let slice = [0, 0, 0, 1, 0x41, 0x9A, 0x55];
    let pes = (0..5).map(|index| pes(0xE0, index * 90_000, &slice)).collect::<Vec<_>>();
    let mapped = psi::MappedStream { stream_type: 0x1B, pid: Pid(0x100), descriptors: psi::Descriptors(&[]) };
    let bytes = program(mapped, &pes);
    let mut demuxer = Demuxer::new();
    let mut events = Vec::new();
    demuxer.push(&bytes[..4 * PACKET_BYTES], &mut events).expect("a transport stream");
    assert!(events.is_empty(), "one second");
    demuxer.push(&bytes[4 * PACKET_BYTES..5 * PACKET_BYTES], &mut events).expect("a transport stream");
    assert_eq!((tracks(&events)[0].configuration.as_ref(), units(&events, 0).len()), (None, 3));

    let mut demuxer = Demuxer::new();
    let mut events = Vec::new();
    demuxer.push(&bytes[..3 * PACKET_BYTES], &mut events).expect("a transport stream");
    demuxer.detection_over(&mut events);
    assert_eq!(units(&events, 0).len(), 1);
}
