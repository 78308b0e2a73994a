//! One reader: its connection, its UDP sockets, and what it received. Sampled readers look at every packet; the
//! others count bytes (TCP, without copying them) or sequence numbers (UDP), so that the load stays light.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::Instant;

use anyhow::{Context as _, Result};
use bytes::{BufMut as _, BytesMut};
use headwater_protocols::rtcp::{ReceiverReport, ReportBlock, ReportBlocks, write_sdes_cname};

use super::Token;
use super::connection::{Connection, Ports};
use super::tally::Tally;
use crate::limits;
use crate::media::RTP_HEADER_BYTES;
use crate::media::check::{Checker, sequence_of};
use crate::media::units;
use crate::scenario::{Element, Talk};
use crate::sys::net::{self, DatagramBatch, Epoll, Interest};

/// What one reader received.
pub(crate) struct Intake {
    pub(crate) bytes: u64,
    /// `bytes` when the window opened.
    pub(crate) bytes_at_open: u64,
    /// Present on sampled readers.
    checker: Option<Checks>,
    /// The last sequence number, on unsampled UDP readers.
    sequence: Option<u16>,
}

/// What a sampled reader's media is held against.
struct Checks {
    packets: Checker,
    units: units::Checker,
}

/// Buffers that all readers share.
pub(crate) struct Scratch {
    pub(crate) buffer: Vec<u8>,
    pub(crate) batch: DatagramBatch,
    pub(crate) media: Vec<Element>,
}

/// See the module.
pub(crate) struct Reader {
    index: usize,
    connection: Option<Connection>,
    sockets: Option<(UdpSocket, UdpSocket)>,
    pub(crate) intake: Intake,
    pub(crate) gone: bool,
    stamped: bool,
}

impl Scratch {
    pub(crate) fn new() -> Scratch {
        Scratch { buffer: vec![0; limits::RECEIVE_BYTES], batch: DatagramBatch::new(), media: Vec::new() }
    }
}

impl Intake {
    /// A sampled reader's media; RTP has the even channels.
    fn elements(&mut self, media: &mut Vec<Element>, received_at: Option<u64>, tally: &mut Tally) {
        for element in media.drain(..) {
            let Some(checks) = &mut self.checker else { continue };
            match element {
                Element::Packet { channel, payload } if channel % 2 == 0 => {
                    tally.packet(&mut checks.packets, &payload, received_at);
                }
                Element::Unit { track, payload } => {
                    tally.unit(&mut checks.units, track, &payload, received_at);
                }
                Element::Packet { .. } | Element::File { .. } => {}
            }
        }
    }

    fn datagram(&mut self, datagram: &net::Datagram<'_>, tally: &mut Tally) {
        self.bytes += datagram.length as u64;
        if let Some(checks) = &mut self.checker {
            tally.packet(&mut checks.packets, datagram.bytes, datagram.received_at);
        } else if let Some(sequence) = sequence_of(datagram.bytes) {
            let missing = self.sequence.map_or(0, |last| sequence.wrapping_sub(last).wrapping_sub(1));
            if missing != 0 {
                tally.skipped(missing);
            }
            self.sequence = Some(sequence);
        }
    }

    fn last_sequence(&self) -> Option<u16> {
        self.checker.as_ref().map_or(self.sequence, |checks| checks.packets.sequence())
    }
}

impl Reader {
    /// Reader `index` of `path`, not yet connected. UDP readers are given their sockets.
    pub(crate) fn new(index: usize, path: usize, sampled: bool) -> Reader {
        let path = path as u16;
        let checker =
            sampled.then(|| Checks { packets: Checker::new(path), units: units::Checker::new(path) });
        let intake = Intake { bytes: 0, bytes_at_open: 0, checker, sequence: None };
        Reader { index, connection: None, sockets: None, intake, gone: false, stamped: false }
    }

