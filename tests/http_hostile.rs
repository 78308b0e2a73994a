//! What no decent HTTP client sends: the right status or a close, memory that stays bounded, and others served meanwhile.

use anyhow::{Context, Result, ensure};
use headwater_tests::http::{self, Client};
use headwater_tests::live::{Ingest, publish};
use headwater_tests::media::sample;
use headwater_tests::process::Process;
use headwater_tests::server::{Launch, Server};
use headwater_tests::web::Connection;
use headwater_tests::{certificate, root, wait};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);
/// What an attack may leave behind.
const GROWTH_MAX: u64 = 96 << 20;

/// A server with a published path, under attack.
struct Besieged {
    server: Server,
    publisher: Process,
    resident: u64,
}

impl Besieged {
    fn start(settings: &[&str]) -> Result<Besieged> {
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        Besieged::launch(Launch { media: vec!["rtmp", "http"], settings, ..Launch::default() })
    }

    fn launch(launch: Launch) -> Result<Besieged> {
        let server = Server::launch(&Launch { control: vec!["api"], ..launch })?;
        let mut publisher = publish(&server, Ingest::Rtmp, "cam", sample("h264_aac"), &[])?;
        let api = server.control["api"];
        wait::until("the publisher to be ready", SOON, || {
            publisher.still_runs()?;
            Ok((http::request(api, "GET", "/v3/paths/get/cam", "")?.status == 200).then_some(()))
        })?;
        let resident = server.resident_bytes()?;
        Ok(Besieged { server, publisher, resident })
    }

    fn http(&self) -> SocketAddr {
        self.server.media["http"]
    }

    /// Target and text of a media playlist.
    fn media_playlist(&self) -> Result<(String, String)> {
        let get = |target: &str| Client::open(self.http())?.request("GET", target, &[], b"")?.expect(200);
        let index = get("/cam/index.m3u8")?.text();
        let name = index.lines().find(|line| !line.starts_with('#')).context("no playlist is named")?;
        let target = format!("/cam/{name}");
        let text = get(&target)?.text();
        Ok((target, text))
    }

    /// Others are served, nothing has panicked, and the memory is what it was, but for a bounded rest.
    fn unharmed(mut self) -> Result<()> {
        if self.server.media.contains_key("http") {
            self.media_playlist().context("behind the attack")?;
        }
        self.publisher.still_runs()?;
        let grown = self.server.resident_bytes()?.saturating_sub(self.resident);
        ensure!(grown < GROWTH_MAX, "it holds {} MiB more than before", grown >> 20);
        let panics = self.server.counters()?.into_iter().find(|(name, _)| name.contains("panic"));
        ensure!(panics.is_none(), "{panics:?}");
        drop(self.publisher);
        self.server.stop()
    }
}

/// Takes all descriptors that the system allows.
fn many_descriptors() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?)
}

/// Sends bytes on a connection of its own. The status of the answer; `None` for a close without one.
fn status_of(http: SocketAddr, bytes: &[u8]) -> Result<Option<u16>> {
    let mut connection = Connection::open(http)?;
    // The server may have closed before all is sent.
    let _ = connection.send(bytes);
    Ok(connection.answer(SOON)?.map(|answer| answer.status))
}

