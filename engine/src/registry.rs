//! The path registry: which shard is home to which path. The one structure that all shards share; it is touched when
//! somebody describes, publishes or starts to read, never by media.
//!
//! A name is claimed atomically, so two publishers of one path always meet on one shard. Invariant: a path is listed as
//! long as somebody holds a claim on it (a session that announced, or the stream itself).

use crate::hls::Session;
use crate::mesh::ShardId;
use crate::net::Peer;
use crate::stream::{Description, StreamId};
use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const PARTS: usize = 16;

struct Listed {
    home: ShardId,
    claims: u32,
    /// There while somebody publishes.
    live: Option<Live>,
}

/// A published path.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) stream: StreamId,
    pub(crate) home: ShardId,
    pub(crate) description: Arc<Description>,
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The claimant's shard is (or has become) the path's home; one claim more is held.
    Here,
    /// The path's home is another shard; nothing was claimed.
    Elsewhere(ShardId),
    /// The maximum is reached.
    Full,
}

pub(crate) struct Registry {
    paths: [Mutex<HashMap<Arc<str>, Listed>>; PARTS],
    /// Owners of datagram peers, for datagrams the kernel delivered to another shard.
    peers: [Mutex<HashMap<Peer, ShardId>>; PARTS],
    /// Sessions of HLS players, by secret.
    players: [Mutex<HashMap<Box<str>, Arc<Session>>>; PARTS],
    hasher: RandomState,
    next_stream: AtomicU64,
    listed: AtomicUsize,
}

impl Registry {
    pub(crate) fn new() -> Registry {
        Registry {
            paths: Default::default(),
            peers: Default::default(),
            players: Default::default(),
            hasher: RandomState::new(),
            next_stream: AtomicU64::new(1),
            listed: AtomicUsize::new(0),
        }
    }

    pub(crate) fn new_stream_id(&self) -> StreamId {
        StreamId(self.next_stream.fetch_add(1, Ordering::Relaxed))
    }

    fn paths(&self, path: &str) -> MutexGuard<'_, HashMap<Arc<str>, Listed>> {
        lock(&self.paths[self.place(path)])
    }

    fn place<K: Hash + ?Sized>(&self, key: &K) -> usize {
        (self.hasher.hash_one(key) % PARTS as u64) as usize
    }

    /// Claims `path` for `shard`, unless there are `max` paths already.
    pub(crate) fn claim(&self, path: &Arc<str>, shard: ShardId, max: usize) -> Claim {
        match self.paths(path).entry(Arc::clone(path)) {
            MapEntry::Occupied(listed) if listed.get().home != shard => Claim::Elsewhere(listed.get().home),
            MapEntry::Occupied(mut listed) => {
                listed.get_mut().claims += 1;
                Claim::Here
            }
            MapEntry::Vacant(place) => {
                if self.listed.fetch_add(1, Ordering::Relaxed) >= max {
                    self.listed.fetch_sub(1, Ordering::Relaxed);
                    return Claim::Full;
                }
                place.insert(Listed { home: shard, claims: 1, live: None });
                Claim::Here
            }
        }
    }

    /// Gives one claim back; the last one frees the name.
    pub(crate) fn release(&self, path: &str) {
        let mut paths = self.paths(path);
        let Some(listed) = paths.get_mut(path) else {
            debug_assert!(false, "a claim that nobody held");
            return;
        };
        listed.claims -= 1;
        if listed.claims == 0 {
            paths.remove(path);
            self.listed.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Makes a claimed path known to readers, or (`None`) hides it while its publisher is away.
    pub(crate) fn set_live(&self, path: &str, stream: Option<(StreamId, Arc<Description>)>) {
        if let Some(listed) = self.paths(path).get_mut(path) {
            let home = listed.home;
            listed.live = stream.map(|(stream, description)| Live { stream, home, description });
        }
    }

    /// The path, if somebody publishes it.
    pub(crate) fn live(&self, path: &str) -> Option<Live> {
        self.paths(path).get(path)?.live.clone()
    }

    /// Every live path, in no order.
    pub(crate) fn all_live(&self) -> Vec<(Arc<str>, Live)> {
        let live = |part: &Mutex<HashMap<Arc<str>, Listed>>| {
            let part = lock(part);
            part.iter()
                .filter_map(|(path, listed)| Some((Arc::clone(path), listed.live.clone()?)))
                .collect::<Vec<_>>()
        };
        let mut all: Vec<_> = self.paths.iter().flat_map(live).collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    pub(crate) fn add_player(&self, session: &Arc<Session>) {
        let mut players = lock(&self.players[self.place(&*session.secret)]);
        players.insert(session.secret.clone(), Arc::clone(session));
    }

    pub(crate) fn remove_player(&self, secret: &str) {
        lock(&self.players[self.place(secret)]).remove(secret);
    }

    /// The session with that secret.
    pub(crate) fn player(&self, secret: &str) -> Option<Arc<Session>> {
        lock(&self.players[self.place(secret)]).get(secret).cloned()
    }

    /// Makes `shard` the owner of a datagram peer. Returns the owner before.
    pub(crate) fn own_peer(&self, peer: Peer, shard: ShardId) -> Option<ShardId> {
        lock(&self.peers[self.place(&peer)]).insert(peer, shard)
    }

    /// Gives a peer up, unless another shard has taken it over.
    pub(crate) fn disown_peer(&self, peer: Peer, shard: ShardId) {
        if let MapEntry::Occupied(owner) = lock(&self.peers[self.place(&peer)]).entry(peer)
            && *owner.get() == shard
        {
            owner.remove();
        }
    }

    pub(crate) fn peer_owner(&self, peer: Peer) -> Option<ShardId> {
        lock(&self.peers[self.place(&peer)]).get(&peer).copied()
    }
}

/// A panic while the lock was held leaves the map whole: no operation above can stop halfway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{Claim, Registry};
    use crate::mesh::ShardId;
    use std::sync::Arc;

    #[test]
    fn a_name_has_one_home_however_many_claim_it() {
        let registry = Arc::new(Registry::new());
        let path: Arc<str> = "cam".into();
        let threads: Vec<_> = (0..8)
            .map(|n| {
                let (registry, path) = (Arc::clone(&registry), Arc::clone(&path));
                std::thread::spawn(move || (n, registry.claim(&path, ShardId(n), 10)))
            })
            .collect();
        let results: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
        let homes: Vec<_> = results.iter().filter(|(_, claim)| *claim == Claim::Here).collect();
        assert_eq!(homes.len(), 1);
        let home = ShardId(homes[0].0);
        let others = results.iter().filter(|(_, claim)| *claim == Claim::Elsewhere(home)).count();
        assert_eq!(others, 7);
    }

    #[test]
    fn the_last_release_frees_the_name() {
        let registry = Registry::new();
        let path: Arc<str> = "cam".into();
        assert_eq!(registry.claim(&path, ShardId(0), 10), Claim::Here);
        assert_eq!(registry.claim(&path, ShardId(0), 10), Claim::Here);
        registry.release(&path);
        assert_eq!(registry.claim(&path, ShardId(1), 10), Claim::Elsewhere(ShardId(0)));
        registry.release(&path);
        assert_eq!(registry.claim(&path, ShardId(1), 10), Claim::Here);
    }
}
