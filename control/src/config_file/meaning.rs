//! What a YAML text says, without how it is laid out: the measure of whether an edit did what it should, and no more.
//!
//! Anchors and aliases stay as they are: an edit never touches them, so their numbers are the same before and after.

use super::document::{Document, Kind, Node};
use super::render;
use saphyr_parser::ScalarStyle;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Null,
    /// A text for every reader.
    Text(String),
    /// Something that readers may take for a number, a boolean or a time, as it is written.
    Word(String),
    List(Vec<Meaning>),
    Map(BTreeMap<String, Meaning>),
    Alias(usize),
    Marked {
        anchor: usize,
        tag: Option<String>,
        value: Box<Meaning>,
    },
}

impl Meaning {
    /// A document without a value is an empty map.
    pub(super) fn of_document(document: &Document<'_>) -> Meaning {
        match document.root.as_ref().map(Meaning::of_node) {
            None | Some(Meaning::Null) => Meaning::Map(BTreeMap::new()),
            Some(meaning) => meaning,
        }
    }

    fn of_node(node: &Node) -> Meaning {
        let value = match &node.kind {
            Kind::Scalar { text, style: ScalarStyle::Plain } if render::is_null(text) => Meaning::Null,
            Kind::Scalar { text, style: ScalarStyle::Plain } if render::is_ambiguous(text) => {
                Meaning::Word(text.clone())
            }
            Kind::Scalar { text, .. } => Meaning::Text(text.clone()),
            Kind::Sequence { items, .. } => Meaning::List(items.iter().map(Meaning::of_node).collect()),
            Kind::Mapping(mapping) => Meaning::Map(
                mapping
                    .entries
                    .iter()
                    .map(|entry| (entry.name.clone(), Meaning::of_node(&entry.value)))
                    .collect(),
            ),
            Kind::Alias(target) => Meaning::Alias(*target),
        };
        if node.anchor == 0 && node.tag.is_none() {
            value
        } else {
            Meaning::Marked { anchor: node.anchor, tag: node.tag.clone(), value: Box::new(value) }
        }
    }

    pub(super) fn of_value(value: &Value) -> Meaning {
        match value {
            Value::Null => Meaning::Null,
            Value::Bool(_) | Value::Number(_) => Meaning::Word(render::word(value)),
            Value::String(text) => Meaning::Text(text.clone()),
            Value::Array(items) => Meaning::List(items.iter().map(Meaning::of_value).collect()),
            Value::Object(entries) => Meaning::Map(
                entries.iter().map(|(name, value)| (name.clone(), Meaning::of_value(value))).collect(),
            ),
        }
    }

    /// Makes the change that the text is to show.
    pub(super) fn change(&mut self, key: &[String], value: Option<&Value>) {
        let Some((name, rest)) = key.split_first() else { return };
        if *self == Meaning::Null && value.is_some() {
            *self = Meaning::Map(BTreeMap::new());
        }
        let Meaning::Map(entries) = self else { return };
        match (rest.is_empty(), value) {
            (true, None) => drop(entries.remove(name)),
            (true, Some(value)) => drop(entries.insert(name.clone(), Meaning::of_value(value))),
            (false, None) => entries.get_mut(name).into_iter().for_each(|inner| inner.change(rest, None)),
            (false, Some(_)) => entries.entry(name.clone()).or_insert(Meaning::Null).change(rest, value),
        }
    }
}
