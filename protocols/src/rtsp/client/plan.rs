//! Which URLs a client sends its requests to.

use crate::limits::TRACKS_MAX;
use crate::rtsp::error::Error;
use crate::rtsp::message::Uri;
use crate::sdp::{SessionDescription, resolve_control};

/// A track to set up.
#[derive(Debug)]
pub(super) struct Target {
    /// Counts the media sections over RTP.
    pub(super) number: usize,
    pub(super) url: Box<str>,
}

/// The URLs of one client.
#[derive(Debug)]
pub(super) struct Plan {
    url: Box<str>,
    /// `Content-Base`, where the server gave a usable one.
    base: Option<Box<str>>,
    aggregate: Option<Box<str>>,
    tracks: Vec<Target>,
}

impl Plan {
    pub(super) fn new(url: &str) -> Result<Plan, Error> {
        let uri = Uri::parse(url)?;
        if uri.scheme.is_empty() {
            return Err(Error::invalid("URI"));
        }
        let url = uri.without_credentials().into();
        Ok(Plan { url, base: None, aggregate: None, tracks: Vec::new() })
    }

    /// For OPTIONS, DESCRIBE and ANNOUNCE.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// For PLAY, RECORD, keep-alives and TEARDOWN.
    pub(super) fn aggregate(&self) -> &str {
        self.aggregate.as_deref().unwrap_or(&self.url)
    }

    pub(super) fn tracks(&self) -> &[Target] {
        &self.tracks
    }

    /// Takes `Content-Base` or `Content-Location`, unless it is no absolute URI: cameras send paths and empty values.
    pub(super) fn set_base(&mut self, base: Option<&str>) {
        let absolute = |base: &&str| Uri::parse(base).is_ok_and(|uri| !uri.scheme.is_empty());
        self.base = base.map(str::trim).filter(absolute).map(Box::from);
    }

    /// Takes the media sections over RTP as tracks; those of a back channel only for a publisher.
    pub(super) fn add_tracks(&mut self, description: &SessionDescription, to_record: bool) {
        let base = self.base.as_deref().unwrap_or(&self.url);
        let is_rtp = |protocol: &str| protocol.split('/').any(|part| part.eq_ignore_ascii_case("RTP"));
        let media = description.media.iter().filter(|media| is_rtp(&media.protocol)).enumerate();
        let wanted = media.filter(|(_, media)| to_record || !media.is_back_channel());
        let target = |number: usize, control: Option<&str>| {
            // A publisher's description may lack controls; each track needs a URL of its own all the same.
            let given = format!("trackID={number}");
            let control = control.or(to_record.then_some(&given));
            Target { number, url: resolve_control(base, control).into() }
        };
        let tracks = wanted.take(TRACKS_MAX).map(|(number, media)| target(number, media.control())).collect();
        let aggregate = (!to_record).then(|| resolve_control(base, description.control()).into());
        (self.tracks, self.aggregate) = (tracks, aggregate);
    }
}

/// User and password in a URL, percent-decoded.
pub(super) fn credentials(url: &str) -> Option<(String, String)> {
    let uri = Uri::parse(url).ok()?;
    Some((percent_decode(uri.user?), percent_decode(uri.password.unwrap_or(""))))
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let value = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match value.filter(|v| !v.starts_with('+')).and_then(|value| u8::from_str_radix(value, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
