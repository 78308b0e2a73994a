//! Readers: a cursor into the log, and where its packets go.

use super::Position;
use super::batch::Mask;
use crate::http::ExchangeId;
use crate::net::address::Destination;
use crate::net::udp::Source;
use crate::shard::datagrams::PortsKey;
use crate::shard::{ConnectionKey, SessionKey};
use std::os::fd::RawFd;
use std::time::Instant;

slotmap::new_key_type! {
    /// A reader's place in its stream.
    pub(crate) struct ReaderKey;
}

/// Whether a reader can be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Gets whatever is due.
    Flowing,
    /// Its connection, or the datagram socket, is full; it goes on when that becomes writable.
    Blocked,
    /// Waits for a random access point at or after its cursor.
    Waiting { since: Instant },
    /// Both: waits for a random access point on a connection that is full.
    BlockedWaiting { since: Instant },
    /// Its session is paused.
    Paused,
}

impl Flow {
    /// After the connection became full.
    pub(crate) fn blocked(self) -> Flow {
        match self {
            Flow::Flowing | Flow::Blocked => Flow::Blocked,
            Flow::Waiting { since } | Flow::BlockedWaiting { since } => Flow::BlockedWaiting { since },
            Flow::Paused => Flow::Paused,
        }
    }

    /// After the connection took all that waited.
    pub(crate) fn unblocked(self) -> Flow {
        match self {
            Flow::Blocked | Flow::Flowing => Flow::Flowing,
            Flow::BlockedWaiting { since } | Flow::Waiting { since } => Flow::Waiting { since },
            Flow::Paused => Flow::Paused,
        }
    }
}

/// Where the packets of a datagram reader go.
pub(crate) struct DatagramSink {
    /// Indexed by channel; `None` for tracks that were not set up.
    pub(crate) destinations: Box<[Option<Destination>]>,
    pub(crate) source: Source,
    /// The ports they leave from.
    pub(crate) ports: PortsKey,
    /// A reader that is behind gets nothing before this time.
    pub(crate) paced_until: Option<Instant>,
}

/// Interleaved channels a reader insists on, indexed by ours. `None` where they are the same: then packets go out as
/// they lie in the log.
pub(crate) type ChannelMap = Option<Box<[u8]>>;

pub(crate) enum Sink {
    /// Interleaved on a plain connection. The descriptor is the connection's, which outlives the reader.
    Tcp {
        fd: RawFd,
        connection: ConnectionKey,
        channels: ChannelMap,
    },
    /// Interleaved on an encrypted connection.
    Tls {
        connection: ConnectionKey,
        channels: ChannelMap,
    },
    Datagrams(Box<DatagramSink>),
    /// The body of a response on an HTTP/2 connection, which carries others beside it.
    Body {
        connection: ConnectionKey,
        exchange: ExchangeId,
    },
}

/// One session's reading of one stream.
pub(crate) struct Reader {
    pub(crate) session: SessionKey,
    pub(crate) sink: Sink,
    pub(crate) flow: Flow,
    /// The next packet to send.
    pub(crate) cursor: Position,
    /// Has not reached the newest packet yet: is not bound to the delivery window until then.
    pub(crate) catching_up: bool,
    /// Trains of the packets from the cursor on that have been sent (datagram readers that were blocked amid a flush).
    pub(crate) trains_sent: u32,
    /// The channels this reader set up.
    pub(crate) mask: Mask,
    pub(crate) sent_bytes: u64,
    /// RTP and RTCP packets.
    pub(crate) sent_packets: u64,
    /// RTCP packets among them.
    pub(crate) sent_reports: u64,
    /// Packets skipped because it was too slow.
    pub(crate) discarded: u64,
    pub(crate) skips: u32,
}

impl Reader {
    /// A reader that has got nothing yet.
    pub(crate) fn new(session: SessionKey, sink: Sink, mask: Mask, cursor: Position, flow: Flow) -> Reader {
        Reader {
            session,
            sink,
            flow,
            cursor,
            catching_up: true,
            trains_sent: 0,
            mask,
            sent_bytes: 0,
            sent_packets: 0,
            sent_reports: 0,
            discarded: 0,
            skips: 0,
        }
    }

    /// Ends the pause of a datagram reader that is behind.
    pub(crate) fn lift_pace(&mut self) {
        if let Sink::Datagrams(sink) = &mut self.sink {
            sink.paced_until = None;
        }
    }

    pub(crate) fn connection(&self) -> Option<ConnectionKey> {
        match &self.sink {
            Sink::Tcp { connection, .. } | Sink::Tls { connection, .. } | Sink::Body { connection, .. } => {
                Some(*connection)
            }
            Sink::Datagrams(_) => None,
        }
    }
}
