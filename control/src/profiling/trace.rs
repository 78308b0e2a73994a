//! Traces: what each shard did, phase by phase, and when the control core was busy, as Chrome's trace-event JSON, which
//! ui.perfetto.dev and chrome://tracing open.

use headwater_engine::records::{Phase, Span};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// The row of the control core; shards have their number and one more, as 0 is no thread there.
const CONTROL_ROW: usize = 1000;
/// The control core looks at the clock this often.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// It was busy when it looks this much too late; the timer itself is exact to a millisecond.
const LATE: Duration = Duration::from_millis(2);
/// Busy spans kept.
const BUSY_MAX: usize = 65_536;

/// When the control core was busy, told by how late its timer is: (start, length) since the watch began.
pub(crate) struct ControlWatch {
    pub(crate) busy: Vec<(Duration, Duration)>,
    pub(crate) length: Duration,
}

/// Watches the control core's thread for `time`. Runs on it.
pub(crate) async fn watch_control(time: Duration) -> ControlWatch {
    let start = Instant::now();
    let mut busy = Vec::new();
    while start.elapsed() < time {
        let due = start.elapsed() + LOOK_EVERY;
        tokio::time::sleep(LOOK_EVERY).await;
        let late = start.elapsed().saturating_sub(due);
        if late > LATE && busy.len() < BUSY_MAX {
            busy.push((due, late));
        }
    }
    ControlWatch { busy, length: start.elapsed() }
}

/// The whole trace. The shards' clock begins with the engine, the watch's with the recording: their ends are laid on
/// each other, which is exact to about one turn.
pub(crate) fn json(spans: &[Span], control: &ControlWatch) -> String {
    let mut text = String::with_capacity(100 * spans.len() + 4096);
    text.push_str("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
    let shards: BTreeSet<u8> = spans.iter().map(|span| span.shard).collect();
    let rows = shards.iter().map(|shard| (usize::from(*shard) + 1, format!("shard-{shard}")));
    let metadata = [("process_name", 0, "headwater".to_owned())]
        .into_iter()
        .chain(rows.map(|(row, name)| ("thread_name", row, name)))
        .chain([("thread_name", CONTROL_ROW, "control".to_owned())]);
    let mut separator = "";
    for (kind, row, name) in metadata {
        let _ = write!(
            text,
            "{separator}{{\"ph\":\"M\",\"pid\":1,\"tid\":{row},\"name\":\"{kind}\",\"args\":{{\"name\":\"{name}\"}}}}"
        );
        separator = ",\n";
    }
    let mut event = |row: usize, category: &str, name: &str, start: Duration, length: Duration| {
        let (start, length) = (start.as_nanos() as f64 / 1e3, length.as_nanos() as f64 / 1e3);
        let _ = write!(
            text,
            ",\n{{\"ph\":\"X\",\"pid\":1,\"tid\":{row},\"cat\":\"{category}\",\"name\":\"{name}\",\"ts\":{start},\"dur\":{length}}}"
        );
    };
    for span in spans {
        let category = if span.phase == Phase::Sleep { "idle" } else { "work" };
        event(usize::from(span.shard) + 1, category, span.phase.name(), span.start, span.length);
    }
    let end = spans.iter().map(|span| span.start + span.length).max().unwrap_or(control.length);
    let shift = end.saturating_sub(control.length);
    for (start, length) in &control.busy {
        event(CONTROL_ROW, "work", "busy", shift + *start, *length);
    }
    text.push_str("\n]}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn each_shard_has_a_row_and_each_phase_a_span() {
        let span = |shard, phase, start, length| Span {
            shard,
            phase,
            start: Duration::from_micros(start),
            length: Duration::from_nanos(length),
        };
        let spans = [span(0, Phase::Sleep, 100, 2000), span(1, Phase::Flush, 1000, 500)];
        let busy = vec![(Duration::from_micros(10), Duration::from_micros(3))];
        let control = ControlWatch { busy, length: Duration::from_micros(100) };
        let trace: Value = serde_json::from_str(&json(&spans, &control)).expect("JSON");
        let events = trace["traceEvents"].as_array().expect("events");
        let row_of = |name: &str| {
            let of = |event: &&Value| event["ph"] == "M" && event["args"]["name"] == name;
            events.iter().find(of).expect("a row")["tid"].clone()
        };
        let flush = events.iter().find(|event| event["name"] == "flush").expect("a span");
        assert_eq!(flush["tid"], row_of("shard-1"));
        assert_eq!((flush["ts"].as_f64(), flush["dur"].as_f64()), (Some(1000.0), Some(0.5)));
        let busy = events.iter().find(|event| event["name"] == "busy").expect("a span");
        assert_eq!(busy["tid"], row_of("control"));
        assert_eq!(busy["ts"].as_f64(), Some(1000.5 - 100.0 + 10.0));
    }

    #[test]
    fn a_trace_without_spans_is_still_one() {
        let control = ControlWatch { busy: Vec::new(), length: Duration::ZERO };
        assert!(serde_json::from_str::<Value>(&json(&[], &control)).is_ok());
    }

    #[tokio::test]
    async fn a_blocked_control_core_shows_as_busy() {
        let watch = tokio::spawn(watch_control(Duration::from_millis(60)));
        tokio::task::yield_now().await;
        // What must not happen on the control thread happens here.
        std::thread::sleep(Duration::from_millis(50));
        let watch = watch.await.expect("a watch");
        let longest = watch.busy.iter().map(|(_, length)| *length).max().expect("busy");
        assert!(longest > Duration::from_millis(30), "{longest:?}");
    }
}
