//! What is published over RTMP: H264 pictures, the first of each second a key picture, and AAC units of 1024 samples at
//! 48 kHz, as bodies of FLV tags. Each unit carries one checkable block, which goes through conversion to FLV, MPEG-TS
//! and MP4 unchanged.
//!
//! The block is text, since byte streams (Annex B, ADTS) must not find start codes in it: each half byte of the header
//! is one of `@` to `O`, then comes filler without zeros. The header, big endian:
//! ```text
//! magic "HWU1" (32) | path (16) | track (16) | number (32) | sent at, CLOCK_REALTIME ns (64) | checksum (32)
//! ```
//! Numbers count the units of a path's track; the checksum is of the rest of the header and the filler. A picture's
//! block lies behind the NAL unit's header and one byte that begins a slice header (first macroblock 0).

use bytes::{BufMut as _, Bytes, BytesMut};
use headwater_protocols::amf0::Value;
use headwater_protocols::flv::Kind;

use super::check::{Fault, Verdict};
use super::pace::Rate;
use super::{FILLER_BYTES, NAL_IDR, NAL_SLICE, PPS, SPS, block_checksum, filler, hash};
use crate::limits;

const MAGIC: u32 = u32::from_be_bytes(*b"HWU1");
const HEADER_BYTES: usize = 24;
const CHECKSUM_AT: usize = 20;
/// Bytes of a header as text.
const TEXT_BYTES: usize = 2 * HEADER_BYTES;
/// What stands before the block in a slice.
const SLICE_PREFIX_BYTES: usize = 2;

/// 48 kHz, two channels, AAC-LC (ISO/IEC 14496-3, 1.6.2.1).
const AUDIO_SPECIFIC_CONFIG: [u8; 2] = [0x11, 0x90];
/// 48,000 / 1,024 units a second.
const AUDIO_RATE: Rate = Rate { count: 375, seconds: 8 };
/// What the audio track takes of the bit rate.
const AUDIO_BITS_PER_SECOND: u64 = 128_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Track {
    Video,
    Audio,
}

impl Track {
    pub(crate) const ALL: [Track; 2] = [Track::Video, Track::Audio];

    pub(crate) fn kind(self) -> Kind {
        match self {
            Track::Video => Kind::Video,
            Track::Audio => Kind::Audio,
        }
    }
}

/// Sizes and rates of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnitShape {
    /// Bytes of each slice, with its NAL unit header.
    video_bytes: usize,
    /// Bytes of each AAC unit; `None` without an audio track.
    audio_bytes: Option<usize>,
    fps: u32,
}

impl UnitShape {
    /// A stream of `bits_per_second` in all.
    ///
    /// # Errors
    /// What does not fit together, in words.
    pub(crate) fn new(bits_per_second: u64, fps: u32, audio: bool) -> Result<UnitShape, String> {
        if !(1..=1_000).contains(&fps) {
            return Err(format!("--fps must be 1 to 1000, not {fps}"));
        }
        let audio_bits = if audio { AUDIO_BITS_PER_SECOND } else { 0 };
        let least = audio_bits + 8 * u64::from(fps) * (TEXT_BYTES + 16) as u64;
        if bits_per_second < least {
            return Err(format!("--bitrate must be at least {least} at {fps} fps"));
        }
        let video_bytes = ((bits_per_second - audio_bits) / 8 / u64::from(fps)) as usize;
        if video_bytes > limits::UNIT_BYTES_MAX {
            return Err(format!("a picture of {video_bytes} bytes is too large"));
        }
        let audio_unit =
            AUDIO_BITS_PER_SECOND / 8 * u64::from(AUDIO_RATE.seconds) / u64::from(AUDIO_RATE.count);
        Ok(UnitShape { video_bytes, audio_bytes: audio.then_some(audio_unit as usize), fps })
    }

    /// How often units of `track` come, and their bytes; `None` where there is no such track.
    pub(crate) fn track(self, track: Track) -> Option<(Rate, usize)> {
        match track {
            Track::Video => Some((Rate::per_second(self.fps), self.video_bytes)),
            Track::Audio => self.audio_bytes.map(|bytes| (AUDIO_RATE, bytes)),
        }
    }
}

/// One unit as a tag's body.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) kind: Kind,
    pub(crate) timestamp_ms: u32,
    pub(crate) bytes: Bytes,
}

/// The units of one path.
pub(crate) struct Units {
    path: u16,
    shape: UnitShape,
    filler: Vec<u8>,
    /// Units made of each track.
    made: [u32; 2],
}

