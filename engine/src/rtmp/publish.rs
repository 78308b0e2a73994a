//! Publishers: from messages to tracks and units.

use super::Publishing;
use crate::limits;
use crate::modules::{Rejection, RejectionKind, Request};
use crate::shard::machine::Machine;
use crate::shard::sessions::{Control, Publisher};
use crate::shard::{ConnectionKey, SessionKey, Shard};
use crate::stream::{CloseReason, Form};
use bytes::Bytes;
use headwater_protocols::flv::{self, Demuxer, Kind};
use headwater_protocols::track::Elementary;
use std::sync::Arc;

impl Shard {
    /// `publish` to a path that was claimed for this shard: opens the session. The path is live when its tracks are known.
    pub(super) fn begin_publishing(
        &mut self,
        key: ConnectionKey,
        request: &Request,
    ) -> Result<(), Rejection> {
        let publisher = Box::new(Publisher::new(Vec::new(), self.state.now));
        let opened = self.state.open_session(key, Control::Connection, request, None, Some(publisher));
        let Some(session) = opened else {
            self.state.registry.release(&request.path);
            return Err(Rejection::new(RejectionKind::Limit, "the connection has a session already"));
        };
        if let Some(connection) = self.state.connections.get_mut(key)
            && let Machine::Rtmp(rtmp) = &mut connection.machine
        {
            rtmp.publishing = Some(Box::new(Publishing { demuxer: Demuxer::new(), detecting_since: None }));
            rtmp.server.accept();
        }
        self.transmit(key);
        self.state.tell_state(session);
        Ok(())
    }

    /// One message of a publisher.
    pub(super) fn rtmp_media(&mut self, key: ConnectionKey, kind: Kind, timestamp_ms: u32, payload: Bytes) {
        let now = self.state.now;
        let Some(connection) = self.state.connections.get_mut(key) else { return };
        let Some(session_key) = connection.sessions.first().copied() else { return };
        let Machine::Rtmp(rtmp) = &mut connection.machine else { return };
        let Some(publishing) = &mut rtmp.publishing else { return };
        publishing.detecting_since.get_or_insert(now);
        let bytes = payload.len() as u64;
        let result = publishing.demuxer.message(kind, timestamp_ms, payload);
        self.note_media(session_key, bytes, result.is_err());
        match result {
            Ok(events) => self.take_flv(key, session_key, events),
            Err(error) => {
                let errors = self.state.counters.ingest_packets_invalid.value();
                if errors.is_power_of_two() {
                    tracing::debug!(session = ?session_key, "RTMP message refused: {error}");
                }
            }
        }
    }

    /// Counts what came of a publisher.
    fn note_media(&mut self, key: SessionKey, bytes: u64, in_error: bool) {
        let state = &mut self.state;
        let Some(publisher) = state.sessions.get_mut(key).and_then(|s| s.publisher.as_mut()) else { return };
        publisher.received_bytes += bytes;
        state.counters.ingest_bytes.add(bytes);
        if in_error {
            publisher.packets_in_error += 1;
            state.counters.ingest_packets_invalid.add(1);
        } else {
            publisher.last_media = state.now;
            publisher.received_packets += 1;
            state.counters.ingest_packets.add(1);
        }
    }

    fn take_flv(&mut self, key: ConnectionKey, session: SessionKey, events: Vec<flv::Event>) {
        for event in events {
            match event {
                flv::Event::Tracks(tracks) => {
                    if !self.rtmp_tracks(key, session, tracks) {
                        return;
                    }
                }
                flv::Event::Unit { track, unit } => {
                    let state = &mut self.state;
                    let Some(stream_key) = state.sessions.get(session).and_then(|s| s.stream) else { return };
                    let home = state.streams.get_mut(stream_key).and_then(|stream| stream.home());
                    let Some(home) = home.filter(|home| home.publisher == Some(session)) else { return };
                    let Some(units) = home.input.units() else { return };
                    units.push(state.now, track, unit);
                    let full = home.input.is_full();
                    state.mark_ingesting(stream_key);
                    if full {
                        state.finish_batch(stream_key);
                    }
                }
                flv::Event::Ignored { kind, reason, .. } => {
                    let id = self.state.sessions.get(session).map(|session| session.record.id.to_string());
                    let id = id.unwrap_or_default();
                    tracing::warn!(session = %id, ?kind, "a track of the publisher is passed over: {reason}");
                }
            }
        }
    }

    /// The publisher's tracks are known: the path is live. Returns whether it is.
    fn rtmp_tracks(&mut self, key: ConnectionKey, session_key: SessionKey, tracks: Vec<Elementary>) -> bool {
        let now = self.state.now;
        let Some(connection) = self.state.connections.get_mut(key) else { return false };
        if let Machine::Rtmp(rtmp) = &mut connection.machine
            && let Some(publishing) = &mut rtmp.publishing
        {
            publishing.detecting_since = None;
        }
        let Some(session) = self.state.sessions.get_mut(session_key) else { return false };
        let path = Arc::clone(&session.path);
        if let Some(publisher) = &mut session.publisher {
            publisher.tracks = tracks.iter().map(|one| one.track.clone()).collect();
        }
        let names: Vec<String> = tracks.iter().map(|one| one.track.codec.to_string()).collect();
        let published = match self.state.publish(&path, Form::Units, tracks, session_key) {
            Ok(published) => published,
            Err(rejection) => {
                self.close_session_and_connection(session_key, &rejection.reason);
                return false;
            }
        };
        if let Some(session) = self.state.sessions.get_mut(session_key) {
            session.stream = Some(published.stream);
            if let Some(publisher) = &mut session.publisher {
                publisher.last_media = now;
            }
            tracing::info!(
                protocol = session.protocol(),
                session = %session.record.id,
                peer = %session.peer,
                path = %session.path,
                transport = session.transport(),
                tracks = %names.join(", "),
                "publishing"
            );
        }
        if let Some(ended) = published.ended {
            self.close_stream(ended, CloseReason::TracksChanged);
        }
        if let Some(replaced) = published.replaced {
            self.close_session_and_connection(replaced, "replaced by another publisher");
        }
        self.state.tell_state(session_key);
        true
    }

    /// Publishers whose tracks should be known by now go on with those that are.
    pub(crate) fn end_track_detection(&mut self) {
        let now = self.state.now;
        let is_late = |connection: &crate::shard::connection::Connection| match &connection.machine {
            Machine::Rtmp(rtmp) => rtmp
                .publishing
                .as_ref()
                .and_then(|publishing| publishing.detecting_since)
                .is_some_and(|since| now.saturating_duration_since(since) >= limits::TRACK_DETECTION),
            _ => false,
        };
        let late: Vec<_> =
            self.state.connections.iter().filter(|(_, c)| is_late(c)).map(|(key, _)| key).collect();
        for key in late {
            let Some(connection) = self.state.connections.get_mut(key) else { continue };
            let Some(session) = connection.sessions.first().copied() else { continue };
            let Machine::Rtmp(rtmp) = &mut connection.machine else { continue };
            let Some(publishing) = &mut rtmp.publishing else { continue };
            publishing.detecting_since = None;
            match publishing.demuxer.detection_over() {
                Ok(events) => self.guarded(key, |shard| shard.take_flv(key, session, events)),
                Err(error) => self.close_session_and_connection(session, &error.to_string()),
            }
        }
    }
}
