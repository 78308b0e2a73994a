//! RTSP connections and sessions, plain and over TLS: listed, shown, kicked.

use super::extract::TheId;
use super::page::{Page, json};
use super::served::check_served;
use super::tracks::{self, SkippedTrack};
use super::{Api, Shared, elsewhere, ok, time};
use crate::http::answer::Failure;
use crate::world::{ConnectionView, SessionView};
use axum::extract::State;
use axum::response::Response;
use headwater_engine::records::{Protocol, SessionState, Transport};
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RTSPConn)]
pub(super) struct RtspConn {
    #[schema(format = "uuid")]
    id: String,
    created: String,
    remote_addr: String,
    #[schema(required, format = "uuid")]
    session: Option<String>,
    tunnel: &'static str,
    inbound_bytes: u64,
    outbound_bytes: u64,
    #[schema(deprecated)]
    bytes_received: u64,
    #[schema(deprecated)]
    bytes_sent: u64,
}

/// A page of RTSP connections.
#[derive(ToSchema)]
#[schema(as = RTSPConnList, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes `Listing` for the document")]
pub(super) struct RtspConnList {
    item_count: u64,
    page_count: u64,
    items: Vec<RtspConn>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RTSPSession)]
pub(super) struct RtspSession {
    #[schema(format = "uuid")]
    id: String,
    created: String,
    remote_addr: String,
    #[schema(schema_with = super::openapi::session_state)]
    state: &'static str,
    path: String,
    query: String,
    user: String,
    user_agent: String,
    /// `UDP` or `TCP`, once chosen.
    #[schema(required)]
    transport: Option<&'static str>,
    /// `AVP` or `SAVP`, once the transport is chosen.
    #[schema(required)]
    profile: Option<&'static str>,
    conns: Vec<String>,
    inbound_bytes: u64,
    #[serde(rename = "inboundRTPPackets")]
    inbound_rtp_packets: u64,
    #[serde(rename = "inboundRTPPacketsLost")]
    inbound_rtp_packets_lost: u64,
    #[serde(rename = "inboundRTPPacketsInError")]
    inbound_rtp_packets_in_error: u64,
    #[serde(rename = "inboundRTPPacketsJitter")]
    inbound_rtp_packets_jitter: f64,
    #[serde(rename = "inboundRTCPPackets")]
    inbound_rtcp_packets: u64,
    #[serde(rename = "inboundRTCPPacketsInError")]
    inbound_rtcp_packets_in_error: u64,
    outbound_bytes: u64,
    #[serde(rename = "outboundRTPPackets")]
    outbound_rtp_packets: u64,
    #[serde(rename = "outboundRTPPacketsReportedLost")]
    outbound_rtp_packets_reported_lost: u64,
    #[serde(rename = "outboundRTPPacketsDiscarded")]
    outbound_rtp_packets_discarded: u64,
    #[serde(rename = "outboundRTCPPackets")]
    outbound_rtcp_packets: u64,
    #[schema(deprecated)]
    bytes_received: u64,
    #[schema(deprecated)]
    bytes_sent: u64,
    #[schema(deprecated)]
    rtp_packets_received: u64,
    #[schema(deprecated)]
    rtp_packets_sent: u64,
    #[schema(deprecated)]
    rtp_packets_lost: u64,
    #[schema(deprecated)]
    rtp_packets_in_error: u64,
    #[schema(deprecated)]
    rtp_packets_jitter: f64,
    #[schema(deprecated)]
    rtcp_packets_received: u64,
    #[schema(deprecated)]
    rtcp_packets_sent: u64,
    #[schema(deprecated)]
    rtcp_packets_in_error: u64,
    /// Tracks of the path that the client is not given.
    skipped_tracks: Vec<SkippedTrack>,
}

/// A page of RTSP sessions.
#[derive(ToSchema)]
#[schema(as = RTSPSessionList, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes `Listing` for the document")]
pub(super) struct RtspSessionList {
    item_count: u64,
    page_count: u64,
    items: Vec<RtspSession>,
}

/// returns all RTSP connections.
#[utoipa::path(get, path = "/v3/rtspconns/list", operation_id = "rtspConnsList", tag = "RTSP",
    params(super::openapi::Paging),
    responses((status = 200, description = "the request was successful.", body = RtspConnList)))]
pub(super) async fn connections(
    protocol: Protocol,
    State(api): Shared,
    page: Page,
) -> Result<Response, Failure> {
    check_served(protocol, &api.core.configuration())?;
    let list =
        move || json(&page.of_list(api.core.world.connections(protocol), |view| shown_connection(&view)));
    elsewhere(list).await?
}

