//! The flush: one walk over a stream's readers that sends each what is due, with one send per reader.
//!
//! Most readers stand at the same position and want the same channels, so what is due is gathered once and reused; per
//! reader there remain one system call and a few stores. Nothing here allocates per reader or packet. A reader whose
//! connection is full leaves the loop with its cursor on the next whole packet; the rest of the packet that was cut is
//! queued on its connection.

use super::batch::{Batch, Channel, INTERLEAVED_HEADER_BYTES, Mask, PacketAt};
use super::form::Framing;
use super::log::Log;
use super::reader::{DatagramSink, Flow, Reader, Sink};
use super::{Form, Position, Stream};
use crate::counters::Counters;
use crate::limits;
use crate::net::{tcp, udp};
use crate::shard::ConnectionKey;
use crate::shard::connection::Connections;
use crate::shard::datagrams::{DatagramSockets, PortsKey};
use crate::web;
use bytes::Bytes;
use std::io::{self, IoSlice};
use std::time::Instant;

/// What the shard has to do after a flush.
#[derive(Default)]
pub(crate) struct Flushed {
    /// Connections that could not take all, with the rest of the packet that was cut.
    pub(crate) blocked: Vec<(ConnectionKey, Bytes)>,
    /// Connections that failed; their sessions are to be closed.
    pub(crate) failed: Vec<ConnectionKey>,
    /// HTTP/2 connections that were given something to write.
    pub(crate) pushed: Vec<ConnectionKey>,
    /// Shared datagram sockets that are full.
    pub(crate) datagrams_blocked: Vec<PortsKey>,
    /// When readers that are behind want to go on.
    pub(crate) go_on_at: Option<Instant>,
}

impl Flushed {
    fn go_on(&mut self, at: Instant) {
        self.go_on_at = Some(self.go_on_at.map_or(at, |other| other.min(at)));
    }
}

/// How many packets something has.
#[derive(Clone, Copy, Default)]
struct Packets {
    all: u64,
    reports: u64,
}

impl Packets {
    fn add(&mut self, packets: &[PacketAt]) {
        self.all += packets.len() as u64;
        self.reports += packets.iter().filter(|at| at.channel.is_rtcp()).count() as u64;
    }
}

/// Consecutive packets of one batch.
struct Span<'a> {
    batch: &'a Batch,
    from: usize,
    to: usize,
}

impl<'a> Span<'a> {
    fn bytes(&self) -> &'a [u8] {
        &self.batch.bytes()[self.batch.offset(self.from)..self.batch.offset(self.to)]
    }
}

/// What is due from one position for one set of channels, on connections.
struct Gathered<'a> {
    key: Option<(Position, Mask)>,
    spans: Vec<Span<'a>>,
    slices: Vec<IoSlice<'a>>,
    bytes: usize,
    /// Whole packets are taken up to this, but at least one.
    bytes_max: usize,
    /// Packets in it, and the RTCP packets among them.
    packets: Packets,
    /// Where the cursor stands when all of it is sent.
    end: Position,
    /// Several slices as one, made when a second reader wants them: one buffer costs the kernel less than a list.
    joined: Vec<u8>,
}

