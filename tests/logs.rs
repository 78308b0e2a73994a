//! Logs: where they go, how they are told, that they carry no secrets, and that nobody waits for whoever reads them.

use anyhow::{Context, Result, ensure};
use headwater_tests::config_file::{ADDRESSES, ConfigFile, Taken, api};
use headwater_tests::mock::{Mock, Reply};
use headwater_tests::process::Process;
use headwater_tests::publisher::{Publisher, Tracks};
use headwater_tests::reader::Reader;
use headwater_tests::rtsp::Connection;
use headwater_tests::server::{Launch, Server};
use headwater_tests::{binary, namespace, wait, web as http, workspace};
use rustix::process::Signal;
use serde_json::Value;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);

/// An empty folder of the test's own.
fn folder(name: &str) -> Result<PathBuf> {
    let folder = workspace().join("log-tests").join(format!("{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn has(file: &Path, text: &str) -> Result<()> {
    wait::until_true(&format!("{text:?} in {}", file.display()), PATIENCE, || {
        std::fs::read_to_string(file).is_ok_and(|content| content.contains(text))
    })
}

/// One visit that the log tells of: a publisher that comes and goes.
fn visit(server: &Server, path: &str) -> Result<()> {
    Publisher::start(server.rtsp, &server.url(path), 1)?.tear_down()
}

#[test]
fn lines_on_standard_output_look_as_in_mediamtx() -> Result<()> {
    let server = Server::start()?;
    visit(&server, "visited")?;
    server.wait_for_log("session closed")?;
    let log = server.log();
    let line = log.lines().find(|line| line.contains("publishing")).context("no line")?;
    // 2026/11/20 20:15:03 INF publishing protocol=rtsp …
    let shape: String = line.chars().take(24).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    ensure!(shape == "0000/00/00 00:00:00 INF ", "{line}");
    for key in [" protocol=rtsp ", " session=", " peer=127.0.0.1:", " path=visited "] {
        ensure!(line.contains(key), "no {key:?} in {line}");
    }
    server.stop()
}

#[test]
fn a_log_file_survives_rotation_with_and_without_a_signal() -> Result<()> {
    let folder = folder("rotation")?;
    let file = folder.join("headwater.log");
    let settings = vec!["logDestinations=[file]".into(), format!("logFile={}", file.display())];
    let server = Server::launch(&Launch { settings, ..Launch::default() })?;
    visit(&server, "first")?;
    has(&file, "path=first")?;

    // As logrotate does with a postrotate script.
    std::fs::rename(&file, folder.join("headwater.log.1"))?;
    server.signal(Signal::USR2)?;
    wait::until("a new file", PATIENCE, || {
        // The signal may be taken after the first of these.
        visit(&server, "second")?;
        Ok(file.exists().then_some(()))
    })?;
    visit(&server, "second")?;
    has(&file, "path=second")?;

    // As logrotate does without one: the server finds out by itself.
    std::fs::rename(&file, folder.join("headwater.log.2"))?;
    wait::until("a new file", PATIENCE, || {
        visit(&server, "third")?;
        Ok(file.exists().then_some(()))
    })?;
    has(&file, "path=third")?;
    std::fs::remove_file(&file)?;
    wait::until("a file in place of a deleted one", PATIENCE, || {
        visit(&server, "fourth")?;
        Ok(file.exists().then_some(()))
    })?;
    let first = std::fs::read_to_string(folder.join("headwater.log.1"))?;
    ensure!(first.contains("path=first") && !first.contains("path=third"), "{first}");
    ensure!(!server.log().contains("path=first"), "it goes to standard output as well");
    server.stop()?;
    has(&file, "shutting down")
}

#[test]
fn structured_lines_are_json_with_the_keys_of_the_metrics() -> Result<()> {
    let settings = vec!["logStructured=yes".into(), "logLevel=debug".into()];
    let mut server = Server::launch(&Launch { settings, control: vec!["api"], ..Launch::default() })?;
    let publisher = Publisher::start(server.rtsp, &server.url("cam"), 1)?;
    server.wait_for_stream("cam")?;
    let mut reader = Reader::play(server.rtsp, &server.url("cam"))?;
    reader.advance(30)?;
    reader.finish_whole()?;
    api(&server, "GET", "/v3/paths/list", "")?;
    Connection::open(server.rtsp)?.send(b"\x16\x03\x01\x00nonsense\r\n\r\n")?;
    publisher.tear_down()?;
    wait::until_true("both sessions to be closed", PATIENCE, || {
        server.log().matches("session closed").count() >= 2
    })?;
    let log = server.log();
    let lines: Vec<Value> = log
        .lines()
        .filter(|line| {
            !["headwater ", "listening ", "publish ", "play "].iter().any(|begin| line.starts_with(begin))
        })
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect::<Result<_>>()?;
    let texts = ["time", "level", "message"];
    ensure!(
        lines.iter().all(|line| texts.iter().all(|key| line[key].is_string())),
        "a line without {texts:?}"
    );
    for message in ["publishing", "reading"] {
        let line =
            lines.iter().find(|line| line["message"] == message).with_context(|| message.to_owned())?;
        ensure!(line["protocol"] == "rtsp" && line["path"] == "cam" && line["level"] == "info", "{line}");
        ensure!(line["session"].is_string() && line["peer"].is_string(), "{line}");
    }
    server.stop()
}

#[test]
fn the_level_changes_through_the_api() -> Result<()> {
    let server = Server::launch(&Launch { control: vec!["api"], ..Launch::default() })?;
    let level = |level: &str| {
        api(&server, "PATCH", "/v3/config/global/patch", &format!("{{\"logLevel\": \"{level}\"}}"))
    };
    visit(&server, "at-info")?;
    server.wait_for_log("path=at-info")?;
    ensure!(!server.log().contains(" DEB "), "debug lines at the level info");
    level("debug")?;
    visit(&server, "at-debug")?;
    server.wait_for_log(" DEB ")?;
    level("error")?;
    visit(&server, "at-error")?;
    level("info")?;
    visit(&server, "again")?;
    server.wait_for_log("path=again")?;
    ensure!(!server.log().contains("path=at-error"), "information at the level error");
    server.stop()
}

#[test]
fn syslog_gets_the_lines() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        // As namespace::run says: CI is root.
        return namespace::run("syslog_gets_the_lines", &[], || Ok(()));
    }
    // A /dev of the server's own, in which this test is syslog.
    let dev = folder("dev")?;
    let mut copy = Command::new("cp");
    copy.arg("-a").args(["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"]).arg(&dev);
    Process::spawn("cp", copy)?.succeed(PATIENCE)?;
    let syslog = UnixDatagram::bind(dev.join("log"))?;
    syslog.set_read_timeout(Some(PATIENCE))?;
    let script = format!("mount --bind '{}' /dev && exec \"$@\"", dev.display());
    let server = Server::launch(&Launch {
        settings: vec!["logDestinations=[stdout, syslog]".into(), "sysLogPrefix=watertower".into()],
        within: ["unshare", "--mount", "sh", "-c", &script, "sh"].map(String::from).to_vec(),
        ..Launch::default()
    })?;
    visit(&server, "visited")?;
    let mut buffer = [0; 16384];
    let line = wait::until("the line in syslog", PATIENCE, || {
        let length = syslog.recv(&mut buffer)?;
        let line = String::from_utf8_lossy(&buffer[..length]).into_owned();
        Ok(line.contains("publishing").then_some(line))
    })?;
    let (priority, rest) = line.split_once('>').context("no priority")?;
    // Severity 6 is information (RFC 3164, section 4.1.1).
    ensure!(priority[1..].parse::<u8>()? % 8 == 6, "{line}");
    ensure!(rest.contains("watertower") && rest.contains("path=visited"), "{line}");
    server.stop()
}

