//! From a tree of values to a [`Configuration`]: old keys are turned into new ones, every key is read by the table,
//! path defaults are put below paths, and all is checked.

use super::deprecated::{self, Successor};
use super::keys::{Global, Key, PathConfiguration};
use super::node::{Data, Entry, Node, Origin, Reading, nearest};
use super::paths::{check_path, check_together};
use super::setting::{Secrets, Setting};
use super::values::{Action, Credential, InternalUser, Networks, Permission};
use super::{Configuration, ConfiguredPath, check};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Faults that are told; a mistake in the path defaults can make one per path.
const FAULTS_MAX: usize = 200;

/// Reads and checks a whole tree. What is wrong is in `reading` then.
pub(crate) fn build(mut root: Node, reading: &mut Reading<'_>) -> Configuration {
    let mut configuration = Configuration::default();
    let Data::Map(entries) = &mut root.data else {
        if !matches!(root.data, Data::Null) {
            let hint = "write KEY: VALUE lines".to_owned();
            reading.fault(&root.origin, format!("must be a map, not {}", root.kind()), Some(hint));
        }
        return configuration;
    };
    let moved = deprecated::migrate(entries, deprecated::GLOBAL, reading);
    let entries = std::mem::take(entries);
    for entry in entries.iter().filter(|entry| !matches!(entry.key.as_str(), "pathDefaults" | "paths")) {
        read_global(entry, &mut configuration.global, &mut configuration.given.global, reading);
    }
    let mut defaults = PathConfiguration::default();
    let given = entries.iter().find(|entry| entry.key == "pathDefaults");
    let mut node = given.map_or_else(|| Node::map(Origin::Default), |entry| entry.value.clone());
    for entry in moved {
        let origin = entry.origin.clone();
        *node.child(&entry.key, &origin) = entry.value;
    }
    let origin = given.map_or(Origin::Default, |entry| entry.origin.clone());
    reading.within("pathDefaults", &origin, |reading| {
        configuration.given.path_defaults = read_path_keys(node, &mut defaults, false, reading);
    });
    configuration.path_defaults = defaults;
    if let Some(entry) = entries.iter().find(|entry| entry.key == "paths") {
        let defaults = Arc::new(configuration.path_defaults.clone());
        reading.within("paths", &entry.origin, |reading| {
            configuration.paths = read_paths(&entry.value, &defaults, reading);
        });
    }
    finish(&mut configuration, reading);
    configuration
}

/// Makes what follows from several keys together, and checks everything.
pub(crate) fn finish(configuration: &mut Configuration, reading: &mut Reading<'_>) {
    take_users(configuration, reading);
    check::check_global(&configuration.global, reading);
    let mut key = String::new();
    for (name, path) in &configuration.paths {
        key.clear();
        key.push_str("paths.");
        key.push_str(name);
        check_path(&key, name, &path.effective, &configuration.global, reading);
        if reading.faults.len() > FAULTS_MAX {
            break;
        }
    }
    check_together(&configuration.paths, reading);
    bound(reading);
}

/// Leaves the first faults, by line, and the number of the others.
pub(crate) fn bound(reading: &mut Reading<'_>) {
    reading.faults.sort_by_key(|fault| fault.line.unwrap_or(usize::MAX));
    let others = reading.faults.len().saturating_sub(FAULTS_MAX);
    if others > 0 {
        reading.faults.truncate(FAULTS_MAX);
        let message = format!("{others} or more further faults are not listed");
        reading.faults.push(super::Fault { message, ..super::Fault::default() });
    }
}

