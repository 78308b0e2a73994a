//! Who may do what, asked of others: an HTTP authentication server, and JSON web tokens with their key set.

use anyhow::{Context, Result, ensure};
use headwater_tests::media::python_environment;
use headwater_tests::mock::{Asked, Mock, Reply};
use headwater_tests::process::Process;
use headwater_tests::publisher::{Publisher, Tracks};
use headwater_tests::reader::Reader;
use headwater_tests::rtsp::{Connection, Element};
use headwater_tests::server::{Launch, Server};
use headwater_tests::web::{self as http, basic};
use headwater_tests::{root, wait};
use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};

const READY: Duration = Duration::from_secs(5);

/// A server that asks `mock`, whoever wants the metrics is let in.
fn asking(mock: &Mock, settings: &[&str]) -> Result<Server> {
    let mut all = vec![
        "authMethod=http".to_owned(),
        format!("authHTTPAddress='{}'", mock.url("/auth?who=headwater")),
        "authHTTPExclude=[{action: metrics}, {action: read, path: '~^open'}, {action: publish}]".to_owned(),
    ];
    all.extend(settings.iter().map(|&setting| setting.to_owned()));
    Server::launch(&Launch { settings: all, control: vec!["api", "metrics"], ..Launch::default() })
}

/// The status of a DESCRIBE on a connection of its own.
fn describe(server: &Server, path: &str, authorization: &str) -> Result<u16> {
    let mut connection = Connection::open(server.rtsp)?;
    let headers = [("Authorization", authorization)];
    let headers: &[(&str, &str)] = if authorization.is_empty() { &[] } else { &headers };
    Ok(connection.request("DESCRIBE", &server.url(path), headers, "")?.status)
}

/// One sample of the metrics, 0 when it is not there.
fn metric(server: &Server, sample: &str) -> Result<f64> {
    let page = http::get(server.control["metrics"], "/metrics")?;
    ensure!(page.status == 200, "metrics are answered {}", page.status);
    let text = page.text();
    let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    value.map_or(Ok(0.0), |value| Ok(value.trim().parse()?))
}

#[test]
fn an_authentication_server_is_told_what_mediamtx_tells() -> Result<()> {
    let mock = Mock::start(|_| Reply::ok())?;
    let server = asking(&mock, &["authHTTPExclude=[{action: metrics}]"])?;
    let url = server.url("live/cam?k=v&x=1");
    let mut connection = Connection::open(server.rtsp)?;
    let headers = [("Authorization", &*basic("eva", "secret")), ("User-Agent", "test/1")];
    connection.request("DESCRIBE", &url, &headers, "")?;
    let mut publisher = Connection::open(server.rtsp)?;
    let headers = [("Content-Type", "application/sdp"), ("Authorization", "Bearer abc.def.ghi")];
    publisher.ok("ANNOUNCE", &server.url("live/new"), &headers, &Tracks::Video.sdp())?;
    http::request(server.control["api"], "GET", "/v3/info?q=1", &[("Authorization", "Bearer tok")], "")?;
    let asked = mock.asked();
    ensure!(asked.len() == 3, "asked {} times: {asked:?}", asked.len());
    // A token may also be shown as password, so a password is told as both.
    let expected = [
        ["eva", "secret", "secret", "read", "live/cam", "rtsp", "k=v&x=1", "test/1"],
        ["", "", "abc.def.ghi", "publish", "live/new", "rtsp", "", ""],
        ["", "", "tok", "api", "", "", "q=1", ""],
    ];
    let fields = ["user", "password", "token", "action", "path", "protocol", "query", "userAgent"];
    for (asked, expected) in asked.iter().zip(expected) {
        ensure!(asked.method == "POST" && asked.path == "/auth?who=headwater", "{asked:?}");
        for (field, expected) in fields.iter().zip(expected) {
            ensure!(asked.text(field) == expected, "{field} is not {expected:?} in {asked:?}");
        }
        ensure!(asked.text("ip") == "127.0.0.1", "{asked:?}");
    }
    let ids: Vec<String> = asked.iter().map(|asked| asked.text("id")).collect();
    ensure!(ids[0] != ids[1] && ids[0].len() == 36 && ids[2].is_empty(), "{ids:?}");
    server.stop()
}

