//! The configuration as the API shows and changes it: JSON out, and functions that make a new configuration.
//!
//! Secrets are shown as `<redacted>`; a change that carries `<redacted>` back keeps the secret that was there. Every
//! function checks what it makes; nothing is half changed.

use super::build::{bound, finish, over_defaults, read_global, read_path, read_path_keys};
use super::deprecated;
use super::keys::{Global, Key, PathConfiguration};
use super::node::{Data, Node, Origin, Reading};
use super::paths::{check_path, check_together};
use super::setting::{REDACTED, Secrets};
use super::{Configuration, ConfiguredPath, Fault, Faults, build};
use crate::core::ChangeError;
use serde_json::{Map, Value};
use std::sync::Arc;

/// All keys of `of` as JSON. `fallback` is left out where it is not set, as MediaMTX does.
pub(crate) fn json<T>(keys: &[Key<T>], of: &T, secrets: Secrets) -> Map<String, Value> {
    let shown = |(key, value): &(&Key<T>, Value)| key.name != "fallback" || value.as_str() != Some("");
    keys.iter()
        .map(|key| (key, key.json(of, secrets)))
        .filter(shown)
        .map(|(key, value)| (key.name.to_owned(), value))
        .collect()
}

/// What is done to a path, with the keys as a JSON object.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PathChange<'a> {
    /// The path must be new.
    Add(&'a Value),
    /// The path must be there; keys that are not given stay.
    Patch(&'a Value),
    /// Keys that are not given are the defaults'.
    Replace(&'a Value),
    /// The path must be there.
    Delete,
}

impl Configuration {
    /// The answer of `GET /v3/config/global/get`.
    pub(crate) fn global_json(&self) -> Value {
        Value::Object(json(Global::KEYS, &self.global, Secrets::Redacted))
    }

    /// The answer of `GET /v3/config/pathdefaults/get`.
    pub(crate) fn path_defaults_json(&self) -> Value {
        named("", &self.path_defaults)
    }

    /// The answer of `GET /v3/config/paths/get/NAME`; `None` where there is no such entry.
    pub(crate) fn path_json(&self, name: &str) -> Option<Value> {
        Some(named(name, &self.paths.get(name)?.effective))
    }

    /// `PATCH /v3/config/global/patch`.
    ///
    /// # Errors
    /// What is wrong with the keys, or with the configuration they would make.
    pub(crate) fn patch_global(&self, patch: &Value) -> Result<Configuration, ChangeError> {
        let mut reading = Reading::new(None);
        let mut new = self.clone();
        let patch = object(patch)?;
        let mut node = node_of_patch(patch, Global::KEYS, &self.global);
        let Data::Map(entries) = &mut node.data else { return Ok(new) };
        let moved = deprecated::migrate(entries, deprecated::GLOBAL, &mut reading);
        for entry in entries.iter() {
            if matches!(entry.key.as_str(), "paths" | "pathDefaults") {
                let message =
                    "is not a global key; use the API's calls for paths and path defaults".to_owned();
                reading.faults.push(Fault { key: entry.key.clone(), message, ..Fault::default() });
            } else {
                read_global(entry, &mut new.global, &mut new.given.global, &mut reading);
            }
        }
        let record = Node::new(Origin::Request, Data::Map(moved));
        new.take_path_defaults(record, &mut reading);
        finish(&mut new, &mut reading);
        result(new, reading)
    }

    /// `PATCH /v3/config/pathdefaults/patch`.
    ///
    /// # Errors
    /// What is wrong with the keys, or with the paths they would make.
    pub(crate) fn patch_path_defaults(&self, patch: &Value) -> Result<Configuration, ChangeError> {
        let mut reading = Reading::new(None);
        let mut new = self.clone();
        let mut patch = object(patch)?.clone();
        // What was got may come back whole: the empty name that MediaMTX shows is no key.
        if patch.get("name").is_some_and(|given| given == "") {
            patch.remove("name");
        }
        let node = node_of_patch(&patch, PathConfiguration::KEYS, &self.path_defaults);
        new.take_path_defaults(node, &mut reading);
        finish(&mut new, &mut reading);
        result(new, reading)
    }

    fn take_path_defaults(&mut self, node: Node, reading: &mut Reading<'_>) {
        let given = reading.within("pathDefaults", &Origin::Request, |reading| {
            read_path_keys(node, &mut self.path_defaults, false, reading)
        });
        if given.is_empty() {
            return;
        }
        self.given.path_defaults.extend(given);
        let defaults = Arc::new(self.path_defaults.clone());
        for path in self.paths.values_mut() {
            *path = Arc::new(over_defaults(&path.given, &defaults));
        }
    }

    /// Changes one path: `POST /v3/config/paths/add/NAME` and its kin.
    ///
    /// # Errors
    /// There is no such path, or there is one already; what is wrong with its keys; others need it.
    pub(crate) fn change_path(
        &self,
        name: &str,
        change: PathChange<'_>,
    ) -> Result<Configuration, ChangeError> {
        let changed = self.change_paths(std::iter::once((name, change)));
        changed.map_err(|mut wrong| wrong.swap_remove(0).1)
    }

    /// Changes many paths at once, or none where one of them is wrong.
    ///
    /// # Errors
    /// All that is wrong, by name, at least one; without a name where it concerns several.
    pub(crate) fn change_paths<'a>(
        &self,
        changes: impl IntoIterator<Item = (&'a str, PathChange<'a>)>,
    ) -> Result<Configuration, Vec<(String, ChangeError)>> {
        let mut new = self.clone();
        let defaults = Arc::new(self.path_defaults.clone());
        let mut wrong = Vec::new();
        for (name, change) in changes {
            if let Err(error) = new.make_change(name, change, &defaults) {
                wrong.push((name.to_owned(), error));
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        new.finish_paths(Reading::new(None)).map_err(|error| vec![(String::new(), error)])
    }

    fn make_change(
        &mut self,
        name: &str,
        change: PathChange<'_>,
        defaults: &Arc<PathConfiguration>,
    ) -> Result<(), ChangeError> {
        let mut reading = Reading::new(None);
        match change {
            PathChange::Add(_) if self.paths.contains_key(name) => {
                reading.fault_at(format!("paths.{name}"), "the path already exists");
            }
            PathChange::Add(body) => {
                self.set_path(name, body, (defaults, &Map::new()), &mut reading)?;
            }
            PathChange::Patch(patch) => {
                let old = Arc::clone(self.configured(name)?);
                self.set_path(name, patch, (&old.effective, &old.given), &mut reading)?;
            }
            PathChange::Replace(body) => {
                // Secrets that come back as `<redacted>` are those of the path that is replaced.
                let body = match self.paths.get(name) {
                    None => body.clone(),
                    Some(old) => {
                        Value::Object(restore(object(body)?, PathConfiguration::KEYS, &*old.effective))
                    }
                };
                self.set_path(name, &body, (defaults, &Map::new()), &mut reading)?;
            }
            PathChange::Delete => {
                self.configured(name)?;
                self.paths.remove(name);
            }
        }
        bound(&mut reading);
        if reading.faults.is_empty() { Ok(()) } else { Err(Faults(reading.faults).into()) }
    }

    fn configured(&self, name: &str) -> Result<&Arc<ConfiguredPath>, ChangeError> {
        self.paths.get(name).ok_or_else(|| ChangeError::NotFound("path configuration not found".to_owned()))
    }

    /// Reads `body` over `below` and puts the path in its place.
    fn set_path(
        &mut self,
        name: &str,
        body: &Value,
        (below, given): (&Arc<PathConfiguration>, &Map<String, Value>),
        reading: &mut Reading<'_>,
    ) -> Result<(), ChangeError> {
        let key = format!("paths.{name}");
        // What was got may come back whole: its name is no key.
        let mut body = object(body)?.clone();
        if body.get("name").is_some_and(|given| given == name) {
            body.remove("name");
        }
        let node = node_of_patch(&body, PathConfiguration::KEYS, &**below);
        let faults = reading.faults.len();
        let mut path = reading.within("paths", &Origin::Request, |reading| {
            read_path(name, &Origin::Request, &node, below, reading)
        });
        if reading.faults.len() == faults {
            check_path(&key, name, &path.effective, &self.global, reading);
        }
        let patched = std::mem::replace(&mut path.given, given.clone());
        path.given.extend(patched);
        self.paths.insert(name.to_owned(), Arc::new(path));
        Ok(())
    }

    fn finish_paths(mut self, mut reading: Reading<'_>) -> Result<Configuration, ChangeError> {
        check_together(&self.paths, &mut reading);
        build::take_users(&mut self, &mut reading);
        bound(&mut reading);
        result(self, reading)
    }
}

fn result(configuration: Configuration, reading: Reading<'_>) -> Result<Configuration, ChangeError> {
    if reading.faults.is_empty() { Ok(configuration) } else { Err(Faults(reading.faults).into()) }
}

fn named(name: &str, path: &PathConfiguration) -> Value {
    let mut map = json(PathConfiguration::KEYS, path, Secrets::Redacted);
    map.insert("name".to_owned(), Value::String(name.to_owned()));
    Value::Object(map)
}

fn object(value: &Value) -> Result<&Map<String, Value>, ChangeError> {
    value.as_object().ok_or_else(|| {
        let message = "the body must be a JSON object".to_owned();
        Faults(vec![Fault { message, ..Fault::default() }]).into()
    })
}

/// A change as a tree, its secrets restored.
fn node_of_patch<T>(patch: &Map<String, Value>, keys: &[Key<T>], old: &T) -> Node {
    Node::of_json(&Value::Object(restore(patch, keys, old)), &Origin::Request)
}

/// Puts the secrets of `old` where `patch` says `<redacted>`. What cannot be restored stays, and is a fault when read.
fn restore<T>(patch: &Map<String, Value>, keys: &[Key<T>], old: &T) -> Map<String, Value> {
    let mut patch = patch.clone();
    for (name, value) in &mut patch {
        if holds_redacted(value)
            && let Some(key) = keys.iter().find(|key| key.name == name)
        {
            restore_value(value, &key.json(old, Secrets::Shown), &key.json(old, Secrets::Redacted));
        }
    }
    patch
}

fn holds_redacted(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(REDACTED),
        Value::Array(items) => items.iter().any(holds_redacted),
        Value::Object(map) => map.values().any(holds_redacted),
        _ => false,
    }
}

/// `old` and `hidden` are the same value, with its secrets and without.
fn restore_value(value: &mut Value, old: &Value, hidden: &Value) {
    match (value, old, hidden) {
        (value @ Value::String(_), Value::String(_), hidden) if value == hidden => *value = old.clone(),
        (Value::Object(map), Value::Object(old), Value::Object(hidden)) => {
            for (key, value) in map {
                if let (Some(old), Some(hidden)) = (old.get(key), hidden.get(key)) {
                    restore_value(value, old, hidden);
                }
            }
        }
        (Value::Array(items), Value::Array(old), Value::Array(hidden)) => {
            for (n, item) in items.iter_mut().enumerate().filter(|(_, item)| holds_redacted(item)) {
                // The item that stood here, if it is still of the same; else another that is.
                let others = (0..old.len()).filter(|other| *other != n);
                let same =
                    |other: &usize| hidden.get(*other).is_some_and(|hidden| same_identity(item, hidden));
                if let Some(found) = std::iter::once(n).chain(others).find(same) {
                    restore_value(item, &old[found], &hidden[found]);
                }
            }
        }
        _ => {}
    }
}

/// Whether an item of a list is about the same user, server or target.
fn same_identity(item: &Value, hidden: &Value) -> bool {
    ["user", "url", "username", "dest"].into_iter().all(|key| match (item.get(key), hidden.get(key)) {
        (Some(item), Some(hidden)) => item == hidden,
        _ => true,
    })
}
