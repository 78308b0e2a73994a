//! How Enhanced RTMP (v2, "Enhancing NetConnection connect Command") says which codecs a peer takes: `fourCcList` of version
//! 1, `videoFourCcInfoMap`, `audioFourCcInfoMap` and `capsEx` of version 2. [`Capabilities::from_connect`] reads it.

use crate::amf0::Value;
use crate::flv::{Capabilities, FourCc};

/// In the maps: the peer plays the codec, or passes it on (`FourCcInfoMask`).
pub(super) const DECODE: u8 = 1;
pub(super) const FORWARD: u8 = 4;
/// In `capsEx`: takes several tracks of a kind, and skips modifiers before a packet type (`CapsExMask`).
const MULTITRACK: u8 = 2;
const MOD_EX: u8 = 4;
/// The other codecs are of video.
const AUDIO: [FourCc; 5] = [FourCc::OPUS, FourCc::FLAC, FourCc::AC_3, FourCc::MP3, FourCc::MP4A];

/// The properties for a command object, with `ability` for each codec; none for a legacy peer.
pub(super) fn properties(capabilities: Capabilities, ability: u8) -> Vec<(&'static str, Value)> {
    let taken = FourCc::ALL.into_iter().filter(|codec| capabilities.takes(*codec));
    let (audio, video): (Vec<_>, Vec<_>) = taken.partition(|codec| AUDIO.contains(codec));
    if audio.is_empty() && video.is_empty() {
        return Vec::new();
    }
    let text = |codec: &FourCc| String::from_utf8_lossy(&codec.0).into_owned().into_boxed_str();
    let map = |codecs: &[FourCc]| {
        let entries = codecs.iter().map(|codec| (text(codec), Value::Number(ability.into())));
        Value::Object(entries.collect())
    };
    let list = video.iter().chain(&audio).map(|codec| Value::String(text(codec))).collect();
    let multitrack = if capabilities.multitrack { MULTITRACK } else { 0 };
    vec![
        ("fourCcList", Value::StrictArray(list)),
        ("videoFourCcInfoMap", map(&video)),
        ("audioFourCcInfoMap", map(&audio)),
        ("capsEx", Value::Number((MOD_EX | multitrack).into())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let hevc = Capabilities::enhanced([FourCc::HVC1, FourCc::OPUS]);
        let mut single = hevc;
        single.multitrack = false;
        for capabilities in [Capabilities::all(), hevc, single] {
            for ability in [DECODE, FORWARD] {
                let object = Value::object(properties(capabilities, ability));
                assert_eq!(Capabilities::from_connect(&object), capabilities);
            }
        }
        assert!(properties(Capabilities::legacy(), DECODE).is_empty());
    }
}
