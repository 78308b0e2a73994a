//! What the API asks of the configuration, in one place.
//!
//! The functions marked "until the configuration part is merged" stand in for those of `Configuration` with the same
//! names: they keep what was given for paths as it is, without checking keys.

use crate::config::{Configuration, ConfiguredPath, Fault, Faults};
use crate::core::{ChangeError, Core};
use crate::http::answer::Failure;
use axum::http::StatusCode;
use regex::Regex;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Which entry of the configuration's paths is for which path.
pub(super) struct PathTable<'a> {
    configuration: &'a Configuration,
    patterns: Vec<(&'a str, Regex)>,
    others: &'a str,
}

impl<'a> PathTable<'a> {
    pub(super) fn of(configuration: &'a Configuration) -> PathTable<'a> {
        // In the order of their texts, as MediaMTX tries them.
        let patterns = configuration.paths.keys().filter_map(|name| {
            let pattern = Regex::new(name.strip_prefix('~')?).ok()?;
            Some((name.as_str(), pattern))
        });
        let others = configuration.paths.keys().find(|name| is_all_others(name));
        PathTable { configuration, patterns: patterns.collect(), others: others.map_or("", String::as_str) }
    }

    /// The entries that name one path.
    pub(super) fn exact_names(&self) -> impl Iterator<Item = &'a str> {
        let names = self.configuration.paths.keys().map(String::as_str);
        names.filter(|name| !name.starts_with('~') && !is_all_others(name))
    }

    /// The entry for a path; empty where there is none any more.
    pub(super) fn name_for(&self, path: &str) -> &'a str {
        if let Some((name, _)) = self.configuration.paths.get_key_value(path)
            && !is_all_others(name)
        {
            return name;
        }
        let matching = self.patterns.iter().find(|(_, pattern)| pattern.is_match(path));
        matching.map_or(self.others, |(name, _)| name)
    }
}

fn is_all_others(name: &str) -> bool {
    matches!(name, "all" | "all_others" | "~^.*$")
}

/// Several changes of paths, made all or none.
#[derive(Clone, Debug, Default)]
pub(super) struct Bulk {
    pub(super) add: Map<String, Value>,
    pub(super) replace: Map<String, Value>,
    pub(super) patch: Map<String, Value>,
    pub(super) delete: Vec<String>,
}

/// What a failed change answers.
pub(super) fn failure(error: ChangeError) -> Failure {
    match error {
        ChangeError::NotFound(message) => Failure::not_found(message),
        ChangeError::Invalid(faults) => Failure::bad_request(faults.to_string()),
        ChangeError::Failed(message) => Failure::new(StatusCode::INTERNAL_SERVER_ERROR, message),
    }
}

fn fault(name: &str, message: &str) -> ChangeError {
    let key = format!("paths.{name}");
    ChangeError::Invalid(Faults(vec![Fault { key, message: message.to_owned(), ..Fault::default() }]))
}

// Until the configuration part is merged:

pub(super) fn global_json(_configuration: &Configuration) -> Value {
    json!({})
}

pub(super) fn path_defaults_json(_configuration: &Configuration) -> Value {
    json!({})
}

pub(super) fn path_json(configuration: &Configuration, name: &str) -> Option<Value> {
    let mut shown = configuration.paths.get(name)?.given.clone();
    shown.insert("name".to_owned(), json!(name));
    Some(Value::Object(shown))
}

pub(super) fn path_names(configuration: &Configuration) -> impl Iterator<Item = &str> {
    configuration.paths.keys().map(String::as_str)
}

pub(super) fn patch_global(
    configuration: &Configuration,
    _patch: &Map<String, Value>,
) -> Result<Configuration, ChangeError> {
    Ok(configuration.clone())
}

pub(super) fn patch_path_defaults(
    configuration: &Configuration,
    _patch: &Map<String, Value>,
) -> Result<Configuration, ChangeError> {
    Ok(configuration.clone())
}

pub(super) fn add_path(
    configuration: &Configuration,
    name: &str,
    given: &Map<String, Value>,
) -> Result<Configuration, ChangeError> {
    let mut new = configuration.clone();
    add(&mut new, name, given)?;
    Ok(new)
}

pub(super) fn patch_path(
    configuration: &Configuration,
    name: &str,
    given: &Map<String, Value>,
) -> Result<Configuration, ChangeError> {
    let mut new = configuration.clone();
    patch(&mut new, name, given)?;
    Ok(new)
}

