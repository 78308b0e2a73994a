//! Happenings go in; real processes and requests come out.

use super::{Dispatcher, Event, HookCounters, Kind, Phase};
use crate::config::{Configuration, ConfiguredPath, Global, PathConfiguration};
use crate::world::{ConnectionView, Happening, Party, SessionView, World};
use axum::http::StatusCode;
use axum::routing::post;
use headwater_engine::records::{Connection, Id, Protocol, Session, SessionState};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

const ID: &str = "00112233-4455-6677-8899-aabbccddeeff";

/// A folder of one test, and names of paths that no other process has in its environment.
struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        let folder = std::env::temp_dir().join(format!("headwater-hooks-{:016x}", rand::random::<u64>()));
        std::fs::create_dir(&folder).expect("a folder");
        Place(folder)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }

    fn path(&self, name: &str) -> Arc<str> {
        format!("live/{name}-{}", self.0.file_name().expect("a name").display()).into()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Processes with a path in their environment.
fn alive(path: &str) -> usize {
    let wanted = format!("MTX_PATH={path}");
    let environment = |folder: &Path| std::fs::read(folder.join("environ")).unwrap_or_default();
    let entries = std::fs::read_dir("/proc").expect("proc").flatten();
    entries
        .filter(|it| environment(&it.path()).split(|byte| *byte == 0).any(|text| text == wanted.as_bytes()))
        .count()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), wait).await.is_ok(), "in vain: {what}");
}

fn configuration(global: Global, paths: Vec<(&str, PathConfiguration)>) -> Arc<Configuration> {
    let entry = |(name, keys): (&str, PathConfiguration)| {
        let configured = ConfiguredPath { given: serde_json::Map::new(), effective: Arc::new(keys) };
        (name.to_owned(), Arc::new(configured))
    };
    let paths = paths.into_iter().map(entry).collect();
    Arc::new(Configuration { global, paths, ..Configuration::default() })
}

fn dispatcher(configuration: Arc<Configuration>) -> Dispatcher {
    // As the server does: children would inherit it if SIGINT were ignored here, and a shell could not trap it.
    let _ = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt());
    let mut dispatcher = Dispatcher::new(Arc::new(HookCounters::default()));
    dispatcher.runner.set_restart_pause(Duration::from_millis(10));
    dispatcher.configure(configuration);
    dispatcher
}

/// As at the end of a server that nobody hurries.
async fn finish(hooks: Dispatcher) {
    let (_phase, phases) = watch::channel(Phase::Ending);
    hooks.finish(&phases).await;
}

fn source() -> Option<Party> {
    let id = ID.parse().expect("an id");
    Some(Party { kind: "rtspSession", id, session: id })
}

fn available(path: &Arc<str>) -> Happening {
    Happening::PathAvailable { path: Arc::clone(path), source: source(), query: "a=b&c=$(id) 'x".into() }
}

fn unavailable(path: &Arc<str>) -> Happening {
    Happening::PathUnavailable { path: Arc::clone(path), source: source(), query: "".into() }
}

fn connection() -> ConnectionView {
    connection_of(Protocol::Rtsps)
}

fn connection_of(protocol: Protocol) -> ConnectionView {
    let record = Connection {
        id: ID.parse().expect("an id"),
        created: SystemTime::now(),
        protocol,
        remote: "192.0.2.7:5000".parse().expect("an address"),
        inbound_bytes: Default::default(),
        outbound_bytes: Default::default(),
    };
    ConnectionView { record: Arc::new(record), session: None }
}

fn session(path: &Arc<str>, id: &str, state: SessionState) -> SessionView {
    session_of(Protocol::Rtsp, path, id, state)
}

fn session_of(protocol: Protocol, path: &Arc<str>, id: &str, state: SessionState) -> SessionView {
    let record = Session {
        id: id.parse::<Id>().expect("an id"),
        created: SystemTime::now(),
        protocol,
        remote: "192.0.2.7:5000".parse().expect("an address"),
        path: Arc::clone(path),
        query: "".into(),
        user: "".into(),
        user_agent: "".into(),
        kind: Default::default(),
        skipped: Default::default(),
        counts: Default::default(),
    };
    SessionView { record: Arc::new(record), state, transport: None, connection: None }
}

