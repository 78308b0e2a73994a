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
            Intent::Page => Flow::Responded(Answer::Done),
            Intent::Watch => match shard.registry.live(&request.path) {
                Some(live) => Flow::Responded(Answer::Watched(live)),
                None => absent(request),
            },
            Intent::Describe => match shard.registry.live(&request.path) {
                Some(live) => Flow::Responded(Answer::Described(live.description)),
                None => absent(request),
            },
            Intent::Read => match shard.attach(&request.path, request.connection) {
                Attached::Ready(stream)
                    if shard.streams[stream].readers.len() >= crate::limits::READERS_PER_STREAM_MAX =>
                {
                    let reason =
                        format!("path \"{}\" has its maximum of readers on this shard", request.path);
                    Flow::Reject(Rejection::new(RejectionKind::Limit, reason))
                }
                Attached::Ready(stream) => Flow::Responded(Answer::Stream(stream)),
                Attached::Waiting => Flow::Pending(crate::limits::REPLICA_WAIT),
                Attached::Nobody => absent(request),
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
    match shard.registry.claim(&request.path, shard.id, shard.settings.bounds.paths) {
        Claim::Here => Flow::Responded(Answer::Claimed),
        Claim::Elsewhere(home) => Flow::Responded(Answer::Elsewhere(home)),
        Claim::Full => Flow::Reject(Rejection::new(
            RejectionKind::Limit,
            format!("the server has its maximum of {} live paths (pathsMax)", shard.settings.bounds.paths),
        )),
    }
}

/// Nobody publishes: readers go to the fallback, if the path has one.
fn absent(request: &Request) -> Flow {
    let fallback = request.settings.as_ref().and_then(|settings| settings.fallback.as_ref());
    if let Some(fallback) = fallback {
        return Flow::Responded(Answer::Redirect(fallback.as_str().into()));
    }
    let reason = format!("no one is publishing to path \"{}\"", request.path);
    Flow::Reject(Rejection::new(RejectionKind::NotFound, reason))
}
