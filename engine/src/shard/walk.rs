//! Walking a request through the modules, with suspension.

use super::connection::Connection;
use super::{ConnectionKey, Shard, State};
use crate::limits;
use crate::mesh::{Message, ShardId};
use crate::modules::{Answer, Filtered, Flow, Modules, Raw, Rejection, RejectionKind, Request, Role, WALK};
use crate::records::Event;
use crate::{rtmp, web};
use headwater_protocols::rtsp::message;
use std::time::Instant;

/// A request on its way through the modules.
pub(crate) struct Walk {
    pub(crate) request: Request,
    /// Index into [`WALK`].
    role: usize,
    module: usize,
    resumes: u8,
    /// While it is suspended: until when at most.
    pub(crate) until: Instant,
}

/// A request that waits inside a module.
pub(crate) struct Suspended {
    pub(crate) walk: Walk,
    asked: Asked,
}

/// A request as its protocol put it: what the answer refers to.
pub(crate) enum Asked {
    Rtsp(message::Request),
    Rtmp(rtmp::Asked),
    Http(Box<web::Asked>),
}

/// A connection on its way to another shard, with the request that is to be answered there.
pub(crate) struct Moved {
    pub(crate) connection: Box<Connection>,
    pub(crate) asked: Asked,
}

impl Walk {
    pub(crate) fn new(request: Request) -> Walk {
        let until = request.started;
        Walk { request, role: 0, module: 0, resumes: 0, until }
    }

    /// Goes on until somebody answers; `None` when a module suspends the request. `postprocess` has run when there is
    /// an answer.
    pub(crate) fn advance(&mut self, modules: &mut Modules, shard: &mut State) -> Option<Answer> {
        let answer = self.run(modules, shard)?;
        for module in modules.each(Role::Postprocess) {
            module.postprocess(shard, &self.request, &answer);
        }
        Some(answer)
    }

    /// Ends a suspended request that waited too long.
    pub(crate) fn expire(&self, modules: &mut Modules, shard: &mut State) -> Answer {
        let reason = "a module did not answer in time";
        let answer = Answer::Rejected(Rejection::new(RejectionKind::Unavailable, reason));
        for module in modules.each(Role::Postprocess) {
            module.postprocess(shard, &self.request, &answer);
        }
        answer
    }

    fn run(&mut self, modules: &mut Modules, shard: &mut State) -> Option<Answer> {
        while let Some(role) = WALK.get(self.role).copied() {
            while self.module < modules.len() {
                if let Some(module) = modules.in_role(self.module, role) {
                    let request = &mut self.request;
                    let flow = match role {
                        Role::Route => module.route(shard, request),
                        Role::Authenticate => module.authenticate(shard, request),
                        Role::Authorize => module.authorize(shard, request),
                        Role::Preprocess => module.preprocess(shard, request),
                        _ => module.request(shard, request),
                    };
                    match flow {
                        Flow::Next => {}
                        Flow::Responded(answer) => return Some(answer),
                        Flow::Reject(rejection) => return Some(Answer::Rejected(rejection)),
                        Flow::Pending(patience) => return self.suspend(shard.now + patience),
                    }
                }
                self.module += 1;
            }
            (self.role, self.module) = (self.role + 1, 0);
        }
        let reason = "no module answered the request";
        Some(Answer::Rejected(Rejection::new(RejectionKind::Unavailable, reason)))
    }

    fn suspend(&mut self, until: Instant) -> Option<Answer> {
        self.resumes += 1;
        self.until = until;
        if self.resumes <= limits::WALK_RESUMES_MAX {
            return None;
        }
        let reason = "a module suspended the request too often";
        Some(Answer::Rejected(Rejection::new(RejectionKind::Unavailable, reason)))
    }
}

impl State {
    /// Has the suspended request of `connection` looked at again in this turn.
    pub(crate) fn resume(&mut self, connection: ConnectionKey) {
        self.resumed.push(connection);
    }
}

impl Shard {
    /// Shows a request to the modules that filter before it is understood.
    pub(crate) fn filter(&mut self, key: ConnectionKey, raw: &mut Raw<'_>) -> Result<(), Rejection> {
        if !self.modules.has(Role::Filter) {
            return Ok(());
        }
        let mut modules = std::mem::take(&mut self.modules);
        let mut filtered = Filtered::Next;
        for module in modules.each(Role::Filter) {
            filtered = module.filter(&mut self.state, key, raw);
            if !matches!(filtered, Filtered::Next) {
                break;
            }
        }
        self.modules = modules;
        match filtered {
            Filtered::Next => Ok(()),
            Filtered::Rejected(rejection) => Err(rejection),
        }
    }

