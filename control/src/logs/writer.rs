//! The bounded queue before a destination, and the thread that empties it.

use super::destination::Sink;
use super::line::Line;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

enum Message {
    Line(Arc<Line>),
    /// Answered when all lines before it are written.
    Flush(SyncSender<()>),
}

/// The queue. When the last one who holds it is gone, the thread writes what is left and ends.
pub(super) struct Writer {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    /// Of `dropped`, those of this queue that it has not told of.
    untold: Arc<AtomicU64>,
}

impl Writer {
    /// A thread that cannot be started loses the lines, and counts them.
    pub(super) fn start(sink: Sink, lines_max: usize, dropped: &Arc<AtomicU64>) -> Writer {
        let (queue, lines) = sync_channel(lines_max);
        let untold = Arc::new(AtomicU64::new(0));
        let thread = Thread { sink, dropped: Arc::clone(dropped), untold: Arc::clone(&untold) };
        // Without a thread nobody receives, and every line counts as dropped.
        let _ = std::thread::Builder::new().name("log".to_owned()).spawn(move || thread.run(&lines));
        Writer { queue, dropped: Arc::clone(dropped), untold }
    }

    /// Never waits.
    pub(super) fn put(&self, line: &Arc<Line>) {
        if self.queue.try_send(Message::Line(Arc::clone(line))).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.untold.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything is written, but no longer than that.
    pub(super) fn flush(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let (done, wait) = sync_channel(1);
        let mut message = Message::Flush(done);
        while let Err(TrySendError::Full(back)) = self.queue.try_send(message) {
            if Instant::now() >= deadline {
                return;
            }
            message = back;
            std::thread::sleep(Duration::from_millis(1));
        }
        // Too late or no thread: what is not written by now is lost.
        let _ = wait.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

struct Thread {
    sink: Sink,
    dropped: Arc<AtomicU64>,
    untold: Arc<AtomicU64>,
}

impl Thread {
    fn run(mut self, lines: &Receiver<Message>) {
        while let Ok(message) = lines.recv() {
            match message {
                Message::Line(line) => {
                    self.write(&line);
                    let lost = self.untold.swap(0, Ordering::Relaxed);
                    if lost > 0 {
                        let notice =
                            format!("{lost} log lines were lost: this destination is too slow for them");
                        self.write(&Line::notice(notice));
                    }
                }
                Message::Flush(done) => {
                    // Whoever asked may have lost patience.
                    let _ = done.send(());
                }
            }
        }
    }

    fn write(&mut self, line: &Line) {
        if self.sink.write(line).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