#[test]
fn the_server_is_asked_once_per_connection() -> Result<()> {
    let mock = Mock::start(|_| Reply::ok())?;
    let mut server = asking(&mock, &["authHTTPExclude=[{action: metrics}]"])?;
    // The query is the same for all requests, though a reader's SETUP is for `cam?k=v/trackID=0`.
    let url = server.url("cam?k=v");
    let publisher = Publisher::start(server.rtsp, &url, 1)?;
    ensure!(mock.asked().len() == 1, "a publisher asked {:?}", mock.asked());
    server.wait_for_stream("cam")?;
    let before = mock.asked().len();
    let mut reader = Reader::play(server.rtsp, &url)?;
    reader.advance(50)?;
    reader.finish_whole()?;
    let asked = mock.asked().split_off(before);
    ensure!(asked.len() == 1, "DESCRIBE, SETUP and PLAY of one connection asked {asked:?}");
    ensure!(mock.connections() <= 2, "{} connections for 3 questions", mock.connections());
    publisher.tear_down()?;
    server.stop()
}

#[test]
fn what_is_no_yes_opens_no_door() -> Result<()> {
    let mock = Mock::start(|_| Reply::ok())?;
    let server = asking(&mock, &["authTimeout=1s"])?;
    let answer = |reply: Reply| mock.answer(move |_| reply.clone());
    ensure!(describe(&server, "cam", &basic("a", "b"))? == 404, "a 200 lets nobody in");
    answer(Reply::status(204));
    ensure!(describe(&server, "cam", &basic("a", "b"))? == 404, "a 204 lets nobody in");
    for status in [401, 403, 404, 302] {
        answer(Reply::Status(status, "no\nERR forged=line".to_owned()));
        let missing = describe(&server, "cam", "")?;
        ensure!(missing == 401, "without credentials, {status} of the server is answered {missing}");
    }
    let started = Instant::now();
    let refused = describe(&server, "cam", &basic("a", "b"))?;
    ensure!(refused == 401 && started.elapsed() < READY, "{refused} after {:?}", started.elapsed());
    ensure!(!server.log().lines().any(|line| line.starts_with("ERR")), "the answer forged a line of the log");
    for (name, reply) in [
        ("an error of its own", Reply::Status(500, String::new())),
        ("garbage", Reply::Garbage),
        ("a closed connection", Reply::Close),
        ("silence", Reply::Hold(Box::new(Reply::ok()))),
    ] {
        answer(reply);
        let status = describe(&server, "cam", &basic("a", "b"))?;
        ensure!(status == 503, "{name} is answered {status} over RTSP");
        let headers = [("Authorization", &*basic("a", "b"))];
        let api = http::request(server.control["api"], "GET", "/v3/info", &headers, "")?;
        ensure!(api.status == 503, "{name} is answered {} by the API", api.status);
    }
    let timed_out = metric(&server, "headwater_authentication_timed_out_total")?;
    ensure!(timed_out >= 2.0, "{timed_out} time-outs are counted");
    drop(mock);
    // Nobody listens there any more.
    ensure!(describe(&server, "cam", &basic("a", "b"))? == 503, "a dead server is no 503");
    ensure!(describe(&server, "open", "")? == 404, "an exclusion depends on the dead server");
    let unavailable =
        metric(&server, "headwater_authentication_checks_total{method=\"http\",result=\"unavailable\"}")?;
    ensure!(unavailable >= 7.0, "{unavailable} are counted as unavailable");
    ensure!(!server.log().contains("secret"), "a password is in the log");
    server.stop()
}

#[test]
fn exclusions_and_the_cache_spare_the_server() -> Result<()> {
    let mock = Mock::start(
        |asked: &Asked| {
            if asked.text("password") == "right" { Reply::ok() } else { Reply::status(403) }
        },
    )?;
    let server = asking(&mock, &["authCache=60s"])?;
    ensure!(describe(&server, "open/1", "")? == 404, "an excluded path asks for credentials");
    ensure!(mock.asked().is_empty(), "the server was asked about an excluded path");
    for _ in 0..5 {
        ensure!(describe(&server, "cam", &basic("a", "right"))? == 404, "a right password is refused");
    }
    ensure!(mock.asked().len() == 1, "asked {} times within the cache's time", mock.asked().len());
    // Anything else about the request is another question.
    ensure!(describe(&server, "other", &basic("a", "right"))? == 404, "another path is refused");
    ensure!(
        describe(&server, "cam", &basic("a", "wrong"))? == 401,
        "a wrong password got the cached verdict"
    );
    ensure!(mock.asked().len() == 3, "asked {:?}", mock.asked());
    let cached = metric(&server, "headwater_authentication_http_cached_total")?;
    ensure!(cached >= 4.0, "{cached} verdicts are counted as cached");
    server.stop()
}

