//! RTMP as its operator meets it: the API, the metrics, hooks, a configuration that changes, and the end.

use anyhow::{Context, Result, ensure};
use headwater_protocols::flv::Capabilities;
use headwater_protocols::rtmp::client::Goal;
use headwater_tests::config_file::{ADDRESSES, ConfigFile, api, metric};
use headwater_tests::rtmp::Client;
use headwater_tests::rtmp::publisher::{Plan, Publisher, Tracks};
use headwater_tests::rtmp::raw::Raw;
use headwater_tests::rtmp::reader::{Reader, advance_all};
use headwater_tests::server::{Launch, Server};
use headwater_tests::{wait, web as http, workspace};
use serde_json::Value;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(5);

fn launch(settings: Vec<String>, file: Option<std::path::PathBuf>) -> Result<Server> {
    let (media, control) = (vec!["rtmp"], vec!["api", "metrics"]);
    Server::launch(&Launch { settings, file, media, control, ..Launch::default() })
}

/// The RTMP connections of that state, once there are so many: the API is told a moment later.
fn connections(server: &Server, state: &str, count: usize) -> Result<Vec<Value>> {
    wait::until(&format!("{count} connections in state {state}"), SOON, || {
        let list = api(server, "GET", "/v3/rtmpconns/list", "")?;
        let items = list["items"].as_array().context("items")?;
        let found: Vec<Value> = items.iter().filter(|item| item["state"] == state).cloned().collect();
        Ok((found.len() == count).then_some(found))
    })
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

/// Waits until newcomers can play `path`, and plays it.
fn play(rtmp: SocketAddr, path: &str) -> Result<Reader> {
    wait::until(&format!("{path} to be played"), SOON, || Ok(Reader::play(rtmp, path).ok()))
}

#[test]
fn the_api_lists_shows_and_kicks_connections() -> Result<()> {
    let server = launch(vec!["shards=2".into()], None)?;
    let rtmp = server.media["rtmp"];
    let publisher = Publisher::start(rtmp, "live/cam?k=v", Plan::new(1, Tracks::VideoAndAudio))?;
    let kept = play(rtmp, "live/cam?who=kept")?;
    let kicked = play(rtmp, "live/cam?who=kicked")?;
    let idle = Raw::greeted(rtmp)?;
    advance_all([&kept, &kicked], 30)?;

    let source = connections(&server, "publish", 1)?.remove(0);
    ensure!(text(&source, "path") == "live/cam" && text(&source, "query") == "k=v", "{source}");
    ensure!(text(&source, "userAgent").starts_with("FMLE/3.0"), "{source}");
    wait::until("the counts of the publisher", SOON, || {
        let shown = api(&server, "GET", &format!("/v3/rtmpconns/get/{}", text(&source, "id")), "")?;
        Ok((shown["inboundBytes"].as_u64() > Some(20_000)).then_some(()))
    })?;
    let idle_one = connections(&server, "idle", 1)?.remove(0);
    let own = idle.socket().local_addr()?.to_string();
    ensure!(text(&idle_one, "remoteAddr") == own && text(&idle_one, "path").is_empty(), "{idle_one}");
    let readers = connections(&server, "read", 2)?;

    let path = api(&server, "GET", "/v3/paths/get/live/cam", "")?;
    ensure!(path["source"]["type"] == "rtmpConn" && path["source"]["id"] == source["id"], "{path}");
    let shown = path["readers"].as_array().context("readers")?;
    ensure!(shown.len() == 2 && shown.iter().all(|reader| reader["type"] == "rtmpConn"), "{path}");
    for reader in &readers {
        ensure!(shown.iter().any(|one| one["id"] == reader["id"]), "{reader} is not in {path}");
    }
    let codecs: Vec<&str> =
        path["tracks2"].as_array().context("tracks")?.iter().map(|track| text(track, "codec")).collect();
    ensure!(codecs == ["H264", "MPEG-4 Audio"], "{path}");

    let victim = readers.iter().find(|one| text(one, "query") == "who=kicked").context("the reader")?;
    let kick =
        |id: &str| http::request(server.control["api"], "POST", &format!("/v3/rtmpconns/kick/{id}"), &[], "");
    ensure!(kick(text(victim, "id"))?.status == 200);
    wait::until_true("the reader to be closed", SOON, || kicked.seen().closed)?;
    connections(&server, "read", 1)?;
    ensure!(kick(text(victim, "id"))?.status == 404, "it was kicked twice");
    ensure!(kick("00000000-0000-0000-0000-000000000000")?.status == 404);
    // Its connections are of RTMP, not of RTMPS or RTSP.
    let elsewhere = format!("/v3/rtspconns/get/{}", text(&source, "id"));
    ensure!(http::get(server.control["api"], &elsewhere)?.status == 404);
    ensure!(http::get(server.control["api"], "/v3/rtmpsconns/list")?.status == 404, "RTMPS is not served");

    kept.advance(30)?;
    ensure!(kick(text(&source, "id"))?.status == 200);
    publisher.wait_until_closed()?;
    connections(&server, "publish", 0)?;
    let second = Publisher::start(rtmp, "live/cam", Plan::new(2, Tracks::VideoAndAudio))?;
    kept.wait("the next publisher", |seen| seen.epoch == 2)?;
    kept.finish_whole()?;
    second.finish()?;
    server.stop()
}

#[test]
fn the_metrics_have_the_families_of_mediamtx() -> Result<()> {
    let server = launch(Vec::new(), None)?;
    let rtmp = server.media["rtmp"];
    ensure!(metric(&server, "rtmp_conns")? == Some(0.0), "without connections there is a zero");
    let publisher = Publisher::start(rtmp, "cam", Plan::new(1, Tracks::Video))?;
    let reader = play(rtmp, "cam")?;
    reader.advance(60)?;
    for state in ["publish", "read"] {
        let one = connections(&server, state, 1)?.remove(0);
        let (id, remote) = (text(&one, "id"), text(&one, "remoteAddr"));
        let labels = format!("{{id=\"{id}\",path=\"cam\",remoteAddr=\"{remote}\",state=\"{state}\"}}");
        ensure!(metric(&server, &format!("rtmp_conns{labels}"))? == Some(1.0), "no {labels}");
        let bytes = if state == "publish" { "inbound" } else { "outbound" };
        wait::until("the bytes", SOON, || {
            let value = metric(&server, &format!("rtmp_conns_{bytes}_bytes{labels}"))?;
            Ok((value > Some(30_000.0)).then_some(()))
        })?;
        let discarded = metric(&server, &format!("rtmp_conns_outbound_frames_discarded{labels}"))?;
        ensure!(discarded == Some(0.0), "{discarded:?} discarded");
    }
    let page = http::get(server.control["metrics"], "/metrics?type=rtmp_conns")?.text();
    ensure!(page.lines().filter(|line| line.starts_with("rtmp_conns{")).count() == 2, "{page}");
    reader.finish_whole()?;
    publisher.finish()?;
    wait::until("no connections", SOON, || Ok(metric(&server, "rtmp_conns")?.filter(|left| *left == 0.0)))?;
    server.stop()
}

#[test]
fn hooks_are_told_of_connections_sources_and_readers() -> Result<()> {
    let folder = workspace().join(format!("rtmp-hooks-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let script = folder.join("note.sh");
    std::fs::write(&script, "env | grep ^MTX_ | sort >\"$1.new\" && mv \"$1.new\" \"$1\"\n")?;
    let hook = |name: &str| format!("sh {} {}", script.display(), folder.join(name).display());
    let yaml = format!(
        "runOnConnect: {}\nrunOnDisconnect: {}\npaths:\n  all_others:\n    runOnAvailable: {}\n    runOnRead: {}\n    runOnUnread: {}\n",
        hook("connect"),
        hook("disconnect"),
        hook("available"),
        hook("read"),
        hook("unread")
    );
    let file = folder.join("headwater.yml");
    std::fs::write(&file, yaml)?;
    let told = |name: &str| {
        wait::until(&format!("the hook {name}"), SOON, || Ok(std::fs::read_to_string(folder.join(name)).ok()))
    };
    let expect = |name: &str, wanted: &[String]| -> Result<()> {
        let found = told(name)?;
        let all = wanted.iter().all(|line| found.lines().any(|one| one == line));
        ensure!(all, "{name} was told\n{found}\nand not\n{}", wanted.join("\n"));
        Ok(())
    };
    let server = launch(Vec::new(), Some(file))?;
    let rtmp = server.media["rtmp"];
    let publisher = Publisher::start(rtmp, "cam?a=1", Plan::new(1, Tracks::Video))?;
    let source = text(&connections(&server, "publish", 1)?[0], "id").to_owned();
    expect("connect", &["MTX_CONN_TYPE=rtmpConn".into(), format!("MTX_CONN_ID={source}")])?;
    let is_source = ["MTX_SOURCE_TYPE=rtmpConn".into(), format!("MTX_SOURCE_ID={source}")];
    expect("available", &is_source)?;
    expect("available", &["MTX_PATH=cam".into(), "MTX_QUERY=a%3D1".into()])?;
    let reader = play(rtmp, "cam?b=2")?;
    let id = text(&connections(&server, "read", 1)?[0], "id").to_owned();
    let is_reader =
        ["MTX_READER_TYPE=rtmpConn".into(), format!("MTX_READER_ID={id}"), "MTX_QUERY=b%3D2".into()];
    expect("read", &is_reader)?;
    reader.finish_whole()?;
    expect("unread", &is_reader)?;
    expect("disconnect", &["MTX_CONN_TYPE=rtmpConn".into(), format!("MTX_CONN_ID={id}")])?;
    publisher.finish()?;
    server.stop()
}

/// Where the log last said that RTMP is listened on.
fn listening(server: &Server) -> Result<SocketAddr> {
    let log = server.log();
    let line = log.lines().rev().find(|line| line.contains("protocol=rtmp ") && line.contains("address="));
    let (_, address) = line.and_then(|line| line.split_once("address=")).context("no listener of RTMP")?;
    Ok(address.split_whitespace().next().unwrap_or_default().parse()?)
}

fn refuses(address: SocketAddr) -> Result<()> {
    wait::until_true(&format!("{address} to be closed"), SOON, || TcpStream::connect(address).is_err())
}

#[test]
fn a_moved_or_closed_port_leaves_sessions_alone() -> Result<()> {
    let configuration = |more: &str| format!("{ADDRESSES}{more}paths:\n  all_others:\n");
    let file = ConfigFile::new(&configuration(""))?;
    let server = Server::launch(&Launch { media: vec!["rtmp"], ..file.how() })?;
    let old = server.media["rtmp"];
    let publisher = Publisher::start(old, "live", Plan::new(1, Tracks::VideoAndAudio))?;
    let reader = play(old, "live")?;
    let mut waiting = Raw::greeted(old)?;
    reader.advance(30)?;

    file.change(&server, &configuration("").replace("rtmpAddress: 127.0.0.1:0", "rtmpAddress: 127.0.0.2:0"))?;
    let new = listening(&server)?;
    ensure!(new.ip().to_string() == "127.0.0.2", "it listens on {new}");
    refuses(old)?;
    reader.advance(30)?.whole()?;
    // A connection of the old port goes on as well, and new ones find the old stream.
    waiting.connect("")?;
    waiting.play("live")?;
    let newcomer = play(new, "live")?;
    newcomer.advance(30)?;

    file.change(
        &server,
        &configuration("rtmp: no\n").replace("rtmpAddress: 127.0.0.1:0", "rtmpAddress: 127.0.0.2:0"),
    )?;
    refuses(new)?;
    advance_all([&reader, &newcomer], 30)?;
    let answer = http::get(server.control["api"], "/v3/rtmpconns/list")?;
    ensure!(answer.status == 404, "the API of what is not served is answered {}", answer.status);

    file.change(&server, &configuration(""))?;
    let again = listening(&server)?;
    let last = play(again, "live")?;
    advance_all([&last, &reader, &newcomer], 30)?;
    for one in [last, reader, newcomer] {
        one.finish_whole()?;
    }
    publisher.finish()?;
    server.stop()
}

#[test]
fn readers_are_told_when_the_server_ends() -> Result<()> {
    let server = launch(vec!["shards=2".into()], None)?;
    let rtmp = server.media["rtmp"];
    let publisher = Publisher::start(rtmp, "last", Plan::new(1, Tracks::VideoAndAudio))?;
    let readers = (0..8).map(|_| play(rtmp, "last")).collect::<Result<Vec<_>>>()?;
    advance_all(&readers, 20)?;
    let mut idle = Raw::greeted(rtmp)?;
    server.terminate()?;
    for reader in readers {
        wait::until_true("the reader to be closed", SOON, || reader.seen().closed)?;
        let seen = reader.finish_whole()?;
        ensure!(seen.ended, "closed without a word: {seen:?}");
    }
    publisher.wait_until_closed()?;
    idle.until_closed(SOON)?;
    server.stop()
}

#[test]
fn without_rtmp_nobody_listens() -> Result<()> {
    let server = Server::launch(&Launch { control: vec!["api"], ..Launch::default() })?;
    ensure!(!server.log().contains("listening  rtmp"), "RTMP is open although it is off");
    let answer = http::get(server.control["api"], "/v3/rtmpconns/list")?;
    ensure!(answer.status == 404, "the API is answered {}", answer.status);
    server.stop()
}

#[test]
fn a_client_that_leaves_amid_its_refusal_takes_nothing_along() -> Result<()> {
    let server = launch(
        vec![
            "authInternalUsers=[{user: eve, pass: p, permissions: [{action: read}, {action: publish}]}, \
              {user: any, permissions: [{action: api}, {action: metrics}]}]"
                .into(),
        ],
        None,
    )?;
    let rtmp = server.media["rtmp"];
    let publisher = Publisher::start(rtmp, "door?user=eve&pass=p", Plan::new(1, Tracks::Video))?;
    let reader = play(rtmp, "door?user=eve&pass=p")?;
    for _ in 0..50 {
        drop(Client::open(rtmp, "door?user=eve&pass=wrong", Goal::Play, Capabilities::all())?);
        let mut guess = Raw::connected(rtmp, "")?;
        guess.command(1, "play", &[headwater_protocols::amf0::Value::Null, "door?user=eve&pass=x".into()])?;
    }
    reader.advance(30)?;
    wait::until("all guesses to be gone", Duration::from_secs(8), || {
        let list = api(&server, "GET", "/v3/rtmpconns/list", "")?;
        Ok((list["itemCount"] == 2).then_some(()))
    })?;
    reader.finish_whole()?;
    publisher.finish()?;
    server.stop()
}
