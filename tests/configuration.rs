//! The configuration as MediaMTX's users bring it along: their file, their environment, their old keys, their paths.

use anyhow::{Context, Result, ensure};
use headwater_tests::config_file::{ADDRESSES, ConfigFile, api};
use headwater_tests::process::Process;
use headwater_tests::publisher::{Publisher, Tracks, record};
use headwater_tests::reader::{Reader, play_over};
use headwater_tests::rtsp::Connection;
use headwater_tests::server::{Launch, Server};
use headwater_tests::{binary, media, mediamtx, namespace, wait};
use rustix::process::Signal;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(5);

#[test]
fn the_file_of_mediamtx_starts_us_unchanged() -> Result<()> {
    // Fetched outside of the namespace, from which nothing leaves.
    let file = mediamtx::configuration()?;
    namespace::run("the_file_of_mediamtx_starts_us_unchanged", &[], move || {
        let mut command = Command::new(binary()?);
        command.arg(&file);
        let mut process = Process::spawn("headwater with MediaMTX's file", command)?;
        let server = "127.0.0.1:8554".parse()?;
        wait::until("the usual port", LIMIT, || {
            process.still_runs()?;
            Ok(Connection::open(server).ok())
        })?;
        let url = "rtsp://127.0.0.1:8554/live";
        let publisher = Publisher::start(server, url, 1)?;
        let mut reader = Reader::play(server, url)?;
        reader.advance(100)?;
        reader.finish_whole()?;
        publisher.tear_down()?;
        process.signal(Signal::TERM)?;
        process.succeed(Duration::from_secs(2))?;
        let log = process.stdout() + &process.stderr();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("not in effect")).collect();
        ensure!(lines.len() == 1, "said {} times:\n{log}", lines.len());
        for feature in ["webrtc", "srt", "moq"] {
            ensure!(lines[0].contains(feature), "{feature} is not named: {}", lines[0]);
        }
        for feature in ["rtmp", "hls"] {
            ensure!(!lines[0].contains(feature), "{feature} is named: {}", lines[0]);
        }
        ensure!(!log.contains(" ERR "), "{log}");
        Ok(())
    })
}

#[test]
fn all_faults_are_told_at_once_with_their_places() -> Result<()> {
    let file = ConfigFile::new(
        "logLevell: info\nreadTimeout: soon\nrtspTransports: [carrier]\npaths:\n  cam:\n    maxReaders: many\n    \
         sourceRediret: rtsp://h/p\n  \"~^(\":\n  away:\n    source: redirect\nmetricz: yes\n",
    )?;
    let faults = [
        "1: logLevell: ",
        "did you mean logLevel?",
        "2: readTimeout: ",
        "3: rtspTransports",
        "6: paths.cam.maxReaders: ",
        "7: paths.cam.sourceRediret: ",
        "did you mean sourceRedirect?",
        "8: paths.~^(: ",
        "11: metricz: ",
        "did you mean metrics?",
    ];
    for option in ["--check-config", "--print-config", ""] {
        let mut command = Command::new(binary()?);
        command.args(Some(option).filter(|option| !option.is_empty())).arg(file.path());
        let mut process = Process::spawn("headwater with faults", command)?;
        ensure!(!process.wait(LIMIT)?.success(), "{option}: faults were accepted");
        let said = process.stdout() + &process.stderr();
        for fault in faults {
            let place = fault.chars().next().is_some_and(|c| c.is_ascii_digit());
            let wanted = if place { format!("headwater.yml:{fault}") } else { fault.to_owned() };
            ensure!(said.contains(&wanted), "no {wanted:?} in\n{said}");
        }
        ensure!(!said.contains("listening") && !said.contains("panicked"), "something was started:\n{said}");
    }
    Ok(())
}

