//! The configuration: what the file, the environment, the command line and the API say, as one value.

pub(crate) mod keys;
pub(crate) mod values;

pub(crate) use keys::{Global, PathConfiguration};

use serde_json::Value;
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
    pub(crate) paths: BTreeMap<String, ConfiguredPath>,
}

/// An entry of `paths`.
#[derive(Clone, Debug)]
pub(crate) struct ConfiguredPath {
    /// What was given for this path alone, as JSON.
    pub(crate) given: serde_json::Map<String, Value>,
    /// With the path defaults below.
    pub(crate) effective: Arc<PathConfiguration>,
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
