//! Units as publishers would send them.

use crate::codec::{Configuration, configuration};
use crate::hls::{Config, Muxer, Progress, Variant};
use crate::track::Elementary;
use crate::unit::{AccessUnit, MediaTime};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// 320 × 180 and 640 × 360, main profile, from ffmpeg's libx264.
const SPS: [&[u8]; 2] = [
    &[
        0x67, 0x4d, 0x40, 0x0c, 0xec, 0xa0, 0xa0, 0xcf, 0xcf, 0x80, 0x88, 0, 0, 3, 0, 8, 0, 0, 3, 1, 0x90,
        0x78, 0xa1, 0x4c, 0xb0,
    ],
    &[
        0x67, 0x4d, 0x40, 0x1e, 0xec, 0xa0, 0x50, 0x17, 0xfc, 0xb8, 0x08, 0x80, 0, 0, 3, 0, 0x80, 0, 0, 0x19,
        0x07, 0x8b, 0x16, 0xcb,
    ],
];
const PPS: &[u8] = &[0x68, 0xeb, 0xe3, 0xcb, 0x20];
/// 2026-01-02T03:04:05Z.
pub(super) const EPOCH: Duration = Duration::from_secs(1_767_323_045);

pub(super) fn h264(size: usize) -> Arc<Configuration> {
    let pps = vec![Bytes::from_static(PPS)];
    Arc::new(Configuration::H264(configuration::H264 { sps: Bytes::from_static(SPS[size]), pps }))
}

pub(super) fn aac(sample_rate: u32) -> Arc<Configuration> {
    Arc::new(Configuration::Aac(configuration::Aac::new(2, sample_rate, 2)))
}

pub(super) fn opus() -> Arc<Configuration> {
    Arc::new(Configuration::Opus(configuration::Opus { channels: 2, pre_skip: 312 }))
}

pub(super) fn elementary(configuration: &Arc<Configuration>) -> Elementary {
    Elementary { track: configuration.track(), configuration: Some(Arc::clone(configuration)) }
}

pub(super) fn config(variant: Variant) -> Config {
    Config { variant, ..Config::default() }
}

/// A picture of 400 bytes.
pub(super) fn picture(dts: i64, offset: i64, key: Option<&Arc<Configuration>>) -> AccessUnit {
    let header = if key.is_some() { 0x65 } else { 0x41 };
    AccessUnit {
        pts: MediaTime::new(dts + offset, 90_000),
        dts: MediaTime::new(dts, 90_000),
        random_access: key.is_some(),
        configuration: key.cloned(),
        parts: [Bytes::from([&[header][..], &[0x5A; 399]].concat())].into_iter().collect(),
    }
}

/// A unit of sound; with Opus a packet of 20 ms.
pub(super) fn sound(time: i64, clock_rate: u32) -> AccessUnit {
    let time = MediaTime::new(time, clock_rate);
    AccessUnit {
        pts: time,
        dts: time,
        random_access: true,
        configuration: None,
        parts: [Bytes::from([&[0xFC][..], &[0x11; 99]].concat())].into_iter().collect(),
    }
}

/// A stream of pictures (track 0) and sounds (the others), in the order of their times.
pub(super) struct Stream {
    pub(super) video: Option<Arc<Configuration>>,
    pub(super) audio: Vec<Arc<Configuration>>,
    /// Ticks of 90 kHz from picture to picture, and pictures from key to key.
    pub(super) step: i64,
    pub(super) group: i64,
    /// Whether pictures come in the order I B B P.
    pub(super) reordered: bool,
}

impl Stream {
    pub(super) fn tracks(&self) -> Vec<Elementary> {
        self.video.iter().chain(&self.audio).map(elementary).collect()
    }

    /// Track and unit, from `start` for `seconds`.
    pub(super) fn units(&self, start: i64, seconds: f64) -> Vec<(usize, AccessUnit)> {
        let mut units = Vec::new();
        let first_audio = usize::from(self.video.is_some());
        if let Some(video) = &self.video {
            let count = (seconds * 90_000.0) as i64 / self.step;
            units.extend((0..count).map(|index| {
                let offset = match (self.reordered, index % self.group % 3) {
                    (false, _) => 0,
                    (true, 0) => self.step,
                    (true, 1) => 3 * self.step,
                    (true, _) => 0,
                };
                let key = (index % self.group == 0).then_some(video);
                (0, picture(start + index * self.step, offset, key))
            }));
        }
        for (index, configuration) in self.audio.iter().enumerate() {
            let rate = configuration.sample_rate().expect("audio");
            let frame = if matches!(**configuration, Configuration::Opus(_)) { 960 } else { 1024 };
            let begin = MediaTime::new(start, 90_000).in_clock(rate);
            let count = (seconds * f64::from(rate)) as i64 / frame;
            units.extend((0..count).map(|unit| (first_audio + index, sound(begin + unit * frame, rate))));
        }
        units.sort_by_key(|(_, unit)| unit.dts);
        units
    }

    pub(super) fn muxer(&self, config: Config) -> Muxer {
        Muxer::new(config, &self.tracks(), 0xA1B2_C3D4_E5F6).expect("tracks that HLS carries").0
    }
}

impl Default for Stream {
    fn default() -> Stream {
        Stream { video: Some(h264(0)), audio: vec![aac(48_000)], step: 3600, group: 50, reordered: false }
    }
}

/// Passes on units as they would arrive, the time line's zero at [`EPOCH`]; `each` sees the muxer after every change.
pub(super) fn feed(muxer: &mut Muxer, units: &[(usize, AccessUnit)], mut each: impl FnMut(&mut Muxer)) {
    for (track, unit) in units {
        let micros = unit.dts.in_clock(1_000_000).max(0) as u64;
        let now = EPOCH + Duration::from_micros(micros);
        let Progress { changed, .. } = muxer.unit(now, *track, unit).expect("units that fit");
        if changed {
            each(muxer);
        }
    }
}
