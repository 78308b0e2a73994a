//! The command line, and the server as it comes: without configuration, on the usual ports.

use anyhow::{Context, Result, ensure};
use headwater_tests::process::Process;
use headwater_tests::publisher::Publisher;
use headwater_tests::reader::Reader;
use headwater_tests::{binary, namespace, wait};
use rustix::process::Signal;
use std::process::Command;
use std::time::Duration;

fn headwater(arguments: &[&str]) -> Result<Process> {
    let mut command = Command::new(binary()?);
    command.args(arguments);
    Process::spawn("headwater", command)
}

#[test]
fn help_and_version_are_printed() -> Result<()> {
    let mut help = headwater(&["--help"])?;
    help.succeed(Duration::from_secs(5))?;
    for option in ["--shards", "--rtsp-address", "--rtsps-cert", "--delivery-window", "--log-level"] {
        ensure!(help.stdout().contains(option), "--help does not name {option}");
    }
    let mut version = headwater(&["--version"])?;
    version.succeed(Duration::from_secs(5))?;
    ensure!(
        version.stdout().trim() == concat!("headwater ", env!("CARGO_PKG_VERSION")),
        "{:?}",
        version.stdout()
    );
    Ok(())
}

#[test]
fn what_makes_no_sense_is_refused_with_a_reason() -> Result<()> {
    let cases: [(&[&str], &str); 5] = [
        (&["--shards", "0"], "shards"),
        (&["--rtsp-address", "nowhere"], "rtsp-address"),
        (&["--delivery-window", "soon"], "delivery-window"),
        (&["--rtsps-cert", "/nowhere.pem"], "rtsps-key"),
        (&["--frobnicate"], "frobnicate"),
    ];
    for (arguments, named) in cases {
        let mut process = headwater(arguments)?;
        let status = process.wait(Duration::from_secs(5))?;
        let said = process.stdout() + &process.stderr();
        ensure!(!status.success(), "{arguments:?} was accepted");
        ensure!(said.contains(named) && !said.contains("panicked"), "{arguments:?}: {said}");
    }
    Ok(())
}

#[test]
fn without_arguments_it_serves_on_the_usual_ports() -> Result<()> {
    namespace::run("without_arguments_it_serves_on_the_usual_ports", &[], || {
        let mut process = headwater(&[])?;
        wait::until("the usual ports", Duration::from_secs(5), || {
            process.still_runs()?;
            let output = process.stdout();
            let all = [":8554", ":8000", ":8001"].iter().all(|port| output.contains(port));
            Ok(all.then_some(()))
        })
        .with_context(|| process.tail())?;
        let server = "127.0.0.1:8554".parse()?;
        let url = "rtsp://127.0.0.1:8554/live";
        let publisher = Publisher::start(server, url, 1)?;
        let mut reader = Reader::play(server, url)?;
        reader.advance(100)?;
        reader.finish_whole()?;
        // A command to publish and one to play are there to be pasted.
        let output = process.stdout();
        let commands = output.lines().filter(|line| line.contains("rtsp://") && line.contains("ff")).count();
        ensure!(commands >= 2, "no publish and play command in:\n{output}");
        publisher.tear_down()?;
        process.signal(Signal::INT)?;
        process.succeed(Duration::from_secs(2))
    })
}
