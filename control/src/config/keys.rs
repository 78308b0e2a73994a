//! Every key of the configuration: its name, type and default.

use super::values::*;
use std::time::Duration;

macro_rules! keys {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $field:ident $key:literal: $type:ty = $default:expr;)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) struct $name { $($(#[$doc])* pub(crate) $field: $type,)+ }

        impl Default for $name {
            fn default() -> $name {
                $name { $($field: $default,)+ }
            }
        }
    };
}

keys! {
    Global {
        log_level "logLevel": LogLevel = LogLevel::Info;
        log_destinations "logDestinations": Vec<LogDestination> = vec![LogDestination::Stdout];
        log_structured "logStructured": bool = false;
        log_file "logFile": String = "mediamtx.log".to_owned();
        sys_log_prefix "sysLogPrefix": String = "mediamtx".to_owned();
        dump_packets "dumpPackets": bool = Default::default();
        read_timeout "readTimeout": Duration = Duration::from_secs(10);
        write_timeout "writeTimeout": Duration = Duration::from_secs(10);
        write_queue_size "writeQueueSize": u64 = 512;
        udp_max_payload_size "udpMaxPayloadSize": u64 = 1452;
        udp_read_buffer_size "udpReadBufferSize": u64 = Default::default();
        run_on_connect "runOnConnect": String = Default::default();
        run_on_connect_restart "runOnConnectRestart": bool = Default::default();
        run_on_disconnect "runOnDisconnect": String = Default::default();
        auth_method "authMethod": AuthMethod = AuthMethod::Internal;
        auth_internal_users "authInternalUsers": Vec<InternalUser> = InternalUser::defaults();
        auth_http_address "authHTTPAddress": String = Default::default();
        auth_http_fingerprint "authHTTPFingerprint": String = Default::default();
        auth_http_exclude "authHTTPExclude": Vec<Permission> = Default::default();
        auth_jwt_jwks "authJWTJWKS": String = Default::default();
        auth_jwt_jwks_fingerprint "authJWTJWKSFingerprint": String = Default::default();
        auth_jwt_claim_key "authJWTClaimKey": String = "mediamtx_permissions".to_owned();
        auth_jwt_exclude "authJWTExclude": Vec<Permission> = Default::default();
        auth_jwt_issuer "authJWTIssuer": String = Default::default();
        auth_jwt_audience "authJWTAudience": String = Default::default();
        api "api": bool = Default::default();
        api_address "apiAddress": String = ":9997".to_owned();
        api_encryption "apiEncryption": bool = Default::default();
        api_server_key "apiServerKey": String = "server.key".to_owned();
        api_server_cert "apiServerCert": String = "server.crt".to_owned();
        api_allow_origins "apiAllowOrigins": Vec<String> = vec!["*".to_owned()];
        api_trusted_proxies "apiTrustedProxies": Networks = Default::default();
        metrics "metrics": bool = Default::default();
        metrics_address "metricsAddress": String = ":9998".to_owned();
        metrics_encryption "metricsEncryption": bool = Default::default();
        metrics_server_key "metricsServerKey": String = "server.key".to_owned();
        metrics_server_cert "metricsServerCert": String = "server.crt".to_owned();
        metrics_allow_origins "metricsAllowOrigins": Vec<String> = vec!["*".to_owned()];
        metrics_trusted_proxies "metricsTrustedProxies": Networks = Default::default();
        pprof "pprof": bool = Default::default();
        pprof_address "pprofAddress": String = ":9999".to_owned();
        pprof_encryption "pprofEncryption": bool = Default::default();
        pprof_server_key "pprofServerKey": String = "server.key".to_owned();
        pprof_server_cert "pprofServerCert": String = "server.crt".to_owned();
        pprof_allow_origins "pprofAllowOrigins": Vec<String> = vec!["*".to_owned()];
        pprof_trusted_proxies "pprofTrustedProxies": Networks = Default::default();
        playback "playback": bool = Default::default();
        playback_address "playbackAddress": String = ":9996".to_owned();
        playback_encryption "playbackEncryption": bool = Default::default();
        playback_server_key "playbackServerKey": String = "server.key".to_owned();
        playback_server_cert "playbackServerCert": String = "server.crt".to_owned();
        playback_allow_origins "playbackAllowOrigins": Vec<String> = vec!["*".to_owned()];
        playback_trusted_proxies "playbackTrustedProxies": Networks = Default::default();
        rtsp "rtsp": bool = true;
        rtsp_transports "rtspTransports": Vec<RtspTransport> = vec![RtspTransport::Udp, RtspTransport::Multicast, RtspTransport::Tcp];
        rtsp_encryption "rtspEncryption": Encryption = Encryption::No;
        rtsp_address "rtspAddress": String = ":8554".to_owned();
        rtsps_address "rtspsAddress": String = ":8322".to_owned();
        rtp_address "rtpAddress": String = ":8000".to_owned();
        rtcp_address "rtcpAddress": String = ":8001".to_owned();
        multicast_ip_range "multicastIPRange": String = "224.1.0.0/16".to_owned();
        multicast_rtp_port "multicastRTPPort": u64 = 8002;
        multicast_rtcp_port "multicastRTCPPort": u64 = 8003;
        srtp_address "srtpAddress": String = ":8004".to_owned();
        srtcp_address "srtcpAddress": String = ":8005".to_owned();
        multicast_srtp_port "multicastSRTPPort": u64 = 8006;
        multicast_srtcp_port "multicastSRTCPPort": u64 = 8007;
        rtsp_server_key "rtspServerKey": String = "server.key".to_owned();
        rtsp_server_cert "rtspServerCert": String = "server.crt".to_owned();
        rtsp_auth_methods "rtspAuthMethods": Vec<RtspAuthMethod> = vec![RtspAuthMethod::Basic];
        rtsp_trusted_proxies "rtspTrustedProxies": Networks = Default::default();
        rtmp "rtmp": bool = true;
        rtmp_encryption "rtmpEncryption": Encryption = Encryption::No;
        rtmp_address "rtmpAddress": String = ":1935".to_owned();
        rtmps_address "rtmpsAddress": String = ":1936".to_owned();
        rtmp_server_key "rtmpServerKey": String = "server.key".to_owned();
        rtmp_server_cert "rtmpServerCert": String = "server.crt".to_owned();
        rtmp_trusted_proxies "rtmpTrustedProxies": Networks = Default::default();
        hls "hls": bool = true;
        hls_address "hlsAddress": String = ":8888".to_owned();
        hls_encryption "hlsEncryption": bool = Default::default();
        hls_server_key "hlsServerKey": String = "server.key".to_owned();
        hls_server_cert "hlsServerCert": String = "server.crt".to_owned();
        hls_allow_origins "hlsAllowOrigins": Vec<String> = vec!["*".to_owned()];
        hls_trusted_proxies "hlsTrustedProxies": Networks = Default::default();
        hls_always_remux "hlsAlwaysRemux": bool = Default::default();
        hls_variant "hlsVariant": HlsVariant = HlsVariant::LowLatency;
        hls_segment_count "hlsSegmentCount": u64 = 7;
        hls_segment_duration "hlsSegmentDuration": Duration = Duration::from_secs(1);
        hls_part_duration "hlsPartDuration": Duration = Duration::from_millis(200);
        hls_segment_max_size "hlsSegmentMaxSize": Size = Size(50 * 1024 * 1024);
        hls_directory "hlsDirectory": String = Default::default();
        hls_muxer_close_after "hlsMuxerCloseAfter": Duration = Duration::from_secs(60);
        hls_cdn_secret "hlsCDNSecret": String = Default::default();
        webrtc "webrtc": bool = true;
        webrtc_address "webrtcAddress": String = ":8889".to_owned();
        webrtc_encryption "webrtcEncryption": bool = Default::default();
        webrtc_server_key "webrtcServerKey": String = "server.key".to_owned();
        webrtc_server_cert "webrtcServerCert": String = "server.crt".to_owned();
        webrtc_allow_origins "webrtcAllowOrigins": Vec<String> = vec!["*".to_owned()];
        webrtc_trusted_proxies "webrtcTrustedProxies": Networks = Default::default();
        webrtc_local_udp_address "webrtcLocalUDPAddress": String = ":8189".to_owned();
        webrtc_local_tcp_address "webrtcLocalTCPAddress": String = Default::default();
        webrtc_ips_from_interfaces "webrtcIPsFromInterfaces": bool = true;
        webrtc_ips_from_interfaces_list "webrtcIPsFromInterfacesList": Vec<String> = Default::default();
        webrtc_additional_hosts "webrtcAdditionalHosts": Vec<String> = Default::default();
        webrtc_ice_servers2 "webrtcICEServers2": Vec<IceServer> = Default::default();
        webrtc_stun_gather_timeout "webrtcSTUNGatherTimeout": Duration = Duration::from_secs(5);
        webrtc_handshake_timeout "webrtcHandshakeTimeout": Duration = Duration::from_secs(10);
        webrtc_track_gather_timeout "webrtcTrackGatherTimeout": Duration = Duration::from_secs(2);
        srt "srt": bool = true;
        srt_address "srtAddress": String = ":8890".to_owned();
        moq "moq": bool = true;
        moq_http2_address "moqHTTP2Address": String = ":8892".to_owned();
        moq_http3_address "moqHTTP3Address": String = ":8892".to_owned();
        moq_quic_address "moqQUICAddress": String = ":8893".to_owned();
        moq_server_key "moqServerKey": String = "auto.key".to_owned();
        moq_server_cert "moqServerCert": String = "auto.crt".to_owned();
        moq_allow_origins "moqAllowOrigins": Vec<String> = vec!["*".to_owned()];
        moq_trusted_proxies "moqTrustedProxies": Networks = Default::default();
        /// Threads that carry media; 0 is one per processor less one for control.
        shards "shards": u64 = 0;
        /// An RTSP session without request or RTCP is closed after this.
        rtsp_session_timeout "rtspSessionTimeout": Duration = Duration::from_secs(60);
        /// Changes made through the API are written back to the configuration file.
        api_persist "apiPersist": bool = false;
        /// An authentication that takes longer is refused.
        auth_timeout "authTimeout": Duration = Duration::from_secs(10);
        /// How long an answer of the authentication server holds for the same credentials, address, action and path; 0 asks every time.
        auth_cache "authCache": Duration = Duration::ZERO;
        /// URL that gets a POST for every event of the hooks.
        webhook_address "webhookAddress": String = String::new();
        /// Events that are sent; empty for all.
        webhook_events "webhookEvents": Vec<String> = Vec::new();
        /// How long one delivery may take.
        webhook_timeout "webhookTimeout": Duration = Duration::from_secs(10);
        /// Attempts after the first one; the pause doubles each time.
        webhook_retries "webhookRetries": u64 = 8;
        /// A hook that is told to end is killed after this.
        hook_stop_timeout "hookStopTimeout": Duration = Duration::from_secs(5);
        /// Connections of the whole server; 0 is as many as descriptors allow.
        connections_max "connectionsMax": u64 = 0;
        /// Paths that are live at once.
        paths_max "pathsMax": u64 = 100000;
        /// Requests per second that one connection may make in the long run.
        request_rate "requestRate": f64 = 50.0;
        /// Requests that one connection may make at once.
        request_burst "requestBurst": f64 = 200.0;
        /// Bytes of recent media that one stream holds on one shard.
        stream_log_size "streamLogSize": Size = Size(32 * 1024 * 1024);
        /// Log lines that wait for a slow destination before lines are dropped.
        log_buffer_lines "logBufferLines": u64 = 8192;
    }
}

keys! {
    PathConfiguration {
        source "source": String = "publisher".to_owned();
        source_fingerprint "sourceFingerprint": String = Default::default();
        source_on_demand "sourceOnDemand": bool = Default::default();
        source_on_demand_start_timeout "sourceOnDemandStartTimeout": Duration = Duration::from_secs(10);
        source_on_demand_close_after "sourceOnDemandCloseAfter": Duration = Duration::from_secs(10);
        max_readers "maxReaders": u64 = Default::default();
        srt_read_passphrase "srtReadPassphrase": String = Default::default();
        use_absolute_timestamp "useAbsoluteTimestamp": bool = Default::default();
        always_available "alwaysAvailable": bool = Default::default();
        always_available_tracks "alwaysAvailableTracks": Vec<AlwaysAvailableTrack> = Default::default();
        always_available_file "alwaysAvailableFile": String = Default::default();
        forward "forward": Vec<ForwardTarget> = Default::default();
        record "record": bool = Default::default();
        record_path "recordPath": String = "./recordings/%path/%Y-%m-%d_%H-%M-%S-%f".to_owned();
        record_format "recordFormat": RecordFormat = RecordFormat::Fmp4;
        record_part_duration "recordPartDuration": Duration = Duration::from_secs(1);
        record_max_part_size "recordMaxPartSize": Size = Size(50 * 1024 * 1024);
        record_segment_duration "recordSegmentDuration": Duration = Duration::from_secs(3600);
        record_delete_after "recordDeleteAfter": Duration = Duration::from_secs(86400);
        override_publisher "overridePublisher": bool = true;
        srt_publish_passphrase "srtPublishPassphrase": String = Default::default();
        rtsp_demux_mpegts "rtspDemuxMpegts": bool = Default::default();
        rtsp_transport "rtspTransport": SourceTransport = Default::default();
        rtsp_any_port "rtspAnyPort": bool = Default::default();
        rtsp_range_type "rtspRangeType": RtspRangeType = Default::default();
        rtsp_range_start "rtspRangeStart": String = Default::default();
        rtsp_scale "rtspScale": String = Default::default();
        rtsp_udp_source_port_range "rtspUDPSourcePortRange": Vec<u64> = vec![32768, 60999];
        rtp_sdp "rtpSDP": String = Default::default();
        moq_transport "moqTransport": MoqTransport = MoqTransport::Quic;
        whep_bearer_token "whepBearerToken": String = Default::default();
        whep_stun_gather_timeout "whepSTUNGatherTimeout": Duration = Duration::from_secs(5);
        whep_handshake_timeout "whepHandshakeTimeout": Duration = Duration::from_secs(10);
        whep_track_gather_timeout "whepTrackGatherTimeout": Duration = Duration::from_secs(2);
        source_redirect "sourceRedirect": String = Default::default();
        rpi_camera_cam_id "rpiCameraCamID": u64 = Default::default();
        rpi_camera_secondary "rpiCameraSecondary": bool = Default::default();
        rpi_camera_width "rpiCameraWidth": u64 = 1920;
        rpi_camera_height "rpiCameraHeight": u64 = 1080;
        rpi_camera_h_flip "rpiCameraHFlip": bool = Default::default();
        rpi_camera_v_flip "rpiCameraVFlip": bool = Default::default();
        rpi_camera_brightness "rpiCameraBrightness": f64 = Default::default();
        rpi_camera_contrast "rpiCameraContrast": f64 = 1.0;
        rpi_camera_saturation "rpiCameraSaturation": f64 = 1.0;
        rpi_camera_sharpness "rpiCameraSharpness": f64 = 1.0;
        rpi_camera_exposure "rpiCameraExposure": String = "normal".to_owned();
        rpi_camera_awb "rpiCameraAWB": String = "auto".to_owned();
        rpi_camera_awb_gains "rpiCameraAWBGains": Vec<f64> = vec![0.0, 0.0];
        rpi_camera_denoise "rpiCameraDenoise": String = "off".to_owned();
        rpi_camera_shutter "rpiCameraShutter": u64 = Default::default();
        rpi_camera_metering "rpiCameraMetering": String = "centre".to_owned();
        rpi_camera_gain "rpiCameraGain": f64 = Default::default();
        rpi_camera_ev "rpiCameraEV": f64 = Default::default();
        rpi_camera_roi "rpiCameraROI": String = Default::default();
        rpi_camera_hdr "rpiCameraHDR": bool = Default::default();
        rpi_camera_tuning_file "rpiCameraTuningFile": String = Default::default();
        rpi_camera_mode "rpiCameraMode": String = Default::default();
        rpi_camera_fps "rpiCameraFPS": f64 = 30.0;
        rpi_camera_af_mode "rpiCameraAfMode": String = "continuous".to_owned();
        rpi_camera_af_range "rpiCameraAfRange": String = "normal".to_owned();
        rpi_camera_af_speed "rpiCameraAfSpeed": String = "normal".to_owned();
        rpi_camera_lens_position "rpiCameraLensPosition": f64 = Default::default();
        rpi_camera_af_window "rpiCameraAfWindow": String = Default::default();
        rpi_camera_flicker_period "rpiCameraFlickerPeriod": u64 = Default::default();
        rpi_camera_text_overlay_enable "rpiCameraTextOverlayEnable": bool = Default::default();
        rpi_camera_text_overlay "rpiCameraTextOverlay": String = "%Y-%m-%d %H:%M:%S - MediaMTX".to_owned();
        rpi_camera_codec "rpiCameraCodec": String = "auto".to_owned();
        rpi_camera_idr_period "rpiCameraIDRPeriod": u64 = 60;
        rpi_camera_bitrate "rpiCameraBitrate": u64 = 5000000;
        rpi_camera_h264_profile "rpiCameraH264Profile": String = "auto".to_owned();
        rpi_camera_h264_level "rpiCameraH264Level": String = "4.1".to_owned();
        rpi_camera_mjpeg_quality "rpiCameraMJPEGQuality": u64 = 60;
        run_on_init "runOnInit": String = Default::default();
        run_on_init_restart "runOnInitRestart": bool = Default::default();
        run_on_demand "runOnDemand": String = Default::default();
        run_on_demand_restart "runOnDemandRestart": bool = Default::default();
        run_on_demand_start_timeout "runOnDemandStartTimeout": Duration = Duration::from_secs(10);
        run_on_demand_close_after "runOnDemandCloseAfter": Duration = Duration::from_secs(10);
        run_on_un_demand "runOnUnDemand": String = Default::default();
        run_on_available "runOnAvailable": String = Default::default();
        run_on_available_restart "runOnAvailableRestart": bool = Default::default();
        run_on_unavailable "runOnUnavailable": String = Default::default();
        run_on_online "runOnOnline": String = Default::default();
        run_on_online_restart "runOnOnlineRestart": bool = Default::default();
        run_on_offline "runOnOffline": String = Default::default();
        run_on_read "runOnRead": String = Default::default();
        run_on_read_restart "runOnReadRestart": bool = Default::default();
        run_on_unread "runOnUnread": String = Default::default();
        run_on_record_segment_create "runOnRecordSegmentCreate": String = Default::default();
        run_on_record_segment_complete "runOnRecordSegmentComplete": String = Default::default();
        /// At most one write per reader in this time: delay traded for density (up to 500ms).
        delivery_window "deliveryWindow": Duration = Duration::ZERO;
        /// How long readers stay when their publisher is gone, in case it comes back with the same tracks.
        publisher_grace "publisherGrace": Duration = Duration::from_secs(5);
    }
}

// Deprecated keys (accepted, mapped to the new one):
//   global readBufferCount: u64
//   global externalAuthenticationURL: String
//   global authJWTInHTTPQuery: bool
//   global apiAllowOrigin: String
//   global metricsAllowOrigin: String
//   global pprofAllowOrigin: String
//   global playbackAllowOrigin: String
//   global rtspDisable: bool
//   global protocols: Vec<RtspTransport>
//   global encryption: Encryption
//   global serverKey: String
//   global serverCert: String
//   global authMethods: Vec<RtspAuthMethod>
//   global rtspUDPReadBufferSize: u64
//   global rtmpDisable: bool
//   global hlsDisable: bool
//   global hlsAllowOrigin: String
//   global webrtcDisable: bool
//   global webrtcAllowOrigin: String
//   global webrtcICEUDPMuxAddress: String
//   global webrtcICETCPMuxAddress: String
//   global webrtcICEHostNAT1To1IPs: Vec<String>
//   global webrtcICEServers: Vec<String>
//   global moqHTTPS2Address: String
//   global moqHTTPS3Address: String
//   global record: bool
//   global recordPath: String
//   global recordFormat: RecordFormat
//   global recordPartDuration: Duration
//   global recordSegmentDuration: Duration
//   global recordDeleteAfter: Duration
//   path fallback: String
//   path playback: bool
//   path publishUser: Credential
//   path publishPass: Credential
//   path publishIPs: Networks
//   path readUser: Credential
//   path readPass: Credential
//   path readIPs: Networks
//   path disablePublisherOverride: bool
//   path sourceProtocol: SourceTransport
//   path sourceAnyPortEnable: bool
//   path rtspUDPReadBufferSize: u64
//   path mpegtsUDPReadBufferSize: u64
//   path rtpUDPReadBufferSize: u64
//   path rpiCameraProfile: String
//   path rpiCameraLevel: String
//   path rpiCameraHardwareH264Profile: String
//   path rpiCameraHardwareH264Level: String
//   path rpiCameraSoftwareH264Profile: String
//   path rpiCameraSoftwareH264Level: String
//   path rpiCameraJPEGQuality: u64
//   path runOnReady: String
//   path runOnReadyRestart: bool
//   path runOnNotReady: String
