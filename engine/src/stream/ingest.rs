//! What a publisher's packets go through once, on the home shard: each is checked, renumbered so that readers see one
//! unbroken sequence whoever publishes, measured, and looked at for random access points.
//!
//! Readers see the server's own SSRC, the payload type they were told, and sequence numbers and timestamps that go on
//! over a change of publisher. Gaps in the publisher's sequence stay gaps. The publisher's sender reports are rewritten
//! to that numbering (RFC 3550, section 6.4.1), so its clock reaches the readers; a publisher that sends none gets
//! reports made from the arrival time.

use super::batch::{BatchBuilder, Channel};
use super::{Batch, Description, Position};
use crate::counters::Counters;
use crate::limits;
use bytes::{Bytes, BytesMut};
use headwater_protocols::codec::RandomAccess;
use headwater_protocols::limits::RTP_MISORDER_MAX;
use headwater_protocols::rtcp::{self, Ntp, ReportBlocks, SenderReport};
use headwater_protocols::rtp::{self, Reception, Rewrite, Sequence, Ticks};
use headwater_protocols::track::{Medium, Track};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Canonical name in our sender reports' source descriptions (RFC 3550, section 6.5.1): one for all tracks, which is
/// what tells players that they belong together.
const CNAME: &[u8] = b"headwater";

/// Why a packet was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No valid RTP packet.
    Malformed,
    /// Not the payload type that was announced.
    PayloadType,
}

/// What goes from one publisher to the next: the numbering the readers saw last.
#[derive(Clone, Copy)]
struct Last {
    sequence: Sequence,
    ticks: Ticks,
    at: Instant,
}

struct IngestTrack {
    clock_rate: u32,
    /// As the publisher announced it.
    payload_type_in: u8,
    /// As readers were told.
    payload_type_out: u8,
    ssrc: u32,
    /// The publisher's source; a change means a new numbering.
    source: Option<u32>,
    sequence_offset: u16,
    ticks_offset: u32,
    last: Option<Last>,
    random_access: Option<RandomAccess>,
    /// Timestamp of the access unit under way and the position of its first packet.
    access_unit: Option<(Ticks, Position)>,
    reception: Reception,
    packets: u32,
    octets: u32,
    /// Wall clock and timestamp of the same instant, from the publisher's report.
    reported: Option<(Ntp, Ticks)>,
    /// The same of a source whose first packet is still to come: ffmpeg reports first.
    early: Option<(u32, Ntp, Ticks)>,
    last_report: Option<Instant>,
    first_packet: Option<Instant>,
}

/// The publishing side of a stream.
pub(crate) struct Ingest {
    tracks: Vec<IngestTrack>,
    builder: BatchBuilder,
    /// Position of the next batch's first packet.
    next: Position,
    random_access: Option<Position>,
}

impl Ingest {
    pub(crate) fn new(description: &Description) -> Ingest {
        // Random access points are those of the first video track; without video, of every track.
        let video = description.tracks.iter().position(|track| track.medium == Medium::Video);
        let tracks = description
            .tracks
            .iter()
            .zip(&description.ssrcs)
            .enumerate()
            .map(|(index, (track, ssrc))| IngestTrack {
                clock_rate: track.clock_rate,
                payload_type_in: track.payload_type,
                payload_type_out: track.payload_type,
                ssrc: *ssrc,
                source: None,
                sequence_offset: 0,
                ticks_offset: 0,
                last: None,
                random_access: video
                    .is_none_or(|video| video == index)
                    .then(|| RandomAccess::new(&track.codec)),
                access_unit: None,
                reception: Reception::new(),
                packets: 0,
                octets: 0,
                reported: None,
                early: None,
                last_report: None,
                first_packet: None,
            })
            .collect();
        Ingest { tracks, builder: BatchBuilder::default(), next: 0, random_access: None }
    }

    /// A new publisher of matching tracks takes over: the numbering goes on from where the last one stopped.
    pub(crate) fn change_publisher(&mut self, tracks: &[Track]) {
        for (ours, theirs) in self.tracks.iter_mut().zip(tracks) {
            ours.payload_type_in = theirs.payload_type;
            ours.source = None;
            ours.access_unit = None;
            ours.reported = None;
            ours.early = None;
            ours.first_packet = None;
            if ours.random_access.is_some() {
                ours.random_access = Some(RandomAccess::new(&theirs.codec));
            }
        }
    }

