//! Requests and responses (RFC 2326, sections 4 to 7): methods, status codes, header fields, and how they are written.
//!
//! `Content-Length` never stands in [`Headers`] of a message that was read: the body says it. Control characters in what
//! is written become spaces, so that no value can end a header line.

pub use super::status::Status;
pub use super::uri::Uri;
use bytes::{BufMut, Bytes, BytesMut};

/// The method of a request (RFC 2326, section 6.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    Options,
    Announce,
    Describe,
    Setup,
    Play,
    Pause,
    Record,
    Teardown,
    GetParameter,
    SetParameter,
    Redirect,
    /// A method this server does not know; answered with 501.
    Other(Box<str>),
}

impl Method {
    /// Reads a method; they are case-sensitive (RFC 2326, section 6.1).
    pub fn parse(text: &str) -> Method {
        match text {
            "OPTIONS" => Method::Options,
            "ANNOUNCE" => Method::Announce,
            "DESCRIBE" => Method::Describe,
            "SETUP" => Method::Setup,
            "PLAY" => Method::Play,
            "PAUSE" => Method::Pause,
            "RECORD" => Method::Record,
            "TEARDOWN" => Method::Teardown,
            "GET_PARAMETER" => Method::GetParameter,
            "SET_PARAMETER" => Method::SetParameter,
            "REDIRECT" => Method::Redirect,
            other => Method::Other(other.into()),
        }
    }

    /// The method as it stands on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Method::Options => "OPTIONS",
            Method::Announce => "ANNOUNCE",
            Method::Describe => "DESCRIBE",
            Method::Setup => "SETUP",
            Method::Play => "PLAY",
            Method::Pause => "PAUSE",
            Method::Record => "RECORD",
            Method::Teardown => "TEARDOWN",
            Method::GetParameter => "GET_PARAMETER",
            Method::SetParameter => "SET_PARAMETER",
            Method::Redirect => "REDIRECT",
            Method::Other(name) => name,
        }
    }
}

/// Header fields in the order they came; names compare without case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Box<str>, Box<str>)>);

impl Headers {
    pub fn new() -> Headers {
        Headers::default()
    }

    /// The first value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Every value of `name`, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// Adds a field at the end.
    pub fn push(&mut self, name: impl Into<Box<str>>, value: impl Into<Box<str>>) {
        self.0.push((name.into(), value.into()));
    }

    /// Puts `value` in place of the first `name` and removes the others; adds it where there is none.
    pub fn set(&mut self, name: &str, value: impl Into<Box<str>>) {
        match self.0.iter().position(|(key, _)| key.eq_ignore_ascii_case(name)) {
            Some(first) => {
                self.0[first].1 = value.into();
                let mut index = 0;
                self.0.retain(|(key, _)| {
                    index += 1;
                    index - 1 <= first || !key.eq_ignore_ascii_case(name)
                });
            }
            None => self.push(name, value),
        }
    }

    /// Removes every field called `name`.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
    }

    /// All fields as (name, value), in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Continues the last value on a folded line (RFC 2822, section 2.2.3); false where there is no last value.
    pub(super) fn fold(&mut self, more: &str) -> bool {
        let Some((_, value)) = self.0.last_mut() else { return false };
        *value = match (value.is_empty(), more.is_empty()) {
            (_, true) => return true,
            (true, false) => more.into(),
            (false, false) => format!("{value} {more}").into(),
        };
        true
    }

    fn cseq(&self) -> Option<u32> {
        self.get("CSeq")?.parse().ok()
    }

    fn session(&self) -> Option<&str> {
        let id = self.get("Session")?.split(';').next().unwrap_or("").trim();
        (!id.is_empty()).then_some(id)
    }

    fn write(&self, body: &Bytes, out: &mut BytesMut) {
        for (name, value) in self.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("Content-Length")) {
            put_clean(name, out);
            out.put_slice(b": ");
            put_clean(value, out);
            out.put_slice(b"\r\n");
        }
        if !body.is_empty() {
            out.put_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        out.put_slice(b"\r\n");
        out.put_slice(body);
    }
}

/// A request of either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    /// As it stood on the request line; [`Uri::parse`] takes it apart.
    pub uri: Box<str>,
    pub headers: Headers,
    pub body: Bytes,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: Method, uri: impl Into<Box<str>>) -> Request {
        Request { method, uri: uri.into(), headers: Headers::new(), body: Bytes::new() }
    }

    /// Adds a header field.
    pub fn header(mut self, name: &str, value: impl Into<Box<str>>) -> Request {
        self.headers.push(name, value);
        self
    }

    /// The sequence number, where there is one that fits 32 bits (RFC 2326, section 12.17).
    pub fn cseq(&self) -> Option<u32> {
        self.headers.cseq()
    }

    /// The session identifier without `;timeout=` (RFC 2326, section 12.37).
    pub fn session(&self) -> Option<&str> {
        self.headers.session()
    }

    /// Appends the request as it goes on the wire; `Content-Length` follows from the body.
    pub fn write(&self, out: &mut BytesMut) {
        put_clean(self.method.as_str(), out);
        out.put_u8(b' ');
        put_clean(&self.uri, out);
        out.put_slice(b" RTSP/1.0\r\n");
        self.headers.write(&self.body, out);
    }
}

/// A response of either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: Status,
    /// The phrase, where it is not [`Status::reason`].
    pub reason: Option<Box<str>>,
    pub headers: Headers,
    pub body: Bytes,
}

impl Response {
    /// A response without headers and body.
    pub fn new(status: Status) -> Response {
        Response { status, reason: None, headers: Headers::new(), body: Bytes::new() }
    }

    /// Adds a header field.
    pub fn header(mut self, name: &str, value: impl Into<Box<str>>) -> Response {
        self.headers.push(name, value);
        self
    }

    /// Sets the body and its `Content-Type`.
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Response {
        self.headers.set("Content-Type", content_type);
        self.body = body.into();
        self
    }

    /// The sequence number of the request this answers.
    pub fn cseq(&self) -> Option<u32> {
        self.headers.cseq()
    }

    /// The session identifier without `;timeout=`.
    pub fn session(&self) -> Option<&str> {
        self.headers.session()
    }

    /// Appends the response as it goes on the wire; `Content-Length` follows from the body.
    pub fn write(&self, out: &mut BytesMut) {
        out.put_slice(format!("RTSP/1.0 {:03} ", self.status.0).as_bytes());
        put_clean(self.reason.as_deref().unwrap_or(self.status.reason()), out);
        out.put_slice(b"\r\n");
        self.headers.write(&self.body, out);
    }
}

fn put_clean(text: &str, out: &mut BytesMut) {
    if text.bytes().any(|b| b.is_ascii_control()) {
        out.extend(text.bytes().map(|b| if b.is_ascii_control() { b' ' } else { b }));
    } else {
        out.put_slice(text.as_bytes());
    }
}
