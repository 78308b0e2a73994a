//! What the control API promises: its OpenAPI document, asked by schemathesis, and the shape of MediaMTX's own answers.

use anyhow::{Context, Result, ensure};
use headwater_tests::process::Process;
use headwater_tests::publisher::Publisher;
use headwater_tests::reader::Reader;
use headwater_tests::server::{Launch, Server};
use headwater_tests::{certificate, http, media, peer, root, workspace};
use serde_json::Value;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

#[test]
fn schemathesis_finds_the_document_honest() -> Result<()> {
    let launch =
        Launch { control: vec!["api"], certificate: Some(certificate("schemathesis")?), ..Launch::default() };
    let mut server = Server::launch(&launch)?;
    let clients = root().join("tests/clients");
    let mut command = Command::new(media::python_environment().join("bin/schemathesis"));
    command.arg("--config-file").arg(clients.join("schemathesis.toml"));
    command.args(["--no-color", "run", &server.http("api", "/v3/openapi.json")]);
    command.env("SCHEMATHESIS_HOOKS", clients.join("schemathesis_hooks.py"));
    // It leaves folders of its own where it runs.
    command.current_dir(workspace());
    let mut schemathesis = Process::spawn("schemathesis", command)?;
    let status = schemathesis.wait(Duration::from_secs(120))?;
    ensure!(status.success(), "{}", schemathesis.stdout());
    let report = schemathesis.stdout();
    let tested = report.lines().find_map(|line| line.trim().strip_prefix("Tested: "));
    let tested: u32 = tested.context("how many operations were tested")?.parse()?;
    ensure!(tested >= 33, "only {tested} operations were tested");
    server.still_runs()?;
    ensure!(http::get(server.control["api"], "/v3/health")?["status"] == "ok", "the API is gone");
    server.stop()
}

/// The JSON type of a value.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// What MediaMTX has and we have not, or of another type, by its place in the answer.
fn differences(place: &str, theirs: &Value, ours: &Value, found: &mut Vec<String>) {
    if kind(theirs) != kind(ours) {
        found.push(format!("{place} is {} there and {} here", kind(theirs), kind(ours)));
        return;
    }
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            for (key, theirs) in theirs {
                match ours.get(key) {
                    Some(ours) => differences(&format!("{place}.{key}"), theirs, ours, found),
                    None => found.push(format!("{place}.{key} is missing")),
                }
            }
        }
        (Value::Array(theirs), Value::Array(ours)) => {
            if let (Some(theirs), Some(ours)) = (theirs.first(), ours.first()) {
                differences(&format!("{place}[]"), theirs, ours, found);
            } else if !theirs.is_empty() {
                found.push(format!("{place} has items there alone"));
            }
        }
        _ => {}
    }
}

/// The session of this state; both lists have one publisher and one reader.
fn of_state(api: SocketAddr, state: &str) -> Result<Value> {
    let listing = http::get(api, "/v3/rtspsessions/list")?;
    let found =
        listing["items"].as_array().and_then(|items| items.iter().find(|item| item["state"] == state));
    found.cloned().with_context(|| format!("no session in state {state}: {listing}"))
}

#[test]
fn every_field_of_mediamtx_is_there_with_its_type() -> Result<()> {
    let theirs = peer::Mediamtx::start("")?;
    let ours = Server::launch(&Launch { control: vec!["api"], ..Launch::default() })?;
    let servers = [(theirs.rtsp, theirs.api), (ours.rtsp, ours.control["api"])];
    let mut clients = Vec::new();
    for (rtsp, _) in servers {
        let url = format!("rtsp://{rtsp}/same?key=value");
        let publisher = Publisher::start(rtsp, &url, 1)?;
        let mut reader = Reader::play(rtsp, &format!("rtsp://{rtsp}/same"))?;
        reader.advance(50)?;
        clients.push((publisher, reader));
    }
    let [(_, theirs_api), (_, ours_api)] = servers;
    let mut found = Vec::new();
    for target in [
        "/v3/info",
        "/v3/paths/list",
        "/v3/paths/get/same",
        "/v3/rtspsessions/list",
        "/v3/rtspconns/list",
        "/v3/config/global/get",
        "/v3/config/pathdefaults/get",
        "/v3/config/paths/list",
        "/v3/config/paths/get/all_others",
    ] {
        let (theirs, ours) = (http::get(theirs_api, target)?, http::get(ours_api, target)?);
        differences(target, &theirs, &ours, &mut found);
    }
    for state in ["publish", "read"] {
        differences(state, &of_state(theirs_api, state)?, &of_state(ours_api, state)?, &mut found);
    }
    ensure!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
    drop(clients);
    ours.stop()
}
