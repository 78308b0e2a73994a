//! Tests of the configuration as a whole; the table of faults is `faults.txt`: YAML, then what is told about it.

mod api;
mod files;
mod layers;
mod mutations;

use super::{Configuration, Faults, Loaded, load};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A file that is gone when this is.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new(bytes: &[u8]) -> Scratch {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name =
            format!("headwater-config-{}-{}.yml", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).expect("a temporary file");
        Scratch(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Reads text as a file, without environment and arguments.
pub(super) fn read(text: &str) -> Result<Loaded, Faults> {
    let file = Scratch::new(text.as_bytes());
    load(Some(file.path()), std::iter::empty(), &[])
}

pub(super) fn configuration(text: &str) -> Configuration {
    read(text).unwrap_or_else(|faults| panic!("{faults}\n{text}")).configuration
}

/// What is told about a text, with `FILE` for its name.
fn told(text: &str) -> String {
    let file = Scratch::new(text.as_bytes());
    match load(Some(file.path()), std::iter::empty(), &[]) {
        Ok(_) => "nothing\n".to_owned(),
        Err(faults) => format!("{faults}\n").replace(&file.path().display().to_string(), "FILE"),
    }
}

#[test]
fn every_fault_is_told_with_its_place() {
    let golden = include_str!("faults.txt");
    let mut found = String::new();
    for case in golden.split("=== ").skip(1) {
        let (name, rest) = case.split_once('\n').expect("a name");
        let (text, _) = rest.split_once("=> \n").unwrap_or((rest, ""));
        found.push_str(&format!("=== {name}\n{text}=> \n{}", told(text)));
    }
    if let Some(path) = std::env::var_os("HEADWATER_TEST_WRITE_FAULTS") {
        std::fs::write(path, &found).expect("written");
    }
    for (found, golden) in found.split("=== ").zip(golden.split("=== ")) {
        assert_eq!(found, golden);
    }
}
