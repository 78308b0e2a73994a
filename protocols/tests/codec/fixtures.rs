//! Streams and records that FFmpeg 6 and its encoders wrote (libx264, libx265, libaom, libvpx and others), as text:
//! `timescale`, records by their box's name, and a line per unit with presentation time, decode time and bytes.

use bytes::Bytes;
use headwater_protocols::unit::MediaTime;

pub(crate) struct Fixture(&'static str);

pub(crate) struct Unit {
    pub(crate) pts: MediaTime,
    pub(crate) dts: MediaTime,
    pub(crate) bytes: Bytes,
}

macro_rules! fixture {
    ($name:literal) => {
        crate::fixtures::Fixture::new(include_str!(concat!("fixtures/", $name, ".txt")))
    };
}
pub(crate) use fixture;

impl Fixture {
    pub(crate) fn new(text: &'static str) -> Fixture {
        Fixture(text)
    }

    pub(crate) fn text(&self, key: &str) -> &'static str {
        self.0
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
            .expect("a line of that name")
    }

    pub(crate) fn record(&self, key: &str) -> Bytes {
        decoded(self.text(key))
    }

    pub(crate) fn units(&self) -> Vec<Unit> {
        let rate = self.text("timescale").parse().expect("a number");
        let unit = |line: &str| {
            let mut fields = line.strip_prefix("unit ")?.split(' ');
            let mut time = || MediaTime::new(fields.next().unwrap().parse().unwrap(), rate);
            let (pts, dts) = (time(), time());
            Some(Unit { pts, dts, bytes: decoded(fields.next().unwrap()) })
        };
        self.0.lines().filter_map(unit).collect()
    }
}

pub(crate) fn decoded(text: &str) -> Bytes {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect::<Vec<_>>()
        .into()
}
