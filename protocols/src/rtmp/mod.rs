//! RTMP (Adobe, "Real Time Messaging Protocol", 1.0, 2012) and what Enhanced RTMP (Veovera, v2) adds to `connect`, with
//! leniency for the encoders and players in the field.
//!
//! - [`handshake`]: plain and with digests (section 5.2).
//! - [`chunk`]: messages to chunks and back (section 5.3).
//! - [`message`]: types, user control, aggregates (sections 5.4, 6 and 7.1).
//! - [`server`]: one connection as the server sees it. [`client`]: one connection as a client drives it: publish or play.
//!
//! Left out: encryption (RTMPE; RTMPS is TLS below this layer), tunnelling over HTTP, shared objects, AMF3 values, several
//! message streams of one connection, Adobe's and Limelight's challenge in the query of `app`.

mod capabilities;
pub mod chunk;
pub mod client;

mod command;
mod connection;
mod error;
pub mod handshake;
pub mod message;
mod path;
pub mod server;

pub use client::Client;
pub use error::Error;
pub use server::Server;
