//! Every key of the configuration, once: its name, type, default, what it does, and what a change of it touches.
//!
//! The structs, their defaults, the reader of every layer, the JSON of the API and the reference page come from this
//! table. A key that is [`Effect::NotInEffect`] is read and checked like any other; its feature does not exist yet.

use super::node::{Node, Reading};
use super::setting::{Secrets, Setting, redact};
use super::values::{
    AlwaysAvailableTrack, AuthMethod, Encryption, ForwardTarget, HlsVariant, IceServer, InternalUser,
    LogDestination, LogLevel, MoqTransport, Networks, Permission, RecordFormat, RtspAuthMethod,
    RtspRangeType, RtspTransport, Size, SourceTransport,
};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// What a change of a key touches. What it does not touch is not disturbed.
#[allow(clippy::enum_variant_names)] // none of the other variants is an effect of that kind
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Effect {
    /// The log: level, destinations, form.
    Logs,
    /// The listeners of RTSP; sessions of the old listener go on.
    Rtsp,
    /// The listeners of RTMP; sessions of the old listener go on.
    Rtmp,
    /// The listener for media over HTTP, and how HLS is made from then on.
    Hls,
    Api,
    Metrics,
    Pprof,
    /// Who may do what, from the next request on.
    Auth,
    /// Commands for connections, from the next connection on.
    Hooks,
    Timeouts,
    /// The path whose key it is, or all paths that do not say otherwise.
    Paths,
    Limits,
    Webhooks,
    /// Nothing until the server is started again.
    Restart,
    /// Nothing: the feature does not exist yet.
    NotInEffect,
}

impl Effect {
    /// For the reference page.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Effect::Logs => "logs",
            Effect::Rtsp => "RTSP listeners",
            Effect::Rtmp => "RTMP listeners",
            Effect::Hls => "HLS server",
            Effect::Api => "API server",
            Effect::Metrics => "metrics server",
            Effect::Pprof => "profiling server",
            Effect::Auth => "authentication",
            Effect::Hooks => "connection hooks",
            Effect::Timeouts => "timeouts",
            Effect::Paths => "the paths concerned",
            Effect::Limits => "limits",
            Effect::Webhooks => "webhooks",
            Effect::Restart => "needs a restart",
            Effect::NotInEffect => "not in effect yet",
        }
    }
}

/// One key of `T`.
pub(crate) struct Key<T: 'static> {
    pub(crate) name: &'static str,
    /// Heading of the reference page that it stands under.
    pub(crate) group: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) effect: Effect,
    /// Its type, in words.
    pub(crate) kind: fn() -> Cow<'static, str>,
    read: fn(&mut T, &Node, &mut Reading<'_>),
    json: fn(&T, Secrets) -> Value,
    same: fn(&T, &T) -> bool,
}

impl<T> Key<T> {
    /// Reads the node into `target`; what is wrong goes to `reading`, and the target keeps its value then.
    pub(crate) fn read(&self, target: &mut T, node: &Node, reading: &mut Reading<'_>) {
        (self.read)(target, node, reading);
    }

    pub(crate) fn json(&self, of: &T, secrets: Secrets) -> Value {
        let value = (self.json)(of, secrets);
        if secrets == Secrets::Redacted { redact(self.name, value) } else { value }
    }

    pub(crate) fn same(&self, a: &T, b: &T) -> bool {
        (self.same)(a, b)
    }
}

macro_rules! keys {
    ($(#[$meta:meta])* $name:ident {
        $($group:literal { $(#[doc = $doc:literal] $field:ident $key:literal $effect:ident: $type:ty = $default:expr;)+ })+
    }) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq)]
        pub(crate) struct $name { $($(#[doc = $doc] pub(crate) $field: $type,)+)+ }

        impl Default for $name {
            fn default() -> $name {
                $name { $($($field: $default,)+)+ }
            }
        }

        impl fmt::Debug for $name {
            /// Without secrets.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let value = |key: &Key<$name>| key.json(self, Secrets::Redacted).to_string();
                f.debug_map().entries($name::KEYS.iter().map(|key| (key.name, value(key)))).finish()
            }
        }

        impl $name {
            /// Its keys, in the order of the reference page.
            pub(crate) const KEYS: &'static [Key<$name>] = &[$($(
                Key {
                    name: $key,
                    group: $group,
                    doc: $doc.trim_ascii(),
                    effect: Effect::$effect,
                    kind: <$type as Setting>::kind,
                    read: |target, node, reading| {
                        if let Some(value) = <$type as Setting>::read(node, reading) {
                            target.$field = value;
                        }
                    },
                    json: |of, secrets| Setting::json(&of.$field, secrets),
                    same: |a, b| a.$field == b.$field,
                },
            )+)+];
        }
    };
}

