//! What a peer says in `connect`, or in the answer, that it can take (Enhanced RTMP v2, "Enhancing NetConnection connect
//! Command"): `fourCcList` of version 1, `videoFourCcInfoMap`, `audioFourCcInfoMap` and `capsEx` of version 2.

use crate::amf0::Value;
use crate::limits::RTMP_FOURCCS_MAX;

/// A codec by its four characters, such as `hvc1`.
pub type FourCc = [u8; 4];

/// The key and list element that stands for every codec.
const ANY: FourCc = *b"*\0\0\0";

/// What a peer can do with a codec (`FourCcInfoMask`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ability(pub u8);

impl Ability {
    pub const DECODE: Ability = Ability(1);
    pub const ENCODE: Ability = Ability(2);
    pub const FORWARD: Ability = Ability(4);
    pub const ALL: Ability = Ability(7);
}

/// What a peer can take beyond the codecs of 2012; empty for a legacy one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// `fourCcList`: audio and video.
    pub list: Vec<FourCc>,
    /// `videoFourCcInfoMap`.
    pub video: Vec<(FourCc, Ability)>,
    /// `audioFourCcInfoMap`.
    pub audio: Vec<(FourCc, Ability)>,
    /// `capsEx`; see the constants.
    pub extended: u32,
}

impl Capabilities {
    /// In `extended`: understands the request to reconnect.
    pub const RECONNECT: u32 = 1;
    /// In `extended`: takes several tracks of a kind.
    pub const MULTITRACK: u32 = 2;
    /// In `extended`: skips or reads modifiers before a packet type.
    pub const MOD_EX: u32 = 4;
    /// In `extended`: reads the modifier with nanoseconds.
    pub const TIMESTAMP_NANO_OFFSET: u32 = 8;

    /// What this server takes and gives on.
    pub fn of_server() -> Capabilities {
        let video: [&FourCc; 4] = [b"avc1", b"hvc1", b"av01", b"vp09"];
        let audio: [&FourCc; 5] = [b"mp4a", b"Opus", b"fLaC", b"ac-3", b".mp3"];
        let forward = |codec: &&FourCc| (**codec, Ability::FORWARD);
        Capabilities {
            list: video.iter().chain(&audio).map(|codec| **codec).collect(),
            video: video.iter().map(forward).collect(),
            audio: audio.iter().map(forward).collect(),
            extended: Capabilities::MULTITRACK | Capabilities::MOD_EX,
        }
    }

    /// Whether the peer named any codec.
    pub fn is_enhanced(&self) -> bool {
        !(self.list.is_empty() && self.video.is_empty() && self.audio.is_empty())
    }

    /// Whether a unit of this codec may be sent to the peer: it is listed, or can be decoded or forwarded.
    pub fn can_receive(&self, codec: FourCc) -> bool {
        let receives = Ability::DECODE.0 | Ability::FORWARD.0;
        let mapped = self.video.iter().chain(&self.audio);
        self.list.iter().any(|listed| *listed == codec || *listed == ANY)
            || mapped
                .into_iter()
                .any(|(key, ability)| (*key == codec || *key == ANY) && ability.0 & receives != 0)
    }

    /// Whether the peer takes several tracks of a kind.
    pub fn multitrack(&self) -> bool {
        self.extended & Capabilities::MULTITRACK != 0
    }

    /// Reads the properties of a command object; what has another type than expected counts as absent.
    pub(super) fn parse(object: &Value) -> Capabilities {
        let list = object.get("fourCcList").and_then(Value::elements).unwrap_or_default();
        let list = list.iter().take(RTMP_FOURCCS_MAX).filter_map(|codec| four_cc(codec.as_str()?)).collect();
        let map = |name: &str| {
            let entries = object.get(name).and_then(Value::properties).unwrap_or_default();
            let entry = |(codec, ability): &(Box<str>, Value)| {
                Some((four_cc(codec)?, Ability(ability.as_number()? as u8)))
            };
            entries.iter().take(RTMP_FOURCCS_MAX).filter_map(entry).collect()
        };
        let extended = object.get("capsEx").and_then(Value::as_number).unwrap_or(0.0) as u32;
        Capabilities { list, video: map("videoFourCcInfoMap"), audio: map("audioFourCcInfoMap"), extended }
    }

    /// The properties for a command object; none for a legacy peer.
    pub(super) fn properties(&self) -> Vec<(&'static str, Value)> {
        let text = |codec: &FourCc| String::from_utf8_lossy(codec).trim_end_matches('\0').to_owned();
        let map = |entries: &[(FourCc, Ability)]| {
            let entry = |(codec, ability): &(FourCc, Ability)| {
                (text(codec).into_boxed_str(), Value::Number(ability.0.into()))
            };
            Value::Object(entries.iter().map(entry).collect())
        };
        let mut properties = Vec::new();
        if !self.list.is_empty() {
            let list = self.list.iter().map(|codec| Value::from(&*text(codec))).collect();
            properties.push(("fourCcList", Value::StrictArray(list)));
        }
        if !self.video.is_empty() {
            properties.push(("videoFourCcInfoMap", map(&self.video)));
        }
        if !self.audio.is_empty() {
            properties.push(("audioFourCcInfoMap", map(&self.audio)));
        }
        if self.extended != 0 {
            properties.push(("capsEx", Value::Number(self.extended.into())));
        }
        properties
    }
}

/// `*` is padded; anything else has four bytes.
fn four_cc(text: &str) -> Option<FourCc> {
    if text == "*" { Some(ANY) } else { text.as_bytes().try_into().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_answers_for_a_codec() {
        let ours = Capabilities::of_server();
        assert_eq!(Capabilities::parse(&Value::object(ours.properties())), ours);
        assert!(ours.can_receive(*b"hvc1") && ours.multitrack() && ours.is_enhanced());
        let legacy = Capabilities::parse(&Value::object([("app", Value::from("live"))]));
        assert!(!legacy.can_receive(*b"hvc1") && !legacy.is_enhanced() && legacy.properties().is_empty());
    }

    #[test]
    fn the_star_stands_for_all_and_an_encoder_is_no_receiver() {
        let list = Value::StrictArray(vec![Value::from("*"), Value::Null, Value::from("too long")]);
        let any = Capabilities::parse(&Value::object([("fourCcList", list)]));
        assert!(any.can_receive(*b"av01") && any.list.len() == 1);
        let map = Value::object([("vp09", Value::Number(2.0)), ("*", Value::Number(f64::NAN))]);
        let encoder = Capabilities::parse(&Value::object([("videoFourCcInfoMap", map)]));
        assert!(!encoder.can_receive(*b"vp09"));
    }
}
