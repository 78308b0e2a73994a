//! The control API's answers about what lives, and what its changes do to it.

use anyhow::{Context, Result, ensure};
use headwater_tests::http::{self, Client};
use headwater_tests::publisher::{Packets, Publisher, Tracks, record};
use headwater_tests::reader::Reader;
use headwater_tests::rtsp::Connection;
use headwater_tests::server::{Launch, Server};
use headwater_tests::{certificate, wait, workspace};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

fn launch(settings: &[&str]) -> Result<(Server, SocketAddr)> {
    let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
    let server = Server::launch(&Launch { control: vec!["api"], settings, ..Launch::default() })?;
    let api = server.control["api"];
    Ok((server, api))
}

/// The same with a file that names these paths, and no `all_others`.
fn launch_with_paths(name: &str, paths: &[&str]) -> Result<(Server, SocketAddr)> {
    let file = workspace().join(format!("api-{name}-{}.yml", std::process::id()));
    let entries: Vec<String> = paths.iter().map(|path| format!("  {path}:\n")).collect();
    std::fs::write(&file, format!("paths:\n{}", entries.concat()))?;
    let launch = Launch { control: vec!["api"], file: Some(file), ..Launch::default() };
    let server = Server::launch(&launch)?;
    let api = server.control["api"];
    Ok((server, api))
}

fn items(listing: &Value) -> Result<&Vec<Value>> {
    listing["items"].as_array().with_context(|| format!("no items: {listing}"))
}

/// Sends a change that must succeed.
fn change(api: SocketAddr, method: &str, target: &str, body: &Value) -> Result<()> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = http::request(api, method, target, &body)?.expect(200)?.json();
    ensure!(answer? == json!({"status": "ok"}), "{method} {target}");
    Ok(())
}

/// Sends what must be refused so; the envelope is the same for all.
fn refused(api: SocketAddr, status: u16, method: &str, target: &str, body: &str) -> Result<String> {
    let answer = http::request(api, method, target, body)?;
    let context = || format!("{method} {target} {body}");
    let envelope = answer.expect(status).with_context(context)?.json()?;
    ensure!(envelope["status"] == "error", "{}: {envelope}", context());
    Ok(envelope["error"].as_str().filter(|text| !text.is_empty()).with_context(context)?.to_owned())
}

/// Waits until the session of this state has what `enough` asks for.
fn session(api: SocketAddr, list: &str, enough: impl Fn(&Value) -> bool) -> Result<Value> {
    wait::until("a session in the list", SOON, || {
        let listing = http::get(api, list)?;
        Ok(items(&listing)?.iter().find(|session| enough(session)).cloned())
    })
}

