//! Where a chunked body ends (RFC 9112, section 7.1).
//!
//! hyper decodes the body; this only finds its last byte, so that hyper is not given the request that follows. What
//! hyper would take and this would not is refused, never guessed at.

use super::error::Error;

/// How far a chunked body has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunked {
    Size {
        value: u64,
        digits: u8,
    },
    Extension {
        size: u64,
    },
    SizeLineFeed {
        size: u64,
    },
    Content {
        left: u64,
    },
    ContentReturn,
    ContentLineFeed,
    /// At the beginning of a trailer's line, or of the empty one that ends the body.
    TrailerStart,
    Trailer,
    LastLineFeed,
    Whole,
}

impl Chunked {
    pub(super) const START: Chunked = Chunked::Size { value: 0, digits: 0 };

    /// Goes through `bytes` up to the end of the body. Returns how many of them belong to it.
    ///
    /// # Errors
    /// What is no chunked body.
    pub(super) fn measure(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let mut at = 0;
        while at < bytes.len() && *self != Chunked::Whole {
            if let Chunked::Content { left } = self {
                let n = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - at);
                at += n;
                *left -= n as u64;
                if *left == 0 {
                    *self = Chunked::ContentReturn;
                }
                continue;
            }
            *self = self.step(bytes[at])?;
            at += 1;
        }
        Ok(at)
    }

    fn step(self, byte: u8) -> Result<Chunked, Error> {
        let invalid = Err(Error::Invalid("chunk"));
        Ok(match (self, byte) {
            // Sixteen digits are all that 64 bits hold.
            (Chunked::Size { value, digits: digits @ 0..16 }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = (byte as char).to_digit(16).unwrap_or_default();
                Chunked::Size { value: value << 4 | u64::from(digit), digits: digits + 1 }
            }
            (Chunked::Size { value, digits: 1.. }, b'\r') => Chunked::SizeLineFeed { size: value },
            (Chunked::Size { value, digits: 1.. }, b';' | b' ' | b'\t') => Chunked::Extension { size: value },
            (Chunked::Extension { size }, b'\r') => Chunked::SizeLineFeed { size },
            (Chunked::Extension { .. }, b'\n') => return invalid,
            (Chunked::Extension { size }, _) => Chunked::Extension { size },
            (Chunked::SizeLineFeed { size: 0 }, b'\n') => Chunked::TrailerStart,
            (Chunked::SizeLineFeed { size }, b'\n') => Chunked::Content { left: size },
            (Chunked::ContentReturn, b'\r') => Chunked::ContentLineFeed,
            (Chunked::ContentLineFeed, b'\n') => Chunked::START,
            (Chunked::TrailerStart, b'\r') => Chunked::LastLineFeed,
            (Chunked::TrailerStart | Chunked::Trailer, b'\n') => Chunked::TrailerStart,
            (Chunked::TrailerStart | Chunked::Trailer, _) => Chunked::Trailer,
            (Chunked::LastLineFeed, b'\n') => Chunked::Whole,
            _ => return invalid,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Chunked;

    /// Measures in two parts, at every place.
    fn measure(bytes: &[u8]) -> Option<usize> {
        let mut results = (0..=bytes.len()).map(|split| {
            let mut chunked = Chunked::START;
            let first = chunked.measure(&bytes[..split]).ok()?;
            let second = chunked.measure(&bytes[split..]).ok()?;
            (chunked == Chunked::Whole).then_some(first + second)
        });
        let first = results.next()?;
        assert!(results.all(|other| other == first), "the same wherever it is split");
        first
    }

    #[test]
    fn the_end_of_a_body_is_found() {
        assert_eq!(measure(b"0\r\n\r\nGET"), Some(5));
        assert_eq!(measure(b"3\r\nabc\r\n00A;x=\"y\"\r\n0123456789\r\n0\r\n\r\n0\r\n"), Some(36));
        assert_eq!(measure(b"0\r\nA: b\r\nC: d\r\n\r\n!"), Some(17));
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for bytes in [
            &b"\r\n\r\n"[..],
            b"x\r\n",
            b"-1\r\n",
            b"3\nabc\r\n0\r\n\r\n",
            b"3\r\nabcd\r\n0\r\n\r\n",
            b"10000000000000000\r\n",
            b"1;a\nb\r\n",
            b"0\r\n\rX",
        ] {
            assert_eq!(measure(bytes), None, "{}", bytes.escape_ascii());
        }
    }
}
