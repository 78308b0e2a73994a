//! Makes access units of what demuxers and depacketizers found, so that every one keeps the promises of
//! [`AccessUnit`] whatever the protocol and the sender.
//!
//! - Delimiters, fillers and empty parts are dropped, and so are units without a coded picture; their parameter sets
//!   are followed.
//! - A random access point has its parameter sets in front, from the announcement or an earlier unit where the sender
//!   does not repeat them.
//! - The configuration is one `Arc` while it is equal. Of codecs that announce none it is read from the units.
//! - Decode times that the protocol does not tell are computed ([`DecodeTimes`]).

use super::configuration::{Ac3, Configuration, MpegAudio, Vp9};
use super::parameter_sets::{ParameterSets, keep};
use super::{DecodeTimes, av1, h264, h265, mjpeg, mpeg_video, mpeg4_video, obu, vp8};
use crate::limits::PARAMETER_SET_BYTES_MAX;
use crate::track::Codec;
use crate::unit::{AccessUnit, MediaTime, Parts};
use bytes::Bytes;
use std::sync::Arc;

/// The state of one track.
#[derive(Clone, Debug)]
pub struct Assembler {
    codec: Codec,
    clock_rate: u32,
    configuration: Option<Arc<Configuration>>,
    /// With audio: the configuration was not put on a unit yet.
    is_news: bool,
    /// Of H.264 and H.265.
    sets: ParameterSets,
    times: DecodeTimes,
}

impl Assembler {
    /// `known` is what was announced; `clock_rate` the clock of all times of the units, not zero.
    pub fn new(codec: &Codec, clock_rate: u32, known: Option<Arc<Configuration>>) -> Assembler {
        let mut assembler = Assembler {
            codec: codec.clone(),
            clock_rate: clock_rate.max(1),
            configuration: None,
            is_news: false,
            sets: ParameterSets::new(*codec == Codec::H265),
            times: DecodeTimes::new(codec, clock_rate),
        };
        if let Some(known) = known {
            assembler.sets.announced(&known);
            assembler.follow_announced(&known);
            assembler.configuration = Some(known);
            assembler.is_news = true;
        }
        assembler
    }

    /// What a decoder must know for the units to come, as far as it is known.
    pub fn configuration(&self) -> Option<&Arc<Configuration>> {
        self.configuration.as_ref()
    }

    /// Takes over a configuration that the protocol told between units: a sequence header of FLV, an ADTS or LATM header.
    pub fn configure(&mut self, configuration: Configuration) {
        self.sets.announced(&configuration);
        self.follow_announced(&configuration);
        self.is_news |= keep(&mut self.configuration, configuration);
    }

    fn follow_announced(&mut self, configuration: &Configuration) {
        match configuration {
            Configuration::H264(known) => {
                known.pps.iter().chain([&known.sps]).for_each(|unit| self.times.parameter_set(unit));
            }
            Configuration::H265(known) => {
                known.pps.iter().chain([&known.sps]).for_each(|unit| self.times.parameter_set(unit));
            }
            _ => {}
        }
    }

    /// Makes a unit of parts as [`crate::unit`]'s table has them. `None` when nothing is left of it that is decoded.
    ///
    /// `dts` is `None` where the protocol does not tell it. A `dts` after `pts` is `pts`; a unit whose decode time would
    /// come before that of the unit before it is decoded, and if need be shown, at that time.
    pub fn unit(&mut self, pts: MediaTime, dts: Option<MediaTime>, mut parts: Parts) -> Option<AccessUnit> {
        parts.retain(|part| !part.is_empty() && !is_dropped(&self.codec, part));
        let set_changed = matches!(self.codec, Codec::H264 | Codec::H265) && self.sets.follow(&parts);
        if set_changed && let Some(found) = self.sets.configuration() {
            keep(&mut self.configuration, found);
        }
        if !parts.iter().any(|part| is_coded(&self.codec, part)) {
            if set_changed {
                parts.iter().for_each(|part| self.times.parameter_set(part));
            }
            self.read_in_band(&parts);
            return None;
        }
        let random_access = is_random_access(&self.codec, &parts);
        self.read_in_band(&parts);
        if random_access {
            self.complete(&mut parts);
        }
        let pts = pts.in_clock(self.clock_rate);
        let dts = match dts {
            Some(dts) => self.times.follow(dts.in_clock(self.clock_rate).min(pts)),
            None => self.times.next(pts, random_access, &parts),
        };
        let configuration = self.configuration_of(random_access);
        Some(AccessUnit {
            pts: MediaTime::new(pts.max(dts), self.clock_rate),
            dts: MediaTime::new(dts, self.clock_rate),
            random_access,
            configuration,
            parts,
        })
    }

    /// The configuration that is put on a unit: with video at each random access point, with audio when it is new.
    fn configuration_of(&mut self, random_access: bool) -> Option<Arc<Configuration>> {
        let wanted = if is_video(&self.codec) { random_access } else { std::mem::take(&mut self.is_news) };
        self.configuration.as_ref().filter(|_| wanted).cloned()
    }

