//! An engine of one shard on loopback, for tests in the engine's own process.

use headwater_engine::{Engine, PathSettings, Rtsp, Settings};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Starts it on ports that the kernel chooses.
pub(crate) fn engine(datagrams: bool) -> Engine {
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    Engine::start(Settings {
        shards: 1,
        processors: Vec::new(),
        rtsp: Rtsp {
            address: Some(any),
            secure: None,
            datagrams: datagrams.then_some((any, any)),
            session_timeout: Duration::from_secs(60),
        },
        path_defaults: PathSettings::default(),
        paths: HashMap::new(),
        users: Vec::new(),
        read_timeout: Duration::from_secs(10),
        write_timeout: Duration::from_secs(10),
    })
    .expect("the engine starts")
}
