//! Session descriptions of real cameras and encoders, malformed ones, and the `sdp` crate as an oracle.

mod fixtures;
mod parse;
mod tracks;