    /// Looks at suspended requests that somebody resumed.
    pub(crate) fn resume_requests(&mut self) {
        for key in std::mem::take(&mut self.state.resumed) {
            let suspended =
                self.state.connections.get_mut(key).and_then(|connection| connection.suspended.take());
            if let Some(suspended) = suspended {
                let Suspended { walk, asked } = *suspended;
                self.guarded(key, |shard| {
                    shard.walk_on(key, walk, asked);
                    shard.drive(key);
                });
            }
        }
    }

    /// Answers a request that waited in a module for too long.
    pub(crate) fn expire_request(&mut self, key: ConnectionKey) {
        let Some(suspended) = self.state.connections.get_mut(key).and_then(|c| c.suspended.take()) else {
            return;
        };
        self.state.counters.requests_pending_expired.add(1);
        let Suspended { walk, asked } = *suspended;
        self.state.forget_question(key);
        let mut modules = std::mem::take(&mut self.modules);
        let answer = walk.expire(&mut modules, &mut self.state);
        self.modules = modules;
        self.complete(key, &walk.request, asked, answer);
        self.drive(key);
    }

    pub(crate) fn walk_on(&mut self, key: ConnectionKey, mut walk: Walk, asked: Asked) {
        let mut modules = std::mem::take(&mut self.modules);
        let answer = walk.advance(&mut modules, &mut self.state);
        self.modules = modules;
        match answer {
            Some(answer) => self.complete(key, &walk.request, asked, answer),
            None => {
                if let Some(connection) = self.state.connections.get_mut(key) {
                    connection.suspended = Some(Box::new(Suspended { walk, asked }));
                }
            }
        }
    }

    fn complete(&mut self, key: ConnectionKey, request: &Request, asked: Asked, answer: Answer) {
        match asked {
            Asked::Rtsp(rtsp) => self.complete_rtsp(key, request, rtsp, answer),
            Asked::Rtmp(asked) => self.complete_rtmp(key, request, asked, answer),
            Asked::Http(asked) => self.complete_web(key, request, *asked, answer),
        }
    }

    /// Gives the connection, with the request that waits for an answer, to another shard. A connection with sessions
    /// here cannot go: the request comes back.
    pub(crate) fn move_connection(
        &mut self,
        key: ConnectionKey,
        to: ShardId,
        asked: Asked,
    ) -> Result<(), Box<Asked>> {
        let movable =
            self.state.connections.get(key).is_some_and(|c| c.sessions.is_empty() && !c.is_blocked());
        if !movable {
            return Err(Box::new(asked));
        }
        let Some(connection) = self.state.remove_connection(key) else { return Ok(()) };
        self.state.counters.connections_moved.add(1);
        self.state.tell(Event::ConnectionMoved { id: connection.record.id, shard: to.0 });
        let moved = Moved { connection, asked };
        self.state.mesh.send(to, Message::Adopt(Box::new(moved)), &self.state.counters);
        Ok(())
    }

