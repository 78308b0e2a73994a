//! The HTTP server of the control ports: API, metrics and profiling.
//!
//! ```text
//! listener   accepts, drives connections (HTTP/1.1; HTTP/2 over TLS), ends them gracefully
//! ├── address  where: TCP or a Unix socket     ├── stream  a connection whose client must keep taking
//! guard      around every request: URL length, client, CORS, time limit, panics, counts
//! ├── client   who asks, behind proxies        ├── cors    which pages may ask
//! ├── origin   what pages may not do
//! gate       who may do what                   answer      the envelope of errors
//! limits, counters
//! ```
//! Invariants: nothing a client sends is kept without a bound; every refusal is counted by reason; a handler's panic is
//! one client's 500. What a reload may change without closing anything is in [`Rules`].

pub(crate) mod address;
pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod client;
mod cors;
pub(crate) mod counters;
pub(crate) mod gate;
mod guard;
pub(crate) mod limits;
mod listener;
mod origin;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use listener::{Listener, Plan, Stopping};

use crate::config::values::Networks;
use std::net::IpAddr;

/// What holds for the requests of a listener and may change while it is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) allow_origins: Vec<String>,
    pub(crate) trusted_proxies: Networks,
}

impl Rules {
    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.0.iter().any(|network| network.contains(&address))
    }
}
