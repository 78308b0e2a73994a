//! One track of a publisher: its configuration from sequence headers or units, and its units.

use crate::codec::configuration::{
    Aac, Ac3, Av1, Flac, H264, H265, MpegAudio, Opus, Samples, VIDEO_CLOCK_RATE, Vp9,
};
use crate::codec::{Assembler, Configuration, nal, obu, opus};
use crate::flv::Kind;
use crate::flv::audio::G711_SAMPLE_RATE;
use crate::flv::clock::SampleClock;
use crate::flv::error::Error;
use crate::flv::extended::Piece;
use crate::flv::format::Format;
use crate::flv::muxer::{FLAC_MARKER, swap_bytes};
use crate::limits::FLV_AUDIO_FRAMES_MAX;
use crate::track::{Codec, Elementary, Medium, Track};
use crate::unit::{AccessUnit, MediaTime, Parts};
use bytes::Bytes;
use smallvec::SmallVec;
use std::sync::Arc;

/// The units of one message: one, but for audio with several frames.
pub(super) type Units = SmallVec<[AccessUnit; 2]>;

/// Bytes of a FullBox header, which some put before a `vpcC` record: version 1, no flags.
const FULL_BOX_VERSION_1: &[u8] = &[1, 0, 0, 0];
/// Samples of one frame of AC-3 (ETSI TS 102 366, 4.1).
const AC3_FRAME_SAMPLES: u32 = 1536;
/// What every NAL unit's length has where no record says otherwise, in bytes.
const LENGTH_SIZE: u8 = 4;

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) kind: Kind,
    pub(super) track_id: u8,
    pub(super) format: Format,
    state: State,
}

#[derive(Debug)]
enum State {
    /// What makes the clock of the track is not known yet.
    Waiting,
    Live(Box<Live>),
    Ignored,
}

#[derive(Debug)]
struct Live {
    assembler: Assembler,
    /// Counts samples of audio; the assembler brings them to the track's clock. Unused with video, whose clock has whole
    /// milliseconds.
    samples: SampleClock,
    /// Bytes of the length before each NAL unit.
    length_size: u8,
    /// How much earlier units are decoded than their timestamps say: the most a presentation came before its decoding.
    early_ms: i64,
    /// Whether a unit has come.
    started: bool,
}

impl Slot {
    pub(super) fn new(kind: Kind, piece: &Piece) -> Slot {
        let state = match kind {
            // The clock of video is always the same.
            Kind::Video => live(piece.format, VIDEO_CLOCK_RATE, VIDEO_CLOCK_RATE, None),
            _ => State::Waiting,
        };
        Slot { kind, track_id: piece.track_id, format: piece.format, state }
    }

    pub(super) fn ignored(kind: Kind, piece: &Piece) -> Slot {
        Slot { kind, track_id: piece.track_id, format: piece.format, state: State::Ignored }
    }

    pub(super) fn ignore(&mut self) {
        self.state = State::Ignored;
    }

    pub(super) fn is(&self, kind: Kind, track_id: u8) -> bool {
        self.kind == kind && self.track_id == track_id
    }

    pub(super) fn is_ignored(&self) -> bool {
        matches!(self.state, State::Ignored)
    }

    /// Whether all is known of the track. Of video a unit must have come, since sequence headers are wrong now and
    /// then (MediaMTX sends made-up ones) and the units' own parameters correct them.
    pub(super) fn is_ready(&self) -> bool {
        match &self.state {
            State::Live(live) => {
                live.assembler.configuration().is_some() && (self.kind == Kind::Audio || live.started)
            }
            _ => false,
        }
    }

    /// Whether the track can be used, though not all may be known.
    pub(super) fn is_usable(&self) -> bool {
        match &self.state {
            State::Live(live) => live.assembler.configuration().is_some() || live.started,
            _ => false,
        }
    }

    /// The track as it is announced; `None` when it is not usable.
    pub(super) fn elementary(&self) -> Option<Elementary> {
        let State::Live(live) = &self.state else { return None };
        let configuration = live.assembler.configuration().cloned();
        let track = match &configuration {
            Some(configuration) => configuration.track(),
            None => self.bare_track()?,
        };
        Some(Elementary { track, configuration })
    }

