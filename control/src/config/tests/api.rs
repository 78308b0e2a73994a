//! The configuration as the API shows and changes it.

use super::configuration;
use crate::config::Configuration;
use crate::config::PathChange;
use crate::core::ChangeError;
use serde_json::json;
use std::time::{Duration, Instant};

fn told(result: Result<Configuration, ChangeError>) -> String {
    result.map(|_| ()).expect_err("refused").to_string()
}

const SECRETS: &str = "authInternalUsers:\n- {user: a, pass: one, ips: [], permissions: []}\n- {user: b, pass: two, ips: [], \
                       permissions: []}\nhlsCDNSecret: three\npaths:\n  cam:\n    source: rtsp://u:four@host/x\n    \
                       whepBearerToken: five\n";

#[test]
fn answers_have_the_types_of_mediamtx() {
    let global = configuration("udpReadBufferSize: 1000").global_json();
    for (key, value) in [
        ("readTimeout", json!("10s")),
        ("writeQueueSize", json!(512)),
        ("api", json!(false)),
        ("rtspEncryption", json!("no")),
        ("rtspTransports", json!(["multicast", "tcp", "udp"])),
        ("hlsSegmentMaxSize", json!("50M")),
        ("apiTrustedProxies", json!([])),
        ("udpReadBufferSize", json!(1000)),
        ("authHTTPExclude", json!([])),
    ] {
        assert_eq!(global[key], value, "{key}");
    }
    let users = &global["authInternalUsers"];
    assert_eq!(users[1]["ips"], json!(["127.0.0.1/32", "::1/128"]));
    assert_eq!(users[0]["permissions"][0], json!({"action": "publish", "path": ""}));
    assert_eq!(users[0]["pass"], json!(""));
    assert!(global.get("paths").is_none() && global.get("pathDefaults").is_none());
    let path = configuration("paths:\n  a/b: {recordDeleteAfter: 36h}").path_json("a/b").expect("a path");
    assert_eq!(path["name"], json!("a/b"));
    assert_eq!(path["recordDeleteAfter"], json!("1d12h0m0s"));
    assert_eq!(path["rpiCameraContrast"], json!(1));
    assert!(path.get("fallback").is_none());
    assert_eq!(configuration("").path_json("none"), None);
}

#[test]
fn secrets_are_hidden_and_come_back_unharmed() {
    let old = configuration(SECRETS);
    let (global, path) = (old.global_json(), old.path_json("cam").expect("a path"));
    for answer in [&global, &path] {
        let text = answer.to_string();
        assert!(!["one", "two", "three", "four", "five"].iter().any(|secret| {
            text.contains(&format!("\"{secret}\"")) || text.contains(&format!(":{secret}@"))
        }));
    }
    assert_eq!(path["source"], json!("rtsp://u:<redacted>@host/x"));
    let mut path = path;
    path.as_object_mut().expect("an object").remove("name");
    let new = old
        .patch_global(&global)
        .expect("patched")
        .change_path("cam", PathChange::Patch(&path))
        .expect("patched");
    let new = new.change_path("cam", PathChange::Replace(&path)).expect("replaced");
    assert!(old.difference(&new).is_empty());
    // Users that change places keep their own password.
    let users = json!({"authInternalUsers": [
        {"user": "b", "pass": "<redacted>", "ips": [], "permissions": []},
        {"user": "c", "pass": "six", "ips": [], "permissions": []},
    ]});
    let new = old.patch_global(&users).expect("patched");
    assert_eq!(new.global.auth_internal_users[0].pass.0, "two");
    assert_eq!(new.global.auth_internal_users[1].pass.0, "six");
    let stranger = json!({"authInternalUsers": [{"user": "x", "pass": "<redacted>", "permissions": []}]});
    let message = "authInternalUsers.0.pass: <redacted> stands for a secret that is not known here; write the secret itself";
    assert_eq!(told(old.patch_global(&stranger)), message);
}

#[test]
fn a_patch_changes_what_it_names() {
    let old = configuration("readTimeout: 3s\npaths:\n  cam: {maxReaders: 1}\n  other:\n");
    let new = old.patch_global(&json!({"writeTimeout": "4s", "rtmp": false})).expect("patched");
    assert_eq!(new.global.read_timeout, Duration::from_secs(3));
    assert_eq!(new.global.write_timeout, Duration::from_secs(4));
    assert!(!new.global.rtmp);
    let new =
        new.change_path("cam", PathChange::Patch(&json!({"overridePublisher": false}))).expect("patched");
    let cam = &new.paths["cam"];
    assert_eq!((cam.effective.max_readers, cam.effective.override_publisher, cam.given.len()), (1, false, 2));
    let new = new.patch_path_defaults(&json!({"maxReaders": 7, "publisherGrace": "1s"})).expect("patched");
    assert_eq!(new.paths["cam"].effective.max_readers, 1);
    assert_eq!(new.paths["cam"].effective.publisher_grace, Duration::from_secs(1));
    assert_eq!(new.paths["other"].effective.max_readers, 7);
    let new = new.change_path("cam", PathChange::Replace(&json!({"fallback": "/other"}))).expect("replaced");
    assert_eq!(new.paths["cam"].effective.max_readers, 7);
    assert_eq!(new.path_json("cam").expect("a path")["fallback"], json!("/other"));
    let new = new.change_path("new", PathChange::Replace(&json!({}))).expect("made");
    let new = new.change_path("cam", PathChange::Delete).expect("deleted");
    assert_eq!(new.paths.keys().collect::<Vec<_>>(), ["new", "other"]);
}

