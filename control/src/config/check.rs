//! What the global keys must satisfy: each alone beyond its type, and together.

use super::keys::Global;
use super::node::{Reading, quoted};
use super::values::{AuthMethod, Credential, Encryption, HlsVariant, RtspAuthMethod, RtspTransport};
use crate::hooks::Kind;
use ipnet::Ipv4Net;
use std::net::IpAddr;
use std::time::Duration;
use url::Url;

pub(crate) const QUOTE_LEFT_OPEN: &str = "has a quote that is not closed, or ends with a backslash";
/// Segments are held in memory, and a playlist names each of them.
const HLS_SEGMENTS_MAX: u64 = 10_000;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

pub(crate) fn check_global(global: &Global, reading: &mut Reading<'_>) {
    check_general(global, reading);
    check_authentication(global, reading);
    check_servers(global, reading);
    if global.rtsp {
        check_rtsp(global, reading);
    }
    check_hls(global, reading);
    check_webrtc(global, reading);
    check_own(global, reading);
}

fn fault_if(wrong: bool, key: &str, message: &str, reading: &mut Reading<'_>) {
    if wrong {
        reading.fault_at(key, message);
    }
}

/// A duration or a number must lie within bounds, given as texts for the message.
fn within<T: PartialOrd>(key: &str, value: &T, range: (&T, &T), text: &str, reading: &mut Reading<'_>) {
    fault_if(value < range.0 || value > range.1, key, text, reading);
}

fn check_general(global: &Global, reading: &mut Reading<'_>) {
    let (shortest, message) = (Duration::from_millis(1), "must be 1ms to one day");
    within("readTimeout", &global.read_timeout, (&shortest, &DAY), message, reading);
    within("writeTimeout", &global.write_timeout, (&shortest, &DAY), message, reading);
    let power = global.write_queue_size.is_power_of_two();
    fault_if(!power, "writeQueueSize", "must be a power of two, and not 0", reading);
    fault_if(global.udp_max_payload_size > 1472, "udpMaxPayloadSize", "must be 1472 or less", reading);
    let buffer = global.udp_read_buffer_size;
    fault_if(buffer > i32::MAX as u64, "udpReadBufferSize", "must be less than 2 GiB", reading);
    for (key, command) in
        [("runOnConnect", &global.run_on_connect), ("runOnDisconnect", &global.run_on_disconnect)]
    {
        fault_if(shell_words::split(command).is_err(), key, QUOTE_LEFT_OPEN, reading);
    }
}

fn check_authentication(global: &Global, reading: &mut Reading<'_>) {
    match global.auth_method {
        AuthMethod::Internal => {
            for (n, user) in global.auth_internal_users.iter().enumerate() {
                let key = format!("authInternalUsers.{n}");
                let (name, password) = (user.user.0.as_str(), user.pass.0.as_str());
                fault_if(name.is_empty(), &key, "the user has no name", reading);
                let message = "the user any stands for everybody and can have no password";
                fault_if(name == "any" && !password.is_empty(), &key, message, reading);
            }
        }
        AuthMethod::Http => http_url("authHTTPAddress", &global.auth_http_address, true, reading),
        AuthMethod::Jwt => {
            http_url("authJWTJWKS", &global.auth_jwt_jwks, true, reading);
            let message = "must not be empty with authMethod jwt";
            fault_if(global.auth_jwt_claim_key.is_empty(), "authJWTClaimKey", message, reading);
        }
    }
    for (key, text) in [
        ("authHTTPFingerprint", &global.auth_http_fingerprint),
        ("authJWTJWKSFingerprint", &global.auth_jwt_jwks_fingerprint),
    ] {
        if let Some(message) = fingerprint(text) {
            reading.fault_at(key, message);
        }
    }
}

/// What is wrong with the SHA-256 of a certificate.
pub(crate) fn fingerprint(text: &str) -> Option<&'static str> {
    let valid = text.is_empty() || (text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()));
    (!valid).then_some("must be a SHA-256 fingerprint: 64 hexadecimal digits without colons")
}