impl<'a> Gathered<'a> {
    fn new(bytes_max: usize) -> Gathered<'a> {
        let (spans, slices, joined) = (Vec::new(), Vec::new(), Vec::new());
        Gathered {
            key: None,
            spans,
            slices,
            bytes: 0,
            bytes_max,
            packets: Packets::default(),
            end: 0,
            joined,
        }
    }

    fn gather(&mut self, log: &'a Log, cursor: Position, mask: Mask) {
        if self.key == Some((cursor, mask)) {
            if self.slices.len() > 1 && self.joined.is_empty() {
                self.slices.iter().for_each(|slice| self.joined.extend_from_slice(slice));
            }
            return;
        }
        self.joined.clear();
        *self = Gathered {
            key: Some((cursor, mask)),
            spans: std::mem::take(&mut self.spans),
            slices: std::mem::take(&mut self.slices),
            bytes: 0,
            bytes_max: self.bytes_max,
            packets: Packets::default(),
            end: cursor,
            joined: std::mem::take(&mut self.joined),
        };
        self.spans.clear();
        self.slices.clear();
        for batch in log.from(cursor) {
            let from = cursor.saturating_sub(batch.first) as usize;
            if !self.add(batch, from, mask) {
                break;
            }
        }
    }

    /// Adds what `mask` wants of `batch` from packet `from` on. Returns false when no more slices fit.
    fn add(&mut self, batch: &'a Batch, from: usize, mask: Mask) -> bool {
        let packets = batch.packets();
        if mask.contains(batch.channels()) {
            if !self.span(batch, from, packets.len()) {
                return false;
            }
        } else {
            let mut at = from;
            while at < packets.len() {
                let wanted = mask.has(packets[at].channel);
                let same = packets[at..].iter().take_while(|packet| mask.has(packet.channel) == wanted);
                let to = at + same.count();
                if wanted && !self.span(batch, at, to) {
                    return false;
                }
                at = to;
                self.end = batch.first + to as u64;
            }
        }
        self.end = batch.end();
        true
    }

    fn span(&mut self, batch: &'a Batch, from: usize, to: usize) -> bool {
        if self.spans.len() == limits::SEND_SLICES_MAX {
            return false;
        }
        let room = self.bytes_max.saturating_sub(self.bytes);
        let start = batch.offset(from);
        let mut until = to;
        if batch.offset(to) - start > room {
            let fitting = (from..to).take_while(|index| batch.offset(index + 1) - start <= room).count();
            until = from + fitting.max(usize::from(self.spans.is_empty()));
        }
        if until > from {
            let span = Span { batch, from, to: until };
            let bytes = span.bytes();
            self.bytes += bytes.len();
            self.slices.push(IoSlice::new(bytes));
            self.packets.add(&batch.packets()[from..until]);
            self.spans.push(span);
        }
        self.end = batch.first + until as u64;
        until == to
    }

    /// The same bytes with the channels of one reader, in `scratch`.
    fn renumber(&self, channels: &[u8], scratch: &mut Vec<u8>) {
        scratch.clear();
        for span in &self.spans {
            let start = scratch.len();
            scratch.extend_from_slice(span.bytes());
            let base = span.batch.offset(span.from);
            for (index, at) in span.batch.packets().iter().enumerate().take(span.to).skip(span.from) {
                scratch[start + span.batch.offset(index) - base + 1] = channels[at.channel.index()];
            }
        }
    }

    /// The packets before a cursor.
    fn packets_before(&self, cursor: Position) -> Packets {
        let mut packets = Packets::default();
        for span in &self.spans {
            let until = (cursor.saturating_sub(span.batch.first) as usize).min(span.to);
            packets.add(&span.batch.packets()[span.from..until.max(span.from)]);
        }
        packets
    }

    /// Where the cursor stands after `taken` bytes, and the rest of the packet that was cut.
    fn cut(&self, mut taken: usize) -> (Position, Bytes) {
        for span in &self.spans {
            let bytes = span.bytes();
            if taken >= bytes.len() {
                taken -= bytes.len();
                continue;
            }
            let offset = span.batch.offset(span.from) + taken;
            let packet = span.batch.packet_at(offset);
            let next = span.batch.first + packet as u64;
            if span.batch.offset(packet) == offset {
                return (next, Bytes::new());
            }
            return (next + 1, span.batch.bytes().slice(offset..span.batch.offset(packet + 1)));
        }
        (self.end, Bytes::new())
    }
}

/// What is due from one position for one set of channels, as datagrams.
struct Trains<'a> {
    key: Option<(Position, Mask)>,
    trains: Vec<udp::Train<'a>>,
    packets: Packets,
    end: Position,
    bytes: usize,
}

