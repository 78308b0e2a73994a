//! Sockets: options, listeners, and the system calls of the data path.
//!
//! Everything here is non-blocking and works on raw descriptors; readiness comes from [`crate::runtime::poller`].

pub(crate) mod address;
pub(crate) mod files;
pub(crate) mod listen;
pub(crate) mod tcp;
pub(crate) mod udp;

pub(crate) use address::Peer;
pub(crate) use files::raise_open_files_limit;
