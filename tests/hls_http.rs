//! HLS as HTTP: sessions and their secrets, what caches may keep, ranges, compression, CORS, proxies, shards, TLS.

use anyhow::{Context, Result, ensure};
use headwater_tests::http::{self, Client, Response};
use headwater_tests::live::{Ingest, publish};
use headwater_tests::media::sample;
use headwater_tests::process::Process;
use headwater_tests::server::{Launch, Server};
use headwater_tests::{certificate, wait, web, workspace};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);
/// Without a request for 30 s a session is over.
const IDLE: Duration = Duration::from_secs(45);
const PLAYLIST: &str = "application/vnd.apple.mpegurl";
/// Anybody publishes, eve reads.
const PROTECTED: &str = "authInternalUsers=[{user: any, permissions: [{action: publish}, {action: api}, {action: metrics}]}, \
                         {user: eve, pass: pass, permissions: [{action: read}]}]";

/// A server on which `cam` is published.
struct Site {
    server: Server,
    publisher: Process,
}

impl Site {
    fn start(settings: &[&str]) -> Result<Site> {
        Site::launch(Launch {
            media: vec!["rtmp", "http"],
            settings: settings.iter().map(|setting| (*setting).to_owned()).collect(),
            ..Launch::default()
        })
    }

    fn launch(launch: Launch) -> Result<Site> {
        let server = Server::launch(&Launch { control: vec!["api", "metrics"], ..launch })?;
        let mut publisher = publish(&server, Ingest::Rtmp, "cam", sample("h264_aac"), &[])?;
        let api = server.control["api"];
        wait::until("the publisher to be ready", SOON, || {
            publisher.still_runs()?;
            let answer = http::request(api, "GET", "/v3/paths/get/cam", "")?;
            Ok((answer.status == 200 && answer.json()?["ready"] == true).then_some(()))
        })?;
        Ok(Site { server, publisher })
    }

    fn http(&self) -> SocketAddr {
        self.server.media["http"]
    }

    /// One request on a connection of its own.
    fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Result<Response> {
        Client::open(self.http())?.request(method, target, headers, b"")
    }

    fn get(&self, target: &str, headers: &[(&str, &str)]) -> Result<Response> {
        self.ask("GET", target, headers)
    }

    /// The targets of a player that showed `headers` at first.
    fn player(&self, headers: &[(&str, &str)]) -> Result<Player> {
        let index = self.get("/cam/index.m3u8", headers)?.expect(200)?;
        let media = first_uri(&index.text())?;
        let playlist = self.get(&media, headers)?.expect(200)?;
        let segment = first_uri(&playlist.text())?;
        Ok(Player { index, media, playlist, segment })
    }

    fn list(&self, what: &str) -> Result<Vec<Value>> {
        let list = http::get(self.server.control["api"], &format!("/v3/{what}/list"))?;
        list["items"].as_array().cloned().with_context(|| format!("no items: {list}"))
    }

    fn stop(self) -> Result<()> {
        drop(self.publisher);
        self.server.stop()
    }
}

struct Player {
    index: Response,
    /// Target of the media playlist.
    media: String,
    playlist: Response,
    /// Target of its first segment.
    segment: String,
}

