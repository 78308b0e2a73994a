//! JWT key sets: fetched, refreshed, and what they may hold.

use super::{allowed, authority, request, serve};
use crate::auth::Authority;
use crate::config::Global;
use crate::config::values::{Action as Word, AuthMethod, Permission};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use headwater_engine::access::{Action, Request, Verdict};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

const KEYS: &str = include_str!("../fixtures/keys.json");
/// SHA-256 of fixtures/server.crt, by openssl.
const FINGERPRINT: &str = "56b5c804c49597e774528a1dfd773e61b27f4d0c88d7575e5b5fd38dc3825e31";

fn good(name: &str) -> String {
    let all: Value = serde_json::from_str(include_str!("../fixtures/tokens.json")).expect("JSON");
    all["good"][name].as_str().expect("a token").to_owned()
}

fn asking(url: String) -> Global {
    Global {
        auth_method: AuthMethod::Jwt,
        auth_jwt_jwks: url,
        auth_jwt_exclude: vec![Permission { action: Word::Read, path: "open".to_owned() }],
        ..Global::default()
    }
}

/// A server of what the test puts there.
async fn keys_at(text: &str) -> (Arc<Mutex<String>>, SocketAddr) {
    let content = Arc::new(Mutex::new(text.to_owned()));
    let served = Arc::clone(&content);
    let router = Router::new().route("/jwks", get(async move || served.lock().expect("no panic").clone()));
    let address = serve(router).await;
    (content, address)
}

fn with_token(action: Action, path: &str, token: &str) -> Request {
    let mut request = request(action, path);
    request.credentials.token = token.to_owned();
    request
}

