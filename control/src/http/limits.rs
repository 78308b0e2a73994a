//! Every bound of the control ports, with its reason. What is refused is counted by reason ([`super::counters`]).

use std::time::Duration;

/// Connections of one listener: dashboards, scrapers and scripts need tens; each holds a buffer of some 16 KiB.
pub(crate) const CONNECTIONS_MAX: usize = 1024;
/// Connections of one address, so that one client cannot take them all; one more closes the one that is idle for longest,
/// or is refused where all have a request under way. Trusted proxies are exempt: everybody comes
/// through them.
pub(crate) const CONNECTIONS_PER_ADDRESS_MAX: usize = 256;
/// Until the address of a host to listen on is known.
pub(crate) const RESOLVE: Duration = Duration::from_secs(10);
/// Connections that wait to be accepted.
pub(crate) const BACKLOG: i32 = 1024;

/// Header fields of a request; browsers send about 20.
pub(crate) const HEADERS_MAX: usize = 100;
/// Bytes of a request line and its header fields. Tokens (JWT) of some kilobytes must fit.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a path and query: a path's name has 255, percent-encoding triples it; a token may be in the query.
pub(crate) const URL_BYTES_MAX: usize = 16 * 1024;
/// A client that sends its head slower is cut (slow-loris). The time starts with the connection and, between requests,
/// with the last answer, so it bounds an idle HTTP/1.1 connection too.
pub(crate) const HEAD_READ: Duration = Duration::from_secs(10);
/// A handshake that takes longer is cut.
pub(crate) const TLS_HANDSHAKE: Duration = Duration::from_secs(10);
/// An HTTP/2 connection without a request is closed after this; the pings in between find dead ones.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// A client that takes nothing of its answer for this long is cut.
pub(crate) const WRITE: Duration = Duration::from_secs(30);
/// Requests of one HTTP/2 connection at once.
pub(crate) const STREAMS_PER_CONNECTION_MAX: u32 = 64;

/// Bytes of a body, as MediaMTX: 10,000 paths with all their keys fit.
pub(crate) const BODY_BYTES_MAX: usize = 10 * 1024 * 1024;
/// A body that takes longer to arrive is refused.
pub(crate) const BODY_READ: Duration = Duration::from_secs(30);
/// Until the head of an answer is there. Answers that stream go on.
pub(crate) const REQUEST: Duration = Duration::from_secs(60);
/// The same where answers are recordings of up to five minutes.
pub(crate) const RECORDING: Duration = Duration::from_secs(330);

/// Running requests get this long to finish when a listener closes.
pub(crate) const DRAIN: Duration = Duration::from_secs(5);
/// A listener without descriptors pauses this long before it accepts again.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Wrong credentials are answered after a random time of up to this, as MediaMTX does, which makes guessing slow.
pub(crate) const REFUSAL_DELAY_MAX: Duration = Duration::from_secs(4);
/// Refusals that wait at once; further ones are answered at once, so that guessers cannot fill the memory.
pub(crate) const REFUSALS_DELAYED_MAX: usize = 256;