/// What must be found in no log. Each stands in the place that its name says.
const SECRETS: [&str; 12] = [
    "pw-of-user",
    "pw-wrong",
    "pw-in-url",
    "pw-in-query",
    "token-in-query",
    "token-in-header",
    "pw-of-hook",
    "key-of-hook",
    "pw-of-source",
    "pw-of-api",
    "pw-changed",
    "pass-of-srt",
];

#[test]
fn secrets_are_in_no_line_at_any_level() -> Result<()> {
    let hook = Mock::start(|_| Reply::status(500))?;
    let hook_url = hook.url("/in").replacen("http://", "http://u:pw-of-hook@", 1) + "?key=key-of-hook";
    let text = |password: &str, more: &str| {
        format!(
            "{ADDRESSES}logLevel: trace\nreadTimeout: 1h\nwebhookAddress: '{hook_url}'\nwebhookRetries: 1\n{more}authInternalUsers:\n\
             - {{user: cam, pass: {password}, permissions: [{{action: publish}}, {{action: read}}]}}\n\
             - {{user: admin, pass: pw-of-api, permissions: [{{action: api}}]}}\n\
             paths:\n  all_others:\n  pulled:\n    source: rtsp://u:pw-of-source@127.0.0.1:9/x\n    srtReadPassphrase: pass-of-srt\n  \
             away:\n    source: redirect\n    sourceRedirect: rtsp://u:pw-of-source@127.0.0.1:9/x\n"
        )
    };
    let file = ConfigFile::new(&text("pw-of-user", ""))?;
    let server = file.launch()?;
    publish_and_read(&server)?;
    ask_the_api(&server)?;
    // Faults of configuration are told too, and changes.
    let before = Taken::of(&server);
    file.rewrite(&text("pw-of-user", "webhookTimeout: soon\nauthHTTPAddress: 'ftp://u:pw-of-hook@h'\n"))?;
    before.refused_since(&server)?;
    file.change(&server, &text("pw-changed", ""))?;
    wait::until_true("the webhook", PATIENCE, || !hook.asked().is_empty())?;
    server.wait_for_log("webhook")?;
    let log = server.log();
    ensure!(log.contains(" DEB ") && log.contains("publishing"), "little is logged:\n{log}");
    for secret in SECRETS {
        let line = log.lines().find(|line| line.contains(secret));
        ensure!(line.is_none(), "{secret} is in the log: {line:?}");
    }
    server.stop()
}

