//! The coded units of a small film, for publishers that a test controls to the bit: they say when a unit is sent, with
//! which timestamps, in packets of which size, and what the parameter sets are.
//!
//! The film is an FLV file that ffmpeg makes: H264 at 25 pictures a second and AAC at 48 kHz. Its tags are read here (Adobe
//! Flash Video File Format 10.1, annex E); what is read back must be what ffmpeg itself finds in the file.

use crate::process::Process;
use crate::workspace;
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

pub const PICTURE_US: i64 = 40_000;
const AAC_SAMPLES: i64 = 1024;
pub const SAMPLE_RATE: i64 = 48_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Medium {
    Video,
    Audio,
}

/// One access unit. Times are microseconds from the film's beginning.
#[derive(Clone, Debug)]
pub struct Unit {
    pub medium: Medium,
    pub dts_us: i64,
    pub pts_us: i64,
    pub key: bool,
    /// NAL units behind lengths of four bytes, or one raw AAC frame.
    pub payload: Vec<u8>,
}

impl Unit {
    /// The NAL units of a picture.
    pub fn nal_units(&self) -> Vec<&[u8]> {
        let (mut rest, mut found) = (self.payload.as_slice(), Vec::new());
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let (nal, after) = behind.split_at(behind.len().min(u32::from_be_bytes(*length) as usize));
            found.push(nal);
            rest = after;
        }
        found
    }
}

/// A film's units in the order of their decode times, and what decoders must know.
#[derive(Clone, Debug)]
pub struct Feed {
    pub file: PathBuf,
    /// `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 5.3.3.1).
    pub avcc: Vec<u8>,
    /// `AudioSpecificConfig` (ISO/IEC 14496-3, 1.6.2.1).
    pub aac: Vec<u8>,
    pub units: Vec<Unit>,
}

/// How a film is made.
#[derive(Clone, Copy, Debug)]
pub struct Film {
    pub name: &'static str,
    pub size: &'static str,
    pub seconds: u32,
    /// Pictures from key frame to key frame.
    pub group: u32,
    /// Further options of libx264.
    pub encode: &'static str,
}

/// Twelve seconds with B-frames that other B-frames refer to, a key frame every second.
pub const REORDERED: Film = Film {
    name: "film_reordered",
    size: "320x192",
    seconds: 12,
    group: 25,
    encode: "-profile:v high -bf 3 -b_strategy 0 -b-pyramid normal",
};
/// The same in the order it is shown.
pub const PLAIN: Film = Film { name: "film_plain", encode: "-profile:v baseline -bf 0", ..REORDERED };
/// Another size.
pub const LARGER: Film = Film { name: "film_larger", size: "480x288", seconds: 6, ..PLAIN };
/// Long groups: who joins amid one and waited for the next key frame would wait for seconds.
pub const SPARSE: Film = Film { name: "film_sparse", group: 150, ..PLAIN };
/// Pictures too large for one datagram.
pub const HEAVY: Film = Film { name: "film_heavy", encode: "-profile:v baseline -bf 0 -qp 12", ..PLAIN };

impl Film {
    /// The film, made when missing.
    ///
    /// # Errors
    /// When ffmpeg fails.
    pub fn feed(&self) -> Result<Feed> {
        static MAKING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let folder = workspace().join("media");
        std::fs::create_dir_all(&folder)?;
        let file = folder.join(format!("{}.flv", self.name));
        if !file.exists() {
            let unfinished = folder.join(format!("unfinished-{}.flv", self.name));
            let source = format!(
                "-y -v error -f lavfi -i testsrc2=size={}:rate=25 -f lavfi -i sine=frequency=440:beep_factor=4:\
                 sample_rate=48000 -t {} -pix_fmt yuv420p -c:v libx264 -preset veryfast -b:v 400k -g {} -sc_threshold 0",
                self.size, self.seconds, self.group
            );
            let mut command = Command::new("ffmpeg");
            command.args(source.split_whitespace()).args(self.encode.split_whitespace());
            command.args("-c:a aac -b:a 64k".split(' ')).arg(&unfinished);
            Process::spawn(&format!("ffmpeg makes {}", self.name), command)?
                .succeed(Duration::from_secs(60))?;
            std::fs::rename(&unfinished, &file)?;
        }
        Feed::read(file)
    }
}

