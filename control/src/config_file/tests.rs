use super::{Edit, EditError, edit};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// Cases of texts before and after, as data: `=== name`, the text, `--- edits`, one change per line as a key and its
/// new value in JSON (nothing to remove it), `--- after`, the text or, after `! `, the refusal.
const GOLDEN: &str = include_str!("golden.txt");

fn change(key: &str, value: Option<Value>) -> Edit {
    Edit { key: key.split('.').map(str::to_owned).collect(), value }
}

fn edits(text: &str) -> Vec<Edit> {
    let parse = |line: &str| match line.split_once(' ') {
        Some((key, value)) => {
            change(key, Some(serde_json::from_str(value).unwrap_or_else(|error| panic!("{line}: {error}"))))
        }
        None => change(line, None),
    };
    text.lines().map(parse).collect()
}

#[test]
fn golden_texts() {
    let mut cases = 0;
    for case in GOLDEN.split("=== ").skip(1) {
        let (name, rest) = case.split_once('\n').expect("a name");
        let (before, rest) = rest.split_once("--- edits\n").expect("edits");
        let (changes, after) = rest.split_once("--- after\n").expect("a text after");
        for newline in ["\n", "\r\n"] {
            let given = before.replace('\n', newline);
            match (edit(&given, &edits(changes)), after.strip_prefix("! ")) {
                (Ok(is), None) => assert_eq!(is, after.replace('\n', newline), "{name}"),
                (Err(error), Some(message)) => assert_eq!(error.to_string(), message.trim_end(), "{name}"),
                (other, _) => panic!("{name}: {other:?}"),
            }
        }
        cases += 1;
    }
    assert!(cases > 30, "the file of cases is read to its end");
}

#[test]
fn files_without_a_last_line_end_and_with_a_byte_order_mark() {
    let case = |before: &str, changes: &str, after: &str| {
        assert_eq!(edit(before, &edits(changes)).as_deref(), Ok(after), "{before:?}");
    };
    case("a: 1", "b 2", "a: 1\nb: 2");
    case("a: 1 # x", "a 2", "a: 2 # x");
    case("a:", "a 2", "a: 2");
    case("a: 1\r\nb:", "b.c 2", "a: 1\r\nb:\r\n  c: 2");
    case("\u{feff}a: 1\nb: ü # é\nc: 3\n", "a 2\nb \"x\"\nc 4", "\u{feff}a: 2\nb: x # é\nc: 4\n");
    case("", "a.b true", "a:\n  b: true\n");
    case("# only this", "a 1", "# only this\na: 1\n");
    case("a: 1\n", "", "a: 1\n");
}

#[test]
fn what_readers_of_yaml_1_1_would_misread_is_quoted() {
    let misread = [
        "yes",
        "No",
        "on",
        "OFF",
        "y",
        "true",
        "null",
        "~",
        "",
        "010",
        "1_000",
        "0x1F",
        "0b1",
        "1:30",
        "1e3",
        ".5",
        "-1",
        "+1",
        "2001-12-14",
        ".inf",
        "-.NaN",
        "<<",
        "=",
        "12",
        "1.0",
        "0o7",
        "1d2",
    ];
    for text in misread {
        let out = edit("a: x\n", &[change("a", Some(json!(text)))]).expect("written");
        assert_eq!(out, format!("a: \"{text}\"\n"));
    }
    let special = [
        "- a", "a: b", "a #b", "#a", "{a", "[a", "&a", "*a", "!a", "|", ">", "@a", "`a", "%a", "'a", " a",
        "a ", "a:",
    ];
    for text in special {
        let out = edit("a: x\n", &[change("a", Some(json!(text)))]).expect("written");
        assert!(out.contains('"') || out.contains('\''), "{out}");
        assert_eq!(read(&out), json!({ "a": text }));
    }
    for plain in
        ["10s", "1d", "1h30m", "50M", "publisher", ":8554", "127.0.0.1:8554", "rtsp://h:554/a?b=c&d", "./a b"]
    {
        let out = edit("a: x\n", &[change("a", Some(json!(plain)))]).expect("written");
        assert_eq!(out, format!("a: {plain}\n"));
    }
    let out =
        edit("a: x\n", &[change("a", Some(json!("l1\nl2\t\u{7f}\u{85}\u{2028}\0é😀")))]).expect("written");
    assert_eq!(out, "a: \"l1\\nl2\\t\\u007f\\u0085\\u2028\\u0000é😀\"\n");
    let out = edit("a: x\n", &[change("a", Some(json!(1e21)))]).expect("written");
    assert_eq!(out, "a: 1.0e+21\n");
}