fn publish_and_read(server: &Server) -> Result<()> {
    let with = |password: &str| http::basic("cam", password);
    let url = server.url("cam");
    let mut publisher = Connection::open(server.rtsp)?;
    let authorization = with("pw-of-user");
    let headers = [("Content-Type", "application/sdp"), ("Authorization", authorization.as_str())];
    publisher.ok("ANNOUNCE", &url, &headers, &Tracks::Video.sdp())?;
    let transport = "RTP/AVP/TCP;unicast;interleaved=0-1;mode=record";
    publisher.set_up(&format!("{url}/trackID=0"), transport)?;
    publisher.ok("RECORD", &url, &[], "")?;
    server.wait_for_log("publishing")?;
    let credentials = [with("pw-wrong"), with("pw-of-user"), "Bearer token-in-header".to_owned()];
    let urls = [
        url.clone(),
        url.replacen("rtsp://", "rtsp://cam:pw-in-url@", 1),
        format!("{url}?user=cam&pass=pw-in-query"),
        format!("{url}?jwt=token-in-query&token=token-in-query"),
        format!("rtsp://{}/away?pass=pw-in-query", server.rtsp),
    ];
    // All at once: a wrong password is answered after a while.
    let mut asked = Vec::new();
    for authorization in &credentials {
        for url in &urls {
            let mut connection = Connection::open(server.rtsp)?;
            connection.send_request("DESCRIBE", url, &[("Authorization", authorization)], "")?;
            asked.push(connection);
        }
    }
    let answers = asked.iter_mut().map(|connection| Ok(connection.response()?.status));
    let answers: Vec<u16> = answers.collect::<Result<_>>()?;
    ensure!([200, 302, 401].iter().all(|status| answers.contains(status)), "{answers:?}");
    publisher.ok("TEARDOWN", &url, &[], "")?;
    Ok(())
}

