//! RTSP, spoken by the client machine of `protocols` until media flows. Readers that discard what they get keep
//! their session alive with requests made here, since nobody reads the answers.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use bytes::{Bytes, BytesMut};
use headwater_protocols::rtsp::client::{Client, ClientTransport, Config, Event, Goal};
use headwater_protocols::rtsp::message::{Method, Request};

use super::Element;
use crate::limits;
use crate::media::SDP;

/// See the module.
pub(crate) struct Talk {
    machine: Client,
    server: SocketAddr,
    url: String,
    started: bool,
    leaving: bool,
    ended: bool,
    server_ports: Option<(SocketAddr, SocketAddr)>,
    /// The Session header's value, for keep-alives of our own.
    session: Option<String>,
    keep_alive_at: Instant,
    keep_alives: u32,
}

/// The URL of a path.
fn url(server: SocketAddr, path: usize) -> String {
    format!("rtsp://{server}/bench/{path}")
}

impl Talk {
    /// A reader of `path`; `ports` are its RTP and RTCP ports if media comes over UDP.
    pub(crate) fn reader(
        server: SocketAddr,
        path: usize,
        ports: Option<(u16, u16)>,
        now: Instant,
    ) -> Result<Talk> {
        Talk::new(server, path, ports, Goal::Play, now)
    }

    /// The publisher of `path`; `ports` are its RTP and RTCP ports if it sends over UDP.
    pub(crate) fn publisher(
        server: SocketAddr,
        path: usize,
        ports: Option<(u16, u16)>,
        now: Instant,
    ) -> Result<Talk> {
        Talk::new(server, path, ports, Goal::Publish { sdp: Bytes::from_static(SDP.as_bytes()) }, now)
    }

    fn new(
        server: SocketAddr,
        path: usize,
        ports: Option<(u16, u16)>,
        goal: Goal,
        now: Instant,
    ) -> Result<Talk> {
        let transport = match ports {
            Some(pair) => ClientTransport::Udp { ports: vec![pair] },
            None => ClientTransport::Tcp,
        };
        let url = url(server, path);
        let user_agent = "headwater-bench".to_owned();
        let config = Config { url: url.clone(), goal, transport, user_agent, credentials: None };
        Ok(Talk {
            machine: Client::new(config, now).context("the client machine")?,
            server,
            url,
            started: false,
            leaving: false,
            ended: false,
            server_ports: None,
            session: None,
            keep_alive_at: now + limits::KEEP_ALIVE_INTERVAL,
            keep_alives: 0,
        })
    }

    pub(crate) fn started(&self) -> bool {
        self.started
    }

    pub(crate) fn server_ports(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.server_ports
    }

    pub(crate) fn open(&mut self, now: Instant, out: &mut BytesMut) -> Result<()> {
        self.machine.handle_timeout(now);
        self.drain(out, &mut Vec::new())
    }

    pub(crate) fn input(
        &mut self,
        now: Instant,
        input: Bytes,
        out: &mut BytesMut,
        media: &mut Vec<Element>,
    ) -> Result<()> {
        if !self.started && self.session.is_none() {
            self.session = find_session(&input);
        }
        self.machine.handle_input(now, input);
        self.drain(out, media)
    }

    /// Asks for nothing but to be kept. `parsed`: the machine sees the answers and does it itself.
    pub(crate) fn timer(&mut self, now: Instant, parsed: bool, out: &mut BytesMut) -> Result<()> {
        if parsed {
            self.machine.handle_timeout(now);
            return self.drain(out, &mut Vec::new());
        }
        if now >= self.keep_alive_at {
            self.keep_alive_at = now + limits::KEEP_ALIVE_INTERVAL;
            self.keep_alives += 1;
            let mut request = Request::new(Method::GetParameter, self.url.as_str());
            request.headers.push("CSeq", (1_000 + self.keep_alives).to_string());
            if let Some(session) = &self.session {
                request.headers.push("Session", session.clone());
            }
            request.write(out);
        }
        Ok(())
    }

    /// Ends the session in order: TEARDOWN.
    pub(crate) fn teardown(&mut self, out: &mut BytesMut) {
        self.leaving = true;
        self.machine.teardown();
        while let Some(bytes) = self.machine.poll_transmit() {
            out.extend_from_slice(&bytes);
        }
    }

    /// Whether the server answered TEARDOWN.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    fn drain(&mut self, out: &mut BytesMut, media: &mut Vec<Element>) -> Result<()> {
        while let Some(event) = self.machine.poll_event() {
            match event {
                Event::Interleaved { channel, payload } => media.push(Element::Packet { channel, payload }),
                Event::SetUp { transport, .. } => {
                    let ip = self.server.ip();
                    self.server_ports = transport
                        .server_port
                        .map(|(rtp, rtcp)| (SocketAddr::new(ip, rtp), SocketAddr::new(ip, rtcp)));
                }
                Event::Playing { .. } | Event::Recording => self.started = true,
                Event::Described { .. } => {}
                Event::Redirected { location } => bail!("the server redirects to {location}"),
                Event::Failed { status, method } => bail!("{} was answered {}", method.as_str(), status.0),
                Event::Closed(Some(error)) => return Err(error).context("the conversation failed"),
                Event::Closed(None) if self.leaving => self.ended = true,
                Event::Closed(None) => bail!("the conversation ended"),
            }
        }
        while let Some(bytes) = self.machine.poll_transmit() {
            out.extend_from_slice(&bytes);
        }
        Ok(())
    }
}

/// The session id in an answer.
fn find_session(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let line =
        text.lines().find(|line| line.get(..8).is_some_and(|name| name.eq_ignore_ascii_case("session:")))?;
    Some(line[8..].split(';').next()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_is_found_without_its_timeout() {
        let answer = b"RTSP/1.0 200 OK\r\nCSeq: 3\r\nSession: 12345678;timeout=60\r\n\r\n";
        assert_eq!(find_session(answer), Some("12345678".to_owned()));
        assert_eq!(find_session(b"RTSP/1.0 200 OK\r\n\r\n"), None);
    }

    #[test]
    fn a_publisher_announces_and_sets_up() {
        let now = Instant::now();
        let server = SocketAddr::from(([127, 0, 0, 1], 8_554));
        let mut talk = Talk::publisher(server, 2, Some((10_000, 10_001)), now).expect("the SDP is sound");
        let mut out = BytesMut::new();
        talk.open(now, &mut out).expect("opens");
        for (expected, answer) in [
            ("OPTIONS rtsp://127.0.0.1:8554/bench/2 ", "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n"),
            ("ANNOUNCE rtsp://127.0.0.1:8554/bench/2 ", "RTSP/1.0 200 OK\r\nCSeq: 2\r\n\r\n"),
            (
                "SETUP rtsp://127.0.0.1:8554/bench/2/trackID=0 ",
                "RTSP/1.0 200 OK\r\nCSeq: 3\r\nSession: 1\r\nTransport: RTP/AVP/UDP;unicast;client_port=10000-10001;server_port=8000-8001\r\n\r\n",
            ),
            ("RECORD ", "RTSP/1.0 200 OK\r\nCSeq: 4\r\nSession: 1\r\n\r\n"),
        ] {
            let sent = String::from_utf8(out.split().to_vec()).expect("text");
            assert!(sent.starts_with(expected), "{sent} is no {expected}");
            talk.input(now, Bytes::from_static(answer.as_bytes()), &mut out, &mut Vec::new())
                .expect("goes on");
        }
        assert!(talk.started());
        assert_eq!(talk.server_ports().map(|(rtp, rtcp)| (rtp.port(), rtcp.port())), Some((8_000, 8_001)));
    }
}
