//! The server over real sockets: what clients may not do, and that nothing under way is lost.

use super::answer::Failure;
use super::client::Client;
use super::counters::{HttpCounters, Refusal};
use super::{Listener, Plan, Rules, body, limits};
use axum::extract::{DefaultBodyLimit, Request};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;

async fn whole(request: Request) -> Result<String, Failure> {
    Ok(body::read(request).await?.len().to_string())
}

async fn broken() -> Response {
    panic!("a handler that breaks")
}

async fn full() -> Failure {
    Failure { refusal: Some(Refusal::LargeAnswers), ..Failure::unavailable("full") }
}

fn router() -> Router {
    Router::new()
        .route("/who", get(async |Extension(client): Extension<Client>| client.0.to_string()))
        .route("/body", post(whole))
        .route("/broken", get(broken))
        .route("/full", get(full))
        .layer(DefaultBodyLimit::max(limits::BODY_BYTES_MAX))
}

fn plan(address: &str, router: Router) -> Plan {
    let rules = Rules {
        allow_origins: vec!["https://*.example.com".to_owned()],
        trusted_proxies: crate::config::values::Networks(vec!["127.0.0.1/32".parse().unwrap()]),
    };
    let counters = Arc::new(HttpCounters::new("api"));
    Plan { address: address.parse().unwrap(), tls: None, rules, counters, router, patience: limits::REQUEST }
}

async fn start(router: Router) -> (Listener, Arc<HttpCounters>) {
    let plan = plan("127.0.0.1:0", router);
    let counters = Arc::clone(&plan.counters);
    (Listener::start(plan, &[]).await.unwrap(), counters)
}