/// `needed` where an empty one is a fault.
fn http_url(key: &str, text: &str, needed: bool, reading: &mut Reading<'_>) {
    if text.is_empty() {
        fault_if(needed, key, "must not be empty with this authMethod", reading);
        return;
    }
    let valid = Url::parse(text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some());
    fault_if(!valid, key, "must be a URL that begins with http:// or https://", reading);
}

fn check_servers(global: &Global, reading: &mut Reading<'_>) {
    let rtmp_plain = global.rtmp && global.rtmp_encryption != Encryption::Strict;
    let rtmp_secure = global.rtmp && global.rtmp_encryption != Encryption::No;
    let hls_on_socket = global.hls_address.starts_with("unix://");
    for (on, key, address) in [
        (global.api, "apiAddress", &global.api_address),
        (global.metrics, "metricsAddress", &global.metrics_address),
        (global.pprof, "pprofAddress", &global.pprof_address),
        (global.playback, "playbackAddress", &global.playback_address),
        (global.hls && !hls_on_socket, "hlsAddress", &global.hls_address),
        (global.webrtc, "webrtcAddress", &global.webrtc_address),
        (rtmp_plain, "rtmpAddress", &global.rtmp_address),
        (rtmp_secure, "rtmpsAddress", &global.rtmps_address),
        (global.srt, "srtAddress", &global.srt_address),
        (global.moq, "moqQUICAddress", &global.moq_quic_address),
    ] {
        if on {
            let web = !matches!(key, "rtmpAddress" | "rtmpsAddress" | "srtAddress" | "moqQUICAddress");
            needed_address(key, address, web, reading);
        }
    }
    let message = "must be :PORT or HOST:PORT; media are not served on sockets of the file system";
    fault_if(global.hls && hls_on_socket, "hlsAddress", message, reading);
}

/// The address of a server that is on; returns its port. Web servers may listen on a socket of the file system.
fn needed_address(key: &str, address: &str, web: bool, reading: &mut Reading<'_>) -> Option<u16> {
    if address.is_empty() {
        reading.fault_at(key, "must not be empty while its server is on");
        return None;
    }
    if web && address.starts_with("unix://") {
        fault_if(address.len() <= "unix://".len(), key, "must name a socket after unix://", reading);
        return None;
    }
    let port = port_of(address);
    if port.is_none() {
        let message = format!("must be :PORT or HOST:PORT, not {}", quoted(address));
        reading.fault_at(key, message);
    }
    port
}

fn port_of(address: &str) -> Option<u16> {
    let (host, port) = address.rsplit_once(':')?;
    let host_valid = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => v6.split('%').next().is_some_and(|v6| v6.parse::<IpAddr>().is_ok()),
        None => host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')),
    };
    port.parse().ok().filter(|_| host_valid)
}

