//! A shard's streams: attaching to them, publishing into them, crossing the mesh, flushing.

use super::{ConnectionKey, SessionKey, Shard, State};
use crate::counters::Counter;
use crate::mesh::{Message, ShardId};
use crate::modules::{Rejection, RejectionKind};
use crate::records::{self, Event};
use crate::settings::Source;
use crate::stream::flush::{self, Flushed};
use crate::stream::log::Log;
use crate::stream::{
    Batch, CloseReason, Description, Form, Home, Input, Replica, Side, Stream, StreamId, StreamKey,
};
use crate::{limits, rtsp};
use headwater_protocols::track::{Elementary, Track};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What became of an attempt to read a path.
pub(crate) enum Attached {
    /// The stream is here, and its log with it.
    Ready(StreamKey),
    /// The stream's log is on its way; the connection is resumed when it arrives.
    Waiting,
    Nobody,
}

impl State {
    /// Finds the stream of `path` on this shard, or makes a replica of it.
    pub(crate) fn attach(&mut self, path: &Arc<str>, connection: ConnectionKey) -> Attached {
        let Some(live) = self.registry.live(path) else { return Attached::Nobody };
        if let Some(key) = self.streams_by_id.get(&live.stream).copied() {
            return match self.streams[key].replica() {
                Some(replica) if !replica.ready => {
                    replica.waiters.push(connection);
                    Attached::Waiting
                }
                _ => Attached::Ready(key),
            };
        }
        if live.home == self.id {
            // Listed but not here: the publisher is just leaving.
            return Attached::Nobody;
        }
        let replica =
            Replica { home: live.home, ready: false, idle_since: Some(self.now), waiters: vec![connection] };
        self.add_stream(live.stream, path, live.description, Side::Replica(replica));
        let subscribe = Message::Subscribe { stream: live.stream, from: self.id };
        self.mesh.send(live.home, subscribe, &self.counters);
        Attached::Waiting
    }

    /// The delivery window of a path.
    pub(crate) fn window(&self, path: &str) -> Duration {
        self.settings.path(path).map_or(Duration::ZERO, |settings| settings.delivery_window)
    }

    fn add_stream(
        &mut self,
        id: StreamId,
        path: &Arc<str>,
        description: Arc<Description>,
        side: Side,
    ) -> StreamKey {
        let window = self.window(path);
        let record = Arc::new(records::Stream {
            id: id.0,
            path: Arc::clone(path),
            shard: self.id.0,
            home: matches!(side, Side::Home(_)),
            created: SystemTime::now(),
            tracks: description.tracks.clone(),
            inbound_bytes: Counter::default(),
            inbound_frames_in_error: Counter::default(),
            outbound_bytes: Counter::default(),
            readers: Counter::default(),
            log_bytes: Counter::default(),
        });
        let told = Arc::clone(&record);
        let log = Log::new(self.settings.bounds.stream_log_bytes);
        let form = description.form;
        let stream = Stream::new(record, description, form, side, log, window, self.now);
        let key = self.streams.insert(stream);
        self.tell(Event::StreamOpened(told));
        self.streams_by_id.insert(id, key);
        self.streams_by_path.insert(Arc::clone(path), key);
        key
    }

    /// Forgets a stream. Its readers must be gone.
    pub(super) fn remove_stream(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.remove(key) else { return };
        debug_assert!(stream.readers.is_empty() && stream.forms.is_empty());
        if let Side::Form(form) = &stream.side {
            if let Some(other) = self.streams.get_mut(form.of) {
                other.forms.retain(|form| *form != key);
            }
            return;
        }
        self.streams_by_id.remove(&stream.id);
        self.tell(Event::StreamClosed { id: stream.id.0, shard: self.id.0 });
        if self.streams_by_path.get(&stream.path) == Some(&key) {
            self.streams_by_path.remove(&stream.path);
        }
        match stream.side {
            Side::Home(_) => self.registry.release(&stream.path),
            Side::Form(_) => {}
            Side::Replica(replica) => {
                for waiter in replica.waiters {
                    self.resume(waiter);
                }
            }
        }
    }

