//! Motion JPEG (RFC 2435): the scan of a picture, and its quantisation tables in the first packet (Q 255).
//!
//! What the format cannot say is refused: other than baseline coding of three components in 4:2:2 or 4:2:0 with the usual
//! Huffman tables, and more than 2040 pixels. Sizes are told in steps of eight pixels and rounded up.

use super::Error;
use crate::rtp::jpeg;

/// Tables are in every picture and may change.
const Q_DYNAMIC: u8 = 255;
const TYPE_4_2_2: u8 = 0;
const TYPE_4_2_0: u8 = 1;
const TYPE_RESTART: u8 = 0x40;
/// The largest size, in steps of eight pixels.
const STEPS_MAX: u16 = 255;

/// What is sent of an image.
struct Image<'a> {
    is_4_2_0: bool,
    /// Width and height in steps of eight pixels.
    size: [u8; 2],
    /// Of luminance and chrominance.
    tables: [&'a [u8]; 2],
    restart_interval: u16,
    scan: &'a [u8],
}

/// The packets of one picture; the last one is marked.
pub(super) fn packetize(
    image: &[u8],
    bytes_max: usize,
    each: &mut impl FnMut(bool, u32, &[&[u8]]),
) -> Result<(), Error> {
    let image = Image::read(image)?;
    let has_restarts = image.restart_interval > 0;
    let kind = if image.is_4_2_0 { TYPE_4_2_0 } else { TYPE_4_2_2 };
    let kind = if has_restarts { kind | TYPE_RESTART } else { kind };
    let [high, low] = image.restart_interval.to_be_bytes();
    // First and last of the interval at once, and count unknown: the picture is only decoded whole.
    let restart = &[high, low, 0xFF, 0xFF][..if has_restarts { 4 } else { 0 }];
    let [luminance, chrominance] = image.tables;
    let precision = u8::from(luminance.len() > 64) | u8::from(chrominance.len() > 64) << 1;
    let tables_bytes = luminance.len() + chrominance.len();
    let [tables_high, tables_low] = (tables_bytes as u16).to_be_bytes();
    let tables = [0, precision, tables_high, tables_low];
    let mut offset = 0;
    while offset < image.scan.len() {
        let tables_room = if offset == 0 { tables.len() + tables_bytes } else { 0 };
        let room = bytes_max.checked_sub(8 + restart.len() + tables_room).filter(|room| *room > 0);
        let room = room.ok_or(Error::Unsupported { what: "JPEG tables of 16 bits in so small a payload" })?;
        let end = image.scan.len().min(offset + room);
        let [_, o0, o1, o2] = u32::try_from(offset).unwrap_or(u32::MAX).to_be_bytes();
        let header = [0, o0, o1, o2, kind, Q_DYNAMIC, image.size[0], image.size[1]];
        let piece = &image.scan[offset..end];
        let marker = end == image.scan.len();
        match offset {
            0 => each(marker, 0, &[&header, restart, &tables, luminance, chrominance, piece]),
            _ => each(marker, 0, &[&header, restart, piece]),
        }
        offset = end;
    }
    Ok(())
}

const TRUNCATED: Error = Error::Invalid { what: "JPEG image" };

fn unsupported(what: &'static str) -> Error {
    Error::Unsupported { what }
}

