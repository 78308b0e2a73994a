//! What the control core counts of its own work: reloads, authentication, hooks, webhooks, and what it lost.

use super::page::{Distribution, Page, counter_sample, histogram_sample};
use crate::config::values::AuthMethod;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Upper bounds of the time that an authentication takes; the last is `authTimeout`'s default.
const AUTHENTICATION_BOUNDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const AUTHENTICATION_BUCKETS: usize = AUTHENTICATION_BOUNDS.len() + 1;

const METHODS: [AuthMethod; 3] = [AuthMethod::Internal, AuthMethod::Http, AuthMethod::Jwt];

/// How an authentication ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckResult {
    Allowed,
    Denied,
    /// It could not be decided: the server failed or was too slow, or too many checks wait.
    Failed,
}

/// How the delivery of an event by webhook ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WebhookResult {
    Delivered,
    /// An attempt failed and is made again.
    Retried,
    /// The last attempt failed.
    GivenUp,
    /// Too many events waited.
    Dropped,
}

/// The control core's counters. Any thread may write them.
#[derive(Debug, Default)]
pub(crate) struct ControlCounters {
    pub(crate) reloads: ReloadCounters,
    checks: [[AtomicU64; CheckResult::ALL.len()]; METHODS.len()],
    authentication_buckets: [AtomicU64; AUTHENTICATION_BUCKETS],
    authentication_nanoseconds: AtomicU64,
    hooks_started: AtomicU64,
    hooks_failed: AtomicU64,
    hooks_ended: AtomicU64,
    webhooks: [AtomicU64; WebhookResult::ALL.len()],
    log_lines_dropped: AtomicU64,
    events_lost: AtomicU64,
}

/// Changes of the configuration by file, signal or API.
#[derive(Debug)]
pub(crate) struct ReloadCounters {
    succeeded: AtomicU64,
    failed: AtomicU64,
    last_successful: AtomicBool,
    /// Seconds since 1970 when a configuration was last put in force.
    last_success: AtomicU64,
}

impl CheckResult {
    const ALL: [CheckResult; 3] = [CheckResult::Allowed, CheckResult::Denied, CheckResult::Failed];

    fn name(self) -> &'static str {
        match self {
            CheckResult::Allowed => "allowed",
            CheckResult::Denied => "denied",
            CheckResult::Failed => "failed",
        }
    }
}

impl WebhookResult {
    const ALL: [WebhookResult; 4] =
        [WebhookResult::Delivered, WebhookResult::Retried, WebhookResult::GivenUp, WebhookResult::Dropped];

    fn name(self) -> &'static str {
        match self {
            WebhookResult::Delivered => "delivered",
            WebhookResult::Retried => "retried",
            WebhookResult::GivenUp => "given_up",
            WebhookResult::Dropped => "dropped",
        }
    }
}

impl Default for ReloadCounters {
    /// The configuration of the start counts as put in force now.
    fn default() -> ReloadCounters {
        ReloadCounters {
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            last_successful: AtomicBool::new(true),
            last_success: AtomicU64::new(unix_seconds()),
        }
    }
}

impl ReloadCounters {
    /// A configuration was put in force.
    pub(crate) fn succeeded(&self) {
        bump(&self.succeeded);
        self.last_success.store(unix_seconds(), Ordering::Relaxed);
        self.last_successful.store(true, Ordering::Relaxed);
    }

    /// A configuration was refused and the old one stays.
    pub(crate) fn failed(&self) {
        bump(&self.failed);
        self.last_successful.store(false, Ordering::Relaxed);
    }

    fn write(&self, page: &mut Page) {
        let results = [("success", &self.succeeded), ("failure", &self.failed)];
        let samples = results.map(|(result, count)| counter_sample(&[("result", result)], read(count)));
        page.counters(
            "headwater_configuration_reloads_total",
            "Changes of the configuration after the start, by file, signal or API.",
            samples.into(),
        );
        page.gauge(
            "headwater_configuration_last_reload_successful",
            "Whether the last change of the configuration was put in force (1) or refused (0).",
            f64::from(u8::from(self.last_successful.load(Ordering::Relaxed))),
        );
        page.gauge(
            "headwater_configuration_last_reload_timestamp_seconds",
            "When a configuration was last put in force.",
            read(&self.last_success),
        );
    }
}

