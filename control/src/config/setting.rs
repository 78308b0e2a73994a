//! How the value of a key is read from a [`Node`] and written as JSON.
//!
//! Reading is strict where MediaMTX is (a number is no text) and forgiving where its own files are (`no` for an
//! encryption, a comma list in the environment). What is wrong goes to [`Reading`], and the key keeps its value.

use super::node::{Data, Node, Reading, nearest, quoted};
use super::text::{duration_of_text, size_of_text, text_of_duration, text_of_size};
use super::values::{
    Action, AlwaysAvailableTrack, AuthMethod, Credential, Encryption, ForwardTarget, HlsVariant, IceServer,
    InternalUser, LogDestination, LogLevel, MoqTransport, Networks, Permission, RecordFormat, RtspAuthMethod,
    RtspRangeType, RtspTransport, Size, SourceTransport,
};
use super::yaml::boolean;
use ipnet::IpNet;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// What stands for a secret in answers.
pub(crate) const REDACTED: &str = "<redacted>";

/// Items of one list.
const LIST_MAX: usize = 100_000;

/// Whether JSON shows secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secrets {
    Shown,
    Redacted,
}

/// The type of a key.
pub(crate) trait Setting: Sized {
    /// `None` where nothing was given, or something wrong.
    fn read(node: &Node, reading: &mut Reading<'_>) -> Option<Self>;

    fn json(&self, secrets: Secrets) -> Value;

    /// In words, for the reference page.
    fn kind() -> Cow<'static, str>;
}

/// The type of an item of a list.
pub(crate) trait Item: Setting {
    /// Of items that are maps: their keys.
    const FIELDS: &'static [&'static str] = &[];

    /// Puts a list into the form in which lists are compared.
    fn arrange(_list: &mut Vec<Self>) {}

    /// Puts a list into the order in which MediaMTX prints it.
    fn arrange_json(_list: &mut [Value]) {}
}

fn wrong(node: &Node, reading: &mut Reading<'_>, wanted: &str, hint: Option<&str>) {
    let message = format!("must be {wanted}, not {}", node.kind());
    reading.fault(&node.origin, message, hint.map(str::to_owned));
}

impl Setting for bool {
    fn read(node: &Node, reading: &mut Reading<'_>) -> Option<bool> {
        match &node.data {
            Data::Null => None,
            Data::Bool(value) => Some(*value),
            Data::Text(text) | Data::Loose(text) if boolean(text).is_some() => boolean(text),
            Data::Text(text) | Data::Loose(text) => {
                let message = format!("must be yes or no, not {}", quoted(text));
                reading.fault(&node.origin, message, None);
                None
            }
            _ => {
                wrong(node, reading, "yes or no", None);
                None
            }
        }
    }

    fn json(&self, _: Secrets) -> Value {
        Value::Bool(*self)
    }

    fn kind() -> Cow<'static, str> {
        "yes or no".into()
    }
}

impl Setting for String {
    fn read(node: &Node, reading: &mut Reading<'_>) -> Option<String> {
        match &node.data {
            Data::Null => None,
            Data::Text(text) | Data::Loose(text) if text.contains('\0') => {
                reading.fault(&node.origin, "must not contain a NUL character", None);
                None
            }
            // A configuration that was printed for people, or an answer of the API that came back.
            Data::Text(text) | Data::Loose(text) if text == REDACTED || is_redacted_url(text) => {
                let message = format!("{REDACTED} stands for a secret that is not known here");
                reading.fault(&node.origin, message, Some("write the secret itself".to_owned()));
                None
            }
            Data::Text(text) | Data::Loose(text) => Some(text.clone()),
            Data::Bool(_) | Data::Number(_) => {
                wrong(node, reading, "a text", Some("put it in quotes"));
                None
            }
            Data::List(_) | Data::Map(_) => {
                wrong(node, reading, "a text", None);
                None
            }
        }
    }

    fn json(&self, _: Secrets) -> Value {
        Value::String(self.clone())
    }

    fn kind() -> Cow<'static, str> {
        "text".into()
    }
}
impl Item for String {}

