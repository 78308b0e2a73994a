//! What is served over HTTP: HLS muxers and sessions as in MediaMTX, and sessions of endless streams, which it has not.
//!
//! All three groups exist while the HLS server does.

use super::extract::{PathName, TheId};
use super::page::{Page, json};
use super::served::check_served;
use super::sessions::{end, skipped_of};
use super::tracks::{self, SkippedTrack};
use super::{Api, Shared, elsewhere, time};
use crate::http::answer::Failure;
use crate::world::{MuxerView, SessionView};
use axum::extract::State;
use axum::response::Response;
use headwater_engine::records::{Id, Protocol, SessionKind};
use serde::Serialize;
use std::time::{Duration, SystemTime};
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HLSMuxer)]
pub(super) struct HlsMuxer {
    path: String,
    created: String,
    last_request: String,
    #[schema(schema_with = super::openapi::hls_variant)]
    variant: &'static str,
    outbound_bytes: u64,
    /// Access units that could not be muxed.
    outbound_frames_discarded: u64,
    #[schema(deprecated)]
    bytes_sent: u64,
    /// Tracks of the path that the muxer leaves out.
    skipped_tracks: Vec<SkippedTrack>,
}

/// A page of HLS muxers.
#[derive(ToSchema)]
#[schema(as = HLSMuxerList, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes `Listing` for the document")]
pub(super) struct HlsMuxerList {
    item_count: u64,
    page_count: u64,
    items: Vec<HlsMuxer>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HLSSession)]
pub(super) struct HlsSession {
    #[schema(format = "uuid")]
    id: String,
    created: String,
    remote_addr: String,
    path: String,
    query: String,
    user: String,
    user_agent: String,
    /// Whether a content delivery network showed its secret.
    #[serde(rename = "isCDN")]
    is_cdn: bool,
    outbound_bytes: u64,
    /// Tracks of the path that the client is not given.
    skipped_tracks: Vec<SkippedTrack>,
}

/// A page of HLS sessions.
#[derive(ToSchema)]
#[schema(as = HLSSessionList, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes `Listing` for the document")]
pub(super) struct HlsSessionList {
    item_count: u64,
    page_count: u64,
    items: Vec<HlsSession>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HTTPSession)]
pub(super) struct HttpSession {
    #[schema(format = "uuid")]
    id: String,
    created: String,
    remote_addr: String,
    /// What is streamed: FLV, FLV in a WebSocket, or MPEG-TS.
    #[schema(schema_with = super::openapi::stream_kind)]
    kind: &'static str,
    /// Whether over TLS.
    encrypted: bool,
    path: String,
    query: String,
    user: String,
    user_agent: String,
    outbound_bytes: u64,
    /// Access units skipped because the client was too slow.
    outbound_frames_discarded: u64,
    /// Tracks of the path that the client is not given.
    skipped_tracks: Vec<SkippedTrack>,
}

/// A page of sessions of endless streams.
#[derive(ToSchema)]
#[schema(as = HTTPSessionList, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes `Listing` for the document")]
pub(super) struct HttpSessionList {
    item_count: u64,
    page_count: u64,
    items: Vec<HttpSession>,
}

/// returns all HLS muxers.
#[utoipa::path(get, path = "/v3/hlsmuxers/list", operation_id = "hlsMuxersList", tag = "HLS",
    params(super::openapi::Paging, super::openapi::Search),
    responses((status = 200, description = "the request was successful.", body = HlsMuxerList)))]
pub(super) async fn muxers(State(api): Shared, page: Page) -> Result<Response, Failure> {
    check_served(Protocol::Hls, &api.core.configuration())?;
    let list = move || {
        let mut muxers = api.core.world.muxers();
        muxers.retain(|muxer| page.wants(&muxer.record.path));
        json(&page.of_list(muxers, |view| shown_muxer(&view)))
    };
    elsewhere(list).await?
}

/// returns a HLS muxer.
#[utoipa::path(get, path = "/v3/hlsmuxers/get/{name}", operation_id = "hlsMuxersGet", tag = "HLS",
    params(super::openapi::PathNameParameter),
    responses((status = 200, description = "the request was successful.", body = HlsMuxer)))]
pub(super) async fn muxer(State(api): Shared, PathName(name): PathName) -> Result<Response, Failure> {
    check_served(Protocol::Hls, &api.core.configuration())?;
    let view = api.core.world.muxer(&name).ok_or_else(|| Failure::not_found("muxer not found"))?;
    json(&shown_muxer(&view))
}

/// returns all HLS sessions.
#[utoipa::path(get, path = "/v3/hlssessions/list", operation_id = "hlsSessionsList", tag = "HLS",
    params(super::openapi::Paging),
    responses((status = 200, description = "the request was successful.", body = HlsSessionList)))]
