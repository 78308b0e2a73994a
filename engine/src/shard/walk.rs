//! Walking a request through the modules, with suspension.

use super::{ConnectionKey, State};
use crate::limits;
use crate::modules::{Answer, Flow, Modules, Rejection, RejectionKind, Request, Role, WALK};
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
    pub(crate) rtsp: message::Request,
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
