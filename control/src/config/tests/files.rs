//! Whole files: every key, every form, deprecated keys, paths, and printing.

use super::{Scratch, configuration, read};
use crate::config::keys::{Global, PathConfiguration};
use crate::config::setting::Secrets;
use crate::config::values::{Action, Encryption, Networks, RtspTransport};
use crate::config::{Configuration, Effect, default_file, load, reference};
use std::time::Duration;

/// MediaMTX's keys, without the deprecated ones.
const GLOBAL: &str = "logLevel logDestinations logStructured logFile sysLogPrefix dumpPackets readTimeout writeTimeout \
    writeQueueSize udpMaxPayloadSize udpReadBufferSize runOnConnect runOnConnectRestart runOnDisconnect authMethod \
    authInternalUsers authHTTPAddress authHTTPFingerprint authHTTPExclude authJWTJWKS authJWTJWKSFingerprint \
    authJWTClaimKey authJWTExclude authJWTIssuer authJWTAudience rtsp rtspTransports rtspEncryption rtspAddress \
    rtspsAddress rtpAddress rtcpAddress multicastIPRange multicastRTPPort multicastRTCPPort srtpAddress srtcpAddress \
    multicastSRTPPort multicastSRTCPPort rtspServerKey rtspServerCert rtspAuthMethods rtspTrustedProxies rtmp \
    rtmpEncryption rtmpAddress rtmpsAddress rtmpServerKey rtmpServerCert rtmpTrustedProxies hlsAlwaysRemux hlsVariant \
    hlsSegmentCount hlsSegmentDuration hlsPartDuration hlsSegmentMaxSize hlsDirectory hlsMuxerCloseAfter hlsCDNSecret \
    webrtcLocalUDPAddress webrtcLocalTCPAddress webrtcIPsFromInterfaces webrtcIPsFromInterfacesList \
    webrtcAdditionalHosts webrtcICEServers2 webrtcSTUNGatherTimeout webrtcHandshakeTimeout webrtcTrackGatherTimeout srt \
    srtAddress moq moqHTTP2Address moqHTTP3Address moqQUICAddress moqServerKey moqServerCert moqAllowOrigins \
    moqTrustedProxies";
const WEB_SERVERS: [&str; 6] = ["api", "metrics", "pprof", "playback", "hls", "webrtc"];
const WEB_SERVER: [&str; 7] =
    ["", "Address", "Encryption", "ServerKey", "ServerCert", "AllowOrigins", "TrustedProxies"];
const PATH: &str = "source sourceFingerprint sourceOnDemand sourceOnDemandStartTimeout sourceOnDemandCloseAfter \
    maxReaders srtReadPassphrase fallback useAbsoluteTimestamp alwaysAvailable alwaysAvailableTracks \
    alwaysAvailableFile forward record recordPath recordFormat recordPartDuration recordMaxPartSize \
    recordSegmentDuration recordDeleteAfter overridePublisher srtPublishPassphrase rtspDemuxMpegts rtspTransport \
    rtspAnyPort rtspRangeType rtspRangeStart rtspScale rtspUDPSourcePortRange rtpSDP moqTransport whepBearerToken \
    whepSTUNGatherTimeout whepHandshakeTimeout whepTrackGatherTimeout sourceRedirect runOnInit runOnInitRestart \
    runOnDemand runOnDemandRestart runOnDemandStartTimeout runOnDemandCloseAfter runOnUnDemand runOnAvailable \
    runOnAvailableRestart runOnUnavailable runOnOnline runOnOnlineRestart runOnOffline runOnRead runOnReadRestart \
    runOnUnread runOnRecordSegmentCreate runOnRecordSegmentComplete";
const CAMERA: &str = "CamID Secondary Width Height HFlip VFlip Brightness Contrast Saturation Sharpness Exposure AWB \
    AWBGains Denoise Shutter Metering Gain EV ROI HDR TuningFile Mode FPS AfMode AfRange AfSpeed LensPosition AfWindow \
    FlickerPeriod TextOverlayEnable TextOverlay Codec IDRPeriod Bitrate H264Profile H264Level MJPEGQuality";
/// Keys that MediaMTX does not have.
const OWN: &str = "shards rtspSessionTimeout apiPersist authTimeout authCache webhookAddress webhookEvents \
    webhookTimeout webhookRetries hookStopTimeout connectionsMax pathsMax requestRate requestBurst streamLogSize \
    logBufferLines";

