//! HLS players. A player loads the multivariant playlist, follows the first variant, and from then on reloads its media
//! playlist and fetches each segment or part once, one request after the other on one connection that is kept.
//!
//! - Without low latency it begins three segments before the end (RFC 8216, section 6.3.3), and reloads a target duration
//!   after the last load, or half of one when nothing was new (section 6.3.4).
//! - With low latency it begins at the last complete segment, fetches parts, and asks for the playlist that holds the
//!   next one (`_HLS_msn`, `_HLS_part`), which the server keeps until there is one. As common players do, it does not ask
//!   for what a preload hint announces.
//!
//! Every player checks statuses, lengths and the sequence of segments. Sampled ones take their contents apart.

mod playlist;
mod segment;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Bytes, BytesMut};

use self::playlist::{Media, Playlist};
use self::segment::Contents;
use super::Element;
use super::http::{Event, Exchange, Head};
use crate::limits;

/// What becomes of bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Playlists are read, the rest is counted.
    Count,
    /// All is read.
    Check,
    /// All is given out as files.
    Mirror,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Playlist,
    Init,
    Media,
}

/// See the module.
pub(crate) struct Talk {
    host: String,
    low_latency: bool,
    purpose: Use,
    exchange: Exchange,
    asked: Asked,
    /// Target of the playlist, and of what is asked for now.
    playlist: String,
    target: String,
    cookies: Vec<String>,
    redirects: u32,
    /// The status of what comes now, and its body as far as it is wanted.
    status: u16,
    body: BytesMut,
    queue: VecDeque<(Asked, String)>,
    /// The segment and part that come next; `None` before the first playlist.
    next: Option<(u64, usize)>,
    map: Option<String>,
    contents: Contents,
    /// A playlist given out once what it lists has been.
    held: Option<(String, Bytes)>,
    loaded_at: Instant,
    reload_at: Option<Instant>,
    started: bool,
}

impl Talk {
    /// A player of `path`.
    pub(crate) fn reader(
        server: SocketAddr,
        path: usize,
        low_latency: bool,
        purpose: Use,
        now: Instant,
    ) -> Talk {
        Talk {
            host: server.to_string(),
            low_latency,
            purpose,
            exchange: Exchange::new(),
            asked: Asked::Playlist,
            playlist: format!("/bench/{path}/index.m3u8"),
            target: String::new(),
            cookies: Vec::new(),
            redirects: 0,
            status: 0,
            body: BytesMut::new(),
            queue: VecDeque::new(),
            next: None,
            map: None,
            contents: Contents::default(),
            held: None,
            loaded_at: now,
            reload_at: None,
            started: false,
        }
    }

    /// Whether the first media has been asked for.
    pub(crate) fn started(&self) -> bool {
        self.started
    }

