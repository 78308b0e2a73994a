//! What the muxer writes, the demuxer reads: every codec, and what a client cannot take.

use super::golden::{H264_AAC, MP3};
use super::{Demuxed, bytes, demux, demux_file, mux};
use crate::amf0::{self, Value};
use crate::codec::Configuration;
use crate::codec::configuration::{Aac, Ac3, Av1, Flac, H265, MpegAudio, Opus, Picture, Samples, Vp9};
use crate::flv::{Capabilities, FourCc, Kind, Message, Muxer, tag};
use crate::track::{Codec, Elementary, Medium};
use crate::unit::{AccessUnit, MediaTime};
use bytes::Bytes;
use std::sync::Arc;

/// libx265, 64×64.
const VPS: &str = "40010c01ffff0408000003009e0800000300001eba0240";
const SPS: &str = "4201010408000003009e0800000300001e90041020b2dd49265780b7020200040000030004000003002820";
const PPS: &str = "4401c172860c4224";
/// libaom, 64×64: the sequence header without its size.
const AV1_SEQUENCE_HEADER: &str = "0820000002afff9b5f24043400";
/// libvpx-vp9, 64×64: the beginning of a key frame; and of an inter frame.
const VP9_KEY: &str = "a2498342e003f003f61038241c18f60003b07cb1";
const VP9_INTER: &str = "8600aabb";
const VP8_KEY: &str = "100200 9d012a 4000 4000 aabbcc";
const VP8_INTER: &str = "310200 aabbcc";
/// FFmpeg, mono, 44100 Hz, 16 bits.
const FLAC_STREAM_INFO: &str = "120012000004b20004b20ac440f00000113a970a8602eaca9fdde598307ea787674b";
/// FFmpeg, 64 kbit/s, 48 kHz, mono: the beginning of a frame of 256 bytes.
const AC3_FRAME: &str = "0b776bf108402f84";

fn elementary(configuration: Configuration) -> Elementary {
    Elementary { track: configuration.track(), configuration: Some(Arc::new(configuration)) }
}

/// Units at the given decode and presentation times on the track's clock, the first one with the configuration.
fn units(track: &Elementary, times: &[(i64, i64)], parts: impl Fn(usize) -> Vec<Bytes>) -> Vec<AccessUnit> {
    let clock_rate = track.track.clock_rate;
    let audio = track.track.medium == Medium::Audio;
    let unit = |(index, (dts, pts)): (usize, &(i64, i64))| AccessUnit {
        pts: MediaTime::new(*pts, clock_rate),
        dts: MediaTime::new(*dts, clock_rate),
        random_access: audio || index == 0,
        configuration: track.configuration.clone().filter(|_| index == 0),
        parts: parts(index).into_iter().collect(),
    };
    times.iter().enumerate().map(unit).collect()
}

/// Through muxer and demuxer, the same comes out.
fn check(track: &Elementary, units: &[AccessUnit], capabilities: Capabilities) {
    let numbered = units.iter().map(|unit| (0, unit.clone())).collect::<Vec<_>>();
    let demuxed = demux(mux(std::slice::from_ref(track), &numbered, capabilities));
    assert_eq!(demuxed.tracks, std::slice::from_ref(track));
    assert_eq!(demuxed.units, numbered);
}

const VIDEO_TIMES: [(i64, i64); 3] = [(0, 3600), (3600, 10_800), (7200, 7200)];
const FLAT_TIMES: [(i64, i64); 3] = [(0, 0), (3600, 3600), (7200, 7200)];

#[test]
fn h265() {
    let (vps, sps, pps) = (bytes(VPS), bytes(SPS), bytes(PPS));
    let h265 = H265 { vps: vps.clone(), sps: sps.clone(), pps: vec![pps.clone()] };
    let track = elementary(Configuration::H265(h265));
    let parts = |index| match index {
        0 => vec![vps.clone(), sps.clone(), pps.clone(), bytes("2801af04186d7f")],
        _ => vec![bytes("0201d0097e10")],
    };
    check(&track, &units(&track, &VIDEO_TIMES, parts), Capabilities::all());
    assert!(Muxer::new(&[track], Capabilities::legacy()).is_err());
}

