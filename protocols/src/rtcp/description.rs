//! Source descriptions, BYE and APP (RFC 3550, sections 6.5 to 6.7).

use bytes::{BufMut, BytesMut};

use super::{header, packet_type, word};

/// SDES item type of the canonical name; 0 ends a chunk.
const ITEM_END: u8 = 0;
const ITEM_CNAME: u8 = 1;

/// A source description: chunks of items, borrowed and already checked to lie within the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sdes<'a> {
    count: u8,
    chunks: &'a [u8],
}

/// What one source says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SdesChunk<'a> {
    pub ssrc: u32,
    /// The items with their types and lengths, without the zeros at the end.
    items: &'a [u8],
}

impl<'a> Sdes<'a> {
    pub(super) fn read(count: u8, body: &'a [u8]) -> Option<Sdes<'a>> {
        let mut rest = body;
        for _ in 0..count {
            rest = SdesChunk::split(rest)?.1;
        }
        Some(Sdes { count, chunks: body })
    }

    /// The chunks, at most 31.
    pub fn chunks(&self) -> impl Iterator<Item = SdesChunk<'a>> + use<'a> {
        let mut rest = self.chunks;
        (0..self.count).map_while(move |_| {
            let (chunk, after) = SdesChunk::split(rest)?;
            rest = after;
            Some(chunk)
        })
    }
}

impl<'a> SdesChunk<'a> {
    /// One chunk and what follows it.
    ///
    /// ```text
    /// |                             SSRC                              |
    /// | item type     | length        | text, not terminated      ... |
    /// |  ... further items ...        | zero          | zeros up to the next word
    /// ```
    fn split(bytes: &'a [u8]) -> Option<(SdesChunk<'a>, &'a [u8])> {
        let ssrc = word(bytes, 0)?;
        let mut end = 4;
        while *bytes.get(end)? != ITEM_END {
            end += 2 + usize::from(*bytes.get(end + 1)?);
        }
        // At least one zero ends the items, and they end on a word.
        let after = bytes.get((end + 1).next_multiple_of(4)..)?;
        Some((SdesChunk { ssrc, items: &bytes[4..end] }, after))
    }

    /// The items, as type and text (UTF-8 by the standard, not checked here).
    pub fn items(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        let mut rest = self.items;
        std::iter::from_fn(move || {
            let (&[kind, length], after) = rest.split_first_chunk::<2>()?;
            let (text, after) = after.split_at_checked(usize::from(length))?;
            rest = after;
            Some((kind, text))
        })
    }

    /// The canonical name.
    pub fn cname(&self) -> Option<&'a [u8]> {
        self.items().find(|(kind, _)| *kind == ITEM_CNAME).map(|(_, text)| text)
    }
}

/// Sources that leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bye<'a> {
    sources: &'a [u8],
    /// Why, in the sender's words; `None` when it gave none, or an empty or broken text.
    pub reason: Option<&'a [u8]>,
}

impl<'a> Bye<'a> {
    pub(super) fn read(count: u8, body: &'a [u8]) -> Option<Bye<'a>> {
        let (sources, rest) = body.split_at_checked(4 * usize::from(count))?;
        let reason = rest.split_first().and_then(|(&length, text)| text.get(..usize::from(length)));
        Some(Bye { sources, reason: reason.filter(|text| !text.is_empty()) })
    }

    /// The SSRCs, at most 31; none is a BYE that means nothing.
    pub fn sources(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.sources.as_chunks().0.iter().copied().map(u32::from_be_bytes)
    }
}

/// A packet only the named application understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct App<'a> {
    /// 0 to 31.
    pub subtype: u8,
    pub ssrc: u32,
    pub name: [u8; 4],
    /// A multiple of 4 bytes.
    pub data: &'a [u8],
}

impl<'a> App<'a> {
    pub(super) fn read(subtype: u8, body: &'a [u8]) -> Option<App<'a>> {
        let ssrc = word(body, 0)?;
        let (name, data) = body[4..].split_first_chunk()?;
        Some(App { subtype, ssrc, name: *name, data })
    }
}

/// Appends a source description with one chunk and one item, the canonical name. A name longer than 255 bytes, the
/// most its length can say, is cut.
pub fn write_sdes_cname(ssrc: u32, cname: &[u8], out: &mut BytesMut) {
    let cname = &cname[..cname.len().min(255)];
    let items = 2 + cname.len();
    let zeros = (items + 1).next_multiple_of(4) - items;
    out.put_slice(&header(1, packet_type::SOURCE_DESCRIPTION, 4 + items + zeros));
    out.put_u32(ssrc);
    out.put_u8(ITEM_CNAME);
    out.put_u8(u8::try_from(cname.len()).expect("cut to 255"));
    out.put_slice(cname);
    out.put_bytes(0, zeros);
}

/// Appends a BYE of `sources` without a reason. Of more than 31 sources the first 31 are written.
pub fn write_bye(sources: &[u32], out: &mut BytesMut) {
    let sources = &sources[..sources.len().min(31)];
    let count = u8::try_from(sources.len()).expect("cut to 31");
    out.put_slice(&header(count, packet_type::BYE, 4 * sources.len()));
    sources.iter().for_each(|&ssrc| out.put_u32(ssrc));
}