/// Reads one entry of the file's top into `global`, and notes it in `given`.
pub(crate) fn read_global(
    entry: &Entry,
    global: &mut Global,
    given: &mut Map<String, Value>,
    reading: &mut Reading<'_>,
) {
    if reading.is_full() {
        return;
    }
    reading.within(&entry.key, &entry.origin, |reading| {
        if let Some(key) = Global::KEYS.iter().find(|key| key.name == entry.key) {
            read_key(key, entry, global, given, reading);
            return;
        }
        let known = Global::KEYS.iter().map(|key| key.name).chain(["paths", "pathDefaults"]);
        let of_path = PathConfiguration::KEYS.iter().any(|key| key.name == entry.key);
        let hint = if of_path {
            Some("it belongs under pathDefaults, or under a path".to_owned())
        } else {
            nearest(&entry.key, known).map(|near| format!("did you mean {near}?"))
        };
        reading.fault(&entry.origin, "there is no such key", hint);
    });
}

fn read_key<T>(
    key: &Key<T>,
    entry: &Entry,
    target: &mut T,
    given: &mut Map<String, Value>,
    reading: &mut Reading<'_>,
) {
    let faults = reading.faults.len();
    key.read(target, &entry.value, reading);
    if reading.faults.len() == faults && !matches!(entry.value.data, Data::Null) {
        given.insert(key.name.to_owned(), key.json(target, Secrets::Shown));
    }
}

/// Reads the keys of a path, or of the path defaults, over what `target` holds. Returns what was given. Nothing in the
/// place of a value leaves the value of the path defaults (`unset`), and in the path defaults themselves is a fault
/// where a list is wanted.
pub(crate) fn read_path_keys(
    node: Node,
    target: &mut PathConfiguration,
    unset: bool,
    reading: &mut Reading<'_>,
) -> Map<String, Value> {
    let mut given = Map::new();
    let kind = node.kind();
    let mut entries = match node.data {
        Data::Map(entries) => entries,
        Data::Null => return given,
        _ => {
            reading.fault(&node.origin, format!("must be a map, not {kind}"), None);
            return given;
        }
    };
    for moved in deprecated::migrate(&mut entries, deprecated::PATH, reading) {
        entries.push(moved);
    }
    for entry in entries.iter().filter(|entry| !(unset && matches!(entry.value.data, Data::Null))) {
        reading.within(&entry.key, &entry.origin, |reading| {
            if let Some(key) = PathConfiguration::KEYS.iter().find(|key| key.name == entry.key) {
                read_key(key, entry, target, &mut given, reading);
            } else if is_user_key(&entry.key) {
                read_user_key(entry, &mut given, reading);
            } else {
                unknown_path_key(entry, reading);
            }
        });
    }
    given
}

fn unknown_path_key(entry: &Entry, reading: &mut Reading<'_>) {
    if reading.is_full() {
        return;
    }
    let global = Global::KEYS.iter().any(|key| key.name == entry.key);
    let known = PathConfiguration::KEYS.iter().map(|key| key.name);
    let hint = if global {
        Some("it belongs at the top of the file, without indentation".to_owned())
    } else {
        nearest(&entry.key, known).map(|near| format!("did you mean {near}?"))
    };
    reading.fault(&entry.origin, "paths have no such key", hint);
}

fn read_paths(
    node: &Node,
    defaults: &Arc<PathConfiguration>,
    reading: &mut Reading<'_>,
) -> BTreeMap<String, Arc<ConfiguredPath>> {
    let mut paths = BTreeMap::new();
    match &node.data {
        Data::Map(entries) => {
            for entry in entries {
                let path = read_path(&entry.key, &entry.origin, &entry.value, defaults, reading);
                paths.insert(entry.key.clone(), Arc::new(path));
            }
        }
        Data::Null => {}
        _ => {
            let hint = "write the name of each path as a key".to_owned();
            reading.fault(&node.origin, format!("must be a map, not {}", node.kind()), Some(hint));
        }
    }
    paths
}

/// Reads one path; nothing at all is a path with the defaults.
pub(crate) fn read_path(
    name: &str,
    origin: &Origin,
    node: &Node,
    defaults: &Arc<PathConfiguration>,
    reading: &mut Reading<'_>,
) -> ConfiguredPath {
    reading.within(name, origin, |reading| {
        let mut effective = (**defaults).clone();
        let given = read_path_keys(node.clone(), &mut effective, true, reading);
        let effective = if given.is_empty() { Arc::clone(defaults) } else { Arc::new(effective) };
        ConfiguredPath { given, effective }
    })
}

