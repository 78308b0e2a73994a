//! Which processors this process may use, and who gets which: shards the first ones, control what is left.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::sync::OnceLock;

/// The processors this process may run on, in order: what it was started with, before any thread was pinned.
pub(crate) fn allowed() -> Vec<usize> {
    static AT_START: OnceLock<Vec<usize>> = OnceLock::new();
    AT_START
        .get_or_init(|| match sched_getaffinity(None) {
            Ok(set) => (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect(),
            Err(_) => Vec::new(),
        })
        .clone()
}

/// The processors that `shards` shards leave to the control core; all of them where none is left.
pub(crate) fn for_control(shards: usize) -> Vec<usize> {
    let all = allowed();
    match all.get(shards..) {
        Some(rest) if !rest.is_empty() => rest.to_vec(),
        _ => all,
    }
}

/// Keeps the control core off the shards' processors. Where the kernel refuses, it shares them.
pub(crate) fn pin_this_thread(processors: &[usize]) {
    let _ = sched_setaffinity(None, &set_of(processors));
}

/// Runs `start` on this thread as if it were not pinned: the children it starts may use every processor.
pub(crate) fn unpinned<T>(start: impl FnOnce() -> T) -> T {
    let pinned = sched_getaffinity(None);
    let _ = sched_setaffinity(None, &set_of(&allowed()));
    let result = start();
    if let Ok(pinned) = pinned {
        let _ = sched_setaffinity(None, &pinned);
    }
    result
}

fn set_of(processors: &[usize]) -> CpuSet {
    let mut set = CpuSet::new();
    processors.iter().for_each(|cpu| set.set(*cpu));
    set
}
