//! Logs: what the program says, in lines, to standard output, a file, or syslog.
//!
//! An event is formatted where it happens ([`line`]) and put into the bounded queue of each destination; a thread per
//! destination writes ([`writer`]). A full queue loses the line and counts it: no shard ever waits for whoever reads
//! the log. Level and destinations change at run time; what is queued for a destination that goes is still written.
//!
//! Until the configuration is known, lines go to standard error. Values are written without control characters, so that
//! nothing a peer sends can forge a line or move a terminal's cursor. Secrets are kept out by those who log.

mod destination;
mod line;
mod writer;

use crate::config::Global;
use crate::config::values::{LogDestination, LogLevel};
use arc_swap::ArcSwap;
use destination::{File, Sink, Stream, Syslog};
use line::Line;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use writer::Writer;

/// How long the end of the program waits for slow readers of the log.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);
/// Lines that wait before the configuration says how many may.
const EARLY_LINES_MAX: usize = 1024;
/// Where syslog listens.
const SYSLOG_SOCKET: &str = "/dev/log";

/// A destination that cannot be used. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
#[error("cannot log to {}: {error}", file.display())]
pub(crate) struct LogsError {
    file: PathBuf,
    error: std::io::Error,
}

/// The logs of the process. Dropping it writes what is queued, for as long as a second.
pub(crate) struct Logs {
    shared: Arc<Shared>,
    /// Serialises changes; holds the keys of the destinations in force, in the order of the writers.
    applied: Mutex<Vec<Key>>,
}

/// What the shards see.
struct Shared {
    /// Index into [`LEVELS`].
    level: AtomicUsize,
    outputs: ArcSwap<Outputs>,
    /// Lines lost by writers that are gone, and by those in force.
    dropped: Arc<AtomicU64>,
    /// Counts requests to open files again.
    reopen: Arc<AtomicU64>,
}

struct Outputs {
    structured: bool,
    writers: Vec<Arc<Writer>>,
}

/// What makes two destinations the same, so that a change of another key leaves them alone.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    Stderr,
    Stdout { lines_max: usize, structured: bool },
    File { path: PathBuf, lines_max: usize },
    Syslog { prefix: String, lines_max: usize, structured: bool },
}

const LEVELS: [(LogLevel, Level); 5] = [
    (LogLevel::Error, Level::ERROR),
    (LogLevel::Warn, Level::WARN),
    (LogLevel::Info, Level::INFO),
    (LogLevel::Debug, Level::DEBUG),
    (LogLevel::Trace, Level::TRACE),
];

impl Logs {
    /// Takes what the whole process logs; to standard error, from `info` up, until the configuration is known.
    ///
    /// # Panics
    /// When called twice.
    pub(crate) fn start() -> Logs {
        let logs = Logs::new();
        let subscriber = tracing_subscriber::registry().with(logs.layer());
        tracing::subscriber::set_global_default(subscriber).expect("logging is started once");
        logs
    }

    fn new() -> Logs {
        let dropped = Arc::new(AtomicU64::new(0));
        let early = Writer::start(Sink::Stream(Stream::stderr()), EARLY_LINES_MAX, &dropped);
        let shared = Shared {
            level: AtomicUsize::new(level_index(LogLevel::Info)),
            outputs: ArcSwap::from_pointee(Outputs { structured: false, writers: vec![Arc::new(early)] }),
            dropped,
            reopen: Arc::new(AtomicU64::new(0)),
        };
        Logs { shared: Arc::new(shared), applied: Mutex::new(vec![Key::Stderr]) }
    }

