//! Golden tags of FFmpeg and after the tables of Enhanced RTMP; round trips; detection.

mod detection;
mod golden;
mod round_trip;

use super::{Capabilities, Demuxer, Event, Kind, Message, Muxer, tag};
use crate::track::Elementary;
use crate::unit::AccessUnit;
use bytes::Bytes;

fn bytes(hex: &str) -> Bytes {
    let digits = hex.chars().filter(|digit| !digit.is_whitespace()).collect::<String>();
    (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// All tags of a file, given in pieces of `piece` bytes.
fn tags(file: &'static [u8], piece: usize) -> Vec<tag::Tag> {
    let mut reader = tag::Reader::new();
    let mut tags = Vec::new();
    for piece in file.chunks(piece) {
        reader.push(Bytes::from_static(piece));
        while let Some(tag) = reader.tag().unwrap() {
            tags.push(tag);
        }
    }
    tags
}

/// What a demuxer makes of messages, all that came after the tracks were found sorted out.
#[derive(Debug, Default)]
struct Demuxed {
    tracks: Vec<Elementary>,
    units: Vec<(usize, AccessUnit)>,
    ignored: Vec<(Kind, u8, &'static str)>,
}

impl Demuxed {
    fn take(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Tracks(tracks) => {
                    assert!(self.tracks.is_empty() && self.units.is_empty(), "tracks come once and first");
                    self.tracks = tracks;
                }
                Event::Unit { track, unit } => self.units.push((track, unit)),
                Event::Ignored { kind, track_id, reason } => self.ignored.push((kind, track_id, reason)),
            }
        }
    }

    fn of(&self, track: usize) -> Vec<&AccessUnit> {
        self.units.iter().filter(|(index, _)| *index == track).map(|(_, unit)| unit).collect()
    }
}

fn demux(messages: impl IntoIterator<Item = Message>) -> Demuxed {
    let mut demuxer = Demuxer::new();
    let mut demuxed = Demuxed::default();
    for message in messages {
        demuxed.take(demuxer.message(message.kind, message.timestamp_ms, message.body()).unwrap());
    }
    demuxed.take(demuxer.detection_over().unwrap());
    demuxed
}

fn demux_file(file: &'static [u8]) -> Demuxed {
    demux(tags(file, file.len()).into_iter().map(|tag| Message::new(tag.kind, tag.timestamp_ms, [tag.body])))
}

/// Everything a reader gets that is there from the beginning.
fn mux(tracks: &[Elementary], units: &[(usize, AccessUnit)], capabilities: Capabilities) -> Vec<Message> {
    let (mut muxer, skipped) = Muxer::new(tracks, capabilities).unwrap();
    assert_eq!(skipped, []);
    let mut messages = muxer.headers();
    units.iter().for_each(|(track, unit)| muxer.unit(*track, unit, &mut messages));
    messages
}
