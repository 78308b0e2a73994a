//! Published units as RTP: what RTSP readers get of an RTMP publisher.
//!
//! The packets go through the same [`Ingest`] as those of an RTSP publisher: it numbers them and finds random access points.
//! Sender reports have the units' own times, which all tracks have in common: by their arrival, pictures that are decoded
//! early would come out early, too.

use super::super::ingest::unix_time;
use super::super::{Batch, Description, Ingest};
use super::Unfit;
use crate::counters::Counters;
use crate::limits;
use bytes::BytesMut;
use headwater_protocols::rtcp::Ntp;
use headwater_protocols::rtp::{Packetizer, Rewrite, Sequence, Ticks, write_header};
use headwater_protocols::track::Skipped;
use headwater_protocols::unit::MediaTime;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
    /// A time of the units, and that of the wall clock (since the Unix epoch) which goes with it.
    anchor: Option<(MediaTime, Duration)>,
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
        Ok((Maker { tracks, ingest, scratch: BytesMut::new(), anchor: None }, skipped))
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
            if result.is_ok() && !self.ingest.is_related(*index) {
                let ntp = self.wall_clock(unit.pts);
                self.ingest.relate(now, *index, ntp, base);
            }
            if let Err(error) = result {
                counters.conversion_errors.add(1);
                tracing::trace!(track = index, "unit without RTP packets: {error}");
            }
        }
        self.finish(now, counters)
    }

    /// The wall clock at a time of the units; it is read once.
    fn wall_clock(&mut self, time: MediaTime) -> Ntp {
        let (anchor, unix) = *self.anchor.get_or_insert_with(|| (time, unix_time()));
        let seconds = time.seconds_since(anchor);
        let apart = Duration::try_from_secs_f64(seconds.abs()).unwrap_or_default();
        Ntp::from_unix(if seconds < 0.0 { unix.saturating_sub(apart) } else { unix.saturating_add(apart) })
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