    /// Notes that something new may be due for every reader of a stream.
    pub(crate) fn mark_dirty(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.due = true;
        }
        self.list_dirty(key);
    }

    /// Has a stream looked at when its next flush is due.
    pub(crate) fn list_dirty(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(key)
            && !std::mem::replace(&mut stream.dirty, true)
        {
            self.dirty.push(key);
        }
    }

    /// Has the readers of a stream that are behind looked at from `at` on, whatever its delivery window.
    pub(crate) fn go_on_at(&mut self, key: StreamKey, at: std::time::Instant) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.go_on_at = Some(stream.go_on_at.map_or(at, |other| other.min(at)));
        }
        self.list_dirty(key);
    }

    /// Notes that a stream has a batch under way.
    pub(crate) fn mark_ingesting(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(key)
            && !std::mem::replace(&mut stream.ingesting, true)
        {
            self.ingesting.push(key);
        }
    }

    /// Ends the batches under way and hands them to this shard's log and to the shards that have readers.
    pub(crate) fn finish_batches(&mut self) {
        while let Some(key) = self.ingesting.pop() {
            if let Some(stream) = self.streams.get_mut(key) {
                stream.ingesting = false;
            }
            self.finish_batch(key);
        }
    }

    pub(crate) fn finish_batch(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let id = stream.id;
        let Side::Home(home) = &mut stream.side else { return };
        if !home.input.has_batch() {
            return;
        }
        let batch = home.input.finish(self.now, &self.counters);
        for shard in &home.subscribers {
            let message = Message::Batch { stream: id, batch: Arc::clone(&batch) };
            self.mesh.send(*shard, message, &self.counters);
        }
        self.append(key, &batch);
    }

    /// A home of `path` on this shard for a publisher of `tracks`, who has claimed it: a new one, or the one that is
    /// there when the path's readers can go on with these tracks.
    ///
    /// Returns the publisher that was replaced, to be closed, and whether the old stream ended (its readers too).
    pub(crate) fn publish(
        &mut self,
        path: &Arc<str>,
        form: Form,
        announced: Vec<Elementary>,
        session: SessionKey,
    ) -> Result<Published, Rejection> {
        if self.settings.path(path).is_none_or(|settings| settings.source != Source::Publisher) {
            let reason = format!("path \"{path}\" is not configured for publishers any more");
            return Err(Rejection::new(RejectionKind::Invalid, reason));
        }
        let known = self.streams_by_path.get(path).copied().filter(|key| self.streams[*key].home().is_some());
        let Some(key) = known else {
            let key = self.new_home(path, form, announced, session)?;
            return Ok(Published { stream: key, replaced: None, ended: None });
        };
        let may_override = self.settings.path(path).is_some_and(|settings| settings.publisher_override);
        let stream = &mut self.streams[key];
        let tracks: Vec<Track> = announced.iter().map(|one| one.track.clone()).collect();
        let continues = stream.description.continues_with(form, &tracks);
        let description = Arc::clone(&stream.description);
        let id = stream.id;
        let Side::Home(home) = &mut stream.side else { unreachable!("known is a home") };
        if home.publisher.is_some() && !may_override {
            let reason = format!("someone is already publishing to path \"{path}\"");
            return Err(Rejection::new(RejectionKind::Conflict, reason));
        }
        let old = home.publisher;
        // The last of what it sent.
        old.into_iter().for_each(|old| self.refresh_session(old));
        let Some(stream) = self.streams.get_mut(key) else { unreachable!("known is a stream") };
        let Side::Home(home) = &mut stream.side else { unreachable!("known is a home") };
        let replaced = home.publisher.take();
        if replaced.is_some() {
            self.counters.publishers_replaced.add(1);
        }
        if !continues {
            let key_new = self.new_home(path, form, announced, session)?;
            return Ok(Published { stream: key_new, replaced, ended: Some(key) });
        }
        if replaced.is_none() {
            self.counters.publishers_returned.add(1);
        }
        home.input.change_publisher(&tracks);
        self.interrupt_muxer(id);
        let Some(stream) = self.streams.get_mut(key) else { unreachable!("known is a stream") };
        let Side::Home(home) = &mut stream.side else { unreachable!("known is a home") };
        home.publisher = Some(session);
        home.grace_until = None;
        self.registry.set_live(path, Some((id, description)));
        self.tell_publisher(key);
        Ok(Published { stream: key, replaced, ended: None })
    }

    fn new_home(
        &mut self,
        path: &Arc<str>,
        form: Form,
        announced: Vec<Elementary>,
        session: SessionKey,
    ) -> Result<StreamKey, Rejection> {
        // The stream's own claim, beside the session's: it outlives the session during the grace time.
        if self.registry.claim(path, self.id, usize::MAX) != crate::registry::Claim::Here {
            let reason = format!("path \"{path}\" has moved to another shard");
            return Err(Rejection::new(RejectionKind::Unavailable, reason));
        }
        let ssrcs = announced.iter().map(|_| rtsp::random::<u32>()).collect();
        let description = Arc::new(Description::new(path, form, announced, ssrcs));
        let id = self.registry.new_stream_id();
        let home = Home {
            publisher: Some(session),
            input: Input::new(form, &description),
            subscribers: Vec::new(),
            grace_until: None,
        };
        self.registry.set_live(path, Some((id, Arc::clone(&description))));
        let key = self.add_stream(id, path, description, Side::Home(Box::new(home)));
        self.tell_publisher(key);
        Ok(key)
    }

    /// The last packets of every reader here: a BYE per track (RFC 3550, section 6.6). Each shard tells its own, since
    /// what the home shard says may come too late.
    pub(crate) fn say_goodbye(&mut self) {
        let readers: Vec<_> =
            self.sessions.iter().filter(|(_, s)| s.reader.is_some()).map(|(key, _)| key).collect();
        for key in readers {
            let Some(session) = self.sessions.get(key) else { continue };
            let Some(stream) = session.stream.and_then(|stream| self.streams.get(stream)) else { continue };
            let tracks: Vec<usize> = session.tracks().map(|(track, _)| track).collect();
            let byes: Vec<_> = tracks
                .iter()
                .map(|track| (*track, crate::stream::ingest::bye(stream.description.ssrcs[*track])))
                .collect();
            for (track, bye) in byes {
                self.send_report(key, track, &bye);
            }
        }
    }
}

