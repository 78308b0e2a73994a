//! FLV: whatever comes as messages or files, the demuxer keeps its promises, and what it makes can be written and read
//! again.

use bytes::Bytes;
use headwater_protocols::flv::{Capabilities, Demuxer, Event, Kind, Muxer, tag};
use headwater_protocols::limits::{AMF0_VALUES_MAX, TRACKS_MAX};
use headwater_protocols::track::Elementary;
use headwater_protocols::unit::AccessUnit;

/// Starts of bodies that get past the first checks: legacy and extended, of every codec.
const STARTS: [&[u8]; 20] = [
    b"\x17\x00\0\0\0",
    b"\x17\x01\0\0\0",
    b"\x27\x01\0\0\x28",
    b"\x1c\x01\0\0\0",
    b"\x90hvc1",
    b"\x91hvc1\xff\xff\xd8",
    b"\xa3avc1",
    b"\x90av01",
    b"\x91av01",
    b"\x91vp09",
    b"\x91vp08",
    b"\x96\x11avc1",
    b"\x96\x21avc1\x01",
    b"\x97\x02\0\0\x01\x01",
    b"\xaf\x00",
    b"\xaf\x01",
    b"\x90Opus",
    b"\x91Opus",
    b"\x91ac-3",
    b"\x90fLaC",
];

/// Messages: a byte of kind and, if its high bits are set, a start from the list; two bytes of time; a byte of length.
pub fn flv_message(data: &[u8]) {
    let mut watch = Watch::default();
    let mut rest = data;
    let mut timestamp_ms = 0_u32;
    while let [choice, high, low, length, after @ ..] = rest {
        let (payload, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        let kind = [Kind::Audio, Kind::Video, Kind::Script][usize::from(choice & 3) % 3];
        let start =
            usize::from(choice >> 2).checked_sub(32).map_or(&[][..], |index| STARTS[index % STARTS.len()]);
        timestamp_ms = timestamp_ms.wrapping_add_signed(i16::from_be_bytes([*high, *low]).into());
        watch.message(kind, timestamp_ms, [start, payload].concat().into());
    }
    watch.end();
}

/// The bytes as a file, in pieces as long as the first byte says; and once more with the header of a file before them.
pub fn flv_file(data: &[u8]) {
    let Some((&piece, rest)) = data.split_first() else { return };
    read(data, usize::from(piece).max(1));
    read(&[&tag::file_header(true, true), rest].concat(), usize::from(piece).max(1));
}

fn read(file: &[u8], piece: usize) {
    let mut reader = tag::Reader::new();
    let mut watch = Watch::default();
    for piece in file.chunks(piece) {
        reader.push(Bytes::copy_from_slice(piece));
        loop {
            match reader.tag() {
                Ok(Some(tag)) => watch.message(tag.kind, tag.timestamp_ms, tag.body),
                Ok(None) => break,
                Err(error) => {
                    assert!(!error.kind().is_empty());
                    return;
                }
            }
        }
    }
    watch.end();
}

/// A demuxer, and what it said.
#[derive(Default)]
struct Watch {
    demuxer: Demuxer,
    tracks: Option<Vec<Elementary>>,
    units: Vec<(usize, AccessUnit)>,
    last: Vec<Option<AccessUnit>>,
}

impl Watch {
    fn message(&mut self, kind: Kind, timestamp_ms: u32, body: Bytes) {
        match self.demuxer.message(kind, timestamp_ms, body) {
            Ok(events) => self.take(events),
            Err(error) => assert!(!error.kind().is_empty() && !error.to_string().is_empty()),
        }
    }

    fn take(&mut self, events: Vec<Event>) {
        assert!(events.len() <= AMF0_VALUES_MAX + TRACKS_MAX, "an answer is bounded");
        for event in events {
            match event {
                Event::Tracks(tracks) => {
                    assert!(self.tracks.is_none() && (1..=TRACKS_MAX).contains(&tracks.len()));
                    self.last.resize(tracks.len(), None);
                    self.tracks = Some(tracks);
                }
                Event::Unit { track, unit } => {
                    assert!(unit.dts <= unit.pts && !unit.parts.is_empty());
                    assert!(unit.parts.iter().all(|part| !part.is_empty()));
                    let last = self.last[track].replace(unit.clone());
                    assert!(last.is_none_or(|last| last.dts <= unit.dts), "decode times go back");
                    self.units.push((track, unit));
                }
                Event::Ignored { reason, .. } => assert!(!reason.is_empty()),
            }
        }
    }

    /// Writes what came, and reads it again.
    fn end(mut self) {
        if let Ok(events) = self.demuxer.detection_over() {
            self.take(events);
        }
        let Some(tracks) = self.tracks else { return };
        for capabilities in [Capabilities::all(), Capabilities::legacy()] {
            let Ok((mut muxer, skipped)) = Muxer::new(&tracks, capabilities) else { continue };
            assert!(skipped.len() < tracks.len());
            let mut messages = muxer.headers();
            self.units.iter().for_each(|(track, unit)| muxer.unit(*track, unit, &mut messages));
            let mut again = Demuxer::new();
            for message in messages {
                assert!(tag::frame(&message).is_ok());
                again
                    .message(message.kind, message.timestamp_ms, message.body())
                    .expect("what we write we read");
            }
        }
    }
}
