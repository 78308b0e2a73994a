//! Which entries of the configuration stand for one path, and which for many.

/// Whether an entry is for one path.
pub(super) fn is_exact(entry: &str) -> bool {
    !entry.starts_with('~') && !matches!(entry, "all" | "all_others")
}
