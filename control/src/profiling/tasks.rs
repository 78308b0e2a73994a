//! What each shard is doing now, as a table for people or as JSON.

use headwater_engine::Counters;
use headwater_engine::records::Activity;
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::Arc;

/// As a table.
pub(crate) fn text(activities: &[Activity], counters: &[Arc<Counters>]) -> String {
    let mut text = format!(
        "{:<10} {:<9} {:>12} {:>14} {:>8} {:>6} {:>12} {:>9}\n",
        "THREAD", "PHASE", "FOR", "TURNS", "STALLED", "ASKS", "CONNECTIONS", "SESSIONS"
    );
    for activity in activities {
        let counts = counters.get(usize::from(activity.shard));
        let count = |of: fn(&Counters) -> u64| counts.map_or(0, |counters| of(counters));
        let _ = writeln!(
            text,
            "{:<10} {:<9} {:>12} {:>14} {:>8} {:>6} {:>12} {:>9}",
            format!("shard-{}", activity.shard),
            activity.phase.name(),
            format!("{:.1?}", activity.since),
            activity.turns,
            count(|counters| counters.turns_stalled.value()),
            activity.asks,
            count(|counters| counters.connections_open.value()),
            count(|counters| counters.sessions_open.value()),
        );
    }
    text
}

/// As JSON, an array with an object for each shard.
pub(crate) fn json(activities: &[Activity], counters: &[Arc<Counters>]) -> Value {
    let of_shard = |activity: &Activity| {
        let counts = counters.get(usize::from(activity.shard));
        json!({
            "thread": format!("shard-{}", activity.shard),
            "phase": activity.phase.name(),
            "phaseSeconds": activity.since.as_secs_f64(),
            "turns": activity.turns,
            "turnsStalled": counts.map(|counters| counters.turns_stalled.value()),
            "asksWaiting": activity.asks,
            "connections": counts.map(|counters| counters.connections_open.value()),
            "sessions": counts.map(|counters| counters.sessions_open.value()),
        })
    };
    activities.iter().map(of_shard).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_engine::records::Phase;
    use std::time::Duration;

    #[test]
    fn each_shard_says_what_it_does_and_for_how_long() {
        let counters = Arc::new(Counters::default());
        counters.connections_open.add(41);
        let since = Duration::from_micros(1500);
        let activity = Activity { shard: 0, phase: Phase::Flush, turns: 12, since, asks: 3 };
        let text = text(&[activity], &[Arc::clone(&counters)]);
        let row: Vec<_> = text.lines().nth(1).expect("a row").split_whitespace().collect();
        assert_eq!(row, ["shard-0", "flush", "1.5ms", "12", "0", "3", "41", "0"]);
        let json = json(&[activity], &[counters]);
        assert_eq!(json[0]["phase"], "flush");
        assert_eq!(json[0]["phaseSeconds"], 0.0015);
        assert_eq!(json[0]["connections"], 41);
    }
}