#[test]
fn av1() {
    let sequence_header = bytes(AV1_SEQUENCE_HEADER);
    let track = elementary(Configuration::Av1(Av1 { sequence_header: sequence_header.clone() }));
    let parts = |index| match index {
        0 => vec![sequence_header.clone(), bytes("3010aabb")],
        // With extension, and longer than a size of one byte can say.
        _ => vec![[&bytes("3420 30")[..], &[0xCC; 200]].concat().into()],
    };
    let units = units(&track, &FLAT_TIMES, parts);
    check(&track, &units, Capabilities::all());
    let messages = mux(&[track], &[(0, units[0].clone())], Capabilities::all());
    let body = messages.last().unwrap().body();
    assert!(body.starts_with(&bytes("91 61763031 1200 0A0C")), "{body:02x?}");
}

#[test]
fn vp9_and_vp8() {
    let picture = Picture { width: 64, height: 64 };
    let vp9 = Vp9::parse(&bytes(VP9_KEY)).unwrap();
    assert_eq!(vp9.picture, picture);
    for (configuration, key, inter) in
        [(Configuration::Vp9(vp9), VP9_KEY, VP9_INTER), (Configuration::Vp8(picture), VP8_KEY, VP8_INTER)]
    {
        let track = elementary(configuration);
        let parts = |index| vec![bytes(if index == 0 { key } else { inter })];
        check(&track, &units(&track, &FLAT_TIMES, parts), Capabilities::all());
    }
}

/// Times of audio units of `samples`.
fn audio_times(samples: i64) -> Vec<(i64, i64)> {
    (0..50).map(|index| (index * samples, index * samples)).collect()
}

#[test]
fn audio_with_sequence_header() {
    let aac = Aac::new(2, 44_100, 2);
    let track = elementary(Configuration::Aac(aac));
    let numbered = |index| vec![Bytes::from(vec![0x21, index as u8])];
    for capabilities in [Capabilities::legacy(), Capabilities::all()] {
        check(&track, &units(&track, &audio_times(1024), numbered), capabilities);
    }
    let track = elementary(Configuration::Opus(Opus { channels: 2, pre_skip: 312 }));
    check(&track, &units(&track, &audio_times(960), |_| vec![bytes("FC00AA")]), Capabilities::all());
    let flac = Flac::from_stream_info(&bytes(FLAC_STREAM_INFO)).unwrap();
    let track = elementary(Configuration::Flac(flac));
    // A whole number of milliseconds: frames of FLAC are not counted.
    check(&track, &units(&track, &audio_times(4410), |_| vec![bytes("FFF8AA")]), Capabilities::all());
}

#[test]
fn audio_without_sequence_header() {
    let samples = Samples { bits: 8, sample_rate: 8000, channels: 1 };
    let pcm = |_| vec![Bytes::from(vec![0x55; 164])];
    for (configuration, per_unit) in [
        (Configuration::Pcma(samples), 164),
        (Configuration::Pcmu(Samples { channels: 2, ..samples }), 82),
        (Configuration::Lpcm(Samples { bits: 16, sample_rate: 22_050, channels: 2 }), 41),
        (Configuration::Lpcm(Samples { bits: 8, sample_rate: 44_100, channels: 1 }), 164),
    ] {
        let track = elementary(configuration);
        check(&track, &units(&track, &audio_times(per_unit), pcm), Capabilities::legacy());
    }
    let frame = Bytes::from([&bytes(AC3_FRAME)[..], &[0; 248]].concat());
    let (ac3, frame_bytes) = Ac3::parse(&frame).unwrap();
    assert_eq!(frame_bytes, frame.len());
    let track = elementary(Configuration::Ac3(ac3));
    check(&track, &units(&track, &audio_times(1536), |_| vec![frame.clone()]), Capabilities::all());
}

