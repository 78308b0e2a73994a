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
        // The machines are clients too; the server is met through its binary.
        ("tests", &["headwater-engine", "headwater-control", "headwater-bench", "headwater.workspace"]),
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

#[test]
fn tokio_and_serde_stay_in_control() -> Result<()> {
    for name in CRATES.iter().filter(|name| **name != "control") {
        let dependencies = dependencies(name)?;
        let found = dependencies.lines().find(|line| {
            // serde_json alone, to write or read a report, is no framework.
            let package = line.split(['.', ' ', '=']).next().unwrap_or_default();
            package.starts_with("tokio") || package == "serde"
        });
        ensure!(found.is_none(), "{name} depends on {found:?}");
    }
    Ok(())
}

#[test]
fn unsafe_code_is_announced_by_its_file() -> Result<()> {
    let sources = sources(&CRATES)?;
    let silent: Vec<_> = sources
        .iter()
        .filter(|(_, text)| {
            let uses = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"];
            let is_unsafe = text.lines().any(|line| uses.iter().any(|word| code(line).contains(word)));
            is_unsafe && !text.contains("(unsafe_code)")
        })
        .map(|(file, _)| file.display().to_string())
        .collect();
    ensure!(silent.is_empty(), "unsafe without allow(unsafe_code):\n{}", silent.join("\n"));
    Ok(())
}

/// Every file of the project, build output left out.
fn all_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && name != ".git" {
            all_files(&path, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

#[test]
fn everything_here_was_written_here() -> Result<()> {
    // What people write by hand. Packages, fonts, images, recordings and minified scripts are others' work or output.
    let written = [
        "rs", "toml", "lock", "md", "json", "txt", "py", "html", "css", "js", "mjs", "svg", "yml", "yaml",
        "key", "crt", "sdp", "service",
    ];
    let mut files = Vec::new();
    all_files(&root(), &mut files)?;
    let foreign: Vec<String> = files
        .iter()
        .filter(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let extension = file.extension().map(|extension| extension.to_string_lossy().into_owned());
            // Recorded between clients and servers that ran here, or made here by ffmpeg of its own test picture.
            let captured = file
                .parent()
                .is_some_and(|folder| folder.ends_with("captures") || folder.ends_with("fixtures"));
            let known = captured || extension.is_none_or(|extension| written.contains(&extension.as_str()));
            // Cargo.lock grows with the packages it pins.
            let large = fs::metadata(file).is_ok_and(|data| data.len() > 100_000) && name != "Cargo.lock";
            !known || large || name.contains(".min.")
        })
        .map(|file| file.display().to_string())
        .collect();
    ensure!(foreign.is_empty(), "neither source nor documentation of ours:\n{}", foreign.join("\n"));
    Ok(())
}

#[test]
fn every_configuration_key_is_in_the_reference() -> Result<()> {
    let table = fs::read_to_string(root().join("control/src/config/keys.rs"))?;
    // A row is `field "key" Effect: Type = default;`.
    let keys: Vec<&str> = table
        .lines()
        .filter_map(|line| {
            let (field, rest) = line.trim().split_once(" \"")?;
            let (key, rest) = rest.split_once("\" ")?;
            let is_row = rest.contains(':')
                && field.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            is_row.then_some(key)
        })
        .collect();
    ensure!(keys.len() > 150, "only {} keys are in the table", keys.len());
    let output = std::process::Command::new(headwater_tests::binary()?).arg("--reference").output()?;
    let reference = String::from_utf8(output.stdout)?;
    let missing: Vec<_> = keys.into_iter().filter(|key| !reference.contains(&format!("`{key}`"))).collect();
    ensure!(missing.is_empty(), "not in the reference: {missing:?}");
    Ok(())
}