impl Units {
    pub(crate) fn new(path: u16, shape: UnitShape) -> Units {
        Units { path, shape, filler: filler(path), made: [0; 2] }
    }

    /// What goes before the first unit, as encoders send it: metadata, then the tracks' sequence headers.
    pub(crate) fn headers(&self) -> Vec<Body> {
        let body = |kind, bytes: BytesMut| Body { kind, timestamp_ms: 0, bytes: bytes.freeze() };
        // AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1) in an AVC sequence header.
        let mut video = BytesMut::from(&[0x17, 0, 0, 0, 0, 1, SPS[1], SPS[2], SPS[3], 0xff, 0xe1][..]);
        video.put_u16(SPS.len() as u16);
        video.put_slice(SPS);
        video.put_u8(1);
        video.put_u16(PPS.len() as u16);
        video.put_slice(PPS);
        let mut audio = BytesMut::from(&[0xaf, 0][..]);
        audio.put_slice(&AUDIO_SPECIFIC_CONFIG);
        let audio = self.shape.audio_bytes.map(|_| body(Kind::Audio, audio));
        [self.metadata(), body(Kind::Video, video)].into_iter().chain(audio).collect()
    }

    fn metadata(&self) -> Body {
        let mut properties = vec![
            ("width", 1_920.0),
            ("height", 1_080.0),
            ("framerate", f64::from(self.shape.fps)),
            ("videocodecid", 7.0),
        ];
        if self.shape.audio_bytes.is_some() {
            properties.extend([("audiocodecid", 10.0), ("audiosamplerate", 48_000.0)]);
        }
        let properties = properties.into_iter().map(|(name, value)| (name.into(), Value::Number(value)));
        let mut bytes = BytesMut::new();
        Value::from("onMetaData").write(&mut bytes);
        Value::EcmaArray(properties.collect()).write(&mut bytes);
        Body { kind: Kind::Script, timestamp_ms: 0, bytes: bytes.freeze() }
    }

    /// The next unit of `track`, saying that it is sent at `now_ns` since 1970; and its bytes, without the tag's own.
    /// The shape has the track.
    pub(crate) fn next(&mut self, track: Track, now_ns: u64) -> (Body, usize) {
        let (_, bytes) = self.shape.track(track).expect("only tracks of the shape are due");
        let number = self.made[track as usize];
        self.made[track as usize] = number.wrapping_add(1);
        let mut out = BytesMut::with_capacity(bytes + 16);
        let timestamp_ms = match track {
            Track::Video => {
                let key = number.is_multiple_of(self.shape.fps);
                out.put_slice(&[if key { 0x17 } else { 0x27 }, 1, 0, 0, 0]);
                out.put_u32(bytes as u32);
                out.put_slice(if key { &[0x60 | NAL_IDR, 0x88] } else { &[0x60 | NAL_SLICE, 0x9a] });
                self.block(track, number, now_ns, bytes - SLICE_PREFIX_BYTES, &mut out);
                u64::from(number) * 1_000 / u64::from(self.shape.fps)
            }
            Track::Audio => {
                out.put_slice(&[0xaf, 1]);
                self.block(track, number, now_ns, bytes, &mut out);
                let (count, seconds) = (u64::from(AUDIO_RATE.count), u64::from(AUDIO_RATE.seconds));
                u64::from(number) * 1_000 * seconds / count
            }
        };
        (Body { kind: track.kind(), timestamp_ms: timestamp_ms as u32, bytes: out.freeze() }, bytes)
    }

    fn block(&self, track: Track, number: u32, now_ns: u64, bytes: usize, out: &mut BytesMut) {
        let length = bytes - TEXT_BYTES;
        let from = (number as usize * 131) % (FILLER_BYTES - length);
        let filler = &self.filler[from..from + length];
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&MAGIC.to_be_bytes());
        header[4..6].copy_from_slice(&self.path.to_be_bytes());
        header[6..8].copy_from_slice(&(track as u16).to_be_bytes());
        header[8..12].copy_from_slice(&number.to_be_bytes());
        header[12..CHECKSUM_AT].copy_from_slice(&now_ns.to_be_bytes());
        let checksum = block_checksum(&header[..CHECKSUM_AT], hash(0, filler));
        header[CHECKSUM_AT..].copy_from_slice(&checksum.to_be_bytes());
        for byte in header {
            out.put_slice(&[b'@' | byte >> 4, b'@' | (byte & 15)]);
        }
        out.put_slice(filler);
    }
}

