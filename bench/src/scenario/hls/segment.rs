//! The units within segments and parts: MPEG-TS and fragmented MP4, by the readers of `protocols`.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use headwater_protocols::codec::nal;
use headwater_protocols::track::Medium;
use headwater_protocols::{mp4, mpegts};

use super::super::{Element, rtmp::push_slice};
use crate::media::units::Track;

/// Reads one rendition.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Track ids of the initialization segment, once it is there.
    tracks: Vec<(u32, Track)>,
}

impl Contents {
    /// An initialization segment.
    pub(super) fn init(&mut self, bytes: &[u8]) -> Result<()> {
        self.tracks.clear();
        for track in mp4::read::tracks(bytes).context("the initialization segment")? {
            let kind = match &track.sample_entry {
                b"avc1" => Track::Video,
                b"mp4a" => Track::Audio,
                other => anyhow::bail!("a track of {}", String::from_utf8_lossy(other)),
            };
            self.tracks.push((track.id, kind));
        }
        ensure!(!self.tracks.is_empty(), "an initialization segment without tracks");
        Ok(())
    }

    /// A segment or part, whole.
    pub(super) fn media(&self, bytes: &Bytes, media: &mut Vec<Element>) -> Result<()> {
        if self.tracks.is_empty() { transport_stream(bytes, media) } else { self.fragments(bytes, media) }
    }

    fn fragments(&self, bytes: &Bytes, media: &mut Vec<Element>) -> Result<()> {
        let fragments = mp4::read::fragments(bytes).context("fragments")?;
        ensure!(!fragments.is_empty(), "a segment without fragments");
        for run in fragments.into_iter().flat_map(|fragment| fragment.runs) {
            let track = self.tracks.iter().find(|(id, _)| *id == run.track_id);
            let (_, track) =
                *track.with_context(|| format!("a run of the unknown track {}", run.track_id))?;
            for sample in run.samples {
                ensure!(sample.range.end <= bytes.len(), "a sample beyond its segment");
                push_unit(track, bytes.slice(sample.range), media)?;
            }
        }
        Ok(())
    }
}

fn push_unit(track: Track, sample: Bytes, media: &mut Vec<Element>) -> Result<()> {
    match track {
        Track::Video => {
            for unit in nal::length_prefixed(&sample, 4).context("NAL units of a sample")? {
                push_slice(unit, media);
            }
        }
        Track::Audio => media.push(Element::Unit { track, payload: sample }),
    }
    Ok(())
}

/// Each segment stands alone: it begins with the tables (RFC 8216, section 3.2).
fn transport_stream(bytes: &Bytes, media: &mut Vec<Element>) -> Result<()> {
    ensure!(
        bytes.len().is_multiple_of(mpegts::PACKET_BYTES),
        "{} bytes are no whole TS packets",
        bytes.len()
    );
    let (mut demuxer, mut events) = (mpegts::Demuxer::new(), Vec::new());
    demuxer.push(bytes, &mut events).context("the transport stream")?;
    demuxer.finish(&mut events).context("the transport stream")?;
    ensure!(
        demuxer.counters() == mpegts::Counters::default(),
        "damage in a segment: {:?}",
        demuxer.counters()
    );
    let mut tracks = Vec::new();
    for event in events {
        match event {
            mpegts::Event::Tracks(found) => tracks = found,
            mpegts::Event::Unit { track, unit } => {
                let medium = tracks.get(track).context("a unit of no track")?.track.medium;
                for part in unit.parts {
                    match medium {
                        Medium::Video => push_slice(part, media),
                        _ => media.push(Element::Unit { track: Track::Audio, payload: part }),
                    }
                }
            }
            mpegts::Event::Ignored { .. } => {}
        }
    }
    Ok(())
}
