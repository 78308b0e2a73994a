//! Profiling under `/debug/pprof/`, in the shape that `go tool pprof` knows: CPU and heap profiles, what the shards are
//! doing, and traces.
//!
//! A recording is bounded in time and in memory, there is one of each kind at a time, and it ends when its client hangs
//! up. Looking up names is done on blocking threads. Authorization is added by whoever mounts the router.

mod allocator;
mod cpu;
mod heap;
mod sampler;
mod tasks;
mod trace;

use crate::core::Core;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Json, Redirect, Response};
use axum::routing::get;
use cpu::Recorded;
use heap::{HeapError, HeapRecording};
pub(crate) use sampler::thread_label;
use sampler::{Recording, StartError};
use std::fmt::Write;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Semaphore;

const INDEX: &str = include_str!("index.html");
/// Recordings of CPU and heap.
const SECONDS: RangeInclusive<u64> = 1..=300;
/// A shard keeps so many spans that a longer trace has only its end.
const TRACE_SECONDS: RangeInclusive<u64> = 1..=60;
/// Samples per second of CPU time; the kernel's clock makes no more than 250 on many machines.
const HZ: RangeInclusive<u64> = 1..=250;
/// An odd default, so that it does not keep step with work done every 10 ms.
const HZ_DEFAULT: u64 = 99;
/// What `symbol` is sent, some 3,000 addresses.
const SYMBOL_BYTES_MAX: usize = 64 * 1024;

type QueryPairs = Query<Vec<(String, String)>>;

/// Serves everything under `/debug/pprof/`. A recording answers when it is over, after 300 s at most: a timeout around
/// this router must be longer.
pub(crate) fn router(core: Arc<Core>) -> Router {
    let live = Router::new()
        .route("/debug/pprof/tasks", get(tasks_now))
        .route("/debug/pprof/trace", get(trace_spans))
        .with_state(Live { core, tracing: Arc::new(Semaphore::new(1)) });
    live.merge(of_process())
}

/// What needs no engine.
fn of_process() -> Router {
    Router::new()
        .route("/debug/pprof", get(async || Redirect::permanent("/debug/pprof/")))
        .route("/debug/pprof/", get(async || Html(INDEX)))
        .route("/debug/pprof/profile", get(profile))
        .route("/debug/pprof/flamegraph", get(flame_graph))
        .route("/debug/pprof/heap", get(heap_profile))
        .route("/debug/pprof/allocs", get(heap_profile))
        .route("/debug/pprof/cmdline", get(command_line))
        .route("/debug/pprof/symbol", get(async || "num_symbols: 1\n").post(symbol))
        .layer(DefaultBodyLimit::max(SYMBOL_BYTES_MAX))
}

#[derive(Clone)]
struct Live {
    core: Arc<Core>,
    /// One permit, for the one trace at a time.
    tracing: Arc<Semaphore>,
}

/// An answer other than the one asked for.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, format!("{}\n", self.1)).into_response()
    }
}

