//! HTTP-FLV: one GET whose body is an FLV file without an end.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use headwater_protocols::flv::tag::Reader;

use super::Element;
use super::http::{Event, Exchange};
use super::rtmp::find_units;

/// See the module.
pub(crate) struct Talk {
    host: String,
    target: String,
    exchange: Exchange,
    tags: Reader,
    started: bool,
}

impl Talk {
    /// A reader of `path`.
    pub(crate) fn reader(server: SocketAddr, path: usize) -> Talk {
        Talk {
            host: server.to_string(),
            target: format!("/bench/{path}.flv"),
            exchange: Exchange::new(),
            tags: Reader::new(),
            started: false,
        }
    }

    pub(crate) fn started(&self) -> bool {
        self.started
    }

    pub(crate) fn open(&mut self, out: &mut BytesMut) {
        self.exchange.request(&self.host, &self.target, "", out);
    }

    pub(crate) fn input(&mut self, input: &Bytes, media: &mut Vec<Element>) -> Result<()> {
        self.exchange.push(input);
        while let Some(event) = self.exchange.poll()? {
            match event {
                Event::Head(head) => {
                    ensure!(head.status == 200, "the stream was answered {}", head.status);
                    self.started = true;
                }
                Event::Body(bytes) => read_tags(&mut self.tags, bytes, media)?,
                Event::End => bail!("the server ended the stream"),
            }
        }
        Ok(())
    }

    /// Bytes that nobody needs to see.
    pub(crate) fn passable(&self) -> usize {
        if self.started { self.exchange.passable() } else { 0 }
    }

    /// So many were taken off the connection.
    pub(crate) fn passed(&mut self, bytes: usize) -> Result<()> {
        self.exchange.passed(bytes);
        ensure!(self.exchange.poll()?.is_none(), "the server ended the stream");
        Ok(())
    }
}

/// The units in a piece of an FLV file.
pub(super) fn read_tags(tags: &mut Reader, piece: Bytes, media: &mut Vec<Element>) -> Result<()> {
    tags.push(piece);
    while let Some(tag) = tags.tag().context("the FLV file")? {
        find_units(tag.kind, &tag.body, media)?;
    }
    Ok(())
}
