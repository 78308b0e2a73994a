//! The one door between the control core and the shards: bounded asks, and counters that are read without asking.

use crate::limits;
use crate::runtime::wake::Wake;
use crossbeam::queue::ArrayQueue;
use std::sync::Arc;

/// What the control core asks of a shard.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    /// Tell every session, write what is due, and end.
    Shutdown,
}

/// The shard's side.
pub(crate) struct Inbox(Arc<ArrayQueue<Ask>>);

impl Inbox {
    pub(crate) fn take(&self) -> Option<Ask> {
        self.0.pop()
    }
}

/// The control core's side.
pub(crate) struct Door {
    asks: Arc<ArrayQueue<Ask>>,
    wake: Wake,
}

impl Door {
    pub(crate) fn new(wake: Wake) -> (Door, Inbox) {
        let asks = Arc::new(ArrayQueue::new(limits::DOOR_ASKS_MAX));
        (Door { asks: Arc::clone(&asks), wake }, Inbox(asks))
    }

    /// Returns false when the shard has too many asks to answer already.
    pub(crate) fn ask(&self, ask: Ask) -> bool {
        let taken = self.asks.push(ask).is_ok();
        self.wake.wake();
        taken
    }
}
