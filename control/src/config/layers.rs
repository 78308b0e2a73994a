//! The layers above the file: environment variables and `KEY=VALUE` arguments, put into the tree that the file made.
//!
//! `MTX_READTIMEOUT`, `MTX_PATHS_CAM_SOURCE`, `MTX_AUTHINTERNALUSERS_0_USER`, `MTX_PATHDEFAULTS_RECORD`, with
//! `HEADWATER_` the same and over them, with `RTSP_` the same and below them. Arguments are over all:
//! `readTimeout=5s`, `paths.cam.maxReaders=3`, `authInternalUsers.0.user=x`.

use super::deprecated;
use super::keys::{Global, PathConfiguration};
use super::node::{Data, Node, Origin, Reading, nearest, quoted};
use super::paths::REST;
use super::setting::{Item, Secrets};
use super::values::{AlwaysAvailableTrack, ForwardTarget, IceServer, InternalUser, Permission};
use super::{Fault, Warning, yaml};
use std::sync::Arc;

/// Prefixes of variables, the strongest last.
const PREFIXES: [&str; 3] = ["RTSP_", "MTX_", "HEADWATER_"];
/// Variables that are for others: our tests, the key of the file, and what hooks give their commands.
const FOREIGN: [&str; 13] = [
    "TEST_",
    "CONFKEY",
    "PATH",
    "QUERY",
    "SOURCE_TYPE",
    "SOURCE_ID",
    "READER_TYPE",
    "READER_ID",
    "CONN_TYPE",
    "CONN_ID",
    "SEGMENT_PATH",
    "SEGMENT_DURATION",
    "PORT",
];
/// Items that a list may get one by one.
const INDEX_MAX: usize = 10_000;

/// Whose keys a layer sets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Global,
    PathDefaults,
    Path(String),
}

/// Where in the tree a layer puts a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    scope: Scope,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Index(usize),
    Key(&'static str),
}

/// How names are written: with dots and exactly, or with underscores and in capitals.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Argument,
    Variable,
}

impl Spelling {
    fn separator(self) -> char {
        match self {
            Spelling::Argument => '.',
            Spelling::Variable => '_',
        }
    }

    fn same(self, key: &str, given: &str) -> bool {
        match self {
            Spelling::Argument => key == given,
            Spelling::Variable => key.to_ascii_uppercase() == given,
        }
    }

    /// What follows `key` and the separator; `Some("")` where nothing does.
    fn after<'a>(self, key: &str, given: &'a str) -> Option<&'a str> {
        let head = given.get(..key.len()).filter(|head| self.same(key, head))?;
        let rest = &given[head.len()..];
        if rest.is_empty() {
            Some(rest)
        } else {
            rest.strip_prefix(self.separator()).filter(|rest| !rest.is_empty())
        }
    }
}

/// The fields of the items of a list of maps.
fn fields(list: &str) -> &'static [&'static str] {
    match list {
        "authInternalUsers" => InternalUser::FIELDS,
        "permissions" | "authHTTPExclude" | "authJWTExclude" => Permission::FIELDS,
        "webrtcICEServers2" => IceServer::FIELDS,
        "alwaysAvailableTracks" => AlwaysAvailableTrack::FIELDS,
        "forward" => ForwardTarget::FIELDS,
        _ => &[],
    }
}

fn global_names() -> impl Iterator<Item = &'static str> {
    Global::KEYS.iter().map(|key| key.name).chain(deprecated::GLOBAL.iter().map(|old| old.name))
}

fn path_names() -> impl Iterator<Item = &'static str> {
    PathConfiguration::KEYS.iter().map(|key| key.name).chain(deprecated::PATH.iter().map(|old| old.name))
}

/// The steps that `given` names among `names`: a key, or a key, an index and a field.
fn steps(given: &str, names: impl Iterator<Item = &'static str>, spelling: Spelling) -> Option<Vec<Step>> {
    for name in names {
        let Some(rest) = spelling.after(name, given) else { continue };
        if rest.is_empty() {
            return Some(vec![Step::Key(name)]);
        }
        let fields = fields(name);
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let Some(index) = rest[..digits].parse().ok().filter(|index| *index <= INDEX_MAX) else { continue };
        if fields.is_empty() {
            continue;
        }
        let mut found = vec![Step::Key(name), Step::Index(index)];
        if digits == rest.len() {
            return Some(found);
        }
        let Some(field) = rest[digits..].strip_prefix(spelling.separator()) else { continue };
        found.extend(steps(field, fields.iter().copied(), spelling)?);
        return Some(found);
    }
    None
}