#[test]
fn what_ffmpeg_wrote_goes_round() {
    for (file, tracks) in [(H264_AAC, 2), (MP3, 1)] {
        let first = demux_file(file);
        assert_eq!(first.tracks.len(), tracks);
        let again = demux(mux(&first.tracks, &first.units, Capabilities::legacy()));
        assert_eq!((again.tracks, again.units), (first.tracks, first.units));
    }
}

/// Frames that share a message come out one by one.
#[test]
fn several_frames_in_one_message() {
    let first = demux_file(MP3);
    let frames = first.units.iter().map(|(_, unit)| unit.parts[0].clone()).collect::<Vec<_>>();
    let head = Bytes::from_static(&[0x2E]);
    let body = std::iter::once(head).chain(frames[..3].iter().cloned());
    let demuxed = demux([Message::new(Kind::Audio, 0, body)]);
    let times = demuxed.of(0).iter().map(|unit| unit.pts.ticks).collect::<Vec<_>>();
    assert_eq!(times, [0, 2351, 4702]);
    assert!(demuxed.of(0).iter().zip(&frames).all(|(unit, frame)| unit.parts[0] == frame));
}

fn multitrack() -> (Vec<Elementary>, Vec<(usize, AccessUnit)>) {
    let source = demux_file(H264_AAC);
    let mp3 = demux_file(MP3);
    let mut tracks = source.tracks.clone();
    tracks.extend([source.tracks[0].clone(), mp3.tracks[0].clone(), source.tracks[1].clone()]);
    let mut units = source.units.clone();
    units.extend(source.units.iter().map(|(track, unit)| (if *track == 0 { 2 } else { 4 }, unit.clone())));
    units.extend(mp3.units.iter().map(|(_, unit)| (3, unit.clone())));
    units.sort_by_key(|(_, unit)| unit.dts);
    (tracks, units)
}

#[test]
fn several_tracks_of_a_medium() {
    let (tracks, units) = multitrack();
    let messages = mux(&tracks, &units, Capabilities::all());
    // The map of further tracks.
    let metadata = amf0::parse_all(&messages[0].body()).unwrap().remove(1);
    let second = metadata.get("videoTrackIdInfoMap").and_then(|map| map.get("1")).unwrap();
    let fourcc = f64::from(u32::from_be_bytes(FourCc::AVC1.0));
    assert_eq!(second.get("videocodecid").and_then(Value::as_number), Some(fourcc));
    assert_eq!(metadata.get("audioTrackIdInfoMap").unwrap().properties().unwrap().len(), 2);
    let Demuxed { tracks: found, units: came, ignored } = demux(messages);
    // Video first, then audio, each in order.
    let order = [0, 2, 1, 3, 4];
    assert_eq!(found, order.map(|track| tracks[track].clone()));
    for (index, track) in order.into_iter().enumerate() {
        let of = |units: &[(usize, AccessUnit)], track| {
            units.iter().filter(|(of, _)| *of == track).map(|(_, unit)| unit.clone()).collect::<Vec<_>>()
        };
        assert_eq!(of(&came, index), of(&units, track), "track {track}");
    }
    assert!(ignored.is_empty());
}

