//! The key set that tokens are verified with: fetched from `authJWTJWKS`, again every hour, on demand, and when a token
//! names a key that is not in it.
//!
//! One task fetches; whoever needs keys looks at what it fetched last and waits only while there is nothing yet. A fetch
//! that fails leaves the old keys. Whoever misses a key joins the fetch under way, or causes one; fetches that did not
//! bring what they were made for are so many in a time. The task ends with the last holder of the key set.

use super::counters::{AuthCounters, count};
use super::token::Keys;
use crate::client::{chain, without_secrets};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

const REFRESH_EVERY: Duration = Duration::from_secs(60 * 60);
/// After a fetch that failed, doubled each time up to the longest pause.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_LONGEST: Duration = Duration::from_secs(60);
/// Fetches for unknown keys that were in vain, in this time: one for the same key, and so many for all.
const IN_VAIN_TIME: Duration = Duration::from_secs(30);
const IN_VAIN_MAX: usize = 3;
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
    /// Counts the fetches that began.
    begun: AtomicU64,
    unknown_keys: Mutex<UnknownKeys>,
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
            begun: AtomicU64::new(0),
            unknown_keys: Mutex::default(),
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

    /// Keys that hold the one of that name, after another fetch if need be; `None` if they do not, or if too many were
    /// looked for in vain just now.
    pub(super) async fn keys_with(self: &Arc<Self>, id: &str) -> Option<Arc<Keys>> {
        self.start();
        let mut receiver = self.fetched.subscribe();
        let arrived = self.begun.load(Relaxed);
        let mut caused = None;
        let found = loop {
            let Fetched { number, keys, .. } = receiver.borrow_and_update().clone();
            if let Some(keys) = keys.filter(|keys| keys.hold(id)) {
                break Some(keys);
            }
            // A fetch that began before may have missed the key, one that began since cannot have.
            if number > arrived {
                break None;
            }
            if self.begun.load(Relaxed) == number {
                match self.unknown_keys().ask(id, number + 1, Instant::now()) {
                    Asked::Refused => break None,
                    Asked::Already => {}
                    Asked::First(asked) => {
                        caused = Some(asked);
                        self.wanted.notify_one();
                    }
                }
            }
            match tokio::time::timeout(self.timeout, receiver.changed()).await {
                Ok(Ok(())) => {}
                _ => break None,
            }
        };
        if let Some(asked) = caused {
            self.unknown_keys().settle(asked, found.is_some(), Instant::now());
        }
        found
    }

    fn unknown_keys(&self) -> MutexGuard<'_, UnknownKeys> {
        self.unknown_keys.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.begun.fetch_add(1, Relaxed);
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

/// The fetches that tokens with unknown keys have caused lately.
#[derive(Default)]
struct UnknownKeys {
    in_vain: Vec<InVain>,
}

/// A fetch that was in vain, or has not ended yet.
struct InVain {
    fetch: u64,
    id: String,
    since: Instant,
}

/// What becomes of the wish for a fetch.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// It is granted, and causes the fetch of that number.
    First(u64),
    /// Another one has caused that fetch.
    Already,
    Refused,
}

impl UnknownKeys {
    fn ask(&mut self, id: &str, fetch: u64, now: Instant) -> Asked {
        if self.in_vain.iter().any(|known| known.fetch == fetch) {
            return Asked::Already;
        }
        self.in_vain.retain(|known| now.saturating_duration_since(known.since) < IN_VAIN_TIME);
        if self.in_vain.len() >= IN_VAIN_MAX || self.in_vain.iter().any(|known| known.id == id) {
            return Asked::Refused;
        }
        self.in_vain.push(InVain { fetch, id: id.to_owned(), since: now });
        Asked::First(fetch)
    }

    /// The fetch has ended: it counts from now, or not at all.
    fn settle(&mut self, fetch: u64, brought: bool, now: Instant) {
        self.in_vain.retain(|known| !(brought && known.fetch == fetch));
        if let Some(known) = self.in_vain.iter_mut().find(|known| known.fetch == fetch) {
            known.since = now;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fetches_in_vain_are_bounded_and_others_are_not() {
        let mut keys = UnknownKeys::default();
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        for fetch in 1..100 {
            assert_eq!(keys.ask(&format!("new{fetch}"), fetch, at(0)), Asked::First(fetch));
            assert_eq!(keys.ask("other", fetch, at(0)), Asked::Already);
            keys.settle(fetch, true, at(0));
        }
        assert_eq!(keys.ask("a", 100, at(0)), Asked::First(100));
        keys.settle(100, false, at(10));
        assert_eq!(keys.ask("a", 101, at(39)), Asked::Refused, "30 s from the end of the fetch");
        assert_eq!(keys.ask("b", 101, at(39)), Asked::First(101), "another key");
        keys.settle(101, false, at(39));
        assert_eq!(keys.ask("a", 102, at(40)), Asked::First(102));
        keys.settle(102, false, at(40));
        assert_eq!(keys.ask("c", 103, at(40)), Asked::First(103));
        keys.settle(103, false, at(40));
        assert_eq!(keys.ask("d", 104, at(41)), Asked::Refused, "three in vain");
        assert_eq!(keys.ask("d", 104, at(69)), Asked::First(104));
    }
}
