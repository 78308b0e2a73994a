//! Program specific information: which programs there are and which PIDs carry their streams (ISO/IEC 13818-1, 2.4.4).
//!
//! ```text
//! +----------+-+-+--+----------------+----------------------+--+---------+-+--------+--------+------ ... ------+--------+
//! | table id |1|0|11| length (12)    | stream or program id |11|version 5|C| number | last   |                 | CRC 32 |
//! +----------+-+-+--+----------------+----------------------+--+---------+-+--------+--------+------ ... ------+--------+
//! ```
//!
//! Of the program association table the first program is taken; a table of several sections has it in the first one.
//! Sections whose checksum is wrong, that are not in force yet, or that belong to other tables are left aside.

use super::error::Error;
use super::packet::Pid;
use crate::limits::MPEGTS_SECTION_BYTES_MAX;

const PAT_TABLE: u8 = 0x00;
const PMT_TABLE: u8 = 0x02;
/// Table id and length.
const PREFIX_BYTES: usize = 3;
/// From the id of stream or program to the last section number.
const FIXED_BYTES: usize = 5;
const CRC_BYTES: usize = 4;
/// The syntax indicator and the reserved bits around it, in the upper half of the length's first byte.
const SYNTAX: u8 = 0xB0;
/// Table id where the rest of a packet is stuffing.
const STUFFING: u8 = 0xFF;

const CRC_TABLE: [u32; 256] = crc_table();

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut remainder = (byte as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            remainder = if remainder >> 31 == 1 { remainder << 1 ^ 0x04C1_1DB7 } else { remainder << 1 };
            bit += 1;
        }
        table[byte] = remainder;
        byte += 1;
    }
    table
}

/// The checksum of sections (annex A): polynomial 0x04C11DB7, all ones at the start, nothing reflected or inverted. Over a
/// section with its checksum it is zero.
pub fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(!0, |crc: u32, byte| crc << 8 ^ CRC_TABLE[usize::from((crc >> 24) as u8 ^ byte)])
}

/// What the program association table says of the first program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Association {
    pub transport_stream: u16,
    /// 0 to 31.
    pub version: u8,
    /// Never zero, which stands for the network information table.
    pub program: u16,
    /// Where the program map table is.
    pub map: Pid,
}

impl Association {
    /// Reads a section. `None`: a table not in force yet, a further section of it, or no program in it.
    ///
    /// # Errors
    /// A wrong checksum, another table, or lengths that contradict each other.
    pub fn parse(section: &[u8]) -> Result<Option<Association>, Error> {
        let Some(body) = Body::parse(section, PAT_TABLE)? else {
            return Ok(None);
        };
        let program = body
            .rest
            .chunks_exact(4)
            .map(|entry| (u16::from_be_bytes([entry[0], entry[1]]), Pid::from_bytes([entry[2], entry[3]])))
            .find(|(program, _)| *program != 0);
        Ok(program.map(|(program, map)| Association {
            transport_stream: body.id,
            version: body.version,
            program,
            map,
        }))
    }

    /// The section that says so.
    pub fn section(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(4);
        body.extend(self.program.to_be_bytes());
        body.extend(reserved_before(self.map));
        section(PAT_TABLE, self.transport_stream, self.version, &body)
    }
}

/// One stream of a program map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappedStream<'a> {
    pub stream_type: u8,
    pub pid: Pid,
    pub descriptors: Descriptors<'a>,
}

/// What a program map table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramMap<'a> {
    pub program: u16,
    /// 0 to 31.
    pub version: u8,
    /// [`Pid::NULL`] where the program has no clock.
    pub pcr: Pid,
    streams: &'a [u8],
}

impl<'a> ProgramMap<'a> {
    /// Reads a section. `None`: a table not in force yet, or a further section, which program maps do not have (2.4.4.9).
    ///
    /// # Errors
    /// A wrong checksum, another table, or lengths that contradict each other.
    pub fn parse(section: &'a [u8]) -> Result<Option<ProgramMap<'a>>, Error> {
        let Some(body) = Body::parse(section, PMT_TABLE)? else {
            return Ok(None);
        };
        let &[pcr_high, pcr_low, length_high, length_low, ref rest @ ..] = body.rest else {
            return Err(Error::invalid("program map", PREFIX_BYTES + FIXED_BYTES));
        };
        let Some((_, streams)) = rest.split_at_checked(length_12([length_high, length_low])) else {
            return Err(Error::invalid("program descriptors", PREFIX_BYTES + FIXED_BYTES + 4));
        };
        let pcr = Pid::from_bytes([pcr_high, pcr_low]);
        let map = ProgramMap { program: body.id, version: body.version, pcr, streams };
        match map.streams().map(|stream| stream.descriptors.0.len() + 5).sum::<usize>() == streams.len() {
            true => Ok(Some(map)),
            false => Err(Error::invalid("stream descriptors", section.len() - CRC_BYTES - streams.len())),
        }
    }

    /// Its streams, in their order.
    pub fn streams(&self) -> impl Iterator<Item = MappedStream<'a>> + use<'a> {
        let mut rest = self.streams;
        std::iter::from_fn(move || {
            let &[stream_type, pid_high, pid_low, length_high, length_low, ref tail @ ..] = rest else {
                return None;
            };
            let (descriptors, tail) = tail.split_at_checked(length_12([length_high, length_low]))?;
            rest = tail;
            let pid = Pid::from_bytes([pid_high, pid_low]);
            Some(MappedStream { stream_type, pid, descriptors: Descriptors(descriptors) })
        })
    }
}

/// The section of a program map without program descriptors.
///
/// # Errors
/// More streams and descriptors than a section holds.
pub fn program_map(
    program: u16,
    version: u8,
    pcr: Pid,
    streams: &[MappedStream<'_>],
) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    body.extend(reserved_before(pcr));
    body.extend([0xF0, 0]);
    for stream in streams {
        body.push(stream.stream_type);
        body.extend(reserved_before(stream.pid));
        let [high, low] = (stream.descriptors.0.len() as u16).to_be_bytes();
        body.extend([0xF0 | high & 0x03, low]);
        body.extend(stream.descriptors.0);
    }
    let max = MPEGTS_SECTION_BYTES_MAX - PREFIX_BYTES - FIXED_BYTES - CRC_BYTES;
    if body.len() > max {
        return Err(Error::Limit { what: "bytes of a program map", max });
    }
    Ok(section(PMT_TABLE, program, version, &body))
}

/// A list of descriptors: tag, length, body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptors<'a>(pub &'a [u8]);

impl<'a> Descriptors<'a> {
    /// Tags and bodies, up to the first that reaches past the list.
    pub fn iter(self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let &[tag, length, ref tail @ ..] = rest else {
                return None;
            };
            let (body, tail) = tail.split_at_checked(usize::from(length))?;
            rest = tail;
            Some((tag, body))
        })
    }

    /// The body of the first descriptor with this tag.
    pub fn find(self, tag: u8) -> Option<&'a [u8]> {
        self.iter().find(|(found, _)| *found == tag).map(|(_, body)| body)
    }
}

