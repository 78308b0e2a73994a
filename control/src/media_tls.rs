//! The engine's listeners that may speak TLS: when each does, with which files, and the configurations they get.
//!
//! One table for all of them, so that certificates are read, watched and reloaded ([`Keyring`]) in one way. RTSPS and
//! RTMPS offer no protocol by ALPN, HTTPS offers `h2` and `http/1.1`.

use crate::config::values::Encryption;
use crate::config::{Configuration, Fault, Faults, Global};
use crate::keyring::Keyring;
use rustls::ServerConfig;
use std::sync::Arc;

/// A listener of the engine that may speak TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecureListener {
    Rtsps,
    Rtmps,
    /// HLS, endless streams and pages.
    Https,
}

impl SecureListener {
    const ALL: [SecureListener; 3] = [SecureListener::Rtsps, SecureListener::Rtmps, SecureListener::Https];

    /// Whether the configuration wants it.
    fn is_wanted(self, global: &Global) -> bool {
        match self {
            SecureListener::Rtsps => global.rtsp && global.rtsp_encryption != Encryption::No,
            SecureListener::Rtmps => global.rtmp && global.rtmp_encryption != Encryption::No,
            SecureListener::Https => global.hls && global.hls_encryption,
        }
    }

    /// Certificate and key.
    fn files(self, global: &Global) -> (&str, &str) {
        match self {
            SecureListener::Rtsps => (&global.rtsp_server_cert, &global.rtsp_server_key),
            SecureListener::Rtmps => (&global.rtmp_server_cert, &global.rtmp_server_key),
            SecureListener::Https => (&global.hls_server_cert, &global.hls_server_key),
        }
    }

    /// The keys that name the files.
    fn keys(self) -> &'static str {
        match self {
            SecureListener::Rtsps => "rtspServerCert, rtspServerKey",
            SecureListener::Rtmps => "rtmpServerCert, rtmpServerKey",
            SecureListener::Https => "hlsServerCert, hlsServerKey",
        }
    }
}

/// The TLS configurations of the engine's listeners; `None` for those that are not wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct MediaTls([Option<Arc<ServerConfig>>; SecureListener::ALL.len()]);

impl MediaTls {
    /// Takes what the configuration wants from the keyring, which may read files.
    ///
    /// # Errors
    /// Every listener whose files cannot be used.
    pub(crate) fn read(keyring: &Keyring, configuration: &Configuration) -> Result<MediaTls, Faults> {
        let global = &configuration.global;
        let (mut read, mut faults) = (MediaTls::default(), Vec::new());
        for listener in SecureListener::ALL.into_iter().filter(|listener| listener.is_wanted(global)) {
            let (certificate, key) = listener.files(global);
            let config = match listener {
                SecureListener::Rtsps | SecureListener::Rtmps => keyring.without_alpn(certificate, key),
                SecureListener::Https => keyring.for_http(certificate, key),
            };
            match config {
                Ok(config) => read.0[listener as usize] = Some(config),
                Err(message) => {
                    faults.push(Fault { key: listener.keys().to_owned(), message, ..Fault::default() });
                }
            }
        }
        if faults.is_empty() { Ok(read) } else { Err(Faults(faults)) }
    }

    pub(crate) fn of(&self, listener: SecureListener) -> Option<Arc<ServerConfig>> {
        self.0[listener as usize].clone()
    }
}

/// The certificates and keys of the listeners that the configuration wants.
pub(crate) fn files(configuration: &Configuration) -> Vec<(String, String)> {
    let global = &configuration.global;
    let wanted = SecureListener::ALL.into_iter().filter(|listener| listener.is_wanted(global));
    let files = wanted.map(|listener| listener.files(global));
    files.map(|(certificate, key)| (certificate.to_owned(), key.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        for (index, listener) in SecureListener::ALL.into_iter().enumerate() {
            assert_eq!(listener as usize, index);
        }
    }

    #[test]
    fn each_listener_gets_its_certificate_and_alpn() {
        let folder = tempfile::tempdir().expect("a folder");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let write = |name: &str, text: String| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).expect("written");
            file.display().to_string()
        };
        let (certificate, key) =
            (write("a.crt", made.cert.pem()), write("a.key", made.signing_key.serialize_pem()));
        let mut configuration = Configuration::default();
        assert!(files(&configuration).is_empty());
        let keyring = Keyring::default();
        let global = &mut configuration.global;
        (global.rtmp_encryption, global.hls_encryption) = (Encryption::Optional, true);
        (global.rtmp_server_cert, global.rtmp_server_key) = (certificate.clone(), key.clone());
        (global.hls_server_cert, global.hls_server_key) = (certificate.clone(), key.clone());
        let tls = MediaTls::read(&keyring, &configuration).expect("read");
        assert!(tls.of(SecureListener::Rtsps).is_none());
        let alpn = |listener| tls.of(listener).expect("wanted").alpn_protocols.clone();
        assert!(alpn(SecureListener::Rtmps).is_empty());
        assert_eq!(alpn(SecureListener::Https), [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert_eq!(files(&configuration), [(certificate.clone(), key.clone()), (certificate, key)]);

        configuration.global.rtmp_server_key = "nowhere".to_owned();
        configuration.global.rtsp_encryption = Encryption::Strict;
        let faults = MediaTls::read(&keyring, &configuration).expect_err("files are missing").to_string();
        assert!(
            faults.contains("rtspServerCert, rtspServerKey: ") && faults.contains("rtmpServerCert"),
            "{faults}"
        );
        configuration.global.rtmp = false;
        assert_eq!(files(&configuration).len(), 2);
    }
}
