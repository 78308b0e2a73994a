//! From the engine's events to the live world, and to what listeners are told.
//!
//! Events come in the order they happened. What an event names may still be unknown here, after events were dropped;
//! then the event is passed over, and the census that follows sets things right.

use super::{ConnectionEntry, Happening, HomeEntry, Inner, Publisher, SessionView};
use headwater_engine::records::{Census, Event, Id, Muxer, SessionEntry, SessionState, Stream, Transport};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

impl Inner {
    pub(super) fn apply(&mut self, event: Event, told: &mut Vec<Happening>) {
        match event {
            Event::ConnectionOpened(record) => {
                let shard = record.id.shard_index();
                let entry = ConnectionEntry { record, sessions: Vec::new(), shard };
                told.push(Happening::ConnectionOpened(entry.view()));
                self.connections.insert(entry.record.id, entry);
            }
            Event::ConnectionMoved { id, shard } => {
                if let Some(entry) = self.connections.get_mut(&id) {
                    entry.shard = shard;
                }
            }
            Event::ConnectionClosed { id, reason } => self.close_connection(id, reason, told),
            Event::SessionOpened { session, connection } => {
                let entry = SessionEntry { session, connection, state: SessionState::Idle, transport: None };
                self.open_session(entry, told);
            }
            Event::SessionMoved { id, connection } => self.move_session(id, connection),
            Event::SessionChanged { id, state, transport } => {
                self.change_session(id, state, transport, "paused", told);
            }
            Event::SessionClosed { id, reason } => self.close_session(id, &reason, told),
            Event::StreamOpened(stream) => self.open_stream(stream, told),
            Event::StreamPublisher { id, session } => self.change_publisher(id, session, told),
            Event::StreamClosed { id, shard } => self.close_stream(id, shard, told),
            Event::MuxerOpened(muxer) => drop(self.muxers.insert(muxer.stream, muxer)),
            Event::MuxerClosed { stream } => drop(self.muxers.remove(&stream)),
            Event::Census(census) => self.take_census(*census, told),
            Event::Question(_) => {}
        }
    }

    fn close_connection(&mut self, id: Id, reason: Box<str>, told: &mut Vec<Happening>) {
        if let Some(entry) = self.connections.remove(&id) {
            told.push(Happening::ConnectionClosed { connection: entry.view(), reason });
        }
    }

    fn open_session(&mut self, entry: SessionEntry, told: &mut Vec<Happening>) {
        let id = entry.session.id;
        let record = entry.session;
        let view = SessionView { record, state: SessionState::Idle, transport: None, connection: None };
        self.sessions.insert(id, view);
        self.move_session(id, entry.connection);
        self.change_session(id, entry.state, entry.transport, "", told);
    }

    fn move_session(&mut self, id: Id, connection: Option<Id>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let before = std::mem::replace(&mut session.connection, connection);
        if let Some(before) = before.and_then(|before| self.connections.get_mut(&before)) {
            before.sessions.retain(|session| *session != id);
        }
        if let Some(entry) = connection.and_then(|connection| self.connections.get_mut(&connection)) {
            entry.sessions.insert(0, id);
            entry.shard = id.shard_index();
        }
    }

