//! Live paths, merged with those the configuration names and nobody publishes to.

use super::config;
use super::extract::{Fields, PathName, id};
use super::page::{Page, json};
use super::tracks::{self, PathTrack};
use super::{Shared, elsewhere, ok, time};
use crate::config::Configuration;
use crate::http::answer::Failure;
use crate::world::{Party, PathView};
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Path {
    name: String,
    conf_name: String,
    #[schema(deprecated)]
    ready: bool,
    #[schema(deprecated, required)]
    ready_time: Option<String>,
    available: bool,
    #[schema(required)]
    available_time: Option<String>,
    online: bool,
    #[schema(required)]
    online_time: Option<String>,
    #[schema(required)]
    source: Option<PathSource>,
    #[schema(deprecated, schema_with = super::openapi::codec_labels)]
    tracks: Vec<&'static str>,
    tracks2: Vec<PathTrack>,
    readers: Vec<PathReader>,
    inbound_bytes: u64,
    outbound_bytes: u64,
    inbound_frames_in_error: u64,
    #[schema(deprecated)]
    bytes_received: u64,
    #[schema(deprecated)]
    bytes_sent: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PathSource {
    #[schema(schema_with = super::openapi::source_type)]
    r#type: &'static str,
    id: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PathReader {
    #[schema(schema_with = super::openapi::reader_type)]
    r#type: &'static str,
    id: String,
}

/// A page of paths.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes `Listing` for the document")]
pub(super) struct PathList {
    item_count: u64,
    page_count: u64,
    items: Vec<Path>,
}

/// A page of forward destinations.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ForwardDestList {
    item_count: u64,
    page_count: u64,
    items: Vec<ForwardDest>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ForwardDest {
    #[schema(format = "uuid")]
    id: String,
    pos: u64,
    created: String,
    #[schema(schema_with = super::openapi::forward_target)]
    conf: serde_json::Value,
    protocol: String,
    state: String,
    last_error: String,
    outbound_bytes: u64,
}

/// returns all paths.
#[utoipa::path(get, path = "/v3/paths/list", operation_id = "pathsList", tag = "Paths",
    params(super::openapi::Paging, super::openapi::Search),
    responses((status = 200, description = "the request was successful.", body = PathList)))]
pub(super) async fn list(State(api): Shared, page: Page) -> Result<Response, Failure> {
    let list = move || {
        let configuration = api.core.configuration();
        let all = merge(
            api.core.world.paths(),
            config::exact_names(&configuration).filter(|name| page.wants(name)),
            |name| page.wants(name),
        );
        json(&page.of_list(all, |(name, view)| shown(&name, view.as_ref(), &configuration)))
    };
    elsewhere(list).await?
}

/// returns a path.
#[utoipa::path(get, path = "/v3/paths/get/{name}", operation_id = "pathsGet", tag = "Paths",
    params(super::openapi::PathNameParameter),
    responses((status = 200, description = "the request was successful.", body = Path)))]
pub(super) async fn one(State(api): Shared, PathName(name): PathName) -> Result<Response, Failure> {
    let configuration = api.core.configuration();
    let view = api.core.world.path(&name);
    if view.is_none() && !config::exact_names(&configuration).any(|exact| exact == name) {
        return Err(Failure::not_found("path not found"));
    }
    json(&shown(&name, view.as_ref(), &configuration))
}

/// ends the session that publishes to a path.
#[utoipa::path(post, path = "/v3/paths/kick/{name}", operation_id = "pathsKick", tag = "Paths",
    params(super::openapi::PathNameParameter),
    responses((status = 200, description = "the publisher is told to end.", body = super::openapi::OK)))]
pub(super) async fn kick(State(api): Shared, PathName(name): PathName) -> Result<Response, Failure> {
    let view = api.core.world.path(&name).ok_or_else(|| Failure::not_found("path not found"))?;
    let source = view.source.ok_or_else(|| Failure::not_found("nobody publishes to the path"))?;
    if !api.core.engine.kick_session(source.session) {
        return Err(Failure::unavailable("the publisher's shard has too much to do; try again"));
    }
    Ok(ok())
}

/// returns all forward destinations of a path.
#[utoipa::path(get, path = "/v3/paths/forward/list", operation_id = "pathsForwardList", tag = "Paths",
    params(super::openapi::PathField, super::openapi::Paging),
    responses((status = 200, description = "the request was successful.", body = ForwardDestList)))]
pub(super) async fn forwards(State(api): Shared, fields: Fields) -> Result<Response, Failure> {
    let (name, page) = (fields.path()?, Page::of(&fields)?);
    let configured = api.core.configuration().paths.contains_key(name);
    if !configured && api.core.world.path(name).is_none() {
        return Err(Failure::not_found("path not found"));
    }
    // Nothing is forwarded yet.
    json(&page.of_list(Vec::<ForwardDest>::new(), |forward| forward))
}

/// returns a forward destination.
#[utoipa::path(get, path = "/v3/paths/forward/get", operation_id = "pathsForwardGet", tag = "Paths",
    params(super::openapi::PathField, super::openapi::IdField),
    responses((status = 200, description = "the request was successful.", body = ForwardDest)))]