    /// When [`Talk::timer`] wants to be called.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.reload_at
    }

    /// Bytes that nobody needs to see.
    pub(crate) fn passable(&self) -> usize {
        let counted = self.purpose == Use::Count && self.asked != Asked::Playlist && self.status == 200;
        if counted { self.exchange.passable() } else { 0 }
    }

    /// So many were taken off the connection.
    pub(crate) fn passed(&mut self, now: Instant, bytes: usize, out: &mut BytesMut) -> Result<()> {
        self.exchange.passed(bytes);
        self.advance(now, out, &mut Vec::new())
    }

    pub(crate) fn open(&mut self, now: Instant, out: &mut BytesMut) {
        self.load(now, out);
    }

    pub(crate) fn timer(&mut self, now: Instant, out: &mut BytesMut) {
        if self.exchange.idle() && self.reload_at.is_some_and(|at| at <= now) {
            self.load(now, out);
        }
    }

    pub(crate) fn input(
        &mut self,
        now: Instant,
        input: &[u8],
        out: &mut BytesMut,
        media: &mut Vec<Element>,
    ) -> Result<()> {
        self.exchange.push(input);
        self.advance(now, out, media)
    }

    fn advance(&mut self, now: Instant, out: &mut BytesMut, media: &mut Vec<Element>) -> Result<()> {
        while let Some(event) = self.exchange.poll()? {
            match event {
                Event::Head(head) => self.head(head)?,
                Event::Body(bytes) => {
                    if self.purpose != Use::Count || self.asked == Asked::Playlist {
                        let room = limits::HTTP_BODY_BYTES_MAX - self.body.len();
                        ensure!(bytes.len() <= room, "{} is too large", self.target);
                        self.body.extend_from_slice(&bytes);
                    }
                }
                Event::End => {
                    let asked = self.target.clone();
                    self.take(now, media).with_context(|| asked)?;
                    self.go_on(now, out, media);
                }
            }
        }
        Ok(())
    }

    fn head(&mut self, head: Head) -> Result<()> {
        self.status = head.status;
        for cookie in head.cookies {
            let name = cookie.split('=').next().unwrap_or("").to_owned();
            self.cookies.retain(|known| known.split('=').next() != Some(&name));
            self.cookies.push(cookie);
        }
        match (head.status, head.location) {
            (200, _) => self.redirects = 0,
            (301 | 302 | 307 | 308, Some(location)) if self.asked == Asked::Playlist => {
                self.redirects += 1;
                ensure!(self.redirects <= limits::REDIRECTS_MAX, "redirected over and over");
                self.playlist = resolve(&self.playlist, &location);
            }
            // Not there yet: asked for again, until the ramp is out of time.
            (404 | 503, _) if !self.started && self.asked == Asked::Playlist => {}
            (status, _) => bail!("{} was answered {status}", self.target),
        }
        Ok(())
    }

    /// The response is complete.
    fn take(&mut self, now: Instant, media: &mut Vec<Element>) -> Result<()> {
        let body = self.body.split().freeze();
        if self.status != 200 {
            let redirected = (300..400).contains(&self.status);
            self.reload_at = Some(if redirected { now } else { now + limits::PLAYLIST_RETRY });
            return Ok(());
        }
        match (self.purpose, &self.asked) {
            (_, Asked::Playlist) => return self.take_playlist(now, body),
            (Use::Mirror, asked) => {
                let (target, lasting) = (self.target.clone(), *asked == Asked::Init);
                media.push(Element::File { target, content: body, lasting });
            }
            (Use::Check, Asked::Init) => self.contents.init(&body)?,
            (Use::Check, Asked::Media) => self.contents.media(&body, media)?,
            (Use::Count, _) => {}
        }
        Ok(())
    }

    fn take_playlist(&mut self, now: Instant, body: Bytes) -> Result<()> {
        let text = std::str::from_utf8(&body).context("a playlist that is no text")?;
        let media = match Playlist::parse(text)? {
            Playlist::Multivariant(uri) => {
                self.held = (self.purpose == Use::Mirror).then(|| (self.playlist.clone(), body.clone()));
                self.playlist = resolve(&self.playlist, &uri);
                self.reload_at = Some(now);
                return Ok(());
            }
            Playlist::Media(media) => media,
        };
        let known = self.next;
        self.enqueue(&media)?;
        self.held = (self.purpose == Use::Mirror).then(|| (self.playlist.clone(), body));
        let target = media.target;
        self.reload_at = Some(match (self.low_latency && media.blocking, self.next == known) {
            (true, _) => now,
            (false, false) => self.loaded_at + target,
            (false, true) => self.loaded_at + target / 2,
        });
        Ok(())
    }

    /// Queues what is new.
    fn enqueue(&mut self, media: &Media) -> Result<()> {
        if let Some(map) = media.map.as_ref().filter(|map| Some(*map) != self.map.as_ref()) {
            self.map = Some(map.clone());
            self.queue.push_back((Asked::Init, resolve(&self.playlist, map)));
        }
        let low_latency = self.low_latency && media.part_target.is_some();
        let whole = media.segments.iter().filter(|segment| segment.uri.is_some()).count();
        let (mut number, mut part) = match self.next {
            Some(next) => next,
            None => {
                let behind = if low_latency { 1 } else { 3 };
                let Some(first) = media.segments.get(whole.saturating_sub(behind)).filter(|_| whole > 0)
                else {
                    return Ok(());
                };
                (first.number, 0)
            }
        };
        for segment in &media.segments {
            if segment.number < number {
                continue;
            }
            ensure!(
                segment.number == number,
                "segments {number} to {} were gone before they were fetched",
                segment.number - 1
            );
            if low_latency
                && segment.parts.len() >= part
                && !(segment.parts.is_empty() && segment.uri.is_some())
            {
                for uri in &segment.parts[part..] {
                    self.queue.push_back((Asked::Media, resolve(&self.playlist, uri)));
                }
                part = segment.parts.len();
            } else if let Some(uri) = &segment.uri {
                ensure!(part == 0, "the rest of segment {number} was gone before it was fetched");
                self.queue.push_back((Asked::Media, resolve(&self.playlist, uri)));
            }
            if segment.uri.is_some() {
                (number, part) = (number + 1, 0);
            }
        }
        self.next = Some((number, part));
        Ok(())
    }

    /// Asks for what is next, when it is time.
    fn go_on(&mut self, now: Instant, out: &mut BytesMut, media: &mut Vec<Element>) {
        if let Some((asked, target)) = self.queue.pop_front() {
            self.started |= asked == Asked::Media;
            return self.ask(asked, target, out);
        }
        if let Some((target, content)) = self.held.take() {
            media.push(Element::File { target, content, lasting: true });
        }
        if self.reload_at.is_some_and(|at| at <= now) {
            self.load(now, out);
        }
    }

    fn load(&mut self, now: Instant, out: &mut BytesMut) {
        self.reload_at = None;
        self.loaded_at = now;
        let mut target = self.playlist.clone();
        if let Some((number, part)) = self.next.filter(|_| self.low_latency) {
            let separator = if target.contains('?') { '&' } else { '?' };
            target.push_str(&format!("{separator}_HLS_msn={number}&_HLS_part={part}"));
        }
        self.ask(Asked::Playlist, target, out);
    }

    fn ask(&mut self, asked: Asked, target: String, out: &mut BytesMut) {
        let cookies = match self.cookies.is_empty() {
            true => String::new(),
            false => format!("Cookie: {}\r\n", self.cookies.join("; ")),
        };
        self.exchange.request(&self.host, &target, &cookies, out);
        (self.asked, self.target, self.status) = (asked, target, 0);
    }
}

