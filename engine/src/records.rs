//! What the control core sees of connections, sessions and streams: records that a shard writes and the control core
//! reads, and the events that tell of them.
//!
//! A record belongs to the shard that has the thing itself; its counts have one writer and are read without asking.
//! Byte and packet counts of sessions and streams are brought up to date once a second and at the end.

use crate::access;
use crate::counters::{Counter, Float};
use headwater_protocols::track::{Skipped, Track};
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

/// Names a connection or session to operators: a random UUID (RFC 9562, version 8) that carries its shard.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub(crate) [u8; 16]);

impl Id {
    /// Index of the shard where the thing was made.
    pub fn shard_index(self) -> u8 {
        self.0[7]
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, byte) in self.0.iter().enumerate() {
            if matches!(n, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id has the form 00000000-0000-0000-0000-000000000000")]
pub struct InvalidId;

impl FromStr for Id {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Id, InvalidId> {
        let bytes = text.as_bytes();
        let dashes = [8, 13, 18, 23];
        if bytes.len() != 36 || dashes.iter().any(|at| bytes[*at] != b'-') {
            return Err(InvalidId);
        }
        let mut digits = bytes.iter().filter(|byte| **byte != b'-').map(|byte| (*byte as char).to_digit(16));
        let mut id = [0; 16];
        for byte in &mut id {
            let (Some(Some(high)), Some(Some(low))) = (digits.next(), digits.next()) else {
                return Err(InvalidId);
            };
            *byte = (high << 4 | low) as u8;
        }
        Ok(Id(id))
    }
}

/// What a connection or session speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    Rtsp,
    Rtsps,
    Rtmp,
    Rtmps,
    /// HTTP: connections, and sessions that read an endless stream (FLV, MPEG-TS).
    Http,
    Https,
    /// Sessions of HLS players, which come and go over any number of connections.
    Hls,
}

impl Protocol {
    pub const ALL: [Protocol; 7] = [
        Protocol::Rtsp,
        Protocol::Rtsps,
        Protocol::Rtmp,
        Protocol::Rtmps,
        Protocol::Http,
        Protocol::Https,
        Protocol::Hls,
    ];

    /// `rtsp`, `rtsps`, …
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Rtsp => "rtsp",
            Protocol::Rtsps => "rtsps",
            Protocol::Rtmp => "rtmp",
            Protocol::Rtmps => "rtmps",
            Protocol::Http => "http",
            Protocol::Https => "https",
            Protocol::Hls => "hls",
        }
    }
}

/// What a session does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    Idle,
    Read,
    Publish,
}

/// How a session's media travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
}

/// An accepted connection.
#[derive(Debug)]
pub struct Connection {
    pub id: Id,
    pub created: SystemTime,
    pub protocol: Protocol,
    /// The client; behind a trusted proxy, what the proxy said.
    pub remote: SocketAddr,
    pub inbound_bytes: Counter,
    pub outbound_bytes: Counter,
}

/// What one client does with one path.
#[derive(Debug)]
pub struct Session {
    pub id: Id,
    pub created: SystemTime,
    pub protocol: Protocol,
    pub remote: SocketAddr,
    pub path: Arc<str>,
    /// Of the request that opened it, without the question mark.
    pub query: Box<str>,
    /// Who was let in; empty for anybody.
    pub user: Box<str>,
    pub user_agent: Box<str>,
    pub kind: SessionKind,
    /// Tracks of the path that the client is not given, with the reason; set when it begins to read.
    pub skipped: OnceLock<Box<[Skipped]>>,
    pub counts: SessionCounts,
}

/// What a session is beyond its protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionKind {
    #[default]
    Plain,
    /// An endless stream over HTTP.
    Flv,
    WebSocketFlv,
    MpegTs,
    /// An HLS player that showed the secret of a content delivery network.
    Cdn,
}

/// The HLS muxer of a path, on the path's home shard.
#[derive(Debug)]
pub struct Muxer {
    /// Of the stream it muxes.
    pub stream: u64,
    pub path: Arc<str>,
    pub created: SystemTime,
    /// `mpegts`, `fmp4` or `lowLatency`.
    pub variant: &'static str,
    /// Milliseconds of the UNIX epoch.
    pub last_request_ms: Counter,
    /// Sent of its segments and playlists, by all shards.
    pub outbound_bytes: Counter,
    /// Units that could not be muxed.
    pub outbound_frames_discarded: Counter,
    pub skipped: Box<[Skipped]>,
}

