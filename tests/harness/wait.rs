//! Waiting for a condition, with a deadline. The only place in the tests that sleeps, between two looks at the condition.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Calls `probe` until it yields a value; an error of the probe ends the wait at once.
///
/// # Errors
/// When `limit` has passed: names `what` was waited for.
pub fn until<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(value) = probe()? {
            return Ok(value);
        }
        if started.elapsed() >= limit {
            bail!("waited {:.1} s in vain for {what}", limit.as_secs_f32());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// [`until`] for a plain condition.
///
/// # Errors
/// When `limit` has passed.
pub fn until_true(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Result<()> {
    until(what, limit, || Ok(holds().then_some(())))
}

/// Looks at a condition that must hold all the time, for `span`.
///
/// # Errors
/// The first error of `check`.
pub fn throughout(span: Duration, mut check: impl FnMut() -> Result<()>) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < span {
        check()?;
        std::thread::sleep(LOOK_EVERY);
    }
    check()
}
