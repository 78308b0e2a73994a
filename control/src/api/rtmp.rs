//! RTMP connections, plain and over TLS: listed, shown, kicked.
//!
//! MediaMTX knows no sessions of RTMP: what a connection reads or publishes is shown with it.

use super::extract::TheId;
use super::page::{Page, json};
use super::served::check_served;
use super::sessions::{skipped_of, state_word};
use super::tracks::SkippedTrack;
use super::{Api, Shared, elsewhere, ok, time};
use crate::http::answer::Failure;
use crate::world::{ConnectionView, SessionView};
use axum::extract::State;
use axum::response::Response;
use headwater_engine::records::{Id, Protocol, SessionState};
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RTMPConn)]
pub(super) struct RtmpConn {
    #[schema(format = "uuid")]
    id: String,
    created: String,
    remote_addr: String,
    #[schema(schema_with = super::openapi::session_state)]
    state: &'static str,
    /// Empty until the client says what it wants, like those that follow.
    path: String,
    query: String,
    user: String,
    user_agent: String,
    inbound_bytes: u64,
    outbound_bytes: u64,
    /// Access units skipped because the client was too slow.
    outbound_frames_discarded: u64,
    #[schema(deprecated)]
    bytes_received: u64,
    #[schema(deprecated)]
    bytes_sent: u64,
    /// Tracks of the path that the client is not given.
    skipped_tracks: Vec<SkippedTrack>,
}

/// A page of RTMP connections.
#[derive(ToSchema)]
#[schema(as = RTMPConnList, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes `Listing` for the document")]
pub(super) struct RtmpConnList {
    item_count: u64,
    page_count: u64,
    items: Vec<RtmpConn>,
}

/// returns all RTMP connections.
#[utoipa::path(get, path = "/v3/rtmpconns/list", operation_id = "rtmpConnsList", tag = "RTMP",
    params(super::openapi::Paging),
    responses((status = 200, description = "the request was successful.", body = RtmpConnList)))]
pub(super) async fn connections(
    protocol: Protocol,
    State(api): Shared,
    page: Page,
) -> Result<Response, Failure> {
    check_served(protocol, &api.core.configuration())?;
    let list = move || json(&page.of_list(api.core.world.connections(protocol), |view| whole(&api, &view)));
    elsewhere(list).await?
}

/// returns a RTMP connection.
#[utoipa::path(get, path = "/v3/rtmpconns/get/{id}", operation_id = "rtmpConnectionsGet", tag = "RTMP",
    params(super::openapi::IdParameter),
    responses((status = 200, description = "the request was successful.", body = RtmpConn)))]
pub(super) async fn connection(
    protocol: Protocol,
    State(api): Shared,
    TheId(id): TheId,
) -> Result<Response, Failure> {
    json(&whole(&api, &find(&api, protocol, id)?))
}

/// kicks out a RTMP connection from the server.
#[utoipa::path(post, path = "/v3/rtmpconns/kick/{id}", operation_id = "rtmpConnsKick", tag = "RTMP",
    params(super::openapi::IdParameter),
    responses((status = 200, description = "the request was successful.", body = super::openapi::OK)))]
pub(super) async fn kick(
    protocol: Protocol,
    State(api): Shared,
    TheId(id): TheId,
) -> Result<Response, Failure> {
    let view = find(&api, protocol, id)?;
    if !api.core.engine.kick_connection(view.record.id) {
        return Err(Failure::unavailable("the shards have too much to do; try again"));
    }
    Ok(ok())
}

fn find(api: &Api, protocol: Protocol, id: Id) -> Result<ConnectionView, Failure> {
    check_served(protocol, &api.core.configuration())?;
    let found = api.core.world.connection(id).filter(|view| view.record.protocol == protocol);
    found.ok_or_else(|| Failure::not_found("connection not found"))
}

/// A connection with its session as it is now.
fn whole(api: &Api, view: &ConnectionView) -> RtmpConn {
    let session = view.session.and_then(|id| api.core.world.session(id));
    let skipped = session.as_ref().map(|session| skipped_of(api, session)).unwrap_or_default();
    shown(view, session.as_ref(), skipped)
}

fn shown(
    view: &ConnectionView,
    session: Option<&SessionView>,
    skipped_tracks: Vec<SkippedTrack>,
) -> RtmpConn {
    let record = &view.record;
    let (inbound_bytes, outbound_bytes) = (record.inbound_bytes.value(), record.outbound_bytes.value());
    let discarded = |session: &SessionView| session.record.counts.outbound_rtp_packets_discarded.value();
    let text = |of: fn(&SessionView) -> &str| session.map_or("", of).to_owned();
    RtmpConn {
        id: record.id.to_string(),
        created: time::text(record.created),
        remote_addr: record.remote.to_string(),
        state: state_word(session.map_or(SessionState::Idle, |session| session.state)),
        path: text(|session| &session.record.path),
        query: text(|session| &session.record.query),
        user: text(|session| &session.record.user),
        user_agent: text(|session| &session.record.user_agent),
        inbound_bytes,
        outbound_bytes,
        outbound_frames_discarded: session.map_or(0, discarded),
        bytes_received: inbound_bytes,
        bytes_sent: outbound_bytes,
        skipped_tracks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_engine::counters::Counter;
    use headwater_engine::records::{self, SessionCounts};
    use std::sync::Arc;
    use std::time::SystemTime;

    #[test]
    fn a_connection_has_the_fields_of_mediamtx_and_its_session() {
        let id: Id = "00000000-0000-8000-8000-000000000001".parse().unwrap();
        let remote = "192.0.2.1:5000".parse().unwrap();
        let record = records::Connection {
            id,
            created: SystemTime::UNIX_EPOCH,
            protocol: Protocol::Rtmp,
            remote,
            inbound_bytes: Counter::of(5),
            outbound_bytes: Counter::of(9),
        };
        let view = ConnectionView { record: Arc::new(record), session: None };
        let idle = serde_json::to_value(shown(&view, None, Vec::new())).unwrap();
        let mut keys: Vec<&str> = idle.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        let mut expected =
            "id created remoteAddr state path query user userAgent inboundBytes outboundBytes \
            outboundFramesDiscarded bytesReceived bytesSent skippedTracks"
                .split_whitespace()
                .collect::<Vec<_>>();
        expected.sort_unstable();
        assert_eq!(keys, expected);
        assert_eq!((&idle["state"], &idle["path"]), (&"idle".into(), &"".into()));
        let record = records::Session {
            id: "00000000-0000-8000-8000-000000000002".parse().unwrap(),
            created: SystemTime::UNIX_EPOCH,
            protocol: Protocol::Rtmp,
            remote,
            path: "live/cam".into(),
            query: "a=b".into(),
            user: "me".into(),
            user_agent: "FMLE/3.0".into(),
            kind: Default::default(),
            skipped: Default::default(),
            counts: SessionCounts::default(),
        };
        record.counts.outbound_rtp_packets_discarded.add(3);
        let session = SessionView {
            record: Arc::new(record),
            state: SessionState::Read,
            transport: None,
            connection: Some(id),
        };
        assert_eq!((session.party().kind, session.party().id), ("rtmpConn", id));
        let shown = serde_json::to_value(shown(&view, Some(&session), Vec::new())).unwrap();
        assert_eq!(shown["id"], id.to_string());
        assert_eq!((&shown["state"], &shown["path"]), (&"read".into(), &"live/cam".into()));
        assert_eq!((&shown["inboundBytes"], &shown["bytesSent"]), (&5.into(), &9.into()));
        assert_eq!(shown["outboundFramesDiscarded"], 3);
    }
}
