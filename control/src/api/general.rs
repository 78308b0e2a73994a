//! What the API tells of the server itself.

use super::page::json;
use super::{Shared, capabilities, elsewhere, ok, time};
use crate::http::answer::Failure;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
pub(super) struct Info {
    version: String,
    /// RFC 3339.
    started: String,
}

/// returns information about the instance.
#[utoipa::path(get, path = "/v3/info", operation_id = "info", tag = "General",
    responses((status = 200, description = "the request was successful.", body = Info)))]
pub(super) async fn info(State(api): Shared) -> Result<Response, Failure> {
    let version = format!("v{}", env!("CARGO_PKG_VERSION"));
    json(&Info { version, started: time::text(api.core.world.started()) })
}

/// Manually refreshes the JWT JWKS.
#[utoipa::path(post, path = "/v3/auth/jwks/refresh", operation_id = "authJwksRefresh", tag = "Authentication",
    responses((status = 200, description = "the request was successful.", body = super::openapi::OK)))]
pub(super) async fn refresh_jwks(State(api): Shared) -> Result<Response, Failure> {
    api.core.authority.refresh_jwks().await.map_err(Failure::internal)?;
    Ok(ok())
}

/// returns what the machine and its kernel offer, and the limits that bound the server.
#[utoipa::path(get, path = "/v3/capabilities", operation_id = "capabilities", tag = "General",
    responses((status = 200, description = "the request was successful.", body = capabilities::Capabilities)))]
pub(super) async fn capabilities(State(api): Shared) -> Result<Response, Failure> {
    let shards = api.core.engine.counters().len();
    json(&elsewhere(move || capabilities::gather(shards)).await?)
}
