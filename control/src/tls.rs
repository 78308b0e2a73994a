//! Certificates of TLS listeners, replaced while connections and listeners stay.
//!
//! A [`Certificates`] is one pair of files. Every handshake asks it for the pair that is in force then; reading the
//! files again changes what the next handshake gets. A pair that cannot be used never replaces one that can.

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Chains have a few KiB; a file of this size is something else.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Renewals are due well before.
const EXPIRY_WARNING: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Why a pair of files cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error(
        "{} does not exist; make one with: openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=localhost \
         -keyout {} -out {}", missing.display(), key.display(), certificate.display()
    )]
    Missing { missing: PathBuf, certificate: PathBuf, key: PathBuf },
    #[error("cannot read {}: {error}", file.display())]
    Unreadable { file: PathBuf, error: std::io::Error },
    #[error("{} holds no usable {what}: {why}", file.display())]
    Unusable { file: PathBuf, what: &'static str, why: String },
    #[error("the key in {} does not belong to the certificate in {}", key.display(), certificate.display())]
    Mismatch { certificate: PathBuf, key: PathBuf },
}

/// What an operator wants to know of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) subject: String,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

/// One pair of certificate chain and key. Shared by the listeners that use it.
pub(crate) struct Certificates {
    certificate: PathBuf,
    key: PathBuf,
    in_force: ArcSwap<Pair>,
    failures: AtomicU64,
}

struct Pair {
    key: Arc<CertifiedKey>,
    facts: Facts,
}

impl Certificates {
    /// Reads both files. Blocks on them, as [`Certificates::reload`] does.
    ///
    /// # Errors
    /// Files that cannot be read, hold something else, or do not belong together. An expired certificate is only
    /// warned of: some client may not mind.
    pub(crate) fn load(certificate: &Path, key: &Path) -> Result<Arc<Certificates>, CertificateError> {
        let pair = read_pair(certificate, key)?;
        let loaded = Certificates {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            in_force: ArcSwap::from_pointee(pair),
            failures: AtomicU64::new(0),
        };
        loaded.report("certificate loaded");
        Ok(Arc::new(loaded))
    }

    /// Reads both files again. The pair in force stays where the new one cannot be used, which is logged and counted.
    /// Returns whether the pair is a new one.
    pub(crate) fn reload(&self) -> bool {
        match read_pair(&self.certificate, &self.key) {
            Ok(new) if new.key.cert == self.in_force.load().key.cert => false,
            Ok(new) => {
                self.in_force.store(Arc::new(new));
                self.report("certificate replaced; new connections use it");
                true
            }
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                tracing::error!(
                    file = %self.certificate.display(),
                    "{error}; the certificate in force stays, until {}", self.facts().not_after
                );
                false
            }
        }
    }

    /// As [`Certificates::reload`], for a pair that nothing is served with yet.
    ///
    /// # Errors
    /// As [`Certificates::load`]; the pair stays as it was.
    pub(crate) fn read_again(&self) -> Result<(), CertificateError> {
        let new = read_pair(&self.certificate, &self.key)?;
        if new.key.cert != self.in_force.load().key.cert {
            self.in_force.store(Arc::new(new));
            self.report("certificate loaded");
        }
        Ok(())
    }

    /// For listeners: takes the pair from here at every handshake. `alpn`: the protocols offered, none for RTSPS and RTMPS.
    pub(crate) fn server_config(self: &Arc<Self>, alpn: &[&[u8]]) -> Arc<ServerConfig> {
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Certificates>::clone(self);
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has cipher suites for the default versions")
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    }

    /// Of the certificate in force.
    pub(crate) fn facts(&self) -> Facts {
        self.in_force.load().facts.clone()
    }

    /// Attempts to reload that were refused.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    fn report(&self, what: &str) {
        let Facts { subject, not_before, not_after } = self.facts();
        let file = self.certificate.display();
        tracing::info!(%file, %subject, until = %not_after, "{what}");
        if let Some(warning) = warning(not_before, not_after, Timestamp::now()) {
            tracing::warn!(%file, %subject, until = %not_after, "{warning}");
        }
    }
}

