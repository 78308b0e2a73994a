//! Segments on disk (`hlsDirectory`): the folder of a path holds what its muxer lists, for as long as the muxer runs, so
//! that any server of files can hand it out.
//!
//! Shards touch no disk. They put jobs into a queue that is bounded by its bytes, and one thread works them off in order:
//! a playlist comes after the segments it names, and what has left is removed after the playlist that does not name it
//! any more. Each file is written under another name and then renamed, so that nobody reads half of it. What does not
//! fit into the queue is offered again with the next segment; the playlists wait for it.
//!
//! Folders belong to this module: files with names of segments and playlists, left by a process that ended otherwise, are
//! removed when a muxer opens.

use crate::counters::Counters;
use crate::limits;
use bytes::Bytes;
use headwater_protocols::hls::{Body, Muxer, Request, Stored};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write as _};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// What the thread is to do.
enum Job {
    /// A muxer has opened: its folder is emptied.
    Open {
        folder: Arc<Folder>,
    },
    Write {
        folder: Arc<Folder>,
        name: Box<str>,
        pieces: Arc<[Bytes]>,
        cost: usize,
    },
    Remove {
        folder: Arc<Folder>,
        names: Vec<Box<str>>,
    },
    /// A muxer has closed: these are its last files.
    Close {
        folder: Arc<Folder>,
        names: Vec<Box<str>>,
    },
    End,
}

/// Where one path's files are, and who counts what goes wrong there.
struct Folder {
    /// The configured directory.
    root: PathBuf,
    /// The path's folder in it.
    place: PathBuf,
    path: Arc<str>,
    counters: Arc<Counters>,
}

/// The queue to the thread. Shared by all shards.
pub(crate) struct Writer {
    jobs: Sender<Job>,
    /// Bytes that wait.
    waiting: Arc<AtomicUsize>,
    /// Until the thread is started.
    receiver: Mutex<Option<Receiver<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(crate) fn new() -> Writer {
        let (jobs, receiver) = mpsc::channel();
        Writer {
            jobs,
            waiting: Arc::default(),
            receiver: Mutex::new(Some(receiver)),
            thread: Mutex::default(),
        }
    }

    /// Starts the thread, unless it runs. Not on a shard: the thread would share its processor.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(crate) fn start(&self) -> io::Result<()> {
        let mut thread = crate::lock(&self.thread);
        if thread.is_some() {
            return Ok(());
        }
        let Some(receiver) = crate::lock(&self.receiver).take() else { return Ok(()) };
        let waiting = Arc::clone(&self.waiting);
        let disk = Disk { failing: HashSet::new() };
        let name = "hls-directory".to_owned();
        *thread = Some(thread::Builder::new().name(name).spawn(move || disk.run(&receiver, &waiting))?);
        Ok(())
    }

    /// Works off what waits, and ends the thread.
    pub(crate) fn end(&self) {
        let _ = self.jobs.send(Job::End);
        if let Some(thread) = crate::lock(&self.thread).take() {
            let _ = thread.join();
        }
    }

    /// Offers a file; false where the queue is full.
    fn write(&self, folder: &Arc<Folder>, name: &str, body: &Body) -> bool {
        let cost = body.bytes.max(limits::HLS_DIRECTORY_FILE_COST);
        let waiting = self.waiting.fetch_add(cost, Ordering::Relaxed);
        // One file may be larger than the queue.
        if waiting > 0 && waiting + cost > limits::HLS_DIRECTORY_QUEUE_BYTES {
            self.waiting.fetch_sub(cost, Ordering::Relaxed);
            return false;
        }
        let pieces = Arc::clone(&body.pieces);
        self.tell(Job::Write { folder: Arc::clone(folder), name: name.into(), pieces, cost });
        true
    }

    /// Jobs other than files are bounded by those that went before: what was opened is closed once, what was written is
    /// removed once.
    fn tell(&self, job: Job) {
        // A thread that ended is one of a process that ends.
        let _ = self.jobs.send(job);
    }
}

/// The files of one muxer.
pub(super) struct Directory {
    writer: Arc<Writer>,
    folder: Arc<Folder>,
    /// Files that are there, or will be: all but the playlists.
    files: HashSet<Box<str>>,
    playlists: HashSet<Box<str>>,
    /// The queue was full at the last segment; said once.
    full: bool,
}

