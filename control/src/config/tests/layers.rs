//! The layers above the file: environment and arguments.

use super::Scratch;
use crate::config::values::{Action, LogLevel, RtspTransport};
use crate::config::{Faults, Loaded, load};
use std::time::Duration;

fn with(text: &str, environment: &[(&str, &str)], arguments: &[&str]) -> Result<Loaded, Faults> {
    let file = Scratch::new(text.as_bytes());
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    load(Some(file.path()), environment, &arguments)
}

fn told(text: &str, environment: &[(&str, &str)], arguments: &[&str]) -> String {
    with(text, environment, arguments).expect_err("faults").to_string()
}

#[test]
fn later_layers_win() {
    let file = "readTimeout: 1s\nwriteTimeout: 1s\nhlsSegmentDuration: 9s\nhlsPartDuration: 1s\nauthTimeout: 1s\n\
                authCache: 1s\n";
    let environment = [
        ("HEADWATER_WRITETIMEOUT", "4s"),
        ("MTX_WRITETIMEOUT", "3s"),
        ("RTSP_HLSPARTDURATION", "2s"),
        ("MTX_HLSPARTDURATION", "3s"),
        ("HEADWATER_AUTHTIMEOUT", "4s"),
        ("RTSP_AUTHCACHE", "2s"),
    ];
    let global = with(file, &environment, &["authTimeout=5s"]).expect("valid").configuration.global;
    let seconds = [
        global.read_timeout,
        global.write_timeout,
        global.hls_part_duration,
        global.auth_timeout,
        global.auth_cache,
    ];
    assert_eq!(seconds.map(|duration| duration.as_secs()), [1, 4, 3, 5, 2]);
}

#[test]
fn variables_set_lists_maps_and_items() {
    let environment = [
        ("MTX_LOGLEVEL", "debug"),
        ("MTX_RTSPTRANSPORTS", "tcp,udp"),
        ("MTX_LOGDESTINATIONS", ""),
        ("MTX_APITRUSTEDPROXIES", "10.0.0.0/8,127.0.0.1"),
        ("MTX_RTSPENCRYPTION", "no"),
        ("MTX_PATHS_CAM1_SOURCE", "rtsp://testing"),
        ("MTX_PATHS_MY_CAM_MAXREADERS", "3"),
        ("MTX_PATHS_CAM2_DISABLEPUBLISHEROVERRIDE", "yes"),
        ("MTX_PATHS_CAM2_FORWARD_0_DEST", "rtmp://host/x"),
        ("MTX_PATHS_ALL_OTHERS_MAXREADERS", "9"),
        ("MTX_PATHDEFAULTS_RTSPUDPSOURCEPORTRANGE", "1000,2000"),
        ("MTX_AUTHINTERNALUSERS_0_IPS", ""),
        ("MTX_AUTHINTERNALUSERS_1_USER", "admin"),
        ("MTX_AUTHINTERNALUSERS_1_PASS", "1234"),
        ("MTX_AUTHINTERNALUSERS_2_USER", "cam"),
        ("MTX_AUTHINTERNALUSERS_2_PERMISSIONS_0_ACTION", "publish"),
        ("MTX_AUTHINTERNALUSERS_2_PERMISSIONS_0_PATH", "cam1"),
    ];
    let loaded = with("paths:\n  cam1:\n    maxReaders: 5\n", &environment, &[]).expect("valid");
    let (global, paths) = (&loaded.configuration.global, &loaded.configuration.paths);
    assert_eq!(global.log_level, LogLevel::Debug);
    assert_eq!(global.rtsp_transports, [RtspTransport::Udp, RtspTransport::Tcp]);
    assert!(global.log_destinations.is_empty());
    assert_eq!(global.api_trusted_proxies.0.len(), 2);
    let names: Vec<&str> = paths.keys().map(String::as_str).collect();
    assert_eq!(names, ["all_others", "cam1", "cam2", "my_cam"]);
    assert_eq!(
        (paths["cam1"].effective.max_readers, &*paths["cam1"].effective.source),
        (5, "rtsp://testing")
    );
    assert_eq!(paths["my_cam"].effective.max_readers, 3);
    assert!(!paths["cam2"].effective.override_publisher);
    assert_eq!(paths["cam2"].effective.forward[0].dest, "rtmp://host/x");
    assert_eq!(paths["cam2"].effective.rtsp_udp_source_port_range, [1000, 2000]);
    let users = &global.auth_internal_users;
    assert_eq!(users.len(), 3);
    assert_eq!(users[0].permissions.len(), 3);
    assert_eq!((&*users[1].user.0, &*users[1].pass.0, users[1].permissions.len()), ("admin", "1234", 3));
    assert_eq!(users[2].permissions[0].action, Action::Publish);
    assert_eq!(users[2].permissions[0].path, "cam1");
}

