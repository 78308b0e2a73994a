//! A reader of the floor: one line, then media. See the program's `floor` module for the other end.

use anyhow::{Context as _, Result, bail};
use bytes::{Bytes, BytesMut};
use headwater_protocols::flv::{Kind, tag};
use headwater_protocols::limits::RTMP_MESSAGE_BYTES_MAX;
use headwater_protocols::rtmp::chunk;
use headwater_protocols::rtsp::decoder::{self, Decoder};

use super::{Element, Protocol, flv, rtmp};

/// See the module.
pub(crate) struct Talk {
    line: String,
    wire: Wire,
    pub(crate) opened: bool,
}

/// How media lies in the connection.
enum Wire {
    Interleaved(Decoder),
    Chunks(chunk::Reader),
    Tags(tag::Reader),
}

impl Talk {
    /// A reader of `path`, at UDP port `port` if its media comes there.
    pub(crate) fn new(protocol: Protocol, path: usize, port: Option<u16>) -> Result<Talk> {
        let line = match port {
            Some(port) => format!("{path} {port}\n"),
            None => format!("{path}\n"),
        };
        let wire = match protocol {
            Protocol::RtspTcp | Protocol::RtspUdp => Wire::Interleaved(Decoder::new()),
            Protocol::Rtmp => {
                let mut chunks = chunk::Reader::new(RTMP_MESSAGE_BYTES_MAX);
                chunks.set_chunk_bytes(chunk::CHUNK_BYTES as u32)?;
                Wire::Chunks(chunks)
            }
            Protocol::Flv => Wire::Tags(tag::Reader::new()),
            Protocol::Hls | Protocol::LlHls => bail!("there is no floor of {}", protocol.as_str()),
        };
        Ok(Talk { line, wire, opened: false })
    }

    pub(crate) fn open(&mut self, out: &mut BytesMut) {
        out.extend_from_slice(self.line.as_bytes());
        self.opened = true;
    }

    pub(crate) fn input(&mut self, mut input: Bytes, media: &mut Vec<Element>) -> Result<()> {
        match &mut self.wire {
            Wire::Interleaved(decoder) => {
                while let Some(element) = decoder.decode(&mut input)? {
                    match element {
                        decoder::Element::Interleaved { channel, payload } => {
                            media.push(Element::Packet { channel, payload });
                        }
                        _ => bail!("the floor sent a message"),
                    }
                }
            }
            Wire::Chunks(chunks) => {
                while let Some(message) = chunks.read(&mut input)? {
                    let kind = Kind::from_type_id(message.type_id).context("the floor sent no media")?;
                    rtmp::find_units(kind, &message.payload, media)?;
                }
            }
            Wire::Tags(tags) => flv::read_tags(tags, input, media)?,
        }
        Ok(())
    }
}
