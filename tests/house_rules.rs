//! The rules of the house that a compiler does not know, checked on the sources.

use anyhow::{Context, Result, ensure};
use headwater_tests::root;
use std::fs;
use std::path::{Path, PathBuf};

const CRATES: [&str; 5] = ["protocols", "engine", "control", "bench", "tests"];
/// Past this a file must be split by noun (STYLE.md has 500; above 900 nobody argues).
const LINES_MAX: usize = 900;

/// All Rust files below `folder`, build output left out.
fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

fn sources(folders: &[&str]) -> Result<Vec<(PathBuf, String)>> {
    let mut sources = Vec::new();
    for folder in folders {
        for file in rust_files(&root().join(folder))? {
            let text = fs::read_to_string(&file)?;
            sources.push((file.strip_prefix(root())?.to_path_buf(), text));
        }
    }
    ensure!(!sources.is_empty(), "no sources in {folders:?}");
    Ok(sources)
}

/// `line` without a comment at its end.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// Every line of code outside of `except` in which `word` stands, as `file:line`.
fn uses(sources: &[(PathBuf, String)], word: &str, except: &str) -> Vec<String> {
    sources
        .iter()
        .filter(|(file, _)| except.is_empty() || !file.starts_with(except))
        .flat_map(|(file, text)| text.lines().enumerate().map(move |(number, line)| (file, number, line)))
        .filter(|(_, _, line)| code(line).contains(word))
        .map(|(file, number, line)| format!("{}:{}: {}", file.display(), number + 1, line.trim()))
        .collect()
}

#[test]
fn glommio_is_named_in_one_folder_only() -> Result<()> {
    let found =
        uses(&sources(&["protocols", "engine", "control", "bench"])?, "glommio", "engine/src/runtime");
    ensure!(found.is_empty(), "glommio outside of engine/src/runtime:\n{}", found.join("\n"));
    for name in CRATES.iter().filter(|name| **name != "engine") {
        ensure!(!dependencies(name)?.contains("glommio"), "{name} depends on glommio");
    }
    Ok(())
}

#[test]
fn protocols_knows_no_socket_clock_executor_or_lock() -> Result<()> {
    // Tests may read the clock: there is no other way to make a first instant.
    let mut sources = sources(&["protocols/src"])?;
    sources.retain(|(file, _)| !is_test(file));
    for (_, text) in &mut sources {
        text.truncate(text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len()));
    }
    let forbidden = [
        "std::net::Tcp",
        "std::net::Udp",
        "TcpStream",
        "UdpSocket",
        "tokio",
        "async fn",
        "Instant::now",
        "SystemTime",
        "std::thread",
        "thread::",
        "Mutex",
        "RwLock",
        "rand::",
        "std::fs",
        "std::env",
    ];
    for word in forbidden {
        let found = uses(&sources, word, "");
        ensure!(found.is_empty(), "{word} in protocols:\n{}", found.join("\n"));
    }
    Ok(())
}

/// Whether a file holds the unit tests of its module, or integration tests of its crate.
fn is_test(file: &Path) -> bool {
    file.components().any(|part| part.as_os_str() == "tests") || file.ends_with("tests.rs")
}

/// The text of the dependency tables of a crate.
fn dependencies(name: &str) -> Result<String> {
    let manifest = fs::read_to_string(root().join(name).join("Cargo.toml"))?;
    let mut inside = false;
    let lines = manifest.lines().filter(|line| {
        if line.starts_with('[') {
            inside = line.contains("dependencies");
        }
        inside && !line.trim_start().starts_with('#')
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

#[test]
fn nothing_points_back() -> Result<()> {
    let forbidden: [(&str, &[&str]); 5] = [
        ("protocols", &["headwater", "tokio", "serde", "socket2", "libc"]),
        ("engine", &["headwater-control", "headwater-bench", "headwater.workspace", "tokio", "serde"]),
        ("control", &["headwater-bench", "headwater-tests"]),
        ("bench", &["headwater.workspace", "headwater-tests"]),
        ("tests", &["headwater-"]),
    ];
    for (name, others) in forbidden {
        let dependencies = dependencies(name)?;
        for other in others {
            ensure!(!dependencies.contains(other), "{name} depends on {other}");
        }
    }
    Ok(())
}

#[test]
fn no_file_is_too_long() -> Result<()> {
    let long: Vec<String> = sources(&CRATES)?
        .iter()
        .filter(|(_, text)| text.lines().count() > LINES_MAX)
        .map(|(file, text)| format!("{}: {} lines", file.display(), text.lines().count()))
        .collect();
    ensure!(long.is_empty(), "longer than {LINES_MAX} lines:\n{}", long.join("\n"));
    Ok(())
}

#[test]
fn no_test_is_ignored_and_nothing_is_left_undone() -> Result<()> {
    let sources = sources(&CRATES)?;
    // Written in two halves, so that this file does not find itself.
    for word in
        [concat!("#[", "ignore"), concat!("todo", "!("), concat!("unimplemented", "!("), concat!("dbg", "!(")]
    {
        let found = uses(&sources, word, "");
        ensure!(found.is_empty(), "{word}:\n{}", found.join("\n"));
    }
    Ok(())
}

/// Files without a module's noun: unit tests beside their module, and the two lines that call a fuzz body.
fn is_small(file: &Path) -> bool {
    file.ends_with("tests.rs") || file.starts_with("protocols/fuzz/fuzz_targets")
}

#[test]
fn every_module_says_what_it_is() -> Result<()> {
    let silent: Vec<String> = sources(&CRATES)?
        .iter()
        .filter(|(file, text)| {
            let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("#!["));
            !first.is_some_and(|line| line.starts_with("//!")) && !is_small(file)
        })
        .map(|(file, _)| file.display().to_string())
        .collect();
    ensure!(silent.is_empty(), "no module documentation:\n{}", silent.join("\n"));
    Ok(())
}

/// Whether `text` has a parser that takes bytes or text from a peer.
fn parses(text: &str) -> bool {
    text.lines().map(code).any(|line| {
        let public = line.trim_start().starts_with("pub fn ");
        let parses = ["pub fn parse", "pub fn decode", "pub fn inspect", "pub fn handle_input"]
            .iter()
            .any(|name| line.contains(name));
        public && parses
    })
}

#[test]
fn every_parser_has_a_fuzz_target() -> Result<()> {
    let fuzz = root().join("protocols/fuzz");
    let targets: String = rust_files(&fuzz)?.iter().map(fs::read_to_string).collect::<Result<_, _>>()?;
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml"))?;
    let bodies: String = rust_files(&root().join("protocols/src"))?
        .iter()
        .filter(|file| file.components().any(|part| part.as_os_str() == "fuzz") || file.ends_with("fuzz.rs"))
        .map(fs::read_to_string)
        .collect::<Result<_, _>>()?;
    let reached = format!("{manifest}{targets}{bodies}");
    let mut missing = Vec::new();
    for (file, text) in sources(&["protocols/src"])? {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let folder =
            file.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        let module = if stem == "mod" { folder } else { stem };
        let is_fuzz = file.components().any(|part| part.as_os_str() == "fuzz") || module == "fuzz";
        if !is_fuzz && parses(&text) && !reached.contains(&module) {
            missing.push(file.display().to_string());
        }
    }
    ensure!(missing.is_empty(), "parsers that no fuzz target names:\n{}", missing.join("\n"));
    Ok(())
}
