//! HLS on the engine: muxers on the home shards of paths, players' sessions, and the requests between them.
//!
//! - [`muxing`]: one path's muxer, fed with units, and the requests that wait for what it makes next.
//! - [`ask`]: a request on its way from the shard of its connection to the home shard of its path, and back.
//! - [`directory`]: what muxers make as files too.
//! - [`session`]: players, who come and go over any number of connections and shards.
//!
//! A segment is made once, on the home shard; other shards are handed the same shared buffers.

pub(crate) mod ask;
mod directory;
mod muxing;
mod session;

pub(crate) use ask::{Asks, Outcome, Reply};
pub(crate) use directory::Writer;
pub(crate) use session::{PlayerKey, Session};