#[test]
fn a_thousand_readers_that_wait_for_a_slow_server_delay_nobody_else() -> Result<()> {
    const CROWD: usize = 1000;
    let mock = Mock::start(|_| Reply::Hold(Box::new(Reply::ok())))?;
    let exclude =
        "authHTTPExclude=[{action: metrics}, {action: api}, {action: publish}, {action: read, path: open}]";
    let mut server = asking(&mock, &[exclude, "authTimeout=30s"])?;
    let url = server.url("open");
    let publisher = Publisher::start(server.rtsp, &url, 1)?;
    let closed_door = Publisher::start(server.rtsp, &server.url("door"), 2)?;
    server.wait_for_stream("open")?;
    let mut reader = Reader::play(server.rtsp, &url)?;
    reader.advance(50)?;
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        let mut connection = Connection::open(server.rtsp)?;
        connection.send_request(
            "DESCRIBE",
            &server.url("door"),
            &[("Authorization", &basic("a", "b"))],
            "",
        )?;
        crowd.push(connection);
    }
    wait::until_true("all to be asked about", READY, || mock.asked().len() == CROWD)?;
    let held = Instant::now();
    let mut slowest = Duration::ZERO;
    // The authentication server takes 5 s, and meanwhile everything else goes on.
    wait::throughout(Duration::from_secs(5), || {
        let started = Instant::now();
        let mut newcomer = Reader::play(server.rtsp, &url)?;
        newcomer.wait("its first packet", |seen| seen.packets > 0)?;
        newcomer.finish_whole()?;
        let info = http::get(server.control["api"], "/v3/info")?;
        ensure!(info.status == 200, "the API answers {}", info.status);
        slowest = slowest.max(started.elapsed());
        Ok(())
    })?;
    ensure!(slowest < Duration::from_millis(500), "a newcomer and the API took {slowest:?}");
    for connection in crowd.iter_mut().step_by(100) {
        ensure!(connection.element(Duration::ZERO)?.is_none(), "answered before the server decided");
    }
    mock.release();
    for connection in &mut crowd {
        match connection.element(READY)?.context("no answer after the server decided")? {
            Element::Response(answer) => ensure!(answer.status == 200, "answered {}", answer.status),
            other => anyhow::bail!("{other:?}"),
        }
    }
    eprintln!("all {CROWD} served {:?} after they asked; others took {slowest:?} at most", held.elapsed());
    reader.advance(50)?;
    reader.finish_whole()?;
    publisher.tear_down()?;
    closed_door.tear_down()?;
    server.stop()
}

/// Keys and tokens, made by PyJWT.
fn tokens() -> Result<Value> {
    let mut command = Command::new(python_environment().join("bin/python3"));
    command.arg(root().join("tests/clients/tokens.py"));
    let mut process = Process::spawn("make tokens", command)?;
    process.succeed(Duration::from_secs(20))?;
    Ok(serde_json::from_str(&process.stdout())?)
}

/// A server that takes tokens signed by the keys of `mock`, which serves `keys`.
fn with_tokens(mock: &Mock, keys: &Value) -> Result<Server> {
    let keys = keys.to_string();
    mock.answer(move |_| Reply::Status(200, keys.clone()));
    let settings = vec![
        "authMethod=jwt".into(),
        format!("authJWTJWKS='{}'", mock.url("/keys")),
        "authJWTIssuer=issuer".into(),
        "authJWTAudience=headwater".into(),
        "authJWTExclude=[{action: metrics}, {action: pprof}]".into(),
    ];
    Server::launch(&Launch { settings, control: vec!["api", "metrics"], ..Launch::default() })
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value[name].as_str().with_context(|| format!("no {name}"))
}