pub(super) async fn forward(fields: Fields) -> Result<Response, Failure> {
    fields.path()?;
    let text = fields.get("id").ok_or_else(|| Failure::bad_request("the query needs id=ID"))?;
    id(text)?;
    Err(Failure::not_found("path or forward destination not found"))
}

/// Live and configured paths by name, each once.
fn merge<'a>(
    live: Vec<PathView>,
    configured: impl Iterator<Item = &'a str>,
    wanted: impl Fn(&str) -> bool,
) -> Vec<(String, Option<PathView>)> {
    let mut all: BTreeMap<String, Option<PathView>> =
        configured.map(|name| (name.to_owned(), None)).collect();
    for view in live.into_iter().filter(|view| wanted(&view.name)) {
        all.insert(view.name.to_string(), Some(view));
    }
    all.into_iter().collect()
}

/// A path as the API shows it; without a view it is one that only the configuration knows.
fn shown(name: &str, view: Option<&PathView>, configuration: &Configuration) -> Path {
    let available = view.map(|view| time::text(view.available));
    let online = view.and_then(|view| view.online).map(time::text);
    let (inbound_bytes, outbound_bytes) =
        view.map_or((0, 0), |view| (view.inbound_bytes, view.outbound_bytes));
    let tracks = view.map_or(&[][..], |view| &view.tracks);
    Path {
        name: name.to_owned(),
        conf_name: config::name_for(configuration, name).to_owned(),
        ready: view.is_some(),
        ready_time: available.clone(),
        available: view.is_some(),
        available_time: available,
        online: online.is_some(),
        online_time: online,
        source: view
            .and_then(|view| view.source.as_ref())
            .map(|Party { kind, id, .. }| PathSource { r#type: kind, id: id.to_string() }),
        tracks: tracks.iter().map(|track| tracks::label(&track.codec)).collect(),
        tracks2: tracks.iter().map(tracks::shown).collect(),
        readers: view
            .iter()
            .flat_map(|view| &view.readers)
            .map(|Party { kind, id, .. }| PathReader { r#type: kind, id: id.to_string() })
            .collect(),
        inbound_bytes,
        outbound_bytes,
        inbound_frames_in_error: view.map_or(0, |view| view.inbound_frames_in_error),
        bytes_received: inbound_bytes,
        bytes_sent: outbound_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PathChange;
    use serde_json::json;
    use std::time::SystemTime;

    fn configuration(names: &[&str]) -> Configuration {
        names.iter().fold(Configuration::default(), |configuration, name| {
            configuration.change_path(name, PathChange::Add(&json!({}))).unwrap()
        })
    }

    fn live(name: &str) -> PathView {
        let id = "00000000-0000-8000-8000-000000000001".parse().unwrap();
        PathView {
            name: name.into(),
            available: SystemTime::UNIX_EPOCH,
            online: None,
            source: Some(Party { kind: "rtspSession", id, session: id }),
            tracks: Vec::new(),
            readers: Vec::new(),
            inbound_bytes: 5,
            inbound_frames_in_error: 1,
            outbound_bytes: 9,
            log_bytes: 0,
        }
    }

    #[test]
    fn a_configured_path_that_nobody_publishes_to_is_shown_as_not_ready() {
        let configuration = configuration(&["cam"]);
        let path = serde_json::to_value(shown("cam", None, &configuration)).unwrap();
        let expected = json!({
            "name": "cam", "confName": "cam", "ready": false, "readyTime": null, "available": false,
            "availableTime": null, "online": false, "onlineTime": null, "source": null, "tracks": [],
            "tracks2": [], "readers": [], "inboundBytes": 0, "outboundBytes": 0, "inboundFramesInError": 0,
            "bytesReceived": 0, "bytesSent": 0,
        });
        assert_eq!(path, expected);
    }

    #[test]
    fn a_live_path_shows_its_source_and_counts() {
        let configuration = configuration(&["all_others", "~^cam"]);
        let path = serde_json::to_value(shown("cam1", Some(&live("cam1")), &configuration));
        let path = path.unwrap();
        assert_eq!(path["confName"], "~^cam");
        assert_eq!(path["source"]["type"], "rtspSession");
        assert_eq!((path["available"].as_bool(), path["online"].as_bool()), (Some(true), Some(false)));
        assert_eq!((&path["inboundBytes"], &path["bytesReceived"]), (&json!(5), &json!(5)));
    }

    #[test]
    fn live_and_configured_paths_are_merged_in_order() {
        let names = |all: Vec<(String, Option<PathView>)>| -> Vec<(String, bool)> {
            all.into_iter().map(|(name, view)| (name, view.is_some())).collect()
        };
        let merged = merge(vec![live("b"), live("a")], ["b", "c"].into_iter(), |_| true);
        let expected = [("a", true), ("b", true), ("c", false)];
        assert_eq!(names(merged), expected.map(|(name, live)| (name.to_owned(), live)));
    }
}
