//! The control header before each Opus packet in MPEG-TS ("Opus in MPEG-TS", draft 0.1.3 of ETSI's mapping, as FFmpeg has it).
//!
//! ```text
//! +-------------+-+-+-+----------+-----------------+------------------+----------------+-----------
//! | 0x3FF (11)  |S|E|X| reserved | size: 255 … < 255 | start trim (16) | end trim (16) | extension
//! +-------------+-+-+-+----------+-----------------+------------------+----------------+-----------
//! ```
//!
//! S, E and X say which of the last three are there. Trims count samples at 48 kHz, in 13 bits.

use super::error::Error;

const PREFIX: u16 = 0x3FF << 5;
const PREFIX_MASK: u16 = 0xFFE0;
const START_TRIM: u16 = 0x10;
const END_TRIM: u16 = 0x08;
const EXTENSION: u16 = 0x04;
const TRIM_MAX: u16 = 0x1FFF;

/// What a control header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// Bytes of the header.
    pub header_bytes: usize,
    /// Bytes of the Opus packet after it, all of which are there.
    pub packet_bytes: usize,
    /// Samples at 48 kHz to drop at the packet's beginning; 0 to 8191.
    pub start_trim: u16,
    /// Samples at 48 kHz to drop at the packet's end; 0 to 8191.
    pub end_trim: u16,
}

impl Control {
    /// Reads the header at the front of `bytes`.
    ///
    /// # Errors
    /// Another prefix; a header or an Opus packet that reaches past `bytes`.
    pub fn parse(bytes: &[u8]) -> Result<Control, Error> {
        let mut at = 0;
        let number_16 = |at: &mut usize, what| {
            let field =
                bytes.get(*at..).and_then(|rest| rest.first_chunk()).ok_or(Error::invalid(what, *at))?;
            *at += 2;
            Ok(u16::from_be_bytes(*field))
        };
        let flags = number_16(&mut at, "Opus control header")?;
        if flags & PREFIX_MASK != PREFIX {
            return Err(Error::invalid("Opus control header", 0));
        }
        let mut packet_bytes = 0;
        loop {
            let byte = *bytes.get(at).ok_or(Error::invalid("Opus packet size", at))?;
            at += 1;
            packet_bytes += usize::from(byte);
            if byte != 255 {
                break;
            }
        }
        let mut trim = |flag| match flags & flag != 0 {
            true => number_16(&mut at, "Opus trim").map(|trim| trim & TRIM_MAX),
            false => Ok(0),
        };
        let (start_trim, end_trim) = (trim(START_TRIM)?, trim(END_TRIM)?);
        if flags & EXTENSION != 0 {
            let length = bytes.get(at).ok_or(Error::invalid("Opus control extension", at))?;
            at += 1 + usize::from(*length);
        }
        match bytes.len().checked_sub(at) {
            Some(left) if left >= packet_bytes => {
                Ok(Control { header_bytes: at, packet_bytes, start_trim, end_trim })
            }
            _ => Err(Error::invalid("Opus packet", at)),
        }
    }
}

/// Appends the header of an Opus packet, with a trim at its beginning unless that is zero.
pub(super) fn write(packet_bytes: usize, start_trim: u16, out: &mut Vec<u8>) {
    let trim = start_trim.min(TRIM_MAX);
    out.extend((PREFIX | if trim > 0 { START_TRIM } else { 0 }).to_be_bytes());
    out.extend(std::iter::repeat_n(255, packet_bytes / 255));
    out.push((packet_bytes % 255) as u8);
    if trim > 0 {
        out.extend(trim.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::{Control, write};

    #[test]
    fn headers_are_read_as_written() {
        for (packet_bytes, start_trim) in [(0, 0), (254, 1), (255, 0), (256, 8191), (1275, 312)] {
            let mut bytes = Vec::new();
            write(packet_bytes, start_trim, &mut bytes);
            let header_bytes = bytes.len();
            bytes.resize(header_bytes + packet_bytes, 0);
            let control = Control { header_bytes, packet_bytes, start_trim, end_trim: 0 };
            assert_eq!(Control::parse(&bytes), Ok(control));
            assert!(packet_bytes == 0 || Control::parse(&bytes[..bytes.len() - 1]).is_err());
        }
    }

    #[test]
    fn both_trims_and_an_extension_are_stepped_over() {
        let bytes = [0x7F, 0xFC, 2, 0, 5, 0xE0, 7, 3, 1, 2, 3, 0xAA, 0xBB, 0xCC];
        let control = Control { header_bytes: 11, packet_bytes: 2, start_trim: 5, end_trim: 7 };
        assert_eq!(Control::parse(&bytes), Ok(control));
        assert!(Control::parse(&bytes[..12]).is_err());
        assert!(Control::parse(&[0x7E, 0xE0, 0]).is_err());
    }
}
