//! Readers: DESCRIBE, SETUP, PLAY, PAUSE.

use super::publish::{gone, is_interleaved, offered};
use super::request::Named;
use crate::modules::Request;
use crate::net::address::Destination;
use crate::net::udp::Source;
use crate::shard::sessions::Session;
use crate::shard::{ConnectionKey, SessionKey, Shard};
use crate::stream::batch::{Channel, Mask};
use crate::stream::flush::first_packets;
use crate::stream::reader::{ChannelMap, DatagramSink, Flow, Sink};
use crate::stream::{Description, Form, Position, Reader, Stream, StreamKey};
use headwater_protocols::rtp;
use headwater_protocols::rtsp;
use headwater_protocols::rtsp::message::Uri;
use headwater_protocols::rtsp::message::{self, Response, Status};
use headwater_protocols::rtsp::rtp_info::RtpInfo;
use headwater_protocols::rtsp::session::{Role, State, TrackTransport, negotiate, split_track};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// DESCRIBE of a live path.
pub(super) fn describe(rtsp: &message::Request, description: &Description) -> Result<Response, Response> {
    let accepted = rtsp.headers.get("Accept").is_none_or(|accept| {
        accept.split(',').map(|kind| kind.split(';').next().unwrap_or("").trim()).any(|kind| {
            ["application/sdp", "application/*", "*/*"].iter().any(|ours| kind.eq_ignore_ascii_case(ours))
        })
    });
    if !accepted {
        return Err(Response::new(Status::NOT_ACCEPTABLE));
    }
    Ok(Response::new(Status::OK)
        .header("Content-Base", format!("{}/", base(&rtsp.uri)))
        .body("application/sdp", description.sdp.to_string()))
}

/// A redirect: to another server, or (a bare name) to another path of this one.
pub(super) fn redirect(rtsp: &message::Request, target: &str) -> Response {
    let location = match Uri::parse(&rtsp.uri) {
        Ok(uri) if !target.contains("://") => {
            let whole = uri.without_credentials();
            let host_end = whole.find("://").map_or(0, |at| at + 3);
            let path_start = whole[host_end..].find('/').map_or(whole.len(), |at| host_end + at);
            format!("{}/{}", &whole[..path_start], target.trim_start_matches('/'))
        }
        _ => target.to_owned(),
    };
    Response::new(Status::MOVED_TEMPORARILY).header("Location", location)
}

/// The URI that a stream's controls are relative to: without credentials, track and final slash.
fn base(uri: &str) -> String {
    let Ok(uri) = Uri::parse(uri) else { return String::new() };
    let whole = uri.without_credentials();
    let without_track = match whole.rsplit_once("/trackID=") {
        Some((before, _)) => before.to_owned(),
        None => whole,
    };
    without_track.trim_end_matches('/').to_owned()
}

