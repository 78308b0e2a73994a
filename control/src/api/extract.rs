//! What the API reads from a request: names, ids, query fields, bodies. Wrong ones are 400 and say why.

use super::names;
use crate::http::answer::Failure;
use crate::http::body;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use headwater_engine::records::Id;
use serde_json::{Map, Value};

/// A JSON text longer than this is read on another thread.
const PARSE_HERE_MAX: usize = 64 * 1024;

/// The name of an entry of the configuration's paths: a path's name, or `~` and a regular expression.
pub(super) struct ConfigurationName(pub(super) String);

/// The name of a live path.
pub(super) struct PathName(pub(super) String);

/// The id of a connection or session.
pub(super) struct TheId(pub(super) Id);

/// The fields of the query; of several with one name the first counts.
pub(super) struct Fields(Vec<(String, String)>);

/// A body that is a JSON object.
pub(super) struct Object(pub(super) Map<String, Value>);

async fn parameter(parts: &mut Parts, name: &str) -> Result<String, Failure> {
    let parameters = RawPathParams::from_request_parts(parts, &())
        .await
        .map_err(|error| Failure::bad_request(format!("the URL cannot be read: {error}")))?;
    let value = parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned());
    value.ok_or_else(|| Failure::bad_request("invalid name: it is empty"))
}

impl<S: Sync> FromRequestParts<S> for ConfigurationName {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<ConfigurationName, Failure> {
        let name = parameter(parts, "name").await?;
        names::check_configured(&name).map_err(Failure::bad_request)?;
        Ok(ConfigurationName(name))
    }
}

impl<S: Sync> FromRequestParts<S> for PathName {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<PathName, Failure> {
        let name = parameter(parts, "name").await?;
        names::check(&name).map_err(Failure::bad_request)?;
        Ok(PathName(name))
    }
}

impl<S: Sync> FromRequestParts<S> for TheId {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<TheId, Failure> {
        id(&parameter(parts, "id").await?).map(TheId)
    }
}

pub(super) fn id(text: &str) -> Result<Id, Failure> {
    text.parse().map_err(|error| Failure::bad_request(format!("invalid id: {error}")))
}

impl<S: Sync> FromRequestParts<S> for Fields {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Fields, Failure> {
        Ok(Fields::of(parts.uri.query().unwrap_or_default()))
    }
}

impl Fields {
    pub(super) fn of(query: &str) -> Fields {
        Fields(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The live path named by a field that has to be there.
    pub(super) fn path(&self) -> Result<&str, Failure> {
        let name = self.get("path").ok_or_else(|| Failure::bad_request("the query needs path=NAME"))?;
        names::check(name).map_err(Failure::bad_request)?;
        Ok(name)
    }
}

impl<S: Sync> FromRequest<S> for Object {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Object, Failure> {
        let bytes = body::read(request).await?;
        let large = bytes.len() > PARSE_HERE_MAX;
        let parse = move || match serde_json::from_slice(&bytes) {
            Ok(Value::Object(object)) => Ok(Object(object)),
            Ok(_) => Err(Failure::bad_request("the body must be a JSON object")),
            Err(error) => Err(Failure::bad_request(format!("the body is no JSON: {error}"))),
        };
        if large { super::elsewhere(parse).await? } else { parse() }
    }
}
