//! Fragments: `moof` and `mdat` (ISO/IEC 14496-12, 8.8).

use super::Error;
use super::sample::Sample;
use super::write::{write_box, write_full_box, write_type};
use crate::limits::MP4_FRAGMENT_BYTES_MAX;
use bytes::{BufMut, Bytes, BytesMut};

/// `tfhd`: offsets count from the `moof`.
const DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;
/// `tfhd`: sample duration, and flags, the same for all.
const DEFAULT_DURATION: u32 = 0x08;
const DEFAULT_FLAGS: u32 = 0x20;
/// `trun`: what it has of the run, and of each sample.
const DATA_OFFSET: u32 = 0x01;
const SAMPLE_DURATION: u32 = 0x100;
const SAMPLE_SIZE: u32 = 0x200;
const SAMPLE_FLAGS: u32 = 0x400;
const SAMPLE_COMPOSITION_OFFSET: u32 = 0x800;
/// Sample flags (8.8.3.1): depends on no other; and: depends on others, is no sync sample.
const SYNC: u32 = 0x0200_0000;
const NON_SYNC: u32 = 0x0101_0000;

/// Samples of one track that follow each other.
#[derive(Clone, Debug)]
pub struct Run {
    /// The track's id: 1 for the first that [`super::init`] was given.
    pub track_id: u32,
    /// Decode time of the first sample, in the track's timescale.
    pub decode_time: u64,
    /// May be empty: a track that is silent over the time of the fragment.
    pub samples: Vec<Sample>,
}

/// Appends a fragment as pieces to `out`, which belong one after the other. `sequence` grows by one with each fragment;
/// with `starts_segment` a segment type box goes first.
///
/// Errors: [`Error::Limit`] above [`MP4_FRAGMENT_BYTES_MAX`], before anything is appended.
pub fn fragment(
    sequence: u32,
    starts_segment: bool,
    runs: Vec<Run>,
    out: &mut Vec<Bytes>,
) -> Result<(), Error> {
    let samples = || runs.iter().flat_map(|run| &run.samples);
    let payload = samples().map(|sample| sample.bytes() as usize).sum::<usize>();
    if payload > MP4_FRAGMENT_BYTES_MAX {
        return Err(Error::Limit { what: "bytes of a fragment", max: MP4_FRAGMENT_BYTES_MAX });
    }
    // The sizes of the boxes below, rounded up; `own` never grows.
    let own_bytes = 64 + runs.len() * 80 + samples().map(|sample| 16 + sample.own_bytes()).sum::<usize>();
    let mut own = BytesMut::with_capacity(own_bytes);
    if starts_segment {
        write_type(&mut own, *b"styp", *b"msdh", &[*b"msdh", *b"iso6"]);
    }
    write_movie_fragment(&mut own, sequence, &runs);
    own.put_u32(payload as u32 + 8);
    own.put_slice(b"mdat");
    for run in runs {
        for sample in run.samples {
            sample.write(&mut own, out);
        }
    }
    if !own.is_empty() {
        out.push(own.freeze());
    }
    Ok(())
}

fn write_movie_fragment(out: &mut BytesMut, sequence: u32, runs: &[Run]) {
    let start = out.len();
    // Where each run's data offset stands, and what its samples' bytes are.
    let mut offsets = smallvec::SmallVec::<[(usize, u32); 4]>::new();
    write_box(out, *b"moof", |out| {
        write_full_box(out, *b"mfhd", 0, 0, |out| out.put_u32(sequence));
        for run in runs {
            write_box(out, *b"traf", |out| {
                if let Some(at) = write_track_fragment(out, run) {
                    let bytes = run.samples.iter().map(Sample::bytes).sum();
                    offsets.push((at, bytes));
                }
            });
        }
    });
    let mut offset = (out.len() - start + 8) as u32;
    for (at, bytes) in offsets {
        out[at..at + 4].copy_from_slice(&offset.to_be_bytes());
        offset += bytes;
    }
}

/// Returns where the data offset stands; without samples there is no `trun`.
fn write_track_fragment(out: &mut BytesMut, run: &Run) -> Option<usize> {
    let first = run.samples.first();
    let one_duration = first.filter(|first| run.samples.iter().all(|next| next.duration == first.duration));
    let one_access =
        first.filter(|first| run.samples.iter().all(|next| next.random_access == first.random_access));
    let flags = DEFAULT_BASE_IS_MOOF
        | one_duration.map_or(0, |_| DEFAULT_DURATION)
        | one_access.map_or(0, |_| DEFAULT_FLAGS);
    write_full_box(out, *b"tfhd", 0, flags, |out| {
        out.put_u32(run.track_id);
        if let Some(first) = one_duration {
            out.put_u32(first.duration);
        }
        if let Some(first) = one_access {
            out.put_u32(sample_flags(first));
        }
    });
    write_full_box(out, *b"tfdt", 1, 0, |out| out.put_u64(run.decode_time));
    first?;
    let offsets = run.samples.iter().any(|sample| sample.composition_offset != 0);
    let mut at = 0;
    let flags = DATA_OFFSET
        | SAMPLE_SIZE
        | if one_duration.is_none() { SAMPLE_DURATION } else { 0 }
        | if one_access.is_none() { SAMPLE_FLAGS } else { 0 }
        | if offsets { SAMPLE_COMPOSITION_OFFSET } else { 0 };
    write_full_box(out, *b"trun", 1, flags, |out| {
        out.put_u32(run.samples.len() as u32);
        at = out.len();
        out.put_u32(0);
        for sample in &run.samples {
            if one_duration.is_none() {
                out.put_u32(sample.duration);
            }
            out.put_u32(sample.bytes());
            if one_access.is_none() {
                out.put_u32(sample_flags(sample));
            }
            if offsets {
                out.put_i32(sample.composition_offset);
            }
        }
    });
    Some(at)
}

fn sample_flags(sample: &Sample) -> u32 {
    if sample.random_access { SYNC } else { NON_SYNC }
}