#[test]
fn what_a_client_cannot_take_is_skipped() {
    let (mut tracks, _) = multitrack();
    let mut aac_of_latm = tracks[1].clone();
    aac_of_latm.track.codec = Codec::AacLatm;
    let pcma = |sample_rate| {
        let mut track = elementary(Configuration::Pcma(Samples { bits: 8, sample_rate, channels: 1 }));
        track.track.clock_rate = sample_rate;
        track
    };
    tracks.extend([pcma(8000), pcma(16_000)]);
    let skipped_by = |tracks: &[Elementary], capabilities| {
        let (_, skipped) = Muxer::new(tracks, capabilities).unwrap();
        skipped.into_iter().map(|skipped| skipped.track).collect::<Vec<_>>()
    };
    assert_eq!(skipped_by(&tracks, Capabilities::legacy()), [2, 3, 4, 5, 6]);
    assert_eq!(skipped_by(&tracks, Capabilities::all()), [5, 6]);
    let mut version_1 = Capabilities::enhanced([FourCc::HVC1]);
    version_1.multitrack = false;
    assert_eq!(skipped_by(&tracks, version_1), [2, 3, 4, 5, 6]);
    assert_eq!(skipped_by(&[aac_of_latm.clone(), pcma(16_000)], Capabilities::legacy()), [1]);
    aac_of_latm.configuration = None;
    assert!(Muxer::new(&[aac_of_latm], Capabilities::all()).is_err());
}

#[test]
fn capabilities_of_a_connect_command() {
    let list = |names: &[&str]| Value::StrictArray(names.iter().map(|name| Value::from(*name)).collect());
    let connect = |properties: Vec<(&str, Value)>| Capabilities::from_connect(&Value::object(properties));
    assert_eq!(connect(vec![("app", Value::from("live"))]), Capabilities::legacy());
    let version_1 = connect(vec![("fourCcList", list(&["av01", "hvc1", "vp09", "xxxx"]))]);
    assert!(version_1.takes(FourCc::HVC1) && !version_1.takes(FourCc::OPUS) && !version_1.multitrack);
    let of_mediamtx = connect(vec![("fourCcList", list(&["av01", "hvc1", "avc1", "Opus", "mp4a"]))]);
    assert!(of_mediamtx.takes(FourCc::OPUS) && of_mediamtx.multitrack);
    assert_eq!(connect(vec![("fourCcList", list(&["*"]))]), Capabilities::all());
    let said_no = connect(vec![("fourCcList", list(&["Opus"])), ("capsEx", Value::Number(4.0))]);
    assert!(said_no.takes(FourCc::OPUS) && !said_no.multitrack);
    let map = Value::object([("hvc1", Value::Number(1.0)), ("av01", Value::Number(2.0))]);
    let mapped = connect(vec![("videoFourCcInfoMap", map), ("capsEx", Value::Number(2.0))]);
    assert!(mapped.takes(FourCc::HVC1) && !mapped.takes(FourCc::AV01) && mapped.multitrack);
}

#[test]
fn payloads_are_shared_and_parameter_sets_left_out() {
    let source = demux_file(H264_AAC);
    let (mut muxer, _) = Muxer::new(&source.tracks, Capabilities::legacy()).unwrap();
    let mut messages = Vec::new();
    let (_, first) = &source.units[0];
    muxer.unit(0, first, &mut messages);
    let [message] = &messages[..] else { panic!("one message: {messages:?}") };
    let [head, slice] = &message.parts[..] else { panic!("head and slice: {message:?}") };
    assert_eq!(head.len(), 5 + 4);
    assert_eq!(slice.as_ptr(), first.parts[2].as_ptr());
    assert_eq!(message.body(), {
        let tags = super::tags(H264_AAC, 4096);
        tags.into_iter().find(|tag| tag.kind == Kind::Video && tag.body[1] == 1).unwrap().body
    });
    let (_, audio) = source.units.iter().find(|(track, _)| *track == 1).unwrap();
    muxer.unit(1, audio, &mut messages);
    assert_eq!(messages[1].parts[1].as_ptr(), audio.parts[0].as_ptr());
    muxer.unit(7, audio, &mut messages);
    assert_eq!(messages.len(), 2, "a track that does not exist");
}

