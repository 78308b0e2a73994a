//! Values as YAML that every reader takes for the same: readers of version 1.1 see booleans in `yes` and `off`, octal
//! numbers in `010`, minutes in `1:30`. Such texts are quoted.

use serde_json::{Map, Number, Value};

/// What follows the digits in durations and sizes: no reader sees a number there.
const UNITS: &[&str] = &["ns", "us", "ms", "s", "m", "h", "d", "K", "M", "G", "T", "KB", "MB", "GB", "TB"];

/// Whether a plain scalar is null.
pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// Whether some reader may take a plain scalar for something else than its text.
pub(super) fn is_ambiguous(text: &str) -> bool {
    const WORDS: &[&str] = &["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", "<<", "="];
    if text.is_empty() || WORDS.contains(&text.to_ascii_lowercase().as_str()) {
        return true;
    }
    let unsigned = text.trim_start_matches(['+', '-']);
    let fraction = unsigned.strip_prefix('.').unwrap_or(unsigned);
    if fraction.len() < unsigned.len() && matches!(fraction.to_ascii_lowercase().as_str(), "" | "inf" | "nan")
    {
        return true;
    }
    // Numbers in any base, times and dates begin with a digit, and have at most one full stop: addresses have more.
    fraction.starts_with(|c: char| c.is_ascii_digit())
        && !is_quantity(text)
        && text.bytes().filter(|byte| *byte == b'.').count() < 2
}

/// `10s`, `1h30m`, `1d`, `50M`.
fn is_quantity(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
        let next_at =
            rest[unit_at..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| unit_at + at);
        if unit_at == 0 || !UNITS.contains(&&rest[unit_at..next_at]) {
            return false;
        }
        rest = &rest[next_at..];
    }
    !text.is_empty()
}

/// A boolean or a number.
pub(super) fn word(value: &Value) -> String {
    match value {
        Value::Number(number) => number_word(number),
        other => other.to_string(),
    }
}

fn number_word(number: &Number) -> String {
    let text = number.to_string();
    match text.split_once('e') {
        // Readers of version 1.1 want a full stop and a sign: 1e21 would be a text.
        Some((mantissa, exponent)) => {
            let point = if mantissa.contains('.') { "" } else { ".0" };
            let sign = if exponent.starts_with(['+', '-']) { "" } else { "+" };
            format!("{mantissa}{point}e{sign}{exponent}")
        }
        None => text,
    }
}

/// The quotes a text is written in, where there is a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quotes {
    AsNeeded,
    Single,
    Double,
}

/// A value in one line. `in_flow`: between brackets, where more characters have a meaning.
pub(super) fn inline(value: &Value, quotes: Quotes, in_flow: bool) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) => word(value),
        Value::String(text) => string(text, quotes, in_flow),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| inline(item, quotes, true)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(entries) => {
            let entry = |(name, value): (&String, &Value)| {
                format!("{}: {}", string(name, quotes, true), inline(value, quotes, true))
            };
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

/// A text, quoted where it must be.
pub(super) fn string(text: &str, quotes: Quotes, in_flow: bool) -> String {
    let printable = !text.chars().any(needs_escape);
    match quotes {
        Quotes::AsNeeded if is_plain(text, in_flow) => text.to_owned(),
        // Backslashes, as in regular expressions, mean nothing in single quotes.
        Quotes::AsNeeded if printable && text.contains(['\\', '"']) => single_quoted(text),
        Quotes::Single if printable => single_quoted(text),
        _ => double_quoted(text),
    }
}

fn single_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Whether a text can stand without quotes. Narrower than YAML allows.
fn is_plain(text: &str, in_flow: bool) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    if is_ambiguous(text) || text.starts_with('-') || text.starts_with("...") {
        return false;
    }
    if in_flow {
        return text.chars().all(inside);
    }
    let first = |c: char| c.is_ascii_alphanumeric() || "_./:$^(".contains(c);
    // Behind a colon or before a number sign, a blank would end the text.
    text.starts_with(first)
        && text.chars().all(|c| inside(c) || " :@%+$^=&?*()<>;~#".contains(c))
        && !text.ends_with([' ', ':'])
        && text != ":"
        && ![": ", " #", "  "].iter().any(|pair| text.contains(pair))
}

/// What a reader may refuse or change where it stands as it is.
fn needs_escape(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

fn double_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if needs_escape(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Whether a value is written below its key rather than behind it.
pub(super) fn is_block(value: &Value, lists_as_blocks: bool) -> bool {
    match value {
        Value::Object(entries) => !entries.is_empty(),
        Value::Array(items) => !items.is_empty() && (lists_as_blocks || items.iter().any(is_collection)),
        _ => false,
    }
}

fn is_collection(value: &Value) -> bool {
    match value {
        Value::Object(entries) => !entries.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

/// Lines of a block, without their ends.
pub(super) struct Block {
    pub(super) lines: Vec<String>,
    /// Blanks that a map inside a map is set in by.
    pub(super) step: usize,
}

impl Block {
    pub(super) fn entry(&mut self, name: &str, value: &Value, indent: usize) {
        let name = string(name, Quotes::AsNeeded, false);
        if is_block(value, false) {
            self.lines.push(format!("{:indent$}{name}:", ""));
            let inner = if value.is_object() { indent + self.step } else { indent };
            self.value(value, inner);
        } else {
            self.lines.push(format!("{:indent$}{name}: {}", "", inline(value, Quotes::AsNeeded, false)));
        }
    }

    /// What stands below a key: the entries of a map or the items of a list.
    pub(super) fn value(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Object(entries) => self.entries(entries, indent),
            Value::Array(items) => items.iter().for_each(|item| self.item(item, indent)),
            scalar => self.lines.push(format!("{:indent$}{}", "", inline(scalar, Quotes::AsNeeded, false))),
        }
    }

    fn entries(&mut self, entries: &Map<String, Value>, indent: usize) {
        for (name, value) in entries {
            self.entry(name, value, indent);
        }
    }

    fn item(&mut self, item: &Value, indent: usize) {
        let first = self.lines.len();
        match item {
            Value::Object(entries) if !entries.is_empty() => {
                self.entries(entries, indent + 2);
                // The dash takes the place of the first two blanks.
                self.lines[first].replace_range(indent..=indent, "-");
            }
            other => {
                self.lines.push(format!("{:indent$}- {}", "", inline(other, Quotes::AsNeeded, false)));
            }
        }
    }
}
