//! YAML as configuration files use it (YAML 1.2 with the booleans of 1.1), read into [`Node`]s that know their lines.
//!
//! Built on the parser's events instead of its documents, because those lose duplicate keys and copy what an alias
//! names without bound. Limits: bytes, depth, values (aliases counted as often as they are used).

use super::node::{Data, Entry, Node, Origin};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};
use std::borrow::Cow;
use std::collections::HashMap;

/// 10,000 paths with all their keys need a third of it.
pub(crate) const BYTES_MAX: usize = 32 << 20;
const DEPTH_MAX: usize = 32;
const NODES_MAX: usize = 2_000_000;
/// Faults of form that are listed; the text is probably no configuration at all.
const FAULTS_MAX: usize = 50;

/// A fault of form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// From 1.
    pub(crate) line: usize,
    pub(crate) message: String,
}

impl Malformed {
    fn at(line: usize, message: impl Into<String>) -> Malformed {
        Malformed { line, message: message.into() }
    }
}

/// Reads one document. An empty text is an empty map.
///
/// # Errors
/// Text that is no YAML, has more than one document, repeats a key, or exceeds a limit; all repeated keys at once.
pub(crate) fn parse(text: &str) -> Result<Node, Vec<Malformed>> {
    if text.len() > BYTES_MAX {
        return Err(vec![Malformed::at(1, format!("longer than {} MiB", BYTES_MAX >> 20))]);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // YAML 1.2.2, section 5.1. The parser would take a NUL for the end, and a file of zeros for an empty one.
    let forbidden = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    if let Some(at) = text.find(forbidden) {
        let line = text[..at].matches('\n').count() + 1;
        return Err(vec![Malformed::at(line, "control characters are not allowed")]);
    }
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let result =
            event.map_err(|error| of_scan_error(&error)).and_then(|(event, span)| builder.take(event, span));
        if let Err(malformed) = result {
            builder.faults.push(malformed);
            return Err(builder.faults);
        }
    }
    if !builder.faults.is_empty() {
        return Err(builder.faults);
    }
    Ok(builder.root.unwrap_or_else(|| Node::map(Origin::Line(1))))
}

fn of_scan_error(error: &ScanError) -> Malformed {
    Malformed::at(error.marker().line(), format!("not valid YAML: {}", error.info()))
}

/// A list or map that is not complete yet.
struct Open {
    node: Node,
    anchor: usize,
    /// Values in it, itself included.
    nodes: usize,
    depth: usize,
    /// Of a map, the key whose value comes next.
    key: Option<(String, usize)>,
    /// Of a map, the keys so far and their lines.
    seen: HashMap<String, usize>,
    /// Of a map, what `<<` brings in.
    merged: Vec<Entry>,
}