/// The target of the first line that is a URI.
fn first_uri(playlist: &str) -> Result<String> {
    let uri = playlist.lines().find(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(format!("/cam/{}", uri.with_context(|| format!("no URI in {playlist:?}"))?))
}

fn without_query(target: &str) -> &str {
    target.split('?').next().unwrap_or_default()
}

#[test]
fn protected_paths_are_watched_by_the_secret_of_a_session() -> Result<()> {
    let site = Site::start(&[PROTECTED])?;
    let refused = site.get("/cam/index.m3u8", &[])?.expect(401)?;
    ensure!(
        refused.header("WWW-Authenticate").is_some_and(|value| value.starts_with("Basic ")),
        "{refused:?}"
    );
    site.get("/cam/index.m3u8", &[("Authorization", &web::basic("eve", "wrong"))])?.expect(401)?;
    let eve = web::basic("eve", "pass");
    let player = site.player(&[("Authorization", &eve)])?;
    ensure!(player.index.header("Cache-Control") == Some("private, no-cache"), "{:?}", player.index);

    // The secret alone does, in the URIs or as a cookie.
    let secret = player.media.split_once("?session=").context("no secret in the URI")?.1.to_owned();
    let playlist = site.get(&player.media, &[])?.expect(200)?;
    ensure!(playlist.text().matches("?session=").count() >= 3, "URIs without secret: {}", playlist.text());
    let segment = site.get(&player.segment, &[])?.expect(200)?;
    let cached = segment.header("Cache-Control").context("no Cache-Control")?;
    ensure!(cached.starts_with("private") && cached.contains("immutable"), "{cached}");
    let cookie = player.index.header("Set-Cookie").context("no cookie")?.to_owned();
    ensure!(cookie.starts_with(&format!("hlsSession={secret}; Path=/cam/; HttpOnly")), "{cookie}");
    let cookie = cookie.split(';').next().unwrap_or_default();
    let by_cookie = site.get(without_query(&player.media), &[("Cookie", cookie)])?.expect(200)?;
    ensure!(
        !by_cookie.text().contains("session="),
        "who keeps cookies needs no secret: {}",
        by_cookie.text()
    );
    site.get(without_query(&player.segment), &[("Cookie", &format!("a=b; {cookie}"))])?.expect(200)?;

    // Without it, or from elsewhere, there is nothing.
    for target in [&player.media, &player.segment] {
        site.get(without_query(target), &[])?.expect(401)?;
        site.get(&format!("{}?session={}", without_query(target), "0".repeat(26)), &[])?.expect(401)?;
        site.get(&target.replacen("/cam/", "/other/", 1), &[])?.expect(401)?;
        let mut elsewhere = Client::open_from("127.0.0.2".parse()?, site.http())?;
        elsewhere.request("GET", target, &[], b"")?.expect(401)?;
    }
    let sessions = site.list("hlssessions")?;
    ensure!(
        sessions.len() == 1 && sessions[0]["user"] == "eve" && sessions[0]["path"] == "cam",
        "{sessions:?}"
    );
    ensure!(
        sessions[0]["isCDN"] == false && sessions[0]["outboundBytes"].as_u64() > Some(1000),
        "{sessions:?}"
    );

    let id = sessions[0]["id"].as_str().context("an id")?;
    http::request(site.server.control["api"], "POST", &format!("/v3/hlssessions/kick/{id}"), "")?
        .expect(200)?;
    wait::until("the session to end", SOON, || Ok(site.list("hlssessions")?.is_empty().then_some(())))?;
    site.get(&player.media, &[])?.expect(401)?;
    site.get(&player.segment, &[("Cookie", cookie)])?.expect(401)?;
    site.stop()
}

#[test]
fn players_who_ask_for_nothing_are_forgotten_and_counted_until_then() -> Result<()> {
    let site = Site::start(&["pathDefaults.maxReaders=2"])?;
    let (first, second) = (site.player(&[])?, site.player(&[])?);
    ensure!(first.media != second.media, "two players with one secret");
    ensure!(site.list("hlssessions")?.len() == 2, "{:?}", site.list("hlssessions")?);
    let full = site.get("/cam/index.m3u8", &[])?.expect(503)?;
    ensure!(full.header("Retry-After").is_some(), "{full:?}");
    // One goes on, the other does not.
    wait::until("the idle session to end", IDLE, || {
        site.get(&first.media, &[])?.expect(200)?;
        Ok((site.list("hlssessions")?.len() == 1).then_some(()))
    })?;
    site.player(&[])?;
    site.stop()
}

#[test]
fn open_paths_are_served_without_sessions_and_for_all_caches() -> Result<()> {
    let site = Site::start(&[
        "hlsVariant=fmp4",
        "hlsSegmentCount=20",
        "hlsAllowOrigins=[https://a.example, 'https://*.b.example']",
    ])?;
    let player = site.player(&[])?;
    let (media, segment) = (without_query(&player.media), without_query(&player.segment));
    let playlist = site.get(media, &[])?.expect(200)?;
    ensure!(
        playlist.header("Content-Type") == Some(PLAYLIST) && !playlist.text().contains("session="),
        "{playlist:?}"
    );
    let body = site.get(segment, &[])?.expect(200)?;
    ensure!(body.header("Content-Type") == Some("video/mp4"), "{body:?}");
    ensure!(body.header("Cache-Control") == Some("public, max-age=3600, immutable"), "{:?}", body.headers);
    ensure!(body.header("Accept-Ranges") == Some("bytes"), "{:?}", body.headers);

    let etag = body.header("ETag").context("no ETag")?.to_owned();
    for known in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".to_owned()] {
        let answer = site.get(segment, &[("If-None-Match", &known)])?.expect(304)?;
        ensure!(
            answer.header("ETag") == Some(&etag) && answer.header("Cache-Control").is_some(),
            "{answer:?}"
        );
    }
    site.get(segment, &[("If-None-Match", "\"other\"")])?.expect(200)?;
    let size = body.body.len();
    for (range, first, last) in [
        ("bytes=0-99", 0, 99),
        ("bytes=100-", 100, size - 1),
        ("bytes=-50", size - 50, size - 1),
        ("bytes=7-7", 7, 7),
    ] {
        let answer = site.get(segment, &[("Range", range)])?.expect(206)?;
        let said = format!("bytes {first}-{last}/{size}");
        ensure!(answer.header("Content-Range") == Some(&said), "{range}: {:?}", answer.headers);
        ensure!(answer.body == body.body[first..=last], "{range} has other bytes");
    }
    let beyond = site.get(segment, &[("Range", &format!("bytes={size}-"))])?.expect(416)?;
    ensure!(beyond.header("Content-Range") == Some(&format!("bytes */{size}")), "{beyond:?}");

    let head = site.ask("HEAD", segment, &[])?.expect(200)?;
    ensure!(
        head.header("Content-Length") == Some(&size.to_string()) && head.header("ETag") == Some(&etag),
        "{head:?}"
    );
    let head = site.ask("HEAD", "/cam/index.m3u8", &[])?.expect(200)?;
    ensure!(head.header("Content-Type") == Some(PLAYLIST), "{head:?}");
    compressed_as_without(&site, media)?;
    pages_of_other_origins(&site, media)?;
    for (status, method, target) in [
        (404, "GET", "/nobody/index.m3u8"),
        (404, "GET", "/cam/0123456789ab_main.m3u8"),
        (404, "GET", "/cam/0123456789ab_main_seg0.mp4"),
        (404, "GET", "/favicon.ico"),
        (404, "GET", "/cam/%zz/index.m3u8"),
        (400, "GET", &format!("{media}?_HLS_msn=x")),
        (400, "GET", &format!("{media}?_HLS_part=1")),
        (400, "GET", &format!("{media}?_HLS_msn=1000000")),
        (404, "GET", &segment.replace("_seg", "_seg9999")),
        (405, "POST", "/cam/index.m3u8"),
        (405, "DELETE", segment),
        (301, "GET", "/cam"),
        (200, "GET", "/cam/"),
    ] {
        let answer = site.ask(method, target, &[])?;
        ensure!(answer.status == status, "{method} {target}: {}", answer.status);
        let kept = answer.header("Cache-Control").is_some_and(|value| value.contains("no-store"));
        ensure!(kept || answer.status < 400, "{method} {target}: a cache may keep it: {answer:?}");
    }
    site.stop()
}

