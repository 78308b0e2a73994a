//! Tokens: signatures, claims, and attacks.

use crate::auth::token::{Demands, Keys, TokenError};
use headwater_engine::access::Action;
use serde_json::Value;

const KEYS: &str = include_str!("../fixtures/keys.json");

fn tokens(group: &str) -> Vec<(String, String)> {
    let all: Value = serde_json::from_str(include_str!("../fixtures/tokens.json")).expect("JSON");
    let group = all[group].as_object().expect("a group").clone();
    group.into_iter().map(|(name, token)| (name, token.as_str().expect("a token").to_owned())).collect()
}

fn demands() -> Demands {
    Demands {
        issuer: "https://issuer".to_owned(),
        audience: "headwater".to_owned(),
        claim: "mediamtx_permissions".to_owned(),
    }
}

fn keys() -> Keys {
    Keys::parse(KEYS.as_bytes()).expect("a key set")
}

#[test]
fn tokens_of_every_algorithm_are_verified_and_permit_what_they_say() {
    let keys = keys();
    assert_eq!(keys.len(), 5, "keys for encryption, broken and unknown ones are passed over");
    for (name, token) in tokens("good") {
        let claims = keys.verify(&token, &demands()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(claims.user, "eva", "{name}");
        assert!(claims.permit(Action::Read, "live/1") && claims.permit(Action::Publish, "cam"), "{name}");
        assert!(claims.permit(Action::Api, ""), "{name}");
        assert!(!claims.permit(Action::Read, "cam") && !claims.permit(Action::Metrics, ""), "{name}");
    }
}

#[test]
fn attacks_are_refused_with_a_reason_that_tells_no_secret() {
    let keys = keys();
    for (name, token) in tokens("bad") {
        let error = keys.verify(&token, &demands()).expect_err(&name).to_string();
        assert!(!error.contains(&token[..20]), "{name}: {error}");
    }
    let oversized = format!("{}.{}", tokens("good")[0].1, "A".repeat(20_000));
    assert!(keys.verify(&oversized, &demands()).is_err());
    let nested = format!("{}.{}.c2ln", "eyJhbGciOiJSUzI1NiJ9", base64_of(&"[".repeat(10_000)));
    assert!(keys.verify(&nested, &demands()).is_err());
    for garbage in ["", ".", "..", "...", "a.b.c", "eyJ", "é.é.é", "\0"] {
        assert!(keys.verify(garbage, &demands()).is_err(), "{garbage:?}");
    }
}

#[test]
fn a_key_that_is_not_in_the_set_is_told_apart() {
    let only = Keys::parse(br#"{"keys":[{"kty":"oct","kid":"a","k":"c2VjcmV0"}]}"#).expect("a key set");
    let token = &tokens("good").into_iter().find(|(name, _)| name == "RS256").expect("a token").1;
    assert_eq!(
        only.verify(token, &demands()).expect_err("unknown"),
        TokenError::UnknownKey("rsa".to_owned())
    );
}

#[test]
fn demands_hold_only_where_they_are_made() {
    let lenient = Demands { issuer: String::new(), audience: String::new(), ..demands() };
    let bad = tokens("bad");
    let of = |name: &str| &bad.iter().find(|(known, _)| known == name).expect("a token").1;
    for name in ["wrong issuer", "no issuer", "wrong audience", "no audience"] {
        assert!(keys().verify(of(name), &lenient).is_ok(), "{name}");
    }
    assert!(keys().verify(of("expired"), &lenient).is_err());
}

#[test]
fn sets_without_a_usable_key_are_refused() {
    let many = format!(r#"{{"keys":[{}]}}"#, vec![r#"{"kty":"oct","k":"YWJj"}"#; 65].join(","));
    for text in
        ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":""}]}"#, &many]
    {
        assert!(Keys::parse(text.as_bytes()).is_err(), "{text}");
    }
}

/// Changed tokens never panic, and are never taken unless the bytes that were signed are the same.
#[test]
fn changed_tokens_and_key_sets_never_panic() {
    let keys = keys();
    let good = tokens("good");
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    for round in 0..3000 {
        let original = &good[round % good.len()].1;
        let mut bytes = original.clone().into_bytes();
        for _ in 0..=next(3) {
            let at = next(bytes.len());
            match next(3) {
                0 => bytes[at] = b"AZaz09-_.={}\"\0"[next(14)],
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"AZaz09-_.={}"[next(12)]),
            }
        }
        let token = String::from_utf8_lossy(&bytes);
        if keys.verify(&token, &demands()).is_ok() {
            assert_eq!(token.rsplit_once('.').map(|it| it.0), original.rsplit_once('.').map(|it| it.0));
        }
        let mut set = KEYS.as_bytes().to_vec();
        for _ in 0..=next(8) {
            let at = next(set.len());
            set[at] = b"A\"{}[]:,01"[next(10)];
        }
        // Whatever it still holds can be verified with.
        if let Ok(keys) = Keys::parse(&set) {
            let _ = keys.verify(original, &demands());
        }
    }
}

fn base64_of(text: &str) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(text)
}