#[tokio::test]
async fn tokens_are_found_where_mediamtx_finds_them() {
    let (_content, address) = keys_at(KEYS).await;
    let authority = authority(asking(format!("http://{address}/jwks")));
    let token = good("RS256");
    let bearer = with_token(Action::Read, "live/1", &token);
    let mut password = request(Action::Read, "live/1");
    password.credentials.password = token.clone();
    let mut query = request(Action::Read, "live/1");
    query.query = format!("x=y&token={token}");
    let mut legacy = query.clone();
    legacy.query = format!("jwt={token}");
    let mut web_socket = query.clone();
    web_socket.protocol = "https";
    for request in [bearer, password, query.clone(), legacy, web_socket] {
        assert_eq!(authority.check(request).await, allowed("eva"));
    }
    let mut api = query.clone();
    (api.protocol, api.action, api.path) = ("", Action::Api, String::new());
    assert_eq!(authority.check(api).await, Verdict::AskCredentials, "not in addresses of the control ports");
    let mut twice = query;
    twice.query = format!("token={token}&token={token}");
    assert_eq!(authority.check(twice).await, Verdict::AskCredentials);
    let forbidden = authority.check(with_token(Action::Playback, "live/1", &token)).await;
    let Verdict::Denied { reason } = forbidden else { panic!("{forbidden:?}") };
    assert!(reason.contains("\"eva\"") && reason.contains("playback"), "{reason}");
    assert_eq!(authority.check(request(Action::Read, "open")).await, allowed(""), "excluded");
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it_and_not_more_often() {
    let (content, address) = keys_at(r#"{"keys":[{"kty":"oct","kid":"old","k":"c2VjcmV0"}]}"#).await;
    let authority = authority(asking(format!("http://{address}/jwks")));
    let ask = async |name: &str| authority.check(with_token(Action::Read, "live/1", &good(name))).await;
    *content.lock().expect("no panic") =
        r#"{"keys":[{"kty":"oct","kid":"older","k":"c2VjcmV0"}]}"#.to_owned();
    assert!(matches!(ask("ES256").await, Verdict::Denied { .. }));
    let fetched = authority.counters().jwks_fetched.load(SeqCst);
    *content.lock().expect("no panic") = KEYS.to_owned();
    assert!(matches!(ask("ES256").await, Verdict::Denied { .. }), "another fetch only after a pause");
    assert_eq!(authority.counters().jwks_fetched.load(SeqCst), fetched);
    authority.refresh_jwks().await.expect("fetched");
    assert_eq!(ask("ES256").await, allowed("eva"));
}

/// Answers each request with the text given, when the test lets it.
async fn keys_when_let(texts: &'static [&'static str]) -> (Arc<Semaphore>, Arc<AtomicUsize>, SocketAddr) {
    let (gate, asked) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let handler = {
        let (gate, asked) = (Arc::clone(&gate), Arc::clone(&asked));
        async move || {
            let text = texts[asked.fetch_add(1, SeqCst).min(texts.len() - 1)];
            gate.acquire().await.expect("open").forget();
            text
        }
    };
    let address = serve(Router::new().route("/jwks", get(handler))).await;
    (gate, asked, address)
}

const OLD_KEYS: &str = r#"{"keys":[{"kty":"oct","kid":"old","k":"c2VjcmV0"}]}"#;

/// A token with that key's name, which no key verifies.
fn with_key_name(name: &str) -> String {
    let header = base64::Engine::encode(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        format!(r#"{{"alg":"RS256","typ":"JWT","kid":"{name}"}}"#),
    );
    format!("{header}.e30.AAAA")
}

#[tokio::test]
async fn who_shows_a_new_key_joins_the_fetch_under_way() {
    let (gate, asked, address) = keys_when_let(&[OLD_KEYS, KEYS]).await;
    gate.add_permits(1);
    let authority = Arc::new(authority(asking(format!("http://{address}/jwks"))));
    let ask = |token: String| {
        let authority = Arc::clone(&authority);
        tokio::spawn(async move { authority.check(with_token(Action::Read, "live/1", &token)).await })
    };
    assert!(matches!(ask("x".to_owned()).await.expect("no panic"), Verdict::Denied { .. }));
    let all: Vec<_> = (0..20).map(|_| ask(good("ES256"))).collect();
    while asked.load(SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    let later: Vec<_> = (0..20).map(|_| ask(good("ES256"))).collect();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(1);
    for verdict in all.into_iter().chain(later) {
        assert_eq!(verdict.await.expect("no panic"), allowed("eva"));
    }
    assert_eq!(asked.load(SeqCst), 2, "one fetch for all");
}

#[tokio::test]
async fn a_made_up_key_does_not_keep_a_real_one_out_nor_cause_many_fetches() {
    let (gate, asked, address) = keys_when_let(&[OLD_KEYS, OLD_KEYS, KEYS]).await;
    gate.add_permits(1000);
    let authority = authority(asking(format!("http://{address}/jwks")));
    let ask = async |token: String| authority.check(with_token(Action::Read, "live/1", &token)).await;
    for _ in 0..10 {
        assert!(matches!(ask(with_key_name("made up")).await, Verdict::Denied { .. }));
    }
    assert_eq!(asked.load(SeqCst), 2, "one fetch for a key that is not there");
    assert_eq!(ask(good("ES256")).await, allowed("eva"));
    for n in 0..100 {
        assert!(matches!(ask(with_key_name(&format!("made up {n}"))).await, Verdict::Denied { .. }));
    }
    assert_eq!(asked.load(SeqCst), 5, "three fetches in vain");
}

#[tokio::test]
async fn the_old_keys_stay_when_a_fetch_fails() {
    let (content, address) = keys_at(KEYS).await;
    let authority = authority(asking(format!("http://{address}/jwks")));
    let question = || with_token(Action::Read, "live/1", &good("EdDSA"));
    assert_eq!(authority.check(question()).await, allowed("eva"));
    for bad in ["no JSON".to_owned(), format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(200_000))] {
        *content.lock().expect("no panic") = bad;
        assert!(authority.refresh_jwks().await.is_err());
        assert_eq!(authority.check(question()).await, allowed("eva"));
    }
    assert!(authority.counters().jwks_failed.load(SeqCst) >= 2);
}

#[tokio::test]
async fn without_keys_nobody_is_let_in_and_credentials_are_asked_for() {
    let router = Router::new().route("/jwks", get(async || StatusCode::INTERNAL_SERVER_ERROR));
    let address = serve(router).await;
    let authority = authority(asking(format!("http://{address}/jwks")));
    let verdict = authority.check(with_token(Action::Read, "live/1", &good("RS256"))).await;
    let Verdict::Unavailable { reason } = verdict else { panic!("{verdict:?}") };
    assert!(reason.contains("code 500"), "{reason}");
    assert_eq!(authority.check(request(Action::Read, "live/1")).await, Verdict::AskCredentials);
}

/// Serves the key set over TLS with the fixture's certificate.
async fn tls_server() -> SocketAddr {
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certificate = CertificateDer::from_pem_slice(include_bytes!("../fixtures/server.crt")).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../fixtures/server.key")).expect("PEM");
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await.ok()?;
                let _ = stream.read(&mut [0; 4096]).await;
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", KEYS.len());
                stream.write_all(head.as_bytes()).await.ok()?;
                stream.write_all(KEYS.as_bytes()).await.ok()?;
                stream.shutdown().await.ok()
            });
        }
    });
    address
}

#[tokio::test]
async fn a_pinned_certificate_is_accepted_and_another_one_is_not() {
    let address = tls_server().await;
    let of = |fingerprint: &str| -> Authority {
        let url = format!("https://localhost:{}/jwks", address.port());
        authority(Global { auth_jwt_jwks_fingerprint: fingerprint.to_owned(), ..asking(url) })
    };
    let question = || with_token(Action::Read, "live/1", &good("PS384"));
    assert_eq!(of(FINGERPRINT).check(question()).await, allowed("eva"));
    let other = format!("00{}", &FINGERPRINT[2..]);
    let verdict = of(&other).check(question()).await;
    let Verdict::Unavailable { reason } = verdict else { panic!("{verdict:?}") };
    assert!(reason.contains(FINGERPRINT), "the log tells the one that was found: {reason}");
    let verdict = of("no fingerprint").check(question()).await;
    assert!(matches!(verdict, Verdict::Unavailable { .. }), "{verdict:?}");
}