keys! {
    /// The keys at the top of the file.
    Global {
        "Logs and sockets" {
            /// How much to log.
            log_level "logLevel" Logs: LogLevel = LogLevel::Info;
            /// Where log lines go.
            log_destinations "logDestinations" Logs: Vec<LogDestination> = vec![LogDestination::Stdout];
            /// Writes log lines as JSON.
            log_structured "logStructured" Logs: bool = false;
            /// File of the destination `file`.
            log_file "logFile" Logs: String = "mediamtx.log".to_owned();
            /// Name under which syslog files the lines.
            sys_log_prefix "sysLogPrefix" Logs: String = "mediamtx".to_owned();
            /// Log lines that wait for a slow destination before lines are dropped.
            log_buffer_lines "logBufferLines" Logs: u64 = 8192;
            /// Writes every packet of every connection to disk.
            dump_packets "dumpPackets" NotInEffect: bool = Default::default();
            /// A publisher that sends nothing for this long is closed.
            read_timeout "readTimeout" Timeouts: Duration = Duration::from_secs(10);
            /// A reader that takes nothing of what is due for this long is closed.
            write_timeout "writeTimeout" Timeouts: Duration = Duration::from_secs(10);
            /// Length of a reader's queue there; here readers share one log per stream (see `streamLogSize`).
            write_queue_size "writeQueueSize" NotInEffect: u64 = 512;
            /// Greatest payload of a UDP packet that is sent. Readers over UDP of a publisher whose packets are larger get them cut anew.
            udp_max_payload_size "udpMaxPayloadSize" Limits: u64 = 1452;
            /// Bytes the kernel holds for each UDP socket; 0 leaves it to the system.
            udp_read_buffer_size "udpReadBufferSize" Rtsp: u64 = Default::default();
        }
        "Connections" {
            /// Command that runs while a client is connected.
            run_on_connect "runOnConnect" Hooks: String = Default::default();
            /// Starts `runOnConnect` again when it exits.
            run_on_connect_restart "runOnConnectRestart" Hooks: bool = Default::default();
            /// Command that runs when a client has left.
            run_on_disconnect "runOnDisconnect" Hooks: String = Default::default();
            /// A hook that is told to end is killed after this.
            hook_stop_timeout "hookStopTimeout" Hooks: Duration = Duration::from_secs(5);
            /// Connections of the whole server; 0 is as many as descriptors allow.
            connections_max "connectionsMax" Limits: u64 = 0;
            /// Paths that are live at once.
            paths_max "pathsMax" Limits: u64 = 100000;
            /// Requests per second that one connection may make in the long run.
            request_rate "requestRate" Limits: f64 = 50.0;
            /// Requests that one connection may make at once.
            request_burst "requestBurst" Limits: f64 = 200.0;
        }
        "Authentication" {
            /// Who decides: the users below, an HTTP server, or signed tokens.
            auth_method "authMethod" Auth: AuthMethod = AuthMethod::Internal;
            /// Users of the method `internal`; the name `any` stands for everybody.
            auth_internal_users "authInternalUsers" Auth: Vec<InternalUser> = InternalUser::defaults();
            /// URL that is asked by the method `http`.
            auth_http_address "authHTTPAddress" Auth: String = Default::default();
            /// SHA-256 of the certificate that the authentication server must have.
            auth_http_fingerprint "authHTTPFingerprint" Auth: String = Default::default();
            /// What the method `http` lets pass unasked.
            auth_http_exclude "authHTTPExclude" Auth: Vec<Permission> = Default::default();
            /// URL of the key set that signs tokens.
            auth_jwt_jwks "authJWTJWKS" Auth: String = Default::default();
            /// SHA-256 of the certificate that the key set's server must have.
            auth_jwt_jwks_fingerprint "authJWTJWKSFingerprint" Auth: String = Default::default();
            /// Claim of the token that holds the permissions.
            auth_jwt_claim_key "authJWTClaimKey" Auth: String = "mediamtx_permissions".to_owned();
            /// What the method `jwt` lets pass without a token.
            auth_jwt_exclude "authJWTExclude" Auth: Vec<Permission> = Default::default();
            /// Issuer that a token must name; empty for any.
            auth_jwt_issuer "authJWTIssuer" Auth: String = Default::default();
            /// Audience that a token must name; empty for any.
            auth_jwt_audience "authJWTAudience" Auth: String = Default::default();
            /// An authentication that takes longer is refused.
            auth_timeout "authTimeout" Auth: Duration = Duration::from_secs(10);
            /// How long an answer of the authentication server holds for the same credentials, address, action and path; 0 asks every time.
            auth_cache "authCache" Auth: Duration = Duration::ZERO;
        }
        "API" {
            /// Runs the API server.
            api "api" Api: bool = Default::default();
            /// Where the API server listens (TCP), or `unix://` and the path of a socket.
            api_address "apiAddress" Api: String = ":9997".to_owned();
            /// Serves HTTPS instead of HTTP.
            api_encryption "apiEncryption" Api: bool = Default::default();
            /// Private key of the API server (PEM).
            api_server_key "apiServerKey" Api: String = "server.key".to_owned();
            /// Certificate chain of the API server (PEM).
            api_server_cert "apiServerCert" Api: String = "server.crt".to_owned();
            /// Origins of web pages that may use the API server; `*` stands for any part. A lone `*` lets pages of other origins only read: to change anything, an origin must be listed, as itself or by a pattern such as `https://*.example.com`.
            api_allow_origins "apiAllowOrigins" Api: Vec<String> = vec!["*".to_owned()];
            /// Proxies whose `X-Forwarded-For` the API server believes.
            api_trusted_proxies "apiTrustedProxies" Api: Networks = Default::default();
            /// Changes made through the API are written back to the configuration file.
            api_persist "apiPersist" Api: bool = false;
        }
        "Metrics" {
            /// Runs the metrics server.
            metrics "metrics" Metrics: bool = Default::default();
            /// Where the metrics server listens (TCP), or `unix://` and the path of a socket.
            metrics_address "metricsAddress" Metrics: String = ":9998".to_owned();
            /// Serves HTTPS instead of HTTP.
            metrics_encryption "metricsEncryption" Metrics: bool = Default::default();
            /// Private key of the metrics server (PEM).
            metrics_server_key "metricsServerKey" Metrics: String = "server.key".to_owned();
            /// Certificate chain of the metrics server (PEM).
            metrics_server_cert "metricsServerCert" Metrics: String = "server.crt".to_owned();
            /// Origins of web pages that may use the metrics server; `*` stands for any part.
            metrics_allow_origins "metricsAllowOrigins" Metrics: Vec<String> = vec!["*".to_owned()];
            /// Proxies whose `X-Forwarded-For` the metrics server believes.
            metrics_trusted_proxies "metricsTrustedProxies" Metrics: Networks = Default::default();
        }
        "Profiling" {
            /// Runs the profiling server.
            pprof "pprof" Pprof: bool = Default::default();
            /// Where the profiling server listens (TCP), or `unix://` and the path of a socket.
            pprof_address "pprofAddress" Pprof: String = ":9999".to_owned();
            /// Serves HTTPS instead of HTTP.
            pprof_encryption "pprofEncryption" Pprof: bool = Default::default();
            /// Private key of the profiling server (PEM).
            pprof_server_key "pprofServerKey" Pprof: String = "server.key".to_owned();
            /// Certificate chain of the profiling server (PEM).
            pprof_server_cert "pprofServerCert" Pprof: String = "server.crt".to_owned();
            /// Origins of web pages that may use the profiling server; `*` stands for any part.
            pprof_allow_origins "pprofAllowOrigins" Pprof: Vec<String> = vec!["*".to_owned()];
            /// Proxies whose `X-Forwarded-For` the profiling server believes.
            pprof_trusted_proxies "pprofTrustedProxies" Pprof: Networks = Default::default();
        }
        "Webhooks" {
            /// URL that gets a POST for every event of the hooks.
            webhook_address "webhookAddress" Webhooks: String = String::new();
            /// Events that are sent; empty for all.
            webhook_events "webhookEvents" Webhooks: Vec<String> = Vec::new();
            /// How long one delivery may take.
            webhook_timeout "webhookTimeout" Webhooks: Duration = Duration::from_secs(10);
            /// Attempts after the first one; the pause doubles each time.
            webhook_retries "webhookRetries" Webhooks: u64 = 8;
        }
        "RTSP" {
            /// Runs the RTSP server.
            rtsp "rtsp" Rtsp: bool = true;
            /// Transports that clients may choose.
            rtsp_transports "rtspTransports" Rtsp: Vec<RtspTransport> = vec![RtspTransport::Udp, RtspTransport::Multicast, RtspTransport::Tcp];
            /// Whether RTSP runs over TLS: not at all, also, or only.
            rtsp_encryption "rtspEncryption" Rtsp: Encryption = Encryption::No;
            /// Where RTSP clients connect.
            rtsp_address "rtspAddress" Rtsp: String = ":8554".to_owned();
            /// Where RTSP clients connect with TLS.
            rtsps_address "rtspsAddress" Rtsp: String = ":8322".to_owned();
            /// Where RTP over UDP is received and sent from (an even port).
            rtp_address "rtpAddress" Rtsp: String = ":8000".to_owned();
            /// Where RTCP over UDP is received and sent from (the port after).
            rtcp_address "rtcpAddress" Rtsp: String = ":8001".to_owned();
            /// Addresses for readers over multicast.
            multicast_ip_range "multicastIPRange" NotInEffect: String = "224.1.0.0/16".to_owned();
            /// Port of RTP over multicast.
            multicast_rtp_port "multicastRTPPort" NotInEffect: u64 = 8002;
            /// Port of RTCP over multicast.
            multicast_rtcp_port "multicastRTCPPort" NotInEffect: u64 = 8003;
            /// Where SRTP is received and sent from (an even port).
            srtp_address "srtpAddress" NotInEffect: String = ":8004".to_owned();
            /// Where SRTCP is received and sent from (the port after).
            srtcp_address "srtcpAddress" NotInEffect: String = ":8005".to_owned();
            /// Port of SRTP over multicast.
            multicast_srtp_port "multicastSRTPPort" NotInEffect: u64 = 8006;
            /// Port of SRTCP over multicast.
            multicast_srtcp_port "multicastSRTCPPort" NotInEffect: u64 = 8007;
            /// Private key of the RTSP server (PEM).
            rtsp_server_key "rtspServerKey" Rtsp: String = "server.key".to_owned();
            /// Certificate chain of the RTSP server (PEM).
            rtsp_server_cert "rtspServerCert" Rtsp: String = "server.crt".to_owned();
            /// How RTSP clients are asked for credentials.
            rtsp_auth_methods "rtspAuthMethods" Auth: Vec<RtspAuthMethod> = vec![RtspAuthMethod::Basic];
            /// Proxies whose PROXY protocol header names the real client.
            rtsp_trusted_proxies "rtspTrustedProxies" Rtsp: Networks = Default::default();
            /// An RTSP session without request or RTCP is closed after this.
            rtsp_session_timeout "rtspSessionTimeout" Timeouts: Duration = Duration::from_secs(60);
        }
        "RTMP" {
            /// Runs the RTMP server.
            rtmp "rtmp" Rtmp: bool = true;
            /// Whether RTMP runs over TLS: not at all, also, or only.
            rtmp_encryption "rtmpEncryption" Rtmp: Encryption = Encryption::No;
            /// Where RTMP clients connect.
            rtmp_address "rtmpAddress" Rtmp: String = ":1935".to_owned();
            /// Where RTMP clients connect with TLS.
            rtmps_address "rtmpsAddress" Rtmp: String = ":1936".to_owned();
            /// Private key of the RTMP server (PEM).
            rtmp_server_key "rtmpServerKey" Rtmp: String = "server.key".to_owned();
            /// Certificate chain of the RTMP server (PEM).
            rtmp_server_cert "rtmpServerCert" Rtmp: String = "server.crt".to_owned();
            /// Proxies whose PROXY protocol header names the real client.
            rtmp_trusted_proxies "rtmpTrustedProxies" Rtmp: Networks = Default::default();
        }
        "HLS" {
            /// Runs the HLS server, which also serves FLV and MPEG-TS over HTTP.
            hls "hls" Hls: bool = true;
            /// Where the HLS server listens (TCP): playlists and segments, endless streams over HTTP, and the pages that play them.
            hls_address "hlsAddress" Hls: String = ":8888".to_owned();
            /// Serves HTTPS instead of HTTP.
            hls_encryption "hlsEncryption" Hls: bool = Default::default();
            /// Private key of the HLS server (PEM).
            hls_server_key "hlsServerKey" Hls: String = "server.key".to_owned();
            /// Certificate chain of the HLS server (PEM).
            hls_server_cert "hlsServerCert" Hls: String = "server.crt".to_owned();
            /// Origins of web pages that may use the HLS server; `*` stands for any part.
            hls_allow_origins "hlsAllowOrigins" Hls: Vec<String> = vec!["*".to_owned()];
            /// Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` the HLS server believes.
            hls_trusted_proxies "hlsTrustedProxies" Hls: Networks = Default::default();
            /// Makes playlists and segments also while nobody watches.
            hls_always_remux "hlsAlwaysRemux" Hls: bool = Default::default();
            /// Kind of HLS.
            hls_variant "hlsVariant" Hls: HlsVariant = HlsVariant::LowLatency;
            /// Segments of a playlist: 7 at least with the variant `lowLatency`, else 3.
            hls_segment_count "hlsSegmentCount" Hls: u64 = 7;
            /// Least duration of a segment.
            hls_segment_duration "hlsSegmentDuration" Hls: Duration = Duration::from_secs(1);
            /// Least duration of a part of the variant `lowLatency`.
            hls_part_duration "hlsPartDuration" Hls: Duration = Duration::from_millis(200);
            /// Greatest size of a segment.
            hls_segment_max_size "hlsSegmentMaxSize" Hls: Size = Size(50 * 1024 * 1024);
            /// Folder that segments are also written to, in a folder for each path that is the server's own; empty for none.
            hls_directory "hlsDirectory" Hls: String = Default::default();
            /// Remuxing ends after this time without a viewer.
            hls_muxer_close_after "hlsMuxerCloseAfter" Hls: Duration = Duration::from_secs(60);
            /// Secret by which a content delivery network identifies itself (`Authorization: Bearer`); empty for none.
            hls_cdn_secret "hlsCDNSecret" Hls: String = Default::default();
        }
        "WebRTC" {
            /// Runs the WebRTC server.
            webrtc "webrtc" NotInEffect: bool = true;
            /// Where the WebRTC server listens (TCP), or `unix://` and the path of a socket.
            webrtc_address "webrtcAddress" NotInEffect: String = ":8889".to_owned();
            /// Serves HTTPS instead of HTTP.
            webrtc_encryption "webrtcEncryption" NotInEffect: bool = Default::default();
            /// Private key of the WebRTC server (PEM).
            webrtc_server_key "webrtcServerKey" NotInEffect: String = "server.key".to_owned();
            /// Certificate chain of the WebRTC server (PEM).
            webrtc_server_cert "webrtcServerCert" NotInEffect: String = "server.crt".to_owned();
            /// Origins of web pages that may use the WebRTC server; `*` stands for any part.
            webrtc_allow_origins "webrtcAllowOrigins" NotInEffect: Vec<String> = vec!["*".to_owned()];
            /// Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` the WebRTC server believes.
            webrtc_trusted_proxies "webrtcTrustedProxies" NotInEffect: Networks = Default::default();
            /// Where media over UDP arrives; empty for a random port per session.
            webrtc_local_udp_address "webrtcLocalUDPAddress" NotInEffect: String = ":8189".to_owned();
            /// Where media over TCP arrives; empty for none.
            webrtc_local_tcp_address "webrtcLocalTCPAddress" NotInEffect: String = Default::default();
            /// Offers the addresses of this machine's interfaces.
            webrtc_ips_from_interfaces "webrtcIPsFromInterfaces" NotInEffect: bool = true;
            /// Interfaces whose addresses are offered; empty for all.
            webrtc_ips_from_interfaces_list "webrtcIPsFromInterfacesList" NotInEffect: Vec<String> = Default::default();
            /// More addresses or names to offer.
            webrtc_additional_hosts "webrtcAdditionalHosts" NotInEffect: Vec<String> = Default::default();
            /// STUN and TURN servers.
            webrtc_ice_servers2 "webrtcICEServers2" NotInEffect: Vec<IceServer> = Default::default();
            /// How long to wait for STUN servers.
            webrtc_stun_gather_timeout "webrtcSTUNGatherTimeout" NotInEffect: Duration = Duration::from_secs(5);
            /// How long a connection may take to establish.
            webrtc_handshake_timeout "webrtcHandshakeTimeout" NotInEffect: Duration = Duration::from_secs(10);
            /// How long to wait for a publisher's tracks.
            webrtc_track_gather_timeout "webrtcTrackGatherTimeout" NotInEffect: Duration = Duration::from_secs(2);
        }
        "SRT" {
            /// Runs the SRT server.
            srt "srt" NotInEffect: bool = true;
            /// Where SRT clients connect (UDP).
            srt_address "srtAddress" NotInEffect: String = ":8890".to_owned();
        }
        "MoQ" {
            /// Runs the MoQ server.
            moq "moq" NotInEffect: bool = true;
            /// Where its web pages are served over HTTP/2.
            moq_http2_address "moqHTTP2Address" NotInEffect: String = ":8892".to_owned();
            /// Where its web pages and WebTransport are served over HTTP/3.
            moq_http3_address "moqHTTP3Address" NotInEffect: String = ":8892".to_owned();
            /// Where clients connect over plain QUIC.
            moq_quic_address "moqQUICAddress" NotInEffect: String = ":8893".to_owned();
            /// Private key of the MoQ server (PEM); `auto.key` makes one.
            moq_server_key "moqServerKey" NotInEffect: String = "auto.key".to_owned();
            /// Certificate chain of the MoQ server (PEM); `auto.crt` makes one.
            moq_server_cert "moqServerCert" NotInEffect: String = "auto.crt".to_owned();
            /// Origins of web pages that may use the MoQ server.
            moq_allow_origins "moqAllowOrigins" NotInEffect: Vec<String> = vec!["*".to_owned()];
            /// Proxies whose `X-Forwarded-For` the MoQ server believes.
            moq_trusted_proxies "moqTrustedProxies" NotInEffect: Networks = Default::default();
        }
        "Playback" {
            /// Runs the playback server.
            playback "playback" NotInEffect: bool = Default::default();
            /// Where the playback server listens (TCP), or `unix://` and the path of a socket.
            playback_address "playbackAddress" NotInEffect: String = ":9996".to_owned();
            /// Serves HTTPS instead of HTTP.
            playback_encryption "playbackEncryption" NotInEffect: bool = Default::default();
            /// Private key of the playback server (PEM).
            playback_server_key "playbackServerKey" NotInEffect: String = "server.key".to_owned();
            /// Certificate chain of the playback server (PEM).
            playback_server_cert "playbackServerCert" NotInEffect: String = "server.crt".to_owned();
            /// Origins of web pages that may use the playback server; `*` stands for any part.
            playback_allow_origins "playbackAllowOrigins" NotInEffect: Vec<String> = vec!["*".to_owned()];
            /// Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` the playback server believes.
            playback_trusted_proxies "playbackTrustedProxies" NotInEffect: Networks = Default::default();
        }
        "Engine" {
            /// Threads that carry media; 0 is one per processor less one for control.
            shards "shards" Restart: u64 = 0;
            /// Bytes of recent media that one stream holds on one shard.
            stream_log_size "streamLogSize" Limits: Size = Size(32 * 1024 * 1024);
        }
    }
}

