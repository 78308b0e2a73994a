//! Internal users: rules, hashes, and settings that are broken.

use super::{allowed, authority, request, with_password};
use crate::auth::Outcome;
use crate::config::values::{Action as Word, AuthMethod, Credential, InternalUser, Networks, Permission};
use crate::config::{Configuration, Global};
use headwater_engine::access::{Action, Verdict};

/// argon2i of "geheim", made by argon2-cffi.
const HASH: &str = "argon2:$argon2i$v=19$m=1024,t=2,p=1$c2FsdHNhbHRzYWx0$JyfynUpKB3VU3HvBya5wy8eNcrKpySxt";

fn user(name: &str, pass: &str, permissions: &[(Word, &str)], networks: &[&str]) -> InternalUser {
    InternalUser {
        user: Credential(name.to_owned()),
        pass: Credential(pass.to_owned()),
        ips: Networks(networks.iter().map(|text| text.parse().expect("a network")).collect()),
        permissions: permissions
            .iter()
            .map(|(action, path)| Permission { action: *action, path: (*path).to_owned() })
            .collect(),
    }
}

fn users() -> Global {
    Global {
        auth_internal_users: vec![
            user("any", "", &[(Word::Read, "open")], &[]),
            user("any", "", &[(Word::Api, "")], &["127.0.0.1/32"]),
            user("eva", "geheim", &[(Word::Read, "cam"), (Word::Publish, "~^live/[0-9]+$")], &[]),
            // "adam" and "apfel".
            user(
                "sha256:9/N2ofzQ0OEaEO0bZXfJl4TTprvmabHRP65D62RjT24=",
                "sha256:5pafVXLWZ/DuHL308yiA5KUYgFhRNqf1HeieOlqPycE=",
                &[(Word::Read, "")],
                &["192.0.2.0/24"],
            ),
            user("argon", HASH, &[(Word::Read, "")], &[]),
        ],
        ..Global::default()
    }
}

#[tokio::test]
async fn rules_decide_by_action_path_network_and_credentials() {
    let authority = authority(users());
    let denied = None;
    let table = [
        (Action::Read, "open", "", "", Some(allowed(""))),
        (Action::Read, "cam", "", "", Some(Verdict::AskCredentials)),
        (Action::Read, "cam", "eva", "geheim", Some(allowed("eva"))),
        (Action::Read, "cam", "eva", "falsch", denied.clone()),
        (Action::Read, "cam2", "eva", "geheim", denied.clone()),
        (Action::Publish, "live/7", "eva", "geheim", Some(allowed("eva"))),
        (Action::Publish, "live/x", "eva", "geheim", denied.clone()),
        (Action::Read, "whatever", "adam", "apfel", Some(allowed("adam"))),
        (Action::Read, "whatever", "adam", "birne", denied.clone()),
        (Action::Read, "whatever", "argon", "geheim", Some(allowed("argon"))),
        (Action::Read, "whatever", "argon", "falsch", denied.clone()),
        (Action::Api, "", "eva", "geheim", denied.clone()),
        (Action::Metrics, "", "", "", Some(Verdict::AskCredentials)),
    ];
    for (action, path, name, password, expected) in table {
        let verdict = authority.check(with_password(request(action, path), name, password)).await;
        match expected {
            Some(expected) => assert_eq!(verdict, expected, "{action:?} {path} {name}"),
            None => {
                assert!(matches!(verdict, Verdict::Denied { .. }), "{action:?} {path} {name}: {verdict:?}");
            }
        }
    }
    let mut local = request(Action::Api, "");
    local.ip = "::ffff:127.0.0.1".parse().expect("an address");
    assert_eq!(authority.check(local).await, allowed(""));
    let counted = authority.counters().method(AuthMethod::Internal);
    assert_eq!(counted.count(Outcome::Allowed), 6);
    assert_eq!(counted.count(Outcome::Asked), 2);
    assert_eq!(counted.count(Outcome::Denied), 6);
}

#[tokio::test]
async fn reasons_name_the_user_in_one_line_and_never_the_password() {
    let authority = authority(users());
    let name = format!("eva\r\nroot logged in {}", "x".repeat(500));
    let Verdict::Denied { reason } =
        authority.check(with_password(request(Action::Read, "cam"), &name, "hunter2")).await
    else {
        panic!("let in")
    };
    assert!(reason.contains("eva\\r\\nroot"), "{reason}");
    assert!(!reason.contains('\n') && !reason.contains("hunter2") && reason.len() < 200, "{reason}");
    let other = authority.check(with_password(request(Action::Pprof, ""), "eva", "geheim")).await;
    let Verdict::Denied { reason } = other else { panic!("let in") };
    assert_eq!(reason, "no user of authInternalUsers is permitted this: pprof from 192.0.2.7");
}

#[tokio::test]
async fn nobody_is_let_in_by_settings_that_are_broken_or_missing() {
    let unconfigured = crate::auth::Authority::default();
    let verdict = unconfigured.check(request(Action::Read, "open")).await;
    assert!(matches!(verdict, Verdict::Unavailable { .. }), "{verdict:?}");
    let broken = authority(Global {
        auth_internal_users: vec![
            user("any", "", &[(Word::Read, "")], &[]),
            user("x", "argon2:no", &[], &[]),
        ],
        ..Global::default()
    });
    let verdict = broken.check(request(Action::Read, "open")).await;
    assert!(matches!(verdict, Verdict::Unavailable { .. }), "{verdict:?}");
    broken.configure(&Configuration { global: users(), ..Configuration::default() });
    assert_eq!(broken.check(request(Action::Read, "open")).await, allowed(""));
}
