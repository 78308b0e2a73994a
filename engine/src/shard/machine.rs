//! The protocol machine of one connection.
//!
//! What every protocol has in common is here; what only one has is asked of that one ([`Machine::rtsp`], …). Sizes differ
//! little, since each connection is boxed already.

use bytes::Bytes;
use headwater_protocols::rtsp;
use std::time::Instant;

pub(crate) enum Machine {
    Rtsp(rtsp::server::Server),
}

impl Machine {
    pub(crate) fn handle_input(&mut self, now: Instant, input: Bytes) {
        match self {
            Machine::Rtsp(server) => server.handle_input(now, input),
        }
    }

    pub(crate) fn handle_eof(&mut self) {
        match self {
            Machine::Rtsp(server) => server.handle_eof(),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match self {
            Machine::Rtsp(server) => server.handle_timeout(now),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Machine::Rtsp(server) => server.poll_timeout(),
        }
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Bytes> {
        match self {
            Machine::Rtsp(server) => server.poll_transmit(),
        }
    }

    /// Whether sessions live on the connection: then silence is no reason to close it.
    pub(crate) fn set_attached(&mut self, attached: bool) {
        match self {
            Machine::Rtsp(server) => server.set_attached(attached),
        }
    }

    pub(crate) fn rtsp(&mut self) -> Option<&mut rtsp::server::Server> {
        match self {
            Machine::Rtsp(server) => Some(server),
        }
    }
}