#[test]
fn hostile_texts_are_refused_without_harm() {
    let deep = "[".repeat(100_000);
    let refused: [&str; 7] =
        ["a: [", "a: 1\n---\nb: 2\n", "a: 1\na: 2\n", "? [a]\n: b\n", "a: b: c\n", "a: *b\n", &deep];
    for text in refused {
        let error = edit(text, &[change("x", Some(json!(1)))]).expect_err("refused");
        assert!(matches!(error, EditError::Unreadable { .. } | EditError::Refused { .. }), "{error}");
    }
}

/// A thousand paths added and removed again leave the file as it was, and it takes no time that is felt.
#[test]
fn many_paths_at_once() {
    let before = "# mine\npaths:\n  all_others:\n\n# the end\n";
    let names = || (0..2000).map(|number| format!("paths.cam{number}"));
    let added: Vec<Edit> = names().map(|name| change(&name, Some(json!({"maxReaders": 3})))).collect();
    let out = edit(before, &added).expect("added");
    assert_eq!(out.lines().count(), 5 + 2 * added.len());
    let gone: Vec<Edit> = names().map(|name| change(&name, None)).collect();
    assert_eq!(edit(&out, &gone).as_deref(), Ok(before));
}

// ---- random texts ----

/// Reads with saphyr's own tree, by another way than the code under test.
fn read(text: &str) -> Value {
    let documents = Yaml::load_from_str(text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
    documents.first().map_or(Value::Null, json_of)
}

fn json_of(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
        Yaml::Value(Scalar::String(value)) => json!(value),
        Yaml::Sequence(items) => items.iter().map(json_of).collect(),
        Yaml::Mapping(entries) => {
            let entry = |(key, value): (&Yaml<'_>, &Yaml<'_>)| {
                (key.as_str().expect("a text as key").to_owned(), json_of(value))
            };
            Value::Object(entries.iter().map(entry).collect())
        }
        other => panic!("{other:?}"),
    }
}

const KEYS: &[&str] = &["source", "paths", "cam1", "a b", "yes", "~^x\\d+$", "10", "x:y", "é"];

fn random_scalar(random: &mut StdRng) -> Value {
    match random.random_range(0..8) {
        0 => Value::Null,
        1 => json!(random.random_bool(0.5)),
        2 => json!(random.random_range(-9i64..10_000)),
        3 => json!(f64::from(random.random_range(-400i16..400)) / 8.0 + 0.03125),
        4 => json!(
            ["yes", "", "no", "010", "1e3", "# x", "a: b", "'", "\"", "\\", "- ", "~"]
                [random.random_range(0..12)]
        ),
        _ => {
            let pool: Vec<char> = "ab1 :#-'\"\\{}[],&*!|>%@\n\t\u{e9}\u{1F600}\u{85}./~^?=".chars().collect();
            let length = random.random_range(0..12);
            Value::String((0..length).map(|_| pool[random.random_range(0..pool.len())]).collect())
        }
    }
}

fn random_value(random: &mut StdRng, depth: usize) -> Value {
    match random.random_range(0..if depth == 0 { 1 } else { 4 }) {
        2 => (0..random.random_range(0..4)).map(|_| random_value(random, depth - 1)).collect(),
        3 => Value::Object(random_map(random, depth - 1)),
        _ => random_scalar(random),
    }
}

fn random_map(random: &mut StdRng, depth: usize) -> Map<String, Value> {
    let count = random.random_range(0..5);
    (0..count)
        .map(|_| (KEYS[random.random_range(0..KEYS.len())].to_owned(), random_value(random, depth)))
        .collect()
}

