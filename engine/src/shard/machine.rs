//! The protocol machine of one connection.
//!
//! What every protocol has in common is here; what only one has is asked of that one ([`Machine::rtsp`], …).

use crate::rtmp;
use bytes::Bytes;
use headwater_protocols::rtsp;
use std::time::Instant;

pub(crate) enum Machine {
    Rtsp(Box<rtsp::server::Server>),
    Rtmp(Box<rtmp::Connection>),
    /// Kept beside the connections ([`crate::web`]).
    Http,
}

impl Machine {
    pub(crate) fn handle_input(&mut self, now: Instant, input: Bytes) {
        match self {
            Machine::Rtsp(server) => server.handle_input(now, input),
            Machine::Rtmp(rtmp) => rtmp.server.handle_input(now, input),
            Machine::Http => {}
        }
    }

    pub(crate) fn handle_eof(&mut self) {
        match self {
            Machine::Rtsp(server) => server.handle_eof(),
            Machine::Rtmp(rtmp) => rtmp.server.handle_eof(),
            Machine::Http => {}
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match self {
            Machine::Rtsp(server) => server.handle_timeout(now),
            Machine::Rtmp(rtmp) => rtmp.server.handle_timeout(now),
            Machine::Http => {}
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Machine::Rtsp(server) => server.poll_timeout(),
            Machine::Rtmp(rtmp) => rtmp.server.poll_timeout(),
            Machine::Http => None,
        }
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Bytes> {
        match self {
            Machine::Rtsp(server) => server.poll_transmit(),
            Machine::Rtmp(rtmp) => rtmp.server.poll_transmit(),
            Machine::Http => None,
        }
    }

    /// Whether sessions live on the connection: then silence is no reason to close it.
    pub(crate) fn set_attached(&mut self, attached: bool) {
        match self {
            Machine::Rtsp(server) => server.set_attached(attached),
            Machine::Rtmp(_) | Machine::Http => {}
        }
    }

    pub(crate) fn rtsp(&mut self) -> Option<&mut rtsp::server::Server> {
        match self {
            Machine::Rtsp(server) => Some(server),
            Machine::Rtmp(_) | Machine::Http => None,
        }
    }

    /// Says what a protocol says before the server closes a connection.
    pub(crate) fn say_goodbye(&mut self) {
        match self {
            Machine::Rtsp(_) | Machine::Http => {}
            Machine::Rtmp(rtmp) => rtmp.server.end(),
        }
    }
}
