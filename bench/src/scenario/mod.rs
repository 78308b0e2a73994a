//! How one reader or publisher talks to a server, per protocol: a file each. What happens to the media after that
//! is the same for all and lives in `load`.
//!
//! A new protocol is a variant of [`Protocol`] and of [`Talk`], and a file beside `rtsp.rs`.

pub(crate) mod floor;
pub(crate) mod flv;
pub(crate) mod hls;
pub(crate) mod http;
pub(crate) mod rtmp;
pub(crate) mod rtsp;

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Result, bail};
use bytes::{Bytes, BytesMut};
use clap::ValueEnum;

use crate::media::Framing;
use crate::media::units::{Body, Track};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// RTSP, media interleaved in the TCP connection.
    RtspTcp,
    /// RTSP over TCP, media over UDP.
    RtspUdp,
    /// RTMP, picture and sound, published over RTMP.
    Rtmp,
    /// HTTP-FLV, picture and sound, published over RTMP.
    Flv,
    /// HLS by segments, published over RTMP.
    Hls,
    /// Low-latency HLS by parts, published over RTMP.
    LlHls,
}

impl Protocol {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Protocol::RtspTcp => "rtsp-tcp",
            Protocol::RtspUdp => "rtsp-udp",
            Protocol::Rtmp => "rtmp",
            Protocol::Flv => "flv",
            Protocol::Hls => "hls",
            Protocol::LlHls => "ll-hls",
        }
    }

    /// The name in expectations.
    pub(crate) fn topic(self) -> &'static str {
        match self {
            Protocol::RtspTcp => "tcp",
            Protocol::RtspUdp => "udp",
            other => other.as_str(),
        }
    }

    /// How the readers' packets are framed; `None` where access units go out.
    pub(crate) fn framing(self) -> Option<Framing> {
        match self {
            Protocol::RtspTcp => Some(Framing::Interleaved { channel: 0 }),
            Protocol::RtspUdp => Some(Framing::Datagrams),
            Protocol::Rtmp | Protocol::Flv | Protocol::Hls | Protocol::LlHls => None,
        }
    }

    /// Whether readers have UDP sockets of their own.
    pub(crate) fn datagrams(self) -> bool {
        self.framing() == Some(Framing::Datagrams)
    }

    /// Whether readers fetch segments.
    pub(crate) fn segments(self) -> bool {
        matches!(self, Protocol::Hls | Protocol::LlHls)
    }

    /// Whether the stream has an audio track. Players of HLS follow one rendition, and servers differ in whether sound
    /// has one of its own.
    pub(crate) fn audio(self) -> bool {
        matches!(self, Protocol::Rtmp | Protocol::Flv)
    }
}

/// What a reader gets on its connection besides answers.
pub(crate) enum Element {
    /// The payload of an interleaved element.
    Packet { channel: u8, payload: Bytes },
    /// A slice NAL unit, or a raw AAC unit.
    Unit { track: Track, payload: Bytes },
    /// A file that a mirror fetched, by the target of its request.
    /// `lasting`: it stays while the stream does.
    File { target: String, content: Bytes, lasting: bool },
}

/// One connection's side of the conversation.
pub(crate) enum Talk {
    Floor(Box<floor::Talk>),
    Rtsp(Box<rtsp::Talk>),
    Rtmp(Box<rtmp::Talk>),
    Flv(Box<flv::Talk>),
    Hls(Box<hls::Talk>),
}

impl Talk {
    /// The connection is open: what is to be sent goes to `out`.
    pub(crate) fn open(&mut self, now: Instant, out: &mut BytesMut) -> Result<()> {
        match self {
            Talk::Floor(talk) => talk.open(out),
            Talk::Rtsp(talk) => return talk.open(now, out),
            Talk::Rtmp(talk) => talk.open(out),
            Talk::Flv(talk) => talk.open(out),
            Talk::Hls(talk) => talk.open(now, out),
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
            Talk::Rtmp(talk) => talk.input(now, input, out, media),
            Talk::Flv(talk) => talk.input(&input, media),
            Talk::Hls(talk) => talk.input(now, &input, out, media),
        }
    }

    /// Bytes that a reader which checks nothing may take off the connection without showing them to [`Talk::input`].
    pub(crate) fn passable(&self) -> usize {
        match self {
            Talk::Hls(talk) => talk.passable(),
            Talk::Flv(talk) => talk.passable(),
            _ => usize::MAX,
        }
    }

    /// So many were taken.
    pub(crate) fn passed(&mut self, now: Instant, bytes: usize, out: &mut BytesMut) -> Result<()> {
        match self {
            Talk::Hls(talk) => talk.passed(now, bytes, out),
            Talk::Flv(talk) => talk.passed(bytes),
            _ => Ok(()),
        }
    }

    /// Whether media flows from now on.
    pub(crate) fn started(&self) -> bool {
        match self {
            Talk::Floor(talk) => talk.opened,
            Talk::Rtsp(talk) => talk.started(),
            Talk::Rtmp(talk) => talk.started(),
            Talk::Flv(talk) => talk.started(),
            Talk::Hls(talk) => talk.started(),
        }
    }

    /// When [`Talk::timer`] wants to be called, beyond a look every few seconds.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self {
            Talk::Hls(talk) => talk.due(),
            _ => None,
        }
    }

    /// A look at the clock. `unseen`: bytes received so far, where they do not reach [`Talk::input`].
    pub(crate) fn timer(&mut self, now: Instant, unseen: Option<u64>, out: &mut BytesMut) -> Result<()> {
        match self {
            Talk::Floor(_) | Talk::Flv(_) => {}
            Talk::Rtsp(talk) => return talk.timer(now, unseen.is_none(), out),
            Talk::Rtmp(talk) => talk.timer(now, unseen, out),
            Talk::Hls(talk) => talk.timer(now, out),
        }
        Ok(())
    }

    /// Sends a unit of a publisher of units.
    pub(crate) fn publish(&mut self, body: &Body, out: &mut BytesMut) -> Result<()> {
        match self {
            Talk::Rtmp(talk) => talk.publish(body, out),
            _ => bail!("units are published over RTMP only"),
        }
    }

    /// Asks the server to end the session, where the protocol has a word for it.
    pub(crate) fn teardown(&mut self, out: &mut BytesMut) {
        match self {
            Talk::Rtsp(talk) => talk.teardown(out),
            Talk::Rtmp(talk) => talk.teardown(out),
            Talk::Floor(_) | Talk::Flv(_) | Talk::Hls(_) => {}
        }
    }

    /// Whether that is through, or there is nothing to wait for.
    pub(crate) fn ended(&self) -> bool {
        match self {
            Talk::Floor(_) => false,
            Talk::Rtsp(talk) => talk.ended(),
            Talk::Rtmp(talk) => talk.ended(),
            Talk::Flv(_) | Talk::Hls(_) => true,
        }
    }

    /// Whether the protocol has RTCP in the connection.
    pub(crate) fn reports(&self) -> bool {
        matches!(self, Talk::Rtsp(_))
    }

    /// Where the server wants RTP and RTCP, once media flows over UDP.
    pub(crate) fn server_ports(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self {
            Talk::Rtsp(talk) => talk.server_ports(),
            _ => None,
        }
    }
}
