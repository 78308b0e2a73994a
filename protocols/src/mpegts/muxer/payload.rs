//! What a unit's PES packet holds: its parts, and what MPEG-TS puts around them.
//!
//! H.264 and H.265 get start codes and an access unit delimiter (2.14, 2.17); AAC an ADTS header or LOAS; Opus its control
//! header; MPEG-4 and MPEG video their headers at random access points that lack them. The rest is written as it is.

use crate::codec::configuration::{Aac, Opus};
use crate::codec::{Configuration, opus};
use crate::mpegts::format::{Format, fits_adts};
use crate::mpegts::{loas, opus_control};
use crate::unit::AccessUnit;
use smallvec::SmallVec;

/// Slices that follow each other on the wire.
pub(super) type Pieces<'a> = SmallVec<[&'a [u8]; 24]>;

const START_CODE: &[u8] = &[0, 0, 0, 1];
/// An access unit delimiter that allows any slice (ITU-T H.264, 7.3.2.4).
const H264_DELIMITER: &[u8] = &[0, 0, 0, 1, 0x09, 0xF0];
/// The same of H.265 (ITU-T H.265, 7.3.2.5).
const H265_DELIMITER: &[u8] = &[0, 0, 0, 1, 0x46, 0x01, 0x50];

/// The payload of a unit. `scratch`, which comes empty, takes what has to be made up. `None`: the unit has no such form.
pub(super) fn pieces<'a>(
    format: Format,
    configuration: Option<&'a Configuration>,
    unit: &'a AccessUnit,
    scratch: &'a mut Vec<u8>,
) -> Option<Pieces<'a>> {
    let mut pieces = Pieces::new();
    match (format, configuration) {
        (Format::H264, _) => annex_b(H264_DELIMITER, unit, &mut pieces),
        (Format::H265, _) => annex_b(H265_DELIMITER, unit, &mut pieces),
        (Format::Adts, Some(Configuration::Aac(aac))) => adts(aac, unit, scratch, &mut pieces)?,
        (Format::Latm, Some(Configuration::Aac(aac))) => {
            loas::write(aac, unit.parts.first()?, scratch)?;
            pieces.push(scratch);
        }
        (Format::Adts | Format::Latm, _) => return None,
        (Format::Opus { .. }, configuration) => opus(configuration, unit, scratch, &mut pieces)?,
        (Format::Mpeg4Video, Some(Configuration::Mpeg4Video { headers })) => {
            // Visual object sequence, visual object, and the layer's headers come before any picture.
            let has_headers = |code| matches!(code, 0x00..=0x2F | 0xB0 | 0xB5);
            video(headers, has_headers, unit, &mut pieces);
        }
        (Format::Mpeg1Video | Format::Mpeg2Video, Some(Configuration::MpegVideo { headers })) => {
            video(headers, |code| code == 0xB3, unit, &mut pieces);
        }
        (
            Format::Mpeg4Video
            | Format::Mpeg1Video
            | Format::Mpeg2Video
            | Format::Mpeg1Audio
            | Format::Mpeg2Audio
            | Format::Ac3
            | Format::Klv
            | Format::SynchronousKlv,
            _,
        ) => pieces.extend(unit.parts.iter().map(|part| &part[..])),
    }
    Some(pieces)
}

fn annex_b<'a>(delimiter: &'static [u8], unit: &'a AccessUnit, pieces: &mut Pieces<'a>) {
    pieces.push(delimiter);
    for part in &unit.parts {
        pieces.extend([START_CODE, &part[..]]);
    }
}

fn adts<'a>(
    aac: &Aac,
    unit: &'a AccessUnit,
    scratch: &'a mut Vec<u8>,
    pieces: &mut Pieces<'a>,
) -> Option<()> {
    let part = unit.parts.first()?;
    if !fits_adts(aac) || part.len() > loas::BLOCK_BYTES_MAX {
        return None;
    }
    scratch.extend(aac.adts_header(part.len()));
    pieces.extend([&scratch[..], &part[..]]);
    Some(())
}

fn opus<'a>(
    configuration: Option<&Configuration>,
    unit: &'a AccessUnit,
    scratch: &'a mut Vec<u8>,
    pieces: &mut Pieces<'a>,
) -> Option<()> {
    let pre_skip = match configuration {
        Some(Configuration::Opus(Opus { pre_skip, .. })) => i64::from(*pre_skip),
        _ => 0,
    };
    let part = unit.parts.first()?;
    // Only the stream's beginning is trimmed: who joins later has nothing to skip.
    let begun = unit.pts.in_clock(48_000);
    let samples = opus::packet_samples(part).map_or(0, i64::from);
    let trim = if begun >= 0 { (pre_skip - begun).clamp(0, samples) } else { 0 };
    opus_control::write(part.len(), trim as u16, scratch);
    pieces.extend([&scratch[..], &part[..]]);
    Some(())
}

/// Video whose headers are repeated at random access points, unless the unit begins with them: `has_headers` tells it by
/// the first start code.
fn video<'a>(
    headers: &'a [u8],
    has_headers: impl Fn(u8) -> bool,
    unit: &'a AccessUnit,
    pieces: &mut Pieces<'a>,
) {
    let first = unit.parts.first().map(|part| &part[..]);
    if unit.random_access && !matches!(first, Some([0, 0, 1, code, ..]) if has_headers(*code)) {
        pieces.push(headers);
    }
    pieces.extend(unit.parts.iter().map(|part| &part[..]));
}
