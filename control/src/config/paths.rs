//! Paths: their names, which entry of the configuration stands for a name, and what an entry must satisfy.
//!
//! A name is looked up exactly, then in the regular expressions in the order of their texts, then in `all_others`
//! (or `all`).

use super::check;
use super::keys::{Global, PathConfiguration};
use super::node::{Reading, nearest, quoted};
use super::{Configuration, ConfiguredPath};
use regex::{Captures, Regex, RegexBuilder};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use url::Url;

/// Entries for every path that no other entry stands for.
pub(crate) const REST: [&str; 3] = ["all_others", "all", "~^.*$"];
const NAME_BYTES_MAX: usize = 512;
/// Compiled; a program this large matches slowly.
const EXPRESSION_BYTES_MAX: usize = 1 << 20;
const DAY: Duration = Duration::from_secs(86_400);

/// What is wrong with the name of a path.
pub(crate) fn name_fault(name: &str) -> Option<&'static str> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'/' | b'.');
    if name.is_empty() {
        Some("must not be empty")
    } else if name.starts_with('/') || name.ends_with('/') {
        Some("must not begin or end with a slash")
    } else if !name.bytes().all(allowed) {
        Some("may hold letters, digits, underscore, dot, minus and slash only")
    } else if name.split('/').any(|segment| matches!(segment, "." | "..")) {
        Some("must not hold the segments . or ..")
    } else if name.len() > NAME_BYTES_MAX {
        Some("is too long")
    } else {
        None
    }
}

/// Compiles the expression of a path's name or a permission.
///
/// # Errors
/// Why it is none, in one line.
pub(crate) fn regular_expression(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text).size_limit(EXPRESSION_BYTES_MAX).build().map_err(|error| match error {
        regex::Error::Syntax(text) => {
            text.lines().last().unwrap_or("syntax").trim_start_matches("error: ").to_owned()
        }
        _ => "it is too large".to_owned(),
    })
}

/// The expression of an entry's name; `None` for the name of one path.
pub(crate) fn expression_of(name: &str) -> Option<&str> {
    match name {
        "all" | "all_others" => Some("^.*$"),
        _ => name.strip_prefix('~'),
    }
}

/// The regular expressions of a configuration in the order of their matching, made when first needed. A clone begins
/// anew, because its entries may come to differ, but does not compile again what was compiled.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    ready: OnceLock<Arc<Vec<Pattern>>>,
    /// Of the configuration that this one was cloned from.
    before: Option<Arc<Vec<Pattern>>>,
}

#[derive(Clone, Debug)]
struct Pattern {
    expression: Regex,
    /// Of the entry.
    name: String,
}

impl Clone for Patterns {
    fn clone(&self) -> Patterns {
        let before = self.ready.get().or(self.before.as_ref()).cloned();
        Patterns { ready: OnceLock::new(), before }
    }
}

impl Patterns {
    fn of(&self, paths: &BTreeMap<String, Arc<ConfiguredPath>>) -> &[Pattern] {
        self.ready.get_or_init(|| {
            let compiled: HashMap<&str, &Pattern> =
                self.before.iter().flat_map(|before| before.iter()).map(|p| (p.name.as_str(), p)).collect();
            let pattern = |name: &str| match compiled.get(name) {
                Some(pattern) => Some((*pattern).clone()),
                None => {
                    let expression = regular_expression(expression_of(name)?).ok()?;
                    Some(Pattern { expression, name: name.to_owned() })
                }
            };
            // `~` sorts after every character of a plain name.
            let expressions = paths.range("~".to_owned()..).map(|(name, _)| name.as_str());
            let rest = REST.into_iter().filter(|name| paths.contains_key(*name));
            let ordered = expressions.filter(|name| !REST.contains(name)).chain(rest);
            Arc::new(ordered.filter_map(pattern).collect())
        })
    }
}

