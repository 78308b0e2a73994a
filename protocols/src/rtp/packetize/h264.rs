//! H.264 (RFC 6184, packetization mode 1): single NAL units, STAP-A and FU-A.

use bytes::Bytes;

use super::Error;

const STAP_A: u8 = 24;
const FU_A: u8 = 28;
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
    if nals.iter().any(Bytes::is_empty) {
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
    let mut bytes = 1;
    let fits = |nal: &&Bytes| {
        bytes += 2 + nal.len();
        bytes <= bytes_max
    };
    nals.iter().take(AGGREGATED_MAX).take_while(fits).count().max(1)
}

fn aggregate(nals: &[Bytes], marker: bool, each: &mut impl FnMut(bool, u32, &[&[u8]])) {
    let forbidden = nals.iter().fold(0, |bits, nal| bits | nal[0] & 0x80);
    let importance = nals.iter().map(|nal| nal[0] & 0x60).max().unwrap_or(0);
    let header = [forbidden | importance | STAP_A];
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
    let (nal_header, body) = (nal[0], &nal[1..]);
    let piece_bytes = bytes_max - 2;
    let last = (body.len() - 1) / piece_bytes;
    for (index, piece) in body.chunks(piece_bytes).enumerate() {
        let starts = if index == 0 { FRAGMENT_STARTS } else { 0 };
        let ends = if index == last { FRAGMENT_ENDS } else { 0 };
        let header = [nal_header & 0xE0 | FU_A, starts | ends | nal_header & 0x1F];
        each(marker && index == last, 0, &[&header, piece]);
    }
}
