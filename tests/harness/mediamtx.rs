//! Files of MediaMTX that tests compare with, fetched when they are wanted.

use crate::process::Process;
use crate::root;
use anyhow::{Result, ensure};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// MediaMTX's own default configuration file.
///
/// # Errors
/// When it cannot be fetched.
pub fn configuration() -> Result<PathBuf> {
    let command = Command::new(root().join("tests/peers/mediamtx-configuration"));
    let mut process = Process::spawn("mediamtx-configuration", command)?;
    process.succeed(Duration::from_secs(120))?;
    let file = PathBuf::from(process.stdout().trim());
    ensure!(file.is_file(), "{} is no file", file.display());
    Ok(file)
}
