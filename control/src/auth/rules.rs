//! The configuration's users and permissions as the rules that shards and the control core decide by.
//!
//! Source: MediaMTX's `authInternalUsers`, `authHTTPExclude` and `authJWTExclude`. A user or password is plain, `sha256:`
//! and base64, or `argon2:` and an encoded hash (PHC string); a path is "" for any, a name, or `~` and a regular
//! expression that need not match the whole path.

use crate::config::values::{Action as Word, Credential, InternalUser, Permission};
use crate::config::{Fault, Faults, Global};
use argon2::password_hash::PasswordHash;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use headwater_engine::access::{self, Action, PathRule, Secret};
use regex::{Regex, RegexBuilder};

/// Memory that one argon2 verification may take, in KiB: as many run at once as there are processors.
const ARGON2_MEMORY_MAX: u32 = 1024 * 1024;
/// Passes over that memory.
const ARGON2_PASSES_MAX: u32 = 64;
/// Memory of one compiled regular expression.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// The users of `authInternalUsers` as rules, in order; and the demo's, where it runs.
///
/// # Errors
/// Every hash and regular expression that is none.
pub(crate) fn users(global: &Global) -> Result<Vec<access::User>, Faults> {
    let mut faults = Vec::new();
    let mut users = Vec::new();
    for (index, user) in global.auth_internal_users.iter().enumerate() {
        let key = format!("authInternalUsers[{index}]");
        users.extend(rule(user, &key, &mut faults));
    }
    users.extend(crate::demo::user());
    if faults.is_empty() { Ok(users) } else { Err(Faults(faults)) }
}

/// Permissions of `key` (`authHTTPExclude`, `authJWTExclude`) as rules.
///
/// # Errors
/// Every regular expression that is none.
pub(crate) fn exclusions(permissions: &[Permission], key: &str) -> Result<Vec<access::Permission>, Faults> {
    let mut faults = Vec::new();
    let rules = convert(permissions, key, &mut faults);
    if faults.is_empty() { Ok(rules) } else { Err(Faults(faults)) }
}

/// The action of a word of the configuration.
pub(crate) fn action(word: Word) -> Action {
    match word {
        Word::Publish => Action::Publish,
        Word::Read => Action::Read,
        Word::Playback => Action::Playback,
        Word::Api => Action::Api,
        Word::Metrics => Action::Metrics,
        Word::Pprof => Action::Pprof,
    }
}

/// The paths that the text of a permission is for.
///
/// # Errors
/// A regular expression that is none or too large, as text for people.
pub(super) fn path_rule(text: &str) -> Result<PathRule, String> {
    Ok(match text.strip_prefix('~') {
        _ if text.is_empty() => PathRule::Any,
        Some(pattern) => PathRule::Pattern(pattern_of(pattern)?),
        None => PathRule::Exact(text.to_owned()),
    })
}

fn pattern_of(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text)
        .size_limit(PATTERN_BYTES_MAX)
        .dfa_size_limit(PATTERN_BYTES_MAX)
        .build()
        .map_err(|error| crate::client::one_line(&error.to_string(), 300))
}

fn rule(user: &InternalUser, key: &str, faults: &mut Vec<Fault>) -> Option<access::User> {
    let credentials = if user.user.0 == "any" {
        None
    } else {
        let name = checked(secret(&user.user), &format!("{key}.user"), faults);
        let pass = checked(secret(&user.pass), &format!("{key}.pass"), faults);
        Some((name, pass))
    };
    let permissions = convert(&user.permissions, &format!("{key}.permissions"), faults);
    let credentials = match credentials {
        None => None,
        Some((name, pass)) => Some((name?, pass?)),
    };
    Some(access::User { credentials, networks: user.ips.0.clone(), permissions })
}

fn convert(permissions: &[Permission], key: &str, faults: &mut Vec<Fault>) -> Vec<access::Permission> {
    let mut rules = Vec::with_capacity(permissions.len());
    for (index, permission) in permissions.iter().enumerate() {
        let path = checked(path_rule(&permission.path), &format!("{key}[{index}].path"), faults);
        rules.extend(path.map(|path| access::Permission { action: action(permission.action), path }));
    }
    rules
}

fn checked<T>(result: Result<T, String>, key: &str, faults: &mut Vec<Fault>) -> Option<T> {
    result.map_err(|message| faults.push(Fault { key: key.to_owned(), message, ..Fault::default() })).ok()
}

