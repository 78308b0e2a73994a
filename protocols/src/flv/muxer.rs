//! Access units to messages.
//!
//! A unit costs at most one small buffer: the tag's head and the length before each NAL unit, or the sizes of OBUs,
//! are slices of it. Where the head is the same for every unit, as with audio, it is made once. Payloads are shared with
//! the unit; only LPCM is copied, since FLV has it in the other byte order.

use super::capabilities::Capabilities;
use super::error::Error;
use super::format::{Format, FourCc};
use super::{Kind, Message, audio, metadata, video};
use crate::codec::{Configuration, obu};
use crate::limits::TRACKS_MAX;
use crate::track::{Codec, Elementary, Skipped, Track};
use crate::unit::{AccessUnit, MediaTime};
use bytes::Bytes;
use smallvec::SmallVec;
use std::sync::Arc;

/// A temporal delimiter with its size, which FFmpeg wants at the head of each temporal unit of AV1.
const AV1_TEMPORAL_DELIMITER: [u8; 2] = [obu::TEMPORAL_DELIMITER << 3 | 2, 0];
/// What a FLAC stream begins with, before its metadata blocks (RFC 9639, 8).
pub(super) const FLAC_MARKER: &[u8] = b"fLaC";
/// `VPCodecConfigurationRecord` of VP8, which has one profile: level unknown, 8 bits, 4:2:0, colours unspecified.
const VP8_RECORD: [u8; 8] = [0, 0, 8 << 4 | 1 << 1, 2, 2, 2, 0, 0];

/// Makes the messages of one kind of client.
#[derive(Debug)]
pub struct Muxer {
    /// By the index of the track; `None` where it is skipped.
    outputs: Vec<Option<Output>>,
}

impl Muxer {
    /// A muxer for clients of `capabilities`, and the tracks it goes without. The first track of a medium that is
    /// carried is the medium's default track.
    ///
    /// # Errors
    /// No track can be carried.
    pub fn new(tracks: &[Elementary], capabilities: Capabilities) -> Result<(Muxer, Vec<Skipped>), Error> {
        let mut next_ids = NextIds::default();
        let mut skipped = Vec::new();
        let outputs = tracks
            .iter()
            .enumerate()
            .map(|(index, elementary)| {
                Output::new(elementary, capabilities, &mut next_ids)
                    .map_err(|reason| skipped.push(Skipped { track: index, reason }))
                    .ok()
            })
            .collect::<Vec<_>>();
        if outputs.iter().all(Option::is_none) {
            return Err(Error::Unsupported { what: "codecs of all tracks" });
        }
        Ok((Muxer { outputs }, skipped))
    }

    /// What a reader gets before its first unit, whenever it comes: `onMetaData`, and the sequence headers as far as
    /// they are known. Their timestamp is zero.
    pub fn headers(&self) -> Vec<Message> {
        let outputs = || self.outputs.iter().flatten();
        let body = metadata::body(outputs().map(Output::described));
        let mut messages = vec![Message::new(Kind::Script, 0, [body])];
        messages.extend(outputs().filter_map(|output| output.sequence_header(0)));
        messages
    }

    /// Whether a track of that kind is carried: what an FLV file says in its header.
    pub fn carries(&self, kind: Kind) -> bool {
        self.outputs.iter().flatten().any(|output| output.kind == kind)
    }

    /// Appends the messages of one unit: its own, and before it a sequence header where the configuration changed. None
    /// for tracks that are skipped, and while a decoder would not know what to make of it.
    ///
    /// Times before the stream's beginning come out as zero.
    pub fn unit(&mut self, track: usize, unit: &AccessUnit, out: &mut Vec<Message>) {
        let Some(output) = self.outputs.get_mut(track).and_then(Option::as_mut) else { return };
        let dts_ms = milliseconds(unit.dts).max(0);
        let timestamp_ms = dts_ms as u32;
        if let Some(configuration) = &unit.configuration
            && output.follow(configuration)
        {
            out.extend(output.sequence_header(timestamp_ms));
        }
        if output.configuration.is_none() && output.needs_configuration() {
            return;
        }
        let composition_ms = (milliseconds(unit.pts) - dts_ms).clamp(-0x80_0000, 0x7F_FFFF) as i32;
        let parts = output.parts(unit, composition_ms);
        if !parts.is_empty() {
            out.push(Message { kind: output.kind, timestamp_ms, parts });
        }
    }
}

/// Ids of the next track of each medium.
#[derive(Default)]
struct NextIds {
    video: u8,
    audio: u8,
}

/// A track that is carried.
#[derive(Debug)]
struct Output {
    kind: Kind,
    format: Format,
    /// Of extended tags; `None` for legacy ones.
    fourcc: Option<FourCc>,
    /// Within the medium.
    track_id: u8,
    configuration: Option<Arc<Configuration>>,
    /// Of units without and with random access, where heads do not depend on more than that; else empty.
    heads: [Bytes; 2],
}