/// The entry that stands for a path.
#[derive(Debug)]
pub(crate) struct FoundPath<'a> {
    /// Its name in the configuration.
    pub(crate) name: &'a str,
    pub(crate) path: &'a Arc<PathConfiguration>,
    /// The groups of its regular expression, G1 first; empty texts for groups that took no part.
    pub(crate) groups: Vec<String>,
}

impl Configuration {
    /// The entry that stands for the path `name`; `None` where there is none, or the name cannot be a path's.
    pub(crate) fn find_path(&self, name: &str) -> Option<FoundPath<'_>> {
        if name_fault(name).is_some() {
            return None;
        }
        if let Some((name, path)) = self.paths.get_key_value(name)
            && expression_of(name).is_none()
        {
            return Some(FoundPath { name, path: &path.effective, groups: Vec::new() });
        }
        self.patterns.of(&self.paths).iter().find_map(|pattern| {
            let groups = groups(&pattern.expression.captures(name)?);
            let path = &self.paths.get(&pattern.name)?.effective;
            Some(FoundPath { name: &pattern.name, path, groups })
        })
    }
}

fn groups(captures: &Captures<'_>) -> Vec<String> {
    let text = |group: Option<regex::Match<'_>>| group.map_or("", |group| group.as_str()).to_owned();
    captures.iter().skip(1).map(text).collect()
}

/// A URL of a source or target, whose `$G1` may stand for anything.
///
/// # Errors
/// A message that goes on after the key, without the password.
pub(crate) fn url(text: &str) -> Result<Url, String> {
    static PORT: OnceLock<Regex> = OnceLock::new();
    static GROUP: OnceLock<Regex> = OnceLock::new();
    let port = PORT.get_or_init(|| Regex::new(r":\$G[0-9]+").expect("a valid expression"));
    let group = GROUP.get_or_init(|| Regex::new(r"\$G[0-9]+").expect("a valid expression"));
    let filled = port.replace_all(text, ":1935");
    // A URL without a host, `udp://:5000`, is on every address.
    let filled = group.replace_all(&filled, "abc").replacen("://:", "://0.0.0.0:", 1);
    let parsed = Url::parse(&filled).ok().filter(|url| url.host_str().is_some_and(|host| !host.is_empty()));
    let Some(parsed) = parsed else {
        // Not shown: where it is wrong, nobody knows which part of it is the password.
        return Err("is not a valid URL".to_owned());
    };
    let password = parsed.password().unwrap_or_default();
    if parsed.username().is_empty() != password.is_empty() {
        return Err("must give both a user name and a password, or neither".to_owned());
    }
    Ok(parsed)
}

fn redirect_fault(target: &str) -> Option<String> {
    if let Some(name) = target.strip_prefix('/') {
        return name_fault(name).map(|message| format!("names a path, which {message}"));
    }
    match url(target) {
        Ok(url) if matches!(url.scheme(), "rtsp" | "rtsps") => None,
        Ok(_) => Some("must be an RTSP URL, or / and a path of this server".to_owned()),
        Err(message) => Some(message),
    }
}

/// Schemes of sources that are pulled, and whether they need a port.
const SCHEMES: [(&str, bool); 18] = [
    ("rtsp", false),
    ("rtsps", false),
    ("rtsp+http", false),
    ("rtsps+http", false),
    ("rtsp+ws", false),
    ("rtsps+ws", false),
    ("rtmp", false),
    ("rtmps", false),
    ("http", false),
    ("https", false),
    ("udp", true),
    ("udp+mpegts", true),
    ("unix+mpegts", false),
    ("udp+rtp", true),
    ("unix+rtp", false),
    ("srt", false),
    ("moqt", false),
    ("whep", false),
];

/// Checks one entry: `key` is where it stands (`paths.cam`), for messages.
pub(crate) fn check_path(
    key: &str,
    name: &str,
    path: &PathConfiguration,
    global: &Global,
    reading: &mut Reading<'_>,
) {
    let pattern = expression_of(name);
    match pattern {
        Some(expression) => {
            if let Err(error) = regular_expression(expression) {
                reading.fault_at(key, format!("is not a valid regular expression: {error}"));
            }
        }
        None => {
            if let Some(message) = name_fault(name) {
                reading.fault_at(key, format!("the name of a path {message}"));
            }
        }
    }
    let mut report = Report { key, reading };
    check_source(path, pattern.is_some(), &mut report);
    check_keys(path, &mut report);
    check_always_available(path, pattern.is_some(), &mut report);
    check_recording(path, global, &mut report);
    check_hooks(path, pattern.is_some(), &mut report);
}

