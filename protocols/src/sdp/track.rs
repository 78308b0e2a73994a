//! Tracks from a session description, and the description of tracks.

use super::format::{Format, from_rtpmap, from_static, rtpmap_of};
use super::{Attribute, Connection, Error, Media, Origin, SessionDescription};
use crate::limits::SDP_ATTRIBUTES_MAX;
use crate::track::{Codec, Medium, Track};

/// Media-level attributes that readers are told too. Clock references are not: timestamps are rewritten on the way.
const PASSED: [&str; 3] = ["ptime", "maxptime", "lang"];

/// The tracks of a description with their `a=control`, one for each media section over RTP, in order.
///
/// Of a section with several formats the first one that can be read counts. The clock rate is never zero. Sections that
/// are not RTP are left out.
///
/// # Errors
/// [`Error::Unsupported`] when no section is RTP, or a section has no format with a known clock rate.
pub fn tracks(description: &SessionDescription) -> Result<Vec<(Track, Option<String>)>, Error> {
    let is_rtp = |media: &&Media| media.protocol.split('/').any(|part| part.eq_ignore_ascii_case("RTP"));
    let mut found = Vec::new();
    for media in description.media.iter().filter(is_rtp) {
        found.push((track(media)?, media.control().map(str::to_owned)));
    }
    if found.is_empty() {
        return Err(Error::Unsupported { what: "set of media, none of them RTP," });
    }
    Ok(found)
}

fn track(media: &Media) -> Result<Track, Error> {
    let medium = match media.kind.to_ascii_lowercase().as_str() {
        "video" => Medium::Video,
        "audio" => Medium::Audio,
        _ => Medium::Application,
    };
    let payload_types = media.formats.iter().filter_map(|format| payload_type(format));
    for payload_type in payload_types {
        let format_parameters = format_parameters(media, payload_type);
        let rtpmap = rtpmap(media, payload_type);
        let format = match rtpmap {
            Some(rtpmap) => from_rtpmap(rtpmap, medium),
            None => from_static(payload_type, medium).or_else(|| guess(&format_parameters, medium)),
        };
        let Some(Format { codec, clock_rate, channels }) = format else { continue };
        return Ok(Track {
            medium,
            codec,
            clock_rate,
            channels,
            payload_type,
            format_parameters: format_parameters.into(),
            rtpmap: rtpmap.unwrap_or("").into(),
            attributes: passed_attributes(media),
        });
    }
    Err(Error::Unsupported { what: "media section without a known payload format" })
}

fn payload_type(format: &str) -> Option<u8> {
    let digits = !format.is_empty() && format.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| format.parse().ok()).flatten().filter(|&payload_type| payload_type < 128)
}

/// The value of `a=rtpmap:<payload type> <value>`.
fn rtpmap(media: &Media, payload_type: u8) -> Option<&str> {
    for_payload_type(media, "rtpmap", payload_type).next().filter(|value| !value.is_empty())
}

/// All `a=fmtp` of a payload type as one value, without the semicolon that some cameras end it with.
fn format_parameters(media: &Media, payload_type: u8) -> String {
    let trim = |value: &'_ str| value.trim_end_matches([';', ' ']).to_owned();
    let values = for_payload_type(media, "fmtp", payload_type).map(trim).filter(|value| !value.is_empty());
    values.collect::<Vec<String>>().join("; ")
}

/// Values of an attribute that begin with the payload type; it may be missing where the section has one format only.
fn for_payload_type<'a>(media: &'a Media, key: &'a str, wanted: u8) -> impl Iterator<Item = &'a str> {
    let alone = media.formats.len() == 1;
    media.attributes(key).filter_map(move |value| {
        let (first, rest) = value.split_once([' ', '\t']).unwrap_or((value, ""));
        match payload_type(first) {
            Some(found) => (found == wanted).then_some(rest.trim_ascii()),
            None => alone.then_some(value.trim_ascii()),
        }
    })
}

/// A dynamic payload type without `a=rtpmap`, whose parameters only H.264 and H.265 have.
fn guess(format_parameters: &str, medium: Medium) -> Option<Format> {
    if medium != Medium::Video {
        return None;
    }
    let codec = if format_parameters.contains("sprop-vps=") {
        Codec::H265
    } else if format_parameters.contains("sprop-parameter-sets=")
        || format_parameters.contains("packetization-mode=")
    {
        Codec::H264
    } else {
        return None;
    };
    Some(Format { codec, clock_rate: 90_000, channels: 0 })
}

fn passed_attributes(media: &Media) -> Vec<Box<str>> {
    let passed = |attribute: &&Attribute| PASSED.iter().any(|key| attribute.key.eq_ignore_ascii_case(key));
    let text = |Attribute { key, value }: &Attribute| match value {
        Some(value) => format!("{key}:{value}").into(),
        None => key.clone(),
    };
    // Room for the rtpmap, fmtp and control that `describe` adds, so that our own descriptions can be read back.
    media.attributes.iter().filter(passed).map(text).take(SDP_ATTRIBUTES_MAX - 3).collect()
}

/// The description readers are given: `name` as the session's name, and per track its format, its parameters, and
/// `a=control:trackID=N` with N from 0.
pub fn describe(name: &str, tracks: &[Track]) -> String {
    let connection = Connection { address_type: "IP4".into(), address: "0.0.0.0".into() };
    let description = SessionDescription {
        origin: Origin::default(),
        name: name.into(),
        connection: Some(connection),
        attributes: vec![attribute("control", "*")],
        media: tracks.iter().enumerate().map(|(number, track)| media(number, track)).collect(),
        ..SessionDescription::default()
    };
    description.write()
}

fn attribute(key: &str, value: &str) -> Attribute {
    Attribute { key: key.into(), value: Some(value.into()) }
}

fn media(number: usize, track: &Track) -> Media {
    let mut attributes = Vec::new();
    let payload_type = track.payload_type;
    let rtpmap = match &*track.rtpmap {
        "" if from_static(payload_type, track.medium).is_some_and(|format| format.describes(track)) => None,
        "" => rtpmap_of(&track.codec, track.clock_rate, track.channels),
        rtpmap => Some(rtpmap.to_owned()),
    };
    if let Some(rtpmap) = rtpmap {
        attributes.push(attribute("rtpmap", &format!("{payload_type} {rtpmap}")));
    }
    if !track.format_parameters.is_empty() {
        attributes.push(attribute("fmtp", &format!("{payload_type} {}", track.format_parameters)));
    }
    for passed in &track.attributes {
        let (key, value) =
            passed.split_once(':').map_or((&**passed, None), |(key, value)| (key, Some(value)));
        attributes.push(Attribute { key: key.into(), value: value.map(Box::from) });
    }
    attributes.push(attribute("control", &format!("trackID={number}")));
    Media {
        kind: match track.medium {
            Medium::Video => "video".into(),
            Medium::Audio => "audio".into(),
            Medium::Application => "application".into(),
        },
        port: 0,
        protocol: "RTP/AVP".into(),
        formats: vec![payload_type.to_string().into()],
        connection: None,
        bandwidth: Vec::new(),
        attributes,
    }
}
