//! Where a request's head ends, and how its body is framed (RFC 9112, sections 2, 3.2 and 6).
//!
//! hyper reads the head after this. What matters here is that the request's end is known, and that no other server
//! on the way could have seen another one: a request with both `Content-Length` and `Transfer-Encoding`, with two
//! lengths, with an odd coding, or without exactly one `Host` is refused.

use super::error::Error;
use crate::limits;

/// How the body after a head ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// With so many bytes.
    Length(u64),
    Chunked,
}

/// A scan of a head that may come in parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// Where the line begins that was not whole.
    line: usize,
    /// Bytes that have no line feed from `line` on.
    searched: usize,
    lines: usize,
    /// The request line says HTTP/1.1.
    needs_host: bool,
    hosts: u8,
    length: Option<u64>,
    chunked: bool,
}

impl Scan {
    /// Goes on with `bytes`, which begin like those of the last call. Returns the length of the head once it is whole.
    ///
    /// # Errors
    /// More headers than [`limits::HTTP_HEADERS_MAX`]; framing that is invalid, ambiguous or unknown.
    pub(super) fn go_on(&mut self, bytes: &[u8]) -> Result<Option<(usize, Framing)>, Error> {
        loop {
            let from = self.searched.max(self.line);
            let Some(found) = bytes[from..].iter().position(|byte| *byte == b'\n') else {
                self.searched = bytes.len();
                return Ok(None);
            };
            let end = from + found;
            let line = &bytes[self.line..end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            self.line = end + 1;
            if line.is_empty() {
                return Ok(Some((end + 1, self.framing()?)));
            }
            if self.lines == 0 {
                self.needs_host = line.ends_with(b"HTTP/1.1");
            } else {
                self.header(line)?;
            }
            self.lines += 1;
            if self.lines > limits::HTTP_HEADERS_MAX + 1 {
                return Err(Error::HeadTooLarge);
            }
        }
    }

    fn header(&mut self, line: &[u8]) -> Result<(), Error> {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return Err(Error::Invalid("header"));
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.hosts = self.hosts.saturating_add(1),
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
                let length =
                    std::str::from_utf8(value).ok().filter(|_| digits).and_then(|text| text.parse().ok());
                if length.is_none() || self.length.is_some() {
                    return Err(Error::Invalid("content-length"));
                }
                self.length = length;
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if self.chunked {
                    return Err(Error::Invalid("transfer-encoding"));
                }
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Error::Unsupported("transfer-encoding"));
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn framing(&self) -> Result<Framing, Error> {
        if self.hosts > 1 || self.hosts == 0 && self.needs_host {
            return Err(Error::Invalid("host"));
        }
        match (self.length, self.chunked) {
            (Some(_), true) => Err(Error::Invalid("content-length with transfer-encoding")),
            (length, false) => Ok(Framing::Length(length.unwrap_or(0))),
            (None, true) => Ok(Framing::Chunked),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Framing, Scan};
    use http::StatusCode;

    /// Scans with every prefix first.
    fn scan(text: &str) -> Result<Option<(usize, Framing)>, StatusCode> {
        let whole = Scan::default().go_on(text.as_bytes());
        let mut scan = Scan::default();
        let mut last = Ok(None);
        for end in 0..=text.len() {
            last = scan.go_on(&text.as_bytes()[..end]);
            if !matches!(last, Ok(None)) {
                break;
            }
        }
        let status = |error: super::Error| error.status().expect("a refusal");
        let (whole, last) = (whole.map_err(status), last.map_err(status));
        assert_eq!(whole, last, "{text:?}");
        whole
    }

    #[test]
    fn heads_end_at_the_empty_line() {
        assert_eq!(scan("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET"), Ok(Some((27, Framing::Length(0)))));
        assert_eq!(scan("GET / HTTP/1.0\n\nrest"), Ok(Some((16, Framing::Length(0)))));
        assert_eq!(
            scan("PUT / HTTP/1.1\r\nhOST:a\r\ncontent-LENGTH:  17 \r\n\r\n"),
            Ok(Some((48, Framing::Length(17))))
        );
        assert_eq!(
            scan("PUT / HTTP/1.1\r\nhost:a\r\nTransfer-Encoding: Chunked\r\n\r\n"),
            Ok(Some((54, Framing::Chunked)))
        );
        assert_eq!(scan("GET / HTTP/1.1\r\nHost: a\r\n"), Ok(None));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for headers in [
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
            "Content-Length: 3\r\nContent-Length: 3\r\n",
            "Content-Length: 3, 3\r\n",
            "Content-Length: +3\r\n",
            "Content-Length:\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Host: b\r\n",
            " folded\r\n",
        ] {
            let text = format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
            assert_eq!(scan(&text), Err(StatusCode::BAD_REQUEST), "{headers:?}");
        }
        for coding in ["gzip, chunked", "xchunked", "identity"] {
            let text = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n");
            assert_eq!(scan(&text), Err(StatusCode::NOT_IMPLEMENTED), "{coding}");
        }
        assert_eq!(scan("GET / HTTP/1.1\r\n\r\n"), Err(StatusCode::BAD_REQUEST));
    }
}
