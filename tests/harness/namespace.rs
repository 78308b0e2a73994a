//! A network namespace for a test: fixed ports and addresses of its own, and nothing can leave.

use anyhow::{Context, Result, ensure};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::io::Write;
use std::process::Command;

/// Runs `body` on a thread in a fresh network namespace, in which the loopback interface is up and the `ip` commands in
/// `set_up` were carried out. The sockets and children of that thread are in the namespace; those of threads that it
/// starts are too.
///
/// An ordinary user has no namespaces: then this says so, past the test runner's capture, and runs nothing. CI is root.
///
/// # Errors
/// Those of `body`; when an `ip` command fails.
pub fn run(
    name: &str,
    set_up: &'static [&'static str],
    body: impl FnOnce() -> Result<()> + Send + 'static,
) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        writeln!(std::io::stderr(), "NOT RUN: {name} needs root, for a network namespace")?;
        ensure!(std::env::var_os("CI").is_none(), "CI must be root: {name} cannot run");
        return Ok(());
    }
    let inside = std::thread::spawn(move || {
        enter().context("entering a network namespace")?;
        for command in [&["link set lo up"], set_up].concat() {
            let status = Command::new("ip").args(command.split(' ')).status()?;
            ensure!(status.success(), "ip {command}: {status}");
        }
        body()
    });
    inside.join().expect("the thread does not panic")
}

#[allow(unsafe_code)]
fn enter() -> rustix::io::Result<()> {
    // SAFETY: only the network namespace is left, no descriptor table: descriptors stay valid in all threads.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
}
