//! Redirection: takes part in `preprocess`. Paths whose source is a redirect send their readers elsewhere.

use super::{Answer, Flow, Intent, Module, Rejection, RejectionKind, Request, Role};
use crate::settings::Source;
use crate::shard::State;
use regex::Regex;

pub(crate) struct Redirect;

impl Module for Redirect {
    fn name(&self) -> &'static str {
        "redirect"
    }

    fn roles(&self) -> &'static [Role] {
        &[Role::Preprocess]
    }

    fn preprocess(&mut self, shard: &mut State, request: &mut Request) -> Flow {
        let Some(settings) = &request.settings else { return Flow::Next };
        match (&settings.source, request.intent) {
            (Source::Publisher, _) | (_, Intent::Control) => Flow::Next,
            (Source::Redirect(_) | Source::Unsupported(_), Intent::Publish) => {
                let reason =
                    format!("path \"{}\" has a source of its own; nobody can publish to it", request.path);
                Flow::Reject(Rejection::new(RejectionKind::Invalid, reason))
            }
            (Source::Redirect(target), _) => {
                let pattern = shard.settings.paths.find(&request.path).and_then(|(_, pattern)| pattern);
                Flow::Responded(Answer::Redirect(expand(target, pattern, &request.path).into()))
            }
            (Source::Unsupported(source), _) => {
                let reason = format!(
                    "path \"{}\": its source {source:?} is not supported by this build",
                    request.path
                );
                Flow::Reject(Rejection::new(RejectionKind::NotFound, reason))
            }
        }
    }
}

/// Puts the groups of the path's pattern into `$G1`, `$G2`, …
pub(crate) fn expand(target: &str, pattern: Option<&Regex>, path: &str) -> String {
    let Some(groups) = pattern.and_then(|pattern| pattern.captures(path)) else { return target.to_owned() };
    // From the last, so that `$G1` does not take the beginning of `$G12`.
    (1..groups.len()).rev().fold(target.to_owned(), |text, n| {
        text.replace(&format!("$G{n}"), groups.get(n).map_or("", |group| group.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::expand;
    use regex::Regex;

    #[test]
    fn groups_of_the_pattern_are_put_in() {
        let pattern = Regex::new("^(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)(k)/(.+)$").expect("valid");
        let path = "abcdefghijk/cam";
        assert_eq!(expand("rtsp://x/$G12/$G1", Some(&pattern), path), "rtsp://x/cam/a");
        assert_eq!(expand("rtsp://x/$G1", None, path), "rtsp://x/$G1");
    }
}
