//! The request URI: `rtsp://user:password@host:port/path?query` (RFC 2326, section 3.2; RFC 3986).

use super::error::Error;

/// The parts of a URI as they stand in it: nothing is percent-decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    /// `rtsp`, `rtsps`, …, as written; empty for `*` and for the absolute-path form.
    pub scheme: &'a str,
    pub user: Option<&'a str>,
    pub password: Option<&'a str>,
    /// Name or address; an IPv6 address without its brackets.
    pub host: &'a str,
    pub port: Option<u16>,
    /// Without the leading `/`.
    pub path: &'a str,
    /// What follows the first `?`.
    pub query: Option<&'a str>,
}

impl<'a> Uri<'a> {
    /// Reads an absolute URI, `*` (path `*`), or an absolute path `/x` (no scheme, no host).
    ///
    /// # Errors
    /// [`Error::Invalid`] for anything else, for a port that is no number, and for an empty host.
    pub fn parse(text: &'a str) -> Result<Uri<'a>, Error> {
        let none =
            Uri { scheme: "", user: None, password: None, host: "", port: None, path: "", query: None };
        if text == "*" {
            return Ok(Uri { path: "*", ..none });
        }
        if let Some(rest) = text.strip_prefix('/') {
            let (path, query) = split_query(rest);
            return Ok(Uri { path, query, ..none });
        }
        let (scheme, rest) = text.split_once("://").ok_or(Error::invalid("URI"))?;
        let scheme_bytes = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.bytes().all(scheme_bytes) {
            return Err(Error::invalid("URI scheme"));
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let (user_info, host_port) = match authority.rsplit_once('@') {
            Some((user_info, host_port)) => (Some(user_info), host_port),
            None => (None, authority),
        };
        let (user, password) = match user_info.map(|info| info.split_once(':').ok_or(info)) {
            Some(Ok((user, password))) => (Some(user), Some(password)),
            Some(Err(user)) => (Some(user), None),
            None => (None, None),
        };
        let (host, port) = split_host(host_port)?;
        let (path, query) = split_query(rest);
        Ok(Uri { scheme, user, password, host, port, path: path.strip_prefix('/').unwrap_or(path), query })
    }

    /// The URI without user and password, as it goes on the wire.
    pub fn without_credentials(&self) -> String {
        if self.scheme.is_empty() {
            let asterisk = self.path == "*" && self.query.is_none();
            return if asterisk { "*".to_owned() } else { self.path_and_query() };
        }
        format!("{}://{}{}", self.scheme, self.authority(), self.path_and_query())
    }

    /// `host` or `host:port`, an IPv6 address in brackets.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.to_owned() };
        match self.port {
            Some(port) => format!("{host}:{port}"),
            None => host,
        }
    }

    fn path_and_query(&self) -> String {
        let mut text = format!("/{}", self.path);
        if let Some(query) = self.query {
            text.push('?');
            text.push_str(query);
        }
        text
    }
}

fn split_query(text: &str) -> (&str, Option<&str>) {
    match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    }
}

fn split_host(text: &str) -> Result<(&str, Option<u16>), Error> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(Error::invalid("URI host"))?;
        match rest.strip_prefix(':') {
            Some(port) => (host, port),
            None if rest.is_empty() => (host, ""),
            None => return Err(Error::invalid("URI host")),
        }
    } else {
        text.split_once(':').unwrap_or((text, ""))
    };
    if host.is_empty() || host.contains(['[', ']']) {
        return Err(Error::invalid("URI host"));
    }
    match port {
        "" => Ok((host, None)),
        _ if port.bytes().all(|b| b.is_ascii_digit()) => {
            port.parse().map(|port| (host, Some(port))).map_err(|_| Error::invalid("URI port"))
        }
        _ => Err(Error::invalid("URI port")),
    }
}
