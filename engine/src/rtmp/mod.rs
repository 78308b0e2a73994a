//! RTMP sessions on the engine: what joins the protocol machine to connections and streams.
//!
//! - [`request`]: from `publish` and `play` to a walk through the modules, and from the answer to the reply.
//! - [`publish`]: from messages to tracks and units. [`read`]: a reader of the stream's RTMP form.
//!
//! A session is its connection: it begins when `publish` or `play` is let in and ends with `deleteStream` or the connection.

mod publish;
mod read;
mod request;

use headwater_protocols::flv::{Capabilities, Demuxer, FourCc};
use headwater_protocols::rtmp::Server;
use headwater_protocols::rtmp::server::{Connect, Play, Publish};
use std::time::Instant;

/// One RTMP connection.
pub(crate) struct Connection {
    pub(crate) server: Server,
    /// What the client can play.
    capabilities: Capabilities,
    /// What it calls itself.
    flash_version: Box<str>,
    publishing: Option<Box<Publishing>>,
}

/// A stream on its way in.
struct Publishing {
    demuxer: Demuxer,
    /// Until the tracks are known: when the first message came.
    detecting_since: Option<Instant>,
}

/// What a client asks for that walks through the modules.
pub(crate) enum Asked {
    Publish(Publish),
    Play(Play),
}

impl Connection {
    pub(crate) fn new(server: Server) -> Connection {
        Connection {
            server,
            capabilities: Capabilities::legacy(),
            flash_version: Box::default(),
            publishing: None,
        }
    }

    fn connected(&mut self, connect: Connect) {
        self.capabilities = capabilities(&connect);
        self.flash_version = connect.flash_version;
    }
}

/// What a client can play, from what its `connect` says.
fn capabilities(connect: &Connect) -> Capabilities {
    let named = &connect.capabilities;
    let taken = || FourCc::ALL.into_iter().filter(|codec| named.can_receive(codec.0));
    if taken().next().is_none() {
        return Capabilities::legacy();
    }
    // Who names codecs that only the second version has, and says nothing of tracks, takes several: MediaMTX's library.
    let version_1 = [FourCc::HVC1, FourCc::AV01, FourCc::VP09];
    let version_2 = named.extended == 0 && taken().any(|codec| !version_1.contains(&codec));
    let mut capabilities = Capabilities::enhanced(taken());
    capabilities.multitrack = named.multitrack() || version_2;
    capabilities
}

#[cfg(test)]
mod tests {
    use super::capabilities;
    use headwater_protocols::flv::{Capabilities, FourCc};
    use headwater_protocols::rtmp::server::Connect;

    #[test]
    fn tracks_are_several_for_who_says_so_or_names_newer_codecs() {
        let of = |list: &[FourCc], extended: u32| {
            let mut named = headwater_protocols::rtmp::Capabilities::default();
            named.list = list.iter().map(|codec| codec.0).collect();
            named.extended = extended;
            let text = Box::default;
            capabilities(&Connect { app: text(), tc_url: text(), flash_version: text(), capabilities: named })
        };
        assert_eq!(of(&[], 0), Capabilities::legacy());
        let version_1 = of(&[FourCc::HVC1, FourCc::AV01], 0);
        assert!(version_1.takes(FourCc::HVC1) && !version_1.takes(FourCc::OPUS) && !version_1.multitrack);
        assert!(of(&[FourCc::HVC1, FourCc::OPUS], 0).multitrack, "MediaMTX's library");
        assert!(!of(&[FourCc::OPUS], 4).multitrack, "it said what it can do");
        assert!(of(&[FourCc::HVC1], 2).multitrack);
    }
}
