//! Published units as RTP: what RTSP readers get of an RTMP publisher.
//!
//! The packets go through the same [`Ingest`] as those of an RTSP publisher: it numbers them, finds random access points
//! and makes sender reports from the arrival time.

use super::super::{Batch, Description, Ingest};
use super::Unfit;
use crate::counters::Counters;
use crate::limits;
use bytes::BytesMut;
use headwater_protocols::rtp::{Packetizer, Rewrite, Sequence, Ticks, write_header};
use headwater_protocols::track::Skipped;
use std::sync::Arc;
use std::time::Instant;

struct MakerTrack {
    packetizer: Packetizer,
    payload_type: u8,
    clock_rate: u32,
    sequence: Sequence,
}

pub(crate) struct Maker {
    tracks: Vec<Option<MakerTrack>>,
    ingest: Ingest,
    scratch: BytesMut,
}

impl Maker {
    pub(super) fn new(description: &Description) -> Result<(Maker, Vec<Skipped>), Unfit> {
        let of = |track: &headwater_protocols::track::Track| {
            Some(MakerTrack {
                packetizer: Packetizer::new(track, limits::RTP_PAYLOAD_BYTES_MAX)?,
                payload_type: track.payload_type,
                clock_rate: track.clock_rate,
                sequence: Sequence(crate::rtsp::random::<u32>() as u16),
            })
        };
        let tracks: Vec<_> = description.tracks.iter().map(of).collect();
        let without = tracks.iter().enumerate().filter(|(_, track)| track.is_none());
        let skipped: Vec<_> = without
            .map(|(track, _)| Skipped { track, reason: "there is no RTP payload format for it" })
            .collect();
        if skipped.len() == tracks.len() {
            return Err(Unfit { reason: "none of its tracks can be carried over RTP".into() });
        }
        let ingest = Ingest::new(description);
        Ok((Maker { tracks, ingest, scratch: BytesMut::new() }, skipped))
    }

    pub(super) fn take(&mut self, batch: &Batch, counters: &Counters) -> Option<Arc<Batch>> {
        let now = batch.published;
        for (index, unit) in batch.units() {
            let Some(Some(track)) = self.tracks.get_mut(*index) else { continue };
            let base = Ticks(unit.pts.in_clock(track.clock_rate) as u32);
            let (ingest, scratch) = (&mut self.ingest, &mut self.scratch);
            let (sequence, payload_type) = (&mut track.sequence, track.payload_type);
            let result = track.packetizer.packetize(unit, |marker, offset, pieces| {
                scratch.clear();
                let timestamp = base.advance(offset);
                let fields = Rewrite { payload_type, sequence: *sequence, timestamp, ssrc: 1 };
                *sequence = sequence.next();
                write_header(scratch, marker, fields);
                pieces.iter().for_each(|piece| scratch.extend_from_slice(piece));
                // Our own packets are neither malformed nor of another payload type.
                let taken = ingest.rtp(now, *index, scratch);
                debug_assert_eq!(taken, Ok(()));
            });
            if let Err(error) = result {
                counters.conversion_errors.add(1);
                tracing::trace!(track = index, "unit without RTP packets: {error}");
            }
        }
        self.finish(now, counters)
    }

    pub(super) fn tick(&mut self, now: Instant, counters: &Counters) -> Option<Arc<Batch>> {
        self.ingest.tick(now);
        self.finish(now, counters)
    }

    pub(super) fn bye(&mut self, now: Instant, counters: &Counters) -> Option<Arc<Batch>> {
        self.ingest.bye();
        self.finish(now, counters)
    }

    fn finish(&mut self, now: Instant, counters: &Counters) -> Option<Arc<Batch>> {
        self.ingest.has_batch().then(|| self.ingest.finish(now, counters))
    }
}
