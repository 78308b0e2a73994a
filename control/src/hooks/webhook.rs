//! Webhooks: a POST of JSON to `webhookAddress` for each event, tried again where that may help.
//!
//! Events about the same path (or connection) take the same lane, and a lane sends one event after the other: order is
//! kept per path. The lanes bound what a dead server costs: so many requests or waits at once, so many events in memory;
//! what does not fit is dropped and counted. The log has one line when deliveries begin to fail and one when they work.

use super::counters::{HookCounters, count};
use super::event::{Event, Kind};
use crate::client::{chain, client, without_secrets};
use crate::config::Global;
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Requests, and tries that are waited for, at once.
const LANES: usize = 16;
/// Events that wait in a lane; half a KiB each.
const LANE_EVENTS_MAX: usize = 256;
const PAUSE_LONGEST: Duration = Duration::from_secs(30);
/// Bytes of an answer that are read so that the connection can be used again.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Where events go, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) address: String,
    /// Empty for all.
    pub(super) events: Vec<String>,
    pub(super) timeout: Duration,
    pub(super) retries: u64,
    /// Before the first retry; doubles.
    pub(super) pause: Duration,
}

impl Settings {
    /// `None` where no webhook is configured.
    pub(super) fn of(global: &Global) -> Option<Settings> {
        (!global.webhook_address.is_empty()).then(|| Settings {
            address: global.webhook_address.clone(),
            events: global.webhook_events.clone(),
            timeout: global.webhook_timeout,
            retries: global.webhook_retries,
            pause: Duration::from_millis(500),
        })
    }
}

/// The lanes to one server. Dropped, they send what they have and end.
pub(super) struct Webhook {
    pub(super) settings: Settings,
    wanted: HashSet<Kind>,
    lanes: Vec<mpsc::Sender<String>>,
    tasks: Vec<JoinHandle<()>>,
    counters: Arc<HookCounters>,
}

struct Line {
    client: reqwest::Client,
    settings: Settings,
    failing: AtomicBool,
    counters: Arc<HookCounters>,
}

enum Failure {
    /// Another try may work.
    Passing(String),
    Lasting(String),
}

impl Webhook {
    /// Opens the lanes.
    ///
    /// # Errors
    /// The address is none.
    pub(super) fn open(settings: Settings, counters: &Arc<HookCounters>) -> Result<Webhook, String> {
        let client = client(&settings.address, "").map_err(|error| error.to_string())?;
        let wanted = Kind::ALL
            .into_iter()
            .filter(|kind| {
                settings.events.is_empty() || settings.events.iter().any(|word| word == kind.word())
            })
            .collect();
        let line = Arc::new(Line {
            client,
            settings: settings.clone(),
            failing: AtomicBool::new(false),
            counters: Arc::clone(counters),
        });
        let (lanes, tasks) = (0..LANES)
            .map(|_| {
                let (sender, events) = mpsc::channel(LANE_EVENTS_MAX);
                (sender, tokio::spawn(deliver_all(Arc::clone(&line), events)))
            })
            .unzip();
        Ok(Webhook { settings, wanted, lanes, tasks, counters: Arc::clone(counters) })
    }

    pub(super) fn wants(&self, kind: Kind) -> bool {
        self.wanted.contains(&kind)
    }

    /// Sends an event with its variables, if it is wanted and fits.
    pub(super) fn send(&self, event: &Event, variables: &[(String, String)]) {
        if !self.wants(event.kind) {
            return;
        }
        let mut hasher = DefaultHasher::new();
        match &event.path {
            Some(path) => path.hash(&mut hasher),
            None => event.subject.hash(&mut hasher),
        }
        let lane = usize::try_from(hasher.finish() % LANES as u64).unwrap_or(0);
        if self.lanes[lane].try_send(body(event.kind, variables)).is_err() {
            count(&self.counters.webhooks_dropped);
        }
    }

