//! The common form of challenges and credentials (RFC 9110, section 11): `scheme key=token, key="quoted \" string", …`,
//! several schemes one after the other.

/// One scheme and its parameters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) scheme: String,
    list: Vec<(String, String)>,
}

impl Fields {
    /// All schemes of a header value.
    pub(super) fn parse_list(value: &str) -> Vec<Fields> {
        let mut found: Vec<Fields> = Vec::new();
        for part in split(value) {
            let (head, value) =
                part.split_once('=').map_or((part, None), |(head, value)| (head, Some(value)));
            // `Digest realm="x"`: a word before the key begins the next scheme.
            let key = match head.trim().split_once([' ', '\t']) {
                Some((scheme, key)) => {
                    found.push(Fields { scheme: scheme.to_owned(), list: Vec::new() });
                    key.trim()
                }
                None if value.is_none() => {
                    found.push(Fields { scheme: head.trim().to_owned(), list: Vec::new() });
                    continue;
                }
                None => head.trim(),
            };
            if let (Some(fields), Some(value)) = (found.last_mut(), value) {
                fields.list.push((key.to_ascii_lowercase(), unquote(value.trim())));
            }
        }
        found
    }

    /// The first value of `key`, given in lower case.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.list.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// Splits at commas outside of quoted strings; empty parts are left out.
fn split(value: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = value.split(move |c: char| {
        if escaped {
            escaped = false;
        } else {
            match c {
                '\\' => escaped = quoted,
                '"' => quoted = !quoted,
                _ => {}
            }
        }
        c == ',' && !quoted
    });
    parts.map(str::trim).filter(|part| !part.is_empty())
}

fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else { return value.to_owned() };
    let mut out = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => out.extend(characters.next()),
            '"' => break,
            c => out.push(c),
        }
    }
    out
}

/// A quoted string.
pub(super) fn quote(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}