/// How [`State::publish`] went.
pub(crate) struct Published {
    pub(crate) stream: StreamKey,
    pub(crate) replaced: Option<SessionKey>,
    pub(crate) ended: Option<StreamKey>,
}

impl Shard {
    /// Sends what is due on every stream whose delivery window allows it.
    pub(crate) fn flush(&mut self) {
        let mut dirty = std::mem::take(&mut self.state.dirty);
        let mut later = Vec::new();
        for key in dirty.drain(..) {
            let Some(stream) = self.state.streams.get_mut(key) else { continue };
            match stream.flush_at() {
                Some(at) if at > self.state.now => later.push(key),
                Some(_) => {
                    stream.dirty = false;
                    self.flush_stream(key);
                }
                None => stream.dirty = false,
            }
        }
        // What became dirty meanwhile (a reader that was closed, say) is looked at in the next turn.
        later.append(&mut self.state.dirty);
        self.state.dirty = later;
    }

    /// Sends what is due on one stream now.
    fn flush_stream(&mut self, key: StreamKey) {
        let state = &mut self.state;
        let Some(stream) = state.streams.get_mut(key) else { return };
        let everyone = stream.due && stream.next_flush <= state.now;
        if everyone {
            stream.due = false;
            stream.next_flush = state.now + stream.window;
        }
        stream.go_on_at = None;
        let (connections, web, datagrams) = (&mut state.connections, &mut state.web, &state.datagrams);
        let flushed = flush::flush(stream, state.now, everyone, connections, web, datagrams, &state.counters);
        if state.streams.get(key).is_some_and(|stream| stream.due) {
            // The others still wait for the window to pass.
            state.list_dirty(key);
        }
        self.after_flush(key, flushed);
    }

