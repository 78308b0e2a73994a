//! The endpoints of the configuration. Each change makes a new configuration on another thread; the control core takes
//! it over if the one it was made from is still in force.

use super::config::{self, Bulk};
use super::extract::{ConfigurationName, Object};
use super::page::{Page, json};
use super::{Api, Shared, elsewhere, names, ok};
use crate::config::{Configuration, PathChange};
use crate::core::ChangeError;
use crate::http::answer::Failure;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value};

/// Paths of one bulk operation; the body is bounded anyway.
const BULK_MAX: usize = 100_000;
/// Per-name errors shown.
const BULK_ERRORS_MAX: usize = 100;

/// returns the global configuration.
#[utoipa::path(get, path = "/v3/config/global/get", operation_id = "configGlobalGet", tag = "Configuration",
    responses((status = 200, description = "the request was successful.", body = super::conf_schema::GlobalConf)))]
pub(super) async fn global(State(api): Shared) -> Result<Response, Failure> {
    json(&api.core.configuration().global_json())
}

/// patches the global configuration.
///
/// all fields are optional.
#[utoipa::path(patch, path = "/v3/config/global/patch", operation_id = "configGlobalSet", tag = "Configuration",
    request_body = super::conf_schema::GlobalConf,
    responses((status = 200, description = "the request was successful.", body = super::openapi::OK)))]
pub(super) async fn patch_global(State(api): Shared, Object(patch): Object) -> Result<Response, Failure> {
    let patch = Value::Object(patch);
    change(&api, move |configuration| configuration.patch_global(&patch)).await
}

/// returns the default path configuration.
#[utoipa::path(get, path = "/v3/config/pathdefaults/get", operation_id = "configPathDefaultsGet",
    tag = "Configuration",
    responses((status = 200, description = "the request was successful.", body = super::conf_schema::PathConf)))]
pub(super) async fn path_defaults(State(api): Shared) -> Result<Response, Failure> {
    json(&api.core.configuration().path_defaults_json())
}

/// patches the default path configuration.
///
/// all fields are optional.
#[utoipa::path(patch, path = "/v3/config/pathdefaults/patch", operation_id = "configPathDefaultsPatch",
    tag = "Configuration", request_body = super::conf_schema::PathConfInput,
    responses((status = 200, description = "the request was successful.", body = super::openapi::OK)))]
pub(super) async fn patch_path_defaults(
    State(api): Shared,
    Object(patch): Object,
) -> Result<Response, Failure> {
    let patch = Value::Object(patch);
    change(&api, move |configuration| configuration.patch_path_defaults(&patch)).await
}

/// returns all path configurations.
#[utoipa::path(get, path = "/v3/config/paths/list", operation_id = "configPathsList", tag = "Configuration",
    params(super::openapi::Paging, super::openapi::Search),
    responses((status = 200, description = "the request was successful.", body = super::conf_schema::PathConfList)))]
pub(super) async fn paths(State(api): Shared, page: Page) -> Result<Response, Failure> {
    let configuration = api.core.configuration();
    let list = move || {
        let names = configuration.paths.keys().map(String::as_str).filter(|name| page.wants(name)).collect();
        json(&page.of_list(names, |name| configuration.path_json(name).unwrap_or_default()))
    };
    elsewhere(list).await?
}

/// returns a path configuration.
#[utoipa::path(get, path = "/v3/config/paths/get/{name}", operation_id = "configPathsGet",
    tag = "Configuration", params(super::openapi::NameParameter),
    responses((status = 200, description = "the request was successful.", body = super::conf_schema::PathConf)))]
pub(super) async fn path(
    State(api): Shared,
    ConfigurationName(name): ConfigurationName,
) -> Result<Response, Failure> {
    let path = api.core.configuration().path_json(&name);
    json(&path.ok_or_else(|| Failure::not_found("path configuration not found"))?)
}

/// adds a path configuration.
///
/// all fields are optional.
#[utoipa::path(post, path = "/v3/config/paths/add/{name}", operation_id = "configPathsAdd",
    tag = "Configuration", params(super::openapi::NameParameter),
    request_body = super::conf_schema::PathConfInput,
    responses((status = 200, description = "the request was successful.", body = super::openapi::OK)))]
pub(super) async fn add_path(
    State(api): Shared,
    ConfigurationName(name): ConfigurationName,
    Object(given): Object,
) -> Result<Response, Failure> {
    let given = Value::Object(given);
    change(&api, move |configuration| configuration.change_path(&name, PathChange::Add(&given))).await
}

/// patches a path configuration.
///
/// all fields are optional.
#[utoipa::path(patch, path = "/v3/config/paths/patch/{name}", operation_id = "configPathsPatch",
    tag = "Configuration", params(super::openapi::NameParameter),
    request_body = super::conf_schema::PathConfInput,
    responses((status = 200, description = "the request was successful.", body = super::openapi::OK)))]
pub(super) async fn patch_path(
    State(api): Shared,
    ConfigurationName(name): ConfigurationName,
    Object(given): Object,
) -> Result<Response, Failure> {
    let given = Value::Object(given);
    change(&api, move |configuration| configuration.change_path(&name, PathChange::Patch(&given))).await
}

/// replaces all values of a path configuration.
///
/// all fields are optional.
#[utoipa::path(post, path = "/v3/config/paths/replace/{name}", operation_id = "configPathsReplace",
    tag = "Configuration", params(super::openapi::NameParameter),
    request_body = super::conf_schema::PathConfInput,
    responses((status = 200, description = "the request was successful.", body = super::openapi::OK)))]
