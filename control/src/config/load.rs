//! Finding the configuration file, decrypting it, and reading it with the layers above it.

use super::node::{Data, Node, Origin, Reading};
use super::{Configuration, Fault, Faults, Warning, build, layers, yaml};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crypto_secretbox::aead::{Aead, KeyInit};
use crypto_secretbox::{Key, Nonce, XSalsa20Poly1305};
use std::ffi::OsString;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Names of the file, in the order they are looked for.
const NAMES: [&str; 3] = ["headwater.yml", "mediamtx.yml", "rtsp-simple-server.yml"];
/// Folders it is looked for in; the first is the working folder.
const FOLDERS: [&str; 5] = ["", "/usr/local/etc", "/usr/etc", "/etc/headwater", "/etc/mediamtx"];
/// Variables with the key of an encrypted file, the strongest first.
const KEYS: [&str; 3] = ["HEADWATER_CONFKEY", "MTX_CONFKEY", "RTSP_CONFKEY"];
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// What a configuration is read from, to read it again when the file changes.
pub(crate) struct Source {
    place: Option<PathBuf>,
    /// Where it is looked for without a place.
    folders: Vec<PathBuf>,
    /// The variables that may concern us.
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
}

/// A configuration that was read.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) configuration: Configuration,
    /// `None` where there is none.
    pub(crate) file: Option<PathBuf>,
    /// Tells whether the file is still the same.
    pub(crate) digest: Option<u64>,
    pub(crate) warnings: Vec<Warning>,
}

impl Source {
    /// `place` is the file; without one it is looked for. `arguments` are `KEY=VALUE`.
    pub(crate) fn new(
        place: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        arguments: &[String],
    ) -> Source {
        let ours = |(name, _): &(String, String)| {
            ["RTSP_", "MTX_", "HEADWATER_"].iter().any(|prefix| name.starts_with(prefix))
        };
        Source {
            place: place.map(Path::to_path_buf),
            folders: FOLDERS.iter().map(PathBuf::from).collect(),
            environment: environment.filter(ours).collect(),
            arguments: arguments.to_vec(),
        }
    }

    /// With the environment of this process; variables that are no text are nobody's.
    pub(crate) fn of_process(place: Option<&Path>, arguments: &[String]) -> Source {
        let text =
            |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Source::new(place, std::env::vars_os().filter_map(text), arguments)
    }

    /// Reads everything anew. Reads a file, so not for the control core's thread.
    ///
    /// # Errors
    /// All that is wrong, at once; a file that was named and cannot be read.
    pub(crate) fn load(&self) -> Result<Loaded, Faults> {
        self.load_from(self.place.clone().or_else(|| self.find_file()))
    }

    /// Reads everything anew while the server runs with `known`. A file that is gone or empty is a fault then: it would
    /// open every path to everybody.
    ///
    /// # Errors
    /// As [`Source::load`].
    pub(crate) fn load_again(&self, known: Option<&Path>) -> Result<Loaded, Faults> {
        let Some(known) = known else { return self.load() };
        let file = self.place.clone().or_else(|| self.find_file()).unwrap_or_else(|| known.to_path_buf());
        let fault = |message: &str| {
            Faults(vec![Fault { file: Some(file.clone()), message: message.to_owned(), ..Fault::default() }])
        };
        match std::fs::metadata(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(fault("is gone; without it every path would be open for everybody"));
            }
            Ok(found) if found.len() == 0 => {
                return Err(fault(
                    "is empty; as if there were none, every path would be closed and every user gone",
                ));
            }
            _ => {}
        }
        self.load_from(Some(file))
    }

    fn load_from(&self, file: Option<PathBuf>) -> Result<Loaded, Faults> {
        let read = file.as_deref().map(|file| self.read_text(file)).transpose()?;
        let (text, digest) = read.unzip();
        let mut reading = Reading::new(file.as_deref());
        let mut root = match text.as_deref().map(yaml::parse) {
            None => Node::map(Origin::Default),
            Some(Ok(root)) => root,
            Some(Err(malformed)) => {
                let fault = |malformed: yaml::Malformed| Fault {
                    file: file.clone(),
                    line: Some(malformed.line),
                    message: malformed.message,
                    ..Fault::default()
                };
                return Err(Faults(malformed.into_iter().map(fault).collect()));
            }
        };
        layers::take_environment(&mut root, &self.environment, &mut reading);
        layers::take_arguments(&mut root, &self.arguments, &mut reading);
        if file.is_none() && root.entry("paths").is_none_or(|paths| is_empty(&paths.value)) {
            // Nobody said anything: every path is open.
            root.child("paths", &Origin::Default).child("all_others", &Origin::Default);
        }
        let configuration = build::build(root, &mut reading);
        let Reading { faults, warnings, .. } = reading;
        if faults.is_empty() {
            Ok(Loaded { configuration, file, digest, warnings })
        } else {
            Err(Faults(faults))
        }
    }

    fn find_file(&self) -> Option<PathBuf> {
        let places = self.folders.iter().flat_map(|folder| NAMES.iter().map(move |name| folder.join(name)));
        places.into_iter().find(|place| place.is_file())
    }

    /// The keys that the environment and the command line set, dotted: a change of the file does not reach them.
    pub(crate) fn held_keys(&self) -> Vec<String> {
        let mut reading = Reading::new(None);
        let mut root = Node::map(Origin::Default);
        layers::take_environment(&mut root, &self.environment, &mut reading);
        layers::take_arguments(&mut root, &self.arguments, &mut reading);
        let mut keys = Vec::new();
        dotted(&root, String::new(), &mut keys);
        keys
    }

    /// The text of a file, and what tells whether it is still the same.
    fn read_text(&self, file: &Path) -> Result<(String, u64), Faults> {
        let fail = |message: String| {
            Faults(vec![Fault { file: Some(file.to_path_buf()), message, ..Fault::default() }])
        };
        let mut bytes = read_file(file).map_err(|error| fail(format!("cannot be read: {error}")))?;
        let digest = digest(&bytes);
        let variable = |name: &str| self.environment.iter().find(|(known, _)| known == name);
        if let Some((name, key)) = KEYS.into_iter().find_map(variable) {
            bytes = decrypt(&bytes, key)
                .map_err(|reason| fail(format!("cannot be decrypted with the key in {name}: {reason}")))?;
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let line =
                error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
            fail(format!("is not UTF-8 text (line {})", line + 1))
        })?;
        Ok((text, digest))
    }
}

