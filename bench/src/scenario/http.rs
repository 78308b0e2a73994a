//! HTTP/1.1 as a client speaks it on one connection that is kept: one GET after the other (RFC 9112). Bodies with a
//! length, in chunks, or up to the end of the connection; what nobody looks at may be taken off the socket unread.

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Buf as _, Bytes, BytesMut};

use crate::limits;

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Head(Head),
    Body(Bytes),
    /// The response is complete.
    End,
}

/// The head of a response, as far as clients here care.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    /// `name=value` of each Set-Cookie.
    pub(crate) cookies: Vec<String>,
    length: Option<u64>,
    chunked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Head,
    /// Bytes of the body that are missing.
    Counted(u64),
    ChunkSize,
    /// Bytes of the chunk that are missing, without its line end.
    Chunk(u64),
    ChunkEnd,
    Trailer,
    /// The body ends with the connection.
    Endless,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Exchange {
    state: State,
    input: BytesMut,
}

impl Exchange {
    pub(crate) fn new() -> Exchange {
        Exchange { state: State::Idle, input: BytesMut::new() }
    }

    /// Asks for `target`; the response before has ended. `headers`: whole lines with their ends.
    pub(crate) fn request(&mut self, host: &str, target: &str, headers: &str, out: &mut BytesMut) {
        debug_assert_eq!(self.state, State::Idle, "one request at a time");
        self.state = State::Head;
        let text = format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: headwater-bench\r\nAccept: */*\r\n{headers}\r\n"
        );
        out.extend_from_slice(text.as_bytes());
    }

    pub(crate) fn idle(&self) -> bool {
        self.state == State::Idle
    }

    /// Bytes that may be taken off the connection without being shown here.
    pub(crate) fn passable(&self) -> usize {
        match self.state {
            _ if !self.input.is_empty() => 0,
            State::Counted(missing) | State::Chunk(missing) => usize::try_from(missing).unwrap_or(usize::MAX),
            State::Endless => usize::MAX,
            _ => 0,
        }
    }

    /// So many were; then [`Exchange::poll`] again.
    pub(crate) fn passed(&mut self, bytes: usize) {
        if let State::Counted(missing) | State::Chunk(missing) = &mut self.state {
            *missing = missing.saturating_sub(bytes as u64);
        }
    }

    /// Takes bytes of the server; drain [`Exchange::poll`] then.
    pub(crate) fn push(&mut self, input: &[u8]) {
        self.input.extend_from_slice(input);
    }

    /// The next event; `None` until more comes.
    pub(crate) fn poll(&mut self) -> Result<Option<Event>> {
        loop {
            match self.state {
                State::Idle => {
                    ensure!(self.input.is_empty(), "the server sends what nobody asked for");
                    return Ok(None);
                }
                State::Head => {
                    let Some(text) = self.lines(b"\r\n\r\n")? else { return Ok(None) };
                    let head = Head::parse(&text)?;
                    if (100..200).contains(&head.status) {
                        continue;
                    }
                    self.state = head.body();
                    return Ok(Some(Event::Head(head)));
                }
                State::Counted(0) => return Ok(Some(self.end())),
                State::Chunk(0) => self.state = State::ChunkEnd,
                State::Counted(missing) | State::Chunk(missing) => {
                    let bytes = self.input.len().min(usize::try_from(missing).unwrap_or(usize::MAX));
                    if bytes == 0 {
                        return Ok(None);
                    }
                    self.passed(bytes);
                    return Ok(Some(Event::Body(self.input.split_to(bytes).freeze())));
                }
                State::ChunkSize => {
                    let Some(line) = self.lines(b"\r\n")? else { return Ok(None) };
                    let size = line.split(';').next().unwrap_or("").trim();
                    let size = u64::from_str_radix(size, 16).context("the size of a chunk")?;
                    self.state = if size == 0 { State::Trailer } else { State::Chunk(size) };
                }
                State::ChunkEnd => {
                    if self.input.len() < 2 {
                        return Ok(None);
                    }
                    ensure!(self.input.starts_with(b"\r\n"), "a chunk is longer than its size");
                    self.input.advance(2);
                    self.state = State::ChunkSize;
                }
                State::Trailer => {
                    let Some(line) = self.lines(b"\r\n")? else { return Ok(None) };
                    if line.trim().is_empty() {
                        return Ok(Some(self.end()));
                    }
                }
                State::Endless if self.input.is_empty() => return Ok(None),
                State::Endless => return Ok(Some(Event::Body(self.input.split().freeze()))),
            }
        }
    }

    fn end(&mut self) -> Event {
        self.state = State::Idle;
        Event::End
    }

    /// The text up to and with `end`, once it is there.
    fn lines(&mut self, end: &[u8]) -> Result<Option<String>> {
        let Some(at) = self.input.windows(end.len()).position(|window| window == end) else {
            ensure!(self.input.len() <= limits::HTTP_HEAD_BYTES_MAX, "a head without an end");
            return Ok(None);
        };
        let text = self.input.split_to(at + end.len());
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }
}

impl Head {
    fn parse(text: &str) -> Result<Head> {
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or("");
        let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let mut head =
            Head { status: status.with_context(|| format!("{first:?} is no status"))?, ..Head::default() };
        for line in lines {
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => head.length = Some(value.parse().context("Content-Length")?),
                "transfer-encoding" => head.chunked = value.eq_ignore_ascii_case("chunked"),
                "location" => head.location = Some(value.to_owned()),
                "set-cookie" => head.cookies.push(value.split(';').next().unwrap_or("").to_owned()),
                "content-encoding" => bail!("a content encoding that nobody asked for: {value}"),
                _ => {}
            }
        }
        Ok(head)
    }

    fn body(&self) -> State {
        match (self.status, self.chunked, self.length) {
            (204 | 304, ..) => State::Counted(0),
            (_, true, _) => State::ChunkSize,
            (_, false, Some(length)) => State::Counted(length),
            (_, false, None) => State::Endless,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(response: &[u8], step: usize) -> (Head, Vec<u8>) {
        let mut exchange = Exchange::new();
        exchange.request("h", "/", "", &mut BytesMut::new());
        let (mut head, mut body) = (None, Vec::new());
        for piece in response.chunks(step) {
            exchange.push(piece);
            while let Some(event) = exchange.poll().expect("sound") {
                match event {
                    Event::Head(found) => head = Some(found),
                    Event::Body(bytes) => body.extend_from_slice(&bytes),
                    Event::End => assert!(exchange.idle()),
                }
            }
        }
        assert!(exchange.idle(), "the response is complete");
        (head.expect("a head"), body)
    }

    #[test]
    fn bodies_are_read_however_they_are_cut() {
        let counted = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a=b; Path=/\r\n\r\nhello";
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n";
        for step in [1, 2, 7, 1_000] {
            let (head, body) = read(counted, step);
            assert_eq!(
                (head.status, &head.cookies[..], &body[..]),
                (200, &["a=b".to_owned()][..], &b"hello"[..])
            );
            assert_eq!(read(chunked, step).1, b"hello");
        }
        let (head, _) = read(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", 9);
        assert_eq!((head.status, head.location.as_deref()), (302, Some("/x")));
    }

    #[test]
    fn bodies_may_pass_unread() {
        let mut exchange = Exchange::new();
        exchange.request("h", "/", "", &mut BytesMut::new());
        exchange.push(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
        assert!(matches!(exchange.poll(), Ok(Some(Event::Head(_)))));
        assert_eq!((exchange.poll().expect("sound"), exchange.passable()), (None, 10));
        exchange.passed(10);
        assert_eq!(exchange.poll().expect("sound"), Some(Event::End));
    }

    #[test]
    fn what_is_no_response_is_an_error() {
        for wrong in [&b"RTSP/1.0 200 OK\r\n\r\n"[..], b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"] {
            let mut exchange = Exchange::new();
            exchange.request("h", "/", "", &mut BytesMut::new());
            exchange.push(wrong);
            assert!(exchange.poll().is_err());
        }
        let mut exchange = Exchange::new();
        exchange.push(b"x");
        assert!(exchange.poll().is_err());
    }
}