impl<'a> Image<'a> {
    fn read(bytes: &'a [u8]) -> Result<Image<'a>, Error> {
        let mut tables: [&[u8]; 4] = [&[]; 4];
        let mut frame = None;
        let mut restart_interval = 0;
        let mut rest = bytes.strip_prefix(&[0xFF, jpeg::START_OF_IMAGE]).ok_or(TRUNCATED)?;
        loop {
            // Fill bytes may come before a marker.
            while rest.starts_with(&[0xFF, 0xFF]) {
                rest = &rest[1..];
            }
            let &[0xFF, marker, high, low] = rest.first_chunk().ok_or(TRUNCATED)? else {
                return Err(TRUNCATED);
            };
            let end = 2 + usize::from(u16::from_be_bytes([high, low]));
            let segment = rest.get(4..end).ok_or(TRUNCATED)?;
            rest = &rest[end..];
            match marker {
                jpeg::QUANTISATION => quantisation_tables(segment, &mut tables)?,
                jpeg::HUFFMAN => check_huffman_tables(segment)?,
                jpeg::RESTART_INTERVAL => {
                    restart_interval =
                        segment.first_chunk().map(|&bytes| u16::from_be_bytes(bytes)).ok_or(TRUNCATED)?;
                }
                jpeg::BASELINE | jpeg::EXTENDED => frame = Some(Frame::read(segment)?),
                0xC2..=0xCF => return Err(unsupported("JPEG other than baseline")),
                jpeg::START_OF_SCAN => {
                    if segment.len() != 10 || [segment[2], segment[4], segment[6]] != [0, 0x11, 0x11] {
                        return Err(unsupported("JPEG scan with tables or components of its own"));
                    }
                    break;
                }
                _ => {}
            }
        }
        let frame: Frame = frame.ok_or(TRUNCATED)?;
        let tables = frame.tables.map(|index| tables[usize::from(index)]);
        if tables.iter().any(|table| table.is_empty()) {
            return Err(TRUNCATED);
        }
        let scan = rest.strip_suffix(&[0xFF, jpeg::END_OF_IMAGE]).unwrap_or(rest);
        if scan.len() >> 24 != 0 {
            return Err(Error::Limit { what: "JPEG scan longer than offsets can say" });
        }
        if scan.is_empty() {
            return Err(TRUNCATED);
        }
        Ok(Image { is_4_2_0: frame.is_4_2_0, size: frame.size, tables, restart_interval, scan })
    }
}

/// What the frame header says (T.81, B.2.2).
struct Frame {
    is_4_2_0: bool,
    size: [u8; 2],
    /// Numbers of the tables of luminance and chrominance, 0 to 3.
    tables: [u8; 2],
}

impl Frame {
    fn read(segment: &[u8]) -> Result<Frame, Error> {
        let &[8, h1, h0, w1, w0, 3, _, sampling, y, _, 0x11, cb, _, 0x11, cr] = segment else {
            return Err(unsupported("JPEG of other than three components in 8 bits"));
        };
        if cb != cr || y > 3 || cb > 3 {
            return Err(unsupported("JPEG with three quantisation tables"));
        }
        let is_4_2_0 = match sampling {
            0x21 => false,
            0x22 => true,
            _ => return Err(unsupported("JPEG of other than 4:2:2 and 4:2:0")),
        };
        let size = [u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0])];
        let steps = size.map(|pixels| pixels.div_ceil(8));
        if steps.iter().any(|steps| !(1..=STEPS_MAX).contains(steps)) {
            return Err(unsupported("JPEG larger than 2040 pixels"));
        }
        Ok(Frame { is_4_2_0, size: steps.map(|steps| steps as u8), tables: [y, cb] })
    }
}

/// Takes note of the tables of a DQT segment: precision and number, then 64 values each.
fn quantisation_tables<'a>(mut segment: &'a [u8], tables: &mut [&'a [u8]; 4]) -> Result<(), Error> {
    while let Some((&first, rest)) = segment.split_first() {
        let bytes = if first >> 4 == 0 { 64 } else { 128 };
        let (table, after) = rest.split_at_checked(bytes).ok_or(TRUNCATED)?;
        *tables.get_mut(usize::from(first & 0x0F)).ok_or(TRUNCATED)? = table;
        segment = after;
    }
    Ok(())
}

/// Receivers assume the tables of T.81, annex K.
fn check_huffman_tables(segment: &[u8]) -> Result<(), Error> {
    let mut rest = segment;
    while !rest.is_empty() {
        let mut start = 0;
        let known = jpeg::HUFFMAN_TABLE_BYTES.iter().find_map(|&bytes| {
            let table = &jpeg::HUFFMAN_TABLES[start..start + bytes];
            start += bytes;
            rest.strip_prefix(table)
        });
        rest = known.ok_or(unsupported("JPEG with Huffman tables of its own"))?;
    }
    Ok(())
}
