//! Media and RTCP that arrive: datagrams on the shared sockets and on publishers' own, and interleaved packets.

use super::datagrams::{IngestSocket, PortsKey};
use super::io::Target;
use super::sessions::Session;
use super::{ConnectionKey, IngestKey, SessionKey, Shard, State};
use crate::limits;
use crate::mesh::Message;
use crate::modules::Role;
use crate::net::{Peer, udp};
use bytes::Bytes;
use headwater_protocols::rtsp::session::TrackTransport;
use headwater_protocols::{rtcp, rtp};
use std::io;
use std::os::fd::AsRawFd;

/// Smallest room for one datagram train (GRO hands over at most 64 KiB).
const TRAIN_BYTES_MAX: usize = 64 * 1024;

impl Session {
    /// Takes what a reader reports of a track. Returns false when the packet is malformed.
    fn note_reports(&mut self, track: usize, packet: &[u8]) -> bool {
        for parsed in rtcp::parse(packet) {
            let reports = match parsed {
                Ok(rtcp::Packet::ReceiverReport(report)) => report.reports,
                Ok(rtcp::Packet::SenderReport(report)) => report.reports,
                Ok(_) => continue,
                Err(_) => return false,
            };
            let Some(block) = reports.iter().next() else { continue };
            if self.reported_lost.len() <= track {
                self.reported_lost.resize(track + 1, 0);
            }
            // Cumulative, and negative where packets were duplicated.
            self.reported_lost[track] = block.cumulative_lost.max(0) as u32;
            let lost = self.reported_lost.iter().map(|lost| u64::from(*lost)).sum();
            self.record.counts.outbound_rtp_packets_reported_lost.set(lost);
        }
        true
    }
}

impl State {
    /// Gives a session a socket of its own for a publisher's packets.
    pub(crate) fn add_ingest_socket(
        &mut self,
        socket: socket2::Socket,
        peer: Peer,
        session: SessionKey,
        track: usize,
    ) -> IngestKey {
        let fd = socket.as_raw_fd();
        let key = self.ingest_sockets.insert(IngestSocket {
            socket,
            peer,
            session,
            track,
            reorder: rtp::Reorder::new(),
        });
        self.poller.watch_readable(fd, Target::Ingest(key).token());
        key
    }

    /// Goes on reading a datagram socket in the next turn.
    fn read_datagrams_later(&mut self, target: Target) {
        if !self.unread_datagrams.contains(&target) {
            self.unread_datagrams.push(target);
        }
    }

    pub(super) fn close_ingest_socket(&mut self, key: IngestKey) {
        if let Some(socket) = self.ingest_sockets.remove(key) {
            self.counters.ingest_packets_late.add(socket.reorder.late() + socket.reorder.duplicates());
            self.poller.forget(Target::Ingest(key).token());
        }
    }
}

