//! Forms: a stream as one protocol puts it on the wire.
//!
//! The log of a path's stream has the form its publisher brought: RTP or access units. Every other form is a stream of its
//! own beside it, made of another form's batches as they come, at most once per batch and shard, and only while
//! somebody wants it:
//!
//! ```text
//! published RTP   ──> units ──> RTMP, FLV, MPEG-TS, HLS
//!                 ──> smaller RTP packets
//! published units ──> RTP, RTMP, FLV, MPEG-TS, HLS
//! ```
//! Readers of a form are readers of its stream, with a cursor into its log, like any other; a new form is filled from the
//! random access point that the other log holds, so that its first reader starts at once.

mod flv;
mod mpegts;
mod packets;
mod small;
mod units;

use super::Batch;
use crate::counters::Counters;
use bytes::Bytes;
use headwater_protocols::flv::Capabilities;
use headwater_protocols::track::{Elementary, Skipped};
use std::sync::Arc;
use std::time::Instant;

/// What the batches of a stream hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// RTP, interleaved; also what datagrams are made of.
    Rtp,
    /// The same, no packet larger than this as long as it can be helped: of a publisher whose packets are larger.
    RtpSmall { packet_bytes_max: u16 },
    /// Access units.
    Units,
    /// FLV messages in one of their framings, for clients of such capabilities.
    Flv { framing: Framing, capabilities: Capabilities },
    /// MPEG-TS packets.
    MpegTs,
}

impl Form {
    /// Whether its batches hold RTP packets.
    pub(crate) fn is_rtp(self) -> bool {
        matches!(self, Form::Rtp | Form::RtpSmall { .. })
    }
}

pub(crate) use flv::Framing;

/// Why a form cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unfit {
    pub(crate) reason: Box<str>,
}

/// Makes one form of another one's batches.
pub(crate) enum Maker {
    Units(Box<units::Maker>),
    Packets(Box<packets::Maker>),
    Small(Box<small::Maker>),
    Flv(Box<flv::Maker>),
    MpegTs(Box<mpegts::Maker>),
}

impl Maker {
    /// The maker of `form` for a stream of `tracks`, and the tracks it leaves out. `known` is what is known of them now.
    pub(crate) fn new(
        form: Form,
        description: &super::Description,
        known: &[Elementary],
    ) -> Result<(Maker, Vec<Skipped>), Unfit> {
        match form {
            Form::Units => Ok((Maker::Units(Box::new(units::Maker::new(description))), Vec::new())),
            Form::Rtp => packets::Maker::new(description)
                .map(|(maker, skipped)| (Maker::Packets(Box::new(maker)), skipped)),
            Form::RtpSmall { packet_bytes_max } => {
                let maker = small::Maker::new(description, packet_bytes_max);
                Ok((Maker::Small(Box::new(maker)), Vec::new()))
            }
            Form::Flv { framing, capabilities } => flv::Maker::new(known, framing, capabilities)
                .map(|(maker, skipped)| (Maker::Flv(Box::new(maker)), skipped)),
            Form::MpegTs => {
                mpegts::Maker::new(known).map(|(maker, skipped)| (Maker::MpegTs(Box::new(maker)), skipped))
            }
        }
    }

    /// Tells it the newest sender report of a track, before the first batch: what is left in the other form's log may hold
    /// none, and without one tracks are placed by their arrival.
    pub(crate) fn report(&mut self, track: usize, packet: &[u8]) {
        if let Maker::Units(maker) = self {
            maker.report(track, packet);
        }
    }

    /// What one batch of the other form becomes; nothing, if it holds nothing for this one.
    pub(crate) fn take(&mut self, batch: &Batch, counters: &Counters) -> Option<Arc<Batch>> {
        match self {
            Maker::Units(maker) => maker.take(batch, counters),
            Maker::Packets(maker) => maker.take(batch, counters),
            Maker::Small(maker) => maker.take(batch, counters),
            Maker::Flv(maker) => maker.take(batch),
            Maker::MpegTs(maker) => maker.take(batch, counters),
        }
    }

    /// What is due although no batch came.
    pub(crate) fn tick(&mut self, now: Instant, counters: &Counters) -> Option<Arc<Batch>> {
        match self {
            Maker::Packets(maker) => maker.tick(now, counters),
            Maker::Small(_) | Maker::Units(_) | Maker::Flv(_) | Maker::MpegTs(_) => None,
        }
    }

    /// The last packets of the form, before its stream is closed.
    pub(crate) fn end(&mut self, now: Instant, counters: &Counters) -> Option<Arc<Batch>> {
        match self {
            Maker::Packets(maker) => maker.bye(now, counters),
            Maker::Small(maker) => maker.bye(now, counters),
            Maker::Units(_) | Maker::Flv(_) | Maker::MpegTs(_) => None,
        }
    }

    /// What a new reader is sent before its first packet: headers and decoder configurations.
    pub(crate) fn greeting(&self) -> Bytes {
        match self {
            Maker::Flv(maker) => maker.greeting(),
            Maker::Units(_) | Maker::Packets(_) | Maker::Small(_) | Maker::MpegTs(_) => Bytes::new(),
        }
    }
}

/// The tracks that MPEG-TS has no place for.
pub(crate) fn mpegts_skipped(known: &[Elementary]) -> Result<Vec<Skipped>, Unfit> {
    mpegts::Maker::new(known).map(|(_, skipped)| skipped)
}

/// The form of FLV messages for a client with `capabilities`, and the tracks it has to do without.
pub(crate) fn flv_form(
    known: &[Elementary],
    framing: Framing,
    capabilities: Capabilities,
) -> Result<(Form, Vec<Skipped>), Unfit> {
    flv::form(known, framing, capabilities)
}
