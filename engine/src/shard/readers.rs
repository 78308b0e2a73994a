//! Readers on connections: RTMP players and endless streams over HTTP. What they are sent is the form's log as it lies
//! there, so a reader is a cursor and a descriptor; RTSP readers, which have tracks, channels and datagrams, are made by
//! [`crate::rtsp`].

use super::sessions::Control;
use super::{ConnectionKey, SessionKey, State};
use crate::limits;
use crate::modules::{Rejection, RejectionKind, Request};
use crate::stream::batch::Mask;
use crate::stream::form::Unfit;
use crate::stream::reader::{Flow, Sink};
use crate::stream::{Description, Reader, ReaderKey, StreamKey};
use bytes::Bytes;
use headwater_protocols::track::Skipped;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl State {
    /// Takes one of the places that a path has for readers (`maxReaders`); it is given back by the session's end.
    ///
    /// # Errors
    /// All places are taken.
    pub(crate) fn reserve_reader(
        &self,
        request: &Request,
        description: &Description,
    ) -> Result<(), Rejection> {
        let max = request.settings.as_ref().map_or(0, |settings| settings.readers_max);
        if description.readers.fetch_add(1, Ordering::Relaxed) >= max && max > 0 {
            description.readers.fetch_sub(1, Ordering::Relaxed);
            let reason = format!("path \"{}\" has its maximum of {max} readers (maxReaders)", request.path);
            return Err(Rejection::new(RejectionKind::Limit, reason));
        }
        Ok(())
    }

    /// The rejection of a reader that no track of the path fits.
    pub(crate) fn unfit(&self, request: &Request, unfit: &Unfit) -> Rejection {
        self.counters.readers_unfit.add(1);
        let reason =
            format!("path \"{}\" cannot be read over {}: {}", request.path, request.protocol, unfit.reason);
        Rejection::new(RejectionKind::NotFound, reason)
    }

    /// Opens the session of a reader whose connection is all it has.
    ///
    /// # Errors
    /// The path has its maximum of readers, or the connection has a session already.
    pub(crate) fn open_reader(
        &mut self,
        key: ConnectionKey,
        request: &Request,
        stream: StreamKey,
        skipped: Vec<Skipped>,
    ) -> Result<SessionKey, Rejection> {
        let gone = || Rejection::new(RejectionKind::Unavailable, "the stream is gone");
        let found = self.streams.get(stream).ok_or_else(gone)?;
        if found.readers.len() >= limits::READERS_PER_STREAM_MAX {
            let reason = format!("path \"{}\" has its maximum of readers on this shard", request.path);
            return Err(Rejection::new(RejectionKind::Limit, reason));
        }
        let description = Arc::clone(&found.description);
        self.reserve_reader(request, &description)?;
        let Some(session) = self.open_session(key, Control::Connection, request, Some(stream), None) else {
            description.readers.fetch_sub(1, Ordering::Relaxed);
            return Err(Rejection::new(RejectionKind::Limit, "the connection has a session already"));
        };
        self.note_skipped(session, &description, skipped);
        Ok(session)
    }

    /// Logs, counts and records the tracks that a reader has to do without.
    fn note_skipped(&mut self, session: SessionKey, description: &Description, skipped: Vec<Skipped>) {
        let Some(session) = self.sessions.get(session) else { return };
        for Skipped { track, reason } in &skipped {
            self.counters.tracks_skipped.add(1);
            let codec = description.tracks.get(*track).map(|track| track.codec.to_string());
            tracing::warn!(
                protocol = session.protocol(),
                session = %session.record.id,
                path = %session.path,
                "skipping track {} ({}): {reason}",
                track + 1,
                codec.unwrap_or_default()
            );
        }
        let _ = session.record.skipped.set(skipped.into_boxed_slice());
    }

    /// Sends a reader its greeting and puts it into its stream at the last random access point.
    pub(crate) fn start_on_connection(&mut self, key: SessionKey, greeting: Bytes) {
        let Some(connection) = self.sessions.get(key).and_then(|session| session.connection) else { return };
        if self.send(connection, greeting).is_err() {
            // The next send finds out again, and closes it.
            return;
        }
        let Some(found) = self.connections.get(connection) else { return };
        let sink = if found.is_secure() {
            Sink::Tls { connection, channels: None }
        } else {
            Sink::Tcp { fd: found.fd(), connection, channels: None }
        };
        self.start_reader_at(key, sink);
    }

    /// Puts a reader into its stream at the last random access point.
    pub(crate) fn start_reader_at(&mut self, key: SessionKey, sink: Sink) {
        let now = self.now;
        let Some(stream_key) = self.sessions.get(key).and_then(|session| session.stream) else { return };
        let Some(stream) = self.streams.get_mut(stream_key) else { return };
        let (cursor, flow) = match stream.log.random_access() {
            Some(position) => (position, Flow::Flowing),
            None => (stream.log.start(), Flow::Waiting { since: now }),
        };
        let reader = stream.readers.insert(Reader::new(key, sink, Mask::all(), cursor, flow));
        if let Some(session) = self.sessions.get_mut(key) {
            session.reader = Some(reader);
            tracing::info!(
                protocol = session.protocol(),
                session = %session.record.id,
                peer = %session.peer,
                path = %session.path,
                transport = session.transport(),
                "reading"
            );
        }
        self.block_if_full(key);
        self.go_on_at(stream_key, now);
    }

    /// The reader of the only session on a connection, with its stream.
    pub(crate) fn reader_of(&self, connection: ConnectionKey) -> Option<(StreamKey, ReaderKey)> {
        let session = self.connections.get(connection)?.sessions.first()?;
        let session = self.sessions.get(*session)?;
        Some((session.stream?, session.reader?))
    }
}
