//! RTSP sessions on the engine: what joins the protocol machines to connections and streams.
//!
//! - [`request`]: from a request to its walk through the modules, and from the answer to the response.
//! - [`publish`]: ANNOUNCE, SETUP and RECORD of publishers. [`read`]: DESCRIBE, SETUP, PLAY and PAUSE of readers.
//!
//! Interleaved, track `n` has channels `2n` and `2n + 1`: what most readers ask for and what the log holds. A reader that
//! asks for others gets them, for the price of a copy. A session id begins with its shard, so a request that
//! reaches another shard takes its connection to where the session lives.

mod publish;
mod read;
mod request;

use crate::mesh::ShardId;
use std::fmt::Write;

/// Random bytes from the kernel.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Without randomness sessions could be guessed; there is nothing sensible to do instead.
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes once it has booted");
    bytes
}

/// A random synchronisation source.
pub(crate) fn random<T: From<u32>>() -> T {
    T::from(u32::from_ne_bytes(random_bytes()))
}

/// A session id that cannot be guessed: the shard in two hexadecimal digits, then 96 random bits.
pub(crate) fn session_id(shard: ShardId) -> Box<str> {
    let mut id = format!("{:02x}", shard.0);
    for byte in random_bytes::<12>() {
        let _ = write!(id, "{byte:02x}");
    }
    id.into_boxed_str()
}

/// The shard that a session id names.
fn shard_of(id: &str) -> Option<ShardId> {
    (id.len() == 26)
        .then(|| id.get(..2))
        .flatten()
        .and_then(|shard| u8::from_str_radix(shard, 16).ok())
        .map(ShardId)
}

#[cfg(test)]
mod tests {
    use super::{session_id, shard_of};
    use crate::mesh::ShardId;

    #[test]
    fn a_session_id_names_its_shard() {
        let id = session_id(ShardId(10));
        assert_eq!(shard_of(&id), Some(ShardId(10)));
        assert_ne!(id, session_id(ShardId(10)));
        assert_eq!(shard_of("0a"), None);
        assert_eq!(shard_of("zz0000000000000000000000zz"), None);
        assert_eq!(shard_of("äääääääääääää"), None);
    }
}