impl Shard {
    /// SETUP of one track of a stream that is on this shard.
    pub(super) fn set_up_reader(
        &mut self,
        key: ConnectionKey,
        request: &Request,
        rtsp: &message::Request,
        stream_key: StreamKey,
    ) -> Result<Response, Response> {
        let offered = offered(rtsp)?;
        let transport = negotiate(&offered, self.allowed(key), Role::Read).map_err(Response::new)?;
        let stream_key = self.state.in_form(stream_key, Form::Rtp).map_err(|unfit| {
            tracing::info!(path = %request.path, peer = %request.peer, "cannot be read over RTP: {}", unfit.reason);
            Response::new(Status::UNSUPPORTED_MEDIA_TYPE)
        })?;
        let stream = self.state.streams.get(stream_key).ok_or_else(|| Response::new(Status::NOT_FOUND))?;
        let description = Arc::clone(&stream.description);
        let track = track_of(&rtsp.uri, &description)?;
        let session_key = self.reader_session(key, request, rtsp, stream_key, &transport)?;
        let current = self.state.datagrams.current();
        let session = self.state.sessions.get_mut(session_key).ok_or_else(gone)?;
        let mut transport = transport;
        if is_interleaved(&transport) {
            // Ours where the client leaves the choice: they cost nothing.
            transport.interleaved.get_or_insert((track as u8 * 2, track as u8 * 2 + 1));
        }
        let machine = session.rtsp_mut().ok_or_else(gone)?;
        let chosen = machine.assign(&transport).map_err(Response::new)?;
        if let Err(status) = machine.set_up(track, chosen) {
            if machine.state() == State::Init {
                self.close_session(session_key, "its first SETUP was refused");
            }
            return Err(Response::new(status));
        }
        if let TrackTransport::Udp { .. } = chosen {
            session.ports = session.ports.or(current);
        }
        let ports = session.ports;
        let id = session.rtsp().ok_or_else(gone)?.id().to_owned();
        let mut answer = transport;
        answer.ssrc = description.ssrcs.get(track).copied();
        match chosen {
            TrackTransport::Interleaved { rtp, rtcp } => answer.interleaved = Some((rtp, rtcp)),
            TrackTransport::Udp { .. } => {
                if let Some(ports) = ports.and_then(|key| self.state.datagrams.get(key)) {
                    answer.server_port = Some((ports.rtp_address.port(), ports.rtcp_address.port()));
                }
                self.own_datagram_peers(session_key, track);
            }
        }
        Ok(Response::new(Status::OK)
            .header("Transport", answer.write())
            .header("Session", self.session_header(&id)))
    }

    /// The session a reader's SETUP belongs to: the one it names, one it is still setting up, or a new one.
    fn reader_session(
        &mut self,
        key: ConnectionKey,
        request: &Request,
        rtsp: &message::Request,
        stream: StreamKey,
        transport: &rtsp::transport::Transport,
    ) -> Result<SessionKey, Response> {
        if let Named::Session(session) = self.session_of(key, rtsp) {
            let found = self.state.sessions.get(session).ok_or_else(gone)?;
            let same = found.publisher.is_none()
                && found.stream.is_some_and(|read| read == stream || self.state.is_made_of(read, stream));
            if rtsp.session().is_some() {
                // One session is one path here (RFC 2326 calls the other case aggregate control of several).
                return if same {
                    Ok(session)
                } else {
                    Err(Response::new(Status::AGGREGATE_OPERATION_NOT_ALLOWED))
                };
            }
            if same && !found.is_active() {
                return Ok(session);
            }
        }
        if is_interleaved(transport) && self.channels_taken(key, transport.interleaved) {
            return Err(Response::new(Status::UNSUPPORTED_TRANSPORT));
        }
        let limit = || Response::new(Status::NOT_ENOUGH_BANDWIDTH);
        let found = self.state.streams.get(stream).ok_or_else(gone)?;
        let description = Arc::clone(&found.description);
        self.state.reserve_reader(request, &description).map_err(|rejection| {
            tracing::info!(path = %request.path, peer = %request.peer, "refused: {}", rejection.reason);
            limit()
        })?;
        self.state.open_session(key, self.new_control(Role::Read), request, Some(stream), None).ok_or_else(
            || {
                description.readers.fetch_sub(1, Ordering::Relaxed);
                limit()
            },
        )
    }

    /// Whether another session of this connection uses these channels, or any where the client names none.
    fn channels_taken(&self, key: ConnectionKey, wanted: Option<(u8, u8)>) -> bool {
        let Some(connection) = self.state.connections.get(key) else { return false };
        let sessions = connection.sessions.iter().filter_map(|session| self.state.sessions.get(*session));
        sessions.flat_map(Session::tracks).any(|(_, transport)| match (transport, wanted) {
            (TrackTransport::Interleaved { rtp, rtcp }, Some((a, b))) => {
                [a, b].iter().any(|c| c == rtp || c == rtcp)
            }
            (TrackTransport::Interleaved { .. }, None) => true,
            (TrackTransport::Udp { .. }, _) => false,
        })
    }

