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
    /// The same as in the packets before the first that is cut: to [`Ingest`] another would be another publisher.
    ssrc: u32,
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
        let tracks = description.tracks.iter().zip(&description.configurations).zip(&description.ssrcs);
        let cutters = tracks.map(|((track, configuration), ssrc)| {
            Some(Cutter {
                depacketizer: Depacketizer::new(track)?,
                assembler: Assembler::new(&track.codec, track.clock_rate, configuration.clone()),
                packetizer: Packetizer::new(track, payload_bytes_max)?,
                payload_type: track.payload_type,
                ssrc: *ssrc,
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
        let (next, payload_type, ssrc) = (&mut self.next, self.payload_type, self.ssrc);
        let result = self.packetizer.packetize(&unit, |marker, offset, pieces| {
            let sequence = next.unwrap_or(Sequence(0));
            *next = Some(sequence.next());
            scratch.clear();
            let fields = Rewrite { payload_type, sequence, timestamp: base.advance(offset), ssrc };
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

#[cfg(test)]
mod tests {
    use super::super::super::batch::Channel;
    use super::super::super::{Description, Form, Ingest};
    use super::Maker;
    use crate::counters::Counters;
    use bytes::BytesMut;
    use headwater_protocols::rtp::{Depacketizer, Packet, Rewrite, Sequence, Ticks, write_header};
    use headwater_protocols::sdp::{self, SessionDescription};
    use headwater_protocols::track::Elementary;
    use std::time::Instant;

    const PACKET_BYTES_MAX: u16 = 1452;

    fn description() -> Description {
        let text = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
                    m=audio 0 RTP/AVP 0\r\n";
        let parsed = SessionDescription::parse(text.as_bytes()).expect("valid");
        let tracks = sdp::tracks(&parsed).expect("two tracks").into_iter();
        let announced = tracks.map(|(track, _)| Elementary { track, configuration: None }).collect();
        Description::new("x", Form::Rtp, announced, vec![11, 22])
    }

    fn packet(payload_type: u8, sequence: u16, ticks: u32, nal: u8, bytes: usize) -> BytesMut {
        let mut out = BytesMut::new();
        let fields = Rewrite { payload_type, sequence: Sequence(sequence), timestamp: Ticks(ticks), ssrc: 5 };
        write_header(&mut out, true, fields);
        out.extend_from_slice(&[nal, 0x88]);
        out.extend((2..bytes).map(|at| at as u8));
        out
    }

    #[test]
    fn a_track_is_cut_from_its_first_large_packet_on() {
        let description = description();
        let (mut ingest, counters, now) = (Ingest::new(&description), Counters::default(), Instant::now());
        let mut maker = Maker::new(&description, PACKET_BYTES_MAX);
        let sent = [(65534, 3000, 0x65, 900), (65535, 6000, 0x41, 5000), (0, 9000, 0x41, 700)];
        for (sequence, ticks, nal, bytes) in sent {
            ingest.rtp(now, 0, &packet(96, sequence, ticks, nal, bytes)).expect("taken");
            ingest.rtp(now, 1, &packet(0, sequence, ticks, 0, 160)).expect("taken");
        }
        let source = ingest.finish(now, &counters);
        let made = maker.take(&source, &counters).expect("packets");
        assert!(made.packet_bytes_largest() <= usize::from(PACKET_BYTES_MAX));
        assert_eq!(made.random_access, Some(0));
        let (mut video, mut audio, mut units) = (Vec::new(), Vec::new(), Vec::new());
        let mut depacketizer = Depacketizer::new(&description.tracks[0]).expect("H264");
        for (index, at) in made.packets().iter().enumerate() {
            let whole = made.packet_bytes(index);
            let packet = Packet::parse(&whole).expect("valid");
            let seen = (packet.sequence.0, packet.timestamp.0, packet.ssrc);
            if at.channel == Channel::rtp(1) {
                audio.push(seen);
                continue;
            }
            video.push(seen);
            let payload = whole.slice(packet.header_bytes..);
            depacketizer.push(&packet, payload, &mut units).expect("a unit's packet");
        }
        assert_eq!(audio, [(65534, 3000, 22), (65535, 6000, 22), (0, 9000, 22)]);
        let ticks = [3000, 6000, 6000, 6000, 6000, 9000];
        let numbers = (0..6).map(|count| 65534_u16.wrapping_add(count));
        let expected: Vec<_> = numbers.zip(ticks).map(|(number, ticks)| (number, ticks, 11)).collect();
        assert_eq!(video, expected);
        let found: Vec<_> =
            units.iter().map(|(ticks, parts)| (ticks.0, parts.len(), parts[0].len())).collect();
        assert_eq!(found, [(3000, 1, 900), (6000, 1, 5000), (9000, 1, 700)]);
        assert_eq!(counters.conversion_errors.value(), 0);
    }
}