/// A playlist is the same whether it is compressed or not, and caches can tell the two apart.
fn compressed_as_without(site: &Site, media: &str) -> Result<()> {
    wait::until("a playlist that is worth compressing", SOON, || {
        let plain = site.get(media, &[])?.expect(200)?;
        let mut connection = Client::open(site.http())?;
        let zipped =
            connection.request("GET", media, &[("Accept-Encoding", "br, gzip")], b"")?.expect(200)?;
        ensure!(zipped.header("Vary").is_some_and(|vary| vary.contains("Accept-Encoding")), "{zipped:?}");
        if zipped.header("Content-Encoding") != Some("gzip") {
            return Ok(None);
        }
        let file = workspace().join(format!("playlist-{}.gz", std::process::id()));
        std::fs::write(&file, &zipped.body)?;
        let unzipped = Command::new("gzip").arg("-dc").arg(&file).output()?;
        ensure!(unzipped.status.success() && zipped.body.len() < plain.body.len(), "{unzipped:?}");
        let tags = (plain.header("ETag"), zipped.header("ETag"));
        ensure!(tags.0 != tags.1, "two representations under one strong tag {tags:?}");
        // Between the two requests a segment may have come.
        Ok((unzipped.stdout == plain.body).then_some(()))
    })?;
    let refused = site.get(media, &[("Accept-Encoding", "gzip;q=0")])?.expect(200)?;
    ensure!(refused.header("Content-Encoding").is_none(), "{refused:?}");
    Ok(())
}