impl Directory {
    /// The folder of a path below `root`; `None` for a path that would have the folder of another one.
    pub(super) fn open(
        writer: &Arc<Writer>,
        root: &Path,
        path: &Arc<str>,
        counters: &Arc<Counters>,
    ) -> Option<Directory> {
        let Some(place) = place(root, path) else {
            tracing::warn!(%path, "segments of this path cannot be kept on disk: its name is no name of a folder");
            counters.hls_files_refused.add(1);
            return None;
        };
        let (root, path, counters) = (root.to_owned(), Arc::clone(path), Arc::clone(counters));
        let folder = Arc::new(Folder { root, place, path, counters });
        writer.tell(Job::Open { folder: Arc::clone(&folder) });
        let writer = Arc::clone(writer);
        Some(Directory { writer, folder, files: HashSet::new(), playlists: HashSet::new(), full: false })
    }

    /// A segment is complete: brings the folder up to date.
    pub(super) fn update(&mut self, muxer: &Muxer) {
        let Some(Stored { files, playlists }) = muxer.stored() else { return };
        let mut whole = true;
        for (name, body) in &files {
            if !self.files.contains(name.as_str()) {
                whole = whole && self.offer(name, body);
                if whole {
                    self.files.insert(name.as_str().into());
                }
            }
        }
        // Playlists that name what is not there would be worse than old ones.
        for (name, body) in &playlists {
            whole = whole && self.offer(name, body);
            if whole {
                self.playlists.insert(name.as_str().into());
            }
        }
        if whole {
            self.full = false;
            let listed: HashSet<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
            let gone: Vec<Box<str>> = self.files.extract_if(|name| !listed.contains(&**name)).collect();
            if !gone.is_empty() {
                self.writer.tell(Job::Remove { folder: Arc::clone(&self.folder), names: gone });
            }
        }
    }

    fn offer(&mut self, name: &str, body: &Body) -> bool {
        let taken = self.writer.write(&self.folder, name, body);
        if !taken {
            self.folder.counters.hls_files_refused.add(1);
            if !std::mem::replace(&mut self.full, true) {
                tracing::warn!(
                    path = %self.folder.path,
                    "the disk is too slow for HLS: segments and playlists there are late"
                );
            }
        }
        taken
    }
}

impl Drop for Directory {
    /// The muxer closes: its files go, playlists first.
    fn drop(&mut self) {
        let names = self.playlists.drain().chain(self.files.drain()).collect();
        self.writer.tell(Job::Close { folder: Arc::clone(&self.folder), names });
    }
}

/// The folder of a path below `root`. Path names were checked when they were asked for; that none leads out of `root` is
/// checked again here.
fn place(root: &Path, path: &str) -> Option<PathBuf> {
    let normal = |part: &str| {
        let mut components = Path::new(part).components();
        matches!((components.next(), components.next()), (Some(Component::Normal(name)), None) if name == part)
    };
    debug_assert!(
        !path.starts_with('/') && !path.split('/').any(|part| part == ".."),
        "an unchecked path name"
    );
    path.split('/').all(normal).then(|| root.join(path))
}

/// What the thread works with.
struct Disk {
    /// Folders whose last file could not be written; said once.
    failing: HashSet<PathBuf>,
}

impl Disk {
    fn run(mut self, jobs: &Receiver<Job>, waiting: &AtomicUsize) {
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Open { folder } => self.told(&folder, empty(&folder.place)),
                Job::Write { folder, name, pieces, cost } => {
                    let result = write(&folder.place, &name, &pieces);
                    drop(pieces);
                    waiting.fetch_sub(cost, Ordering::Relaxed);
                    self.told(&folder, result);
                }
                Job::Remove { folder, names } => {
                    let result = remove(&folder.place, &names);
                    self.told(&folder, result);
                }
                Job::Close { folder, names } => {
                    let result = remove(&folder.place, &names);
                    self.told(&folder, result);
                    self.failing.remove(&folder.place);
                    remove_folders(&folder);
                }
                Job::End => return,
            }
        }
    }

    fn told(&mut self, folder: &Folder, result: io::Result<()>) {
        match result {
            Ok(()) => {
                if self.failing.remove(&folder.place) {
                    tracing::info!(path = %folder.path, "segments are kept on disk again");
                }
            }
            Err(error) => {
                folder.counters.hls_files_failed.add_shared(1);
                if self.failing.insert(folder.place.clone()) {
                    let place = folder.place.display();
                    tracing::error!(path = %folder.path, "segments cannot be kept in {place}: {error}");
                }
            }
        }
    }
}

/// The name a file has until it is whole.
fn unfinished(name: &str) -> String {
    format!(".{name}.tmp")
}

