//! What several tests need.

use bytes::Bytes;
use headwater_protocols::rtsp::decoder::{Decoder, Element};
use headwater_protocols::rtsp::error::Error;
use headwater_protocols::rtsp::message::{Request, Response};

/// A small seeded generator (SplitMix64): the same seed gives the same run.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// Every element of `bytes` fed in pieces of the lengths that `pieces` gives; whether the end lies between elements.
pub(crate) fn decode_in_pieces(
    bytes: &[u8],
    mut pieces: impl FnMut() -> usize,
) -> (Vec<Element>, Result<bool, Error>) {
    let mut decoder = Decoder::new();
    let mut found = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(pieces().clamp(1, rest.len()));
        let mut input = Bytes::copy_from_slice(piece);
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(element)) => found.push(element),
                Ok(None) => break,
                Err(error) => return (found, Err(error)),
            }
        }
        assert!(input.is_empty(), "the decoder takes all it is given");
        rest = after;
    }
    (found, Ok(decoder.is_idle()))
}

pub(crate) fn decode(bytes: &[u8]) -> (Vec<Element>, Result<bool, Error>) {
    decode_in_pieces(bytes, || usize::MAX)
}

pub(crate) fn request(text: &str) -> Request {
    match decode(text.as_bytes()) {
        (mut elements, Ok(true)) if elements.len() == 1 => match elements.remove(0) {
            Element::Request(request) => request,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

pub(crate) fn response(text: &str) -> Response {
    match decode(text.as_bytes()) {
        (mut elements, Ok(true)) if elements.len() == 1 => match elements.remove(0) {
            Element::Response(response) => response,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}
