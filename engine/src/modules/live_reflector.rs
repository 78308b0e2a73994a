//! The live reflector: owns `request`. Gives every reader of a path what its publisher sends.

use super::{Answer, Flow, Intent, Module, Rejection, RejectionKind, Request, Role};
use crate::registry::Claim;
use crate::shard::State;
use crate::shard::streams::Attached;

pub(crate) struct LiveReflector;

impl Module for LiveReflector {
    fn name(&self) -> &'static str {
        "live-reflector"
    }

    fn roles(&self) -> &'static [Role] {
        &[Role::Request]
    }

    fn request(&mut self, shard: &mut State, request: &mut Request) -> Flow {
        match request.intent {
            Intent::Control => Flow::Responded(Answer::Done),
            Intent::Describe => match shard.registry.live(&request.path) {
                Some(live) => Flow::Responded(Answer::Described(live.description)),
                None => Flow::Reject(nobody(request)),
            },
            Intent::Read => match shard.attach(&request.path, request.connection) {
                Attached::Ready(stream) => {
                    let stream_ref = &shard.streams[stream];
                    let max = match request.settings.as_ref().map_or(0, |settings| settings.readers_max) {
                        0 => crate::limits::READERS_PER_STREAM_MAX,
                        max => max,
                    };
                    if stream_ref.readers.len() >= max {
                        let reason = format!("path \"{}\" has its maximum of {max} readers", request.path);
                        return Flow::Reject(Rejection::new(RejectionKind::Limit, reason));
                    }
                    Flow::Responded(Answer::Stream(stream))
                }
                Attached::Waiting => Flow::Pending,
                Attached::Nobody => Flow::Reject(nobody(request)),
            },
            Intent::Publish => publish(shard, request),
        }
    }
}

fn publish(shard: &mut State, request: &Request) -> Flow {
    let may_override = request.settings.as_ref().is_none_or(|settings| settings.publisher_override);
    if !may_override && shard.registry.live(&request.path).is_some() {
        let reason = format!("someone is already publishing to path \"{}\"", request.path);
        return Flow::Reject(Rejection::new(RejectionKind::Conflict, reason));
    }
    match shard.registry.claim(&request.path, shard.id) {
        Claim::Here => Flow::Responded(Answer::Claimed),
        Claim::Elsewhere(home) => Flow::Responded(Answer::Elsewhere(home)),
        Claim::Full => Flow::Reject(Rejection::new(
            RejectionKind::Limit,
            format!("the server has its maximum of {} paths", crate::limits::PATHS_MAX),
        )),
    }
}

fn nobody(request: &Request) -> Rejection {
    let reason = format!("no one is publishing to path \"{}\"", request.path);
    Rejection::new(RejectionKind::NotFound, reason)
}
