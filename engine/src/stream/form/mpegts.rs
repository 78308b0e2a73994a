//! MPEG-TS packets: what HTTP-TS readers get.

use super::super::batch::{BatchBuilder, Channel};
use super::super::{Batch, Position};
use super::Unfit;
use crate::counters::Counters;
use headwater_protocols::mpegts::Muxer;
use headwater_protocols::track::{Elementary, Medium, Skipped};
use std::sync::Arc;

pub(crate) struct Maker {
    muxer: Muxer,
    builder: BatchBuilder,
    next: Position,
    random_access: Option<Position>,
    video: Option<usize>,
}

impl Maker {
    pub(super) fn new(known: &[Elementary]) -> Result<(Maker, Vec<Skipped>), Unfit> {
        let (muxer, skipped) =
            Muxer::new(known).map_err(|error| Unfit { reason: error.to_string().into() })?;
        let is_carried = |index: usize| skipped.iter().all(|skipped| skipped.track != index);
        let video = known
            .iter()
            .enumerate()
            .position(|(index, one)| one.track.medium == Medium::Video && is_carried(index));
        let builder = BatchBuilder::default();
        Ok((Maker { muxer, builder, next: 0, random_access: None, video }, skipped))
    }

    pub(super) fn take(&mut self, batch: &Batch, counters: &Counters) -> Option<Arc<Batch>> {
        for (track, unit) in batch.units() {
            let position = self.next + self.builder.len() as u64;
            let muxer = &mut self.muxer;
            let before = self.builder.len();
            self.builder.append(Channel::rtp(*track), |out| {
                if !muxer.unit(*track, unit, out) {
                    counters.conversion_errors.add(1);
                }
            });
            let counts = self.builder.len() > before && unit.random_access;
            if counts && self.video.is_none_or(|video| video == *track) {
                self.random_access = Some(position);
            }
        }
        if self.builder.is_empty() {
            return None;
        }
        let made = self.builder.finish(self.next, self.random_access, batch.published);
        self.next = made.end();
        Some(Arc::new(made))
    }
}
