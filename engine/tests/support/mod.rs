//! An engine of one shard on loopback, for tests in the engine's own process.

use headwater_engine::Engine;
use headwater_engine::settings::{Http, Rtsp, Settings};
use std::net::{Ipv4Addr, SocketAddr};

/// Starts it on ports that the kernel chooses.
pub(crate) fn engine(datagrams: bool) -> Engine {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let rtsp = Rtsp { address: Some(any), datagrams: datagrams.then_some((any, any)), ..Rtsp::default() };
    let http = Http { address: Some(any), ..Http::default() };
    Engine::start(Settings { rtsp, http, ..Settings::default() }, || {}).expect("the engine starts")
}
