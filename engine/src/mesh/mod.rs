//! The mesh: one bounded ring per ordered pair of shards.
//!
//! A batch crosses to another shard at most once, however many readers are there. Messages to one shard arrive in the
//! order they were sent. A full ring never blocks the sender: batches wait in a bounded outbox and are then dropped and
//! counted (the replica sees the gap and restarts at a random access point); control messages always wait.

pub(crate) mod spsc;
#[cfg(test)]
mod spsc_tests;
mod sync;

use crate::counters::Counters;
use crate::hls::{Outcome, Reply};
use crate::limits;
use crate::net::Peer;
use crate::runtime::wake::Wake;
use crate::shard::walk::Moved;
use crate::stream::{Batch, CloseReason, StreamId};
use bytes::Bytes;
use headwater_protocols::hls;
use std::collections::VecDeque;
use std::sync::Arc;

/// Index of a shard, below [`limits::SHARDS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ShardId(pub(crate) u8);

impl ShardId {
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What shards tell each other.
pub(crate) enum Message {
    /// The sender has readers of a stream whose home is the receiver.
    Subscribe { stream: StreamId, from: ShardId },
    /// The sender has no reader of that stream any more.
    Unsubscribe { stream: StreamId, from: ShardId },
    /// All that the home's log held has been sent; from here on batches come as they are published. The newest sender
    /// reports may be older than the log.
    Subscribed { stream: StreamId, reports: Box<[Option<Bytes>]> },
    /// A batch of a stream the receiver subscribed to.
    Batch { stream: StreamId, batch: Arc<Batch> },
    /// The stream is gone; its readers are to be closed.
    Closed { stream: StreamId, reason: CloseReason },
    /// A connection whose session or path lives on the receiver.
    Adopt(Box<Moved>),
    /// The sender has a new session of a datagram peer that the receiver owned.
    PeerTaken { peer: Peer },
    /// A request of a player on the sender for the muxer of a stream whose home is the receiver.
    Mux { stream: StreamId, request: hls::Request, suffix: Box<str>, reply: Reply },
    /// What became of such a request of the receiver's.
    Muxed { ticket: u64, outcome: Box<Outcome> },
    /// A datagram from a peer that the receiver owns.
    Datagram { peer: Peer, rtcp: bool, payload: Bytes },
}

impl Message {
    /// Whether it may be dropped when the receiver does not keep up.
    fn is_droppable(&self) -> bool {
        matches!(self, Message::Batch { .. } | Message::Datagram { .. })
    }
}

struct Outgoing {
    ring: spsc::Producer<Message>,
    outbox: VecDeque<Message>,
    /// Messages in the outbox that may be dropped.
    droppable: usize,
    doze: Arc<spsc::Doze>,
    wake: Wake,
    /// Something was pushed since the last [`Mesh::flush`].
    pushed: bool,
}

/// One shard's end of the mesh.
pub(crate) struct Mesh {
    /// Indexed by the receiving shard; `None` at the own place.
    outgoing: Vec<Option<Outgoing>>,
    incoming: Vec<spsc::Consumer<Message>>,
    doze: Arc<spsc::Doze>,
}

impl Mesh {
    /// Connects one end per wake, all with all.
    pub(crate) fn connect(wakes: &[Wake]) -> Vec<Mesh> {
        let count = wakes.len();
        let dozes: Vec<_> = (0..count).map(|_| Arc::new(spsc::Doze::new())).collect();
        let mut ends: Vec<Mesh> = dozes
            .iter()
            .map(|doze| Mesh { outgoing: Vec::new(), incoming: Vec::new(), doze: Arc::clone(doze) })
            .collect();
        for from in 0..count {
            for to in 0..count {
                if from == to {
                    ends[from].outgoing.push(None);
                    continue;
                }
                let (producer, consumer) = spsc::ring(limits::MESH_RING_SLOTS);
                ends[to].incoming.push(consumer);
                ends[from].outgoing.push(Some(Outgoing {
                    ring: producer,
                    outbox: VecDeque::new(),
                    droppable: 0,
                    doze: Arc::clone(&dozes[to]),
                    wake: wakes[to].clone(),
                    pushed: false,
                }));
            }
        }
        ends
    }