    fn after_flush(&mut self, key: StreamKey, flushed: Flushed) {
        for (connection, rest) in flushed.blocked {
            self.state.block(connection, rest);
        }
        for connection in flushed.failed {
            self.close_connection(connection, "the connection failed");
        }
        for connection in flushed.pushed {
            self.guarded(connection, |shard| shard.drive(connection));
        }
        for ports in flushed.datagrams_blocked {
            self.state.watch_datagrams_writable(ports);
        }
        if let Some(at) = flushed.go_on_at {
            self.state.go_on_at(key, at);
        }
    }

    pub(crate) fn mesh_message(&mut self, message: Message) {
        match message {
            Message::Batch { stream, batch } => self.state.replicate(stream, &batch),
            Message::Subscribe { stream, from } => self.state.subscribe(stream, from),
            Message::Unsubscribe { stream, from } => {
                if let Some(stream) = self.state.stream_by_id(stream)
                    && let Some(home) = stream.home()
                {
                    home.subscribers.retain(|shard| *shard != from);
                }
            }
            Message::Subscribed { stream, reports } => self.state.subscribed(stream, &reports),
            Message::Closed { stream, reason } => {
                if let Some(key) = self.state.streams_by_id.get(&stream).copied() {
                    self.close_stream(key, reason);
                }
            }
            Message::Mux { stream, request, suffix, reply } => {
                self.state.muxer_request(stream, request, suffix, reply);
            }
            Message::Muxed { ticket, outcome } => self.state.muxed(ticket, *outcome),
            Message::PeerTaken { peer } => self.peer_taken(peer),
            Message::Adopt(moved) => self.adopt(*moved),
            Message::Datagram { peer, rtcp, payload } => self.datagram(peer, rtcp, &payload, true),
        }
    }

    /// Ends a stream: its readers here get what is due and a BYE and are closed, the shards with replicas are told.
    pub(crate) fn close_stream(&mut self, key: StreamKey, reason: CloseReason) {
        let Some(stream) = self.state.streams.get_mut(key) else { return };
        let id = stream.id;
        if let Some(home) = stream.home() {
            home.input.bye();
            self.state.finish_batch(key);
        }
        for form in self.state.streams.get(key).map_or_else(Vec::new, |stream| stream.forms.clone()) {
            self.close_stream(form, reason);
        }
        self.state.end_form(key);
        if let Some(stream) = self.state.streams.get_mut(key)
            && stream.home().is_some()
        {
            let path = Arc::clone(&stream.path);
            self.state.close_muxer(id, reason.text());
            self.close_players(&path, reason.text());
        }
        self.flush_to_the_end(key);
        let Some(stream) = self.state.streams.get_mut(key) else { return };
        if let Some(home) = stream.home() {
            for shard in std::mem::take(&mut home.subscribers) {
                self.state.mesh.send(shard, Message::Closed { stream: id, reason }, &self.state.counters);
            }
        }
        let readers: Vec<SessionKey> =
            self.state.streams[key].readers.values().map(|reader| reader.session).collect();
        self.state.counters.readers_orphaned.add(readers.len() as u64);
        for session in readers {
            self.close_session_and_connection(session, reason.text());
        }
        self.end_idle_attachments(key, reason);
        self.state.remove_stream(key);
    }