/// What an anchor names.
struct Anchored {
    node: Node,
    nodes: usize,
    /// Levels below it, itself included.
    depth: usize,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    documents: usize,
    root: Option<Node>,
    faults: Vec<Malformed>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Malformed> {
        let line = span.start.line().max(1);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Malformed::at(line, "a second document begins; there may be only one"));
                }
            }
            Event::SequenceStart(anchor, tag) => {
                self.no_foreign_tag(tag.as_deref(), line)?;
                self.begin(Data::List(Vec::new()), anchor, line)?;
            }
            Event::MappingStart(anchor, tag) => {
                self.no_foreign_tag(tag.as_deref(), line)?;
                self.begin(Data::Map(Vec::new()), anchor, line)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(line)?,
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(text, style, anchor, tag.as_deref(), line)?;
            }
            Event::Alias(anchor) => {
                let Some(anchored) = self.anchors.get(&anchor) else {
                    return Err(Malformed::at(line, "an alias that stands inside of what it names"));
                };
                let (node, nodes, depth) = (anchored.node.clone(), anchored.nodes, anchored.depth);
                self.insert(node, nodes, depth, line)?;
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn no_foreign_tag(&self, tag: Option<&Tag>, line: usize) -> Result<(), Malformed> {
        match tag {
            Some(tag) if !tag.is_yaml_core_schema() => {
                Err(Malformed::at(line, "tags (words that begin with !) are not supported"))
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, data: Data, anchor: usize, line: usize) -> Result<(), Malformed> {
        if self.open.len() >= DEPTH_MAX {
            return Err(Malformed::at(line, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        if let Some(parent) = self.open.last()
            && matches!(parent.node.data, Data::Map(_))
            && parent.key.is_none()
        {
            return Err(Malformed::at(
                line,
                "a key must be a word, not a list or a map; is a colon missing?",
            ));
        }
        self.count(1, line)?;
        self.open.push(Open {
            node: Node::new(Origin::Line(line), data),
            anchor,
            nodes: 1,
            depth: 1,
            key: None,
            seen: HashMap::new(),
            merged: Vec::new(),
        });
        Ok(())
    }

    fn end(&mut self, line: usize) -> Result<(), Malformed> {
        let Some(Open { mut node, anchor, nodes, depth, mut seen, merged, .. }) = self.open.pop() else {
            return Err(Malformed::at(line, "not valid YAML: an end without a beginning"));
        };
        if let Data::Map(entries) = &mut node.data {
            for entry in merged {
                if seen.insert(entry.key.clone(), 0).is_none() {
                    entries.push(entry);
                }
            }
        }
        if anchor > 0 {
            // The copy counts too: anchors can be nested.
            self.count(nodes, line)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), nodes, depth });
        }
        self.place(node, nodes, depth, line)
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        line: usize,
    ) -> Result<(), Malformed> {
        self.no_foreign_tag(tag, line)?;
        if let Some(parent) = self.open.last_mut()
            && matches!(parent.node.data, Data::Map(_))
            && parent.key.is_none()
        {
            let key = text.into_owned();
            if key != "<<"
                && let Some(first) = parent.seen.insert(key.clone(), line)
                && self.faults.len() < FAULTS_MAX
            {
                let message = format!("{} is given twice, first at line {first}", super::node::quoted(&key));
                self.faults.push(Malformed::at(line, message));
            }
            parent.key = Some((key, line));
            return Ok(());
        }
        let plain = style == ScalarStyle::Plain && tag.is_none_or(|tag| tag.suffix != "str");
        let data = if plain { plain_scalar(&text) } else { Data::Text(text.into_owned()) };
        let node = Node::new(Origin::Line(line), data);
        if anchor > 0 {
            self.anchors.insert(anchor, Anchored { node: node.clone(), nodes: 1, depth: 1 });
        }
        self.insert(node, 1, 1, line)
    }

    fn count(&mut self, nodes: usize, line: usize) -> Result<(), Malformed> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            return Err(Malformed::at(line, format!("more than {NODES_MAX} values, aliases included")));
        }
        Ok(())
    }

    /// Counts a value and puts it where it belongs.
    fn insert(&mut self, node: Node, nodes: usize, depth: usize, line: usize) -> Result<(), Malformed> {
        self.count(nodes, line)?;
        if self.open.len() + depth > DEPTH_MAX + 1 {
            return Err(Malformed::at(line, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        self.place(node, nodes, depth, line)
    }

    fn place(&mut self, node: Node, nodes: usize, depth: usize, line: usize) -> Result<(), Malformed> {
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        parent.nodes += nodes;
        parent.depth = parent.depth.max(depth + 1);
        match &mut parent.node.data {
            Data::List(items) => items.push(node),
            Data::Map(entries) => match parent.key.take() {
                None => return Err(Malformed::at(line, "a key must be a word")),
                Some((key, key_line)) if key == "<<" => merge(&mut parent.merged, node, key_line)?,
                Some((key, key_line)) => {
                    entries.push(Entry { key, origin: Origin::Line(key_line), value: node });
                }
            },
            _ => return Err(Malformed::at(line, "not valid YAML")),
        }
        Ok(())
    }
}

/// `<<: *map` and `<<: [*map, *map]`; the first that gives a key wins.
fn merge(into: &mut Vec<Entry>, node: Node, line: usize) -> Result<(), Malformed> {
    match node.data {
        Data::Map(entries) => into.extend(entries),
        Data::List(items) if items.iter().all(|item| matches!(item.data, Data::Map(_))) => {
            for item in items {
                merge(into, item, line)?;
            }
        }
        _ => return Err(Malformed::at(line, "<< takes a map, or a list of maps")),
    }
    Ok(())
}

/// What a scalar without quotes means.
pub(crate) fn plain_scalar(text: &str) -> Data {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Data::Null,
        _ => {}
    }
    if let Some(value) = boolean(text) {
        return Data::Bool(value);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let begins_as_number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let hexadecimal = digits.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let octal = digits.strip_prefix("0o").and_then(|digits| u64::from_str_radix(digits, 8).ok());
    if let Some(number) = hexadecimal.or(octal).filter(|_| !text.starts_with(['-', '+'])) {
        return Data::Number(number.to_string());
    }
    if begins_as_number && text.parse::<f64>().is_ok_and(f64::is_finite) {
        return Data::Number(text.to_owned());
    }
    Data::Text(text.to_owned())
}

/// The words for yes and no, in any case.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    let is = |words: [&str; 3]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    match () {
        () if is(["yes", "true", "on"]) => Some(true),
        () if is(["no", "false", "off"]) => Some(false),
        () => None,
    }
}
