//! The OpenAPI document: schemas and operations from the code (utoipa), and what holds for all of them added here.
//!
//! Added: the answers every operation may give, the twins of the RTSP and RTMP groups over TLS, and the configuration's schemas,
//! which follow from its defaults ([`super::conf_schema`]). The document is made once.

use super::{conf_schema, elsewhere, events, hls, names, tracks};
use crate::config::values::HlsVariant;
use crate::http::answer::{Failure, json_response};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};
use std::sync::OnceLock;
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType};
use utoipa::openapi::{RefOr, Schema, Type};
use utoipa::{IntoParams, OpenApi, ToSchema};

/// What a change that succeeded answers.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes `ok()` for the document")]
pub(super) struct OK {
    #[schema(schema_with = ok_status)]
    status: &'static str,
}

/// What went wrong.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes `Failure` for the document")]
pub(super) struct Error {
    #[schema(schema_with = error_status)]
    status: &'static str,
    error: String,
    /// Of an operation on several things: what is wrong with each.
    #[schema(required = false)]
    errors: std::collections::BTreeMap<String, String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes `Page` for the document")]
pub(super) struct Paging {
    /// page number.
    #[param(required = false, minimum = 0, maximum = 2147483647, default = 0)]
    page: u32,
    /// items per page.
    #[param(rename = "itemsPerPage", required = false, minimum = 1, maximum = 2147483647, default = 100)]
    items_per_page: u32,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes `Page` for the document")]
pub(super) struct Search {
    /// only what has this in its name.
    #[param(required = false, max_length = 256)]
    search: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes `ConfigurationName` for the document")]
pub(super) struct NameParameter {
    /// the name of the path; or ~ and a regular expression, or all_others.
    #[param(schema_with = configured_name)]
    name: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes `PathName` for the document")]
pub(super) struct PathNameParameter {
    /// the name of the path.
    #[param(schema_with = path_name)]
    name: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes `TheId` for the document")]
pub(super) struct IdParameter {
    /// the id.
    #[param(schema_with = uuid)]
    id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes `Fields::path` for the document")]
pub(super) struct PathField {
    /// name of the path.
    #[param(schema_with = path_name)]
    path: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes a field for the document")]
pub(super) struct IdField {
    /// ID of the forward destination.
    #[param(schema_with = uuid)]
    id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes a field for the document")]
pub(super) struct EventTypes {
    /// only events of these types, separated by commas.
    #[param(required = false, schema_with = event_types)]
    r#type: String,
}

fn words(words: &[&str]) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words.iter().copied())).build()
}

fn ok_status() -> Object {
    words(&["ok"])
}

fn error_status() -> Object {
    words(&["error"])
}

pub(super) fn session_state() -> Object {
    words(&["idle", "read", "publish"])
}

pub(super) fn codec_label() -> Object {
    words(&tracks::LABELS)
}

pub(super) fn nullable_codec_label() -> Object {
    let labels = tracks::LABELS.iter().map(|label| Some(*label)).chain([None]);
    let types = SchemaType::from_iter([Type::String, Type::Null]);
    ObjectBuilder::new().schema_type(types).enum_values(Some(labels)).build()
}

pub(super) fn hls_variant() -> Object {
    words(HlsVariant::WORDS)
}

pub(super) fn stream_kind() -> Object {
    words(&hls::STREAM_KINDS)
}

pub(super) fn codec_labels() -> RefOr<Schema> {
    utoipa::openapi::ArrayBuilder::new().items(codec_label()).build().into()
}

pub(super) fn source_type() -> Object {
    words(&[
        "hlsSource",
        "redirect",
        "rpiCameraSource",
        "rtmpConn",
        "rtmpsConn",
        "rtmpSource",
        "rtspSession",
        "rtspSource",
        "rtspsSession",
        "srtConn",
        "srtSource",
        "mpegtsSource",
        "rtpSource",
        "webRTCSession",
        "webRTCSource",
        "moqSource",
        "moqSession",
    ])
}

pub(super) fn reader_type() -> Object {
    words(&[
        "hlsSession",
        "httpSession",
        "rtmpConn",
        "rtmpsConn",
        "rtspConn",
        "rtspSession",
        "rtspsConn",
        "rtspsSession",
        "srtConn",
        "webRTCSession",
        "moqSession",
        "hidden",
    ])
}

pub(super) fn forward_target() -> Object {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("dest", text())
        .property("destFingerprint", text())
        .property("whipBearerToken", text())
        .build()
}

fn text_like(pattern: String) -> Object {
    ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).pattern(Some(pattern)).build()
}

fn path_name() -> Object {
    text_like(names::PATTERN.to_owned())
}

fn configured_name() -> Object {
    // The tilde and a regular expression: any printable text.
    let names = names::PATTERN.trim_start_matches('^').trim_end_matches('$');
    text_like(format!("^({names}|~[^\\x00-\\x1f\\x7f-\\x9f]*)$"))
}

fn uuid() -> Object {
    let pattern = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$";
    text_like(pattern.to_owned())
}

fn event_types() -> Object {
    let any = events::TYPES.join("|");
    text_like(format!("^({any})(,({any}))*$"))
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Headwater API", description = "API of Headwater, a live media server."),
    components(schemas(Error, OK)),
    paths(
        super::general::info,
        super::general::refresh_jwks,
        super::general::capabilities,
        super::health::health,
        super::health::ready,
        super::events::events,
        serve,
        super::configuration::global,
        super::configuration::patch_global,
        super::configuration::path_defaults,
        super::configuration::patch_path_defaults,
        super::configuration::paths,
        super::configuration::path,
        super::configuration::add_path,
        super::configuration::patch_path,
        super::configuration::replace_path,
        super::configuration::delete_path,
        super::configuration::bulk,
        super::reload::status,
        super::reload::reload,
        super::paths::list,
        super::paths::one,
        super::paths::kick,
        super::paths::forwards,
        super::paths::forward,
        super::sessions::connections,
        super::sessions::connection,
        super::sessions::sessions,
        super::sessions::session,
        super::sessions::kick,
        super::rtmp::connections,
        super::rtmp::connection,
        super::rtmp::kick,
        super::hls::muxers,
        super::hls::muxer,
        super::hls::sessions,
        super::hls::session,
        super::hls::kick,
        super::hls::streams,
        super::hls::stream,
        super::hls::kick_stream,
    )
)]
struct Document;

/// returns this document.
#[utoipa::path(get, path = "/v3/openapi.json", operation_id = "openapi", tag = "General",
    responses((status = 200, description = "the OpenAPI document.", body = Value)))]
pub(super) async fn serve() -> Result<Response, Failure> {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = match TEXT.get() {
        Some(text) => text,
        None => elsewhere(|| TEXT.get_or_init(|| document().to_string())).await?,
    };
    Ok(json_response(StatusCode::OK, text.as_str()))
}

/// The whole document.
pub(super) fn document() -> Value {
    // A document of strings and numbers is always JSON.
    let mut document = serde_json::to_value(Document::openapi()).unwrap_or_default();
    document["security"] = json!([{ "basic": [] }, { "bearer": [] }, {}]);
    document["components"]["securitySchemes"] = json!({
        "basic": { "type": "http", "scheme": "basic" },
        "bearer": { "type": "http", "scheme": "bearer", "description": "a token, or user:pass" },
    });
    conf_schema::fill(&mut document["components"]["schemas"]);
    if let Some(paths) = document["paths"].as_object_mut() {
        for (path, item) in paths.iter_mut() {
            for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
                complete(path, operation);
            }
        }
        add_secure_twins(paths);
    }
    document
}

