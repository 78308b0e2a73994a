//! Webhooks: what is told about, in which order, and what a server that fails or is dead costs.

use anyhow::{Context, Result, ensure};
use headwater_tests::mock::{Asked, Mock, Reply};
use headwater_tests::publisher::Publisher;
use headwater_tests::reader::Reader;
use headwater_tests::server::{Launch, Server};
use headwater_tests::{wait, web as http};
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

fn telling(address: &str, settings: &[&str]) -> Result<Server> {
    let mut all = vec![format!("webhookAddress='{address}'")];
    all.extend(settings.iter().map(|&setting| setting.to_owned()));
    Server::launch(&Launch { settings: all, control: vec!["api", "metrics"], ..Launch::default() })
}

/// A publisher and a reader of `path` come and go, one after the other.
fn come_and_go(server: &mut Server, path: &str) -> Result<()> {
    let url = server.url(path);
    let publisher = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream(path)?;
    let mut reader = Reader::play(server.rtsp, &url)?;
    reader.advance(50)?;
    drop(reader.finish_whole()?);
    wait::until("the reader to be gone", SOON, || {
        let sessions = http::get(server.control["api"], "/v3/rtspsessions/list")?.json()?;
        Ok((sessions["itemCount"] == 1).then_some(()))
    })?;
    publisher.tear_down()
}

/// The events about `path`, in the order in which they came.
fn about(mock: &Mock, path: &str) -> Vec<Asked> {
    mock.asked().into_iter().filter(|asked| asked.text("MTX_PATH") == path).collect()
}

fn events(asked: &[Asked]) -> Vec<String> {
    asked.iter().map(|asked| asked.text("event")).collect()
}

fn metric(server: &Server, sample: &str) -> Result<f64> {
    let text = http::get(server.control["metrics"], "/metrics")?.text();
    let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    value.map_or(Ok(0.0), |value| Ok(value.trim().parse()?))
}

#[test]
fn events_come_in_order_with_ids_and_variables() -> Result<()> {
    let mock = Mock::start(|_| Reply::ok())?;
    let mut server = telling(&mock.url("/events"), &[])?;
    come_and_go(&mut server, "live/cam")?;
    wait::until_true("all events", SOON, || about(&mock, "live/cam").len() == 6)?;
    let told = about(&mock, "live/cam");
    let order = events(&told);
    ensure!(
        order[..4] == ["available", "online", "read", "unread"]
            && HashSet::from([&*order[4], &*order[5]]) == HashSet::from(["offline", "unavailable"]),
        "{order:?}"
    );
    let reader = &told[2];
    ensure!(
        reader.text("MTX_READER_TYPE") == "rtspSession" && reader.text("MTX_READER_ID").len() == 36,
        "{reader:?}"
    );
    ensure!(reader.text("MTX_READER_ID") == told[3].text("MTX_READER_ID"), "{told:?}");
    ensure!(told[0].text("MTX_SOURCE_TYPE") == "rtspSession", "{told:?}");
    wait::until_true("connections' events", SOON, || {
        let all = events(&mock.asked());
        all.iter().any(|event| event == "connect") && all.iter().any(|event| event == "disconnect")
    })?;
    let all = mock.asked();
    let ids: HashSet<String> = all.iter().map(|asked| asked.text("id")).collect();
    ensure!(ids.len() == all.len() && all.iter().all(|asked| asked.text("id").len() == 36), "{all:?}");
    ensure!(all.iter().all(|asked| asked.method == "POST" && asked.path == "/events"), "{all:?}");
    ensure!(all.iter().all(|asked| asked.text("time").ends_with('Z')), "no time in {all:?}");
    server.stop()
}

