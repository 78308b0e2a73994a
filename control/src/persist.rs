//! Changes made through the API, written back to the configuration file (`apiPersist`).
//!
//! Only what differs between two configurations is written, so what the environment or the command line set never
//! reaches the file. Without a file `headwater.yml` is made in the working folder.

use crate::config::Configuration;
use crate::config_file::{self, Edit};
use serde_json::{Map, Value};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file that is made where there is none: what holds without a file must hold with it.
const NEW_FILE: &str = "headwater.yml";
const NEW_TEXT: &str = "# Written by Headwater (apiPersist).\npaths:\n  all_others:\n";

/// Writes what `after` has been given differently from `before`, on another thread.
///
/// # Errors
/// A file that cannot be read, changed safely, or written; it is as it was then.
pub(crate) async fn write(
    file: Option<PathBuf>,
    before: Arc<Configuration>,
    after: Arc<Configuration>,
) -> Result<(), String> {
    let written = tokio::task::spawn_blocking(move || {
        let edits = edits(&before, &after);
        if edits.is_empty() {
            return Ok(());
        }
        let file = file.unwrap_or_else(|| PathBuf::from(NEW_FILE));
        write_edits(&file, &edits)
            .map_err(|error| format!("the change cannot be written to {}: {error}", file.display()))
    });
    written.await.unwrap_or_else(|error| Err(error.to_string()))
}

fn write_edits(file: &Path, edits: &[Edit]) -> Result<(), String> {
    let text = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => NEW_TEXT.to_owned(),
        text => text.map_err(|error| error.to_string())?,
    };
    let changed = config_file::edit(&text, edits).map_err(|error| error.to_string())?;
    config_file::write_atomically(file, &changed).map_err(|error| error.to_string())
}

fn edits(before: &Configuration, after: &Configuration) -> Vec<Edit> {
    let mut edits = Vec::new();
    map_edits(&[], &before.given.global, &after.given.global, &mut edits);
    map_edits(&["pathDefaults"], &before.given.path_defaults, &after.given.path_defaults, &mut edits);
    for name in before.paths.keys().filter(|name| !after.paths.contains_key(*name)) {
        edits.push(Edit { key: vec!["paths".to_owned(), name.clone()], value: None });
    }
    for (name, path) in &after.paths {
        match before.paths.get(name) {
            Some(old) => map_edits(&["paths", name], &old.given, &path.given, &mut edits),
            None => {
                let value = Some(Value::Object(path.given.clone()));
                edits.push(Edit { key: vec!["paths".to_owned(), name.clone()], value });
            }
        }
    }
    edits
}

/// What differs between two maps below `key`.
fn map_edits(key: &[&str], before: &Map<String, Value>, after: &Map<String, Value>, edits: &mut Vec<Edit>) {
    let below = |name: &String| key.iter().map(|part| (*part).to_owned()).chain([name.clone()]).collect();
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        edits.push(Edit { key: below(name), value: None });
    }
    for (name, value) in after.iter().filter(|(name, value)| before.get(*name) != Some(*value)) {
        edits.push(Edit { key: below(name), value: Some(value.clone()) });
    }
}

#[cfg(test)]
mod tests {
    use super::{map_edits, write_edits};
    use crate::config_file::Edit;
    use serde_json::{Value, json};

    fn object(value: Value) -> serde_json::Map<String, Value> {
        match value {
            Value::Object(map) => map,
            _ => panic!("an object"),
        }
    }

    #[test]
    fn only_differences_are_written() {
        let before = object(json!({"record": true, "maxReaders": 1, "source": "publisher"}));
        let after = object(json!({"maxReaders": 2, "source": "publisher", "fallback": "x"}));
        let mut edits = Vec::new();
        map_edits(&["paths", "cam"], &before, &after, &mut edits);
        let key = |name: &str| vec!["paths".to_owned(), "cam".to_owned(), name.to_owned()];
        edits.sort_by_key(|edit| edit.key.clone());
        assert_eq!(
            edits,
            [
                Edit { key: key("fallback"), value: Some(json!("x")) },
                Edit { key: key("maxReaders"), value: Some(json!(2)) },
                Edit { key: key("record"), value: None },
            ]
        );
    }

    #[test]
    fn a_first_file_leaves_every_path_open() {
        let folder = std::env::temp_dir().join(format!("headwater-persist-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("headwater.yml");
        let _ = std::fs::remove_file(&file);
        let edit = Edit { key: vec!["logLevel".to_owned()], value: Some(json!("debug")) };
        write_edits(&file, &[edit]).expect("written");
        let text = std::fs::read_to_string(&file).expect("there");
        std::fs::remove_dir_all(&folder).expect("removed");
        assert!(text.contains("all_others:") && text.contains("logLevel: debug"), "{text}");
    }
}