    /// PLAY: responds, and has the reader start at the last random access point.
    pub(super) fn play(&mut self, key: ConnectionKey, rtsp: &message::Request) {
        let session_key = match self.named_session(key, rtsp) {
            Ok(session) => session,
            Err(refused) => return self.respond(key, refused),
        };
        let played = self.begin_playing(session_key, rtsp);
        let (response, starting) = match played {
            Ok(started) => started,
            Err(refused) => return self.respond(key, refused),
        };
        // The response leaves before the first packet.
        self.respond(key, response);
        if starting {
            self.start_reader(session_key);
            self.state.tell_state(session_key);
        }
    }

    fn begin_playing(
        &mut self,
        key: SessionKey,
        rtsp: &message::Request,
    ) -> Result<(Response, bool), Response> {
        self.take_small_packets(key);
        let session = self.state.sessions.get_mut(key).ok_or_else(gone)?;
        let machine = session.rtsp_mut().ok_or_else(gone)?;
        let before = machine.state();
        machine.play().map_err(Response::new)?;
        let mask = machine.tracks().fold(Mask::default(), |mask, (track, _)| mask.with_track(track));
        let id = machine.id().to_owned();
        let stream = session.stream.and_then(|stream| self.state.streams.get(stream)).ok_or_else(gone)?;
        let mut response = Response::new(Status::OK).header("Session", self.session_header(&id));
        if before == State::Playing {
            // PLAY while playing is a keep-alive of some players.
            return Ok((response, false));
        }
        response = response.header("Range", "npt=now-");
        let infos = rtp_infos(stream, start(stream), mask, &base(&rtsp.uri));
        if !infos.is_empty() {
            response = response.header("RTP-Info", RtpInfo::write_list(&infos));
        }
        Ok((response, true))
    }

    /// A reader over UDP that is to begin reads smaller packets than the publisher's, where those are too large for
    /// datagrams. It is told nothing else: the description is the same.
    fn take_small_packets(&mut self, key: SessionKey) {
        let packet_bytes_max = self.state.settings.bounds.datagram_bytes;
        let Some(session) = self.state.sessions.get(key) else { return };
        if session.reader.is_some() || !session.uses_datagrams() {
            return;
        }
        let Some(source) = session.stream else { return };
        let is_large = |stream: &Stream| stream.packet_bytes_largest > usize::from(packet_bytes_max);
        if !self.state.streams.get(source).is_some_and(is_large) {
            return;
        }
        match self.state.in_form(source, Form::RtpSmall { packet_bytes_max }) {
            Ok(small) => {
                if let Some(session) = self.state.sessions.get_mut(key) {
                    session.stream = Some(small);
                }
            }
            Err(unfit) => {
                tracing::warn!("its packets are too large for datagrams, and stay so: {}", unfit.reason);
            }
        }
    }

    /// Puts a session's reader into its stream, or lets a paused one go on.
    fn start_reader(&mut self, key: SessionKey) {
        let now = self.state.now;
        let Some(sink) = self.sink(key) else { return };
        let Some(session) = self.state.sessions.get_mut(key) else { return };
        let Some(stream_key) = session.stream else { return };
        let Some(stream) = self.state.streams.get_mut(stream_key) else { return };
        let mask = session.tracks().fold(Mask::default(), |mask, (track, _)| mask.with_track(track));
        let (cursor, flow) = match start(stream) {
            Some(position) => (position, Flow::Flowing),
            None => (stream.log.start(), Flow::Waiting { since: now }),
        };
        match session.reader.and_then(|reader| stream.readers.get_mut(reader)) {
            Some(reader) => {
                // Tracks may have been added while it was paused.
                (reader.mask, reader.sink) = (mask, sink);
                (reader.cursor, reader.flow, reader.trains_sent, reader.catching_up) =
                    (cursor, flow, 0, true);
            }
            None => {
                let reader = Reader::new(key, sink, mask, cursor, flow);
                session.reader = Some(stream.readers.insert(reader));
                tracing::info!(
                    protocol = session.protocol(),
                    session = %session.record.id,
                    peer = %session.peer,
                    path = %session.path,
                    transport = session.transport(),
                    "reading"
                );
            }
        }
        let reports: Vec<_> =
            session.tracks().filter_map(|(track, _)| Some((track, stream.report(track)?))).collect();
        // The clock of each track first, so that players can put audio and video together from the start.
        for (track, report) in reports {
            self.state.send_report(key, track, &report);
        }
        self.state.block_if_full(key);
        self.state.go_on_at(stream_key, now);
    }