impl Output {
    fn new(
        elementary: &Elementary,
        capabilities: Capabilities,
        next_ids: &mut NextIds,
    ) -> Result<Output, &'static str> {
        let format = format(&elementary.track, elementary.configuration.as_deref())?;
        let kind = format.kind();
        let next_id = if kind == Kind::Video { &mut next_ids.video } else { &mut next_ids.audio };
        let fourcc = if *next_id == 0 && format.legacy_id().is_some() {
            None
        } else {
            let fourcc =
                format.fourcc().ok_or("FLV carries the codec as the first track of its medium only")?;
            if *next_id > 0 && !capabilities.multitrack {
                return Err("the client takes one track of a medium");
            }
            if !capabilities.takes(fourcc) {
                return Err("the client did not offer the codec");
            }
            if usize::from(*next_id) >= TRACKS_MAX {
                return Err("too many tracks");
            }
            Some(fourcc)
        };
        let track_id = *next_id;
        *next_id += 1;
        let configuration = elementary.configuration.clone();
        let mut output = Output { kind, format, fourcc, track_id, configuration, heads: Default::default() };
        output.make_heads();
        Ok(output)
    }

    fn described(&self) -> metadata::Described<'_> {
        metadata::Described {
            kind: self.kind,
            track_id: self.track_id,
            legacy_id: self.format.legacy_id().filter(|_| self.fourcc.is_none()),
            fourcc: self.fourcc,
            configuration: self.configuration.as_deref(),
        }
    }

    fn make_heads(&mut self) {
        let known = self.configuration.as_deref();
        let sample_rate = known.and_then(Configuration::sample_rate).unwrap_or_default();
        let channels = known.and_then(Configuration::channels).unwrap_or(2);
        let head = |random_access| match (self.kind, self.fourcc) {
            (Kind::Video, Some(fourcc)) if !self.format.has_composition_time() => {
                let mut head = video::unit(fourcc, self.track_id, random_access, 0);
                if self.format == Format::Av1 {
                    head.extend_from_slice(&AV1_TEMPORAL_DELIMITER);
                }
                Bytes::from_owner(head)
            }
            (Kind::Audio, Some(fourcc)) => Bytes::from_owner(audio::unit(fourcc, self.track_id)),
            (Kind::Audio, None) => audio::legacy_unit(self.format, sample_rate, channels)
                .map(Bytes::from_owner)
                .unwrap_or_default(),
            _ => Bytes::new(),
        };
        self.heads = [head(false), head(true)];
    }

    /// Takes the configuration in; whether it is another than before.
    fn follow(&mut self, configuration: &Arc<Configuration>) -> bool {
        let known = self.configuration.as_ref();
        if known.is_some_and(|known| Arc::ptr_eq(known, configuration) || **known == **configuration) {
            return false;
        }
        self.configuration = Some(configuration.clone());
        self.make_heads();
        true
    }

    /// Whether decoders are lost without a sequence header.
    fn needs_configuration(&self) -> bool {
        match self.format {
            Format::H264
            | Format::H265
            | Format::Av1
            | Format::Vp9
            | Format::Aac
            | Format::Opus
            | Format::Flac => true,
            Format::Vp8
            | Format::Ac3
            | Format::MpegAudio
            | Format::Pcma { .. }
            | Format::Pcmu { .. }
            | Format::Lpcm { .. }
            | Format::Unsupported => false,
        }
    }

    /// The sequence header; `None` while the configuration is unknown, and where the codec has none.
    fn sequence_header(&self, timestamp_ms: u32) -> Option<Message> {
        let record = match (self.format, self.configuration.as_deref()) {
            (Format::H264, Some(Configuration::H264(h264))) => h264.avcc(),
            (Format::H265, Some(Configuration::H265(h265))) => h265.hvcc(),
            (Format::Av1, Some(Configuration::Av1(av1))) => av1.av1c(),
            (Format::Vp9, Some(Configuration::Vp9(vp9))) => vp9.vpcc(),
            (Format::Vp8, _) => Bytes::from_static(&VP8_RECORD),
            (Format::Aac, Some(Configuration::Aac(aac))) => aac.specific_config.clone(),
            (Format::Opus, Some(Configuration::Opus(opus))) => opus.head(),
            (Format::Flac, Some(Configuration::Flac(flac))) => {
                [FLAC_MARKER, &flac.metadata()].concat().into()
            }
            // Empty, as MediaMTX sends it: it announces the track.
            (Format::Ac3, _) => Bytes::new(),
            _ => return None,
        };
        let head = match (self.kind, self.fourcc) {
            (Kind::Video, None) => Bytes::from_owner(video::legacy_sequence_header()),
            (Kind::Video, Some(fourcc)) => Bytes::from_owner(video::sequence_header(fourcc, self.track_id)),
            (_, None) => Bytes::from_owner(audio::aac_sequence_header()),
            (_, Some(fourcc)) => Bytes::from_owner(audio::sequence_header(fourcc, self.track_id)),
        };
        let parts = [head, record].into_iter().filter(|part| !part.is_empty());
        Some(Message::new(self.kind, timestamp_ms, parts))
    }

    /// The body of a unit's message; empty where nothing is left of it.
    fn parts(&self, unit: &AccessUnit, composition_ms: i32) -> SmallVec<[Bytes; 6]> {
        let head = &self.heads[usize::from(unit.random_access)];
        match self.format {
            Format::H264 | Format::H265 => {
                let head = match self.fourcc {
                    None => video::legacy_unit(unit.random_access, composition_ms),
                    Some(fourcc) => video::unit(fourcc, self.track_id, unit.random_access, composition_ms),
                };
                let units = unit.parts.iter().filter(|nal| !self.is_configured(nal));
                prefixed(&head, units.map(|nal| (length(nal), nal.clone())))
            }
            Format::Av1 => {
                let units = obu::with_sizes(&unit.parts);
                prefixed(head, units.map(|(prefix, payload)| (Prefix::from_slice(&prefix), payload)))
            }
            Format::Lpcm { bits: 16, .. } => {
                let swapped = unit.parts.iter().map(swap_bytes);
                std::iter::once(head.clone()).chain(swapped).collect()
            }
            _ => std::iter::once(head.clone()).chain(unit.parts.iter().cloned()).collect(),
        }
    }

    /// Whether the sequence header has this parameter set already.
    fn is_configured(&self, nal: &Bytes) -> bool {
        match self.configuration.as_deref() {
            Some(Configuration::H264(h264)) => *nal == h264.sps || h264.pps.contains(nal),
            Some(Configuration::H265(h265)) => *nal == h265.vps || *nal == h265.sps || h265.pps.contains(nal),
            _ => false,
        }
    }
}