#[test]
fn a_server_that_fails_is_asked_again_later_with_the_same_event() -> Result<()> {
    let mock = Mock::start(|_| Reply::ok())?;
    let mut server = telling(&mock.url("/"), &["webhookEvents=[available, online, read, unread]"])?;
    let failures = AtomicUsize::new(3);
    mock.answer(move |_| {
        let fails = failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if fails.is_ok() { Reply::status(500) } else { Reply::ok() }
    });
    come_and_go(&mut server, "cam")?;
    wait::until_true("all events", SOON, || about(&mock, "cam").len() == 7)?;
    let told = about(&mock, "cam");
    let order = ["available", "available", "available", "available", "online", "read", "unread"];
    ensure!(events(&told) == order, "{:?}", events(&told));
    let ids: HashSet<String> = told[..4].iter().map(|asked| asked.text("id")).collect();
    ensure!(ids.len() == 1, "a retry is another event: {told:?}");
    let pauses: Vec<Duration> = told[..4].windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    // 0.5, 1 and 2 s, each shortened by chance by up to a half.
    for (pause, least) in pauses.iter().zip([250, 500, 1000]) {
        ensure!(*pause >= Duration::from_millis(least), "no back-off: {pauses:?}");
    }
    ensure!(
        metric(&server, "headwater_webhooks_total{result=\"retried\"}")? == 3.0,
        "retries are not counted"
    );
    ensure!(
        metric(&server, "headwater_webhooks_total{result=\"delivered\"}")? == 4.0,
        "deliveries are not counted"
    );
    server.stop()
}

#[test]
fn an_event_that_is_refused_is_given_up_and_the_next_one_is_sent() -> Result<()> {
    let mock = Mock::start(|asked| match asked.text("event").as_str() {
        "available" => Reply::status(400),
        "online" => Reply::Garbage,
        _ => Reply::ok(),
    })?;
    let mut server =
        telling(&mock.url("/"), &["webhookEvents=[available, online, read]", "webhookRetries=1"])?;
    come_and_go(&mut server, "cam")?;
    wait::until_true("all events", SOON, || events(&about(&mock, "cam")).contains(&"read".to_owned()))?;
    ensure!(events(&about(&mock, "cam")) == ["available", "online", "online", "read"], "{:?}", mock.asked());
    wait::until("the count", SOON, || {
        let failed = metric(&server, "headwater_webhooks_total{result=\"failed\"}")?;
        Ok((failed == 2.0).then_some(()))
    })?;
    server.stop()
}

#[test]
fn a_dead_server_is_logged_once_and_costs_nothing_else() -> Result<()> {
    let dead = Mock::start(|_| Reply::ok())?.url("/hook?key=hidden");
    let mut server = telling(&dead, &["webhookRetries=20"])?;
    let url = server.url("cam");
    let publisher = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream("cam")?;
    let mut beside = Reader::play(server.rtsp, &url)?;
    for _ in 0..300 {
        drop(Reader::play(server.rtsp, &url)?);
    }
    wait::until("retries", SOON, || {
        let retried = metric(&server, "headwater_webhooks_total{result=\"retried\"}")?;
        Ok((retried > 20.0).then_some(()))
    })?;
    // 300 readers are 600 events about one path: more than may wait.
    wait::until("events to be dropped", SOON, || {
        let dropped = metric(&server, "headwater_webhooks_total{result=\"dropped\"}")?;
        Ok((dropped > 0.0).then_some(()))
    })?;
    beside.advance(50)?;
    beside.finish_whole()?;
    let log = server.log();
    let lines = log.lines().filter(|line| line.contains("webhooks to ")).collect::<Vec<_>>();
    ensure!(lines.len() == 1 && lines[0].contains("begin to fail"), "{lines:?}");
    ensure!(!log.contains("hidden"), "the webhook's secret is in the log");
    publisher.tear_down()?;
    // Within 2 s, although events still wait.
    server.stop()
}

#[test]
fn only_the_wanted_events_are_sent() -> Result<()> {
    let mock = Mock::start(|_| Reply::ok())?;
    let mut server = telling(&mock.url("/"), &["webhookEvents=[unread]"])?;
    come_and_go(&mut server, "cam")?;
    wait::until_true("the event", SOON, || !mock.asked().is_empty())?;
    come_and_go(&mut server, "cam")?;
    wait::until_true("the next event", SOON, || mock.asked().len() >= 2)?;
    ensure!(events(&mock.asked()) == ["unread", "unread"], "{:?}", mock.asked());
    let wrong = telling(&mock.url("/"), &["webhookEvents=[unred]"]);
    let said = format!("{:#}", wrong.err().context("an unknown event was accepted")?);
    ensure!(said.contains("unred") && said.contains("webhookEvents"), "{said}");
    server.stop()
}
