//! JSON web tokens: which keys may sign them (RFC 7517), whether one is valid (RFC 7519), what it permits.
//!
//! The key decides what algorithms it may be used with, never the token: a public key is never taken for an HMAC secret,
//! and `none` is not among the algorithms at all. `exp` and `nbf` hold where present, as in MediaMTX; `iss` and `aud` must
//! be there where the configuration names them.

use super::rules::{action, path_rule};
use crate::client::one_line;
use crate::config::values::Action as Word;
use headwater_engine::access;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};

/// Bytes of a token: those of real ones stay below 8 KiB.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Keys of a set.
const KEYS_MAX: usize = 64;
/// Keys tried for a token that names none.
const TRIES_MAX: usize = 8;
/// By how much clocks may differ, in seconds.
const LEEWAY: u64 = 5;
/// Permissions of a token that are looked at.
const PERMISSIONS_MAX: usize = 256;

/// The keys that may sign tokens.
pub(super) struct Keys(Vec<Signer>);

struct Signer {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// What tokens are checked for besides their signature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Demands {
    /// `iss`, or empty.
    pub(super) issuer: String,
    /// `aud`, or empty.
    pub(super) audience: String,
    /// The claim with the permissions.
    pub(super) claim: String,
}

/// What a valid token says.
#[derive(Debug)]
pub(super) struct Claims {
    pub(super) user: String,
    permissions: Vec<(access::Action, String)>,
}

/// Why a token is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    #[error("the token names the key \"{}\", which the key set does not hold", one_line(.0, 64))]
    UnknownKey(String),
    #[error("{0}")]
    Invalid(String),
}

fn invalid(reason: &str) -> TokenError {
    TokenError::Invalid(reason.to_owned())
}

impl Keys {
    /// Reads a key set. Keys that are for something else, or that we cannot verify with, are passed over.
    ///
    /// # Errors
    /// No key set, or none of its keys is usable.
    pub(super) fn parse(text: &[u8]) -> Result<Keys, String> {
        let set: Value = serde_json::from_slice(text).map_err(|error| format!("this is no JSON: {error}"))?;
        let Some(keys) = set.get("keys").and_then(Value::as_array) else {
            return Err("this is no key set: it has no list \"keys\"".to_owned());
        };
        if keys.len() > KEYS_MAX {
            return Err(format!("the key set holds {} keys, more than {KEYS_MAX}", keys.len()));
        }
        let usable: Vec<Signer> = keys.iter().filter_map(signer).collect();
        if usable.is_empty() {
            return Err(format!("none of the {} keys can verify tokens", keys.len()));
        }
        Ok(Keys(usable))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is a key of that name.
    pub(super) fn hold(&self, id: &str) -> bool {
        self.0.iter().any(|signer| signer.id.as_deref() == Some(id))
    }

    /// Verifies a token.
    ///
    /// # Errors
    /// Why it is refused; never the token itself.
    pub(super) fn verify(&self, token: &str, demands: &Demands) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(invalid("the token is too long"));
        }
        let header = decode_header(token).map_err(|_| invalid("the token is no signed JSON web token"))?;
        if header.crit.is_some_and(|names| !names.is_empty()) {
            return Err(invalid("the token demands extensions that are not supported"));
        }
        let named = |signer: &&Signer| header.kid.is_none() || signer.id == header.kid;
        let candidates: Vec<&Signer> = self.0.iter().filter(named).collect();
        if let (Some(id), true) = (&header.kid, candidates.is_empty()) {
            return Err(TokenError::UnknownKey(id.clone()));
        }
        let mut refusal = invalid("the token's algorithm is not one of its key's");
        let fit = candidates.into_iter().filter(|signer| signer.algorithms.contains(&header.alg));
        for signer in fit.take(TRIES_MAX) {
            match decode::<Map<String, Value>>(token, &signer.key, &demands.validation(header.alg)) {
                Ok(data) => return demands.read(&data.claims),
                Err(error) => {
                    let text = one_line(&error.to_string(), 100);
                    refusal = TokenError::Invalid(format!("the token is refused: {text}"));
                }
            }
        }
        Err(refusal)
    }
}