impl ControlCounters {
    /// An authentication ended after `took`.
    pub(crate) fn checked(&self, method: AuthMethod, result: CheckResult, took: Duration) {
        let method = METHODS.iter().position(|one| *one == method).unwrap_or_default();
        bump(&self.checks[method][result as usize]);
        let seconds = took.as_secs_f64();
        bump(&self.authentication_buckets[AUTHENTICATION_BOUNDS.partition_point(|bound| *bound < seconds)]);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.authentication_nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// A hook's command was started.
    pub(crate) fn hook_started(&self) {
        bump(&self.hooks_started);
    }

    /// A hook's command that was started ended. `failed` when by itself with another code than 0, or by a signal that
    /// was not ours.
    pub(crate) fn hook_ended(&self, failed: bool) {
        bump(&self.hooks_ended);
        if failed {
            bump(&self.hooks_failed);
        }
    }

    /// A hook's command could not be started.
    pub(crate) fn hook_not_started(&self) {
        bump(&self.hooks_failed);
    }

    pub(crate) fn webhook(&self, result: WebhookResult) {
        bump(&self.webhooks[result as usize]);
    }

    /// How many log lines were dropped since the start, all destinations together.
    pub(crate) fn log_lines_dropped(&self, so_far: u64) {
        self.log_lines_dropped.fetch_max(so_far, Ordering::Relaxed);
    }

    /// A listener of the event stream was too slow and missed `count` events.
    pub(crate) fn events_lost(&self, count: u64) {
        self.events_lost.fetch_add(count, Ordering::Relaxed);
    }

    /// Writes all of it.
    pub(crate) fn write(&self, page: &mut Page) {
        self.reloads.write(page);
        self.write_authentication(page);
        page.counter(
            "headwater_hooks_started_total",
            "Commands of hooks started.",
            read(&self.hooks_started),
        );
        page.counter(
            "headwater_hooks_failed_total",
            "Commands of hooks that could not be started or ended with an error.",
            read(&self.hooks_failed),
        );
        // Read in this order, so that what ends in between never makes it negative.
        let ended = read(&self.hooks_ended);
        page.gauge(
            "headwater_hooks_running",
            "Commands of hooks that run now.",
            read(&self.hooks_started) - ended,
        );
        let sample = |result: WebhookResult| {
            counter_sample(&[("result", result.name())], read(&self.webhooks[result as usize]))
        };
        page.counters(
            "headwater_webhooks_total",
            "Events for webhooks, by how their delivery went.",
            WebhookResult::ALL.map(sample).into(),
        );
        page.counter(
            "headwater_log_lines_dropped_total",
            "Log lines dropped because their destination was too slow.",
            read(&self.log_lines_dropped),
        );
        page.counter(
            "headwater_events_lost_total",
            "Events that slow listeners of the event stream, hooks and webhooks missed.",
            read(&self.events_lost),
        );
    }

    fn write_authentication(&self, page: &mut Page) {
        let mut samples = Vec::new();
        for (method, results) in METHODS.iter().zip(&self.checks) {
            for result in CheckResult::ALL {
                let labels = [("method", method.word()), ("result", result.name())];
                samples.push(counter_sample(&labels, read(&results[result as usize])));
            }
        }
        let help = "Authentications, by method and result.";
        page.counters("headwater_authentication_checks_total", help, samples);
        let of = Distribution {
            bounds: AUTHENTICATION_BOUNDS,
            buckets: self
                .authentication_buckets
                .iter()
                .map(|bucket| bucket.load(Ordering::Relaxed))
                .collect(),
            sum: read(&self.authentication_nanoseconds) / 1e9,
        };
        page.histograms(
            "headwater_authentication_seconds",
            "Time that an authentication took.",
            vec![histogram_sample::<&str>(&[], &of)],
        );
    }
}

fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> f64 {
    counter.load(Ordering::Relaxed) as f64
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