pub(super) async fn replace_path(
    State(api): Shared,
    ConfigurationName(name): ConfigurationName,
    Object(given): Object,
) -> Result<Response, Failure> {
    let given = Value::Object(given);
    change(&api, move |configuration| configuration.change_path(&name, PathChange::Replace(&given))).await
}

/// removes a path configuration.
#[utoipa::path(delete, path = "/v3/config/paths/delete/{name}", operation_id = "configPathsDelete",
    tag = "Configuration", params(super::openapi::NameParameter),
    responses((status = 200, description = "the request was successful.", body = super::openapi::OK)))]
pub(super) async fn delete_path(
    State(api): Shared,
    ConfigurationName(name): ConfigurationName,
) -> Result<Response, Failure> {
    change(&api, move |configuration| configuration.change_path(&name, PathChange::Delete)).await
}

/// adds, replaces, patches and deletes path configurations, all or none.
///
/// Deletes come first, then replacements, patches and additions. What is wrong is told by name.
#[utoipa::path(post, path = "/v3/config/paths/bulk", operation_id = "configPathsBulk", tag = "Configuration",
    request_body = super::conf_schema::PathsBulk,
    responses((status = 200, description = "the request was successful.", body = super::openapi::OK)))]
pub(super) async fn bulk(State(api): Shared, Object(body): Object) -> Result<Response, Failure> {
    let bulk = elsewhere(move || read_bulk(body)).await??;
    change(&api, move |configuration| config::bulk(configuration, &bulk)).await
}

fn read_bulk(body: Map<String, Value>) -> Result<Bulk, Failure> {
    let mut bulk = Bulk::default();
    for (key, value) in body {
        let object = |value| match value {
            Value::Object(object) => Ok(object),
            _ => Err(Failure::bad_request(format!("{key} must be an object of path configurations by name"))),
        };
        match key.as_str() {
            "add" => bulk.add = object(value)?,
            "replace" => bulk.replace = object(value)?,
            "patch" => bulk.patch = object(value)?,
            "delete" => {
                bulk.delete = serde_json::from_value(value)
                    .map_err(|_| Failure::bad_request("delete must be a list of names"))?;
            }
            _ => {
                let known = "add, replace, patch and delete";
                return Err(Failure::bad_request(format!("unknown key {key:?}; there are {known}")));
            }
        }
    }
    let changed = [&bulk.add, &bulk.replace, &bulk.patch].into_iter().flat_map(Map::keys);
    let all: Vec<&String> = changed.chain(&bulk.delete).collect();
    if all.len() > BULK_MAX {
        return Err(Failure::bad_request(format!("{} paths; at most {BULK_MAX} at once", all.len())));
    }
    let wrong = all.into_iter().filter_map(|name| Some((name.clone(), names::check_configured(name).err()?)));
    match by_name(wrong.collect()) {
        Some(failure) => Err(failure),
        None => Ok(bulk),
    }
}

/// What is wrong with several paths; `None` where nothing is.
fn by_name(wrong: Vec<(String, String)>) -> Option<Failure> {
    let count = wrong.len();
    let mut failure = Failure::bad_request(format!("nothing was changed: {count} paths are wrong"));
    failure.errors =
        wrong.into_iter().take(BULK_ERRORS_MAX).map(|(name, error)| (name, error.into())).collect();
    (count > 0).then_some(failure)
}

/// Why a change cannot be made.
enum Refused {
    Whole(ChangeError),
    ByName(Vec<(String, ChangeError)>),
}

impl From<ChangeError> for Refused {
    fn from(error: ChangeError) -> Refused {
        Refused::Whole(error)
    }
}

impl From<Vec<(String, ChangeError)>> for Refused {
    fn from(errors: Vec<(String, ChangeError)>) -> Refused {
        Refused::ByName(errors)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Failure {
        match refused {
            Refused::Whole(error) => config::failure(error),
            Refused::ByName(errors) => {
                let wrong = errors.into_iter().map(|(name, error)| (name, error.to_string())).collect();
                by_name(wrong).unwrap_or_else(|| Failure::internal("a change failed without a reason"))
            }
        }
    }
}

/// Changes the configuration. `edit` runs on another thread, since 10,000 paths take a while.
async fn change<F, E>(api: &Api, edit: F) -> Result<Response, Failure>
where
    F: FnOnce(&Configuration) -> Result<Configuration, E> + Send + 'static,
    E: Into<Refused> + Send + 'static,
{
    let changed = api.core.change(move |configuration| edit(configuration).map_err(Into::into)).await;
    changed.map(|()| ok()).map_err(|refused: Refused| refused.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: Value) -> Result<Bulk, Failure> {
        let Value::Object(body) = body else { panic!("no object") };
        read_bulk(body)
    }

    #[test]
    fn a_bulk_names_what_is_wrong() {
        assert!(read(json!({"add": {"a": {}}, "delete": ["b"]})).is_ok());
        assert!(read(json!({"add": []})).unwrap_err().message.contains("add must be"));
        assert!(read(json!({"delete": [1]})).unwrap_err().message.contains("list of names"));
        assert!(read(json!({"adds": {}})).unwrap_err().message.contains("unknown key"));
        let failure = read(json!({"add": {"../x": {}, "fine": {}}, "delete": ["/y"]})).unwrap_err();
        assert_eq!(failure.errors.keys().collect::<Vec<_>>(), ["../x", "/y"]);
    }
}
