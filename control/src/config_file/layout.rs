//! Where in the text a change is made: the pieces that are cut out, and what is put in their place.
//!
//! A plan holds the pieces of several changes of one text as long as they do not touch each other. A change that gives
//! a map its first entry, takes its last one, or is made between brackets stands alone: the next one needs the text
//! read again.

use super::document::{Document, Entry, Kind, Mapping, Node};
use super::render::{self, Block, Quotes};
use super::{Edit, EditError};
use saphyr_parser::ScalarStyle;
use serde_json::{Map, Value};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// Blanks that a map inside a map is set in by, where the text shows none.
const STEP: usize = 2;

struct Piece {
    range: Range<usize>,
    with: String,
}

impl Piece {
    /// How far inside the text belongs that is put in: what goes on a line that is there comes first, then lines by
    /// their indentation; the items of a list are set in as far as the key they belong to.
    fn depth(&self) -> (usize, bool) {
        let lines = self.with.trim_start_matches(['\r', '\n']);
        if lines.len() == self.with.len() {
            return (usize::MAX, true);
        }
        let content = lines.trim_start();
        (lines.len() - content.len(), content.starts_with("- "))
    }
}

/// The pieces of one or more changes.
pub(super) struct Plan<'a> {
    document: &'a Document<'a>,
    pieces: Vec<Piece>,
    /// Keys that this plan adds: changes below them need the text as it will be.
    added: HashSet<Vec<String>>,
    /// Keys below which this plan changes something.
    entered: HashSet<Vec<String>>,
    /// How many entries this plan takes from the map that begins there.
    removed: HashMap<usize, usize>,
    open: bool,
    step: usize,
}

/// What one change comes to.
enum Outcome {
    Pieces(Vec<Piece>),
    /// Pieces that nothing else may be planned beside.
    Alone(Vec<Piece>),
}

/// The entries on the way to a key, as far as they exist.
#[derive(Clone, Copy)]
struct Way<'a> {
    /// The entry whose value is the map to be changed; `None` for the whole document.
    parent: Option<&'a Entry>,
    map: &'a Mapping,
    map_start: usize,
    in_flow: bool,
}

impl<'a> Plan<'a> {
    pub(super) fn new(document: &'a Document<'a>) -> Plan<'a> {
        let step = document.root.as_ref().and_then(|root| step(document.text, root)).unwrap_or(STEP);
        Plan {
            document,
            pieces: Vec::new(),
            added: HashSet::new(),
            entered: HashSet::new(),
            removed: HashMap::new(),
            open: true,
            step,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Adds the pieces of a change. False: it has to wait until this plan is applied.
    pub(super) fn add(&mut self, edit: &Edit) -> Result<bool, EditError> {
        let seen = |length: usize| self.added.contains(&edit.key[..length]);
        if (1..=edit.key.len()).any(seen) || self.entered.contains(&edit.key) {
            return Ok(false);
        }
        let fresh = self.pieces.is_empty() && self.added.is_empty();
        let (pieces, alone) = match self.change(edit)? {
            Outcome::Pieces(pieces) => (pieces, false),
            Outcome::Alone(pieces) => (pieces, true),
        };
        let overlaps = |new: &Piece| {
            self.pieces.iter().any(|old| new.range.start < old.range.end && old.range.start < new.range.end)
        };
        if !fresh && (alone || pieces.iter().any(overlaps)) {
            return Ok(false);
        }
        self.open = !alone;
        // The first key that is not there yet comes with all below it.
        let there = (0..edit.key.len()).rev().find(|length| self.map_at(&edit.key[..*length]).is_some());
        self.added.insert(edit.key[..there.unwrap_or(0) + 1].to_vec());
        self.entered.extend((1..edit.key.len()).map(|length| edit.key[..length].to_vec()));
        if edit.value.is_none()
            && !pieces.is_empty()
            && let Some(way) = self.map_at(&edit.key[..edit.key.len() - 1])
        {
            *self.removed.entry(way.map_start).or_default() += 1;
        }
        self.pieces.extend(pieces);
        Ok(true)
    }

    /// The text with all pieces in place.
    pub(super) fn apply(mut self) -> String {
        // At the same place, what is behind a key comes first, then what belongs to an inner map, then what to an
        // outer one; else the order of the changes.
        self.pieces.sort_by_key(|piece| (piece.range.start, piece.range.end, Reverse(piece.depth())));
        let text = self.document.text;
        let mut out = String::with_capacity(text.len() + 256);
        let mut at = 0;
        for piece in &self.pieces {
            out.push_str(&text[at..piece.range.start]);
            out.push_str(&piece.with);
            at = piece.range.end;
        }
        out.push_str(&text[at..]);
        out
    }

    fn refused(&self, edit: &Edit, at: usize, why: &'static str) -> EditError {
        EditError::Refused { key: edit.key.join("."), line: self.document.line(at), why }
    }

    /// The map that `keys` lead to; `None` where one of them does not exist or leads to no map.
    fn map_at(&self, keys: &[String]) -> Option<Way<'a>> {
        let (mut node, mut parent, mut in_flow) = (self.document.root.as_ref()?, None, false);
        for key in keys {
            let Kind::Mapping(map) = &node.kind else { return None };
            let entry = map.get(key)?;
            in_flow |= map.flow;
            parent = Some(entry);
            node = &entry.value;
        }
        let Kind::Mapping(map) = &node.kind else { return None };
        Some(Way { parent, map, map_start: node.start, in_flow: in_flow || map.flow })
    }

