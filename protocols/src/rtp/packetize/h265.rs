//! H.265 (RFC 7798): single NAL units, aggregation packets and fragmentation units, without decoding order numbers.

use bytes::Bytes;

use super::Error;

const AGGREGATION: u8 = 48;
const FRAGMENTATION: u8 = 49;
const FRAGMENT_STARTS: u8 = 0x80;
const FRAGMENT_ENDS: u8 = 0x40;

/// NAL units that share a packet: more than parameter sets, SEI and a slice would be rare.
const AGGREGATED_MAX: usize = 8;

/// The packets of one picture; the last one is marked.
pub(super) fn packetize(
    nals: &[Bytes],
    bytes_max: usize,
    each: &mut impl FnMut(bool, u32, &[&[u8]]),
) -> Result<(), Error> {
    if nals.iter().any(|nal| nal.len() < 2) {
        return Err(Error::Invalid { what: "NAL unit without header" });
    }
    let mut rest = nals;
    while let Some(first) = rest.first() {
        let count = aggregated_count(rest, bytes_max);
        let (together, after) = rest.split_at(count);
        let marker = after.is_empty();
        rest = after;
        if count > 1 {
            aggregate(together, marker, each);
        } else if first.len() <= bytes_max {
            each(marker, 0, &[first]);
        } else {
            fragment(first, bytes_max, marker, each);
        }
    }
    Ok(())
}

/// How many of the next NAL units fit into one packet together; at least 1.
fn aggregated_count(nals: &[Bytes], bytes_max: usize) -> usize {
    let mut bytes = 2;
    let fits = |nal: &&Bytes| {
        bytes += 2 + nal.len();
        bytes <= bytes_max
    };
    nals.iter().take(AGGREGATED_MAX).take_while(fits).count().max(1)
}

/// The header has the lowest layer and temporal identifiers of the NAL units (RFC 7798, 4.4.2).
fn aggregate(nals: &[Bytes], marker: bool, each: &mut impl FnMut(bool, u32, &[&[u8]])) {
    let forbidden = nals.iter().fold(0, |bits, nal| bits | nal[0] & 0x80);
    let layer = nals.iter().map(|nal| (nal[0] & 1) << 5 | nal[1] >> 3).min().unwrap_or(0);
    let temporal = nals.iter().map(|nal| nal[1] & 7).min().unwrap_or(1);
    let header = [forbidden | AGGREGATION << 1 | layer >> 5, layer << 3 | temporal];
    let mut sizes = [[0; 2]; AGGREGATED_MAX];
    for (size, nal) in sizes.iter_mut().zip(nals) {
        *size = (nal.len() as u16).to_be_bytes();
    }
    let mut pieces: [&[u8]; 1 + 2 * AGGREGATED_MAX] = [&[]; 1 + 2 * AGGREGATED_MAX];
    pieces[0] = &header;
    for (index, nal) in nals.iter().enumerate() {
        pieces[1 + 2 * index] = &sizes[index];
        pieces[2 + 2 * index] = nal;
    }
    each(marker, 0, &pieces[..1 + 2 * nals.len()]);
}

fn fragment(nal: &[u8], bytes_max: usize, marker: bool, each: &mut impl FnMut(bool, u32, &[&[u8]])) {
    let (nal_header, body) = nal.split_at(2);
    let nal_type = nal_header[0] >> 1 & 0x3F;
    let piece_bytes = bytes_max - 3;
    let last = (body.len() - 1) / piece_bytes;
    for (index, piece) in body.chunks(piece_bytes).enumerate() {
        let starts = if index == 0 { FRAGMENT_STARTS } else { 0 };
        let ends = if index == last { FRAGMENT_ENDS } else { 0 };
        let header = [nal_header[0] & 0x81 | FRAGMENTATION << 1, nal_header[1], starts | ends | nal_type];
        each(marker && index == last, 0, &[&header, piece]);
    }
}
