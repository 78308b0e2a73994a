//! Authentication: internal users, an HTTP server, or tokens, asked by shards and by the control ports.
//!
//! Source: MediaMTX's `authMethod`. Requests are decided side by side: what is slow (argon2, an authentication server, a
//! key set) has bounded places to work and to wait in, and delays nobody who does not need it. The first rule that lets
//! somebody in holds; a fault of ours never lets anybody in.
//!
//! Tokens are taken from `Authorization: Bearer`, else from the password, else, with RTSP, RTMP and endless streams over
//! HTTP, from `token` or `jwt` of the query. The deprecated `authJWTInHTTPQuery` has no effect: tokens in addresses of the control ports reach logs.

mod counters;
mod hashes;
mod key_set;
mod memory;
pub(crate) mod rules;
mod server;
mod token;

#[cfg(test)]
mod tests;

pub(crate) use counters::{AuthCounters, BUCKETS, Outcome};
pub(crate) use rules::{exclusions, users};

use crate::client::{ClientError, client, one_line};
use crate::config::values::{AuthMethod, InternalUser, Permission};
use crate::config::{Configuration, Global};
use arc_swap::ArcSwap;
use counters::count;
use hashes::{Hashes, Verifiers};
use headwater_engine::access::{self, Decision, Request, Verdict};
use key_set::KeySet;
use server::{Asks, Server};
use std::sync::Arc;
use std::time::{Duration, Instant};
use token::{Demands, TokenError};

/// Decides who may do what.
pub(crate) struct Authority {
    backend: ArcSwap<Backend>,
    verifiers: Verifiers,
    asks: Arc<Asks>,
    counters: Arc<AuthCounters>,
}

/// One configuration's way to decide.
struct Backend {
    settings: Settings,
    method: Method,
}

enum Method {
    Internal {
        users: Vec<access::User>,
        hashes: Hashes,
    },
    Http {
        server: Arc<Server>,
        exclusions: Vec<access::Permission>,
    },
    Jwt {
        key_set: Arc<KeySet>,
        demands: Demands,
        exclusions: Vec<access::Permission>,
    },
    /// The settings are unusable: nobody is let in.
    Broken(String),
}

/// The keys that authentication depends on.
#[derive(Clone, PartialEq, Default)]
struct Settings {
    method: AuthMethod,
    users: Vec<InternalUser>,
    http_address: String,
    http_fingerprint: String,
    http_exclude: Vec<Permission>,
    jwks: String,
    jwks_fingerprint: String,
    jwt_exclude: Vec<Permission>,
    demands: Demands,
    timeout: Duration,
    cache: Duration,
}

impl Default for Authority {
    /// Lets nobody in until it is configured.
    fn default() -> Authority {
        let method = Method::Broken("authentication is not configured yet".to_owned());
        Authority {
            backend: ArcSwap::from_pointee(Backend { settings: Settings::default(), method }),
            verifiers: Verifiers::default(),
            asks: Arc::default(),
            counters: Arc::default(),
        }
    }
}

impl Authority {
    /// Takes over the authentication settings of a configuration. Requests that are being decided go on as they began.
    /// What was remembered is forgotten if any of the settings changed; the same key set is not fetched again.
    pub(crate) fn configure(&self, configuration: &Configuration) {
        let settings = Settings::of(&configuration.global);
        let old = self.backend.load();
        if settings == old.settings && !matches!(old.method, Method::Broken(_)) {
            return;
        }
        let method = self.method(&configuration.global, &settings, &old).unwrap_or_else(|reason| {
            tracing::error!("authentication cannot be set up, so nobody is let in: {reason}");
            Method::Broken(reason)
        });
        self.backend.store(Arc::new(Backend { settings, method }));
    }

    /// Decides one request. Cheap to have many of at once; never takes longer than `authTimeout`.
    pub(crate) async fn check(&self, request: Request) -> Verdict {
        let started = Instant::now();
        let backend = self.backend.load_full();
        let timeout = backend.settings.timeout;
        let verdict = match &backend.method {
            Method::Broken(reason) => Verdict::Unavailable { reason: reason.clone() },
            _ if timeout.is_zero() => self.decide(&backend, request).await,
            _ => tokio::time::timeout(timeout, self.decide(&backend, request)).await.unwrap_or_else(|_| {
                count(&self.counters.timed_out);
                Verdict::Unavailable { reason: format!("not decided within {timeout:?}") }
            }),
        };
        self.counters.decided(backend.settings.method, &verdict, started.elapsed());
        verdict
    }

