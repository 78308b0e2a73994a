//! PES packets into units: one picture each for video, any number of frames for audio, KLV units for metadata.
//!
//! Audio frames may lie across two PES packets (2.4.3.7: a PTS is that of the first frame that begins in its packet), so
//! what a packet leaves over is kept for the next one. Frames without a PTS of their own follow the one before.

use crate::codec::ac3::FRAME_SAMPLES;
use crate::codec::configuration::{Ac3, MpegAudio, Opus, VIDEO_CLOCK_RATE};
use crate::codec::latm::{self, StreamMuxConfig};
use crate::codec::{Assembler, Configuration, aac, nal, opus};
use crate::limits::MPEGTS_PES_BYTES_MAX;
use crate::mpegts::format::Format;
use crate::mpegts::opus_control::Control;
use crate::mpegts::pes::Pes;
use crate::mpegts::timeline::Timeline;
use crate::mpegts::timestamp::CLOCK_RATE;
use crate::track::{Elementary, Medium, Track};
use crate::unit::{AccessUnit, MediaTime, Parts};
use bytes::{Buf, Bytes, BytesMut};
use std::sync::Arc;

/// What must be there to tell how long a frame is.
const ADTS_HEADER_BYTES: usize = 7;
const LOAS_HEADER_BYTES: usize = 3;
const MPEG_AUDIO_HEADER_BYTES: usize = 4;
const AC3_HEADER_BYTES: usize = 8;
/// Header of a metadata access unit cell (2.12.4.2).
const CELL_HEADER_BYTES: usize = 5;

#[derive(Debug)]
pub(super) struct Reader {
    format: Format,
    assembler: Assembler,
    latm: Option<StreamMuxConfig>,
    /// Start of a frame whose end is in the next PES packet.
    rest: Bytes,
    clock: Clock,
    /// The decoding time of the last unit, and its distance from the one before.
    last_dts: Option<i64>,
    distance: i64,
}

/// The time of the next audio frame: a time that a PES packet said, and the samples since.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    base: Option<i64>,
    samples: u64,
    sample_rate: u32,
}

impl Clock {
    fn ticks(self) -> Option<i64> {
        let since = self.samples * u64::from(CLOCK_RATE) / u64::from(self.sample_rate.max(1));
        Some(self.base? + since as i64)
    }

    fn advance(&mut self, samples: u32, sample_rate: u32) {
        if sample_rate != self.sample_rate {
            *self = Clock { base: self.ticks(), samples: 0, sample_rate };
        }
        self.samples += u64::from(samples);
    }
}

/// What begins at a place in an audio stream.
enum Framing {
    /// A frame of so many bytes, its header included.
    Whole(Frame),
    /// The start of a frame.
    Short,
    Invalid,
}

struct Frame {
    bytes: usize,
    /// The units in it.
    blocks: Parts,
    samples: u32,
    sample_rate: u32,
}

impl Reader {
    pub(super) fn new(format: Format) -> Reader {
        Reader {
            format,
            assembler: Assembler::new(&format.codec(), CLOCK_RATE, None),
            latm: None,
            rest: Bytes::new(),
            clock: Clock::default(),
            last_dts: None,
            distance: 0,
        }
    }

    /// Forgets what was left over: the next PES packet does not continue it.
    pub(super) fn interrupt(&mut self) {
        self.rest = Bytes::new();
        self.clock = Clock::default();
    }

    /// Whether what a decoder must know is known.
    pub(super) fn is_known(&self) -> bool {
        matches!(self.format, Format::Klv | Format::SynchronousKlv)
            || self.assembler.configuration().is_some()
    }

    /// The track of the stream; `None` for audio whose sampling rate is not known.
    pub(super) fn elementary(&self) -> Option<Elementary> {
        if let Some(configuration) = self.assembler.configuration() {
            return Some(Elementary {
                track: configuration.track(),
                configuration: Some(Arc::clone(configuration)),
            });
        }
        let implied = match self.format {
            Format::Opus { channels } => Configuration::Opus(Opus { channels: channels.into(), pre_skip: 0 }),
            Format::Klv | Format::SynchronousKlv => Configuration::Klv,
            _ if self.format.is_video() => return Some(self.bare_video()),
            _ => return None,
        };
        Some(Elementary { track: implied.track(), configuration: Some(Arc::new(implied)) })
    }

