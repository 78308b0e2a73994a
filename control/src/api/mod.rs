//! The control API: `/v3` as MediaMTX has it (`reference/mediamtx-api.openapi.yaml`), and what we add under the same root.
//!
//! ```text
//! general        info, key set, capabilities, the document  ├── health   alive, ready
//! configuration  configuration endpoints, over `config`     ├── reload   state of the file, reload
//! paths          live paths                                 ├── tracks, sps  what is told of a track
//! sessions       RTSP connections and sessions              ├── events   server-sent events
//! rtmp           RTMP connections                           ├── hls      what is served over HTTP
//! openapi        the document, made from the code           └── docs     a page that shows it
//! ```
//! Handlers turn views of the world into JSON with pure functions; nothing here asks a shard. Work that grows with the
//! number of paths is done on other threads ([`elsewhere`]).

mod capabilities;
mod conf_schema;
mod config;
mod configuration;
mod docs;
mod events;
mod extract;
mod general;
mod health;
pub(crate) mod hls;
mod names;
mod openapi;
mod page;
mod paths;
pub(crate) mod reload;
mod rtmp;
mod served;
mod sessions;
mod sps;
#[cfg(test)]
mod tests;
pub(crate) mod time;
pub(crate) mod tracks;

pub(crate) use sessions::state_word;

use crate::core::Core;
use crate::http::answer::{Failure, json_response};
use crate::http::gate::Gate;
use crate::http::limits;
use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::routing::{delete, get, patch, post};
use headwater_engine::records::Protocol;
use reload::ReloadStatus;
use std::sync::{Arc, LazyLock};
use tokio::sync::Semaphore;

/// What the handlers share.
pub(crate) struct Api {
    core: Arc<Core>,
    reload: Arc<ArcSwap<ReloadStatus>>,
    listeners: Arc<Semaphore>,
}

type Shared = axum::extract::State<Arc<Api>>;

impl Api {
    /// `reload` is kept up to date by whoever reloads the configuration.
    pub(crate) fn new(core: Arc<Core>, reload: Arc<ArcSwap<ReloadStatus>>) -> Api {
        let listeners = Arc::new(Semaphore::new(events::LISTENERS_MAX));
        Api { core, reload, listeners }
    }
}

/// The routes of the API; all but health and readiness behind the gate.
pub(crate) fn router(api: Api, gate: &Gate) -> Router {
    let open = Router::new().route("/v3/health", get(health::health)).route("/v3/ready", get(health::ready));
    let closed = general_routes().merge(configuration_routes()).merge(live_routes());
    let api = Arc::new(api);
    let open: Router = finish(open).with_state(Arc::clone(&api));
    let closed: Router = finish(closed).fallback(unknown_route).with_state(api);
    gate.require(closed).merge(open).layer(DefaultBodyLimit::max(limits::BODY_BYTES_MAX))
}

fn finish(router: Router<Arc<Api>>) -> Router<Arc<Api>> {
    router.method_not_allowed_fallback(wrong_method)
}

fn general_routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/", get(docs::home))
        .route("/docs", get(docs::page))
        .route("/docs/page.js", get(docs::script))
        .route("/docs/page.css", get(docs::style))
        .route("/v3/openapi.json", get(openapi::serve))
        .route("/v3/info", get(general::info))
        .route("/v3/auth/jwks/refresh", post(general::refresh_jwks))
        .route("/v3/capabilities", get(general::capabilities))
        .route("/v3/events", get(events::events))
}

fn configuration_routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/v3/config/global/get", get(configuration::global))
        .route("/v3/config/global/patch", patch(configuration::patch_global))
        .route("/v3/config/pathdefaults/get", get(configuration::path_defaults))
        .route("/v3/config/pathdefaults/patch", patch(configuration::patch_path_defaults))
        .route("/v3/config/paths/list", get(configuration::paths))
        .route("/v3/config/paths/bulk", post(configuration::bulk))
        .route("/v3/config/paths/get/", get(configuration::path))
        .route("/v3/config/paths/get/{*name}", get(configuration::path))
        .route("/v3/config/paths/add/", post(configuration::add_path))
        .route("/v3/config/paths/add/{*name}", post(configuration::add_path))
        .route("/v3/config/paths/patch/", patch(configuration::patch_path))
        .route("/v3/config/paths/patch/{*name}", patch(configuration::patch_path))
        .route("/v3/config/paths/replace/", post(configuration::replace_path))
        .route("/v3/config/paths/replace/{*name}", post(configuration::replace_path))
        .route("/v3/config/paths/delete/", delete(configuration::delete_path))
        .route("/v3/config/paths/delete/{*name}", delete(configuration::delete_path))
        .route("/v3/config/status", get(reload::status))
        .route("/v3/config/reload", post(reload::reload))
}

