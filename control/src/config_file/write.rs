//! Replacing a file so that no reader ever sees half of it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// A new file may hold passwords.
const MODE_OF_NEW_FILES: u32 = 0o600;

/// Replaces the content of `file`, which need not exist: a new file is written beside it, with the same mode and owner,
/// and takes its name once it is safely on the disk. A symbolic link stays; what it points to is replaced. Blocks on
/// the disk: not for the control core's thread.
///
/// # Errors
/// Whatever the file system refuses; an owner that cannot be kept. The file is as it was then.
pub(crate) fn write_atomically(file: &Path, text: &str) -> io::Result<()> {
    let file = match file.canonicalize() {
        Err(error) if error.kind() == ErrorKind::NotFound && !file.is_symlink() => file.to_owned(),
        other => other?,
    };
    let name =
        file.file_name().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "not a file's name"))?;
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut beside = OsString::from(".");
    beside.push(name);
    beside.push(format!(".{:016x}.new", rand::random::<u64>()));
    let beside = folder.join(beside);
    let outcome = fill(&beside, &file, text).and_then(|()| take_place(&beside, &file));
    if let Err(error) = outcome {
        // What is left of it helps nobody; that it cannot be removed changes nothing.
        let _ = std::fs::remove_file(&beside);
        return Err(error);
    }
    // Without this the new name may be lost with the power.
    File::open(&folder)?.sync_all()
}

fn fill(beside: &Path, file: &Path, text: &str) -> io::Result<()> {
    let mut new = OpenOptions::new().write(true).create_new(true).mode(MODE_OF_NEW_FILES).open(beside)?;
    match std::fs::metadata(file) {
        Ok(old) => {
            let ours = new.metadata()?;
            if (old.uid(), old.gid()) != (ours.uid(), ours.gid()) {
                fchown(&new, Some(old.uid()), Some(old.gid())).map_err(|error| {
                    let why = format!("the owner of {} cannot be kept: {error}", file.display());
                    io::Error::new(error.kind(), why)
                })?;
            }
            new.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    new.write_all(text.as_bytes())?;
    new.sync_all()
}

fn take_place(beside: &Path, file: &Path) -> io::Result<()> {
    std::fs::rename(beside, file).map_err(|error| match error.kind() {
        ErrorKind::ResourceBusy => io::Error::new(
            ErrorKind::ResourceBusy,
            format!(
                "{} is mounted by itself and cannot be replaced; mount the folder it is in instead",
                file.display()
            ),
        ),
        _ => error,
    })
}

#[cfg(test)]
mod tests {
    use super::write_atomically;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn names(folder: &tempfile::TempDir) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("a folder");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_mode_stays_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("headwater.yml");
        std::fs::write(&file, "old").expect("written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).expect("set");
        write_atomically(&file, "new").expect("written");
        assert_eq!(std::fs::read_to_string(&file).expect("read"), "new");
        assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o7777, 0o640);
        assert_eq!(names(&folder), ["headwater.yml"]);
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("real.yml");
        std::fs::write(&file, "old").expect("written");
        symlink("real.yml", folder.path().join("link.yml")).expect("linked");
        write_atomically(&folder.path().join("link.yml"), "new").expect("written");
        assert_eq!(std::fs::read_to_string(&file).expect("read"), "new");
        assert!(folder.path().join("link.yml").is_symlink());
    }

    #[test]
    fn a_new_file_is_for_its_owner_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("new.yml");
        write_atomically(&file, "a: 1\n").expect("written");
        assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o7777, 0o600);
    }

    #[test]
    fn a_refusal_leaves_everything_as_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        // A folder cannot be replaced by a file.
        let file = folder.path().join("taken");
        std::fs::create_dir(&file).expect("made");
        assert!(write_atomically(&file, "new").is_err());
        assert_eq!(names(&folder), ["taken"]);
        // A link that leads nowhere is not replaced by a file.
        symlink("nowhere", folder.path().join("link")).expect("linked");
        assert!(write_atomically(&folder.path().join("link"), "new").is_err());
        assert!(write_atomically(&folder.path().join("missing/file"), "new").is_err());
        assert_eq!(names(&folder), ["link", "taken"]);
    }
}