    /// Fetches the JWT key set anew.
    ///
    /// # Errors
    /// It cannot be fetched or holds no usable key; the old one stays.
    pub(crate) async fn refresh_jwks(&self) -> Result<(), String> {
        let backend = self.backend.load_full();
        match &backend.method {
            Method::Jwt { key_set, .. } => key_set.refresh().await,
            Method::Broken(reason) => Err(reason.clone()),
            Method::Internal { .. } | Method::Http { .. } => Ok(()),
        }
    }

    /// What came of requests so far.
    pub(crate) fn counters(&self) -> &AuthCounters {
        &self.counters
    }

    async fn decide(&self, backend: &Backend, request: Request) -> Verdict {
        match &backend.method {
            Method::Internal { users, hashes } => self.decide_internal(users, hashes, &request).await,
            Method::Http { exclusions, .. } | Method::Jwt { exclusions, .. }
                if exclusions.iter().any(|rule| rule.covers(request.action, &request.path)) =>
            {
                count(&self.counters.excluded);
                Verdict::Allowed { user: String::new() }
            }
            Method::Http { server, .. } => {
                let token = token_of(&request);
                Arc::clone(server).decide(request, token).await
            }
            Method::Jwt { key_set, demands, .. } => decide_by_token(key_set, demands, &request).await,
            Method::Broken(reason) => Verdict::Unavailable { reason: reason.clone() },
        }
    }

    async fn decide_internal(&self, users: &[access::User], hashes: &Hashes, request: &Request) -> Verdict {
        let rules = match access::decide(users, request) {
            Decision::Verdict(Verdict::Denied { .. }) => return refusal(users, request),
            Decision::Verdict(verdict) => return verdict,
            Decision::NeedsHash(rules) => rules,
        };
        for rule in rules {
            let Some(expected) = users.get(rule).and_then(|user| user.credentials.as_ref()) else { continue };
            match hashes.verify(expected, &request.credentials, &self.verifiers, &self.counters).await {
                Ok(true) => return Verdict::Allowed { user: request.credentials.user.clone() },
                Ok(false) => {}
                Err(hashes::Overloaded) => {
                    count(&self.counters.overloaded);
                    let reason = "too many requests wait for a password to be verified".to_owned();
                    return Verdict::Unavailable { reason };
                }
            }
        }
        refusal(users, request)
    }

    fn method(&self, global: &Global, settings: &Settings, old: &Backend) -> Result<Method, String> {
        let faults = |faults: crate::config::Faults| faults.to_string();
        match settings.method {
            AuthMethod::Internal => {
                Ok(Method::Internal { users: users(global).map_err(faults)?, hashes: Hashes::new() })
            }
            AuthMethod::Http => {
                let exclusions = exclusions(&settings.http_exclude, "authHTTPExclude").map_err(faults)?;
                let client = client(&settings.http_address, &settings.http_fingerprint)
                    .map_err(|error| format!("authHTTPAddress: {error}"))?;
                let (asks, counters) = (Arc::clone(&self.asks), Arc::clone(&self.counters));
                let (address, timeout) = (&settings.http_address, settings.patience());
                let server = Server::new(client, address, timeout, settings.cache, asks, counters);
                Ok(Method::Http { server: Arc::new(server), exclusions })
            }
            AuthMethod::Jwt => {
                let exclusions = exclusions(&settings.jwt_exclude, "authJWTExclude").map_err(faults)?;
                let key_set = match &old.method {
                    Method::Jwt { key_set, .. } if settings.same_key_set(&old.settings) => {
                        Arc::clone(key_set)
                    }
                    _ => self.key_set(settings).map_err(|error| format!("authJWTJWKS: {error}"))?,
                };
                key_set.start();
                Ok(Method::Jwt { key_set, demands: settings.demands.clone(), exclusions })
            }
        }
    }

    fn key_set(&self, settings: &Settings) -> Result<Arc<KeySet>, ClientError> {
        let client = client(&settings.jwks, &settings.jwks_fingerprint)?;
        Ok(KeySet::new(client, &settings.jwks, settings.patience(), Arc::clone(&self.counters)))
    }
}

