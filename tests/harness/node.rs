//! Clients that run in Node: they print one JSON value per line, and the last line tells how things are.

use crate::process::Process;
use crate::{root, wait, workspace};
use anyhow::{Context, Result};
use serde_json::Value;
use std::process::Command;
use std::time::Duration;

/// A script of `tests/clients` that runs.
pub struct Script {
    process: Process,
}

impl Script {
    /// # Errors
    /// When Node or the packages of tests/run are missing.
    pub fn start(script: &str, arguments: &[&str]) -> Result<Script> {
        let packages = workspace().join("node");
        let found = packages.join("node_modules").exists();
        anyhow::ensure!(found, "{} is missing: tests/run installs it", packages.display());
        let mut command = Command::new("node");
        command.arg(root().join("tests/clients").join(script)).args(arguments);
        command.env("HEADWATER_TEST_NODE", packages);
        Ok(Script { process: Process::spawn(&format!("node {script}"), command)? })
    }

    /// The last whole line it has printed.
    ///
    /// # Errors
    /// When it is no JSON, or the script has failed.
    pub fn told(&mut self) -> Result<Option<Value>> {
        if let Some(status) = self.process.ended()? {
            anyhow::ensure!(status.success(), "it failed\n{}", self.process.tail());
        }
        let output = self.process.stdout();
        let Some((lines, _)) = output.rsplit_once('\n') else { return Ok(None) };
        let line = lines.rsplit('\n').next().unwrap_or_default();
        serde_json::from_str(line).map(Some).with_context(|| format!("no JSON: {line:?}"))
    }

    /// Waits until `enough` finds in the last line what it looks for.
    ///
    /// # Errors
    /// When it does not within `limit`, or the script fails.
    pub fn until<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut enough: impl FnMut(&Value) -> Result<Option<T>>,
    ) -> Result<T> {
        let mut last = None;
        let found = wait::until(what, limit, || {
            last = self.told()?;
            last.as_ref().map_or(Ok(None), &mut enough)
        });
        found.with_context(|| format!("seen last: {last:?}\n{}", self.process.tail()))
    }

    /// Waits for its end, and returns its last line.
    ///
    /// # Errors
    /// When it fails, or goes on for longer than `limit`.
    pub fn finish(mut self, limit: Duration) -> Result<Value> {
        self.process.succeed(limit)?;
        self.told()?.with_context(|| format!("it printed nothing\n{}", self.process.tail()))
    }
}
