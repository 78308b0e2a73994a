//! AAC as LATM (RFC 6416, section 6): an AudioMuxElement in one packet, or fragmented, the last packet marked.
//!
//! With `cpresent=0` the configuration is in `a=fmtp`, otherwise in the elements themselves.

use bytes::Bytes;
use std::sync::Arc;

use super::assembly::Fragments;
use super::{Arrival, Error, invalid};
use crate::codec::Configuration;
use crate::codec::latm::{self, StreamMuxConfig};
use crate::rtp::{Ticks, format};
use crate::track::Track;
use crate::unit::Parts;

/// A configuration in band, with a program config element in the worst case.
const CONFIG_BYTES_MAX: usize = 64;

/// The state of one track.
#[derive(Debug)]
pub(super) struct Depacketizer {
    clock_rate: u32,
    is_in_band: bool,
    config: Option<StreamMuxConfig>,
    configuration: Option<Arc<Configuration>>,
    fragments: Fragments,
    /// Of the element in progress.
    timestamp: Option<Ticks>,
    /// Packets are missing before the element in progress; they may have been its beginning.
    is_suspect: bool,
    /// Something of the element in progress is missing.
    is_damaged: bool,
}

impl Depacketizer {
    /// `None` where the configuration is neither in band nor understood.
    pub(super) fn new(track: &Track) -> Option<Depacketizer> {
        let is_in_band = format::number(&track.format_parameters, "cpresent") != Some(0);
        let config = format::latm_config(track);
        if !is_in_band && config.is_none() {
            return None;
        }
        let mut depacketizer = Depacketizer {
            clock_rate: track.clock_rate,
            is_in_band,
            config,
            configuration: None,
            fragments: Fragments::default(),
            timestamp: None,
            is_suspect: false,
            is_damaged: false,
        };
        depacketizer.follow_configuration();
        Some(depacketizer)
    }

    pub(super) fn configuration(&self) -> Option<&Arc<Configuration>> {
        self.configuration.as_ref()
    }

    pub(super) fn push(&mut self, arrival: &Arrival, out: &mut Vec<(Ticks, Parts)>) -> Result<(), Error> {
        let before = match self.timestamp {
            // A sender without markers.
            Some(timestamp) if timestamp != arrival.timestamp => {
                self.is_damaged |= arrival.lost;
                self.end(out)
            }
            _ => Ok(()),
        };
        if self.timestamp.is_none() {
            self.timestamp = Some(arrival.timestamp);
            self.fragments.open(&[]);
            self.is_suspect = arrival.lost;
        } else if arrival.lost {
            self.is_damaged = true;
        }
        let mut result = Ok(());
        if !self.is_damaged {
            result = self.fragments.push(arrival.payload.clone(), 0);
            self.is_damaged = result.is_err();
        }
        let end = if arrival.marker { self.end(out) } else { Ok(()) };
        before.and(result).and(end)
    }

    fn end(&mut self, out: &mut Vec<(Ticks, Parts)>) -> Result<(), Error> {
        let timestamp = self.timestamp.take();
        if std::mem::take(&mut self.is_damaged) {
            self.fragments.clear();
            return Ok(());
        }
        let (Some(element), Some(mut timestamp)) = (self.fragments.join(), timestamp) else { return Ok(()) };
        let mut config = self.config.clone();
        let payloads = match latm::audio_mux_element(&element, &mut config, self.is_in_band) {
            Ok(payloads) => payloads,
            Err(_) if std::mem::take(&mut self.is_suspect) => return Ok(()),
            Err(_) => return Err(invalid("AudioMuxElement")),
        };
        if std::mem::take(&mut self.is_suspect) && !self.is_filled(&element, &payloads) {
            return Ok(());
        }
        self.config = config;
        self.follow_configuration();
        let unit_ticks =
            self.config.as_ref().map_or(0, |config| format::unit_ticks(&config.aac, self.clock_rate));
        for payload in payloads {
            if !payload.is_empty() {
                out.push((timestamp, Parts::from_iter([payload])));
            }
            timestamp = timestamp.advance(unit_ticks);
        }
        Ok(())
    }

    /// Whether the blocks fill an element to the last byte. An element has no mark at its beginning; the end of one that is
    /// taken for a whole one has lengths that say anything. A configuration in band leaves some bytes.
    fn is_filled(&self, element: &Bytes, payloads: &[Bytes]) -> bool {
        let bytes = payloads.iter().map(|payload| payload.len() / 255 + 1 + payload.len()).sum::<usize>();
        let left = element.len().checked_sub(bytes);
        left.is_some_and(|left| if self.is_in_band { left <= CONFIG_BYTES_MAX } else { left == 0 })
    }

    fn follow_configuration(&mut self) {
        let Some(StreamMuxConfig { aac, .. }) = &self.config else { return };
        let is_same =
            matches!(self.configuration.as_deref(), Some(Configuration::Aac(known)) if known == aac);
        if !is_same {
            self.configuration = Some(Arc::new(Configuration::Aac(aac.clone())));
        }
    }
}
