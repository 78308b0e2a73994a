//! The facade over the executor and the kernel's rings: the only folder that knows glommio and io_uring by name.
//!
//! A shard is one pinned thread with one glommio executor. Socket readiness comes from a second io_uring of the shard
//! ([`poller::Poller`]): one multishot poll per socket, so an idle reader costs a kernel poll entry and no task. That
//! ring, the mesh and the control core all signal one eventfd ([`wake::Wake`]), and the shard's task sleeps on it inside
//! glommio. Invariant: whoever has work for a shard makes it visible first and signals second.

pub(crate) mod executor;
pub(crate) mod poller;
pub(crate) mod wake;
