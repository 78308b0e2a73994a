//! Housekeeping: what has to happen although nobody sent anything.

use super::connection::Ending;
use super::{ConnectionKey, SessionKey, Shard};
use crate::limits;
use crate::modules::Role;
use crate::records;
use crate::stream::reader::Flow;
use crate::stream::{CloseReason, StreamKey, flush};
use bytes::Bytes;
use headwater_protocols::rtsp::session::TrackTransport;

/// How long a peer may take to close its side after ours is closed.
const LINGER: std::time::Duration = std::time::Duration::from_secs(2);

impl Shard {
    pub(super) fn tick(&mut self) {
        self.check_connections();
        self.check_sessions();
        self.check_streams();
        self.end_track_detection();
        self.check_web();
        self.check_players();
        self.state.check_muxers();
        self.state.expire_hls();
        self.answer_players();
        self.state.tick_forms();
        self.state.drop_idle_replicas();
        self.state.close_retired_datagrams();
        self.state.ticks += 1;
        self.state.refresh_records(self.state.ticks);
        self.state.take_census();
        let mut modules = std::mem::take(&mut self.modules);
        for module in modules.each(Role::Interval) {
            module.interval(&mut self.state);
        }
        self.modules = modules;
    }

    fn check_connections(&mut self) {
        let now = self.state.now;
        let write_timeout = self.state.settings.write_timeout;
        let mut stuck: Vec<ConnectionKey> = Vec::new();
        let mut lingering: Vec<ConnectionKey> = Vec::new();
        let mut timed_out: Vec<ConnectionKey> = Vec::new();
        let mut expired: Vec<ConnectionKey> = Vec::new();
        let mut headless: Vec<ConnectionKey> = Vec::new();
        for (key, connection) in &self.state.connections {
            if connection
                .blocked_since
                .is_some_and(|since| now.saturating_duration_since(since) >= write_timeout)
            {
                stuck.push(key);
            } else if connection.proxy_header.as_ref().is_some_and(|header| header.until <= now) {
                headless.push(key);
            } else if let Ending::AfterWrites { since } = connection.ending {
                if !connection.is_blocked() && now.saturating_duration_since(since) >= LINGER {
                    lingering.push(key);
                }
            } else if connection.machine.poll_timeout().is_some_and(|timeout| timeout <= now) {
                timed_out.push(key);
            } else if connection.suspended.as_ref().is_some_and(|suspended| suspended.walk.until <= now) {
                expired.push(key);
            }
        }
        for key in stuck {
            self.state.counters.closed_write_timeout.add(1);
            self.close_connection(key, "it took nothing for longer than the write timeout");
        }
        for key in headless {
            self.state.counters.proxy_headers_invalid.add(1);
            self.close_connection(key, "its PROXY protocol header did not come in time");
        }
        for key in lingering {
            self.close_connection(key, "the client did not close its side");
        }
        for key in timed_out {
            if let Some(connection) = self.state.connections.get_mut(key) {
                connection.machine.handle_timeout(now);
                self.drive(key);
            }
        }
        for key in expired {
            self.expire_request(key);
        }
    }

    /// Timeouts of HTTP connections.
    fn check_web(&mut self) {
        let now = self.state.now;
        let due = |web: &crate::web::Connection| web.poll_timeout().is_some_and(|timeout| timeout <= now);
        let late: Vec<ConnectionKey> =
            self.state.web.iter().filter(|(_, web)| due(web)).map(|(key, _)| key).collect();
        for key in late {
            if let Some(web) = self.state.web.get_mut(key) {
                web.handle_timeout(now);
                self.guarded(key, |shard| shard.drive(key));
            }
        }
    }