keys! {
    /// The keys of a path, and of `pathDefaults`.
    PathConfiguration {
        "Source" {
            /// Where the stream comes from: `publisher`, `redirect`, `rpiCamera` or a URL to pull from.
            source "source" Paths: String = "publisher".to_owned();
            /// SHA-256 of the certificate that the source must have.
            source_fingerprint "sourceFingerprint" NotInEffect: String = Default::default();
            /// Pulls the source only while somebody reads.
            source_on_demand "sourceOnDemand" NotInEffect: bool = Default::default();
            /// How long readers wait for the source.
            source_on_demand_start_timeout "sourceOnDemandStartTimeout" NotInEffect: Duration = Duration::from_secs(10);
            /// The source is closed after this time without a reader.
            source_on_demand_close_after "sourceOnDemandCloseAfter" NotInEffect: Duration = Duration::from_secs(10);
            /// Where readers are sent: an RTSP URL, or `/` and a path of this server.
            source_redirect "sourceRedirect" Paths: String = Default::default();
            /// Readers at once; 0 for no limit.
            max_readers "maxReaders" Paths: u64 = Default::default();
            /// Where readers are sent while nobody publishes: an RTSP URL, or `/` and a path of this server.
            fallback "fallback" Paths: String = Default::default();
            /// A new publisher takes the place of the one that is there.
            override_publisher "overridePublisher" Paths: bool = true;
            /// How long readers stay when their publisher is gone, in case it comes back with the same tracks.
            publisher_grace "publisherGrace" Paths: Duration = Duration::from_secs(5);
            /// At most one write per reader in this time: delay traded for density (up to 500ms).
            delivery_window "deliveryWindow" Paths: Duration = Duration::ZERO;
            /// Passphrase for reading over SRT, 10 to 79 characters.
            srt_read_passphrase "srtReadPassphrase" NotInEffect: String = Default::default();
            /// Passphrase for publishing over SRT, 10 to 79 characters.
            srt_publish_passphrase "srtPublishPassphrase" NotInEffect: String = Default::default();
            /// Takes the time of day from the source.
            use_absolute_timestamp "useAbsoluteTimestamp" NotInEffect: bool = Default::default();
            /// Takes the elementary streams out of MPEG-TS that is published over RTSP.
            rtsp_demux_mpegts "rtspDemuxMpegts" NotInEffect: bool = Default::default();
        }
        "Always available" {
            /// Plays a filler while nobody publishes.
            always_available "alwaysAvailable" NotInEffect: bool = Default::default();
            /// Tracks of the filler.
            always_available_tracks "alwaysAvailableTracks" NotInEffect: Vec<AlwaysAvailableTrack> = Default::default();
            /// MP4 file that is the filler.
            always_available_file "alwaysAvailableFile" NotInEffect: String = Default::default();
        }
        "Forward and record" {
            /// Servers that the stream is pushed to.
            forward "forward" NotInEffect: Vec<ForwardTarget> = Default::default();
            /// Records the stream to disk.
            record "record" NotInEffect: bool = Default::default();
            /// Template of the recordings' file names.
            record_path "recordPath" NotInEffect: String = "./recordings/%path/%Y-%m-%d_%H-%M-%S-%f".to_owned();
            /// Container of recordings.
            record_format "recordFormat" NotInEffect: RecordFormat = RecordFormat::Fmp4;
            /// Recordings are written in pieces of this duration.
            record_part_duration "recordPartDuration" NotInEffect: Duration = Duration::from_secs(1);
            /// Greatest size of such a piece.
            record_max_part_size "recordMaxPartSize" NotInEffect: Size = Size(50 * 1024 * 1024);
            /// Least duration of a recording's file, up to a day.
            record_segment_duration "recordSegmentDuration" NotInEffect: Duration = Duration::from_secs(3600);
            /// Recordings are deleted after this; 0 keeps them.
            record_delete_after "recordDeleteAfter" NotInEffect: Duration = Duration::from_secs(86400);
        }
        "Pulling" {
            /// Transport of an RTSP source.
            rtsp_transport "rtspTransport" NotInEffect: SourceTransport = Default::default();
            /// Accepts a source's packets from any port.
            rtsp_any_port "rtspAnyPort" NotInEffect: bool = Default::default();
            /// Unit of `rtspRangeStart`.
            rtsp_range_type "rtspRangeType" NotInEffect: RtspRangeType = Default::default();
            /// Where playing begins.
            rtsp_range_start "rtspRangeStart" NotInEffect: String = Default::default();
            /// Speed of playing.
            rtsp_scale "rtspScale" NotInEffect: String = Default::default();
            /// First and last local port for RTSP sources over UDP.
            rtsp_udp_source_port_range "rtspUDPSourcePortRange" NotInEffect: Vec<u64> = vec![32768, 60999];
            /// SDP that describes a raw RTP source.
            rtp_sdp "rtpSDP" NotInEffect: String = Default::default();
            /// Transport of a MoQ source.
            moq_transport "moqTransport" NotInEffect: MoqTransport = MoqTransport::Quic;
            /// Token that a WHEP source asks for.
            whep_bearer_token "whepBearerToken" NotInEffect: String = Default::default();
            /// How long to wait for STUN servers.
            whep_stun_gather_timeout "whepSTUNGatherTimeout" NotInEffect: Duration = Duration::from_secs(5);
            /// How long a connection may take to establish.
            whep_handshake_timeout "whepHandshakeTimeout" NotInEffect: Duration = Duration::from_secs(10);
            /// How long to wait for tracks.
            whep_track_gather_timeout "whepTrackGatherTimeout" NotInEffect: Duration = Duration::from_secs(2);
        }
        "Raspberry Pi camera" {
            /// Number of the camera.
            rpi_camera_cam_id "rpiCameraCamID" NotInEffect: u64 = Default::default();
            /// A second stream of a camera that another path already uses.
            rpi_camera_secondary "rpiCameraSecondary" NotInEffect: bool = Default::default();
            /// Width in pixels.
            rpi_camera_width "rpiCameraWidth" NotInEffect: u64 = 1920;
            /// Height in pixels.
            rpi_camera_height "rpiCameraHeight" NotInEffect: u64 = 1080;
            /// Mirrors the picture.
            rpi_camera_h_flip "rpiCameraHFlip" NotInEffect: bool = Default::default();
            /// Turns the picture upside down.
            rpi_camera_v_flip "rpiCameraVFlip" NotInEffect: bool = Default::default();
            /// Brightness, -1 to 1.
            rpi_camera_brightness "rpiCameraBrightness" NotInEffect: f64 = Default::default();
            /// Contrast, 0 to 16.
            rpi_camera_contrast "rpiCameraContrast" NotInEffect: f64 = 1.0;
            /// Saturation, 0 to 16.
            rpi_camera_saturation "rpiCameraSaturation" NotInEffect: f64 = 1.0;
            /// Sharpness, 0 to 16.
            rpi_camera_sharpness "rpiCameraSharpness" NotInEffect: f64 = 1.0;
            /// Exposure: normal, short, long or custom.
            rpi_camera_exposure "rpiCameraExposure" NotInEffect: String = "normal".to_owned();
            /// White balance: auto, incandescent, tungsten, fluorescent, indoor, daylight, cloudy or custom.
            rpi_camera_awb "rpiCameraAWB" NotInEffect: String = "auto".to_owned();
            /// Gains of red and blue for a fixed white balance.
            rpi_camera_awb_gains "rpiCameraAWBGains" NotInEffect: Vec<f64> = vec![0.0, 0.0];
            /// Noise reduction: off, cdn_off, cdn_fast or cdn_hq.
            rpi_camera_denoise "rpiCameraDenoise" NotInEffect: String = "off".to_owned();
            /// Shutter time in microseconds; 0 for automatic.
            rpi_camera_shutter "rpiCameraShutter" NotInEffect: u64 = Default::default();
            /// Metering: centre, spot, matrix or custom.
            rpi_camera_metering "rpiCameraMetering" NotInEffect: String = "centre".to_owned();
            /// Gain; 0 for automatic.
            rpi_camera_gain "rpiCameraGain" NotInEffect: f64 = Default::default();
            /// Exposure compensation, -10 to 10.
            rpi_camera_ev "rpiCameraEV" NotInEffect: f64 = Default::default();
            /// Part of the picture, as x,y,width,height between 0 and 1.
            rpi_camera_roi "rpiCameraROI" NotInEffect: String = Default::default();
            /// High dynamic range.
            rpi_camera_hdr "rpiCameraHDR" NotInEffect: bool = Default::default();
            /// Tuning file.
            rpi_camera_tuning_file "rpiCameraTuningFile" NotInEffect: String = Default::default();
            /// Mode of the sensor, as width:height:bits:packing.
            rpi_camera_mode "rpiCameraMode" NotInEffect: String = Default::default();
            /// Frames per second.
            rpi_camera_fps "rpiCameraFPS" NotInEffect: f64 = 30.0;
            /// Autofocus: auto, manual or continuous.
            rpi_camera_af_mode "rpiCameraAfMode" NotInEffect: String = "continuous".to_owned();
            /// Range of the autofocus: normal, macro or full.
            rpi_camera_af_range "rpiCameraAfRange" NotInEffect: String = "normal".to_owned();
            /// Speed of the autofocus: normal or fast.
            rpi_camera_af_speed "rpiCameraAfSpeed" NotInEffect: String = "normal".to_owned();
            /// Position of the lens where focus is manual.
            rpi_camera_lens_position "rpiCameraLensPosition" NotInEffect: f64 = Default::default();
            /// Part of the picture to focus on, as x,y,width,height between 0 and 1.
            rpi_camera_af_window "rpiCameraAfWindow" NotInEffect: String = Default::default();
            /// Flicker period in microseconds; 0 for none.
            rpi_camera_flicker_period "rpiCameraFlickerPeriod" NotInEffect: u64 = Default::default();
            /// Writes a text into the picture.
            rpi_camera_text_overlay_enable "rpiCameraTextOverlayEnable" NotInEffect: bool = Default::default();
            /// The text, with the codes of strftime.
            rpi_camera_text_overlay "rpiCameraTextOverlay" NotInEffect: String = "%Y-%m-%d %H:%M:%S - MediaMTX".to_owned();
            /// Codec: auto, hardwareH264, softwareH264 or mjpeg.
            rpi_camera_codec "rpiCameraCodec" NotInEffect: String = "auto".to_owned();
            /// Frames between key frames.
            rpi_camera_idr_period "rpiCameraIDRPeriod" NotInEffect: u64 = 60;
            /// Bits per second.
            rpi_camera_bitrate "rpiCameraBitrate" NotInEffect: u64 = 5000000;
            /// H.264 profile: auto, baseline, main or high.
            rpi_camera_h264_profile "rpiCameraH264Profile" NotInEffect: String = "auto".to_owned();
            /// H.264 level: 4.0, 4.1 or 4.2.
            rpi_camera_h264_level "rpiCameraH264Level" NotInEffect: String = "4.1".to_owned();
            /// Quality of M-JPEG, 0 to 100.
            rpi_camera_mjpeg_quality "rpiCameraMJPEGQuality" NotInEffect: u64 = 60;
        }
        "Hooks" {
            /// Command that runs as long as the path is configured.
            run_on_init "runOnInit" Paths: String = Default::default();
            /// Starts `runOnInit` again when it exits.
            run_on_init_restart "runOnInitRestart" Paths: bool = Default::default();
            /// Command that publishes while somebody wants to read.
            run_on_demand "runOnDemand" NotInEffect: String = Default::default();
            /// Starts `runOnDemand` again when it exits.
            run_on_demand_restart "runOnDemandRestart" NotInEffect: bool = Default::default();
            /// How long readers wait for `runOnDemand` to publish.
            run_on_demand_start_timeout "runOnDemandStartTimeout" NotInEffect: Duration = Duration::from_secs(10);
            /// `runOnDemand` is ended after this time without a reader.
            run_on_demand_close_after "runOnDemandCloseAfter" NotInEffect: Duration = Duration::from_secs(10);
            /// Command that runs when the last reader has left.
            run_on_un_demand "runOnUnDemand" NotInEffect: String = Default::default();
            /// Command that runs while the stream can be read.
            run_on_available "runOnAvailable" Paths: String = Default::default();
            /// Starts `runOnAvailable` again when it exits.
            run_on_available_restart "runOnAvailableRestart" Paths: bool = Default::default();
            /// Command that runs when the stream can no longer be read.
            run_on_unavailable "runOnUnavailable" Paths: String = Default::default();
            /// Command that runs while a publisher is there.
            run_on_online "runOnOnline" Paths: String = Default::default();
            /// Starts `runOnOnline` again when it exits.
            run_on_online_restart "runOnOnlineRestart" Paths: bool = Default::default();
            /// Command that runs when the publisher has left.
            run_on_offline "runOnOffline" Paths: String = Default::default();
            /// Command that runs while a client reads.
            run_on_read "runOnRead" Paths: String = Default::default();
            /// Starts `runOnRead` again when it exits.
            run_on_read_restart "runOnReadRestart" Paths: bool = Default::default();
            /// Command that runs when a client has stopped reading.
            run_on_unread "runOnUnread" Paths: String = Default::default();
            /// Command that runs when a recording's file is begun.
            run_on_record_segment_create "runOnRecordSegmentCreate" NotInEffect: String = Default::default();
            /// Command that runs when a recording's file is complete.
            run_on_record_segment_complete "runOnRecordSegmentComplete" NotInEffect: String = Default::default();
        }
    }
}
