//! The harness against its own floor, as a user runs it: what passes, and that what must fail does fail.
//! Needs two cores, as the harness does.

use std::process::{Command, Output};

fn bench(arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater-bench"));
    command.args(arguments.split(' ')).output().expect("the harness starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn floor(protocol: &str, rest: &str) -> Output {
    bench(&format!(
        "floor --protocol {protocol} --readers 20 --paths 2 --bitrate 1M --rounds 1 --seconds 1 --warmup 0.2{rest}"
    ))
}

#[test]
fn the_floor_delivers_everything_and_is_measured() {
    for (protocol, key) in [("rtsp-tcp", "tcp"), ("rtsp-udp", "udp"), ("rtmp", "rtmp"), ("flv", "flv")] {
        let output =
            floor(protocol, " --expect KEY.lost=0 --expect KEY.checked>=200".replace("KEY", key).as_str());
        assert!(output.status.success(), "{protocol}: {}", stderr(&output));
        let line: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
        let figures = &line["contenders"]["floor"]["figures"];
        assert_eq!(line["passed"], true);
        assert_eq!(figures["floor_share"], 1.0);
        assert_eq!(figures["unstamped"], 0.0);
        // Two paths of 1 Mbit/s to ten readers each.
        let delivered = figures["delivered_mbit_s"].as_f64().expect("a number");
        assert!((15.0..=25.0).contains(&delivered), "{protocol}: {delivered} Mbit/s");
        assert!(figures["cpu_us_per_reader_second"].as_f64().expect("a number") > 0.0);
        let (p50, max) = (&figures["latency_p50_ms"], &figures["latency_max_ms"]);
        assert!(p50.as_f64().expect("a number") > 0.0 && max.as_f64() >= p50.as_f64(), "{p50} {max}");
    }
}

/// The checks themselves: each wrong that a server may do is found, and named.
#[test]
fn a_floor_that_does_wrong_fails_its_checks() {
    let stream = "--readers 40 --bitrate 1M --rounds 1 --seconds 2 --warmup 0 --sample 4";
    for (protocol, fault, complaint) in [
        ("rtsp-tcp", "drop", "packets are missing"),
        ("rtsp-udp", "drop", "packets are missing"),
        ("rtsp-tcp", "flip", "packets are corrupted"),
        ("rtsp-udp", "flip", "packets are corrupted"),
        ("rtsp-tcp", "starve", "1 readers got less than 99 %"),
        ("rtsp-udp", "starve", "1 readers got less than 99 %"),
        ("rtsp-tcp", "disconnect", "disconnects happened"),
        ("rtsp-udp", "disconnect", "disconnects happened"),
        ("rtmp", "drop", "packets are missing"),
        ("rtmp", "flip", "packets are corrupted"),
        ("rtmp", "starve", "1 readers got less than 99 %"),
        ("rtmp", "disconnect", "disconnects happened"),
        ("flv", "drop", "packets are missing"),
        ("flv", "flip", "packets are corrupted"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_headwater-bench"));
        command.args(format!("floor --protocol {protocol} {stream}").split(' '));
        let output = command.env("HEADWATER_BENCH_FLOOR_FAULT", fault).output().expect("the harness starts");
        assert_eq!(output.status.code(), Some(1), "{protocol} {fault}: {}", stderr(&output));
        assert!(stderr(&output).contains(complaint), "{protocol} {fault}: {}", stderr(&output));
    }
}

/// A window must lower the count of calls, not what arrives; the delay must show.
#[test]
fn a_window_delays_and_loses_nothing() {
    for protocol in ["rtsp-tcp", "rtsp-udp", "rtmp", "flv"] {
        let output = bench(&format!(
            "fanout --no-server --window-ms 200 --protocol {protocol} --readers 20 --rounds 1 --seconds 4 --warmup 0.5"
        ));
        assert!(output.status.success(), "{protocol}: {}", stderr(&output));
        let line: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
        let p50 = line["contenders"]["floor-window"]["figures"]["latency_p50_ms"].as_f64().expect("a number");
        assert!((60.0..=200.0).contains(&p50), "{protocol}: {p50} ms");
    }
}

#[test]
fn an_unmet_expectation_fails_the_run_and_says_so() {
    let output = floor("rtsp-tcp", " --expect tcp.cpu_us_per_reader_second<=0");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("expected tcp.cpu_us_per_reader_second<=0"), "{}", stderr(&output));
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    assert_eq!(line["passed"], false);
}

#[test]
fn what_cannot_be_expected_is_refused_before_the_run() {
    for wrong in ["udp.lost=0", "tcp.speed>=1", "tcp.mediamtx.lost=0"] {
        let output = floor("rtsp-tcp", &format!(" --expect {wrong}"));
        assert_eq!(output.status.code(), Some(1), "{wrong}");
        assert!(output.stdout.is_empty(), "{wrong}");
    }
}

#[test]
fn the_report_is_written_and_names_the_contender() {
    let file = std::env::temp_dir().join(format!("headwater-bench-test-{}.html", std::process::id()));
    let output = floor("rtsp-tcp", &format!(" --html {}", file.display()));
    assert!(output.status.success(), "{}", stderr(&output));
    let page = std::fs::read_to_string(&file).expect("the report");
    std::fs::remove_file(&file).expect("remove");
    assert_eq!(page.matches("<svg").count(), 3);
    assert!(page.contains(">floor<") && page.ends_with("</html>\n"));
}

#[test]
fn a_contender_that_does_not_start_fails_the_run() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater-bench"));
    command.args("fanout --protocol rtsp-tcp --readers 8 --no-floor --no-server --peer".split(' '));
    let output = command.arg("dead=echo out of order; exit 7").output().expect("the harness starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("out of order"), "{}", stderr(&output));
}