    /// Takes one RTP packet of `track` (which exists) into the batch under way.
    pub(crate) fn rtp(&mut self, now: Instant, track: usize, bytes: &[u8]) -> Result<(), Refused> {
        let track_index = track;
        let track = &mut self.tracks[track];
        let packet = rtp::Packet::parse(bytes).map_err(|_| Refused::Malformed)?;
        if packet.payload_type != track.payload_type_in {
            return Err(Refused::PayloadType);
        }
        if bytes.len() > usize::from(u16::MAX) {
            return Err(Refused::Malformed);
        }
        if track.source != Some(packet.ssrc) {
            track.rebase(now, &packet);
            // Whoever joins the tracks on one clock need not guess.
            if track.reported.is_some() {
                self.report(now, track_index);
            }
        }
        let position = self.next + self.builder.len() as u64;
        let track = &mut self.tracks[track_index];
        track.reception.on_packet(now, &packet, track.clock_rate);
        let rewrite = Rewrite {
            payload_type: track.payload_type_out,
            sequence: packet.sequence.advance(track.sequence_offset),
            timestamp: packet.timestamp.advance(track.ticks_offset),
            ssrc: track.ssrc,
        };
        track.note(now, rewrite, packet.payload.len());
        if let Some(found) = track.random_access_point(rewrite.timestamp, position, &packet) {
            self.random_access = Some(found);
        }
        rewrite.apply(self.builder.push(Channel::rtp(track_index), bytes));
        Ok(())
    }

