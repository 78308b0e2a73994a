//! What came of requests, by method, and how long they took. Read by the metrics.

use crate::config::values::AuthMethod;
use headwater_engine::access::Verdict;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What came of a request, for labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Allowed,
    Asked,
    Denied,
    Unavailable,
}

impl Outcome {
    pub(crate) const ALL: [Outcome; 4] =
        [Outcome::Allowed, Outcome::Asked, Outcome::Denied, Outcome::Unavailable];

    /// `allowed`, `asked`, `denied`, `unavailable`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Outcome::Allowed => "allowed",
            Outcome::Asked => "asked",
            Outcome::Denied => "denied",
            Outcome::Unavailable => "unavailable",
        }
    }

    pub(super) fn of(verdict: &Verdict) -> Outcome {
        match verdict {
            Verdict::Allowed { .. } => Outcome::Allowed,
            Verdict::AskCredentials => Outcome::Asked,
            Verdict::Denied { .. } => Outcome::Denied,
            Verdict::Unavailable { .. } => Outcome::Unavailable,
        }
    }
}

/// One method's requests.
#[derive(Debug, Default)]
pub(crate) struct MethodCounters {
    outcomes: [AtomicU64; 4],
    buckets: [AtomicU64; BUCKETS.len()],
    seconds_in_micros: AtomicU64,
}

/// Upper bounds of the buckets of [`MethodCounters::latency`], in seconds; the last bucket has none.
pub(crate) const BUCKETS: [f64; 10] = [0.0005, 0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

impl MethodCounters {
    pub(crate) fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize].load(Relaxed)
    }

    /// How many requests took at most each of [`BUCKETS`] (cumulative), how many there were, and their sum in seconds.
    pub(crate) fn latency(&self) -> ([u64; BUCKETS.len()], u64, f64) {
        let mut below = 0;
        let buckets = std::array::from_fn(|n| {
            below += self.buckets[n].load(Relaxed);
            below
        });
        let count = self.outcomes.iter().map(|outcome| outcome.load(Relaxed)).sum();
        (buckets, count, self.seconds_in_micros.load(Relaxed) as f64 / 1e6)
    }

    fn add(&self, outcome: Outcome, took: Duration) {
        self.outcomes[outcome as usize].fetch_add(1, Relaxed);
        let seconds = took.as_secs_f64();
        if let Some(bucket) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            self.buckets[bucket].fetch_add(1, Relaxed);
        }
        self.seconds_in_micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }
}

/// All that authentication counts.
#[derive(Debug, Default)]
pub(crate) struct AuthCounters {
    internal: MethodCounters,
    http: MethodCounters,
    jwt: MethodCounters,
    /// Requests let in by `authHTTPExclude` and `authJWTExclude`.
    pub(crate) excluded: AtomicU64,
    /// Verdicts of the authentication server that were remembered, or shared with a request just like it.
    pub(crate) http_cached: AtomicU64,
    /// Requests that the authentication server got.
    pub(crate) http_asked: AtomicU64,
    /// argon2 hashes computed.
    pub(crate) hashes_computed: AtomicU64,
    /// Passwords recognised without computing their argon2 hash again.
    pub(crate) hashes_cached: AtomicU64,
    /// Refused because too many waited already.
    pub(crate) overloaded: AtomicU64,
    /// Not decided within `authTimeout`.
    pub(crate) timed_out: AtomicU64,
    pub(crate) jwks_fetched: AtomicU64,
    pub(crate) jwks_failed: AtomicU64,
}

impl AuthCounters {
    pub(crate) fn method(&self, method: AuthMethod) -> &MethodCounters {
        match method {
            AuthMethod::Internal => &self.internal,
            AuthMethod::Http => &self.http,
            AuthMethod::Jwt => &self.jwt,
        }
    }

    pub(crate) fn decided(&self, method: AuthMethod, verdict: &Verdict, took: Duration) {
        self.method(method).add(Outcome::of(verdict), took);
    }
}

/// Counts one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_is_cumulative_and_counts_what_is_beyond_the_last_bucket() {
        let counters = AuthCounters::default();
        let allowed = Verdict::Allowed { user: String::new() };
        for millis in [0, 3, 3, 20_000] {
            counters.decided(AuthMethod::Http, &allowed, Duration::from_millis(millis));
        }
        let http = counters.method(AuthMethod::Http);
        let (buckets, count, sum) = http.latency();
        assert_eq!(buckets, [1, 1, 3, 3, 3, 3, 3, 3, 3, 3]);
        assert_eq!(count, 4);
        assert!((sum - 20.006).abs() < 1e-9);
        assert_eq!(http.count(Outcome::Allowed), 4);
        assert_eq!(counters.method(AuthMethod::Jwt).count(Outcome::Allowed), 0);
    }
}