    fn change(&self, edit: &Edit) -> Result<Outcome, EditError> {
        let nothing = Ok(Outcome::Pieces(Vec::new()));
        if edit.key.is_empty() {
            return Err(self.refused(edit, 0, "the whole file cannot be replaced"));
        }
        let Some(root) = &self.document.root else {
            return if edit.value.is_some() { self.begin_document(edit) } else { nothing };
        };
        let mut node = root;
        let mut parent: Option<&Entry> = None;
        let mut in_flow = false;
        for (depth, key) in edit.key.iter().enumerate() {
            self.check(edit, node)?;
            let map = match &node.kind {
                Kind::Mapping(map) if map.entries.is_empty() && !in_flow && parent.is_some() => {
                    return self.first_entry(edit, depth, parent);
                }
                Kind::Mapping(map) => map,
                Kind::Scalar { text, style: ScalarStyle::Plain } if render::is_null(text) => {
                    return self.first_entry(edit, depth, parent);
                }
                _ if edit.value.is_none() => return nothing,
                _ => return Err(self.refused(edit, node.start, "there is a value where a map is needed")),
            };
            in_flow |= map.flow;
            let last = depth + 1 == edit.key.len();
            match (map.get(key), &edit.value) {
                (Some(entry), Some(value)) if last => return self.replace(edit, entry, value, in_flow),
                (Some(entry), None) if last => {
                    return self.remove(edit, Way { parent, map, map_start: node.start, in_flow }, entry);
                }
                (Some(entry), _) => {
                    parent = Some(entry);
                    node = &entry.value;
                }
                (None, None) => return nothing,
                (None, Some(value)) => {
                    let value = nested(&edit.key[depth + 1..], value);
                    return self.append(edit, map, node, (key, &value));
                }
            }
        }
        nothing
    }

    /// Nothing may be changed through an anchor, an alias or a tag: more than the one place would change.
    fn check(&self, edit: &Edit, node: &Node) -> Result<(), EditError> {
        let merges = matches!(&node.kind, Kind::Mapping(map) if map.get("<<").is_some());
        let why = match node.kind {
            Kind::Alias(_) => "it is an alias of another place",
            _ if node.anchor != 0 => "its anchor is used in other places",
            _ if node.tag.is_some() => "it carries a tag",
            _ if merges => "other maps are merged into it",
            _ => return Ok(()),
        };
        Err(self.refused(edit, node.start, why))
    }

