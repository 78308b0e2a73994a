use super::{REPORT_EVERY, Watch};
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::mpsc::{Receiver, channel};

const PATIENCE: Duration = Duration::from_secs(20);

struct Watched {
    watch: Watch,
    changes: Receiver<Vec<PathBuf>>,
    runtime: tokio::runtime::Runtime,
}

impl Watched {
    fn new(paths: &[&Path], may_notify: bool) -> Watched {
        let (sender, changes) = channel(1);
        let paths: Vec<PathBuf> = paths.iter().map(|path| (*path).to_owned()).collect();
        let watch = Watch::start(&paths, sender, may_notify).expect("a thread");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        Watched { watch, changes, runtime }
    }

    fn next(&mut self) -> Vec<PathBuf> {
        let changes = &mut self.changes;
        let next = async { tokio::time::timeout(PATIENCE, changes.recv()).await };
        self.runtime.block_on(next).expect("a change in time").expect("the watch runs")
    }

    /// The change that was made is the only one told of.
    fn told(&mut self, path: &Path) {
        assert_eq!(self.next(), [path]);
    }

    /// Nothing was told of what happened before: it would be before the change that `path` gets now.
    fn silent(&mut self, marker: &Path) {
        fs::write(marker, format!("{:?}", Instant::now())).expect("written");
        assert_eq!(self.next(), [marker]);
    }
}

fn folder() -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().canonicalize().expect("a path");
    let (file, marker) = (root.join("headwater.yml"), root.join("marker"));
    fs::write(&file, "a: 1\n").expect("written");
    (folder, file, marker)
}

#[test]
fn a_change_in_place_and_one_by_rename() {
    let (_folder, file, marker) = folder();
    let mut watched = Watched::new(&[&file, &marker], true);
    fs::write(&file, "a: 2\n").expect("written");
    watched.told(&file);
    // As vim and `sed -i` do.
    let beside = file.with_extension("tmp");
    fs::write(&beside, "a: 3\n").expect("written");
    fs::rename(&beside, &file).expect("renamed");
    watched.told(&file);
    // As editors do that keep a copy: the old file gets another name first.
    fs::rename(&file, file.with_extension("yml~")).expect("renamed");
    fs::write(&file, "a: 4\n").expect("written");
    watched.told(&file);
    // The new file is followed too.
    fs::write(&file, "a: 5\n").expect("written");
    watched.told(&file);
    watched.silent(&marker);
}

#[test]
fn a_touch_and_other_files_are_silent() {
    let (_folder, file, marker) = folder();
    let mut watched = Watched::new(&[&file, &marker], true);
    fs::write(&file, "a: 1\n").expect("written");
    fs::File::open(&file)
        .and_then(|file| file.set_modified(std::time::SystemTime::UNIX_EPOCH))
        .expect("touched");
    let copy = file.with_extension("copy");
    fs::copy(&file, &copy).expect("copied");
    fs::rename(&copy, &file).expect("renamed");
    fs::write(file.with_extension("log"), "much").expect("written");
    watched.silent(&marker);
}

#[test]
fn a_file_rewritten_in_two_writes_is_not_told_of_as_empty() {
    let (_folder, file, _) = folder();
    let mut watched = Watched::new(&[&file], true);
    let mut open = fs::File::create(&file).expect("emptied");
    let emptied = Instant::now();
    open.write_all(b"a: 2\n").expect("written");
    open.write_all(b"b: 3\n").expect("written");
    let quick = emptied.elapsed() < super::STILL;
    watched.told(&file);
    let now = fs::read_to_string(&file).expect("read");
    assert_eq!(now, "a: 2\nb: 3\n");
    // On a machine that was slow in between, both writes may be told of.
    if quick {
        assert!(watched.changes.try_recv().is_err());
    }
}

#[test]
fn removal_and_return() {
    let (_folder, file, marker) = folder();
    let mut watched = Watched::new(&[&file, &marker], true);
    fs::remove_file(&file).expect("removed");
    watched.told(&file);
    fs::write(&file, "a: 1\n").expect("written");
    watched.told(&file);
    // Gone for a moment only, and back with the same content: nothing happened.
    let content = fs::read(&file).expect("read");
    fs::remove_file(&file).expect("removed");
    fs::write(&file, content).expect("written");
    watched.silent(&marker);
}

