//! The authentication server: what it is asked, what it answers, and what happens when it does not.

use super::{allowed, authority, request, serve, with_password};
use crate::auth::{Authority, Outcome};
use crate::config::Global;
use crate::config::values::{Action as Word, AuthMethod, Permission};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use headwater_engine::access::{Action, Verdict};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

fn asking(address: SocketAddr) -> Global {
    Global {
        auth_method: AuthMethod::Http,
        auth_http_address: format!("http://{address}/auth"),
        auth_http_exclude: vec![Permission { action: Word::Read, path: "open".to_owned() }],
        ..Global::default()
    }
}

#[tokio::test]
async fn the_server_gets_what_mediamtx_sends() {
    let seen = Arc::new(Mutex::new(Vec::<Value>::new()));
    let router = Router::new().route(
        "/auth",
        post({
            let seen = Arc::clone(&seen);
            async move |axum::Json(body): axum::Json<Value>| {
                seen.lock().expect("no panic").push(body);
                StatusCode::NO_CONTENT
            }
        }),
    );
    let authority = authority(asking(serve(router).await));
    let mut question = with_password(request(Action::Publish, "live/cam"), "eva", "geheim");
    question.query = "a=b".to_owned();
    question.protocol = "rtsps";
    question.ip = "::ffff:192.0.2.7".parse().expect("an address");
    assert_eq!(authority.check(question).await, allowed("eva"));
    let mut question = request(Action::Api, "");
    (question.protocol, question.id) = ("", None);
    assert_eq!(authority.check(question).await, allowed(""));
    let seen = seen.lock().expect("no panic");
    assert_eq!(
        seen[0],
        json!({
            "ip": "192.0.2.7", "user": "eva", "password": "geheim", "token": "geheim", "action": "publish",
            "path": "live/cam", "protocol": "rtsp", "id": "00112233-4455-6677-8899-aabbccddeeff", "query": "a=b",
            "userAgent": "test",
        })
    );
    assert_eq!(
        (&seen[1]["id"], &seen[1]["protocol"], &seen[1]["action"]),
        (&Value::Null, &json!(""), &json!("api"))
    );
}

#[tokio::test]
async fn refusals_ask_for_credentials_or_tell_why_in_one_line() {
    let router = Router::new().route(
        "/auth",
        post(async || (StatusCode::FORBIDDEN, format!("no\nsuch user {}", "x".repeat(300_000)))),
    );
    let authority = authority(asking(serve(router).await));
    assert_eq!(authority.check(request(Action::Read, "cam")).await, Verdict::AskCredentials);
    let verdict = authority.check(with_password(request(Action::Read, "cam"), "eva", "x")).await;
    let Verdict::Denied { reason } = verdict else { panic!("{verdict:?}") };
    assert!(
        reason.starts_with("the authentication server replied with code 403: no\\nsuch user"),
        "{reason}"
    );
    assert!(reason.chars().count() < 400);
    let mut token = request(Action::Read, "cam");
    token.query = "token=abc".to_owned();
    assert!(
        matches!(authority.check(token).await, Verdict::Denied { .. }),
        "a token of the query is a credential"
    );
}

#[tokio::test]
async fn redirects_are_not_followed_and_a_dead_server_is_unavailable() {
    let router = Router::new()
        .route("/auth", post(async || axum::response::Redirect::temporary("/ok")))
        .route("/ok", post(async || StatusCode::OK));
    let redirecting = authority(asking(serve(router).await));
    let question = || with_password(request(Action::Read, "cam"), "eva", "x");
    assert!(matches!(redirecting.check(question()).await, Verdict::Denied { .. }));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let nobody = listener.local_addr().expect("an address");
    drop(listener);
    let verdict = authority(asking(nobody)).check(question()).await;
    let Verdict::Unavailable { reason } = verdict else { panic!("{verdict:?}") };
    assert!(reason.contains("cannot connect") && !reason.contains("/auth"), "{reason}");
}

/// A server that answers when it is allowed to, and counts who is there at once.
struct Slow {
    gate: Semaphore,
    now: AtomicUsize,
    most: AtomicUsize,
    total: AtomicUsize,
}

async fn slow() -> (Arc<Slow>, SocketAddr) {
    let slow = Arc::new(Slow {
        gate: Semaphore::new(0),
        now: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
        total: AtomicUsize::new(0),
    });
    let router = Router::new().route(
        "/auth",
        post({
            let slow = Arc::clone(&slow);
            async move || {
                slow.total.fetch_add(1, SeqCst);
                slow.most.fetch_max(slow.now.fetch_add(1, SeqCst) + 1, SeqCst);
                slow.gate.acquire().await.expect("open").forget();
                slow.now.fetch_sub(1, SeqCst);
                StatusCode::OK
            }
        }),
    );
    let address = serve(router).await;
    (slow, address)
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the condition comes true");
}

fn ask_many(authority: &Arc<Authority>, number: usize) -> tokio::task::JoinSet<Verdict> {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..number {
        let authority = Arc::clone(authority);
        let question = with_password(request(Action::Read, "cam"), &format!("user{n}"), "x");
        tasks.spawn(async move { authority.check(question).await });
    }
    tasks
}

