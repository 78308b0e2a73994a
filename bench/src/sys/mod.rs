//! The kernel, as far as the standard library does not reach. The only files of the harness with `unsafe`.

pub(crate) mod net;
pub(crate) mod process;
