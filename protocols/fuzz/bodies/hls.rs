//! HLS: requests of any name and query, units of any times, and the boxes of MP4 files.

use bytes::Bytes;
use headwater_protocols::codec::{Configuration, configuration};
use headwater_protocols::hls::{Body, Config, Muxer, Request, Response, Variant};
use headwater_protocols::mp4::read;
use headwater_protocols::track::Elementary;
use headwater_protocols::unit::{AccessUnit, MediaTime};
use std::sync::Arc;
use std::time::Duration;

const SPS: &[u8] = &[
    0x67, 0x4d, 0x40, 0x0c, 0xec, 0xa0, 0xa0, 0xcf, 0xcf, 0x80, 0x88, 0, 0, 3, 0, 8, 0, 0, 3, 1, 0x90, 0x78,
    0xa1, 0x4c, 0xb0,
];
const PPS: [&[u8]; 2] = [&[0x68, 0xeb, 0xe3, 0xcb, 0x20], &[0x68, 0xeb, 0xe3, 0xcb, 0x40]];
const SEED: u64 = 0xA1B2_C3D4_E5F6;
/// What names begin with when the first byte is below their count.
const NAMES: [&str; 10] = [
    "index.m3u8",
    "a1b2c3d4e5f6_main.m3u8",
    "a1b2c3d4e5f6_audio1.m3u8",
    "a1b2c3d4e5f6_main_",
    "a1b2c3d4e5f6_main_seg",
    "a1b2c3d4e5f6_main_part",
    "a1b2c3d4e5f6_main_init",
    "a1b2c3d4e5f6_",
    "a1b2c3d4e5f6_audio2_seg1.mp4",
    "a1b2c3d4e5f6_main_seg2.ts",
];

fn h264(index: usize) -> Arc<Configuration> {
    let pps = vec![Bytes::from_static(PPS[index])];
    Arc::new(Configuration::H264(configuration::H264 { sps: Bytes::from_static(SPS), pps }))
}

fn aac(rate: u32) -> Arc<Configuration> {
    Arc::new(Configuration::Aac(configuration::Aac::new(2, rate, 2)))
}

fn unit(time: i64, rate: u32, random_access: bool, configuration: Option<Arc<Configuration>>) -> AccessUnit {
    let time = MediaTime::new(time, rate);
    let parts = [Bytes::from_static(&[0x65; 120])].into_iter().collect();
    AccessUnit { pts: time, dts: time, random_access, configuration, parts }
}

fn muxer(config: Config, configurations: &[Arc<Configuration>]) -> Muxer {
    let tracks = configurations.iter().map(|configuration| Elementary {
        track: configuration.track(),
        configuration: Some(Arc::clone(configuration)),
    });
    Muxer::new(config, &tracks.collect::<Vec<_>>(), SEED).expect("tracks that HLS carries").0
}

/// The first byte chooses how the name begins; then the name's rest, a question mark, the directives, a second one, and
/// the query to be appended.
pub fn hls_request(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    let mut pieces = text.splitn(3, '?');
    let start = NAMES.get(usize::from(choice)).copied().unwrap_or_default();
    let name = format!("{start}{}", pieces.next().unwrap_or_default());
    let directives = pieces.next().unwrap_or_default();
    let Ok(request) = Request::parse(&name, directives) else { return };
    let mut muxer = muxer(Config::default(), &[h264(0)]);
    let video = h264(0);
    for index in 0..60 {
        let key = (index % 10 == 0).then(|| Arc::clone(&video));
        let unit = unit(index * 9000, 90_000, key.is_some(), key);
        muxer.unit(Duration::from_millis(index as u64 * 100), 0, &unit).expect("small units");
    }
    match muxer.respond(&request, pieces.next().unwrap_or_default()) {
        Response::Ready { body, .. } => check_body(&body),
        Response::Wait(position) => assert!(!muxer.reached(&position), "a wait that is over"),
        Response::NotFound | Response::BadRequest => {}
    }
    muxer.finish().expect("an end");
    let after = muxer.respond(&request, "");
    assert!(!matches!(after, Response::Wait(_)), "a wait for what will never come");
}

fn check_body(body: &Body) {
    assert_eq!(body.pieces.iter().map(Bytes::len).sum::<usize>(), body.bytes);
    assert!(body.bytes > 0);
}

