//! `--demo`: what a newcomer sees a few seconds after the first command.

use anyhow::{Context, Result, ensure};
use headwater_tests::config_file::{ConfigFile, api};
use headwater_tests::decoded::Decoded;
use headwater_tests::process::Process;
use headwater_tests::server::{Launch, Server};
use headwater_tests::{binary, wait, web};
use std::process::Command;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(5);

fn launch() -> Launch {
    Launch { media: vec!["rtmp", "http"], options: vec!["--demo"], ..Launch::default() }
}

/// The page that the server names.
fn page(server: &Server) -> Result<String> {
    wait::until("the server to name the page", LIMIT, || {
        let log = server.log();
        let complete = log.rfind('\n').map_or("", |end| &log[..end]);
        Ok(complete.lines().find_map(|line| Some(line.strip_prefix("demo")?.trim().to_owned())))
    })
}

#[test]
fn a_picture_that_moves_and_a_tone_are_there_within_six_seconds() -> Result<()> {
    let started = Instant::now();
    let mut server = Server::launch(&launch())?;
    let page = page(&server)?;
    ensure!(page == format!("http://{}/demo/", server.media["http"]), "{page}");
    let answer = web::get(server.media["http"], "/demo/")?;
    ensure!(answer.status == 200 && answer.text().contains("<html"), "{} {}", answer.status, answer.text());
    server.wait_for_stream("demo")?;
    let decoded = Decoded::read(&[&format!("{page}index.m3u8")], 50, Duration::from_secs(20))?;
    let took = started.elapsed();
    ensure!(took < Duration::from_secs(6), "50 pictures were there after {took:?}");
    ensure!(decoded.pictures.len() == 50, "{} pictures", decoded.pictures.len());
    ensure!(decoded.distinct() >= 45, "only {} pictures differ", decoded.distinct());
    ensure!(decoded.samples.len() > 80_000, "{} samples of sound", decoded.samples.len());
    // A tenth of full scale.
    ensure!((2500..5000).contains(&decoded.peak()), "the loudest sample is {}", decoded.peak());
    server.stop()
}

#[test]
fn rules_that_let_nobody_publish_let_the_demo_and_it_comes_back_when_it_is_kicked() -> Result<()> {
    let rules = "authInternalUsers:\n  - user: any\n    permissions:\n      - action: read\n      - action: api\n\
                 paths:\n  all_others:\n";
    let file = ConfigFile::new(rules)?;
    let launch = Launch { file: Some(file.path().to_owned()), control: vec!["api"], ..launch() };
    let server = Server::launch(&launch)?;
    server.wait_for_log("the demo is published")?;
    let mut stranger = Command::new("ffmpeg");
    stranger.args("-nostdin -v error -f lavfi -i sine -t 1 -c:a aac -f flv".split(' '));
    stranger.arg(format!("rtmp://{}/demo", server.media["rtmp"]));
    let status = Process::spawn("a stranger publishes", stranger)?.wait(Duration::from_secs(20))?;
    ensure!(!status.success(), "a stranger published");
    let publisher = || -> Result<Option<String>> {
        let list = api(&server, "GET", "/v3/rtmpconns/list", "")?;
        let connections = list["items"].as_array().context("no items")?;
        let found = connections.iter().find(|one| one["state"] == "publish");
        Ok(found.and_then(|one| one["id"].as_str()).map(ToOwned::to_owned))
    };
    let first = wait::until("the demo's connection", LIMIT, publisher)?;
    api(&server, "POST", &format!("/v3/rtmpconns/kick/{first}"), "")?;
    wait::until("another connection of the demo", LIMIT, || Ok(publisher()?.filter(|id| *id != first)))?;
    server.stop()
}

#[test]
fn what_makes_a_demo_impossible_is_said_at_start() -> Result<()> {
    let cases: [(&[&str], &str); 3] = [
        (&["--set", "rtmp=no"], "set rtmp: yes"),
        (
            &["--set", "paths.demo.source=redirect", "--set", "paths.demo.sourceRedirect=rtsp://h/x"],
            "source: publisher",
        ),
        (&["--check-config"], "--demo"),
    ];
    for (more, named) in cases {
        let mut command = Command::new(binary()?);
        command.env_remove("HEADWATER_BIN").arg("--demo").args(more);
        for key in ["rtsp", "rtmp", "hls"] {
            command.args(["--set", &format!("{key}Address='127.0.0.1:0'")]);
        }
        let mut process = Process::spawn("headwater", command)?;
        let status = process.wait(LIMIT)?;
        let said = process.stdout() + &process.stderr();
        ensure!(!status.success() && said.contains(named), "{more:?}: {status} {said}");
        ensure!(!said.contains("panicked") && !said.contains("listening"), "{more:?}: {said}");
    }
    Ok(())
}
