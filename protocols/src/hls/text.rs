//! Playlist text, built once per change, with the places where a reader's query goes.

use super::request::RenditionName;
use bytes::Bytes;
use std::fmt::{self, Arguments, Write};

/// Text with open ends of URIs.
#[derive(Clone, Debug, Default)]
pub(super) struct Text {
    text: String,
    /// Offsets after each URI.
    ends: Vec<usize>,
    /// The text without a query, as it is sent.
    plain: Bytes,
}

/// Names of one rendition's files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names {
    pub(super) prefix: u64,
    pub(super) rendition: u8,
    /// `mp4` or `ts`.
    pub(super) extension: &'static str,
}

impl fmt::Display for Names {
    /// What the names of all files begin with.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}_{}", self.prefix, RenditionName(self.rendition))
    }
}

impl Text {
    /// Appends a line's piece. Writing to a string cannot fail.
    pub(super) fn put(&mut self, arguments: Arguments<'_>) {
        let _ = self.text.write_fmt(arguments);
    }

    /// Appends a file's name, which a reader's query will follow.
    pub(super) fn uri(&mut self, names: &Names, file: Arguments<'_>) {
        self.put(format_args!("{names}{file}"));
        self.ends.push(self.text.len());
    }

    /// No line comes after this.
    pub(super) fn finish(mut self) -> Text {
        self.plain = Bytes::from(self.text.clone());
        self
    }

    /// The playlist, with `query` (without `?`) appended to each URI. Queries with bytes that would end a URI, or a
    /// quoted string, are left out.
    pub(super) fn with_query(&self, query: &str) -> Bytes {
        if query.is_empty() || query.bytes().any(|byte| byte <= b' ' || byte == b'"' || byte >= 0x7F) {
            return self.plain.clone();
        }
        let mut out = String::with_capacity(self.text.len() + self.ends.len() * (query.len() + 1));
        let mut start = 0;
        for &end in &self.ends {
            out.push_str(&self.text[start..end]);
            out.push('?');
            out.push_str(query);
            start = end;
        }
        out.push_str(&self.text[start..]);
        out.into()
    }
}