/// The bytes as a file, and as what is in a `moof` and in a `traf`.
pub fn mp4_boxes(data: &[u8]) {
    let wrapped =
        |kind: &[u8; 4], body: &[u8]| [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat();
    let header = wrapped(b"mfhd", &[0; 8]);
    let inner = [&header[..], &wrapped(b"traf", data)].concat();
    let payload = wrapped(b"mdat", &[0; 256]);
    for file in [
        data.to_vec(),
        [wrapped(b"moof", data), payload.clone()].concat(),
        [wrapped(b"moof", &inner), payload].concat(),
        wrapped(b"moov", data),
    ] {
        let mut end = 0;
        for found in read::boxes(&file).map_while(Result::ok) {
            assert!(
                found.at == end && found.body.len() + 8 <= file.len() - found.at,
                "boxes follow each other"
            );
            end += found.body.len() + if file[end + 3] == 1 && file[end..end + 3] == [0; 3] { 16 } else { 8 };
        }
        for fragment in read::fragments(&file).unwrap_or_default() {
            for sample in fragment.runs.iter().flat_map(|run| &run.samples) {
                assert!(!sample.range.is_empty() && sample.range.end <= file.len());
            }
        }
        let _ = read::tracks(&file);
    }
}

/// Settings in four bytes, then operations of three: which track and what happens, and a step of time.
pub fn hls_muxer(data: &[u8]) {
    let Some((settings, operations)) = data.split_first_chunk::<4>() else { return };
    let variant = [Variant::MpegTs, Variant::Fmp4, Variant::LowLatency][usize::from(settings[0] % 3)];
    let config = Config {
        variant,
        segment_count: usize::from(settings[1] >> 4),
        segment_duration: Duration::from_millis(u64::from(settings[2]) * 20),
        part_duration: Duration::from_millis(u64::from(settings[3]) * 4),
        segment_bytes_max: if settings[1] & 1 == 0 { 1 << 20 } else { 2000 },
    };
    let configurations = match settings[0] >> 6 {
        0 => vec![h264(0), aac(48_000)],
        1 => vec![aac(44_100)],
        2 => vec![h264(0)],
        _ => vec![h264(0), aac(48_000), aac(44_100)],
    };
    let mut bench = Bench {
        muxer: muxer(config, &configurations),
        times: configurations.iter().map(|_| 0).collect(),
        configurations,
        pps: 0,
        seen: Vec::new(),
    };
    for (index, operation) in operations.as_chunks::<3>().0.iter().enumerate() {
        bench.operate(*operation, Duration::from_millis(index as u64 * 40));
    }
    let _ = bench.muxer.finish();
    bench.look();
}

struct Bench {
    muxer: Muxer,
    configurations: Vec<Arc<Configuration>>,
    times: Vec<i64>,
    pps: usize,
    /// By rendition: target durations, first sequence number.
    seen: Vec<(String, u64)>,
}

impl Bench {
    fn operate(&mut self, [what, high, low]: [u8; 3], now: Duration) {
        let track = usize::from(what & 3) % self.times.len();
        let step = i64::from(u16::from_be_bytes([high, low]));
        match what >> 2 & 0x0F {
            0..=9 => self.times[track] = self.times[track].saturating_add(step & 0x3FFF),
            10 => self.times.iter_mut().for_each(|time| *time = time.saturating_add(step << 5)),
            11 => self.times.iter_mut().for_each(|time| *time = time.saturating_sub(step << 5)),
            12 => self.times[track] = i64::MIN >> (step & 63),
            13 => self.times[track] = i64::MAX >> (step & 63),
            14 => self.muxer.discontinuity(),
            _ => self.pps ^= 1,
        }
        let video = matches!(*self.configurations[track], Configuration::H264(_));
        let rate = self.configurations[track].sample_rate().unwrap_or(90_000);
        let random_access = !video || what & 0xC0 == 0;
        let configuration = (video && random_access).then(|| h264(self.pps));
        let unit = unit(self.times[track], rate, random_access, configuration);
        // Times that no stream reaches are refused.
        if self.muxer.unit(now, track, &unit).is_ok_and(|progress| progress.changed) {
            self.look();
        }
    }

    fn look(&mut self) {
        for (index, name) in NAMES[..3].iter().enumerate() {
            let request = Request::parse(name, "").expect("a name");
            let Response::Ready { body, .. } = self.muxer.respond(&request, "") else { continue };
            let text = String::from_utf8(body.pieces.concat()).expect("a playlist is text");
            if index > 0 {
                self.check(index - 1, &text);
            }
        }
    }

    fn check(&mut self, rendition: usize, text: &str) {
        let value = |tag: &str| text.lines().find_map(|line| line.strip_prefix(tag)).map(str::to_owned);
        let target = value("#EXT-X-TARGETDURATION:").expect("a target duration");
        let first = value("#EXT-X-MEDIA-SEQUENCE:").and_then(|value| value.parse().ok()).expect("a number");
        if self.seen.len() <= rendition {
            self.seen.push((target.clone(), first));
        }
        // The second rendition may be playable before it was looked at; the first always comes first.
        if let Some((known, last)) = self.seen.get_mut(rendition) {
            assert!(*known == target && *last <= first, "{text}");
            *last = first;
        }
        let target = target.parse::<f64>().expect("a number");
        let part_target =
            value("#EXT-X-PART-INF:PART-TARGET=").map(|value| value.parse::<f64>().expect("a number"));
        let mut before = None;
        for line in text.lines() {
            if let Some(length) = line.strip_prefix("#EXT-X-PART:DURATION=") {
                let length = length.split(',').next().and_then(|value| value.parse::<f64>().ok());
                let (length, part_target) =
                    (length.expect("a duration"), part_target.expect("a part target"));
                assert!(length > 0.0 && length <= part_target, "{length}\n{text}");
                let least = part_target * 0.85 - 2e-5;
                assert!(before.is_none_or(|before| before >= least), "{before:?}\n{text}");
                before = Some(length);
            } else if let Some(length) = line.strip_prefix("#EXTINF:") {
                let length = length.trim_end_matches(',').parse::<f64>().expect("a duration");
                assert!(length.round() <= target, "{length}\n{text}");
                before = None;
            }
        }
    }
}
