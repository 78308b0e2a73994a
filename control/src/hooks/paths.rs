//! Which entry of the configuration stands for a path: its own, else the first regular expression that matches in the
//! order of their texts, else `all_others`.

use crate::config::{Configuration, PathConfiguration};
use std::sync::Arc;

/// The keys for a path, and the groups of its regular expression, G1 first.
pub(super) fn find(
    configuration: &Configuration,
    name: &str,
) -> Option<(Arc<PathConfiguration>, Vec<String>)> {
    configuration.find_path(name).map(|found| (Arc::clone(found.path), found.groups))
}

/// Whether an entry is for one path.
pub(super) fn is_exact(entry: &str) -> bool {
    !entry.starts_with('~') && !matches!(entry, "all" | "all_others")
}