/// Writes its environment at once.
fn environment_to(file: &str) -> String {
    format!("sh -c 'env > {file}.new && mv {file}.new {file}'")
}

#[test]
fn connections_of_rtmp_have_hooks_and_those_of_http_have_none() {
    let of = |protocol| {
        let event = Event::of_connection(Kind::Connect, &connection_of(protocol))?;
        event.variables.into_iter().find(|(name, _)| name == "MTX_CONN_TYPE").map(|(_, value)| value)
    };
    assert_eq!(of(Protocol::Rtmp).as_deref(), Some("rtmpConn"));
    assert_eq!(of(Protocol::Rtmps).as_deref(), Some("rtmpsConn"));
    assert_eq!((of(Protocol::Http), of(Protocol::Https)), (None, None));
}

#[test]
fn readers_are_named_as_in_the_api() {
    const WIRE: &str = "00000000-0000-8000-8000-0000000000aa";
    let of = |protocol| {
        let mut view = session_of(protocol, &"cam".into(), ID, SessionState::Read);
        view.connection = Some(WIRE.parse().expect("an id"));
        let event = Event::of_reader(Kind::Read, &view);
        let value =
            |of: &str| event.variables.iter().find(|(name, _)| name == of).map(|(_, value)| value.clone());
        (value("MTX_READER_TYPE").expect("a type"), value("MTX_READER_ID").expect("an id"))
    };
    for (protocol, kind, id) in [
        (Protocol::Rtmp, "rtmpConn", WIRE),
        (Protocol::Rtmps, "rtmpsConn", WIRE),
        (Protocol::Hls, "hlsSession", ID),
        (Protocol::Http, "httpSession", ID),
        (Protocol::Https, "httpSession", ID),
    ] {
        assert_eq!(of(protocol), (kind.to_owned(), id.to_owned()));
    }
}

#[tokio::test]
async fn commands_are_told_the_variables_of_mediamtx_and_their_twins() {
    let place = Place::new();
    let keys = PathConfiguration {
        run_on_available: environment_to(&place.file("available")),
        run_on_read: environment_to(&place.file("read")),
        ..PathConfiguration::default()
    };
    let global = Global { run_on_connect: environment_to(&place.file("connect")), ..Global::default() };
    let mut hooks = dispatcher(configuration(global, vec![("~^live/(cam)-(.*)$", keys)]));
    let path = place.path("cam");
    hooks.handle(&available(&path));
    hooks.handle(&Happening::SessionStarted(session(&path, ID, SessionState::Read)));
    hooks.handle(&Happening::SessionStarted(session(&path, ID, SessionState::Publish)));
    hooks.handle(&Happening::ConnectionOpened(connection()));
    until("all environments are written", || {
        ["available", "read", "connect"].iter().all(|name| !place.read(name).is_empty())
    })
    .await;
    let has = |file: &str, line: &str| {
        assert!(
            place.read(file).lines().any(|known| known == line),
            "{file} lacks {line}:\n{}",
            place.read(file)
        );
    };
    for line in [
        format!("MTX_PATH={path}"),
        format!("HEADWATER_PATH={path}"),
        format!("RTSP_PATH={path}"),
        "RTSP_PORT=8554".to_owned(),
        "G1=cam".to_owned(),
        "MTX_QUERY=a%3Db%26c%3D%24%28id%29+%27x".to_owned(),
        "MTX_SOURCE_TYPE=rtspSession".to_owned(),
        format!("MTX_SOURCE_ID={ID}"),
        format!("HEADWATER_SOURCE_ID={ID}"),
    ] {
        has("available", &line);
    }
    has("read", "MTX_READER_TYPE=rtspSession");
    has("read", &format!("MTX_READER_ID={ID}"));
    has("connect", "MTX_CONN_TYPE=rtspsConn");
    has("connect", &format!("MTX_CONN_ID={ID}"));
    has("connect", "RTSP_PORT=8554");
    assert!(!place.read("connect").contains("MTX_PATH"));
    let counters = Arc::clone(&hooks.counters);
    finish(hooks).await;
    assert_eq!(counters.started.load(SeqCst), 3, "a publisher is no reader");
}

