//! Publishers: ANNOUNCE, SETUP with `mode=record`, RECORD.

use super::request::Named;
use crate::limits;
use crate::modules::Request;
use crate::net::listen;
use crate::shard::sessions::Publisher;
use crate::shard::{ConnectionKey, SessionKey, Shard};
use crate::stream::CloseReason;
use headwater_protocols::rtsp::message::{self, Response, Status};
use headwater_protocols::rtsp::session::{Allowed, Role, TrackTransport, find_track, negotiate};
use headwater_protocols::rtsp::transport::{Lower, Transport};
use headwater_protocols::sdp;
use headwater_protocols::track::Track;
use std::net::SocketAddr;
use std::sync::Arc;

impl Shard {
    /// ANNOUNCE of a path that was claimed for this shard: opens the session.
    pub(super) fn announce(
        &mut self,
        key: ConnectionKey,
        request: &Request,
        rtsp: &message::Request,
    ) -> Result<Response, Response> {
        let controls = sdp::SessionDescription::parse(&rtsp.body)
            .and_then(|description| sdp::tracks(&description))
            .map(|tracks| tracks.into_iter().map(|(_, control)| control).collect())
            .unwrap_or_default();
        let publisher = Publisher {
            tracks: request.tracks.clone(),
            controls,
            base: rtsp.headers.get("Content-Base").unwrap_or(&rtsp.uri).into(),
            channels: Vec::new(),
            sockets: Vec::new(),
            recording: false,
            last_media: self.state.now,
            next_report: self.state.now + limits::REPORT_INTERVAL,
            received_bytes: 0,
            lost_seen: 0,
        };
        let path = Arc::clone(&request.path);
        let opened =
            self.state.open_session(key, Role::Publish, Arc::clone(&path), None, Some(Box::new(publisher)));
        if opened.is_none() {
            self.state.registry.release(&path);
            return Err(Response::new(Status::NOT_ENOUGH_BANDWIDTH));
        }
        Ok(Response::new(Status::OK))
    }

    /// SETUP of one announced track.
    pub(super) fn set_up_publisher(
        &mut self,
        key: ConnectionKey,
        rtsp: &message::Request,
    ) -> Result<Response, Response> {
        let Named::Session(session_key) = self.session_of(key, rtsp) else {
            return Err(Response::new(Status::SESSION_NOT_FOUND));
        };
        let offered = offered(rtsp)?;
        let allowed = self.allowed(key);
        let session = self.state.sessions.get_mut(session_key).ok_or_else(gone)?;
        let publisher = session.publisher.as_mut().ok_or_else(gone)?;
        let controls: Vec<Option<&str>> = publisher.controls.iter().map(Option::as_deref).collect();
        let track = find_track(&publisher.base, &controls, &rtsp.uri)
            .ok_or_else(|| Response::new(Status::NOT_FOUND))?;
        let transport = negotiate(&offered, allowed, Role::Publish).map_err(Response::new)?;
        let chosen = session.machine.assign(&transport).map_err(Response::new)?;
        session.machine.set_up(track, chosen).map_err(Response::new)?;
        let id = session.machine.id().to_owned();
        let mut answer = transport;
        match chosen {
            TrackTransport::Interleaved { rtp, rtcp } => {
                publisher.channels.push((rtp, rtcp, track));
                answer.interleaved = Some((rtp, rtcp));
            }
            TrackTransport::Udp { client_rtp, .. } => {
                answer.server_port = Some(self.receive_datagrams(session_key, track, client_rtp)?);
            }
        }
        Ok(Response::new(Status::OK)
            .header("Transport", answer.write())
            .header("Session", self.session_header(&id)))
    }

