//! Publishers: ANNOUNCE, SETUP with `mode=record`, RECORD.

use crate::modules::Request;
use crate::net::{Peer, listen};
use crate::shard::datagrams::Ports;
use crate::shard::sessions::{Control, Publisher};
use crate::shard::{ConnectionKey, SessionKey, Shard};
use crate::stream::{CloseReason, Form};
use headwater_protocols::codec::Configuration;
use headwater_protocols::rtsp::message::{self, Response, Status};
use headwater_protocols::rtsp::session::{Allowed, Role, TrackTransport, find_track, negotiate};
use headwater_protocols::rtsp::transport::{Lower, Transport};
use headwater_protocols::sdp;
use headwater_protocols::track::{Elementary, Track};
use socket2::Socket;
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
            controls,
            base: rtsp.headers.get("Content-Base").unwrap_or(&rtsp.uri).into(),
            ..Publisher::new(request.tracks.clone(), self.state.now)
        };
        let path = Arc::clone(&request.path);
        let opened = self.state.open_session(
            key,
            self.new_control(Role::Publish),
            request,
            None,
            Some(Box::new(publisher)),
        );
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
        let session_key = self.named_session(key, rtsp)?;
        let offered = offered(rtsp)?;
        let allowed = self.allowed(key);
        let session = self.state.sessions.get_mut(session_key).ok_or_else(gone)?;
        let publisher = session.publisher.as_mut().ok_or_else(gone)?;
        let Control::Rtsp(machine) = &mut session.control else { return Err(gone()) };
        let controls: Vec<Option<&str>> = publisher.controls.iter().map(Option::as_deref).collect();
        let track = find_track(&publisher.base, &controls, &rtsp.uri)
            .ok_or_else(|| Response::new(Status::NOT_FOUND))?;
        let transport = negotiate(&offered, allowed, Role::Publish).map_err(Response::new)?;
        let chosen = machine.assign(&transport).map_err(Response::new)?;
        // The socket first: a SETUP that fails must leave the session as it was.
        let opened = match chosen {
            TrackTransport::Udp { client_rtp, .. } => {
                session.ports = session.ports.or(self.state.datagrams.current());
                let ports = session.ports.and_then(|key| self.state.datagrams.get(key));
                let ports = ports.ok_or_else(|| Response::new(Status::UNSUPPORTED_TRANSPORT))?;
                let buffer = self.state.settings.rtsp.datagram_buffer;
                Some(open_socket(ports, buffer, session.local, session.peer, client_rtp)?)
            }
            TrackTransport::Interleaved { .. } => None,
        };
        machine.set_up(track, chosen).map_err(Response::new)?;
        let id = machine.id().to_owned();
        let mut answer = transport;
        if let TrackTransport::Interleaved { rtp, rtcp } = chosen {
            publisher.channels.push((rtp, rtcp, track));
            answer.interleaved = Some((rtp, rtcp));
        }
        if let Some(Opened { socket, peer, server_ports }) = opened {
            answer.server_port = Some(server_ports);
            let ingest = self.state.add_ingest_socket(socket, peer, session_key, track);
            if let Some(publisher) =
                self.state.sessions.get_mut(session_key).and_then(|s| s.publisher.as_mut())
            {
                publisher.sockets.push(ingest);
            }
            self.own_datagram_peers(session_key, track);
        }
        Ok(Response::new(Status::OK)
            .header("Transport", answer.write())
            .header("Session", self.session_header(&id)))
    }

    /// RECORD: from here on the path is live.
    pub(super) fn record(
        &mut self,
        key: ConnectionKey,
        rtsp: &message::Request,
    ) -> Result<Response, Response> {
        let session_key = self.named_session(key, rtsp)?;
        let now = self.state.now;
        let session = self.state.sessions.get_mut(session_key).ok_or_else(gone)?;
        let set_up = session.tracks().count();
        let publisher = session.publisher.as_mut().ok_or_else(gone)?;
        let Control::Rtsp(machine) = &mut session.control else { return Err(gone()) };
        if set_up != publisher.tracks.len() {
            // Readers are told of all announced tracks, so all must come.
            return Err(Response::new(Status::METHOD_NOT_VALID_IN_THIS_STATE));
        }
        if session.stream.is_some() {
            // RECORD after PAUSE: the stream is still ours.
            publisher.last_media = now;
            machine.record().map_err(Response::new)?;
            self.state.tell_state(session_key);
            return Ok(self.with_session(rtsp));
        }
        let (path, tracks) = (Arc::clone(&session.path), publisher.tracks.clone());
        let published =
            self.state.publish(&path, Form::Rtp, announced(&tracks), session_key).map_err(|rejection| {
                tracing::info!(%path, "RECORD refused: {}", rejection.reason);
                Response::new(Status::BAD_REQUEST)
            })?;
        if let Some(session) = self.state.sessions.get_mut(session_key) {
            session.stream = Some(published.stream);
            session.rtsp_mut().ok_or_else(gone)?.record().map_err(Response::new)?;
            let lost = self
                .state
                .streams
                .get_mut(published.stream)
                .and_then(|stream| stream.home())
                .map_or(0, |home| home.input.lost());
            if let Some(publisher) = &mut session.publisher {
                publisher.last_media = now;
                publisher.lost_seen = lost;
                publisher.lost_before = lost;
            }
        }
        if let Some(ended) = published.ended {
            self.close_stream(ended, CloseReason::TracksChanged);
        }
        if let Some(replaced) = published.replaced {
            self.close_session_and_connection(replaced, "replaced by another publisher");
        }
        self.state.tell_state(session_key);
        self.log_publishing(session_key, &tracks);
        Ok(self.with_session(rtsp))
    }

    fn log_publishing(&self, key: SessionKey, tracks: &[Track]) {
        let Some(session) = self.state.sessions.get(key) else { return };
        let names: Vec<String> = tracks.iter().map(|track| track.codec.to_string()).collect();
        tracing::info!(
            protocol = session.protocol(),
            session = %session.record.id,
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
        let tcp = self.state.settings.rtsp.interleaved;
        Allowed { udp: self.state.datagrams.current().is_some() && !secure, tcp, secure: false }
    }
}

/// The tracks of a session description with what it says of their decoders.
fn announced(tracks: &[Track]) -> Vec<Elementary> {
    let one = |track: &Track| Elementary {
        track: track.clone(),
        configuration: Configuration::from_track(track).map(Arc::new),
    };
    tracks.iter().map(one).collect()
}

/// A session's own socket for one track.
struct Opened {
    socket: Socket,
    peer: Peer,
    /// The server's RTP and RTCP ports.
    server_ports: (u16, u16),
}

fn open_socket(
    ports: &Ports,
    buffer: usize,
    local: SocketAddr,
    peer: Peer,
    client_rtp: u16,
) -> Result<Opened, Response> {
    let server_ports = (ports.rtp_address.port(), ports.rtcp_address.port());
    let mut local = ports.leave_from(local);
    local.set_port(server_ports.0);
    let peer = peer.with_port(client_rtp);
    let socket = listen::udp_connected(local, peer.0, buffer).map_err(|error| {
        tracing::warn!(%peer, "cannot open a socket for a publisher: {error}");
        Response::new(Status::SERVICE_UNAVAILABLE)
    })?;
    Ok(Opened { socket, peer, server_ports })
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