pub(super) async fn sessions(State(api): Shared, page: Page) -> Result<Response, Failure> {
    check_served(Protocol::Hls, &api.core.configuration())?;
    let list = move || {
        let sessions = api.core.world.sessions(Protocol::Hls);
        json(&page.of_list(sessions, |view| shown_session(&view, skipped_of(&api, &view))))
    };
    elsewhere(list).await?
}

/// returns a HLS session.
#[utoipa::path(get, path = "/v3/hlssessions/get/{id}", operation_id = "hlsSessionsGet", tag = "HLS",
    params(super::openapi::IdParameter),
    responses((status = 200, description = "the request was successful.", body = HlsSession)))]
pub(super) async fn session(State(api): Shared, TheId(id): TheId) -> Result<Response, Failure> {
    let view = found(find(&api, id, is_hls)?)?;
    json(&shown_session(&view, skipped_of(&api, &view)))
}

/// kicks out a HLS session from the server.
#[utoipa::path(post, path = "/v3/hlssessions/kick/{id}", operation_id = "hlssessionsKick", tag = "HLS",
    params(super::openapi::IdParameter),
    responses((status = 200, description = "the request was successful.", body = super::openapi::OK)))]
pub(super) async fn kick(State(api): Shared, TheId(id): TheId) -> Result<Response, Failure> {
    end(&api, find(&api, id, is_hls)?)
}

/// returns all sessions that read an endless stream over HTTP.
#[utoipa::path(get, path = "/v3/httpsessions/list", operation_id = "httpSessionsList", tag = "HTTP",
    params(super::openapi::Paging),
    responses((status = 200, description = "the request was successful.", body = HttpSessionList)))]
pub(super) async fn streams(State(api): Shared, page: Page) -> Result<Response, Failure> {
    check_served(Protocol::Http, &api.core.configuration())?;
    let list = move || {
        // The listener speaks one of them, but sessions of before stay.
        let mut sessions = api.core.world.sessions(Protocol::Http);
        sessions.extend(api.core.world.sessions(Protocol::Https));
        sessions.sort_by_key(|view| (view.record.created, view.record.id));
        json(&page.of_list(sessions, |view| shown_stream(&view, skipped_of(&api, &view))))
    };
    elsewhere(list).await?
}

/// returns a session that reads an endless stream over HTTP.
#[utoipa::path(get, path = "/v3/httpsessions/get/{id}", operation_id = "httpSessionsGet", tag = "HTTP",
    params(super::openapi::IdParameter),
    responses((status = 200, description = "the request was successful.", body = HttpSession)))]
pub(super) async fn stream(State(api): Shared, TheId(id): TheId) -> Result<Response, Failure> {
    let view = found(find(&api, id, is_stream)?)?;
    json(&shown_stream(&view, skipped_of(&api, &view)))
}

/// kicks out a session that reads an endless stream over HTTP.
#[utoipa::path(post, path = "/v3/httpsessions/kick/{id}", operation_id = "httpSessionsKick", tag = "HTTP",
    params(super::openapi::IdParameter),
    responses((status = 200, description = "the request was successful.", body = super::openapi::OK)))]
pub(super) async fn kick_stream(State(api): Shared, TheId(id): TheId) -> Result<Response, Failure> {
    end(&api, find(&api, id, is_stream)?)
}

fn is_hls(protocol: Protocol) -> bool {
    protocol == Protocol::Hls
}

fn is_stream(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Http | Protocol::Https)
}

fn find(api: &Api, id: Id, wanted: fn(Protocol) -> bool) -> Result<Option<SessionView>, Failure> {
    check_served(Protocol::Hls, &api.core.configuration())?;
    Ok(api.core.world.session(id).filter(|view| wanted(view.record.protocol)))
}

fn found(view: Option<SessionView>) -> Result<SessionView, Failure> {
    view.ok_or_else(|| Failure::not_found("session not found"))
}

/// The words of `kind`, also of the metrics.
pub(crate) const STREAM_KINDS: [&str; 3] = ["flv", "webSocketFlv", "mpegts"];

/// What an endless stream is; nothing for other sessions.
pub(crate) fn stream_kind(kind: SessionKind) -> Option<&'static str> {
    match kind {
        SessionKind::Flv => Some("flv"),
        SessionKind::WebSocketFlv => Some("webSocketFlv"),
        SessionKind::MpegTs => Some("mpegts"),
        SessionKind::Plain | SessionKind::Cdn => None,
    }
}

fn shown_muxer(view: &MuxerView) -> HlsMuxer {
    let record = &view.record;
    let last_request = SystemTime::UNIX_EPOCH + Duration::from_millis(record.last_request_ms.value());
    let outbound_bytes = record.outbound_bytes.value();
    HlsMuxer {
        path: record.path.to_string(),
        created: time::text(record.created),
        last_request: time::text(last_request),
        variant: record.variant,
        outbound_bytes,
        outbound_frames_discarded: record.outbound_frames_discarded.value(),
        bytes_sent: outbound_bytes,
        skipped_tracks: tracks::skipped(&record.skipped, view.stream.as_deref()),
    }
}

