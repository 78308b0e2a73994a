//! Authentication: Basic (RFC 7617), Digest (RFC 7616 with MD5 and SHA-256, RFC 2069 without `qop`), Bearer (RFC 6750).
//!
//! - [`Challenge`] asks, [`Authorization`] answers and is verified, [`Authenticator`] answers as a client.
//!
//! Nonces are given by the caller. Left out: `auth-int`, the `-sess` algorithms, `userhash`, `Authentication-Info`. The
//! `nc` of a client is not checked: a nonce belongs to one connection, which keeps the order of its requests.

mod fields;

use super::error::Error;
use super::message::Status;
use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use fields::{Fields, quote};
use md5::Digest as _;
use std::fmt;
use subtle::ConstantTimeEq as _;

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A way to authenticate that a server can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Basic,
    Digest,
}

/// The hash of Digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    #[default]
    Md5,
    Sha256,
}

impl Algorithm {
    /// `MD5` when absent.
    fn parse(value: Option<&str>) -> Result<Algorithm, Error> {
        match value.map(str::to_ascii_uppercase).as_deref() {
            None | Some("" | "MD5") => Ok(Algorithm::Md5),
            Some("SHA-256") => Ok(Algorithm::Sha256),
            Some(_) => Err(Error::unsupported("digest algorithm", Status::UNAUTHORIZED)),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
        }
    }

    /// The hash of `parts` joined by colons, in lower-case hexadecimal.
    fn hash(self, parts: &[&str]) -> String {
        let text = parts.join(":");
        match self {
            Algorithm::Md5 => hexadecimal(&md5::Md5::digest(text)),
            Algorithm::Sha256 => hexadecimal(&sha2::Sha256::digest(text)),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a `WWW-Authenticate` header asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    pub realm: Box<str>,
    /// Digest only.
    pub nonce: Box<str>,
    /// Digest only.
    pub algorithm: Algorithm,
    /// Digest only: whether `qop=auth` is offered. Without, the client answers as RFC 2069 says, which every client can.
    pub qop_auth: bool,
    /// Digest only: to be sent back as it is.
    pub opaque: Option<Box<str>>,
    /// Digest only: the credentials were right, the nonce was not.
    pub stale: bool,
}

impl Challenge {
    /// A challenge that every client understands: MD5, no `qop`. The nonce must be hard to guess.
    pub fn new(realm: &str, nonce: &str) -> Challenge {
        Challenge {
            realm: realm.into(),
            nonce: nonce.into(),
            algorithm: Algorithm::Md5,
            qop_auth: false,
            opaque: None,
            stale: false,
        }
    }

    /// The value of `WWW-Authenticate`; a server that takes both schemes sends one header for each.
    pub fn header_value(&self, scheme: Scheme) -> String {
        let realm = quote(&self.realm);
        if scheme == Scheme::Basic {
            return format!("Basic realm={realm}");
        }
        let mut text = format!("Digest realm={realm}, nonce={}", quote(&self.nonce));
        if self.algorithm != Algorithm::Md5 {
            text.push_str(&format!(", algorithm={}", self.algorithm.as_str()));
        }
        if self.qop_auth {
            text.push_str(", qop=\"auth\"");
        }
        if let Some(opaque) = &self.opaque {
            text.push_str(&format!(", opaque={}", quote(opaque)));
        }
        if self.stale {
            text.push_str(", stale=true");
        }
        text
    }

    /// The challenges in one header value that can be answered, in its order; others are skipped.
    pub fn parse_list(value: &str) -> Vec<(Scheme, Challenge)> {
        Fields::parse_list(value).iter().filter_map(Challenge::from_fields).collect()
    }

    fn from_fields(fields: &Fields) -> Option<(Scheme, Challenge)> {
        let mut challenge = Challenge::new(fields.get("realm").unwrap_or(""), "");
        if fields.scheme.eq_ignore_ascii_case("Basic") {
            return Some((Scheme::Basic, challenge));
        }
        if !fields.scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        challenge.nonce = fields.get("nonce")?.into();
        challenge.algorithm = Algorithm::parse(fields.get("algorithm")).ok()?;
        if let Some(qop) = fields.get("qop").filter(|qop| !qop.trim().is_empty()) {
            challenge.qop_auth = qop.split(',').any(|qop| qop.trim().eq_ignore_ascii_case("auth"));
            if !challenge.qop_auth {
                return None;
            }
        }
        challenge.opaque = fields.get("opaque").map(Box::from);
        challenge.stale = fields.get("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true"));
        Some((Scheme::Digest, challenge))
    }
}

/// The quality of protection `auth` of RFC 7616: the client's nonce and its count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QopAuth {
    pub cnonce: Box<str>,
    /// `nc`, eight hexadecimal digits as text, since it is hashed as it was written.
    pub count: Box<str>,
}

