//! Metrics for Prometheus: `GET /metrics`.
//!
//! MediaMTX's families with their names and labels beside our own `headwater_…` and `process_…` ones, chosen by the
//! query as there ([`filter`]). A scrape takes the live world's records (Arc clones) and renders them on a blocking
//! thread: neither a shard nor the control thread waits for it. At most [`RENDERS_MAX`] are rendered at a time.

mod absent;
mod control;
#[cfg(test)]
mod dashboard_tests;
mod engine;
mod filter;
mod http;
mod mediamtx;
mod page;
mod process;
mod protocols;
mod snapshot;
#[cfg(test)]
mod tests;

pub(crate) use control::ReloadCounters;
pub(crate) use page::Page;

use crate::core::Core;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use control::Figures;
use filter::Filter;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::ControlPort;
use page::gauge_sample;
use snapshot::{PathLine, Snapshot};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Pages rendered at once. One with 10,000 paths and 10,000 sessions takes some 50 MB while it is made and sent.
const RENDERS_MAX: usize = 2;
/// Scrapes that render or wait; more are refused.
const SCRAPES_MAX: usize = 8;
/// A scrape that waits longer is refused: the scraper has given up by then (Prometheus' default is 10 s).
const WAIT_MAX: Duration = Duration::from_secs(8);
/// Answers shorter than this are not worth compressing.
const COMPRESS_FROM: usize = 1400;

/// Produces families, on a blocking thread.
pub(crate) type Source = Box<dyn Fn(&mut Page) + Send + Sync>;

/// Everything of our own that a scrape shows, in its order.
fn sources(core: &Arc<Core>) -> Vec<Source> {
    let (engine, control, ports) = (Arc::clone(core), Arc::clone(core), Arc::clone(core));
    vec![
        Box::new(move |page| engine::write(page, engine.engine.counters())),
        Box::new(move |page| control::write(page, &Figures::of(&control))),
        Box::new(move |page| {
            let ports: Vec<_> = ports.http_counters.iter().map(|port| ControlPort::of(port)).collect();
            http::write(page, &ports);
        }),
        Box::new(process::write),
    ]
}

/// What `GET /metrics` needs.
struct Scraper {
    snapshot: Box<dyn Fn() -> Snapshot + Send + Sync>,
    sources: Vec<Source>,
    /// Scrapes that render or wait.
    admitted: Arc<Semaphore>,
    rendering: Arc<Semaphore>,
    wait_max: Duration,
}

/// Serves `GET /metrics`. Whoever mounts it adds authorization.
pub(crate) fn router(core: Arc<Core>) -> Router {
    let sources = sources(&core);
    Scraper::new(Box::new(move || Snapshot::of(&core)), sources).router()
}

impl Scraper {
    fn new(snapshot: Box<dyn Fn() -> Snapshot + Send + Sync>, sources: Vec<Source>) -> Scraper {
        Scraper {
            snapshot,
            sources,
            admitted: Arc::new(Semaphore::new(SCRAPES_MAX)),
            rendering: Arc::new(Semaphore::new(RENDERS_MAX)),
            wait_max: WAIT_MAX,
        }
    }

    fn router(self) -> Router {
        Router::new().route("/metrics", get(scrape)).with_state(Arc::new(self))
    }

    fn render(&self, filter: &Filter) -> Vec<u8> {
        let mut page = Page::default();
        let snapshot = (self.snapshot)();
        mediamtx::write(&mut page, filter, &snapshot);
        if filter.wants_own() {
            write_paths(&mut page, &snapshot.paths);
            protocols::write(&mut page, &snapshot);
            for source in &self.sources {
                source(&mut page);
            }
        }
        page.into_bytes()
    }
}

async fn scrape(
    State(scraper): State<Arc<Scraper>>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    let filter = match Filter::of_query(&query) {
        Ok(filter) => filter,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    let Ok(admitted) = Arc::clone(&scraper.admitted).try_acquire_owned() else {
        return busy();
    };
    let rendering = Arc::clone(&scraper.rendering).acquire_owned();
    let Ok(Ok(rendering)) = tokio::time::timeout(scraper.wait_max, rendering).await else {
        return busy();
    };
    let compressed = accepts_gzip(&headers);
    let rendered = tokio::task::spawn_blocking(move || {
        // Held here: a scraper that hangs up does not make room for one more thread.
        let _permits = (admitted, rendering);
        let text = scraper.render(&filter);
        if compressed && text.len() >= COMPRESS_FROM { (gzip(&text), true) } else { (Some(text), false) }
    });
    let Ok((Some(body), compressed)) = rendered.await else {
        tracing::error!("a scrape of the metrics failed: it could not be rendered");
        return (StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be rendered\n").into_response();
    };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if compressed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn busy() -> Response {
    let message = "too many scrapes at once; try again, or scrape less often\n";
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], message).into_response()
}

/// Whether the scraper takes gzip: named, and not with the weight zero.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.trim().parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_none_or(|weight| weight > 0.0)
    })
}

/// Compressed here and not by a layer, which would do it on the control thread.
fn gzip(text: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 10), Compression::fast());
    encoder.write_all(text).ok()?;
    encoder.finish().ok()
}

/// What MediaMTX's families do not tell of a path.
fn write_paths(page: &mut Page, paths: &[PathLine]) {
    let live = paths.iter().filter(|path| path.ready);
    let samples = live.map(|path| gauge_sample(&[("path", &*path.name)], path.log_bytes as f64)).collect();
    page.gauges(
        "headwater_path_log_bytes",
        "Bytes of recent media held for the path, on all shards.",
        samples,
    );
}
