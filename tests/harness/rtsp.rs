//! A raw RTSP client on a blocking socket: it sends any bytes, and reads answers and interleaved elements.
//!
//! It judges nothing: what a test expects stands in the test. Every read has a deadline.

use anyhow::{Context, Result, bail, ensure};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long an answer may take before it is a failure.
pub const ANSWER: Duration = Duration::from_secs(5);

/// An answer as it stood on the wire.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What a server may send.
#[derive(Debug, Clone)]
pub enum Element {
    Response(Response),
    /// A request of the server's own (ANNOUNCE, TEARDOWN): the request line.
    Request(String),
    Interleaved {
        channel: u8,
        payload: Vec<u8>,
    },
    /// The server closed its direction (FIN), or reset the connection.
    End,
}

/// One connection, and the session that lives on it.
pub struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    /// Interleaved elements that came while an answer was awaited.
    passed: VecDeque<Element>,
    cseq: u32,
    /// The `Session` header's value without parameters, once a SETUP was answered.
    pub session: Option<String>,
}

impl Connection {
    /// # Errors
    /// When nobody listens.
    pub fn open(server: SocketAddr) -> Result<Connection> {
        let stream =
            TcpStream::connect_timeout(&server, ANSWER).with_context(|| format!("connect to {server}"))?;
        Ok(Connection::over(stream))
    }

    /// Over a socket that was prepared by the caller (small buffers, a certain local address).
    pub fn over(stream: TcpStream) -> Connection {
        stream.set_nodelay(true).expect("a connected socket takes TCP_NODELAY");
        Connection { stream, input: Vec::new(), passed: VecDeque::new(), cseq: 0, session: None }
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

    /// Sends a request with the next CSeq and the session, without waiting for the answer.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send_request(
        &mut self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<()> {
        self.cseq += 1;
        let mut text = format!("{method} {url} RTSP/1.0\r\nCSeq: {}\r\n", self.cseq);
        if let Some(session) = &self.session {
            text += &format!("Session: {session}\r\n");
        }
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        self.send(format!("{text}\r\n{body}").as_bytes())
    }

    /// Sends a request and returns its answer; interleaved elements in between are kept for [`Connection::element`].
    ///
    /// # Errors
    /// When the connection ends or the answer takes longer than [`ANSWER`], or carries a foreign CSeq.
    pub fn request(
        &mut self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Response> {
        self.send_request(method, url, headers, body)?;
        let response = self.response().with_context(|| format!("{method} {url}"))?;
        let cseq = response.header("CSeq").unwrap_or_default();
        ensure!(cseq == self.cseq.to_string(), "{method}: the answer has CSeq {cseq:?}, not {}", self.cseq);
        Ok(response)
    }

    /// [`Connection::request`] that wants `200 OK`.
    ///
    /// # Errors
    /// When the status is another, besides the errors of `request`.
    pub fn ok(&mut self, method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Result<Response> {
        let response = self.request(method, url, headers, body)?;
        ensure!(response.status == 200, "{method} {url} was answered {}", response.status);
        Ok(response)
    }

    /// SETUP of one track; keeps the session.
    ///
    /// # Errors
    /// When it is not answered 200 with a session.
    pub fn set_up(&mut self, url: &str, transport: &str) -> Result<Response> {
        let response = self.ok("SETUP", url, &[("Transport", transport)], "")?;
        let session = response.header("Session").context("SETUP was answered without a Session header")?;
        self.session = Some(session.split(';').next().unwrap_or_default().trim().to_owned());
        Ok(response)
    }

    /// The next answer.
    ///
    /// # Errors
    /// When the connection ends first, or none comes within [`ANSWER`].
    pub fn response(&mut self) -> Result<Response> {
        let deadline = Instant::now() + ANSWER;
        loop {
            match self.read_element(deadline)? {
                Some(Element::Response(response)) => return Ok(response),
                Some(Element::End) => bail!("the server closed the connection instead of an answer"),
                Some(other) => self.passed.push_back(other),
                None => bail!("no answer within {ANSWER:?}"),
            }
        }
    }

    /// The next element of any kind, or `None` when `limit` passes without one.
    ///
    /// # Errors
    /// When what comes is no RTSP.
    pub fn element(&mut self, limit: Duration) -> Result<Option<Element>> {
        if let Some(element) = self.passed.pop_front() {
            return Ok(Some(element));
        }
        self.read_element(Instant::now() + limit)
    }

    /// Reads until the server closes; answers and media are dropped.
    ///
    /// # Errors
    /// When it has not closed within `limit`.
    pub fn until_closed(&mut self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            match self.read_element(deadline)? {
                Some(Element::End) => return Ok(()),
                Some(_) => {}
                None => bail!("the server has not closed the connection within {limit:?}"),
            }
        }
    }

    fn read_element(&mut self, deadline: Instant) -> Result<Option<Element>> {
        loop {
            if let Some((element, used)) = parse(&self.input)? {
                self.input.drain(..used);
                return Ok(Some(element));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream.set_read_timeout(Some(left))?;
            let mut piece = [0; 65536];
            match self.stream.read(&mut piece) {
                Ok(0) => return Ok(Some(Element::End)),
                Ok(length) => self.input.extend_from_slice(&piece[..length]),
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    return Ok(Some(Element::End));
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Ok(None);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// One element from the front of `input` and its length, or `None` when it is not all there.
fn parse(input: &[u8]) -> Result<Option<(Element, usize)>> {
    if input.first() == Some(&b'$') {
        let Some(&[_, channel, high, low]) = input.first_chunk::<4>() else { return Ok(None) };
        let end = 4 + usize::from(u16::from_be_bytes([high, low]));
        let payload = input.get(4..end).map(<[u8]>::to_vec);
        return Ok(payload.map(|payload| (Element::Interleaved { channel, payload }, end)));
    }
    let Some(head) = input.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        ensure!(input.len() < 65536, "64 KiB without the end of a header");
        return Ok(None);
    };
    let text = std::str::from_utf8(&input[..head]).context("a header that is not UTF-8")?;
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.map_or(Ok(0), |(_, value)| value.parse()).context("Content-Length")?;
    let Some(body) = input.get(head + 4..head + 4 + length) else { return Ok(None) };
    let element = match first.strip_prefix("RTSP/1.0 ") {
        Some(rest) => {
            let status =
                rest.get(..3).and_then(|code| code.parse().ok()).context("a status line without a status")?;
            Element::Response(Response { status, headers, body: body.to_vec() })
        }
        None => {
            ensure!(first.ends_with("RTSP/1.0"), "neither an answer nor a request: {first:?}");
            Element::Request(first.to_owned())
        }
    };
    Ok(Some((element, head + 4 + length)))
}
