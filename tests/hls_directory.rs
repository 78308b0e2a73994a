//! `hlsDirectory`: the segments of live paths as files, for servers of files. The built-in demo publishes.

use anyhow::{Context, Result, ensure};
use headwater_tests::decoded::Decoded;
use headwater_tests::server::{Launch, Server};
use headwater_tests::{wait, workspace};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(15);
/// Segments that a playlist lists: the least that the variant allows.
fn listed(variant: &str) -> usize {
    if variant == "lowLatency" { 7 } else { 3 }
}

/// A directory that is gone with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let directory = workspace().join(format!("hls-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        Directory(directory)
    }

    fn launch(&self, variant: &str) -> Result<Server> {
        let settings = [
            format!("hlsDirectory={}", self.0.display()),
            format!("hlsVariant={variant}"),
            format!("hlsSegmentCount={}", listed(variant)),
            "hlsAlwaysRemux=yes".to_owned(),
        ];
        Server::launch(&Launch {
            media: vec!["rtmp", "http"],
            options: vec!["--demo"],
            settings: settings.to_vec(),
            ..Launch::default()
        })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
        let _ = fs::remove_file(&self.0);
    }
}

fn names(folder: &Path) -> Result<BTreeSet<String>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// The playlists that a folder holds, media playlists before the multivariant one, and what they name.
fn named(folder: &Path) -> Result<BTreeSet<String>> {
    let mut named = BTreeSet::new();
    for name in names(folder)?.iter().filter(|name| name.ends_with(".m3u8") && !name.starts_with('.')) {
        let text = fs::read_to_string(folder.join(name))?;
        ensure!(text.starts_with("#EXTM3U\n"), "{name}: {text:?}");
        ensure!(!text.contains("EXT-X-PART") && !text.contains("CAN-BLOCK-RELOAD"), "{name}: {text}");
        for line in text.lines() {
            let quoted = line.split("URI=\"").nth(1).and_then(|rest| rest.split('"').next());
            named.extend(quoted.or((!line.starts_with('#')).then_some(line)).map(ToOwned::to_owned));
        }
    }
    Ok(named)
}

fn plays_from_disk(variant: &str) -> Result<()> {
    let directory = Directory::new(variant);
    let folder = directory.0.join("demo");
    let stale = folder.join("0123456789ab_main_seg0.mp4");
    fs::create_dir_all(&folder)?;
    fs::write(&stale, "of a server that was killed")?;
    let server = directory.launch(variant)?;
    let index = folder.join("index.m3u8");
    wait::until_true("a playlist on disk", LIMIT, || index.exists())?;
    ensure!(!stale.exists(), "what an earlier server left is there still");
    let before = names(&folder)?;
    let decoded = Decoded::read(&["-live_start_index", "0", &index.display().to_string()], 100, LIMIT)?;
    ensure!(decoded.pictures.len() == 100 && decoded.distinct() >= 90, "{} pictures", decoded.distinct());
    ensure!(decoded.peak() > 2500, "no tone: {}", decoded.peak());
    let first = before.iter().find(|name| name.contains("_seg")).context("no segment")?;
    wait::until_true("the first segment to leave", LIMIT, || !folder.join(first).exists())?;
    // While playlists change, one that was just read may name what has gone since, never much.
    wait::until("all that is named to be there, and little else", LIMIT, || {
        let (named, there) = (named(&folder)?, names(&folder)?);
        let segments = there.iter().filter(|name| name.contains("_seg") && !name.starts_with('.')).count();
        ensure!(segments <= listed(variant) + 4, "{segments} segments are kept");
        Ok(named.is_subset(&there).then_some(()))
    })?;
    server.stop()?;
    ensure!(directory.0.exists() && !folder.exists(), "{:?} is left", names(&folder));
    Ok(())
}

#[test]
fn a_folder_of_mpegts_plays_while_it_is_live_and_is_gone_afterwards() -> Result<()> {
    plays_from_disk("mpegts")
}

#[test]
fn a_folder_of_fmp4_plays_while_it_is_live_and_is_gone_afterwards() -> Result<()> {
    plays_from_disk("fmp4")
}

#[test]
fn a_folder_of_low_latency_is_one_of_segments() -> Result<()> {
    plays_from_disk("lowLatency")
}

#[test]
fn a_disk_that_refuses_is_said_once_and_players_lack_nothing() -> Result<()> {
    let directory = Directory::new("refused");
    fs::write(&directory.0, "a file where the directory should be")?;
    let server = directory.launch("fmp4")?;
    let playlist = format!("http://{}/demo/index.m3u8", server.media["http"]);
    server.wait_for_log("HLS muxer opened")?;
    let decoded = Decoded::read(&[&playlist], 100, LIMIT)?;
    ensure!(decoded.pictures.len() == 100, "{} pictures", decoded.pictures.len());
    ensure!(server.counter("hls_files_failed")? >= 4);
    let said = server.log().matches("segments cannot be kept in").count();
    ensure!(said == 1, "said {said} times");
    server.stop()
}
