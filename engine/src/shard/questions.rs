//! Requests that wait for the control core: who may do this?
//!
//! A module asks, suspends the request and is entered again when the answer is there. Bounded by
//! [`limits::QUESTIONS_MAX`]; an answer to a request that is gone is ignored.

use super::{ConnectionKey, State};
use crate::access::{self, Verdict};
use crate::limits;
use crate::records::{Event, Question, Ticket};
use crate::settings::Access;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Default)]
pub(crate) struct Questions {
    next: u64,
    asked: HashMap<u64, ConnectionKey>,
    /// The newest question of each connection that has asked.
    waiting: HashMap<ConnectionKey, Waiting>,
}

struct Waiting {
    number: u64,
    /// The rules in force when it was asked.
    rules: Arc<Access>,
    answer: Option<Verdict>,
}

/// Where a connection's question stands.
pub(crate) enum Standing {
    NotAsked,
    Waiting,
    /// With the rules it was asked by, which may have changed since.
    Answered(Verdict, Arc<Access>),
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
        let rules = Arc::clone(&self.settings.access);
        self.questions.waiting.insert(connection, Waiting { number, rules, answer: None });
        true
    }

    /// Where the question of a connection stands; an answer is taken out.
    pub(crate) fn question(&mut self, connection: ConnectionKey) -> Standing {
        let answered = self.questions.waiting.get(&connection).map(|waiting| waiting.answer.is_some());
        match answered {
            None => Standing::NotAsked,
            Some(false) => Standing::Waiting,
            Some(true) => match self.questions.waiting.remove(&connection) {
                Some(Waiting { rules, answer: Some(verdict), .. }) => Standing::Answered(verdict, rules),
                _ => Standing::NotAsked,
            },
        }
    }

    /// The control core has answered.
    pub(super) fn answered(&mut self, number: u64, verdict: Verdict) {
        let Some(connection) = self.questions.asked.remove(&number) else { return };
        if let Some(waiting) = self.questions.waiting.get_mut(&connection)
            && waiting.number == number
        {
            waiting.answer = Some(verdict);
            self.resume(connection);
        }
    }

    /// The connection does not wait any more.
    pub(crate) fn forget_question(&mut self, connection: ConnectionKey) {
        if let Some(waiting) = self.questions.waiting.remove(&connection) {
            self.questions.asked.remove(&waiting.number);
        }
    }
}