impl Setting for u64 {
    fn read(node: &Node, reading: &mut Reading<'_>) -> Option<u64> {
        match &node.data {
            Data::Null => None,
            Data::Number(text) | Data::Loose(text) => {
                let number = text.trim().parse().ok();
                if number.is_none() {
                    let message = format!("must be a whole number from 0 up, not {}", quoted(text));
                    reading.fault(&node.origin, message, None);
                }
                number
            }
            Data::Text(_) => {
                let hint = Some("write it without quotes and units");
                wrong(node, reading, "a whole number", hint);
                None
            }
            _ => {
                wrong(node, reading, "a whole number", None);
                None
            }
        }
    }

    fn json(&self, _: Secrets) -> Value {
        Value::from(*self)
    }

    fn kind() -> Cow<'static, str> {
        "whole number".into()
    }
}
impl Item for u64 {}

impl Setting for f64 {
    fn read(node: &Node, reading: &mut Reading<'_>) -> Option<f64> {
        match &node.data {
            Data::Null => None,
            Data::Number(text) | Data::Loose(text) => {
                let number = text.trim().parse().ok().filter(|number: &f64| number.is_finite());
                if number.is_none() {
                    reading.fault(&node.origin, format!("must be a number, not {}", quoted(text)), None);
                }
                number
            }
            _ => {
                wrong(node, reading, "a number", None);
                None
            }
        }
    }

    /// Whole numbers without a point, as MediaMTX prints them.
    fn json(&self, _: Secrets) -> Value {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if self.fract() == 0.0 && self.abs() < EXACT { json!(*self as i64) } else { json!(*self) }
    }

    fn kind() -> Cow<'static, str> {
        "number".into()
    }
}
impl Item for f64 {}

impl Setting for Duration {
    fn read(node: &Node, reading: &mut Reading<'_>) -> Option<Duration> {
        const HINT: &str = "write a duration such as 500ms, 10s, 1h30m or 7d";
        match &node.data {
            Data::Null => None,
            Data::Number(text) if text == "0" => Some(Duration::ZERO),
            Data::Text(text) | Data::Loose(text) => match duration_of_text(text) {
                Ok(duration) => Some(duration),
                Err(reason) => {
                    let message = format!("must be a duration, not {}: {reason}", quoted(text));
                    reading.fault(&node.origin, message, Some(HINT.to_owned()));
                    None
                }
            },
            _ => {
                wrong(node, reading, "a duration", Some(HINT));
                None
            }
        }
    }

    fn json(&self, _: Secrets) -> Value {
        Value::String(text_of_duration(*self))
    }

    fn kind() -> Cow<'static, str> {
        "duration".into()
    }
}

impl Setting for Size {
    fn read(node: &Node, reading: &mut Reading<'_>) -> Option<Size> {
        match &node.data {
            Data::Null => None,
            Data::Number(text) | Data::Text(text) | Data::Loose(text) => {
                let size = size_of_text(text);
                if size.is_none() {
                    let message = format!("must be a size, not {}", quoted(text));
                    let hint = "write a size such as 512K, 50M or 1G".to_owned();
                    reading.fault(&node.origin, message, Some(hint));
                }
                size.map(Size)
            }
            _ => {
                wrong(node, reading, "a size", Some("write a size such as 512K, 50M or 1G"));
                None
            }
        }
    }

    fn json(&self, _: Secrets) -> Value {
        Value::String(text_of_size(self.0))
    }

    fn kind() -> Cow<'static, str> {
        "size".into()
    }
}

fn network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    let net = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    Some(net.trunc())
}

/// One network of [`Networks`].
struct Network(IpNet);

impl Setting for Network {
    fn read(node: &Node, reading: &mut Reading<'_>) -> Option<Network> {
        let text = String::read(node, reading)?;
        let net = network(&text);
        if net.is_none() {
            let message = format!("must be an address or a network, not {}", quoted(&text));
            let hint = "write 192.168.1.2, 192.168.0.0/16 or fd00::/8".to_owned();
            reading.fault(&node.origin, message, Some(hint));
        }
        net.map(Network)
    }

    fn json(&self, _: Secrets) -> Value {
        Value::String(self.0.to_string())
    }

    fn kind() -> Cow<'static, str> {
        "network".into()
    }
}
impl Item for Network {}

impl Setting for Networks {
    fn read(node: &Node, reading: &mut Reading<'_>) -> Option<Networks> {
        let list = Vec::<Network>::read(node, reading)?;
        Some(Networks(list.into_iter().map(|network| network.0).collect()))
    }

