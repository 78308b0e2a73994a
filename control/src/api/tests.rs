//! The API's routes, as a client meets them, around a real engine without listeners.

use super::reload::ReloadStatus;
use super::{Api, openapi, router};
use crate::config::Configuration;
use crate::core::Core;
use crate::http::Stopping;
use crate::http::counters::HttpCounters;
use crate::http::gate::Gate;
use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use headwater_engine::{Engine, Settings};
use serde_json::{Value, json};
use std::sync::Arc;
use tower::ServiceExt;

fn engine() -> Engine {
    Engine::start(Settings::default(), || {}).unwrap()
}

fn api() -> Router {
    let core = Arc::new(Core::for_tests(engine(), Configuration::default()));
    let reload = Arc::new(ArcSwap::from_pointee(ReloadStatus::default()));
    router(Api::new(core, reload), &Gate::open(Arc::new(HttpCounters::new("api"))))
}

async fn call(api: &Router, method: &str, path: &str, body: &str) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).unwrap();
    let response = api.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json", "{method} {path}");
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn every_documented_operation_is_routed() {
    let api = api();
    let document = openapi::document();
    for (path, item) in document["paths"].as_object().unwrap() {
        if path == "/v3/events" {
            continue;
        }
        let concrete = path.replace("{name}", "a/b").replace("{id}", "00000000-0000-8000-8000-000000000001");
        for (method, operation) in item.as_object().unwrap() {
            let (status, answer) = call(&api, &method.to_uppercase(), &concrete, "{}").await;
            assert_ne!(status, 405, "{method} {path}");
            assert!(operation["responses"].get(status.to_string()).is_some(), "{method} {path}: {status}");
            let unknown = answer["error"].as_str().is_some_and(|error| error.starts_with("there is nothing"));
            assert!(!unknown, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn errors_have_an_envelope() {
    let api = api();
    for (method, path, body, status) in [
        ("GET", "/v3/nothing", "", 404),
        ("GET", "/v3/rtmpconns/list", "", 404),
        ("GET", "/v3/rtspsconns/list", "", 404),
        ("GET", "/v3/hlsmuxers/list", "", 404),
        ("GET", "/v3/hlsmuxers/get/", "", 400),
        ("GET", "/v3/httpsessions/list", "", 404),
        ("POST", "/v3/info", "", 405),
        ("GET", "/v3/paths/list?page=-1", "", 400),
        ("GET", "/v3/paths/list?itemsPerPage=0", "", 400),
        ("GET", "/v3/paths/get/", "", 400),
        ("GET", "/v3/paths/get/..%2F..%2Fetc%2Fpasswd", "", 400),
        ("GET", "/v3/paths/get/a/../b", "", 400),
        ("GET", "/v3/paths/get/%FF", "", 400),
        ("GET", "/v3/paths/get/none", "", 404),
        ("GET", "/v3/rtspsessions/get/x", "", 400),
        ("POST", "/v3/rtspsessions/kick/00000000-0000-8000-8000-000000000001", "", 404),
        ("POST", "/v3/config/paths/add/a", "[]", 400),
        ("POST", "/v3/config/paths/add/a", "{", 400),
        ("POST", "/v3/config/paths/add/%2Fa", "{}", 400),
        ("PATCH", "/v3/config/paths/patch/none", "{}", 404),
        ("DELETE", "/v3/config/paths/delete/none", "", 404),
        ("GET", "/v3/events?type=nothing", "", 400),
        ("GET", "/v3/paths/forward/list", "", 400),
        ("GET", "/v3/paths/forward/list?path=none", "", 404),
    ] {
        let (found, answer) = if path.starts_with("/v3/events") {
            let request = Request::get(path).extension(Stopping::never());
            let response = api.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            (response.status().as_u16(), json!({"status": "error"}))
        } else {
            call(&api, method, path, body).await
        };
        assert_eq!((found, &answer["status"]), (status, &json!("error")), "{method} {path}: {answer}");
    }
}

#[tokio::test]
async fn paths_are_added_listed_searched_and_deleted() {
    let api = api();
    assert_eq!(
        call(&api, "POST", "/v3/config/paths/add/a/cam%2F1", "{}").await,
        (200, json!({"status": "ok"}))
    );
    assert_eq!(call(&api, "POST", "/v3/config/paths/add/a/cam/1", "{}").await.0, 400);
    let bulk = json!({ "add": { "b": {}, "c/cam": {} }, "delete": ["a/cam/1"] }).to_string();
    assert_eq!(call(&api, "POST", "/v3/config/paths/bulk", &bulk).await.0, 200);
    let (status, wrong) = call(&api, "POST", "/v3/config/paths/bulk", &bulk).await;
    assert_eq!((status, wrong["errors"].as_object().unwrap().len()), (400, 3), "{wrong}");
    let (_, list) = call(&api, "GET", "/v3/config/paths/list?itemsPerPage=1&page=1", "").await;
    assert_eq!((&list["itemCount"], &list["items"][0]["name"]), (&json!(2), &json!("c/cam")));
    let (_, live) = call(&api, "GET", "/v3/paths/list?search=cam", "").await;
    assert_eq!((&live["itemCount"], &live["items"][0]["ready"]), (&json!(1), &json!(false)));
    assert_eq!(call(&api, "POST", "/v3/paths/kick/b", "").await.0, 404);
    assert_eq!(call(&api, "DELETE", "/v3/config/paths/delete/c/cam", "").await.0, 200);
}

#[tokio::test]
async fn ten_thousand_paths_come_and_are_listed_at_once() {
    let api = api();
    let add: serde_json::Map<String, Value> = (0..10_000).map(|n| (format!("p{n:05}"), json!({}))).collect();
    let (status, answer) =
        call(&api, "POST", "/v3/config/paths/bulk", &json!({ "add": add }).to_string()).await;
    assert_eq!(status, 200, "{answer}");
    let (_, list) = call(&api, "GET", "/v3/paths/list?itemsPerPage=10000", "").await;
    assert_eq!(list["items"].as_array().unwrap().len(), 10_000);
    assert_eq!(list["items"][9_999]["name"], "p09999");
}
