//! One stream of the program: its packets become PES packets, and those units.

use super::Counters;
use super::reader::Reader;
use crate::limits::{MPEGTS_PES_BYTES_MAX, MPEGTS_VIDEO_PES_BYTES_MAX};
use crate::mpegts::error::Error;
use crate::mpegts::format::Format;
use crate::mpegts::packet::{Continuity, Packet, Pid};
use crate::mpegts::pes::{Assembler, Pes};
use crate::mpegts::timeline::Timeline;
use crate::track::Elementary;
use crate::unit::AccessUnit;
use bytes::Bytes;

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) pid: Pid,
    pub(super) stream_type: u8,
    pub(super) format: Format,
    /// Its index among the tracks that were announced.
    pub(super) track: Option<usize>,
    /// Of the last packet with payload.
    continuity: Option<Continuity>,
    assembler: Assembler,
    reader: Reader,
}

impl Stream {
    pub(super) fn new(pid: Pid, stream_type: u8, format: Format) -> Stream {
        let bytes_max = if format.is_video() { MPEGTS_VIDEO_PES_BYTES_MAX } else { MPEGTS_PES_BYTES_MAX };
        Stream {
            pid,
            stream_type,
            format,
            track: None,
            continuity: None,
            assembler: Assembler::new(bytes_max),
            reader: Reader::new(format),
        }
    }

    /// Whether all is known that a track says.
    pub(super) fn is_known(&self) -> bool {
        self.reader.is_known()
    }

    /// The track; `None` where not even the clock is known.
    pub(super) fn elementary(&self) -> Option<Elementary> {
        self.reader.elementary()
    }

    /// Takes a packet of this stream and appends the units that it completes.
    pub(super) fn packet(
        &mut self,
        packet: &Packet<'_>,
        timeline: &mut Timeline,
        counters: &mut Counters,
        units: &mut Vec<AccessUnit>,
    ) -> Result<(), Error> {
        if packet.scrambled {
            return Err(Error::Unsupported { what: "scrambled packet" });
        }
        let Some(payload) = packet.payload else {
            return Ok(());
        };
        match self.continuity.replace(packet.continuity) {
            // A packet may be sent twice (2.4.3.3).
            Some(last) if last == packet.continuity && !packet.discontinuity => return Ok(()),
            Some(last) if last.next() != packet.continuity => {
                counters.continuity_errors += u64::from(!packet.discontinuity);
                counters.dropped += u64::from(self.assembler.interrupt());
                self.reader.interrupt();
            }
            _ => {}
        }
        let assembled = self.assembler.push(packet.unit_start, payload);
        counters.dropped += assembled.dropped;
        for bytes in assembled.whole {
            self.pes(bytes, timeline, counters, units)?;
        }
        Ok(())
    }

    pub(super) fn finish(
        &mut self,
        timeline: &mut Timeline,
        counters: &mut Counters,
        units: &mut Vec<AccessUnit>,
    ) -> Result<(), Error> {
        match self.assembler.finish() {
            Some(bytes) => self.pes(bytes, timeline, counters, units),
            None => Ok(()),
        }
    }

    fn pes(
        &mut self,
        bytes: Bytes,
        timeline: &mut Timeline,
        counters: &mut Counters,
        units: &mut Vec<AccessUnit>,
    ) -> Result<(), Error> {
        match Pes::parse(bytes) {
            Ok(pes) => {
                counters.invalid += self.reader.pes(pes, timeline, units);
                Ok(())
            }
            Err(scrambled @ Error::Unsupported { .. }) => Err(scrambled),
            Err(_) => {
                counters.invalid += 1;
                Ok(())
            }
        }
    }
}