#[tokio::test]
async fn a_command_ends_with_what_it_belongs_to_and_the_other_one_runs() {
    let place = Place::new();
    let (started, told, after) = (place.file("started"), place.file("told"), place.file("after"));
    let keys = PathConfiguration {
        run_on_available: format!(
            "sh -c \"trap 'echo $MTX_PATH > {told}; exit 3' INT; echo > {started}; while :; do sleep 0.05; done\""
        ),
        run_on_unavailable: format!("sh -c 'echo $MTX_PATH > {after}'"),
        ..PathConfiguration::default()
    };
    let mut hooks = dispatcher(configuration(Global::default(), vec![("all_others", keys)]));
    let path = place.path("ends");
    hooks.handle(&available(&path));
    hooks.handle(&available(&path));
    until("it runs", || !place.read("started").is_empty()).await;
    until("it is counted", || hooks.counters.running.load(SeqCst) == 1).await;
    hooks.handle(&unavailable(&path));
    until("it was told to end", || place.read("told").trim() == &*path).await;
    until("the other ran", || place.read("after").trim() == &*path).await;
    until("nobody is left", || alive(&path) == 0).await;
    assert!(hooks.begun.is_empty());
    let counters = Arc::clone(&hooks.counters);
    finish(hooks).await;
    assert_eq!(counters.killed.load(SeqCst), 0);
    assert_eq!(counters.started.load(SeqCst), 2, "twice available is once available");
}

#[tokio::test]
async fn a_group_that_does_not_end_is_killed() {
    let place = Place::new();
    let keys = PathConfiguration {
        run_on_read: "sh -c 'trap \"\" INT; sleep 600 & sleep 600'".to_owned(),
        ..PathConfiguration::default()
    };
    let global = Global { hook_stop_timeout: Duration::from_millis(100), ..Global::default() };
    let mut hooks = dispatcher(configuration(global, vec![("all", keys)]));
    let path = place.path("stuck");
    let reader = session(&path, ID, SessionState::Read);
    hooks.handle(&Happening::SessionStarted(reader.clone()));
    until("all three run", || alive(&path) == 3).await;
    hooks.handle(&Happening::SessionEnded { session: reader, reason: "".into() });
    until("nobody is left", || alive(&path) == 0).await;
    until("it is counted", || hooks.counters.killed.load(SeqCst) == 1).await;
    finish(hooks).await;
}

#[tokio::test]
async fn what_a_command_leaves_behind_ends_with_the_server() {
    let place = Place::new();
    let keys = PathConfiguration {
        run_on_available: "sh -c 'sleep 600 &'".to_owned(),
        run_on_unavailable: "sh -c 'sleep 600 &'".to_owned(),
        ..PathConfiguration::default()
    };
    // A shell lets what it runs in the background ignore SIGINT, so that only SIGKILL ends it.
    let global = Global { hook_stop_timeout: Duration::from_millis(300), ..Global::default() };
    let mut hooks = dispatcher(configuration(global, vec![("all", keys)]));
    let path = place.path("left");
    hooks.handle(&available(&path));
    let counters = Arc::clone(&hooks.counters);
    until("the command has ended", || counters.succeeded.load(SeqCst) == 1 && alive(&path) == 1).await;
    finish(hooks).await;
    assert_eq!(counters.succeeded.load(SeqCst), 2, "the end of the path is told at the end of the server");
    assert_eq!(alive(&path), 0);
}

