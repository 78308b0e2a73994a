//! The load harness runs, checks what it received, and finds nothing wrong; its figures are not judged here.

use anyhow::{Result, ensure};
use headwater_tests::process::Process;
use headwater_tests::target;
use std::process::Command;
use std::time::Duration;

fn fan_out(protocol: &str) -> Result<()> {
    let binary = target().join("release/headwater-bench");
    ensure!(
        binary.exists(),
        "{} is missing: cargo build --release -p headwater-bench, or tests/run",
        binary.display()
    );
    let mut command = Command::new(binary);
    command.args(["fanout", "--protocol", protocol]);
    command.args("--readers 20 --bitrate 2M --fps 30 --seconds 2 --warmup 0.5 --rounds 1".split(' '));
    let mut process = Process::spawn(&format!("headwater-bench {protocol}"), command)?;
    process.succeed(Duration::from_secs(60))?;
    let output = process.stdout();
    ensure!(output.lines().any(|line| line.starts_with('{')), "no JSON line\n{}", process.tail());
    Ok(())
}

/// One after the other: they pin server and load to cores.
#[test]
fn fan_out_over_tcp_and_udp_is_whole() -> Result<()> {
    fan_out("rtsp-tcp")?;
    fan_out("rtsp-udp")
}