/// A section between its header and its checksum.
struct Body<'a> {
    id: u16,
    version: u8,
    rest: &'a [u8],
}

impl<'a> Body<'a> {
    fn parse(section: &'a [u8], table: u8) -> Result<Option<Body<'a>>, Error> {
        let &[found, length_high, length_low, id_high, id_low, version, number, _, ref rest @ ..] = section
        else {
            return Err(Error::invalid("section header", 0));
        };
        if found != table {
            return Err(Error::invalid("table id", 0));
        }
        let length = length_12([length_high, length_low]);
        let Some(rest) = rest.len().checked_sub(CRC_BYTES).map(|end| &rest[..end]) else {
            return Err(Error::invalid("section length", 1));
        };
        if PREFIX_BYTES + length != section.len() {
            return Err(Error::invalid("section length", 1));
        }
        if crc32(section) != 0 {
            return Err(Error::invalid("section checksum", section.len() - CRC_BYTES));
        }
        let in_force = version & 1 == 1;
        Ok((in_force && number == 0).then(|| Body {
            id: u16::from_be_bytes([id_high, id_low]),
            version: version >> 1 & 0x1F,
            rest,
        }))
    }
}

/// The only section of a table, in force now.
fn section(table: u8, id: u16, version: u8, body: &[u8]) -> Vec<u8> {
    let length = FIXED_BYTES + body.len() + CRC_BYTES;
    let mut section = Vec::with_capacity(PREFIX_BYTES + length);
    let [high, low] = (length as u16).to_be_bytes();
    section.extend([table, SYNTAX | high & 0x0F, low]);
    section.extend(id.to_be_bytes());
    section.extend([0xC1 | version << 1, 0, 0]);
    section.extend(body);
    section.extend(crc32(&section).to_be_bytes());
    section
}

/// A PID behind three reserved bits.
fn reserved_before(pid: Pid) -> [u8; 2] {
    (0xE000 | pid.0).to_be_bytes()
}

/// A length of 12 bits behind four others.
fn length_12(bytes: [u8; 2]) -> usize {
    usize::from(u16::from_be_bytes(bytes) & 0x0FFF)
}

/// Joins the sections of one PID.
#[derive(Debug, Default)]
pub struct Assembler {
    /// What came of a section that is not whole yet, never more than [`MPEGTS_SECTION_BYTES_MAX`].
    partial: Vec<u8>,
    /// Whether a section began, and nothing of it was lost.
    inside: bool,
}

impl Assembler {
    /// Forgets what came: packets were lost.
    pub fn interrupt(&mut self) {
        self.partial.clear();
        self.inside = false;
    }

    /// Takes one packet's payload and gives each section that ends in it to `each`. Sections that say they are longer than
    /// the tables read here may be are dropped.
    pub fn push(&mut self, unit_start: bool, payload: &[u8], mut each: impl FnMut(&[u8])) {
        if !unit_start {
            self.take(payload, &mut each);
            return;
        }
        let Some((&pointer, rest)) = payload.split_first() else {
            return;
        };
        let Some((end_of_last, rest)) = rest.split_at_checked(usize::from(pointer)) else {
            self.interrupt();
            return;
        };
        self.take(end_of_last, &mut each);
        self.partial.clear();
        self.inside = true;
        self.take(rest, &mut each);
    }

    fn take(&mut self, mut bytes: &[u8], each: &mut impl FnMut(&[u8])) {
        while self.inside && !bytes.is_empty() {
            if self.partial.is_empty() && bytes[0] == STUFFING {
                self.inside = false;
                return;
            }
            let wanted = match self.partial[..] {
                [_, high, low, ..] => PREFIX_BYTES + length_12([high, low]),
                _ => PREFIX_BYTES,
            };
            if wanted > MPEGTS_SECTION_BYTES_MAX {
                self.interrupt();
                return;
            }
            let missing = wanted.saturating_sub(self.partial.len());
            let (now, later) = bytes.split_at(missing.min(bytes.len()));
            self.partial.extend_from_slice(now);
            bytes = later;
            self.end(each);
        }
    }

    /// Gives the section away if it is whole.
    fn end(&mut self, each: &mut impl FnMut(&[u8])) {
        if let [_, high, low, ..] = self.partial[..]
            && self.partial.len() == PREFIX_BYTES + length_12([high, low])
        {
            each(&self.partial);
            self.partial.clear();
        }
    }
}

#[cfg(test)]
mod tests;