    /// Queues a message for `to`. It becomes visible at once, but the receiver is woken only by [`Mesh::flush`], so that
    /// a turn's messages cost one wake.
    pub(crate) fn send(&mut self, to: ShardId, message: Message, counters: &Counters) {
        let Some(Some(outgoing)) = self.outgoing.get_mut(to.index()) else {
            debug_assert!(false, "a message to the own shard or an unknown one");
            return;
        };
        let (sent, dropped) = match message {
            Message::Batch { .. } => {
                (Some(&counters.mesh_batches_sent), Some(&counters.mesh_batches_dropped))
            }
            Message::Datagram { .. } => {
                (Some(&counters.datagrams_forwarded), Some(&counters.mesh_datagrams_dropped))
            }
            _ => (None, None),
        };
        if let Some(dropped) = dropped
            && outgoing.droppable >= limits::MESH_OUTBOX_DROPPABLE_MAX
        {
            dropped.add(1);
            return;
        }
        if let Some(sent) = sent {
            sent.add(1);
        }
        outgoing.pushed = true;
        let waiting =
            if outgoing.outbox.is_empty() { outgoing.ring.push(message).err() } else { Some(message) };
        if let Some(message) = waiting {
            outgoing.droppable += usize::from(message.is_droppable());
            outgoing.outbox.push_back(message);
        }
    }

    /// Moves waiting messages into their rings and wakes the receivers that sleep. Returns whether messages still wait.
    pub(crate) fn flush(&mut self, counters: &Counters) -> bool {
        let mut waiting = false;
        for outgoing in self.outgoing.iter_mut().flatten() {
            while let Some(message) = outgoing.outbox.pop_front() {
                let droppable = usize::from(message.is_droppable());
                if let Err(message) = outgoing.ring.push(message) {
                    outgoing.outbox.push_front(message);
                    waiting = true;
                    break;
                }
                outgoing.droppable -= droppable;
                outgoing.pushed = true;
            }
            if std::mem::take(&mut outgoing.pushed) && outgoing.doze.must_wake() {
                counters.mesh_wakes.add(1);
                outgoing.wake.wake();
            }
        }
        waiting
    }

    /// Takes the next message from any shard.
    pub(crate) fn receive(&mut self) -> Option<Message> {
        self.incoming.iter_mut().find_map(spsc::Consumer::pop)
    }

    /// Announces that the shard is about to sleep. Returns false, and takes it back, when a message is there after all.
    pub(crate) fn may_sleep(&mut self) -> bool {
        self.doze.announce();
        if self.incoming.iter_mut().all(spsc::Consumer::is_empty) {
            return true;
        }
        self.doze.awake();
        false
    }

    /// Says that the shard is awake, so that others save the wake.
    pub(crate) fn awake(&self) {
        self.doze.awake();
    }
}

#[cfg(test)]
mod tests {
    use super::{Mesh, Message, ShardId};
    use crate::counters::Counters;
    use crate::limits;
    use crate::runtime::wake::Wake;
    use crate::stream::StreamId;

    #[test]
    fn a_full_ring_keeps_control_messages_in_order() {
        let wakes = [Wake::new().expect("eventfd"), Wake::new().expect("eventfd")];
        let mut ends = Mesh::connect(&wakes);
        let mut b = ends.pop().expect("two ends");
        let mut a = ends.pop().expect("two ends");
        let counters = Counters::default();
        let sent = limits::MESH_RING_SLOTS as u64 + 100;
        for n in 0..sent {
            a.send(
                ShardId(1),
                Message::Subscribed { stream: StreamId(n), reports: Box::default() },
                &counters,
            );
        }
        assert!(a.flush(&counters), "a hundred messages wait");
        let mut received = 0;
        while received < sent {
            match b.receive() {
                Some(Message::Subscribed { stream, .. }) => {
                    assert_eq!(stream, StreamId(received));
                    received += 1;
                }
                Some(_) => panic!("another message was sent"),
                None => assert!(!a.flush(&counters), "the ring is empty, so all fit"),
            }
        }
    }
}
