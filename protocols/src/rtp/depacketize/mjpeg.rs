//! Motion JPEG (RFC 2435): the scan of each picture, behind headers that are made again of a few numbers.
//!
//! Pictures wider or higher than 2040 pixels have sizes of 0 and are refused; so are types other than 0, 1, 64 and 65.
//!
//! ```text
//! | type-specific |              fragment offset                  |
//! |      type     |       Q       |     width     |     height    |
//! |       Restart Interval        |F|L|       Restart Count       |   types 64 and 65
//! |      MBZ      |   Precision   |             Length            |   Q from 128, in the first packet
//! ```

use bytes::Bytes;

use super::assembly::{Assembly, State};
use super::{Error, invalid};
use crate::rtp::jpeg;

const HEADER_BYTES: usize = 8;
const RESTART_HEADER_BYTES: usize = 4;
const TABLES_HEADER_BYTES: usize = 4;
const END_OF_IMAGE: &[u8] = &[0xFF, 0xD9];

/// The state of one track.
#[derive(Debug, Default)]
pub(super) struct Depacketizer {
    /// Quantisation tables that came with a Q of 128 to 254: later pictures may refer to them.
    tables: Option<(u8, jpeg::Tables)>,
    /// Headers of the picture in progress, in bytes.
    image_header_bytes: usize,
}

impl Depacketizer {
    /// Adds one payload to the unit in progress.
    pub(super) fn packet(&mut self, assembly: &mut Assembly, payload: &Bytes) -> Result<(), Error> {
        let &[_, o0, o1, o2, kind, q, width, height] = payload.first_chunk().ok_or(invalid("JPEG header"))?;
        let offset = u32::from_be_bytes([0, o0, o1, o2]) as usize;
        let mut rest = payload.slice(HEADER_BYTES..);
        let mut restart_interval = None;
        if kind & 0xC0 == 0x40 {
            let &[high, low] = rest.first_chunk().ok_or(invalid("JPEG restart header"))?;
            restart_interval = Some(u16::from_be_bytes([high, low]));
            if rest.len() < RESTART_HEADER_BYTES {
                return Err(invalid("JPEG restart header"));
            }
            rest = rest.slice(RESTART_HEADER_BYTES..);
        }
        assembly.resolve(offset == 0);
        if assembly.state() == State::Damaged {
            return Ok(());
        }
        if offset > 0 {
            let scan_bytes = assembly.fragments().bytes().checked_sub(self.image_header_bytes);
            if !assembly.has_fragments() || scan_bytes != Some(offset) {
                return Err(invalid("JPEG fragment offset"));
            }
            return assembly.fragment(rest);
        }
        if assembly.has_fragments() {
            return Err(invalid("second JPEG picture with the same timestamp"));
        }
        let is_4_2_0 = match kind & 0x3F {
            0 => false,
            1 => true,
            _ => return Err(Error::Unsupported { what: "JPEG type" }),
        };
        if kind & 0x80 != 0 {
            return Err(Error::Unsupported { what: "JPEG type" });
        }
        if width == 0 || height == 0 {
            return Err(Error::Unsupported { what: "JPEG larger than 2040 pixels" });
        }
        let tables = self.tables(q, &mut rest)?;
        let size = (u16::from(width) * 8, u16::from(height) * 8);
        let headers = jpeg::headers(size, is_4_2_0, &tables, restart_interval);
        self.image_header_bytes = headers.len();
        assembly.fragments().open(&headers);
        assembly.fragment(rest)
    }

    /// The quantisation tables of a picture; takes those at the beginning of `rest` off.
    fn tables(&mut self, q: u8, rest: &mut Bytes) -> Result<jpeg::Tables, Error> {
        match q {
            0 => Err(invalid("JPEG quality 0")),
            1..=99 => Ok(jpeg::Tables::of_quality(q)),
            100..=127 => Err(Error::Unsupported { what: "JPEG quality" }),
            128.. => {
                let &[_, precision, high, low] = rest.first_chunk().ok_or(invalid("JPEG tables header"))?;
                let length = usize::from(u16::from_be_bytes([high, low]));
                let end = TABLES_HEADER_BYTES + length;
                if end > rest.len() {
                    return Err(invalid("JPEG tables"));
                }
                let bytes = rest.split_to(end).slice(TABLES_HEADER_BYTES..);
                if length == 0 {
                    let known = self.tables.as_ref().filter(|(of, _)| *of == q && q != 255);
                    return known
                        .map(|(_, tables)| tables.clone())
                        .ok_or(invalid("JPEG tables that did not come"));
                }
                let tables = jpeg::Tables::read(precision, &bytes).ok_or(invalid("JPEG tables"))?;
                self.tables = Some((q, tables.clone()));
                Ok(tables)
            }
        }
    }

    /// Makes the collected scan an image.
    pub(super) fn complete(&mut self, assembly: &mut Assembly) -> Result<(), Error> {
        if assembly.fragments().bytes() <= self.image_header_bytes {
            return Err(invalid("JPEG picture without scan"));
        }
        if !assembly.fragments().ends_with(END_OF_IMAGE) {
            assembly.fragment(Bytes::from_static(END_OF_IMAGE))?;
        }
        assembly.join()
    }
}