/// What is to be said of a certificate that is valid in this time.
fn warning(not_before: Timestamp, not_after: Timestamp, now: Timestamp) -> Option<&'static str> {
    if now > not_after {
        Some("the certificate has expired: most clients will refuse to connect; renew it")
    } else if now < not_before {
        Some("the certificate is not valid yet: most clients will refuse to connect; check the clock")
    } else if not_after.duration_since(now) < EXPIRY_WARNING {
        Some("the certificate expires within 14 days; renew it")
    } else {
        None
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.in_force.load().key))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn read_pair(certificate: &Path, key: &Path) -> Result<Pair, CertificateError> {
    let unusable =
        |file: &Path, what, why: String| CertificateError::Unusable { file: file.to_owned(), what, why };
    let read = |file: &Path| {
        read_file(file).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => CertificateError::Missing {
                missing: file.to_owned(),
                certificate: certificate.to_owned(),
                key: key.to_owned(),
            },
            _ => CertificateError::Unreadable { file: file.to_owned(), error },
        })
    };
    let chain = CertificateDer::pem_slice_iter(&read(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(certificate, "certificate", error.to_string()))?;
    let Some(first) = chain.first() else {
        return Err(unusable(certificate, "certificate", "there is none in PEM form".to_owned()));
    };
    let facts = facts(first).map_err(|why| unusable(certificate, "certificate", why))?;
    let key_der = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|error| unusable(key, "private key", error.to_string()))?;
    let pair = CertifiedKey::from_der(chain, key_der, &provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            CertificateError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() }
        }
        error => unusable(key, "private key", error.to_string()),
    })?;
    Ok(Pair { key: Arc::new(pair), facts })
}

fn read_file(file: &Path) -> std::io::Result<Vec<u8>> {
    // Opening a pipe without a writer, or a device, might otherwise wait for ever.
    let opened =
        std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(file)?;
    if !opened.metadata()?.is_file() {
        let why = "it is no regular file";
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, why));
    }
    let mut bytes = Vec::new();
    opened.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let why = format!("it is larger than {FILE_BYTES_MAX} bytes");
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
}

fn facts(certificate: &CertificateDer<'_>) -> Result<Facts, String> {
    let (_, read) = x509_parser::parse_x509_certificate(certificate).map_err(|error| error.to_string())?;
    let time = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_second(time.timestamp()).map_err(|error| error.to_string())
    };
    Ok(Facts {
        subject: read.subject().to_string(),
        not_before: time(read.validity().not_before)?,
        not_after: time(read.validity().not_after)?,
    })
}

#[cfg(test)]
mod tests {
    use super::{CertificateError, Certificates, warning};
    use jiff::{SignedDuration, Timestamp};
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
    use std::path::PathBuf;
    use std::sync::Arc;

    struct Files {
        certificate: PathBuf,
        key: PathBuf,
        _folder: tempfile::TempDir,
    }

    impl Files {
        fn new() -> Files {
            let folder = tempfile::tempdir().expect("a folder");
            let (certificate, key) = (folder.path().join("server.crt"), folder.path().join("server.key"));
            Files { certificate, key, _folder: folder }
        }

        /// Makes a new pair and writes it.
        fn write(&self) -> (CertificateDer<'static>, String, String) {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
            let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
            std::fs::write(&self.certificate, &certificate).expect("written");
            std::fs::write(&self.key, &key).expect("written");
            (made.cert.der().clone(), certificate, key)
        }

        fn load(&self) -> Result<Arc<Certificates>, CertificateError> {
            Certificates::load(&self.certificate, &self.key)
        }
    }

