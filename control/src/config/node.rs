//! What a configuration says before its keys are known: a tree of values, each with the place it came from.
//!
//! All layers (file, environment, command line, API) become this one tree; only then the table of keys reads it. Maps
//! hold no key twice; the depth is bounded by the reader that made the tree.

use super::{Fault, Warning};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

/// Faults that are kept while reading; nobody reads more, and a hostile request could make millions.
const FAULTS_MAX: usize = 1000;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A line of the file, from 1.
    Line(usize),
    /// An environment variable's name.
    Variable(Arc<str>),
    /// The key of an argument `KEY=VALUE`.
    Argument(Arc<str>),
    /// A request to the API.
    Request,
    /// Nobody said it.
    Default,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) origin: Origin,
    pub(crate) data: Data,
}

#[derive(Clone, Debug)]
pub(crate) enum Data {
    Null,
    Bool(bool),
    /// As written.
    Number(String),
    Text(String),
    /// From the environment or the command line: whatever the key's type makes of it.
    Loose(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// Of the key, which may stand above its value.
    pub(crate) origin: Origin,
    pub(crate) value: Node,
}

impl Node {
    pub(crate) fn new(origin: Origin, data: Data) -> Node {
        Node { origin, data }
    }

    pub(crate) fn map(origin: Origin) -> Node {
        Node { origin, data: Data::Map(Vec::new()) }
    }

    /// A JSON value, all of it from one place.
    pub(crate) fn of_json(value: &Value, origin: &Origin) -> Node {
        let data = match value {
            Value::Null => Data::Null,
            Value::Bool(value) => Data::Bool(*value),
            Value::Number(number) => Data::Number(written(number)),
            Value::String(text) => Data::Text(text.clone()),
            Value::Array(items) => Data::List(items.iter().map(|item| Node::of_json(item, origin)).collect()),
            Value::Object(map) => Data::Map(
                map.iter()
                    .map(|(key, value)| Entry {
                        key: key.clone(),
                        origin: origin.clone(),
                        value: Node::of_json(value, origin),
                    })
                    .collect(),
            ),
        };
        Node { origin: origin.clone(), data }
    }

    /// The kind of value, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.data {
            Data::Null => "nothing",
            Data::Bool(true) => "yes",
            Data::Bool(false) => "no",
            Data::Number(_) => "a number",
            Data::Text(_) | Data::Loose(_) => "a text",
            Data::List(_) => "a list",
            Data::Map(_) => "a map",
        }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.data {
            Data::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The value of `key`, made if it is not there. A node that is no map becomes an empty one first.
    pub(crate) fn child(&mut self, key: &str, origin: &Origin) -> &mut Node {
        if !matches!(self.data, Data::Map(_)) {
            self.data = Data::Map(Vec::new());
        }
        let Data::Map(entries) = &mut self.data else { unreachable!("made a map above") };
        let index = entries.iter().position(|entry| entry.key == key).unwrap_or_else(|| {
            entries.push(Entry {
                key: key.to_owned(),
                origin: origin.clone(),
                value: Node::new(origin.clone(), Data::Null),
            });
            entries.len() - 1
        });
        &mut entries[index].value
    }
}

/// A JSON number as the readers of keys take it. To JSON Schema `343.0` is an integer, so a whole number is written
/// without its fraction; one that a double cannot tell from its neighbours stays as it is.
fn written(number: &serde_json::Number) -> String {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        Some(value) if number.is_f64() && value.fract() == 0.0 && value.abs() < EXACT_MAX => {
            (value as i64).to_string()
        }
        _ => number.to_string(),
    }
}

