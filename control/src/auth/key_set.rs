//! The key set that tokens are verified with: fetched from `authJWTJWKS`, again every hour, on demand, and when a token
//! names a key that is not in it.
//!
//! One task fetches; whoever needs keys looks at what it fetched last and waits only while there is nothing yet. A fetch
//! that fails leaves the old keys. The task ends with the last holder of the key set.

use super::counters::{AuthCounters, count};
use super::token::Keys;
use crate::client::{chain, without_secrets};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

const REFRESH_EVERY: Duration = Duration::from_secs(60 * 60);
/// After a fetch that failed, doubled each time up to the longest pause.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_LONGEST: Duration = Duration::from_secs(60);
/// Tokens with unknown keys cause no more than one fetch in this time.
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(30);
/// As in MediaMTX.
const BODY_BYTES_MAX: usize = 128 * 1024;

/// What was fetched last.
#[derive(Clone, Default)]
struct Fetched {
    /// Counts the fetches that ended.
    number: u64,
    keys: Option<Arc<Keys>>,
    /// Why the last fetch failed.
    error: Option<String>,
}

/// Where a key set is, and what it held last.
pub(super) struct KeySet {
    client: reqwest::Client,
    address: String,
    timeout: Duration,
    fetched: watch::Sender<Fetched>,
    wanted: Notify,
    fetching: AtomicBool,
    /// When a token last caused a fetch.
    unknown_key: Mutex<Option<Instant>>,
    counters: Arc<AuthCounters>,
}

impl KeySet {
    pub(super) fn new(
        client: reqwest::Client,
        address: &str,
        timeout: Duration,
        counters: Arc<AuthCounters>,
    ) -> Arc<KeySet> {
        Arc::new(KeySet {
            client,
            address: address.to_owned(),
            timeout,
            fetched: watch::Sender::new(Fetched::default()),
            wanted: Notify::new(),
            fetching: AtomicBool::new(false),
            unknown_key: Mutex::default(),
            counters,
        })
    }

    /// Starts the task that fetches, unless it runs or there is no runtime yet.
    pub(super) fn start(self: &Arc<Self>) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current()
            && !self.fetching.swap(true, Relaxed)
        {
            runtime.spawn(keep_fetching(Arc::downgrade(self)));
        }
    }

    /// The keys; waits for the first fetch to end.
    ///
    /// # Errors
    /// None could be fetched.
    pub(super) async fn keys(self: &Arc<Self>) -> Result<Arc<Keys>, String> {
        self.start();
        let mut receiver = self.fetched.subscribe();
        let fetched =
            tokio::time::timeout(self.timeout, receiver.wait_for(|fetched| fetched.number > 0)).await;
        match fetched {
            Ok(Ok(fetched)) => match (&fetched.keys, &fetched.error) {
                (Some(keys), _) => Ok(Arc::clone(keys)),
                (None, error) => Err(error.clone().unwrap_or_default()),
            },
            _ => Err(format!("the key set could not be fetched within {:?}", self.timeout)),
        }
    }

    /// The keys after another fetch, for a token that names an unknown one; `None` if one was made only just now.
    pub(super) async fn keys_anew(self: &Arc<Self>) -> Option<Arc<Keys>> {
        let now = Instant::now();
        {
            let mut last = self.unknown_key.lock().unwrap_or_else(PoisonError::into_inner);
            if last.is_some_and(|at| now.duration_since(at) < UNKNOWN_KEY_PAUSE) {
                return None;
            }
            *last = Some(now);
        }
        self.refresh().await.ok()?;
        self.fetched.borrow().keys.clone()
    }

    /// Fetches the keys now.
    ///
    /// # Errors
    /// Why they could not be; the old ones stay.
    pub(super) async fn refresh(self: &Arc<Self>) -> Result<(), String> {
        let mut receiver = self.fetched.subscribe();
        let before = receiver.borrow().number;
        self.wanted.notify_one();
        self.start();
        match tokio::time::timeout(self.timeout, receiver.wait_for(|fetched| fetched.number > before)).await {
            Ok(Ok(fetched)) => fetched.error.clone().map_or(Ok(()), Err),
            _ => Err(format!("the key set could not be fetched within {:?}", self.timeout)),
        }
    }

    async fn fetch(&self) -> Result<Keys, String> {
        let request = self.client.get(&self.address).timeout(self.timeout);
        let mut response = request.send().await.map_err(|error| chain(&error))?;
        if !response.status().is_success() {
            return Err(format!("the server replied with code {}", response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| chain(&error))? {
            if body.len() + piece.len() > BODY_BYTES_MAX {
                return Err(format!("the key set is larger than {BODY_BYTES_MAX} bytes"));
            }
            body.extend_from_slice(&piece);
        }
        Keys::parse(&body)
    }

    /// Takes over what a fetch came to. Logs when it begins to fail, when it works again, and the first time.
    fn publish(&self, result: Result<Keys, String>) -> bool {
        let address = without_secrets(&self.address);
        let worked = result.is_ok();
        self.fetched.send_modify(|fetched| {
            let (first, failed) = (fetched.number == 0, fetched.error.is_some());
            fetched.number += 1;
            match result {
                Ok(keys) => {
                    count(&self.counters.jwks_fetched);
                    if first || failed {
                        tracing::info!("JWT key set fetched from {address}: {} keys", keys.len());
                    }
                    fetched.keys = Some(Arc::new(keys));
                    fetched.error = None;
                }
                Err(reason) => {
                    count(&self.counters.jwks_failed);
                    if !failed {
                        let then = if fetched.keys.is_some() {
                            "the old keys stay"
                        } else {
                            "no token can be verified"
                        };
                        tracing::warn!(
                            "JWT key set cannot be fetched from {address}: {reason}; {then}, trying again"
                        );
                    }
                    fetched.error = Some(format!("the key set cannot be fetched: {reason}"));
                }
            }
        });
        worked
    }
}

async fn keep_fetching(key_set: Weak<KeySet>) {
    let mut retry = RETRY_FIRST;
    loop {
        let Some(strong) = key_set.upgrade() else { return };
        let result = strong.fetch().await;
        let pause = if strong.publish(result) {
            retry = RETRY_FIRST;
            REFRESH_EVERY
        } else {
            let pause = retry;
            retry = (retry * 2).min(RETRY_LONGEST);
            pause
        };
        if !pause_or_wanted(strong, pause).await {
            return;
        }
    }
}

/// Waits without keeping the key set: looks once in a while whether anybody still has it.
async fn pause_or_wanted(key_set: Arc<KeySet>, pause: Duration) -> bool {
    const LOOK_EVERY: Duration = Duration::from_secs(5);
    let until = tokio::time::Instant::now() + pause;
    let mut key_set = key_set;
    loop {
        let weak = Arc::downgrade(&key_set);
        let look = until.min(tokio::time::Instant::now() + LOOK_EVERY);
        if tokio::time::timeout_at(look, key_set.wanted.notified()).await.is_ok() {
            return true;
        }
        drop(key_set);
        match weak.upgrade() {
            Some(strong) if tokio::time::Instant::now() < until => key_set = strong,
            Some(_) => return true,
            None => return false,
        }
    }
}
