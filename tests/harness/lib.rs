//! What the end-to-end tests share: the server as a child process, real clients with deadlines, sample media, and a raw
//! RTSP client for what no real client would send.
//!
//! The tests are users: they know the binary, its command line, its log and the wire, and nothing of the crates inside; save
//! that the clients of RTMP are made of what the protocols crate has for clients.
//! Invariants: every child is in a process group of its own, which is killed when its [`process::Process`] is dropped; no
//! port is fixed; nothing sleeps to let something happen, it waits for the condition ([`wait::until`]) with a deadline.
//!
//! Environment: `HEADWATER_BIN` (the server; else `target/release/headwater`), `HEADWATER_TEST_PEER=mediamtx` (run what
//! makes sense for any server against MediaMTX, to prove the tests themselves), `HEADWATER_TEST_CELLS` (interop: only cells
//! whose name contains this).

pub mod clients;
pub mod config_file;
pub mod decoded;
pub mod feed;
pub mod http;
pub mod live;
pub mod media;
pub mod mediamtx;
pub mod mock;
pub mod namespace;
pub mod node;
pub mod peer;
pub mod process;
pub mod publisher;
pub mod pusher;
pub mod reader;
pub mod rtmp;
pub mod rtmp_push;
pub mod rtp_push;
pub mod rtsp;
pub mod server;
pub mod wait;
pub mod web;
pub mod witness;

use std::path::{Path, PathBuf};

/// The repository's root folder.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the crate lies one folder below the root").to_path_buf()
}

/// Cargo's target folder: `CARGO_TARGET_DIR`, else `target` at the root.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The server's binary: `HEADWATER_BIN`, else the release build in [`target`].
///
/// # Errors
/// When it is not there.
pub fn binary() -> anyhow::Result<PathBuf> {
    let binary =
        std::env::var_os("HEADWATER_BIN").map_or_else(|| target().join("release/headwater"), PathBuf::from);
    let missing = "is missing: cargo build --release -p headwater, or tests/run";
    anyhow::ensure!(binary.exists(), "{} {missing}", binary.display());
    Ok(binary)
}

/// `target/tests`, where sample media, logs and the Python environment live; made when missing.
pub fn workspace() -> PathBuf {
    let folder = target().join("tests");
    std::fs::create_dir_all(&folder).expect("the target folder is writable");
    folder
}

/// A self-signed certificate for this machine and its key, both PEM, fresh for each test.
///
/// # Errors
/// When openssl is missing or fails.
pub fn certificate(name: &str) -> anyhow::Result<(PathBuf, PathBuf)> {
    let certificate = workspace().join(format!("{name}-{}.crt", std::process::id()));
    let key = certificate.with_extension("key");
    let mut command = std::process::Command::new("openssl");
    command.args(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost".split(' '),
    );
    command
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate);
    process::Process::spawn("openssl", command)?.succeed(std::time::Duration::from_secs(20))?;
    Ok((certificate, key))
}