impl Settings {
    fn of(global: &Global) -> Settings {
        Settings {
            method: global.auth_method,
            users: global.auth_internal_users.clone(),
            http_address: global.auth_http_address.clone(),
            http_fingerprint: global.auth_http_fingerprint.clone(),
            http_exclude: global.auth_http_exclude.clone(),
            jwks: global.auth_jwt_jwks.clone(),
            jwks_fingerprint: global.auth_jwt_jwks_fingerprint.clone(),
            jwt_exclude: global.auth_jwt_exclude.clone(),
            demands: Demands {
                issuer: global.auth_jwt_issuer.clone(),
                audience: global.auth_jwt_audience.clone(),
                claim: global.auth_jwt_claim_key.clone(),
            },
            timeout: global.auth_timeout,
            cache: global.auth_cache,
        }
    }

    fn same_key_set(&self, other: &Settings) -> bool {
        (&self.jwks, &self.jwks_fingerprint, self.timeout)
            == (&other.jwks, &other.jwks_fingerprint, other.timeout)
    }

    /// How long a server is waited for, also where `authTimeout` is 0 (none).
    fn patience(&self) -> Duration {
        const LONGEST: Duration = Duration::from_secs(120);
        if self.timeout.is_zero() { LONGEST } else { self.timeout }
    }
}

async fn decide_by_token(key_set: &Arc<KeySet>, demands: &Demands, request: &Request) -> Verdict {
    let token = token_of(request);
    if token.is_empty() {
        return if request.credentials.is_empty() {
            Verdict::AskCredentials
        } else {
            Verdict::Denied { reason: "no token was shown".to_owned() }
        };
    }
    let keys = match key_set.keys().await {
        Ok(keys) => keys,
        Err(reason) => return Verdict::Unavailable { reason },
    };
    let mut result = keys.verify(&token, demands);
    if let Err(TokenError::UnknownKey(id)) = &result
        && let Some(keys) = key_set.keys_with(id).await
    {
        result = keys.verify(&token, demands);
    }
    match result {
        Err(error) => Verdict::Denied { reason: error.to_string() },
        Ok(claims) if claims.permit(request.action, &request.path) => Verdict::Allowed { user: claims.user },
        Ok(claims) => {
            let user = one_line(&claims.user, 64);
            Verdict::Denied {
                reason: format!("the token of \"{user}\" does not permit this: {}", wish(request)),
            }
        }
    }
}

/// The token that a request shows, as MediaMTX finds it; empty where there is none.
fn token_of(request: &Request) -> String {
    let credentials = &request.credentials;
    if !credentials.token.is_empty() {
        return credentials.token.clone();
    }
    if !credentials.password.is_empty() {
        return credentials.password.clone();
    }
    // A browser's WebSocket cannot send header fields of its own, and that is how it reads FLV over HTTP.
    if !matches!(request.protocol, "rtsp" | "rtsps" | "rtmp" | "rtmps" | "http" | "https") {
        return String::new();
    }
    let only = |name: &str| {
        let mut values = url::form_urlencoded::parse(request.query.as_bytes()).filter(|(key, _)| key == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(value.into_owned()),
            _ => None,
        }
    };
    only("token").or_else(|| only("jwt")).unwrap_or_default()
}

/// Why the rules let a request not in.
fn refusal(users: &[access::User], request: &Request) -> Verdict {
    let concerned = users.iter().any(|user| user.concerns(request.action, &request.path, request.ip));
    let user = one_line(&request.credentials.user, 64);
    let reason = match (concerned, user.is_empty()) {
        (false, _) => format!("no user of authInternalUsers is permitted this: {}", wish(request)),
        (true, false) => format!("wrong name or password for user \"{user}\""),
        (true, true) => "a password or token without a user name".to_owned(),
    };
    Verdict::Denied { reason }
}

/// What a request asks for, for the log.
fn wish(request: &Request) -> String {
    let ip = request.ip.to_canonical();
    if request.action.has_path() {
        format!("{} \"{}\" from {ip}", request.action.word(), one_line(&request.path, 128))
    } else {
        format!("{} from {ip}", request.action.word())
    }
}