/// A path whose commands ignore SIGINT, running, and one whose command is restarted and leaves such a child behind.
async fn stubborn(place: &Place) -> (Dispatcher, [Arc<str>; 2]) {
    let stays = "sh -c 'trap \"\" INT TERM; while :; do sleep 600; done'";
    let leaves = "sh -c 'trap \"\" INT; sleep 600 & exit 1'";
    let keys = PathConfiguration {
        run_on_available: stays.to_owned(),
        run_on_unavailable: stays.to_owned(),
        ..PathConfiguration::default()
    };
    let left = PathConfiguration {
        run_on_available: leaves.to_owned(),
        run_on_available_restart: true,
        ..PathConfiguration::default()
    };
    let global = Global { hook_stop_timeout: Duration::from_secs(3600), ..Global::default() };
    let paths = [place.path("stays"), place.path("leaves")];
    let mut hooks = dispatcher(configuration(global, vec![("all_others", keys), (&paths[1], left)]));
    paths.iter().for_each(|path| hooks.handle(&available(path)));
    until("both run", || alive(&paths[0]) == 2 && alive(&paths[1]) == 1).await;
    (hooks, paths)
}

#[tokio::test]
async fn commands_that_ignore_their_end_do_not_hold_up_the_end_of_the_server() {
    let place = Place::new();
    let (hooks, paths) = stubborn(&place).await;
    let counters = Arc::clone(&hooks.counters);
    let begin = std::time::Instant::now();
    finish(hooks).await;
    let took = begin.elapsed();
    assert!(took < Duration::from_millis(1600), "{took:?}");
    assert_eq!(paths.iter().map(|path| alive(path)).sum::<usize>(), 0, "nobody is left");
    assert_eq!(counters.killed.load(SeqCst), 2, "the command of the path and the one of its end");
}

#[tokio::test]
async fn whoever_hurries_waits_for_no_command() {
    let place = Place::new();
    let (hooks, paths) = stubborn(&place).await;
    let (phase, phases) = watch::channel(Phase::Ending);
    let begin = std::time::Instant::now();
    let hurry = async {
        until("the command of the end runs", || alive(&paths[0]) == 4).await;
        phase.send_replace(Phase::Killing);
        std::time::Instant::now()
    };
    let ((), hurried) = tokio::join!(hooks.finish(&phases), hurry);
    let took = (hurried - begin, hurried.elapsed());
    assert!(took.0 < Duration::from_millis(500) && took.1 < Duration::from_millis(350), "{took:?}");
    assert_eq!(paths.iter().map(|path| alive(path)).sum::<usize>(), 0, "nobody is left");
}

#[tokio::test]
async fn a_command_that_ends_is_restarted_as_long_as_its_path_lives() {
    let place = Place::new();
    let keys = PathConfiguration {
        run_on_online: format!("sh -c 'echo x >> {}; exit 7'", place.file("runs")),
        run_on_online_restart: true,
        ..PathConfiguration::default()
    };
    let mut hooks = dispatcher(configuration(Global::default(), vec![("all", keys)]));
    let path = place.path("again");
    let query = || Box::from("");
    hooks.handle(&Happening::PathOnline { path: Arc::clone(&path), source: source(), query: query() });
    until("it ran three times", || place.read("runs").lines().count() >= 3).await;
    hooks.handle(&Happening::PathOffline { path, source: source(), query: query() });
    let counters = Arc::clone(&hooks.counters);
    finish(hooks).await;
    assert_eq!(counters.running.load(SeqCst), 0);
    let (started, failed) = (counters.started.load(SeqCst), counters.failed.load(SeqCst));
    assert!(failed >= 2 && started - failed <= 1, "{started} started, {failed} failed");
}

#[tokio::test]
async fn only_the_init_command_that_changed_is_restarted() {
    let place = Place::new();
    let (kept, changed, removed) = (place.path("kept"), place.path("changed"), place.path("removed"));
    let init =
        |line: &str| PathConfiguration { run_on_init: line.to_owned(), ..PathConfiguration::default() };
    let mut hooks = dispatcher(configuration(
        Global::default(),
        vec![
            (&kept, init("sleep 600")),
            (&changed, init("sleep 600")),
            (&removed, init("sleep 600")),
            ("~^live/", init("sleep 600")),
        ],
    ));
    until("all run", || {
        let each = [&kept, &changed, &removed].iter().all(|path| alive(path) == 1);
        each && hooks.counters.running.load(SeqCst) >= 3
    })
    .await;
    assert_eq!(hooks.counters.started.load(SeqCst), 3, "patterns have no runOnInit");
    hooks.configure(configuration(
        Global { log_file: "other".to_owned(), ..Global::default() },
        vec![(&kept, init("sleep 600")), (&changed, init("sleep 601"))],
    ));
    until("the removed one ended", || alive(&removed) == 0).await;
    until("one was started anew", || hooks.counters.started.load(SeqCst) == 4 && alive(&changed) == 1).await;
    assert_eq!(alive(&kept), 1);
    finish(hooks).await;
    assert_eq!(alive(&kept) + alive(&changed), 0);
}