/// returns a RTSP connection.
#[utoipa::path(get, path = "/v3/rtspconns/get/{id}", operation_id = "rtspConnsGet", tag = "RTSP",
    params(super::openapi::IdParameter),
    responses((status = 200, description = "the request was successful.", body = RtspConn)))]
pub(super) async fn connection(
    protocol: Protocol,
    State(api): Shared,
    TheId(id): TheId,
) -> Result<Response, Failure> {
    check_served(protocol, &api.core.configuration())?;
    let found = api.core.world.connection(id).filter(|view| view.record.protocol == protocol);
    let view = found.ok_or_else(|| Failure::not_found("connection not found"))?;
    json(&shown_connection(&view))
}

/// returns all RTSP sessions.
#[utoipa::path(get, path = "/v3/rtspsessions/list", operation_id = "rtspSessionsList", tag = "RTSP",
    params(super::openapi::Paging),
    responses((status = 200, description = "the request was successful.", body = RtspSessionList)))]
pub(super) async fn sessions(
    protocol: Protocol,
    State(api): Shared,
    page: Page,
) -> Result<Response, Failure> {
    check_served(protocol, &api.core.configuration())?;
    let list = move || {
        let sessions = api.core.world.sessions(protocol);
        json(&page.of_list(sessions, |view| shown_session(&view, skipped_of(&api, &view))))
    };
    elsewhere(list).await?
}

/// returns a RTSP session.
#[utoipa::path(get, path = "/v3/rtspsessions/get/{id}", operation_id = "rtspSessionsGet", tag = "RTSP",
    params(super::openapi::IdParameter),
    responses((status = 200, description = "the request was successful.", body = RtspSession)))]
pub(super) async fn session(
    protocol: Protocol,
    State(api): Shared,
    TheId(id): TheId,
) -> Result<Response, Failure> {
    check_served(protocol, &api.core.configuration())?;
    let found = api.core.world.session(id).filter(|view| view.record.protocol == protocol);
    let view = found.ok_or_else(|| Failure::not_found("session not found"))?;
    json(&shown_session(&view, skipped_of(&api, &view)))
}

/// kicks out a RTSP session from the server.
#[utoipa::path(post, path = "/v3/rtspsessions/kick/{id}", operation_id = "rtspSessionsKick", tag = "RTSP",
    params(super::openapi::IdParameter),
    responses((status = 200, description = "the request was successful.", body = super::openapi::OK)))]
pub(super) async fn kick(
    protocol: Protocol,
    State(api): Shared,
    TheId(id): TheId,
) -> Result<Response, Failure> {
    check_served(protocol, &api.core.configuration())?;
    let found = api.core.world.session(id).filter(|view| view.record.protocol == protocol);
    end(&api, found)
}

/// Ends a session that was found.
pub(super) fn end(api: &Api, found: Option<SessionView>) -> Result<Response, Failure> {
    let view = found.ok_or_else(|| Failure::not_found("session not found"))?;
    if !api.core.engine.kick_session(view.record.id) {
        return Err(Failure::unavailable("the session's shard has too much to do; try again"));
    }
    Ok(ok())
}

/// What a session is not given of its path.
pub(super) fn skipped_of(api: &Api, view: &SessionView) -> Vec<SkippedTrack> {
    match view.record.skipped.get() {
        Some(skipped) if !skipped.is_empty() => {
            tracks::skipped(skipped, api.core.world.stream(&view.record.path).as_deref())
        }
        _ => Vec::new(),
    }
}

fn shown_connection(view: &ConnectionView) -> RtspConn {
    let record = &view.record;
    let (inbound_bytes, outbound_bytes) = (record.inbound_bytes.value(), record.outbound_bytes.value());
    RtspConn {
        id: record.id.to_string(),
        created: time::text(record.created),
        remote_addr: record.remote.to_string(),
        session: view.session.map(|id| id.to_string()),
        tunnel: "none",
        inbound_bytes,
        outbound_bytes,
        bytes_received: inbound_bytes,
        bytes_sent: outbound_bytes,
    }
}

/// The word of the API and of the metrics.
pub(crate) fn state_word(state: SessionState) -> &'static str {
    match state {
        SessionState::Idle => "idle",
        SessionState::Read => "read",
        SessionState::Publish => "publish",
    }
}

