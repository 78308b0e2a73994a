//! `headwater --demo`: a built-in test picture with tone on the path [`PATH`], so that a newcomer sees something move a few
//! seconds after the first command.
//!
//! ```text
//! publisher   a client of the server's own RTMP listener, on loopback: through the front door like any encoder
//! └── source  units in real time ── scene (on a canvas) ── h264, bits     tone
//! ```
//! Pictures are drawn and encoded by the code here; no encoder is linked. It runs on the control core, which carries no
//! other media. The configuration's rules know it as a user with a password that is new with each start and good for
//! publishing to [`PATH`] alone; other authentication methods are asked as for anybody.

mod bits;
mod canvas;
mod h264;
mod publisher;
mod scene;
mod source;
#[cfg(test)]
mod tests;
mod tone;

pub(crate) use publisher::run;

use headwater_engine::access::{Action, PathRule, Permission, Secret, User};
use headwater_engine::settings::{self, Settings};
use std::sync::OnceLock;

/// Where it publishes.
pub(crate) const PATH: &str = "demo";
/// Its name in rules, sessions and logs.
const USER: &str = "headwater-demo";

/// Set when the process runs with `--demo`.
static PASSWORD: OnceLock<String> = OnceLock::new();

/// Why there can be no demo.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error(
        "--demo publishes over RTMP without TLS, which is off: set rtmp: yes, and rtmpEncryption: no or optional"
    )]
    Rtmp,
    #[error(
        "--demo publishes to the path \"{PATH}\", which is not configured: add it, or all_others, to the paths"
    )]
    Path,
    #[error("--demo publishes to the path \"{PATH}\", but its source is another: set source: publisher")]
    Source,
}

/// From now on the configuration's rules let the demo publish.
pub(crate) fn admit() {
    PASSWORD.get_or_init(|| format!("{:032x}", rand::random::<u128>()));
}

/// The demo as a user, where there is one.
pub(crate) fn user() -> Option<User> {
    let password = PASSWORD.get()?;
    let permission = Permission { action: Action::Publish, path: PathRule::Exact(PATH.to_owned()) };
    Some(User {
        credentials: Some((Secret::Plain(USER.to_owned()), Secret::Plain(password.clone()))),
        networks: Vec::new(),
        permissions: vec![permission],
    })
}

/// Whether a server with these settings can be shown the demo.
///
/// # Errors
/// No RTMP, or a path that nobody can publish to.
pub(crate) fn check(settings: &Settings) -> Result<(), DemoError> {
    if settings.rtmp.address.is_none() {
        return Err(DemoError::Rtmp);
    }
    let (path, _) = settings.paths.find(PATH).ok_or(DemoError::Path)?;
    if path.source == settings::Source::Publisher { Ok(()) } else { Err(DemoError::Source) }
}