    /// A handshake with a client that trusts `trusted` only; the protocol that was agreed on.
    fn handshake(
        config: &Arc<ServerConfig>,
        trusted: &CertificateDer<'static>,
    ) -> Result<Option<Vec<u8>>, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).expect("a certificate");
        let mut client = ClientConfig::builder_with_provider(super::provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from("localhost").expect("a name");
        let mut client = ClientConnection::new(Arc::new(client), name).expect("a client");
        let mut server = ServerConnection::new(Arc::clone(config)).expect("a server");
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).expect("written");
            server.read_tls(&mut wire.as_slice()).expect("read");
            server.process_new_packets()?;
            wire.clear();
            server.write_tls(&mut wire).expect("written");
            client.read_tls(&mut wire.as_slice()).expect("read");
            client.process_new_packets()?;
        }
        Ok(client.alpn_protocol().map(<[u8]>::to_vec))
    }

    #[test]
    fn a_changed_file_is_used_for_the_next_handshake() {
        let files = Files::new();
        let (first, ..) = files.write();
        let certificates = files.load().expect("loaded");
        let (plain, http) =
            (certificates.server_config(&[]), certificates.server_config(&[b"h2", b"http/1.1"]));
        assert_eq!(handshake(&plain, &first), Ok(None));
        assert_eq!(handshake(&http, &first), Ok(Some(b"h2".to_vec())));
        assert!(!certificates.reload(), "nothing changed");

        let (second, ..) = files.write();
        assert!(certificates.reload());
        assert!(handshake(&plain, &first).is_err());
        assert_eq!(handshake(&plain, &second), Ok(None));
        assert_eq!(certificates.failures(), 0);
    }

    #[test]
    fn a_pair_that_cannot_be_used_replaces_nothing() {
        let files = Files::new();
        let (first, ..) = files.write();
        let certificates = files.load().expect("loaded");
        let config = certificates.server_config(&[]);
        let (_, certificate, key) = files.write();
        let other = rcgen::KeyPair::generate().expect("a key").serialize_pem();
        let cases: [(Option<&str>, Option<&str>); 5] = [
            (Some(&certificate), Some(&other)),
            (Some("rubbish"), Some(&key)),
            (Some(&certificate), Some("rubbish")),
            (Some(&certificate), None),
            (None, Some(&key)),
        ];
        for (number, (certificate, key)) in cases.into_iter().enumerate() {
            for (file, content) in [(&files.certificate, certificate), (&files.key, key)] {
                match content {
                    Some(content) => std::fs::write(file, content).expect("written"),
                    None => std::fs::remove_file(file).expect("removed"),
                }
            }
            assert!(!certificates.reload());
            assert_eq!(certificates.failures(), number as u64 + 1);
            assert_eq!(handshake(&config, &first), Ok(None));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let files = Files::new();
        let missing = files.load().expect_err("nothing there").to_string();
        assert!(missing.contains("server.crt does not exist; make one with: openssl req"), "{missing}");
        let (_, certificate, _) = files.write();
        let other = rcgen::KeyPair::generate().expect("a key").serialize_pem();
        std::fs::write(&files.key, other).expect("written");
        assert!(matches!(files.load(), Err(CertificateError::Mismatch { .. })));
        std::fs::write(&files.key, certificate).expect("written");
        assert!(matches!(files.load(), Err(CertificateError::Unusable { what: "private key", .. })));
        std::fs::write(&files.certificate, "").expect("written");
        assert!(matches!(files.load(), Err(CertificateError::Unusable { what: "certificate", .. })));
        std::fs::File::create(&files.certificate).and_then(|file| file.set_len(1 << 21)).expect("grown");
        assert!(matches!(files.load(), Err(CertificateError::Unreadable { .. })));
    }

    #[test]
    fn pipes_folders_and_devices_are_no_certificates() {
        let files = Files::new();
        files.write();
        std::fs::remove_file(&files.certificate).expect("removed");
        let made = std::process::Command::new("mkfifo").arg(&files.certificate).status().expect("mkfifo");
        assert!(made.success());
        for certificate in [files.certificate.as_path(), "/dev/zero".as_ref(), "/".as_ref()] {
            let error = Certificates::load(certificate, &files.key).expect_err("refused").to_string();
            assert!(error.contains("it is no regular file"), "{error}");
        }
    }

    #[test]
    fn subject_and_end_are_known() {
        let files = Files::new();
        let mut asked = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("parameters");
        asked.distinguished_name.push(rcgen::DnType::CommonName, "hall.example");
        asked.not_after = rcgen::date_time_ymd(2031, 2, 3);
        let key = rcgen::KeyPair::generate().expect("a key");
        let made = asked.self_signed(&key).expect("signed");
        std::fs::write(&files.certificate, made.pem()).expect("written");
        std::fs::write(&files.key, key.serialize_pem()).expect("written");
        let facts = files.load().expect("loaded").facts();
        assert!(facts.subject.contains("hall.example"), "{}", facts.subject);
        assert_eq!(facts.not_after.to_string(), "2031-02-03T00:00:00Z");
    }

    #[test]
    fn expiry_is_warned_of_in_time() {
        let now = Timestamp::UNIX_EPOCH;
        let days = |days: i64| now + SignedDuration::from_hours(24 * days);
        assert_eq!(warning(days(-1), days(15), now), None);
        for (from, until, says) in [(-1, 13, "14 days"), (-9, -1, "has expired"), (1, 90, "not valid yet")] {
            assert!(warning(days(from), days(until), now).is_some_and(|warning| warning.contains(says)));
        }
    }
}