    /// A video track of which only the codec is known.
    fn bare_video(&self) -> Elementary {
        let rtpmap = match self.format {
            Format::H264 => "H264/90000",
            Format::H265 => "H265/90000",
            Format::Mpeg4Video => "MP4V-ES/90000",
            _ => "MPV/90000",
        };
        let track = Track {
            medium: Medium::Video,
            codec: self.format.codec(),
            clock_rate: VIDEO_CLOCK_RATE,
            channels: 0,
            payload_type: 96,
            format_parameters: "".into(),
            rtpmap: rtpmap.into(),
            attributes: Vec::new(),
        };
        Elementary { track, configuration: None }
    }

    /// Appends the units of one PES packet. Returns how many pieces of it were not what they should be.
    pub(super) fn pes(&mut self, pes: Pes, timeline: &mut Timeline, units: &mut Vec<AccessUnit>) -> u64 {
        let dts = pes.dts.or(pes.pts).map(|dts| timeline.time(dts));
        match self.format {
            Format::H264 | Format::H265 => {
                let parts = nal::annex_b(&pes.payload).collect();
                self.picture(&pes, dts, parts, units);
                0
            }
            Format::Mpeg4Video | Format::Mpeg1Video | Format::Mpeg2Video => {
                let parts = Parts::from_iter([pes.payload.clone()]);
                self.picture(&pes, dts, parts, units);
                0
            }
            Format::Adts | Format::Latm | Format::Mpeg1Audio | Format::Mpeg2Audio | Format::Ac3 => {
                self.frames(pes.payload, dts, units)
            }
            Format::Opus { channels } => self.opus(pes.payload, dts, channels, units),
            Format::Klv => {
                let ticks = dts.unwrap_or_else(|| timeline.latest());
                self.emit(ticks, ticks, Parts::from_iter([pes.payload]), units);
                0
            }
            Format::SynchronousKlv => {
                self.cells(pes.payload, dts.unwrap_or_else(|| timeline.latest()), units)
            }
        }
    }

    /// One picture. Without times it comes as long after the one before as that came after its own; before the first time
    /// there is none to give it.
    fn picture(&mut self, pes: &Pes, dts: Option<i64>, parts: Parts, units: &mut Vec<AccessUnit>) {
        let Some(dts) = dts.or_else(|| Some(self.last_dts? + self.distance)) else {
            return;
        };
        let pts = match (pes.pts, pes.dts) {
            (Some(pts), Some(from)) => dts.saturating_add(pts.distance(from)),
            _ => dts,
        };
        self.emit(pts, dts, parts, units);
    }

    /// Frames that follow each other, the first of which may have begun in the PES packet before.
    fn frames(&mut self, payload: Bytes, time: Option<i64>, units: &mut Vec<AccessUnit>) -> u64 {
        let carried = self.rest.len();
        let mut stream = payload;
        if carried > 0 {
            let mut joined = BytesMut::with_capacity(carried + stream.len());
            joined.extend_from_slice(&self.rest);
            joined.extend_from_slice(&stream);
            stream = joined.freeze();
            self.rest = Bytes::new();
        }
        let (mut time, mut at, mut invalid) = (time, 0, 0);
        while at < stream.len() {
            if at >= carried
                && let Some(time) = time.take()
            {
                self.clock = Clock { base: Some(time), ..Clock::default() };
            }
            match self.framing(&stream.slice(at..)) {
                Framing::Whole(frame) => {
                    at += frame.bytes;
                    self.blocks(frame, units);
                }
                Framing::Short => {
                    self.rest = stream.slice(at..);
                    break;
                }
                Framing::Invalid => {
                    invalid = 1;
                    at += 1 + stream[at + 1..]
                        .iter()
                        .position(|&byte| byte == self.sync_byte())
                        .unwrap_or(stream.len());
                }
            }
        }
        invalid
    }

    fn sync_byte(&self) -> u8 {
        match self.format {
            Format::Latm => 0x56,
            Format::Ac3 => 0x0B,
            _ => 0xFF,
        }
    }

    /// Looks for a frame at the front of `stream`.
    fn framing(&mut self, stream: &Bytes) -> Framing {
        let (header_bytes, length) = match self.format {
            Format::Adts => (ADTS_HEADER_BYTES, aac::adts_frame_bytes(stream)),
            Format::Latm => (LOAS_HEADER_BYTES, latm::loas_element_bytes(stream)),
            Format::Ac3 => (AC3_HEADER_BYTES, Ac3::parse(stream).ok().map(|(_, length)| length)),
            _ => (MPEG_AUDIO_HEADER_BYTES, MpegAudio::parse(stream).ok().map(|(_, length, _)| length)),
        };
        match length {
            // An incomplete header counts only where it may become one.
            None if stream.len() < header_bytes && stream[0] == self.sync_byte() => Framing::Short,
            None | Some(0) => Framing::Invalid,
            Some(length) if length > stream.len() => Framing::Short,
            Some(length) => self.frame(stream.slice(..length)).map_or(Framing::Invalid, Framing::Whole),
        }
    }

