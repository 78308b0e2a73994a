//! The mesh's ring and its sleep flag under loom: every interleaving of a producer and a consumer.

#[path = "../src/mesh/spsc.rs"]
#[allow(dead_code)]
mod spsc;

mod sync {
    pub(super) use loom::cell::UnsafeCell;
    pub(super) use loom::sync::Arc;
    pub(super) use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
}

use loom::sync::Arc;

#[test]
fn every_value_arrives_once_and_in_order() {
    loom::model(|| {
        let (mut producer, mut consumer) = spsc::ring::<Box<usize>>(2);
        let sender = loom::thread::spawn(move || {
            let mut refused = 0;
            for n in 0..3 {
                if producer.push(Box::new(n)).is_err() {
                    refused += 1;
                }
            }
            refused
        });
        let mut last = None;
        let mut taken = 0;
        for _ in 0..3 {
            if let Some(value) = consumer.pop() {
                assert!(last.is_none_or(|last| last < *value));
                last = Some(*value);
                taken += 1;
            }
        }
        let refused = sender.join().unwrap();
        while consumer.pop().is_some() {
            taken += 1;
        }
        assert_eq!(taken + refused, 3);
    });
}

#[test]
fn a_sleeping_consumer_is_woken_for_every_value() {
    loom::model(|| {
        let (mut producer, mut consumer) = spsc::ring::<usize>(2);
        let doze = Arc::new(spsc::Doze::new());
        let flag = Arc::clone(&doze);
        let sender = loom::thread::spawn(move || {
            producer.push(1).unwrap();
            flag.must_wake()
        });
        doze.announce();
        let sleeps = consumer.is_empty();
        let woken = sender.join().unwrap();
        // A consumer that goes to sleep without having seen the value is woken.
        assert!(!sleeps || woken);
    });
}
