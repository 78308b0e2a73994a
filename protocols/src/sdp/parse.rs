//! Reads the lines of a session description.

use super::{Attribute, Connection, Error, Media, Origin, SessionDescription};
use crate::limits::{SDP_ATTRIBUTES_MAX, SDP_LINES_MAX, TRACKS_MAX};

/// Formats of one media section; more are not kept.
const FORMATS_MAX: usize = 32;
/// `b=` lines of one section; more are not kept.
const BANDWIDTHS_MAX: usize = 8;

impl SessionDescription {
    /// Reads a description: any line ending, any order of session lines, missing lines, spaces around `=` and fields,
    /// text that is not UTF-8 (lossily), trailing NULs. Lines that make no sense are skipped.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there is no line of SDP at all, or a media line cannot be read; [`Error::Limit`] beyond
    /// [`SDP_LINES_MAX`], [`SDP_ATTRIBUTES_MAX`] and [`TRACKS_MAX`].
    pub fn parse(bytes: &[u8]) -> Result<SessionDescription, Error> {
        let mut description = SessionDescription::default();
        let mut known = 0;
        let lines = bytes.split(|b| matches!(b, b'\n' | b'\r' | 0)).map(<[u8]>::trim_ascii);
        for (index, line) in lines.filter(|line| !line.is_empty()).enumerate() {
            if index == SDP_LINES_MAX {
                return Err(Error::Limit { what: "lines", max: SDP_LINES_MAX });
            }
            let Some((key, value)) = split_line(line) else { continue };
            let value = String::from_utf8_lossy(value);
            // Anything but line ends may stand in a value; control characters must not reach what is written from it.
            let value = value.replace(|c: char| c.is_ascii_control(), " ");
            known += usize::from(description.take(key, value.trim_ascii(), index + 1)?);
        }
        if known == 0 {
            return Err(Error::Invalid { what: "text", line: 1 });
        }
        Ok(description)
    }

    /// Reads one line; whether its key is SDP's.
    fn take(&mut self, key: u8, value: &str, line: usize) -> Result<bool, Error> {
        match key {
            b'v' => {}
            b'o' => self.origin = origin(value).unwrap_or_default(),
            b's' => self.name = if value == "-" { "".into() } else { value.into() },
            b'i' if self.media.is_empty() => self.information = Some(value.into()),
            b't' => self.timing = timing(value),
            b'm' => {
                if self.media.len() == TRACKS_MAX {
                    return Err(Error::Limit { what: "media sections", max: TRACKS_MAX });
                }
                self.media.push(media(value).ok_or(Error::Invalid { what: "media line", line })?);
            }
            b'c' => {
                let place = self.media.last_mut().map_or(&mut self.connection, |media| &mut media.connection);
                *place = connection(value).or_else(|| place.take());
            }
            b'b' => {
                let list = self.media.last_mut().map_or(&mut self.bandwidth, |media| &mut media.bandwidth);
                if let Some(bandwidth) = bandwidth(value).filter(|_| list.len() < BANDWIDTHS_MAX) {
                    list.push(bandwidth);
                }
            }
            b'a' => {
                let list = self.media.last_mut().map_or(&mut self.attributes, |media| &mut media.attributes);
                if list.len() == SDP_ATTRIBUTES_MAX {
                    return Err(Error::Limit { what: "attributes", max: SDP_ATTRIBUTES_MAX });
                }
                list.extend(attribute(value));
            }
            b'i' | b'u' | b'e' | b'p' | b'r' | b'z' | b'k' => {}
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// `key = value`, spaces allowed around the sign.
fn split_line(line: &[u8]) -> Option<(u8, &[u8])> {
    let (key, rest) = line.split_first()?;
    let value = rest.trim_ascii_start().strip_prefix(b"=")?;
    Some((*key, value))
}

fn origin(value: &str) -> Option<Origin> {
    // A user name with spaces is a fault, but a common one; the last five fields are certain.
    let mut fields: Vec<&str> = value.split_ascii_whitespace().collect();
    let address = fields.pop()?;
    let address_type = fields.pop()?;
    let network = fields.pop()?;
    if !network.eq_ignore_ascii_case("IN") {
        return None;
    }
    let session_version = fields.pop()?;
    let session_id = fields.pop()?;
    let username = if fields.is_empty() { "-".to_owned() } else { fields.join("_") };
    Some(Origin {
        username: username.into(),
        session_id: session_id.into(),
        session_version: session_version.into(),
        address_type: address_type.into(),
        address: address.into(),
    })
}

fn connection(value: &str) -> Option<Connection> {
    let mut fields = value.split_ascii_whitespace();
    if !fields.next()?.eq_ignore_ascii_case("IN") {
        return None;
    }
    Some(Connection { address_type: fields.next()?.into(), address: fields.next()?.into() })
}

fn timing(value: &str) -> (u64, u64) {
    let mut fields = value.split_ascii_whitespace().map(|field| field.parse().unwrap_or(0));
    (fields.next().unwrap_or(0), fields.next().unwrap_or(0))
}

fn bandwidth(value: &str) -> Option<(Box<str>, u64)> {
    let (kind, value) = value.split_once(':')?;
    let kind = kind.trim_ascii();
    (!kind.is_empty() && !kind.contains('=')).then_some((kind.into(), value.trim_ascii().parse().ok()?))
}

fn attribute(value: &str) -> Option<Attribute> {
    let (key, value) = match value.split_once(':') {
        Some((key, value)) => (key.trim_ascii(), Some(value.trim_ascii().into())),
        None => (value, None),
    };
    (!key.is_empty()).then(|| Attribute { key: key.into(), value })
}

/// `video 0/2 RTP/AVP 96 97`; the port may be missing, out of range, or given twice.
fn media(value: &str) -> Option<Media> {
    let mut fields = value.split_ascii_whitespace().peekable();
    let kind = fields.next()?;
    let number = |field: &str| {
        let port = field.split('/').next().unwrap_or("");
        (!port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())).then(|| port.parse().unwrap_or(0))
    };
    let mut port = None;
    while let Some(found) = fields.peek().and_then(|field| number(field)) {
        port = port.or(Some(found));
        fields.next();
    }
    let protocol = fields.next()?;
    Some(Media {
        kind: kind.into(),
        port: port.unwrap_or(0),
        protocol: protocol.into(),
        formats: fields.take(FORMATS_MAX).map(Box::from).collect(),
        connection: None,
        bandwidth: Vec::new(),
        attributes: Vec::new(),
    })
}