impl From<StartError> for Refusal {
    fn from(error: StartError) -> Refusal {
        let status = match error {
            StartError::Busy => StatusCode::CONFLICT,
            StartError::Refused(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Refusal(status, error.to_string())
    }
}

impl From<HeapError> for Refusal {
    fn from(error: HeapError) -> Refusal {
        let status = match error {
            HeapError::Busy => StatusCode::CONFLICT,
            HeapError::Unavailable => StatusCode::NOT_IMPLEMENTED,
            HeapError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refusal(status, error.to_string())
    }
}

/// A whole number of the query.
fn number(query: &QueryPairs, key: &str, default: u64, range: RangeInclusive<u64>) -> Result<u64, Refusal> {
    let Some((_, value)) = query.iter().find(|(name, _)| name == key) else { return Ok(default) };
    value.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
        let text = format!("{key} must be a whole number from {} to {}", range.start(), range.end());
        Refusal(StatusCode::BAD_REQUEST, text)
    })
}

/// Whether a form other than the usual one is asked for.
fn wants(query: &QueryPairs, format: &str) -> bool {
    query.iter().any(|(key, value)| key == "format" && value == format)
}

async fn profile(query: QueryPairs) -> Result<Response, Refusal> {
    record_cpu(&query, wants(&query, "svg")).await
}

async fn flame_graph(query: QueryPairs) -> Result<Response, Refusal> {
    record_cpu(&query, true).await
}

async fn record_cpu(query: &QueryPairs, svg: bool) -> Result<Response, Refusal> {
    let seconds = number(query, "seconds", 30, SECONDS)?;
    let hz = number(query, "hz", HZ_DEFAULT, HZ)? as u32;
    let start = SystemTime::now();
    // The first one makes room for the samples.
    let recording = blocking(move || Recording::start(hz)).await??;
    let duration = Duration::from_secs(seconds);
    tokio::time::sleep(duration).await;
    let recorded = Recorded { hz, start, duration };
    let drawn = blocking(move || {
        let samples = recording.finish();
        if samples.dropped > 0 {
            let dropped = samples.dropped;
            tracing::warn!(
                "the CPU profile lacks its last {dropped} samples: record for less time or with less hz"
            );
        }
        if svg { cpu::flame_graph(samples, recorded) } else { cpu::protobuf(samples, recorded) }
    });
    let bytes = drawn.await?.map_err(|error| Refusal(StatusCode::SERVICE_UNAVAILABLE, error))?;
    Ok(if svg { image(bytes) } else { file("profile", bytes) })
}

/// What was allocated during `seconds` and is still in use.
async fn heap_profile(query: QueryPairs) -> Result<Response, Refusal> {
    let seconds = number(&query, "seconds", 10, SECONDS)?;
    let svg = wants(&query, "svg");
    let recording = HeapRecording::start()?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let drawn = blocking(move || if svg { recording.flame_graph() } else { recording.protobuf() });
    let bytes = drawn.await??;
    Ok(if svg { image(bytes) } else { file("heap", bytes) })
}

/// Runs what takes long where it disturbs nobody.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!("a profile failed: {error}");
        Refusal(StatusCode::INTERNAL_SERVER_ERROR, "the profile could not be made; see the log".to_owned())
    })
}

fn image(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "image/svg+xml"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], bytes)
        .into_response()
}

fn file(name: &str, bytes: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    (headers, bytes).into_response()
}

/// The process's arguments, separated by NUL as Go does it, without what is secret in them.
async fn command_line() -> String {
    redacted(std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()))
}

fn redacted(arguments: impl Iterator<Item = String>) -> String {
    let key = |setting: &str| format!("{}=<redacted>", setting.split('=').next().unwrap_or_default());
    let mut set = false;
    let shown = arguments.map(|argument| {
        if std::mem::replace(&mut set, argument == "--set") {
            return key(&argument);
        }
        match argument.strip_prefix("--set=") {
            Some(setting) => format!("--set={}", key(setting)),
            None => argument,
        }
    });
    shown.collect::<Vec<_>>().join("\0")
}

/// Names for addresses, as `go tool pprof` asks: `0x1f+0x2e` in the body, a line for each that has a name.
async fn symbol(body: Bytes) -> Result<String, Refusal> {
    blocking(move || {
        let mut text = String::from("num_symbols: 1\n");
        for address in String::from_utf8_lossy(&body).split('+') {
            let digits = address.trim().trim_start_matches("0x");
            if let Some(name) = usize::from_str_radix(digits, 16).ok().and_then(cpu::name_at) {
                let _ = writeln!(text, "0x{digits}\t{name}");
            }
        }
        text
    })
    .await
}

async fn tasks_now(State(live): State<Live>, query: QueryPairs) -> Response {
    let engine = &live.core.engine;
    let (activities, counters) = (engine.activities(), engine.counters());
    if wants(&query, "json") {
        Json(tasks::json(&activities, counters)).into_response()
    } else {
        tasks::text(&activities, counters).into_response()
    }
}

/// Spans are recorded while this lives.
struct Tracing(Arc<Core>);

impl Drop for Tracing {
    fn drop(&mut self) {
        self.0.engine.record_spans(false);
        drop(self.0.engine.take_spans());
    }
}

async fn trace_spans(State(live): State<Live>, query: QueryPairs) -> Result<Response, Refusal> {
    let seconds = number(&query, "seconds", 1, TRACE_SECONDS)?;
    let permit = Arc::clone(&live.tracing).try_acquire_owned().map_err(|_| {
        Refusal(
            StatusCode::CONFLICT,
            "a trace is being recorded already; try again when it has ended".to_owned(),
        )
    })?;
    live.core.engine.record_spans(true);
    let tracing = Tracing(live.core);
    let control = trace::watch_control(Duration::from_secs(seconds)).await;
    let drawn = blocking(move || {
        let spans = tracing.0.engine.take_spans();
        drop((tracing, permit));
        trace::json(&spans, &control)
    });
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"headwater-trace.json\""),
    ];
    Ok((headers, drawn.await?).into_response())
}

#[cfg(test)]
mod tests;
