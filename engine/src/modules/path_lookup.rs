//! The path lookup: takes part in `route` and `preprocess`. Refuses names that are no paths and finds the settings that hold.

use super::{Flow, Intent, Module, Rejection, RejectionKind, Request, Role};
use crate::limits;
use crate::shard::State;
use std::sync::Arc;

pub(crate) struct PathLookup;

impl Module for PathLookup {
    fn name(&self) -> &'static str {
        "path-lookup"
    }

    fn roles(&self) -> &'static [Role] {
        &[Role::Route, Role::Preprocess]
    }

    /// Once more: the request may have waited for its authentication while the configuration changed.
    fn preprocess(&mut self, shard: &mut State, request: &mut Request) -> Flow {
        self.route(shard, request)
    }

    fn route(&mut self, shard: &mut State, request: &mut Request) -> Flow {
        if request.intent != Intent::Control {
            if let Err(fault) = check(&request.path) {
                let reason = format!("invalid path name \"{}\": {fault}", request.path.escape_debug());
                return Flow::Reject(Rejection::new(RejectionKind::Invalid, reason));
            }
            let Some(settings) = shard.settings.path(&request.path) else {
                let reason = format!("path \"{}\" is not configured", request.path);
                return Flow::Reject(Rejection::new(RejectionKind::Invalid, reason));
            };
            request.settings = Some(Arc::clone(settings));
        }
        Flow::Next
    }
}

/// MediaMTX's rule for path names: letters, digits and `_-/.`, no empty name, no slash at either end, no `.` or `..` segment.
fn check(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("it is empty");
    }
    if name.len() > limits::PATH_NAME_BYTES_MAX {
        return Err("it is too long");
    }
    if name.starts_with('/') || name.ends_with('/') {
        return Err("it begins or ends with a slash");
    }
    if name.split('/').any(|segment| segment == "." || segment == "..") {
        return Err("it has a dot segment");
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-/.".contains(&b)) {
        return Err("only letters, digits, underscore, minus, slash and dot are allowed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn names() {
        for good in ["cam", "live/cam-1", "a.b/c_d", "..a/b.."] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "/cam", "cam/", "a/../b", ".", "a b", "ä", "a?b", "a\0"] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check(&"x".repeat(2000)).is_err());
    }
}
