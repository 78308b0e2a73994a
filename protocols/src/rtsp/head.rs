//! Reads the head of a message: start line and header fields (RFC 2326, sections 4.2, 5, 6.1 and 7.1).
//!
//! Lenient where cameras and players are careless: bare LF, spaces around the colon, folded lines, URIs with spaces,
//! header values that are not UTF-8 (read lossily). Control characters and names that are no token are refused.

use super::decoder::Element;
use super::error::{Error, Place};
use super::message::{Headers, Method, Request, Response, Status};
use crate::limits::RTSP_HEADERS_MAX;
use bytes::Bytes;

/// Whether `byte` may stand in a method or header name (RFC 2326, section 15.1, `token`).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Reads a head, its final empty line included. Returns the message without body, and the length of the body to come.
pub(super) fn parse(head: &[u8]) -> Result<(Element, usize), Error> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let start = lines.next().unwrap_or("");
    let mut headers = Headers::new();
    for (index, line) in lines.take_while(|line| !line.is_empty()).enumerate() {
        if index == RTSP_HEADERS_MAX {
            return Err(Error::limit("headers of a message", RTSP_HEADERS_MAX, Status::BAD_REQUEST));
        }
        if line.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
            return Err(Error::invalid("control character in a header"));
        }
        // A first header that is indented (iCatch camera client) continues nothing, so it is a header.
        if line.starts_with([' ', '\t']) && headers.fold(&line.trim().replace('\t', " ")) {
            continue;
        }
        let (name, value) = line.split_once(':').ok_or(Error::invalid("header without a colon"))?;
        let name = name.trim();
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(Error::invalid("header name"));
        }
        headers.push(name, value.trim().replace('\t', " "));
    }
    let length = content_length(&headers)?;
    headers.remove("Content-Length");
    let cseq = headers.get("CSeq").and_then(|value| value.parse().ok());
    let message =
        start_line(start, headers).map_err(|error| cseq.map_or(error, |cseq| error.at(Place::CSeq(cseq))))?;
    Ok((message, length))
}

fn start_line(line: &str, headers: Headers) -> Result<Element, Error> {
    if line.bytes().any(|b| b.is_ascii_control()) {
        return Err(Error::invalid("control character in a start line"));
    }
    if line.starts_with("RTSP/") {
        return status_line(line, headers);
    }
    let line = line.trim_end();
    let (method, rest) = line.split_once(' ').ok_or(Error::invalid("request line"))?;
    let (uri, version) = rest.rsplit_once(' ').ok_or(Error::invalid("request line"))?;
    if method.is_empty() || !method.bytes().all(is_token) {
        return Err(Error::invalid("method"));
    }
    check_version(version)?;
    let uri = uri.trim();
    if uri.is_empty() {
        return Err(Error::invalid("request URI"));
    }
    let method = Method::parse(method);
    Ok(Element::Request(Request { method, uri: uri.into(), headers, body: Bytes::new() }))
}

fn status_line(line: &str, headers: Headers) -> Result<Element, Error> {
    let (version, rest) = line.split_once(' ').ok_or(Error::invalid("status line"))?;
    check_version(version)?;
    let rest = rest.trim();
    let (code, phrase) = rest.split_once(' ').unwrap_or((rest, ""));
    if code.len() != 3 || !code.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Error::invalid("status code"));
    }
    let status = Status(code.parse().map_err(|_| Error::invalid("status code"))?);
    let phrase = phrase.trim();
    let reason = (!phrase.is_empty() && phrase != status.reason()).then(|| phrase.into());
    Ok(Element::Response(Response { status, reason, headers, body: Bytes::new() }))
}

fn check_version(version: &str) -> Result<(), Error> {
    match version.strip_prefix("RTSP/") {
        Some("1.0") => Ok(()),
        Some(_) => Err(Error::unsupported("RTSP version", Status::RTSP_VERSION_NOT_SUPPORTED)),
        None => Err(Error::invalid("protocol name")),
    }
}

/// The body length; several fields must agree, for two readings of one message are an attack.
fn content_length(headers: &Headers) -> Result<usize, Error> {
    let mut length = None;
    for value in headers.get_all("Content-Length") {
        if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Error::invalid("Content-Length"));
        }
        // A number past usize is past the limit too, and is answered as such.
        let value = value.parse().unwrap_or(usize::MAX);
        if length.is_some_and(|length| length != value) {
            return Err(Error::invalid("Content-Length given twice"));
        }
        length = Some(value);
    }
    Ok(length.unwrap_or(0))
}