    /// Sends every reader all that is left, whatever its window and pace; who is full gets no more.
    fn flush_to_the_end(&mut self, key: StreamKey) {
        for _ in 0..limits::CLOSING_FLUSHES_MAX {
            let Some(stream) = self.state.streams.get_mut(key) else { return };
            for reader in stream.readers.values_mut() {
                reader.lift_pace();
            }
            (stream.due, stream.next_flush) = (true, self.state.now);
            self.flush_stream(key);
            if !self.state.streams.get(key).is_some_and(Stream::has_reader_behind) {
                return;
            }
        }
    }

    /// Sessions that set up tracks of the stream but do not play yet.
    fn end_idle_attachments(&mut self, key: StreamKey, reason: CloseReason) {
        let attached: Vec<_> = self
            .state
            .sessions
            .iter()
            .filter(|(_, session)| session.stream == Some(key) && session.publisher.is_none())
            .map(|(session, _)| session)
            .collect();
        for session in attached {
            self.close_session_and_connection(session, reason.text());
        }
    }
}

impl State {
    pub(crate) fn stream_by_id(&mut self, id: StreamId) -> Option<&mut Stream> {
        let key = self.streams_by_id.get(&id).copied()?;
        self.streams.get_mut(key)
    }

    fn replicate(&mut self, id: StreamId, batch: &Arc<Batch>) {
        self.counters.mesh_batches_received.add(1);
        let Some(key) = self.streams_by_id.get(&id).copied() else { return };
        let Some(stream) = self.streams.get_mut(key) else { return };
        if stream.replica().is_some() {
            self.append(key, batch);
        }
    }

    /// Another shard wants a stream of ours: it gets what the log holds, and every batch from now on.
    fn subscribe(&mut self, id: StreamId, from: ShardId) {
        let found = self.streams_by_id.get(&id).copied().filter(|key| self.streams[*key].home().is_some());
        let Some(key) = found else {
            let closed = Message::Closed { stream: id, reason: CloseReason::PublisherGone };
            self.mesh.send(from, closed, &self.counters);
            return;
        };
        let stream = &mut self.streams[key];
        for batch in stream.log.batches() {
            let message = Message::Batch { stream: id, batch: Arc::clone(batch) };
            self.mesh.send(from, message, &self.counters);
        }
        let reports = stream.reports().into();
        self.mesh.send(from, Message::Subscribed { stream: id, reports }, &self.counters);
        if let Some(home) = stream.home()
            && !home.subscribers.contains(&from)
        {
            home.subscribers.push(from);
        }
    }

    fn subscribed(&mut self, id: StreamId, reports: &[Option<bytes::Bytes>]) {
        let Some(stream) = self.stream_by_id(id) else { return };
        stream.take_reports(reports);
        let Some(replica) = stream.replica() else { return };
        replica.ready = true;
        for waiter in std::mem::take(&mut replica.waiters) {
            self.resume(waiter);
        }
    }

    /// Drops replicas that have had no reader for a while.
    pub(crate) fn drop_idle_replicas(&mut self) {
        let now = self.now;
        let mut idle = Vec::new();
        let attached: HashSet<StreamKey> =
            self.sessions.values().filter_map(|session| session.stream).collect();
        for (key, stream) in &mut self.streams {
            let unread = stream.readers.is_empty() && stream.forms.is_empty();
            let Side::Replica(replica) = &mut stream.side else { continue };
            if !unread || attached.contains(&key) || !replica.waiters.is_empty() {
                replica.idle_since = None;
            } else if now.saturating_duration_since(*replica.idle_since.get_or_insert(now))
                >= limits::REPLICA_LINGER
            {
                idle.push((key, stream.id, replica.home));
            }
        }
        self.drop_idle_forms(&attached);
        for (key, stream, home) in idle {
            self.mesh.send(home, Message::Unsubscribe { stream, from: self.id }, &self.counters);
            self.remove_stream(key);
        }
    }
}
