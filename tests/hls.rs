//! HLS as players see it: every variant judged by hls-parser in strict mode, played by hls.js in Chromium and decoded by
//! ffmpeg, from publishers over RTMP and RTSP.

use anyhow::{Context, Result, ensure};
use headwater_tests::clients::{Expect, ffmpeg_read};
use headwater_tests::live::{Clock, Ingest, publish};
use headwater_tests::media::sample;
use headwater_tests::node::Script;
use headwater_tests::process::Process;
use headwater_tests::server::{Launch, Server};
use headwater_tests::{http, wait};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

const VARIANTS: [&str; 3] = ["mpegts", "fmp4", "lowLatency"];
const INGESTS: [Ingest; 2] = [Ingest::Rtmp, Ingest::Rtsp];
const SOON: Duration = Duration::from_secs(20);
/// For what plays in a browser on a machine that does much else.
const PLAYED: Duration = Duration::from_secs(60);
/// Pictures of 8 s, but for what a loaded machine drops.
const PICTURES: u64 = 200;
const LATENCY_MS_MAX: u64 = 2000;

fn launch(settings: &[&str]) -> Result<Server> {
    let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
    let launch = Launch { media: vec!["rtmp", "http"], control: vec!["api"], settings, ..Launch::default() };
    Server::launch(&launch)
}

fn url(server: &Server, path: &str) -> String {
    format!("http://{}/{path}/index.m3u8", server.media["http"])
}

/// The multivariant playlist, once there is one.
fn wait_for_playlist(server: &Server, path: &str, publisher: &mut Process) -> Result<String> {
    wait::until(&format!("a playlist of {path}"), SOON, || {
        publisher.still_runs()?;
        let answer = http::request(server.media["http"], "GET", &format!("/{path}/index.m3u8"), "")?;
        Ok((answer.status == 200).then(|| answer.text()))
    })
}

/// The media playlist that a multivariant one names first, and what is in it.
fn media_playlist(http: SocketAddr, path: &str) -> Result<(String, String)> {
    let index = http::request(http, "GET", &format!("/{path}/index.m3u8"), "")?.expect(200)?.text();
    let name = index.lines().find(|line| !line.starts_with('#')).context("no playlist is named")?;
    let target = format!("/{path}/{name}");
    let playlist = http::request(http, "GET", &target, "")?.expect(200)?.text();
    Ok((target, playlist))
}

#[test]
fn every_variant_passes_a_strict_parser_and_is_decoded_by_ffmpeg() -> Result<()> {
    let mut servers = Vec::new();
    for variant in VARIANTS {
        let server = launch(&[&format!("hlsVariant={variant}")])?;
        let mut publishers = Vec::new();
        for ingest in INGESTS {
            publishers.push(publish(&server, ingest, ingest.name(), sample("h264_aac"), &[])?);
        }
        servers.push((variant, server, publishers));
    }
    let mut checks = Vec::new();
    for (variant, server, publishers) in &mut servers {
        for (ingest, publisher) in INGESTS.iter().zip(publishers) {
            wait_for_playlist(server, ingest.name(), publisher)?;
            let url = url(server, ingest.name());
            // Delta updates begin when the playlist is six target durations long; of low latency a reload brings a part.
            let reloads = if *variant == "lowLatency" { "60" } else { "20" };
            checks.push((*variant, *ingest, Script::start("hls_playlists.mjs", &[&url, reloads])?));
        }
    }
    std::thread::scope(|scope| {
        let read = |variant: &'static str, url: String| {
            scope.spawn(move || {
                ffmpeg_read(sample("h264_aac"), &url, Expect::OriginalFromTheFirst, &[])
                    .with_context(|| format!("ffmpeg reads {variant} of {url}"))
            })
        };
        let urls = servers
            .iter()
            .flat_map(|(variant, server, _)| INGESTS.map(|ingest| (*variant, url(server, ingest.name()))));
        let readers: Vec<_> = urls.map(|(variant, url)| read(variant, url)).collect();
        readers.into_iter().try_for_each(|reader| reader.join().expect("it does not panic").map(drop))
    })?;
    for (variant, ingest, check) in checks {
        let context = || format!("{variant} from {}", ingest.name());
        let found = check.finish(SOON * 2).with_context(context)?;
        eprintln!("{}: {found}", context());
        ensure!(found["codecs"].as_str().is_some_and(|codecs| codecs.contains("avc1.")), "{found}");
        ensure!(found["blocked"].as_u64() >= Some(15), "{}: reloads do not wait: {found}", context());
        let deltas = found["deltas"].as_u64();
        ensure!(variant != "lowLatency" || deltas >= Some(1), "{}: no delta update: {found}", context());
    }
    for (_, server, publishers) in servers {
        drop(publishers);
        server.stop()?;
    }
    Ok(())
}

fn streams(told: &Value) -> Result<&Vec<Value>> {
    told["streams"].as_array().with_context(|| format!("no streams: {told}"))
}

/// How many pictures that differ from the one before were shown.
fn shown(stream: &Value) -> u64 {
    stream["different"].as_u64().unwrap_or(0)
}