#[test]
fn what_is_refused_names_the_key() {
    let old = configuration("paths:\n  cam:\n");
    for (result, message) in [
        (
            old.patch_global(&json!({"readTimeouts": "1s"})),
            "readTimeouts: there is no such key; did you mean readTimeout?",
        ),
        (old.patch_global(&json!({"readTimeout": "0s"})), "readTimeout: must be 1ms to one day"),
        (old.patch_global(&json!({"api": "maybe"})), "api: must be yes or no, not \"maybe\""),
        (
            old.patch_global(&json!({"paths": {}})),
            "paths: is not a global key; use the API's calls for paths and path defaults",
        ),
        (old.patch_global(&json!([])), "the body must be a JSON object"),
        (
            old.patch_path_defaults(&json!({"source": "x"})),
            "paths.cam.source: must be publisher, redirect, rpiCamera or a URL, not \"x\"",
        ),
        (old.change_path("cam", PathChange::Add(&json!({}))), "paths.cam: the path already exists"),
        (
            old.change_path("../x", PathChange::Add(&json!({}))),
            "paths.../x: the name of a path must not hold the segments . or ..",
        ),
        (
            old.change_path("new", PathChange::Add(&json!({"name": "other"}))),
            "paths.new.name: paths have no such key",
        ),
        (
            old.change_path("cam", PathChange::Patch(&json!({"maxReaders": -1}))),
            "paths.cam.maxReaders: must be a whole number from 0 up, not \"-1\"",
        ),
        (old.change_path("none", PathChange::Patch(&json!({}))), "path configuration not found"),
        (old.change_path("none", PathChange::Delete), "path configuration not found"),
    ] {
        assert_eq!(told(result), message);
    }
    assert!(matches!(old.change_path("none", PathChange::Delete), Err(ChangeError::NotFound(_))));
}

#[test]
fn old_keys_of_requests_become_new_ones() {
    let old = configuration("paths:\n  cam:\n");
    let new = old.patch_global(&json!({"protocols": ["tcp"], "recordPath": "%path/%s"})).expect("patched");
    assert_eq!(new.global_json()["rtspTransports"], json!(["tcp"]));
    assert_eq!(new.path_json("cam").expect("a path")["recordPath"], json!("%path/%s"));
    let new = new
        .change_path("cam", PathChange::Patch(&json!({"readUser": "u", "readPass": "p"})))
        .expect("patched");
    assert_eq!(new.global.auth_internal_users.len(), 4);
    let new = new.change_path("cam", PathChange::Delete).expect("deleted");
    assert_eq!(new.global.auth_internal_users.len(), 2);
}

#[test]
fn ten_thousand_paths_are_added_at_once() {
    let body = json!({"maxReaders": 3});
    let names: Vec<String> = (0..10_000).map(|n| format!("cam{n}")).collect();
    let paths = || names.iter().map(|name| (name.as_str(), PathChange::Add(&body)));
    let begin = Instant::now();
    let new = Configuration::default().change_paths(paths()).expect("added");
    let taken = begin.elapsed();
    assert_eq!(new.paths.len(), 10_000);
    assert!(taken < Duration::from_secs(5), "{taken:?} without optimisation");
    let begin = Instant::now();
    let again = new.clone();
    assert!(begin.elapsed() < Duration::from_millis(500));
    // All or none, and every fault is told.
    let wrong = json!({"maxReader": 3});
    let changes = [("x", &body), ("y", &wrong), ("z", &wrong)];
    let changed = again.change_paths(changes.map(|(name, body)| (name, PathChange::Add(body))));
    let names: Vec<String> = changed.expect_err("two are wrong").into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["y", "z"]);
    assert!(!again.paths.contains_key("x"));
}

#[test]
fn expressions_that_come_and_go_are_found_and_forgotten() {
    let old = configuration("paths:\n  ~^a(.*):\n");
    assert!(old.find_path("abc").is_some());
    let new = old
        .change_path("~^b", PathChange::Add(&json!({})))
        .expect("added")
        .change_path("~^a(.*)", PathChange::Delete)
        .expect("deleted");
    assert!(new.find_path("abc").is_none());
    assert_eq!(new.find_path("bcd").map(|found| found.name), Some("~^b"));
    assert!(old.find_path("abc").is_some() && old.find_path("bcd").is_none());
}