/// Where one reader is in the units of its path.
#[derive(Debug)]
pub(crate) struct Checker {
    path: u16,
    /// Per track, the number that comes next.
    next: [Option<u32>; 2],
}

impl Checker {
    pub(crate) fn new(path: u16) -> Checker {
        Checker { path, next: [None; 2] }
    }

    /// Judges the next unit of `track`: a slice NAL unit, or a raw AAC unit. The first one may be any.
    pub(crate) fn check(&mut self, track: Track, unit: &[u8]) -> Result<Verdict, Fault> {
        let block = match track {
            Track::Video => unit.get(SLICE_PREFIX_BYTES..).ok_or(Fault::Malformed)?,
            Track::Audio => unit,
        };
        let (header, filler) = read_header(block).ok_or(Fault::Malformed)?;
        let word =
            |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if word(0) != MAGIC {
            return Err(Fault::Malformed);
        }
        let checksum = block_checksum(&header[..CHECKSUM_AT], hash(0, filler));
        if checksum != word(CHECKSUM_AT) {
            return Err(Fault::Checksum);
        }
        if word(4) != u32::from(self.path) << 16 | track as u32 {
            return Err(Fault::Path);
        }
        let number = word(8);
        let next = &mut self.next[track as usize];
        let expected = next.unwrap_or(number);
        *next = Some(expected.max(number.wrapping_add(1)));
        let sent_at = u64::from(word(12)) << 32 | u64::from(word(16));
        let lost = u64::from(number.saturating_sub(expected));
        Ok(Verdict { lost, repeated: number < expected, gap: false, sent_at })
    }
}

fn read_header(block: &[u8]) -> Option<([u8; HEADER_BYTES], &[u8])> {
    let (text, filler) = block.split_at_checked(TEXT_BYTES)?;
    let mut header = [0; HEADER_BYTES];
    for (byte, pair) in header.iter_mut().zip(text.chunks_exact(2)) {
        if pair.iter().any(|half| half & 0xf0 != b'@') {
            return None;
        }
        *byte = pair[0] << 4 | pair[1] & 15;
    }
    Some((header, filler))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The unit within a body.
    fn unit(track: Track, body: &Body) -> &[u8] {
        match track {
            Track::Video => &body.bytes[9..],
            Track::Audio => &body.bytes[2..],
        }
    }

    #[test]
    fn what_was_made_is_accepted() {
        let shape = UnitShape::new(2_000_000, 30, true).expect("fits");
        let (mut units, mut checker) = (Units::new(7, shape), Checker::new(7));
        for number in 0..100_u64 {
            for track in Track::ALL {
                let (body, bytes) = units.next(track, 5 + number);
                assert_eq!(unit(track, &body).len(), bytes);
                let verdict = checker.check(track, unit(track, &body));
                let expected = Verdict { lost: 0, repeated: false, gap: false, sent_at: 5 + number };
                assert_eq!(verdict, Ok(expected));
                assert!(!body.bytes[9..].windows(3).any(|bytes| bytes == [0, 0, 1]), "a start code");
            }
        }
    }

    #[test]
    fn missing_repeated_foreign_and_changed_units_are_found() {
        let shape = UnitShape::new(500_000, 50, true).expect("fits");
        let mut units = Units::new(1, shape);
        let made: Vec<Body> = (0..4).map(|_| units.next(Track::Audio, 9).0).collect();
        let mut checker = Checker::new(1);
        let mut check = |body: &Body| checker.check(Track::Audio, unit(Track::Audio, body));
        assert_eq!(check(&made[0]).expect("good").lost, 0);
        assert_eq!(check(&made[3]).expect("good").lost, 2);
        assert!(check(&made[1]).expect("good").repeated);
        assert_eq!(Checker::new(2).check(Track::Audio, &made[0].bytes[2..]), Err(Fault::Path));
        for at in 2..made[0].bytes.len() {
            let mut changed = made[0].bytes.to_vec();
            changed[at] ^= 1 << (at % 8);
            assert!(Checker::new(1).check(Track::Audio, &changed[2..]).is_err(), "byte {at}");
        }
    }

    #[test]
    fn streams_too_thin_for_their_blocks_are_refused() {
        assert!(UnitShape::new(140_000, 30, true).is_err());
        assert!(UnitShape::new(140_000, 30, false).is_ok());
        assert!(UnitShape::new(10_000_000_000, 1, false).is_err());
    }
}
