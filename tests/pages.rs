//! The pages for browsers, in Chromium: the player plays each variant, on a desktop and on a telephone, tells what it
//! sees and comes back by itself; the index lists what is live. Screenshots are left in `target/tests/screenshots`.
//!
//! The scripts in `pages/` hold what a browser does and what is asked of it; here are servers and publishers around them.

use anyhow::{Context, Result, ensure};
use headwater_tests::media::sample;
use headwater_tests::process::Process;
use headwater_tests::server::{Launch, Server};
use headwater_tests::{clients, root, wait, workspace};
use std::process::Command;
use std::time::Duration;

/// How long a browser may take for all its steps, on a machine that runs other tests too.
const BROWSE: Duration = Duration::from_secs(120);
/// How long a browser may take to begin: its start, and the first picture.
const BEGIN: Duration = Duration::from_secs(45);

fn launch(settings: &[&str]) -> Result<Server> {
    Server::launch(&Launch {
        media: vec!["rtmp", "http"],
        settings: settings.iter().map(ToString::to_string).collect(),
        ..Launch::default()
    })
}

/// ffmpeg publishing H264 and AAC by RTMP, a random access point each second.
fn publish(server: &Server, path: &str) -> Result<Process> {
    let mut command = Command::new("ffmpeg");
    command.args("-nostdin -v warning -re -stream_loop -1 -i".split(' ')).arg(sample("h264_aac").file()?);
    command.args("-c copy -f flv".split(' ')).arg(format!("rtmp://{}/{path}", server.media["rtmp"]));
    Process::spawn("ffmpeg publishes by RTMP", command)
}

fn page(server: &Server, path: &str) -> String {
    format!("http://{}/{path}", server.media["http"])
}

/// A script of `pages/` in Node.
fn node(script: &str, arguments: &[&str]) -> Result<Process> {
    let mut command = Command::new("node");
    command.arg(root().join("tests/pages").join(script)).args(arguments);
    command.env("HEADWATER_TEST_NODE", workspace().join("node"));
    command.env("HEADWATER_TEST_SCREENSHOTS", workspace().join("screenshots"));
    Process::spawn(&format!("{script} {}", arguments.join(" ")), command)
}

/// Waits until the script has printed this line.
fn printed(process: &mut Process, line: &str) -> Result<()> {
    let what = format!("the browser to report {line:?}");
    let found = wait::until(&what, BEGIN, || {
        if process.stdout().lines().any(|printed| printed == line) {
            return Ok(Some(()));
        }
        process.still_runs().map(|()| None)
    });
    found.map_err(|error| error.context(process.tail()))
}

#[test]
fn what_the_player_computes_is_right() -> Result<()> {
    let web = root().join("control/web");
    node("units.mjs", &[web.to_str().context("a path in UTF-8")?])?.succeed(BROWSE)
}

#[test]
fn the_picture_moves_within_three_seconds_of_the_publisher_and_the_keys_work() -> Result<()> {
    let server = launch(&[])?;
    let _publisher = publish(&server, "live/desktop")?;
    let url = page(&server, "live/desktop/");
    node("watch.mjs", &[&url, "desktop", "player", "latency=3", "quiet", "shot", "keys"])?.succeed(BROWSE)?;
    server.stop()
}

#[test]
fn the_player_fits_a_telephone_and_comes_back_after_the_publisher_does() -> Result<()> {
    let server = launch(&[])?;
    let publisher = publish(&server, "live/telephone")?;
    let url = page(&server, "live/telephone/");
    let steps = ["latency=3", "quiet", "shot", "returns", "latency=3"];
    let mut browser = node("watch.mjs", &[&[&*url, "telephone", "player"], &steps[..]].concat())?;
    printed(&mut browser, "watching")?;
    drop(publisher);
    printed(&mut browser, "gone")?;
    let _publisher = publish(&server, "live/telephone")?;
    browser.succeed(BROWSE)?;
    server.stop()
}

#[test]
fn the_player_waits_for_a_publisher_who_comes_later() -> Result<()> {
    let server = launch(&[])?;
    let url = page(&server, "later/");
    let mut offline = node("watch.mjs", &[&url, "desktop", "offline", "sentence=offline", "shot"])?;
    offline.succeed(BROWSE)?;
    let mut browser = node("watch.mjs", &[&url, "desktop", "later", "latency=3"])?;
    let _publisher = publish(&server, "later")?;
    browser.succeed(BROWSE)?;
    server.stop()
}

#[test]
fn the_player_plays_whole_segments_of_fragmented_mp4() -> Result<()> {
    let server = launch(&["hlsVariant=fmp4"])?;
    let _publisher = publish(&server, "whole")?;
    node("watch.mjs", &[&page(&server, "whole/"), "desktop", "fmp4", "latency=6", "quiet", "shot"])?
        .succeed(BROWSE)?;
    server.stop()
}

#[test]
fn what_a_browser_cannot_play_is_said_in_a_sentence() -> Result<()> {
    let server = launch(&[])?;
    let sample = sample("h265_aac");
    let url = server.url("hevc");
    let command = clients::ffmpeg_publish(sample, &url, &["-rtsp_transport", "tcp"])?;
    let _publisher = Process::spawn("ffmpeg publishes H265", command)?;
    let url = page(&server, "hevc/");
    // Debian's Chromium has no decoder for H265.
    node("watch.mjs", &[&url, "telephone", "hevc", "sentence=cannot decode H.265", "shot"])?
        .succeed(BROWSE)?;
    let sentence = "sentence=neither Media Source Extensions nor HLS";
    node("watch.mjs", &[&url, "desktop", "old-browser", "no-media-source", sentence])?.succeed(BROWSE)?;
    server.stop()
}

#[test]
fn the_index_helps_newcomers_and_lists_what_is_live() -> Result<()> {
    let server = launch(&[])?;
    for size in ["desktop", "telephone"] {
        let mut browser = node("index.mjs", &[&page(&server, ""), size, "live/listed"])?;
        printed(&mut browser, "empty")?;
        let publisher = publish(&server, "live/listed")?;
        browser.succeed(BROWSE)?;
        drop(publisher);
        let listed = || {
            let answer = headwater_tests::web::get(server.media["http"], "/~/paths.json")
                .and_then(|answer| answer.json());
            answer.is_ok_and(|paths| paths.as_array().is_some_and(Vec::is_empty))
        };
        wait::until_true("the list to be empty again", Duration::from_secs(10), listed)?;
    }
    let shots = std::fs::read_dir(workspace().join("screenshots"))?.count();
    ensure!(shots > 0, "no screenshots");
    server.stop()
}