/// The state of reading a tree: where in it the reader is, and what it found wrong.
pub(crate) struct Reading<'a> {
    pub(crate) file: Option<&'a Path>,
    /// Dotted keys from the root to here.
    key: String,
    /// Where each key was given, for faults that are found later.
    origins: HashMap<String, Origin>,
    /// Keys whose value could not be read, and the lists they are in.
    unread: HashSet<String>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) warnings: Vec<Warning>,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(file: Option<&'a Path>) -> Reading<'a> {
        Reading {
            file,
            key: String::new(),
            origins: HashMap::new(),
            unread: HashSet::new(),
            faults: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Goes down to `key`, which was given at `origin`, and back up after `read`.
    pub(crate) fn within<T>(
        &mut self,
        key: &str,
        origin: &Origin,
        read: impl FnOnce(&mut Reading<'a>) -> T,
    ) -> T {
        let length = self.key.len();
        if length > 0 {
            self.key.push('.');
        }
        self.key.push_str(key);
        self.origins.insert(self.key.clone(), origin.clone());
        let result = read(self);
        self.key.truncate(length);
        result
    }

    /// Whether so much is wrong that no more is noted.
    pub(crate) fn is_full(&self) -> bool {
        self.faults.len() >= FAULTS_MAX
    }

    /// Something is wrong with the value that is being read.
    pub(crate) fn fault(&mut self, origin: &Origin, message: impl Into<String>, hint: Option<String>) {
        if self.is_full() {
            return;
        }
        let key = self.key.clone();
        for (at, _) in key.match_indices('.') {
            let item = key[at + 1..].split('.').next().unwrap_or_default();
            if item.bytes().all(|b| b.is_ascii_digit()) {
                self.unread.insert(key[..at].to_owned());
            }
        }
        self.unread.insert(key.clone());
        let fault = self.locate(key, Some(origin), message.into(), hint);
        self.faults.push(fault);
    }

    pub(crate) fn warn(&mut self, origin: &Origin, message: impl Into<String>, hint: Option<String>) {
        let key = self.key.clone();
        let fault = self.locate(key, Some(origin), message.into(), hint);
        self.warnings.push(Warning(fault));
    }

    /// A fault found after reading: it stands where `key`, or else the nearest key above it, was given. Of a key that
    /// could not be read nothing more is told: it holds another value than was given.
    pub(crate) fn fault_at(&mut self, key: impl Into<String>, message: impl Into<String>) {
        let key = key.into();
        if self.unread.contains(&key) || self.is_full() {
            return;
        }
        let origin = self.origin_of(&key);
        let fault = self.locate(key, origin.as_ref(), message.into(), None);
        self.faults.push(fault);
    }

    /// Where a key was given: for a key of a path also where the path defaults gave it.
    fn origin_of(&self, key: &str) -> Option<Origin> {
        if let Some(origin) = self.origins.get(key) {
            return Some(origin.clone());
        }
        if let (true, Some((_, last))) = (key.starts_with("paths."), key.rsplit_once('.'))
            && let Some(origin) = self.origins.get(&format!("pathDefaults.{last}"))
        {
            return Some(origin.clone());
        }
        let mut above = key;
        while let Some((parent, _)) = above.rsplit_once('.') {
            if let Some(origin) = self.origins.get(parent) {
                return Some(origin.clone());
            }
            above = parent;
        }
        None
    }

    fn locate(
        &self,
        key: String,
        origin: Option<&Origin>,
        mut message: String,
        hint: Option<String>,
    ) -> Fault {
        let mut fault = Fault { key, hint, ..Fault::default() };
        match origin {
            Some(Origin::Line(line)) => {
                fault.file = self.file.map(Path::to_path_buf);
                fault.line = Some(*line);
            }
            Some(Origin::Variable(name)) => {
                message.push_str(&format!(" (environment variable {name})"));
            }
            Some(Origin::Argument(name)) => message.push_str(&format!(" (argument {name}=)")),
            Some(Origin::Request | Origin::Default) | None => {}
        }
        fault.message = message;
        fault
    }
}

/// The candidate that was probably meant by `word`, if one is near.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 60;
    if word.len() > LONGEST {
        return None;
    }
    let lower = word.to_lowercase();
    let near = |candidate: &'a str| {
        let most = (candidate.len().max(word.len()) / 3).max(1);
        // Cheaper than the distance, which is at least this.
        if candidate.len().abs_diff(word.len()) > most {
            return None;
        }
        let distance = strsim::osa_distance(&lower, &candidate.to_lowercase());
        (distance <= most).then_some((distance, candidate.len(), candidate))
    };
    candidates.into_iter().filter_map(near).min().map(|(.., candidate)| candidate)
}

/// Text from outside as it may stand in a message: bounded, and without line breaks.
pub(crate) fn quoted(text: &str) -> String {
    const MAX: usize = 60;
    let short: String = text.chars().take(MAX).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("\"{}{more}\"", short.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::{Data, Node, Origin};

    #[test]
    fn whole_json_numbers_are_integers_however_they_are_written() {
        for (json, expected) in
            [("343.0", "343"), ("1e3", "1000"), ("-2.0", "-2"), ("-0.0", "0"), ("7", "7"), ("0.5", "0.5")]
        {
            let value = serde_json::from_str(json).expect("JSON");
            let Data::Number(read) = Node::of_json(&value, &Origin::Request).data else {
                panic!("{json} is no number");
            };
            assert_eq!(read, expected);
        }
        let huge = serde_json::from_str("1e19").expect("JSON");
        assert!(matches!(Node::of_json(&huge, &Origin::Request).data, Data::Number(read) if read != "0"));
    }
}