    /// A video track of which only the codec is known.
    fn bare_track(&self) -> Option<Track> {
        let codec = self.format.codec()?;
        let encoding = match codec {
            Codec::H264 => "H264/90000",
            Codec::H265 => "H265/90000",
            Codec::Av1 => "AV1/90000",
            Codec::Vp9 => "VP9/90000",
            Codec::Vp8 => "VP8/90000",
            _ => return None,
        };
        Some(Track {
            medium: Medium::Video,
            codec,
            clock_rate: VIDEO_CLOCK_RATE,
            channels: 0,
            payload_type: 96,
            format_parameters: "".into(),
            rtpmap: encoding.into(),
            attributes: Vec::new(),
        })
    }

    /// Takes a sequence header in.
    ///
    /// # Errors
    /// Records of audio that cannot be read. Of video they are passed over, since the units may have the parameters.
    pub(super) fn configure(&mut self, record: &Bytes) -> Result<(), Error> {
        let mut length_size = LENGTH_SIZE;
        let configuration = match self.format {
            Format::H264 => H264::from_avcc(record).ok().map(|(h264, size)| {
                length_size = size;
                Configuration::H264(h264)
            }),
            Format::H265 => H265::from_hvcc(record).ok().map(|(h265, size)| {
                length_size = size;
                Configuration::H265(h265)
            }),
            Format::Av1 => Av1::from_av1c(record).ok().map(Configuration::Av1),
            Format::Vp9 => {
                let bare = record.strip_prefix(FULL_BOX_VERSION_1).map(|bare| record.slice_ref(bare));
                Vp9::from_vpcc(bare.as_ref().unwrap_or(record)).ok().map(Configuration::Vp9)
            }
            Format::Aac => Some(Configuration::Aac(Aac::parse(record.clone())?)),
            Format::Opus if record.is_empty() => Some(DEFAULT_OPUS),
            Format::Opus => Some(Configuration::Opus(Opus::from_head(record)?)),
            Format::Flac => Some(Configuration::Flac(flac(record)?)),
            // They have no record, or one that says nothing.
            _ => None,
        };
        if let Some(configuration) = configuration {
            self.follow(configuration, length_size);
        }
        Ok(())
    }

    /// Goes on with another configuration. The clock of a track stays what it was at first.
    fn follow(&mut self, configuration: Configuration, length_size: u8) {
        match &mut self.state {
            State::Live(live) => {
                live.length_size = length_size;
                live.assembler.configure(configuration);
            }
            State::Waiting => {
                let clock_rate = configuration.track().clock_rate;
                let sample_rate = configuration.sample_rate().unwrap_or(clock_rate);
                self.state = live(self.format, clock_rate, sample_rate, Some(configuration));
            }
            State::Ignored => {}
        }
    }

    /// Appends the units of one coded payload that came with `time_ms`.
    ///
    /// # Errors
    /// Payloads that cannot be taken apart.
    pub(super) fn units(
        &mut self,
        time_ms: i64,
        composition_ms: i32,
        payload: Bytes,
        units: &mut Units,
    ) -> Result<(), Error> {
        if payload.is_empty() {
            return Ok(());
        }
        if let State::Waiting = self.state {
            self.configure_by_unit(&payload)?;
        }
        let State::Live(live) = &mut self.state else { return Ok(()) };
        match self.format {
            Format::H264 | Format::H265 => {
                let parts = nal::length_prefixed(&payload, live.length_size)?;
                live.video(time_ms, composition_ms, parts, units);
            }
            Format::Av1 => live.video(time_ms, composition_ms, obu::split(&payload)?, units),
            Format::Vp9 | Format::Vp8 => live.video(time_ms, composition_ms, one(payload), units),
            Format::MpegAudio => {
                live.frames(time_ms, payload, units, |bytes| {
                    let (_, frame_bytes, samples) = MpegAudio::parse(bytes)?;
                    Ok((frame_bytes, samples))
                })?;
            }
            Format::Ac3 => {
                live.frames(time_ms, payload, units, |bytes| {
                    let (_, frame_bytes) = Ac3::parse(bytes)?;
                    Ok((frame_bytes, AC3_FRAME_SAMPLES))
                })?;
            }
            Format::Lpcm { bits: 16, channels, .. } => {
                let payload = swap_bytes(&payload);
                let samples = payload.len() / 2 / usize::from(channels);
                live.audio(time_ms, Some(samples as u32), payload, units);
            }
            Format::Lpcm { channels, .. } | Format::Pcma { channels } | Format::Pcmu { channels } => {
                let samples = payload.len() / usize::from(channels);
                live.audio(time_ms, Some(samples as u32), payload, units);
            }
            Format::Opus => live.audio(time_ms, opus::packet_samples(&payload), payload, units),
            Format::Aac => {
                let samples = match live.assembler.configuration().map(Arc::as_ref) {
                    Some(Configuration::Aac(aac)) => Some(aac.frame_samples.into()),
                    _ => None,
                };
                live.audio(time_ms, samples, payload, units);
            }
            Format::Flac => live.audio(time_ms, None, payload, units),
            Format::Unsupported => {}
        }
        Ok(())
    }

