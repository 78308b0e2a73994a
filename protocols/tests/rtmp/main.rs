//! RTMP as a peer sees it: captured conversations, commands one by one, and client against server on virtual time.

mod captures;
mod pair;
mod server;
mod support;