impl Feed {
    fn read(file: PathBuf) -> Result<Feed> {
        let bytes = std::fs::read(&file)?;
        let mut feed = Feed { file, avcc: Vec::new(), aac: Vec::new(), units: Vec::new() };
        let mut rest = bytes.get(13..).context("an FLV header")?;
        while rest.len() > 15 {
            let length = number(&rest[1..4]);
            let timestamp_ms = i64::from(number(&rest[4..7]) | u32::from(rest[7]) << 24);
            let body = rest.get(11..11 + length as usize).context("a whole tag")?;
            match rest[0] {
                9 => feed.video(timestamp_ms, body),
                8 => feed.audio(timestamp_ms, body),
                _ => {}
            }
            rest = &rest[11 + length as usize + 4..];
        }
        ensure!(!feed.avcc.is_empty() && !feed.aac.is_empty(), "sequence headers of both tracks");
        Ok(feed)
    }

    fn video(&mut self, timestamp_ms: i64, body: &[u8]) {
        match body[1] {
            0 => self.avcc = body[5..].to_vec(),
            1 => {
                let composition_ms = i64::from(number(&body[2..5]));
                self.units.push(Unit {
                    medium: Medium::Video,
                    dts_us: timestamp_ms * 1000,
                    pts_us: (timestamp_ms + composition_ms) * 1000,
                    key: body[0] >> 4 == 1,
                    payload: body[5..].to_vec(),
                });
            }
            _ => {}
        }
    }

    fn audio(&mut self, timestamp_ms: i64, body: &[u8]) {
        if body[1] == 0 {
            self.aac = body[2..].to_vec();
            return;
        }
        let mut before = self.units.iter().filter(|unit| unit.medium == Medium::Audio);
        // Counted in samples: the file has it rounded to milliseconds.
        let time_us = match before.next() {
            Some(first) => first.dts_us + (before.count() as i64 + 1) * AAC_SAMPLES * 1_000_000 / SAMPLE_RATE,
            None => timestamp_ms * 1000,
        };
        let payload = body[2..].to_vec();
        self.units.push(Unit { medium: Medium::Audio, dts_us: time_us, pts_us: time_us, key: true, payload });
    }

    /// One track of it alone.
    #[must_use]
    pub fn only(mut self, medium: Medium) -> Feed {
        self.units.retain(|unit| unit.medium == medium);
        self
    }

    /// Without the units of one track before a time: the track appears late.
    #[must_use]
    pub fn late(mut self, medium: Medium, from_us: i64) -> Feed {
        self.units.retain(|unit| unit.medium != medium || unit.dts_us >= from_us);
        self
    }

    /// What is decoded before a time.
    #[must_use]
    pub fn until(mut self, end_us: i64) -> Feed {
        self.units.retain(|unit| unit.dts_us < end_us);
        self
    }

    pub fn has(&self, medium: Medium) -> bool {
        self.units.iter().any(|unit| unit.medium == medium)
    }

    /// The sequence and the picture parameter set, one each, of the record.
    ///
    /// # Errors
    /// When the record has not both.
    pub fn parameter_sets(&self) -> Result<(Vec<u8>, Vec<u8>)> {
        let set = |at: usize| -> Option<&[u8]> {
            let length = usize::from(u16::from_be_bytes([*self.avcc.get(at)?, *self.avcc.get(at + 1)?]));
            self.avcc.get(at + 2..at + 2 + length)
        };
        let sps = set(6).context("a sequence parameter set")?;
        let pps = set(6 + 2 + sps.len() + 1).context("a picture parameter set")?;
        Ok((sps.to_vec(), pps.to_vec()))
    }
}

/// Up to four bytes, the highest first.
pub fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte))
}
