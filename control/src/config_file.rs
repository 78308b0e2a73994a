//! Changes written back into the configuration file (`apiPersist`), as a careful person would: comments, order and
//! layout stay where nothing changed.
//!
//! - [`edit`]: a text and changes in, a text out. The text is cut at the positions the YAML parser gives ([`document`]),
//!   what is new is rendered so that readers of YAML 1.1 and 1.2 agree on it ([`render`]).
//! - [`write_atomically`]: whoever reads the file sees the old text or the new one, also after a power cut.
//!
//! Invariant: every text [`edit`] returns was read again and means what the old one means, but for the changes. What
//! cannot be changed so (anchors, several documents, unusual layout) is refused with its place, and the file stays.

mod document;
mod layout;
mod meaning;
mod render;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use write::write_atomically;

use document::Document;
use layout::Plan;
use meaning::Meaning;
use serde_json::Value;

/// One change: the value of the key becomes `value`, whatever it was.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Edit {
    /// From the outside in, as `["paths", "cam", "maxReaders"]`. What is missing on the way is created.
    pub(crate) key: Vec<String>,
    /// `None` removes the key; removing what is not there changes nothing.
    pub(crate) value: Option<Value>,
}

/// Why a text stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EditError {
    #[error("line {line}: {message}")]
    Unreadable { line: usize, message: String },
    /// The text is fine, but this change cannot be made in it without touching more than was asked for.
    #[error("{key}, line {line}: {why}; please change the file by hand")]
    Refused { key: String, line: usize, why: &'static str },
    #[error(
        "the file's layout is too unusual to change it safely (the changed text would not read as intended); \
         please change the file by hand"
    )]
    Unsafe,
}

/// Makes `edits` in `text`, one after the other, and proves that nothing else changed.
///
/// # Errors
/// A text that is not one YAML document; a change that is refused.
pub(crate) fn edit(text: &str, edits: &[Edit]) -> Result<String, EditError> {
    let original = Document::parse(text)?;
    let mut expected = Meaning::of_document(&original);
    let mut changed = text.to_owned();
    let mut rest = edits;
    while !rest.is_empty() {
        let document = Document::parse(&changed)?;
        let mut plan = Plan::new(&document);
        let mut done = 0;
        // As many as do not stand in each other's way are made at once: a thousand new paths cost one reading.
        while let Some(edit) = rest.get(done).filter(|_| plan.is_open()) {
            if !plan.add(edit)? {
                break;
            }
            done += 1;
        }
        let (now, later) = rest.split_at(done);
        now.iter().for_each(|edit| expected.change(&edit.key, edit.value.as_ref()));
        rest = later;
        changed = plan.apply();
    }
    let result = Document::parse(&changed).map_err(|_| EditError::Unsafe)?;
    if Meaning::of_document(&result) == expected { Ok(changed) } else { Err(EditError::Unsafe) }
}
