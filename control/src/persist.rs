//! Changes made through the API, written back to the configuration file (`apiPersist`).
//!
//! Only what differs between what the file gave and what is to be in force is written, so what the environment or the
//! command line set never reaches the file; a change of a key that they hold is refused, since it would not last. Old
//! spellings of a key that changes are removed. Without a file `headwater.yml` is made in the working folder.

use crate::config::{Configuration, Fault, Faults, Source, old_spellings};
use crate::config_file::{self, Edit};
use crate::core::ChangeError;
use serde_json::{Map, Value};
use std::io;
use std::path::{Path, PathBuf};

/// The file that is made where there is none.
const NEW_FILE: &str = "headwater.yml";
const NEW_TEXT: &str = "# Written by Headwater (apiPersist).\n";
/// Without a file and without paths every path is open; that has to hold with the file as well.
const OPEN_PATHS: &str = "paths:\n  all_others:\n";

/// A file that was written, and how it was before.
pub(crate) struct Written {
    pub(crate) file: PathBuf,
    pub(crate) text: String,
    /// `None` where there was no file.
    before: Option<String>,
}

impl Written {
    /// Makes the file what it was.
    pub(crate) fn undo(&self) -> io::Result<()> {
        match &self.before {
            Some(text) => config_file::write_atomically(&self.file, text),
            None => std::fs::remove_file(&self.file),
        }
    }
}

/// Writes what `after` gives differently from `before`, which is what the file gave. `None` where nothing differs.
///
/// # Errors
/// A key that the environment or the command line holds; a file that cannot be read, changed safely, or written: it is
/// as it was then.
pub(crate) fn write(
    file: Option<PathBuf>,
    source: &Source,
    before: &Configuration,
    after: &Configuration,
) -> Result<Option<Written>, ChangeError> {
    let edits = edits(before, after);
    if edits.is_empty() {
        return Ok(None);
    }
    check_held(&edits, &source.held_keys())?;
    let open = before.paths.contains_key("all_others");
    let file = file.unwrap_or_else(|| PathBuf::from(NEW_FILE));
    let written = write_edits(&file, &edits, open);
    written.map(Some).map_err(|error| {
        ChangeError::Failed(format!("the change cannot be written to {}: {error}", file.display()))
    })
}

/// Refuses what would be undone by the next start.
fn check_held(edits: &[Edit], held: &[String]) -> Result<(), Faults> {
    let is_held = |key: &str| {
        let under =
            |held: &String| held == key || held.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
        held.iter().any(under)
    };
    let keys = edits.iter().map(|edit| edit.key.join(".")).filter(|key| is_held(key));
    let message =
        "is set by the environment or the command line, so that a change would not last; change it there";
    let faults: Vec<Fault> =
        keys.map(|key| Fault { key, message: message.to_owned(), ..Fault::default() }).collect();
    if faults.is_empty() { Ok(()) } else { Err(Faults(faults)) }
}

fn write_edits(file: &Path, edits: &[Edit], open: bool) -> Result<Written, String> {
    let before = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        text => Some(text.map_err(|error| error.to_string())?),
    };
    let new = || NEW_TEXT.to_owned() + if open { OPEN_PATHS } else { "" };
    let text = before.clone().unwrap_or_else(new);
    let text = config_file::edit(&text, edits).map_err(|error| error.to_string())?;
    config_file::write_atomically(file, &text).map_err(|error| error.to_string())?;
    Ok(Written { file: file.to_path_buf(), text, before })
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
    let below = |name: &str| key.iter().map(|part| (*part).to_owned()).chain([name.to_owned()]).collect();
    let mut changed = Vec::new();
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        edits.push(Edit { key: below(name), value: None });
        changed.push(name.as_str());
    }
    for (name, value) in after.iter().filter(|(name, value)| before.get(*name) != Some(*value)) {
        edits.push(Edit { key: below(name), value: Some(value.clone()) });
        changed.push(name);
    }
    // Where one of these stands in the file it would win over the new spelling, or go on beside it.
    let of_path = !key.is_empty();
    let old = changed.into_iter().flat_map(|name| old_spellings(name, of_path));
    edits.extend(old.map(|name| Edit { key: below(name), value: None }));
}

#[cfg(test)]
mod tests {
    use super::{check_held, map_edits, write_edits};
    use crate::config_file::Edit;
    use serde_json::{Map, Value, json};

    fn object(value: Value) -> Map<String, Value> {
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
    fn old_spellings_go_with_the_key_and_what_others_hold_is_refused() {
        let after = object(json!({"overridePublisher": false}));
        let mut edits = Vec::new();
        map_edits(&["paths", "cam"], &Map::new(), &after, &mut edits);
        let removed: Vec<_> =
            edits.iter().filter(|edit| edit.value.is_none()).map(|edit| edit.key[2].as_str()).collect();
        assert_eq!(removed, ["disablePublisherOverride"]);
        assert!(check_held(&edits, &["paths.cam.maxReaders".to_owned()]).is_ok());
        let refused = check_held(&edits, &["paths.cam.overridePublisher".to_owned()]);
        assert!(refused.unwrap_err().to_string().contains("paths.cam.overridePublisher"));
        let users = Edit { key: vec!["authInternalUsers".to_owned()], value: Some(json!([])) };
        assert!(check_held(&[users], &["authInternalUsers.2.pass".to_owned()]).is_err());
    }

    #[test]
    fn a_first_file_leaves_every_path_open() {
        let folder = std::env::temp_dir().join(format!("headwater-persist-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("headwater.yml");
        let _ = std::fs::remove_file(&file);
        let edit = Edit { key: vec!["logLevel".to_owned()], value: Some(json!("debug")) };
        write_edits(&file, &[edit], true).expect("written");
        let text = std::fs::read_to_string(&file).expect("there");
        std::fs::remove_dir_all(&folder).expect("removed");
        assert!(text.contains("all_others:") && text.contains("logLevel: debug"), "{text}");
    }
}