#[tokio::test]
async fn the_end_is_told_though_its_path_has_left_the_configuration() {
    let place = Place::new();
    let end = |word: &str| PathConfiguration {
        run_on_unavailable: format!("sh -c 'echo {word} $G1 $MTX_PATH >> {}'", place.file("after")),
        ..PathConfiguration::default()
    };
    let path = place.path("leaves");
    let others = || PathConfiguration::default();
    let of = |entries| configuration(Global::default(), entries);
    let name = path.trim_start_matches("live/");
    let mut told = Vec::new();
    let mut hooks = dispatcher(of(Vec::new()));
    for (after, word) in [
        (vec![], Some("first")),
        (vec![("all_others", others())], Some("first")),
        (vec![(&*path, end("exact")), ("~^live/(.*)$", end("second"))], Some("second")),
        (vec![("~^live/(.*)$", end("second"))], Some("second")),
        (vec![("~^live/(.*)$", others())], None),
    ] {
        hooks.configure(of(vec![("~^live/(.*)$", end("first"))]));
        hooks.handle(&available(&path));
        hooks.configure(of(after));
        hooks.handle(&unavailable(&path));
        told.extend(word.map(|word| format!("{word} {name} {path}")));
        until(&format!("{told:?}"), || place.read("after").lines().eq(told.iter())).await;
        assert!(hooks.begun.is_empty());
    }
    let counters = Arc::clone(&hooks.counters);
    finish(hooks).await;
    assert_eq!(counters.started.load(SeqCst), 4);
}

#[tokio::test]
async fn what_was_missed_is_found_by_comparing() {
    let place = Place::new();
    let keys = PathConfiguration {
        run_on_available: "sleep 600".to_owned(),
        run_on_unavailable: format!("sh -c 'echo $MTX_PATH > {}'", place.file("after")),
        ..PathConfiguration::default()
    };
    let mut hooks = dispatcher(configuration(Global::default(), vec![("all", keys)]));
    let path = place.path("missed");
    hooks.handle(&available(&path));
    until("it runs", || alive(&path) == 1).await;
    hooks.compare(&World::new());
    until("it ended", || alive(&path) == 0 && place.read("after").trim() == &*path).await;
    finish(hooks).await;
}

#[tokio::test]
async fn what_was_missed_is_told_once() {
    let place = Place::new();
    let keys = PathConfiguration { run_on_unavailable: "true".to_owned(), ..PathConfiguration::default() };
    let mut hooks = dispatcher(configuration(Global::default(), vec![("all", keys)]));
    let world = World::new();
    let mut happenings = world.listen();
    let (missed, waiting) = (place.path("missed"), place.path("waiting"));
    hooks.handle(&available(&missed));
    hooks.handle(&available(&waiting));
    world.tell(unavailable(&missed));
    for _ in 0..5000 {
        world.tell(Happening::ConfigurationChanged { keys: Vec::new() });
    }
    world.tell(unavailable(&waiting));
    let Err(RecvError::Lagged(number)) = happenings.recv().await else { panic!("nothing was missed") };
    hooks.catch_up(number, &mut happenings, &world);
    let counters = Arc::clone(&hooks.counters);
    finish(hooks).await;
    assert_eq!(counters.started.load(SeqCst), 2, "the end of each path");
    assert_eq!(counters.happenings_missed.load(SeqCst), number);
}

