//! A raw HTTP/1.1 client on a blocking socket, for the control ports: every answer as it stood on the wire, and JSON.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long an answer may take before it is a failure.
pub const ANSWER: Duration = Duration::from_secs(60);

/// An answer.
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

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// # Errors
    /// When the body is no JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("{}: {}", self.status, self.text()))
    }

    /// The answer, when it has this status.
    ///
    /// # Errors
    /// When it has another: shows the body.
    pub fn expect(self, status: u16) -> Result<Response> {
        ensure!(self.status == status, "status {} and not {status}: {}", self.status, self.text());
        Ok(self)
    }
}

trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

/// One connection; requests on it follow one another.
pub struct Client {
    wire: BufReader<Box<dyn Wire>>,
}

impl Client {
    /// # Errors
    /// When nobody listens.
    pub fn open(server: SocketAddr) -> Result<Client> {
        let stream = TcpStream::connect_timeout(&server, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        stream.set_nodelay(true)?;
        Ok(Client { wire: BufReader::new(Box::new(stream)) })
    }

    /// From another address of this machine.
    ///
    /// # Errors
    /// When nobody listens, or the address is not this machine's.
    pub fn open_from(source: IpAddr, server: SocketAddr) -> Result<Client> {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(source, 0).into())?;
        socket.set_read_timeout(Some(ANSWER))?;
        socket.set_write_timeout(Some(ANSWER))?;
        socket.connect_timeout(&server.into(), ANSWER)?;
        Ok(Client { wire: BufReader::new(Box::new(TcpStream::from(socket))) })
    }

    /// # Errors
    /// When nobody listens.
    pub fn open_unix(socket: &Path) -> Result<Client> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(ANSWER))?;
        Ok(Client { wire: BufReader::new(Box::new(stream)) })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.wire.get_mut().write_all(bytes)?)
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// When the connection is lost, or the answer takes longer than [`ANSWER`].
    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            head += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        }
        self.send(&[head.as_bytes(), b"\r\n", body].concat())?;
        self.response(method).with_context(|| format!("{method} {target}"))
    }

    /// Reads the next answer, to a request of this method.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub fn response(&mut self, method: &str) -> Result<Response> {
        let (status, headers) = self.head()?;
        let mut response = Response { status, headers, body: Vec::new() };
        if method == "HEAD" || matches!(status, 204 | 304) {
            return Ok(response);
        }
        if let Some(length) = response.header("Content-Length") {
            response.body = vec![0; length.parse()?];
            self.wire.read_exact(&mut response.body)?;
        } else if response.header("Transfer-Encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk()? {
                response.body.extend(chunk);
            }
        } else {
            self.wire.read_to_end(&mut response.body)?;
        }
        Ok(response)
    }

    /// Reads status and headers alone, for an answer without end.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub fn head(&mut self) -> Result<(u16, Vec<(String, String)>)> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.with_context(|| format!("no status line: {first:?}"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok((status, headers));
            }
            let (name, value) = line.split_once(':').with_context(|| format!("no header: {line:?}"))?;
            headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }

    /// The next chunk of a chunked body, `None` at its end.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn chunk(&mut self) -> Result<Option<Vec<u8>>> {
        let line = self.line()?;
        let length = usize::from_str_radix(line.trim(), 16).with_context(|| format!("a chunk's {line:?}"))?;
        let mut chunk = vec![0; length + 2];
        self.wire.read_exact(&mut chunk)?;
        chunk.truncate(length);
        Ok((length > 0).then_some(chunk))
    }

    /// Reads what comes until `enough` says so of all that came.
    ///
    /// # Errors
    /// When the connection ends before, or nothing comes for [`ANSWER`].
    pub fn until(&mut self, mut enough: impl FnMut(&[u8]) -> bool) -> Result<Vec<u8>> {
        let mut come = Vec::new();
        while !enough(&come) {
            let piece = self.wire.fill_buf()?;
            let length = piece.len();
            ensure!(length > 0, "the server closed after {} bytes", come.len());
            come.extend_from_slice(piece);
            self.wire.consume(length);
        }
        Ok(come)
    }

    /// Reads until the server closes the connection, and returns what came.
    ///
    /// # Errors
    /// When nothing comes for [`ANSWER`], and it stays open.
    pub fn until_closed(&mut self) -> Result<Vec<u8>> {
        let mut come = Vec::new();
        match self.wire.read_to_end(&mut come) {
            Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => Err(error.into()),
            _ => Ok(come),
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.wire.read_line(&mut line)? == 0 {
            bail!("the server closed the connection");
        }
        Ok(line.trim_end().to_owned())
    }
}

/// One request on a connection of its own.
///
/// # Errors
/// As [`Client::request`].
pub fn request(server: SocketAddr, method: &str, target: &str, body: &str) -> Result<Response> {
    Client::open(server)?.request(method, target, &[("Connection", "close")], body.as_bytes())
}

/// GET that wants 200 and JSON.
///
/// # Errors
/// When the answer is another.
pub fn get(server: SocketAddr, target: &str) -> Result<Value> {
    let answer = request(server, "GET", target, "")?;
    answer.expect(200).and_then(|answer| answer.json()).with_context(|| format!("GET {target}"))
}

/// The middle and the 99th percentile of durations, for a table.
pub fn percentiles(durations: &mut [Duration]) -> (Duration, Duration) {
    durations.sort_unstable();
    let at = |percent: usize| durations[(durations.len() * percent / 100).min(durations.len() - 1)];
    (at(50), at(99))
}