/// Writes a map in one of the ways people do, comments and gaps between.
fn write(
    map: &Map<String, Value>,
    indent: usize,
    random: &mut StdRng,
    comments: &mut usize,
    out: &mut String,
) {
    for (key, value) in map {
        let gap = ["", "", "", "\n"][random.random_range(0..4)];
        out.push_str(gap);
        if random.random_bool(0.3) {
            *comments += 1;
            let shift = random.random_range(0..3) * 2;
            out.push_str(&format!("{:width$}# comment {comments}\n", "", width = indent + shift));
        }
        let key = serde_json::to_string(key).expect("a text");
        out.push_str(&format!("{:indent$}{key}:", ""));
        let comment = if random.random_bool(0.3) {
            *comments += 1;
            format!("   # comment {comments}")
        } else {
            String::new()
        };
        match value {
            Value::Object(inner) if !inner.is_empty() && random.random_bool(0.8) => {
                out.push_str(&format!("{comment}\n"));
                write(inner, indent + random.random_range(1..4), random, comments, out);
            }
            Value::Array(items) if !items.is_empty() && random.random_bool(0.5) => {
                out.push_str(&format!("{comment}\n"));
                for item in items {
                    out.push_str(&format!("{:indent$}- {}\n", "", json_for_yaml(item)));
                }
            }
            Value::Null if random.random_bool(0.5) => out.push_str(&format!("{comment}\n")),
            other => out.push_str(&format!(" {}{comment}\n", json_for_yaml(other))),
        }
    }
}

/// JSON is YAML but for characters that YAML does not allow as they are.
fn json_for_yaml(value: &Value) -> String {
    value.to_string().replace('\u{85}', "\\u0085")
}

fn expected(value: &mut Value, key: &[String], new: Option<&Value>) {
    let (name, rest) = key.split_first().expect("a key");
    if value.is_null() && new.is_some() {
        *value = json!({});
    }
    let Value::Object(map) = value else { return };
    match (rest.is_empty(), new) {
        (true, None) => drop(map.remove(name)),
        (true, Some(new)) => drop(map.insert(name.clone(), new.clone())),
        (false, None) => map.get_mut(name).into_iter().for_each(|inner| expected(inner, rest, None)),
        (false, Some(_)) => expected(map.entry(name.clone()).or_insert(Value::Null), rest, new),
    }
}

/// Any changes of any text give the text with these changes, read by another reader; comments stay where only scalars
/// change and keys are added.
#[test]
fn random_changes_of_random_texts() {
    let mut made = 0;
    for seed in 0..3000 {
        let mut random = StdRng::seed_from_u64(seed);
        let document = random_map(&mut random, 3);
        let (mut text, mut comments) = (String::new(), 0);
        write(&document, 0, &mut random, &mut comments, &mut text);
        let mut value = Value::Object(document);
        assert_eq!(
            read(&text).as_object().cloned().unwrap_or_default(),
            *value.as_object().expect("a map"),
            "{text}"
        );
        let mut changes = Vec::new();
        let mut takes = false;
        for _ in 0..random.random_range(1..6) {
            let length = random.random_range(1..4);
            let key = (0..length).map(|_| KEYS[random.random_range(0..KEYS.len())].to_owned()).collect();
            let new = random.random_bool(0.8).then(|| random_value(&mut random, 2));
            changes.push(Edit { key, value: new });
        }
        for change in &changes {
            takes |= change.value.is_none() || !replaces_nothing_or_scalar(&value, &change.key);
            expected(&mut value, &change.key, change.value.as_ref());
        }
        match edit(&text, &changes) {
            Ok(out) => {
                made += 1;
                let is = read(&out);
                let is = if is.is_null() { json!({}) } else { is };
                assert_eq!(is, value, "seed {seed}, {changes:?} in\n{text}\ngave\n{out}");
                for number in (1..=comments).filter(|_| !takes) {
                    let comment = format!("# comment {number}\n");
                    assert!(out.contains(&comment), "seed {seed}, {changes:?} in\n{text}\ngave\n{out}");
                }
            }
            Err(EditError::Refused { why: "there is a value where a map is needed", .. }) => {}
            Err(error) => panic!("seed {seed}: {error}, {changes:?} in\n{text}"),
        }
    }
    assert!(made > 1500, "{made} of 3000");
}

fn replaces_nothing_or_scalar(value: &Value, key: &[String]) -> bool {
    let found = key.iter().try_fold(value, |value, name| value.get(name));
    found.is_none_or(|found| !found.is_array() && !found.is_object())
}
