//! Published RTP in packets that datagrams may carry: what RTSP readers over UDP get of a publisher over TCP whose packets
//! are larger than that (`udpMaxPayloadSize`).
//!
//! A track goes on as it came until its first packet that is too large; from there on its units are packetized anew.
//! Timestamps and sender reports stay the publisher's, synchronisation sources the server's, so a reader could not tell.
//! A track whose payload format is not known here keeps its large packets, which IP fragments.

use super::super::batch::Channel;
use super::super::{Batch, Description, Ingest};
use crate::counters::Counters;
use crate::limits;
use bytes::BytesMut;
use headwater_protocols::codec::Assembler;
use headwater_protocols::rtp::{
    Depacketizer, HEADER_BYTES, Packet, Packetizer, Rewrite, Sequence, Ticks, write_header,
};
use headwater_protocols::unit::{MediaTime, Parts};
use std::sync::Arc;
use std::time::Instant;

/// What makes smaller packets of a track's.
struct Cutter {
    depacketizer: Depacketizer,
    assembler: Assembler,
    packetizer: Packetizer,
    payload_type: u8,
    /// Number of the next packet, once one was too large.
    next: Option<Sequence>,
}

pub(crate) struct Maker {
    packet_bytes_max: usize,
    /// `None` for tracks that cannot be cut.
    tracks: Vec<Option<Cutter>>,
    ingest: Ingest,
    units: Vec<(Ticks, Parts)>,
    scratch: BytesMut,
}

impl Maker {
    pub(super) fn new(description: &Description, packet_bytes_max: u16) -> Maker {
        let packet_bytes_max = usize::from(packet_bytes_max);
        let payload_bytes_max =
            packet_bytes_max.saturating_sub(HEADER_BYTES).min(limits::RTP_PAYLOAD_BYTES_MAX);
        let tracks = description.tracks.iter().zip(&description.configurations);
        let cutters = tracks.map(|(track, configuration)| {
            Some(Cutter {
                depacketizer: Depacketizer::new(track)?,
                assembler: Assembler::new(&track.codec, track.clock_rate, configuration.clone()),
                packetizer: Packetizer::new(track, payload_bytes_max)?,
                payload_type: track.payload_type,
                next: None,
            })
        });
        Maker {
            packet_bytes_max,
            tracks: cutters.collect(),
            ingest: Ingest::new(description),
            units: Vec::new(),
            scratch: BytesMut::new(),
        }
    }

    pub(super) fn take(&mut self, batch: &Batch, counters: &Counters) -> Option<Arc<Batch>> {
        let now = batch.published;
        for (index, at) in batch.packets().iter().enumerate() {
            let track = at.channel.index() / 2;
            if at.channel == Channel::rtcp(track) {
                // Our own reports, with the numbers of this form's packets in place of the other's.
                let valid = self.ingest.rtcp(now, track, batch.packet(index));
                debug_assert!(valid);
            } else {
                self.packet(batch, index, track, counters);
            }
        }
        self.finish(now, counters)
    }

    fn packet(&mut self, batch: &Batch, index: usize, track: usize, counters: &Counters) {
        let bytes = batch.packet(index);
        let cutter = self.tracks.get_mut(track).and_then(Option::as_mut);
        let is_small = bytes.len() <= self.packet_bytes_max;
        let Some(cutter) = cutter.filter(|cutter| cutter.next.is_some() || !is_small) else {
            let taken = self.ingest.rtp(batch.published, track, bytes);
            debug_assert_eq!(taken, Ok(()));
            return;
        };
        let whole = batch.packet_bytes(index);
        let Ok(packet) = Packet::parse(&whole) else { return };
        cutter.next.get_or_insert(packet.sequence);
        let payload = whole.slice(packet.header_bytes..packet.header_bytes + packet.payload.len());
        if let Err(error) = cutter.depacketizer.push(&packet, payload, &mut self.units) {
            counters.conversion_errors.add(1);
            tracing::trace!(track, "RTP payload without unit: {error}");
        }
        for (timestamp, parts) in self.units.drain(..) {
            let ingest = &mut self.ingest;
            cutter.cut(timestamp, parts, &mut self.scratch, counters, |packet| {
                let taken = ingest.rtp(batch.published, track, packet);
                debug_assert_eq!(taken, Ok(()));
            });
        }
    }

    pub(super) fn bye(&mut self, now: Instant, counters: &Counters) -> Option<Arc<Batch>> {
        self.ingest.bye();
        self.finish(now, counters)
    }

    fn finish(&mut self, now: Instant, counters: &Counters) -> Option<Arc<Batch>> {
        self.ingest.has_batch().then(|| self.ingest.finish(now, counters))
    }
}

impl Cutter {
    /// Calls `each` with the packets of one unit.
    fn cut(
        &mut self,
        base: Ticks,
        parts: Parts,
        scratch: &mut BytesMut,
        counters: &Counters,
        mut each: impl FnMut(&[u8]),
    ) {
        // The time within the unit is not used: its packets have the publisher's timestamp.
        let time = MediaTime::new(base.0.into(), 1);
        let Some(unit) = self.assembler.unit(time, None, parts) else { return };
        let (next, payload_type) = (&mut self.next, self.payload_type);
        let result = self.packetizer.packetize(&unit, |marker, offset, pieces| {
            let sequence = next.unwrap_or(Sequence(0));
            *next = Some(sequence.next());
            scratch.clear();
            let fields = Rewrite { payload_type, sequence, timestamp: base.advance(offset), ssrc: 1 };
            write_header(scratch, marker, fields);
            pieces.iter().for_each(|piece| scratch.extend_from_slice(piece));
            each(scratch);
        });
        if let Err(error) = result {
            counters.conversion_errors.add(1);
            tracing::trace!("unit without RTP packets: {error}");
        }
    }
}