impl Demands {
    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        let mut required = Vec::new();
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.validate_aud = !self.audience.is_empty();
        if !self.issuer.is_empty() {
            validation.set_issuer(&[&self.issuer]);
            required.push("iss");
        }
        if !self.audience.is_empty() {
            validation.set_audience(&[&self.audience]);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        validation
    }

    /// The user and permissions of verified claims. The permissions are a list, or a text that holds one.
    fn read(&self, claims: &Map<String, Value>) -> Result<Claims, TokenError> {
        let claim = claims
            .get(&self.claim)
            .ok_or_else(|| TokenError::Invalid(format!("the token lacks the claim \"{}\"", self.claim)))?;
        let parsed: Value;
        let list = match claim {
            Value::String(text) => {
                parsed = serde_json::from_str(text).unwrap_or(Value::Null);
                parsed.as_array()
            }
            other => other.as_array(),
        };
        let malformed =
            || TokenError::Invalid(format!("the claim \"{}\" is no list of permissions", self.claim));
        let list = list.ok_or_else(malformed)?;
        if list.len() > PERMISSIONS_MAX {
            return Err(invalid("the token holds too many permissions"));
        }
        let mut permissions = Vec::with_capacity(list.len());
        for entry in list {
            let entry = entry.as_object().ok_or_else(malformed)?;
            let word =
                entry.get("action").and_then(Value::as_str).and_then(Word::of_word).ok_or_else(malformed)?;
            let path = match entry.get("path") {
                None | Some(Value::Null) => "",
                Some(path) => path.as_str().ok_or_else(malformed)?,
            };
            permissions.push((action(word), path.to_owned()));
        }
        let user = claims.get("sub").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Claims { user, permissions })
    }
}

impl Claims {
    /// Whether the token permits an action. Patterns are compiled only where they are asked; one that is none permits nothing.
    pub(super) fn permit(&self, action: access::Action, path: &str) -> bool {
        self.permissions.iter().any(|(permitted, rule)| {
            *permitted == action
                && (!action.has_path() || path_rule(rule).is_ok_and(|rule| rule.matches(path)))
        })
    }
}

fn signer(key: &Value) -> Option<Signer> {
    let key: Jwk = serde_json::from_value(key.clone()).ok()?;
    if key.common.public_key_use.as_ref().is_some_and(|of| *of != PublicKeyUse::Signature) {
        return None;
    }
    let mut algorithms = match &key.algorithm {
        AlgorithmParameters::RSA(_) => vec![
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(it) if it.curve == EllipticCurve::P256 => vec![Algorithm::ES256],
        AlgorithmParameters::EllipticCurve(it) if it.curve == EllipticCurve::P384 => vec![Algorithm::ES384],
        AlgorithmParameters::OctetKeyPair(it) if it.curve == EllipticCurve::Ed25519 => vec![Algorithm::EdDSA],
        AlgorithmParameters::OctetKey(_) => vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512],
        _ => return None,
    };
    if let Some(only) = key.common.key_algorithm {
        algorithms.retain(|algorithm| named(*algorithm) == only);
    }
    let decoding = DecodingKey::from_jwk(&key).ok()?;
    // Anybody can sign with an empty secret.
    let empty = matches!(&key.algorithm, AlgorithmParameters::OctetKey(it) if it.value.is_empty());
    (!algorithms.is_empty() && !empty).then(|| Signer { id: key.common.key_id, algorithms, key: decoding })
}

fn named(algorithm: Algorithm) -> KeyAlgorithm {
    match algorithm {
        Algorithm::HS256 => KeyAlgorithm::HS256,
        Algorithm::HS384 => KeyAlgorithm::HS384,
        Algorithm::HS512 => KeyAlgorithm::HS512,
        Algorithm::ES256 => KeyAlgorithm::ES256,
        Algorithm::ES384 => KeyAlgorithm::ES384,
        Algorithm::RS256 => KeyAlgorithm::RS256,
        Algorithm::RS384 => KeyAlgorithm::RS384,
        Algorithm::RS512 => KeyAlgorithm::RS512,
        Algorithm::PS256 => KeyAlgorithm::PS256,
        Algorithm::PS384 => KeyAlgorithm::PS384,
        Algorithm::PS512 => KeyAlgorithm::PS512,
        Algorithm::EdDSA => KeyAlgorithm::EdDSA,
    }
}