    /// What is in a whole frame.
    fn frame(&mut self, bytes: Bytes) -> Option<Frame> {
        let length = bytes.len();
        let frame = |blocks, samples, sample_rate| Frame { bytes: length, blocks, samples, sample_rate };
        match self.format {
            Format::Adts => {
                let (aac, block) = aac::adts_frames(bytes).next()?.ok()?;
                let (samples, sample_rate) = (aac.frame_samples.into(), aac.sample_rate);
                self.assembler.configure(Configuration::Aac(aac));
                Some(frame(Parts::from_iter([block]), samples, sample_rate))
            }
            Format::Latm => {
                let element = bytes.slice(LOAS_HEADER_BYTES..);
                let blocks = latm::audio_mux_element(&element, &mut self.latm, true).ok()?;
                let aac = self.latm.as_ref()?.aac.clone();
                let (samples, sample_rate) = (aac.frame_samples.into(), aac.sample_rate);
                self.assembler.configure(Configuration::Aac(aac));
                Some(frame(blocks, samples, sample_rate))
            }
            Format::Ac3 => {
                let (ac3, _) = Ac3::parse(&bytes).ok()?;
                Some(frame(Parts::from_iter([bytes]), FRAME_SAMPLES, ac3.sample_rate))
            }
            _ => {
                let (audio, _, samples) = MpegAudio::parse(&bytes).ok()?;
                Some(frame(Parts::from_iter([bytes]), samples, audio.sample_rate))
            }
        }
    }

    fn blocks(&mut self, frame: Frame, units: &mut Vec<AccessUnit>) {
        for block in frame.blocks {
            if let Some(ticks) = self.clock.ticks() {
                self.emit(ticks, ticks, Parts::from_iter([block]), units);
            }
            self.clock.advance(frame.samples, frame.sample_rate);
        }
    }

    fn opus(
        &mut self,
        mut payload: Bytes,
        time: Option<i64>,
        channels: u8,
        units: &mut Vec<AccessUnit>,
    ) -> u64 {
        if let Some(time) = time {
            self.clock = Clock { base: Some(time), ..Clock::default() };
        }
        while !payload.is_empty() {
            let Ok(control) = Control::parse(&payload) else {
                return 1;
            };
            if self.assembler.configuration().is_none() {
                let opus = Opus { channels: channels.into(), pre_skip: control.start_trim };
                self.assembler.configure(Configuration::Opus(opus));
            }
            payload.advance(control.header_bytes);
            let packet = payload.split_to(control.packet_bytes);
            let samples = opus::packet_samples(&packet).unwrap_or(0);
            let blocks = Parts::from_iter([packet]);
            self.blocks(Frame { bytes: 0, blocks, samples, sample_rate: 48_000 }, units);
        }
        0
    }

    /// Metadata access unit cells: whole units, or pieces of one.
    fn cells(&mut self, mut payload: Bytes, ticks: i64, units: &mut Vec<AccessUnit>) -> u64 {
        while let Some(&[_, _, flags, high, low]) = payload.first_chunk::<CELL_HEADER_BYTES>() {
            let length = usize::from(u16::from_be_bytes([high, low]));
            payload.advance(CELL_HEADER_BYTES);
            if length > payload.len() {
                return 1;
            }
            let cell = payload.split_to(length);
            let (first, last) = (flags & 0x80 != 0, flags & 0x40 != 0);
            if first {
                self.rest = cell;
            } else if self.rest.is_empty() || self.rest.len() + cell.len() > MPEGTS_PES_BYTES_MAX {
                self.rest = Bytes::new();
                return 1;
            } else {
                self.rest = [&self.rest[..], &cell].concat().into();
            }
            if last {
                let unit = std::mem::take(&mut self.rest);
                self.emit(ticks, ticks, Parts::from_iter([unit]), units);
            }
        }
        u64::from(!payload.is_empty())
    }

    /// Appends a unit, unless nothing is left of it.
    fn emit(&mut self, pts: i64, dts: i64, parts: Parts, units: &mut Vec<AccessUnit>) {
        self.distance = self.last_dts.map_or(0, |last| dts.saturating_sub(last).max(0));
        self.last_dts = Some(dts);
        let time = |ticks| MediaTime::new(ticks, CLOCK_RATE);
        units.extend(self.assembler.unit(time(pts), Some(time(dts)), parts));
    }
}
