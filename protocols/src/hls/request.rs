//! Requests: names of files, and delivery directives (section 6.2.5).
//!
//! | name | what |
//! |---|---|
//! | `index.m3u8` | multivariant playlist |
//! | `<prefix>_main.m3u8`, `<prefix>_audio2.m3u8` | media playlist of the first rendition, and of the third |
//! | `<prefix>_main_init0.mp4` | initialization segment |
//! | `<prefix>_main_seg7.mp4`, `….ts` | segment, by its media sequence number |
//! | `<prefix>_main_part21.mp4` | part, counted from the muxer's beginning |
//!
//! The prefix is twelve hexadecimal digits. `.mp` is taken for `.mp4`, as MediaMTX does.

use super::Error;
use std::fmt;

/// Name of the multivariant playlist.
pub(super) const MULTIVARIANT: &str = "index.m3u8";

/// One request, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Multivariant,
    Media { prefix: u64, rendition: u8, directives: Directives },
    Init { prefix: u64, rendition: u8, version: u32 },
    Segment { prefix: u64, rendition: u8, msn: u64 },
    Part { prefix: u64, rendition: u8, part: u64 },
}

/// What a player wants of a media playlist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `_HLS_msn`: answer when the playlist has this segment.
    pub msn: Option<u64>,
    /// `_HLS_part`: answer when it has this part of it. Only with `msn`.
    pub part: Option<u64>,
    /// `_HLS_skip`: leave out old segments.
    pub skip: Option<Skip>,
}

/// How a delta update may look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// `YES`.
    Segments,
    /// `v2`: date ranges too, of which there are none here.
    DateRanges,
}

impl Request {
    /// Understands the last part of a URL's path, and its query without `?`; other keys of the query are stepped over.
    ///
    /// Errors: [`Error::Unknown`] if no file can have that name, [`Error::Invalid`] for directives.
    pub fn parse(name: &str, query: &str) -> Result<Request, Error> {
        if name == MULTIVARIANT {
            return Ok(Request::Multivariant);
        }
        let (stem, extension) = name.rsplit_once('.').ok_or(Error::Unknown)?;
        let mut words = stem.split('_');
        let prefix = words.next().and_then(hexadecimal).ok_or(Error::Unknown)?;
        let rendition = words.next().and_then(rendition).ok_or(Error::Unknown)?;
        let file = words.next();
        if words.next().is_some() {
            return Err(Error::Unknown);
        }
        let media = matches!(extension, "mp4" | "mp");
        match file {
            None if extension == "m3u8" => {
                Ok(Request::Media { prefix, rendition, directives: Directives::parse(query)? })
            }
            Some(file) => {
                let number = |kind| file.strip_prefix(kind).and_then(decimal);
                if let (Some(msn), true) = (number("seg"), media || extension == "ts") {
                    Ok(Request::Segment { prefix, rendition, msn })
                } else if let (Some(part), true) = (number("part"), media) {
                    Ok(Request::Part { prefix, rendition, part })
                } else if let (Some(version), true) = (number("init"), media) {
                    let version = version.try_into().map_err(|_| Error::Unknown)?;
                    Ok(Request::Init { prefix, rendition, version })
                } else {
                    Err(Error::Unknown)
                }
            }
            None => Err(Error::Unknown),
        }
    }
}

impl Directives {
    fn parse(query: &str) -> Result<Directives, Error> {
        let mut directives = Directives::default();
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "_HLS_msn" => {
                    directives.msn = Some(decimal(value).ok_or(Error::Invalid { what: "_HLS_msn" })?);
                }
                "_HLS_part" => {
                    directives.part = Some(decimal(value).ok_or(Error::Invalid { what: "_HLS_part" })?);
                }
                "_HLS_skip" => {
                    directives.skip = Some(match value {
                        "YES" => Skip::Segments,
                        "v2" => Skip::DateRanges,
                        _ => return Err(Error::Invalid { what: "_HLS_skip" }),
                    });
                }
                _ => {}
            }
        }
        if directives.part.is_some() && directives.msn.is_none() {
            return Err(Error::Invalid { what: "_HLS_part without _HLS_msn" });
        }
        Ok(directives)
    }
}

/// The name of a rendition in files.
pub(super) struct RenditionName(pub(super) u8);

impl fmt::Display for RenditionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("main"),
            index => write!(f, "audio{index}"),
        }
    }
}

fn rendition(word: &str) -> Option<u8> {
    if word == "main" {
        return Some(0);
    }
    decimal(word.strip_prefix("audio")?)?.try_into().ok().filter(|&index| index > 0)
}

/// A decimal-integer (section 4.2): digits only.
fn decimal(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

fn hexadecimal(text: &str) -> Option<u64> {
    let digits = text.len() == 12 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    digits.then(|| u64::from_str_radix(text, 16).ok())?
}
