//! Whether the server is alive, and whether it can serve. No credentials are needed: load balancers ask.

use super::Shared;
use crate::http::answer::json_response;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use headwater_engine::records::Activity;
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// A shard turns several times a second, even with nothing to do.
const STUCK: Duration = Duration::from_secs(5);

#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`
    status: &'static str,
}

#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Readiness {
    ready: bool,
    /// Why not.
    reasons: Vec<String>,
}

/// answers while the server is alive.
#[utoipa::path(get, path = "/v3/health", operation_id = "health", tag = "Health", security(()),
    responses((status = 200, description = "the server is alive.", body = Health)))]
pub(super) async fn health() -> Response {
    json_response(StatusCode::OK, r#"{"status":"ok"}"#)
}

/// tells whether the server can serve: its shards run and its listeners are open.
#[utoipa::path(get, path = "/v3/ready", operation_id = "ready", tag = "Health", security(()),
    responses(
        (status = 200, description = "the server is ready.", body = Readiness),
        (status = 503, description = "the server is not ready.", body = Readiness)))]
pub(super) async fn ready(State(api): Shared) -> Response {
    let engine = &api.core.engine;
    let rtsp = api.core.configuration().global.rtsp;
    let listening = engine.listening().iter().any(|listening| listening.protocol.starts_with("rtsp"));
    let readiness = judge(&engine.activities(), engine.counters().len(), !rtsp || listening);
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // Strings and a flag are always JSON.
    json_response(status, serde_json::to_string(&readiness).unwrap_or_default())
}

fn judge(activities: &[Activity], shards: usize, listening: bool) -> Readiness {
    let mut reasons = Vec::new();
    if activities.len() < shards || shards == 0 {
        reasons.push(format!("{} of {shards} shards run", activities.len()));
    }
    for activity in activities.iter().filter(|activity| activity.since >= STUCK) {
        let (shard, phase) = (activity.shard, activity.phase.name());
        reasons.push(format!("shard {shard} has not turned for {} s, in {phase}", activity.since.as_secs()));
    }
    if !listening {
        reasons.push("no RTSP listener is open".to_owned());
    }
    Readiness { ready: reasons.is_empty(), reasons }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_engine::records::Phase;

    #[test]
    fn a_server_is_ready_when_all_shards_turn_and_it_listens() {
        let activity = |shard, seconds| Activity {
            shard,
            phase: Phase::Flush,
            turns: 7,
            since: Duration::from_secs(seconds),
            asks: 0,
        };
        assert!(judge(&[activity(0, 0), activity(1, 4)], 2, true).ready);
        let missing = judge(&[activity(0, 0)], 2, true);
        assert_eq!(missing.reasons, ["1 of 2 shards run"]);
        let stuck = judge(&[activity(0, 0), activity(1, 6)], 2, false);
        assert_eq!(stuck.reasons, ["shard 1 has not turned for 6 s, in flush", "no RTSP listener is open"]);
    }
}