    fn json(&self, _: Secrets) -> Value {
        self.0.iter().map(|net| Value::String(net.to_string())).collect()
    }

    fn kind() -> Cow<'static, str> {
        Vec::<Network>::kind()
    }
}

impl Setting for Credential {
    fn read(node: &Node, reading: &mut Reading<'_>) -> Option<Credential> {
        let text = String::read(node, reading)?;
        match credential_fault(&text) {
            None => Some(Credential(text)),
            Some(message) => {
                reading.fault(&node.origin, message, None);
                None
            }
        }
    }

    fn json(&self, secrets: Secrets) -> Value {
        Value::String(shown(&self.0, secrets))
    }

    fn kind() -> Cow<'static, str> {
        "plain text, sha256: or argon2:".into()
    }
}

/// What is wrong with a user name or password; never shows it.
fn credential_fault(text: &str) -> Option<String> {
    const PLAIN: &str = "!$()*+.;<=>[]^_-{}@#&";
    if let Some(hash) = text.strip_prefix("sha256:") {
        let valid = !hash.is_empty()
            && hash.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='));
        return (!valid).then(|| "after sha256: the hash must follow in base64".to_owned());
    }
    if let Some(hash) = text.strip_prefix("argon2:") {
        let valid = argon2::PasswordHash::new(hash).is_ok_and(|hash| hash.hash.is_some());
        return (!valid).then(|| "after argon2: an encoded hash must follow ($argon2id$v=19$…)".to_owned());
    }
    let valid = text.chars().all(|c| c.is_ascii_alphanumeric() || PLAIN.contains(c));
    (!valid).then(|| format!("may hold letters, digits and {PLAIN} only; use sha256: for anything else"))
}

fn shown(secret: &str, secrets: Secrets) -> String {
    match secrets {
        Secrets::Redacted if !secret.is_empty() => REDACTED.to_owned(),
        _ => secret.to_owned(),
    }
}

/// Hides what is secret in the value of a key that is not secret by its type.
pub(crate) fn redact(key: &str, value: Value) -> Value {
    match (key, value) {
        (
            "hlsCDNSecret" | "srtReadPassphrase" | "srtPublishPassphrase" | "whepBearerToken",
            Value::String(text),
        ) => Value::String(shown(&text, Secrets::Redacted)),
        (
            "source" | "sourceRedirect" | "fallback" | "authHTTPAddress" | "authJWTJWKS" | "webhookAddress",
            Value::String(text),
        ) => Value::String(redact_url(&text)),
        (_, value) => value,
    }
}

/// Parts of the names of query parameters whose values are secret, in lower case.
const SECRET_PARTS: [&str; 9] =
    ["token", "key", "pass", "pwd", "secret", "jwt", "auth", "signature", "credential"];
/// Such names that are too short to be looked for within others. Those of SRT's `streamid` may hold a password.
const SECRET_NAMES: [&str; 8] = ["k", "p", "pw", "sig", "sign", "hmac", "code", "streamid"];

/// Hides the password of a URL, and the values of what looks secret in its query.
pub(crate) fn redact_url(url: &str) -> String {
    let Some(begin) = url.find("://").map(|at| at + 3) else { return url.to_owned() };
    let end = url[begin..].find(['/', '?', '#']).map_or(url.len(), |at| begin + at);
    let mut shown = String::with_capacity(url.len());
    let password = || {
        let at = begin + url[begin..end].rfind('@')?;
        let colon = begin + url[begin..at].find(':')?;
        (colon + 1 < at).then_some((colon, at))
    };
    match password() {
        Some((colon, at)) => shown.extend([&url[..=colon], REDACTED, &url[at..end]]),
        None => shown.push_str(&url[..end]),
    }
    let rest = &url[end..];
    let fragment = rest.find('#').unwrap_or(rest.len());
    match rest[..fragment].find('?') {
        Some(mark) => {
            shown.push_str(&rest[..=mark]);
            shown.push_str(&redact_query(&rest[mark + 1..fragment]));
        }
        None => shown.push_str(&rest[..fragment]),
    }
    shown.push_str(&rest[fragment..]);
    shown
}

