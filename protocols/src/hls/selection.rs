//! Which tracks become which rendition.

use super::{Error, Variant};
use crate::limits::TRACKS_MAX;
use crate::track::{Codec, Elementary, Skipped};

/// Indices of tracks; the first of each group leads: it decides where segments begin.
pub(super) struct Selection {
    pub(super) video: Option<usize>,
    pub(super) audio: Vec<usize>,
    /// Metadata, in transport streams.
    pub(super) metadata: Option<usize>,
    pub(super) skipped: Vec<Skipped>,
}

impl Selection {
    /// Chooses one video track and all audio tracks that the variant carries.
    ///
    /// Errors: [`Error::Unsupported`] if nothing is left.
    pub(super) fn new(variant: Variant, tracks: &[Elementary]) -> Result<Selection, Error> {
        if tracks.len() > TRACKS_MAX {
            return Err(Error::Limit { what: "tracks", max: TRACKS_MAX });
        }
        let video = (0..tracks.len())
            .filter_map(|index| Some((video_rank(variant, &tracks[index].track.codec)?, index)))
            .min()
            .map(|(_, index)| index);
        let mut selection = Selection { video, audio: Vec::new(), metadata: None, skipped: Vec::new() };
        for (index, Elementary { track, .. }) in tracks.iter().enumerate() {
            let reason = if Some(index) == video {
                continue;
            } else if video_rank(variant, &track.codec).is_some() {
                "HLS carries one video track"
            } else if is_audio(variant, &track.codec) {
                if variant != Variant::MpegTs || selection.audio.is_empty() {
                    selection.audio.push(index);
                    continue;
                }
                "transport streams of HLS carry one audio track"
            } else if variant == Variant::MpegTs && track.codec == Codec::Klv && selection.metadata.is_none()
            {
                selection.metadata = Some(index);
                continue;
            } else {
                "this variant of HLS does not carry the codec"
            };
            selection.skipped.push(Skipped { track: index, reason });
        }
        if selection.video.is_none() && selection.audio.is_empty() {
            return Err(Error::Unsupported { what: "codecs of all tracks" });
        }
        Ok(selection)
    }

    /// The track whose random access points begin the segments of the first rendition.
    pub(super) fn leading(&self) -> Option<usize> {
        self.video.or(self.audio.first().copied())
    }

    pub(super) fn has(&self, track: usize) -> bool {
        self.video == Some(track) || self.metadata == Some(track) || self.audio.contains(&track)
    }

    /// Leaves out a track that turned out to be silent.
    pub(super) fn leave_out(&mut self, track: usize) {
        self.video = self.video.filter(|&index| index != track);
        self.metadata = self.metadata.filter(|&index| index != track);
        self.audio.retain(|&index| index != track);
        self.skipped.push(Skipped { track, reason: "sent nothing, or nothing to decode it by" });
    }

    /// The tracks of each rendition: one audio track goes with the video, more have renditions of their own.
    pub(super) fn renditions(&self) -> Vec<Vec<usize>> {
        match (self.video, &self.audio[..]) {
            (Some(video), [_, _, ..]) => {
                [vec![video]].into_iter().chain(self.audio.iter().map(|&index| vec![index])).collect()
            }
            (Some(video), audio) => {
                vec![[video].into_iter().chain(audio.iter().copied()).chain(self.metadata).collect()]
            }
            (None, [audio]) => vec![[*audio].into_iter().chain(self.metadata).collect()],
            (None, audio) => audio.iter().map(|&index| vec![index]).collect(),
        }
    }
}

/// Lower is better; `None` for what is no video that the variant carries.
fn video_rank(variant: Variant, codec: &Codec) -> Option<u8> {
    match codec {
        Codec::H264 => Some(3),
        Codec::H265 if variant != Variant::MpegTs => Some(2),
        Codec::Vp9 if variant != Variant::MpegTs => Some(1),
        Codec::Av1 if variant != Variant::MpegTs => Some(0),
        _ => None,
    }
}

fn is_audio(variant: Variant, codec: &Codec) -> bool {
    match codec {
        Codec::Aac | Codec::AacLatm => true,
        Codec::Opus | Codec::Flac => variant != Variant::MpegTs,
        _ => false,
    }
}