#[test]
fn tokens_are_taken_from_header_password_and_query() -> Result<()> {
    let made = tokens()?;
    let mock = Mock::start(|_| Reply::ok())?;
    let server = with_tokens(&mock, &made["keys"])?;
    for (name, token) in made["good"].as_object().context("tokens")? {
        let token = token.as_str().context("a token")?;
        let bearer = format!("Bearer {token}");
        let query = |key: &str| format!("live/1?{key}={token}");
        let ways = [
            ("live/1".to_owned(), bearer.clone()),
            ("live/1".to_owned(), basic("anybody", token)),
            (query("token"), String::new()),
            (query("jwt"), String::new()),
        ];
        for (path, authorization) in ways {
            let status = describe(&server, &path, &authorization)?;
            ensure!(status == 404, "{name}: {path} {authorization} is answered {status}");
        }
        let headers = [("Authorization", &*bearer)];
        let info = http::request(server.control["api"], "GET", "/v3/info", &headers, "")?;
        ensure!(info.status == 200, "{name}: the API answers {}", info.status);
        let query = http::get(server.control["api"], &format!("/v3/info?jwt={token}"))?;
        ensure!(query.status == 401, "{name}: the API takes a token from the query");
    }
    let good = text(&made["good"], "ec")?;
    let other = describe(&server, "elsewhere", &format!("Bearer {good}"))?;
    ensure!(other == 401, "a path outside of the token's permissions is answered {other}");
    let url = format!("{}?token={good}", server.url("live/cam"));
    let publisher = Publisher::start(server.rtsp, &url, 1)?;
    let mut reader = Reader::play(server.rtsp, &url)?;
    reader.advance(50)?;
    reader.finish_whole()?;
    publisher.tear_down()?;
    ensure!(!server.log().contains(good), "a token is in the log");
    server.stop()
}

#[test]
fn tokens_that_are_not_right_are_refused() -> Result<()> {
    let made = tokens()?;
    let mock = Mock::start(|_| Reply::ok())?;
    let server = with_tokens(&mock, &made["keys"])?;
    let bad = made["bad"].as_object().context("tokens")?;
    let nested = format!("{}.{}.x", "e30", "W1tb".repeat(1000));
    let mut cases: Vec<(&str, &str)> =
        bad.iter().map(|(name, token)| (&**name, token.as_str().unwrap_or_default())).collect();
    cases.extend([("nonsense", "no token"), ("dots", "..."), ("nested", &*nested)]);
    let mut connections = Vec::new();
    for (name, token) in &cases {
        let authorization = format!("Bearer {token}");
        let headers = [("Authorization", &*authorization)];
        let mut rtsp = Connection::open(server.rtsp)?;
        rtsp.send_request("DESCRIBE", &server.url("live/1"), &headers, "")?;
        let mut api = http::Connection::open(server.control["api"])?;
        api.send_request("GET", "/v3/info", &headers, "")?;
        connections.push((name, rtsp, api));
    }
    for (name, mut rtsp, mut api) in connections {
        let status = rtsp.response()?.status;
        ensure!(status == 401, "{name}: answered {status} over RTSP");
        let answer = api.answer(http::ANSWER)?.context("no answer")?;
        ensure!(answer.status == 401, "{name}: answered {} by the API", answer.status);
    }
    server.stop()
}

#[test]
fn rotated_keys_are_taken_on_refresh() -> Result<()> {
    let made = tokens()?;
    let mock = Mock::start(|_| Reply::ok())?;
    let server = with_tokens(&mock, &made["keys"])?;
    let (old, new) =
        (format!("Bearer {}", text(&made["good"], "rsa")?), format!("Bearer {}", text(&made, "rotated")?));
    ensure!(describe(&server, "live/1", &old)? == 404, "the first key is not taken");
    let keys = made["rotated keys"].to_string();
    mock.answer(move |_| Reply::Status(200, keys.clone()));
    let refresh = |authorization: &str| {
        let headers = [("Authorization", authorization)];
        http::request(server.control["api"], "POST", "/v3/auth/jwks/refresh", &headers, "")
    };
    let refreshed = refresh(&old)?;
    ensure!(refreshed.status == 200, "the refresh is answered {} {}", refreshed.status, refreshed.text());
    ensure!(describe(&server, "live/1", &new)? == 404, "the new key is not taken");
    ensure!(describe(&server, "live/1", &old)? == 401, "the old key is still taken");
    // A key set that cannot be had leaves the old one in force, and says so.
    mock.answer(|_| Reply::Status(500, String::new()));
    let failed = refresh(&new)?;
    ensure!(failed.status >= 400, "a failed refresh is answered {}", failed.status);
    ensure!(describe(&server, "live/1", &new)? == 404, "a failed refresh forgot the keys");
    ensure!(metric(&server, "headwater_authentication_jwks_failed_total")? >= 1.0, "it is not counted");
    server.stop()
}
