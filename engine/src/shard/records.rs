//! What a shard lets the control core know: events as they happen, and records that are brought up to date in turns.

use super::sessions::Control;
use super::{ConnectionKey, SessionKey, State};
use crate::limits;
use crate::mesh::ShardId;
use crate::records::{self, Census, Event, Id, SessionEntry};
use crate::stream::{Side, Stream, StreamKey};
use headwater_protocols::rtsp::session as machine;
use headwater_protocols::rtsp::session::TrackTransport;
use slotmap::{Key, KeyData};
use std::sync::Arc;

impl Id {
    /// A new id for the thing with this key on this shard.
    pub(crate) fn new(shard: ShardId, key: impl Key) -> Id {
        let raw = key.data().as_ffi();
        let (version, index) = ((raw >> 32) as u32, raw as u32);
        let mut id = [0; 16];
        id[..9].copy_from_slice(&crate::rtsp::random_bytes::<9>());
        // The version and variant of RFC 9562, section 5.8.
        id[6] = id[6] & 0x0f | 0x80;
        id[7] = shard.0;
        id[8] = id[8] & 0x3f | 0x80;
        id[9..12].copy_from_slice(&index.to_be_bytes()[1..]);
        id[12..].copy_from_slice(&version.to_be_bytes());
        Id(id)
    }

    pub(crate) fn shard(self) -> ShardId {
        ShardId(self.shard_index())
    }

    /// The key it had there. Whoever uses it compares ids.
    fn key<K: From<KeyData>>(self) -> K {
        let index = u32::from_be_bytes([0, self.0[9], self.0[10], self.0[11]]);
        let version = u32::from_be_bytes([self.0[12], self.0[13], self.0[14], self.0[15]]);
        KeyData::from_ffi(u64::from(version) << 32 | u64::from(index)).into()
    }
}

impl State {
    /// Tells the control core. It is woken once at the end of the turn.
    pub(crate) fn tell(&mut self, event: Event) {
        if self.census_due || !self.events.push(event) {
            self.counters.events_dropped.add(1);
            self.census_due = true;
        }
        self.told = true;
    }

    /// After events were dropped: tells of everything that lives here, once there is room for it.
    pub(super) fn take_census(&mut self) {
        if !self.census_due || self.events.waiting() > limits::EVENTS_MAX / 2 {
            return;
        }
        let connections = self.connections.values().filter(|c| c.told).map(|c| Arc::clone(&c.record));
        let census = Census {
            shard: self.id.0,
            connections: connections.collect(),
            sessions: self.sessions.keys().filter_map(|key| self.session_entry(key)).collect(),
            streams: self
                .streams
                .values()
                .filter(|s| !matches!(s.side, Side::Form(_)))
                .map(|s| (Arc::clone(&s.record), self.publisher_of(s)))
                .collect(),
            muxers: self.muxings.values().map(|muxing| Arc::clone(&muxing.record)).collect(),
        };
        if self.events.push(Event::Census(Box::new(census))) {
            self.census_due = false;
        }
        self.told = true;
    }

    fn session_entry(&self, key: SessionKey) -> Option<SessionEntry> {
        let session = self.sessions.get(key)?;
        let connection = session.connection.and_then(|key| self.connections.get(key));
        let (state, transport) = session.activity();
        Some(SessionEntry {
            session: Arc::clone(&session.record),
            connection: connection.map(|connection| connection.record.id),
            state,
            transport,
        })
    }

    /// The id of the session that publishes a stream here.
    pub(crate) fn publisher_of(&self, stream: &Stream) -> Option<Id> {
        match &stream.side {
            Side::Home(home) => Some(self.sessions.get(home.publisher?)?.record.id),
            Side::Replica(_) | Side::Form(_) => None,
        }
    }

    /// Tells of a session's state.
    pub(crate) fn tell_state(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get(key) else { return };
        let (state, transport) = session.activity();
        self.tell(Event::SessionChanged { id: session.record.id, state, transport });
    }

    /// Tells which session publishes a stream.
    pub(crate) fn tell_publisher(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get(key) else { return };
        let session = self.publisher_of(stream);
        self.tell(Event::StreamPublisher { id: stream.id.0, session });
    }

    pub(crate) fn session_by_id(&self, id: Id) -> Option<SessionKey> {
        let key: SessionKey = id.key();
        self.sessions.get(key).filter(|session| session.record.id == id).map(|_| key)
    }

    pub(crate) fn connection_by_id(&self, id: Id) -> Option<ConnectionKey> {
        let key: ConnectionKey = id.key();
        if self.connections.get(key).is_some_and(|connection| connection.record.id == id) {
            return Some(key);
        }
        // It was accepted by another shard.
        self.connections.iter().find(|(_, connection)| connection.record.id == id).map(|(key, _)| key)
    }

