//! RTMP sessions on the engine: what joins the protocol machine to connections and streams.
//!
//! - [`request`]: from `publish` and `play` to a walk through the modules, and from the answer to the reply.
//! - [`publish`]: from messages to tracks and units. [`read`]: a reader of the stream's RTMP form.
//!
//! A session is its connection: it begins when `publish` or `play` is let in and ends with `deleteStream` or the connection.

mod publish;
mod read;
mod request;

use headwater_protocols::flv::{Capabilities, Demuxer};
use headwater_protocols::rtmp::Server;
use headwater_protocols::rtmp::server::{Connect, Play, Publish};
use std::time::Instant;

/// One RTMP connection.
pub(crate) struct Connection {
    pub(crate) server: Server,
    /// What the client can play.
    capabilities: Capabilities,
    /// What it calls itself.
    flash_version: Box<str>,
    publishing: Option<Box<Publishing>>,
}

/// A stream on its way in.
struct Publishing {
    demuxer: Demuxer,
    /// Until the tracks are known: when the first message came.
    detecting_since: Option<Instant>,
}

/// What a client asks for that walks through the modules.
pub(crate) enum Asked {
    Publish(Publish),
    Play(Play),
}

impl Connection {
    pub(crate) fn new(server: Server) -> Connection {
        Connection {
            server,
            capabilities: Capabilities::legacy(),
            flash_version: Box::default(),
            publishing: None,
        }
    }

    fn connected(&mut self, connect: Connect) {
        self.capabilities = connect.capabilities;
        self.flash_version = connect.flash_version;
    }
}