impl Shard {
    /// Datagrams on the shared sockets: RTCP of readers and publishers, and strays.
    pub(super) fn read_datagrams(&mut self, key: PortsKey, rtcp: bool) {
        for _ in 0..limits::DATAGRAMS_PER_TURN_MAX {
            let state = &mut self.state;
            let Some(ports) = state.datagrams.get(key) else { return };
            state.read_buffer.reserve(TRAIN_BYTES_MAX);
            match udp::receive(ports.socket(rtcp).socket.as_raw_fd(), &mut state.read_buffer) {
                Ok(received) => {
                    let payload = state.read_buffer.split().freeze();
                    if let Some(peer) = received.peer {
                        self.datagram(peer, rtcp, &payload, false);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Reports of earlier sends; the next receive goes on.
                Err(_) => {}
            }
        }
        self.state.read_datagrams_later(Target::Datagrams { ports: key, rtcp });
    }

    /// One datagram from a peer, directly or (`handed_over`) from the shard it reached.
    pub(crate) fn datagram(&mut self, peer: Peer, rtcp: bool, payload: &Bytes, handed_over: bool) {
        let state = &mut self.state;
        let Some(owner) = state.peers.get(&peer).copied() else {
            match state.registry.peer_owner(peer).filter(|owner| *owner != state.id && !handed_over) {
                Some(owner) => {
                    let message = Message::Datagram { peer, rtcp, payload: payload.clone() };
                    state.mesh.send(owner, message, &state.counters);
                }
                None => state.counters.datagrams_unknown.add(1),
            }
            return;
        };
        if rtcp {
            self.rtcp(owner.session, owner.track, payload);
        } else {
            self.media(owner.session, owner.track, payload);
        }
    }

    /// Packets on a publisher's own socket.
    pub(super) fn read_ingest(&mut self, key: IngestKey) {
        let mut ordered = Vec::new();
        for _ in 0..limits::DATAGRAMS_PER_TURN_MAX {
            let state = &mut self.state;
            let Some(ingest) = state.ingest_sockets.get_mut(key) else { return };
            let (session, track) = (ingest.session, ingest.track);
            state.read_buffer.reserve(TRAIN_BYTES_MAX);
            let segment = match udp::receive(ingest.socket.as_raw_fd(), &mut state.read_buffer) {
                Ok(received) if received.peer.is_some_and(|peer| peer != ingest.peer) => {
                    // It came before the socket was connected.
                    state.read_buffer.clear();
                    state.counters.datagrams_unknown.add(1);
                    continue;
                }
                Ok(received) => received.segment.max(1),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => continue,
            };
            let train = state.read_buffer.split().freeze();
            for start in (0..train.len()).step_by(segment) {
                let packet = train.slice(start..train.len().min(start + segment));
                match rtp::Packet::parse(&packet) {
                    Ok(parsed) => {
                        let sequence = parsed.sequence;
                        ingest.reorder.push(state.now, sequence, packet, &mut ordered);
                    }
                    Err(_) => state.counters.ingest_packets_invalid.add(1),
                }
            }
            for packet in ordered.drain(..) {
                self.media(session, track, &packet);
            }
        }
        self.state.read_datagrams_later(Target::Ingest(key));
    }

    /// Gives up gaps that have waited long enough.
    pub(super) fn expire_reordering(&mut self) {
        let now = self.state.now;
        let due: Vec<_> = self
            .state
            .ingest_sockets
            .iter()
            .filter(|(_, socket)| socket.reorder.poll_timeout().is_some_and(|timeout| timeout <= now))
            .map(|(key, _)| key)
            .collect();
        for key in due {
            let mut ordered = Vec::new();
            let Some(socket) = self.state.ingest_sockets.get_mut(key) else { continue };
            socket.reorder.handle_timeout(now, &mut ordered);
            let (session, track) = (socket.session, socket.track);
            for packet in ordered {
                self.media(session, track, &packet);
            }
        }
    }

    /// A packet on an interleaved channel: a publisher's, or a reader's RTCP.
    pub(super) fn interleaved(&mut self, key: ConnectionKey, channel: u8, payload: &Bytes) {
        let Some(connection) = self.state.connections.get(key) else { return };
        for index in 0..connection.sessions.len() {
            let Some(connection) = self.state.connections.get(key) else { return };
            let Some(session_key) = connection.sessions.get(index).copied() else { return };
            let Some(session) = self.state.sessions.get(session_key) else { continue };
            let found = match &session.publisher {
                Some(publisher) => publisher
                    .channels
                    .iter()
                    .find(|(rtp, rtcp, _)| channel == *rtp || channel == *rtcp)
                    .map(|(_, rtcp, track)| (*track, channel == *rtcp)),
                None => session
                    .tracks()
                    .find(|(_, transport)| match transport {
                        TrackTransport::Interleaved { rtcp, .. } => *rtcp == channel,
                        TrackTransport::Udp { .. } => false,
                    })
                    .map(|(track, _)| (track, true)),
            };
            match found {
                Some((track, true)) => return self.rtcp(session_key, track, payload),
                Some((track, false)) => return self.media(session_key, track, payload),
                None => {}
            }
        }
        self.state.counters.ingest_packets_invalid.add(1);
    }

    /// One RTP packet of a publisher.
    fn media(&mut self, key: SessionKey, track: usize, packet: &[u8]) {
        let state = &mut self.state;
        let Some(session) = state.sessions.get_mut(key) else { return };
        let (Some(publisher), Some(stream_key)) = (&mut session.publisher, session.stream) else {
            // Readers open their firewall by sending a packet to the RTP port; it means nothing else.
            return;
        };
        let Some(home) = state.streams.get_mut(stream_key).and_then(|stream| stream.home()) else { return };
        if home.publisher != Some(key) {
            return;
        }
        let Some(ingest) = home.input.rtp() else { return };
        match ingest.rtp(state.now, track, packet) {
            Ok(()) => {
                publisher.last_media = state.now;
                publisher.received_bytes += packet.len() as u64;
                publisher.received_packets += 1;
                state.counters.ingest_packets.add(1);
                state.counters.ingest_bytes.add(packet.len() as u64);
                let full = ingest.is_full();
                state.mark_ingesting(stream_key);
                if full {
                    state.finish_batch(stream_key);
                }
            }
            Err(refused) => {
                if state.counters.ingest_packets_invalid.value().is_power_of_two() {
                    tracing::debug!(path = %session.path, peer = %session.peer, ?refused, "RTP packet refused");
                }
                publisher.packets_in_error += 1;
                state.counters.ingest_packets_invalid.add(1);
            }
        }
    }

    /// One compound RTCP packet of a publisher or reader.
    fn rtcp(&mut self, key: SessionKey, track: usize, packet: &[u8]) {
        let state = &mut self.state;
        state.counters.rtcp_packets.add(1);
        let Some(session) = state.sessions.get_mut(key) else { return };
        session.last_seen = state.now;
        session.record.counts.inbound_rtcp_packets.add(1);
        if session.publisher.is_none() {
            if !session.note_reports(track, packet) {
                session.record.counts.inbound_rtcp_packets_in_error.add(1);
                state.counters.rtcp_packets_invalid.add(1);
            } else if self.modules.has(Role::Rtcp) {
                for module in self.modules.each(Role::Rtcp) {
                    module.rtcp(&self.state, track, packet);
                }
            }
            return;
        }
        let Some(stream_key) = session.stream else { return };
        let Some(home) = state.streams.get_mut(stream_key).and_then(|stream| stream.home()) else { return };
        if home.publisher != Some(key) {
            return;
        }
        let Some(ingest) = home.input.rtp() else { return };
        if !ingest.rtcp(state.now, track, packet) {
            session.record.counts.inbound_rtcp_packets_in_error.add(1);
            state.counters.rtcp_packets_invalid.add(1);
        }
        if ingest.has_batch() {
            state.mark_ingesting(stream_key);
        }
    }
}
