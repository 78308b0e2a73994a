//! Joins chunks to messages.
//!
//! A message that lies in one chunk, and whole in the input, is a slice of it; others are joined once. What a peer can
//! make the reader keep is bounded: number of chunk streams, length of a message, bytes of all unfinished messages.
//! Bytes are set aside as they arrive, not for the length a header claims.

use super::{EXTENDED, INITIAL_CHUNK_BYTES};
use crate::limits::{RTMP_BUFFERED_BYTES_MAX, RTMP_CHUNK_STREAMS_MAX};
use crate::rtmp::error::Error;
use crate::rtmp::message::Message;
use bytes::{Buf, Bytes, BytesMut};

/// Basic header, message header and extended timestamp at their longest.
const HEADER_BYTES_MAX: usize = 3 + 11 + 4;
/// Bytes set aside at once for a message that is not whole in the input; longer ones grow as they arrive.
const RESERVE_BYTES: usize = 64 * 1024;

/// The last header of one chunk stream, and what came of the message it began.
#[derive(Debug, Default)]
struct ChunkStream {
    id: u32,
    timestamp_ms: u32,
    /// Timestamp of a type 0 header, delta of a type 1 or 2: what a type 3 that begins a message adds.
    delta_ms: u32,
    /// The last type 0, 1 or 2 header had an extended timestamp; so have the type 3 headers after it.
    extended: bool,
    length: usize,
    type_id: u8,
    message_stream: u32,
    /// Within a message: some of its chunks came.
    within: bool,
    partial: BytesMut,
}

/// A chunk header as it stands on the wire.
struct Header {
    kind: u8,
    chunk_stream: u32,
    /// Where it lies in [`Reader::streams`]; `None` for one not seen before.
    index: Option<usize>,
    /// Timestamp or delta (types 0 to 2), and whether it stood in the extension.
    time_ms: u32,
    extended: bool,
    /// Length and type (types 0 and 1), and message stream (type 0).
    length: usize,
    type_id: u8,
    message_stream: u32,
    /// Bytes of the header.
    bytes: usize,
}

/// The reader of one direction of a connection; see the module.
#[derive(Debug)]
pub struct Reader {
    streams: Vec<ChunkStream>,
    chunk_bytes: usize,
    message_bytes_max: usize,
    /// The beginning of a header that straddles inputs.
    header: [u8; HEADER_BYTES_MAX],
    header_bytes: usize,
    /// The chunk whose payload is being read: stream and bytes missing.
    current: Option<(usize, usize)>,
    /// Bytes of all partial messages.
    buffered: usize,
}

impl Reader {
    /// For messages of at most `message_bytes_max`.
    pub fn new(message_bytes_max: usize) -> Reader {
        Reader {
            streams: Vec::new(),
            chunk_bytes: INITIAL_CHUNK_BYTES,
            message_bytes_max,
            header: [0; HEADER_BYTES_MAX],
            header_bytes: 0,
            current: None,
            buffered: 0,
        }
    }

    /// Follows Set Chunk Size, which counts from the next chunk on.
    ///
    /// # Errors
    /// [`Error::Invalid`] for zero and for the bit the standard reserves.
    pub fn set_chunk_bytes(&mut self, chunk_bytes: u32) -> Result<(), Error> {
        if chunk_bytes == 0 || chunk_bytes > 0x7FFF_FFFF {
            return Err(Error::invalid("chunk size"));
        }
        // No message is longer than 24 bits can say; larger chunks make no difference.
        self.chunk_bytes = chunk_bytes.min(0xFF_FFFF) as usize;
        Ok(())
    }

    /// Bounds the messages that begin from now on.
    pub fn set_message_bytes_max(&mut self, message_bytes_max: usize) {
        self.message_bytes_max = message_bytes_max;
    }

    /// Follows Abort: drops what came of the message on that chunk stream.
    pub fn abort(&mut self, chunk_stream: u32) {
        if let Some(index) = self.find(chunk_stream) {
            self.drop_partial(index);
        }
    }