#[test]
fn wrong_requests_are_refused() -> Result<()> {
    let besieged = Besieged::start(&[])?;
    let get = |target: &str, headers: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    let long = "a".repeat(100_000);
    let many = (0..2000).map(|n| format!("X-{n}: {n}\r\n")).collect::<String>();
    let table: Vec<(&str, String, &[u16])> = vec![
        ("nonsense", "\u{1}\u{2}\u{3}\r\n\r\n".into(), &[400]),
        ("no version", "GET /\r\n\r\n".into(), &[400]),
        ("HTTP/9.9", "GET / HTTP/9.9\r\n\r\n".into(), &[400, 505]),
        ("RTSP", "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n".into(), &[400, 505]),
        ("no colon", get("/", "Nonsense\r\n"), &[400]),
        ("a header bomb", get("/", &format!("X: {long}\r\n")), &[431]),
        ("many headers", get("/", &many), &[431]),
        ("a long URI", get(&format!("/{long}"), ""), &[400, 414, 431]),
        ("a huge query", get(&format!("/cam/index.m3u8?{long}"), ""), &[400, 414, 431]),
        (
            "a query of many keys",
            get(&format!("/cam/index.m3u8?{}", "a=b&".repeat(3000)), ""),
            &[200, 414, 431],
        ),
        ("a body of 10 GB", get("/", "Content-Length: 10000000000\r\n"), &[400, 413]),
        ("a body of 2^64", get("/", "Content-Length: 18446744073709551616\r\n"), &[400, 413]),
        ("a body of -1", get("/", "Content-Length: -1\r\n"), &[400]),
        ("two lengths", get("/", "Content-Length: 1\r\nContent-Length: 2\r\n"), &[400]),
        (
            "length and chunks",
            get("/", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n",
            &[200, 400],
        ),
        (
            "chunks of 2^64",
            get("/", "Transfer-Encoding: chunked\r\n") + "ffffffffffffffffff\r\n",
            &[400, 413],
        ),
        ("chunks without size", get("/", "Transfer-Encoding: chunked\r\n") + "zz\r\n", &[400]),
        ("an unknown coding", get("/", "Transfer-Encoding: gzip\r\n"), &[400, 501]),
        ("the method of proxies", "CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n".into(), &[400, 405]),
        ("TRACE", "TRACE / HTTP/1.1\r\nHost: x\r\n\r\n".into(), &[405]),
        ("an unknown method", "FROBNICATE / HTTP/1.1\r\nHost: x\r\n\r\n".into(), &[400, 405, 501]),
        ("an absurd range", get("/cam/index.m3u8", "Range: bytes=18446744073709551616-\r\n"), &[200, 416]),
    ];
    for (what, bytes, allowed) in &table {
        let status = status_of(besieged.http(), bytes.as_bytes()).with_context(|| (*what).to_owned())?;
        ensure!(status.is_none_or(|status| allowed.contains(&status)), "{what}: {status:?}");
        ensure!(status.is_some() || allowed.iter().all(|status| *status != 200), "{what}: closed");
    }
    // A body without end is refused at once, and read for a while, so that the answer is not lost to a reset.
    let mut connection = Connection::open(besieged.http())?;
    connection.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let chunk = [b"10000\r\n".as_slice(), &vec![b'x'; 65536], b"\r\n"].concat();
    (0..20).try_for_each(|_| connection.send(&chunk))?;
    let status = connection.answer(SOON)?.map(|answer| answer.status);
    ensure!(status == Some(413), "a body without end: {status:?}");
    wait::until_true("the connection to be closed", SOON, || connection.send(&chunk).is_err())?;
    besieged.unharmed()
}

#[test]
fn names_that_climb_lead_nowhere() -> Result<()> {
    let besieged = Besieged::start(&[])?;
    for target in [
        "/../../etc/passwd",
        "/..%2f..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd/",
        "/~/../../../etc/passwd",
        "/~/..%2f..%2f..%2fetc%2fpasswd",
        "/~/%2fetc%2fpasswd",
        "/~//etc/passwd",
        "/cam/../../../etc/passwd/index.m3u8",
        "/cam/..%5c..%5cetc%5cpasswd",
        "//etc/passwd",
        "/cam/%00/index.m3u8",
        "/cam.flv/../../etc/passwd.ts",
        "/%ff%fe/index.m3u8",
    ] {
        let answer = Client::open(besieged.http())?.request("GET", target, &[], b"")?;
        ensure!((300..500).contains(&answer.status), "{target}: {}", answer.status);
        ensure!(!answer.text().contains("root:"), "{target} shows a file");
    }
    // Redirects stay here, and bring no headers of the client's.
    for target in [
        "//evil.example",
        "/https:evil.example",
        "/javascript:alert(1)",
        "/a%0d%0aX-Evil:%201",
        "/%5c%5cevil.example",
        "/%2f%2fevil.example",
    ] {
        let answer = Client::open(besieged.http())?.request("GET", target, &[], b"")?;
        ensure!(answer.header("X-Evil").is_none(), "{target}: {:?}", answer.headers);
        let location = answer.header("Location").unwrap_or("./");
        ensure!(location.starts_with("./"), "{target} leads to {location}");
    }
    besieged.unharmed()
}

#[test]
fn who_sends_slowly_is_closed_in_time() -> Result<()> {
    many_descriptors()?;
    let besieged = Besieged::start(&["readTimeout=2s"])?;
    let beginnings: [&[u8]; 4] = [
        b"G",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ];
    let mut slow = Vec::new();
    for number in 0..800 {
        let mut connection = Connection::open(besieged.http())?;
        connection.send(beginnings[number % beginnings.len()])?;
        slow.push(connection);
    }
    // A byte now and then does not help, and others are served meanwhile.
    wait::throughout(Duration::from_secs(1), || {
        slow.iter_mut().step_by(7).for_each(|connection| drop(connection.send(b"a")));
        besieged.media_playlist().map(drop)
    })?;
    for connection in &mut slow {
        connection.until_closed(SOON)?;
    }
    besieged.unharmed()
}

#[test]
fn floods_of_requests_are_borne() -> Result<()> {
    many_descriptors()?;
    let besieged = Besieged::start(&[])?;
    let (media, text) = besieged.media_playlist()?;
    let segment = text.lines().find(|line| line.contains("_seg")).context("no segment")?;
    // Requests without waiting for an answer, and answers that nobody reads.
    let mut flooding = Vec::new();
    for target in [media.clone(), format!("/cam/{segment}"), "/".to_owned(), "/nobody/index.m3u8".to_owned()]
    {
        let mut connection = Connection::open(besieged.http())?;
        connection.stream().set_write_timeout(Some(Duration::from_secs(1)))?;
        let requests = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").repeat(500);
        let _ = (0..400).try_for_each(|_| connection.send(requests.as_bytes()));
        flooding.push(connection);
    }
    // New players without number.
    for _ in 0..2000 {
        Client::open(besieged.http())?.request("GET", "/cam/index.m3u8", &[("Connection", "close")], b"")?;
    }
    let grown = besieged.server.resident_bytes()?.saturating_sub(besieged.resident);
    ensure!(grown < GROWTH_MAX, "it holds {} MiB more during the flood", grown >> 20);
    drop(flooding);
    besieged.unharmed()
}

#[test]
fn thousands_wait_for_the_same_part_and_absurd_ones_do_not_wait() -> Result<()> {
    many_descriptors()?;
    let besieged = Besieged::start(&[])?;
    let (media, text) = besieged.media_playlist()?;
    for msn in ["1000000", "18446744073709551615", "18446744073709551616", "-1", "1e9", "", "%30"] {
        for part in ["", "&_HLS_part=0", "&_HLS_part=18446744073709551615", "&_HLS_part=-1"] {
            let target = format!("{media}&_HLS_msn={msn}{part}");
            let status = Client::open(besieged.http())?.request("GET", &target, &[], b"")?.status;
            ensure!(status == 400, "{target}: {status}");
        }
    }
    let first = text.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"));
    let next =
        first.context("no media sequence")?.parse::<u64>()? + text.matches("#EXTINF").count() as u64 + 1;
    let mut waiting = Vec::new();
    for number in 0..3000 {
        let mut client = Client::open(besieged.http())?;
        let target = format!("{media}&_HLS_msn={}&_HLS_part={}", next, number % 3);
        client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())?;
        waiting.push(client);
    }
    // A third loses patience.
    let mut left = 0;
    for (number, mut client) in waiting.into_iter().enumerate() {
        if number % 3 == 0 {
            continue;
        }
        let status = client.response("GET")?.status;
        ensure!(status == 200, "who waited is answered {status}");
        left += 1;
    }
    ensure!(left == 2000, "{left} were answered");
    besieged.unharmed()
}

