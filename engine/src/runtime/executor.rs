//! Shard threads on glommio: pinning, the executor, and sleeping until something signals.

#![allow(unsafe_code)]

use super::wake::Wake;
use glommio::io::BufferedFile;
use glommio::{LocalExecutorBuilder, Placement};
use std::future::Future;
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd};

/// Registered buffer memory of glommio's reactor. Its default of 10 MiB would be most of a small server's memory.
const IO_MEMORY_BYTES: usize = 1 << 20;
const RING_DEPTH: usize = 1024;

/// A running shard thread.
pub(crate) struct ShardThread(glommio::ExecutorJoinHandle<()>);

impl ShardThread {
    /// Waits for the shard to end.
    pub(crate) fn join(self) -> Result<(), String> {
        self.0.join().map_err(|error| error.to_string())
    }
}

/// Starts a thread named `name`, pinned to `cpu`, that runs `body` to its end.
///
/// Errors: the kernel refuses io_uring, or the locked-memory limit is too small for the executor's buffers.
pub(crate) fn spawn<F, Fut>(name: &str, cpu: Option<usize>, body: F) -> io::Result<ShardThread>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let placement = cpu.map_or(Placement::Unbound, Placement::Fixed);
    LocalExecutorBuilder::new(placement)
        .name(name)
        .io_memory(IO_MEMORY_BYTES)
        .ring_depth(RING_DEPTH)
        .spawn(body)
        .map(ShardThread)
        .map_err(|error| io::Error::other(error.to_string()))
}

/// Gives other ready tasks of the shard their turn when the executor asks for it.
pub(crate) async fn yield_if_needed() {
    glommio::yield_if_needed().await;
}

/// The sleeping side of a [`Wake`]. One task holds it and is never cancelled while it sleeps.
pub(crate) struct Sleep(BufferedFile);

impl Sleep {
    /// Must be called on the shard's thread.
    pub(crate) fn new(wake: &Wake) -> io::Result<Sleep> {
        let fd = wake.duplicate()?.into_raw_fd();
        // SAFETY: fd was just duplicated and its ownership given up; the file takes it over.
        Ok(Sleep(unsafe { BufferedFile::from_raw_fd(fd) }))
    }

    /// Returns after the next signal, or at once when one came since the last call.
    pub(crate) async fn until_signalled(&self) -> io::Result<()> {
        self.0.read_at(0, 8).await.map(drop).map_err(|error| io::Error::other(error.to_string()))
    }

    /// Ends the file without a warning from its destructor.
    pub(crate) async fn close(self) {
        let _ = self.0.close().await;
    }
}
