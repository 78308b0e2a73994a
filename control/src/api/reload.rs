//! The state of the configuration file: where it is, when it was last read, and what was wrong with it.

use super::page::json;
use super::{Shared, config, ok, time};
use crate::config::Faults;
use crate::http::answer::Failure;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use std::path::PathBuf;
use std::time::SystemTime;
use utoipa::ToSchema;

/// How the file was last read. Whoever reloads it stores a new value, after a reload that was refused too.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReloadStatus {
    /// `None` where the server runs without a file.
    pub(crate) file: Option<PathBuf>,
    /// When it was last read; `None` before the first time.
    pub(crate) read: Option<SystemTime>,
    /// What was wrong with it then; the configuration before it stays in force.
    pub(crate) refused: Option<Faults>,
    pub(crate) reloads: u64,
    pub(crate) reloads_refused: u64,
}

/// The state of the configuration file.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigStatus {
    #[schema(required)]
    file: Option<String>,
    /// When the file was last read (RFC 3339).
    #[schema(required)]
    read: Option<String>,
    /// Whether what was read then is in force.
    accepted: bool,
    reloads: u64,
    reloads_refused: u64,
    faults: Vec<ConfigFault>,
}

/// Something wrong with the file.
#[derive(Serialize, ToSchema)]
pub(super) struct ConfigFault {
    #[schema(required)]
    file: Option<String>,
    #[schema(required)]
    line: Option<usize>,
    /// Dotted; empty where the fault concerns the whole file.
    key: String,
    message: String,
    #[schema(required)]
    hint: Option<String>,
}

/// returns when the configuration file was last read, and what was wrong with it.
#[utoipa::path(get, path = "/v3/config/status", operation_id = "configStatus", tag = "Configuration",
    responses((status = 200, description = "the request was successful.", body = ConfigStatus)))]
pub(super) async fn status(State(api): Shared) -> Result<Response, Failure> {
    json(&shown(&api.reload.load()))
}

/// reads the configuration file again, as SIGHUP does.
#[utoipa::path(post, path = "/v3/config/reload", operation_id = "configReload", tag = "Configuration",
    responses((status = 200, description = "the file is in force.", body = super::openapi::OK)))]
pub(super) async fn reload(State(api): Shared) -> Result<Response, Failure> {
    api.core.reload().await.map_err(config::failure)?;
    Ok(ok())
}

fn shown(status: &ReloadStatus) -> ConfigStatus {
    let faults = status.refused.iter().flat_map(|faults| &faults.0);
    let path = |path: &PathBuf| path.display().to_string();
    ConfigStatus {
        file: status.file.as_ref().map(path),
        read: status.read.map(time::text),
        accepted: status.refused.is_none(),
        reloads: status.reloads,
        reloads_refused: status.reloads_refused,
        faults: faults
            .map(|fault| ConfigFault {
                file: fault.file.as_ref().map(path),
                line: fault.line,
                key: fault.key.clone(),
                message: fault.message.clone(),
                hint: fault.hint.clone(),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Fault;

    #[test]
    fn a_refused_file_shows_its_faults() {
        let fault = Fault {
            line: Some(3),
            key: "rtpAddres".to_owned(),
            message: "unknown key".to_owned(),
            hint: Some("did you mean rtpAddress?".to_owned()),
            ..Fault::default()
        };
        let status = ReloadStatus {
            file: Some("/etc/headwater.yml".into()),
            read: Some(SystemTime::UNIX_EPOCH),
            refused: Some(Faults(vec![fault])),
            reloads: 2,
            reloads_refused: 1,
        };
        let shown = serde_json::to_value(shown(&status)).unwrap();
        assert_eq!(shown["accepted"], false);
        assert_eq!(shown["reloadsRefused"], 1);
        assert_eq!(shown["faults"][0]["line"], 3);
        assert_eq!(shown["faults"][0]["hint"], "did you mean rtpAddress?");
        assert_eq!(shown["faults"][0]["file"], serde_json::Value::Null);
    }
}
