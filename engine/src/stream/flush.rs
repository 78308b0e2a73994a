//! The flush: one walk over a stream's readers that sends each what is due, with one send per reader.
//!
//! Most readers stand at the same position and want the same channels, so what is due is gathered once and reused; per
//! reader there remain one system call and a few stores. Nothing here allocates per reader or packet. A reader whose
//! connection is full leaves the loop with its cursor on the next whole packet; the rest of the packet that was cut is
//! queued on its connection.

use super::batch::{Batch, INTERLEAVED_HEADER_BYTES, Mask};
use super::log::Log;
use super::reader::{DatagramSink, Flow, Reader, Sink};
use super::{Position, Stream};
use crate::counters::Counters;
use crate::limits;
use crate::net::{tcp, udp};
use crate::shard::ConnectionKey;
use crate::shard::connection::Connections;
use crate::shard::datagrams::DatagramSockets;
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
    /// The shared datagram socket is full.
    pub(crate) datagrams_blocked: bool,
    /// Some reader on a connection has more due than one send takes.
    pub(crate) behind: bool,
    /// Some datagram reader is to go on after a pause.
    pub(crate) pacing: bool,
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
    /// Where the cursor stands when all of it is sent.
    end: Position,
}

impl<'a> Gathered<'a> {
    fn new() -> Gathered<'a> {
        Gathered { key: None, spans: Vec::new(), slices: Vec::new(), bytes: 0, end: 0 }
    }

    fn gather(&mut self, log: &'a Log, cursor: Position, mask: Mask) {
        if self.key == Some((cursor, mask)) {
            return;
        }
        *self = Gathered {
            key: Some((cursor, mask)),
            spans: std::mem::take(&mut self.spans),
            slices: std::mem::take(&mut self.slices),
            bytes: 0,
            end: cursor,
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
        let span = Span { batch, from, to };
        let bytes = span.bytes();
        self.bytes += bytes.len();
        self.slices.push(IoSlice::new(bytes));
        self.spans.push(span);
        true
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
    end: Position,
    bytes: usize,
}

impl<'a> Trains<'a> {
    fn new() -> Trains<'a> {
        Trains { key: None, trains: Vec::new(), end: 0, bytes: 0 }
    }

    /// At most [`limits::UDP_CATCH_UP_BYTES`], but at least one batch.
    fn gather(&mut self, log: &'a Log, cursor: Position, mask: Mask) {
        if self.key == Some((cursor, mask)) {
            return;
        }
        self.key = Some((cursor, mask));
        self.trains.clear();
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

/// Sends every reader of `stream` what is due.
pub(crate) fn flush(
    stream: &mut Stream,
    now: Instant,
    connections: &mut Connections,
    datagrams: &DatagramSockets,
    counters: &Counters,
) -> Flushed {
    let mut flushed = Flushed::default();
    let mut gathered = Gathered::new();
    let mut trains = Trains::new();
    let log = &stream.log;
    counters.flushes.add(1);
    for reader in stream.readers.values_mut() {
        if !ready(reader, log, now, counters) {
            continue;
        }
        match &reader.sink {
            Sink::Tcp { fd, connection } => {
                gathered.gather(log, reader.cursor, reader.mask);
                if gathered.bytes == 0 {
                    reader.cursor = gathered.end;
                    continue;
                }
                let (fd, connection) = (*fd, *connection);
                let result = tcp::send_vectored(fd, &gathered.slices);
                after_send(reader, connection, result, &gathered, &mut flushed, counters);
                flushed.behind |= reader.flow == Flow::Flowing && reader.cursor < log.end();
            }
            Sink::Tls { connection } => {
                let key = *connection;
                gathered.gather(log, reader.cursor, reader.mask);
                if gathered.bytes == 0 {
                    reader.cursor = gathered.end;
                    continue;
                }
                let Some(connection) = connections.get_mut(key) else { continue };
                let result = connection.encrypt(&gathered.slices).map(|()| gathered.bytes);
                after_send(reader, key, result, &gathered, &mut flushed, counters);
                if connection.is_blocked() && reader.flow == Flow::Flowing {
                    reader.flow = Flow::Blocked;
                    flushed.blocked.push((key, Bytes::new()));
                }
                flushed.behind |= reader.flow == Flow::Flowing && reader.cursor < log.end();
            }
            Sink::Datagrams(_) => {
                trains.gather(log, reader.cursor, reader.mask);
                send_trains(reader, &trains, datagrams, &mut flushed, counters);
                flushed.pacing |= reader.flow == Flow::Flowing && reader.cursor < log.end();
            }
        }
    }
    flushed
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
        Some(position) => reader.cursor = position,
        None if now.saturating_duration_since(since) >= limits::RANDOM_ACCESS_WAIT => {
            reader.cursor = log.end().saturating_sub(1).max(log.start());
        }
        None => return false,
    }
    reader.flow = Flow::Flowing;
    reader.cursor < log.end()
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
        return;
    }
    counters.egress_blocked.add(1);
    let (cursor, rest) = gathered.cut(taken);
    reader.cursor = cursor;
    reader.flow = Flow::Blocked;
    flushed.blocked.push((connection, rest));
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
                flushed.datagrams_blocked = true;
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
    for batch in log.from(cursor) {
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
    use super::{Gathered, Trains};
    use crate::counters::Counters;
    use std::sync::Arc;

    fn log() -> Log {
        let mut log = Log::default();
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
        let mut gathered = Gathered::new();
        gathered.gather(&log, 0, both);
        assert_eq!((gathered.slices.len(), gathered.bytes, gathered.end), (2, 60, 5));
        let everything: Vec<u8> = gathered.slices.iter().flat_map(|slice| slice.to_vec()).collect();
        for taken in 0..60 {
            let (cursor, rest) = gathered.cut(taken);
            let mut again = Gathered::new();
            again.gather(&log, cursor, both);
            let mut joined = everything[..taken].to_vec();
            joined.extend_from_slice(&rest);
            joined.extend(again.slices.iter().flat_map(|slice| slice.to_vec()));
            assert_eq!(joined, everything, "cut after {taken} bytes");
        }
    }

    #[test]
    fn a_reader_of_one_track_gets_that_track() {
        let log = log();
        let mut gathered = Gathered::new();
        gathered.gather(&log, 0, Mask::default().with_track(1));
        assert_eq!((gathered.bytes, gathered.end), (8, 5));
        gathered.gather(&log, 0, Mask::default().with_track(0));
        assert_eq!((gathered.slices.len(), gathered.bytes, gathered.end), (3, 52, 5));
        let (cursor, rest) = gathered.cut(14);
        assert_eq!((cursor, rest.len()), (2, 0));
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