impl<'a> Trains<'a> {
    fn new() -> Trains<'a> {
        Trains { key: None, trains: Vec::new(), packets: Packets::default(), end: 0, bytes: 0 }
    }

    /// At most [`limits::UDP_CATCH_UP_BYTES`], but at least one batch.
    fn gather(&mut self, log: &'a Log, cursor: Position, mask: Mask) {
        if self.key == Some((cursor, mask)) {
            return;
        }
        self.key = Some((cursor, mask));
        self.trains.clear();
        self.packets = Packets::default();
        (self.end, self.bytes) = (cursor, 0);
        for batch in log.from(cursor) {
            let from = cursor.saturating_sub(batch.first) as usize;
            if self.bytes > 0 && self.bytes + batch.bytes().len() > limits::UDP_CATCH_UP_BYTES {
                break;
            }
            if from == 0 {
                self.whole(batch, mask);
            } else {
                self.part(batch, from, mask);
            }
            self.end = batch.end();
            let due = batch.packets().iter().skip(from).filter(|at| mask.has(at.channel));
            due.for_each(|at| self.packets.add(std::slice::from_ref(at)));
        }
    }

    fn whole(&mut self, batch: &'a Batch, mask: Mask) {
        let datagrams = batch.datagrams();
        for run in datagrams.runs.iter().filter(|run| mask.has(run.channel)) {
            let bytes = datagrams.bytes(run);
            self.bytes += bytes.len();
            self.trains.push(udp::Train { bytes, segment: run.segment, target: run.channel.index() });
        }
    }

    /// A batch that a reader starts amid: packet by packet, once per reader.
    fn part(&mut self, batch: &'a Batch, from: usize, mask: Mask) {
        for (index, at) in batch.packets().iter().enumerate().skip(from) {
            if mask.has(at.channel) {
                let bytes = batch.packet(index);
                self.bytes += bytes.len();
                self.trains.push(udp::Train { bytes, segment: None, target: at.channel.index() });
            }
        }
    }
}

/// Sends the readers of `stream` what is due: all of them, or (within a delivery window) only those that catch up.
pub(crate) fn flush(
    stream: &mut Stream,
    now: Instant,
    everyone: bool,
    connections: &mut Connections,
    web: &mut web::Connections,
    datagrams: &DatagramSockets,
    counters: &Counters,
) -> Flushed {
    let mut flushed = Flushed::default();
    let mut plain = Gathered::new(usize::MAX);
    // What is encrypted or renumbered is copied first, and encrypted it waits in user memory if the kernel is full.
    let mut bounded = Gathered::new(limits::COPIED_BYTES_MAX);
    let mut trains = Trains::new();
    let mut scratch = Vec::new();
    let log = &stream.log;
    let mut latency = Latency::new(log, stream.form, counters);
    counters.flushes.add(1);
    for reader in stream.readers.values_mut() {
        if !(everyone || reader.catching_up) || !ready(reader, log, now, counters) {
            continue;
        }
        match &mut reader.sink {
            Sink::Tcp { .. } | Sink::Tls { .. } => {
                let copied = !matches!(reader.sink, Sink::Tcp { channels: None, .. });
                let gathered = if copied { &mut bounded } else { &mut plain };
                gathered.gather(log, reader.cursor, reader.mask);
                if gathered.bytes == 0 {
                    reader.cursor = gathered.end;
                } else {
                    latency.note(&reader.sink);
                    send_interleaved(reader, gathered, connections, &mut scratch, &mut flushed, counters);
                }
                reader.catching_up = reader.cursor < log.end();
                if reader.catching_up && reader.flow == Flow::Flowing {
                    flushed.go_on(now);
                }
            }
            Sink::Body { .. } => {
                plain.gather(log, reader.cursor, reader.mask);
                if plain.bytes == 0 {
                    reader.cursor = plain.end;
                } else {
                    latency.note(&reader.sink);
                    push_body(reader, &plain, web, &mut flushed, counters);
                }
                reader.catching_up = reader.cursor < log.end();
            }
            Sink::Datagrams(sink) => {
                if let Some(until) = sink.paced_until.filter(|until| *until > now) {
                    flushed.go_on(until);
                    continue;
                }
                trains.gather(log, reader.cursor, reader.mask);
                latency.note(&reader.sink);
                send_trains(reader, &trains, datagrams, &mut flushed, counters);
                reader.catching_up = reader.cursor < log.end();
                let pause = reader.catching_up.then_some(now + limits::UDP_CATCH_UP_PAUSE);
                if let Sink::Datagrams(sink) = &mut reader.sink {
                    sink.paced_until = pause;
                }
                if let (Some(at), Flow::Flowing) = (pause, reader.flow) {
                    flushed.go_on(at);
                }
            }
        }
    }
    latency.finish();
    flushed
}

