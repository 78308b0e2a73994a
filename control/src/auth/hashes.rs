//! argon2 passwords: verified on threads of their own, a few at a time, and remembered for a short while.
//!
//! A verification takes tens of milliseconds and tens of MiB on purpose. As many run at once as there are processors; a
//! bounded number waits. What was verified is remembered, so that a player that comes back, and all who share a name and
//! password, cost next to nothing. Failures are not remembered: guessing stays as slow as it is meant to be.

use super::counters::{AuthCounters, count};
use super::memory::Memory;
use crate::places::Places;
use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordVerifier};
use headwater_engine::access::{self, Credentials, Secret};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Verified passwords that are remembered: those of a busy server's users; 100 bytes each.
const REMEMBERED_MAX: usize = 4096;
const REMEMBERED_FOR: Duration = Duration::from_secs(300);
/// Requests that wait for a verification. The last of them waits about as long as `authTimeout` at 50 ms each.
const WAITING_MAX: usize = 512;

/// Nobody verified anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overloaded;

/// The places in which passwords are verified; they outlive a change of configuration.
pub(super) struct Verifiers(Places);

impl Default for Verifiers {
    fn default() -> Verifiers {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Verifiers(Places::new(processors, WAITING_MAX))
    }
}

/// The verified passwords of one configuration.
pub(super) struct Hashes {
    verified: Arc<Memory<()>>,
}

impl Hashes {
    pub(super) fn new() -> Hashes {
        Hashes { verified: Arc::new(Memory::new(REMEMBERED_MAX, REMEMBERED_FOR)) }
    }

    /// Whether name and password are those of a rule.
    ///
    /// # Errors
    /// Too many wait already.
    pub(super) async fn verify(
        &self,
        expected: &(Secret, Secret),
        given: &Credentials,
        verifiers: &Verifiers,
        counters: &Arc<AuthCounters>,
    ) -> Result<bool, Overloaded> {
        Ok(self.verify_one(&expected.0, &given.user, verifiers, counters).await?
            && self.verify_one(&expected.1, &given.password, verifiers, counters).await?)
    }

    async fn verify_one(
        &self,
        secret: &Secret,
        given: &str,
        verifiers: &Verifiers,
        counters: &Arc<AuthCounters>,
    ) -> Result<bool, Overloaded> {
        let encoded = match secret {
            Secret::Argon2(encoded) => encoded,
            cheap => return Ok(access::verify(cheap, given) == Some(true)),
        };
        let key = self.verified.key(&[encoded.as_bytes(), given.as_bytes()]);
        let known = || self.verified.recall(&key, Instant::now()).is_some();
        if known() {
            count(&counters.hashes_cached);
            return Ok(true);
        }
        let place = verifiers.0.enter().await.ok_or(Overloaded)?;
        // Whoever was in front may have shown the same.
        if known() {
            count(&counters.hashes_cached);
            return Ok(true);
        }
        count(&counters.hashes_computed);
        let (encoded, given) = (encoded.clone(), given.to_owned());
        let verified = Arc::clone(&self.verified);
        let matches = tokio::task::spawn_blocking(move || {
            let matches = computes_to(&encoded, &given);
            // Before the place is left, so that whoever enters next knows; also where nobody waits for it any longer.
            if matches {
                verified.remember(key, (), Instant::now());
            }
            drop(place);
            matches
        })
        .await
        .unwrap_or(false);
        Ok(matches)
    }
}

fn computes_to(encoded: &str, given: &str) -> bool {
    PasswordHash::new(encoded)
        .is_ok_and(|hash| Argon2::default().verify_password(given.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    /// Made with argon2-cffi 25 (the reference C implementation): `PasswordHasher(3, 65536, 4).hash("geheim")`, and its
    /// low-level function for the other two types.
    const VECTORS: [&str; 3] = [
        "$argon2id$v=19$m=65536,t=3,p=4$yzk8fvQ2D08houWKF7UQyQ$GZxJ3IFmsGsreAtAjbuyM7rLb6J53/GuEc8EQn7JP0g",
        "$argon2i$v=19$m=1024,t=2,p=1$c2FsdHNhbHRzYWx0$JyfynUpKB3VU3HvBya5wy8eNcrKpySxt",
        "$argon2d$v=19$m=1024,t=2,p=2$c2FsdHNhbHRzYWx0$VWRkX/ivWxLJ877qUGhGkelF91JAmfRCsLBI9wTyYQs",
    ];

    #[test]
    fn hashes_of_the_reference_implementation_are_recognised() {
        for encoded in VECTORS {
            assert!(computes_to(encoded, "geheim"), "{encoded}");
            assert!(!computes_to(encoded, "Geheim") && !computes_to(encoded, ""), "{encoded}");
        }
        assert!(!computes_to("$argon2id$garbage", "geheim"));
    }

    #[tokio::test]
    async fn a_password_verified_once_is_recognised_and_a_wrong_one_never() {
        let (hashes, verifiers) = (Hashes::new(), Verifiers::default());
        let counters = Arc::new(AuthCounters::default());
        let expected = (Secret::Plain("eva".to_owned()), Secret::Argon2(VECTORS[1].to_owned()));
        let of = |user: &str, password: &str| Credentials {
            user: user.to_owned(),
            password: password.to_owned(),
            token: String::new(),
        };
        for _ in 0..3 {
            assert_eq!(hashes.verify(&expected, &of("eva", "geheim"), &verifiers, &counters).await, Ok(true));
        }
        assert_eq!(counters.hashes_computed.load(Relaxed), 1);
        assert_eq!(counters.hashes_cached.load(Relaxed), 2);
        for _ in 0..2 {
            assert_eq!(
                hashes.verify(&expected, &of("eva", "falsch"), &verifiers, &counters).await,
                Ok(false)
            );
        }
        assert_eq!(counters.hashes_computed.load(Relaxed), 3);
        assert_eq!(hashes.verify(&expected, &of("adam", "geheim"), &verifiers, &counters).await, Ok(false));
        assert_eq!(counters.hashes_computed.load(Relaxed), 3, "a wrong name costs no hash");
    }

    #[tokio::test]
    async fn many_with_the_same_password_cost_a_few_hashes() {
        let (hashes, verifiers) = (Arc::new(Hashes::new()), Arc::new(Verifiers(Places::new(2, 100))));
        let counters = Arc::new(AuthCounters::default());
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let (hashes, verifiers, counters) =
                (Arc::clone(&hashes), Arc::clone(&verifiers), Arc::clone(&counters));
            tasks.spawn(async move {
                let expected = (Secret::Plain("eva".to_owned()), Secret::Argon2(VECTORS[1].to_owned()));
                let given = Credentials {
                    user: "eva".to_owned(),
                    password: "geheim".to_owned(),
                    token: String::new(),
                };
                hashes.verify(&expected, &given, &verifiers, &counters).await
            });
        }
        while let Some(result) = tasks.join_next().await {
            assert_eq!(result.expect("no panic"), Ok(true));
        }
        assert!(counters.hashes_computed.load(Relaxed) <= 2);
    }
}
