//! The schemas of the configuration, which follow from its defaults: every key with the type of its value.

use crate::config::Configuration;
use crate::config::values::{
    Action, AuthMethod, Encryption, HlsVariant, LogDestination, LogLevel, MoqTransport, RecordFormat,
    RtspAuthMethod, RtspRangeType, RtspTransport, SourceTransport,
};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// The global configuration.
#[derive(ToSchema)]
pub(super) struct GlobalConf;

/// The configuration of a path.
#[derive(ToSchema)]
pub(super) struct PathConf;

/// What may be given for a path: all but its name, which is in the URL.
#[derive(ToSchema)]
pub(super) struct PathConfInput;

/// A page of path configurations.
#[derive(ToSchema)]
pub(super) struct PathConfList;

/// Several changes of paths, made all or none.
#[derive(ToSchema)]
pub(super) struct PathsBulk;

/// Writes the schemas into those of the document.
pub(super) fn fill(schemas: &mut Value) {
    let configuration = Configuration::default();
    let path = configuration.path_defaults_json();
    schemas["GlobalConf"] = object(&configuration.global_json(), "The global configuration.");
    schemas["PathConfInput"] = object(&without_name(path.clone()), "What may be given for a path.");
    let mut shown = object(&path, "The configuration of a path.");
    shown["properties"]["name"] = json!({ "type": "string" });
    schemas["PathConf"] = shown;
    schemas["PathConfList"] = json!({
        "type": "object",
        "description": "A page of path configurations.",
        "required": ["itemCount", "pageCount", "items"],
        "properties": {
            "itemCount": { "type": "integer", "format": "int64", "minimum": 0 },
            "pageCount": { "type": "integer", "format": "int64", "minimum": 0 },
            "items": { "type": "array", "items": { "$ref": "#/components/schemas/PathConf" } },
        },
    });
    let by_name = || json!({ "type": "object", "additionalProperties": { "$ref": "#/components/schemas/PathConfInput" } });
    schemas["PathsBulk"] = json!({
        "type": "object",
        "description": "Several changes of paths, made all or none.",
        "additionalProperties": false,
        "properties": {
            "add": by_name(),
            "replace": by_name(),
            "patch": by_name(),
            "delete": { "type": "array", "items": { "type": "string" } },
        },
    });
}

fn object(defaults: &Value, description: &str) -> Value {
    let keys = defaults.as_object().into_iter().flatten();
    let properties: Map<String, Value> =
        keys.map(|(key, default)| (key.clone(), property(key, default))).collect();
    json!({
        "type": "object",
        "description": description,
        "properties": properties,
        "additionalProperties": false,
    })
}

fn without_name(mut path: Value) -> Value {
    if let Some(keys) = path.as_object_mut() {
        keys.remove("name");
    }
    path
}

fn property(key: &str, default: &Value) -> Value {
    if let Some(words) = words(key) {
        let word = json!({ "type": "string", "enum": words });
        return if default.is_array() { json!({ "type": "array", "items": word }) } else { word };
    }
    match default {
        Value::Bool(_) => json!({ "type": "boolean" }),
        Value::Number(number) if number.is_f64() => json!({ "type": "number" }),
        Value::Number(_) => json!({ "type": "integer", "format": "int64", "minimum": 0 }),
        Value::Array(_) => json!({ "type": "array", "items": item(key) }),
        Value::Object(_) => json!({ "type": "object" }),
        // A size may be a number of bytes.
        Value::String(_) if key.ends_with("Size") => json!({ "type": ["string", "integer"] }),
        _ => json!({ "type": "string" }),
    }
}

/// The words of a key whose values are a closed set.
fn words(key: &str) -> Option<&'static [&'static str]> {
    Some(match key {
        "logLevel" => LogLevel::WORDS,
        "logDestinations" => LogDestination::WORDS,
        "authMethod" => AuthMethod::WORDS,
        "rtspEncryption" | "rtmpEncryption" => Encryption::WORDS,
        "rtspTransports" => RtspTransport::WORDS,
        "rtspTransport" => SourceTransport::WORDS,
        "rtspAuthMethods" => RtspAuthMethod::WORDS,
        "hlsVariant" => HlsVariant::WORDS,
        "recordFormat" => RecordFormat::WORDS,
        "rtspRangeType" => RtspRangeType::WORDS,
        "moqTransport" => MoqTransport::WORDS,
        _ => return None,
    })
}

/// The items of a list.
fn item(key: &str) -> Value {
    let text = || json!({ "type": "string" });
    let permission = || {
        json!({
            "type": "object",
            "properties": { "action": { "type": "string", "enum": Action::WORDS }, "path": text() },
        })
    };
    match key {
        "authInternalUsers" => json!({
            "type": "object",
            "properties": {
                "user": text(),
                "pass": text(),
                "ips": { "type": "array", "items": text() },
                "permissions": { "type": "array", "items": permission() },
            },
        }),
        "authHTTPExclude" | "authJWTExclude" => permission(),
        "webrtcICEServers2" => json!({
            "type": "object",
            "properties": {
                "url": text(), "username": text(), "password": text(), "clientOnly": { "type": "boolean" },
            },
        }),
        "alwaysAvailableTracks" => json!({
            "type": "object",
            "properties": {
                "codec": text(),
                "sampleRate": { "type": "integer", "format": "int64" },
                "channelCount": { "type": "integer", "format": "int64" },
                "muLaw": { "type": "boolean" },
            },
        }),
        "forward" => json!({
            "type": "object",
            "properties": { "dest": text(), "destFingerprint": text(), "whipBearerToken": text() },
        }),
        "rpiCameraAWBGains" => json!({ "type": "number" }),
        "rtspUDPSourcePortRange" => json!({ "type": "integer", "format": "int64" }),
        _ => text(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_follow_from_defaults() {
        let defaults = json!({
            "api": false, "rtspTransports": ["udp"], "logLevel": "info", "readTimeout": "10s",
            "rpiCameraEV": 0.0, "maxReaders": 0, "forward": [], "apiAllowOrigins": ["*"],
        });
        let schema = object(&defaults, "");
        let of = |key: &str| schema["properties"][key].clone();
        assert_eq!(of("api")["type"], "boolean");
        assert_eq!(of("rtspTransports")["items"]["enum"], json!(["udp", "multicast", "tcp"]));
        assert_eq!(of("logLevel")["enum"][0], "info");
        assert_eq!(of("readTimeout"), json!({ "type": "string" }));
        assert_eq!(of("rpiCameraEV")["type"], "number");
        assert_eq!(of("maxReaders")["type"], "integer");
        assert_eq!(of("forward")["items"]["properties"]["dest"]["type"], "string");
        assert_eq!(of("apiAllowOrigins")["items"]["type"], "string");
    }
}