/// What comes before a payload: a length, or an OBU's header and size.
type Prefix = SmallVec<[u8; 8]>;

/// The nearest millisecond: a time that came from one, rounded down to its clock, goes back to the same.
fn milliseconds(time: MediaTime) -> i64 {
    time.in_clock(2000).saturating_add(1).div_euclid(2)
}

fn length(nal: &Bytes) -> Prefix {
    Prefix::from_slice(&(nal.len() as u32).to_be_bytes())
}

/// `head`, and each payload after its prefix. Head and prefixes share one buffer, sliced between the payloads.
fn prefixed(head: &[u8], payloads: impl Iterator<Item = (Prefix, Bytes)>) -> SmallVec<[Bytes; 6]> {
    let mut prefixes = SmallVec::<[u8; 48]>::from_slice(head);
    let mut ends = SmallVec::<[(usize, Bytes); 6]>::new();
    for (prefix, payload) in payloads {
        prefixes.extend_from_slice(&prefix);
        ends.push((prefixes.len(), payload));
    }
    let prefixes = Bytes::from_owner(prefixes);
    let mut parts = SmallVec::with_capacity(2 * ends.len());
    let mut start = 0;
    for (end, payload) in ends {
        parts.push(prefixes.slice(start..end));
        parts.push(payload);
        start = end;
    }
    parts
}

/// 16-bit samples in the other byte order; half a sample at the end is left out.
pub(super) fn swap_bytes(samples: &Bytes) -> Bytes {
    samples.chunks_exact(2).flat_map(|sample| [sample[1], sample[0]]).collect()
}

/// The format a track is carried in, whatever the client; or why FLV has no place for it.
fn format(track: &Track, configuration: Option<&Configuration>) -> Result<Format, &'static str> {
    let clock_rate = track.clock_rate;
    let channels = track.channels.max(1);
    let plain_channels = || {
        if channels <= 2 { Ok(channels) } else { Err("FLV has uncompressed audio of one or two channels") }
    };
    Ok(match &track.codec {
        Codec::H264 => Format::H264,
        Codec::H265 => Format::H265,
        Codec::Av1 => Format::Av1,
        Codec::Vp9 => Format::Vp9,
        Codec::Vp8 => Format::Vp8,
        Codec::Aac => Format::Aac,
        // Its units are those of AAC; the configuration is, once it is known.
        Codec::AacLatm if configuration.is_none() => return Err("LATM with its configuration in band"),
        Codec::AacLatm => Format::Aac,
        Codec::Opus => Format::Opus,
        Codec::Flac => Format::Flac,
        Codec::MpegAudio => Format::MpegAudio,
        Codec::Ac3 => Format::Ac3,
        Codec::Pcma | Codec::Pcmu if clock_rate != audio::G711_SAMPLE_RATE => {
            return Err("FLV has G.711 of 8 kHz only");
        }
        Codec::Pcma => Format::Pcma { channels: plain_channels()? },
        Codec::Pcmu => Format::Pcmu { channels: plain_channels()? },
        Codec::Lpcm { bits: 8 | 16 } if !audio::SAMPLE_RATES.contains(&clock_rate) => {
            return Err("FLV has LPCM of 5512, 11025, 22050 and 44100 Hz only");
        }
        Codec::Lpcm { bits: bits @ (8 | 16) } => {
            Format::Lpcm { bits: *bits, sample_rate: clock_rate, channels: plain_channels()? }
        }
        Codec::Lpcm { .. } => return Err("FLV has LPCM of 8 and 16 bits only"),
        _ => return Err("FLV has no place for the codec"),
    })
}
