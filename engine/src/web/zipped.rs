//! Compressed playlists: the same text goes to many players, so it is compressed once.

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use headwater_protocols::hls;
use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;

/// Texts that are remembered; each path has one or two that are asked for at a time.
const KEPT: usize = 16;

#[derive(Default)]
pub(crate) struct Zipped {
    kept: VecDeque<(Arc<[Bytes]>, Bytes)>,
}

impl Zipped {
    /// The body, compressed; `None` where that makes it no smaller.
    pub(super) fn get(&mut self, body: &hls::Body) -> Option<Bytes> {
        if let Some((_, zipped)) = self.kept.iter().find(|(pieces, _)| Arc::ptr_eq(pieces, &body.pieces)) {
            return Some(zipped.clone());
        }
        let mut encoder = GzEncoder::new(Vec::with_capacity(body.bytes / 2), Compression::fast());
        for piece in body.pieces.iter() {
            // Writing into memory does not fail.
            encoder.write_all(piece).ok()?;
        }
        let zipped = Bytes::from(encoder.finish().ok()?);
        if zipped.len() >= body.bytes {
            return None;
        }
        self.kept.push_back((Arc::clone(&body.pieces), zipped.clone()));
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
        Some(zipped)
    }
}
