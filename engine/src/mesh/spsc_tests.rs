//! The ring on real threads. In a file of their own, since the loom test compiles the ring with other primitives.

use super::spsc::{Doze, ring};
use std::sync::Arc;

#[test]
fn values_come_out_in_order_and_a_full_ring_gives_back() {
    let (mut producer, mut consumer) = ring(4);
    for round in 0..10 {
        for n in 0..4 {
            assert_eq!(producer.push(round * 4 + n), Ok(()));
        }
        assert_eq!(producer.push(99), Err(99));
        assert_eq!(producer.len(), 4);
        for n in 0..4 {
            assert_eq!(consumer.pop(), Some(round * 4 + n));
        }
        assert_eq!(consumer.pop(), None);
    }
}

#[test]
fn values_left_in_the_ring_are_dropped_once() {
    let value = Arc::new(());
    let (mut producer, consumer) = ring(8);
    for _ in 0..5 {
        producer.push(Arc::clone(&value)).expect("room for five");
    }
    drop(consumer);
    drop(producer);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn two_threads_agree() {
    let count = if cfg!(miri) { 200 } else { 100_000 };
    let (mut producer, mut consumer) = ring(16);
    let sender = std::thread::spawn(move || {
        for n in 0..count {
            let mut value = Box::new(n);
            while let Err(back) = producer.push(value) {
                value = back;
                std::thread::yield_now();
            }
        }
    });
    for n in 0..count {
        let value = loop {
            match consumer.pop() {
                Some(value) => break value,
                None => std::thread::yield_now(),
            }
        };
        assert_eq!(*value, n);
    }
    sender.join().expect("the sender ends");
}

#[test]
fn one_wake_per_sleep() {
    let doze = Doze::new();
    assert!(!doze.must_wake());
    doze.announce();
    assert!(doze.must_wake());
    assert!(!doze.must_wake());
    doze.announce();
    doze.awake();
    assert!(!doze.must_wake());
}