    /// Bytes kept of unfinished messages.
    pub fn buffered_bytes(&self) -> usize {
        self.buffered
    }

    /// Takes the next whole message from the front of `input`. `None`: `input` is empty now, and parts of messages may
    /// be kept inside.
    ///
    /// # Errors
    /// [`Error::Invalid`] and [`Error::Limit`], without a place; framing is lost then.
    pub fn read(&mut self, input: &mut Bytes) -> Result<Option<Message>, Error> {
        loop {
            let (index, missing) = match self.current {
                Some(current) => current,
                None => match self.read_header(input)? {
                    Some(header) => self.begin_chunk(&header)?,
                    None => return Ok(None),
                },
            };
            if missing > 0 && input.is_empty() {
                self.current = Some((index, missing));
                return Ok(None);
            }
            if let Some(message) = self.read_payload(index, missing, input)? {
                return Ok(Some(message));
            }
        }
    }

    fn find(&self, chunk_stream: u32) -> Option<usize> {
        self.streams.iter().position(|stream| stream.id == chunk_stream)
    }

    fn drop_partial(&mut self, index: usize) {
        let stream = &mut self.streams[index];
        self.buffered -= stream.partial.len();
        (stream.partial, stream.within) = (BytesMut::new(), false);
    }

    /// The next header, once it is whole.
    fn read_header(&mut self, input: &mut Bytes) -> Result<Option<Header>, Error> {
        if self.header_bytes == 0
            && let Some(header) = self.parse_header(input)
        {
            input.advance(header.bytes);
            return Ok(Some(header));
        }
        let before = self.header_bytes;
        let added = input.len().min(HEADER_BYTES_MAX - before);
        self.header[before..before + added].copy_from_slice(&input[..added]);
        let Some(header) = self.parse_header(&self.header[..before + added]) else {
            self.header_bytes = before + added;
            input.advance(added);
            return Ok(None);
        };
        // A continuation may turn out to have no extension after all; then its first bytes, taken for one, are payload.
        // They came with an earlier input, so they are put back in front.
        if header.bytes < before {
            let back = Bytes::copy_from_slice(&self.header[header.bytes..before]);
            let mut joined = BytesMut::with_capacity(back.len() + input.len());
            joined.extend_from_slice(&back);
            joined.extend_from_slice(input);
            *input = joined.freeze();
        } else {
            input.advance(header.bytes - before);
        }
        self.header_bytes = 0;
        Ok(Some(header))
    }

    /// The header at the front of `bytes`; `None` where there are too few.
    fn parse_header(&self, bytes: &[u8]) -> Option<Header> {
        let (&first, mut rest) = bytes.split_first()?;
        let kind = first >> 6;
        let chunk_stream = match first & 0x3F {
            0 => 64 + u32::from(take::<1>(&mut rest)?[0]),
            1 => 64 + u32::from(u16::from_le_bytes(*take(&mut rest)?)),
            id => u32::from(id),
        };
        let index = self.find(chunk_stream);
        let last = index.map(|index| &self.streams[index]);
        let (mut time_ms, mut extended) = (0, false);
        let (mut length, mut type_id, mut message_stream) =
            last.map_or((0, 0, 0), |last| (last.length, last.type_id, last.message_stream));
        if kind < 3 {
            time_ms = uint24(*take(&mut rest)?);
            extended = time_ms == EXTENDED;
            if kind < 2 {
                length = uint24(*take(&mut rest)?) as usize;
                type_id = take::<1>(&mut rest)?[0];
            }
            if kind == 0 {
                message_stream = u32::from_le_bytes(*take(&mut rest)?);
            }
            if extended {
                time_ms = u32::from_be_bytes(*take(&mut rest)?);
            }
        } else if let Some(last) = last.filter(|last| last.extended) {
            extended = true;
            if last.within {
                skip_repeated(last.delta_ms, &mut rest)?;
            } else {
                time_ms = u32::from_be_bytes(*take(&mut rest)?);
            }
        }
        let bytes = bytes.len() - rest.len();
        Some(Header { kind, chunk_stream, index, time_ms, extended, length, type_id, message_stream, bytes })
    }

