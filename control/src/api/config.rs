//! What the API asks of the configuration beyond what it shows of itself.

use crate::config::{Configuration, PathChange};
use crate::core::ChangeError;
use crate::http::answer::Failure;
use axum::http::StatusCode;
use serde_json::{Map, Value};

/// The entries of the configuration that name one path.
pub(super) fn exact_names(configuration: &Configuration) -> impl Iterator<Item = &str> {
    let names = configuration.paths.keys().map(String::as_str);
    names.filter(|name| !name.starts_with('~') && !matches!(*name, "all" | "all_others"))
}

/// The entry for a path; empty where there is none any more.
pub(super) fn name_for<'a>(configuration: &'a Configuration, path: &str) -> &'a str {
    configuration.find_path(path).map_or("", |found| found.name)
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

/// Makes several changes: deletes, then replaces, patches and adds. What is wrong comes by name.
pub(super) fn bulk(
    configuration: &Configuration,
    bulk: &Bulk,
) -> Result<Configuration, Vec<(String, ChangeError)>> {
    let deletes = bulk.delete.iter().map(|name| (name.as_str(), PathChange::Delete));
    let replaces = bulk.replace.iter().map(|(name, given)| (name.as_str(), PathChange::Replace(given)));
    let patches = bulk.patch.iter().map(|(name, given)| (name.as_str(), PathChange::Patch(given)));
    let adds = bulk.add.iter().map(|(name, given)| (name.as_str(), PathChange::Add(given)));
    configuration.change_paths(deletes.chain(replaces).chain(patches).chain(adds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(names: &[&str]) -> Configuration {
        let add = names.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
        bulk(&Configuration::default(), &Bulk { add, ..Bulk::default() }).expect("valid names")
    }

    #[test]
    fn exact_names_come_before_patterns_and_those_before_all_others() {
        let configuration = with(&["cam1", "~^cam", "~^c", "all_others"]);
        assert_eq!(exact_names(&configuration).collect::<Vec<_>>(), ["cam1"]);
        for (path, expected) in [("cam1", "cam1"), ("cam2", "~^c"), ("other", "all_others")] {
            assert_eq!(name_for(&configuration, path), expected);
        }
    }

    #[test]
    fn a_bulk_is_made_whole_or_not_at_all() {
        let configuration = with(&["old"]);
        let map = |name: &str| Map::from_iter([(name.to_owned(), json!({"source": "publisher"}))]);
        let all =
            Bulk { add: map("new"), patch: map("none"), delete: vec!["gone".to_owned()], ..Bulk::default() };
        let wrong = bulk(&configuration, &all).unwrap_err();
        assert_eq!(wrong.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["gone", "none"]);
        let fine = Bulk { add: map("new"), delete: vec!["old".to_owned()], ..Bulk::default() };
        let new = bulk(&configuration, &fine).unwrap();
        assert_eq!(new.paths.keys().collect::<Vec<_>>(), ["new"]);
    }
}
