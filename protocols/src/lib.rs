//! Sans-IO protocol machines, parsers and writers.
//!
//! Nothing here opens a socket, reads a clock, spawns a task, takes a lock or draws randomness: bytes, the present
//! time ([`std::time::Instant`]) and random numbers come in as arguments; events and bytes go out. The same machine
//! therefore serves the server, the load generator of the bench, the tests on virtual time, and the fuzzers.
//!
//! Everything read from a peer is hostile. A parser returns a value or an error; it never panics and never allocates
//! in proportion to a length it has not checked. The bounds are in [`limits`].

pub mod amf0;
pub mod codec;
pub mod flv;
pub mod hls;
pub mod limits;
pub mod mp4;
pub mod mpegts;
pub mod proxy_protocol;
pub mod rtcp;
pub mod rtmp;
pub mod rtp;
pub mod rtsp;
pub mod sdp;
pub mod track;
pub mod unit;
pub mod websocket;
