//! Watches the configuration file and the certificates, and tells when what they hold has changed.
//!
//! Folders are watched, not only files, because editors and Kubernetes put a new file, or a new link, in the place of
//! the old one. Every symbolic link on the way to a file counts: the folder it is in is watched too. Whatever the
//! kernel says only means "look": a change is a different hash of the content, so a touch is silent.
//!
//! A change is told once things have been still for 10 ms, a flood of changes after 100 ms at the latest and at most
//! once per 100 ms, and the last one always. A file that is gone or empty gets 200 ms to come back: whoever rewrites a
//! file in place empties it first.

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

const STILL: Duration = Duration::from_millis(10);
const REPORT_EVERY: Duration = Duration::from_millis(100);
const EMPTY_PATIENCE: Duration = Duration::from_millis(200);
/// Where the kernel does not tell of changes.
const POLL_EVERY: Duration = Duration::from_secs(2);
/// Links on the way to one file, as the kernel counts them.
const LINKS_MAX: usize = 40;
/// What is behind that of a file makes no difference.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The watch over some files. Ends when dropped.
pub(crate) struct Watch {
    messages: Sender<Message>,
}

enum Message {
    /// Something happened to one of these, or anywhere.
    Look(Option<Vec<PathBuf>>),
    Paths(Vec<PathBuf>),
    End,
}

impl Watch {
    /// Sends the files of `paths` whose content has changed since now. They need not exist. Waits in a thread of its
    /// own where the receiver is slow.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn new(
        paths: &[PathBuf],
        on_change: tokio::sync::mpsc::Sender<Vec<PathBuf>>,
    ) -> std::io::Result<Watch> {
        Watch::start(paths, on_change, true)
    }

    fn start(
        paths: &[PathBuf],
        on_change: tokio::sync::mpsc::Sender<Vec<PathBuf>>,
        may_notify: bool,
    ) -> std::io::Result<Watch> {
        let (messages, received) = channel();
        let watcher = may_notify.then(|| watcher(messages.clone())).flatten();
        let mut thread = Thread {
            polling: watcher.is_none(),
            watcher,
            watched: HashMap::new(),
            names: HashSet::new(),
            files: HashMap::new(),
            on_change,
        };
        // Before this returns, so that no later change is missed.
        thread.set_paths(paths);
        std::thread::Builder::new().name("watch".to_owned()).spawn(move || thread.run(&received))?;
        Ok(Watch { messages })
    }

    /// Watches these files from now on, in place of the others.
    pub(crate) fn set_paths(&self, paths: Vec<PathBuf>) {
        // The thread ends with its receiver only: nobody to tell then.
        let _ = self.messages.send(Message::Paths(paths));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.messages.send(Message::End);
    }
}

fn watcher(messages: Sender<Message>) -> Option<RecommendedWatcher> {
    let on_event = move |event: notify::Result<Event>| {
        let paths = match event {
            // Opening and reading is what this watch does itself.
            Ok(Event { kind: EventKind::Access(kind), .. })
                if kind != AccessKind::Close(AccessMode::Write) =>
            {
                return;
            }
            Ok(event) if event.need_rescan() => None,
            Ok(event) => Some(event.paths),
            Err(_) => None,
        };
        // The thread may have ended.
        let _ = messages.send(Message::Look(paths));
    };
    match notify::recommended_watcher(on_event) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            warn_of_polling(&error);
            None
        }
    }
}

fn warn_of_polling(error: &notify::Error) {
    tracing::warn!(
        seconds = POLL_EVERY.as_secs(),
        "the kernel cannot tell of changed files: {error}; looking at them now and then instead; \
         raise fs.inotify.max_user_watches and max_user_instances"
    );
}

/// What is known of a file.
struct File {
    /// Of the content that was told last; `None` where there is no file.
    told: Option<Content>,
    /// Since when it has been gone or empty, if that is not told yet.
    empty_since: Option<Instant>,
}

#[derive(Clone, PartialEq, Eq)]
struct Content {
    hash: [u8; 32],
    is_empty: bool,
}

struct Thread {
    watcher: Option<RecommendedWatcher>,
    polling: bool,
    /// What the kernel watches, with device and inode: another folder of the same name is another one.
    watched: HashMap<PathBuf, (u64, u64)>,
    /// Files, links and folders whose events matter.
    names: HashSet<PathBuf>,
    files: HashMap<PathBuf, File>,
    on_change: tokio::sync::mpsc::Sender<Vec<PathBuf>>,
}

impl Thread {
    fn run(mut self, messages: &Receiver<Message>) {
        let mut last_report: Option<Instant> = None;
        loop {
            let Some(look) = self.wait(messages, last_report) else { return };
            if !look {
                continue;
            }
            self.follow();
            let changed = self.changed();
            if !changed.is_empty() {
                last_report = Some(Instant::now());
                if self.on_change.blocking_send(changed).is_err() {
                    return;
                }
            }
        }
    }