/// An `Authorization` header.
#[derive(Clone, PartialEq, Eq)]
pub enum Authorization {
    Basic {
        user: Box<str>,
        password: Box<str>,
    },
    Digest {
        username: Box<str>,
        realm: Box<str>,
        nonce: Box<str>,
        uri: Box<str>,
        /// Hexadecimal.
        response: Box<str>,
        algorithm: Algorithm,
        /// `None`: as RFC 2069.
        qop: Option<QopAuth>,
        opaque: Option<Box<str>>,
    },
    Bearer {
        token: Box<str>,
    },
}

impl fmt::Debug for Authorization {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Authorization::Basic { user, .. } => write!(f, "Basic({user:?})"),
            Authorization::Digest { username, realm, .. } => write!(f, "Digest({username:?}, {realm:?})"),
            Authorization::Bearer { .. } => f.write_str("Bearer"),
        }
    }
}

impl Authorization {
    /// Reads a header value.
    ///
    /// # Errors
    /// [`Error::Invalid`] when fields are missing or not decodable; [`Error::Unsupported`] (401) for other schemes,
    /// algorithms and `qop`.
    pub fn parse(value: &str) -> Result<Authorization, Error> {
        let value = value.trim();
        let (scheme, rest) = value.split_once([' ', '\t']).unwrap_or((value, ""));
        let rest = rest.trim();
        match scheme.to_ascii_lowercase().as_str() {
            "basic" => {
                let decoded = BASE64.decode(rest).map_err(|_| Error::invalid("Authorization"))?;
                let text = String::from_utf8(decoded).map_err(|_| Error::invalid("Authorization"))?;
                let (user, password) = text.split_once(':').ok_or(Error::invalid("Authorization"))?;
                Ok(Authorization::Basic { user: user.into(), password: password.into() })
            }
            "bearer" if !rest.is_empty() => Ok(Authorization::Bearer { token: rest.into() }),
            "bearer" => Err(Error::invalid("Authorization")),
            "digest" => {
                let list = Fields::parse_list(value);
                Authorization::from_fields(list.first().ok_or(Error::invalid("Authorization"))?)
            }
            _ => Err(Error::unsupported("authorization scheme", Status::UNAUTHORIZED)),
        }
    }

    fn from_fields(fields: &Fields) -> Result<Authorization, Error> {
        let field = |key| fields.get(key).map(Box::<str>::from).ok_or(Error::invalid("Authorization"));
        let qop = match fields.get("qop").filter(|qop| !qop.is_empty()) {
            Some(qop) if qop.eq_ignore_ascii_case("auth") => {
                let count = field("nc")?;
                if count.is_empty() || !count.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(Error::invalid("Authorization"));
                }
                Some(QopAuth { cnonce: field("cnonce")?, count })
            }
            Some(_) => return Err(Error::unsupported("digest qop", Status::UNAUTHORIZED)),
            None => None,
        };
        Ok(Authorization::Digest {
            username: field("username")?,
            realm: field("realm")?,
            nonce: field("nonce")?,
            uri: field("uri")?,
            response: field("response")?,
            algorithm: Algorithm::parse(fields.get("algorithm"))?,
            qop,
            opaque: fields.get("opaque").map(Box::from),
        })
    }

    /// The header value.
    pub fn write(&self) -> String {
        match self {
            Authorization::Basic { user, password } => {
                format!("Basic {}", BASE64.encode(format!("{user}:{password}")))
            }
            Authorization::Bearer { token } => format!("Bearer {token}"),
            Authorization::Digest { username, realm, nonce, uri, response, algorithm, qop, opaque } => {
                let [username, realm, nonce, uri, response] =
                    [username, realm, nonce, uri, response].map(|field| quote(field));
                let mut text = format!(
                    "Digest username={username}, realm={realm}, nonce={nonce}, uri={uri}, response={response}"
                );
                if *algorithm != Algorithm::Md5 {
                    text.push_str(&format!(", algorithm={}", algorithm.as_str()));
                }
                if let Some(QopAuth { cnonce, count }) = qop {
                    text.push_str(&format!(", qop=auth, nc={count}, cnonce={}", quote(cnonce)));
                }
                if let Some(opaque) = opaque {
                    text.push_str(&format!(", opaque={}", quote(opaque)));
                }
                text
            }
        }
    }

    /// Whether this proves knowledge of `user` and `password`: for Digest, of a challenge with `nonce` and `realm`, and a
    /// request with `method`. Takes as long for a wrong answer as for the right one. A Bearer token proves nothing here.
    pub fn verify(&self, method: &str, nonce: &str, realm: &str, user: &str, password: &str) -> bool {
        match self {
            Authorization::Basic { user: given_user, password: given_password } => {
                bool::from(equal(given_user, user) & equal(given_password, password))
            }
            Authorization::Digest {
                username,
                realm: given_realm,
                nonce: given_nonce,
                uri,
                response,
                algorithm,
                qop,
                ..
            } => {
                let secret = algorithm.hash(&[user, realm, password]);
                let expected = digest(*algorithm, &secret, nonce, qop.as_ref(), method, uri);
                let challenge = equal(given_realm, realm) & equal(given_nonce, nonce);
                let response = equal(&response.to_ascii_lowercase(), &expected);
                bool::from(challenge & equal(username, user) & response)
            }
            Authorization::Bearer { .. } => false,
        }
    }
}