/// The time from a batch's arrival to its sends. The clock is read once for several readers, and what one of them is
/// sent counts as much as the newest batch is old: a reader that catches up is not late.
struct Latency<'a> {
    published: Option<Instant>,
    counters: &'a Counters,
    form: Form,
    /// Readers since the clock was read, per transport.
    since: [u64; 3],
    readers: u64,
}

impl<'a> Latency<'a> {
    const CLOCK_EVERY: u64 = 16;

    fn new(log: &Log, form: Form, counters: &'a Counters) -> Latency<'a> {
        let published = log.batches().next_back().map(|batch| batch.published);
        Latency { published, counters, form, since: [0; 3], readers: 0 }
    }

    #[inline]
    fn note(&mut self, sink: &Sink) {
        let transport = match sink {
            Sink::Tcp { .. } => 0,
            Sink::Tls { .. } | Sink::Body { .. } => 1,
            Sink::Datagrams(_) => 2,
        };
        self.since[transport] += 1;
        self.readers += 1;
        if self.readers.is_multiple_of(Latency::CLOCK_EVERY) {
            self.read_clock();
        }
    }

    fn read_clock(&mut self) {
        let Some(published) = self.published else { return };
        let seconds = published.elapsed().as_secs_f64();
        let histograms = &self.counters.histograms;
        let of = match self.form {
            Form::Rtp | Form::RtpSmall { .. } | Form::Units => [
                &histograms.rtsp_tcp_latency_seconds,
                &histograms.rtsps_latency_seconds,
                &histograms.rtsp_udp_latency_seconds,
            ],
            Form::Flv { framing: Framing::Chunks, .. } => [
                &histograms.rtmp_latency_seconds,
                &histograms.rtmps_latency_seconds,
                &histograms.rtmp_latency_seconds,
            ],
            Form::Flv { .. } | Form::MpegTs => [
                &histograms.http_latency_seconds,
                &histograms.https_latency_seconds,
                &histograms.http_latency_seconds,
            ],
        };
        for (histogram, readers) in of.iter().zip(&mut self.since) {
            if *readers > 0 {
                histogram.observe(seconds, std::mem::take(readers));
            }
        }
    }

    fn finish(mut self) {
        self.read_clock();
        if self.readers > 0 {
            self.counters.histograms.flush_readers.observe(self.readers as f64, 1);
        }
    }
}

/// Whether the reader has something due, after resolving a wait and an overrun.
#[inline]
fn ready(reader: &mut Reader, log: &Log, now: Instant, counters: &Counters) -> bool {
    match reader.flow {
        Flow::Flowing => {
            if reader.cursor >= log.start() {
                return reader.cursor < log.end();
            }
            counters.skips_overrun.add(1);
            reader.skips += 1;
            reader.trains_sent = 0;
            reader.flow = Flow::Waiting { since: now };
            start_waiting(reader, log, now)
        }
        Flow::Waiting { .. } => start_waiting(reader, log, now),
        Flow::Blocked | Flow::BlockedWaiting { .. } | Flow::Paused => false,
    }
}

fn start_waiting(reader: &mut Reader, log: &Log, now: Instant) -> bool {
    let Flow::Waiting { since } = reader.flow else { return false };
    match log.random_access().filter(|position| *position >= reader.cursor) {
        Some(position) => {
            reader.discarded += position - reader.cursor;
            reader.cursor = position;
        }
        None if now.saturating_duration_since(since) >= limits::RANDOM_ACCESS_WAIT => {
            reader.cursor = log.end().saturating_sub(1).max(log.start());
        }
        None => return false,
    }
    reader.flow = Flow::Flowing;
    reader.cursor < log.end()
}

#[inline]
fn send_interleaved(
    reader: &mut Reader,
    gathered: &Gathered<'_>,
    connections: &mut Connections,
    scratch: &mut Vec<u8>,
    flushed: &mut Flushed,
    counters: &Counters,
) {
    let (Sink::Tcp { connection, channels, .. } | Sink::Tls { connection, channels }) = &reader.sink else {
        return;
    };
    let key = *connection;
    let one;
    let slices = match channels {
        None if gathered.joined.is_empty() => &gathered.slices[..],
        None => {
            one = [IoSlice::new(&gathered.joined)];
            &one[..]
        }
        Some(channels) => {
            gathered.renumber(channels, scratch);
            one = [IoSlice::new(scratch)];
            &one[..]
        }
    };
    if let Sink::Tcp { fd, .. } = reader.sink {
        let result = tcp::send_vectored(fd, slices);
        return after_send(reader, key, result, gathered, flushed, counters);
    }
    let Some(connection) = connections.get_mut(key) else { return };
    let result = connection.encrypt(slices).map(|()| gathered.bytes);
    after_send(reader, key, result, gathered, flushed, counters);
    if connection.is_blocked() && reader.flow == Flow::Flowing {
        reader.flow = Flow::Blocked;
        flushed.blocked.push((key, Bytes::new()));
    }
}

/// Hands a reader's bytes to its HTTP/2 connection, as slices of the log. What does not fit is due again when there is room.
fn push_body(
    reader: &mut Reader,
    gathered: &Gathered<'_>,
    web: &mut web::Connections,
    flushed: &mut Flushed,
    counters: &Counters,
) {
    let Sink::Body { connection, exchange } = reader.sink else { return };
    let Some(web) = web.get_mut(connection) else { return };
    for span in &gathered.spans {
        let bytes = span.batch.bytes().slice(span.batch.offset(span.from)..span.batch.offset(span.to));
        let len = bytes.len() as u64;
        if !web.push(exchange, bytes) {
            counters.egress_blocked.add(1);
            reader.flow = Flow::Blocked;
            break;
        }
        counters.egress_bytes.add(len);
        reader.sent_bytes += len;
        reader.sent_packets += (span.to - span.from) as u64;
        reader.cursor = span.batch.first + span.to as u64;
    }
    if reader.flow == Flow::Flowing {
        reader.cursor = gathered.end;
    }
    if !flushed.pushed.contains(&connection) {
        flushed.pushed.push(connection);
    }
}

fn after_send(
    reader: &mut Reader,
    connection: ConnectionKey,
    result: io::Result<usize>,
    gathered: &Gathered<'_>,
    flushed: &mut Flushed,
    counters: &Counters,
) {
    counters.egress_sends.add(1);
    let taken = match result {
        Ok(taken) => taken,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        Err(_) => {
            reader.flow = Flow::Blocked;
            flushed.failed.push(connection);
            return;
        }
    };
    counters.egress_bytes.add(taken as u64);
    reader.sent_bytes += taken as u64;
    if taken == gathered.bytes {
        reader.cursor = gathered.end;
        reader.sent_packets += gathered.packets.all;
        reader.sent_reports += gathered.packets.reports;
        return;
    }
    counters.egress_blocked.add(1);
    let (cursor, mut rest) = gathered.cut(taken);
    let sent = gathered.packets_before(cursor);
    reader.sent_packets += sent.all;
    reader.sent_reports += sent.reports;
    if let Sink::Tcp { channels: Some(channels), .. } = &reader.sink {
        rest = with_channel(rest, cursor, gathered, channels);
    }
    // It is queued, and leaves before anything else does.
    counters.egress_bytes.add(rest.len() as u64);
    reader.sent_bytes += rest.len() as u64;
    reader.cursor = cursor;
    reader.flow = Flow::Blocked;
    flushed.blocked.push((connection, rest));
}

/// The rest of a packet that was cut before its channel, with the channel of its reader.
fn with_channel(rest: Bytes, next: Position, gathered: &Gathered<'_>, channels: &[u8]) -> Bytes {
    let cut = next.wrapping_sub(1);
    let found = gathered.spans.iter().find_map(|span| {
        let index = cut.checked_sub(span.batch.first)? as usize;
        (span.from..span.to)
            .contains(&index)
            .then(|| span.batch.packet(index).len() + INTERLEAVED_HEADER_BYTES)
            .map(|whole| (whole, span.batch.packets()[index].channel))
    });
    let Some((whole, channel)) = found else { return rest };
    // `rest` lacks what was sent of `$`, channel, length, packet.
    let sent = whole.saturating_sub(rest.len());
    if rest.is_empty() || sent > 1 {
        return rest;
    }
    let mut own = rest.to_vec();
    own[1 - sent] = channels[channel.index()];
    own.into()
}

fn send_trains(
    reader: &mut Reader,
    due: &Trains<'_>,
    sockets: &DatagramSockets,
    flushed: &mut Flushed,
    counters: &Counters,
) {
    let Sink::Datagrams(sink) = &reader.sink else { return };
    let mut at = reader.trains_sent as usize;
    while at < due.trains.len() {
        counters.egress_sends.add(1);
        match sockets.send(sink, &due.trains[at..]) {
            Ok(taken) => {
                let bytes: usize = due.trains[at..at + taken].iter().map(|train| train.bytes.len()).sum();
                reader.sent_bytes += bytes as u64;
                counters.egress_bytes.add(bytes as u64);
                at += taken;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                counters.egress_blocked.add(1);
                reader.flow = Flow::Blocked;
                reader.trains_sent = at as u32;
                if !flushed.datagrams_blocked.contains(&sink.ports) {
                    flushed.datagrams_blocked.push(sink.ports);
                }
                return;
            }
            Err(_) => {
                send_singly(sink, &due.trains[at], sockets, counters);
                at += 1;
            }
        }
    }
    reader.trains_sent = 0;
    reader.cursor = due.end;
    reader.sent_packets += due.packets.all;
    reader.sent_reports += due.packets.reports;
}

/// A train that the kernel refused: datagram by datagram (a device without segmentation, or packets above its MTU).
fn send_singly(sink: &DatagramSink, train: &udp::Train<'_>, sockets: &DatagramSockets, counters: &Counters) {
    let Some(segment) = train.segment else {
        counters.egress_datagram_errors.add(1);
        return;
    };
    counters.segmentation_fallbacks.add(1);
    for bytes in train.bytes.chunks(usize::from(segment)) {
        let single = udp::Train { bytes, segment: None, target: train.target };
        if sockets.send(sink, &[single]).is_err() {
            counters.egress_datagram_errors.add(1);
        }
    }
}

/// The first packet of each wanted track from `cursor` on: what the RTP-Info header names (RFC 2326, section 12.33).
pub(crate) fn first_packets(log: &Log, cursor: Position, mask: Mask) -> Vec<(usize, &[u8])> {
    let mut found: Vec<(usize, &[u8])> = Vec::new();
    let wanted =
        (0..headwater_protocols::limits::TRACKS_MAX).filter(|track| mask.has(Channel::rtp(*track))).count();
    for batch in log.from(cursor) {
        if found.len() == wanted {
            break;
        }
        let from = cursor.saturating_sub(batch.first) as usize;
        for (index, at) in batch.packets().iter().enumerate().skip(from) {
            let track = at.channel.index() / 2;
            if !at.channel.is_rtcp() && mask.has(at.channel) && found.iter().all(|(known, _)| *known != track)
            {
                found.push((track, batch.packet(index)));
            }
        }
    }
    found
}

/// Frames one packet for an interleaved connection.
pub(crate) fn interleave(channel: u8, packet: &[u8]) -> Bytes {
    let mut framed = Vec::with_capacity(packet.len() + INTERLEAVED_HEADER_BYTES);
    framed.extend_from_slice(&[b'$', channel]);
    framed.extend_from_slice(&(packet.len() as u16).to_be_bytes());
    framed.extend_from_slice(packet);
    framed.into()
}

#[cfg(test)]
mod tests {
    use super::super::batch::{Channel, Mask, tests::batch};
    use super::super::log::Log;
    use super::{Gathered, Trains, with_channel};
    use crate::counters::Counters;
    use std::sync::Arc;

