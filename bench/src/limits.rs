//! Every bound of the harness, with its reason. A harness that hangs or that grows without bound proves nothing.

use std::time::Duration;

/// Readers whose handshake is under way at once: enough to ramp 2,000 within seconds, few enough that no
/// listener's backlog (128 on old defaults) overflows.
pub(crate) const RAMP_IN_FLIGHT_MAX: usize = 64;
/// Readers at most in one run: three descriptors each must stay under the usual limit of 20,000 descriptors.
pub(crate) const READERS_MAX: usize = 6_000;
/// Paths at most in one run: the payload names its path in 16 bits, and each path has a connection.
pub(crate) const PATHS_MAX: usize = 1_000;
/// Sampled readers: every packet of theirs is read and checked, so more of them would load the load core.
pub(crate) const SAMPLE_MIN: usize = 8;
/// See [`SAMPLE_MIN`].
pub(crate) const SAMPLE_MAX: usize = 100;

/// From exec until the server prints its listeners or its port answers. Peers with a runtime need seconds.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(15);
/// A publisher's or reader's handshake.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The whole ramp: this, and [`RAMP_TIMEOUT_PER_READER`] for each reader.
pub(crate) const RAMP_TIMEOUT: Duration = Duration::from_secs(15);
/// See [`RAMP_TIMEOUT`].
pub(crate) const RAMP_TIMEOUT_PER_READER: Duration = Duration::from_millis(20);
/// From the last PLAY until each reader has got media.
pub(crate) const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);
/// After the window, for what is still under way to arrive.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// After the window, at least: packets that come twice would come now.
pub(crate) const DRAIN_MIN: Duration = Duration::from_millis(50);
/// From SIGTERM until SIGKILL.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Receiver reports and a look at timers, once per reader in this time (RFC 3550, section 6.2: 5 s).
pub(crate) const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// Keep-alives of readers whose answers are discarded: under half of the usual 60 s session timeout.
pub(crate) const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(25);

/// Bytes taken by one receive call from a TCP reader: more than a send buffer holds, so one call empties it.
pub(crate) const RECEIVE_BYTES: usize = 1 << 20;
/// Datagrams taken by one `recvmmsg`.
pub(crate) const DATAGRAMS_PER_RECEIVE: usize = 64;
/// Bytes kept of a datagram; a sampled one is never larger, since packets stay under an Ethernet frame.
pub(crate) const DATAGRAM_BYTES_MAX: usize = 2_048;
/// Receive buffer of UDP readers: a second of 2 Mbit/s with the kernel's bookkeeping, so that a pause of the
/// load thread is no loss.
pub(crate) const UDP_RECEIVE_BUFFER_BYTES: usize = 1 << 20;
/// Segments in one GSO send: the kernel takes 64 (128 since 6.9), and 64 KiB in all.
pub(crate) const SEGMENTS_MAX: usize = 48;
/// Bytes in one GSO send: an IP datagram's limit, with room for its headers.
pub(crate) const DATAGRAMS_BYTES_MAX: usize = 65_000;
/// Packet sizes that leave room for RTP, NAL and block headers, and fit an Ethernet frame.
pub(crate) const PACKET_BYTES_MIN: usize = 128;
/// See [`PACKET_BYTES_MIN`].
pub(crate) const PACKET_BYTES_MAX: usize = 1_460;
/// Bytes of a picture in one unit: the filler it is cut from has 64 KiB.
pub(crate) const UNIT_BYTES_MAX: usize = 60_000;
/// Bytes of an HTTP response's head; servers send some hundred.
pub(crate) const HTTP_HEAD_BYTES_MAX: usize = 16 << 10;
/// Bytes of a playlist or segment that is kept: ten seconds of 50 Mbit/s.
pub(crate) const HTTP_BODY_BYTES_MAX: usize = 64 << 20;
/// Segments and parts of one playlist; players list a few dozen.
pub(crate) const PLAYLIST_ENTRIES_MAX: usize = 4_096;
/// Redirects followed one after the other: MediaMTX sends one.
pub(crate) const REDIRECTS_MAX: u32 = 3;
/// How long a player waits before it asks again for a playlist that is not there yet.
pub(crate) const PLAYLIST_RETRY: Duration = Duration::from_millis(300);
/// From the first publishing until players come: the first segments are complete then.
pub(crate) const SEGMENTS_LEAD: Duration = Duration::from_secs(5);
/// Segments that a mirror keeps: twice what a playlist lists, since players fetch what they read of a while ago.
pub(crate) const MIRRORED_SEGMENTS_MAX: usize = 16;
/// The same without segments: MediaMTX looks at two seconds of RTMP before it has a stream.
pub(crate) const UNITS_LEAD: Duration = Duration::from_secs(3);
/// From a reader's start until a key picture has come, which there is one of each second.
pub(crate) const KEY_PICTURE_WAIT: Duration = Duration::from_millis(1_200);
/// UDP ports of readers and publishers: below the kernel's own range for outgoing connections.
pub(crate) const UDP_PORTS: std::ops::Range<u16> = 10_000..32_000;

/// The load core's share above which the result measures the load and not the server.
pub(crate) const LOAD_SHARE_MAX: f64 = 0.9;
/// Part of the window that the load may wait for its core before a note says that the machine is busy.
pub(crate) const WAIT_SHARE_MAX: f64 = 0.05;
/// Part of what was published that each reader must have got.
pub(crate) const RECEIVED_SHARE_MIN: f64 = 0.99;
/// Descriptions kept of single failures; the rest is only counted.
pub(crate) const FAILURES_KEPT_MAX: usize = 8;
/// Latencies above this are recorded as this.
pub(crate) const LATENCY_NS_MAX: u64 = 60_000_000_000;
