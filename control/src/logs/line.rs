//! One line of the log, as people read it or as JSON.
//!
//! ```text
//! 2026/11/20 20:15:03 INF publishing path=cam peer=192.0.2.1:5004
//! {"time":"2026-11-20T20:15:03.123456Z","level":"info","message":"publishing","path":"cam","peer":"192.0.2.1:5004"}
//! ```

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt::{self, Write};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// A longer line is cut: 8,192 lines in a queue are 64 MiB then, at worst.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// An event, formatted but for what depends on the destination.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) at: Timestamp,
    pub(super) level: Level,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    /// Message and fields.
    Text(String),
    /// The whole object.
    Json(String),
}

impl Line {
    pub(super) fn of_event(event: &Event<'_>, structured: bool) -> Line {
        let mut fields = Fields::default();
        event.record(&mut fields);
        Line::new(Timestamp::now(), *event.metadata().level(), &fields, structured)
    }

    /// A line of the log about itself.
    pub(super) fn notice(message: String) -> Line {
        let fields = Fields { message, ..Fields::default() };
        Line::new(Timestamp::now(), Level::WARN, &fields, false)
    }

    fn new(at: Timestamp, level: Level, fields: &Fields, structured: bool) -> Line {
        let body = if structured { Body::Json(fields.json(at, level)) } else { Body::Text(fields.text()) };
        Line { at, level, body }
    }

    /// For people, with the local time, as MediaMTX writes it; JSON as it is.
    pub(super) fn write(&self, out: &mut String, colours: bool) {
        match &self.body {
            Body::Json(json) => out.push_str(json),
            Body::Text(text) => {
                let (word, colour) = short(self.level);
                let time = self.at.to_zoned(TimeZone::system()).strftime("%Y/%m/%d %H:%M:%S").to_string();
                if colours {
                    out.push_str(&format!("\x1b[90m{time}\x1b[0m \x1b[{colour}m{word}\x1b[0m {text}"));
                } else {
                    out.push_str(&format!("{time} {word} {text}"));
                }
            }
        }
        out.push('\n');
    }

    /// Without the time, which syslog adds itself.
    pub(super) fn without_time(&self) -> String {
        match &self.body {
            Body::Json(json) => json.clone(),
            Body::Text(text) => format!("{} {text}", short(self.level).0),
        }
    }
}

fn short(level: Level) -> (&'static str, u8) {
    match level {
        Level::ERROR => ("ERR", 31),
        Level::WARN => ("WAR", 33),
        Level::INFO => ("INF", 32),
        Level::DEBUG => ("DEB", 36),
        Level::TRACE => ("TRA", 35),
    }
}

fn long(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

#[derive(Clone, Debug)]
enum Value {
    Text(String),
    /// A number or a boolean, as JSON writes it.
    Word(String),
}

/// Message and fields of an event, not yet cleaned.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::Text(text) | Value::Word(text)) => self.message = text,
            // Two keys of one name are no JSON.
            ("time" | "level", value) => {
                let name = if field.name() == "time" { "time_" } else { "level_" };
                self.others.push((name, value));
            }
            (name, value) => self.others.push((name, value)),
        }
    }

    fn text(&self) -> String {
        let mut out = String::with_capacity(128);
        clean(&self.message, &mut out, Escapes::Rust);
        for (name, value) in &self.others {
            out.push(' ');
            out.push_str(name);
            out.push('=');
            match value {
                Value::Word(word) => out.push_str(word),
                Value::Text(text) if needs_quotes(text) => {
                    out.push('"');
                    clean(&text.replace('\\', "\\\\").replace('"', "\\\""), &mut out, Escapes::Rust);
                    out.push('"');
                }
                Value::Text(text) => clean(text, &mut out, Escapes::Rust),
            }
        }
        cut(&mut out, LINE_BYTES_MAX);
        out
    }

    fn json(&self, at: Timestamp, level: Level) -> String {
        let mut out = format!("{{\"time\":\"{at:.6}\",\"level\":\"{}\",\"message\":", long(level));
        json_text(&self.message, &mut out);
        for (name, value) in &self.others {
            if out.len() > LINE_BYTES_MAX {
                out.push_str(",\"cut\":true");
                break;
            }
            out.push(',');
            json_text(name, &mut out);
            out.push(':');
            match value {
                Value::Word(word) => out.push_str(word),
                Value::Text(text) => json_text(text, &mut out),
            }
        }
        out.push('}');
        out
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        // The text of a text in the form for debugging comes with quotes: they are put where they are needed.
        let unquoted = serde_json::from_str::<String>(&text).ok().filter(|_| text.starts_with('"'));
        self.put(field, Value::Text(unquoted.unwrap_or(text)));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::Text(value.to_owned()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::Word(value.to_string()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::Word(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::Word(value.to_string()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has neither infinity nor NaN.
        let word =
            if value.is_finite() { Value::Word(value.to_string()) } else { Value::Text(value.to_string()) };
        self.put(field, word);
    }
}

fn needs_quotes(text: &str) -> bool {
    text.is_empty() || text.chars().any(|c| c.is_whitespace() || c == '=' || c == '"')
}

#[derive(Clone, Copy)]
enum Escapes {
    Rust,
    Json,
}

/// Characters that end lines, steer terminals, or turn the direction of writing.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Appends `text` with every such character written as an escape.
fn clean(text: &str, out: &mut String, escapes: Escapes) {
    for c in text.chars() {
        // Writing to a string cannot fail.
        let _ = match (c, escapes) {
            (c, _) if !is_unsafe(c) => out.write_char(c),
            (c, Escapes::Rust) => write!(out, "{}", c.escape_default()),
            (c, Escapes::Json) => write!(out, "\\u{:04x}", u32::from(c)),
        };
    }
}

fn json_text(text: &str, out: &mut String) {
    let mut text = text.to_owned();
    cut(&mut text, LINE_BYTES_MAX);
    // Quotes, backslashes and most control characters are escaped after this; the others only stand within the text.
    let quoted = serde_json::Value::String(text).to_string();
    clean(&quoted, out, Escapes::Json);
}

fn cut(text: &mut String, max: usize) {
    if text.len() > max {
        let end = (0..=max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}
