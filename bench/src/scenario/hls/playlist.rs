//! Playlists as a player reads them (RFC 8216, and its second edition for the low-latency tags): only what decides what
//! is fetched next.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::limits;

/// What the first request of a player brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Playlist {
    /// The URI of the first variant.
    Multivariant(String),
    Media(Media),
}

/// A media playlist.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Media {
    pub(super) target: Duration,
    /// The longest part; `None` without low latency.
    pub(super) part_target: Option<Duration>,
    pub(super) blocking: bool,
    /// The initialization segment.
    pub(super) map: Option<String>,
    /// In their order; the last may be under way still, with parts only.
    pub(super) segments: Vec<Segment>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// Media sequence number.
    pub(super) number: u64,
    /// `None` while it is under way.
    pub(super) uri: Option<String>,
    pub(super) parts: Vec<String>,
    /// There is nothing to fetch (`EXT-X-GAP`).
    gap: bool,
}

impl Playlist {
    pub(super) fn parse(text: &str) -> Result<Playlist> {
        ensure!(text.starts_with("#EXTM3U"), "a playlist that does not begin with #EXTM3U");
        let mut lines = text.lines().map(str::trim);
        if text.contains("#EXT-X-STREAM-INF:") {
            lines.find(|line| line.starts_with("#EXT-X-STREAM-INF:"));
            let uri = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
            return Ok(Playlist::Multivariant(uri.context("a variant without a URI")?.to_owned()));
        }
        Media::parse(lines).map(Playlist::Media)
    }
}

impl Media {
    fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Media> {
        let (mut media, mut number, mut open) = (Media::default(), 0, Segment::default());
        let mut entries = 0;
        for line in lines {
            let (tag, value) = line.split_once(':').unwrap_or((line, ""));
            match tag {
                "#EXT-X-TARGETDURATION" => media.target = seconds(value)?,
                "#EXT-X-PART-INF" => {
                    media.part_target = attribute(value, "PART-TARGET").map(seconds).transpose()?;
                }
                "#EXT-X-SERVER-CONTROL" => {
                    media.blocking = attribute(value, "CAN-BLOCK-RELOAD") == Some("YES");
                }
                "#EXT-X-MEDIA-SEQUENCE" => number = value.parse().context("EXT-X-MEDIA-SEQUENCE")?,
                "#EXT-X-MAP" => media.map = attribute(value, "URI").map(str::to_owned),
                "#EXT-X-GAP" => open.gap = true,
                "#EXT-X-PART" => {
                    entries += 1;
                    open.parts.push(attribute(value, "URI").context("a part without a URI")?.to_owned());
                }
                "#EXT-X-SKIP" => bail!("a delta update that nobody asked for"),
                _ if line.is_empty() || line.starts_with('#') => {}
                _ => {
                    entries += 1;
                    open.uri = (!open.gap).then(|| line.to_owned());
                    open.number = number;
                    media.segments.push(std::mem::take(&mut open));
                    number += 1;
                }
            }
            ensure!(entries <= limits::PLAYLIST_ENTRIES_MAX, "a playlist of more than {entries} entries");
        }
        ensure!(!media.target.is_zero(), "a playlist without EXT-X-TARGETDURATION");
        // Gaps stand for what never was.
        media.segments.retain(|segment| !segment.gap);
        if !open.parts.is_empty() {
            open.number = number;
            media.segments.push(open);
        }
        Ok(media)
    }
}

fn seconds(text: &str) -> Result<Duration> {
    let seconds: f64 = text.trim().parse().with_context(|| format!("{text:?} is no duration"))?;
    ensure!((0.0..=3_600.0).contains(&seconds), "a duration of {seconds} s");
    Ok(Duration::from_secs_f64(seconds))
}

/// The value of an attribute, without its quotes (RFC 8216, section 4.2).
fn attribute<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = list;
    while let Some((key, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        if key.trim().trim_start_matches(',') == name {
            return Some(value);
        }
        rest = next.trim_start_matches(',');
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_latency_playlist_is_read() {
        let text = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:1\n\
            #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.5\n#EXT-X-PART-INF:PART-TARGET=0.2\n\
            #EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-MAP:URI=\"init.mp4?session=a,b\"\n\
            #EXT-X-GAP\n#EXTINF:1.0,\ngap.mp4\n#EXTINF:1.0,\nseg8.mp4\n\
            #EXT-X-PART:DURATION=0.2,URI=\"p1.mp4\",INDEPENDENT=YES\n#EXTINF:1.0,\nseg9.mp4\n\
            #EXT-X-PART:DURATION=0.2,URI=\"p2.mp4\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p3.mp4\"\n";
        let Playlist::Media(media) = Playlist::parse(text).expect("reads") else {
            panic!("no media playlist")
        };
        assert_eq!(media.part_target, Some(Duration::from_millis(200)));
        assert!(media.blocking);
        assert_eq!(media.map.as_deref(), Some("init.mp4?session=a,b"));
        let numbers: Vec<u64> = media.segments.iter().map(|segment| segment.number).collect();
        assert_eq!(numbers, [8, 9, 10]);
        assert_eq!((media.segments[1].parts.len(), media.segments[1].uri.as_deref()), (1, Some("seg9.mp4")));
        assert_eq!(
            (&media.segments[2].parts[..], &media.segments[2].uri),
            (&["p2.mp4".to_owned()][..], &None)
        );
    }

    #[test]
    fn the_first_variant_is_taken() {
        let text = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"a,b\"\n\nmain.m3u8?session=x\n";
        assert_eq!(
            Playlist::parse(text).expect("reads"),
            Playlist::Multivariant("main.m3u8?session=x".to_owned())
        );
    }

    #[test]
    fn what_is_no_playlist_is_refused() {
        for text in ["", "<html>", "#EXTM3U\n#EXTINF:1,\na.ts\n", "#EXTM3U\n#EXT-X-TARGETDURATION:x\n"] {
            assert!(Playlist::parse(text).is_err(), "{text:?} was accepted");
        }
    }
}
