//! The certificates in use, by their files: loaded once however many listeners use them, and reloaded when they change.
//!
//! A pair that is taken for a change of configuration is in use when [`Keyring::retain`] says so. Until then, and after a
//! change that was refused, nobody watches its files, so that whoever takes it next gets it read again.

use crate::tls::Certificates;
use rustls::ServerConfig;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const HTTP_PROTOCOLS: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Certificate and key.
type Files = (PathBuf, PathBuf);

/// One pair, with the configurations of the listeners that use it.
struct Pair {
    certificates: Arc<Certificates>,
    http: Arc<ServerConfig>,
    without_alpn: Arc<ServerConfig>,
    in_use: bool,
}

/// The certificates in use.
#[derive(Default)]
pub(crate) struct Keyring(Mutex<HashMap<Files, Pair>>);

impl Keyring {
    /// For HTTP, of control ports and of media: HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// Files that cannot be used; the message says what to do.
    pub(crate) fn for_http(&self, certificate: &str, key: &str) -> Result<Arc<ServerConfig>, String> {
        self.of(certificate, key, |pair| Arc::clone(&pair.http))
    }

    /// For listeners whose port says what is spoken: RTSPS, RTMPS.
    ///
    /// # Errors
    /// As [`Keyring::for_http`].
    pub(crate) fn without_alpn(&self, certificate: &str, key: &str) -> Result<Arc<ServerConfig>, String> {
        self.of(certificate, key, |pair| Arc::clone(&pair.without_alpn))
    }

    fn of<T>(&self, certificate: &str, key: &str, take: impl Fn(&Pair) -> T) -> Result<T, String> {
        let files = (PathBuf::from(certificate), PathBuf::from(key));
        let known = self.pairs().get(&files).map(|pair| {
            // The same object for all that take it in one change.
            let unwatched = (!pair.in_use).then(|| Arc::clone(&pair.certificates));
            (take(pair), unwatched)
        });
        if let Some((taken, unwatched)) = known {
            if let Some(certificates) = unwatched {
                certificates.read_again().map_err(|error| error.to_string())?;
            }
            return Ok(taken);
        }
        let certificates = Certificates::load(&files.0, &files.1).map_err(|error| error.to_string())?;
        let http = certificates.server_config(HTTP_PROTOCOLS);
        let without_alpn = certificates.server_config(&[]);
        let pair = Pair { certificates, http, without_alpn, in_use: false };
        let taken = take(&pair);
        self.pairs().insert(files, pair);
        Ok(taken)
    }

    /// What to watch.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.pairs().keys().flat_map(|(certificate, key)| [certificate.clone(), key.clone()]).collect()
    }

    /// Whether all of these files (absolute) are certificates or keys in use.
    pub(crate) fn has_all(&self, files: &[PathBuf]) -> bool {
        let ours: Vec<PathBuf> =
            self.files().iter().filter_map(|file| std::path::absolute(file).ok()).collect();
        files.iter().all(|file| ours.contains(file))
    }

    /// The pairs that `used` names are in use now; forgets the others. To be called after every change, also one that was
    /// refused.
    pub(crate) fn retain(&self, used: &[(String, String)]) {
        let is = |files: &Files| {
            used.iter().any(|(cert, key)| files.0 == Path::new(cert) && files.1 == Path::new(key))
        };
        self.pairs().retain(|files, pair| {
            pair.in_use = is(files);
            pair.in_use
        });
    }

    /// Reads all pairs again; new connections use what changed. A pair that cannot be used stays as it was.
    pub(crate) fn reload(&self) {
        let all: Vec<_> = self.pairs().values().map(|pair| Arc::clone(&pair.certificates)).collect();
        for certificates in all {
            certificates.reload();
        }
    }

    /// Reloads that were refused.
    pub(crate) fn refused(&self) -> u64 {
        self.pairs().values().map(|pair| pair.certificates.failures()).sum()
    }

    /// The certificate files, and when they expire, in seconds since 1970.
    pub(crate) fn expiries(&self) -> Vec<(String, i64)> {
        let expiry = |pair: &Pair| pair.certificates.facts().not_after.as_second();
        self.pairs().iter().map(|(files, pair)| (files.0.display().to_string(), expiry(pair))).collect()
    }

    fn pairs(&self) -> MutexGuard<'_, HashMap<Files, Pair>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Keyring;

    /// Writes a new pair, valid until the end of `year`.
    fn write(folder: &std::path::Path, year: i32) -> (String, String) {
        let mut asked = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("parameters");
        asked.not_after = rcgen::date_time_ymd(year, 12, 31);
        let key = rcgen::KeyPair::generate().expect("a key");
        let files = (folder.join("a.crt"), folder.join("a.key"));
        std::fs::write(&files.0, asked.self_signed(&key).expect("signed").pem()).expect("written");
        std::fs::write(&files.1, key.serialize_pem()).expect("written");
        (files.0.display().to_string(), files.1.display().to_string())
    }

    fn year(keyring: &Keyring) -> i64 {
        let (_, seconds) = keyring.expiries().pop().expect("a pair");
        1970 + seconds / 31_556_952
    }

    #[test]
    fn a_pair_of_a_refused_change_is_read_again_and_one_in_use_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let keyring = Keyring::default();
        let files = write(folder.path(), 2040);
        keyring.for_http(&files.0, &files.1).expect("loaded");
        // The change was refused, and the certificate is renewed before the next one.
        write(folder.path(), 2041);
        let http = keyring.for_http(&files.0, &files.1).expect("loaded");
        assert_eq!(year(&keyring), 2041);
        keyring.without_alpn(&files.0, &files.1).expect("loaded");
        assert!(std::sync::Arc::ptr_eq(&http, &keyring.for_http(&files.0, &files.1).expect("loaded")));
        std::fs::write(&files.1, "rubbish").expect("written");
        assert!(keyring.for_http(&files.0, &files.1).is_err());

        write(folder.path(), 2042);
        keyring.for_http(&files.0, &files.1).expect("loaded");
        keyring.retain(std::slice::from_ref(&files));
        std::fs::write(&files.1, "rubbish").expect("written");
        keyring.for_http(&files.0, &files.1).expect("what is in use needs no file");
        keyring.retain(&[]);
        assert!(keyring.files().is_empty());
        assert!(keyring.for_http(&files.0, &files.1).is_err());
    }
}