    /// Waits until it is time to look. False: only the paths were changed. `None`: it is over.
    fn wait(&mut self, messages: &Receiver<Message>, last_report: Option<Instant>) -> Option<bool> {
        let mut first: Option<Instant> = None;
        let mut last = Instant::now();
        loop {
            let earliest = last_report.map_or(last, |report| report + REPORT_EVERY);
            let due = first.map(|first| (last + STILL).min(first + REPORT_EVERY).max(earliest));
            let due = due.or_else(|| self.next_look(last));
            let message = match due {
                None => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => messages.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            match message {
                Err(RecvTimeoutError::Timeout) => return Some(true),
                Err(RecvTimeoutError::Disconnected) | Ok(Message::End) => return None,
                Ok(Message::Paths(paths)) => {
                    self.set_paths(&paths);
                    return Some(false);
                }
                Ok(Message::Look(paths)) => {
                    let matters = |paths: &Vec<PathBuf>| paths.iter().any(|path| self.names.contains(path));
                    if paths.as_ref().is_none_or(matters) {
                        last = Instant::now();
                        first.get_or_insert(last);
                    }
                }
            }
        }
    }

    /// When to look though nothing was said.
    fn next_look(&self, since: Instant) -> Option<Instant> {
        let empty = self.files.values().filter_map(|file| file.empty_since).min();
        let again = empty.map(|since| since + EMPTY_PATIENCE);
        let poll = self.polling.then(|| since + POLL_EVERY);
        again.into_iter().chain(poll).min()
    }

    fn set_paths(&mut self, paths: &[PathBuf]) {
        let paths: HashSet<PathBuf> =
            paths.iter().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone())).collect();
        self.files.retain(|path, _| paths.contains(path));
        for path in paths {
            self.files.entry(path).or_insert(File { told: None, empty_since: None });
        }
        self.follow();
        for (path, file) in &mut self.files {
            // For those that were watched before, a change under way is still to be told.
            if file.told.is_none() {
                file.told = content(path);
            }
        }
    }

    /// Watches what is on the way to the files now.
    fn follow(&mut self) {
        let mut way = Way::default();
        self.files.keys().for_each(|path| way.add(path));
        self.names = way.names;
        let Some(watcher) = &mut self.watcher else { return };
        let identity =
            |path: &Path| std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
        self.watched.retain(|path, known| {
            let stays = way.watched.contains(path) && identity(path) == Some(*known);
            if !stays {
                // What is gone from the disk is gone from the kernel's list too.
                let _ = watcher.unwatch(path);
            }
            stays
        });
        for path in way.watched {
            let Some(known) = identity(&path).filter(|_| !self.watched.contains_key(&path)) else { continue };
            match watcher.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.watched.insert(path, known)),
                // It went away in between: what is above it tells when it is back.
                Err(_) if identity(&path).is_none() => {}
                Err(error) => {
                    if !self.polling {
                        warn_of_polling(&error);
                    }
                    self.polling = true;
                }
            }
        }
    }

    /// The files whose content is not what was told last.
    fn changed(&mut self) -> Vec<PathBuf> {
        let now = Instant::now();
        let mut changed = Vec::new();
        for (path, file) in &mut self.files {
            let is = content(path);
            if is == file.told {
                file.empty_since = None;
                continue;
            }
            if is.as_ref().is_none_or(|content| content.is_empty) {
                let since = *file.empty_since.get_or_insert(now);
                if now.duration_since(since) < EMPTY_PATIENCE {
                    continue;
                }
            }
            file.empty_since = None;
            file.told = is;
            changed.push(path.clone());
        }
        changed.sort();
        changed
    }
}

/// What is on the way to files: folders, links, and the files themselves.
#[derive(Default)]
struct Way {
    /// Folders that hold a file or a link on the way, and the files: a file that is mounted by itself is changed
    /// without its folder knowing. No links among them: the kernel would take two names of a folder for one.
    watched: HashSet<PathBuf>,
    names: HashSet<PathBuf>,
}

impl Way {
    /// Walks from the root to the file as the kernel does.
    fn add(&mut self, path: &Path) {
        let mut rest: Vec<PathBuf> = parts(path);
        let mut at = PathBuf::from("/");
        let mut links = 0;
        while let Some(part) = rest.pop() {
            if part == Path::new("/") {
                at = part;
                continue;
            }
            if part == Path::new("..") {
                at.pop();
                continue;
            }
            let name = at.join(&part);
            let Ok(metadata) = std::fs::symlink_metadata(&name) else {
                // Not there yet: it will appear here.
                self.watched.insert(at);
                self.names.insert(name);
                return;
            };
            if metadata.is_symlink() && links < LINKS_MAX {
                links += 1;
                self.watched.insert(at.clone());
                self.names.insert(name.clone());
                rest.extend(std::fs::read_link(&name).map(|target| parts(&target)).unwrap_or_default());
                continue;
            }
            if rest.is_empty() {
                self.watched.insert(at.clone());
                self.watched.insert(name.clone());
            }
            // Also of folders on the way, which may be moved or removed.
            self.names.insert(name.clone());
            at = name;
        }
    }
}

/// The parts of a path, the first one last.
fn parts(path: &Path) -> Vec<PathBuf> {
    let keep = |part: &Component<'_>| !matches!(part, Component::CurDir);
    path.components().filter(keep).map(|part| PathBuf::from(part.as_os_str())).rev().collect()
}

fn content(path: &Path) -> Option<Content> {
    // Opening a named pipe would wait for its writer.
    std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    let mut file = std::fs::File::open(path).ok()?.take(FILE_BYTES_MAX);
    let (mut hash, mut buffer, mut is_empty) = (Sha256::new(), vec![0; 64 * 1024], true);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Some(Content { hash: hash.finalize().into(), is_empty }),
            Ok(length) => {
                is_empty = false;
                hash.update(&buffer[..length]);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests;
