//! The configuration: what the file, the environment, the command line and the API say, as one value.
//!
//! Layers become one tree of values that know where they came from (`yaml`, `layers`, `node`); old keys are turned into
//! new ones (`deprecated`); the table of `keys` reads the tree (`build`), and the result is checked (`check`, `paths`).
//! All faults are found at once. A configuration never changes: the functions of `api` make a new one from an old one.

mod api;
mod build;
mod check;
mod deprecated;
pub(crate) mod keys;
mod layers;
mod load;
mod node;
mod paths;
mod print;
mod setting;
#[cfg(test)]
mod tests;
mod text;
pub(crate) mod values;
mod yaml;

pub(crate) use api::PathChange;
pub(crate) use deprecated::old_spellings;
pub(crate) use keys::{Effect, Global, PathConfiguration};
#[cfg(test)]
use load::load;
pub(crate) use load::{Loaded, Source, digest, read_file};
pub(crate) use print::{default_file, reference};

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// A whole configuration. Immutable: every change makes a new one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Configuration {
    pub(crate) global: Global,
    pub(crate) path_defaults: PathConfiguration,
    /// By name as in the file: a path's name, `~` and a regular expression, or `all_others` (also `all`).
    pub(crate) paths: BTreeMap<String, Arc<ConfiguredPath>>,
    /// What was given for all, without the defaults.
    pub(crate) given: Given,
    pub(crate) patterns: paths::Patterns,
}

/// What the operator gave, as JSON with its secrets; the rest are defaults.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Given {
    pub(crate) global: Map<String, Value>,
    pub(crate) path_defaults: Map<String, Value>,
}

/// An entry of `paths`.
#[derive(Clone, PartialEq)]
pub(crate) struct ConfiguredPath {
    /// What was given for this path alone, as JSON with its secrets.
    pub(crate) given: Map<String, Value>,
    /// With the path defaults below.
    pub(crate) effective: Arc<PathConfiguration>,
}

impl fmt::Debug for Given {
    /// The names alone: the values hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.global.keys()).entries(self.path_defaults.keys()).finish()
    }
}

impl fmt::Debug for ConfiguredPath {
    /// The names alone: the values hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.given.keys()).finish()
    }
}

/// A key whose value differs between two configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Dotted, as `readTimeout`, `pathDefaults.record`, `paths.cam.maxReaders`; `paths.cam` for a path that came or went.
    pub(crate) key: String,
    pub(crate) effect: Effect,
}

impl Configuration {
    /// The keys that differ in `other`, the paths' last.
    pub(crate) fn difference(&self, other: &Configuration) -> Vec<Change> {
        let mut changes = Vec::new();
        for key in Global::KEYS.iter().filter(|key| !key.same(&self.global, &other.global)) {
            changes.push(Change { key: key.name.to_owned(), effect: key.effect });
        }
        differing_path_keys("pathDefaults", &self.path_defaults, &other.path_defaults, &mut changes);
        for (name, path) in &self.paths {
            let key = || format!("paths.{name}");
            match other.paths.get(name) {
                None => changes.push(Change { key: key(), effect: Effect::Paths }),
                Some(new) if Arc::ptr_eq(&path.effective, &new.effective) => {}
                Some(new) => differing_path_keys(&key(), &path.effective, &new.effective, &mut changes),
            }
        }
        for name in other.paths.keys().filter(|name| !self.paths.contains_key(*name)) {
            changes.push(Change { key: format!("paths.{name}"), effect: Effect::Paths });
        }
        changes
    }

    /// What the operator asked for whose feature does not exist yet: keys that were given another value than their
    /// default, and servers that were switched on in so many words. One line per key, with the paths that have it.
    pub(crate) fn not_in_effect(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let defaults = Global::default();
        for key in Global::KEYS.iter().filter(|key| self.given.global.contains_key(key.name)) {
            let switch = matches!(key.name, "webrtc" | "srt" | "moq" | "playback");
            let on = switch && self.given.global.get(key.name) == Some(&Value::Bool(true));
            let changed = !switch && !key.same(&defaults, &self.global);
            if key.effect == Effect::NotInEffect && (on || changed) {
                lines.push(key.name.to_owned());
            }
        }
        let multicast = self.global.rtsp_transports.contains(&values::RtspTransport::Multicast);
        if multicast && self.given.global.contains_key("rtspTransports") {
            lines.push("rtspTransports: multicast".to_owned());
        }
        lines.extend(self.path_keys_not_in_effect());
        lines
    }

    fn path_keys_not_in_effect(&self) -> Vec<String> {
        let defaults = PathConfiguration::default();
        let places: Vec<_> =
            std::iter::once(("pathDefaults", &self.given.path_defaults, &self.path_defaults))
                .chain(self.paths.iter().map(|(name, path)| (name.as_str(), &path.given, &*path.effective)))
                .filter(|(_, given, _)| !given.is_empty())
                .collect();
        let mut lines = Vec::new();
        for key in PathConfiguration::KEYS {
            let asks = |path: &PathConfiguration| match key.name {
                "source" => !matches!(path.source.as_str(), "publisher" | "redirect"),
                _ => key.effect == Effect::NotInEffect && !key.same(&defaults, path),
            };
            let who: Vec<&str> = places
                .iter()
                .filter(|(_, given, path)| given.contains_key(key.name) && asks(path))
                .map(|(name, ..)| *name)
                .collect();
            if !who.is_empty() {
                let what = if key.name == "source" { "source (pulling)" } else { key.name };
                lines.push(format!("{what} of {}", some_of(&who)));
            }
        }
        lines
    }
}

/// A few names, and how many more there are.
fn some_of(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn differing_path_keys(
    prefix: &str,
    old: &PathConfiguration,
    new: &PathConfiguration,
    changes: &mut Vec<Change>,
) {
    for key in PathConfiguration::KEYS.iter().filter(|key| !key.same(old, new)) {
        changes.push(Change { key: format!("{prefix}.{}", key.name), effect: key.effect });
    }
}

/// Something wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Fault {
    pub(crate) file: Option<PathBuf>,
    /// From 1.
    pub(crate) line: Option<usize>,
    /// Dotted, as `paths.cam.source`; empty where the fault concerns the whole file.
    pub(crate) key: String,
    pub(crate) message: String,
    /// What to do, such as the nearest right key.
    pub(crate) hint: Option<String>,
}

/// All that is wrong with a configuration, found at once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) struct Faults(pub(crate) Vec<Fault>);

/// Something that is accepted but should be changed: a deprecated key, an unknown variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Warning(pub(crate) Fault);

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Faults {
    /// One fault that concerns the whole.
    pub(crate) fn of(message: String) -> Faults {
        Faults(vec![Fault { message, ..Fault::default() }])
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
        }
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if self.file.is_some() || self.line.is_some() {
            f.write_str(" ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if n == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}