fn shown_session(view: &SessionView, skipped_tracks: Vec<SkippedTrack>) -> HlsSession {
    let record = &view.record;
    HlsSession {
        id: record.id.to_string(),
        created: time::text(record.created),
        remote_addr: record.remote.to_string(),
        path: record.path.to_string(),
        query: record.query.to_string(),
        user: record.user.to_string(),
        user_agent: record.user_agent.to_string(),
        is_cdn: record.kind == SessionKind::Cdn,
        outbound_bytes: record.counts.outbound_bytes.value(),
        skipped_tracks,
    }
}

fn shown_stream(view: &SessionView, skipped_tracks: Vec<SkippedTrack>) -> HttpSession {
    let record = &view.record;
    HttpSession {
        id: record.id.to_string(),
        created: time::text(record.created),
        remote_addr: record.remote.to_string(),
        kind: stream_kind(record.kind).unwrap_or_default(),
        encrypted: record.protocol == Protocol::Https,
        path: record.path.to_string(),
        query: record.query.to_string(),
        user: record.user.to_string(),
        user_agent: record.user_agent.to_string(),
        outbound_bytes: record.counts.outbound_bytes.value(),
        outbound_frames_discarded: record.counts.outbound_rtp_packets_discarded.value(),
        skipped_tracks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_engine::counters::Counter;
    use headwater_engine::records::{self, SessionCounts, SessionState};
    use headwater_protocols::track::Skipped;
    use serde_json::json;
    use std::sync::Arc;

    fn session(protocol: Protocol, kind: SessionKind) -> SessionView {
        let record = records::Session {
            id: "00000000-0000-8000-8000-000000000001".parse().unwrap(),
            created: SystemTime::UNIX_EPOCH,
            protocol,
            remote: "192.0.2.1:5000".parse().unwrap(),
            path: "cam".into(),
            query: "a=b".into(),
            user: "me".into(),
            user_agent: "lens".into(),
            kind,
            skipped: Default::default(),
            counts: SessionCounts::default(),
        };
        record.counts.outbound_bytes.add(7);
        let state = SessionState::Read;
        SessionView { record: Arc::new(record), state, transport: None, connection: None }
    }

    #[test]
    fn a_muxer_shows_what_it_leaves_out() {
        let record = records::Muxer {
            stream: 1,
            path: "cam".into(),
            created: SystemTime::UNIX_EPOCH,
            variant: "fmp4",
            last_request_ms: Counter::of(1500),
            outbound_bytes: Counter::of(9),
            outbound_frames_discarded: Counter::of(2),
            skipped: [Skipped { track: 1, reason: "HLS has no place for it" }].into(),
        };
        let shown = shown_muxer(&MuxerView { record: Arc::new(record), stream: None });
        let expected = json!({
            "path": "cam", "created": "1970-01-01T00:00:00Z", "lastRequest": "1970-01-01T00:00:01.5Z",
            "variant": "fmp4", "outboundBytes": 9, "outboundFramesDiscarded": 2, "bytesSent": 9,
            "skippedTracks": [{ "index": 1, "codec": null, "reason": "HLS has no place for it" }],
        });
        assert_eq!(serde_json::to_value(shown).unwrap(), expected);
    }

    #[test]
    fn sessions_say_what_they_are() {
        let of =
            |kind| serde_json::to_value(shown_session(&session(Protocol::Hls, kind), Vec::new())).unwrap();
        let expected = json!({
            "id": "00000000-0000-8000-8000-000000000001", "created": "1970-01-01T00:00:00Z",
            "remoteAddr": "192.0.2.1:5000", "path": "cam", "query": "a=b", "user": "me", "userAgent": "lens",
            "isCDN": false, "outboundBytes": 7, "skippedTracks": [],
        });
        assert_eq!(of(SessionKind::Plain), expected);
        assert_eq!(of(SessionKind::Cdn)["isCDN"], true);
        let stream = session(Protocol::Https, SessionKind::WebSocketFlv);
        assert_eq!(stream.party().kind, "httpSession");
        let shown = serde_json::to_value(shown_stream(&stream, Vec::new())).unwrap();
        assert_eq!((&shown["kind"], &shown["encrypted"]), (&json!("webSocketFlv"), &json!(true)));
        for kind in [SessionKind::Flv, SessionKind::WebSocketFlv, SessionKind::MpegTs] {
            assert!(STREAM_KINDS.contains(&stream_kind(kind).unwrap()));
        }
    }
}