    /// Sends what waits, for no longer than `patience`.
    pub(super) async fn finish(self, patience: Duration) {
        drop(self.lanes);
        let until = tokio::time::Instant::now() + patience;
        let mut cut = 0;
        for mut task in self.tasks {
            if tokio::time::timeout_at(until, &mut task).await.is_err() {
                task.abort();
                cut += 1;
            }
        }
        if cut > 0 {
            let address = without_secrets(&self.settings.address);
            tracing::warn!(
                "webhooks to {address} are cut off while events still wait in {cut} of {LANES} lanes"
            );
        }
    }
}

/// The event's id, time and word, and the variables of the commands under their names.
fn body(kind: Kind, variables: &[(String, String)]) -> String {
    let mut object = Map::new();
    object.insert("id".to_owned(), unique().into());
    object.insert("time".to_owned(), jiff::Timestamp::now().to_string().into());
    object.insert("event".to_owned(), kind.word().into());
    // The twins and the deprecated name would say the same again.
    let told = variables.iter().filter(|(name, _)| !name.starts_with("HEADWATER_") && name != "RTSP_PATH");
    object.extend(told.map(|(name, value)| (name.clone(), Value::from(value.as_str()))));
    Value::Object(object).to_string()
}

/// A random UUID (version 4).
fn unique() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

async fn deliver_all(line: Arc<Line>, mut events: mpsc::Receiver<String>) {
    while let Some(event) = events.recv().await {
        line.deliver(event).await;
    }
}

impl Line {
    async fn deliver(&self, event: String) {
        for attempt in 0..=self.settings.retries {
            let failure = match self.post(event.clone()).await {
                Ok(()) => {
                    count(&self.counters.webhooks_delivered);
                    return self.works();
                }
                Err(failure) => failure,
            };
            match failure {
                Failure::Passing(reason) => {
                    self.fails(&reason);
                    if attempt < self.settings.retries {
                        tokio::time::sleep(self.pause(attempt)).await;
                        count(&self.counters.webhooks_retried);
                    }
                }
                Failure::Lasting(reason) => {
                    self.fails(&reason);
                    break;
                }
            }
        }
        count(&self.counters.webhooks_failed);
    }

    async fn post(&self, event: String) -> Result<(), Failure> {
        let request = self
            .client
            .post(&self.settings.address)
            .header("content-type", "application/json")
            .timeout(self.settings.timeout)
            .body(event);
        let mut response = request.send().await.map_err(|error| Failure::Passing(chain(&error)))?;
        let status = response.status();
        let mut read = 0;
        while let (true, Ok(Some(piece))) = (read < ANSWER_BYTES_MAX, response.chunk().await) {
            read += piece.len();
        }
        let reason = || format!("the server replied with code {}", status.as_u16());
        match status.as_u16() {
            200..=299 => Ok(()),
            408 | 425 | 429 | 500..=599 => Err(Failure::Passing(reason())),
            _ => Err(Failure::Lasting(reason())),
        }
    }

    /// Doubles with each try, and is shortened by chance so that lanes do not knock all at once.
    fn pause(&self, attempt: u64) -> Duration {
        let doubled = 1u32.checked_shl(u32::try_from(attempt).unwrap_or(u32::MAX)).unwrap_or(u32::MAX);
        let whole = self.settings.pause.saturating_mul(doubled).min(PAUSE_LONGEST);
        whole.mul_f64(0.5 + rand::random::<f64>() / 2.0)
    }

    fn fails(&self, reason: &str) {
        if !self.failing.swap(true, Relaxed) {
            let address = without_secrets(&self.settings.address);
            tracing::warn!("webhooks to {address} begin to fail: {reason}");
        }
    }

    fn works(&self) {
        if self.failing.swap(false, Relaxed) {
            let address = without_secrets(&self.settings.address);
            let failed = self.counters.webhooks_failed.load(Relaxed);
            let dropped = self.counters.webhooks_dropped.load(Relaxed);
            tracing::info!(
                "webhooks to {address} work again; {failed} failed and {dropped} were dropped since the start"
            );
        }
    }
}
