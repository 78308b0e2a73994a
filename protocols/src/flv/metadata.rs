//! `onMetaData` (annex E.5; Enhanced RTMP, "Enhancing onMetaData"): what a publisher announces, and what readers are told.

use super::Kind;
use super::error::Error;
use super::format::FourCc;
use crate::amf0::{self, Value};
use crate::codec::Configuration;
use crate::limits::TRACKS_MAX;
use bytes::{Bytes, BytesMut};

/// What a publisher's script message begins with: "@setDataFrame" as an AMF0 string. Before the body of a script message
/// of [`super::Muxer`], it makes the message one that a client sends to a server.
pub const SET_DATA_FRAME: &[u8] = b"\x02\x00\x0d@setDataFrame";

const ON_META_DATA: &str = "onMetaData";

/// How many tracks of each medium a publisher announced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Announced {
    pub(super) video: usize,
    pub(super) audio: usize,
}

/// Reads a script message. `None` when it is no `onMetaData`, or names no codec: then it is no announcement.
pub(super) fn parse(body: &[u8]) -> Result<Option<Announced>, Error> {
    let values = amf0::parse_all(body)?;
    let is_name = |value: &Value| matches!(value.as_str(), Some("@setDataFrame" | ON_META_DATA));
    let named = values.iter().any(|value| value.as_str() == Some(ON_META_DATA));
    let Some(metadata) = values.iter().find(|value| !is_name(value)).filter(|_| named) else {
        return Ok(None);
    };
    let announced = Announced {
        video: tracks(metadata, "videocodecid", "videoTrackIdInfoMap"),
        audio: tracks(metadata, "audiocodecid", "audioTrackIdInfoMap"),
    };
    Ok((announced != Announced::default()).then_some(announced))
}

/// The track that `codec_id` is of, and those of the map beside it.
fn tracks(metadata: &Value, codec_id: &str, map: &str) -> usize {
    // Zero is what MediaMTX and others write where there is no track; uncompressed audio of codec 0 is not announced so.
    let first = match metadata.get(codec_id) {
        Some(Value::Number(id)) => *id != 0.0,
        Some(id) => id.as_str().is_some_and(|id| !id.is_empty()),
        None => false,
    };
    let further = metadata.get(map).and_then(Value::properties).unwrap_or_default();
    let further = further.iter().filter(|(id, _)| **id != *"0").count();
    (usize::from(first) + further).min(TRACKS_MAX)
}

/// A track as `onMetaData` describes it.
pub(super) struct Described<'a> {
    pub(super) kind: Kind,
    pub(super) track_id: u8,
    /// Of legacy tags.
    pub(super) legacy_id: Option<u8>,
    pub(super) fourcc: Option<FourCc>,
    pub(super) configuration: Option<&'a Configuration>,
}

/// The body of the script message.
pub(super) fn body<'a>(tracks: impl Iterator<Item = Described<'a>>) -> Bytes {
    let mut properties = amf0::Properties::new();
    let mut further_video = amf0::Properties::new();
    let mut further_audio = amf0::Properties::new();
    for track in tracks {
        let described = describe(&track);
        match (track.track_id, track.kind) {
            (0, _) => properties.extend(described),
            (id, Kind::Audio) => further_audio.push((id.to_string().into(), Value::Object(described))),
            (id, _) => further_video.push((id.to_string().into(), Value::Object(described))),
        }
    }
    for (name, map) in [("videoTrackIdInfoMap", further_video), ("audioTrackIdInfoMap", further_audio)] {
        if !map.is_empty() {
            properties.push((name.into(), Value::Object(map)));
        }
    }
    properties.push(("encoder".into(), Value::from("Headwater")));
    let mut body = BytesMut::new();
    Value::from(ON_META_DATA).write(&mut body);
    Value::EcmaArray(properties).write(&mut body);
    body.freeze()
}

fn describe(track: &Described<'_>) -> amf0::Properties {
    let mut properties = amf0::Properties::new();
    let mut put = |name: &str, value: Value| properties.push((name.into(), value));
    let fourcc = track.fourcc.map(|FourCc(name)| f64::from(u32::from_be_bytes(name)));
    let codec_id = Value::Number(track.legacy_id.map(f64::from).or(fourcc).unwrap_or_default());
    if track.kind == Kind::Video {
        put("videocodecid", codec_id);
        let picture = track.configuration.and_then(Configuration::picture);
        if let Some(picture) = picture.filter(|picture| picture.width > 0 && picture.height > 0) {
            put("width", Value::Number(picture.width.into()));
            put("height", Value::Number(picture.height.into()));
        }
        return properties;
    }
    put("audiocodecid", codec_id);
    if let Some(configuration) = track.configuration {
        if let Some(sample_rate) = configuration.sample_rate() {
            put("audiosamplerate", Value::Number(sample_rate.into()));
        }
        if let Some(channels) = configuration.channels() {
            put("stereo", Value::Boolean(channels > 1));
            put("audiochannels", Value::Number(channels.into()));
        }
    }
    properties
}