    fn change_session(
        &mut self,
        id: Id,
        state: SessionState,
        transport: Option<Transport>,
        reason: &str,
        told: &mut Vec<Happening>,
    ) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let before = session.clone();
        (session.state, session.transport) = (state, transport);
        if before.state == state {
            return;
        }
        let path = Arc::clone(&session.record.path);
        let after = session.clone();
        if before.state == SessionState::Read
            && let Some(readers) = self.readers.get_mut(&path)
        {
            readers.remove(&id);
            if readers.is_empty() {
                self.readers.remove(&path);
            }
        }
        if before.state != SessionState::Idle {
            told.push(Happening::SessionEnded { session: before, reason: reason.into() });
        }
        if state == SessionState::Read {
            self.readers.entry(path).or_default().insert(id);
        }
        if state != SessionState::Idle {
            told.push(Happening::SessionStarted(after));
        }
    }

    fn close_session(&mut self, id: Id, reason: &str, told: &mut Vec<Happening>) {
        self.change_session(id, SessionState::Idle, None, reason, told);
        self.move_session(id, None);
        self.sessions.remove(&id);
    }

    fn open_stream(&mut self, stream: Arc<Stream>, told: &mut Vec<Happening>) {
        self.stream_paths.insert(stream.id, Arc::clone(&stream.path));
        let entry = self.paths.entry(Arc::clone(&stream.path)).or_default();
        if !stream.home {
            entry.replicas.push(stream);
            return;
        }
        // Its successor is there: the old stream has only its last bytes left.
        entry.homes.iter_mut().for_each(|home| home.leave(told));
        entry.homes.push(HomeEntry { record: stream, announced: false, publisher: None, last: None });
    }

    fn change_publisher(&mut self, stream: u64, session: Option<Id>, told: &mut Vec<Happening>) {
        let publisher = session.and_then(|id| self.sessions.get(&id)).map(|session| Publisher {
            party: session.party(),
            query: session.record.query.clone(),
            since: SystemTime::now(),
        });
        let entry = self.stream_paths.get(&stream).and_then(|path| self.paths.get_mut(path));
        let homes = entry.map(|entry| &mut entry.homes).into_iter().flatten();
        if let Some(home) = homes.into_iter().find(|home| home.record.id == stream) {
            home.change_publisher(publisher, told);
        }
    }

    fn close_stream(&mut self, id: u64, shard: u8, told: &mut Vec<Happening>) {
        let Some(path) = self.stream_paths.get(&id).cloned() else { return };
        let Some(entry) = self.paths.get_mut(&path) else { return };
        let is = |stream: &Stream| stream.id == id && stream.shard == shard;
        entry.replicas.retain(|stream| !is(stream));
        if let Some(index) = entry.homes.iter().position(|home| is(&home.record)) {
            entry.homes.remove(index).leave(told);
            self.muxers.remove(&id);
        }
        let of_id = |stream: &Stream| stream.id == id;
        if !entry.replicas.iter().any(|s| of_id(s)) && !entry.homes.iter().any(|h| of_id(&h.record)) {
            self.stream_paths.remove(&id);
        }
        if entry.homes.is_empty() && entry.replicas.is_empty() {
            self.paths.remove(&path);
        }
    }

    /// Sets right what dropped events have left wrong of one shard.
    fn take_census(&mut self, census: Census, told: &mut Vec<Happening>) {
        let Census { shard, connections, sessions, streams, muxers } = census;
        let present: HashSet<Id> = connections.iter().map(|record| record.id).collect();
        let gone: Vec<Id> = self
            .connections
            .values()
            .filter(|entry| entry.shard == shard && !present.contains(&entry.record.id))
            .map(|entry| entry.record.id)
            .collect();
        for record in connections {
            if !self.connections.contains_key(&record.id) {
                self.apply(Event::ConnectionOpened(record), told);
            }
        }
        let present: HashMap<Id, SessionEntry> =
            sessions.into_iter().map(|entry| (entry.session.id, entry)).collect();
        let ended: Vec<Id> = self
            .sessions
            .keys()
            .filter(|id| id.shard_index() == shard && !present.contains_key(*id))
            .copied()
            .collect();
        for id in ended {
            self.close_session(id, "its end was not told", told);
        }
        for (id, entry) in present {
            if self.sessions.contains_key(&id) {
                self.move_session(id, entry.connection);
                self.change_session(id, entry.state, entry.transport, "", told);
            } else {
                self.open_session(entry, told);
            }
        }
        for id in gone {
            self.close_connection(id, "its end was not told".into(), told);
        }
        self.take_census_of_streams(shard, streams, told);
        self.take_census_of_muxers(shard, muxers);
    }

    /// A muxer lives where its stream has its home; one without a stream is gone.
    fn take_census_of_muxers(&mut self, shard: u8, muxers: Vec<Arc<Muxer>>) {
        let homes = self.paths.values().flat_map(|entry| &entry.homes).map(|home| &home.record);
        let elsewhere: HashSet<u64> =
            homes.filter(|stream| stream.shard != shard).map(|stream| stream.id).collect();
        self.muxers.retain(|stream, _| elsewhere.contains(stream));
        self.muxers.extend(muxers.into_iter().map(|muxer| (muxer.stream, muxer)));
    }

    fn take_census_of_streams(
        &mut self,
        shard: u8,
        streams: Vec<(Arc<Stream>, Option<Id>)>,
        told: &mut Vec<Happening>,
    ) {
        let present: HashSet<u64> = streams.iter().map(|(stream, _)| stream.id).collect();
        let known: HashSet<u64> = self
            .paths
            .values()
            .flat_map(|entry| entry.homes.iter().map(|home| &home.record).chain(&entry.replicas))
            .filter(|stream| stream.shard == shard)
            .map(|stream| stream.id)
            .collect();
        for id in known.difference(&present) {
            self.close_stream(*id, shard, told);
        }
        for (stream, publisher) in streams {
            let (id, home) = (stream.id, stream.home);
            if !known.contains(&id) {
                self.open_stream(stream, told);
            }
            if home {
                self.change_publisher(id, publisher, told);
            }
        }
    }
}

impl HomeEntry {
    fn change_publisher(&mut self, publisher: Option<Publisher>, told: &mut Vec<Happening>) {
        let same = |a: &Publisher, b: &Publisher| a.party == b.party;
        match (&self.publisher, &publisher) {
            (None, None) => return,
            (Some(before), Some(after)) if same(before, after) => return,
            _ => {}
        }
        self.go_offline(told);
        let Some(publisher) = publisher else { return };
        self.last = Some(publisher.clone());
        self.publisher = Some(publisher);
        let (path, source, query) = self.names();
        if !std::mem::replace(&mut self.announced, true) {
            let (path, source, query) = self.names();
            told.push(Happening::PathAvailable { path, source, query });
        }
        told.push(Happening::PathOnline { path, source, query });
    }

    fn go_offline(&mut self, told: &mut Vec<Happening>) {
        if self.publisher.take().is_some() {
            let (path, source, query) = self.names();
            told.push(Happening::PathOffline { path, source, query });
        }
    }

    /// The stream ends.
    fn leave(&mut self, told: &mut Vec<Happening>) {
        self.go_offline(told);
        if std::mem::replace(&mut self.announced, false) {
            let (path, source, query) = self.names();
            told.push(Happening::PathUnavailable { path, source, query });
        }
    }

    fn names(&self) -> (Arc<str>, Option<super::Party>, Box<str>) {
        let last = self.last.clone();
        let query = last.as_ref().map(|publisher| publisher.query.clone()).unwrap_or_default();
        (Arc::clone(&self.record.path), last.map(|publisher| publisher.party), query)
    }
}