    /// Finds the configuration of audio without sequence header. AAC and FLAC wait for theirs.
    fn configure_by_unit(&mut self, payload: &Bytes) -> Result<(), Error> {
        let g711 = |channels| Samples { bits: 8, sample_rate: G711_SAMPLE_RATE, channels };
        let configuration = match self.format {
            Format::MpegAudio => Configuration::MpegAudio(MpegAudio::parse(payload)?.0),
            Format::Ac3 => Configuration::Ac3(Ac3::parse(payload)?.0),
            Format::Opus => DEFAULT_OPUS,
            Format::Pcma { channels } => Configuration::Pcma(g711(channels)),
            Format::Pcmu { channels } => Configuration::Pcmu(g711(channels)),
            Format::Lpcm { bits, sample_rate, channels } => {
                Configuration::Lpcm(Samples { bits, sample_rate, channels })
            }
            _ => return Ok(()),
        };
        self.follow(configuration, LENGTH_SIZE);
        Ok(())
    }
}

/// Enhanced RTMP allows an empty Opus sequence header for mono and stereo; decoders make either of the other.
const DEFAULT_OPUS: Configuration =
    Configuration::Opus(Opus { channels: 2, pre_skip: opus::PRE_SKIP_DEFAULT });

fn live(format: Format, clock_rate: u32, sample_rate: u32, known: Option<Configuration>) -> State {
    let Some(codec) = format.codec() else { return State::Ignored };
    State::Live(Box::new(Live {
        assembler: Assembler::new(&codec, clock_rate, known.map(Arc::new)),
        samples: SampleClock::new(sample_rate.max(1)),
        length_size: LENGTH_SIZE,
        early_ms: 0,
        started: false,
    }))
}

fn one(payload: Bytes) -> Parts {
    std::iter::once(payload).collect()
}

/// STREAMINFO from a sequence header: in its block after the stream marker, or bare as some send it.
fn flac(record: &Bytes) -> Result<Flac, Error> {
    Ok(match record.strip_prefix(FLAC_MARKER) {
        Some(blocks) => Flac::from_metadata(&record.slice_ref(blocks))?,
        None => Flac::from_stream_info(record)?,
    })
}

impl Live {
    fn video(&mut self, time_ms: i64, composition_ms: i32, parts: Parts, units: &mut Units) {
        let composition_ms = i64::from(composition_ms);
        // A presentation before its decoding is none: the sender counts decoding late, so all of it is moved ahead.
        self.early_ms = self.early_ms.max(-composition_ms);
        let clock = |time_ms: i64| MediaTime::new(time_ms, 1000).in_clock(VIDEO_CLOCK_RATE);
        let pts = MediaTime::new(clock(time_ms + composition_ms), VIDEO_CLOCK_RATE);
        let dts = MediaTime::new(clock(time_ms - self.early_ms), VIDEO_CLOCK_RATE);
        self.emit(pts, dts, parts, units);
    }

    fn audio(&mut self, time_ms: i64, samples: Option<u32>, payload: Bytes, units: &mut Units) {
        let time = self.samples.time(time_ms, samples);
        self.emit(time, time, one(payload), units);
    }

    /// Frames one after the other, as `frame` tells bytes and samples of the first in what it is given.
    fn frames(
        &mut self,
        time_ms: i64,
        mut payload: Bytes,
        units: &mut Units,
        frame: impl Fn(&[u8]) -> Result<(usize, u32), crate::codec::Error>,
    ) -> Result<(), Error> {
        for index in 0..FLV_AUDIO_FRAMES_MAX {
            let (bytes, samples) = frame(&payload)?;
            let piece = payload.split_to(bytes.clamp(1, payload.len()));
            let time = match index {
                0 => self.samples.time(time_ms, Some(samples)),
                _ => self.samples.next(samples),
            };
            self.emit(time, time, one(piece), units);
            if payload.is_empty() {
                return Ok(());
            }
        }
        Err(Error::Limit { what: "audio frames of one message", max: FLV_AUDIO_FRAMES_MAX })
    }

    fn emit(&mut self, pts: MediaTime, dts: MediaTime, parts: Parts, units: &mut Units) {
        if let Some(unit) = self.assembler.unit(pts, Some(dts), parts) {
            self.started = true;
            units.push(unit);
        }
    }
}