fn live_routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/v3/paths/list", get(paths::list))
        .route("/v3/paths/get/", get(paths::one))
        .route("/v3/paths/get/{*name}", get(paths::one))
        .route("/v3/paths/kick/", post(paths::kick))
        .route("/v3/paths/kick/{*name}", post(paths::kick))
        .route("/v3/paths/forward/list", get(paths::forwards))
        .route("/v3/paths/forward/get", get(paths::forward))
        .merge(http_routes())
        .merge(rtsp_routes())
        .merge(rtmp_routes())
}

fn http_routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/v3/hlsmuxers/list", get(hls::muxers))
        .route("/v3/hlsmuxers/get/", get(hls::muxer))
        .route("/v3/hlsmuxers/get/{*name}", get(hls::muxer))
        .route("/v3/hlssessions/list", get(hls::sessions))
        .route("/v3/hlssessions/get/{id}", get(hls::session))
        .route("/v3/hlssessions/kick/{id}", post(hls::kick))
        .route("/v3/httpsessions/list", get(hls::streams))
        .route("/v3/httpsessions/get/{id}", get(hls::stream))
        .route("/v3/httpsessions/kick/{id}", post(hls::kick_stream))
}

fn rtsp_routes() -> Router<Arc<Api>> {
    let mut router = Router::new();
    for protocol in [Protocol::Rtsp, Protocol::Rtsps] {
        let name = protocol.name();
        router = router
            .route(
                &format!("/v3/{name}conns/list"),
                get(move |shared, page| sessions::connections(protocol, shared, page)),
            )
            .route(
                &format!("/v3/{name}conns/get/{{id}}"),
                get(move |shared, id| sessions::connection(protocol, shared, id)),
            )
            .route(
                &format!("/v3/{name}sessions/list"),
                get(move |shared, page| sessions::sessions(protocol, shared, page)),
            )
            .route(
                &format!("/v3/{name}sessions/get/{{id}}"),
                get(move |shared, id| sessions::session(protocol, shared, id)),
            )
            .route(
                &format!("/v3/{name}sessions/kick/{{id}}"),
                post(move |shared, id| sessions::kick(protocol, shared, id)),
            );
    }
    router
}

fn rtmp_routes() -> Router<Arc<Api>> {
    let mut router = Router::new();
    for protocol in [Protocol::Rtmp, Protocol::Rtmps] {
        let group = format!("/v3/{}conns", protocol.name());
        router = router
            .route(
                &format!("{group}/list"),
                get(move |shared, page| rtmp::connections(protocol, shared, page)),
            )
            .route(
                &format!("{group}/get/{{id}}"),
                get(move |shared, id| rtmp::connection(protocol, shared, id)),
            )
            .route(&format!("{group}/kick/{{id}}"), post(move |shared, id| rtmp::kick(protocol, shared, id)));
    }
    router
}

/// Also what the lists of a protocol without a server answer.
async fn unknown_route(uri: Uri) -> Failure {
    Failure::not_found(format!("there is nothing at {}", uri.path()))
}

async fn wrong_method() -> Failure {
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "this method is not allowed here; see the Allow header")
}

/// What a change that succeeded answers.
fn ok() -> Response {
    json_response(StatusCode::OK, r#"{"status":"ok"}"#)
}

/// Slow requests that are worked on at once; the others wait.
const LISTS_AT_ONCE: usize = 4;

/// Does slow work on another thread.
async fn elsewhere<T, F>(work: F) -> Result<T, Failure>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    // Lists of thousands of paths take tens of MiB while they are made.
    static PLACES: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(LISTS_AT_ONCE));
    let _place = PLACES.acquire().await;
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::internal(format!("the request failed: {error}; please report this")))
}
