//! RTMP, spoken by the client machine of `protocols`. Readers that discard what they get acknowledge it with messages
//! made here (RTMP 1.0, section 5.4.3), since servers may ask for that.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use bytes::{BufMut as _, Bytes, BytesMut};
use headwater_protocols::codec::nal;
use headwater_protocols::flv::{Capabilities, Kind};
use headwater_protocols::rtmp::client::{Client, Config, Event, Goal};
use headwater_protocols::rtmp::message::type_id;
use headwater_protocols::rtmp::server::PublishKind;

use super::Element;
use crate::media::units::{Body, Track};
use crate::media::{NAL_IDR, NAL_SLICE};

/// See the module.
pub(crate) struct Talk {
    machine: Client,
    started: bool,
    leaving: bool,
    ended: bool,
}

impl Talk {
    /// A reader of `path`.
    pub(crate) fn reader(server: SocketAddr, path: usize, now: Instant) -> Result<Talk> {
        Talk::new(server, path, Goal::Play, now)
    }

    /// The publisher of `path`.
    pub(crate) fn publisher(server: SocketAddr, path: usize, now: Instant) -> Result<Talk> {
        Talk::new(server, path, Goal::Publish(PublishKind::Live), now)
    }

    fn new(server: SocketAddr, path: usize, goal: Goal, now: Instant) -> Result<Talk> {
        let config = Config {
            url: format!("rtmp://{server}/bench/{path}"),
            goal,
            flash_version: String::new(),
            capabilities: Capabilities::legacy(),
        };
        let machine = Client::new(config, now, path as u64).context("the client machine")?;
        Ok(Talk { machine, started: false, leaving: false, ended: false })
    }

    pub(crate) fn started(&self) -> bool {
        self.started
    }

    pub(crate) fn open(&mut self, out: &mut BytesMut) {
        self.transmit(out);
    }

    pub(crate) fn input(
        &mut self,
        now: Instant,
        input: Bytes,
        out: &mut BytesMut,
        media: &mut Vec<Element>,
    ) -> Result<()> {
        self.machine.handle_input(now, input);
        while let Some(event) = self.machine.poll_event() {
            match event {
                Event::Connected { .. } => {}
                Event::Playing | Event::Publishing => self.started = true,
                Event::Media { kind, payload, .. } => find_units(kind, &payload, media)?,
                Event::Ended => bail!("the server ended the stream"),
                Event::Refused { code, description } => bail!("the server refused: {code} {description}"),
                Event::Closed(Some(error)) => return Err(error).context("the conversation failed"),
                Event::Closed(None) if self.leaving => self.ended = true,
                Event::Closed(None) => bail!("the conversation ended"),
            }
        }
        self.transmit(out);
        Ok(())
    }

    /// A unit of the publisher.
    pub(crate) fn publish(&mut self, body: &Body, out: &mut BytesMut) -> Result<()> {
        let parts = std::slice::from_ref(&body.bytes);
        if !self.machine.send(body.kind, body.timestamp_ms, parts) {
            bail!("the machine does not publish");
        }
        self.transmit(out);
        Ok(())
    }

    /// `received`: bytes of the connection, where the machine has not seen them.
    pub(crate) fn timer(&mut self, now: Instant, received: Option<u64>, out: &mut BytesMut) {
        match received {
            None => self.machine.handle_timeout(now),
            Some(received) => {
                // A type 0 header on chunk stream 2: time 0, four bytes, message stream 0.
                out.put_slice(&[2, 0, 0, 0, 0, 0, 4, type_id::ACKNOWLEDGEMENT, 0, 0, 0, 0]);
                out.put_u32(received as u32);
            }
        }
        self.transmit(out);
    }

    /// Ends the stream in order: deleteStream.
    pub(crate) fn teardown(&mut self, out: &mut BytesMut) {
        self.leaving = true;
        self.machine.stop();
        self.transmit(out);
        self.ended = true;
    }

    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    fn transmit(&mut self, out: &mut BytesMut) {
        while let Some(bytes) = self.machine.poll_transmit() {
            out.extend_from_slice(&bytes);
        }
    }
}

/// The units in the body of a tag: H264 and AAC as FLV has had them since 2008 (annex E.4.2 and E.4.3).
pub(super) fn find_units(kind: Kind, body: &Bytes, media: &mut Vec<Element>) -> Result<()> {
    match (kind, &body[..]) {
        (Kind::Script, _) | (_, [0x17 | 0x27 | 0xaf, 0, ..] | [0x17 | 0x27, 2, ..]) => Ok(()),
        (Kind::Video, [0x17 | 0x27, 1, _, _, _, ..]) => {
            for unit in nal::length_prefixed(&body.slice(5..), 4).context("NAL units of a video tag")? {
                push_slice(unit, media);
            }
            Ok(())
        }
        (Kind::Audio, [0xaf, 1, ..]) => {
            media.push(Element::Unit { track: Track::Audio, payload: body.slice(2..) });
            Ok(())
        }
        _ => bail!("a {kind:?} tag that nobody published: {:02x?}", &body[..body.len().min(8)]),
    }
}

/// Takes up a NAL unit if it is a slice: others (parameter sets, delimiters) carry no block.
pub(super) fn push_slice(unit: Bytes, media: &mut Vec<Element>) {
    if unit.first().is_some_and(|first| [NAL_SLICE, NAL_IDR].contains(&(first & 0x1f))) {
        media.push(Element::Unit { track: Track::Video, payload: unit });
    }
}
