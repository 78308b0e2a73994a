//! Outgoing HTTP of the control core: authentication servers, key sets and webhooks.
//!
//! Every client follows no redirect and uses no proxy of the environment, as MediaMTX. Servers are verified against the
//! system's roots, or, where the configuration names a fingerprint, by the SHA-256 of their certificate alone.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// Idle connections kept to one server. More than this many requests at once open connections that end afterwards.
const IDLE_CONNECTIONS_MAX: usize = 64;
/// Longer than a minute, so that steady sparse traffic needs no handshake; shorter than most servers wait.
const IDLE_CONNECTION_AGE: Duration = Duration::from_secs(55);

/// Why no client can be made for an address. For the log and for whoever checks a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("\"{0}\" is no http or https URL")]
    Address(String),
    #[error("a fingerprint is the SHA-256 of a certificate, 64 hexadecimal digits")]
    Fingerprint,
    #[error("cannot prepare TLS: {0}")]
    Tls(String),
}

/// The bytes of a fingerprint as the configuration writes it: hexadecimal, in either case, with or without colons.
///
/// # Errors
/// Anything else.
pub(crate) fn fingerprint(text: &str) -> Result<[u8; 32], ClientError> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    if digits.len() != 64 {
        return Err(ClientError::Fingerprint);
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |n: usize| (pair[n] as char).to_digit(16).ok_or(ClientError::Fingerprint);
        *byte = (digit(0)? << 4 | digit(1)?) as u8;
    }
    Ok(bytes)
}

/// Makes a client for one server. `pin` is a fingerprint, or empty. Reads the system's roots: not for every request.
///
/// # Errors
/// An address or fingerprint that is none; no usable roots on this machine.
pub(crate) fn client(address: &str, pin: &str) -> Result<reqwest::Client, ClientError> {
    let url = url::Url::parse(address).map_err(|_| ClientError::Address(without_secrets(address)))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(ClientError::Address(without_secrets(address)));
    }
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("headwater/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .pool_idle_timeout(IDLE_CONNECTION_AGE);
    if url.scheme() == "http" {
        // A machine without roots, such as a bare container, can still speak plain HTTP.
        builder = builder.use_preconfigured_tls(pinned([0; 32])?);
    } else if !pin.is_empty() {
        builder = builder.use_preconfigured_tls(pinned(fingerprint(pin)?)?);
    }
    builder.build().map_err(|error| ClientError::Tls(chain(&error)))
}

/// An error with its causes on one line, without the address, which may hold a password.
pub(crate) fn chain(error: &reqwest::Error) -> String {
    let mut text = match error {
        error if error.is_timeout() => "timed out".to_owned(),
        error if error.is_connect() => "cannot connect".to_owned(),
        _ => "request failed".to_owned(),
    };
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    one_line(&text, 300)
}

/// Text of somebody else made fit for one log line: control characters escaped, cut after `characters_max`.
pub(crate) fn one_line(text: &str, characters_max: usize) -> String {
    let mut line = String::new();
    for (n, character) in text.trim().chars().enumerate() {
        if n == characters_max {
            line.push('…');
            break;
        }
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// An address without user, password and query, for logs.
pub(crate) fn without_secrets(address: &str) -> String {
    match url::Url::parse(address) {
        Ok(mut url) if url.has_host() => {
            // Both fail only for URLs without a host.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.set_query(None);
            url.set_fragment(None);
            one_line(url.as_str(), 200)
        }
        _ => one_line(address.rsplit('@').next().unwrap_or_default(), 80),
    }
}

fn pinned(fingerprint: [u8; 32]) -> Result<ClientConfig, ClientError> {
    let provider: CryptoProvider = rustls::crypto::aws_lc_rs::default_provider();
    let algorithms = provider.signature_verification_algorithms;
    let verifier = Pin { fingerprint, algorithms };
    Ok(ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Tls(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// Accepts one certificate, whoever signed it and whatever it says.
#[derive(Debug)]
struct Pin {
    fingerprint: [u8; 32],
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let found: [u8; 32] = Sha256::digest(end_entity).into();
        if found == self.fingerprint {
            return Ok(ServerCertVerified::assertion());
        }
        let hex: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
        Err(rustls::Error::General(format!(
            "the certificate's fingerprint is {hex}, which is not the configured one"
        )))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_with_and_without_colons() {
        let plain = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        assert_eq!(fingerprint(&plain), Ok([0xab; 32]));
        assert_eq!(fingerprint(&colons), Ok([0xab; 32]));
        assert_eq!(fingerprint("abcd"), Err(ClientError::Fingerprint));
        assert_eq!(fingerprint(&"zz".repeat(32)), Err(ClientError::Fingerprint));
        assert_eq!(fingerprint(&"é".repeat(32)), Err(ClientError::Fingerprint));
    }

    #[test]
    fn what_is_no_web_address_is_refused_without_its_password() {
        for address in ["", "auth", "ftp://host/", "http://", "rtsp://user:geheim@host/x"] {
            let error = client(address, "").expect_err("no web address").to_string();
            assert!(!error.contains("geheim"), "{error}");
        }
        assert!(client("http://127.0.0.1:1/auth", "").is_ok());
    }

    #[test]
    fn addresses_are_logged_without_credentials_and_query() {
        assert_eq!(without_secrets("http://user:geheim@host/auth?key=geheim"), "http://host/auth");
        assert_eq!(without_secrets("geheim@host"), "host");
    }

    #[test]
    fn foreign_text_becomes_one_line() {
        assert_eq!(one_line("a\r\nb\x1b[31m", 100), "a\\r\\nb\\u{1b}[31m");
        assert_eq!(one_line("abcdef", 3), "abc…");
    }
}