    /// Takes over a connection from another shard and answers its request.
    pub(crate) fn adopt(&mut self, moved: Moved) {
        let Moved { connection, asked } = moved;
        let key = self.state.add_connection(connection);
        self.guarded(key, |shard| {
            match asked {
                Asked::Rtsp(request) => shard.rtsp_request(key, request),
                Asked::Rtmp(asked) => shard.rtmp_request(key, asked),
                // HTTP connections stay where they were accepted.
                Asked::Http(_) => {}
            }
            shard.drive(key);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::Walk;
    use crate::modules::{
        Answer, Flow, Intent, Module, Modules, Rejection, RejectionKind, Request, Role, WALK,
    };
    use crate::shard::State;
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::time::Duration;

    /// Writes down where it is entered, and does what it is told in one role.
    struct Recorder {
        name: &'static str,
        roles: &'static [Role],
        entered: Rc<RefCell<Vec<(&'static str, Role)>>>,
        act: Option<(Role, fn() -> Flow)>,
    }

    impl Recorder {
        fn enter(&self, role: Role) -> Flow {
            self.entered.borrow_mut().push((self.name, role));
            self.act.filter(|(of, _)| *of == role).map_or(Flow::Next, |(_, act)| act())
        }
    }

    impl Module for Recorder {
        fn name(&self) -> &'static str {
            self.name
        }

        fn roles(&self) -> &'static [Role] {
            self.roles
        }

        fn route(&mut self, _: &mut State, _: &mut Request) -> Flow {
            self.enter(Role::Route)
        }

        fn authenticate(&mut self, _: &mut State, _: &mut Request) -> Flow {
            self.enter(Role::Authenticate)
        }

        fn authorize(&mut self, _: &mut State, _: &mut Request) -> Flow {
            self.enter(Role::Authorize)
        }

        fn preprocess(&mut self, _: &mut State, _: &mut Request) -> Flow {
            self.enter(Role::Preprocess)
        }

        fn request(&mut self, _: &mut State, _: &mut Request) -> Flow {
            self.enter(Role::Request);
            Flow::Responded(Answer::Done)
        }

        fn postprocess(&mut self, _: &State, _: &Request, _: &Answer) {
            self.enter(Role::Postprocess);
        }
    }

    const EARLY: &[Role] =
        &[Role::Route, Role::Authenticate, Role::Authorize, Role::Preprocess, Role::Postprocess];
    const OWNER: &[Role] = &[Role::Authenticate, Role::Request, Role::Postprocess];

    fn request() -> Request {
        Request {
            connection: crate::shard::ConnectionKey::default(),
            protocol: "rtsp",
            method: "DESCRIBE".into(),
            intent: Intent::Describe,
            path: "cam".into(),
            peer: crate::net::Peer::new(([127, 0, 0, 1], 1).into()),
            user_agent: None,
            authorization: None,
            credentials: None,
            query: "".into(),
            user: "".into(),
            kind: crate::records::SessionKind::Plain,
            tracks: Vec::new(),
            settings: None,
            started: std::time::Instant::now(),
        }
    }

    /// Walks with an early module that does `act` in a role. Returns what was entered and whether there was an answer.
    fn walk(act: Option<(Role, fn() -> Flow)>) -> (Vec<(&'static str, Role)>, Vec<Option<Answer>>) {
        let entered = Rc::default();
        let recorder = |name, roles, act| Recorder { name, roles, entered: Rc::clone(&entered), act };
        let all: Vec<Box<dyn Module>> =
            vec![Box::new(recorder("early", EARLY, act)), Box::new(recorder("owner", OWNER, None))];
        let mut modules = Modules::new(all).expect("one owner");
        let mut state = crate::shard::tests::state();
        let mut walk = Walk::new(request());
        let answers = vec![walk.advance(&mut modules, &mut state), walk.advance(&mut modules, &mut state)];
        let entered = entered.borrow().clone();
        (entered, answers)
    }

    #[test]
    fn roles_come_in_their_order_and_modules_within_a_role_in_theirs() {
        let (entered, answers) = walk(None);
        let expected = [
            ("early", Role::Route),
            ("early", Role::Authenticate),
            ("owner", Role::Authenticate),
            ("early", Role::Authorize),
            ("early", Role::Preprocess),
            ("owner", Role::Request),
            ("early", Role::Postprocess),
            ("owner", Role::Postprocess),
        ];
        assert_eq!(entered[..8], expected);
        assert!(matches!(answers[0], Some(Answer::Done)));
        let order: Vec<Role> = WALK.to_vec();
        assert!(order.is_sorted(), "the walk follows the order of the roles");
    }

    #[test]
    fn whoever_answers_cuts_the_walk_short_to_postprocess() {
        fn reject() -> Flow {
            Flow::Reject(Rejection::new(RejectionKind::NotFound, "no"))
        }
        for (at, role) in
            [Role::Route, Role::Authenticate, Role::Authorize, Role::Preprocess].iter().enumerate()
        {
            let (entered, answers) = walk(Some((*role, reject)));
            let before_end = entered.iter().position(|(_, entered)| *entered == Role::Postprocess);
            let last = entered[before_end.expect("postprocess always runs") - 1];
            assert_eq!(last, ("early", *role), "case {at}");
            assert!(!entered.contains(&("owner", Role::Request)), "case {at}");
            assert!(matches!(&answers[0], Some(Answer::Rejected(_))));
        }
    }

    #[test]
    fn a_suspended_request_is_entered_again_in_the_same_role_of_the_same_module() {
        fn wait() -> Flow {
            Flow::Pending(Duration::from_secs(1))
        }
        let (entered, answers) = walk(Some((Role::Authorize, wait)));
        assert!(answers.iter().all(Option::is_none));
        let authorized = entered.iter().filter(|entered| **entered == ("early", Role::Authorize)).count();
        assert_eq!(authorized, 2);
        assert_eq!(entered.iter().filter(|(_, role)| *role == Role::Authenticate).count(), 2, "not again");
    }
}