/// What a credential of the configuration is compared by. The messages never hold the credential.
fn secret(credential: &Credential) -> Result<Secret, String> {
    let text = credential.0.as_str();
    if let Some(encoded) = text.strip_prefix("sha256:") {
        let hash = BASE64_STANDARD
            .decode(encoded)
            .ok()
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
            .ok_or("after sha256: comes the base64 of a SHA-256, 44 characters")?;
        return Ok(Secret::Sha256(hash));
    }
    if let Some(encoded) = text.strip_prefix("argon2:") {
        let hash =
            PasswordHash::new(encoded).map_err(|error| format!("this is no encoded argon2 hash: {error}"))?;
        let parameters = argon2::Params::try_from(&hash);
        let known =
            argon2::Algorithm::try_from(hash.algorithm).is_ok() && hash.salt.is_some() && hash.hash.is_some();
        return match parameters {
            Ok(it) if known && it.m_cost() <= ARGON2_MEMORY_MAX && it.t_cost() <= ARGON2_PASSES_MAX => {
                Ok(Secret::Argon2(encoded.to_owned()))
            }
            Ok(_) if known => Err(format!(
                "this argon2 hash is too expensive to verify; at most m={ARGON2_MEMORY_MAX} and t={ARGON2_PASSES_MAX}"
            )),
            _ => Err("this is no encoded argon2 hash, such as $argon2id$v=19$m=65536,t=3,p=1$…$…".to_owned()),
        };
    }
    Ok(Secret::Plain(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::values::Networks;

    fn user(name: &str, pass: &str, path: &str) -> InternalUser {
        InternalUser {
            user: Credential(name.to_owned()),
            pass: Credential(pass.to_owned()),
            ips: Networks(vec!["10.0.0.0/8".parse().expect("a network")]),
            permissions: vec![Permission { action: Word::Read, path: path.to_owned() }],
        }
    }

    fn of(users_given: Vec<InternalUser>) -> Result<Vec<access::User>, Faults> {
        users(&Global { auth_internal_users: users_given, ..Global::default() })
    }

    #[test]
    fn any_needs_no_credentials_and_others_keep_their_rules() {
        let rules = of(vec![
            user("any", "", ""),
            user("eva", "x", "cam"),
            user("sha256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "x", "~^live/"),
        ])
        .expect("valid users");
        assert!(rules[0].credentials.is_none());
        assert!(
            matches!(&rules[1].credentials, Some((Secret::Plain(name), Secret::Plain(_))) if name == "eva")
        );
        assert!(matches!(&rules[2].credentials, Some((Secret::Sha256(_), _))));
        let here = "10.1.2.3".parse().expect("an address");
        let there = "192.0.2.1".parse().expect("an address");
        assert!(
            rules[0].concerns(Action::Read, "whatever", here) && !rules[0].concerns(Action::Read, "x", there)
        );
        assert!(
            rules[1].concerns(Action::Read, "cam", here) && !rules[1].concerns(Action::Read, "cam2", here)
        );
        assert!(
            rules[2].concerns(Action::Read, "live/1", here)
                && !rules[2].concerns(Action::Publish, "live/1", here)
        );
    }

    #[test]
    fn all_faults_are_found_at_once_and_name_no_secret() {
        let bad_memory =
            "argon2:$argon2id$v=19$m=4194304,t=3,p=1$c29tZXNhbHQ$SJFpNzMnGqPRNRcBWLPc4wvFLQsJsJTPYsgLZzdTRoc";
        let Err(Faults(faults)) = of(vec![
            user("eva", "sha256:geheim", "~("),
            user("argon2:$geheim", "x", ""),
            user("eva", bad_memory, "~(?:a{1000}){1000}"),
        ]) else {
            panic!("bad users were taken");
        };
        let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "authInternalUsers[0].pass",
                "authInternalUsers[0].permissions[0].path",
                "authInternalUsers[1].user",
                "authInternalUsers[2].pass",
                "authInternalUsers[2].permissions[0].path",
            ]
        );
        assert!(faults.iter().all(|fault| !fault.message.contains("geheim")), "{faults:?}");
        assert!(faults[3].message.contains("too expensive"), "{}", faults[3].message);
    }

    #[test]
    fn exclusions_name_the_pattern_that_is_none() {
        let permissions = [
            Permission { action: Word::Api, path: String::new() },
            Permission { action: Word::Read, path: "~[".to_owned() },
        ];
        let Err(Faults(faults)) = exclusions(&permissions, "authHTTPExclude") else {
            panic!("a bad pattern was taken")
        };
        assert_eq!(faults[0].key, "authHTTPExclude[1].path");
        let rules = exclusions(&permissions[..1], "authHTTPExclude").expect("valid permissions");
        assert!(rules[0].covers(Action::Api, ""));
    }
}