/// Puts other defaults below what was given for a path.
pub(crate) fn over_defaults(given: &Map<String, Value>, defaults: &Arc<PathConfiguration>) -> ConfiguredPath {
    let mut effective = Arc::clone(defaults);
    if !given.is_empty() {
        let target = Arc::make_mut(&mut effective);
        // What was read once is valid.
        let mut reading = Reading::new(None);
        for key in PathConfiguration::KEYS {
            if let Some(value) = given.get(key.name) {
                key.read(target, &Node::of_json(value, &Origin::Default), &mut reading);
            }
        }
    }
    ConfiguredPath { given: given.clone(), effective }
}

/// Whether it is one of the keys by which paths had users of their own.
pub(crate) fn is_user_key(name: &str) -> bool {
    deprecated::find(deprecated::PATH, name).is_some_and(|old| old.successor == Successor::Users)
}

fn read_user_key(entry: &Entry, given: &mut Map<String, Value>, reading: &mut Reading<'_>) {
    let value = if entry.key.ends_with("IPs") {
        Networks::read(&entry.value, reading).map(|ips| ips.json(Secrets::Shown))
    } else {
        Credential::read(&entry.value, reading).map(|credential| credential.json(Secrets::Shown))
    };
    if let Some(value) = value {
        given.insert(entry.key.clone(), value);
    }
}

/// Makes `authInternalUsers` where paths have users of their own.
pub(crate) fn take_users(configuration: &mut Configuration, reading: &mut Reading<'_>) {
    let Configuration { global, given, paths, .. } = configuration;
    let has = |given: &Map<String, Value>| given.keys().any(|key| is_user_key(key));
    let holder = if has(&given.path_defaults) {
        Some("pathDefaults".to_owned())
    } else {
        paths.iter().find(|(_, path)| has(&path.given)).map(|(name, _)| format!("paths.{name}"))
    };
    let Some(key) = holder else {
        if !given.global.contains_key("authInternalUsers") {
            global.auth_internal_users = InternalUser::defaults();
        }
        return;
    };
    let listed = given.global.get("authInternalUsers");
    if listed.is_some_and(|listed| *listed != InternalUser::defaults().json(Secrets::Shown)) {
        let message =
            "users of a path (publishUser, readUser, …) cannot be used together with authInternalUsers";
        reading.fault_at(key, message);
        return;
    }
    let mut users = InternalUser::defaults();
    users[0].permissions.retain(|permission| permission.action == Action::Playback);
    for (name, path) in paths.iter() {
        for (action, side) in [(Action::Publish, "publish"), (Action::Read, "read")] {
            users.push(user_of_path(name, action, side, &path.given, &given.path_defaults));
        }
    }
    global.auth_internal_users = users;
}

fn user_of_path(
    name: &str,
    action: Action,
    side: &str,
    own: &Map<String, Value>,
    defaults: &Map<String, Value>,
) -> InternalUser {
    let value = |what: &str| {
        let key = format!("{side}{what}");
        own.get(&key).or_else(|| defaults.get(&key)).cloned().unwrap_or_default()
    };
    let text = |what: &str| value(what).as_str().unwrap_or_default().to_owned();
    let user = Some(text("User")).filter(|user| !user.is_empty()).unwrap_or_else(|| "any".to_owned());
    let mut reading = Reading::new(None);
    let ips = match value("IPs") {
        Value::Null => Networks::default(),
        ips => Networks::read(&Node::of_json(&ips, &Origin::Default), &mut reading).unwrap_or_default(),
    };
    let path = if matches!(name, "all" | "all_others") { "~^.*$".to_owned() } else { name.to_owned() };
    InternalUser {
        user: Credential(user),
        pass: Credential(text("Pass")),
        ips,
        permissions: vec![Permission { action, path }],
    }
}