fn check_rtsp(global: &Global, reading: &mut Reading<'_>) {
    let has = |transport| global.rtsp_transports.contains(&transport);
    let plain = global.rtsp_encryption != Encryption::Strict;
    let secure = global.rtsp_encryption != Encryption::No;
    if plain {
        needed_address("rtspAddress", &global.rtsp_address, false, reading);
        if has(RtspTransport::Udp) {
            let rtp = needed_address("rtpAddress", &global.rtp_address, false, reading);
            let rtcp = needed_address("rtcpAddress", &global.rtcp_address, false, reading);
            consecutive(("rtpAddress", rtp), ("rtcpAddress", rtcp), reading);
        }
        if has(RtspTransport::Multicast) {
            let ports = (global.multicast_rtp_port, global.multicast_rtcp_port);
            multicast(("multicastRTPPort", ports.0), ("multicastRTCPPort", ports.1), reading);
        }
    }
    if secure {
        needed_address("rtspsAddress", &global.rtsps_address, false, reading);
        if has(RtspTransport::Udp) {
            let rtp = needed_address("srtpAddress", &global.srtp_address, false, reading);
            let rtcp = needed_address("srtcpAddress", &global.srtcp_address, false, reading);
            consecutive(("srtpAddress", rtp), ("srtcpAddress", rtcp), reading);
        }
        if has(RtspTransport::Multicast) {
            let ports = (global.multicast_srtp_port, global.multicast_srtcp_port);
            multicast(("multicastSRTPPort", ports.0), ("multicastSRTCPPort", ports.1), reading);
        }
    }
    if has(RtspTransport::Multicast) {
        let valid =
            global.multicast_ip_range.parse::<Ipv4Net>().is_ok_and(|net| net.network().is_multicast());
        let message = "must be a network of multicast addresses, such as 224.1.0.0/16";
        fault_if(!valid, "multicastIPRange", message, reading);
    }
    fault_if(global.rtsp_auth_methods.is_empty(), "rtspAuthMethods", "must name at least one", reading);
    if global.rtsp_auth_methods.contains(&RtspAuthMethod::Digest) {
        let internal = global.auth_method == AuthMethod::Internal;
        fault_if(!internal, "rtspAuthMethods", "digest works with authMethod internal only", reading);
        let hashed = |credential: &Credential| {
            ["sha256:", "argon2:"].iter().any(|kind| credential.0.starts_with(kind))
        };
        let any = global.auth_internal_users.iter().any(|user| hashed(&user.user) || hashed(&user.pass));
        fault_if(
            any,
            "rtspAuthMethods",
            "digest cannot be used with hashed user names or passwords",
            reading,
        );
    }
}

/// RTP wants an even port and RTCP the one after (RFC 3550, section 11). Port 0 leaves the choice to the kernel.
fn consecutive(rtp: (&str, Option<u16>), rtcp: (&str, Option<u16>), reading: &mut Reading<'_>) {
    if let (Some(even), Some(next)) = (rtp.1, rtcp.1)
        && even != 0
    {
        fault_if(!even.is_multiple_of(2), rtp.0, "must have an even port", reading);
        if next != even.wrapping_add(1) {
            reading.fault_at(rtcp.0, format!("must have the port after {} ({})", rtp.0, u32::from(even) + 1));
        }
    }
}

fn multicast(rtp: (&str, u64), rtcp: (&str, u64), reading: &mut Reading<'_>) {
    let port = |(key, port): (&str, u64), reading: &mut Reading<'_>| {
        let port = u16::try_from(port).ok().filter(|port| *port != 0);
        fault_if(port.is_none(), key, "must be a port, 1 to 65535", reading);
        port
    };
    let ports = (port(rtp, reading), port(rtcp, reading));
    consecutive((rtp.0, ports.0), (rtcp.0, ports.1), reading);
}

fn check_hls(global: &Global, reading: &mut Reading<'_>) {
    let secret = &global.hls_cdn_secret;
    let plain = |c: char| c.is_ascii_alphanumeric() || "!$()*+.;<=>[]^_-{}@#&".contains(c);
    let message = "may hold letters, digits and !$()*+.;<=>[]^_-{}@#& only";
    fault_if(!secret.chars().all(plain), "hlsCDNSecret", message, reading);
    if !global.hls {
        return;
    }
    let (least, message) = match global.hls_variant {
        HlsVariant::LowLatency => (7, "must be at least 7 with the variant lowLatency"),
        HlsVariant::Fmp4 | HlsVariant::Mpegts => (3, "must be at least 3"),
    };
    fault_if(global.hls_segment_count < least, "hlsSegmentCount", message, reading);
    let (many, message) = (global.hls_segment_count > HLS_SEGMENTS_MAX, "must be 10000 or less");
    fault_if(many, "hlsSegmentCount", message, reading);
    let message = "must be 1ms to one hour";
    let range = (&Duration::from_millis(1), &HOUR);
    within("hlsSegmentDuration", &global.hls_segment_duration, range, message, reading);
    within("hlsPartDuration", &global.hls_part_duration, range, message, reading);
    let low_latency = global.hls_variant == HlsVariant::LowLatency;
    let too_long = low_latency && global.hls_part_duration >= global.hls_segment_duration;
    let message = "must be shorter than hlsSegmentDuration with the variant lowLatency";
    fault_if(too_long, "hlsPartDuration", message, reading);
    let range = (&(1 << 10), &(4 << 30));
    within("hlsSegmentMaxSize", &global.hls_segment_max_size.0, range, "must be 1K to 4G", reading);
    let message = "must be 1s to one day";
    within("hlsMuxerCloseAfter", &global.hls_muxer_close_after, (&SECOND, &DAY), message, reading);
}