#[test]
fn arguments_set_everything_too() {
    let arguments = [
        "rtspAddress=:8555",
        "rtspTransports=[tcp]",
        "logDestinations=stdout,file",
        "runOnConnect=",
        "paths.cam.maxReaders=3",
        "paths.a.b.maxReaders=4",
        "paths.whole={maxReaders: 5}",
        "pathDefaults.publisherGrace=1s",
        "authInternalUsers=[{user: x, pass: '1', permissions: [{action: read}]}]",
        "authInternalUsers.0.user=y",
    ];
    let loaded = with("runOnConnect: command\n", &[], &arguments).expect("valid");
    let (global, paths) = (&loaded.configuration.global, &loaded.configuration.paths);
    assert_eq!(global.rtsp_address, ":8555");
    assert_eq!(global.rtsp_transports, [RtspTransport::Tcp]);
    assert_eq!(global.log_destinations.len(), 2);
    assert_eq!(global.run_on_connect, "");
    assert_eq!(paths["cam"].effective.max_readers, 3);
    assert_eq!(paths["a.b"].effective.max_readers, 4);
    assert_eq!(paths["whole"].effective.max_readers, 5);
    assert_eq!(paths["cam"].effective.publisher_grace, Duration::from_secs(1));
    assert_eq!(global.auth_internal_users[0].user.0, "y");
}

#[test]
fn faults_name_the_variable_or_argument() {
    let environment = [("MTX_READTIMEOUT", "soon"), ("MTX_AUTHINTERNALUSERS_7_USER", "x")];
    let arguments =
        ["apiEncryption=maybe", "paths.cam.maxReader=3", "nonsense", "rtpAddress=:8001", "logLevel=[x"];
    let told = told("", &environment, &arguments);
    for line in [
        "readTimeout: must be a duration, not \"soon\": a number is missing (environment variable MTX_READTIMEOUT); \
         write a duration such as 500ms, 10s, 1h30m or 7d",
        "authInternalUsers: item 7 is set but item 2 is not (environment variable MTX_AUTHINTERNALUSERS_7_USER)",
        "apiEncryption: must be yes or no, not \"maybe\" (argument apiEncryption=)",
        "paths.cam.maxReader: there is no such key (argument); did you mean maxReaders?",
        "an argument must be KEY=VALUE, such as readTimeout=5s",
        "rtpAddress: must have an even port (argument rtpAddress=)",
    ] {
        assert!(told.lines().any(|found| found == line), "{line}\n--\n{told}");
    }
}

#[test]
fn unknown_variables_are_warned_of_unless_they_are_others() {
    let environment = [
        ("MTX_READTIMEOUTS", "5s"),
        ("HEADWATER_PATHS_CAM_MAXREADER", "5"),
        ("MTX_PATH", "cam"),
        ("MTX_CONN_ID", "1"),
        ("HEADWATER_TEST_X", "1"),
        ("RTSP_PORT", "8554"),
        ("HOME", "/root"),
    ];
    let warnings: Vec<String> =
        with("", &environment, &[]).expect("valid").warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "the environment variable \"MTX_READTIMEOUTS\" sets no key; did you mean MTX_READTIMEOUT?",
            "the environment variable \"HEADWATER_PATHS_CAM_MAXREADER\" sets no key",
        ]
    );
}

#[test]
fn layers_do_not_hide_that_the_file_is_wrong() {
    let told = told("paths: [a]\n", &[("MTX_PATHS_CAM_MAXREADERS", "1")], &["paths.b.maxReaders=1"]);
    assert!(told.contains("paths: must be a map, not a list"), "{told}");
}

#[test]
fn the_rest_has_the_name_that_the_file_gave_it() {
    let loaded = with("paths:\n  all:\n", &[("MTX_PATHS_ALL_OTHERS_MAXREADERS", "2")], &[]).expect("valid");
    assert_eq!(loaded.configuration.paths["all"].effective.max_readers, 2);
    assert_eq!(loaded.configuration.paths.len(), 1);
}
