//! What authentication remembers for a short while.
//!
//! Keys are hashes with a random key of this process, so that memory holds no credentials and nobody outside can choose
//! colliding ones. A [`Memory`] never holds more than it was made for, and forgets the oldest first.

use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Names a question without telling it.
pub(super) type Key = [u8; 32];

/// Answers by key, each for a limited time.
pub(super) struct Memory<V> {
    secret: [u8; 32],
    entries_max: usize,
    age_max: Duration,
    inner: Mutex<Inner<V>>,
}

struct Inner<V> {
    entries: HashMap<Key, (V, Instant)>,
    /// Keys as they were entered; all entries live equally long.
    order: VecDeque<(Key, Instant)>,
}

impl<V: Clone> Memory<V> {
    pub(super) fn new(entries_max: usize, age_max: Duration) -> Memory<V> {
        let inner = Inner { entries: HashMap::new(), order: VecDeque::new() };
        Memory { secret: rand::random(), entries_max, age_max, inner: Mutex::new(inner) }
    }

    /// The key of a question, given by its parts.
    pub(super) fn key(&self, parts: &[&[u8]]) -> Key {
        let mut hash = Sha256::new();
        hash.update(self.secret);
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }

    pub(super) fn recall(&self, key: &Key, now: Instant) -> Option<V> {
        let inner = self.inner();
        let (value, entered) = inner.entries.get(key)?;
        (now.duration_since(*entered) < self.age_max).then(|| value.clone())
    }

    pub(super) fn remember(&self, key: Key, value: V, now: Instant) {
        let mut inner = self.inner();
        while let Some((oldest, entered)) = inner.order.front().copied() {
            if inner.order.len() < self.entries_max && now.duration_since(entered) < self.age_max {
                break;
            }
            inner.order.pop_front();
            // The key may have been entered anew since.
            if inner.entries.get(&oldest).is_some_and(|(_, at)| *at == entered) {
                inner.entries.remove(&oldest);
            }
        }
        inner.order.push_back((key, now));
        inner.entries.insert(key, (value, now));
    }

    fn inner(&self) -> MutexGuard<'_, Inner<V>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_end_with_their_age_and_the_oldest_make_place() {
        let memory = Memory::new(2, Duration::from_secs(10));
        let start = Instant::now();
        let keys: Vec<Key> = (0u8..3).map(|n| memory.key(&[&[n]])).collect();
        memory.remember(keys[0], 0, start);
        memory.remember(keys[1], 1, start);
        assert_eq!(memory.recall(&keys[0], start), Some(0));
        assert_eq!(memory.recall(&keys[0], start + Duration::from_secs(10)), None);
        memory.remember(keys[2], 2, start + Duration::from_secs(1));
        assert_eq!(memory.recall(&keys[0], start + Duration::from_secs(1)), None, "the oldest made place");
        assert_eq!(memory.recall(&keys[1], start + Duration::from_secs(1)), Some(1));
        assert_eq!(memory.recall(&keys[2], start + Duration::from_secs(1)), Some(2));
    }

    #[test]
    fn an_entry_made_anew_outlives_its_first_time() {
        let memory = Memory::new(2, Duration::from_secs(10));
        let start = Instant::now();
        let (same, other) = (memory.key(&[b"same"]), memory.key(&[b"other"]));
        memory.remember(same, 1, start);
        memory.remember(same, 2, start + Duration::from_secs(1));
        memory.remember(other, 3, start + Duration::from_secs(2));
        assert_eq!(memory.recall(&same, start + Duration::from_secs(2)), Some(2));
        for _ in 0..100 {
            memory.remember(same, 4, start + Duration::from_secs(3));
        }
        assert!(memory.inner().order.len() <= 2 && memory.inner().entries.len() <= 2);
    }

    #[test]
    fn keys_depend_on_where_parts_end() {
        let memory = Memory::<()>::new(1, Duration::ZERO);
        assert_ne!(memory.key(&[b"ab", b"c"]), memory.key(&[b"a", b"bc"]));
        assert_ne!(memory.key(&[b"a"]), Memory::<()>::new(1, Duration::ZERO).key(&[b"a"]));
    }
}