#[tokio::test]
async fn commands_that_cannot_run_are_counted_and_hurt_nobody() {
    let place = Place::new();
    for line in ["/no/such/program", "sh -c 'open", "$NOTHING_AT_ALL"] {
        let keys = PathConfiguration { run_on_available: line.to_owned(), ..PathConfiguration::default() };
        let mut hooks = dispatcher(configuration(Global::default(), vec![("all", keys)]));
        hooks.handle(&available(&place.path("bad")));
        until("it is counted", || hooks.counters.not_started.load(SeqCst) == 1).await;
        finish(hooks).await;
    }
}

/// A server that answers with the codes given, then with 200; and what it got.
async fn webhooks(codes: &[u16]) -> (Arc<Mutex<Vec<Value>>>, String) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let codes = codes.to_vec();
    let number = Arc::new(AtomicU64::new(0));
    let handler = {
        let seen = Arc::clone(&seen);
        async move |axum::Json(body): axum::Json<Value>| {
            seen.lock().expect("no panic").push(body);
            let at = usize::try_from(number.fetch_add(1, SeqCst)).expect("small");
            StatusCode::from_u16(codes.get(at).copied().unwrap_or(200)).expect("a code")
        }
    };
    let router = axum::Router::new().route("/hook", post(handler));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = format!("http://{}/hook", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (seen, address)
}

#[tokio::test]
async fn webhooks_are_tried_again_in_order_with_the_variables() {
    let place = Place::new();
    let (seen, address) = webhooks(&[503, 500]).await;
    let global = Global { webhook_address: address, ..Global::default() };
    let mut hooks = dispatcher(configuration(global, vec![("all", PathConfiguration::default())]));
    let path = place.path("told");
    hooks.handle(&available(&path));
    hooks.handle(&unavailable(&path));
    until("both arrive", || hooks.counters.webhooks_delivered.load(SeqCst) == 2).await;
    let seen = seen.lock().expect("no panic").clone();
    let words: Vec<_> = seen.iter().map(|body| body["event"].as_str().expect("an event")).collect();
    assert_eq!(words, ["available", "available", "available", "unavailable"]);
    assert_eq!(seen[0], seen[2], "a retry is the same event");
    assert_ne!(seen[0]["id"], seen[3]["id"]);
    assert_eq!(seen[0]["MTX_PATH"], *path);
    assert_eq!(seen[0]["MTX_SOURCE_ID"], ID);
    assert!(seen[0]["time"].as_str().expect("a time").parse::<jiff::Timestamp>().is_ok());
    assert_eq!(hooks.counters.webhooks_retried.load(SeqCst), 2);
    finish(hooks).await;
}

#[tokio::test]
async fn webhooks_that_are_not_wanted_or_refused_are_not_repeated() {
    let place = Place::new();
    let (seen, address) = webhooks(&[400]).await;
    let global = Global {
        webhook_address: address,
        webhook_events: vec!["unavailable".to_owned()],
        ..Global::default()
    };
    let mut hooks = dispatcher(configuration(global, Vec::new()));
    let path = place.path("refused");
    hooks.handle(&available(&path));
    hooks.handle(&unavailable(&path));
    until("it is given up", || hooks.counters.webhooks_failed.load(SeqCst) == 1).await;
    assert_eq!(seen.lock().expect("no panic").len(), 1);
    finish(hooks).await;
}

#[tokio::test]
async fn a_dead_webhook_server_costs_a_bounded_number_of_events() {
    let place = Place::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}/hook", listener.local_addr().expect("an address"));
    drop(listener);
    let global = Global {
        webhook_address: address,
        hook_stop_timeout: Duration::from_millis(50),
        ..Global::default()
    };
    let mut hooks = dispatcher(configuration(global, Vec::new()));
    let path = place.path("dead");
    for _ in 0..300 {
        hooks.handle(&available(&path));
        hooks.handle(&unavailable(&path));
    }
    let counters = Arc::clone(&hooks.counters);
    assert_eq!(counters.webhooks_dropped.load(SeqCst), 600 - 256, "one lane holds so many");
    let started = std::time::Instant::now();
    finish(hooks).await;
    assert!(started.elapsed() < Duration::from_secs(5), "the end of the server does not wait for it");
    assert_eq!(counters.webhooks_delivered.load(SeqCst), 0);
}
