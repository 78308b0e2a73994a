//! What a client can play, from its `connect` command (Enhanced RTMP, "Enhancing NetConnection connect Command").

use super::format::FourCc;
use crate::amf0::Value;

/// `CapsExMask.Multitrack`.
const CAPS_EX_MULTITRACK: u32 = 0x02;
/// `FourCcInfoMask`: the client can decode, or pass on.
const CAN_DECODE: u32 = 0x01;
const CAN_FORWARD: u32 = 0x04;
/// Any codec, in lists and maps of fourCCs.
const ANY: &str = "*";

/// What a client can play. Clients of equal capabilities get the same messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Capabilities {
    /// One bit for each of [`FourCc::ALL`].
    fourccs: u16,
    /// Whether it takes more than one track of a medium.
    pub multitrack: bool,
}

impl Capabilities {
    /// A client that knows nothing of Enhanced RTMP.
    pub const fn legacy() -> Capabilities {
        Capabilities { fourccs: 0, multitrack: false }
    }

    /// A client that takes extended tags of these codecs, and several tracks; unknown fourCCs are passed over.
    pub fn enhanced(fourccs: impl IntoIterator<Item = FourCc>) -> Capabilities {
        let bits = fourccs.into_iter().fold(0, |bits, fourcc| bits | bit(fourcc));
        Capabilities { fourccs: bits, multitrack: true }
    }

    /// A client that takes everything: HTTP-FLV, where nobody is asked.
    pub fn all() -> Capabilities {
        Capabilities::enhanced(FourCc::ALL)
    }

    /// What the command object of a `connect` says: `fourCcList`, `videoFourCcInfoMap`, `audioFourCcInfoMap`, `capsEx`.
    ///
    /// A client that lists codecs which only version 2 has, and says nothing in `capsEx`, takes multitrack too: so do
    /// MediaMTX and others of its library.
    pub fn from_connect(command: &Value) -> Capabilities {
        let mut listed = Vec::new();
        if let Some(list) = command.get("fourCcList").and_then(Value::elements) {
            listed.extend(list.iter().filter_map(Value::as_str));
        }
        for map in ["videoFourCcInfoMap", "audioFourCcInfoMap"] {
            let properties = command.get(map).and_then(Value::properties).unwrap_or_default();
            listed.extend(
                properties.iter().filter(|(_, mask)| can_play(mask)).map(|(name, _)| -> &str { name }),
            );
        }
        let mut fourccs = 0;
        let mut knows_version_2 = false;
        for name in listed {
            if name == ANY {
                fourccs = bits_of_all();
                knows_version_2 = true;
            } else if let Ok(fourcc) = name.as_bytes().try_into().map(FourCc) {
                fourccs |= bit(fourcc);
                // Version 1 has these three only.
                let version_1 = matches!(fourcc, FourCc::HVC1 | FourCc::AV01 | FourCc::VP09);
                knows_version_2 |= bit(fourcc) != 0 && !version_1;
            }
        }
        let caps_ex = command.get("capsEx").and_then(Value::as_number);
        let multitrack = caps_ex.map_or(knows_version_2, |mask| mask as u32 & CAPS_EX_MULTITRACK != 0);
        Capabilities { fourccs, multitrack: multitrack && fourccs != 0 }
    }

    /// Whether extended tags of that codec are taken.
    pub fn takes(self, fourcc: FourCc) -> bool {
        self.fourccs & bit(fourcc) != 0
    }
}

fn can_play(mask: &Value) -> bool {
    mask.as_number().is_some_and(|mask| mask as u32 & (CAN_DECODE | CAN_FORWARD) != 0)
}

fn bit(fourcc: FourCc) -> u16 {
    FourCc::ALL.iter().position(|known| *known == fourcc).map_or(0, |index| 1 << index)
}

fn bits_of_all() -> u16 {
    (1 << FourCc::ALL.len()) - 1
}
