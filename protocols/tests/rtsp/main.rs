//! RTSP as a peer sees it: captured conversations, header tables, malformed input, and client against server on virtual
//! time.

mod auth;
mod captures;
mod client;
mod decoder;
mod headers;
mod pair;
mod server;
mod session;
mod support;