/// Where faults of one entry go.
struct Report<'r, 'a> {
    key: &'r str,
    reading: &'r mut Reading<'a>,
}

impl Report<'_, '_> {
    fn fault(&mut self, key: &str, message: impl Into<String>) {
        self.reading.fault_at(format!("{}.{key}", self.key), message);
    }

    fn fault_if(&mut self, wrong: bool, key: &str, message: &str) {
        if wrong {
            self.fault(key, message);
        }
    }
}

fn check_source(path: &PathConfiguration, pattern: bool, report: &mut Report<'_, '_>) {
    let source = path.source.as_str();
    match source {
        "publisher" => {
            let message = "has no use where the source is publisher";
            report.fault_if(path.source_on_demand, "sourceOnDemand", message);
        }
        "redirect" => match path.source_redirect.as_str() {
            "" => report.fault("sourceRedirect", "must say where to, because the source is redirect"),
            target => {
                if let Some(message) = redirect_fault(target) {
                    report.fault("sourceRedirect", message);
                }
            }
        },
        "rpiCamera" => check_camera(path, report),
        _ => {
            if let Some(message) = pulled_source_fault(source) {
                report.fault("source", message);
            }
            let raw = source.starts_with("udp+rtp://") || source.starts_with("unix+rtp://");
            let message = "is missing; a raw RTP source needs it";
            report.fault_if(raw && path.rtp_sdp.is_empty(), "rtpSDP", message);
        }
    }
    let pulled = !matches!(source, "publisher" | "redirect");
    let message = "must be yes, because the path is a regular expression and has a source of its own";
    report.fault_if(pulled && pattern && !path.source_on_demand, "sourceOnDemand", message);
    let message = "has no use where the source is not redirect";
    report.fault_if(source != "redirect" && !path.source_redirect.is_empty(), "sourceRedirect", message);
    let message = "can only be used where the source is publisher";
    let passphrase = !path.srt_publish_passphrase.is_empty();
    report.fault_if(source != "publisher" && passphrase, "srtPublishPassphrase", message);
    let on_demand = !path.run_on_demand.is_empty() || !path.run_on_un_demand.is_empty();
    report.fault_if(source != "publisher" && on_demand, "runOnDemand", message);
}

fn pulled_source_fault(source: &str) -> Option<String> {
    let Some((scheme, rest)) = source.split_once("://") else {
        let near = nearest(source, ["publisher", "redirect", "rpiCamera"]);
        let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        let shown = quoted(source);
        return Some(format!("must be publisher, redirect, rpiCamera or a URL, not {shown}{near}"));
    };
    let known = SCHEMES.iter().find(|(known, _)| *known == scheme);
    let Some((_, needs_port)) = known.or((scheme == "wheps").then_some(&("wheps", false))) else {
        return Some(format!("is a URL of an unknown kind: {}", quoted(scheme)));
    };
    if scheme.starts_with("unix+") {
        return rest.is_empty().then(|| "must name a socket".to_owned());
    }
    match url(source) {
        Err(message) => Some(message),
        Ok(url) if *needs_port && url.port().is_none() => Some("is missing the port".to_owned()),
        Ok(_) => None,
    }
}

