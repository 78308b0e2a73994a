//! Tests of the pages, as a client sees them.

use super::*;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use std::io::Read;
use tower::ServiceExt;

async fn answer(request: Request<Body>) -> (StatusCode, String, Vec<u8>) {
    let response = of_process().oneshot(request).await.expect("an answer");
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let (status, kind) = (response.status(), kind.unwrap_or_default().to_owned());
    (status, kind, to_bytes(response.into_body(), 64 << 20).await.expect("a body").to_vec())
}

async fn page(path: &str) -> (StatusCode, String, Vec<u8>) {
    answer(Request::get(path).body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn the_index_links_to_pages_that_exist() {
    let (status, kind, body) = page("/debug/pprof/").await;
    assert_eq!((status, &*kind), (StatusCode::OK, "text/html; charset=utf-8"));
    let text = String::from_utf8(body).expect("text");
    let links = text.split("href=\"").skip(1).filter_map(|rest| rest.split(['?', '"']).next());
    for link in links.filter(|link| !["tasks", "trace"].contains(link)) {
        // A wrong number is refused by the page itself, before anything is recorded.
        let (status, ..) = page(&format!("/debug/pprof/{link}?seconds=0")).await;
        assert!(status == StatusCode::OK || status == StatusCode::BAD_REQUEST, "{link}: {status}");
    }
    assert_eq!(page("/debug/pprof").await.0, StatusCode::PERMANENT_REDIRECT);
    assert_eq!(page("/debug/pprof/goroutine").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn numbers_out_of_range_are_refused_with_the_range() {
    for query in ["seconds=0", "seconds=301", "seconds=x", "hz=0", "hz=1000"] {
        let (status, _, body) = page(&format!("/debug/pprof/profile?{query}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        assert!(String::from_utf8_lossy(&body).contains("must be a whole number from 1 to"), "{query}");
    }
}

/// Sampling of allocations is compiled in, off at start, and turned on for a recording only.
#[tokio::test]
async fn a_heap_profile_is_recorded_one_at_a_time() {
    let recording = HeapRecording::start().expect("jemalloc's profiler, by `allocator`");
    let (status, ..) = page("/debug/pprof/heap?seconds=1").await;
    assert_eq!(status, StatusCode::CONFLICT);
    // Large enough to be sampled almost surely: 64 times the sampling interval.
    let kept = std::hint::black_box(vec![1_u8; 32 << 20]);
    let zipped = blocking(move || recording.protobuf()).await.ok().expect("no panic").expect("a profile");
    drop(kept);
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(&*zipped).read_to_end(&mut bytes).expect("gzip");
    assert!(bytes.windows(b"inuse_space".len()).any(|part| part == b"inuse_space"));
    HeapRecording::start().expect("free again");
}

#[tokio::test]
async fn symbols_are_found_by_address() {
    let function: fn(&QueryPairs, &str) -> bool = wants;
    let asked = format!("{:#x}+0x1+nonsense", function as usize);
    let request = Request::post("/debug/pprof/symbol").body(Body::from(asked)).expect("a request");
    let (status, _, body) = answer(request).await;
    let text = String::from_utf8(body).expect("text");
    assert_eq!(status, StatusCode::OK);
    assert!(text.starts_with("num_symbols: 1\n0x") && text.contains("profiling::wants"), "{text}");
    assert_eq!(text.lines().count(), 2, "{text}");
    let giant = Request::post("/debug/pprof/symbol").body(Body::from(vec![b'+'; SYMBOL_BYTES_MAX + 1]));
    assert_eq!(answer(giant.expect("a request")).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[test]
fn the_command_line_shows_no_secret() {
    let arguments = [
        "headwater",
        "--set",
        "authInternalUsers=[{user: a, pass: s3cret}]",
        "--set=paths.cam.source=rtsp://u:s3cret@host/?token=s3cret",
        "--set",
        "authHTTPAddress=https://u:s3cret@host/path?k=s3cret",
        "headwater.yml",
    ];
    let line = redacted(arguments.iter().map(|argument| (*argument).to_owned()));
    let expected = [
        "headwater",
        "--set",
        "authInternalUsers=<redacted>",
        "--set=paths.cam.source=<redacted>",
        "--set",
        "authHTTPAddress=<redacted>",
        "headwater.yml",
    ];
    assert_eq!(line.split('\0').collect::<Vec<_>>(), expected);
}