    /// The value of a key that is there.
    fn replace(
        &self,
        edit: &Edit,
        entry: &Entry,
        value: &Value,
        in_flow: bool,
    ) -> Result<Outcome, EditError> {
        let old = &entry.value;
        self.check_old(edit, old)?;
        let colon = self.colon(edit, entry)?;
        let absent = old.is_absent();
        let was_block_list = matches!(&old.kind, Kind::Sequence { flow: false, items } if !items.is_empty());
        let quotes = match &old.kind {
            Kind::Scalar { style: ScalarStyle::SingleQuoted, .. } if value.is_string() => Quotes::Single,
            Kind::Scalar { style: ScalarStyle::DoubleQuoted, .. } if value.is_string() => Quotes::Double,
            _ if in_flow => Quotes::Double,
            _ => Quotes::AsNeeded,
        };
        let block_scalar =
            matches!(&old.kind, Kind::Scalar { style: ScalarStyle::Literal | ScalarStyle::Folded, .. });
        let key_line_end = self.line_end(colon);
        let below = !absent && !block_scalar && old.start > key_line_end;
        if !in_flow && render::is_block(value, was_block_list) {
            let indent = self.indent(edit, entry.key_start)?;
            let indent = if value.is_object() { indent + self.step } else { indent };
            let lines = self.lines(|block| block.value(value, indent));
            let old_end = self.line_end(entry.end());
            return Ok(Outcome::Pieces(if below {
                vec![Piece { range: key_line_end..old_end, with: lines }]
            } else {
                // A comment behind the old value stays with the key.
                vec![
                    Piece { range: colon..entry.end(), with: String::new() },
                    Piece { range: old_end..old_end, with: lines },
                ]
            }));
        }
        let text = render::inline(value, quotes, in_flow);
        let behind_colon = Piece { range: colon..colon, with: format!(" {text}") };
        let block = matches!(&old.kind, Kind::Sequence { flow: false, .. })
            || matches!(&old.kind, Kind::Mapping(map) if !map.flow);
        Ok(Outcome::Pieces(if absent {
            vec![behind_colon]
        } else if block_scalar {
            vec![Piece { range: colon..old.end, with: behind_colon.with }]
        } else if block {
            let old_lines = Piece { range: key_line_end..self.line_end(old.end), with: String::new() };
            vec![behind_colon, old_lines]
        } else {
            vec![Piece { range: old.start..old.end, with: text }]
        }))
    }

    fn check_old(&self, edit: &Edit, old: &Node) -> Result<(), EditError> {
        if !matches!(old.kind, Kind::Mapping(_)) {
            self.check(edit, old)?;
        }
        let why = match old.kind {
            _ if old.holds_anchor() => "an anchor in it may be used in other places",
            _ if old.tag.is_some() => "it carries a tag",
            _ => return Ok(()),
        };
        Err(self.refused(edit, old.start, why))
    }

    /// A new key behind the last one of a map that has some, or of an empty one between brackets.
    fn append(
        &self,
        edit: &Edit,
        map: &Mapping,
        node: &Node,
        (key, value): (&str, &Value),
    ) -> Result<Outcome, EditError> {
        let Some(last) = map.entries.last() else {
            let with = flow_entry(key, value, Quotes::AsNeeded);
            return Ok(Outcome::Alone(vec![Piece { range: node.end - 1..node.end - 1, with }]));
        };
        if map.flow {
            let quotes = match map.entries[0].key_style {
                ScalarStyle::DoubleQuoted => Quotes::Double,
                _ => Quotes::AsNeeded,
            };
            let line = self.line_start(last.key_start);
            let indent = &self.document.text[line..last.key_start];
            let separator = if line > 0 && indent.trim().is_empty() {
                format!(",{}{indent}", self.document.newline)
            } else {
                ", ".to_owned()
            };
            let at = last.end();
            let with = format!("{separator}{}", flow_entry(key, value, quotes));
            return Ok(Outcome::Alone(vec![Piece { range: at..at, with }]));
        }
        let indent = self.indent(edit, map.entries[0].key_start)?;
        let at = self.comments_end(self.line_end(last.end()), indent);
        let with = self.lines(|block| block.entry(key, value, indent));
        Ok(Outcome::Pieces(vec![Piece { range: at..at, with }]))
    }

