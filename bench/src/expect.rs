//! Expectations: `tcp.floor_share<=1.3`, checked after a run; an unmet one fails it.
//!
//! `PROTOCOL.METRIC OP NUMBER` speaks of the server under test, `PROTOCOL.CONTENDER.METRIC OP NUMBER` of any
//! contender (`floor`, or a peer's name). OP is `<=`, `>=`, `<`, `>` or `=`.

use std::fmt;
use std::str::FromStr;

/// One expectation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expectation {
    /// `tcp`, `udp`, `startup`, `churn`, …
    pub(crate) topic: String,
    /// None: the server under test.
    pub(crate) contender: Option<String>,
    pub(crate) metric: String,
    pub(crate) comparison: Comparison,
    pub(crate) bound: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    AtMost,
    AtLeast,
    Below,
    Above,
    Equal,
}

impl Comparison {
    fn as_str(self) -> &'static str {
        match self {
            Comparison::AtMost => "<=",
            Comparison::AtLeast => ">=",
            Comparison::Below => "<",
            Comparison::Above => ">",
            Comparison::Equal => "=",
        }
    }

    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Comparison::AtMost => value <= bound,
            Comparison::AtLeast => value >= bound,
            Comparison::Below => value < bound,
            Comparison::Above => value > bound,
            Comparison::Equal => (value - bound).abs() < 1e-9,
        }
    }
}

impl FromStr for Expectation {
    type Err = String;

    fn from_str(text: &str) -> Result<Expectation, String> {
        let form = || format!("{text:?} is not of the form tcp.floor_share<=1.3");
        let start = text.find(['<', '>', '=']).ok_or_else(form)?;
        let (name, rest) = text.split_at(start);
        let operators = [
            Comparison::AtMost,
            Comparison::AtLeast,
            Comparison::Below,
            Comparison::Above,
            Comparison::Equal,
        ];
        let (comparison, number) = operators
            .into_iter()
            .find_map(|operator| Some((operator, rest.strip_prefix(operator.as_str())?)))
            .ok_or_else(form)?;
        let bound: f64 = number.trim().parse().map_err(|_| form())?;
        if !bound.is_finite() {
            return Err(form());
        }
        let parts: Vec<&str> = name.trim().split('.').collect();
        if parts.iter().any(|part| part.is_empty()) {
            return Err(form());
        }
        let (topic, contender, metric) = match parts[..] {
            [topic, metric] => (topic, None, metric),
            [topic, contender, metric] => (topic, Some(contender.to_owned()), metric),
            _ => return Err(form()),
        };
        let topic = topic.strip_prefix("rtsp-").unwrap_or(topic).to_owned();
        Ok(Expectation { topic, contender, metric: metric.to_owned(), comparison, bound })
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Expectation { topic, metric, bound, .. } = self;
        let contender = self.contender.as_ref().map(|name| format!("{name}.")).unwrap_or_default();
        write!(f, "{topic}.{contender}{metric}{}{bound}", self.comparison.as_str())
    }
}

impl Expectation {
    /// None when `value` meets it, else the complaint. A value that is not there, or no number, meets nothing.
    pub(crate) fn complaint(&self, value: Option<f64>) -> Option<String> {
        match value {
            Some(value) if self.comparison.holds(value, self.bound) => None,
            Some(value) => Some(format!("expected {self}, but it is {value:.4}")),
            None => Some(format!("expected {self}, but there is no such figure in this run")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_are_read() {
        let read = |text: &str| text.parse::<Expectation>().expect("reads");
        let share = read("tcp.floor_share<=1.3");
        assert_eq!((share.topic.as_str(), share.contender.as_deref()), ("tcp", None));
        assert_eq!(
            (share.metric.as_str(), share.comparison, share.bound),
            ("floor_share", Comparison::AtMost, 1.3)
        );
        let peer = read("rtsp-udp.mediamtx.cpu_ratio >= 2.5");
        assert_eq!((peer.topic.as_str(), peer.contender.as_deref()), ("udp", Some("mediamtx")));
        assert_eq!((peer.comparison, peer.bound), (Comparison::AtLeast, 2.5));
        assert_eq!(peer.to_string(), "udp.mediamtx.cpu_ratio>=2.5");
        assert_eq!(read("tcp.lost=0").comparison, Comparison::Equal);
        assert_eq!(read("tcp.lost<1").comparison, Comparison::Below);
    }

    #[test]
    fn what_is_no_expectation_is_refused() {
        for text in [
            "",
            "tcp.floor_share",
            "tcp<=1",
            "tcp.a<=",
            "tcp.a<=x",
            "tcp..a<=1",
            "a.b.c.d<=1",
            "tcp.a<=NaN",
            "tcp.a=>1",
        ] {
            assert!(text.parse::<Expectation>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn unmet_and_missing_figures_are_complaints() {
        let expectation: Expectation = "tcp.floor_share<=1.3".parse().expect("reads");
        assert_eq!(expectation.complaint(Some(1.3)), None);
        assert!(expectation.complaint(Some(1.301)).is_some());
        assert!(expectation.complaint(None).is_some());
        assert!(expectation.complaint(Some(f64::NAN)).is_some());
    }
}