    /// Binds its UDP ports; returns them.
    pub(crate) fn bind(&mut self, epoll: &Epoll, ports: &mut Ports) -> Result<(u16, u16)> {
        let (rtp, rtcp) = ports.pair()?;
        let numbers = (rtp.local_addr()?.port(), rtcp.local_addr()?.port());
        if self.intake.checker.is_some() {
            net::enable_receive_times(rtp.as_raw_fd()).context("SO_TIMESTAMPNS")?;
        }
        epoll.add(rtp.as_raw_fd(), Token::ReaderRtp(self.index).pack(), Interest::Read)?;
        epoll.add(rtcp.as_raw_fd(), Token::ReaderRtcp(self.index).pack(), Interest::Read)?;
        self.sockets = Some((rtp, rtcp));
        Ok(numbers)
    }

    /// Starts to connect.
    pub(crate) fn start(&mut self, epoll: &Epoll, address: SocketAddr, talk: Talk) -> Result<()> {
        self.connection = Some(Connection::start(epoll, address, Token::Reader(self.index).pack(), talk)?);
        Ok(())
    }

    /// Whether all it gets is checked.
    pub(crate) fn sampled(&self) -> bool {
        self.intake.checker.is_some()
    }

    pub(crate) fn playing(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.talk.started())
    }

    /// The connection is ready for something. False: the server closed it.
    pub(crate) fn connection_ready(
        &mut self,
        now: Instant,
        writable: bool,
        scratch: &mut Scratch,
        tally: &mut Tally,
    ) -> Result<bool> {
        let Some(connection) = &mut self.connection else { return Ok(true) };
        if writable {
            connection.writable(now)?;
        }
        if !connection.talk.started() && !connection.readable(now, &mut scratch.buffer, &mut scratch.media)? {
            return Ok(false);
        }
        if !connection.talk.started() {
            return Ok(true);
        }
        self.intake.elements(&mut scratch.media, None, tally);
        match (&self.sockets, &self.intake.checker) {
            (Some(_), _) => self.answers(now, scratch),
            (None, Some(_)) => self.interleaved(now, scratch, tally),
            (None, None) => self.discard(now, scratch),
        }
    }

    /// Answers to keep-alives of a UDP reader.
    fn answers(&mut self, now: Instant, scratch: &mut Scratch) -> Result<bool> {
        let Some(connection) = &mut self.connection else { return Ok(true) };
        loop {
            match net::receive_stamped(connection.fd(), &mut scratch.buffer) {
                Ok((0, _)) => return Ok(false),
                Ok((length, _)) => connection.input(now, &scratch.buffer[..length], &mut scratch.media)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error).context("receive"),
            }
            scratch.media.clear();
        }
    }

    /// All that a sampled TCP reader got.
    fn interleaved(&mut self, now: Instant, scratch: &mut Scratch, tally: &mut Tally) -> Result<bool> {
        let Some(connection) = &mut self.connection else { return Ok(true) };
        if !self.stamped {
            net::enable_receive_times(connection.fd()).context("SO_TIMESTAMPNS")?;
            self.stamped = true;
        }
        loop {
            match net::receive_stamped(connection.fd(), &mut scratch.buffer) {
                Ok((0, _)) => return Ok(false),
                Ok((length, received_at)) => {
                    self.intake.bytes += length as u64;
                    connection.input(now, &scratch.buffer[..length], &mut scratch.media)?;
                    self.intake.elements(&mut scratch.media, received_at, tally);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error).context("receive"),
            }
        }
    }

    /// All that an unsampled TCP reader got: what its conversation needs to see is read, the rest only counted.
    fn discard(&mut self, now: Instant, scratch: &mut Scratch) -> Result<bool> {
        let Some(connection) = &mut self.connection else { return Ok(true) };
        loop {
            let passable = connection.talk.passable().min(scratch.buffer.len());
            let received = match passable {
                0 => net::receive_stamped(connection.fd(), &mut scratch.buffer).map(|(length, _)| length),
                _ => net::discard(connection.fd(), &mut scratch.buffer[..passable]),
            };
            match received {
                Ok(0) => return Ok(false),
                Ok(length) => {
                    self.intake.bytes += length as u64;
                    if passable == 0 {
                        connection.input(now, &scratch.buffer[..length], &mut scratch.media)?;
                        scratch.media.clear();
                        continue;
                    }
                    connection.passed(now, length)?;
                    if length < passable {
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error).context("receive"),
            }
        }
    }

    /// All that is on the RTP socket.
    pub(crate) fn rtp_ready(&mut self, scratch: &mut Scratch, tally: &mut Tally) -> Result<()> {
        let Some((rtp, _)) = &self.sockets else { return Ok(()) };
        let sampled = self.intake.checker.is_some();
        let keep = if sampled { limits::DATAGRAM_BYTES_MAX } else { RTP_HEADER_BYTES };
        loop {
            let count = match scratch.batch.receive(rtp.as_raw_fd(), keep, sampled) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("receive RTP"),
            };
            for index in 0..count {
                self.intake.datagram(&scratch.batch.get(index), tally);
            }
            if count < limits::DATAGRAMS_PER_RECEIVE {
                return Ok(());
            }
        }
    }

    /// Takes sender reports off the RTCP socket.
    pub(crate) fn rtcp_ready(&mut self, scratch: &mut Scratch) {
        if let Some((_, rtcp)) = &self.sockets {
            while let Ok(limits::DATAGRAMS_PER_RECEIVE) = scratch.batch.receive(rtcp.as_raw_fd(), 0, false) {}
        }
    }

    /// A receiver report and a look at the clock, as players do every five seconds.
    pub(crate) fn visit(&mut self, now: Instant) -> Result<()> {
        let Some(connection) = self.connection.as_mut().filter(|connection| connection.talk.started()) else {
            return Ok(());
        };
        if matches!(connection.talk, Talk::Floor(_)) {
            return Ok(());
        }
        let seen = self.sockets.is_some() || self.intake.checker.is_some();
        connection.timer(now, (!seen).then_some(self.intake.bytes))?;
        if !connection.talk.reports() {
            return Ok(());
        }
        let mut report = BytesMut::with_capacity(96);
        if self.sockets.is_none() {
            report.put_slice(&[b'$', 1, 0, 0]);
        }
        let start = report.len();
        write_report(self.index, self.intake.last_sequence(), &mut report);
        match (&self.sockets, connection.talk.server_ports()) {
            (Some((_, rtcp)), Some((_, to))) => {
                // A full socket buffer drops a report, as the network may.
                let _ = rtcp.send_to(&report, to);
            }
            (Some(_), None) => {}
            (None, _) => {
                let length = (report.len() - start) as u16;
                report[2..4].copy_from_slice(&length.to_be_bytes());
                connection.send(&report)?;
            }
        }
        Ok(())
    }

    /// When its conversation wants to look at the clock.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.connection.as_ref().and_then(|connection| connection.talk.due())
    }

    /// Lets it.
    pub(crate) fn timer(&mut self, now: Instant) -> Result<()> {
        self.connection.as_mut().map_or(Ok(()), |connection| connection.timer(now, None))
    }

    /// Datagrams that the kernel dropped at this reader's socket.
    pub(crate) fn drops(&self) -> u64 {
        let dropped = |(rtp, _): &(UdpSocket, UdpSocket)| net::receive_drops(rtp.as_raw_fd()).unwrap_or(0);
        self.sockets.as_ref().map_or(0, |sockets| u64::from(dropped(sockets)))
    }

    /// Asks the server to end the session.
    pub(crate) fn teardown(&mut self) -> Result<()> {
        self.connection.as_mut().map_or(Ok(()), Connection::teardown)
    }

    /// Whether the server confirmed the end of the session.
    pub(crate) fn ended(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.talk.ended())
    }

    /// Ends the connection; the kernel forgets the rest with it.
    pub(crate) fn close(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            connection.shutdown();
        }
        self.sockets = None;
    }
}

/// A compound packet of receiver report and name (RFC 3550, section 6.1).
fn write_report(index: usize, sequence: Option<u16>, out: &mut BytesMut) {
    let ssrc = 0x5244_0000 | index as u32;
    let mut reports = ReportBlocks::new();
    if let Some(sequence) = sequence {
        // A new list has room for one.
        let _ = reports.push(ReportBlock {
            ssrc: 0x4857_0000,
            fraction_lost: 0,
            cumulative_lost: 0,
            highest_sequence: u32::from(sequence),
            jitter: 0,
            last_sr: 0,
            delay_since_last_sr: 0,
        });
    }
    ReceiverReport { ssrc, reports }.write(out);
    write_sdes_cname(ssrc, b"headwater-bench", out);
}
