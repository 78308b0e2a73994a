use super::destination::{File, Sink, Syslog};
use super::writer::Writer;
use super::{Logs, Outputs};
use crate::config::Global;
use crate::config::values::{LogDestination, LogLevel};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tracing_subscriber::layer::SubscriberExt;

const PATIENCE: Duration = Duration::from_secs(10);

fn to_file(file: &Path) -> Global {
    Global {
        log_destinations: vec![LogDestination::File],
        log_file: file.to_str().expect("a text").to_owned(),
        ..Global::default()
    }
}

/// What is logged within `run` goes to `logs`.
fn within(logs: &Logs, run: impl FnOnce()) {
    tracing::subscriber::with_default(tracing_subscriber::registry().with(logs.layer()), run);
}

fn flush(logs: &Logs) {
    logs.shared.outputs.load().writers.iter().for_each(|writer| writer.flush(PATIENCE));
}

/// What `run` logs, in a file; `change` makes the configuration.
fn logged(change: impl FnOnce(&mut Global), run: impl FnOnce()) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("log");
    let mut configuration = to_file(&file);
    change(&mut configuration);
    let logs = Logs::new();
    logs.apply(&configuration).expect("applied");
    within(&logs, run);
    flush(&logs);
    std::fs::read_to_string(&file).expect("a log")
}

#[test]
fn a_line_for_people() {
    let text = logged(
        |_| {},
        || {
            tracing::info!(path = "cam", peer = %"192.0.2.1:5", readers = 3, lost = 0.5, late = true, "publishing {}", 1);
            tracing::debug!("not at this level");
            tracing::warn!(agent = "a b", none = "", quote = ?"x\"=y", "two");
        },
    );
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    let (time, rest) = lines[0].split_at("2026/11/20 20:15:03".len());
    assert!(jiff::civil::DateTime::strptime("%Y/%m/%d %H:%M:%S", time).is_ok(), "{time}");
    assert_eq!(rest, " INF publishing 1 path=cam peer=192.0.2.1:5 readers=3 lost=0.5 late=true");
    assert!(lines[1].ends_with(r#" WAR two agent="a b" none="" quote="x\"=y""#), "{}", lines[1]);
}

#[test]
fn a_line_of_json() {
    let text = logged(
        |configuration| configuration.log_structured = true,
        || tracing::error!(path = "c\"am", readers = 3, nan = f64::NAN, level = "x", debug = ?Some("y"), "gone"),
    );
    let mut read: Value = serde_json::from_str(text.trim_end()).expect("JSON");
    let time = read.as_object_mut().expect("an object").remove("time").expect("a time");
    assert!(time.as_str().is_some_and(|time| time.parse::<jiff::Timestamp>().is_ok() && time.ends_with('Z')));
    let expected = json!({"level": "error", "message": "gone", "path": "c\"am", "readers": 3, "nan": "NaN",
        "level_": "x", "debug": "Some(\"y\")"});
    assert_eq!(read, expected);
}

/// Line ends, escapes, the C1 set and marks that turn the direction, in the message and in values of every kind.
#[test]
fn nobody_forges_a_line_or_steers_a_terminal() {
    let attack = "cam\r\n2026/11/20 20:15:03 INF all is well\x1b[2J\u{9b}1m\u{85}\u{2028}\u{202e}\0\u{7f}";
    for structured in [false, true] {
        let text = logged(
            |configuration| configuration.log_structured = structured,
            || tracing::info!(a = attack, b = %attack, c = ?attack, d = ?[attack], "{attack}"),
        );
        let line = text.strip_suffix('\n').expect("a line");
        let bad = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}');
        assert_eq!(line.find(bad), None, "{line:?}");
        if structured {
            let read: Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(
                (&read["a"], &read["b"], &read["message"]),
                (&json!(attack), &json!(attack), &json!(attack))
            );
        }
    }
    // A value cannot pretend to be two.
    let text = logged(|_| {}, || tracing::info!(path = "a session=5", agent = "\" session=5 \"", "x"));
    assert!(text.ends_with("INF x path=\"a session=5\" agent=\"\\\" session=5 \\\"\"\n"), "{text}");
}

#[test]
fn a_giant_value_is_cut() {
    let giant = "é".repeat(1 << 20);
    for structured in [false, true] {
        let text = logged(
            |configuration| configuration.log_structured = structured,
            || tracing::info!(path = giant, other = giant, more = giant, "x"),
        );
        assert!(text.len() < 40_000 && text.ends_with('\n'), "{}", text.len());
        assert!(!structured || serde_json::from_str::<Value>(&text).is_ok_and(|read| read["cut"] == true));
    }
}

#[test]
fn level_and_format_change_at_run_time_without_a_lost_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (folder.path().join("1"), folder.path().join("2"));
    let logs = Logs::new();
    let mut configuration = to_file(&first);
    logs.apply(&configuration).expect("applied");
    within(&logs, || {
        for number in 0..300 {
            tracing::info!(number, "line");
            tracing::debug!("detail");
            let file = if number % 20 < 10 { &first } else { &second };
            file.to_str().expect("a text").clone_into(&mut configuration.log_file);
            configuration.log_structured = number % 3 == 0;
            configuration.log_level = if number < 150 { LogLevel::Info } else { LogLevel::Debug };
            configuration.log_buffer_lines = 1000 + number % 2;
            logs.apply(&configuration).expect("applied");
        }
    });
    flush(&logs);
    // Writers that were replaced end by themselves; their files are whole when all lines are there.
    let deadline = std::time::Instant::now() + PATIENCE;
    let count = |word: &str| -> usize {
        [&first, &second]
            .map(|file| std::fs::read_to_string(file).unwrap_or_default().matches(word).count())
            .iter()
            .sum()
    };
    while (count("line"), count("detail")) != (300, 149) {
        assert!(std::time::Instant::now() < deadline, "{} lines, {} details", count("line"), count("detail"));
        std::thread::yield_now();
    }
    assert_eq!(logs.dropped_lines(), 0);
}

