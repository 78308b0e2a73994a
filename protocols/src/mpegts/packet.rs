//! One transport packet: its header and adaptation field read in place, and written (ISO/IEC 13818-1, 2.4.3.2 to 2.4.3.5).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |   0x47        |E|S|P|          PID            |TSC|A|D|counter|  E error, S unit start, A adaptation field, D payload
//! |    length     |D|R|E|P|O|S|T|X|  PCR (48 bits), further fields, stuffing …
//! ```
//!
//! Packets of 192 and 204 bytes (with time codes or parity) are not read.

use super::error::Error;
use super::timestamp::Timestamp;
use bytes::{BufMut, BytesMut};

/// Bytes of every transport packet.
pub const PACKET_BYTES: usize = 188;
/// First byte of every transport packet.
pub const SYNC_BYTE: u8 = 0x47;

const HEADER_BYTES: usize = 4;
/// What a packet holds besides its header.
pub(super) const BODY_BYTES: usize = PACKET_BYTES - HEADER_BYTES;
const ERROR: u8 = 0x80;
const UNIT_START: u8 = 0x40;
const ADAPTATION: u8 = 0x20;
const PAYLOAD: u8 = 0x10;
const DISCONTINUITY: u8 = 0x80;
const RANDOM_ACCESS: u8 = 0x40;
const PCR: u8 = 0x10;
const PCR_BYTES: usize = 6;

/// A packet identifier, 13 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pid(pub u16);

impl Pid {
    /// The program association table.
    pub const PAT: Pid = Pid(0);
    /// Stuffing.
    pub const NULL: Pid = Pid(0x1FFF);

    /// From two bytes whose upper three bits are something else.
    pub(super) fn from_bytes(bytes: [u8; 2]) -> Pid {
        Pid(u16::from_be_bytes(bytes) & 0x1FFF)
    }
}

/// A continuity counter, 4 bits; it counts the packets of a PID that have a payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Continuity(u8);

impl Continuity {
    /// The counter of the next packet with payload.
    #[must_use]
    pub fn next(self) -> Continuity {
        Continuity(self.0.wrapping_add(1) & 0x0F)
    }
}

/// What a transport packet says, borrowed from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    pub pid: Pid,
    /// A demodulator before us found errors that it could not repair.
    pub transport_error: bool,
    /// A PES packet or a section begins in the payload.
    pub unit_start: bool,
    pub scrambled: bool,
    pub continuity: Continuity,
    /// The continuity counter or the time base may jump here.
    pub discontinuity: bool,
    pub random_access: bool,
    /// The base of the program clock reference.
    pub pcr: Option<Timestamp>,
    /// `None` where the packet has none, which leaves the counter where it was.
    pub payload: Option<&'a [u8]>,
}

impl<'a> Packet<'a> {
    /// Reads header and adaptation field. Never allocates.
    ///
    /// # Errors
    /// No sync byte; neither adaptation field nor payload; an adaptation field that reaches past the packet.
    pub fn parse(bytes: &'a [u8; PACKET_BYTES]) -> Result<Packet<'a>, Error> {
        if bytes[0] != SYNC_BYTE {
            return Err(Error::invalid("sync byte", 0));
        }
        let flags = bytes[3];
        let mut packet = Packet {
            pid: Pid::from_bytes([bytes[1], bytes[2]]),
            transport_error: bytes[1] & ERROR != 0,
            unit_start: bytes[1] & UNIT_START != 0,
            scrambled: flags & 0xC0 != 0,
            continuity: Continuity(flags & 0x0F),
            discontinuity: false,
            random_access: false,
            pcr: None,
            payload: None,
        };
        let mut body = &bytes[HEADER_BYTES..];
        if flags & (ADAPTATION | PAYLOAD) == 0 {
            return Err(Error::invalid("adaptation field control", 3));
        }
        if flags & ADAPTATION != 0 {
            let length = usize::from(body[0]);
            let Some(field) = body.get(1..1 + length) else {
                return Err(Error::invalid("adaptation field length", HEADER_BYTES));
            };
            packet.adaptation_field(field)?;
            body = &body[1 + length..];
        }
        if flags & PAYLOAD != 0 {
            packet.payload = Some(body);
        }
        Ok(packet)
    }

    fn adaptation_field(&mut self, field: &[u8]) -> Result<(), Error> {
        let Some((flags, rest)) = field.split_first() else {
            return Ok(());
        };
        self.discontinuity = flags & DISCONTINUITY != 0;
        self.random_access = flags & RANDOM_ACCESS != 0;
        if flags & PCR != 0 {
            let Some(pcr) = rest.first_chunk::<PCR_BYTES>() else {
                return Err(Error::invalid("program clock reference", HEADER_BYTES + 2));
            };
            self.pcr = Some(Timestamp::from_pcr(*pcr));
        }
        Ok(())
    }
}

/// What the adaptation field of a unit's first packet says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Adaptation {
    pub(super) discontinuity: bool,
    pub(super) random_access: bool,
    pub(super) pcr: Option<Timestamp>,
}

