//! What RTSP costs in heap: nothing for an idle connection, nothing per packet of a publisher.
//!
//! Alone in its binary, with one test, since it counts the allocations of the whole process.

// The allocator's trait has only unsafe functions.
#![allow(unsafe_code)]

use bytes::{Bytes, BytesMut};
use headwater_protocols::rtsp::message::{Response, Status};
use headwater_protocols::rtsp::server::{Config, Event, Server};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; the counters are atomic and allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        LIVE_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are those of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the pointer came from `alloc` above, and so from the system's allocator, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `run` leaves behind in bytes, and how often it allocated.
fn cost<T>(run: impl FnOnce() -> T) -> (T, usize, isize) {
    let (allocations, bytes) = (ALLOCATIONS.load(Ordering::Relaxed), LIVE_BYTES.load(Ordering::Relaxed));
    let value = run();
    let kept = LIVE_BYTES.load(Ordering::Relaxed).wrapping_sub(bytes).cast_signed();
    (value, ALLOCATIONS.load(Ordering::Relaxed) - allocations, kept)
}

/// Feeds requests in pieces and answers them.
fn converse(server: &mut Server, now: Instant, requests: &str, piece_length: usize) {
    for piece in requests.as_bytes().chunks(piece_length) {
        server.handle_input(now, Bytes::copy_from_slice(piece));
        while let Some(event) = server.poll_event() {
            assert!(matches!(event, Event::Request(_)));
            server.respond(Response::new(Status::OK));
            assert!(server.poll_transmit().is_some());
        }
    }
}

#[test]
fn heap_is_used_for_what_is_under_way_only() {
    let now = Instant::now();
    let config =
        Arc::new(Config { server_header: "headwater".into(), idle_timeout: Duration::from_secs(60) });

    let (mut server, allocations, _) = cost(|| Server::new(Arc::clone(&config), now));
    assert_eq!(allocations, 0, "a new connection");

    // A whole conversation, in pieces so that the decoder keeps some: all of it is given back.
    let requests =
        "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\nANNOUNCE * RTSP/1.0\r\nCSeq: 2\r\nContent-Length: 3\r\n\r\nabc";
    for length in 1..=requests.len() {
        let ((), allocations, kept) = cost(|| converse(&mut server, now, requests, length));
        assert!(allocations > 0);
        assert_eq!(kept, 0, "an idle connection owns no heap, pieces of {length}");
    }

    // One receive buffer full of packets: only the buffer itself becomes shared, once.
    let mut buffer = BytesMut::with_capacity(64 * 1024);
    for channel in 0..50 {
        buffer.extend_from_slice(&[b'$', channel % 4, 4, 0]);
        buffer.extend_from_slice(&[channel; 1024]);
    }
    let input = buffer.freeze();
    let (packets, allocations, _) = cost(|| {
        server.handle_input(now, input);
        let mut packets = 0;
        while let Some(event) = server.poll_event() {
            assert!(matches!(event, Event::Interleaved { payload, .. } if payload.len() == 1024));
            packets += 1;
        }
        packets
    });
    assert_eq!(packets, 50);
    assert!(allocations <= 1, "{allocations} allocations for 50 packets");
}
