//! FLV messages: what RTMP and HTTP-FLV readers get, chunked or framed once for all of them.

use super::super::batch::{BatchBuilder, Channel};
use super::super::{Batch, Position};
use super::{Form, Unfit};
use bytes::{Bytes, BytesMut};
use headwater_protocols::flv::{Capabilities, Kind, Message, Muxer, tag};
use headwater_protocols::track::{Elementary, Medium, Skipped};
use headwater_protocols::{rtmp, websocket};
use std::sync::Arc;

/// How messages lie on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// RTMP chunks (Adobe's specification, section 5.3).
    Chunks,
    /// Tags of a file (Adobe Flash Video File Format 10.1, annex E).
    Tags,
    /// The same, the tags of each batch in one binary WebSocket frame (RFC 6455, section 5.2).
    WebSocket,
}

pub(crate) struct Maker {
    muxer: Muxer,
    framing: Framing,
    builder: BatchBuilder,
    next: Position,
    random_access: Option<Position>,
    video: Option<usize>,
    scratch: Vec<Message>,
}

/// The form for `capabilities`: clients for which the same tracks are left share one, whatever else they can do.
pub(super) fn form(
    known: &[Elementary],
    framing: Framing,
    capabilities: Capabilities,
) -> Result<(Form, Vec<Skipped>), Unfit> {
    let (_, skipped) = Muxer::new(known, capabilities).map_err(unfit)?;
    let usual = [Capabilities::legacy(), Capabilities::all()];
    let same = usual.into_iter().find(|usual| {
        Muxer::new(known, *usual).is_ok_and(|(_, other)| {
            other.len() == skipped.len() && other.iter().zip(&skipped).all(|(a, b)| a.track == b.track)
        })
    });
    Ok((Form::Flv { framing, capabilities: same.unwrap_or(capabilities) }, skipped))
}

fn unfit(error: headwater_protocols::flv::Error) -> Unfit {
    Unfit { reason: error.to_string().into() }
}

impl Maker {
    pub(super) fn new(
        known: &[Elementary],
        framing: Framing,
        capabilities: Capabilities,
    ) -> Result<(Maker, Vec<Skipped>), Unfit> {
        let (muxer, skipped) = Muxer::new(known, capabilities).map_err(unfit)?;
        let is_carried = |index: usize| skipped.iter().all(|skipped| skipped.track != index);
        let video = known
            .iter()
            .enumerate()
            .position(|(index, one)| one.track.medium == Medium::Video && is_carried(index));
        let maker = Maker {
            muxer,
            framing,
            builder: BatchBuilder::default(),
            next: 0,
            random_access: None,
            video,
            scratch: Vec::new(),
        };
        Ok((maker, skipped))
    }

    pub(super) fn take(&mut self, batch: &Batch) -> Option<Arc<Batch>> {
        for (track, unit) in batch.units() {
            self.muxer.unit(*track, unit, &mut self.scratch);
            if self.scratch.is_empty() {
                continue;
            }
            if unit.random_access && self.video.is_none_or(|video| video == *track) {
                self.random_access = Some(self.next + self.builder.len() as u64);
            }
            let (framing, messages) = (self.framing, &self.scratch);
            self.builder.append(Channel::rtp(*track), |out| write(framing, messages, out));
            self.scratch.clear();
        }
        if self.builder.is_empty() {
            return None;
        }
        let made = self.builder.finish(self.next, self.random_access, batch.published);
        self.next = made.end();
        Some(Arc::new(made))
    }

    /// What a new reader is sent first: metadata and decoder configurations, as they are now.
    pub(super) fn greeting(&self) -> Bytes {
        let mut out = BytesMut::new();
        let headers = self.muxer.headers();
        match self.framing {
            Framing::Chunks => write(Framing::Chunks, &headers, &mut out),
            Framing::Tags | Framing::WebSocket => {
                let mut tags = BytesMut::new();
                let (audio, video) = (self.muxer.carries(Kind::Audio), self.muxer.carries(Kind::Video));
                tags.extend_from_slice(&tag::file_header(audio, video));
                write(Framing::Tags, &headers, &mut tags);
                if self.framing == Framing::WebSocket {
                    websocket::write_binary_header(tags.len(), &mut out);
                }
                out.extend_from_slice(&tags);
            }
        }
        out.freeze()
    }
}

/// Appends messages. One whose length RTMP or FLV cannot say is left out.
fn write(framing: Framing, messages: &[Message], out: &mut BytesMut) {
    match framing {
        Framing::Chunks => {
            for message in messages {
                let written =
                    rtmp::chunk::write_message(message.kind, message.timestamp_ms, &message.parts, out);
                if !written {
                    tracing::debug!(bytes = message.body_bytes(), "a message of 16 MiB or more is left out");
                }
            }
        }
        Framing::Tags => messages.iter().for_each(|message| write_tag(message, out)),
        Framing::WebSocket => {
            let around = tag::TAG_HEADER_BYTES + tag::PREVIOUS_TAG_SIZE_BYTES;
            let bytes = messages.iter().map(|message| message.body_bytes() + around).sum();
            websocket::write_binary_header(bytes, out);
            messages.iter().for_each(|message| write_tag(message, out));
        }
    }
}

fn write_tag(message: &Message, out: &mut BytesMut) {
    if let Ok((header, previous)) = tag::frame(message) {
        out.extend_from_slice(&header);
        message.parts.iter().for_each(|part| out.extend_from_slice(part));
        out.extend_from_slice(&previous);
    }
}