fn without_errors(told: &Value) -> Result<()> {
    without_errors_but(told, "nothing")
}

/// The same, where errors of that kind mend themselves.
fn without_errors_but(told: &Value, borne: &str) -> Result<()> {
    for stream in streams(told)? {
        let errors = stream["errors"].as_array().context("errors")?.iter().filter_map(Value::as_str);
        let errors: Vec<&str> = errors.filter(|error| !error.starts_with(borne)).collect();
        ensure!(errors.is_empty(), "{}: hls.js complains of {errors:#?}", stream["url"]);
    }
    ensure!(told["crashes"] == json!([]), "{}", told["crashes"]);
    Ok(())
}

/// From the moment a picture is made to the moment the browser shows it, of the last pictures, sorted.
fn latencies_ms(stream: &Value) -> Vec<u64> {
    let mut all: Vec<u64> =
        stream["latencies"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    all.sort_unstable();
    all
}

#[test]
fn a_browser_plays_every_variant_and_low_latency_within_two_seconds() -> Result<()> {
    for variant in VARIANTS {
        let server = launch(&[&format!("hlsVariant={variant}")])?;
        let mut clocks = Vec::new();
        for ingest in INGESTS {
            clocks.push(Clock::start(&server, ingest, ingest.name())?);
        }
        for ingest in INGESTS {
            let index = format!("/{}/index.m3u8", ingest.name());
            wait::until("the clock to be published", SOON, || {
                clocks.iter_mut().try_for_each(Clock::still_runs)?;
                let answer = http::request(server.media["http"], "GET", &index, "")?;
                Ok((answer.status == 200).then_some(()))
            })?;
        }
        let urls = INGESTS.map(|ingest| url(&server, ingest.name()));
        let mut browser = Script::start("hls_watch.mjs", &[&urls[0], &urls[1]])?;
        let played = browser.until("hls.js to play for 8 s", PLAYED, |told| {
            without_errors(told)?;
            let plays = |stream: &Value| shown(stream) >= PICTURES;
            Ok(streams(told)?.iter().all(plays).then(|| told.clone()))
        })?;
        for (ingest, stream) in INGESTS.iter().zip(streams(&played)?) {
            let latencies = latencies_ms(stream);
            eprintln!(
                "{variant} from {}: pictures are shown {} ms after they were made (the latest of {}: {} ms)",
                ingest.name(),
                latencies[latencies.len() / 2],
                latencies.len(),
                latencies[latencies.len() - 1]
            );
            ensure!(stream["width"] == 320 && stream["sound"].as_u64() > Some(10_000), "{stream}");
            let within = latencies[latencies.len() / 2] < LATENCY_MS_MAX;
            ensure!(variant != "lowLatency" || within, "{}: {latencies:?}", ingest.name());
        }
        drop((browser, clocks));
        server.stop()?;
    }
    Ok(())
}

#[test]
fn players_go_on_when_the_publisher_returns() -> Result<()> {
    let server = launch(&[])?;
    let http = server.media["http"];
    for ingest in INGESTS {
        let path = ingest.name();
        let mut first = publish(&server, ingest, path, sample("h264_aac"), &[])?;
        wait_for_playlist(&server, path, &mut first)?;
        let mut browser = Script::start("hls_watch.mjs", &[&url(&server, path)])?;
        let (target, before) = media_playlist(http, path)?;
        ensure!(!before.contains("#EXT-X-DISCONTINUITY"), "{before}");
        let pictures = browser.until("hls.js to play", PLAYED, |told| {
            // A starved browser begins with a hole; that hls.js plays without one is tested elsewhere.
            without_errors_but(told, "buffer")?;
            Ok(Some(shown(&streams(told)?[0])).filter(|pictures| *pictures > 30))
        })?;
        drop(first);
        server.wait_for_log(&format!("its readers wait path={path}")).or_else(|_| {
            wait::until_true("the publisher to be missed", SOON, || server.log().contains("its readers wait"))
        })?;
        let _second = publish(&server, ingest, path, sample("h264_aac"), &[])?;
        wait::until("a discontinuity in the playlist", SOON, || {
            let playlist = http::request(http, "GET", &target, "")?.expect(200)?.text();
            Ok(playlist.contains("#EXT-X-DISCONTINUITY\n").then_some(()))
        })?;
        browser.until("hls.js to play beyond the discontinuity", PLAYED, |told| {
            // Between the two publishers there was nothing to show.
            without_errors_but(told, "buffer")?;
            let stream = &streams(told)?[0];
            let beyond = stream["discontinuity"].as_u64() >= Some(1) && shown(stream) > pictures + 60;
            Ok(beyond.then_some(()))
        })?;
    }
    server.stop()
}

#[test]
fn one_track_alone_is_served_in_every_variant() -> Result<()> {
    for variant in VARIANTS {
        let server = launch(&[&format!("hlsVariant={variant}")])?;
        let tracks = [("video", "-an", "-map 0:v:0"), ("audio", "-vn", "-map 0:a:0")];
        let mut publishers = Vec::new();
        for (name, without, _) in tracks {
            for ingest in INGESTS {
                let path = format!("{name}-{}", ingest.name());
                publishers.push((publish(&server, ingest, &path, sample("h264_aac"), &[without])?, path));
            }
        }
        let mut readers = Vec::new();
        for (publisher, path) in &mut publishers {
            let index = wait_for_playlist(&server, path, publisher)?;
            let is_video = path.starts_with("video");
            ensure!(index.contains("avc1.") == is_video && index.contains("mp4a.") != is_video, "{index}");
            let mut command = std::process::Command::new("ffmpeg");
            let map = if is_video { tracks[0].2 } else { tracks[1].2 };
            command.args("-nostdin -v error -i".split(' ')).arg(url(&server, path)).args(map.split(' '));
            command.args("-t 1.5 -f framecrc -".split(' '));
            readers.push((Process::spawn(&format!("ffmpeg reads {path}"), command)?, is_video));
        }
        for (mut reader, is_video) in readers {
            reader.succeed(PLAYED)?;
            let units = reader.stdout().lines().filter(|line| !line.starts_with('#')).count();
            ensure!(units >= if is_video { 30 } else { 50 }, "{variant}: {units} units\n{}", reader.tail());
        }
        drop(publishers);
        server.stop()?;
    }
    Ok(())
}

fn muxers(server: &Server) -> Result<Vec<Value>> {
    let list = http::get(server.control["api"], "/v3/hlsmuxers/list")?;
    list["items"].as_array().cloned().with_context(|| format!("no items: {list}"))
}

#[test]
fn muxers_come_with_the_first_player_and_go_after_the_last() -> Result<()> {
    let server = launch(&["hlsMuxerCloseAfter=2s"])?;
    let mut publisher = publish(&server, Ingest::Rtmp, "cam", sample("h264_aac"), &[])?;
    wait::until("the publisher to be listed", SOON, || {
        publisher.still_runs()?;
        let answer = http::request(server.control["api"], "GET", "/v3/paths/get/cam", "")?;
        Ok((answer.status == 200 && answer.json()?["ready"] == true).then_some(()))
    })?;
    ensure!(muxers(&server)?.is_empty(), "a muxer that nobody asked for");
    wait_for_playlist(&server, "cam", &mut publisher)?;
    let found = muxers(&server)?;
    ensure!(
        found.len() == 1 && found[0]["path"] == "cam" && found[0]["variant"] == "lowLatency",
        "{found:?}"
    );
    wait::until("the muxer to be closed", SOON, || Ok(muxers(&server)?.is_empty().then_some(())))?;
    wait_for_playlist(&server, "cam", &mut publisher)?;
    drop(publisher);
    server.stop()
}

#[test]
fn always_remuxed_paths_have_muxers_before_anybody_asks() -> Result<()> {
    let server = launch(&["hlsAlwaysRemux=yes", "hlsMuxerCloseAfter=1s"])?;
    let publisher = publish(&server, Ingest::Rtsp, "cam", sample("h264_aac"), &[])?;
    wait::until("a muxer", SOON, || Ok((muxers(&server)?.len() == 1).then_some(())))?;
    wait::throughout(Duration::from_secs(3), || {
        ensure!(muxers(&server)?.len() == 1, "it was closed");
        Ok(())
    })?;
    // It has played ahead, so the first player waits for nothing.
    let (_, playlist) = media_playlist(server.media["http"], "cam")?;
    ensure!(playlist.matches("#EXTINF").count() >= 1, "{playlist}");
    drop(publisher);
    wait::until("the muxer to go with its publisher", SOON, || {
        Ok(muxers(&server)?.is_empty().then_some(()))
    })?;
    server.stop()
}

#[test]
fn the_variant_changes_while_the_server_runs() -> Result<()> {
    let server = launch(&["hlsVariant=mpegts"])?;
    let (http, api) = (server.media["http"], server.control["api"]);
    let mut publisher = publish(&server, Ingest::Rtmp, "cam", sample("h264_aac"), &[])?;
    wait_for_playlist(&server, "cam", &mut publisher)?;
    for (variant, has, lacks) in [
        ("mpegts", ".ts", "#EXT-X-MAP"),
        ("fmp4", "_seg", "#EXT-X-PART:"),
        ("lowLatency", "#EXT-X-PART:", ".ts"),
    ] {
        let change = json!({ "hlsVariant": variant }).to_string();
        http::request(api, "PATCH", "/v3/config/global/patch", &change)?.expect(200)?;
        wait::until(&format!("{variant} to be served"), SOON, || {
            publisher.still_runs()?;
            // The muxer may change between the two playlists.
            let Ok((_, playlist)) = media_playlist(http, "cam") else { return Ok(None) };
            Ok((playlist.contains(has) && !playlist.contains(lacks)).then_some(()))
        })?;
    }
    ensure!(muxers(&server)?[0]["variant"] == "lowLatency", "{:?}", muxers(&server)?);
    drop(publisher);
    server.stop()
}
