//! How one reader or publisher talks to a server, per protocol: a file each. What happens to the media after that
//! is the same for all and lives in `load`.
//!
//! A new protocol is a variant of [`Protocol`] and of [`Talk`], and a file beside `rtsp.rs`.

pub(crate) mod floor;
pub(crate) mod rtsp;

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use clap::ValueEnum;

use crate::media::Framing;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// RTSP, media interleaved in the TCP connection.
    RtspTcp,
    /// RTSP over TCP, media over UDP.
    RtspUdp,
}

impl Protocol {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Protocol::RtspTcp => "rtsp-tcp",
            Protocol::RtspUdp => "rtsp-udp",
        }
    }

    /// The name in expectations.
    pub(crate) fn topic(self) -> &'static str {
        match self {
            Protocol::RtspTcp => "tcp",
            Protocol::RtspUdp => "udp",
        }
    }

    /// How the readers' media is framed.
    pub(crate) fn framing(self) -> Framing {
        match self {
            Protocol::RtspTcp => Framing::Interleaved { channel: 0 },
            Protocol::RtspUdp => Framing::Datagrams,
        }
    }

    /// Whether readers have UDP sockets of their own.
    pub(crate) fn datagrams(self) -> bool {
        self.framing() == Framing::Datagrams
    }
}

/// What a reader gets on its connection besides answers: the payload of an interleaved element.
pub(crate) struct Element {
    pub(crate) channel: u8,
    pub(crate) payload: Bytes,
}

/// One connection's side of the conversation.
pub(crate) enum Talk {
    Floor(floor::Talk),
    Rtsp(Box<rtsp::Talk>),
}

impl Talk {
    /// The connection is open: what is to be sent goes to `out`.
    pub(crate) fn open(&mut self, now: Instant, out: &mut BytesMut) -> Result<()> {
        match self {
            Talk::Floor(talk) => talk.open(out),
            Talk::Rtsp(talk) => return talk.open(now, out),
        }
        Ok(())
    }

    /// Bytes came; media found in them is appended to `media`.
    pub(crate) fn input(
        &mut self,
        now: Instant,
        input: Bytes,
        out: &mut BytesMut,
        media: &mut Vec<Element>,
    ) -> Result<()> {
        match self {
            Talk::Floor(talk) => talk.input(input, media),
            Talk::Rtsp(talk) => talk.input(now, input, out, media),
        }
    }

    /// Whether media flows from now on.
    pub(crate) fn started(&self) -> bool {
        match self {
            Talk::Floor(talk) => talk.opened,
            Talk::Rtsp(talk) => talk.started(),
        }
    }

    /// A look at the clock, every few seconds. `parsed`: the answers still reach [`Talk::input`].
    pub(crate) fn timer(&mut self, now: Instant, parsed: bool, out: &mut BytesMut) -> Result<()> {
        match self {
            Talk::Floor(_) => Ok(()),
            Talk::Rtsp(talk) => talk.timer(now, parsed, out),
        }
    }

    /// Asks the server to end the session, where the protocol has a word for it.
    pub(crate) fn teardown(&mut self, out: &mut BytesMut) {
        match self {
            Talk::Floor(_) => {}
            Talk::Rtsp(talk) => talk.teardown(out),
        }
    }

    /// Whether the server confirmed that.
    pub(crate) fn ended(&self) -> bool {
        match self {
            Talk::Floor(_) => false,
            Talk::Rtsp(talk) => talk.ended(),
        }
    }

    /// Where the server wants RTP and RTCP, once media flows over UDP.
    pub(crate) fn server_ports(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self {
            Talk::Floor(_) => None,
            Talk::Rtsp(talk) => talk.server_ports(),
        }
    }
}
