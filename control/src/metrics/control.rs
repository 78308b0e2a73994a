//! What the control core counts of its own work: reloads, authentication, hooks, webhooks, and what it lost.

use super::page::{Distribution, Page, counter_sample, gauge_sample, histogram_sample};
use crate::auth::{AuthCounters, BUCKETS, Outcome};
use crate::config::values::AuthMethod;
use crate::core::Core;
use crate::hooks::HookCounters;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

const METHODS: [AuthMethod; 3] = [AuthMethod::Internal, AuthMethod::Http, AuthMethod::Jwt];

/// Changes of the configuration by file, signal or API.
#[derive(Debug)]
pub(crate) struct ReloadCounters {
    succeeded: AtomicU64,
    failed: AtomicU64,
    last_successful: AtomicBool,
    /// Seconds since 1970 when a configuration was last put in force.
    last_success: AtomicU64,
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

/// Where the figures are.
pub(super) struct Figures<'a> {
    pub(super) reloads: &'a ReloadCounters,
    pub(super) authentication: &'a AuthCounters,
    pub(super) hooks: &'a HookCounters,
    pub(super) log_lines_dropped: u64,
    pub(super) events_waiting: usize,
    pub(super) certificates_refused: u64,
    /// Certificate files, and when they expire in seconds since 1970.
    pub(super) certificates: Vec<(String, i64)>,
}

impl<'a> Figures<'a> {
    pub(super) fn of(core: &'a Core) -> Figures<'a> {
        Figures {
            reloads: &core.reloads,
            authentication: core.authority.counters(),
            hooks: &core.hook_counters,
            log_lines_dropped: core.logs.dropped_lines(),
            events_waiting: core.engine.events_waiting(),
            certificates_refused: core.keyring.refused(),
            certificates: core.keyring.expiries(),
        }
    }
}

/// Writes all of it.
pub(super) fn write(page: &mut Page, of: &Figures<'_>) {
    of.reloads.write(page);
    write_authentication(page, of.authentication);
    write_hooks(page, of.hooks);
    page.counter(
        "headwater_log_lines_dropped_total",
        "Log lines dropped because their destination was too slow.",
        of.log_lines_dropped as f64,
    );
    page.gauge(
        "headwater_events_waiting",
        "Events of the shards that the control core has not taken yet.",
        of.events_waiting as f64,
    );
    page.counter(
        "headwater_certificate_reload_failures_total",
        "Certificates that changed on disk and could not be used; the ones before stay.",
        of.certificates_refused as f64,
    );
    let expiry = |(file, at): &(String, i64)| gauge_sample(&[("file", file)], *at as f64);
    page.gauges(
        "headwater_certificate_expiry_timestamp_seconds",
        "When a certificate in use expires.",
        of.certificates.iter().map(expiry).collect(),
    );
}

fn write_authentication(page: &mut Page, counters: &AuthCounters) {
    let mut checks = Vec::new();
    let mut seconds = Vec::new();
    for method in METHODS {
        let of = counters.method(method);
        for outcome in Outcome::ALL {
            let labels = [("method", method.word()), ("result", outcome.word())];
            checks.push(counter_sample(&labels, of.count(outcome) as f64));
        }
        let (below, count, sum) = of.latency();
        let mut before = 0;
        let mut buckets: Vec<u64> =
            below.iter().map(|below| below - std::mem::replace(&mut before, *below)).collect();
        buckets.push(count.saturating_sub(before));
        let distribution = Distribution { bounds: &BUCKETS, buckets, sum };
        seconds.push(histogram_sample(&[("method", method.word())], &distribution));
    }
    let help = "Authentications that the control core decided, by method and result.";
    page.counters("headwater_authentication_checks_total", help, checks);
    page.histograms("headwater_authentication_seconds", "Time that an authentication took.", seconds);
    let figures: [(&str, &str, &AtomicU64); 9] = [
        ("excluded", "Requests let in by an exclusion.", &counters.excluded),
        ("http_requests", "Requests that the authentication server got.", &counters.http_asked),
        ("http_cached", "Verdicts remembered or shared instead of asked for.", &counters.http_cached),
        ("hashes_computed", "argon2 hashes computed.", &counters.hashes_computed),
        ("hashes_cached", "Passwords recognised without their argon2 hash.", &counters.hashes_cached),
        ("overloaded", "Requests refused because too many waited.", &counters.overloaded),
        ("timed_out", "Requests not decided within authTimeout.", &counters.timed_out),
        ("jwks_fetched", "Fetches of the JWT key set.", &counters.jwks_fetched),
        ("jwks_failed", "Fetches of the JWT key set that failed.", &counters.jwks_failed),
    ];
    for (name, help, counter) in figures {
        page.counter(&format!("headwater_authentication_{name}_total"), help, read(counter));
    }
}

fn write_hooks(page: &mut Page, counters: &HookCounters) {
    let figures: [(&str, &str, &AtomicU64); 6] = [
        ("started", "Commands of hooks started, restarts included.", &counters.started),
        ("failed", "Commands of hooks that ended with an error.", &counters.failed),
        ("not_started", "Commands of hooks that could not be started.", &counters.not_started),
        ("killed", "Commands of hooks killed because they did not end when told to.", &counters.killed),
        ("overloaded", "Commands of hooks not run because too many waited.", &counters.overloaded),
        (
            "happenings_missed",
            "Happenings that came faster than hooks took them.",
            &counters.happenings_missed,
        ),
    ];
    for (name, help, counter) in figures {
        page.counter(&format!("headwater_hooks_{name}_total"), help, read(counter));
    }
    page.gauge("headwater_hooks_running", "Commands of hooks that run now.", read(&counters.running));
    let results = [
        ("delivered", &counters.webhooks_delivered),
        ("retried", &counters.webhooks_retried),
        ("failed", &counters.webhooks_failed),
        ("dropped", &counters.webhooks_dropped),
    ];
    let samples = results.map(|(result, count)| counter_sample(&[("result", result)], read(count)));
    let help = "Events for webhooks, by how their delivery went; retried ones count once per further try.";
    page.counters("headwater_webhooks_total", help, samples.into());
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