/// Makes the folder, and removes what an earlier process left there.
fn empty(place: &Path) -> io::Result<()> {
    fs::create_dir_all(place)?;
    for entry in fs::read_dir(place)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let whole = name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp")).unwrap_or(name);
        if Request::parse(whole, "").is_ok() && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn write(place: &Path, name: &str, pieces: &[Bytes]) -> io::Result<()> {
    let before = place.join(unfinished(name));
    let file = match File::create(&before) {
        // It was empty when another muxer closed, or somebody removed it.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(place)?;
            File::create(&before)?
        }
        file => file?,
    };
    let mut file = BufWriter::with_capacity(WRITE_BYTES, file);
    let written = pieces.iter().try_for_each(|piece| file.write_all(piece)).and_then(|()| file.flush());
    // The buffer is not to write once more when it is dropped.
    drop(file.into_parts());
    let result = written.and_then(|()| fs::rename(&before, place.join(name)));
    if result.is_err() {
        let _ = fs::remove_file(&before);
    }
    result
}

/// Bytes of one write: segments consist of many small pieces.
const WRITE_BYTES: usize = 128 * 1024;

/// Removes files; those that are gone already are as they should be.
fn remove(place: &Path, names: &[Box<str>]) -> io::Result<()> {
    let mut result = Ok(());
    for name in names {
        match fs::remove_file(place.join(&**name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => result = Err(error),
            _ => {}
        }
    }
    result
}

/// Removes the folder and those above it, up to the configured directory, as far as they are empty.
fn remove_folders(folder: &Folder) {
    let mut place = folder.place.as_path();
    while place != folder.root && fs::remove_dir(place).is_ok() {
        let Some(parent) = place.parent() else { return };
        place = parent;
    }
}

#[cfg(test)]
mod tests {
    use super::{Folder, Job, Writer, place};
    use crate::limits;
    use bytes::Bytes;
    use headwater_protocols::hls::Body;
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    struct Temporary(PathBuf);

    impl Temporary {
        fn new(name: &str) -> Temporary {
            let folder = std::env::temp_dir().join(format!("headwater-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            Temporary(folder)
        }

        fn folder(&self, path: &str) -> Arc<Folder> {
            let (root, place) = (self.0.clone(), place(&self.0, path).expect("a folder"));
            Arc::new(Folder { root, place, path: path.into(), counters: Arc::default() })
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn folders_lie_below_the_directory() {
        let root = Path::new("/segments");
        assert_eq!(place(root, "live/cam.1"), Some("/segments/live/cam.1".into()));
        for bad in ["", "a//b", "a/.", "./a", "a/"] {
            assert_eq!(place(root, bad), None, "{bad}");
        }
    }

    #[test]
    fn files_appear_whole_and_vanish_with_their_folder() {
        let temporary = Temporary::new("files");
        let folder = temporary.folder("a/b");
        fs::create_dir_all(&folder.place).expect("a folder");
        for left in [".index.m3u8.tmp", "0123456789ab_main_seg7.mp4", "notes.txt"] {
            fs::write(folder.place.join(left), "x").expect("a file");
        }
        let writer = Writer::new();
        writer.start().expect("a thread");
        writer.tell(Job::Open { folder: Arc::clone(&folder) });
        let body = Body::from(vec![Bytes::from_static(b"one "), Bytes::from_static(b"two")]);
        assert!(writer.write(&folder, "index.m3u8", &body));
        writer.end();
        assert_eq!(fs::read(folder.place.join("index.m3u8")).expect("the file"), b"one two");
        let names =
            fs::read_dir(&folder.place).expect("the folder").map(|entry| entry.expect("one").file_name());
        let mut names = names.collect::<Vec<_>>();
        names.sort();
        assert_eq!(names, ["index.m3u8", "notes.txt"]);
        fs::remove_file(folder.place.join("notes.txt")).expect("removed");

        let writer = Writer::new();
        writer.start().expect("a thread");
        writer.tell(Job::Close { folder: Arc::clone(&folder), names: vec!["index.m3u8".into()] });
        writer.end();
        assert!(temporary.0.exists() && !temporary.0.join("a").exists());
        assert_eq!(folder.counters.hls_files_failed.value(), 0);
    }

    #[test]
    fn a_full_queue_refuses_and_a_disk_that_fails_is_counted() {
        let temporary = Temporary::new("full");
        fs::write(&temporary.0, "a file where the directory should be").expect("a file");
        let folder = temporary.folder("cam");
        let writer = Writer::new();
        let body = Body::from(Bytes::from(vec![0; limits::HLS_DIRECTORY_QUEUE_BYTES]));
        assert!(writer.write(&folder, "0123456789ab_main_seg0.mp4", &body), "one file always fits");
        assert!(!writer.write(&folder, "index.m3u8", &Body::from(Bytes::from_static(b"x"))));
        writer.start().expect("a thread");
        writer.end();
        assert_eq!(folder.counters.hls_files_failed.value(), 1);
        let _ = fs::remove_file(&temporary.0);
    }
}