#[test]
fn publishers_and_readers_of_every_kind_are_shown_with_their_counts() -> Result<()> {
    let launch =
        Launch { control: vec!["api"], certificate: Some(certificate("shown")?), ..Launch::default() };
    let mut server = Server::launch(&launch)?;
    let api = server.control["api"];
    let url = server.url("site/cam");
    let mut packets = Packets::new(1);
    let mut connection = record(server.rtsp, &format!("{url}?key=a%20b"), Tracks::Video)?;
    let mut sent = 0;
    for packet in (0..50).flat_map(|_| packets.picture()) {
        let length = (packet.len() as u16).to_be_bytes();
        connection.send(&[&[b'$', 0, length[0], length[1]], &packet[..]].concat())?;
        sent += 1;
    }
    server.wait_for_stream("site/cam")?;
    let publisher = session(api, "/v3/rtspsessions/list", |item| {
        item["state"] == "publish" && item["inboundRTPPackets"] == sent
    })?;
    for (key, value) in
        [("path", "site/cam"), ("query", "key=a%20b"), ("transport", "TCP"), ("profile", "AVP"), ("user", "")]
    {
        ensure!(publisher[key] == value, "{key} is {}", publisher[key]);
    }
    ensure!(publisher["inboundBytes"].as_u64() >= Some(sent * 1012), "{publisher}");
    ensure!(publisher["remoteAddr"] == connection.stream().local_addr()?.to_string(), "{publisher}");
    let id = publisher["conns"][0].as_str().context("a connection")?;
    let of_publisher = http::get(api, &format!("/v3/rtspconns/get/{id}"))?;
    ensure!(of_publisher["session"] == publisher["id"], "{of_publisher}");

    let mut player = Connection::open(server.rtsp)?;
    let agent = [("User-Agent", "lens/1")];
    player.ok("DESCRIBE", &url, &agent, "")?;
    let transport = ("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1");
    let set_up = player.ok("SETUP", &format!("{url}/trackID=0"), &[agent[0], transport], "")?;
    player.session = set_up.header("Session").and_then(|value| value.split(';').next()).map(str::to_owned);
    player.ok("PLAY", &url, &agent, "")?;
    let _over_udp = Reader::play_udp(&server, server.rtsp.ip(), "site/cam")?;
    let reader = session(api, "/v3/rtspsessions/list", |item| item["userAgent"] == "lens/1")?;
    ensure!(reader["state"] == "read" && reader["transport"] == "TCP", "{reader}");
    session(api, "/v3/rtspsessions/list", |item| item["state"] == "read" && item["transport"] == "UDP")?;

    let path = http::get(api, "/v3/paths/get/site/cam")?;
    ensure!(path["ready"] == true && path["available"] == true && path["online"] == true, "{path}");
    ensure!(path["source"] == json!({"type": "rtspSession", "id": publisher["id"]}), "{path}");
    ensure!(path["tracks"] == json!(["H264"]) && path["tracks2"][0]["codec"] == "H264", "{path}");
    ensure!(path["readers"].as_array().map(Vec::len) == Some(2), "{path}");
    ensure!(path["inboundBytes"].as_u64() >= Some(sent * 1012), "{path}");
    let listed = http::get(api, "/v3/paths/list?search=te%2Fca")?;
    ensure!(items(&listed)?.len() == 1 && items(&listed)?[0]["name"] == "site/cam", "{listed}");
    secure_publisher_is_shown(&server, api)?;
    server.stop()
}

/// ffmpeg publishes over TLS: the groups of RTSPS show it, those of RTSP do not.
fn secure_publisher_is_shown(server: &Server, api: SocketAddr) -> Result<()> {
    use headwater_tests::{clients::ffmpeg_publish, media::sample, process::Process};
    let url = format!("rtsps://{}/tls", server.rtsps.context("RTSPS is not listened on")?);
    let command = ffmpeg_publish(sample("h264_aac"), &url, &["-rtsp_transport", "tcp"])?;
    let _publisher = Process::spawn("ffmpeg publishes over TLS", command)?;
    let session = session(api, "/v3/rtspssessions/list", |item| item["state"] == "publish")?;
    ensure!(session["path"] == "tls", "{session}");
    let agent = session["userAgent"].as_str().unwrap_or_default();
    ensure!(agent.starts_with("Lavf"), "user agent {agent:?}");
    let path = http::get(api, "/v3/paths/get/tls")?;
    ensure!(path["source"]["type"] == "rtspsSession", "{path}");
    let id = session["id"].as_str().unwrap_or_default();
    refused(api, 404, "GET", &format!("/v3/rtspsessions/get/{id}"), "")?;
    refused(api, 404, "POST", &format!("/v3/rtspsessions/kick/{id}"), "")?;
    let connections = http::get(api, "/v3/rtspsconns/list")?;
    ensure!(items(&connections)?.iter().any(|item| item["session"] == session["id"]), "{connections}");
    Ok(())
}

