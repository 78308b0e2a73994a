//! Every bound of the engine, with its reason. What a bound refuses is counted in [`crate::counters`].

use std::time::Duration;

/// Shards of one process: the session id carries the shard in one byte.
pub const SHARDS_MAX: usize = 250;

/// Messages of one mesh ring (one ordered pair of shards). 1,024 batches are more than 25 streams at 39 batches a
/// second send in a second, so only a stalled shard fills it.
pub const MESH_RING_SLOTS: usize = 1024;
/// Batches and datagrams that wait outside a full ring. What comes past it is dropped and counted; a replica restarts at
/// the next random access point. Control messages are never dropped: sessions and streams, which are bounded, cause them.
pub const MESH_OUTBOX_DROPPABLE_MAX: usize = 4096;
/// Asks of the control core that wait for one shard, such as kicks; a shard takes them all in one turn.
pub const DOOR_ASKS_MAX: usize = 4096;
/// Events that wait for the control core: what 100,000 sessions cause that open and close while it is busy for a
/// moment, 50 MiB at most. What comes past it is dropped and counted, and a census follows.
pub const EVENTS_MAX: usize = 262_144;
/// Requests of one shard that wait for an answer of the control core.
pub const QUESTIONS_MAX: usize = 8192;

/// Connections of one shard, unless the descriptor limit is lower. 100,000 idle RTSP connections cost about 100 MiB.
pub const CONNECTIONS_PER_SHARD_MAX: usize = 100_000;
/// Descriptors left for files, rings and listeners when the connection limit is derived from RLIMIT_NOFILE.
pub const DESCRIPTORS_RESERVED: u64 = 64;
/// Sessions on one connection: aggregate players use one; a proxy for several cameras uses a handful.
pub const SESSIONS_PER_CONNECTION_MAX: usize = 16;
/// Connections accepted in one turn of a shard, so that a flood of them leaves time for media.
pub const ACCEPTS_PER_TURN_MAX: usize = 64;
/// A trusted proxy sends its header within this; it sends it first.
pub const PROXY_HEADER_WAIT: Duration = Duration::from_secs(5);
/// How long accepting pauses after the descriptor table was full.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Listen queue of each shard's listener; the kernel caps it at net.core.somaxconn.
pub const LISTEN_BACKLOG: i32 = 4096;

/// Bytes read from one connection in one turn before the others get theirs.
pub const READ_BYTES_PER_TURN_MAX: usize = 256 * 1024;
/// Size of a shard's receive buffer: the largest datagram train the kernel hands over at once (GRO) fits.
pub const READ_BUFFER_BYTES: usize = 128 * 1024;
/// Datagrams read from one socket in one turn.
pub const DATAGRAMS_PER_TURN_MAX: usize = 512;

/// Answers and reports that wait for one connection to become writable. A client that asks without reading its answers is closed.
pub const CONTROL_QUEUE_BYTES_MAX: usize = 256 * 1024;

/// Bytes one stream's log may hold on one shard, whatever the distance of the random access points: a 10 s GOP at 25
/// Mbit/s. With readers over UDP their form of the same packets comes on top, so twice as much at worst.
pub const LOG_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Batches of one log.
pub const LOG_BATCHES_MAX: usize = 16_384;
/// How long batches before the newest random access point are kept, so that a reader a little behind it goes on without a skip.
pub const LOG_TRAIL: Duration = Duration::from_millis(1000);
/// Bytes of one batch being built: one turn's reading of one publisher, and what a 32-bit offset allows many times over.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// How long a reader waits for a random access point in a stream that shows none, before it starts anywhere.
pub const RANDOM_ACCESS_WAIT: Duration = Duration::from_secs(4);