fn check_keys(path: &PathConfiguration, report: &mut Report<'_, '_>) {
    for (key, passphrase) in [
        ("srtReadPassphrase", &path.srt_read_passphrase),
        ("srtPublishPassphrase", &path.srt_publish_passphrase),
    ] {
        let wrong = !passphrase.is_empty() && !(10..=79).contains(&passphrase.len());
        report.fault_if(wrong, key, "must have 10 to 79 characters");
    }
    if let Some(message) = check::fingerprint(&path.source_fingerprint) {
        report.fault("sourceFingerprint", message);
    }
    if !path.fallback.is_empty()
        && let Some(message) = redirect_fault(&path.fallback)
    {
        report.fault("fallback", message);
    }
    let ports = &path.rtsp_udp_source_port_range;
    let valid = ports.len() == 2 && ports[0] <= ports[1] && ports[1] <= u64::from(u16::MAX);
    report.fault_if(!valid, "rtspUDPSourcePortRange", "must be two ports, the lower one first");
    let scale = path.rtsp_scale.as_str();
    let wrong = !scale.is_empty() && scale.parse::<f64>().is_err();
    report.fault_if(wrong, "rtspScale", "must be a number in quotes");
    let message = "must be 500ms or less";
    report.fault_if(path.delivery_window > Duration::from_millis(500), "deliveryWindow", message);
    let message = "must be one hour or less";
    report.fault_if(path.publisher_grace > Duration::from_secs(3600), "publisherGrace", message);
}

fn check_always_available(path: &PathConfiguration, pattern: bool, report: &mut Report<'_, '_>) {
    if !path.always_available {
        return;
    }
    let key = "alwaysAvailable";
    report.fault_if(pattern, key, "cannot be used where the path is a regular expression");
    report.fault_if(path.source_on_demand, key, "cannot be used with sourceOnDemand");
    let on_demand = !path.run_on_demand.is_empty() || !path.run_on_un_demand.is_empty();
    report.fault_if(on_demand, key, "cannot be used with runOnDemand and runOnUnDemand");
    report.fault_if(path.use_absolute_timestamp, key, "cannot be used with useAbsoluteTimestamp");
    match (path.always_available_file.is_empty(), path.always_available_tracks.is_empty()) {
        (false, false) => {
            report.fault("alwaysAvailableFile", "cannot be used together with alwaysAvailableTracks");
        }
        (true, true) => report.fault("alwaysAvailableTracks", "must hold at least one track"),
        _ => {}
    }
}

fn check_recording(path: &PathConfiguration, global: &Global, report: &mut Report<'_, '_>) {
    let template = path.record_path.as_str();
    report.fault_if(!template.contains("%path"), "recordPath", "must contain %path");
    let calendar = ["%Y", "%m", "%d", "%H", "%M", "%S"].iter().all(|code| template.contains(code));
    let message = "must contain %s, or all of %Y %m %d %H %M %S";
    report.fault_if(!calendar && !template.contains("%s"), "recordPath", message);
    let message = "must contain %f, because playback is on";
    report.fault_if(global.playback && !template.contains("%f"), "recordPath", message);
    let segment = path.record_segment_duration;
    report.fault_if(segment > DAY, "recordSegmentDuration", "must be one day or less");
    let message = "must not be less than recordSegmentDuration";
    let keeps = path.record_delete_after;
    report.fault_if(!keeps.is_zero() && keeps < segment, "recordDeleteAfter", message);
}

fn check_hooks(path: &PathConfiguration, pattern: bool, report: &mut Report<'_, '_>) {
    let message = "cannot be used where the path is a regular expression; use another path";
    report.fault_if(pattern && !path.run_on_init.is_empty(), "runOnInit", message);
    for (key, command) in [
        ("runOnInit", &path.run_on_init),
        ("runOnDemand", &path.run_on_demand),
        ("runOnUnDemand", &path.run_on_un_demand),
        ("runOnAvailable", &path.run_on_available),
        ("runOnUnavailable", &path.run_on_unavailable),
        ("runOnOnline", &path.run_on_online),
        ("runOnOffline", &path.run_on_offline),
        ("runOnRead", &path.run_on_read),
        ("runOnUnread", &path.run_on_unread),
        ("runOnRecordSegmentCreate", &path.run_on_record_segment_create),
        ("runOnRecordSegmentComplete", &path.run_on_record_segment_complete),
    ] {
        report.fault_if(shell_words::split(command).is_err(), key, check::QUOTE_LEFT_OPEN);
    }
}