    fn check_sessions(&mut self) {
        let now = self.state.now;
        let read_timeout = self.state.settings.read_timeout;
        let session_timeout = self.state.settings.rtsp.session_timeout;
        let mut silent: Vec<(SessionKey, &'static str)> = Vec::new();
        let mut reporting: Vec<SessionKey> = Vec::new();
        for (key, session) in &mut self.state.sessions {
            let publishes = session.activity().0 == records::SessionState::Publish;
            match &mut session.publisher {
                Some(publisher) if publishes => {
                    if now.saturating_duration_since(publisher.last_media) >= read_timeout {
                        silent.push((key, "no media came for longer than the read timeout"));
                    } else if publisher.next_report <= now {
                        publisher.next_report = now + limits::REPORT_INTERVAL;
                        reporting.push(key);
                    }
                }
                _ => {
                    // A session interleaved on a connection that plays lives as long as the connection.
                    let lives =
                        session.connection.is_some() && session.is_active() && !session.uses_datagrams();
                    let timeout = match session.connection {
                        None => session_timeout.min(limits::UNATTENDED_TIMEOUT),
                        Some(_) => session_timeout,
                    };
                    if !lives && now.saturating_duration_since(session.last_seen) >= timeout {
                        silent
                            .push((key, "neither request nor RTCP came for longer than the session timeout"));
                    }
                }
            }
        }
        for (key, reason) in silent {
            let publisher = self.state.sessions.get(key).is_some_and(|session| session.publisher.is_some());
            let counters = &self.state.counters;
            if publisher {
                counters.publishers_timed_out.add(1);
            } else {
                counters.sessions_timed_out.add(1);
            }
            self.close_session_and_connection(key, reason);
        }
        for key in reporting {
            self.report_to_publisher(key);
        }
    }

    /// Sends a publisher our receiver reports.
    fn report_to_publisher(&mut self, key: SessionKey) {
        let state = &mut self.state;
        let Some(session) = state.sessions.get_mut(key) else { return };
        let (Some(stream), Some(publisher)) = (session.stream, &mut session.publisher) else { return };
        let Some(home) = state.streams.get_mut(stream).and_then(|stream| stream.home()) else { return };
        let lost = home.input.lost();
        state.counters.ingest_packets_lost.add(lost.saturating_sub(publisher.lost_seen));
        publisher.lost_seen = lost;
        let tracks = publisher.tracks.len();
        let channels = publisher.channels.clone();
        let reports: Vec<_> = (0..tracks)
            .filter_map(|track| Some((track, home.input.rtp()?.receiver_report(state.now, track)?)))
            .collect();
        let connection = session.connection;
        for (track, report) in reports {
            let channel = channels.iter().find(|(_, _, other)| *other == track).map(|(_, rtcp, _)| *rtcp);
            match (channel, connection) {
                (Some(channel), Some(connection)) => {
                    // A publisher that does not read its reports is none the worse; its media still come.
                    let _ = state.send(connection, flush::interleave(channel, &report));
                }
                _ => state.send_rtcp(key, track, &report),
            }
        }
    }

    fn check_streams(&mut self) {
        let now = self.state.now;
        let mut orphaned: Vec<StreamKey> = Vec::new();
        let mut due: Vec<StreamKey> = Vec::new();
        let mut ingesting: Vec<StreamKey> = Vec::new();
        for (key, stream) in &mut self.state.streams {
            if stream.readers.values().any(|reader| matches!(reader.flow, Flow::Waiting { .. })) {
                due.push(key);
            }
            let Some(home) = stream.home() else { continue };
            if home.grace_until.is_some_and(|until| until <= now) {
                orphaned.push(key);
            } else if home.publisher.is_some() {
                home.input.tick(now);
                if home.input.has_batch() {
                    ingesting.push(key);
                }
            }
        }
        for key in orphaned {
            self.close_stream(key, CloseReason::PublisherGone);
        }
        for key in ingesting {
            self.state.mark_ingesting(key);
        }
        for key in due {
            self.state.mark_dirty(key);
        }
    }
}

impl super::State {
    /// Sends an RTCP packet to a session's client over UDP.
    pub(crate) fn send_rtcp(&self, key: SessionKey, track: usize, packet: &[u8]) {
        let Some(session) = self.sessions.get(key) else { return };
        let Some((ports_key, ports)) = session.ports.and_then(|key| Some((key, self.datagrams.get(key)?)))
        else {
            return;
        };
        let Some((.., rtcp)) = session.datagram_peers().find(|(other, ..)| *other == track) else { return };
        let family = ports.rtcp.family;
        let destination = crate::net::address::Destination::new(family, rtcp.0);
        let train = crate::net::udp::Train { bytes: packet, segment: None, target: 1 };
        let sink = crate::stream::reader::DatagramSink {
            destinations: Box::new([None, destination]),
            source: crate::net::udp::Source::new(ports.leave_from(session.local).ip()),
            ports: ports_key,
            paced_until: None,
        };
        // Reports are best effort.
        let _ = self.datagrams.send(&sink, &[train]);
    }

    /// Sends a packet to one reader: interleaved on its connection, or as a datagram.
    pub(crate) fn send_report(&mut self, key: SessionKey, track: usize, packet: &Bytes) {
        let Some(session) = self.sessions.get(key) else { return };
        let channel = session.tracks().find_map(|(other, transport)| match transport {
            TrackTransport::Interleaved { rtcp, .. } if other == track => Some(*rtcp),
            _ => None,
        });
        match (channel, session.connection) {
            (Some(channel), Some(connection)) => {
                let _ = self.send(connection, flush::interleave(channel, packet));
            }
            _ => self.send_rtcp(key, track, packet),
        }
    }
}