#[test]
fn a_file_that_cannot_be_opened_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("log");
    let logs = Logs::new();
    logs.apply(&to_file(&file)).expect("applied");
    let error = logs.apply(&to_file(&folder.path().join("missing/log"))).expect_err("refused");
    assert!(error.to_string().starts_with("cannot log to /") && error.to_string().contains("missing/log"));
    within(&logs, || tracing::info!("still here"));
    flush(&logs);
    assert!(std::fs::read_to_string(&file).expect("a log").contains("still here"));
}

#[test]
fn other_peoples_chatter_is_left_out() {
    let text = logged(
        |configuration| configuration.log_level = LogLevel::Trace,
        || {
            tracing::debug!(target: "h2::codec", "authorization: Basic c2VjcmV0");
            tracing::info!(target: "h2::codec", "said");
            tracing::trace!("ours");
        },
    );
    assert!(!text.contains("secret") && !text.contains("c2VjcmV0"), "{text}");
    assert!(text.contains("INF said") && text.contains("TRA ours"), "{text}");
}

// ---- destinations ----

/// Logs with the one sink.
fn logs_to(sink: Sink, lines_max: usize) -> Logs {
    let logs = Logs::new();
    let writer = Writer::start(sink, lines_max, &logs.shared.dropped);
    logs.shared.outputs.store(Arc::new(Outputs { structured: false, writers: vec![Arc::new(writer)] }));
    logs
}

fn read(path: &PathBuf) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn a_rotated_file_is_opened_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, old) = (folder.path().join("log"), folder.path().join("log.1"));
    let asked = Arc::new(AtomicU64::new(0));
    // Told by a signal; noticed without one.
    for told in [true, false] {
        let sink = File::open(&file, Arc::clone(&asked)).expect("opened");
        let logs = logs_to(Sink::File(if told { sink } else { sink.looking_always() }), 10);
        within(&logs, || tracing::info!("first"));
        flush(&logs);
        std::fs::rename(&file, &old).expect("renamed");
        if told {
            asked.fetch_add(1, Ordering::Relaxed);
        }
        within(&logs, || tracing::info!("second"));
        flush(&logs);
        assert!(read(&old).contains("first") && !read(&old).contains("second"), "{told}");
        assert!(read(&file).contains("second") && !read(&file).contains("first"), "{told}");
        assert_eq!(logs.dropped_lines(), 0);
        std::fs::remove_file(&file).expect("removed");
    }
}

#[test]
fn syslog_by_datagram_with_severity_and_tag() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    let logs = logs_to(Sink::Syslog(Syslog::new(path.clone(), "media mtx:")), 10);
    // Nobody is there yet: the line is lost and counted.
    within(&logs, || tracing::info!("lost"));
    flush(&logs);
    assert_eq!(logs.dropped_lines(), 1);
    let logs = logs_to(Sink::Syslog(Syslog::new(path.clone(), "media mtx:")), 10);
    for (round, event) in ["a", "b"].into_iter().enumerate() {
        // In the second round it was restarted.
        let socket = UnixDatagram::bind(&path).expect("bound");
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        within(&logs, || tracing::error!(path = "cam\n", "{event}"));
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).expect("a message");
        let text = String::from_utf8(buffer[..length].to_vec()).expect("a text");
        let end = format!(" mediamtx[{}]: ERR {event} path=\"cam\\n\"", std::process::id());
        assert!(text.starts_with("<27>") && text.ends_with(&end), "{round}: {text}");
        assert_eq!(text.len(), "<27>Nov 20 20:15:03".len() + end.len());
        std::fs::remove_file(&path).expect("removed");
    }
    assert_eq!(logs.dropped_lines(), 0);
}

#[test]
fn syslog_by_stream() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    let listener = UnixListener::bind(&path).expect("bound");
    let logs = logs_to(Sink::Syslog(Syslog::new(path, "hw")), 10);
    within(&logs, || {
        tracing::warn!("one");
        tracing::info!("two");
    });
    flush(&logs);
    let (stream, _) = listener.accept().expect("connected");
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let (one, two) = (lines.next().expect("a line"), lines.next().expect("a line"));
    assert!(one.starts_with("<28>") && one.ends_with("WAR one"), "{one}");
    assert!(two.starts_with("<30>") && two.ends_with("INF two"), "{two}");
}

#[test]
fn a_stuck_destination_loses_lines_and_holds_up_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    // Listens, but never reads.
    let _stuck = UnixListener::bind(&path).expect("bound");
    let logs = logs_to(Sink::Syslog(Syslog::new(path, "hw")), 4);
    let giant = "x".repeat(8000);
    within(&logs, || {
        while logs.dropped_lines() == 0 {
            tracing::info!("{giant}");
        }
    });
}
