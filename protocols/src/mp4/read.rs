//! A small reader of what [`super::init`] and [`super::fragment`] write, for tests, fuzzing and the bench.
//!
//! It takes any file with these boxes, and steps over all others. Nothing is allocated in proportion to a count that the
//! bytes there do not bear out.

use super::Error;
use crate::limits::{MP4_DEPTH_MAX, TRACKS_MAX};
use std::ops::Range;

/// One box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Box<'a> {
    pub kind: [u8; 4],
    /// What follows size and type.
    pub body: &'a [u8],
    /// Bytes before the box in what [`boxes`] was given.
    pub at: usize,
}

/// A track as the initialization segment has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    pub id: u32,
    pub timescale: u32,
    /// Type of the first sample entry: `avc1`, `Opus`.
    pub sample_entry: [u8; 4],
    /// The first box in it: the codec's record.
    pub record: Vec<u8>,
}

/// One track's samples in one fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub track_id: u32,
    pub decode_time: u64,
    pub samples: Vec<Sample>,
}

/// One sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    pub duration: u32,
    pub composition_offset: i32,
    pub random_access: bool,
    /// Where it lies in what [`fragments`] was given.
    pub range: Range<usize>,
}

/// One `moof`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    pub sequence: u32,
    pub runs: Vec<Run>,
}

/// The boxes that follow each other in `bytes`; ends after the first fault.
pub fn boxes(bytes: &[u8]) -> impl Iterator<Item = Result<Box<'_>, Error>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let Some((head, size)) = head(rest) else {
            let fault = Error::Invalid { what: "box", at };
            at = bytes.len();
            return Some(Err(fault));
        };
        let found = Box { kind: [rest[4], rest[5], rest[6], rest[7]], body: &rest[head..size], at };
        at += size;
        Some(Ok(found))
    })
}

/// Bytes of a box's head, and of all of it.
fn head(rest: &[u8]) -> Option<(usize, usize)> {
    let size = be32(rest, 0)?;
    be32(rest, 4)?;
    let (head, size) = match size {
        0 => (8, rest.len()),
        1 => (16, usize::try_from(be64(rest, 8)?).ok()?),
        _ => (8, size as usize),
    };
    (head <= size && size <= rest.len()).then_some((head, size))
}

