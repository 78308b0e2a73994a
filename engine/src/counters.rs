//! What a shard counts. One writer (the shard), any number of readers (the control core sums on demand), no contention:
//! each counter is stored with a plain relaxed store, never with a locked instruction.

use std::sync::atomic::{AtomicU64, Ordering};

/// A count written by one thread only, unless a method says otherwise.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// A counter that begins at `value`.
    pub fn of(value: u64) -> Counter {
        Counter(AtomicU64::new(value))
    }

    /// Adds `n`. Only the owning shard calls this.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Adds `n`, whoever else does.
    #[inline]
    pub fn add_shared(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Takes `n` away, for gauges. Only the owning shard calls this.
    #[inline]
    pub fn sub(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(n), Ordering::Relaxed);
    }

    /// Only the owning shard calls this.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A measure written by one thread only.
#[derive(Debug, Default)]
pub struct Float(AtomicU64);

impl Float {
    /// Only the owning shard calls this.
    #[inline]
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    pub fn value(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// How many observations fell below each of `BOUNDS` bounds, and their sum. Written by one thread only.
#[derive(Debug)]
pub struct Histogram {
    /// Upper bounds, ascending; one bucket more takes what is above the last.
    bounds: &'static [f64],
    buckets: [Counter; HISTOGRAM_BUCKETS_MAX],
    sum: Float,
}

const HISTOGRAM_BUCKETS_MAX: usize = 20;

impl Histogram {
    /// With at most 19 `bounds`, ascending.
    pub const fn new(bounds: &'static [f64]) -> Histogram {
        assert!(bounds.len() < HISTOGRAM_BUCKETS_MAX);
        Histogram {
            bounds,
            buckets: [const { Counter(AtomicU64::new(0)) }; HISTOGRAM_BUCKETS_MAX],
            sum: Float(AtomicU64::new(0)),
        }
    }

    /// Counts `weight` observations of `value`. Only the owning shard calls this.
    #[inline]
    pub fn observe(&self, value: f64, weight: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.buckets[bucket].add(weight);
        self.sum.set(self.sum.value() + value * weight as f64);
    }

    pub fn bounds(&self) -> &'static [f64] {
        self.bounds
    }

    /// Observations per bucket (not cumulative), one more than there are bounds.
    pub fn buckets(&self) -> impl Iterator<Item = u64> {
        self.buckets[..=self.bounds.len()].iter().map(Counter::value)
    }

    pub fn sum(&self) -> f64 {
        self.sum.value()
    }
}

macro_rules! counters {
    ($($(#[doc = $help:literal])+ $name:ident,)+) => {
        /// The counters, gauges and histograms of one shard.
        #[derive(Debug, Default)]
        pub struct Counters { $($(#[doc = $help])+ pub $name: Counter,)+ pub histograms: Histograms }

        impl Counters {
            /// Name, help text and value of every counter, in a fixed order.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
                [$((stringify!($name), concat!($($help),+), self.$name.value())),+].into_iter()
            }
        }
    };
}

counters! {
    /// Connections open now (gauge).
    connections_open,
    /// Connections accepted.
    connections_accepted,
    /// Connections refused because the shard's connection limit was reached.
    connections_refused,
    /// Accepts that failed because the descriptor table was full.
    accept_errors,
    /// Connections handed to another shard, where their session or path lives.
    connections_moved,
    /// Connections closed because the peer sent bytes that are no valid message.
    closed_invalid,
    /// Connections closed because a limit was exceeded.
    closed_limit,
    /// Connections closed because nothing was asked for too long.
    closed_idle,
    /// Connections closed because the reader did not take its bytes within the write timeout.
    closed_write_timeout,
    /// Connections closed because answers piled up unread.
    closed_control_queue,
    /// Sessions open now (gauge).
    sessions_open,
    /// Sessions opened.
    sessions_opened,
    /// Sessions ended because neither request nor RTCP came in time.
    sessions_timed_out,
    /// Publishers ended because no media came within the read timeout.
    publishers_timed_out,
    /// Publishers replaced by another publisher of the same path.
    publishers_replaced,
    /// Publishers that came back within the grace time.
    publishers_returned,
    /// Readers closed because the publisher was gone for longer than the grace time or changed its tracks.
    readers_orphaned,
    /// Requests answered.
    requests,
    /// Requests answered with a status of 400 and above.
    requests_refused,
    /// Requests answered "unavailable" because their connection asks too fast.
    requests_throttled,
    /// Requests with wrong credentials, or credentials that do not allow them.
    authentication_failures,
    /// Requests that waited inside a module for too long.
    requests_pending_expired,
    /// Panics caught; the session they happened in was ended, where it was known.
    session_panics,
    /// RTP packets received from publishers.
    ingest_packets,
    /// RTP bytes received from publishers.
    ingest_bytes,
    /// Batches published on this shard.
    ingest_batches,
    /// RTP packets refused: malformed, foreign payload type, unknown channel.
    ingest_packets_invalid,
    /// RTP packets missing in the publishers' sequence.
    ingest_packets_lost,
    /// RTP packets that came too late or twice.
    ingest_packets_late,
    /// RTP payloads that became no access unit, and units that a form could not carry.
    conversion_errors,
    /// HLS muxers opened.
    muxers_opened,
    /// HLS segments and playlists that were late on disk, or did not come there, because too many waited for it.
    hls_files_refused,
    /// HLS segments and playlists that the disk refused.
    hls_files_failed,
    /// Forms of streams made.
    forms_opened,
    /// Tracks that readers had to do without, because their protocol or client cannot carry them.
    tracks_skipped,
    /// Readers refused because no track of the path fits their protocol, or the path has too many forms.
    readers_unfit,
    /// RTCP packets received.
    rtcp_packets,
    /// RTCP packets refused as malformed.
    rtcp_packets_invalid,
    /// Datagrams from unknown senders.
    datagrams_unknown,
    /// Datagrams handed to the shard that owns the sender.
    datagrams_forwarded,
    /// Bytes of media sent to readers.
    egress_bytes,
    /// Sends made for readers.
    egress_sends,
    /// Flushes of a stream to its readers.
    flushes,
    /// Sends that the kernel could not take whole.
    egress_blocked,
    /// Skips to a random access point because the log overran a slow reader.
    skips_overrun,
    /// Datagram sends refused by the kernel; the packets are lost for that reader.
    egress_datagram_errors,
    /// Segmented sends that had to be repeated packet by packet.
    segmentation_fallbacks,
    /// Batches dropped from a log because its byte or batch limit was reached before a random access point came.
    log_truncations,
    /// Batches sent to other shards.
    mesh_batches_sent,
    /// Batches received from other shards.
    mesh_batches_received,
    /// Batches dropped because a ring to another shard stayed full.
    mesh_batches_dropped,
    /// Datagrams dropped because a ring to another shard stayed full.
    mesh_datagrams_dropped,
    /// Wakes of other shards.
    mesh_wakes,
    /// Events for the control core that were dropped because too many waited.
    events_dropped,
    /// Questions put to the control core.
    questions,
    /// Requests refused because too many waited for the control core.
    questions_refused,
    /// Connections whose PROXY protocol header was malformed.
    proxy_headers_invalid,
    /// Connections of trusted proxies that began without a PROXY protocol header.
    proxy_headers_missing,
    /// Turns of the shard's loop.
    turns,
    /// Turns that took longer than 10 ms.
    turns_stalled,
}

const LATENCY_BOUNDS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];
const TURN_BOUNDS: &[f64] = &[
    0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
];
const COUNT_BOUNDS: &[f64] =
    &[0.0, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0];

/// What one shard measures.
#[derive(Debug)]
pub struct Histograms {
    /// Seconds of one turn of the loop.
    pub turn_seconds: Histogram,
    /// Readers sent to in one flush of one stream.
    pub flush_readers: Histogram,
    /// Messages that one turn found in the rings from other shards.
    pub ring_depth: Histogram,
    /// Seconds from the arrival of a batch to its send, RTSP interleaved on TCP.
    pub rtsp_tcp_latency_seconds: Histogram,
    /// The same for RTSP over UDP.
    pub rtsp_udp_latency_seconds: Histogram,
    /// The same for RTSP over TLS.
    pub rtsps_latency_seconds: Histogram,
    /// The same for RTMP.
    pub rtmp_latency_seconds: Histogram,
    /// The same for RTMP over TLS.
    pub rtmps_latency_seconds: Histogram,
    /// The same for streams without end over HTTP.
    pub http_latency_seconds: Histogram,
    /// The same over TLS.
    pub https_latency_seconds: Histogram,
}

impl Default for Histograms {
    fn default() -> Histograms {
        Histograms {
            turn_seconds: Histogram::new(TURN_BOUNDS),
            flush_readers: Histogram::new(COUNT_BOUNDS),
            ring_depth: Histogram::new(COUNT_BOUNDS),
            rtsp_tcp_latency_seconds: Histogram::new(LATENCY_BOUNDS),
            rtsp_udp_latency_seconds: Histogram::new(LATENCY_BOUNDS),
            rtsps_latency_seconds: Histogram::new(LATENCY_BOUNDS),
            rtmp_latency_seconds: Histogram::new(LATENCY_BOUNDS),
            rtmps_latency_seconds: Histogram::new(LATENCY_BOUNDS),
            http_latency_seconds: Histogram::new(LATENCY_BOUNDS),
            https_latency_seconds: Histogram::new(LATENCY_BOUNDS),
        }
    }
}