/// Slices of one vectored send.
pub const SEND_SLICES_MAX: usize = 64;
/// Bytes encrypted or renumbered for one reader in one flush: what an encrypted reader that stops reading holds in user
/// memory, and what a slow one with channels of its own costs in vain.
pub const COPIED_BYTES_MAX: usize = 64 * 1024;
/// Segments of one segmented send (the kernel's UDP_MAX_SEGMENTS was 64 before Linux 6.9).
pub const SEGMENTS_PER_SEND_MAX: usize = 64;
/// Payload bytes of one segmented send: the IPv4 limit less the headers.
pub const SEGMENTED_BYTES_MAX: usize = 65_000;
/// Bytes a UDP reader that is behind gets per flush: its receive buffer (212,992 by default) must not overflow at the start.
pub const UDP_CATCH_UP_BYTES: usize = 32 * 1024;
/// Pause between two such flushes. Together they let a reader catch up with a stream of up to 250 Mbit/s.
pub const UDP_CATCH_UP_PAUSE: Duration = Duration::from_millis(1);
/// Flushes that a stream's end makes for readers that are behind: 64 MiB for an encrypted one.
pub const CLOSING_FLUSHES_MAX: usize = 1024;
/// Trains of one system call (sendmmsg): audio, video and their reports of one picture.
pub const TRAINS_PER_SEND_MAX: usize = 8;

/// How long a publisher's tracks are waited for after its first message: encoders send audio and video in any order.
pub const TRACK_DETECTION: Duration = Duration::from_secs(2);
/// Bytes of a name or password in the query of an RTMP client.
pub const CREDENTIAL_BYTES_MAX: usize = 4096;

/// How long a request for HLS waits: for a muxer's first segment, which takes up to two key frame intervals, and for the next part.
pub const HLS_WAIT: Duration = Duration::from_secs(15);
/// Requests that wait for one muxer.
pub const HLS_WAITERS_MAX: usize = 100_000;
/// Segments and parts of one muxer that are held a second time, in one piece: those that players ask for now.
pub const HLS_JOINED_MAX: usize = 24;
/// HLS sessions of one shard.
pub const HLS_SESSIONS_MAX: usize = 200_000;
/// HLS sessions of one address on one shard: many players share one behind a NAT, but one must not take all places.
pub const HLS_SESSIONS_PER_ADDRESS_MAX: usize = 20_000;
/// An HLS session whose player has asked for nothing for this long is over, as in MediaMTX.
pub const HLS_SESSION_IDLE: Duration = Duration::from_secs(30);
/// Bytes of segments and playlists that wait for the disk: five seconds of 100 Mbit/s. Until then they are held in memory
/// after their muxer has let them go.
pub const HLS_DIRECTORY_QUEUE_BYTES: usize = 64 * 1024 * 1024;
/// What a smaller file counts for in that queue, so that its files are bounded too.
pub const HLS_DIRECTORY_FILE_COST: usize = 4096;
/// Playlists smaller than this are not compressed: it would save no packet.
pub const GZIP_BYTES_MIN: usize = 1024;
/// Live paths that the page of paths lists.
pub const PAGE_PATHS_MAX: usize = 1000;

/// Longest delivery window of a path.
pub const DELIVERY_WINDOW_MAX: Duration = Duration::from_millis(500);

/// Paths of one server.
pub const PATHS_MAX: usize = 100_000;
/// Length of a path name, in bytes.
pub const PATH_NAME_BYTES_MAX: usize = 1024;
/// Readers of one stream on one shard.
pub const READERS_PER_STREAM_MAX: usize = 100_000;

/// Requests of one connection per second, in the long run. Players send one in half a minute.
pub const REQUESTS_PER_SECOND: f64 = 50.0;
/// Requests of one connection at once: setting up sixteen tracks takes twenty.
pub const REQUESTS_BURST: f64 = 200.0;
/// How long a reader's request waits for the log of a stream on another shard.
pub const REPLICA_WAIT: Duration = Duration::from_secs(5);
/// How long the control core may take over expensive hashes of the rules.
pub const HASH_WAIT: Duration = Duration::from_secs(120);
/// Wrong credentials are answered after a random time up to this, as MediaMTX does, so that guessing is slow.
pub const REFUSAL_DELAY_MAX: Duration = Duration::from_secs(4);
/// Times one module may suspend the same request.
pub const WALK_RESUMES_MAX: u8 = 16;