pub(super) fn replace_path(
    configuration: &Configuration,
    name: &str,
    given: &Map<String, Value>,
) -> Result<Configuration, ChangeError> {
    let mut new = configuration.clone();
    put(&mut new, name, given.clone());
    Ok(new)
}

pub(super) fn delete_path(configuration: &Configuration, name: &str) -> Result<Configuration, ChangeError> {
    let mut new = configuration.clone();
    delete(&mut new, name)?;
    Ok(new)
}

/// Makes several changes: deletes, then replaces, patches and adds. What is wrong comes by name.
pub(super) fn bulk(
    configuration: &Configuration,
    bulk: &Bulk,
) -> Result<Configuration, Vec<(String, ChangeError)>> {
    let mut new = configuration.clone();
    let mut wrong = Vec::new();
    for name in &bulk.delete {
        wrong.extend(delete(&mut new, name).err().map(|error| (name.clone(), error)));
    }
    let object = |name: &str, given: &Value| match given {
        Value::Object(given) => Ok(given.clone()),
        _ => Err(fault(name, "must be an object")),
    };
    for (name, given) in &bulk.replace {
        let result = object(name, given).map(|given| put(&mut new, name, given));
        wrong.extend(result.err().map(|error| (name.clone(), error)));
    }
    for (name, given) in &bulk.patch {
        let result = object(name, given).and_then(|given| patch(&mut new, name, &given));
        wrong.extend(result.err().map(|error| (name.clone(), error)));
    }
    for (name, given) in &bulk.add {
        let result = object(name, given).and_then(|given| add(&mut new, name, &given));
        wrong.extend(result.err().map(|error| (name.clone(), error)));
    }
    if wrong.is_empty() { Ok(new) } else { Err(wrong) }
}

fn put(configuration: &mut Configuration, name: &str, given: Map<String, Value>) {
    let effective = Arc::new(configuration.path_defaults.clone());
    configuration.paths.insert(name.to_owned(), ConfiguredPath { given, effective });
}

fn add(configuration: &mut Configuration, name: &str, given: &Map<String, Value>) -> Result<(), ChangeError> {
    if configuration.paths.contains_key(name) {
        return Err(fault(name, "path already exists"));
    }
    put(configuration, name, given.clone());
    Ok(())
}

fn patch(
    configuration: &mut Configuration,
    name: &str,
    given: &Map<String, Value>,
) -> Result<(), ChangeError> {
    let missing = || ChangeError::NotFound("path configuration not found".to_owned());
    let mut merged = configuration.paths.get(name).ok_or_else(missing)?.given.clone();
    merged.extend(given.clone());
    put(configuration, name, merged);
    Ok(())
}

fn delete(configuration: &mut Configuration, name: &str) -> Result<(), ChangeError> {
    let removed = configuration.paths.remove(name);
    removed.map(drop).ok_or_else(|| ChangeError::NotFound("path configuration not found".to_owned()))
}

/// Until `Core::reload` is there.
pub(super) async fn reload(_core: &Core) -> Result<(), ChangeError> {
    Err(ChangeError::Failed("this server runs without a configuration file".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(names: &[&str]) -> Configuration {
        let add = |configuration, name: &&str| add_path(&configuration, name, &Map::new()).unwrap();
        names.iter().fold(Configuration::default(), add)
    }

    #[test]
    fn exact_names_come_before_patterns_and_those_before_all_others() {
        let configuration = configuration(&["cam1", "~^cam", "~^c", "all_others"]);
        let table = PathTable::of(&configuration);
        assert_eq!(table.exact_names().collect::<Vec<_>>(), ["cam1"]);
        for (path, expected) in
            [("cam1", "cam1"), ("cam2", "~^c"), ("other", "all_others"), ("all_others", "all_others")]
        {
            assert_eq!(table.name_for(path), expected);
        }
    }

    #[test]
    fn a_bulk_is_made_whole_or_not_at_all() {
        let configuration = configuration(&["old"]);
        let map = |name: &str| Map::from_iter([(name.to_owned(), json!({"source": "publisher"}))]);
        let all =
            Bulk { add: map("new"), patch: map("none"), delete: vec!["gone".to_owned()], ..Bulk::default() };
        let wrong = bulk(&configuration, &all).unwrap_err();
        assert_eq!(wrong.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["gone", "none"]);
        let fine = Bulk { add: map("new"), delete: vec!["old".to_owned()], ..Bulk::default() };
        let new = bulk(&configuration, &fine).unwrap();
        assert_eq!(path_names(&new).collect::<Vec<_>>(), ["new"]);
    }
}