fn check_webrtc(global: &Global, reading: &mut Reading<'_>) {
    if !global.webrtc {
        return;
    }
    for (n, server) in global.webrtc_ice_servers2.iter().enumerate() {
        let valid = ["stun:", "turn:", "turns:"].iter().any(|kind| server.url.starts_with(kind));
        let message = "must have a url that begins with stun:, turn: or turns:";
        fault_if(!valid, &format!("webrtcICEServers2.{n}"), message, reading);
    }
    let local = !global.webrtc_local_udp_address.is_empty() || !global.webrtc_local_tcp_address.is_empty();
    let message = "must not be empty while webrtcLocalTCPAddress and webrtcICEServers2 are";
    let none = !local && global.webrtc_ice_servers2.is_empty();
    fault_if(none, "webrtcLocalUDPAddress", message, reading);
    let none = local && !global.webrtc_ips_from_interfaces && global.webrtc_additional_hosts.is_empty();
    let message = "must be yes, or webrtcAdditionalHosts must name hosts";
    fault_if(none, "webrtcIPsFromInterfaces", message, reading);
}

/// The keys that MediaMTX does not have.
fn check_own(global: &Global, reading: &mut Reading<'_>) {
    fault_if(global.shards > 250, "shards", "must be 250 or less", reading);
    let message = "must be 1s to one day";
    within("rtspSessionTimeout", &global.rtsp_session_timeout, (&SECOND, &DAY), message, reading);
    let (shortest, message) = (Duration::from_millis(10), "must be 10ms to one hour");
    within("authTimeout", &global.auth_timeout, (&shortest, &HOUR), message, reading);
    within("webhookTimeout", &global.webhook_timeout, (&shortest, &HOUR), message, reading);
    fault_if(global.auth_cache > DAY, "authCache", "must be one day or less", reading);
    fault_if(global.hook_stop_timeout > HOUR, "hookStopTimeout", "must be one hour or less", reading);
    http_url("webhookAddress", &global.webhook_address, false, reading);
    for (n, event) in global.webhook_events.iter().enumerate() {
        let words = Kind::ALL.map(Kind::word);
        let message = format!("must be one of {}, not {}", words.join(", "), quoted(event));
        fault_if(!words.contains(&event.as_str()), &format!("webhookEvents.{n}"), &message, reading);
    }
    fault_if(global.webhook_retries > 100, "webhookRetries", "must be 100 or less", reading);
    within("pathsMax", &global.paths_max, (&1, &10_000_000), "must be 1 to 10000000", reading);
    let message = "must be more than 0, and 1000000 or less";
    within("requestRate", &global.request_rate, (&0.001, &1e6), message, reading);
    within("requestBurst", &global.request_burst, (&1.0, &1e6), "must be 1 to 1000000", reading);
    let message = "must be 64K to 4G";
    within("streamLogSize", &global.stream_log_size.0, (&(64 << 10), &(4 << 30)), message, reading);
    let message = "must be 16 to 1000000";
    within("logBufferLines", &global.log_buffer_lines, (&16, &1_000_000), message, reading);
}