#[test]
fn a_new_configuration_brings_a_sequence_header() {
    let track = elementary(Configuration::Aac(Aac::new(2, 44_100, 2)));
    let mut all = units(&track, &audio_times(1024)[..4], |_| vec![bytes("2110")]);
    let mono = Arc::new(Configuration::Aac(Aac::new(2, 44_100, 1)));
    all[2].configuration = Some(mono.clone());
    let numbered = all.iter().map(|unit| (0, unit.clone())).collect::<Vec<_>>();
    let messages = mux(std::slice::from_ref(&track), &numbered, Capabilities::legacy());
    assert_eq!(messages.len(), 2 + 4 + 1);
    assert_eq!(messages[4].body()[..2], [0xAF, 0]);
    let demuxed = demux(messages);
    assert_eq!(demuxed.units, numbered);
    // A reader that comes now gets the present one.
    let (mut muxer, _) = Muxer::new(&[track], Capabilities::legacy()).unwrap();
    muxer.unit(0, &all[2], &mut Vec::new());
    let Configuration::Aac(mono) = &*mono else { unreachable!() };
    assert_eq!(muxer.headers()[1].parts[1], mono.specific_config);
}

#[test]
fn units_wait_for_what_a_decoder_needs() {
    let mut source = demux_file(H264_AAC);
    source.tracks[0].configuration = None;
    let (mut muxer, _) = Muxer::new(&source.tracks, Capabilities::legacy()).unwrap();
    assert_eq!(muxer.headers().len(), 2, "metadata and AAC");
    let video = source.of(0);
    let mut messages = Vec::new();
    muxer.unit(0, video[1], &mut messages);
    assert!(messages.is_empty());
    muxer.unit(0, video[0], &mut messages);
    assert_eq!(messages.len(), 2, "sequence header and picture");
    assert_eq!(muxer.headers().len(), 3);
}

#[test]
fn timestamps_wrap() {
    let mp3 = Configuration::MpegAudio(MpegAudio { layer: 3, sample_rate: 44_100, channels: 1 });
    let track = elementary(mp3);
    let frame = demux_file(MP3).units.remove(0).1.parts[0].clone();
    let start = (1_i64 << 32) * 90 - 2000;
    let times = (0..4).map(|index| start + 2351 * index).map(|time| (time, time)).collect::<Vec<_>>();
    let all = units(&track, &times, |_| vec![frame.clone()]);
    let numbered = all.into_iter().map(|unit| (0, unit)).collect::<Vec<_>>();
    let messages = mux(&[track], &numbered, Capabilities::legacy());
    let stamps = messages[1..].iter().map(|message| message.timestamp_ms).collect::<Vec<_>>();
    assert!(stamps[0] > u32::MAX - 30 && stamps[3] < 100, "{stamps:?}");
    let demuxed = demux(messages);
    let ticks = demuxed.of(0).iter().map(|unit| unit.pts.ticks).collect::<Vec<_>>();
    assert_eq!(ticks, [0, 2351, 4702, 7053]);
    // Times before the beginning are the beginning.
    let mut early = demuxed.units[0].1.clone();
    (early.pts.ticks, early.dts.ticks) = (-100, -5000);
    let messages = mux(&demuxed.tracks, &[(0, early)], Capabilities::legacy());
    assert_eq!(messages[1].timestamp_ms, 0);
}

#[test]
fn tags_of_a_file() {
    let source = demux_file(H264_AAC);
    let messages = mux(&source.tracks, &source.units, Capabilities::legacy());
    let mut file = tag::file_header(true, true).to_vec();
    for message in &messages {
        let (header, size) = tag::frame(message).unwrap();
        file.extend(header);
        message.parts.iter().for_each(|part| file.extend_from_slice(part));
        file.extend(size);
    }
    let mut reader = tag::Reader::new();
    reader.push(file.into());
    for message in &messages {
        let tag = reader.tag().unwrap().unwrap();
        assert_eq!(
            (tag.kind, tag.timestamp_ms, tag.body),
            (message.kind, message.timestamp_ms, message.body())
        );
    }
    assert_eq!(reader.tag().unwrap(), None);
    let large = Message::new(Kind::Video, 0, [Bytes::from(vec![0; tag::BODY_BYTES_MAX]), bytes("00")]);
    assert_eq!(tag::frame(&large).unwrap_err().kind(), "limit");
}
