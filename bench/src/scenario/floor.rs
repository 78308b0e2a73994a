//! A reader of the floor: one line, then media. See the program's `floor` module for the other end.

use anyhow::{Result, bail};
use bytes::{Bytes, BytesMut};
use headwater_protocols::rtsp::decoder::{self, Decoder};

use super::Element;

/// See the module.
pub(crate) struct Talk {
    line: String,
    decoder: Decoder,
    pub(crate) opened: bool,
}

impl Talk {
    /// A reader of `path`, at UDP port `port` if its media comes there.
    pub(crate) fn new(path: usize, port: Option<u16>) -> Talk {
        let line = match port {
            Some(port) => format!("{path} {port}\n"),
            None => format!("{path}\n"),
        };
        Talk { line, decoder: Decoder::new(), opened: false }
    }

    pub(crate) fn open(&mut self, out: &mut BytesMut) {
        out.extend_from_slice(self.line.as_bytes());
        self.opened = true;
    }

    pub(crate) fn input(&mut self, mut input: Bytes, media: &mut Vec<Element>) -> Result<()> {
        while let Some(element) = self.decoder.decode(&mut input)? {
            match element {
                decoder::Element::Interleaved { channel, payload } => {
                    media.push(Element { channel, payload });
                }
                _ => bail!("the floor sent a message"),
            }
        }
        Ok(())
    }
}