/// Cross-origin requests of the origins that are allowed, and of others.
fn pages_of_other_origins(site: &Site, media: &str) -> Result<()> {
    for (origin, allowed) in [
        ("https://a.example", true),
        ("https://x.b.example", true),
        ("https://b.example", false),
        ("https://evil.example", false),
        ("https://a.example.evil.example", false),
        ("http://a.example", false),
    ] {
        for (method, target) in [("GET", media), ("GET", "/nobody/index.m3u8"), ("OPTIONS", media)] {
            let asked = [("Origin", origin), ("Access-Control-Request-Method", "GET")];
            let answer = site.ask(method, target, &asked)?;
            let named = answer.header("Access-Control-Allow-Origin");
            ensure!(named == allowed.then_some(origin), "{method} {target} of {origin}: {named:?}");
            let varies = answer
                .headers
                .iter()
                .any(|(name, value)| name.eq_ignore_ascii_case("vary") && value.contains("Origin"));
            ensure!(varies, "{method} {target} of {origin} does not vary: {:?}", answer.headers);
            if method == "OPTIONS" {
                ensure!(answer.status == 204, "{}", answer.status);
            }
            if method == "OPTIONS" && allowed {
                let headers = answer.header("Access-Control-Allow-Headers").unwrap_or_default();
                ensure!(headers.contains("Authorization") && headers.contains("Range"), "{headers}");
            }
        }
    }
    Ok(())
}

#[test]
fn content_delivery_networks_show_their_own_secret() -> Result<()> {
    let site = Site::start(&[PROTECTED, "hlsCDNSecret=between-us"])?;
    let bearer = [("Authorization", "Bearer between-us")];
    let player = site.player(&bearer)?;
    ensure!(
        !player.media.contains("session=") && !player.playlist.text().contains("session="),
        "a secret in URIs"
    );
    ensure!(player.index.header("Set-Cookie").is_none(), "a cookie for a cache: {:?}", player.index);
    ensure!(player.index.header("Cache-Control") == Some("max-age=30"), "{:?}", player.index);
    // Of low latency, what a player waited for is the same for all, and what it did not wait for is old at once.
    ensure!(player.playlist.header("Cache-Control") == Some("no-store"), "{:?}", player.playlist);
    let waited = site.get(&format!("{}?_HLS_msn=1", player.media), &bearer)?.expect(200)?;
    let cached = waited.header("Cache-Control").context("no Cache-Control")?;
    ensure!(cached.starts_with("public, max-age="), "{cached}");
    let segment = site.get(&player.segment, &bearer)?.expect(200)?;
    ensure!(
        segment.header("Cache-Control") == Some("public, max-age=3600, immutable"),
        "{:?}",
        segment.headers
    );
    // Its requests come from everywhere, and are one session.
    let mut elsewhere = Client::open_from("127.0.0.3".parse()?, site.http())?;
    elsewhere.request("GET", &player.segment, &bearer, b"")?.expect(200)?;
    let sessions = site.list("hlssessions")?;
    ensure!(!sessions.is_empty() && sessions.iter().all(|one| one["isCDN"] == true), "{sessions:?}");
    for refused in ["Bearer between", "Bearer between-us-and-them", "between-us"] {
        site.get(&player.media, &[("Authorization", refused)])?.expect(401)?;
    }
    site.get(&player.segment, &[])?.expect(401)?;
    site.stop()
}