    fn log() -> Log {
        let mut log = Log::new(crate::limits::LOG_BYTES_MAX);
        let counters = Counters::default();
        let (video, audio) = (Channel::rtp(0), Channel::rtp(1));
        log.push(Arc::new(batch(0, Some(0), &[(video, 10), (audio, 4), (video, 10)])), &counters);
        log.push(Arc::new(batch(3, Some(0), &[(video, 10), (video, 6)])), &counters);
        log
    }

    #[test]
    fn a_cut_leaves_whole_packets_to_the_cursor_and_the_rest_to_the_connection() {
        let log = log();
        let both = Mask::default().with_track(0).with_track(1);
        let mut gathered = Gathered::new(usize::MAX);
        gathered.gather(&log, 0, both);
        assert_eq!((gathered.slices.len(), gathered.bytes, gathered.end), (2, 60, 5));
        let everything: Vec<u8> = gathered.slices.iter().flat_map(|slice| slice.to_vec()).collect();
        for taken in 0..60 {
            let (cursor, rest) = gathered.cut(taken);
            let mut again = Gathered::new(usize::MAX);
            again.gather(&log, cursor, both);
            let mut joined = everything[..taken].to_vec();
            joined.extend_from_slice(&rest);
            joined.extend(again.slices.iter().flat_map(|slice| slice.to_vec()));
            assert_eq!(joined, everything, "cut after {taken} bytes");
        }
    }

