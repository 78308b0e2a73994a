//! The demo's units, each with the time it is due at.

use super::canvas::Canvas;
use super::h264::{self, Encoder};
use super::{scene, tone};
use headwater_protocols::codec::{Configuration, Error};
use headwater_protocols::track::Elementary;
use headwater_protocols::unit::{AccessUnit, MediaTime, Parts};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) const PICTURES_PER_SECOND: u32 = 25;
const VIDEO: usize = 0;
const AUDIO: usize = 1;
const CLOCK_RATE: u32 = 90_000;

/// Makes one unit after the other, in the order of their times.
pub(super) struct Source {
    picture: Arc<Configuration>,
    sound: Arc<Configuration>,
    canvas: Canvas,
    encoder: Encoder,
    zone: TimeZone,
    /// Wall-clock time of the beginning, in milliseconds since the UNIX epoch.
    begin_ms: u64,
    pictures: u64,
    blocks: u64,
}

impl Source {
    /// Begins at the wall-clock time `now`.
    ///
    /// # Errors
    /// None: the parameters are those of this module.
    pub(super) fn new(now: SystemTime) -> Result<Source, Error> {
        Ok(Source {
            picture: Arc::new(Configuration::H264(h264::parameter_sets(PICTURES_PER_SECOND))),
            sound: Arc::new(Configuration::Aac(tone::configuration()?)),
            canvas: scene::background(),
            encoder: Encoder::new(),
            zone: TimeZone::system(),
            begin_ms: now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64,
            pictures: 0,
            blocks: 0,
        })
    }

    pub(super) fn tracks(&self) -> Vec<Elementary> {
        [&self.picture, &self.sound]
            .map(|known| Elementary { track: known.track(), configuration: Some(Arc::clone(known)) })
            .to_vec()
    }

    /// When the next unit is due, from the beginning.
    pub(super) fn due(&self) -> Duration {
        self.picture_due().min(self.block_due())
    }

    /// The next unit, and its track.
    pub(super) fn next_unit(&mut self) -> (usize, AccessUnit) {
        if self.picture_due() <= self.block_due() { (VIDEO, self.picture()) } else { (AUDIO, self.block()) }
    }

    fn picture_due(&self) -> Duration {
        Duration::from_micros(self.pictures * 1_000_000 / u64::from(PICTURES_PER_SECOND))
    }

    fn block_due(&self) -> Duration {
        let samples = self.blocks * u64::from(tone::BLOCK_SAMPLES);
        Duration::from_micros(samples * 1_000_000 / u64::from(tone::SAMPLE_RATE))
    }

    fn wall_ms(&self, passed: Duration) -> u64 {
        self.begin_ms + passed.as_millis() as u64
    }

    fn picture(&mut self) -> AccessUnit {
        let clock = self.clock(self.wall_ms(self.picture_due()));
        scene::draw(&mut self.canvas, self.pictures, &clock);
        let key = self.pictures.is_multiple_of(u64::from(PICTURES_PER_SECOND));
        let (slice, random_access) = self.encoder.encode(&self.canvas, key);
        let mut parts = Parts::new();
        if let (true, Configuration::H264(sets)) = (random_access, &*self.picture) {
            parts.push(sets.sps.clone());
            parts.extend(sets.pps.iter().cloned());
        }
        parts.push(slice);
        let ticks = self.pictures * u64::from(CLOCK_RATE / PICTURES_PER_SECOND);
        self.pictures += 1;
        let configuration = random_access.then(|| Arc::clone(&self.picture));
        unit(ticks, CLOCK_RATE, random_access, configuration, parts)
    }

    fn block(&mut self) -> AccessUnit {
        let block = tone::block(self.wall_ms(self.block_due()));
        let ticks = self.blocks * u64::from(tone::BLOCK_SAMPLES);
        let configuration = (self.blocks == 0).then(|| Arc::clone(&self.sound));
        self.blocks += 1;
        unit(ticks, tone::SAMPLE_RATE, true, configuration, Parts::from_iter([block]))
    }

    /// The time of day here, with tenths of a second.
    fn clock(&self, wall_ms: u64) -> String {
        let time = Timestamp::from_millisecond(wall_ms as i64).unwrap_or_default();
        let time = time.to_zoned(self.zone.clone()).time();
        let tenths = time.millisecond() / 100;
        format!("{:02}:{:02}:{:02}.{tenths}", time.hour(), time.minute(), time.second())
    }
}

fn unit(
    ticks: u64,
    clock_rate: u32,
    random_access: bool,
    configuration: Option<Arc<Configuration>>,
    parts: Parts,
) -> AccessUnit {
    let time = MediaTime::new(ticks as i64, clock_rate);
    AccessUnit { pts: time, dts: time, random_access, configuration, parts }
}
