//! Request rate: takes part in `filter` and `interval`. A connection of RTSP or RTMP that asks faster than any player does is answered
//! 503 until it slows down, before its requests are understood and cost more.

use super::{Filtered, Module, Raw, Rejection, RejectionKind, Role};
use crate::settings::Bounds;
use crate::shard::{ConnectionKey, State};
use std::collections::HashMap;
use std::time::Instant;

/// A token bucket per connection that has asked lately.
#[derive(Default)]
pub(crate) struct RequestRate {
    buckets: HashMap<ConnectionKey, Bucket>,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    fn full(now: Instant, burst: f64) -> Bucket {
        Bucket { tokens: burst, filled: now }
    }

    fn fill(&mut self, now: Instant, bounds: &Bounds) {
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + elapsed * bounds.request_rate).min(bounds.request_burst);
        self.filled = now;
    }

    fn take(&mut self, now: Instant, bounds: &Bounds) -> bool {
        self.fill(now, bounds);
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

impl Module for RequestRate {
    fn name(&self) -> &'static str {
        "request-rate"
    }

    fn roles(&self) -> &'static [Role] {
        &[Role::Filter, Role::Interval]
    }

    fn filter(&mut self, shard: &mut State, connection: ConnectionKey, raw: &mut Raw<'_>) -> Filtered {
        // One connection of a cache carries the requests of thousands of players.
        if let Raw::Http(_) = raw {
            return Filtered::Next;
        }
        let (now, bounds) = (shard.now, &shard.settings.bounds);
        let bucket = self.buckets.entry(connection);
        if bucket.or_insert_with(|| Bucket::full(now, bounds.request_burst)).take(now, bounds) {
            return Filtered::Next;
        }
        shard.counters.requests_throttled.add(1);
        let method = match &*raw {
            Raw::Rtsp(request) => request.method.as_str(),
            Raw::Command(name) | Raw::Http(name) => name,
        };
        tracing::trace!(method, "throttled");
        Filtered::Rejected(Rejection::new(RejectionKind::Unavailable, "the connection asks too often"))
    }

    fn interval(&mut self, shard: &mut State) {
        let (now, bounds) = (shard.now, &shard.settings.bounds);
        self.buckets.retain(|_, bucket| {
            bucket.fill(now, bounds);
            bucket.tokens < bounds.request_burst
        });
        self.buckets.shrink_to(1024);
    }
}

#[cfg(test)]
mod tests {
    use super::Bucket;
    use crate::settings::Bounds;
    use std::time::{Duration, Instant};

    #[test]
    fn a_flood_is_cut_to_the_rate_and_a_player_never_notices() {
        let start = Instant::now();
        let bounds = Bounds::default();
        let mut bucket = Bucket::full(start, bounds.request_burst);
        let burst = (0..10_000).filter(|_| bucket.take(start, &bounds)).count();
        assert_eq!(burst as f64, bounds.request_burst);
        let later = start + Duration::from_secs(1);
        assert_eq!((0..10_000).filter(|_| bucket.take(later, &bounds)).count() as f64, bounds.request_rate);
        let mut player = Bucket::full(start, bounds.request_burst);
        assert!((0..1000).all(|n| player.take(start + Duration::from_millis(n * 100), &bounds)));
    }
}