#[test]
fn bad_websocket_frames_close_the_connection() -> Result<()> {
    let besieged = Besieged::start(&[])?;
    let mask = [0; 4];
    let masked = |first: u8, second: &[u8], payload: &[u8]| [&[first], second, &mask, payload].concat();
    let table: [(&str, Vec<u8>, &[u16]); 9] = [
        ("not masked", vec![0x82, 1, 0], &[1002]),
        ("a reserved bit", masked(0xc2, &[0x81], b"x"), &[1002]),
        ("a reserved opcode", masked(0x83, &[0x80], b""), &[1002]),
        ("a reserved control", masked(0x8b, &[0x80], b""), &[1002]),
        ("a ping in fragments", masked(0x09, &[0x80], b""), &[1002]),
        ("a ping of 126 bytes", masked(0x89, &[0xfe, 0, 126], &[0; 126]), &[1002]),
        ("2^63 bytes", masked(0x82, &[0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], b""), &[1002, 1009]),
        ("1 GiB", masked(0x82, &[0xff, 0, 0, 0, 0, 0x40, 0, 0, 0], b""), &[1009]),
        ("a close of one byte", masked(0x88, &[0x81], b"x"), &[1000, 1002]),
    ];
    for (what, bytes, codes) in &table {
        let mut client = Client::open(besieged.http())?;
        client.send(
            b"GET /cam.flv HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )?;
        let (status, headers) = client.head()?;
        let accept = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-accept"));
        // RFC 6455, section 1.3.
        let expected = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        ensure!(status == 101 && accept.is_some_and(|(_, value)| value == expected), "{headers:?}");
        client.send(bytes)?;
        let come = client.until_closed().with_context(|| (*what).to_owned())?;
        let code = come.len().checked_sub(4).map(|at| &come[at..]);
        let closed = code.is_some_and(|end| {
            end[..2] == [0x88, 2] && codes.contains(&u16::from_be_bytes([end[2], end[3]]))
        });
        ensure!(closed, "{what}: ends with {code:02x?}");
    }
    // Pings without number, whose answers nobody reads.
    let mut client = Connection::open(besieged.http())?;
    client.send(
        b"GET /cam.flv HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
          Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )?;
    client.stream().set_write_timeout(Some(Duration::from_secs(1)))?;
    let pings = masked(0x89, &[0x80 | 100], &[7; 100]).repeat(1000);
    let _ = (0..1000).try_for_each(|_| client.send(&pings));
    besieged.unharmed()
}

#[test]
fn hostile_http2_is_ended() -> Result<()> {
    let besieged = Besieged::launch(Launch {
        media: vec!["rtmp", "https"],
        certificate: Some(certificate("http2-hostile")?),
        ..Launch::default()
    })?;
    let address = besieged.server.media["https"];
    let attack = |case: &str| -> Result<Value> {
        let mut command = Command::new("python3");
        command.arg(root().join("tests/clients/http2_hostile.py"));
        command.args([&address.ip().to_string(), &address.port().to_string(), "/cam/index.m3u8", case]);
        let mut process = Process::spawn(&format!("http2_hostile.py {case}"), command)?;
        process.succeed(SOON * 2)?;
        Ok(serde_json::from_str(process.stdout().trim())?)
    };
    for case in [
        "resets",
        "continuations",
        "settings",
        "pings",
        "streams",
        "bodies",
        "compression",
        "nonsense",
        "huge",
    ] {
        let told = attack(case)?;
        eprintln!("{told}");
        let how = told["how"].as_str().context("how it ended")?;
        // Answers that nobody reads may have made the server stop reading; and what it can answer it may.
        let borne = matches!(case, "settings" | "pings" | "streams" | "bodies" | "compression");
        ensure!(how == "closed" || how.starts_with("goaway ") || borne, "{case}: {told}");
        let grown = besieged.server.resident_bytes()?.saturating_sub(besieged.resident);
        ensure!(grown < GROWTH_MAX, "{case}: it holds {} MiB more", grown >> 20);
    }
    let output = Command::new("curl")
        .args(["-sSk", "--http2", "--max-time", "15", &format!("https://{address}/cam/index.m3u8")])
        .output()?;
    ensure!(output.stdout.starts_with(b"#EXTM3U"), "{}", String::from_utf8_lossy(&output.stderr));
    besieged.unharmed()
}
