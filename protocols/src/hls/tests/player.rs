//! A player that takes nothing for granted.

use crate::hls::{Body, Directives, Muxer, Request, Response};
use crate::mp4::read;
use std::collections::HashMap;

pub(super) fn body(muxer: &mut Muxer, name: &str, query: &str) -> Vec<u8> {
    let request = Request::parse(name, query).expect("a name from a playlist");
    match muxer.respond(&request, "") {
        Response::Ready { body: Body { pieces, bytes }, .. } => {
            let joined = pieces.concat();
            assert_eq!(joined.len(), bytes);
            joined
        }
        other => panic!("{name}?{query}: {other:?}"),
    }
}

pub(super) fn text(muxer: &mut Muxer, name: &str, query: &str) -> String {
    String::from_utf8(body(muxer, name, query)).expect("a playlist is text")
}

/// What a tag's attribute list has for a key, without quotes.
pub(super) fn attribute<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let at = line.find(&format!("{key}="))? + key.len() + 1;
    let rest = &line[at..];
    match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => rest.split(',').next(),
    }
}

/// What was seen of one media playlist, over its versions.
#[derive(Default)]
pub(super) struct Player {
    target: Option<f64>,
    /// `EXTINF` and URI by sequence number.
    pub(super) segments: HashMap<u64, (f64, String)>,
    bodies: HashMap<String, Vec<u8>>,
    pub(super) discontinuities: usize,
    last_time: HashMap<u32, u64>,
    last_sequence: u32,
    pub(super) longest_part: f64,
    /// Bytes of the body of one segment, as its parts had it.
    parts: Vec<u8>,
    pub(super) hints: Vec<String>,
}

impl Player {
    /// Reads a playlist and all it names, and checks it against what was seen before.
    pub(super) fn look(&mut self, muxer: &mut Muxer, name: &str) {
        let playlist = text(muxer, name, "");
        let mut msn = 0;
        let (mut part_target, mut parts) = (None, Vec::<f64>::new());
        let mut duration = 0.0;
        self.parts.clear();
        self.discontinuities = 0;
        for line in playlist.lines() {
            if let Some(value) = line.strip_prefix("#EXT-X-TARGETDURATION:") {
                let value = value.parse().unwrap();
                assert_eq!(*self.target.get_or_insert(value), value, "the target duration is constant");
            } else if let Some(value) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
                msn = value.parse::<u64>().unwrap();
            } else if let Some(value) = line.strip_prefix("#EXT-X-DISCONTINUITY-SEQUENCE:") {
                self.discontinuities += value.parse::<usize>().unwrap();
            } else if line == "#EXT-X-DISCONTINUITY" {
                self.discontinuities += 1;
            } else if line.starts_with("#EXT-X-PART-INF:") {
                part_target = attribute(line, "PART-TARGET").map(|value| value.parse::<f64>().unwrap());
            } else if line.starts_with("#EXT-X-PART:") {
                let length = attribute(line, "DURATION").unwrap().parse::<f64>().unwrap();
                let target = part_target.expect("parts have a target");
                assert!(length <= target, "{length} over the part target {target}\n{playlist}");
                if let Some(before) = parts.last() {
                    assert!(*before >= 0.85 * target - 1e-5, "{before} below 85 % of {target}\n{playlist}");
                }
                self.longest_part = self.longest_part.max(length);
                parts.push(length);
                let uri = attribute(line, "URI").unwrap();
                let fetched = self.fetch(muxer, uri);
                self.parts.extend(fetched);
            } else if line.starts_with("#EXT-X-MAP:") {
                let init = self.fetch(muxer, attribute(line, "URI").unwrap());
                if name.ends_with(".m3u8") {
                    assert!(!read::tracks(&init).expect("an initialization segment").is_empty());
                }
            } else if let Some(value) = line.strip_prefix("#EXTINF:") {
                duration = value.trim_end_matches(',').parse::<f64>().unwrap();
                assert!(duration.round() <= self.target.unwrap(), "{duration} over the target\n{playlist}");
            } else if line.starts_with("#EXT-X-PRELOAD-HINT:") {
                self.hints.push(attribute(line, "URI").unwrap().to_owned());
            } else if !line.starts_with('#') {
                self.segment(muxer, msn, duration, line, &parts, &playlist);
                parts.clear();
                msn += 1;
            }
        }
    }

    fn segment(
        &mut self,
        muxer: &mut Muxer,
        msn: u64,
        duration: f64,
        uri: &str,
        parts: &[f64],
        playlist: &str,
    ) {
        if !parts.is_empty() {
            let sum = parts.iter().sum::<f64>();
            assert!((sum - duration).abs() < 1e-3, "parts of {sum} in a segment of {duration}\n{playlist}");
        }
        let known = self.segments.get(&msn).cloned();
        let now = (duration, uri.to_owned());
        assert_eq!(*known.as_ref().unwrap_or(&now), now, "a segment never changes");
        let fetched = self.fetch(muxer, uri);
        if !parts.is_empty() {
            assert_eq!(self.parts, fetched, "a segment is its parts");
        }
        self.parts.clear();
        if known.is_none() {
            if uri.contains(".mp4") {
                self.fragments(&fetched);
            }
            self.segments.insert(msn, now);
        }
    }

    fn fetch(&mut self, muxer: &mut Muxer, uri: &str) -> Vec<u8> {
        let fetched = body(muxer, uri, "");
        let known = self.bodies.entry(uri.to_owned()).or_insert_with(|| fetched.clone());
        assert_eq!(*known, fetched, "a file never changes");
        fetched
    }

    /// Decode times go on without overlap, sequence numbers by one.
    fn fragments(&mut self, segment: &[u8]) {
        for fragment in read::fragments(segment).expect("fragments") {
            assert!(self.last_sequence == 0 || fragment.sequence == self.last_sequence + 1);
            self.last_sequence = fragment.sequence;
            for run in fragment.runs {
                let end = self.last_time.entry(run.track_id).or_insert(0);
                assert!(run.decode_time >= *end, "{run:?} before the end {end}");
                *end = run.decode_time
                    + run.samples.iter().map(|sample| u64::from(sample.duration)).sum::<u64>();
            }
        }
    }
}

pub(super) fn media(name: &str, query: &str) -> Directives {
    match Request::parse(name, query) {
        Ok(Request::Media { directives, .. }) => directives,
        other => panic!("{other:?}"),
    }
}