/// Sends `request` and returns all that is answered until the server closes.
async fn exchange(listener: &Listener, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(listener.address().to_string()).await.unwrap();
    // The server may close before it has read everything.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut part).await {
        answer.extend_from_slice(&part[..count]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(line: &str, fields: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n").into_bytes()
}

#[tokio::test]
async fn header_floods_giant_urls_and_giant_bodies_are_refused() {
    let (listener, counters) = start(router()).await;
    let flood: String = (0..limits::HEADERS_MAX + 1).map(|n| format!("x-{n}: y\r\n")).collect();
    assert!(exchange(&listener, &request("GET /who", &flood)).await.starts_with("HTTP/1.1 431"));
    // One byte too many for what is written down, more than the protocol machine takes, and what is just within.
    for (bytes, status) in [
        (limits::HEAD_BYTES_MAX, 431),
        (100 * 1024, 431),
        (8 * limits::HEAD_BYTES_MAX, 431),
        (63 * 1024, 200),
    ] {
        let long = format!("x: {}\r\n", "y".repeat(bytes));
        let answer = exchange(&listener, &request("GET /who", &long)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{bytes}: {answer}");
    }
    assert!(counters.refused_for(Refusal::HeadTooLarge) >= 3);
    let url = format!("GET /{}", "a".repeat(limits::URL_BYTES_MAX));
    assert!(exchange(&listener, &request(&url, "")).await.starts_with("HTTP/1.1 414"));
    let length = format!("Content-Length: {}\r\n", limits::BODY_BYTES_MAX + 1);
    let refused = exchange(&listener, &request("POST /body", &length)).await;
    assert!(refused.starts_with("HTTP/1.1 413") && refused.contains("\"status\":\"error\""), "{refused}");
    // A length that is not told is found out on the way.
    let mut chunked = request("POST /body", "Transfer-Encoding: chunked\r\n");
    chunked.extend_from_slice(format!("{:x}\r\n", limits::BODY_BYTES_MAX + 1).as_bytes());
    chunked.resize(chunked.len() + limits::BODY_BYTES_MAX + 1, b'a');
    assert!(exchange(&listener, &chunked).await.starts_with("HTTP/1.1 413"));
    assert!(exchange(&listener, b"nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    assert_eq!(counters.refused_for(Refusal::UrlTooLong), 1);
    assert_eq!(counters.refused_for(Refusal::BodyTooLarge), 2);
    listener.stop().await;
}

#[tokio::test]
async fn a_head_that_comes_too_slowly_is_cut() {
    let (listener, counters) = start(router()).await;
    let mut stream = TcpStream::connect(listener.address().to_string()).await.unwrap();
    stream.write_all(b"GET /who HTTP/1.1\r\nHost: a\r\nX: ").await.unwrap();
    let mut answer = Vec::new();
    let patience = limits::HEAD_READ + Duration::from_secs(20);
    tokio::time::timeout(patience, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    listener.stop().await;
    assert_eq!(counters.refused_for(Refusal::HeadTimeout), 1);
    assert_eq!(counters.connections(), 0);
}

#[tokio::test]
async fn a_full_address_makes_room_by_its_oldest_idle_connection() {
    let (begun, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&begun), Arc::clone(&finish));
    let slow = move || async move {
        tell.notify_one();
        wait.notified().await;
        "done"
    };
    let (listener, counters) = start(router().route("/slow", get(slow))).await;
    listener.configure(Rules::default());
    let address = listener.address().to_string();
    let mut busy = TcpStream::connect(&address).await.unwrap();
    busy.write_all(&request("GET /slow", "")).await.unwrap();
    begun.notified().await;
    let mut idle = Vec::new();
    for _ in 1..limits::CONNECTIONS_PER_ADDRESS_MAX {
        idle.push(TcpStream::connect(&address).await.unwrap());
    }
    assert!(exchange(&listener, &request("GET /who", "")).await.starts_with("HTTP/1.1 200"));
    assert_eq!(idle[0].read(&mut [0; 1]).await.unwrap(), 0, "the oldest is closed");
    assert_eq!(counters.refused_for(Refusal::ConnectionsOfAddress), 1);
    finish.notify_one();
    let mut answer = String::new();
    busy.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("done"), "a request under way is never cut: {answer}");
    listener.stop().await;
}

#[tokio::test]
async fn a_panic_is_one_clients_500() {
    let (listener, counters) = start(router()).await;
    let answer = exchange(&listener, &request("GET /broken", "")).await;
    assert!(answer.starts_with("HTTP/1.1 500") && answer.contains("internal error"), "{answer}");
    assert_eq!(counters.panics(), 1);
    assert!(exchange(&listener, &request("GET /who", "")).await.starts_with("HTTP/1.1 200"));
    listener.stop().await;
}

#[tokio::test]
async fn browsers_and_proxies_are_told_apart() {
    let (listener, counters) = start(router()).await;
    let ask = "OPTIONS /who HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nOrigin: https://a.example.com\r\n\
               Access-Control-Request-Method: GET\r\n\r\n";
    let answer = exchange(&listener, ask.as_bytes()).await.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 204"), "{answer}");
    assert!(answer.contains("access-control-allow-origin: https://a.example.com\r\n"), "{answer}");
    assert!(answer.contains("server: headwater\r\n"), "{answer}");
    let from_page = |line: &str| {
        format!("{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nOrigin: https://evil.org\r\n\r\n")
    };
    let answer = exchange(&listener, from_page("GET /who").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!answer.to_ascii_lowercase().contains("access-control"), "{answer}");
    let answer = exchange(&listener, from_page("POST /body").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("allowOrigins"), "{answer}");
    assert_eq!(counters.refused_for(Refusal::ForeignOrigin), 1);
    let answer = exchange(&listener, &request("GET /who", "X-Forwarded-For: 6.6.6.6, 192.0.2.7\r\n")).await;
    assert!(answer.ends_with("192.0.2.7"), "{answer}");
    listener.configure(Rules::default());
    let answer = exchange(&listener, &request("GET /who", "X-Forwarded-For: 192.0.2.7\r\n")).await;
    assert!(answer.ends_with("127.0.0.1"), "{answer}");
    listener.stop().await;
}

#[tokio::test]
async fn a_request_under_way_finishes_while_the_listener_moves() {
    let (begun, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&begun), Arc::clone(&finish));
    let slow = move || async move {
        tell.notify_one();
        wait.notified().await;
        "done"
    };
    let (old, _) = start(Router::new().route("/slow", get(slow))).await;
    let address = old.address().to_string();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream.write_all(&request("GET /slow", "")).await.unwrap();
    begun.notified().await;
    let (new, _) = start(router()).await;
    let stopping = tokio::spawn(old.stop());
    while TcpStream::connect(&address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    finish.notify_one();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("done"), "{answer}");
    stopping.await.unwrap();
    assert!(exchange(&new, &request("GET /who", "")).await.starts_with("HTTP/1.1 200"));
    new.stop().await;
}

#[tokio::test]
async fn a_unix_socket_is_served_and_removed() {
    let path = std::env::temp_dir().join(format!("hw-http-{}.sock", std::process::id()));
    let listener = Listener::start(plan(&format!("unix://{}", path.display()), router()), &[]).await.unwrap();
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(&request("GET /who", "")).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("127.0.0.1"), "{answer}");
    listener.stop().await;
    assert!(!path.exists());
}

/// A server's TLS with a certificate of its own, and a client that trusts it.
fn tls() -> (Arc<rustls::ServerConfig>, reqwest::Client) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (directory.path().join("a.crt"), directory.path().join("a.key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let loaded = crate::tls::Certificates::load(&certificate, &key).unwrap();
    let root = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder().add_root_certificate(root).build().unwrap();
    (loaded.server_config(&[b"h2", b"http/1.1"]), client)
}

#[tokio::test]
async fn http2_is_spoken_over_tls() {
    let (tls, client) = tls();
    let listener =
        Listener::start(Plan { tls: Some(tls), ..plan("127.0.0.1:0", router()) }, &[]).await.unwrap();
    let answer = client.get(format!("https://{}/who", listener.address())).send().await.unwrap();
    assert_eq!(answer.version(), axum::http::Version::HTTP_2);
    assert_eq!(answer.text().await.unwrap(), "127.0.0.1");
    drop(client);
    listener.stop().await;
}

#[tokio::test]
async fn encryption_is_switched_on_and_off_at_the_same_socket() {
    let (tls, client) = tls();
    let (listener, _) = start(router()).await;
    let encrypted = format!("https://{}/who", listener.address());
    let mut plain = TcpStream::connect(listener.address().to_string()).await.unwrap();
    plain.write_all(b"GET /who HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    plain.read_exact(&mut answer).await.unwrap();
    assert!(client.get(&encrypted).send().await.is_err());

    listener.secure(Some(&tls));
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(5), plain.read_to_end(&mut rest)).await;
    ended.expect("a plain connection ends before its next request").unwrap();
    assert_eq!(client.get(&encrypted).send().await.unwrap().status(), 200);
    listener.secure(Some(&tls));
    assert_eq!(client.get(&encrypted).send().await.unwrap().status(), 200);

    listener.secure(None);
    assert!(exchange(&listener, &request("GET /who", "")).await.starts_with("HTTP/1.1 200"));
    tokio::time::timeout(limits::DRAIN, listener.stop()).await.expect("nothing is left open");
}

#[tokio::test]
async fn a_bound_that_a_handler_meets_is_counted() {
    let (listener, counters) = start(router()).await;
    let answer = exchange(&listener, b"GET /full HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert_eq!(counters.refused_for(Refusal::LargeAnswers), 1);
}
