//! The `Transport` header (RFC 2326, section 12.39).
//!
//! `RTP/AVP/TCP;unicast;interleaved=0-1;mode=record, RTP/AVP;unicast;client_port=5000-5001`: comma-separated
//! alternatives in the order the client prefers them. Names compare without case; unknown parameters are skipped, and so
//! is an alternative that makes no sense. A delivery that is neither `unicast` nor `multicast` is read as unicast:
//! cameras and players leave it out and mean that, whatever the RFC's default. Left out: `layers`, `append`, `port`.

use super::error::Error;
use super::message::Status;

/// The RTP profile (RFC 3551, 4585, 3711, 5124).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    Avp,
    Avpf,
    Savp,
    Savpf,
}

impl Profile {
    /// Whether packets are encrypted (SRTP).
    pub fn is_secure(self) -> bool {
        matches!(self, Profile::Savp | Profile::Savpf)
    }

    fn as_str(self) -> &'static str {
        match self {
            Profile::Avp => "AVP",
            Profile::Avpf => "AVPF",
            Profile::Savp => "SAVP",
            Profile::Savpf => "SAVPF",
        }
    }
}

/// What carries the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lower {
    Udp,
    /// Interleaved in the RTSP connection (section 10.12).
    Tcp,
}

/// One alternative of the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    pub profile: Profile,
    pub lower: Lower,
    pub multicast: bool,
    /// RTP and RTCP ports of the client.
    pub client_port: Option<(u16, u16)>,
    /// RTP and RTCP ports of the server.
    pub server_port: Option<(u16, u16)>,
    /// Channels of RTP and RTCP.
    pub interleaved: Option<(u8, u8)>,
    /// `mode=record`, also as `RECORD`, quoted, or `receive` (GStreamer and old ffmpeg).
    pub mode_record: bool,
    pub ssrc: Option<u32>,
    pub destination: Option<Box<str>>,
    pub source: Option<Box<str>>,
    pub ttl: Option<u8>,
}

impl Transport {
    /// A unicast `RTP/AVP` transport without parameters.
    pub fn new(lower: Lower) -> Transport {
        Transport {
            profile: Profile::Avp,
            lower,
            multicast: false,
            client_port: None,
            server_port: None,
            interleaved: None,
            mode_record: false,
            ssrc: None,
            destination: None,
            source: None,
            ttl: None,
        }
    }

    /// Reads the alternatives of a header value; at least one.
    ///
    /// # Errors
    /// [`Error::Unsupported`] (461) when no alternative is understood.
    pub fn parse_list(value: &str) -> Result<Vec<Transport>, Error> {
        let found: Vec<Transport> =
            split_outside_quotes(value, ',').filter_map(Transport::parse_one).collect();
        if found.is_empty() {
            return Err(Error::unsupported("transport", Status::UNSUPPORTED_TRANSPORT));
        }
        Ok(found)
    }

    fn parse_one(text: &str) -> Option<Transport> {
        let mut parameters = split_outside_quotes(text, ';').map(str::trim);
        let (profile, lower) = parse_profile(parameters.next()?)?;
        let mut transport = Transport { profile, ..Transport::new(lower) };
        for parameter in parameters {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let (key, value) = (key.trim().to_ascii_lowercase(), value.trim().trim_matches('"').trim());
            match key.as_str() {
                "multicast" => transport.multicast = true,
                "client_port" => transport.client_port = Some(ports(value)?),
                "server_port" => transport.server_port = ports(value),
                "interleaved" => transport.interleaved = Some(channels(value)?),
                "mode" => transport.mode_record = is_record(value),
                "ssrc" => transport.ssrc = ssrc(value),
                "destination" => transport.destination = address(value),
                "source" => transport.source = address(value),
                "ttl" => transport.ttl = value.parse().ok(),
                _ => {}
            }
        }
        Some(transport)
    }

    /// The header value of this one alternative.
    pub fn write(&self) -> String {
        let mut text = format!("RTP/{}", self.profile.as_str());
        if self.lower == Lower::Tcp {
            text.push_str("/TCP");
        }
        text.push_str(if self.multicast { ";multicast" } else { ";unicast" });
        let mut add = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                text.push_str(&format!(";{key}={value}"));
            }
        };
        add("destination", self.destination.as_deref().map(str::to_owned));
        add("source", self.source.as_deref().map(str::to_owned));
        add("ttl", self.ttl.map(|ttl| ttl.to_string()));
        add("client_port", self.client_port.map(pair));
        add("server_port", self.server_port.map(pair));
        add("interleaved", self.interleaved.map(pair));
        add("ssrc", self.ssrc.map(|ssrc| format!("{ssrc:08X}")));
        add("mode", self.mode_record.then(|| "record".to_owned()));
        text
    }
}

fn pair<T: std::fmt::Display>((first, second): (T, T)) -> String {
    format!("{first}-{second}")
}

/// Splits where `separator` stands outside double quotes.
fn split_outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c: char| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
}

fn parse_profile(text: &str) -> Option<(Profile, Lower)> {
    let mut parts = text.split('/').map(|part| part.trim().to_ascii_uppercase());
    if parts.next()? != "RTP" {
        return None;
    }
    let profile = match parts.next()?.as_str() {
        "AVP" => Profile::Avp,
        "AVPF" => Profile::Avpf,
        "SAVP" => Profile::Savp,
        "SAVPF" => Profile::Savpf,
        _ => return None,
    };
    let lower = match parts.next().as_deref() {
        None | Some("" | "UDP") => Lower::Udp,
        Some("TCP") => Lower::Tcp,
        Some(_) => return None,
    };
    Some((profile, lower))
}

/// `8000-8001`, or `8000` for that port and the next.
fn ports(value: &str) -> Option<(u16, u16)> {
    match value.split_once('-') {
        Some((rtp, rtcp)) => Some((rtp.trim().parse().ok()?, rtcp.trim().parse().ok()?)),
        None => value.parse().ok().and_then(|rtp: u16| Some((rtp, rtp.checked_add(1)?))),
    }
}

/// `0-1`, or `0` for that channel and the next; two different ones.
fn channels(value: &str) -> Option<(u8, u8)> {
    let (rtp, rtcp): (u8, u8) = match value.split_once('-') {
        Some((rtp, rtcp)) => (rtp.trim().parse().ok()?, rtcp.trim().parse().ok()?),
        None => value.parse().ok().and_then(|rtp: u8| Some((rtp, rtp.checked_add(1)?)))?,
    };
    (rtp != rtcp).then_some((rtp, rtcp))
}

/// Hexadecimal, up to eight digits; what cannot be read is as if absent, since nothing depends on it.
fn ssrc(value: &str) -> Option<u32> {
    let hexadecimal = !value.is_empty() && value.bytes().all(|b| b.is_ascii_hexdigit());
    hexadecimal.then(|| u32::from_str_radix(value, 16).ok()).flatten()
}

fn is_record(value: &str) -> bool {
    value
        .split(',')
        .map(str::trim)
        .any(|mode| mode.eq_ignore_ascii_case("record") || mode.eq_ignore_ascii_case("receive"))
}

/// A host name or address; anything else is as if absent.
fn address(value: &str) -> Option<Box<str>> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b".:-_[]%".contains(&b);
    (!value.is_empty() && value.bytes().all(fits)).then(|| value.into())
}