#[test]
fn a_kick_ends_that_session_and_no_other() -> Result<()> {
    let (mut server, api) = launch(&[])?;
    let url = server.url("kick");
    let publisher = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream("kick")?;
    let mut readers = [Reader::play(server.rtsp, &url)?, Reader::play(server.rtsp, &url)?];
    readers[0].advance(50)?;
    readers[1].advance(50)?;
    let listing = http::get(api, "/v3/paths/get/kick")?;
    let first = listing["readers"][0]["id"].as_str().context("a reader")?.to_owned();
    change(api, "POST", &format!("/v3/rtspsessions/kick/{first}"), &Value::Null)?;
    wait::until("one reader to be closed", SOON, || {
        Ok(readers.iter().any(|reader| reader.seen().closed).then_some(()))
    })?;
    wait::until("the session to be gone", SOON, || {
        let answer = http::request(api, "GET", &format!("/v3/rtspsessions/get/{first}"), "")?;
        Ok((answer.status == 404).then_some(()))
    })?;
    refused(api, 404, "POST", &format!("/v3/rtspsessions/kick/{first}"), "")?;
    let mut left = readers.into_iter().filter(|reader| !reader.seen().closed).collect::<Vec<_>>();
    ensure!(left.len() == 1, "{} of two readers are left", left.len());
    left[0].advance(100)?;
    left.remove(0).finish_whole()?;

    let other = server.url("other");
    let bystander = Publisher::start(server.rtsp, &other, 2)?;
    server.wait_for_stream("other")?;
    let mut watcher = Reader::play(server.rtsp, &other)?;
    change(api, "POST", "/v3/paths/kick/kick", &Value::Null)?;
    publisher.wait_until_refused()?;
    wait::until("the path to go", SOON, || {
        Ok((http::request(api, "GET", "/v3/paths/get/kick", "")?.status == 404).then_some(()))
    })?;
    watcher.advance(100)?;
    watcher.finish_whole()?;
    bystander.tear_down()?;
    server.stop()
}