    /// Puts in front what a decoder needs at a random access point.
    fn complete(&self, parts: &mut Parts) {
        match (&self.codec, self.configuration.as_deref()) {
            (Codec::H264 | Codec::H265, _) => self.sets.complete(parts),
            (Codec::Av1, Some(Configuration::Av1(av1)))
                if !parts.iter().any(|part| obu::kind(part) == Some(obu::SEQUENCE_HEADER)) =>
            {
                parts.insert(0, av1.sequence_header.clone());
            }
            _ => {}
        }
    }

    /// Follows the configuration of codecs whose units say it.
    fn read_in_band(&mut self, parts: &Parts) {
        let Some(first) = parts.first() else { return };
        let found = match &self.codec {
            Codec::Av1 => self.sequence_header(parts),
            Codec::Vp9 => Vp9::parse(first).map(Configuration::Vp9),
            Codec::Vp8 => vp8::picture(first).map(Configuration::Vp8),
            Codec::Mjpeg => mjpeg::picture(first).map(Configuration::Mjpeg),
            Codec::Mpeg4Video => self.headers(mpeg4_video::headers(first)),
            Codec::MpegVideo => self.headers(mpeg_video::headers(first)),
            Codec::MpegAudio => {
                MpegAudio::parse(first).ok().map(|(audio, ..)| Configuration::MpegAudio(audio))
            }
            Codec::Ac3 => Ac3::parse(first).ok().map(|(ac3, _)| Configuration::Ac3(ac3)),
            _ => None,
        };
        if let Some(found) = found {
            self.is_news |= keep(&mut self.configuration, found);
        }
    }

    /// A sequence header that is another one than known.
    fn sequence_header(&self, parts: &Parts) -> Option<Configuration> {
        let is_header = |part: &&Bytes| obu::kind(part) == Some(obu::SEQUENCE_HEADER);
        let header = parts.iter().find(is_header).filter(|part| part.len() <= PARAMETER_SET_BYTES_MAX)?;
        match self.configuration.as_deref() {
            Some(Configuration::Av1(known)) if known.sequence_header == *header => None,
            _ => {
                av1::SequenceHeader::parse(header)?;
                let sequence_header = Bytes::copy_from_slice(header);
                Some(Configuration::Av1(super::configuration::Av1 { sequence_header }))
            }
        }
    }

    /// Headers of MPEG video that are others than known.
    fn headers(&self, found: Option<Bytes>) -> Option<Configuration> {
        let found = found.filter(|headers| headers.len() <= PARAMETER_SET_BYTES_MAX)?;
        match self.configuration.as_deref() {
            Some(Configuration::Mpeg4Video { headers } | Configuration::MpegVideo { headers })
                if *headers == found =>
            {
                None
            }
            _ if self.codec == Codec::Mpeg4Video => {
                Some(Configuration::Mpeg4Video { headers: Bytes::copy_from_slice(&found) })
            }
            _ => Some(Configuration::MpegVideo { headers: Bytes::copy_from_slice(&found) }),
        }
    }
}

fn is_video(codec: &Codec) -> bool {
    matches!(
        codec,
        Codec::H264
            | Codec::H265
            | Codec::Av1
            | Codec::Vp8
            | Codec::Vp9
            | Codec::Mjpeg
            | Codec::Mpeg4Video
            | Codec::MpegVideo
    )
}

/// Parts that say nothing to a decoder.
fn is_dropped(codec: &Codec, part: &[u8]) -> bool {
    match codec {
        Codec::H264 => matches!(h264::kind(part), 0 | h264::ACCESS_UNIT_DELIMITER | h264::FILLER | 24..),
        Codec::H265 => {
            part.len() < 2 || matches!(h265::kind(part), h265::ACCESS_UNIT_DELIMITER | h265::FILLER)
        }
        Codec::Av1 => {
            matches!(obu::kind(part), Some(obu::TEMPORAL_DELIMITER | obu::PADDING | obu::TILE_LIST))
        }
        _ => false,
    }
}

/// Whether the part is of what is decoded: a slice, a frame, samples.
fn is_coded(codec: &Codec, part: &[u8]) -> bool {
    match codec {
        Codec::H264 => matches!(h264::kind(part), 1..=5),
        Codec::H265 => h265::kind(part) < h265::VPS,
        Codec::Av1 => !matches!(obu::kind(part), Some(obu::SEQUENCE_HEADER | obu::METADATA)),
        _ => true,
    }
}

fn is_random_access(codec: &Codec, parts: &Parts) -> bool {
    let Some(first) = parts.first() else { return false };
    match codec {
        Codec::H264 => parts.iter().any(|unit| h264::is_random_access(unit)),
        Codec::H265 => parts.iter().any(|unit| h265::is_random_access(unit)),
        Codec::Av1 => av1::is_random_access(parts),
        Codec::Vp8 => vp8::is_random_access(first),
        Codec::Vp9 => Vp9::parse(first).is_some(),
        Codec::Mpeg4Video => mpeg4_video::is_random_access(first),
        Codec::MpegVideo => mpeg_video::is_random_access(first),
        _ => true,
    }
}
