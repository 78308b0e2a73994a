//! Names of paths as the API takes them.
//!
//! MediaMTX's rule: letters, digits, `_`, `-`, `.` and `/`, not at the ends, and no segment `.` or `..` (such names
//! would become files elsewhere). An entry of the configuration may also be `~` and a regular expression.

use headwater_engine::limits::PATH_NAME_BYTES_MAX;

/// The same rule as a pattern, for the OpenAPI document.
pub(super) const PATTERN: &str = r"^(\.{0,2}[0-9A-Za-z_\-][0-9A-Za-z_.\-]*|\.{3,}[0-9A-Za-z_.\-]*)(/+(\.{0,2}[0-9A-Za-z_\-][0-9A-Za-z_.\-]*|\.{3,}[0-9A-Za-z_.\-]*))*$";

/// Checks the name of a path.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(name: &str) -> Result<(), String> {
    check_length(name)?;
    if name.starts_with('/') || name.ends_with('/') {
        return Err(format!("invalid name {name:?}: it begins or ends with a slash"));
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte)) {
        return Err(format!("invalid name {name:?}: only letters, digits, and _ - . / are allowed"));
    }
    if name.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(format!("invalid name {name:?}: it has a segment . or .."));
    }
    Ok(())
}

/// Checks the name of an entry of the configuration's paths.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check_configured(name: &str) -> Result<(), String> {
    if !name.starts_with('~') {
        return check(name);
    }
    check_length(name)?;
    match name.chars().any(char::is_control) {
        true => Err(format!("invalid name {name:?}: it has control characters")),
        false => Ok(()),
    }
}

fn check_length(name: &str) -> Result<(), String> {
    match name.len() {
        0 => Err("invalid name: it is empty".to_owned()),
        1..=PATH_NAME_BYTES_MAX => Ok(()),
        length => Err(format!("invalid name: {length} bytes; at most {PATH_NAME_BYTES_MAX} are allowed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_and_its_pattern_agree() {
        let pattern = regex::Regex::new(PATTERN).unwrap();
        for (name, fine) in [
            ("cam", true),
            ("a/b/c_1-2.3", true),
            ("a..b/.hidden/...", true),
            ("a//b", true),
            ("", false),
            ("/a", false),
            ("a/", false),
            ("..", false),
            ("a/../b", false),
            ("a/./b", false),
            ("../../etc/passwd", false),
            ("a b", false),
            ("a%2e", false),
            ("caf\u{e9}", false),
            ("a\0", false),
        ] {
            assert_eq!(check(name).is_ok(), fine, "{name:?}");
            assert_eq!(pattern.is_match(name), fine, "{name:?}");
        }
        assert!(check(&"a".repeat(PATH_NAME_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn entries_may_be_regular_expressions() {
        assert!(check_configured("~^cam/[0-9]+$").is_ok());
        assert!(check_configured("all_others").is_ok());
        assert!(check_configured("~a\nb").is_err());
        assert!(check_configured("a/..").is_err());
    }
}
