//! From the configuration to the engine's settings. The one place that knows both.

use crate::auth::rules;
use crate::config::values::{AuthMethod, Encryption, RtspAuthMethod, RtspTransport};
use crate::config::{Configuration, Fault, Faults, Global, PathConfiguration};
use crate::processors;
use headwater_engine::settings::{Access, Bounds, Http, PathSettings, Paths, Rtmp, Rtsp, Settings, Source};
use regex::Regex;
use std::collections::HashMap;
use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

/// What the engine is to do. `tls` is the RTSPS listener's, where the configuration wants one; `before` is what holds
/// now, so that unchanged paths and rules stay the same objects.
///
/// # Errors
/// Addresses that cannot be resolved, hashes and expressions that are none.
pub(crate) fn of(
    configuration: &Configuration,
    tls: Option<Arc<rustls::ServerConfig>>,
    before: Option<(&Configuration, &Settings)>,
) -> Result<Settings, Faults> {
    let global = &configuration.global;
    let mut faults = Vec::new();
    let rtsp = rtsp(global, tls, &mut faults);
    let kept = before.filter(|(old, _)| same_paths(old, configuration));
    let paths = match kept {
        Some((_, settings)) => Arc::clone(&settings.paths),
        None => Arc::new(paths(configuration)),
    };
    let kept = before.filter(|(old, _)| same_access(&old.global, global));
    let access = match kept {
        Some((_, settings)) => Arc::clone(&settings.access),
        None => Arc::new(access(global).unwrap_or_else(|found| {
            faults.extend(found.0);
            Access::Rules(Vec::new())
        })),
    };
    if !faults.is_empty() {
        return Err(Faults(faults));
    }
    let processors = processors::allowed();
    Ok(Settings {
        shards: match global.shards {
            0 => processors.len().saturating_sub(1).max(1),
            shards => shards as usize,
        },
        processors,
        rtsp,
        rtmp: Rtmp::default(),
        http: Http::default(),
        paths,
        access,
        read_timeout: global.read_timeout,
        write_timeout: global.write_timeout,
        bounds: Bounds {
            connections: global.connections_max as usize,
            paths: global.paths_max as usize,
            request_rate: global.request_rate,
            request_burst: global.request_burst,
            stream_log_bytes: global.stream_log_size.0 as usize,
        },
    })
}

/// Whether the configuration wants an RTSPS listener.
pub(crate) fn wants_rtsps(global: &Global) -> bool {
    global.rtsp && global.rtsp_encryption != Encryption::No
}

fn rtsp(global: &Global, tls: Option<Arc<rustls::ServerConfig>>, faults: &mut Vec<Fault>) -> Rtsp {
    let mut address = |key: &str, text: &str| match resolve(text) {
        Ok(address) => Some(address),
        Err(message) => {
            faults.push(Fault { key: key.to_owned(), message, ..Fault::default() });
            None
        }
    };
    let plain = global.rtsp && global.rtsp_encryption != Encryption::Strict;
    let udp = plain && global.rtsp_transports.contains(&RtspTransport::Udp);
    let rtp = if udp { address("rtpAddress", &global.rtp_address) } else { None };
    let rtcp = if udp { address("rtcpAddress", &global.rtcp_address) } else { None };
    let digest = global.rtsp_auth_methods.contains(&RtspAuthMethod::Digest);
    Rtsp {
        address: if plain { address("rtspAddress", &global.rtsp_address) } else { None },
        secure: tls.and_then(|tls| Some((address("rtspsAddress", &global.rtsps_address)?, tls))),
        datagrams: rtp.zip(rtcp),
        interleaved: global.rtsp_transports.contains(&RtspTransport::Tcp),
        datagram_buffer: global.udp_read_buffer_size as usize,
        session_timeout: global.rtsp_session_timeout,
        trusted_proxies: global.rtsp_trusted_proxies.0.clone(),
        basic: global.rtsp_auth_methods.contains(&RtspAuthMethod::Basic),
        // The others never see the password that Digest proves.
        digest: digest && global.auth_method == AuthMethod::Internal,
    }
}

/// `:8554`, `127.0.0.1:8554`, `[::1]:8554`, `name:8554`.
fn resolve(text: &str) -> Result<SocketAddr, String> {
    if let Some(port) = text.strip_prefix(':') {
        let port = port.parse().map_err(|_| format!("{text:?} has no valid port"))?;
        return Ok(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    }
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let found = text.to_socket_addrs().map_err(|error| format!("{text:?} is no address: {error}"))?.next();
    found.ok_or_else(|| format!("{text:?} names no address"))
}

fn access(global: &Global) -> Result<Access, Faults> {
    let ask = |permissions, key| {
        let exclude = rules::exclusions(permissions, key)?;
        Ok(Access::Ask { exclude, patience: global.auth_timeout })
    };
    match global.auth_method {
        AuthMethod::Internal => rules::users(global).map(Access::Rules),
        AuthMethod::Http => ask(&global.auth_http_exclude, "authHTTPExclude"),
        AuthMethod::Jwt => ask(&global.auth_jwt_exclude, "authJWTExclude"),
    }
}

fn same_access(old: &Global, new: &Global) -> bool {
    old.auth_method == new.auth_method
        && old.auth_internal_users == new.auth_internal_users
        && old.auth_http_exclude == new.auth_http_exclude
        && old.auth_jwt_exclude == new.auth_jwt_exclude
        && old.auth_timeout == new.auth_timeout
        // An answer of another server is no answer any more.
        && (&old.auth_http_address, &old.auth_http_fingerprint) == (&new.auth_http_address, &new.auth_http_fingerprint)
        && (&old.auth_jwt_jwks, &old.auth_jwt_issuer) == (&new.auth_jwt_jwks, &new.auth_jwt_issuer)
        && old.auth_jwt_jwks_fingerprint == new.auth_jwt_jwks_fingerprint
        && (&old.auth_jwt_audience, &old.auth_jwt_claim_key) == (&new.auth_jwt_audience, &new.auth_jwt_claim_key)
}

fn same_paths(old: &Configuration, new: &Configuration) -> bool {
    old.paths.len() == new.paths.len()
        && old.paths.iter().zip(&new.paths).all(|((name, a), (other, b))| {
            name == other && (Arc::ptr_eq(a, b) || path(&a.effective) == path(&b.effective))
        })
}

/// The engine's table of paths. Names first, then expressions in alphabetical order, then whatever is left.
fn paths(configuration: &Configuration) -> Paths {
    let mut table = Paths { exact: HashMap::new(), patterns: Vec::new(), others: None };
    for (name, configured) in &configuration.paths {
        let settings = Arc::new(path(&configured.effective));
        match name.strip_prefix('~') {
            _ if matches!(name.as_str(), "all" | "all_others" | "~^.*$") => table.others = Some(settings),
            Some(expression) => {
                // The configuration was checked; an expression that fails all the same matches nothing.
                if let Ok(expression) = Regex::new(expression) {
                    table.patterns.push((expression, settings));
                }
            }
            None => {
                table.exact.insert(name.clone(), settings);
            }
        }
    }
    table
}

fn path(path: &PathConfiguration) -> PathSettings {
    PathSettings {
        delivery_window: path.delivery_window,
        publisher_override: path.override_publisher,
        publisher_grace: path.publisher_grace,
        readers_max: path.max_readers as usize,
        source: match path.source.as_str() {
            "publisher" => Source::Publisher,
            "redirect" => Source::Redirect(path.source_redirect.clone()),
            other => Source::Unsupported(other.to_owned()),
        },
        fallback: (!path.fallback.is_empty()).then(|| path.fallback.clone()),
    }
}
