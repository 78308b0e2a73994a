//! The configuration as text: YAML of the configuration in force, and the reference page of all keys.

use super::Configuration;
use super::deprecated::{self, Deprecated, Successor};
use super::keys::{Effect, Global, Key, PathConfiguration};
use super::node::Data;
use super::setting::Secrets;
use super::yaml::plain_scalar;
use serde_json::Value;
use std::fmt::Write;

impl Configuration {
    /// The configuration in force as YAML that can be read again, secrets hidden: all global keys and path defaults,
    /// and of each path what was given for it.
    pub(crate) fn yaml(&self) -> String {
        self.yaml_with(Secrets::Redacted)
    }

    pub(super) fn yaml_with(&self, secrets: Secrets) -> String {
        let mut text = String::new();
        write_keys(Global::KEYS.iter(), &self.global, secrets, 0, &mut text);
        text.push_str("pathDefaults:\n");
        write_keys(PathConfiguration::KEYS.iter(), &self.path_defaults, secrets, 1, &mut text);
        if self.paths.is_empty() {
            return text;
        }
        text.push_str("paths:\n");
        for (name, path) in &self.paths {
            let _ = writeln!(text, "  {}:", scalar(name));
            let given = PathConfiguration::KEYS.iter().filter(|key| path.given.contains_key(key.name));
            write_keys(given, &path.effective, secrets, 2, &mut text);
        }
        text
    }
}

fn write_keys<'a, T: 'static>(
    keys: impl Iterator<Item = &'a Key<T>>,
    of: &T,
    secrets: Secrets,
    level: usize,
    text: &mut String,
) {
    let indent = "  ".repeat(level);
    for key in keys {
        match key.json(of, secrets) {
            Value::Array(items) if items.iter().any(Value::is_object) => {
                let _ = writeln!(text, "{indent}{}:", key.name);
                for item in items {
                    let _ = writeln!(text, "{indent}- {}", flow(&item));
                }
            }
            value => {
                let _ = writeln!(text, "{indent}{}: {}", key.name, flow(&value));
            }
        }
    }
}

fn flow(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match value {
        Value::String(text) => scalar(text),
        Value::Array(items) => format!("[{}]", list(items.iter().map(flow).collect())),
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| format!("{}: {}", scalar(key), flow(value));
            format!("{{{}}}", list(map.iter().map(entry).collect()))
        }
        other => other.to_string(),
    }
}

/// A text without quotes where it means itself, else as JSON writes it, which YAML reads.
fn scalar(text: &str) -> String {
    let word = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/' || c == '~')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/'));
    if word && matches!(plain_scalar(text), Data::Text(_)) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            ' '..='~' => quoted.push(c),
            c if c.is_alphanumeric() => quoted.push(c),
            c => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(c));
            }
        }
    }
    quoted.push('"');
    quoted
}

const INTRODUCTION: &str = "\
# Configuration reference

Made from the table in `control/src/config/keys.rs`; do not edit.

Keys are those of MediaMTX's `mediamtx.yml`, and our own. They are set in the file, by environment variables
(`HEADWATER_KEY` or `MTX_KEY` in capitals; `MTX_PATHS_NAME_KEY` for a path, `MTX_AUTHINTERNALUSERS_0_USER` for an item
of a list), and by `KEY=VALUE` arguments; the later of these wins. Durations are `500ms`, `10s`, `1h30m`, `7d`; sizes
`512K`, `50M`, `1G`.

A change of a key takes effect while the server runs, and disturbs only what the table names. Keys that are *not in
effect yet* are read and checked; their feature does not exist yet.
";

/// The reference page, in Markdown.
pub(crate) fn reference() -> String {
    let mut page = String::from(INTRODUCTION);
    page.push_str("\n## Global keys\n");
    write_table(Global::KEYS, &Global::default(), &mut page);
    page.push_str(
        "\n## Keys of paths\n\nUnder `pathDefaults` for all paths, and under `paths`, `NAME` for one.\n",
    );
    write_table(PathConfiguration::KEYS, &PathConfiguration::default(), &mut page);
    page.push_str("\n## Deprecated keys\n\nThey are accepted with a warning.\n");
    write_deprecated("global", deprecated::GLOBAL, &mut page);
    write_deprecated("path", deprecated::PATH, &mut page);
    page
}

fn write_table<T>(keys: &[Key<T>], defaults: &T, page: &mut String) {
    let mut group = "";
    for key in keys {
        if key.group != group {
            group = key.group;
            let _ = write!(
                page,
                "\n### {group}\n\n| key | type | default | a change touches | |\n|---|---|---|---|---|\n"
            );
        }
        let default = match key.name {
            "authInternalUsers" => "everybody may stream, this machine may control".to_owned(),
            _ => format!("`{}`", flow(&key.json(defaults, Secrets::Shown))),
        };
        let touches = match key.effect {
            Effect::NotInEffect => format!("*{}*", key.effect.text()),
            effect => effect.text().to_owned(),
        };
        let kind = (key.kind)().replace('|', "\\|");
        let _ = writeln!(page, "| `{}` | {kind} | {default} | {touches} | {} |", key.name, key.doc);
    }
}

/// A file that says nothing and shows every key with its default, to begin a configuration from.
pub(crate) fn default_file() -> String {
    let mut text = String::from(
        "# Headwater's configuration. Every key stands here with its default; remove the # before those to change.\n",
    );
    write_commented(Global::KEYS, &Global::default(), "", &mut text);
    text.push_str("\n# For all paths that do not say otherwise.\npathDefaults:\n");
    write_commented(PathConfiguration::KEYS, &PathConfiguration::default(), "  ", &mut text);
    text.push_str(
        "\n# By name, by ~ and a regular expression, and all_others for the rest.\npaths:\n  all_others:\n",
    );
    text
}

fn write_commented<T>(keys: &[Key<T>], defaults: &T, indent: &str, text: &mut String) {
    let mut group = "";
    for key in keys {
        if key.group != group {
            group = key.group;
            let _ = write!(text, "\n# == {group}\n");
        }
        let missing = if key.effect == Effect::NotInEffect { " (not in effect yet)" } else { "" };
        let _ = writeln!(text, "# {}{missing}", key.doc);
        let _ = writeln!(text, "#{indent}{}: {}", key.name, flow(&key.json(defaults, Secrets::Shown)));
    }
}

fn write_deprecated(scope: &str, table: &[Deprecated], page: &mut String) {
    let _ = write!(page, "\n| {scope} key | instead |\n|---|---|\n");
    for old in table {
        let instead = match old.successor {
            Successor::Key(new) => format!("`{new}`"),
            Successor::Not(new) => format!("`{new}`, with the opposite value"),
            Successor::ListOf(new) => format!("`{new}`, a list"),
            Successor::PathDefaults => format!("`pathDefaults`, `{}`", old.name),
            Successor::HttpAuthentication => "`authMethod: http` and `authHTTPAddress`".to_owned(),
            Successor::IceServers => "`webrtcICEServers2`".to_owned(),
            Successor::Users => "`authInternalUsers`".to_owned(),
            Successor::Nothing(advice) => format!("no effect: {advice}"),
        };
        let _ = writeln!(page, "| `{}` | {instead} |", old.name);
    }
}
