//! Configuration files that no decent operator writes: refused at start with a reason, and at a reload without any effect.

use anyhow::{Context, Result, ensure};
use headwater_tests::process::Process;
use headwater_tests::publisher::Publisher;
use headwater_tests::reader::Reader;
use headwater_tests::server::{Launch, Server};
use headwater_tests::{binary, wait, web as http, workspace};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(5);
/// What a refused file may cost beyond itself.
const GROWTH_MAX: u64 = 64 << 20;

fn folder(name: &str) -> Result<PathBuf> {
    let folder = workspace().join(format!("configuration-{}-{name}", std::process::id()));
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Files that are no configuration, by name.
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let laughs: String =
        (1..12).map(|n| format!("l{n}: &l{n} [{}]\n", vec![format!("*l{}", n - 1); 10].join(","))).collect();
    let nested_maps: String = (0..5000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    vec![
        ("an open bracket", b"paths: [\n".to_vec()),
        ("a tab", b"paths:\n\tcam:\n".to_vec()),
        ("an open quote", b"logLevel: \"info\n".to_vec()),
        ("a text", b"just some words\n".to_vec()),
        ("a list", b"- a\n- b\n".to_vec()),
        ("two documents", b"logLevel: info\n---\nlogLevel: debug\n".to_vec()),
        ("a key twice", b"logLevel: info\nlogLevel: debug\n".to_vec()),
        ("an unknown key", b"logLevl: info\n".to_vec()),
        ("an unknown anchor", b"paths: *nothing\n".to_vec()),
        ("an anchor in itself", b"paths: &a [*a]\n".to_vec()),
        ("a tag", b"paths: !!python/object/apply:os.system [id]\n".to_vec()),
        ("NUL", b"logLevel: in\0fo\n".to_vec()),
        ("zeros", vec![0; 100_000]),
        ("no UTF-8", b"logLevel: \xff\xfe\n".to_vec()),
        ("UTF-16", b"\xff\xfel\0o\0g\0".to_vec()),
        ("deep lists", b"[".repeat(100_000)),
        ("deep braces", b"{a: ".repeat(100_000)),
        ("deep maps", nested_maps.into_bytes()),
        ("deep dashes", b"- ".repeat(100_000)),
        ("a billion laughs", format!("l0: &l0 [lol]\n{laughs}paths: *l11\n").into_bytes()),
        ("an ELF file", b"\x7fELF\x02\x01\x01\0\0\0\0\0".repeat(100)),
    ]
}

#[test]
fn malformed_files_are_refused_at_the_start_with_a_place() -> Result<()> {
    let folder = folder("start")?;
    let mut wrong = Vec::new();
    for (name, bytes) in malformed() {
        let file = folder.join("headwater.yml");
        fs::write(&file, bytes)?;
        let mut command = Command::new(binary()?);
        command.arg("--check-config").arg(&file);
        let started = Instant::now();
        let mut process = Process::spawn("headwater", command)?;
        let status = process.wait(SOON)?;
        let said = process.stdout() + &process.stderr();
        if status.code() != Some(1) || !said.contains("headwater.yml") || said.contains("panicked") {
            wrong.push(format!("{name}: {status}, {said:.300}"));
        }
        if said.len() > 20_000 || started.elapsed() > Duration::from_secs(3) {
            wrong.push(format!("{name}: {} bytes after {:?}", said.len(), started.elapsed()));
        }
    }
    ensure!(wrong.is_empty(), "{} files are not refused:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

/// What `/v3/config/status` says.
fn status(server: &Server) -> Result<serde_json::Value> {
    http::get(server.control["api"], "/v3/config/status")?.json()
}

/// The metric of the last reload.
fn last_reload_successful(server: &Server) -> Result<bool> {
    let page = http::get(server.control["metrics"], "/metrics")?.text();
    let line = page.lines().find(|line| line.starts_with("headwater_configuration_last_reload_successful "));
    Ok(line.context("no metric of the last reload")?.ends_with(" 1"))
}

#[test]
fn malformed_files_change_nothing_at_a_reload() -> Result<()> {
    let folder = folder("reload")?;
    let file = folder.join("headwater.yml");
    let good = "paths:\n  all_others:\n  kept:\n    maxReaders: 7\n";
    fs::write(&file, good)?;
    let control = vec!["api", "metrics"];
    let mut server = Server::launch(&Launch { file: Some(file.clone()), control, ..Launch::default() })?;
    let url = server.url("beside");
    let publisher = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream("beside")?;
    let mut viewer = Reader::play(server.rtsp, &url)?;
    viewer.advance(50)?;
    let resident = server.resident_bytes()?;
    for (name, bytes) in malformed() {
        // Put in place as a whole, as editors do.
        let new = folder.join("new");
        fs::write(&new, bytes)?;
        fs::rename(&new, &file)?;
        wait::until(&format!("{name} to be refused"), SOON, || {
            Ok((!last_reload_successful(&server)?).then_some(()))
        })?;
        let kept = http::get(server.control["api"], "/v3/config/paths/get/kept")?.json()?;
        ensure!(kept["maxReaders"] == 7, "{name} changed the configuration: {kept}");
        let said = status(&server)?;
        ensure!(said.to_string().contains("headwater.yml"), "{name}: the API says {said}");
        fs::write(&new, good)?;
        fs::rename(&new, &file)?;
        wait::until("the good file to be taken again", SOON, || {
            Ok(last_reload_successful(&server)?.then_some(()))
        })?;
    }
    let longest = server.log().lines().map(str::len).max().unwrap_or_default();
    ensure!(longest < 20_000, "a line of the log has {longest} bytes");
    viewer.advance(50)?;
    viewer.finish_whole()?;
    wait::until("memory to come back", Duration::from_secs(20), || {
        Ok((server.resident_bytes()? < resident + GROWTH_MAX / 2).then_some(()))
    })
    .with_context(|| format!("{resident} bytes before, {:?} now", server.resident_bytes()))?;
    publisher.tear_down()?;
    server.stop()
}

#[test]
fn a_line_of_100_mib_is_refused_without_taking_the_memory() -> Result<()> {
    let folder = folder("long")?;
    let file = folder.join("headwater.yml");
    fs::write(&file, "paths:\n  all_others:\n")?;
    let control = vec!["api", "metrics"];
    let mut server = Server::launch(&Launch { file: Some(file.clone()), control, ..Launch::default() })?;
    let url = server.url("beside");
    let publisher = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream("beside")?;
    let mut viewer = Reader::play(server.rtsp, &url)?;
    viewer.advance(50)?;
    let resident = server.resident_bytes()?;
    let new = folder.join("new");
    fs::write(&new, [b"logLevel: ".to_vec(), vec![b'a'; 100 << 20]].concat())?;
    fs::rename(&new, &file)?;
    let mut most = 0;
    wait::until("the file to be refused", 2 * SOON, || {
        most = most.max(server.resident_bytes()?);
        Ok((!last_reload_successful(&server)?).then_some(()))
    })?;
    ensure!(most < resident + GROWTH_MAX / 2, "{resident} bytes before, {most} while the file was read");
    viewer.advance(50)?;
    viewer.finish_whole()?;
    publisher.tear_down()?;
    server.stop()?;
    let mut command = Command::new(binary()?);
    command.arg(&file);
    let mut process = Process::spawn("headwater", command)?;
    let status = process.wait(SOON)?;
    let said = process.stdout() + &process.stderr();
    ensure!(
        !status.success() && said.contains("headwater.yml") && said.len() < 20_000,
        "{status}: {said:.300}"
    );
    Ok(fs::remove_file(&file)?)
}