    /// The first key of a map that is missing or empty: below the key of the map.
    fn first_entry(&self, edit: &Edit, depth: usize, parent: Option<&Entry>) -> Result<Outcome, EditError> {
        let Some(value) = &edit.value else { return Ok(Outcome::Pieces(Vec::new())) };
        let Some(parent) = parent else {
            let at = self.document.root.as_ref().map_or(0, |root| root.start);
            return Err(self.refused(edit, at, "the file holds a single null"));
        };
        let value = nested(&edit.key[depth..], value);
        let in_flow = self.map_at(&edit.key[..depth - 1]).is_some_and(|way| way.in_flow);
        if in_flow {
            return self.replace(edit, parent, &value, true);
        }
        let (colon, indent) = (self.colon(edit, parent)?, self.indent(edit, parent.key_start)?);
        let at = self.line_end(parent.end());
        let with = self.lines(|block| block.value(&value, indent + self.step));
        let cut = Piece { range: colon..parent.end(), with: String::new() };
        Ok(Outcome::Alone(vec![cut, Piece { range: at..at, with }]))
    }

    /// Into a text of comments only.
    fn begin_document(&self, edit: &Edit) -> Result<Outcome, EditError> {
        let value = nested(&edit.key, edit.value.as_ref().unwrap_or(&Value::Null));
        let text = self.document.text;
        let lines = self.lines(|block| block.value(&value, 0));
        let newline = self.document.newline;
        let lines = lines.trim_start_matches(['\r', '\n']);
        let before = if text.is_empty() || text.ends_with('\n') { "" } else { newline };
        let with = format!("{before}{lines}{newline}");
        Ok(Outcome::Alone(vec![Piece { range: text.len()..text.len(), with }]))
    }

    fn remove(&self, edit: &Edit, way: Way<'a>, entry: &Entry) -> Result<Outcome, EditError> {
        if entry.value.holds_anchor() {
            return Err(self.refused(edit, entry.key_start, "an anchor in it may be used in other places"));
        }
        let Way { parent, map, map_start, in_flow } = way;
        if in_flow {
            return Ok(Outcome::Alone(vec![Piece { range: flow_range(map, entry), with: String::new() }]));
        }
        let indent = self.indent(edit, entry.key_start)?;
        let lines = Piece { range: self.lines_of(entry, indent), with: String::new() };
        let taken = self.removed.get(&map_start).copied().unwrap_or(0);
        if map.entries.len() - taken > 1 {
            return Ok(Outcome::Pieces(vec![lines]));
        }
        let mut pieces = vec![lines];
        if let Some(parent) = parent {
            let colon = self.colon(edit, parent)?;
            pieces.push(Piece { range: colon..colon, with: " {}".to_owned() });
        }
        Ok(Outcome::Alone(pieces))
    }

    /// The lines of an entry: those of its value, the comments set in below it, and the comment above, if it is its own.
    fn lines_of(&self, entry: &Entry, indent: usize) -> Range<usize> {
        let text = self.document.text;
        let first = self.line_start(entry.key_start);
        let end = self.after_line(self.comments_end(self.line_end(entry.end()), indent));
        let mut start = first;
        while start > 0 {
            let above = self.line_start(start - 1);
            let line = text[above..start].trim_end();
            if !line.trim_start().starts_with('#') || line.len() - line.trim_start().len() != indent {
                break;
            }
            start = above;
        }
        if start == 0 {
            // The head of the file.
            return first..end;
        }
        // A comment above several entries without a gap is the heading of them all.
        let next = text[end..].lines().next().unwrap_or_default();
        let next_indent = next.len() - next.trim_start().len();
        let sibling_follows =
            !next.trim().is_empty() && !next.trim_start().starts_with('#') && next_indent == indent;
        let above = text[..start].trim_end_matches(' ');
        let entry_above = start > 0 && !above.ends_with("\n\n") && !above.ends_with("\n\r\n");
        let heading = sibling_follows && !(entry_above && self.is_entry_above(start, indent));
        if heading { first..end } else { start..end }
    }

