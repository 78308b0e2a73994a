//! The one door between the control core and the shards: asks and answers one way, events the other. Counters and
//! records are read without asking.

use crate::access::Verdict;
use crate::limits;
use crate::records::{Event, Id};
use crate::runtime::wake::Wake;
use crate::settings::Settings;
use crate::shard::datagrams::Ports;
use crate::shard::{Listener, ListenerId};
use crate::watch::Recording;
use crossbeam::queue::SegQueue;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the control core asks of a shard.
pub(crate) enum Ask {
    /// Tell every session, write what is due, and end.
    Shutdown,
    Reconfigure(Box<Reconfiguration>),
    KickSession(Id),
    KickConnection(Id),
    /// The answer to a question of this shard, by number.
    Answer {
        question: u64,
        verdict: Box<Verdict>,
    },
    /// Put the spans of every turn here, or (`None`) nowhere.
    RecordSpans(Option<Recording>),
}

/// A change of settings, with the sockets it brings to one shard.
pub(crate) struct Reconfiguration {
    pub(crate) settings: Arc<Settings>,
    pub(crate) open: Vec<Listener>,
    pub(crate) close: Vec<ListenerId>,
    pub(crate) datagrams: DatagramChange,
}

/// What becomes of the shared RTP and RTCP ports. Sessions on the old ones go on with them.
pub(crate) enum DatagramChange {
    Keep,
    Replace(Option<Box<Ports>>),
}

/// The shard's side.
pub(crate) struct Inbox(Arc<Asks>);

impl Inbox {
    pub(crate) fn take(&self) -> Option<Ask> {
        let ask = self.0.queue.pop()?;
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(ask)
    }
}

struct Asks {
    queue: SegQueue<Ask>,
    waiting: AtomicUsize,
}

/// The control core's side.
pub(crate) struct Door {
    asks: Arc<Asks>,
    wake: Wake,
}

impl Door {
    pub(crate) fn new(wake: Wake) -> (Door, Inbox) {
        let asks = Arc::new(Asks { queue: SegQueue::new(), waiting: AtomicUsize::new(0) });
        (Door { asks: Arc::clone(&asks), wake }, Inbox(asks))
    }

    /// Asks something that can be asked again later. Returns false when the shard has [`limits::DOOR_ASKS_MAX`] asks to
    /// answer already.
    pub(crate) fn ask(&self, ask: Ask) -> bool {
        if self.waiting() >= limits::DOOR_ASKS_MAX {
            return false;
        }
        self.must(ask);
        true
    }

    /// Asks what must arrive: answers, whose number the questions bound, and changes, which are made one by one.
    pub(crate) fn must(&self, ask: Ask) {
        self.asks.waiting.fetch_add(1, Ordering::Relaxed);
        self.asks.queue.push(ask);
        self.wake.wake();
    }

    /// Asks that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.asks.waiting.load(Ordering::Relaxed)
    }
}

/// What all shards tell the control core, in one order: what one shard knows of another's doing it tells after it.
pub(crate) struct Events {
    queue: SegQueue<Event>,
    waiting: AtomicUsize,
    notify: Box<dyn Fn() + Send + Sync>,
}

impl Events {
    pub(crate) fn new(notify: Box<dyn Fn() + Send + Sync>) -> Events {
        Events { queue: SegQueue::new(), waiting: AtomicUsize::new(0), notify }
    }

    /// Queues an event; it is told of by [`Events::notify`]. Returns false when [`limits::EVENTS_MAX`] wait already.
    pub(crate) fn push(&self, event: Event) -> bool {
        if self.waiting.load(Ordering::Relaxed) >= limits::EVENTS_MAX {
            return false;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.queue.push(event);
        true
    }

    pub(crate) fn notify(&self) {
        (self.notify)();
    }

    pub(crate) fn take(&self) -> Option<Event> {
        let event = self.queue.pop()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(event)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}
