//! PROXY protocol headers: bounded, the same however they are cut, and what is written is read.

use headwater_protocols::proxy_protocol::{
    Error, HEADER_BYTES_MAX, Header, TLV_CRC32C, decode, write_v1, write_v2,
};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The first byte says how the rest is dressed: as it is, as the fields of a line, as what follows the signature (the
/// length is added), or the same with a checksum that may be right.
pub fn proxy_protocol(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    match kind % 4 {
        0 => check(rest),
        1 => check(&[b"PROXY ", rest, b"\r\n"].concat()),
        2 => check(&dressed(rest, &[])),
        _ => {
            let mut bytes = dressed(rest, &[TLV_CRC32C, 0, 4, 0, 0, 0, 0]);
            check(&bytes);
            // A refusal says what the checksum should have been.
            if let Err(Error::Checksum { said: 0, found }) = decode(&bytes) {
                let at = bytes.len() - 4;
                bytes[at..].copy_from_slice(&found.to_be_bytes());
                assert!(matches!(decode(&bytes), Ok(Some((_, length))) if length == bytes.len()));
                check(&bytes);
            }
        }
    }
}

/// Signature, two bytes, the length of what follows, and that.
fn dressed(rest: &[u8], end: &[u8]) -> Vec<u8> {
    let (fixed, body) = rest.split_at(rest.len().min(2));
    let length = u16::try_from(body.len() + end.len()).unwrap_or(u16::MAX).to_be_bytes();
    [SIGNATURE, fixed, &length, body, end].concat()
}

fn check(bytes: &[u8]) {
    let whole = decode(bytes);
    let decided = match whole {
        Ok(None) => {
            assert!(bytes.len() < HEADER_BYTES_MAX, "what is asked for is bounded");
            return;
        }
        Ok(Some((header, length))) => {
            assert!(length <= bytes.len() && length <= HEADER_BYTES_MAX);
            assert_eq!(decode(&bytes[..length]), whole, "what follows makes no difference");
            round_trip(header);
            length
        }
        Err(error) => {
            assert!(!error.kind().is_empty() && !error.to_string().is_empty());
            bytes.len()
        }
    };
    // However it is cut, the outcome is the same, only later.
    for cut in (0..decided).rev().take(64) {
        let early = decode(&bytes[..cut]);
        assert!(early == Ok(None) || early == whole && early.is_err(), "{early:?} before {whole:?}");
    }
}

fn round_trip(header: Header) {
    assert_eq!(header.source.is_some(), header.destination.is_some());
    let line = write_v1(&header);
    assert_eq!(decode(line.as_bytes()), Ok(Some((header, line.len()))));
    for checksum in [false, true] {
        let bytes = write_v2(&header, checksum);
        assert_eq!(decode(&bytes), Ok(Some((header, bytes.len()))));
    }
}