#[tokio::test]
async fn a_thousand_who_wait_for_a_slow_server_delay_nobody_else() {
    let (slow, address) = slow().await;
    let authority = Arc::new(authority(Global { auth_timeout: Duration::from_secs(60), ..asking(address) }));
    let mut tasks = ask_many(&authority, 1000);
    until(|| slow.now.load(SeqCst) >= 500).await;
    let started = std::time::Instant::now();
    assert_eq!(authority.check(request(Action::Read, "open")).await, allowed(""));
    assert!(started.elapsed() < Duration::from_millis(500), "took {:?}", started.elapsed());
    slow.gate.add_permits(1000);
    while let Some(verdict) = tasks.join_next().await {
        assert!(matches!(verdict.expect("no panic"), Verdict::Allowed { .. }));
    }
    assert!(slow.most.load(SeqCst) <= 1024);
    assert_eq!(authority.counters().method(AuthMethod::Http).count(Outcome::Allowed), 1001);
}

#[tokio::test]
async fn who_is_not_answered_in_time_is_refused() {
    let (_slow, address) = slow().await;
    let authority = authority(Global { auth_timeout: Duration::from_millis(50), ..asking(address) });
    let verdict = authority.check(request(Action::Read, "cam")).await;
    assert!(matches!(verdict, Verdict::Unavailable { .. }), "{verdict:?}");
    assert!(authority.counters().timed_out.load(SeqCst) >= 1);
}

#[tokio::test]
async fn with_a_cache_the_same_is_asked_once_and_anything_else_again() {
    let (slow, address) = slow().await;
    let global = Global { auth_cache: Duration::from_secs(600), ..asking(address) };
    let authority = Arc::new(authority(global));
    let mut same = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let authority = Arc::clone(&authority);
        let question = with_password(request(Action::Read, "cam"), "eva", "geheim");
        same.spawn(async move { authority.check(question).await });
    }
    until(|| slow.now.load(SeqCst) == 1).await;
    slow.gate.add_permits(100);
    while let Some(verdict) = same.join_next().await {
        assert_eq!(verdict.expect("no panic"), allowed("eva"));
    }
    let question = || with_password(request(Action::Read, "cam"), "eva", "geheim");
    assert_eq!(authority.check(question()).await, allowed("eva"));
    assert_eq!(slow.total.load(SeqCst), 1);
    let mut others = [question(), question(), question(), question(), question()];
    others[0].path = "cam2".to_owned();
    others[1].action = Action::Publish;
    others[2].ip = "192.0.2.8".parse().expect("an address");
    others[3].credentials.password = "other".to_owned();
    others[4].query = "x".to_owned();
    for other in others {
        authority.check(other).await;
    }
    assert_eq!(slow.total.load(SeqCst), 6);
}

#[tokio::test]
async fn without_a_cache_connections_are_used_again() {
    let (slow, address) = slow().await;
    slow.gate.add_permits(10);
    let authority = authority(asking(address));
    for _ in 0..3 {
        assert_eq!(authority.check(request(Action::Read, "cam")).await, allowed(""));
    }
    assert_eq!(slow.total.load(SeqCst), 3);
    assert_eq!(authority.counters().http_asked.load(SeqCst), 3);
}

#[tokio::test]
async fn trouble_of_the_server_is_no_refusal_and_only_what_it_decided_is_remembered() {
    let code = Arc::new(Mutex::new(200_u16));
    let asked = Arc::new(AtomicUsize::new(0));
    let handler = {
        let (code, asked) = (Arc::clone(&code), Arc::clone(&asked));
        async move || {
            asked.fetch_add(1, SeqCst);
            StatusCode::from_u16(*code.lock().expect("no panic")).expect("a code")
        }
    };
    let address = serve(Router::new().route("/auth", post(handler))).await;
    let authority = authority(Global { auth_cache: Duration::from_secs(600), ..asking(address) });
    for (status, unavailable, remembered) in [
        (500, true, false),
        (503, true, false),
        (408, true, false),
        (429, true, false),
        (400, false, false),
        (404, false, false),
        (401, false, true),
        (403, false, true),
    ] {
        *code.lock().expect("no panic") = status;
        let shown = with_password(request(Action::Read, "cam"), &format!("user{status}"), "x");
        let none_shown = request(Action::Read, &format!("cam{status}"));
        for question in [shown, none_shown] {
            let before = asked.load(SeqCst);
            let verdict = authority.check(question.clone()).await;
            match &verdict {
                Verdict::Unavailable { reason } => {
                    assert!(unavailable && reason.contains(&format!("code {status}")), "{status}: {reason}");
                }
                Verdict::Denied { .. } => assert!(!unavailable && !question.credentials.user.is_empty()),
                Verdict::AskCredentials => assert!(!unavailable && question.credentials.user.is_empty()),
                Verdict::Allowed { .. } => panic!("{status} lets in"),
            }
            assert_eq!(authority.check(question).await, verdict);
            let times = asked.load(SeqCst) - before;
            assert_eq!(times, if remembered { 1 } else { 2 }, "questions answered with {status}");
        }
    }
}
