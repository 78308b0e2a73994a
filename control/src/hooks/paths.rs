//! Which entry of the configuration stands for a path: its own, else the first regular expression that matches in the
//! order of their texts, else `all_others`.

use crate::config::{Configuration, PathConfiguration};
use regex::Regex;
use std::sync::Arc;

/// Entries for every path that no other entry stands for.
const REST: [&str; 3] = ["all_others", "all", "~^.*$"];

/// The keys for a path, and the groups of its regular expression, G1 first.
pub(super) fn find(
    configuration: &Configuration,
    name: &str,
) -> Option<(Arc<PathConfiguration>, Vec<String>)> {
    let paths = &configuration.paths;
    if let Some(path) = paths.get(name) {
        return Some((Arc::clone(&path.effective), Vec::new()));
    }
    for (entry, path) in paths.range("~".to_owned()..).filter(|(entry, _)| entry.as_str() != REST[2]) {
        let Some(expression) = entry.strip_prefix('~').and_then(|text| Regex::new(text).ok()) else {
            continue;
        };
        if let Some(captures) = expression.captures(name) {
            let text = |group: Option<regex::Match<'_>>| group.map_or("", |group| group.as_str()).to_owned();
            return Some((Arc::clone(&path.effective), captures.iter().skip(1).map(text).collect()));
        }
    }
    let rest = REST.iter().find_map(|entry| paths.get(*entry))?;
    Some((Arc::clone(&rest.effective), Vec::new()))
}

/// Whether an entry is for one path.
pub(super) fn is_exact(entry: &str) -> bool {
    !entry.starts_with('~') && !REST.contains(&entry)
}