    /// Takes a compound RTCP packet of `track` (which exists). Returns false when it is malformed.
    pub(crate) fn rtcp(&mut self, now: Instant, track: usize, bytes: &[u8]) -> bool {
        for packet in rtcp::parse(bytes) {
            match packet {
                Ok(rtcp::Packet::SenderReport(report)) => {
                    let ours = &mut self.tracks[track];
                    if ours.source != Some(report.ssrc) {
                        ours.early = Some((report.ssrc, report.ntp, report.rtp));
                        continue;
                    }
                    ours.reception.on_sender_report(now, report.ntp);
                    ours.reported = Some((report.ntp, report.rtp));
                    self.report(now, track);
                }
                Ok(_) => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Reports that `ticks` of the track (which exists), as its packets come in, are at `ntp`: for packets that are made of
    /// units, whose times are known better than by their arrival. The track has had a packet.
    pub(crate) fn relate(&mut self, now: Instant, track: usize, ntp: Ntp, ticks: Ticks) {
        self.tracks[track].reported = Some((ntp, ticks));
        self.report(now, track);
    }

    /// Whether the track's times have been related to the wall clock.
    pub(crate) fn is_related(&self, track: usize) -> bool {
        self.tracks[track].reported.is_some()
    }

    /// Appends a sender report for `track` to the batch, if there is anything to report.
    fn report(&mut self, now: Instant, track: usize) {
        let index = track;
        let track = &mut self.tracks[track];
        // A report before the first packet cannot be put into our numbering.
        let Some(_) = track.source else { return };
        let (ntp, ticks) = match (track.reported, track.last) {
            (Some((ntp, ticks)), _) => (ntp, ticks.advance(track.ticks_offset)),
            (None, Some(last)) => {
                (wall_clock(), last.ticks.advance(ticks_in(now - last.at, track.clock_rate)))
            }
            (None, None) => return,
        };
        let report = SenderReport {
            ssrc: track.ssrc,
            ntp,
            rtp: ticks,
            packets: track.packets,
            octets: track.octets,
            reports: ReportBlocks::new(),
        };
        track.last_report = Some(now);
        let mut bytes = BytesMut::with_capacity(64);
        report.write(&mut bytes);
        rtcp::write_sdes_cname(track.ssrc, CNAME, &mut bytes);
        self.builder.push(Channel::rtcp(index), &bytes);
    }

    /// Makes the reports that are due: of tracks whose publisher sends none.
    pub(crate) fn tick(&mut self, now: Instant) {
        for index in 0..self.tracks.len() {
            let track = &self.tracks[index];
            let due = match (track.last_report, track.first_packet) {
                (_, None) => false,
                (Some(at), _) if track.reported.is_none() => now - at >= limits::REPORT_INTERVAL,
                (Some(at), _) => now - at >= limits::REPORT_INTERVAL * 3,
                (None, Some(first)) => now - first >= limits::SENDER_REPORT_WAIT,
            };
            if due {
                if track.reported.is_some() {
                    // The publisher has stopped reporting; its last mapping still holds and is repeated.
                    self.tracks[index].extrapolate(now);
                }
                self.report(now, index);
            }
        }
    }

    /// Our receiver report to the publisher for `track`, with its source description (RFC 3550, section 6.4.2).
    pub(crate) fn receiver_report(&mut self, now: Instant, track: usize) -> Option<BytesMut> {
        let track = &mut self.tracks[track];
        let block = track.reception.report_block(now)?;
        let mut reports = ReportBlocks::new();
        let room = reports.push(block);
        debug_assert!(room, "one block fits");
        let mut bytes = BytesMut::with_capacity(64);
        rtcp::ReceiverReport { ssrc: track.ssrc, reports }.write(&mut bytes);
        rtcp::write_sdes_cname(track.ssrc, CNAME, &mut bytes);
        Some(bytes)
    }

    /// A BYE for every track, as the last packets of the stream (RFC 3550, section 6.6).
    pub(crate) fn bye(&mut self) {
        for (index, track) in self.tracks.iter().enumerate() {
            self.builder.push(Channel::rtcp(index), &bye(track.ssrc));
        }
    }

    pub(crate) fn has_batch(&self) -> bool {
        !self.builder.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.builder.is_full()
    }

    /// Ends the batch under way.
    pub(crate) fn finish(&mut self, now: Instant, counters: &Counters) -> Arc<Batch> {
        let batch = self.builder.finish(self.next, self.random_access, now);
        self.next = batch.end();
        counters.ingest_batches.add(1);
        Arc::new(batch)
    }

    /// Mean of the tracks' interarrival jitter, in ticks of their clocks (RFC 3550, section 6.4.1).
    pub(crate) fn jitter(&self) -> f64 {
        let ticks = |track: &IngestTrack| track.reception.jitter_seconds() * f64::from(track.clock_rate);
        self.tracks.iter().map(ticks).sum::<f64>() / self.tracks.len().max(1) as f64
    }

    /// Packets missing in the publisher's sequence so far, all tracks.
    pub(crate) fn lost(&self) -> u64 {
        self.tracks.iter().map(|track| track.reception.lost()).sum()
    }
}

impl IngestTrack {
    /// A new source: its first packet follows the last one that readers saw, in number and in time.
    fn rebase(&mut self, now: Instant, packet: &rtp::Packet<'_>) {
        let early = self.early.take().filter(|(ssrc, ..)| *ssrc == packet.ssrc);
        self.reported = early.map(|(_, ntp, ticks)| (ntp, ticks));
        self.source = Some(packet.ssrc);
        self.first_packet = Some(now);
        if let Some(last) = self.last {
            self.sequence_offset = last.sequence.next().0.wrapping_sub(packet.sequence.0);
            let gap = ticks_in(now - last.at, self.clock_rate).max(1);
            self.ticks_offset = last.ticks.advance(gap).0.wrapping_sub(packet.timestamp.0);
        }
    }

    fn note(&mut self, now: Instant, sent: Rewrite, payload_bytes: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload_bytes as u32);
        // Late packets (out of order over TCP never, over UDP rarely) do not move the end of the numbering back.
        // A sender that starts its numbering anew does; everybody follows it there.
        let ahead = self.last.map_or(1, |last| sent.sequence.distance(last.sequence));
        let newer = !(-RTP_MISORDER_MAX..=0).contains(&ahead);
        if newer {
            self.last = Some(Last { sequence: sent.sequence, ticks: sent.timestamp, at: now });
        }
    }

    /// The position where decoding can start, if this packet makes its access unit such a point: the unit's first
    /// packet, so that parameter sets before the picture are included.
    fn random_access_point(
        &mut self,
        ticks: Ticks,
        position: Position,
        packet: &rtp::Packet<'_>,
    ) -> Option<Position> {
        let inspector = self.random_access.as_mut()?;
        let start = match self.access_unit {
            Some((unit, start)) if unit == ticks => start,
            _ => {
                self.access_unit = Some((ticks, position));
                position
            }
        };
        inspector.inspect(packet.payload, packet.marker).then_some(start)
    }

    fn extrapolate(&mut self, now: Instant) {
        if let (Some((ntp, ticks)), Some(at)) = (self.reported, self.last_report) {
            let elapsed = now - at;
            let ntp = Ntp::from_unix(ntp.to_unix() + elapsed);
            self.reported = Some((ntp, ticks.advance(ticks_in(elapsed, self.clock_rate))));
        }
    }
}

/// The last packet of a source (RFC 3550, section 6.6): an empty report and a BYE.
pub(crate) fn bye(ssrc: u32) -> Bytes {
    let mut bytes = BytesMut::with_capacity(32);
    rtcp::ReceiverReport { ssrc, reports: ReportBlocks::new() }.write(&mut bytes);
    rtcp::write_bye(&[ssrc], &mut bytes);
    bytes.freeze()
}

fn ticks_in(elapsed: Duration, clock_rate: u32) -> u32 {
    (elapsed.as_nanos() * u128::from(clock_rate) / 1_000_000_000) as u32
}

fn wall_clock() -> Ntp {
    Ntp::from_unix(unix_time())
}

/// The time since the Unix epoch.
pub(crate) fn unix_time() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::Description;
    use super::{Ingest, Refused};
    use crate::counters::Counters;
    use bytes::BytesMut;
    use headwater_protocols::rtp::{Packet, Rewrite, Sequence, Ticks, write_header};
    use headwater_protocols::sdp::{self, SessionDescription};
    use headwater_protocols::track::{Elementary, Track};
    use std::time::{Duration, Instant};

    fn tracks() -> Vec<Track> {
        let text = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
                    m=audio 0 RTP/AVP 0\r\n";
        let description = SessionDescription::parse(text.as_bytes()).expect("valid");
        sdp::tracks(&description).expect("two tracks").into_iter().map(|(track, _)| track).collect()
    }

    fn announced() -> Vec<Elementary> {
        tracks().into_iter().map(|track| Elementary { track, configuration: None }).collect()
    }

    fn packet(payload_type: u8, sequence: u16, ticks: u32, ssrc: u32, payload: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        let fields = Rewrite { payload_type, sequence: Sequence(sequence), timestamp: Ticks(ticks), ssrc };
        write_header(&mut out, false, fields);
        out.extend_from_slice(payload);
        out
    }

    #[test]
    fn numbering_goes_on_over_a_change_of_publisher() {
        let description = Description::new("x", super::super::Form::Rtp, announced(), vec![11, 22]);
        let mut ingest = Ingest::new(&description);
        let counters = Counters::default();
        let start = Instant::now();
        ingest.rtp(start, 0, &packet(96, 65535, 1000, 5, &[0x65])).expect("taken");
        let later = start + Duration::from_secs(2);
        ingest.change_publisher(&description.tracks);
        ingest.rtp(later, 0, &packet(96, 100, 777, 6, &[0x41])).expect("taken");
        ingest.rtp(later, 0, &packet(96, 102, 777 + 3000, 6, &[0x41])).expect("taken");
        let batch = ingest.finish(later, &counters);
        let seen: Vec<_> = (0..3)
            .map(|index| {
                let packet = Packet::parse(batch.packet(index)).expect("valid");
                (packet.sequence.0, packet.timestamp.0, packet.ssrc)
            })
            .collect();
        assert_eq!(seen, [(65535, 1000, 11), (0, 181_000, 11), (2, 184_000, 11)]);
    }

    #[test]
    fn the_random_access_point_is_the_units_first_packet() {
        let description = Description::new("x", super::super::Form::Rtp, announced(), vec![11, 22]);
        let mut ingest = Ingest::new(&description);
        let now = Instant::now();
        let counters = Counters::default();
        let units: [(u16, u32, &[u8]); 4] =
            [(1, 0, &[0x41, 1]), (2, 3000, &[0x67, 1]), (3, 3000, &[0x68, 1]), (4, 3000, &[0x65, 1])];
        for (sequence, ticks, payload) in units {
            ingest.rtp(now, 0, &packet(96, sequence, ticks, 5, payload)).expect("taken");
        }
        assert_eq!(ingest.finish(now, &counters).random_access, Some(1));
        // Audio does not make random access points in a stream with video.
        ingest.rtp(now, 1, &packet(0, 1, 0, 9, &[0; 10])).expect("taken");
        assert_eq!(ingest.finish(now, &counters).random_access, Some(1));
    }

    #[test]
    fn foreign_and_broken_packets_are_refused() {
        let description = Description::new("x", super::super::Form::Rtp, announced(), vec![11, 22]);
        let mut ingest = Ingest::new(&description);
        let now = Instant::now();
        assert_eq!(ingest.rtp(now, 0, &packet(97, 1, 0, 5, &[0x65])), Err(Refused::PayloadType));
        assert_eq!(ingest.rtp(now, 0, &[0x80, 96, 0]), Err(Refused::Malformed));
        assert!(!ingest.rtcp(now, 0, &[0x80, 206, 0, 9, 1, 2, 3, 4]));
        assert!(!ingest.has_batch());
    }
}
