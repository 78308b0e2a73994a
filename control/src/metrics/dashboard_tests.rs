//! The dashboard that ships with the server asks for nothing that the server does not export.

use super::tests::exported;
use serde_json::Value;
use std::collections::BTreeSet;

const DASHBOARD: &str = include_str!("../../grafana/headwater.json");
/// Operators of PromQL that look like names.
const WORDS: [&str; 2] = ["or", "and"];

/// All texts under the keys that hold queries.
fn queries(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str() {
                    Some(text) if ["expr", "definition"].contains(&&**key) => found.push(text.to_owned()),
                    _ => queries(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| queries(value, found)),
        _ => {}
    }
}

/// The metric names of a query: identifiers that are neither a function, nor a word, nor between brackets of labels,
/// ranges or groupings.
fn metric_names(query: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut rest = query;
    while let Some(start) = rest.find(|letter: char| letter.is_ascii_alphanumeric() || "_{[".contains(letter))
    {
        rest = &rest[start..];
        if let Some(closing) = rest.strip_prefix('{').map(|_| '}').or(rest.strip_prefix('[').map(|_| ']')) {
            rest = &rest[rest.find(closing).expect("a closing bracket") + 1..];
            continue;
        }
        let end =
            rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        if word == "by" {
            rest = &after[after.find(')').expect("a closing bracket") + 1..];
        } else if !after.starts_with('(')
            && !after.starts_with(" by (")
            && !WORDS.contains(&word)
            && !word.starts_with(|c: char| c.is_ascii_digit())
        {
            names.insert(word.to_owned());
        }
    }
    // `label_values(metric, label)` names the label of the variable, which is Prometheus' own.
    names.remove("instance");
    names
}

#[test]
fn metric_names_are_found_in_queries() {
    let query = "histogram_quantile(0.99, sum by (le, b) (rate(x_bucket{a=~\"$c\"}[$__r]))) / sum(y_total) or vector(0)";
    assert_eq!(metric_names(query), BTreeSet::from(["x_bucket".to_owned(), "y_total".to_owned()]));
}

#[test]
fn the_dashboard_asks_only_for_what_is_exported() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let mut found = Vec::new();
    queries(&dashboard, &mut found);
    assert!(found.len() > 50, "{} queries", found.len());
    let exported = exported();
    for query in &found {
        let names = metric_names(query);
        assert!(!names.is_empty(), "no metric in {query}");
        for name in names {
            assert!(exported.contains(&name), "{name} is not exported, in {query}");
        }
    }
}

#[test]
fn every_panel_lets_the_operator_choose_source_and_instance() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut rows = Vec::new();
    for panel in panels {
        if panel["type"] == "row" {
            rows.push(panel["title"].as_str().expect("a title"));
            continue;
        }
        for target in panel["targets"].as_array().expect("targets") {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
            assert!(
                target["expr"].as_str().is_some_and(|query| query.contains("$instance")),
                "{}",
                panel["title"]
            );
        }
    }
    let expected =
        ["Overview", "Delivery", "Shards", "Sessions by protocol", "Authentication and control", "Process"];
    assert_eq!(rows, expected);
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().expect("an id")).collect();
    assert_eq!(ids.len(), panels.len(), "ids are unique");
}