#[test]
fn files_and_folders_that_do_not_exist_yet() {
    let (folder, ..) = folder();
    let root = folder.path().canonicalize().expect("a path");
    let file = root.join("later/deeper/server.crt");
    let mut watched = Watched::new(&[&file], true);
    fs::create_dir_all(file.parent().expect("a folder")).expect("made");
    fs::write(&file, "x").expect("written");
    watched.told(&file);
    fs::remove_dir_all(root.join("later")).expect("removed");
    watched.told(&file);
    fs::create_dir_all(file.parent().expect("a folder")).expect("made");
    fs::write(&file, "y").expect("written");
    watched.told(&file);
    fs::write(&file, "z").expect("written");
    watched.told(&file);
}

/// A folder with dated folders, a link `..data` to the one in force, and links to the files in it.
#[test]
fn kubernetes_swaps_a_link() {
    let (folder, ..) = folder();
    let root = folder.path().canonicalize().expect("a path").join("config");
    fs::create_dir(&root).expect("made");
    let dated = |name: &str, content: &str| {
        fs::create_dir(root.join(name)).expect("made");
        fs::write(root.join(name).join("headwater.yml"), content).expect("written");
        symlink(name, root.join("..data_tmp")).expect("linked");
        fs::rename(root.join("..data_tmp"), root.join("..data")).expect("renamed");
    };
    dated("..2026_01", "a: 1\n");
    let file = root.join("headwater.yml");
    symlink("..data/headwater.yml", &file).expect("linked");
    let mut watched = Watched::new(&[&file], true);
    for (number, name) in ["..2026_02", "..2026_03", "..2026_04"].into_iter().enumerate() {
        dated(name, &format!("b: {number}\n"));
        watched.told(&file);
    }
    // In the folder that is in force now.
    fs::write(root.join("..2026_04/headwater.yml"), "c: 1\n").expect("written");
    watched.told(&file);
}

#[test]
fn other_paths_from_now_on() {
    let (folder, file, marker) = folder();
    let other = folder.path().canonicalize().expect("a path").join("server.key");
    let mut watched = Watched::new(&[&file], true);
    watched.watch.set_paths(vec![other.clone(), marker.clone()]);
    // The change of paths is made when a change of the new ones is seen.
    let deadline = Instant::now() + PATIENCE;
    let mut number = 0;
    while watched.changes.is_empty() {
        assert!(Instant::now() < deadline);
        number += 1;
        fs::write(&other, format!("{number}")).expect("written");
        std::thread::yield_now();
    }
    watched.told(&other);
    fs::write(&file, "a: 2\n").expect("written");
    fs::write(&marker, "x").expect("written");
    let mut seen = watched.next();
    if seen == [other] {
        seen = watched.next();
    }
    assert!(!seen.contains(&file) && seen.contains(&marker), "{seen:?}");
}

#[test]
fn a_flood_is_told_of_in_time_and_not_too_often_and_to_the_end() {
    let (_folder, file, _) = folder();
    let mut watched = Watched::new(&[&file], true);
    let started = Instant::now();
    let mut reports = 0;
    let mut number = 0;
    // Never still, until it was told of three times.
    while reports < 3 {
        assert!(started.elapsed() < PATIENCE, "it starves");
        number += 1;
        let beside = file.with_extension("tmp");
        fs::write(&beside, format!("a: {number}\n")).expect("written");
        fs::rename(&beside, &file).expect("renamed");
        reports += usize::from(watched.changes.try_recv().is_ok());
    }
    assert!(started.elapsed() >= REPORT_EVERY * 2, "three reports in {:?}", started.elapsed());
    let beside = file.with_extension("tmp");
    fs::write(&beside, "the end").expect("written");
    fs::rename(&beside, &file).expect("renamed");
    // One for the last change; one more may have been on its way.
    watched.told(&file);
}

#[test]
fn without_the_kernels_help_files_are_looked_at() {
    let (_folder, file, marker) = folder();
    let mut watched = Watched::new(&[&file, &marker], false);
    fs::write(&file, "a: 2\n").expect("written");
    watched.told(&file);
    watched.silent(&marker);
}