/// The target that `uri` means within `base`: absolute URLs (of the same server), absolute paths, relative ones.
fn resolve(base: &str, uri: &str) -> String {
    if let Some((_, rest)) = uri.split_once("://") {
        return rest.find('/').map_or("/", |at| &rest[at..]).to_owned();
    }
    if uri.starts_with('/') {
        return uri.to_owned();
    }
    let path = base.split('?').next().unwrap_or(base);
    if uri.starts_with('?') {
        return format!("{path}{uri}");
    }
    let folder = path.rfind('/').map_or("", |at| &path[..=at]);
    format!("{folder}{uri}")
}

/// How long what was sent may take to be fetched, besides transport: by segments, a segment and a reload.
pub(crate) fn held(low_latency: bool) -> Duration {
    Duration::from_millis(if low_latency { 1_000 } else { 2_500 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(talk: &mut Talk, now: Instant, body: &str) -> (String, Vec<Element>) {
        let (mut out, mut media) = (BytesMut::new(), Vec::new());
        let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        talk.input(now, response.as_bytes(), &mut out, &mut media).expect("goes on");
        let text = String::from_utf8_lossy(&out).into_owned();
        (text.lines().next().unwrap_or("").trim_end_matches(" HTTP/1.1").to_owned(), media)
    }

    fn player(low_latency: bool, now: Instant) -> Talk {
        let mut talk = Talk::reader(([127, 0, 0, 1], 8_888).into(), 2, low_latency, Use::Count, now);
        let mut out = BytesMut::new();
        talk.open(now, &mut out);
        assert!(out.starts_with(b"GET /bench/2/index.m3u8 HTTP/1.1\r\nHost: 127.0.0.1:8888\r\n"));
        talk
    }

    const TARGET: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n";

    #[test]
    fn a_player_fetches_three_segments_and_then_each_new_one_once() {
        let now = Instant::now();
        let mut talk = player(false, now);
        let variant = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nmain.m3u8?session=s\n";
        assert_eq!(answer(&mut talk, now, variant).0, "GET /bench/2/main.m3u8?session=s");
        let list =
            format!("{TARGET}#EXTINF:1,\na.ts\n#EXTINF:1,\nb.ts\n#EXTINF:1,\nc.ts\n#EXTINF:1,\nd.ts\n");
        assert_eq!(answer(&mut talk, now, &list).0, "GET /bench/2/b.ts");
        assert!(talk.started());
        assert_eq!(answer(&mut talk, now, "x").0, "GET /bench/2/c.ts");
        assert_eq!(answer(&mut talk, now, "x").0, "GET /bench/2/d.ts");
        assert_eq!(answer(&mut talk, now, "x").0, "");
        assert_eq!(talk.due(), Some(now + Duration::from_secs(1)));
        let mut out = BytesMut::new();
        let later = now + Duration::from_secs(1);
        talk.timer(later, &mut out);
        assert!(out.starts_with(b"GET /bench/2/main.m3u8?session=s "));
        assert_eq!(answer(&mut talk, later, &list).0, "");
        assert_eq!(talk.due(), Some(later + Duration::from_millis(500)));
    }

    #[test]
    fn a_low_latency_player_fetches_parts_and_blocks_for_the_next() {
        let now = Instant::now();
        let mut talk = player(true, now);
        let list = format!(
            "{TARGET}#EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n\
            #EXT-X-MEDIA-SEQUENCE:4\n#EXTINF:1,\na.mp4\n\
            #EXT-X-PART:DURATION=1,URI=\"b0.mp4\"\n#EXTINF:1,\nb.mp4\n#EXT-X-PART:DURATION=0.5,URI=\"c0.mp4\"\n"
        );
        assert_eq!(answer(&mut talk, now, &list).0, "GET /bench/2/b0.mp4");
        assert_eq!(answer(&mut talk, now, "x").0, "GET /bench/2/c0.mp4");
        assert_eq!(answer(&mut talk, now, "x").0, "GET /bench/2/index.m3u8?_HLS_msn=6&_HLS_part=1");
    }

    #[test]
    fn segments_that_went_before_they_were_fetched_are_found() {
        let now = Instant::now();
        let mut talk = player(false, now);
        answer(&mut talk, now, &format!("{TARGET}#EXTINF:1,\na.ts\n"));
        answer(&mut talk, now, "x");
        let later = now + Duration::from_secs(9);
        talk.timer(later, &mut BytesMut::new());
        let list = format!("{TARGET}#EXT-X-MEDIA-SEQUENCE:3\n#EXTINF:1,\nd.ts\n");
        let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{list}", list.len());
        let error = talk.input(later, response.as_bytes(), &mut BytesMut::new(), &mut Vec::new());
        assert!(format!("{:#}", error.expect_err("gone")).contains("segments 1 to 2 were gone"));
    }

    #[test]
    fn a_mirror_gives_out_playlists_after_what_they_list() {
        let now = Instant::now();
        let mut talk = Talk::reader(([127, 0, 0, 1], 8_888).into(), 2, false, Use::Mirror, now);
        talk.open(now, &mut BytesMut::new());
        let (next, files) = answer(&mut talk, now, &format!("{TARGET}#EXTINF:1,\na.ts?session=1\n"));
        assert_eq!((next.as_str(), files.len()), ("GET /bench/2/a.ts?session=1", 0));
        let files = answer(&mut talk, now, "x").1;
        let names: Vec<&str> = files
            .iter()
            .map(|file| match file {
                Element::File { target, .. } => target.as_str(),
                _ => panic!("no file"),
            })
            .collect();
        assert_eq!(names, ["/bench/2/a.ts?session=1", "/bench/2/index.m3u8"]);
    }

    #[test]
    fn references_are_resolved() {
        for (uri, expected) in [
            ("b.ts?x", "/p/q/b.ts?x"),
            ("/c", "/c"),
            ("http://h:1/d?e", "/d?e"),
            ("?cookieCheck=1", "/p/q/index.m3u8?cookieCheck=1"),
        ] {
            assert_eq!(resolve("/p/q/index.m3u8?a=b", uri), expected);
        }
    }
}