fn place(given: &str, spelling: Spelling) -> Option<Place> {
    if let Some(steps) = steps(given, global_names(), spelling) {
        return Some(Place { scope: Scope::Global, steps });
    }
    if let Some(rest) = spelling.after("pathDefaults", given).filter(|rest| !rest.is_empty()) {
        let steps = steps(rest, path_names(), spelling)?;
        return Some(Place { scope: Scope::PathDefaults, steps });
    }
    let rest = spelling.after("paths", given).filter(|rest| !rest.is_empty())?;
    // The longest name: what is left must be a key.
    for (at, separator) in rest.char_indices().rev().filter(|(_, c)| *c == spelling.separator()) {
        if let Some(steps) = steps(&rest[at + separator.len_utf8()..], path_names(), spelling)
            && at > 0
        {
            let name = &rest[..at];
            let name = if spelling == Spelling::Variable { name.to_lowercase() } else { name.to_owned() };
            return Some(Place { scope: Scope::Path(name), steps });
        }
    }
    None
}

/// Puts the environment into the tree.
pub(crate) fn take_environment(root: &mut Node, environment: &[(String, String)], reading: &mut Reading<'_>) {
    for prefix in PREFIXES {
        let mut found = Vec::new();
        for (name, value) in environment {
            let Some(rest) = name.strip_prefix(prefix) else { continue };
            match place(rest, Spelling::Variable) {
                Some(place) => found.push((place, name, value)),
                None => warn_of_variable(name, rest, prefix, reading),
            }
        }
        // Items of lists in the order of their numbers.
        found.sort();
        for (place, name, value) in found {
            let origin = Origin::Variable(Arc::from(name.as_str()));
            put(root, place, Node::new(origin, Data::Loose(value.clone())), reading);
        }
    }
}

fn warn_of_variable(name: &str, rest: &str, prefix: &str, reading: &mut Reading<'_>) {
    let foreign = FOREIGN
        .iter()
        .any(|foreign| rest == *foreign || (foreign.ends_with('_') && rest.starts_with(foreign)));
    // The oldest prefix is other programs' too.
    if prefix == PREFIXES[0] || foreign {
        return;
    }
    let known: Vec<String> = global_names()
        .map(|name| name.to_uppercase())
        .chain(path_names().map(|name| format!("PATHDEFAULTS_{}", name.to_uppercase())))
        .collect();
    let hint =
        nearest(rest, known.iter().map(String::as_str)).map(|near| format!("did you mean {prefix}{near}?"));
    let message = format!("the environment variable {} sets no key", quoted(name));
    reading.warnings.push(Warning(Fault { message, hint, ..Fault::default() }));
}

/// Puts `KEY=VALUE` arguments into the tree, in their order.
pub(crate) fn take_arguments(root: &mut Node, arguments: &[String], reading: &mut Reading<'_>) {
    for argument in arguments {
        let Some((key, value)) = argument.split_once('=') else {
            // It may be a password that went astray.
            let message = "an argument must be KEY=VALUE, such as readTimeout=5s".to_owned();
            reading.faults.push(Fault { message, ..Fault::default() });
            continue;
        };
        let key = key.trim();
        let origin = Origin::Argument(Arc::from(key));
        let Some(node) = value_of_argument(value, &origin, reading) else { continue };
        if let Some(place) = place(key, Spelling::Argument) {
            put(root, place, node, reading);
        } else if let Some(name) = key.strip_prefix("paths.").filter(|_| is_entry(&node)) {
            put_path(root, name, node);
        } else {
            let known = global_names().chain(["paths", "pathDefaults"]);
            let last = key.rsplit('.').next().unwrap_or(key);
            let near = if key.contains('.') { nearest(last, path_names()) } else { nearest(key, known) };
            let hint = near.map(|near| format!("did you mean {near}?"));
            let fault = Fault {
                key: key.to_owned(),
                message: "there is no such key (argument)".to_owned(),
                hint,
                ..Fault::default()
            };
            reading.faults.push(fault);
        }
    }
}

