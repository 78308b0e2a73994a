//! A YAML text as a tree of nodes with their places in it.
//!
//! Built on the events of the parser rather than on a finished tree, because styles, anchors and exact ends are needed.
//! Places are bytes of the text. The end of a node is the end of its last character that is not blank: no comment, no
//! line end behind it belongs to it.

use super::EditError;
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};
use std::borrow::Cow;
use std::collections::HashMap;

/// Maps and lists in each other; a configuration has five.
const DEPTH_MAX: usize = 64;
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A text with at most one document.
pub(super) struct Document<'a> {
    pub(super) text: &'a str,
    /// `None`: nothing but comments.
    pub(super) root: Option<Node>,
    /// The line end that the text uses.
    pub(super) newline: &'static str,
}

pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
    /// The number of its anchor in the document, from 1; 0 for none.
    pub(super) anchor: usize,
    pub(super) tag: Option<String>,
}

pub(super) enum Kind {
    Scalar {
        text: String,
        style: ScalarStyle,
    },
    Sequence {
        items: Vec<Node>,
        flow: bool,
    },
    Mapping(Mapping),
    /// The number of the anchor it stands for.
    Alias(usize),
}

#[derive(Default)]
pub(super) struct Mapping {
    pub(super) entries: Vec<Entry>,
    pub(super) flow: bool,
    index: HashMap<String, usize>,
}

pub(super) struct Entry {
    pub(super) name: String,
    pub(super) key_start: usize,
    pub(super) key_style: ScalarStyle,
    /// Behind the colon; `None` for the long form with a question mark.
    pub(super) colon: Option<usize>,
    pub(super) value: Node,
}

impl Mapping {
    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.index.get(name).map(|index| &self.entries[*index])
    }
}

impl Entry {
    /// Behind the last character of key and value.
    pub(super) fn end(&self) -> usize {
        self.value.end.max(self.colon.unwrap_or(0))
    }
}

impl Node {
    /// Nothing is written where the value should be.
    pub(super) fn is_absent(&self) -> bool {
        self.start == self.end && matches!(self.kind, Kind::Scalar { style: ScalarStyle::Plain, .. })
    }

    /// Whether it, or anything in it, has an anchor.
    pub(super) fn holds_anchor(&self) -> bool {
        self.anchor != 0
            || match &self.kind {
                Kind::Scalar { .. } | Kind::Alias(_) => false,
                Kind::Sequence { items, .. } => items.iter().any(Node::holds_anchor),
                Kind::Mapping(mapping) => mapping.entries.iter().any(|entry| entry.value.holds_anchor()),
            }
    }
}

impl<'a> Document<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Document<'a>, EditError> {
        // The parser takes the mark for a part of the first key.
        let skipped = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len_utf8() } else { 0 };
        let yaml = &text[skipped..];
        let mut builder =
            Builder { text, offsets: offsets(yaml, skipped), events: Parser::new_from_str(yaml) };
        let root = builder.document()?;
        let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
        Ok(Document { text, root, newline })
    }

    /// From 1.
    pub(super) fn line(&self, at: usize) -> usize {
        line(self.text, at)
    }
}

fn line(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The byte at which each character begins; empty where the two are the same.
fn offsets(yaml: &str, skipped: usize) -> Vec<usize> {
    if skipped == 0 && yaml.is_ascii() {
        return Vec::new();
    }
    yaml.char_indices().map(|(at, _)| at + skipped).collect()
}

struct Builder<'a> {
    text: &'a str,
    offsets: Vec<usize>,
    events: Parser<'a, saphyr_parser::StrInput<'a>>,
}

type Found<'a> = (Event<'a>, Span);