fn shown_session(view: &SessionView, skipped_tracks: Vec<SkippedTrack>) -> RtspSession {
    let (record, counts) = (&view.record, &view.record.counts);
    let (inbound_bytes, outbound_bytes) = (counts.inbound_bytes.value(), counts.outbound_bytes.value());
    let rtp_in = counts.inbound_rtp_packets.value();
    let rtp_lost = counts.inbound_rtp_packets_lost.value();
    let rtp_in_error = counts.inbound_rtp_packets_in_error.value();
    let jitter = Some(counts.inbound_rtp_packets_jitter.value()).filter(|jitter| jitter.is_finite());
    let rtp_out = counts.outbound_rtp_packets.value();
    let (rtcp_in, rtcp_out) = (counts.inbound_rtcp_packets.value(), counts.outbound_rtcp_packets.value());
    let rtcp_in_error = counts.inbound_rtcp_packets_in_error.value();
    RtspSession {
        id: record.id.to_string(),
        created: time::text(record.created),
        remote_addr: record.remote.to_string(),
        state: state_word(view.state),
        path: record.path.to_string(),
        query: record.query.to_string(),
        user: record.user.to_string(),
        user_agent: record.user_agent.to_string(),
        transport: view.transport.map(|transport| match transport {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        }),
        // SRTP is not spoken: also over TLS the profile is the plain one.
        profile: view.transport.map(|_| "AVP"),
        conns: view.connection.iter().map(ToString::to_string).collect(),
        inbound_bytes,
        inbound_rtp_packets: rtp_in,
        inbound_rtp_packets_lost: rtp_lost,
        inbound_rtp_packets_in_error: rtp_in_error,
        inbound_rtp_packets_jitter: jitter.unwrap_or(0.0),
        inbound_rtcp_packets: rtcp_in,
        inbound_rtcp_packets_in_error: rtcp_in_error,
        outbound_bytes,
        outbound_rtp_packets: rtp_out,
        outbound_rtp_packets_reported_lost: counts.outbound_rtp_packets_reported_lost.value(),
        outbound_rtp_packets_discarded: counts.outbound_rtp_packets_discarded.value(),
        outbound_rtcp_packets: rtcp_out,
        bytes_received: inbound_bytes,
        bytes_sent: outbound_bytes,
        rtp_packets_received: rtp_in,
        rtp_packets_sent: rtp_out,
        rtp_packets_lost: rtp_lost,
        rtp_packets_in_error: rtp_in_error,
        rtp_packets_jitter: jitter.unwrap_or(0.0),
        rtcp_packets_received: rtcp_in,
        rtcp_packets_sent: rtcp_out,
        rtcp_packets_in_error: rtcp_in_error,
        skipped_tracks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_engine::records::{self, Id};
    use std::sync::Arc;
    use std::time::SystemTime;

    fn id(digit: char) -> Id {
        "00000000-0000-8000-8000-000000000000".replace('0', &digit.to_string()).parse().unwrap()
    }

    #[test]
    fn a_session_has_the_fields_of_mediamtx_and_the_tracks_it_is_not_given() {
        let record = records::Session {
            id: id('1'),
            created: SystemTime::UNIX_EPOCH,
            protocol: Protocol::Rtsp,
            remote: "192.0.2.1:5000".parse().unwrap(),
            path: "cam".into(),
            query: "a=b".into(),
            user: "me".into(),
            user_agent: "lens".into(),
            kind: Default::default(),
            skipped: Default::default(),
            counts: records::SessionCounts::default(),
        };
        record.counts.inbound_rtp_packets.add(7);
        let view = SessionView {
            record: Arc::new(record),
            state: SessionState::Publish,
            transport: Some(Transport::Udp),
            connection: Some(id('2')),
        };
        let shown = serde_json::to_value(shown_session(&view, Vec::new())).unwrap();
        let mut keys: Vec<&str> = shown.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        let mut expected = "id created remoteAddr state path query user userAgent transport profile conns \
            inboundBytes inboundRTPPackets inboundRTPPacketsLost inboundRTPPacketsInError inboundRTPPacketsJitter \
            inboundRTCPPackets inboundRTCPPacketsInError outboundBytes outboundRTPPackets \
            outboundRTPPacketsReportedLost outboundRTPPacketsDiscarded outboundRTCPPackets bytesReceived bytesSent \
            rtpPacketsReceived rtpPacketsSent rtpPacketsLost rtpPacketsInError rtpPacketsJitter \
            rtcpPacketsReceived rtcpPacketsSent rtcpPacketsInError skippedTracks"
            .split_whitespace()
            .collect::<Vec<_>>();
        expected.sort_unstable();
        assert_eq!(keys, expected);
        assert_eq!(shown["inboundRTPPackets"], 7);
        assert_eq!(shown["rtpPacketsReceived"], 7);
        assert_eq!(shown["transport"], "UDP");
        assert_eq!(shown["conns"][0], id('2').to_string());
    }
}