/// The first box along a path of types: `moov`, `mvex`.
pub fn find<'a>(bytes: &'a [u8], path: &[[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().take(MP4_DEPTH_MAX).try_fold(bytes, |bytes, kind| {
        boxes(bytes).map_while(Result::ok).find(|found| found.kind == *kind).map(|found| found.body)
    })
}

/// The tracks of an initialization segment.
pub fn tracks(bytes: &[u8]) -> Result<Vec<Track>, Error> {
    let movie = find(bytes, &[*b"moov"]).ok_or(Error::Invalid { what: "file without moov", at: 0 })?;
    let mut tracks = Vec::new();
    for found in boxes(movie) {
        let found = found?;
        if found.kind != *b"trak" {
            continue;
        }
        if tracks.len() == TRACKS_MAX {
            return Err(Error::Limit { what: "tracks", max: TRACKS_MAX });
        }
        tracks.push(track(found.body).ok_or(Error::Invalid { what: "trak", at: found.at })?);
    }
    Ok(tracks)
}

fn track(body: &[u8]) -> Option<Track> {
    let header = find(body, &[*b"tkhd"])?;
    let id = be32(header, if header.first() == Some(&1) { 20 } else { 12 })?;
    let media = find(body, &[*b"mdia", *b"mdhd"])?;
    let timescale = be32(media, if media.first() == Some(&1) { 20 } else { 12 })?;
    let descriptions = find(body, &[*b"mdia", *b"minf", *b"stbl", *b"stsd"])?;
    let entry = boxes(descriptions.get(8..)?).next()?.ok()?;
    let video = find(body, &[*b"mdia", *b"minf", *b"vmhd"]).is_some();
    let inner = entry.body.get(if video { 78 } else { 28 }..)?;
    let record = boxes(inner).next()?.ok()?.body.to_vec();
    Some(Track { id, timescale, sample_entry: entry.kind, record })
}

/// The fragments of a segment or part.
pub fn fragments(bytes: &[u8]) -> Result<Vec<Fragment>, Error> {
    let mut fragments = Vec::new();
    for found in boxes(bytes) {
        let found = found?;
        if found.kind != *b"moof" {
            continue;
        }
        let invalid = |what| Error::Invalid { what, at: found.at };
        let sequence = find(found.body, &[*b"mfhd"])
            .and_then(|body| be32(body, 4))
            .ok_or(invalid("moof without mfhd"))?;
        let mut runs = Vec::new();
        for inner in boxes(found.body) {
            let inner = inner?;
            if inner.kind == *b"traf" {
                runs.push(run(inner.body, found.at, bytes.len()).ok_or(invalid("traf"))?);
            }
        }
        fragments.push(Fragment { sequence, runs });
    }
    Ok(fragments)
}

/// Reads a `traf`; `base` is where its `moof` begins, `end` what sample data cannot pass.
fn run(body: &[u8], base: usize, end: usize) -> Option<Run> {
    let header = find(body, &[*b"tfhd"])?;
    let flags = be32(header, 0)?;
    let track_id = be32(header, 4)?;
    let mut at = 8;
    let mut field = |present: bool, bytes: usize| {
        let value = if present { be32(header, at + bytes - 4) } else { Some(0) };
        at += if present { bytes } else { 0 };
        value
    };
    field(flags & 0x01 != 0, 8)?;
    field(flags & 0x02 != 0, 4)?;
    let duration = field(flags & 0x08 != 0, 4)?;
    let size = field(flags & 0x10 != 0, 4)?;
    let sample_flags = field(flags & 0x20 != 0, 4)?;
    let time = find(body, &[*b"tfdt"])?;
    let decode_time = if time.first() == Some(&1) { be64(time, 4)? } else { be32(time, 4)?.into() };
    let mut samples = Vec::new();
    for inner in boxes(body) {
        let inner = inner.ok()?;
        if inner.kind == *b"trun" {
            let defaults = Defaults { duration, size, flags: sample_flags };
            read_samples(inner.body, &defaults, base, end, &mut samples)?;
        }
    }
    Some(Run { track_id, decode_time, samples })
}

struct Defaults {
    duration: u32,
    size: u32,
    flags: u32,
}

fn read_samples(
    body: &[u8],
    defaults: &Defaults,
    base: usize,
    end: usize,
    out: &mut Vec<Sample>,
) -> Option<()> {
    let flags = be32(body, 0)? & 0x00FF_FFFF;
    let count = be32(body, 4)? as usize;
    let mut at = 8;
    let mut next = |present: bool, default: u32| {
        if !present {
            return Some(default);
        }
        at += 4;
        be32(body, at - 4)
    };
    let offset = next(flags & 0x01 != 0, 0)?;
    let first_flags = next(flags & 0x04 != 0, defaults.flags)?;
    // Without a field per sample, nothing but the bytes of the samples bounds the count.
    if count > end {
        return None;
    }
    let mut position = base.checked_add_signed(offset.cast_signed() as isize)?;
    for index in 0..count {
        let duration = next(flags & 0x100 != 0, defaults.duration)?;
        let size = next(flags & 0x200 != 0, defaults.size)? as usize;
        let default = if index == 0 { first_flags } else { defaults.flags };
        let sample_flags = next(flags & 0x400 != 0, default)?;
        let composition_offset = next(flags & 0x800 != 0, 0)?.cast_signed();
        let range = position..position.checked_add(size).filter(|&stop| stop <= end && size > 0)?;
        position = range.end;
        out.push(Sample { duration, composition_offset, random_access: sample_flags & 0x1_0000 == 0, range });
    }
    Some(())
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}
