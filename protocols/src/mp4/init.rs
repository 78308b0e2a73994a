//! The initialization segment: `ftyp` and a `moov` without samples (ISO/IEC 14496-12, 4.3, 8.2 and 8.8).

use super::sample_entry::write_sample_entry;
use super::write::{write_box, write_full_box, write_type};
use super::{Error, carries, timescale};
use crate::codec::{Configuration, configuration::Picture};
use crate::limits::TRACKS_MAX;
use bytes::{BufMut, Bytes, BytesMut};

/// Unity, as `tkhd` and `mvhd` have it.
const MATRIX: [u32; 9] = [0x0001_0000, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000];

/// Writes the initialization segment of tracks with these configurations. Their ids are 1, 2, … in this order.
///
/// Errors: [`Error::Unsupported`] names the first codec that is not carried; [`Error::Limit`] for more tracks than a stream has.
pub fn init(configurations: &[&Configuration]) -> Result<Bytes, Error> {
    if configurations.len() > TRACKS_MAX {
        return Err(Error::Limit { what: "tracks", max: TRACKS_MAX });
    }
    if !configurations.iter().all(|configuration| carries(configuration)) {
        return Err(Error::Unsupported { what: "codec" });
    }
    let mut out = BytesMut::with_capacity(1024);
    let mut brands = vec![*b"iso6", *b"mp41"];
    if configurations.iter().any(|configuration| matches!(configuration, Configuration::Av1(_))) {
        brands.push(*b"av01");
    }
    write_type(&mut out, *b"ftyp", *b"iso6", &brands);
    write_box(&mut out, *b"moov", |out| {
        write_movie_header(out, configurations.len());
        for (id, configuration) in (1..).zip(configurations) {
            write_track(out, id, configuration);
        }
        write_box(out, *b"mvex", |out| {
            for (id, _) in (1u32..).zip(configurations) {
                write_full_box(out, *b"trex", 0, 0, |out| {
                    out.put_u32(id);
                    // The one sample description, then no defaults: fragments state duration, size and flags.
                    [1, 0, 0, 0].into_iter().for_each(|field| out.put_u32(field));
                });
            }
        });
    });
    Ok(out.freeze())
}

fn write_movie_header(out: &mut BytesMut, tracks: usize) {
    write_full_box(out, *b"mvhd", 0, 0, |out| {
        // Creation, modification, timescale, duration (unknown: fragments follow).
        [0, 0, 1000, 0].into_iter().for_each(|field| out.put_u32(field));
        out.put_u32(0x0001_0000); // Rate 1.
        out.put_u16(0x0100); // Volume 1.
        out.put_bytes(0, 10);
        MATRIX.into_iter().for_each(|field| out.put_u32(field));
        out.put_bytes(0, 24);
        out.put_u32(tracks as u32 + 1);
    });
}

fn write_track(out: &mut BytesMut, id: u32, configuration: &Configuration) {
    let picture = picture(configuration);
    write_box(out, *b"trak", |out| {
        // Enabled, in movie.
        write_full_box(out, *b"tkhd", 0, 3, |out| {
            [0, 0, id, 0, 0].into_iter().for_each(|field| out.put_u32(field));
            out.put_bytes(0, 8);
            out.put_u16(0); // Layer.
            out.put_u16(u16::from(picture.is_none())); // Alternate group: renditions of sound.
            out.put_u16(if picture.is_none() { 0x0100 } else { 0 }); // Volume.
            out.put_u16(0);
            MATRIX.into_iter().for_each(|field| out.put_u32(field));
            let Picture { width, height } = picture.unwrap_or_default();
            out.put_u32(width.min(0xFFFF) << 16);
            out.put_u32(height.min(0xFFFF) << 16);
        });
        write_box(out, *b"mdia", |out| write_media(out, configuration, picture));
    });
}

fn write_media(out: &mut BytesMut, configuration: &Configuration, picture: Option<Picture>) {
    write_full_box(out, *b"mdhd", 0, 0, |out| {
        [0, 0, timescale(configuration), 0].into_iter().for_each(|field| out.put_u32(field));
        out.put_u16(0x55C4); // Language: undetermined.
        out.put_u16(0);
    });
    write_full_box(out, *b"hdlr", 0, 0, |out| {
        out.put_u32(0);
        out.put_slice(if picture.is_some() { b"vide" } else { b"soun" });
        out.put_bytes(0, 12);
        out.put_slice(if picture.is_some() { b"video\0" } else { b"audio\0" });
    });
    write_box(out, *b"minf", |out| {
        if picture.is_some() {
            write_full_box(out, *b"vmhd", 0, 1, |out| out.put_bytes(0, 8));
        } else {
            write_full_box(out, *b"smhd", 0, 0, |out| out.put_bytes(0, 4));
        }
        write_box(out, *b"dinf", |out| {
            write_full_box(out, *b"dref", 0, 0, |out| {
                out.put_u32(1);
                write_full_box(out, *b"url ", 0, 1, |_| {}); // In this file.
            });
        });
        write_box(out, *b"stbl", |out| {
            write_full_box(out, *b"stsd", 0, 0, |out| {
                out.put_u32(1);
                write_sample_entry(out, configuration, picture.unwrap_or_default());
            });
            write_full_box(out, *b"stts", 0, 0, |out| out.put_u32(0));
            write_full_box(out, *b"stsc", 0, 0, |out| out.put_u32(0));
            write_full_box(out, *b"stsz", 0, 0, |out| out.put_u64(0));
            write_full_box(out, *b"stco", 0, 0, |out| out.put_u32(0));
        });
    });
}

/// The picture's size, zero where it cannot be told; `None` for audio.
fn picture(configuration: &Configuration) -> Option<Picture> {
    match configuration {
        Configuration::Aac(_) | Configuration::Opus(_) | Configuration::Flac(_) => None,
        other => Some(other.picture().unwrap_or_default()),
    }
}
