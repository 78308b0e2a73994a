//! From the configuration to the engine's settings. The one place that knows both.

use crate::auth::rules;
use crate::config::values::{AuthMethod, Encryption, HlsVariant, RtspAuthMethod, RtspTransport};
use crate::config::{Configuration, Fault, Faults, Global, PathConfiguration};
use crate::media_tls::{MediaTls, SecureListener};
use crate::{pages, processors};
use headwater_engine::settings::{
    self, Access, Bounds, Hls, Http, PathSettings, Paths, Rtmp, Rtsp, Settings, Source,
};
use regex::Regex;
use std::collections::HashMap;
use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;

/// What the engine is to do. `tls` is what the configuration wants of it; `before` is what holds now, so that unchanged
/// paths and rules stay the same objects.
///
/// # Errors
/// Addresses that cannot be resolved, hashes and expressions that are none.
pub(crate) fn of(
    configuration: &Configuration,
    tls: &MediaTls,
    before: Option<(&Configuration, &Settings)>,
) -> Result<Settings, Faults> {
    let global = &configuration.global;
    let mut faults = Vec::new();
    let rtsp = rtsp(global, tls, &mut faults);
    let rtmp = rtmp(global, tls, &mut faults);
    let http = http(global, tls, &mut faults);
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
        rtmp,
        http,
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
            datagram_bytes: global.udp_max_payload_size as u16,
        },
    })
}

fn rtsp(global: &Global, tls: &MediaTls, faults: &mut Vec<Fault>) -> Rtsp {
    let mut address = |key: &str, text: &str| address(key, text, faults);
    let plain = global.rtsp && global.rtsp_encryption != Encryption::Strict;
    let udp = plain && global.rtsp_transports.contains(&RtspTransport::Udp);
    let rtp = if udp { address("rtpAddress", &global.rtp_address) } else { None };
    let rtcp = if udp { address("rtcpAddress", &global.rtcp_address) } else { None };
    let digest = global.rtsp_auth_methods.contains(&RtspAuthMethod::Digest);
    let tls = tls.of(SecureListener::Rtsps);
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

fn rtmp(global: &Global, tls: &MediaTls, faults: &mut Vec<Fault>) -> Rtmp {
    let mut address = |key: &str, text: &str| address(key, text, faults);
    let plain = global.rtmp && global.rtmp_encryption != Encryption::Strict;
    let tls = tls.of(SecureListener::Rtmps);
    Rtmp {
        address: if plain { address("rtmpAddress", &global.rtmp_address) } else { None },
        secure: tls.and_then(|tls| Some((address("rtmpsAddress", &global.rtmps_address)?, tls))),
        trusted_proxies: global.rtmp_trusted_proxies.0.clone(),
    }
}

fn http(global: &Global, tls: &MediaTls, faults: &mut Vec<Fault>) -> Http {
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    Http {
        address: if global.hls { address("hlsAddress", &global.hls_address, faults) } else { None },
        tls: tls.of(SecureListener::Https),
        allow_origins: global.hls_allow_origins.clone(),
        trusted_proxies: global.hls_trusted_proxies.0.clone(),
        hls: Hls {
            always_remux: global.hls_always_remux,
            variant: match global.hls_variant {
                HlsVariant::Mpegts => settings::HlsVariant::MpegTs,
                HlsVariant::Fmp4 => settings::HlsVariant::Fmp4,
                HlsVariant::LowLatency => settings::HlsVariant::LowLatency,
            },
            segment_count: global.hls_segment_count as usize,
            segment_duration: global.hls_segment_duration,
            part_duration: global.hls_part_duration,
            segment_bytes_max: global.hls_segment_max_size.0 as usize,
            directory: some(&global.hls_directory).map(PathBuf::from),
            muxer_close_after: global.hls_muxer_close_after,
            cdn_secret: some(&global.hls_cdn_secret),
        },
        pages: pages::all(),
    }
}

/// The address that a key names, or a fault.
fn address(key: &str, text: &str, faults: &mut Vec<Fault>) -> Option<SocketAddr> {
    let address = resolve(text);
    address.map_err(|message| faults.push(Fault { key: key.to_owned(), message, ..Fault::default() })).ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_configuration_rtmp_and_hls_are_on() {
        let settings = of(&Configuration::default(), &MediaTls::default(), None).expect("settings");
        let port = |address: Option<SocketAddr>| address.map(|address| address.port());
        assert_eq!((port(settings.rtmp.address), port(settings.http.address)), (Some(1935), Some(8888)));
        assert!(settings.rtmp.secure.is_none() && settings.http.tls.is_none());
        assert_eq!(settings.http.hls, Hls::default());
        assert_eq!(settings.http.allow_origins, ["*"]);
        assert!(settings.http.pages.contains_key("index.html"));
    }

    #[test]
    fn the_keys_of_rtmp_and_hls_reach_the_engine() {
        let mut configuration = Configuration::default();
        let global = &mut configuration.global;
        (global.rtmp_encryption, global.rtmp_address) = (Encryption::Strict, "127.0.0.1:7".to_owned());
        (global.hls_variant, global.hls_always_remux) = (HlsVariant::Mpegts, true);
        (global.hls_directory, global.hls_cdn_secret) = ("/segments".to_owned(), "secret".to_owned());
        let settings = of(&configuration, &MediaTls::default(), None).expect("settings");
        assert!(settings.rtmp.address.is_none(), "only over TLS");
        let hls = &settings.http.hls;
        assert_eq!((hls.variant, hls.always_remux), (settings::HlsVariant::MpegTs, true));
        assert_eq!(hls.directory.as_deref(), Some("/segments".as_ref()));
        assert_eq!(hls.cdn_secret.as_deref(), Some("secret"));
        configuration.global.hls = false;
        configuration.global.hls_address = "nowhere".to_owned();
        assert!(of(&configuration, &MediaTls::default(), None).expect("settings").http.address.is_none());
        configuration.global.hls = true;
        let faults = of(&configuration, &MediaTls::default(), None).map(drop).expect_err("no address");
        assert!(faults.to_string().contains("hlsAddress: "), "{faults}");
    }
}