    /// Opens a session's own socket for one track. Returns the server's RTP and RTCP ports.
    fn receive_datagrams(
        &mut self,
        key: SessionKey,
        track: usize,
        client_rtp: u16,
    ) -> Result<(u16, u16), Response> {
        let unsupported = || Response::new(Status::UNSUPPORTED_TRANSPORT);
        let ports = self.state.datagrams.0.as_ref().ok_or_else(unsupported)?;
        let session = self.state.sessions.get(key).ok_or_else(gone)?;
        let server_ports = (ports.rtp_address.port(), ports.rtcp_address.port());
        let ip =
            if ports.rtp_address.ip().is_unspecified() { session.local.ip() } else { ports.rtp_address.ip() };
        let local = SocketAddr::new(ip, server_ports.0);
        let peer = SocketAddr::new(session.peer.0.ip(), client_rtp);
        let socket = listen::udp_connected(local, peer).map_err(|error| {
            tracing::warn!(%peer, "cannot open a socket for a publisher: {error}");
            Response::new(Status::SERVICE_UNAVAILABLE)
        })?;
        let ingest = self.state.add_ingest_socket(socket, key, track);
        if let Some(publisher) = self.state.sessions.get_mut(key).and_then(|s| s.publisher.as_mut()) {
            publisher.sockets.push(ingest);
        }
        self.state.own_datagram_peers(key, track);
        Ok(server_ports)
    }

    /// RECORD: from here on the path is live.
    pub(super) fn record(
        &mut self,
        key: ConnectionKey,
        rtsp: &message::Request,
    ) -> Result<Response, Response> {
        let Named::Session(session_key) = self.session_of(key, rtsp) else {
            return Err(Response::new(Status::SESSION_NOT_FOUND));
        };
        let now = self.state.now;
        let session = self.state.sessions.get_mut(session_key).ok_or_else(gone)?;
        let set_up = session.machine.tracks().count();
        let publisher = session.publisher.as_mut().ok_or_else(gone)?;
        if set_up != publisher.tracks.len() {
            // Readers are told of all announced tracks, so all must come.
            return Err(Response::new(Status::METHOD_NOT_VALID_IN_THIS_STATE));
        }
        if publisher.recording {
            // RECORD after PAUSE: the stream is still ours.
            publisher.last_media = now;
            session.machine.record().map_err(Response::new)?;
            return Ok(self.with_session(rtsp));
        }
        let (path, tracks) = (Arc::clone(&session.path), publisher.tracks.clone());
        let published = self.state.publish(&path, tracks.clone(), session_key).map_err(|rejection| {
            tracing::info!(%path, "RECORD refused: {}", rejection.reason);
            Response::new(Status::BAD_REQUEST)
        })?;
        if let Some(session) = self.state.sessions.get_mut(session_key) {
            session.stream = Some(published.stream);
            session.machine.record().map_err(Response::new)?;
            if let Some(publisher) = &mut session.publisher {
                publisher.recording = true;
                publisher.last_media = now;
            }
        }
        if let Some(ended) = published.ended {
            self.close_stream(ended, CloseReason::TracksChanged);
        }
        if let Some(replaced) = published.replaced {
            self.close_session_and_connection(replaced, "replaced by another publisher");
        }
        self.log_publishing(session_key, &tracks);
        Ok(self.with_session(rtsp))
    }

    fn log_publishing(&self, key: SessionKey, tracks: &[Track]) {
        let Some(session) = self.state.sessions.get(key) else { return };
        let names: Vec<String> = tracks.iter().map(|track| track.codec.to_string()).collect();
        tracing::info!(
            protocol = session.protocol(),
            session = %session.machine.id(),
            peer = %session.peer,
            path = %session.path,
            transport = session.transport(),
            tracks = %names.join(", "),
            "publishing"
        );
    }

    /// The transports a client may choose from. SRTP is not spoken yet, so encrypted connections carry media inside.
    pub(super) fn allowed(&self, key: ConnectionKey) -> Allowed {
        let secure = self.state.connections.get(key).is_some_and(|connection| connection.is_secure());
        Allowed { udp: self.state.datagrams.0.is_some() && !secure, tcp: true, secure: false }
    }
}

/// The alternatives of the Transport header.
pub(super) fn offered(rtsp: &message::Request) -> Result<Vec<Transport>, Response> {
    let header = rtsp.headers.get("Transport").ok_or_else(|| Response::new(Status::BAD_REQUEST))?;
    Transport::parse_list(header).map_err(|error| Response::new(error.status()))
}

pub(super) fn gone() -> Response {
    Response::new(Status::SESSION_NOT_FOUND)
}

/// Whether a negotiated transport is interleaved.
pub(super) fn is_interleaved(transport: &Transport) -> bool {
    transport.lower == Lower::Tcp
}