fn ask_the_api(server: &Server) -> Result<()> {
    let [admin, wrong] = ["pw-of-api", "pw-wrong"].map(|password| http::basic("admin", password));
    let mut asked = Vec::new();
    for (authorization, wanted) in
        [(admin.as_str(), 200), (wrong.as_str(), 401), ("Bearer token-in-header", 401)]
    {
        for query in ["", "?jwt=token-in-query&pass=pw-in-query"] {
            let path = format!("/v3/config/global/get{query}");
            let mut connection = http::Connection::open(server.control["api"])?;
            connection.send_request("GET", &path, &[("Authorization", authorization)], "")?;
            asked.push((connection, authorization, query.is_empty().then_some(wanted)));
        }
    }
    for (mut connection, authorization, wanted) in asked {
        let answer = connection.answer(http::ANSWER)?.context("no answer")?;
        ensure!(wanted.is_none_or(|wanted| answer.status == wanted), "{authorization}: {}", answer.status);
    }
    Ok(())
}

#[test]
fn no_name_can_forge_a_line() -> Result<()> {
    let settings = vec!["logLevel=debug".into()];
    let server = Server::launch(&Launch { settings, control: vec!["api"], ..Launch::default() })?;
    let forged = "2026/01/01 00:00:00 INF forged";
    for name in ["a%0A2026/01/01%2000:00:00%20INF%20forged", "a%1b%5b31mred", "a\u{85}b\u{2028}c", "%00"] {
        let url = server.url(name);
        for (method, body) in [("DESCRIBE", ""), ("ANNOUNCE", "v=0\r\n")] {
            let mut connection = Connection::open(server.rtsp)?;
            let agent = [("User-Agent", "agent\u{1b}[31m \u{2028}2026/01/01 00:00:00 INF forged")];
            // Whatever the answer: it is the log that counts.
            connection.send_request(method, &url, &agent, body)?;
            let _ = connection.response();
        }
        let _ = http::get(server.control["api"], &format!("/v3/paths/get/{name}"));
    }
    visit(&server, "last")?;
    server.wait_for_log("path=last")?;
    let log = server.log();
    ensure!(!log.lines().any(|line| line.starts_with(forged)), "a forged line:\n{log}");
    let control = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{2028}' | '\u{2029}');
    let bad = log.lines().find(|line| line.contains(control));
    ensure!(bad.is_none(), "control characters in {bad:?}");
    server.stop()
}

#[test]
fn a_log_that_nobody_reads_holds_nobody_up() -> Result<()> {
    namespace::run("a_log_that_nobody_reads_holds_nobody_up", &[], || {
        let mut command = Command::new("sh");
        let script = "\"$0\" --set logLevel=trace --set api=yes --set metrics=yes --set logBufferLines=256 | sleep 600";
        command.args(["-c", script]).arg(binary()?);
        let mut process = Process::spawn("headwater with a pipe that nobody reads", command)?;
        let server = "127.0.0.1:8554".parse()?;
        let metrics = "127.0.0.1:9998".parse()?;
        wait::until_true("the usual ports", PATIENCE, || {
            Connection::open(server).is_ok() && http::get(metrics, "/metrics").is_ok()
        })?;
        let url = "rtsp://127.0.0.1:8554/live";
        let publisher = Publisher::start(server, url, 1)?;
        let mut reader = Reader::play(server, url)?;
        // Until the pipe is full, and the queue behind it, and lines are lost.
        let lost = wait::until("lines to be lost", Duration::from_secs(30), || {
            for _ in 0..50 {
                Connection::open(server)?.request("DESCRIBE", "rtsp://127.0.0.1:8554/nothing", &[], "")?;
            }
            let text = http::get(metrics, "/metrics")?.text();
            let lost = text.lines().find_map(|line| line.strip_prefix("headwater_log_lines_dropped_total "));
            let lost: f64 = lost.context("no metric")?.parse()?;
            Ok((lost > 100.0).then_some(lost))
        })?;
        ensure!(lost > 0.0);
        reader.advance(200)?;
        reader.finish_whole()?;
        publisher.tear_down()?;
        process.still_runs()
    })
}
