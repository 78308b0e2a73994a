//! Heap profiles by jemalloc: which code allocated what is in use. Sampling is off until a profile is asked for, so a
//! profile tells of what was allocated while it was recorded and is still in use.

use jemalloc_pprof::{JemallocProfCtl, PROF_CTL};
use std::sync::Arc;
use tokio::sync::OwnedMutexGuard;

/// Why there is no heap profile.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeapError {
    #[error(
        "allocations cannot be sampled: the environment variable MALLOC_CONF turned jemalloc's profiler off"
    )]
    Unavailable,
    #[error("a heap profile is being recorded already; try again when it has ended")]
    Busy,
    #[error("the allocator cannot be profiled: {0}")]
    Failed(String),
}

/// Sampling of allocations. It ends, and forgets its samples, when this is dropped.
pub(crate) struct HeapRecording(OwnedMutexGuard<JemallocProfCtl>);

impl HeapRecording {
    /// Begins to sample allocations, of all threads.
    ///
    /// # Errors
    /// Another recording is under way; the allocator cannot.
    pub(crate) fn start() -> Result<HeapRecording, HeapError> {
        let control = PROF_CTL.as_ref().ok_or(HeapError::Unavailable)?;
        let guard = Arc::clone(control).try_lock_owned().map_err(|_| HeapError::Busy)?;
        let mut recording = HeapRecording(guard);
        recording.0.activate().map_err(|error| HeapError::Failed(error.to_string()))?;
        Ok(recording)
    }

    /// What is in use, as gzip'd protobuf. Writes a temporary file and looks up names: takes long.
    ///
    /// # Errors
    /// The allocator cannot write it.
    pub(crate) fn protobuf(mut self) -> Result<Vec<u8>, HeapError> {
        self.0.dump_pprof().map_err(|error| HeapError::Failed(format!("{error:#}")))
    }

    /// What is in use, as a flame graph. Takes long, as [`HeapRecording::protobuf`].
    ///
    /// # Errors
    /// The allocator cannot write it.
    pub(crate) fn flame_graph(mut self) -> Result<Vec<u8>, HeapError> {
        self.0.dump_flamegraph().map_err(|error| HeapError::Failed(format!("{error:#}")))
    }
}

impl Drop for HeapRecording {
    fn drop(&mut self) {
        if let Err(error) = self.0.deactivate() {
            tracing::warn!(
                "the allocator cannot be told to stop sampling, which costs some CPU time: {error}"
            );
        }
    }
}