fn redact_query(query: &str) -> String {
    let parameter = |parameter: &str| {
        let bare = parameter.trim_end_matches(['&', ';']);
        match bare.split_once('=') {
            Some((name, value)) if !value.is_empty() && is_secret_name(name) => {
                format!("{name}={REDACTED}{}", &parameter[bare.len()..])
            }
            _ => parameter.to_owned(),
        }
    };
    query.split_inclusive(['&', ';']).map(parameter).collect()
}

fn is_secret_name(name: &str) -> bool {
    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy().to_ascii_lowercase();
    SECRET_NAMES.contains(&name.as_str()) || SECRET_PARTS.iter().any(|part| name.contains(part))
}

/// Whether a text is a URL as [`redact_url`] leaves it.
fn is_redacted_url(text: &str) -> bool {
    text.contains(":<redacted>@") || text.contains("://") && text.contains("=<redacted>")
}

macro_rules! word_settings {
    ($($name:ident),+) => {$(
        impl Setting for $name {
            fn read(node: &Node, reading: &mut Reading<'_>) -> Option<$name> {
                let word = word(node, reading, $name::WORDS)?;
                $name::of_word(word)
            }

            fn json(&self, _: Secrets) -> Value {
                Value::String(self.word().to_owned())
            }

            fn kind() -> Cow<'static, str> {
                one_of($name::WORDS).into()
            }
        }
    )+};
}

word_settings!(
    LogLevel,
    LogDestination,
    AuthMethod,
    RtspTransport,
    SourceTransport,
    RtspAuthMethod,
    HlsVariant,
    RecordFormat,
    RtspRangeType,
    MoqTransport,
    Action
);