    fn sink(&self, key: SessionKey) -> Option<Sink> {
        let session = self.state.sessions.get(key)?;
        if !session.uses_datagrams() {
            let connection = session.connection?;
            let found = self.state.connections.get(connection)?;
            let channels = channel_map(session);
            return Some(if found.is_secure() {
                Sink::Tls { connection, channels }
            } else {
                Sink::Tcp { fd: found.fd(), connection, channels }
            });
        }
        let ports_key = session.ports?;
        let ports = self.state.datagrams.get(ports_key)?;
        let tracks = session.tracks().map(|(track, _)| track + 1).max()?;
        let mut destinations = vec![None; tracks * 2].into_boxed_slice();
        for (track, rtp, rtcp) in session.datagram_peers() {
            destinations[Channel::rtp(track).index()] = Destination::new(ports.rtp.family, rtp.0);
            destinations[Channel::rtcp(track).index()] = Destination::new(ports.rtcp.family, rtcp.0);
        }
        let source = Source::new(ports.leave_from(session.local).ip());
        Some(Sink::Datagrams(Box::new(DatagramSink {
            destinations,
            source,
            ports: ports_key,
            paced_until: None,
        })))
    }

    /// PAUSE: a reader gets nothing until PLAY, which goes on live; a publisher may be silent.
    pub(super) fn pause(
        &mut self,
        key: ConnectionKey,
        rtsp: &message::Request,
    ) -> Result<Response, Response> {
        let session_key = self.named_session(key, rtsp)?;
        let session = self.state.sessions.get_mut(session_key).ok_or_else(gone)?;
        session.rtsp_mut().ok_or_else(gone)?.pause().map_err(Response::new)?;
        if let (Some(stream), Some(reader)) = (session.stream, session.reader)
            && let Some(stream) = self.state.streams.get_mut(stream)
            && let Some(reader) = stream.readers.get_mut(reader)
        {
            reader.flow = Flow::Paused;
        }
        self.state.tell_state(session_key);
        Ok(self.with_session(rtsp))
    }
}

/// The channels a reader asked for, if they are not ours.
fn channel_map(session: &Session) -> ChannelMap {
    let tracks = session.tracks().map(|(track, _)| track + 1).max()?;
    let mut channels: Box<[u8]> = (0..tracks as u8 * 2).collect();
    let ours = channels.clone();
    for (track, transport) in session.tracks() {
        if let TrackTransport::Interleaved { rtp, rtcp } = transport {
            (channels[track * 2], channels[track * 2 + 1]) = (*rtp, *rtcp);
        }
    }
    (channels != ours).then_some(channels)
}

/// Where a new reader starts.
fn start(stream: &Stream) -> Option<Position> {
    stream.log.random_access()
}

fn track_of(uri: &str, description: &Description) -> Result<usize, Response> {
    let uri = Uri::parse(uri).map_err(|error| Response::new(error.status()))?;
    match split_track(&uri).2 {
        Some(track) if track < description.tracks.len() => Ok(track),
        Some(_) => Err(Response::new(Status::NOT_FOUND)),
        None if description.tracks.len() == 1 => Ok(0),
        None => Err(Response::new(Status::AGGREGATE_OPERATION_NOT_ALLOWED)),
    }
}

/// The first sequence number and timestamp of each track (RFC 2326, section 12.33).
fn rtp_infos(stream: &Stream, start: Option<Position>, mask: Mask, base: &str) -> Vec<RtpInfo> {
    let Some(start) = start else { return Vec::new() };
    let mut found = first_packets(&stream.log, start, mask);
    found.sort_by_key(|(track, _)| *track);
    found
        .into_iter()
        .filter_map(|(track, packet)| {
            let packet = rtp::Packet::parse(packet).ok()?;
            Some(RtpInfo {
                url: format!("{base}/trackID={track}"),
                seq: Some(packet.sequence.0),
                rtptime: Some(packet.timestamp.0),
            })
        })
        .collect()
}
