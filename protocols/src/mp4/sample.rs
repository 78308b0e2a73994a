//! Units as samples: what goes before each part in `mdat`.

use crate::codec::Configuration;
use crate::unit::{AccessUnit, Parts};
use bytes::{BufMut, Bytes, BytesMut};

/// Parts below this are copied beside the headers: a slice more in the list costs more than that.
const SLICE_BYTES_MIN: usize = 96;

/// How the parts of a unit become a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// As they are.
    Plain,
    /// Each after its length in four bytes, without H.264 parameter sets.
    H264,
    /// Each after its length in four bytes, without H.265 parameter sets.
    H265,
    /// OBUs, each with its size field.
    Obus,
}

/// One unit in a fragment.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Ticks to the next sample's decode time.
    pub duration: u32,
    /// Ticks from decode to presentation time.
    pub composition_offset: i32,
    pub random_access: bool,
    parts: Parts,
    framing: Framing,
    bytes: u32,
}

impl Framing {
    pub fn new(configuration: &Configuration) -> Framing {
        match configuration {
            Configuration::H264(_) => Framing::H264,
            Configuration::H265(_) => Framing::H265,
            Configuration::Av1(_) => Framing::Obus,
            _ => Framing::Plain,
        }
    }

    /// Whether the part belongs into the sample; parameter sets are in the sample entry.
    fn keeps(self, part: &[u8]) -> bool {
        let Some(&first) = part.first() else { return false };
        match self {
            Framing::H264 => !matches!(first & 0x1F, 7 | 8 | 13 | 15),
            Framing::H265 => !matches!(first >> 1 & 0x3F, 32..=34),
            Framing::Plain | Framing::Obus => true,
        }
    }

    /// Bytes that go before a part, some of which may replace its own first ones.
    fn prefix(self, part: &[u8]) -> Prefix {
        let mut prefix = Prefix { bytes: [0; 8], len: 0, replaces: 0 };
        match self {
            Framing::Plain => {}
            Framing::H264 | Framing::H265 => prefix.put(&(part.len() as u32).to_be_bytes()),
            Framing::Obus => {
                let head = (1 + usize::from(part[0] & 0x04 != 0)).min(part.len());
                prefix.put(&part[..head]);
                prefix.bytes[0] |= 0x02;
                prefix.replaces = head;
                let mut rest = part.len() - head;
                while rest >= 0x80 {
                    prefix.put(&[rest as u8 | 0x80]);
                    rest >>= 7;
                }
                prefix.put(&[rest as u8]);
            }
        }
        prefix
    }
}

struct Prefix {
    /// Four bytes of a length; or an OBU's header of one or two bytes, and a size of at most five.
    bytes: [u8; 8],
    len: usize,
    /// Bytes of the part that these stand for.
    replaces: usize,
}

impl Prefix {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

impl Sample {
    /// The sample of a unit; `None` if nothing is left of it, or if it is longer than the format's 32 bits hold.
    pub fn new(
        framing: Framing,
        unit: &AccessUnit,
        duration: u32,
        composition_offset: i32,
    ) -> Option<Sample> {
        let parts = unit.parts.iter().filter(|part| framing.keeps(part)).cloned().collect::<Parts>();
        let bytes = parts
            .iter()
            .map(|part| {
                let prefix = framing.prefix(part);
                part.len() - prefix.replaces + prefix.len
            })
            .sum::<usize>();
        let bytes = u32::try_from(bytes).ok().filter(|&bytes| bytes > 0 && bytes < u32::MAX / 2)?;
        Some(Sample {
            duration,
            composition_offset,
            random_access: unit.random_access,
            parts,
            framing,
            bytes,
        })
    }

    /// Bytes in `mdat`.
    pub fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Bytes of the sample that lie in the fragment's own allocation.
    pub(super) fn own_bytes(&self) -> usize {
        self.parts
            .iter()
            .map(|part| {
                let prefix = self.framing.prefix(part);
                let payload = part.len() - prefix.replaces;
                prefix.len + if payload < SLICE_BYTES_MIN { payload } else { 0 }
            })
            .sum()
    }

    /// Appends the sample to `out`, where `own` is what of it is not sliced yet.
    pub(super) fn write(self, own: &mut BytesMut, out: &mut Vec<Bytes>) {
        for mut part in self.parts {
            let prefix = self.framing.prefix(&part);
            own.put_slice(&prefix.bytes[..prefix.len]);
            let payload = part.split_off(prefix.replaces);
            if payload.len() < SLICE_BYTES_MIN {
                own.put_slice(&payload);
            } else {
                if !own.is_empty() {
                    out.push(own.split().freeze());
                }
                out.push(payload);
            }
        }
    }
}