fn one_of(words: &[&str]) -> String {
    let words: Vec<&str> = words.iter().map(|word| if word.is_empty() { "\"\"" } else { word }).collect();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

fn word(node: &Node, reading: &mut Reading<'_>, words: &'static [&'static str]) -> Option<&'static str> {
    match &node.data {
        Data::Null => None,
        Data::Text(text) | Data::Loose(text) => {
            let found = words.iter().find(|word| *word == text).copied();
            if found.is_none() {
                let message = format!("must be one of {}, not {}", one_of(words), quoted(text));
                let hint = nearest(text, words.iter().copied().filter(|word| !word.is_empty()));
                reading.fault(&node.origin, message, hint.map(|word| format!("did you mean {word}?")));
            }
            found
        }
        _ => {
            wrong(node, reading, &format!("one of {}", one_of(words)), None);
            None
        }
    }
}

impl Setting for Encryption {
    /// Besides the words: no is `no`, and yes is `strict`.
    fn read(node: &Node, reading: &mut Reading<'_>) -> Option<Encryption> {
        let as_boolean = match &node.data {
            Data::Bool(value) => Some(*value),
            Data::Text(text) | Data::Loose(text) => boolean(text),
            _ => None,
        };
        match as_boolean {
            Some(true) => Some(Encryption::Strict),
            Some(false) => Some(Encryption::No),
            None => Encryption::of_word(word(node, reading, Encryption::WORDS)?),
        }
    }

    fn json(&self, _: Secrets) -> Value {
        Value::String(self.word().to_owned())
    }

    fn kind() -> Cow<'static, str> {
        one_of(Encryption::WORDS).into()
    }
}

impl Item for LogDestination {}
impl Item for RtspAuthMethod {}

impl Item for RtspTransport {
    /// It is a set.
    fn arrange(list: &mut Vec<RtspTransport>) {
        list.sort_by_key(|transport| *transport as u8);
        list.dedup();
    }

    fn arrange_json(list: &mut [Value]) {
        list.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    }
}

impl<T: Item> Setting for Vec<T> {
    fn read(node: &Node, reading: &mut Reading<'_>) -> Option<Vec<T>> {
        let loose: Vec<Node>;
        let items = match &node.data {
            Data::List(items) => items,
            Data::Loose(text) if text.is_empty() => return Some(Vec::new()),
            Data::Loose(text) if T::FIELDS.is_empty() => {
                let item = |item: &str| Node::new(node.origin.clone(), Data::Loose(item.to_owned()));
                loose = text.split(',').map(item).collect();
                &loose
            }
            Data::Null => {
                let hint = "write [] for an empty list".to_owned();
                reading.fault(&node.origin, "must be a list, not nothing", Some(hint));
                return None;
            }
            _ => {
                wrong(node, reading, "a list", Some("write [one, another]"));
                return None;
            }
        };
        if items.len() > LIST_MAX {
            reading.fault(&node.origin, format!("has more than {LIST_MAX} items"), None);
            return None;
        }
        let faults = reading.faults.len();
        let mut list = Vec::with_capacity(items.len());
        for (n, item) in items.iter().enumerate() {
            let value = reading.within(&n.to_string(), &item.origin, |reading| {
                let faults = reading.faults.len();
                let value = T::read(item, reading);
                if value.is_none() && reading.faults.len() == faults {
                    reading.fault(&item.origin, "the item is empty", None);
                }
                value
            });
            list.extend(value);
        }
        T::arrange(&mut list);
        (reading.faults.len() == faults).then_some(list)
    }

    fn json(&self, secrets: Secrets) -> Value {
        let mut list: Vec<Value> = self.iter().map(|item| item.json(secrets)).collect();
        T::arrange_json(&mut list);
        Value::Array(list)
    }

    fn kind() -> Cow<'static, str> {
        format!("list of {}", T::kind()).into()
    }
}

/// Items that are maps with keys of their own.
macro_rules! map_settings {
    ($($name:ident $(needs $needs:literal)? $(check $check:path)? { $($field:ident $key:literal $(hide $hide:ident)?),+ $(,)? })+) => {$(
        impl Setting for $name {
            fn read(node: &Node, reading: &mut Reading<'_>) -> Option<$name> {
                let entries = match &node.data {
                    Data::Map(entries) => entries,
                    Data::Null => return None,
                    _ => {
                        wrong(node, reading, "a map", Some(concat!("with the keys", $(" ", $key),+)));
                        return None;
                    }
                };
                let faults = reading.faults.len();
                let mut item = $name::default();
                for entry in entries {
                    reading.within(&entry.key, &entry.origin, |reading| match entry.key.as_str() {
                        $($key => {
                            if let Some(value) = Setting::read(&entry.value, reading) {
                                item.$field = value;
                            }
                        })+
                        _ => unknown_key(&entry.key, &entry.origin, &[$($key),+], reading),
                    });
                }
                $(if node.entry($needs).is_none_or(|entry| matches!(entry.value.data, Data::Null)) {
                    reading.fault(&node.origin, concat!($needs, " is missing"), None);
                })?
                $(if reading.faults.len() == faults
                    && let Some(message) = $check(&item)
                {
                    reading.fault(&node.origin, message, None);
                })?
                (reading.faults.len() == faults).then_some(item)
            }

            fn json(&self, secrets: Secrets) -> Value {
                let mut map = Map::new();
                $(
                    #[allow(unused_mut)]
                    let mut value = Setting::json(&self.$field, Secrets::Shown);
                    $(if secrets == Secrets::Redacted && let Value::String(text) = &value {
                        value = Value::String($hide(text));
                    })?
                    map.insert($key.to_owned(), value);
                )+
                let _ = secrets;
                Value::Object(map)
            }

            fn kind() -> Cow<'static, str> {
                let fields = [$($key),+].join(", ");
                format!("map of {fields}").into()
            }
        }

        impl fmt::Debug for $name {
            /// Without secrets.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.json(Secrets::Redacted))
            }
        }

        impl Item for $name {
            const FIELDS: &'static [&'static str] = &[$($key),+];
        }
    )+};
}

fn hide(secret: &str) -> String {
    shown(secret, Secrets::Redacted)
}

map_settings! {
    Permission needs "action" check permission_fault { action "action", path "path" }
    InternalUser { user "user", pass "pass" hide hide, ips "ips", permissions "permissions" }
    IceServer needs "url" { url "url", username "username", password "password" hide hide, client_only "clientOnly" }
    AlwaysAvailableTrack needs "codec" check track_fault {
        codec "codec", sample_rate "sampleRate", channel_count "channelCount", mu_law "muLaw",
    }
    ForwardTarget needs "dest" check forward_fault {
        dest "dest" hide redact_url, dest_fingerprint "destFingerprint", whip_bearer_token "whipBearerToken" hide hide,
    }
}