    /// Logs that nobody feeds.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Logs {
        Logs::new()
    }

    fn layer(&self) -> LinesLayer {
        LinesLayer { shared: Arc::clone(&self.shared) }
    }

    /// Logs as the configuration says from now on. Destinations that stay as they are are not disturbed. Opens files,
    /// and so may block for a moment.
    ///
    /// # Errors
    /// A file that cannot be written to. An absent syslog is none: lines are lost, and counted, until it is there.
    pub(crate) fn apply(&self, configuration: &Global) -> Result<(), LogsError> {
        let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = keys(configuration);
        let old = self.shared.outputs.load_full();
        let mut writers = Vec::with_capacity(keys.len());
        for key in &keys {
            let kept =
                applied.iter().position(|other| other == key).map(|index| Arc::clone(&old.writers[index]));
            writers.push(match kept {
                Some(writer) => writer,
                None => Arc::new(self.open(key)?),
            });
        }
        self.shared.outputs.store(Arc::new(Outputs { structured: configuration.log_structured, writers }));
        self.shared.level.store(level_index(configuration.log_level), Ordering::Relaxed);
        // Call sites remember whether anybody listens.
        tracing::callsite::rebuild_interest_cache();
        *applied = keys;
        Ok(())
    }

    fn open(&self, key: &Key) -> Result<Writer, LogsError> {
        let (sink, lines_max) = match key {
            Key::Stderr => (Sink::Stream(Stream::stderr()), EARLY_LINES_MAX),
            Key::Stdout { lines_max, structured } => (Sink::Stream(Stream::stdout(*structured)), *lines_max),
            Key::File { path, lines_max } => {
                let file = File::open(path, Arc::clone(&self.shared.reopen))
                    .map_err(|error| LogsError { file: path.clone(), error })?;
                (Sink::File(file), *lines_max)
            }
            Key::Syslog { prefix, lines_max, .. } => {
                (Sink::Syslog(Syslog::new(SYSLOG_SOCKET.into(), prefix)), *lines_max)
            }
        };
        Ok(Writer::start(sink, lines_max, &self.shared.dropped))
    }

    /// Opens log files again before the next line: for whoever renamed them (SIGUSR2). A renamed file is also noticed
    /// without being told.
    pub(crate) fn reopen(&self) {
        self.shared.reopen.fetch_add(1, Ordering::Relaxed);
    }

    /// Lines that found a queue full or a destination that did not take them.
    pub(crate) fn dropped_lines(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        let last = Outputs { structured: false, writers: Vec::new() };
        let outputs = self.shared.outputs.swap(Arc::new(last));
        for writer in &outputs.writers {
            writer.flush(FLUSH_PATIENCE);
        }
    }
}

fn keys(configuration: &Global) -> Vec<Key> {
    let lines_max = usize::try_from(configuration.log_buffer_lines).unwrap_or(usize::MAX).clamp(1, 1 << 20);
    let structured = configuration.log_structured;
    let mut keys = Vec::new();
    for destination in &configuration.log_destinations {
        let key = match destination {
            LogDestination::Stdout => Key::Stdout { lines_max, structured },
            LogDestination::File => Key::File { path: configuration.log_file.clone().into(), lines_max },
            LogDestination::Syslog => {
                Key::Syslog { prefix: configuration.sys_log_prefix.clone(), lines_max, structured }
            }
        };
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

fn level_index(level: LogLevel) -> usize {
    LEVELS.iter().position(|(known, _)| *known == level).expect("every level is listed")
}

/// Turns events into lines.
struct LinesLayer {
    shared: Arc<Shared>,
}

impl LinesLayer {
    fn level(&self) -> Level {
        LEVELS[self.shared.level.load(Ordering::Relaxed)].1
    }

    /// Other people's code may tell what goes over the wire, passwords too, in its chatter.
    fn is_wanted(&self, metadata: &Metadata<'_>) -> bool {
        let ours = metadata.target().starts_with("headwater");
        *metadata.level() <= if ours { self.level() } else { self.level().min(Level::INFO) }
    }
}

impl<S: Subscriber> Layer<S> for LinesLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_event() && self.is_wanted(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(self.level()))
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let outputs = self.shared.outputs.load();
        let line = Arc::new(Line::of_event(event, outputs.structured));
        for writer in &outputs.writers {
            writer.put(&line);
        }
    }
}

#[cfg(test)]
mod tests;