    /// Whether the line before `start` belongs to an entry beside or in it, so that a comment between is of what follows.
    fn is_entry_above(&self, start: usize, indent: usize) -> bool {
        let line = &self.document.text[self.line_start(start - 1)..start];
        line.len() - line.trim_start().len() >= indent
    }

    /// Where the comments end that follow `line_end` and are set in more than `indent`: they belong to what is above.
    fn comments_end(&self, line_end: usize, indent: usize) -> usize {
        let text = self.document.text;
        let mut kept = line_end;
        let mut at = self.after_line(line_end);
        while at < text.len() {
            let end = self.line_end(at);
            let line = &text[at..end];
            let content = line.trim_start();
            if content.starts_with('#') && line.len() - content.len() > indent {
                kept = end;
            } else if !content.is_empty() {
                break;
            }
            at = self.after_line(end);
        }
        kept
    }

    /// Lines that go behind the end of a line.
    fn lines(&self, render: impl FnOnce(&mut Block)) -> String {
        let mut block = Block { lines: Vec::new(), step: self.step };
        render(&mut block);
        block.lines.iter().map(|line| format!("{}{line}", self.document.newline)).collect()
    }

    /// Blanks before a key that begins its line.
    fn indent(&self, edit: &Edit, key_start: usize) -> Result<usize, EditError> {
        let before = &self.document.text[self.line_start(key_start)..key_start];
        let before = before.strip_prefix('\u{feff}').unwrap_or(before);
        if before.chars().all(|c| c == ' ') {
            return Ok(before.len());
        }
        Err(self.refused(edit, key_start, "something else stands before it on its line"))
    }

    fn colon(&self, edit: &Edit, entry: &Entry) -> Result<usize, EditError> {
        let why = "its key is written in the long form, with a question mark";
        entry.colon.ok_or_else(|| self.refused(edit, entry.key_start, why))
    }

    fn line_start(&self, at: usize) -> usize {
        self.document.text[..at].rfind('\n').map_or(0, |found| found + 1)
    }

    /// Before the line's end, whichever of the two it is.
    fn line_end(&self, at: usize) -> usize {
        let rest = &self.document.text[at..];
        let line = rest.find('\n').map_or(rest, |found| &rest[..found]);
        at + line.strip_suffix('\r').unwrap_or(line).len()
    }

    fn after_line(&self, at: usize) -> usize {
        let rest = &self.document.text[at..];
        rest.find('\n').map_or(self.document.text.len(), |found| at + found + 1)
    }
}

/// `value` below `keys`.
fn nested(keys: &[String], value: &Value) -> Value {
    keys.iter().rev().fold(value.clone(), |inner, key| Value::Object(Map::from_iter([(key.clone(), inner)])))
}

fn flow_entry(key: &str, value: &Value, quotes: Quotes) -> String {
    format!("{}: {}", render::string(key, quotes, true), render::inline(value, quotes, true))
}

/// An entry between brackets, with the comma that parts it from the others.
fn flow_range(map: &Mapping, entry: &Entry) -> Range<usize> {
    let index = map.entries.iter().position(|other| other.key_start == entry.key_start).unwrap_or(0);
    match (index.checked_sub(1).map(|before| &map.entries[before]), map.entries.get(index + 1)) {
        (Some(before), _) => before.end()..entry.end(),
        (None, Some(after)) => entry.key_start..after.key_start,
        (None, None) => entry.key_start..entry.end(),
    }
}

/// How far the first map inside a map is set in.
fn step(text: &str, node: &Node) -> Option<usize> {
    let column = |at: usize| at - text[..at].rfind('\n').map_or(0, |found| found + 1);
    let Kind::Mapping(map) = &node.kind else { return None };
    if map.flow {
        return None;
    }
    map.entries.iter().find_map(|entry| match &entry.value.kind {
        Kind::Mapping(inner) if !inner.flow => {
            let inner = inner.entries.first()?;
            column(inner.key_start).checked_sub(column(entry.key_start)).filter(|step| *step > 0)
        }
        _ => None,
    })
}
