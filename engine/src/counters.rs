//! What a shard counts. One writer (the shard), any number of readers (the control core sums on demand), no contention:
//! each counter is stored with a plain relaxed store, never with a locked instruction.

use std::sync::atomic::{AtomicU64, Ordering};

/// A count written by one thread only.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the owning shard calls this.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Takes `n` away, for gauges. Only the owning shard calls this.
    #[inline]
    pub fn sub(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(n), Ordering::Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[doc = $help:literal])+ $name:ident,)+) => {
        /// The counters and gauges of one shard.
        #[derive(Debug, Default)]
        pub struct Counters { $($(#[doc = $help])+ pub $name: Counter,)+ }

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
    /// Turns of the shard's loop.
    turns,
    /// Turns that took longer than 10 ms.
    turns_stalled,
}