/// Adds the answers that follow from what an operation takes.
fn complete(path: &str, operation: &mut Value) {
    let parameters = operation["parameters"].as_array().is_some_and(|parameters| !parameters.is_empty());
    let body = operation.get("requestBody").is_some();
    let open = operation.get("security").is_some();
    if open {
        operation["security"] = json!([]);
    }
    // A field with a schema of its own loses this mark in the derive.
    let list = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in list.into_iter().flatten() {
        if matches!(parameter["name"].as_str(), Some("path" | "id" | "name")) {
            parameter["required"] = json!(true);
        }
    }
    let grouped = ["conns/", "sessions/", "muxers/"].iter().any(|group| path.contains(group));
    let missing = path.contains('{') || grouped || path.contains("/forward/") || path.ends_with("/bulk");
    let changes = body || path.ends_with("/reload") || path.contains("/delete/");
    let answers = [
        (400, parameters || changes, "invalid request."),
        (401, !open, "credentials are needed, or wrong."),
        (
            403,
            true,
            "a web page of another origin, or by a name that is not this machine's, may not do this.",
        ),
        (404, missing, "not found; or the server of this protocol is off."),
        (405, true, "the method is not allowed here."),
        (408, body, "the body came too slowly."),
        (413, body, "the body is too large."),
        (414, true, "the URL is too long."),
        (431, true, "the header fields are too many or too large."),
        (500, true, "server error."),
        (503, true, "not now; try again."),
    ];
    for (status, given, description) in answers {
        let known = operation["responses"].get(status.to_string()).is_some();
        if given && !known {
            let mut answer = json!({ "description": description });
            // 431 may come from the protocol machine, without a body.
            if status != 431 {
                answer["content"] =
                    json!({ "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } });
            }
            operation["responses"][status.to_string()] = answer;
        }
    }
}

/// RTSPS has the groups of RTSP, and RTMPS those of RTMP.
fn add_secure_twins(paths: &mut Map<String, Value>) {
    for (name, secure) in [("rtsp", "rtsps"), ("rtmp", "rtmps")] {
        let (upper, secure_upper) = (name.to_ascii_uppercase(), secure.to_ascii_uppercase());
        let twins: Vec<(String, Value)> = paths
            .iter()
            .filter(|(path, _)| path.starts_with(&format!("/v3/{name}")))
            .map(|(path, item)| {
                let mut twin = item.clone();
                for operation in twin.as_object_mut().into_iter().flat_map(Map::values_mut) {
                    for key in ["operationId", "summary"] {
                        let text = operation[key].as_str().unwrap_or_default();
                        operation[key] =
                            text.replacen(name, secure, 1).replacen(&upper, &secure_upper, 1).into();
                    }
                }
                (path.replacen(name, secure, 1), twin)
            })
            .collect();
        paths.extend(twins);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn it_has_every_operation_of_mediamtx_that_exists() {
        let document = document();
        let paths = document["paths"].as_object().unwrap();
        for path in [
            "info",
            "auth/jwks/refresh",
            "config/global/get",
            "config/global/patch",
            "config/pathdefaults/get",
            "config/pathdefaults/patch",
            "config/paths/list",
            "config/paths/get/{name}",
            "config/paths/add/{name}",
            "config/paths/patch/{name}",
            "config/paths/replace/{name}",
            "config/paths/delete/{name}",
            "paths/list",
            "paths/get/{name}",
            "paths/forward/list",
            "paths/forward/get",
            "rtspconns/list",
            "rtspconns/get/{id}",
            "rtspsessions/list",
            "rtspsessions/get/{id}",
            "rtspsessions/kick/{id}",
            "rtspsconns/list",
            "rtspsconns/get/{id}",
            "rtspssessions/list",
            "rtspssessions/get/{id}",
            "rtspssessions/kick/{id}",
            "rtmpconns/list",
            "rtmpconns/get/{id}",
            "rtmpconns/kick/{id}",
            "rtmpsconns/list",
            "rtmpsconns/get/{id}",
            "rtmpsconns/kick/{id}",
            "hlsmuxers/list",
            "hlsmuxers/get/{name}",
            "hlssessions/list",
            "hlssessions/get/{id}",
            "hlssessions/kick/{id}",
        ] {
            assert!(paths.contains_key(&format!("/v3/{path}")), "{path}");
        }
    }

    #[test]
    fn operations_have_ids_of_their_own_and_known_answers() {
        let document = document();
        let operations: Vec<&Value> = document["paths"]
            .as_object()
            .unwrap()
            .values()
            .flat_map(|item| item.as_object().unwrap().values())
            .collect();
        let ids: BTreeSet<&str> =
            operations.iter().map(|operation| operation["operationId"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), operations.len());
        for operation in operations {
            for status in ["405", "500"] {
                assert!(operation["responses"].get(status).is_some(), "{}", operation["operationId"]);
            }
        }
        assert_eq!(crate::api::page::NUMBER_MAX, 2_147_483_647);
    }

    #[test]
    fn what_an_operation_lacks_is_absent_and_not_null() {
        assert!(document().pointer("/paths/~1v3~1info/get/parameters").is_none());
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