#[test]
fn the_table_has_every_key_once() {
    let mut global: Vec<String> =
        GLOBAL.split_whitespace().chain(OWN.split_whitespace()).map(String::from).collect();
    for server in WEB_SERVERS {
        global.extend(WEB_SERVER.iter().map(|key| format!("{server}{key}")));
    }
    let camera = CAMERA.split_whitespace().map(|key| format!("rpiCamera{key}"));
    let own = ["deliveryWindow", "publisherGrace"].into_iter();
    let mut path: Vec<String> = PATH.split_whitespace().chain(own).map(String::from).chain(camera).collect();
    let mut known: Vec<String> = Global::KEYS.iter().map(|key| key.name.to_owned()).collect();
    let mut known_path: Vec<String> = PathConfiguration::KEYS.iter().map(|key| key.name.to_owned()).collect();
    for list in [&mut global, &mut path, &mut known, &mut known_path] {
        list.sort();
    }
    assert_eq!(known, global);
    assert_eq!(known_path, path);
}

#[test]
fn a_file_of_zeroes_is_no_empty_configuration() {
    for text in ["\0", "logLevel: info\n\0rest: [", "a: \u{1b}[31m"] {
        let malformed = crate::config::yaml::parse(text).expect_err(text);
        assert!(malformed[0].message.contains("control character"), "{malformed:?}");
    }
    assert!(crate::config::yaml::parse("logLevel: info # a\tcomment\r\n").is_ok());
}

#[test]
fn every_key_is_accepted_with_its_default() {
    let text = Configuration::default().yaml_with(Secrets::Shown);
    let read = configuration(&text);
    assert_eq!(read.global, Global::default());
    assert_eq!(read.path_defaults, PathConfiguration::default());
    assert_eq!(read.given.global.len(), Global::KEYS.len());
    assert!(read.paths.is_empty());
}

