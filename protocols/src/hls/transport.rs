//! Segments as transport streams: what is written of one until it is cut.

use super::Error;
use crate::codec::Configuration;
use crate::mpegts;
use crate::track::Elementary;
use crate::unit::AccessUnit;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;

/// The muxer of one rendition. Its continuity counters go on over segments.
#[derive(Debug)]
pub(super) struct Transport {
    /// Index of each track as the HLS muxer was given it, in the order of the transport stream's.
    tracks: Vec<(usize, Arc<Configuration>)>,
    muxer: mpegts::Muxer,
    out: BytesMut,
}

impl Transport {
    pub(super) fn new(configurations: &[(usize, Arc<Configuration>)]) -> Result<Transport, Error> {
        let tracks = configurations.to_vec();
        Ok(Transport { muxer: muxer(&tracks)?, tracks, out: BytesMut::new() })
    }

    pub(super) fn has(&self, track: usize) -> bool {
        self.tracks.iter().any(|(index, _)| *index == track)
    }

    pub(super) fn configuration(&self, track: usize) -> Option<&Arc<Configuration>> {
        self.tracks.iter().find(|(index, _)| *index == track).map(|(_, configuration)| configuration)
    }

    pub(super) fn configurations(&self) -> Vec<Arc<Configuration>> {
        self.tracks.iter().map(|(_, configuration)| Arc::clone(configuration)).collect()
    }

    pub(super) fn reconfigure(&mut self, track: usize, configuration: &Arc<Configuration>) {
        if let Some((_, old)) = self.tracks.iter_mut().find(|(index, _)| *index == track) {
            *old = Arc::clone(configuration);
        }
    }

    /// After a discontinuity: tables and counters anew.
    pub(super) fn restart(&mut self) -> Result<(), Error> {
        self.muxer = muxer(&self.tracks)?;
        Ok(())
    }

    /// The next bytes begin a segment: tables go first.
    pub(super) fn start_segment(&mut self) {
        self.muxer.segment_start();
    }

    pub(super) fn write(&mut self, track: usize, unit: &AccessUnit) {
        if let Some(index) = self.tracks.iter().position(|(known, _)| *known == track) {
            self.muxer.unit(index, unit, &mut self.out);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.out.len()
    }

    /// What was written since the last call.
    pub(super) fn take(&mut self) -> Bytes {
        // Segments of one stream are alike in size.
        let next = BytesMut::with_capacity(self.out.len());
        std::mem::replace(&mut self.out, next).freeze()
    }
}

fn muxer(tracks: &[(usize, Arc<Configuration>)]) -> Result<mpegts::Muxer, Error> {
    let elementary = tracks
        .iter()
        .map(|(_, configuration)| Elementary {
            track: configuration.track(),
            configuration: Some(Arc::clone(configuration)),
        })
        .collect::<Vec<_>>();
    let (muxer, skipped) =
        mpegts::Muxer::new(&elementary).map_err(|_| Error::Unsupported { what: "tracks" })?;
    // The selection knows what transport streams carry.
    debug_assert!(skipped.is_empty(), "{skipped:?}");
    Ok(muxer)
}