/// Line and headers of an HTTP request, of any sort of cookies and tokens: what nginx and Go's servers take at least.
pub const HTTP_HEAD_BYTES_MAX: usize = 16 * 1024;
/// Headers of an HTTP request, as hyper has room for without a heap.
pub const HTTP_HEADERS_MAX: usize = 100;
/// Body of an HTTP request: session descriptions, JSON, pages of a form. Uploads have their own way.
pub const HTTP_BODY_BYTES_MAX: usize = 1024 * 1024;
/// Request bodies that one HTTP/2 connection has under way at once.
pub const HTTP2_BODIES_BYTES_MAX: usize = 4 * 1024 * 1024;
/// HTTP input that waits for the response before it. More is not read; a turn's reading may come on top.
pub const HTTP_INPUT_BYTES_MAX: usize = 64 * 1024;
/// Waiting HTTP input of up to this is copied out of the receive buffer that it would hold.
pub const HTTP_COPIED_INPUT_BYTES: usize = 4096;
/// Bytes of a response that hyper holds before it writes them, shared with whoever made them.
pub const HTTP_BUFFER_BYTES: usize = 256 * 1024;
/// Bytes of an endless HTTP response that wait for the peer: half a second of 4 Mbit/s.
pub const HTTP_ENDLESS_BYTES_MAX: u64 = 256 * 1024;
/// How long an HTTP connection may stay open between requests: players ask for segments every few seconds.
pub const HTTP_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Time for the head of an HTTP request.
pub const HTTP_HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the body of an HTTP request.
pub const HTTP_BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Requests under way on one HTTP/2 connection. Browsers ask for a playlist and a few parts at once.
pub const HTTP2_STREAMS_MAX: u32 = 32;
/// Bytes of request bodies that an HTTP/2 peer may send on one stream, and on all, before they are read.
pub const HTTP2_STREAM_WINDOW_BYTES: u32 = 64 * 1024;
pub const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
/// Bytes that an HTTP/2 stream takes from its response before its peer does.
pub const HTTP2_SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Streams that an HTTP/2 peer may reset before they are looked at (CVE-2023-44487), and those it may make us reset.
pub const HTTP2_RESETS_AT_ONCE_MAX: usize = 20;
/// Requests that an HTTP/2 peer may give up before they are answered, on top of those it let be answered.
pub const HTTP2_RESETS_MAX: u32 = 100;

/// How long a closing server waits for its last bytes to leave.
pub const SHUTDOWN_FLUSH: Duration = Duration::from_millis(800);
/// How often a closing shard looks whether they have.
pub const SHUTDOWN_LOOK: Duration = Duration::from_millis(10);
/// A shard's housekeeping: timeouts are checked and reports are made this often.
pub const TICK: Duration = Duration::from_millis(250);
/// The records of sessions and streams are brought up to date this often, a part of them in each tick.
pub const RECORDS_EVERY_TICKS: u64 = 4;
/// RTCP receiver reports to publishers, and sender reports to readers when the publisher makes none.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// How long the server waits for a publisher's own sender report before it makes one from the arrival time.
pub const SENDER_REPORT_WAIT: Duration = Duration::from_millis(2500);
/// A session over UDP whose connection is gone ends when nothing was heard of its client for this long. Players report
/// every five seconds.
pub const UNATTENDED_TIMEOUT: Duration = Duration::from_secs(15);
/// Time of a stream's first unit that came as RTP: what is decoded before it is shown still has a time above zero. 16 pictures
/// may be reordered, and those decoded before the first is shown are 10 ms apart.
pub const UNITS_LEAD: Duration = Duration::from_millis(200);
/// Payload of the RTP packets that units are cut into: with its header and those of UDP and IPv6 it fits an Ethernet frame, and SRTP's
/// tag beside it.
pub const RTP_PAYLOAD_BYTES_MAX: usize = 1400;
/// Largest payload of a datagram that is sent, where nothing else is configured: it fits an Ethernet frame over IPv6, as in MediaMTX.
pub const DATAGRAM_BYTES: u16 = 1452;
/// Forms of one stream on one shard. Clients choose among some of them, by what they say they can play.
pub const FORMS_PER_STREAM_MAX: usize = 16;
/// A form that nobody wants any more is kept this long, for whoever comes back.
pub const FORM_LINGER: Duration = Duration::from_secs(10);
/// A replica without readers is kept this long, so that a reader who comes back finds it filled.
pub const REPLICA_LINGER: Duration = Duration::from_secs(5);

/// Spans that are held while a trace is recorded: 4 MiB.
pub const SPANS_MAX: usize = 65_536;
