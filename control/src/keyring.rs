//! The certificates in use, by their files: loaded once however many listeners use them, and reloaded when they change.

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
    rtsps: Arc<ServerConfig>,
}

/// The certificates in use.
#[derive(Default)]
pub(crate) struct Keyring(Mutex<HashMap<Files, Pair>>);

impl Keyring {
    /// For a control port: HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// Files that cannot be used; the message says what to do.
    pub(crate) fn for_http(&self, certificate: &str, key: &str) -> Result<Arc<ServerConfig>, String> {
        self.of(certificate, key, |pair| Arc::clone(&pair.http))
    }

    /// For the RTSPS listener.
    ///
    /// # Errors
    /// As [`Keyring::for_http`].
    pub(crate) fn for_rtsps(&self, certificate: &str, key: &str) -> Result<Arc<ServerConfig>, String> {
        self.of(certificate, key, |pair| Arc::clone(&pair.rtsps))
    }

    fn of<T>(&self, certificate: &str, key: &str, take: impl Fn(&Pair) -> T) -> Result<T, String> {
        let files = (PathBuf::from(certificate), PathBuf::from(key));
        if let Some(pair) = self.pairs().get(&files) {
            return Ok(take(pair));
        }
        let certificates = Certificates::load(&files.0, &files.1).map_err(|error| error.to_string())?;
        let (http, rtsps) = (certificates.server_config(HTTP_PROTOCOLS), certificates.server_config(&[]));
        let pair = Pair { certificates, http, rtsps };
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

    /// Forgets the pairs that `used` does not name.
    pub(crate) fn retain(&self, used: &[(String, String)]) {
        let is = |files: &Files| {
            used.iter().any(|(cert, key)| files.0 == Path::new(cert) && files.1 == Path::new(key))
        };
        self.pairs().retain(|files, _| is(files));
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
