//! Requests that wait for the control core: who may do this?
//!
//! A module asks, suspends the request and is entered again when the answer is there. Bounded by
//! [`limits::QUESTIONS_MAX`]; an answer to a request that is gone is ignored.

use super::{ConnectionKey, State};
use crate::access::{self, Verdict};
use crate::limits;
use crate::records::{Event, Question, Ticket};
use std::collections::HashMap;

#[derive(Default)]
pub(crate) struct Questions {
    next: u64,
    asked: HashMap<u64, ConnectionKey>,
    /// The newest question of each connection that has asked, and its answer when there is one.
    waiting: HashMap<ConnectionKey, (u64, Option<Verdict>)>,
}

/// Where a connection's question stands.
pub(crate) enum Standing {
    NotAsked,
    Waiting,
    Answered(Verdict),
}

impl State {
    /// Puts a question to the control core. Returns false when too many wait.
    pub(crate) fn ask(&mut self, connection: ConnectionKey, request: access::Request) -> bool {
        if self.questions.asked.len() >= limits::QUESTIONS_MAX {
            return false;
        }
        let number = self.questions.next;
        let ticket = Ticket { shard: self.id.0, number };
        if !self.events.push(Event::Question(Box::new(Question { ticket, request }))) {
            return false;
        }
        self.questions.next += 1;
        self.told = true;
        self.forget_question(connection);
        self.questions.asked.insert(number, connection);
        self.questions.waiting.insert(connection, (number, None));
        true
    }

    /// Where the question of a connection stands; an answer is taken out.
    pub(crate) fn question(&mut self, connection: ConnectionKey) -> Standing {
        match self.questions.waiting.get_mut(&connection) {
            None => Standing::NotAsked,
            Some((_, None)) => Standing::Waiting,
            Some((_, answer)) => {
                let verdict = answer.take();
                self.questions.waiting.remove(&connection);
                verdict.map_or(Standing::NotAsked, Standing::Answered)
            }
        }
    }

    /// The control core has answered.
    pub(super) fn answered(&mut self, number: u64, verdict: Verdict) {
        let Some(connection) = self.questions.asked.remove(&number) else { return };
        if let Some((asked, answer)) = self.questions.waiting.get_mut(&connection)
            && *asked == number
        {
            *answer = Some(verdict);
            self.resume(connection);
        }
    }

    /// The connection does not wait any more.
    pub(crate) fn forget_question(&mut self, connection: ConnectionKey) {
        if let Some((number, _)) = self.questions.waiting.remove(&connection) {
            self.questions.asked.remove(&number);
        }
    }
}