/// Reads a configuration once.
///
/// # Errors
/// As [`Source::load`].
#[cfg(test)]
pub(super) fn load(
    place: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    arguments: &[String],
) -> Result<Loaded, Faults> {
    Source::new(place, environment, arguments).load()
}

/// Reads a configuration file, if it can be one.
///
/// # Errors
/// It cannot be read, is no regular file, or is too long.
pub(crate) fn read_file(file: &Path) -> std::io::Result<Vec<u8>> {
    // Encrypted, it is longer than its text.
    let most = yaml::BYTES_MAX as u64 * 2;
    // Opening a pipe would wait for its other end.
    let found = std::fs::metadata(file)?;
    if !found.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    if found.len() > most {
        return Err(std::io::Error::other(format!("it has {} MiB", found.len() >> 20)));
    }
    let mut bytes = Vec::new();
    File::open(file)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Tells whether a file's content is the same.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// The keys of a tree down to the values.
fn dotted(node: &Node, key: String, keys: &mut Vec<String>) {
    match &node.data {
        Data::Map(entries) if !entries.is_empty() => {
            for entry in entries {
                let below = if key.is_empty() { entry.key.clone() } else { format!("{key}.{}", entry.key) };
                dotted(&entry.value, below, keys);
            }
        }
        _ => keys.push(key),
    }
}

fn is_empty(node: &Node) -> bool {
    match &node.data {
        Data::Null => true,
        Data::Map(entries) => entries.is_empty(),
        _ => false,
    }
}

/// MediaMTX's form: base64 of a nonce and a NaCl secretbox. The key is cut or filled with zeroes to 32 bytes.
fn decrypt(text: &[u8], key: &str) -> Result<Vec<u8>, &'static str> {
    let text: Vec<u8> = text.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    let bytes = BASE64.decode(text).map_err(|_| "it is not base64; is it encrypted?")?;
    let (nonce, sealed) = bytes.split_at_checked(NONCE_BYTES).ok_or("it is too short")?;
    let mut padded = [0; KEY_BYTES];
    for (padded, byte) in padded.iter_mut().zip(key.bytes()) {
        *padded = byte;
    }
    let cipher = XSalsa20Poly1305::new(Key::from_slice(&padded));
    cipher.decrypt(Nonce::from_slice(nonce), sealed).map_err(|_| "the key is wrong, or the file is damaged")
}

#[cfg(test)]
mod tests {
    use super::{NAMES, Source};
    use std::path::PathBuf;

    fn source(folders: Vec<PathBuf>, arguments: &[String]) -> Source {
        Source { folders, ..Source::new(None, std::iter::empty(), arguments) }
    }

    #[test]
    fn the_file_is_looked_for_by_folder_and_name() {
        let root = std::env::temp_dir().join(format!("headwater-folders-{}", std::process::id()));
        let folders = vec![root.join("first"), root.join("second")];
        for folder in &folders {
            std::fs::create_dir_all(folder).expect("a folder");
        }
        let mut found = Vec::new();
        for (folder, name) in [(1, 1), (1, 0), (0, 2), (0, 1)] {
            std::fs::write(folders[folder].join(NAMES[name]), "paths:\n").expect("a file");
            let loaded = source(folders.clone(), &[]).load().expect("valid");
            assert!(loaded.configuration.paths.is_empty());
            found.push(loaded.file == Some(folders[folder].join(NAMES[name])));
        }
        std::fs::remove_dir_all(&root).expect("removed");
        assert_eq!(found, [true; 4]);
    }

    #[test]
    fn without_a_file_every_path_is_open_unless_paths_are_given() {
        let open = source(Vec::new(), &[]).load().expect("valid");
        assert_eq!(open.file, None);
        assert_eq!(open.configuration.find_path("any/name").map(|found| found.name), Some("all_others"));
        let given = source(Vec::new(), &["paths.cam.maxReaders=3".to_owned()]).load().expect("valid");
        assert!(given.configuration.find_path("other").is_none());
        assert!(given.configuration.find_path("cam").is_some());
    }
}
