//! Requests on their way: a connection's shard asks the path's home shard, which is often the same one.

use super::Session;
use super::muxing::Muxing;
use crate::http::ExchangeId;
use crate::limits;
use crate::mesh::{Message, ShardId};
use crate::records;
use crate::shard::{ConnectionKey, Shard, State};
use crate::stream::StreamId;
use crate::web::Facts;
use headwater_protocols::hls;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// What became of a request.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// An answer of the muxer, but never one to wait.
    Answered { response: hls::Response, muxer: Arc<records::Muxer> },
    /// The stream is gone, or cannot be muxed.
    Gone { reason: Box<str> },
    /// What was asked for did not come in time.
    TimedOut,
}

/// Where an outcome goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Here(u64),
    To(ShardId, u64),
}

/// A request of a connection here that waits for its outcome.
pub(crate) struct Pending {
    pub(crate) connection: ConnectionKey,
    pub(crate) exchange: ExchangeId,
    pub(crate) facts: Facts,
    pub(crate) request: hls::Request,
    pub(crate) session: Option<Arc<Session>>,
    /// Anybody may have the answer, so shared caches may keep it.
    pub(crate) public: bool,
    since: Instant,
}

impl Pending {
    pub(crate) fn new(
        connection: ConnectionKey,
        exchange: ExchangeId,
        facts: Facts,
        request: hls::Request,
        session: Option<Arc<Session>>,
        public: bool,
        now: Instant,
    ) -> Pending {
        Pending { connection, exchange, facts, request, session, public, since: now }
    }
}

/// The requests of one shard's connections.
#[derive(Default)]
pub(crate) struct Asks {
    next: u64,
    pending: HashMap<u64, Pending>,
    /// Outcomes to be answered.
    ready: Vec<(u64, Outcome)>,
}

impl Asks {
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }
}

impl State {
    /// Asks the muxer of a stream. `suffix` goes behind the URIs of its playlists.
    pub(crate) fn ask_muxer(&mut self, stream: StreamId, home: ShardId, suffix: Box<str>, pending: Pending) {
        let ticket = self.hls_asks.next;
        self.hls_asks.next += 1;
        let request = pending.request;
        self.hls_asks.pending.insert(ticket, pending);
        if home == self.id {
            self.muxer_request(stream, request, suffix, Reply::Here(ticket));
        } else {
            let message = Message::Mux { stream, request, suffix, reply: Reply::To(self.id, ticket) };
            self.mesh.send(home, message, &self.counters);
        }
    }

    /// Sends an outcome to whoever asked.
    pub(crate) fn reply(&mut self, reply: Reply, outcome: Outcome) {
        match reply {
            Reply::Here(ticket) => self.hls_asks.ready.push((ticket, outcome)),
            Reply::To(shard, ticket) => {
                let message = Message::Muxed { ticket, outcome: Box::new(outcome) };
                self.mesh.send(shard, message, &self.counters);
            }
        }
    }

    /// An outcome from another shard.
    pub(crate) fn muxed(&mut self, ticket: u64, outcome: Outcome) {
        self.hls_asks.ready.push((ticket, outcome));
    }

    /// A request for a muxer whose stream is at home here.
    pub(crate) fn muxer_request(
        &mut self,
        stream: StreamId,
        request: hls::Request,
        suffix: Box<str>,
        reply: Reply,
    ) {
        if let Err(reason) = self.muxing(stream) {
            return self.reply(reply, Outcome::Gone { reason });
        }
        let now = self.now;
        let Some(muxing) = self.muxings.get_mut(&stream) else { return };
        if let Some(outcome) = muxing.ask(now, request, suffix, reply) {
            self.reply(reply, outcome);
        }
    }

    /// Gives up what has waited too long: for a muxer here, and for another shard that does not answer.
    pub(crate) fn expire_hls(&mut self) {
        let now = self.now;
        let late: Vec<Reply> = self.muxings.values_mut().flat_map(|muxing| muxing.expire(now)).collect();
        for reply in late {
            self.reply(reply, Outcome::TimedOut);
        }
        let patience = limits::HLS_WAIT * 2;
        let silent: Vec<u64> = self
            .hls_asks
            .pending
            .iter()
            .filter(|(_, pending)| now.saturating_duration_since(pending.since) >= patience)
            .map(|(ticket, _)| *ticket)
            .collect();
        self.hls_asks.ready.extend(silent.into_iter().map(|ticket| (ticket, Outcome::TimedOut)));
    }
}

impl Shard {
    /// Answers the requests whose outcome is there.
    pub(crate) fn answer_players(&mut self) {
        while self.state.hls_asks.has_ready() {
            for (ticket, outcome) in std::mem::take(&mut self.state.hls_asks.ready) {
                let Some(pending) = self.state.hls_asks.pending.remove(&ticket) else { continue };
                let key = pending.connection;
                self.guarded(key, |shard| {
                    shard.answer_player(pending, outcome);
                    shard.drive(key);
                });
            }
        }
    }
}

/// The muxers of a shard's home streams.
pub(crate) type Muxings = HashMap<StreamId, Box<Muxing>>;