impl<'a> Builder<'a> {
    fn document(&mut self) -> Result<Option<Node>, EditError> {
        let mut root = None;
        let mut documents = 0;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(self.unreadable(span, "a second document begins here; only one is read"));
                    }
                    let first = self.next()?;
                    root = Some(self.node(first, DEPTH_MAX)?);
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<Found<'a>, EditError> {
        match self.events.next() {
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) => Err(unreadable(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, (event, span): Found<'a>, depth: usize) -> Result<Node, EditError> {
        if depth == 0 {
            return Err(self.unreadable(span, "maps and lists are nested too deeply"));
        }
        let (start, end) = (self.offset(span.start.index()), self.offset(span.end.index()));
        let tag = |tag: Option<Cow<'_, saphyr_parser::Tag>>| tag.map(|tag| tag.to_string());
        match event {
            Event::Alias(target) => Ok(Node { kind: Kind::Alias(target), start, end, anchor: 0, tag: None }),
            Event::Scalar(text, style, anchor, given) => {
                let end = self.end_of_scalar(style, start, end);
                let kind = Kind::Scalar { text: text.into_owned(), style };
                Ok(Node { kind, start, end, anchor, tag: tag(given) })
            }
            Event::SequenceStart(anchor, given) => {
                let (items, closed) = self.items(depth)?;
                let flow = start != end;
                let last = if flow { closed } else { items.last().map_or(start, |item| item.end) };
                Ok(Node { kind: Kind::Sequence { items, flow }, start, end: last, anchor, tag: tag(given) })
            }
            Event::MappingStart(anchor, given) => {
                let (mut mapping, closed) = self.entries(depth)?;
                mapping.flow = start != end;
                let last =
                    if mapping.flow { closed } else { mapping.entries.last().map_or(start, Entry::end) };
                Ok(Node { kind: Kind::Mapping(mapping), start, end: last, anchor, tag: tag(given) })
            }
            _ => Err(self.unreadable(span, "a value is missing")),
        }
    }

    /// The items up to the end of the list, and what is behind its bracket, if it has one.
    fn items(&mut self, depth: usize) -> Result<(Vec<Node>, usize), EditError> {
        let mut items = Vec::new();
        loop {
            let found = self.next()?;
            if matches!(found.0, Event::SequenceEnd) {
                return Ok((items, self.offset(found.1.start.index() + 1)));
            }
            items.push(self.node(found, depth - 1)?);
        }
    }

    fn entries(&mut self, depth: usize) -> Result<(Mapping, usize), EditError> {
        let mut mapping = Mapping::default();
        loop {
            let found = self.next()?;
            let span = found.1;
            if matches!(found.0, Event::MappingEnd) {
                return Ok((mapping, self.offset(span.start.index() + 1)));
            }
            let key = self.node(found, depth - 1)?;
            let Kind::Scalar { text: name, style } = key.kind else {
                return Err(self.unreadable(span, "a key must be a word"));
            };
            if mapping.index.insert(name.clone(), mapping.entries.len()).is_some() {
                return Err(self.unreadable(span, "a key is given twice"));
            }
            let colon = self.colon(key.start, key.end);
            let first = self.next()?;
            let mut value = self.node(first, depth - 1)?;
            if value.is_absent() {
                // The parser places it at the colon.
                value.start = colon.unwrap_or(key.end);
                value.end = value.start;
            }
            mapping.entries.push(Entry { name, key_start: key.start, key_style: style, colon, value });
        }
    }

    /// Behind the colon of the key that ends at `end`, unless the key is written in the long form.
    fn colon(&self, start: usize, end: usize) -> Option<usize> {
        let blank = |c: char| c == ' ' || c == '\t';
        if self.text[..start].trim_end_matches(blank).ends_with('?') {
            return None;
        }
        let rest = self.text[end..].trim_start_matches(blank);
        rest.starts_with(':').then(|| self.text.len() - rest.len() + 1)
    }

    /// The parser counts blanks and comments behind a quoted or block scalar in.
    fn end_of_scalar(&self, style: ScalarStyle, start: usize, end: usize) -> usize {
        let written = &self.text[start..end];
        let quoted = |length: Option<usize>| start + length.unwrap_or(written.len());
        match style {
            ScalarStyle::SingleQuoted => quoted(closing(written, '\'', '\'')),
            ScalarStyle::DoubleQuoted => quoted(closing(written, '"', '\\')),
            _ => start + written.trim_end().len(),
        }
    }

    fn offset(&self, character: usize) -> usize {
        if self.offsets.is_empty() {
            character.min(self.text.len())
        } else {
            self.offsets.get(character).copied().unwrap_or(self.text.len())
        }
    }

    fn unreadable(&self, span: Span, message: &str) -> EditError {
        let line = line(self.text, self.offset(span.start.index()));
        EditError::Unreadable { line, message: message.to_owned() }
    }
}

fn unreadable(error: &ScanError) -> EditError {
    EditError::Unreadable { line: error.marker().line(), message: error.info().to_owned() }
}

/// How long a quoted text is, its quotes included. `escape` makes the next character lose its meaning.
fn closing(written: &str, quote: char, escape: char) -> Option<usize> {
    let mut rest = written.char_indices().skip(1).peekable();
    while let Some((at, c)) = rest.next() {
        if c == escape && (escape != quote || rest.peek().is_some_and(|(_, next)| *next == quote)) {
            rest.next();
        } else if c == quote {
            return Some(at + 1);
        }
    }
    None
}