#[test]
fn lists_come_in_pages_and_errors_in_the_envelope() -> Result<()> {
    let (server, api) = launch_with_paths("lists", &[])?;
    let add: serde_json::Map<String, Value> = (0..25).map(|n| (format!("p{n:02}"), json!({}))).collect();
    change(api, "POST", "/v3/config/paths/bulk", &json!({ "add": add }))?;
    for list in ["/v3/config/paths/list", "/v3/paths/list"] {
        let mut names = Vec::new();
        for page in 0..3 {
            let listing = http::get(api, &format!("{list}?itemsPerPage=10&page={page}"))?;
            ensure!(listing["itemCount"] == 25 && listing["pageCount"] == 3, "{listing}");
            names.extend(items(&listing)?.iter().map(|item| item["name"].as_str().map(str::to_owned)));
        }
        let expected: Vec<_> = (0..25).map(|n| Some(format!("p{n:02}"))).collect();
        ensure!(names == expected, "{list}: {names:?}");
        let beyond = http::get(api, &format!("{list}?itemsPerPage=10&page=3"))?;
        ensure!(items(&beyond)?.is_empty(), "{beyond}");
        for query in ["page=-1", "page=x", "itemsPerPage=0", "itemsPerPage=-1", "page=9999999999999"] {
            refused(api, 400, "GET", &format!("{list}?{query}"), "")?;
        }
    }
    let nobody = "00000000-0000-4000-8000-000000000000";
    for (status, method, target, body) in [
        (404, "GET", "/v3/nothing", ""),
        (404, "GET", "/v3/paths/get/nothing", ""),
        (404, "GET", "/v3/config/paths/get/nothing", ""),
        (404, "DELETE", "/v3/config/paths/delete/nothing", ""),
        (404, "PATCH", "/v3/config/paths/patch/nothing", "{}"),
        (404, "POST", "/v3/paths/kick/nothing", ""),
        (404, "GET", &format!("/v3/rtspsessions/get/{nobody}"), ""),
        (404, "GET", "/v3/rtspssessions/list", ""),
        (400, "GET", "/v3/rtspsessions/get/x", ""),
        (400, "GET", "/v3/config/paths/get/", ""),
        (400, "POST", "/v3/config/paths/add/p00", "{}"),
        (400, "POST", "/v3/config/paths/add/new", r#"{"maxReader": 1}"#),
        (400, "POST", "/v3/config/paths/add/new", r#"{"maxReaders": "x"}"#),
        (400, "POST", "/v3/config/paths/add/new", "[]"),
        (400, "POST", "/v3/config/paths/add/new", "{"),
        (405, "POST", "/v3/paths/list", ""),
        (405, "GET", "/v3/config/paths/add/new", ""),
    ] {
        refused(api, status, method, target, body)?;
    }
    let hint = refused(api, 400, "POST", "/v3/config/paths/add/new", r#"{"maxReader": 1}"#)?;
    ensure!(hint.contains("maxReaders"), "no hint at the right key: {hint}");
    server.stop()
}

#[test]
fn a_path_that_is_added_takes_effect_and_ends_when_it_is_deleted() -> Result<()> {
    let (mut server, api) = launch_with_paths("added", &["kept"])?;
    let (url, rtsp) = (server.url("added"), server.rtsp);
    let announce = |url: &str| -> Result<u16> {
        let sdp = Tracks::Video.sdp();
        let kind = [("Content-Type", "application/sdp")];
        Ok(Connection::open(rtsp)?.request("ANNOUNCE", url, &kind, &sdp)?.status)
    };
    ensure!(announce(&url)? == 400, "a path that nobody configured: {}", announce(&url)?);
    let kept = Publisher::start(server.rtsp, &server.url("kept"), 1)?;
    change(api, "POST", "/v3/config/paths/add/added", &json!({"maxReaders": 1}))?;
    ensure!(http::get(api, "/v3/config/paths/get/added")?["maxReaders"] == 1, "what was added is shown");
    let publisher = Publisher::start(server.rtsp, &url, 2)?;
    server.wait_for_stream("added")?;
    server.wait_for_stream("kept")?;
    let mut bystander = Reader::play(server.rtsp, &server.url("kept"))?;
    let mut reader = Reader::play(server.rtsp, &url)?;
    reader.advance(20)?;
    ensure!(Reader::play(server.rtsp, &url).is_err(), "a second reader was let in");
    change(api, "PATCH", "/v3/config/paths/patch/added", &json!({"maxReaders": 2}))?;
    let second = Reader::play(server.rtsp, &url)?;
    reader.advance(100)?;
    reader.finish_whole().context("a change of maxReaders disturbed a reader")?;
    change(api, "POST", "/v3/config/paths/replace/added", &json!({}))?;
    ensure!(http::get(api, "/v3/config/paths/get/added")?["maxReaders"] == 0, "a replacement keeps nothing");
    change(api, "DELETE", "/v3/config/paths/delete/added", &Value::Null)?;
    publisher.wait_until_refused()?;
    wait::until_true("the reader to be closed", SOON, || second.seen().closed)?;
    refused(api, 404, "GET", "/v3/paths/get/added", "")?;
    ensure!(announce(&url)? == 400, "a path that was deleted takes publishers");
    bystander.advance(100)?;
    bystander.finish_whole()?;
    kept.tear_down()?;
    server.stop()
}

#[test]
fn names_may_have_slashes_and_escapes_but_lead_nowhere_else() -> Result<()> {
    let (server, api) = launch_with_paths("names", &[])?;
    change(api, "POST", "/v3/config/paths/add/a/b/c", &json!({}))?;
    change(api, "POST", "/v3/config/paths/add/d%2Fe%2D1", &json!({}))?;
    change(api, "POST", "/v3/config/paths/add/~%5Ecam%2F%5B0-9%5D%2B%24", &json!({"maxReaders": 3}))?;
    for (target, name) in
        [("a%2Fb%2Fc", "a/b/c"), ("d/e-1", "d/e-1"), ("~%5Ecam%2F%5B0-9%5D%2B%24", "~^cam/[0-9]+$")]
    {
        let path = http::get(api, &format!("/v3/config/paths/get/{target}"))?;
        ensure!(path["name"] == name, "{target}: {}", path["name"]);
    }
    for name in
        ["../x", "a/../b", "%2e%2e/x", "..%2Fx", "a/./b", "/x", "x/", "a%00b", "a%0Ab", "%ff", "a%20b", "a%"]
    {
        for (method, group) in
            [("POST", "config/paths/add"), ("GET", "config/paths/get"), ("GET", "paths/get")]
        {
            refused(api, 400, method, &format!("/v3/{group}/{name}"), "{}")?;
        }
    }
    let long = "x".repeat(5000);
    refused(api, 400, "POST", &format!("/v3/config/paths/add/{long}"), "{}")?;
    ensure!(http::get(api, "/v3/config/paths/list")?["itemCount"] == 3, "something refused was added");
    server.stop()
}

#[test]
fn a_bulk_is_made_whole_or_not_at_all() -> Result<()> {
    let (server, api) = launch_with_paths("a", &[])?;
    let bulk = "/v3/config/paths/bulk";
    change(api, "POST", bulk, &json!({"add": {"a": {}, "b": {}, "c": {"maxReaders": 1}}}))?;
    let before = http::get(api, "/v3/config/paths/list")?;
    let faulty = json!({"add": {"d": {}, "e": {"maxReaders": "many"}}, "delete": ["a", "z"]});
    let answer = http::request(api, "POST", bulk, &faulty.to_string())?.expect(400)?.json()?;
    let wrong: Vec<&String> = answer["errors"].as_object().context("errors by name")?.keys().collect();
    ensure!(wrong == ["e", "z"], "{answer}");
    ensure!(http::get(api, "/v3/config/paths/list")? == before, "a refused bulk changed something");
    let whole = json!({"add": {"d": {}}, "patch": {"c": {"maxReaders": 2}}, "replace": {"b": {"maxReaders": 9}}, "delete": ["a"]});
    change(api, "POST", bulk, &whole)?;
    let after = http::get(api, "/v3/config/paths/list")?;
    let readers: Vec<_> =
        items(&after)?.iter().map(|path| (path["name"].as_str(), path["maxReaders"].as_u64())).collect();
    ensure!(readers == [(Some("b"), Some(9)), (Some("c"), Some(2)), (Some("d"), Some(0))], "{readers:?}");
    refused(api, 400, "POST", bulk, r#"{"adds": {}}"#)?;
    server.stop()
}

#[test]
fn what_was_got_may_be_given_back_and_keeps_its_secrets() -> Result<()> {
    let users = "authInternalUsers=[{user: any, permissions: [{action: publish}, {action: api}]}, {user: eve, pass: secret, permissions: [{action: read}]}]";
    let (mut server, api) = launch(&[users])?;
    let url = server.url("cam");
    let _publisher = Publisher::start(server.rtsp, &url, 1)?;
    let described = |password: &str| -> Result<u16> {
        let basic =
            if password == "secret" { "Basic ZXZlOnNlY3JldA==" } else { "Basic ZXZlOjxyZWRhY3RlZD4=" };
        Ok(Connection::open(server.rtsp)?.request("DESCRIBE", &url, &[("Authorization", basic)], "")?.status)
    };
    wait::until("eve to read", SOON, || Ok((described("secret")? == 200).then_some(())))?;
    let global = http::get(api, "/v3/config/global/get")?;
    ensure!(global.to_string().contains("<redacted>"), "the password is hidden");
    ensure!(!global.to_string().contains("secret"), "the password is shown: {global}");
    change(
        api,
        "PATCH",
        "/v3/config/global/patch",
        &json!({"authInternalUsers": global["authInternalUsers"]}),
    )?;
    change(api, "PATCH", "/v3/config/global/patch", &global)?;
    ensure!(described("secret")? == 200, "the password was lost on the way");
    ensure!(described("<redacted>")? == 401, "the placeholder became the password");

    change(
        api,
        "POST",
        "/v3/config/paths/add/cam2",
        &json!({"source": "rtsp://me:hidden@127.0.0.1:1/x", "sourceOnDemand": true}),
    )?;
    let path = http::get(api, "/v3/config/paths/get/cam2")?;
    ensure!(!path.to_string().contains("hidden"), "{path}");
    change(api, "POST", "/v3/config/paths/replace/cam2", &path)?;
    ensure!(http::get(api, "/v3/config/paths/get/cam2")? == path, "a replacement by itself is no change");
    let defaults = http::get(api, "/v3/config/pathdefaults/get")?;
    change(api, "PATCH", "/v3/config/pathdefaults/patch", &defaults)?;
    ensure!(http::get(api, "/v3/config/pathdefaults/get")? == defaults, "a patch by itself is no change");
    server.still_runs()?;
    server.stop()
}

/// Reads events until `last` has come; their names and data.
fn events_until(events: &mut Client, last: &str) -> Result<Vec<(String, Value)>> {
    let (mut text, mut seen) = (String::new(), Vec::new());
    loop {
        let chunk = events.chunk()?.context("the stream of events ended")?;
        text += &String::from_utf8(chunk)?;
        while let Some((event, rest)) = text.split_once("\n\n") {
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            if let (Some(name), Some(data)) = (field("event:"), field("data:")) {
                seen.push((name.to_owned(), serde_json::from_str(data)?));
            }
            text = rest.to_owned();
        }
        if seen.iter().any(|(name, _)| name == last) {
            return Ok(seen);
        }
    }
}

fn listen(api: SocketAddr, query: &str) -> Result<Client> {
    let mut events = Client::open(api)?;
    events.send(format!("GET /v3/events{query} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())?;
    let (status, headers) = events.head()?;
    ensure!(status == 200, "status {status}");
    let kind = headers.iter().find(|(name, _)| name == "content-type").map(|(_, value)| value.as_str());
    ensure!(kind == Some("text/event-stream"), "{headers:?}");
    Ok(events)
}

#[test]
fn events_tell_in_order_what_happened() -> Result<()> {
    let (mut server, api) = launch(&[])?;
    let mut events = listen(api, "")?;
    let mut some = listen(api, "?type=pathAvailable,configurationChanged")?;
    let publisher = Publisher::start(server.rtsp, &server.url("told"), 1)?;
    server.wait_for_stream("told")?;
    change(api, "POST", "/v3/config/paths/add/new", &json!({}))?;
    publisher.tear_down()?;
    let seen = events_until(&mut events, "sessionEnded")?;
    let place = |name: &str| {
        let found = seen.iter().position(|(event, data)| {
            event == name && (data["path"].is_null() || data["path"] == "told" || data["path"] == "")
        });
        found.with_context(|| format!("no {name} in {seen:?}"))
    };
    let order = ["connectionOpened", "pathAvailable", "pathOnline", "configurationChanged", "sessionEnded"];
    let places: Vec<usize> = order.iter().map(|name| place(name)).collect::<Result<_>>()?;
    ensure!(places.is_sorted(), "{order:?} came at {places:?}");
    ensure!((places[0]..places[3]).contains(&place("sessionStarted")?), "{seen:?}");
    let (_, available) = &seen[place("pathAvailable")?];
    ensure!(available["path"] == "told" && available["time"].is_string(), "{available}");
    let chosen = events_until(&mut some, "configurationChanged")?;
    let names: Vec<&str> = chosen.iter().map(|(name, _)| name.as_str()).collect();
    ensure!(names == ["pathAvailable", "configurationChanged"], "{names:?}");
    refused(api, 400, "GET", "/v3/events?type=nonsense", "")?;
    // Nothing happens now: the next bytes are a heartbeat.
    let beat = wait::until("a heartbeat", Duration::from_secs(20), || {
        let text = String::from_utf8(some.chunk()?.context("the end")?)?;
        Ok(text.starts_with(':').then_some(text))
    })?;
    ensure!(beat.contains("heartbeat"), "{beat:?}");
    server.stop()
}

#[test]
fn a_listener_that_does_not_read_holds_nobody_up() -> Result<()> {
    let (server, api) = launch(&[])?;
    let deaf = listen(api, "")?;
    let mut good = listen(api, "?type=configurationChanged")?;
    let mut client = Client::open(api)?;
    let padding = "x".repeat(200);
    for round in 0..60 {
        let add: serde_json::Map<String, Value> =
            (0..100).map(|n| (format!("{padding}-{round}-{n}"), json!({}))).collect();
        let body = json!({ "add": add }).to_string();
        client.request("POST", "/v3/config/paths/bulk", &[], body.as_bytes())?.expect(200)?;
        events_until(&mut good, "configurationChanged")?;
    }
    ensure!(server.resident_bytes()? < 1 << 30, "{} bytes resident", server.resident_bytes()?);
    drop(deaf);
    server.stop()
}

#[test]
fn health_readiness_status_and_capabilities_are_told() -> Result<()> {
    let (server, api) = launch(&["shards=2"])?;
    ensure!(http::get(api, "/v3/health")? == json!({"status": "ok"}), "health");
    ensure!(http::get(api, "/v3/ready")?["ready"] == true, "readiness");
    let info = http::get(api, "/v3/info")?;
    ensure!(info["version"].as_str().is_some_and(|text| text.starts_with('v')), "{info}");
    ensure!(info["started"].as_str().is_some_and(|text| text.contains('T')), "{info}");
    let capabilities = http::get(api, "/v3/capabilities")?;
    ensure!(
        capabilities["shards"] == 2 && capabilities["ioUring"]["available"].is_boolean(),
        "{capabilities}"
    );
    let status = http::get(api, "/v3/config/status")?;
    ensure!(status["accepted"] == true && status["faults"] == json!([]), "{status}");
    server.stop()
}