impl Adaptation {
    /// Bytes the field needs, its length byte included; 0 where there is nothing to say.
    fn bytes(self) -> usize {
        match self {
            Adaptation { pcr: Some(_), .. } => 2 + PCR_BYTES,
            Adaptation { discontinuity: false, random_access: false, pcr: None } => 0,
            _ => 2,
        }
    }

    /// Appends the field, stuffed to `bytes`: 0 for none, else at least what it needs.
    fn write(self, bytes: usize, out: &mut BytesMut) {
        debug_assert!(bytes >= self.bytes());
        let Some(length) = bytes.checked_sub(1) else {
            return;
        };
        out.put_u8(length as u8);
        if length == 0 {
            return;
        }
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        out.put_u8(
            flag(self.discontinuity, DISCONTINUITY)
                | flag(self.random_access, RANDOM_ACCESS)
                | flag(self.pcr.is_some(), PCR),
        );
        let mut used = 1;
        if let Some(pcr) = self.pcr {
            out.put_slice(&pcr.pcr());
            used += PCR_BYTES;
        }
        out.put_bytes(0xFF, length - used);
    }
}

/// Appends the packets that carry one PES packet, `header` and then `pieces` one after the other, the last one stuffed;
/// `adaptation` goes into the first. `out` grows once.
pub(super) fn write_pes(
    out: &mut BytesMut,
    pid: Pid,
    continuity: &mut Continuity,
    adaptation: Adaptation,
    header: &[u8],
    pieces: &[&[u8]],
) {
    let mut left = header.len() + pieces.iter().map(|piece| piece.len()).sum::<usize>();
    out.reserve((left + adaptation.bytes()).div_ceil(BODY_BYTES) * PACKET_BYTES);
    let mut adaptation = adaptation;
    let mut unit_start = UNIT_START;
    let mut pieces = pieces.iter().copied();
    let mut piece = header;
    while left > 0 {
        let mut room = left.min(BODY_BYTES - adaptation.bytes());
        let field = BODY_BYTES - room;
        write_header(
            out,
            pid,
            unit_start,
            if field > 0 { ADAPTATION | PAYLOAD } else { PAYLOAD },
            *continuity,
        );
        *continuity = continuity.next();
        adaptation.write(field, out);
        left -= room;
        while room > 0 {
            while piece.is_empty() {
                piece = pieces.next().expect("the pieces hold what was summed up");
            }
            let (now, later) = piece.split_at(room.min(piece.len()));
            out.put_slice(now);
            room -= now.len();
            piece = later;
        }
        adaptation = Adaptation::default();
        unit_start = 0;
    }
}

/// Appends the packets that carry one section: a pointer field of zero, the section, and stuffing after it (2.4.4.2).
pub(super) fn write_section(out: &mut BytesMut, pid: Pid, continuity: &mut Continuity, section: &[u8]) {
    let mut left = section;
    let mut pointer: &[u8] = &[0];
    let mut unit_start = UNIT_START;
    while !left.is_empty() {
        write_header(out, pid, unit_start, PAYLOAD, *continuity);
        *continuity = continuity.next();
        let (now, later) = left.split_at(left.len().min(BODY_BYTES - pointer.len()));
        out.put_slice(pointer);
        out.put_slice(now);
        out.put_bytes(0xFF, BODY_BYTES - pointer.len() - now.len());
        left = later;
        pointer = &[];
        unit_start = 0;
    }
}

/// Appends a packet without payload that says the clock. Such packets repeat the counter of the packet before them
/// (2.4.3.3), so `next` is the counter of the packet to come.
pub(super) fn write_pcr(out: &mut BytesMut, pid: Pid, next: Continuity, adaptation: Adaptation) {
    let last = Continuity(next.0.wrapping_sub(1) & 0x0F);
    write_header(out, pid, 0, ADAPTATION, last);
    adaptation.write(BODY_BYTES, out);
}

fn write_header(out: &mut BytesMut, pid: Pid, unit_start: u8, control: u8, continuity: Continuity) {
    let [high, low] = pid.0.to_be_bytes();
    out.put_slice(&[SYNC_BYTE, unit_start | high & 0x1F, low, control | continuity.0]);
}

#[cfg(test)]
mod tests;