#[test]
fn the_environment_overrides_the_file() -> Result<()> {
    let file = ConfigFile::new(&format!(
        "{ADDRESSES}logLevel: warn\npaths:\n  cam:\n    maxReaders: 1\n  all_others:\n"
    ))?;
    let environment = [
        ("MTX_LOGLEVEL", "debug"),
        ("HEADWATER_READTIMEOUT", "7s"),
        ("MTX_WRITETIMEOUT", "8s"),
        ("HEADWATER_WRITETIMEOUT", "9s"),
        ("MTX_PATHS_CAM_MAXREADERS", "2"),
        ("MTX_PATHS_GARDEN_MAXREADERS", "4"),
        ("HEADWATER_PATHDEFAULTS_MAXREADERS", "6"),
        ("MTX_RTSPTRANSPORTS", "tcp,udp"),
        ("MTX_AUTHINTERNALUSERS_0_USER", "any"),
        ("MTX_AUTHINTERNALUSERS_0_PERMISSIONS_0_ACTION", "api"),
        ("MTX_AUTHINTERNALUSERS_0_PERMISSIONS_1_ACTION", "read"),
        ("PATH", "/usr/bin:/bin"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let server = Server::launch(&Launch { environment, ..file.how() })?;
    let global = api(&server, "GET", "/v3/config/global/get", "")?;
    ensure!(global["logLevel"] == "debug" && global["readTimeout"] == "7s", "{global}");
    ensure!(global["writeTimeout"] == "9s", "MTX_ wins over HEADWATER_: {}", global["writeTimeout"]);
    ensure!(global["rtspTransports"] == serde_json::json!(["tcp", "udp"]), "{}", global["rtspTransports"]);
    let path = |name: &str| api(&server, "GET", &format!("/v3/config/paths/get/{name}"), "");
    for (name, readers) in [("cam", 2), ("garden", 4), ("all_others", 6)] {
        ensure!(path(name)?["maxReaders"] == readers, "{name}: {}", path(name)?["maxReaders"]);
    }
    let publish = Connection::open(server.rtsp)?.request(
        "ANNOUNCE",
        &server.url("x"),
        &[("Content-Type", "application/sdp")],
        &Tracks::Video.sdp(),
    )?;
    ensure!(publish.status == 401, "the users of the environment let publish: {}", publish.status);
    server.stop()
}

#[test]
fn an_old_key_works_and_names_its_successor() -> Result<()> {
    let settings = ["protocols=[udp]", "paths.cam.disablePublisherOverride=yes", "paths.all_others={}"];
    let settings = settings.map(String::from).to_vec();
    let mut server = Server::launch(&Launch { settings, ..Launch::default() })?;
    for (old, new) in [("protocols", "rtspTransports"), ("disablePublisherOverride", "overridePublisher")] {
        server.wait_for_log(old)?;
        let log = server.log();
        let line = log.lines().find(|line| line.contains(old) && line.contains(" WAR "));
        ensure!(line.is_some_and(|line| line.contains(new)), "{old}: {line:?}");
    }
    ensure!(record(server.rtsp, &server.url("tcp"), Tracks::Video).is_err(), "TCP was not allowed");
    server.still_runs()?;
    server.stop()
}

/// What DESCRIBE is answered, and where it sends.
fn describe(server: &Server, path: &str) -> Result<(u16, String)> {
    let answer = Connection::open(server.rtsp)?.request("DESCRIBE", &server.url(path), &[], "")?;
    Ok((answer.status, answer.header("Location").unwrap_or_default().to_owned()))
}

#[test]
fn paths_match_exactly_then_by_expression_then_all_others() -> Result<()> {
    let paths = "paths:\n  cam1:\n  \"~^cam(\\\\d+)$\":\n    source: redirect\n    sourceRedirect: rtsp://other.example:8554/c-$G1\n  \
                 \"~^room/([a-z]+)/([0-9])$\":\n    source: redirect\n    sourceRedirect: rtsp://h/$G2/$G1\n";
    let file = ConfigFile::new(&format!("{ADDRESSES}{paths}"))?;
    let mut server = file.launch()?;
    ensure!(describe(&server, "cam1")?.0 == 404, "the exact name does not win");
    ensure!(describe(&server, "cam27")? == (302, "rtsp://other.example:8554/c-27".to_owned()));
    ensure!(describe(&server, "room/attic/7")? == (302, "rtsp://h/7/attic".to_owned()));
    for unknown in ["cam", "camx", "xcam27", "room/attic/77"] {
        ensure!(describe(&server, unknown)?.0 == 400, "{unknown}: {:?}", describe(&server, unknown)?);
    }
    let refused = record(server.rtsp, &server.url("camx"), Tracks::Video);
    ensure!(
        refused.is_err_and(|error| format!("{error:#}").contains("400")),
        "an unknown path can be published"
    );

    file.change(&server, &format!("{ADDRESSES}{paths}  all_others:\n    maxReaders: 1\n"))?;
    let publisher = Publisher::start(server.rtsp, &server.url("camx"), 1)?;
    server.wait_for_stream("camx")?;
    let mut first = Reader::play(server.rtsp, &server.url("camx"))?;
    first.advance(30)?;
    let second = play_over(TcpStream::connect(server.rtsp)?, &server.url("camx"));
    ensure!(second.is_err(), "a second reader past maxReaders");
    first.advance(30)?;
    first.finish_whole()?;
    publisher.tear_down()?;
    server.stop()
}

/// Encrypts as MediaMTX documents it: base64 of NaCl's secretbox with its nonce in front, the key filled up with zeroes.
const ENCRYPT: &str = "\
import base64, sys
from nacl.secret import SecretBox
box = SecretBox(sys.argv[1].encode().ljust(32, b'\\0'))
sys.stdout.write(base64.b64encode(box.encrypt(open(sys.argv[2], 'rb').read())).decode())
";

#[test]
fn an_encrypted_file_is_read_with_its_key() -> Result<()> {
    let text = format!("{ADDRESSES}readTimeout: 7s\npaths:\n  all_others:\n");
    let file = ConfigFile::new(&text)?;
    let encrypted = |text: &str| -> Result<String> {
        file.rewrite(text)?;
        let mut python = Command::new(media::python_environment().join("bin/python3"));
        python.args(["-c", ENCRYPT, "the key of the house"]).arg(file.path());
        let mut python = Process::spawn("NaCl", python)?;
        python.succeed(LIMIT)?;
        Ok(python.stdout())
    };
    let changed = encrypted(&text.replace("7s", "8s"))?;
    file.rewrite(&encrypted(&text)?)?;
    let with = |key: &str| Launch { environment: vec![("MTX_CONFKEY".into(), key.into())], ..file.how() };
    let server = Server::launch(&with("the key of the house"))?;
    let timeout = || -> Result<String> {
        let global = api(&server, "GET", "/v3/config/global/get", "")?;
        Ok(global["readTimeout"].as_str().context("a text")?.to_owned())
    };
    ensure!(timeout()? == "7s");
    file.change(&server, &changed)?;
    ensure!(timeout()? == "8s");
    ensure!(!server.log().contains("the key of the house"), "the key is in the log");
    server.stop()?;
    ensure!(Server::launch(&with("another key")).is_err(), "a wrong key was accepted");
    ensure!(file.launch().is_err(), "an encrypted file was read without a key");
    Ok(())
}
