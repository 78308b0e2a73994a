//! A bounded, lock-free ring for one producer and one consumer, and the flag that tells when a wake is needed.
//!
//! Each side keeps its own index and a copy of the other's, so that in the steady state neither touches the other's
//! cache line. Indices count up without bound and are reduced by the capacity, a power of two. Invariant:
//! `tail - head <= capacity`; slots in `head..tail` are initialised and belong to the consumer, all others to the producer.
//!
//! Tested under loom (`engine/tests/spsc_loom.rs`: every interleaving) and on real threads (`spsc_tests.rs`).

#![allow(unsafe_code)]

use super::sync::{Arc, AtomicBool, AtomicUsize, Ordering, UnsafeCell, fence};
use crossbeam::utils::CachePadded;
use std::mem::MaybeUninit;

struct Shared<T> {
    /// Next slot to read; written by the consumer.
    head: CachePadded<AtomicUsize>,
    /// Next slot to write; written by the producer.
    tail: CachePadded<AtomicUsize>,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

// SAFETY: a slot is reached by one side at a time; the indices hand it over with release and acquire.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

/// The sending end.
pub(crate) struct Producer<T> {
    shared: Arc<Shared<T>>,
    tail: usize,
    head_seen: usize,
}

/// The receiving end.
pub(crate) struct Consumer<T> {
    shared: Arc<Shared<T>>,
    head: usize,
    tail_seen: usize,
}

/// Makes a ring of at least `capacity` slots (rounded up to a power of two, at least two).
pub(crate) fn ring<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let capacity = capacity.max(2).next_power_of_two();
    let shared = Arc::new(Shared {
        head: CachePadded::new(AtomicUsize::new(0)),
        tail: CachePadded::new(AtomicUsize::new(0)),
        slots: (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
    });
    let producer = Producer { shared: Arc::clone(&shared), tail: 0, head_seen: 0 };
    (producer, Consumer { shared, head: 0, tail_seen: 0 })
}

impl<T> Producer<T> {
    /// Puts `value` into the ring, or gives it back when the ring is full.
    pub(crate) fn push(&mut self, value: T) -> Result<(), T> {
        let capacity = self.shared.slots.len();
        if self.tail.wrapping_sub(self.head_seen) == capacity {
            self.head_seen = self.shared.head.load(Ordering::Acquire);
            if self.tail.wrapping_sub(self.head_seen) == capacity {
                return Err(value);
            }
        }
        let slot = &self.shared.slots[self.tail & (capacity - 1)];
        // SAFETY: the slot is outside head..tail, so it is ours and holds no value.
        slot.with_mut(|cell| unsafe { (*cell).write(value) });
        self.tail = self.tail.wrapping_add(1);
        self.shared.tail.store(self.tail, Ordering::Release);
        Ok(())
    }

    /// Values that the consumer has not taken yet, as far as this side knows.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.tail.wrapping_sub(self.shared.head.load(Ordering::Acquire))
    }
}

impl<T> Consumer<T> {
    /// Takes the oldest value.
    pub(crate) fn pop(&mut self) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let slot = &self.shared.slots[self.head & (self.shared.slots.len() - 1)];
        // SAFETY: the slot is inside head..tail, so it is initialised and ours; moving on gives it back empty.
        let value = slot.with_mut(|cell| unsafe { (*cell).assume_init_read() });
        self.head = self.head.wrapping_add(1);
        self.shared.head.store(self.head, Ordering::Release);
        Some(value)
    }

    /// Whether there is nothing to take now.
    pub(crate) fn is_empty(&mut self) -> bool {
        if self.head == self.tail_seen {
            self.tail_seen = self.shared.tail.load(Ordering::Acquire);
        }
        self.head == self.tail_seen
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}

/// Tells producers whether the consumer sleeps. One flag serves all rings of a consumer.
///
/// The consumer announces its sleep and looks at its rings once more; a producer pushes and then looks at the flag.
/// The fences order the two, so either the consumer sees the value or the producer sees the flag.
#[derive(Debug)]
pub(crate) struct Doze(CachePadded<AtomicBool>);

impl Doze {
    pub(crate) fn new() -> Doze {
        Doze(CachePadded::new(AtomicBool::new(false)))
    }

    /// Consumer: about to sleep. The rings must be looked at again after this and before sleeping.
    pub(crate) fn announce(&self) {
        self.0.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Consumer: awake again.
    pub(crate) fn awake(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Producer, after a push: whether the consumer must be woken. Of several producers one is told.
    pub(crate) fn must_wake(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::AcqRel)
    }
}