fn equal(a: &str, b: &str) -> subtle::Choice {
    a.as_bytes().ct_eq(b.as_bytes())
}

/// `response` of RFC 7616, section 3.4.1; `secret` is the hash of user, realm and password.
fn digest(
    algorithm: Algorithm,
    secret: &str,
    nonce: &str,
    qop: Option<&QopAuth>,
    method: &str,
    uri: &str,
) -> String {
    let request = algorithm.hash(&[method, uri]);
    match qop {
        Some(QopAuth { cnonce, count }) => algorithm.hash(&[secret, nonce, count, cnonce, "auth", &request]),
        None => algorithm.hash(&[secret, nonce, &request]),
    }
}

/// The client's side: takes a challenge once and authorizes every request after it.
#[derive(Clone)]
pub struct Authenticator {
    user: Box<str>,
    password: Box<str>,
    challenge: Option<(Scheme, Challenge)>,
    /// Requests authorized with the present nonce.
    count: u32,
}

impl fmt::Debug for Authenticator {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authenticator({:?}, {:?})", self.user, self.challenge)
    }
}

impl Authenticator {
    pub fn new(user: &str, password: &str) -> Authenticator {
        Authenticator { user: user.into(), password: password.into(), challenge: None, count: 0 }
    }

    /// Takes the strongest challenge of the `WWW-Authenticate` values: Digest with SHA-256, Digest with MD5, Basic.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when none can be answered.
    pub fn take<'a>(&mut self, values: impl Iterator<Item = &'a str>) -> Result<(), Error> {
        let strength = |(scheme, challenge): &(Scheme, Challenge)| match (scheme, challenge.algorithm) {
            (Scheme::Basic, _) => 0,
            (Scheme::Digest, Algorithm::Md5) => 1,
            (Scheme::Digest, Algorithm::Sha256) => 2,
        };
        let best = values.flat_map(Challenge::parse_list).max_by_key(strength);
        self.challenge = Some(best.ok_or(Error::unsupported("challenge", Status::UNAUTHORIZED))?);
        self.count = 0;
        Ok(())
    }

    /// The `Authorization` value of a request; `None` before a challenge.
    pub fn authorize(&mut self, method: &str, uri: &str) -> Option<String> {
        let (scheme, challenge) = self.challenge.as_ref()?;
        if *scheme == Scheme::Basic {
            let (user, password) = (self.user.clone(), self.password.clone());
            return Some(Authorization::Basic { user, password }.write());
        }
        let Challenge { realm, nonce, algorithm, qop_auth, opaque, .. } = challenge;
        self.count += 1;
        let qop = qop_auth.then(|| {
            // No randomness in here: the server's nonce and the secret make a value that others cannot choose.
            let cnonce = algorithm.hash(&["cnonce", nonce, &self.user, &self.password]);
            QopAuth { cnonce: cnonce[..16].into(), count: format!("{:08x}", self.count).into() }
        });
        let secret = algorithm.hash(&[&self.user, realm, &self.password]);
        let response = digest(*algorithm, &secret, nonce, qop.as_ref(), method, uri);
        let authorization = Authorization::Digest {
            username: self.user.clone(),
            realm: realm.clone(),
            nonce: nonce.clone(),
            uri: uri.into(),
            response: response.into(),
            algorithm: *algorithm,
            qop,
            opaque: opaque.clone(),
        };
        Some(authorization.write())
    }
}
