//! Nothing that a file, a variable, an argument or a request holds may panic.

use super::{Scratch, configuration};
use crate::config::PathChange;
use crate::config::setting::Secrets;
use crate::config::{Configuration, load, yaml};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

/// What mutations put together, besides bytes.
const PIECES: &[&str] = &[
    "\n",
    "  ",
    ": ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "&a ",
    "*a",
    "<<: *a\n",
    "!!str ",
    "'",
    "\"",
    "|\n",
    ">\n",
    "~",
    "null",
    "yes",
    "0x",
    "1e999",
    "99999999999999999999",
    "-1",
    "1h2m",
    "\u{feff}",
    "\u{0}",
    "é",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "? ",
    "paths:\n  ",
    "pathDefaults:\n  ",
    "authInternalUsers:\n- ",
    "source: rtsp://$G1:x@[::1]:99999/\n",
    "~(a|",
    "<redacted>",
    "://",
    "@",
    "\\U00110000",
    "\t",
    "#",
    "forward: [{dest: ]}",
];
const ROUNDS: usize = 1_000;

fn mutate(text: &str, random: &mut StdRng) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..=bytes.len());
        match random.random_range(0..5) {
            0 if at < bytes.len() => bytes[at] = random.random(),
            1 => {
                let end = (at + random.random_range(0..20)).min(bytes.len());
                bytes.drain(at..end);
            }
            2 => {
                let end = (at + random.random_range(0..60)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                let to = random.random_range(0..=bytes.len());
                bytes.splice(to..to, copy);
            }
            _ => {
                let piece = PIECES[random.random_range(0..PIECES.len())];
                bytes.splice(at..at, piece.bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn example() -> String {
    let forms = "authInternalUsers: &u\n- user: a\n  pass: b\n  ips: [10.0.0.0/8]\n  permissions: [{action: read, \
                 path: ~^x}]\nwebrtcICEServers: ['turn:a:b:c:1']\npaths:\n  cam: &c\n    source: rtsp://u:p@host:554/x\n    \
                 forward:\n    - dest: rtmp://h/$MTX_PATH\n  ~^a(b)$:\n    <<: *c\n    sourceOnDemand: yes\n  all_others:\n";
    let all = Configuration::default().yaml_with(Secrets::Shown);
    let lines: Vec<&str> = all
        .lines()
        .step_by(9)
        .filter(|line| {
            !line.starts_with(['p', ' ', '-'])
                && !line.starts_with("authInt")
                && !line.starts_with("webrtcICE")
        })
        .collect();
    format!("{}\n{forms}", lines.join("\n"))
}

#[test]
fn files_never_panic_and_what_is_accepted_prints_the_same() {
    let example = example();
    configuration(&example);
    let mut random = StdRng::seed_from_u64(20_261_120);
    let mut accepted = 0;
    for _ in 0..ROUNDS {
        let text = mutate(&example, &mut random);
        let Ok(_) = yaml::parse(&text) else { continue };
        let file = Scratch::new(text.as_bytes());
        match load(Some(file.path()), std::iter::empty(), &[]) {
            Err(faults) => assert!(!faults.to_string().is_empty()),
            Ok(loaded) => {
                accepted += 1;
                let printed = loaded.configuration.yaml_with(Secrets::Shown);
                let again = configuration(&printed);
                let difference = loaded.configuration.difference(&again);
                assert!(difference.is_empty(), "{difference:?}\n{text}\n--\n{printed}");
                let _ = loaded.configuration.find_path(&text[..text.floor_char_boundary(20)]);
                let _ = (loaded.configuration.not_in_effect(), loaded.configuration.global_json());
            }
        }
    }
    assert!(accepted > ROUNDS / 30, "{accepted}: the mutations hardly get past the first check");
}

#[test]
fn layers_and_requests_never_panic() {
    let mut random = StdRng::seed_from_u64(3);
    let keys = [
        "PATHS_CAM_SOURCE",
        "AUTHINTERNALUSERS_0_PERMISSIONS_1_ACTION",
        "READTIMEOUT",
        "PATHDEFAULTS_FORWARD_0_DEST",
    ];
    let arguments =
        ["paths.cam.source=x", "authInternalUsers.0.user=y", "rtspTransports=[tcp]", "paths.a={source: x}"];
    let body = r#"{"authInternalUsers":[{"user":"a","pass":"<redacted>","permissions":[{"action":"read"}]}],"record":true}"#;
    let old = configuration("paths:\n  cam: {source: 'rtsp://u:p@h/x'}\n");
    let file = Scratch::new(b"paths:\n");
    for _ in 0..ROUNDS {
        let name = format!("MTX_{}", mutate(keys[random.random_range(0..keys.len())], &mut random));
        let argument = mutate(arguments[random.random_range(0..arguments.len())], &mut random);
        let value = mutate("10s,tcp", &mut random);
        let _ = load(Some(file.path()), std::iter::once((name, value)), &[argument]);
        if let Ok(body) = serde_json::from_str::<Value>(&mutate(body, &mut random)) {
            let _ = old.patch_global(&body);
            let _ = old.patch_path_defaults(&body);
            let _ = old.change_path("cam", PathChange::Patch(&body));
            let _ = old.change_path("cam", PathChange::Replace(&body));
        }
    }
}