    /// Brings a part of the records up to date, so that no turn has to do all of them.
    pub(super) fn refresh_records(&mut self, tick: u64) {
        let part = tick % limits::RECORDS_EVERY_TICKS;
        let due = |raw: u64| (raw & 0xffff_ffff) % limits::RECORDS_EVERY_TICKS == part;
        let sessions: Vec<_> = self.sessions.keys().filter(|key| due(key.data().as_ffi())).collect();
        for key in sessions {
            self.refresh_session(key);
        }
        for (key, stream) in &self.streams {
            // Those of its forms count with the stream.
            if due(key.data().as_ffi()) && !matches!(stream.side, Side::Form(_)) {
                let (readers, log_bytes) = self.with_forms(key);
                stream.record.readers.set(readers);
                stream.record.log_bytes.set(log_bytes);
            }
        }
    }

    /// Brings the record of one session up to date, and with it what its stream and connection were sent.
    pub(crate) fn refresh_session(&self, key: SessionKey) {
        let Some(session) = self.sessions.get(key) else { return };
        let counts = &session.record.counts;
        let Some(stream) = session.stream.and_then(|key| self.streams.get(key)) else { return };
        if let Some(reader) = session.reader.and_then(|key| stream.readers.get(key)) {
            let sent = reader.sent_bytes.saturating_sub(counts.outbound_bytes.value());
            counts.outbound_bytes.add(sent);
            stream.record.outbound_bytes.add(sent);
            if let Some(connection) = reader.connection().and_then(|key| self.connections.get(key)) {
                connection.record.outbound_bytes.add(sent);
            }
            counts.outbound_rtp_packets.set(reader.sent_packets - reader.sent_reports);
            counts.outbound_rtcp_packets.set(reader.sent_reports);
            counts.outbound_rtp_packets_discarded.set(reader.discarded);
            counts.skips.set(u64::from(reader.skips));
        }
        if let (Some(publisher), Side::Home(home)) = (&session.publisher, &stream.side) {
            if home.publisher != Some(key) {
                return;
            }
            let received = publisher.received_bytes.saturating_sub(counts.inbound_bytes.value());
            counts.inbound_bytes.add(received);
            stream.record.inbound_bytes.add(received);
            let errors =
                publisher.packets_in_error.saturating_sub(counts.inbound_rtp_packets_in_error.value());
            counts.inbound_rtp_packets_in_error.add(errors);
            stream.record.inbound_frames_in_error.add(errors);
            counts.inbound_rtp_packets.set(publisher.received_packets);
            let lost = home.input.lost().saturating_sub(publisher.lost_before);
            counts.inbound_rtp_packets_lost.set(lost);
            counts.inbound_rtp_packets_jitter.set(home.input.jitter());
        }
    }
}

impl super::sessions::Session {
    /// What the control core is told of its state.
    pub(crate) fn activity(&self) -> (records::SessionState, Option<records::Transport>) {
        let Control::Rtsp(machine) = &self.control else {
            let state = match (&self.publisher, self.reader) {
                (Some(_), _) => records::SessionState::Publish,
                (None, Some(_)) => records::SessionState::Read,
                (None, None) => records::SessionState::Idle,
            };
            return (state, Some(records::Transport::Tcp));
        };
        let state = match machine.state() {
            machine::State::Playing => records::SessionState::Read,
            machine::State::Recording => records::SessionState::Publish,
            _ => records::SessionState::Idle,
        };
        let transport = machine.tracks().next().map(|(_, transport)| match transport {
            TrackTransport::Udp { .. } => records::Transport::Udp,
            TrackTransport::Interleaved { .. } => records::Transport::Tcp,
        });
        (state, transport)
    }
}

#[cfg(test)]
mod tests {
    use crate::mesh::ShardId;
    use crate::records::Id;
    use crate::shard::SessionKey;
    use slotmap::SlotMap;

    #[test]
    fn an_id_finds_its_shard_and_key_and_survives_text() {
        let mut map: SlotMap<SessionKey, ()> = SlotMap::with_key();
        for _ in 0..1000 {
            let key = map.insert(());
            let id = Id::new(ShardId(200), key);
            assert_eq!((id.shard(), id.key::<SessionKey>()), (ShardId(200), key));
            let text = id.to_string();
            assert_eq!(text.parse(), Ok(id));
            assert_eq!(text.as_bytes()[14], b'8', "{text}");
            map.remove(key);
        }
        for bad in ["", "x", "00000000-0000-0000-0000-00000000000", "00000000-0000-0000-0000-00000000000g"] {
            assert!(bad.parse::<Id>().is_err(), "{bad}");
        }
    }
}
