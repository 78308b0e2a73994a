//! Writing messages as chunks.

use super::EXTENDED;
use crate::flv::Kind;
use bytes::{BufMut, Bytes, BytesMut};

/// The chunk size that servers and clients of this crate announce before they send media: one chunk holds most messages.
pub const CHUNK_BYTES: usize = 65_536;
/// The message stream all media travel on: servers of this crate open no other.
pub const MESSAGE_STREAM: u32 = 1;

/// What the header of a message says but its length.
#[derive(Clone, Copy, Debug)]
pub(in crate::rtmp) struct Header {
    /// Chunk stream, 2 to 63.
    pub(in crate::rtmp) chunk_stream: u8,
    pub(in crate::rtmp) timestamp_ms: u32,
    pub(in crate::rtmp) type_id: u8,
    pub(in crate::rtmp) message_stream: u32,
}

impl Header {
    /// Of a media message: the chunk stream is fixed by the kind.
    pub(in crate::rtmp) fn media(kind: Kind, timestamp_ms: u32, message_stream: u32) -> Header {
        let chunk_stream = match kind {
            Kind::Script => 4,
            Kind::Audio => 6,
            Kind::Video => 7,
        };
        Header { chunk_stream, timestamp_ms, type_id: kind.type_id(), message_stream }
    }

    fn is_extended(self) -> bool {
        self.timestamp_ms >= EXTENDED
    }

    /// Bytes of all chunk headers of a message in `chunks` chunks.
    fn bytes(self, chunks: usize) -> usize {
        let extension = if self.is_extended() { 4 } else { 0 };
        12 + extension + (chunks - 1) * (1 + extension)
    }

    /// The header of the first chunk. `length` fits in 24 bits.
    fn write_first(self, length: usize, out: &mut BytesMut) {
        out.put_u8(self.chunk_stream);
        out.put_uint(self.timestamp_ms.min(EXTENDED).into(), 3);
        out.put_uint(length as u64, 3);
        out.put_u8(self.type_id);
        out.put_u32_le(self.message_stream);
        self.write_extension(out);
    }

    /// The header of each further chunk.
    fn write_next(self, out: &mut BytesMut) {
        out.put_u8(0xC0 | self.chunk_stream);
        self.write_extension(out);
    }

    fn write_extension(self, out: &mut BytesMut) {
        if self.is_extended() {
            out.put_u32(self.timestamp_ms);
        }
    }
}

/// Length of a message of `parts`; `None` where 24 bits cannot say it.
fn length(parts: &[Bytes]) -> Option<usize> {
    let length = parts.iter().map(Bytes::len).sum();
    (length <= 0xFF_FFFF).then_some(length)
}

/// Appends the message of `parts` in chunks of `chunk_bytes`. False, and nothing written, for 16 MiB and more.
#[must_use]
pub(in crate::rtmp) fn write(
    header: Header,
    parts: &[Bytes],
    chunk_bytes: usize,
    out: &mut BytesMut,
) -> bool {
    let Some(length) = length(parts) else { return false };
    out.reserve(length + header.bytes(length.div_ceil(chunk_bytes).max(1)));
    header.write_first(length, out);
    let mut room = chunk_bytes;
    for part in parts {
        let mut rest = &part[..];
        while !rest.is_empty() {
            if room == 0 {
                header.write_next(out);
                room = chunk_bytes;
            }
            let (now, later) = rest.split_at(rest.len().min(room));
            out.extend_from_slice(now);
            room -= now.len();
            rest = later;
        }
    }
    true
}

/// Appends a media message whose payload is `parts`, in chunks of [`CHUNK_BYTES`]: good for every reader of the stream.
/// False, and nothing written, where the payload has 16 MiB or more: RTMP cannot say such a length.
#[must_use]
pub fn write_message(kind: Kind, timestamp_ms: u32, parts: &[Bytes], out: &mut BytesMut) -> bool {
    write(Header::media(kind, timestamp_ms, MESSAGE_STREAM), parts, CHUNK_BYTES, out)
}

/// The bytes of [`write_message`] as pieces to be sent one after the other: slices of the parts, and chunk headers
/// between them that share one allocation. False, and nothing given, for 16 MiB and more.
#[must_use]
pub fn message_pieces(kind: Kind, timestamp_ms: u32, parts: &[Bytes], out: &mut impl Extend<Bytes>) -> bool {
    let Some(length) = length(parts) else { return false };
    let header = Header::media(kind, timestamp_ms, MESSAGE_STREAM);
    let chunks = length.div_ceil(CHUNK_BYTES).max(1);
    let mut headers = BytesMut::with_capacity(header.bytes(chunks));
    header.write_first(length, &mut headers);
    out.extend([headers.split().freeze()]);
    let mut room = CHUNK_BYTES;
    for part in parts {
        let mut at = 0;
        while at < part.len() {
            if room == 0 {
                header.write_next(&mut headers);
                out.extend([headers.split().freeze()]);
                room = CHUNK_BYTES;
            }
            let end = part.len().min(at + room);
            out.extend([part.slice(at..end)]);
            room -= end - at;
            at = end;
        }
    }
    true
}