#[test]
fn defaults_are_those_of_mediamtx() {
    let text = Configuration::default().yaml_with(Secrets::Shown);
    for line in [
        "logDestinations: [stdout]",
        "readTimeout: 10s",
        "rtspTransports: [multicast, tcp, udp]",
        "rtspEncryption: \"no\"",
        "rtspAddress: \":8554\"",
        "hlsSegmentMaxSize: 50M",
        "hlsPartDuration: 200ms",
        "hlsMuxerCloseAfter: 1m0s",
        "udpMaxPayloadSize: 1452",
        "  recordDeleteAfter: 1d",
        "  recordSegmentDuration: 1h0m0s",
        "  rpiCameraContrast: 1",
        "  rpiCameraH264Level: \"4.1\"",
        "  rtspUDPSourcePortRange: [32768, 60999]",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

/// Every form that values may have.
const FORMS: &str = r#"
# comment
logLevel: "debug"
logDestinations:
  - stdout
  - file
logStructured: ON
readTimeout: 1h2m3.5s
writeTimeout: !!str 300ms
udpReadBufferSize: 0x100000
runOnConnect:
authInternalUsers:
- user: any
  pass:
  ips: ["127.0.0.1", ::1, 10.1.2.3/8]
  permissions:
  - action: publish
    path: ~^cam
  - {action: read, path:}
- {user: "sha256:rl3rgi4NcZkpAEcacZnQ2VuOfJ0FxAqCRaKB/SwdZoQ=", pass: 'a$b', ips: [], permissions: []}
api: Yes
apiAllowOrigins: ['http://*.example.com']
rtspTransports: [tcp, udp, tcp]
rtspEncryption: no
rtmpEncryption: true
rtspAddress: :8555
rtmp: off
hlsSegmentMaxSize: 1.5G
streamLogSize: 1048576
requestRate: 1e2
pathDefaults: &defaults
  recordDeleteAfter: 7d12h
  runOnRead: >-
    folded
    command
paths:
  cam1:
  cam2: {}
  cam3:
    <<: *defaults
    maxReaders: 3
    recordDeleteAfter:
  ~^live/(\w+)(/\d+)?$:
    maxReaders: 4
  "~^live":
  all_others:
"#;

#[test]
fn every_form_is_read() {
    let read = configuration(&FORMS.replace('\n', "\r\n"));
    let global = &read.global;
    assert!(global.log_structured && global.api && !global.rtmp);
    assert_eq!(global.read_timeout, Duration::from_millis(3_723_500));
    assert_eq!(global.write_timeout, Duration::from_millis(300));
    assert_eq!(global.udp_read_buffer_size, 1 << 20);
    assert_eq!(global.auth_internal_users[0].ips.0[2].to_string(), "10.0.0.0/8");
    assert_eq!(global.auth_internal_users[0].permissions[1].action, Action::Read);
    assert_eq!(global.auth_internal_users[1].pass.0, "a$b");
    assert_eq!(global.rtsp_transports, [RtspTransport::Udp, RtspTransport::Tcp]);
    assert_eq!((global.rtsp_encryption, global.rtmp_encryption), (Encryption::No, Encryption::Strict));
    assert_eq!(global.hls_segment_max_size.0, 3 << 29);
    assert_eq!(global.stream_log_size.0, 1 << 20);
    assert_eq!(read.paths.len(), 6);
    let cam3 = &read.paths["cam3"].effective;
    assert_eq!((cam3.max_readers, cam3.run_on_read.as_str()), (3, "folded command"));
    assert_eq!(cam3.record_delete_after, Duration::from_secs(7 * 86_400 + 12 * 3600));
    assert_eq!(read.not_in_effect(), ["recordDeleteAfter of pathDefaults"]);
}

#[test]
fn empty_files_and_empty_maps_are_fine() {
    for text in [
        "",
        "# nothing\n",
        "---\n",
        "{}",
        "paths:\n",
        "paths:\n  cam:\n",
        "pathDefaults:\n",
        "\u{feff}api: no",
    ] {
        let read = configuration(text);
        assert_eq!(read.global, Global::default(), "{text}");
    }
}

#[test]
fn what_is_printed_can_be_read_again() {
    let first = configuration(FORMS);
    let printed = first.yaml_with(Secrets::Shown);
    let again = configuration(&printed);
    assert!(first.difference(&again).is_empty(), "{printed}");
    assert_eq!(first.paths.keys().collect::<Vec<_>>(), again.paths.keys().collect::<Vec<_>>());
    let strange = "a\"b\\c\u{7f}\u{85}\u{2028}\u{1F600}é\t: # '";
    let mut odd = first.clone();
    odd.global.log_file = strange.to_owned();
    assert_eq!(configuration(&odd.yaml_with(Secrets::Shown)).global.log_file, strange);
}

#[test]
fn printing_for_people_hides_secrets() {
    let text = "authInternalUsers: [{user: a, pass: hunter2, permissions: []}]\nhlsCDNSecret: hunter2\npaths:\n  cam:\n    \
                source: rtsp://u:hunter2@host/x\n    srtReadPassphrase: hunter2hunter2\n    whepBearerToken: hunter2\n    \
                forward: [{dest: 'rtmp://u:hunter2@h/x', whipBearerToken: hunter2}]\n";
    let configuration = configuration(text);
    assert!(!configuration.yaml().contains("hunter2"));
    assert!(!format!("{:?}", configuration.paths).contains("hunter2"));
    assert!(!format!("{:?}", configuration.given).contains("hunter2"));
    // And what hides secrets is not taken for a configuration.
    assert!(read(&configuration.yaml()).is_err());
}

#[test]
fn deprecated_keys_become_their_successors() {
    let text = "protocols: [tcp]\nencryption: yes\nrtmpDisable: yes\nhlsAllowOrigin: http://a\nreadBufferCount: 1024\n\
                webrtcICEServers: ['turn:me:secret:host:3478', 'stun:host:3478']\nrecordPath: '%path/%s'\n\
                externalAuthenticationURL: http://a/b\npaths:\n  cam:\n    disablePublisherOverride: yes\n    \
                runOnReady: command\n    runOnReadyRestart: yes\n    sourceProtocol: tcp\n    playback: no\n";
    let loaded = read(text).expect("valid");
    let global = &loaded.configuration.global;
    assert_eq!(global.rtsp_transports, [RtspTransport::Tcp]);
    assert_eq!(global.rtsp_encryption, Encryption::Strict);
    assert!(!global.rtmp);
    assert_eq!(global.hls_allow_origins, ["http://a"]);
    assert_eq!(global.write_queue_size, 1024);
    assert_eq!(global.auth_http_address, "http://a/b");
    assert_eq!(global.webrtc_ice_servers2[0].url, "turn:host:3478");
    assert_eq!(global.webrtc_ice_servers2[0].password.0, "secret");
    assert_eq!(global.webrtc_ice_servers2[1].url, "stun:host:3478");
    let cam = &loaded.configuration.paths["cam"].effective;
    assert_eq!(cam.record_path, "%path/%s");
    assert!(!cam.override_publisher && cam.run_on_available_restart);
    assert_eq!(cam.run_on_available, "command");
    assert_eq!(loaded.warnings.len(), 13);
    let first = loaded.warnings[0].to_string();
    assert!(first.ends_with(":1: protocols: the key is deprecated; write rtspTransports instead"), "{first}");
}

#[test]
fn users_of_paths_become_internal_users() {
    let text = "pathDefaults:\n  publishUser: p\n  publishPass: q\npaths:\n  cam:\n    readUser: r\n    readPass: s\n    \
                readIPs: [10.0.0.0/8]\n  all:\n";
    let users = configuration(text).global.auth_internal_users;
    let of = |n: usize| {
        (users[n].user.0.as_str(), users[n].pass.0.as_str(), users[n].permissions[0].path.as_str())
    };
    assert_eq!(users.len(), 6);
    assert_eq!(users[0].permissions.len(), 1);
    assert_eq!(of(2), ("p", "q", "~^.*$"));
    assert_eq!(of(3), ("any", "", "~^.*$"));
    assert_eq!(of(4), ("p", "q", "cam"));
    assert_eq!(of(5), ("r", "s", "cam"));
    assert_eq!(users[5].ips, Networks(vec!["10.0.0.0/8".parse().expect("a network")]));
}

#[test]
fn names_are_found_exactly_then_by_expression_then_by_the_rest() {
    let configuration = configuration(FORMS);
    let find = |name: &str| configuration.find_path(name).map(|found| (found.name.to_owned(), found.groups));
    assert_eq!(find("cam1"), Some(("cam1".to_owned(), vec![])));
    // The order of the texts: the shorter one comes first.
    assert_eq!(find("live/a/1"), Some(("~^live".to_owned(), vec![])));
    assert_eq!(find("other"), Some(("all_others".to_owned(), vec![])));
    assert_eq!(find("../etc"), None);
    assert_eq!(find(""), None);
    assert_eq!(find("all_others").map(|found| found.0), Some("all_others".to_owned()));
    let mut without = configuration.clone();
    without.paths.remove("~^live");
    let found = without.find_path("live/a").expect("found");
    assert_eq!((found.path.max_readers, found.groups), (4, vec!["a".to_owned(), String::new()]));
}

#[test]
fn differences_name_keys_and_effects() {
    let old = configuration("paths:\n  a:\n  b:\n");
    let new = configuration(
        "readTimeout: 5s\nshards: 3\npathDefaults: {maxReaders: 2}\npaths:\n  a: {maxReaders: 0}\n  c:\n",
    );
    let found: Vec<(String, Effect)> =
        old.difference(&new).into_iter().map(|change| (change.key, change.effect)).collect();
    let expected = [
        ("readTimeout", Effect::Timeouts),
        ("shards", Effect::Restart),
        ("pathDefaults.maxReaders", Effect::Paths),
        ("paths.b", Effect::Paths),
        ("paths.c", Effect::Paths),
    ];
    assert_eq!(found, expected.map(|(key, effect)| (key.to_owned(), effect)));
    assert!(old.difference(&old.clone()).is_empty());
}

#[test]
fn what_has_no_feature_yet_is_listed_once() {
    let text = "rtmp: yes\nhls: true\nhlsSegmentCount: 9\nwebrtc: yes\nsrt: no\nmoq: true\nudpMaxPayloadSize: 1452\n\
                dumpPackets: yes\nrtspTransports: [udp, multicast]\npaths:\n  \
                a: {record: yes}\n  b: {record: yes}\n  c: {record: yes}\n  d: {record: yes}\n  e: {source: 'rtsp://h/x'}\n";
    let found = configuration(text).not_in_effect();
    let expected = [
        "dumpPackets",
        "webrtc",
        "moq",
        "rtspTransports: multicast",
        "source (pulling) of e",
        "record of a, b, c and 1 more",
    ];
    assert_eq!(found, expected);
    assert!(configuration("").not_in_effect().is_empty());
}

#[test]
fn the_reference_page_has_every_key() {
    let page = reference();
    for key in
        Global::KEYS.iter().map(|key| key.name).chain(PathConfiguration::KEYS.iter().map(|key| key.name))
    {
        assert!(page.contains(&format!("| `{key}` |")), "{key}");
    }
    assert!(page.contains("| `protocols` | `rtspTransports` |"));
    assert!(page.contains("| `rtspEncryption` | no, optional or strict | `\"no\"` | RTSP listeners |"));
}

#[test]
fn an_encrypted_file_is_read_with_its_key() {
    use base64::Engine as _;
    use crypto_secretbox::aead::{Aead, KeyInit};
    let mut key = [0; 32];
    key[..16].copy_from_slice(b"testing123testin");
    let nonce = [7; 24];
    let cipher = crypto_secretbox::XSalsa20Poly1305::new(&key.into());
    let sealed = cipher.encrypt(&nonce.into(), b"paths:\n  path1:\n".as_slice()).expect("sealed");
    let text = base64::engine::general_purpose::STANDARD.encode([nonce.as_slice(), &sealed].concat());
    let file = Scratch::new(text.as_bytes());
    let with = |variable: &str, key: &str| {
        load(Some(file.path()), std::iter::once((variable.to_owned(), key.to_owned())), &[])
    };
    for variable in ["RTSP_CONFKEY", "MTX_CONFKEY", "HEADWATER_CONFKEY"] {
        let loaded = with(variable, "testing123testin").expect("decrypted");
        assert!(loaded.configuration.paths.contains_key("path1"));
        assert!(loaded.warnings.is_empty());
    }
    let wrong = with("MTX_CONFKEY", "wrong").expect_err("not decrypted").to_string();
    assert!(wrong.contains("MTX_CONFKEY: the key is wrong"), "{wrong}");
    for bad in ["", "AAAA", "not base64!"] {
        let file = Scratch::new(bad.as_bytes());
        let key = std::iter::once(("MTX_CONFKEY".to_owned(), "k".to_owned()));
        assert!(load(Some(file.path()), key, &[]).is_err(), "{bad}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault() {
    let gone = load(Some(std::path::Path::new("/nonexistent/headwater.yml")), std::iter::empty(), &[]);
    let told = gone.expect_err("no file").to_string();
    assert!(told.starts_with("/nonexistent/headwater.yml: cannot be read: "), "{told}");
    let file = Scratch::new(b"logLevel: info\nlogFile: \xff\n");
    let told = load(Some(file.path()), std::iter::empty(), &[]).expect_err("no UTF-8").to_string();
    assert!(told.ends_with("is not UTF-8 text (line 2)"), "{told}");
}

#[test]
fn aliases_cannot_grow_without_bound() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..12 {
        let items = vec![format!("*a{}", n - 1); 9].join(", ");
        laughs.push_str(&format!("a{n}: &a{n} [{items}]\n"));
    }
    let told = read(&laughs).expect_err("refused").to_string();
    assert!(told.contains("values, aliases included"), "{told}");
    let deep = format!("a: {}{}", "[".repeat(200), "]".repeat(200));
    let told = read(&deep).expect_err("refused").to_string();
    assert!(told.contains("nested deeper than"), "{told}");
    assert!(read(&"[".repeat(100_000)).is_err());
}

#[test]
fn the_default_file_changes_nothing_and_shows_every_key() {
    let text = default_file();
    assert!(configuration(&text).given == Default::default(), "{text}");
    // Without the marks of comments before keys it is a file that says the defaults.
    let uncommented: String = text
        .lines()
        .map(|line| {
            let key = line.strip_prefix('#').filter(|rest| rest.starts_with("  ") || !rest.starts_with(' '));
            format!("{}\n", key.unwrap_or(line))
        })
        .collect();
    let read = configuration(&uncommented);
    assert_eq!((&read.global, &read.path_defaults), (&Global::default(), &PathConfiguration::default()));
    assert_eq!(read.given.global.len(), Global::KEYS.len());
    assert_eq!(read.given.path_defaults.len(), PathConfiguration::KEYS.len());
}
