//! Which processors this process may use, and who gets which: shards the first ones, control what is left.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The processors this process may run on, in order.
pub(crate) fn allowed() -> Vec<usize> {
    match sched_getaffinity(None) {
        Ok(set) => (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect(),
        Err(_) => Vec::new(),
    }
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
    let mut set = CpuSet::new();
    for cpu in processors {
        set.set(*cpu);
    }
    let _ = sched_setaffinity(None, &set);
}
