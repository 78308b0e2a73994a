//! The `RTP-Info` header (RFC 2326, section 12.33): the first sequence number and timestamp after PLAY, per track.
//!
//! URLs stand unquoted and may hold commas and semicolons themselves; entries are split only where `url=` follows, and
//! only `seq`, `rtptime` and `ssrc` count as parameters.

/// What one track begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpInfo {
    /// The track's control URL; empty where a server left it out.
    pub url: String,
    pub seq: Option<u16>,
    pub rtptime: Option<u32>,
}

impl RtpInfo {
    /// Reads a header value. Numbers that cannot be read are as if absent; some cameras send `-1`.
    pub fn parse_list(value: &str) -> Vec<RtpInfo> {
        entries(value).filter(|entry| !entry.trim().is_empty()).map(RtpInfo::parse_one).collect()
    }

    fn parse_one(entry: &str) -> RtpInfo {
        let mut info = RtpInfo { url: String::new(), seq: None, rtptime: None };
        let mut url: Vec<&str> = Vec::new();
        for part in entry.trim().split(';') {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            match key.trim().to_ascii_lowercase().as_str() {
                "seq" => info.seq = value.trim().parse().ok(),
                "rtptime" => info.rtptime = value.trim().parse().ok(),
                "ssrc" => {}
                _ => url.push(part),
            }
        }
        let url = url.join(";");
        let url = url.trim();
        let url = if starts_with_url(url) { &url["url=".len()..] } else { url };
        info.url = url.trim_matches(|c: char| c == '"' || c.is_whitespace()).to_owned();
        info
    }

    /// Writes a header value.
    pub fn write_list(list: &[RtpInfo]) -> String {
        let one = |info: &RtpInfo| {
            let seq = info.seq.map_or(String::new(), |seq| format!(";seq={seq}"));
            let rtptime = info.rtptime.map_or(String::new(), |rtptime| format!(";rtptime={rtptime}"));
            format!("url={}{seq}{rtptime}", info.url)
        };
        list.iter().map(one).collect::<Vec<String>>().join(",")
    }
}

fn starts_with_url(text: &str) -> bool {
    text.as_bytes().get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"url="))
}

/// The parts between commas, as long as the next part begins with `url=`.
fn entries(value: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let next = text
            .match_indices(',')
            .map(|(at, _)| at)
            .find(|&at| starts_with_url(text[at + 1..].trim_start()));
        let Some(at) = next else { return Some(text) };
        rest = Some(&text[at + 1..]);
        Some(&text[..at])
    })
}
