//! Chunks (RTMP 1.0, section 5.3): messages cut into pieces, so that small ones can pass between those of a large one.
//!
//! ```text
//!  fmt csid                     type 0: timestamp (3) length (3) type (1) message stream (4, little-endian)
//! +---+-------------+---------- type 1: delta (3) length (3) type (1)
//! | 2 | 6 (8, 16)   | header    type 2: delta (3)
//! +---+-------------+---------- type 3: nothing
//!                               then, where the first field is 0xFFFFFF: timestamp or delta (4)
//! ```
//! [`Reader`] takes everything the standard allows, and what senders make of the extended timestamp. What is written
//! here is the same for all receivers: each message begins with a type 0 header, on a chunk stream fixed by its type,
//! and chunks have [`CHUNK_BYTES`]; so a message is cut once for any number of readers ([`write_message`],
//! [`message_pieces`]). That costs 11 bytes a message at most against the shortest headers.

mod reader;
mod writer;

pub use reader::Reader;
pub use writer::{CHUNK_BYTES, MESSAGE_STREAM, message_pieces, write_message};
pub(super) use writer::{Header, write};

/// The chunk size of a connection before anybody sets another (section 5.4.1).
pub const INITIAL_CHUNK_BYTES: usize = 128;
/// In the 3-byte field: the timestamp follows in four bytes.
const EXTENDED: u32 = 0xFF_FFFF;

#[cfg(test)]
mod tests;
