//! Session descriptions (SDP, RFC 8866), as RTSP uses them (RFC 2326, appendix C): read leniently, written strictly.
//!
//! - [`SessionDescription`]: the lines. [`tracks`]: what they say of each stream. [`describe`]: the description readers get.
//! - [`resolve_control`]: from `a=control` to the URL of a SETUP.
//!
//! Cameras bend the format in every way: bare LF, missing lines, spaces, wrong origins, names in other character sets.
//! Whatever has one sensible reading is read so. Left out: `u e p r z k` lines, capability negotiation, and all but the
//! first format of a media section that this server understands.

mod control;
mod error;
mod format;
mod parse;
mod track;
mod write;

pub use control::resolve_control;
pub use error::Error;
pub(crate) use format::rtpmap_of;
pub use track::{describe, tracks};

/// The lines of a session description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionDescription {
    pub origin: Origin,
    /// `s=`; empty where it is missing or a single space.
    pub name: Box<str>,
    /// `i=` of the session.
    pub information: Option<Box<str>>,
    pub connection: Option<Connection>,
    /// `b=` as (type, value).
    pub bandwidth: Vec<(Box<str>, u64)>,
    /// `t=` as written (NTP seconds); 0 0 where it is missing.
    pub timing: (u64, u64),
    pub attributes: Vec<Attribute>,
    pub media: Vec<Media>,
}

/// `o=`: all fields as text, since cameras put anything there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub username: Box<str>,
    pub session_id: Box<str>,
    pub session_version: Box<str>,
    /// `IP4` or `IP6`.
    pub address_type: Box<str>,
    pub address: Box<str>,
}

impl Default for Origin {
    fn default() -> Origin {
        Origin {
            username: "-".into(),
            session_id: "0".into(),
            session_version: "0".into(),
            address_type: "IP4".into(),
            address: "127.0.0.1".into(),
        }
    }
}

/// `c=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// `IP4` or `IP6`.
    pub address_type: Box<str>,
    /// With `/ttl` where the line has it.
    pub address: Box<str>,
}

/// `a=key` or `a=key:value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    pub key: Box<str>,
    pub value: Option<Box<str>>,
}

/// A media section: `m=` and the lines after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// `video`, `audio`, `application`, …
    pub kind: Box<str>,
    pub port: u16,
    /// `RTP/AVP` and the like.
    pub protocol: Box<str>,
    /// Payload types, for RTP.
    pub formats: Vec<Box<str>>,
    pub connection: Option<Connection>,
    /// `b=` as (type, value).
    pub bandwidth: Vec<(Box<str>, u64)>,
    pub attributes: Vec<Attribute>,
}

impl SessionDescription {
    /// The first session-level attribute `key` (without case); empty where it has no value.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|a| a.key.eq_ignore_ascii_case(key))
            .map(|a| a.value.as_deref().unwrap_or(""))
    }

    /// The session-level `a=control`.
    pub fn control(&self) -> Option<&str> {
        self.attribute("control")
    }
}

impl Media {
    /// Every attribute `key` (without case), in order; empty where it has no value.
    pub fn attributes<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        find(&self.attributes, key)
    }

    /// The media-level `a=control`.
    pub fn control(&self) -> Option<&str> {
        self.attributes("control").next()
    }

    /// Whether the section is meant for media towards the server (ONVIF back channel: `a=sendonly` in a DESCRIBE answer).
    pub fn is_back_channel(&self) -> bool {
        self.attributes("sendonly").next().is_some()
    }
}

fn find<'a>(attributes: &'a [Attribute], key: &'a str) -> impl Iterator<Item = &'a str> {
    let matches = move |attribute: &&Attribute| attribute.key.eq_ignore_ascii_case(key);
    attributes.iter().filter(matches).map(|attribute| attribute.value.as_deref().unwrap_or(""))
}