#[test]
fn proxies_that_are_trusted_name_the_client() -> Result<()> {
    let site = Site::start(&[PROTECTED, "hlsTrustedProxies=[127.0.0.1/32]"])?;
    let eve = web::basic("eve", "pass");
    let player = site.player(&[("Authorization", &eve), ("X-Forwarded-For", "203.0.113.7")])?;
    let sessions = site.list("hlssessions")?;
    let remote = sessions[0]["remoteAddr"].as_str().context("an address")?;
    ensure!(remote.starts_with("203.0.113.7:"), "{remote}");
    site.get(&player.media, &[("X-Forwarded-For", "198.51.100.1, 203.0.113.7")])?.expect(200)?;
    site.get(&player.media, &[("X-Forwarded-For", "203.0.113.8")])?.expect(401)?;
    site.get(&player.media, &[])?.expect(401)?;
    // Whoever is no proxy speaks for itself alone.
    let mut stranger = Client::open_from("127.0.0.2".parse()?, site.http())?;
    stranger.request("GET", &player.media, &[("X-Forwarded-For", "203.0.113.7")], b"")?.expect(401)?;
    // Behind TLS that ends at the proxy, the cookie is for TLS alone.
    let secure = [("Authorization", &*eve), ("X-Forwarded-Proto", "https")];
    let cookie = site.get("/cam/index.m3u8", &secure)?.expect(200)?;
    ensure!(cookie.header("Set-Cookie").is_some_and(|cookie| cookie.contains("Secure")), "{cookie:?}");
    site.stop()
}

