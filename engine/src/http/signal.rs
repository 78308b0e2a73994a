//! Wakers without an executor: a flag per future, looked at by the machine that owns it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

/// Remembers that a future can go on.
pub(super) struct Signal {
    flag: Arc<Flag>,
    waker: Waker,
}

/// Atomic because a waker may be sent anywhere; here it never leaves its shard.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Signal {
    /// A signal that is set, as a future wants to be polled first.
    pub(super) fn new() -> Signal {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&flag));
        Signal { flag, waker }
    }

    pub(super) fn set(&self) {
        self.flag.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was set since it was taken last.
    pub(super) fn take(&self) -> bool {
        let set = self.flag.0.load(Ordering::Relaxed);
        if set {
            self.flag.0.store(false, Ordering::Relaxed);
        }
        set
    }

    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }
}
