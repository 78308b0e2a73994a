//! When the tracks of a publisher are known.

use super::golden::H264_AAC;
use super::{Demuxed, bytes, demux, tags};
use crate::amf0::Value;
use crate::flv::{Demuxer, Event, Kind, Message};
use crate::track::Codec;
use bytes::{Bytes, BytesMut};

const AAC_HEADER: &str = "AF 00 1210";
const AAC_UNIT: &str = "AF 01 2110";

fn metadata(properties: &[(&str, f64)]) -> Message {
    let mut body = BytesMut::new();
    Value::from("@setDataFrame").write(&mut body);
    Value::from("onMetaData").write(&mut body);
    Value::object(properties.iter().map(|(name, number)| (*name, Value::Number(*number)))).write(&mut body);
    Message::new(Kind::Script, 0, [body.freeze()])
}

fn audio(timestamp_ms: u32, hex: &str) -> Message {
    Message::new(Kind::Audio, timestamp_ms, [bytes(hex)])
}

/// The video tags of the golden file.
fn video() -> Vec<Message> {
    let tags = tags(H264_AAC, H264_AAC.len()).into_iter().filter(|tag| tag.kind == Kind::Video);
    tags.map(|tag| Message::new(Kind::Video, tag.timestamp_ms, [tag.body])).collect()
}

/// Index of the message that showed the tracks, and how many there are.
fn found(messages: &[Message]) -> Option<(usize, usize)> {
    let mut demuxer = Demuxer::new();
    for (index, message) in messages.iter().enumerate() {
        for event in demuxer.message(message.kind, message.timestamp_ms, message.body()).unwrap() {
            if let Event::Tracks(tracks) = event {
                return Some((index, tracks.len()));
            }
        }
    }
    None
}

#[test]
fn announced_tracks_are_waited_for_and_no_longer() {
    let video = video();
    let both = metadata(&[("videocodecid", 7.0), ("audiocodecid", 10.0)]);
    let only_audio = metadata(&[("videocodecid", 0.0), ("audiocodecid", 10.0)]);
    let header = audio(0, AAC_HEADER);
    let unit = audio(0, AAC_UNIT);
    // Both announced: the first picture after both sequence headers.
    let messages = [both.clone(), header.clone(), video[0].clone(), unit.clone(), video[1].clone()];
    assert_eq!(found(&messages), Some((4, 2)));
    assert_eq!(found(&[only_audio, header.clone(), unit.clone()]), Some((2, 1)));
    // Without announcement one of each, or two seconds.
    assert_eq!(found(&[header.clone(), unit.clone(), video[0].clone(), video[1].clone()]), Some((3, 2)));
    let alone = [header.clone(), unit.clone(), audio(1999, AAC_UNIT), audio(2000, AAC_UNIT)];
    assert_eq!(found(&alone), Some((3, 1)));
    // Announced, but it never comes.
    let alone = [both, header, unit, audio(2000, AAC_UNIT)];
    assert_eq!(found(&alone), Some((3, 1)));
}

#[test]
fn units_are_held_back_and_lost_to_nobody() {
    let messages = [audio(10, AAC_HEADER), audio(10, AAC_UNIT), audio(33, AAC_UNIT)];
    let mut demuxer = Demuxer::new();
    for message in &messages {
        assert_eq!(demuxer.message(message.kind, message.timestamp_ms, message.body()), Ok(vec![]));
    }
    let mut demuxed = Demuxed::default();
    demuxed.take(demuxer.detection_over().unwrap());
    assert_eq!(demuxed.tracks.len(), 1);
    assert_eq!(demuxed.of(0).iter().map(|unit| unit.pts.ticks).collect::<Vec<_>>(), [0, 1024]);
    assert_eq!(demuxer.detection_over(), Ok(vec![]));
    assert!(Demuxer::new().detection_over().is_err());
}

#[test]
fn late_tracks_are_reported_once() {
    let only_audio = metadata(&[("audiocodecid", 10.0)]);
    let messages = [only_audio, audio(0, AAC_HEADER), audio(0, AAC_UNIT)].into_iter().chain(video());
    let demuxed = demux(messages);
    assert_eq!(demuxed.tracks.len(), 1);
    assert_eq!(demuxed.ignored, [(Kind::Video, 0, "it came after the tracks were known")]);
}

#[test]
fn codec_of_a_track_may_change_only_before_it_was_told() {
    let mp3 = "2F FFFB 90C4 00";
    let messages = [audio(0, AAC_HEADER), audio(0, AAC_UNIT), audio(20, "82 AA"), audio(2100, "82 AA")];
    let demuxed = demux(messages);
    assert_eq!(demuxed.tracks[0].track.codec, Codec::Pcmu);
    assert_eq!(demuxed.units.len(), 2);
    let mut demuxer = Demuxer::new();
    demuxer.message(Kind::Audio, 0, bytes("82 AA")).unwrap();
    demuxer.detection_over().unwrap();
    assert_eq!(demuxer.message(Kind::Audio, 0, bytes(mp3)).unwrap_err().kind(), "misbehaved");
    assert_eq!(demuxer.message(Kind::Audio, 20, bytes("82 AA")).unwrap().len(), 1);
}

#[test]
fn presentation_before_decoding_moves_decoding_ahead() {
    // Composition times of a sender that counts them from the picture itself: 0, 80, −40, −40.
    let video = video();
    let slice = |timestamp_ms: u32, composition: &str| {
        let body = bytes(&format!("27 01 {composition} 00000005 419A08DB11"));
        Message::new(Kind::Video, timestamp_ms, [body])
    };
    let messages = [
        video[0].clone(),
        video[1].clone(),
        slice(40, "000050"),
        slice(80, "FFFFD8"),
        slice(120, "FFFFD8"),
        slice(160, "000050"),
    ];
    let demuxed = demux(messages);
    let times = demuxed
        .of(0)
        .iter()
        .map(|unit| (unit.dts.in_clock(1000), unit.pts.in_clock(1000)))
        .collect::<Vec<_>>();
    assert_eq!(times, [(0, 200), (40, 120), (40, 40), (80, 80), (120, 240)]);
}

#[test]
fn sequence_headers_do_not_set_the_clock() {
    let messages = [audio(0, AAC_HEADER), audio(3_000_000_000, AAC_UNIT), audio(3_000_000_023, AAC_UNIT)];
    let demuxed = demux(messages);
    assert_eq!(demuxed.of(0).iter().map(|unit| unit.pts.ticks).collect::<Vec<_>>(), [0, 1024]);
}

#[test]
fn silence_and_what_cannot_be_read() {
    let mut demuxer = Demuxer::new();
    assert_eq!(demuxer.message(Kind::Audio, 0, Bytes::new()), Ok(vec![]));
    assert_eq!(demuxer.message(Kind::Video, 0, Bytes::new()), Ok(vec![]));
    assert!(demuxer.message(Kind::Script, 0, bytes("0F")).is_err());
    // A picture whose NAL unit is longer than the message: this one is lost, not the track.
    assert!(demuxer.message(Kind::Video, 0, bytes("27 01 000000 00000009 41")).is_err());
    assert_eq!(demuxer.message(Kind::Video, 40, bytes("27 01 000000 00000002 419A")), Ok(vec![]));
}