fn check_camera(path: &PathConfiguration, report: &mut Report<'_, '_>) {
    let words: [(&str, &str, &[&str]); 10] = [
        ("rpiCameraExposure", &path.rpi_camera_exposure, &["normal", "short", "long", "custom"]),
        (
            "rpiCameraAWB",
            &path.rpi_camera_awb,
            &["auto", "incandescent", "tungsten", "fluorescent", "indoor", "daylight", "cloudy", "custom"],
        ),
        ("rpiCameraDenoise", &path.rpi_camera_denoise, &["off", "cdn_off", "cdn_fast", "cdn_hq"]),
        ("rpiCameraMetering", &path.rpi_camera_metering, &["centre", "spot", "matrix", "custom"]),
        ("rpiCameraAfMode", &path.rpi_camera_af_mode, &["auto", "manual", "continuous"]),
        ("rpiCameraAfRange", &path.rpi_camera_af_range, &["normal", "macro", "full"]),
        ("rpiCameraAfSpeed", &path.rpi_camera_af_speed, &["normal", "fast"]),
        ("rpiCameraCodec", &path.rpi_camera_codec, &["auto", "hardwareH264", "softwareH264", "mjpeg"]),
        ("rpiCameraH264Profile", &path.rpi_camera_h264_profile, &["auto", "baseline", "main", "high"]),
        ("rpiCameraH264Level", &path.rpi_camera_h264_level, &["4.0", "4.1", "4.2"]),
    ];
    for (key, word, allowed) in words {
        if !allowed.contains(&word) {
            report.fault(key, format!("must be one of {}, not {}", allowed.join(", "), quoted(word)));
        }
    }
    let message = "must be two numbers";
    report.fault_if(path.rpi_camera_awb_gains.len() != 2, "rpiCameraAWBGains", message);
    let jpeg =
        path.rpi_camera_codec == "mjpeg" || (path.rpi_camera_secondary && path.rpi_camera_codec == "auto");
    for (key, pixels) in
        [("rpiCameraWidth", path.rpi_camera_width), ("rpiCameraHeight", path.rpi_camera_height)]
    {
        report.fault_if(pixels == 0, key, "must not be 0");
        let message = "must be a multiple of 8 and less than 2048 with M-JPEG";
        report.fault_if(jpeg && (pixels >= 2048 || pixels % 8 != 0), key, message);
    }
}

/// Checks what entries must satisfy together.
pub(crate) fn check_together(paths: &BTreeMap<String, Arc<ConfiguredPath>>, reading: &mut Reading<'_>) {
    let rest: Vec<&str> = REST.into_iter().filter(|name| paths.contains_key(*name)).collect();
    for other in rest.iter().skip(1) {
        reading
            .fault_at(format!("paths.{other}"), format!("means the same as {}; keep one of them", rest[0]));
    }
    // By camera: the path of its first stream, and of its second.
    let mut cameras: BTreeMap<u64, (Option<&str>, Vec<&str>)> = BTreeMap::new();
    for (name, path) in paths.iter().filter(|(_, path)| path.effective.source == "rpiCamera") {
        let camera = cameras.entry(path.effective.rpi_camera_cam_id).or_default();
        if path.effective.rpi_camera_secondary {
            camera.1.push(name);
        } else if let Some(first) = camera.0 {
            let message = format!("is the camera that path {first} uses already");
            reading.fault_at(format!("paths.{name}.source"), message);
        } else {
            camera.0 = Some(name);
        }
    }
    for (first, seconds) in cameras.into_values() {
        for (n, name) in seconds.into_iter().enumerate() {
            let key = format!("paths.{name}.rpiCameraSecondary");
            match first {
                None => reading.fault_at(key, "needs a path that has the camera's first stream"),
                Some(first) if n > 0 => {
                    reading.fault_at(key, format!("is a third stream of the camera of path {first}"));
                }
                Some(_) => {}
            }
        }
    }
}
