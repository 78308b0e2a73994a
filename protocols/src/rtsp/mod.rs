//! RTSP 1.0 (RFC 2326), with the reading of RFC 7826 where it settles what the older text leaves open, and leniency for
//! the cameras and players in the field.
//!
//! - [`message`]: requests, responses, methods, status codes, header fields.
//! - [`decoder`]: splits a byte stream into requests, responses and interleaved packets (section 10.12).
//! - [`transport`], [`range`], [`rtp_info`]: one header each.
//! - [`auth`]: Basic and Digest (RFC 7617, RFC 7616 with MD5 and SHA-256).
//! - [`server`]: one connection as the server sees it. [`session`]: the state machine of one session (appendix A.2).
//! - [`client`]: one connection as a client drives it: publish or play.

pub mod auth;
pub mod client;
pub mod decoder;
pub mod error;
mod head;
pub mod message;
pub mod range;
pub mod rtp_info;
pub mod server;
pub mod session;
mod status;
pub mod transport;
mod uri;