/// Inbound is what the client sent, outbound what it was sent.
#[derive(Debug, Default)]
pub struct SessionCounts {
    pub inbound_bytes: Counter,
    pub inbound_rtp_packets: Counter,
    pub inbound_rtp_packets_lost: Counter,
    pub inbound_rtp_packets_in_error: Counter,
    /// Mean of the tracks' interarrival jitter, in the units of their clocks (RFC 3550, section 6.4.1).
    pub inbound_rtp_packets_jitter: Float,
    pub inbound_rtcp_packets: Counter,
    pub inbound_rtcp_packets_in_error: Counter,
    pub outbound_bytes: Counter,
    pub outbound_rtp_packets: Counter,
    /// What the client reported as lost.
    pub outbound_rtp_packets_reported_lost: Counter,
    /// Skipped because the client was too slow.
    pub outbound_rtp_packets_discarded: Counter,
    pub outbound_rtcp_packets: Counter,
    /// Jumps to a random access point because the client was too slow.
    pub skips: Counter,
}

/// A path's stream on one shard: the home, where the publisher is, or a replica.
#[derive(Debug)]
pub struct Stream {
    /// The same on every shard.
    pub id: u64,
    pub path: Arc<str>,
    pub shard: u8,
    pub home: bool,
    pub created: SystemTime,
    pub tracks: Vec<Track>,
    /// From the publisher; zero on replicas.
    pub inbound_bytes: Counter,
    pub inbound_frames_in_error: Counter,
    /// To the readers of this shard.
    pub outbound_bytes: Counter,
    /// Readers on this shard now.
    pub readers: Counter,
    /// Bytes that the log holds on this shard now.
    pub log_bytes: Counter,
}

/// What shards tell the control core, in the order it happened.
#[derive(Debug)]
pub enum Event {
    ConnectionOpened(Arc<Connection>),
    /// To another shard.
    ConnectionMoved {
        id: Id,
        shard: u8,
    },
    ConnectionClosed {
        id: Id,
        reason: Box<str>,
    },
    /// Idle, on the connection named.
    SessionOpened {
        session: Arc<Session>,
        connection: Option<Id>,
    },
    /// The session is controlled from another connection, or (`None`) from none.
    SessionMoved {
        id: Id,
        connection: Option<Id>,
    },
    SessionChanged {
        id: Id,
        state: SessionState,
        transport: Option<Transport>,
    },
    SessionClosed {
        id: Id,
        reason: Box<str>,
    },
    /// A stream appeared on a shard. A home appears when its path becomes available.
    StreamOpened(Arc<Stream>),
    /// The home's publisher: somebody new, or (`None`) gone, while its readers wait.
    StreamPublisher {
        id: u64,
        session: Option<Id>,
    },
    StreamClosed {
        id: u64,
        shard: u8,
    },
    MuxerOpened(Arc<Muxer>),
    MuxerClosed {
        stream: u64,
    },
    /// May this be done? To be answered by [`crate::Engine::answer`].
    Question(Box<Question>),
    /// Events were dropped before this one. Everything that lives on the shard follows.
    Census(Box<Census>),
}

/// A request that waits for the control core.
#[derive(Debug)]
pub struct Question {
    pub ticket: Ticket,
    pub request: access::Request,
}

/// Names a waiting request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub(crate) shard: u8,
    pub(crate) number: u64,
}

/// Everything that lives on one shard.
#[derive(Debug)]
pub struct Census {
    pub shard: u8,
    pub connections: Vec<Arc<Connection>>,
    pub sessions: Vec<SessionEntry>,
    /// With the session that publishes, for homes.
    pub streams: Vec<(Arc<Stream>, Option<Id>)>,
    pub muxers: Vec<Arc<Muxer>>,
}

/// A session with what else is known of it.
#[derive(Clone, Debug)]
pub struct SessionEntry {
    pub session: Arc<Session>,
    pub connection: Option<Id>,
    pub state: SessionState,
    pub transport: Option<Transport>,
}

/// What a shard is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Sleep,
    Events,
    Mesh,
    Asks,
    Read,
    Requests,
    Tick,
    Publish,
    Flush,
}

impl Phase {
    pub const ALL: [Phase; 9] = [
        Phase::Sleep,
        Phase::Events,
        Phase::Mesh,
        Phase::Asks,
        Phase::Read,
        Phase::Requests,
        Phase::Tick,
        Phase::Publish,
        Phase::Flush,
    ];

    /// For people: `sleep`, `events`, …
    pub fn name(self) -> &'static str {
        match self {
            Phase::Sleep => "sleep",
            Phase::Events => "events",
            Phase::Mesh => "mesh",
            Phase::Asks => "asks",
            Phase::Read => "read",
            Phase::Requests => "requests",
            Phase::Tick => "tick",
            Phase::Publish => "publish",
            Phase::Flush => "flush",
        }
    }
}

/// What one shard is doing now.
#[derive(Clone, Copy, Debug)]
pub struct Activity {
    pub shard: u8,
    pub phase: Phase,
    pub turns: u64,
    /// The turn under way, or the sleep, began this long ago.
    pub since: std::time::Duration,
    /// Asks of the control core that wait.
    pub asks: usize,
}

/// One phase of one turn, for traces.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub shard: u8,
    pub phase: Phase,
    /// Since the engine started.
    pub start: std::time::Duration,
    pub length: std::time::Duration,
}