    #[test]
    fn a_reader_with_channels_of_its_own_gets_them_wherever_it_is_cut() {
        let log = log();
        let both = Mask::default().with_track(0).with_track(1);
        let channels = [8, 9, 4, 5];
        let mut gathered = Gathered::new(usize::MAX);
        gathered.gather(&log, 0, both);
        let (mut everything, mut scratch) = (Vec::new(), Vec::new());
        gathered.renumber(&channels, &mut everything);
        assert_eq!([everything[1], everything[15], everything[23], everything[37]], [8, 4, 8, 8]);
        for taken in 0..60 {
            let (cursor, rest) = gathered.cut(taken);
            let mut joined = everything[..taken].to_vec();
            joined.extend_from_slice(&with_channel(rest, cursor, &gathered, &channels));
            let mut again = Gathered::new(usize::MAX);
            again.gather(&log, cursor, both);
            again.renumber(&channels, &mut scratch);
            joined.extend_from_slice(&scratch);
            assert_eq!(joined, everything, "cut after {taken} bytes");
        }
    }

    #[test]
    fn a_reader_of_one_track_gets_that_track() {
        let log = log();
        let mut gathered = Gathered::new(usize::MAX);
        gathered.gather(&log, 0, Mask::default().with_track(1));
        assert_eq!((gathered.bytes, gathered.end), (8, 5));
        gathered.gather(&log, 0, Mask::default().with_track(0));
        assert_eq!((gathered.slices.len(), gathered.bytes, gathered.end), (3, 52, 5));
        let (cursor, rest) = gathered.cut(14);
        assert_eq!((cursor, rest.len()), (2, 0));
    }