    /// Takes over what the header says; gives the chunk stream and the bytes of the chunk's payload.
    fn begin_chunk(&mut self, header: &Header) -> Result<(usize, usize), Error> {
        let index = match header.index {
            Some(index) => index,
            // librtmp begins the chunk stream of its pings with type 1; there is no earlier time to add to, nor needed.
            None if header.kind > 1 => return Err(Error::invalid("first header of a chunk stream")),
            None if self.streams.len() == RTMP_CHUNK_STREAMS_MAX => {
                return Err(Error::limit("chunk streams", RTMP_CHUNK_STREAMS_MAX));
            }
            None => {
                self.streams.push(ChunkStream { id: header.chunk_stream, ..ChunkStream::default() });
                self.streams.len() - 1
            }
        };
        // A message that begins before the last one ended takes its place.
        if header.kind < 3 {
            self.drop_partial(index);
        }
        let stream = &mut self.streams[index];
        if !stream.within {
            if header.kind < 3 || header.extended {
                (stream.delta_ms, stream.extended) = (header.time_ms, header.extended);
            }
            stream.timestamp_ms = match header.kind {
                0 => header.time_ms,
                _ => stream.timestamp_ms.wrapping_add(stream.delta_ms),
            };
            stream.length = header.length;
            stream.type_id = header.type_id;
            stream.message_stream = header.message_stream;
            stream.within = true;
            if stream.length > self.message_bytes_max {
                return Err(Error::limit("bytes of a message", self.message_bytes_max));
            }
        }
        Ok((index, self.chunk_bytes.min(stream.length - stream.partial.len())))
    }

    /// Takes the payload of a chunk, as far as it is here; gives the message that it ends.
    fn read_payload(
        &mut self,
        index: usize,
        missing: usize,
        input: &mut Bytes,
    ) -> Result<Option<Message>, Error> {
        let stream = &mut self.streams[index];
        let taken = input.split_to(missing.min(input.len()));
        self.current = (taken.len() < missing).then_some((index, missing - taken.len()));
        let payload = if taken.len() == stream.length {
            taken
        } else {
            self.buffered += taken.len();
            if self.buffered > RTMP_BUFFERED_BYTES_MAX {
                return Err(Error::limit("bytes of unfinished messages", RTMP_BUFFERED_BYTES_MAX));
            }
            if stream.partial.capacity() - stream.partial.len() < taken.len() {
                // Doubling, but never past the end of the message.
                let kept = stream.partial.len();
                let wanted = (2 * kept).max(RESERVE_BYTES).max(kept + taken.len()).min(stream.length);
                stream.partial.reserve(wanted - kept);
            }
            stream.partial.extend_from_slice(&taken);
            if stream.partial.len() < stream.length {
                return Ok(None);
            }
            self.buffered -= stream.length;
            std::mem::take(&mut stream.partial).freeze()
        };
        stream.within = false;
        Ok(Some(Message {
            type_id: stream.type_id,
            message_stream: stream.message_stream,
            timestamp_ms: stream.timestamp_ms,
            payload,
        }))
    }
}

/// Skips the extended timestamp of a continuation. The standard repeats it there; some senders do not. Four bytes that
/// differ from the last ones are payload. `None` where that cannot be told yet.
fn skip_repeated(last_ms: u32, rest: &mut &[u8]) -> Option<()> {
    let expected = last_ms.to_be_bytes();
    let seen = &rest[..rest.len().min(4)];
    if !expected.starts_with(seen) {
        return Some(());
    }
    take::<4>(rest).map(|_| ())
}

fn take<'a, const BYTES: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; BYTES]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(taken)
}

fn uint24([high, middle, low]: [u8; 3]) -> u32 {
    u32::from_be_bytes([0, high, middle, low])
}
