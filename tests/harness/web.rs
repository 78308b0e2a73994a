//! A raw HTTP/1.1 client on a blocking socket: it sends any bytes and reads whole answers. Every read has a deadline.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long an answer may take before it is a failure. Wrong credentials are answered after up to 4 s.
pub const ANSWER: Duration = Duration::from_secs(10);

/// An answer as it stood on the wire, its body without the framing.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// # Errors
    /// When the body is no JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("no JSON: {:?}", self.text()))
    }
}

/// One connection.
pub struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Connection {
    /// # Errors
    /// When nobody listens.
    pub fn open(server: SocketAddr) -> Result<Connection> {
        let stream =
            TcpStream::connect_timeout(&server, ANSWER).with_context(|| format!("connect to {server}"))?;
        Ok(Connection::over(stream))
    }

    /// Over a socket that the caller prepared.
    pub fn over(stream: TcpStream) -> Connection {
        stream.set_nodelay(true).expect("a connected socket takes TCP_NODELAY");
        stream.set_write_timeout(Some(ANSWER)).expect("the time is not zero");
        Connection { stream, input: Vec::new() }
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Sends a request, without waiting for the answer.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send_request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<()> {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: headwater\r\n");
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            text += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        }
        self.send(format!("{text}\r\n{body}").as_bytes())
    }

    /// The next answer whole, or `None` when the server closed or reset the connection before one.
    ///
    /// # Errors
    /// When none comes within `limit`, or what comes is no HTTP.
    pub fn answer(&mut self, limit: Duration) -> Result<Option<Answer>> {
        let deadline = Instant::now() + limit;
        let mut ended = false;
        loop {
            if let Some((answer, used)) = parse(&self.input, ended)? {
                self.input.drain(..used);
                return Ok(Some(answer));
            }
            if ended {
                return Ok(None);
            }
            ended = !self.receive(deadline)?;
        }
    }

    /// What has come so far of an answer that has no end, such as a stream of events.
    ///
    /// # Errors
    /// When `text` has not come within `limit`.
    pub fn until_text(&mut self, text: &str, limit: Duration) -> Result<String> {
        let deadline = Instant::now() + limit;
        loop {
            let come = String::from_utf8_lossy(&self.input).into_owned();
            if come.contains(text) {
                return Ok(come);
            }
            let goes_on = self.receive(deadline).with_context(|| format!("no {text:?} in {come:?}"))?;
            ensure!(goes_on, "the connection ended without {text:?} in {come:?}");
        }
    }

    /// Waits until `bytes` have come, anywhere.
    ///
    /// # Errors
    /// When they have not within `limit`.
    pub fn until_bytes(&mut self, bytes: &[u8], limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !self.input.windows(bytes.len()).any(|window| window == bytes) {
            ensure!(self.receive(deadline)?, "the connection ended without {bytes:02x?}");
        }
        Ok(())
    }

    /// Reads until the server closes.
    ///
    /// # Errors
    /// When it has not within `limit`.
    pub fn until_closed(&mut self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        while self.receive(deadline)? {}
        Ok(())
    }

    /// Whether the connection goes on.
    fn receive(&mut self, deadline: Instant) -> Result<bool> {
        let left = deadline.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "nothing came in time");
        self.stream.set_read_timeout(Some(left))?;
        let mut piece = [0; 65536];
        match self.stream.read(&mut piece) {
            Ok(0) => Ok(false),
            Ok(length) => {
                self.input.extend_from_slice(&piece[..length]);
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                Ok(false)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                bail!("nothing came in time")
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// One request on a connection of its own.
///
/// # Errors
/// When there is no whole answer within [`ANSWER`].
pub fn request(
    server: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer> {
    let mut connection = Connection::open(server)?;
    let headers = [headers, &[("Connection", "close")]].concat();
    connection.send_request(method, path, &headers, body)?;
    let answer = connection.answer(ANSWER).with_context(|| format!("{method} {path}"))?;
    answer.with_context(|| format!("{method} {path}: closed without an answer"))
}

/// GET without credentials.
///
/// # Errors
/// As [`request`].
pub fn get(server: SocketAddr, path: &str) -> Result<Answer> {
    request(server, "GET", path, &[], "")
}

/// `Basic …` of a name and password.
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))
}

/// Base64 with padding.
pub fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letters = bytes.chunks(3).flat_map(|chunk| {
        let padded = [chunk[0], *chunk.get(1).unwrap_or(&0), *chunk.get(2).unwrap_or(&0)];
        let bits = u32::from_be_bytes([0, padded[0], padded[1], padded[2]]);
        (0..4).map(move |place| {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
            if place <= chunk.len() { char::from(letter) } else { '=' }
        })
    });
    letters.collect()
}

/// One answer from the front of `input` and its length, or `None` when it is not all there.
fn parse(input: &[u8], ended: bool) -> Result<Option<(Answer, usize)>> {
    let Some(head) = input.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        ensure!(input.len() < 1 << 20, "1 MiB without the end of a header");
        return Ok(None);
    };
    let text = std::str::from_utf8(&input[..head]).context("a header that is not UTF-8")?;
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first.strip_prefix("HTTP/1.1 ").or(first.strip_prefix("HTTP/1.0 "));
    let status = status.and_then(|rest| rest.get(..3)).with_context(|| format!("no HTTP: {first:?}"))?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    let mut answer = Answer { status: status.parse()?, headers, body: Vec::new() };
    let body = &input[head + 4..];
    if answer.header("Transfer-Encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        let Some((whole, used)) = chunks(body)? else { return Ok(None) };
        answer.body = whole;
        return Ok(Some((answer, head + 4 + used)));
    }
    let length = match answer.header("Content-Length") {
        Some(length) => length.parse().context("Content-Length")?,
        None if matches!(answer.status, 100..200 | 204 | 304) => 0,
        None if ended => body.len(),
        None => return Ok(None),
    };
    let Some(whole) = body.get(..length) else { return Ok(None) };
    answer.body = whole.to_vec();
    Ok(Some((answer, head + 4 + length)))
}

/// A chunked body and its length on the wire.
fn chunks(input: &[u8]) -> Result<Option<(Vec<u8>, usize)>> {
    let (mut whole, mut at) = (Vec::new(), 0);
    loop {
        let Some(line) = input[at..].windows(2).position(|bytes| bytes == b"\r\n") else { return Ok(None) };
        let size = std::str::from_utf8(&input[at..at + line])?;
        let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16)?;
        let start = at + line + 2;
        let Some(chunk) = input.get(start..start + size + 2) else { return Ok(None) };
        if size == 0 {
            return Ok(Some((whole, start + 2)));
        }
        whole.extend_from_slice(&chunk[..size]);
        at = start + size + 2;
    }
}
