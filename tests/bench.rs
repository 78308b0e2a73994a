//! The load harness runs, checks what it received, and finds nothing wrong; its figures are not judged here.

use anyhow::{Result, ensure};
use headwater_tests::process::Process;
use headwater_tests::target;
use std::process::Command;
use std::time::Duration;

fn fan_out(protocol: &str, rest: &str) -> Result<()> {
    let binary = target().join("release/headwater-bench");
    ensure!(
        binary.exists(),
        "{} is missing: cargo build --release -p headwater-bench, or tests/run",
        binary.display()
    );
    let mut command = Command::new(binary);
    command.args(["fanout", "--protocol", protocol]);
    command.args("--readers 20 --bitrate 2M --fps 30 --seconds 2 --warmup 0.5 --rounds 1".split(' '));
    command.args(rest.split_whitespace());
    if let Some(server) = std::env::var_os("HEADWATER_BIN") {
        command.arg("--server").arg(server);
    }
    let mut process = Process::spawn(&format!("headwater-bench {protocol}"), command)?;
    process.succeed(Duration::from_secs(60))?;
    let output = process.stdout();
    ensure!(output.lines().any(|line| line.starts_with('{')), "no JSON line\n{}", process.tail());
    Ok(())
}

/// One after the other: they pin server and load to cores. nginx is a peer where it serves the protocol.
#[test]
fn fan_out_is_whole_over_every_protocol() -> Result<()> {
    fan_out("rtsp-tcp", "")?;
    fan_out("rtsp-udp", "")?;
    fan_out("rtmp", "--peer nginx-rtmp")?;
    fan_out("flv", "--window-ms 350")?;
    fan_out("hls", "--peer nginx")?;
    fan_out("hls", "--hls-variant fmp4")?;
    fan_out("ll-hls", "")
}