    #[test]
    fn a_limit_takes_whole_packets_and_goes_on_from_there() {
        let log = log();
        let both = Mask::default().with_track(0).with_track(1);
        let mut whole = Gathered::new(usize::MAX);
        whole.gather(&log, 0, both);
        let everything: Vec<u8> = whole.slices.iter().flat_map(|slice| slice.to_vec()).collect();
        for limit in [1, 14, 15, 30, 40, 59, 60] {
            let (mut joined, mut cursor) = (Vec::new(), 0);
            while cursor < log.end() {
                let mut part = Gathered::new(limit);
                part.gather(&log, cursor, both);
                assert!(part.bytes <= limit.max(14), "{} bytes within {limit}", part.bytes);
                joined.extend(part.slices.iter().flat_map(|slice| slice.to_vec()));
                assert!(part.end > cursor);
                cursor = part.end;
            }
            assert_eq!(joined, everything, "limit {limit}");
        }
    }

    #[test]
    fn a_start_amid_a_batch_sends_single_datagrams() {
        let log = log();
        let mut trains = Trains::new();
        trains.gather(&log, 1, Mask::default().with_track(0).with_track(1));
        let sizes: Vec<_> = trains.trains.iter().map(|train| (train.bytes.len(), train.segment)).collect();
        assert_eq!(sizes, [(4, None), (10, None), (16, Some(10))]);
        assert_eq!(trains.end, 5);
    }
}
