//! Certificates for TLS listeners.

use anyhow::{Context, anyhow};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;

/// Reads a certificate chain and its key (PEM files).
///
/// # Errors
/// A file that cannot be read or holds nothing of the kind; a key that does not fit the certificate.
pub(crate) fn server_config(certificate: &Path, key: &Path) -> anyhow::Result<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| anyhow!("{error}"))
        .with_context(|| format!("cannot read certificates from {}", certificate.display()))?;
    if chain.is_empty() {
        return Err(anyhow!("{} holds no certificate in PEM form", certificate.display()));
    }
    let key_der = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| anyhow!("{error}"))
        .with_context(|| format!("cannot read a private key from {}", key.display()))?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key_der)
        .with_context(|| format!("{} and {} do not belong together", certificate.display(), key.display()))?;
    Ok(Arc::new(config))
}