fn permission_fault(permission: &Permission) -> Option<String> {
    let expression = permission.path.strip_prefix('~')?;
    let error = super::paths::regular_expression(expression).err()?;
    Some(format!("path is not a valid regular expression: {error}"))
}

fn track_fault(track: &AlwaysAvailableTrack) -> Option<String> {
    let codec = track.codec.as_str();
    let least = match codec {
        "AV1" | "VP9" | "H265" | "H264" | "Opus" => {
            let given = track.sample_rate != 0 || track.channel_count != 0;
            return given.then(|| format!("sampleRate and channelCount are not for {codec}"));
        }
        "MPEG4Audio" => 22050,
        "G711" | "LPCM" => 8000,
        _ => {
            let codecs = "AV1, VP9, H265, H264, MPEG4Audio, Opus, G711 or LPCM";
            return Some(format!("codec must be one of {codecs}, not {}", quoted(codec)));
        }
    };
    if track.sample_rate < least {
        return Some(format!("sampleRate must be at least {least} for {codec}"));
    }
    (track.channel_count == 0).then(|| format!("channelCount is missing, {codec} needs it"))
}

fn forward_fault(target: &ForwardTarget) -> Option<String> {
    const SCHEMES: [&str; 7] = ["rtmp", "rtmps", "rtsp", "rtsps", "srt", "whip", "whips"];
    let url = match super::paths::url(&target.dest.replace("$MTX_PATH", "path")) {
        Ok(url) => url,
        Err(message) => return Some(format!("dest {message}")),
    };
    if !SCHEMES.contains(&url.scheme()) {
        return Some(format!("dest must be a URL of {}, not {}", one_of(&SCHEMES), quoted(url.scheme())));
    }
    super::check::fingerprint(&target.dest_fingerprint).map(|message| format!("destFingerprint {message}"))
}

/// A key that does not exist, with the one that was probably meant.
pub(crate) fn unknown_key(
    key: &str,
    origin: &super::node::Origin,
    known: &[&'static str],
    reading: &mut Reading<'_>,
) {
    let hint = nearest(key, known.iter().copied()).map(|near| format!("did you mean {near}?"));
    reading.fault(origin, "there is no such key", hint);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_what_is_secret_in_them() {
        for (url, shown) in [
            ("http://host/auth", "http://host/auth"),
            ("publisher", "publisher"),
            ("http://u:p@host/a?x=1#f", "http://u:<redacted>@host/a?x=1#f"),
            ("http://host?token=geheim", "http://host?token=<redacted>"),
            ("http://host/a?x=1&Api_Key=geheim;y=2#f", "http://host/a?x=1&Api_Key=<redacted>;y=2#f"),
            ("http://host/a?%74oken=geheim&k=a=b&sig=", "http://host/a?%74oken=<redacted>&k=<redacted>&sig="),
            (
                "http://host/?X-Amz-Signature=a&jwt=b&kind=c",
                "http://host/?X-Amz-Signature=<redacted>&jwt=<redacted>&kind=c",
            ),
            (
                "srt://host:9?streamid=publish:a:u:p&passphrase=geheim",
                "srt://host:9?streamid=<redacted>&passphrase=<redacted>",
            ),
            ("http://host/#a?token=x", "http://host/#a?token=x"),
            ("http://u:p?token@host/?a", "http://u:p?token@host/?a"),
            ("http://host/p@th:x/?token", "http://host/p@th:x/?token"),
        ] {
            assert_eq!(redact_url(url), shown);
            assert_eq!(is_redacted_url(shown), url != shown, "{shown}");
        }
    }

    #[test]
    fn a_secret_of_a_query_that_comes_back_hidden_is_kept() {
        use crate::config::Configuration;
        let address = "http://host/hook?x=1&token=geheim";
        let given = json!({"webhookAddress": address, "authHTTPAddress": address, "authJWTJWKS": address});
        let old = Configuration::default().patch_global(&given).expect("patched");
        let shown = old.global_json();
        assert!(!shown.to_string().contains("geheim"), "{shown}");
        let new = old.patch_global(&shown).expect("patched");
        assert!(old.difference(&new).is_empty());
        let other = json!({"webhookAddress": "http://other/hook?x=1&token=<redacted>"});
        assert!(old.patch_global(&other).is_err(), "the secret is for nobody else");
    }
}
