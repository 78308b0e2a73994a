//! WebSocket (RFC 6455) as a server speaks it after the HTTP request: the accept key, frames out, frames in.
//!
//! What goes out is binary and unmasked, so one frame serves all clients. What comes in is masked; control frames are
//! given out, data frames are counted and thrown away, since nobody is told anything by them here. Left out: extensions
//! (none is offered), fragmented messages as wholes.

mod reader;

pub use reader::{Event, Reader};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, BytesMut};
use sha1::{Digest, Sha1};

/// Why bytes are no frame of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("invalid WebSocket frame: {what}")]
    Invalid { what: &'static str },
    /// A frame longer than [`crate::limits::WEBSOCKET_FRAME_BYTES_MAX`].
    #[error("a WebSocket frame of {bytes} bytes is too long")]
    Limit { bytes: u64 },
}

impl Error {
    /// The sort of fault, as a metric label.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Invalid { .. } => "invalid",
            Error::Limit { .. } => "limit",
        }
    }

    /// The status code that says it in a close frame (section 7.4.1).
    pub fn close_code(&self) -> u16 {
        match self {
            Error::Invalid { .. } => 1002,
            Error::Limit { .. } => 1009,
        }
    }
}

const OPCODE_BINARY: u8 = 0x2;
const OPCODE_CLOSE: u8 = 0x8;
const OPCODE_PONG: u8 = 0xA;
const FINAL: u8 = 0x80;

/// The value of `Sec-WebSocket-Accept` for a client's `Sec-WebSocket-Key` (section 4.2.2); `None` where the key is not
/// 16 bytes in base64.
pub fn accept(key: &str) -> Option<String> {
    let key = key.trim_ascii();
    let bytes = STANDARD.decode(key).ok()?;
    if bytes.len() != 16 {
        return None;
    }
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    Some(STANDARD.encode(hash.finalize()))
}

/// Appends the header of a binary frame whose payload of `payload_bytes` follows (section 5.2).
pub fn write_binary_header(payload_bytes: usize, out: &mut BytesMut) {
    write_header(OPCODE_BINARY, payload_bytes, out);
}

/// Appends a close frame with a status code of section 7.4.1.
pub fn write_close(code: u16, out: &mut BytesMut) {
    write_header(OPCODE_CLOSE, 2, out);
    out.put_u16(code);
}

/// Appends the answer to a ping, with its payload of at most 125 bytes.
pub fn write_pong(payload: &[u8], out: &mut BytesMut) {
    let payload = &payload[..payload.len().min(125)];
    write_header(OPCODE_PONG, payload.len(), out);
    out.put_slice(payload);
}

fn write_header(opcode: u8, payload_bytes: usize, out: &mut BytesMut) {
    out.put_u8(FINAL | opcode);
    match payload_bytes {
        0..126 => out.put_u8(payload_bytes as u8),
        126..0x1_0000 => {
            out.put_u8(126);
            out.put_u16(payload_bytes as u16);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(payload_bytes as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, Event, Reader, accept, write_binary_header, write_close, write_pong};
    use bytes::{Bytes, BytesMut};

    /// A masked frame of a client.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let mut frame = vec![first, 0x80 | payload.len() as u8];
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    #[test]
    fn the_example_of_section_1_3_is_accepted() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ==").as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(accept("short"), None);
    }

    #[test]
    fn headers_have_three_forms_of_length() {
        for (bytes, header) in [
            (5, vec![0x82, 5]),
            (256, vec![0x82, 126, 1, 0]),
            (65_536, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = BytesMut::new();
            write_binary_header(bytes, &mut out);
            assert_eq!(out[..], header[..]);
        }
        let mut out = BytesMut::new();
        write_close(1001, &mut out);
        write_pong(b"hi", &mut out);
        assert_eq!(out[..], [0x88, 2, 0x03, 0xe9, 0x8a, 2, b'h', b'i']);
    }

    #[test]
    fn frames_are_read_wherever_they_are_cut() {
        let mut input = masked(0x89, b"Hello");
        input.extend(masked(0x82, &[7; 100]));
        input.extend(masked(0x88, &[0x03, 0xe8]));
        for cut in 0..=input.len() {
            let mut reader = Reader::new();
            let mut events = Vec::new();
            for piece in [&input[..cut], &input[cut..]] {
                reader.push(Bytes::copy_from_slice(piece));
                while let Some(event) = reader.event().expect("valid") {
                    events.push(event);
                }
            }
            let ping = Event::Ping(Bytes::from_static(b"Hello"));
            assert_eq!(events, [ping, Event::Data { bytes: 100 }, Event::Close], "cut at {cut}");
        }
    }

    #[test]
    fn what_no_client_may_send_is_refused() {
        for (input, what) in [
            (&[0x82, 0x01, 0x00][..], "it is not masked"),
            (&[0xC2, 0x80, 0, 0, 0, 0], "a reserved bit is set"),
            (&[0x83, 0x80, 0, 0, 0, 0], "an unknown opcode"),
            (&[0x09, 0x80, 0, 0, 0, 0], "a control frame that is fragmented or too long"),
        ] {
            let mut reader = Reader::new();
            reader.push(Bytes::copy_from_slice(input));
            assert_eq!(reader.event(), Err(Error::Invalid { what }));
        }
        let mut reader = Reader::new();
        reader.push(Bytes::from_static(&[0x82, 0xFF, 0x7F, 0, 0, 0, 0, 0, 0, 0]));
        assert!(matches!(reader.event(), Err(Error::Limit { .. })));
    }
}