/// A whole path: a map, or nothing.
fn is_entry(node: &Node) -> bool {
    match &node.data {
        Data::Map(_) => true,
        Data::Loose(text) => text.is_empty(),
        _ => false,
    }
}

fn put_path(root: &mut Node, name: &str, node: Node) {
    let origin = node.origin.clone();
    if may_hold(root, "paths") {
        let empty = matches!(node.data, Data::Loose(_));
        let node = if empty { Node::map(origin.clone()) } else { node };
        *root.child("paths", &origin).child(name, &origin) = node;
    }
}

/// Lists, maps and quoted texts are YAML; anything else is what the key's type makes of it.
fn value_of_argument(value: &str, origin: &Origin, reading: &mut Reading<'_>) -> Option<Node> {
    if !value.trim_start().starts_with(['[', '{', '"', '\'']) {
        return Some(Node::new(origin.clone(), Data::Loose(value.to_owned())));
    }
    match yaml::parse(value) {
        Ok(mut node) => {
            relocate(&mut node, origin);
            Some(node)
        }
        Err(malformed) => {
            for malformed in malformed {
                reading.fault(origin, malformed.message, None);
            }
            None
        }
    }
}

fn relocate(node: &mut Node, origin: &Origin) {
    node.origin = origin.clone();
    match &mut node.data {
        Data::List(items) => items.iter_mut().for_each(|item| relocate(item, origin)),
        Data::Map(entries) => {
            for entry in entries {
                entry.origin = origin.clone();
                relocate(&mut entry.value, origin);
            }
        }
        _ => {}
    }
}

/// Whether `key` holds a map, or can become one. What it holds else is a fault when it is read.
fn may_hold(node: &Node, key: &str) -> bool {
    let is_map = |node: &Node| matches!(node.data, Data::Map(_) | Data::Null);
    is_map(node) && node.entry(key).is_none_or(|entry| is_map(&entry.value))
}

fn put(root: &mut Node, place: Place, value: Node, reading: &mut Reading<'_>) {
    let origin = value.origin.clone();
    let mut steps = place.steps.into_iter();
    let Some(Step::Key(key)) = steps.next() else { return };
    let parent = match &place.scope {
        Scope::Global if is_container(root) => root,
        Scope::PathDefaults if may_hold(root, "pathDefaults") => root.child("pathDefaults", &origin),
        Scope::Path(name) if may_hold(root, "paths") => {
            let paths = root.child("paths", &origin);
            let name = name_in(paths, name);
            if !may_hold(paths, &name) {
                return;
            }
            paths.child(&name, &origin)
        }
        _ => return,
    };
    let absent = parent.entry(key).is_none();
    let mut node = parent.child(key, &origin);
    if absent {
        node.data = default_of(&place.scope, key);
    }
    for step in steps {
        let label = match step {
            Step::Index(index) => {
                if !matches!(node.data, Data::List(_)) {
                    node.data = Data::List(Vec::new());
                }
                let Data::List(items) = &mut node.data else { return };
                if index > items.len() {
                    let message = format!("item {index} is set but item {} is not", items.len());
                    reading.within(key, &origin, |reading| reading.fault(&origin, message, None));
                    return;
                }
                if index == items.len() {
                    items.push(Node::map(origin.clone()));
                }
                node = &mut items[index];
                continue;
            }
            Step::Key(label) => label,
        };
        node = node.child(label, &origin);
    }
    *node = value;
}

fn is_container(node: &Node) -> bool {
    matches!(node.data, Data::Map(_) | Data::Null)
}

/// The name under which the file already has the path: `all_others` has others.
fn name_in(paths: &Node, name: &str) -> String {
    let rest = REST.contains(&name).then(|| REST.into_iter().find(|rest| paths.entry(rest).is_some()));
    rest.flatten().unwrap_or(name).to_owned()
}

/// What a list begins with when its items are set one by one.
fn default_of(scope: &Scope, key: &str) -> Data {
    let value = match scope {
        Scope::Global => {
            let key = Global::KEYS.iter().find(|known| known.name == key);
            key.map(|key| key.json(&Global::default(), Secrets::Shown))
        }
        Scope::PathDefaults | Scope::Path(_) => None,
    };
    match value {
        Some(value @ serde_json::Value::Array(_)) => Node::of_json(&value, &Origin::Default).data,
        _ => Data::Null,
    }
}