#[test]
fn every_shard_serves_every_session() -> Result<()> {
    let site = Site::launch(Launch {
        media: vec!["rtmp", "http"],
        shards: Some(2),
        settings: vec![PROTECTED.into()],
        ..Launch::default()
    })?;
    let eve = web::basic("eve", "pass");
    let player = site.player(&[("Authorization", &eve)])?;
    let segment = site.get(&player.segment, &[])?.expect(200)?;
    for _ in 0..40 {
        let again = site.get(&player.segment, &[])?.expect(200)?;
        ensure!(
            again.body == segment.body && again.header("ETag") == segment.header("ETag"),
            "another segment"
        );
        let playlist = site.get(&player.media, &[])?.expect(200)?;
        ensure!(playlist.text().contains("#EXTINF"), "{}", playlist.text());
    }
    // Blocking requests for the same part, of connections on both.
    let msn = wait::until("a part", SOON, || {
        let playlist = site.get(&player.media, &[])?.expect(200)?.text();
        let first = playlist.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"));
        let first: u64 = first.context("no media sequence")?.parse()?;
        Ok(Some(first + playlist.matches("#EXTINF").count() as u64 + 1))
    })?;
    let blocking = format!("{}&_HLS_msn={msn}&_HLS_part=0", player.media);
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut client = Client::open(site.http())?;
        client.send(format!("GET {blocking} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())?;
        waiting.push(client);
    }
    for client in &mut waiting {
        let playlist = client.response("GET")?.expect(200)?.text();
        ensure!(playlist.contains("#EXT-X-PART"), "{playlist}");
    }
    ensure!(site.list("hlssessions")?.len() == 1, "{:?}", site.list("hlssessions")?);
    let page = http::request(site.server.control["metrics"], "GET", "/metrics", "")?.expect(200)?.text();
    for shard in ["0", "1"] {
        let served = page.lines().any(|line| {
            line.strip_prefix(&format!("headwater_requests_total{{shard=\"{shard}\"}} "))
                .is_some_and(|count| count.parse::<f64>().is_ok_and(|count| count >= 5.0))
        });
        ensure!(served, "shard {shard} served nothing:\n{page}");
    }
    site.stop()
}

/// What curl gets over TLS, without looking at who signed the certificate.
fn curl(options: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new("curl").args(["-sSk", "--max-time", "15"]).args(options).output()?;
    ensure!(output.status.success(), "curl {options:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

/// The certificate that a new connection is shown.
fn shown_certificate(address: SocketAddr) -> Result<String> {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-showcerts", "-connect", &address.to_string()]);
    let mut process = Process::spawn("openssl s_client", command)?;
    process.wait(SOON)?;
    let output = process.stdout();
    let begin = output.find("-----BEGIN").with_context(|| format!("no certificate\n{}", process.tail()))?;
    Ok(output[begin..].split("-----END").next().unwrap_or_default().to_owned())
}

#[test]
fn tls_brings_http2_and_follows_its_certificate() -> Result<()> {
    let files: (PathBuf, PathBuf) = certificate("hls")?;
    let site = Site::launch(Launch {
        media: vec!["rtmp", "https"],
        certificate: Some(files.clone()),
        ..Launch::default()
    })?;
    let address = site.server.media["https"];
    let url = |target: &str| format!("https://{address}{target}");
    let version = |flag: &str| {
        let told =
            curl(&[flag, "-o", "/dev/null", "-w", "%{http_version} %{http_code}", &url("/cam/index.m3u8")])?;
        Ok::<_, anyhow::Error>(String::from_utf8(told)?)
    };
    ensure!(version("--http2")? == "2 200", "HTTP/2: {}", version("--http2")?);
    ensure!(version("--http1.1")? == "1.1 200", "HTTP/1.1: {}", version("--http1.1")?);
    let index = String::from_utf8(curl(&["--http2", "-i", &url("/cam/index.m3u8")])?)?;
    ensure!(index.to_lowercase().contains("samesite=none; secure; partitioned"), "{index}");
    let media = first_uri(index.split("\r\n\r\n").nth(1).context("no body")?)?;
    let playlist = String::from_utf8(curl(&["--http2", "--compressed", &url(&media)])?)?;
    let segment = url(&first_uri(&playlist)?);
    // Of several segments at once on one connection, each is the same.
    let folder = workspace().join(format!("http2-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let outputs: Vec<String> = (0..8).map(|n| folder.join(n.to_string()).display().to_string()).collect();
    let mut options = vec!["--http2", "--parallel"];
    outputs.iter().for_each(|output| options.extend(["-o", output, &segment]));
    curl(&options)?;
    let first = std::fs::read(&outputs[0])?;
    ensure!(first.len() > 1000, "a segment of {} bytes", first.len());
    for output in &outputs {
        ensure!(std::fs::read(output)? == first, "{output} is another");
    }
    ensure!(curl(&["--http1.1", &segment])? == first, "HTTP/1.1 brings another");

    let flv = folder.join("cam.flv").display().to_string();
    let mut command = Command::new("curl");
    command.args(["-sSk", "--http2", "-o", &flv, &url("/cam.flv")]);
    let reader = Process::spawn("curl reads FLV", command)?;
    wait::until("FLV over HTTP/2", SOON, || {
        let bytes = std::fs::read(&flv).unwrap_or_default();
        Ok((bytes.len() > 100_000 && bytes.starts_with(b"FLV\x01")).then_some(()))
    })?;
    let streams = site.list("httpsessions")?;
    ensure!(
        streams.len() == 1 && streams[0]["kind"] == "flv" && streams[0]["encrypted"] == true,
        "{streams:?}"
    );
    drop(reader);
    wait::until("its session to end", SOON, || Ok(site.list("httpsessions")?.is_empty().then_some(())))?;
    let mut check = Command::new("ffprobe");
    check.args([
        "-v",
        "error",
        "-count_packets",
        "-show_entries",
        "stream=codec_name,nb_read_packets",
        "-of",
        "csv=p=0",
        &flv,
    ]);
    let probed = String::from_utf8(check.output()?.stdout)?;
    ensure!(probed.contains("h264,") && probed.contains("aac,"), "{probed}");

    let before = shown_certificate(address)?;
    let (other, key) = certificate("hls-second")?;
    std::fs::rename(key, &files.1)?;
    std::fs::rename(other, &files.0)?;
    wait::until("the new certificate to be shown", SOON, || {
        Ok((shown_certificate(address)? != before).then_some(()))
    })?;
    ensure!(version("--http2")? == "2 200", "HTTP/2 with the new certificate");
    site.stop()
}

#[test]
fn the_api_and_the_metrics_show_muxers_sessions_and_streams() -> Result<()> {
    let site = Site::start(&[])?;
    let (api, metrics) = (site.server.control["api"], site.server.control["metrics"]);
    let player = site.player(&[("User-Agent", "lens")])?;
    site.get(&player.segment, &[])?.expect(200)?;
    let muxer = http::get(api, "/v3/hlsmuxers/get/cam")?;
    ensure!(muxer["variant"] == "lowLatency" && muxer["outboundBytes"].as_u64() > Some(1000), "{muxer}");
    let session = site.list("hlssessions")?.pop().context("no session")?;
    ensure!(session["userAgent"] == "lens" && session["outboundBytes"].as_u64() > Some(1000), "{session}");
    let id = session["id"].as_str().context("an id")?.to_owned();
    ensure!(http::get(api, &format!("/v3/hlssessions/get/{id}"))?["id"] == session["id"], "{session}");
    let path = http::get(api, "/v3/paths/get/cam")?;
    let readers = path["readers"].to_string();
    ensure!(readers.contains(&id), "the path does not name its reader: {readers}");

    let mut reader = Client::open(site.http())?;
    reader.send(b"GET /cam.flv HTTP/1.1\r\nHost: x\r\nUser-Agent: lens\r\n\r\n")?;
    let (status, headers) = reader.head()?;
    ensure!(status == 200, "{status} {headers:?}");
    let stream = wait::until("a stream in the list", SOON, || Ok(site.list("httpsessions")?.pop()))?;
    ensure!(stream["kind"] == "flv" && stream["path"] == "cam" && stream["userAgent"] == "lens", "{stream}");
    let page = http::request(metrics, "GET", "/metrics", "")?.expect(200)?.text();
    for line in [
        "hls_muxers{name=\"cam\"} 1",
        &format!("hls_sessions{{id=\"{id}\",path=\"cam\",remoteAddr={}}} 1", session["remoteAddr"]),
        "headwater_hls_muxers{variant=\"lowLatency\"} 1",
        "headwater_http_streams{kind=\"flv\"} 1",
        "headwater_protocol_sessions{protocol=\"hls\",state=\"read\"} 1",
    ] {
        ensure!(page.lines().any(|found| found == line), "no {line:?} in\n{page}");
    }
    let sent = page.lines().find_map(|line| line.strip_prefix("hls_muxers_outbound_bytes{name=\"cam\"} "));
    ensure!(sent.is_some_and(|sent| sent.parse::<f64>().is_ok_and(|sent| sent > 1000.0)), "{page}");
    let id = stream["id"].as_str().context("an id")?;
    http::request(api, "POST", &format!("/v3/httpsessions/kick/{id}"), "")?.expect(200)?;
    reader.until_closed()?;
    wait::until("the stream to end", SOON, || Ok(site.list("httpsessions")?.is_empty().then_some(())))?;
    site.stop()
}
