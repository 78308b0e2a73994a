//! The command line, and the server as it comes: without configuration, on the usual ports.

use anyhow::{Context, Result, ensure};
use headwater_tests::process::Process;
use headwater_tests::publisher::Publisher;
use headwater_tests::reader::Reader;
use headwater_tests::{binary, mediamtx, namespace, wait, workspace};
use rustix::process::Signal;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(5);

fn headwater(arguments: &[&str]) -> Result<Process> {
    let mut command = Command::new(binary()?);
    command.args(arguments);
    Process::spawn("headwater", command)
}

/// What it prints; it must end well.
fn printed(arguments: &[&str]) -> Result<String> {
    let mut process = headwater(arguments)?;
    process.succeed(LIMIT).with_context(|| format!("{arguments:?}"))?;
    Ok(process.stdout())
}

/// A file of the test's own.
fn file(name: &str, text: &str) -> Result<String> {
    let file = workspace().join(format!("command-line-{name}-{}.yml", std::process::id()));
    std::fs::write(&file, text)?;
    Ok(file.display().to_string())
}

#[test]
fn help_and_version_are_printed() -> Result<()> {
    let help = printed(&["--help"])?;
    for option in
        ["--set", "--check-config", "--print-config", "--example", "--reference", "[FILE]", "SIGHUP"]
    {
        ensure!(help.contains(option), "--help does not name {option}");
    }
    let version = printed(&["--version"])?;
    ensure!(version.trim() == concat!("headwater ", env!("CARGO_PKG_VERSION")), "{version:?}");
    Ok(())
}

#[test]
fn what_makes_no_sense_is_refused_with_a_reason() -> Result<()> {
    let cases: [(&[&str], &[&str]); 9] = [
        (&["--frobnicate"], &["--frobnicate"]),
        (&["--set"], &["--set"]),
        (&["--set", "nonsense"], &["KEY=VALUE"]),
        (&["--set", "readTimeot=5s"], &["readTimeot", "readTimeout"]),
        (&["--set", "readTimeout=soon"], &["readTimeout", "duration", "soon"]),
        (&["--set", "rtspAddress=nowhere"], &["rtspAddress", "nowhere"]),
        (&["--set", "paths.cam.maxReaders=many"], &["paths.cam.maxReaders"]),
        (&["--set", "foo=1", "--set", "readTimeout=soon"], &["foo", "readTimeout"]),
        (&["/nowhere/headwater.yml"], &["/nowhere/headwater.yml"]),
    ];
    for (arguments, named) in cases {
        let mut process = headwater(arguments)?;
        let status = process.wait(LIMIT)?;
        let said = process.stdout() + &process.stderr();
        ensure!(!status.success(), "{arguments:?} was accepted");
        for name in named {
            ensure!(said.contains(name), "{arguments:?}: no {name} in {said}");
        }
        ensure!(!said.contains("panicked") && !said.contains("listening"), "{arguments:?}: {said}");
    }
    Ok(())
}

#[test]
fn a_configuration_is_checked_and_printed() -> Result<()> {
    let text = "logLevel: debug\nprotocols: [tcp]\nsrt: yes\npaths:\n  cam:\n    maxReaders: 3\n  \"~^x(.*)$\":\n    \
                source: redirect\n    sourceRedirect: rtsp://h/$G1\n";
    let given = file("given", text)?;
    let checked = printed(&["--check-config", &given])?;
    for part in ["protocols", "rtspTransports", "not in effect: srt", "is valid"] {
        ensure!(checked.contains(part), "no {part:?} in {checked}");
    }
    // What is printed is accepted again, and stays what it is.
    let once = printed(&["--print-config", "--set", "paths.cam.overridePublisher=no", &given])?;
    let twice = printed(&["--print-config", &file("printed", &once)?])?;
    ensure!(once == twice, "printed once:\n{once}\ntwice:\n{twice}");
    for part in ["logLevel: debug", "maxReaders: 3", "overridePublisher: false", "rtsp://h/$G1"] {
        ensure!(once.contains(part), "no {part:?} in {once}");
    }
    let secret = "authInternalUsers=[{user: a, pass: pw-of-a}]";
    ensure!(!printed(&["--print-config", "--set", secret])?.contains("pw-of-a"), "a password is printed");
    Ok(())
}

/// The names of keys that stand in a YAML file, commented or not.
fn keys(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let (key, _) = line.trim_start_matches([' ', '#', '-']).split_once(':')?;
        (!key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric())).then_some(key)
    })
}

#[test]
fn the_example_is_valid_and_the_reference_names_every_key() -> Result<()> {
    let example = printed(&["--example"])?;
    printed(&["--check-config", &file("example", &example)?])?;
    // Every line that is commented out is right as it stands: `#key: value` is a key, `# text` is text.
    let bare = |line: &str| match line.trim_start().strip_prefix('#') {
        Some(key) if !key.starts_with([' ', '#']) => line.replacen('#', "", 1),
        _ => line.to_owned(),
    };
    let all: Vec<String> = example.lines().map(bare).collect();
    ensure!(all.join("\n") != example.trim_end(), "nothing in the example is commented out");
    printed(&["--check-config", &file("example-in-full", &all.join("\n"))?])?;
    let reference = printed(&["--reference"])?;
    let described = |key: &str| reference.contains(&format!("| `{key}` |"));
    let in_force = printed(&["--print-config"])?;
    let top = in_force.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_alphabetic()));
    for line in top {
        let (key, _) = line.split_once(':').with_context(|| line.to_owned())?;
        let structural = key == "paths" || key == "pathDefaults";
        ensure!(structural || described(key), "the reference does not name {key}");
        ensure!(keys(&example).any(|known| known == key), "the example does not name {key}");
    }
    Ok(())
}

#[test]
fn the_reference_has_every_key_of_mediamtx() -> Result<()> {
    let reference = printed(&["--reference"])?;
    let theirs = std::fs::read_to_string(mediamtx::configuration()?)?;
    // Global keys and those of pathDefaults stand at most two spaces deep.
    let lines = theirs.lines().filter(|line| !line.trim_start().starts_with('#') && !line.starts_with("   "));
    let text: Vec<&str> = lines.filter(|line| !line.trim_start().starts_with('-')).collect();
    let text = text.join("\n");
    let mut count = 0;
    for key in keys(&text).filter(|key| !["paths", "pathDefaults"].contains(key)) {
        ensure!(reference.contains(&format!("| `{key}` |")), "{key} of MediaMTX is not in the reference");
        count += 1;
    }
    ensure!(count > 150, "only {count} keys were found in MediaMTX's file");
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
