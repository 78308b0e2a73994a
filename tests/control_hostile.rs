//! What no decent client sends to the control ports: the right status or a close, a counter, and nobody else notices.
//!
//! A viewer beside must see every packet, the API must answer, memory must come back, and nothing may panic.

use anyhow::{Context, Result, ensure};
use headwater_tests::publisher::Publisher;
use headwater_tests::reader::Reader;
use headwater_tests::rtsp;
use headwater_tests::server::{Launch, Server};
use headwater_tests::wait;
use headwater_tests::web::{self as http, Answer, Connection};
use socket2::{Domain, Socket, Type};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const PORTS: [&str; 3] = ["api", "metrics", "pprof"];
const SOON: Duration = Duration::from_secs(5);
/// What an attack may leave behind in memory: arenas of the allocator, caches.
const GROWTH_MAX: u64 = 48 << 20;

/// A server with a viewer, whatever happens to its control ports.
struct Siege {
    server: Server,
    publisher: Publisher,
    viewer: Reader,
    resident: u64,
}

impl Siege {
    fn begin(settings: &[&str]) -> Result<Siege> {
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let mut server = Server::launch(&Launch { settings, control: PORTS.to_vec(), ..Launch::default() })?;
        let url = server.url("beside");
        let publisher = Publisher::start(server.rtsp, &url, 1)?;
        server.wait_for_stream("beside")?;
        let mut viewer = Reader::play(server.rtsp, &url)?;
        viewer.advance(50)?;
        let resident = server.resident_bytes()?;
        Ok(Siege { server, publisher, viewer, resident })
    }

    fn api(&self) -> SocketAddr {
        self.server.control["api"]
    }

    fn metric(&self, sample: &str) -> Result<f64> {
        let text = http::get(self.server.control["metrics"], "/metrics")?.text();
        let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value.map_or(Ok(0.0), |value| Ok(value.trim().parse()?))
    }

    fn refused(&self, port: &str, reason: &str) -> Result<f64> {
        self.metric(&format!("headwater_http_refused_total{{reason=\"{reason}\",port=\"{port}\"}}"))
    }

    /// Nobody has noticed anything.
    fn end(mut self) -> Result<()> {
        for port in PORTS {
            let panics = self.metric(&format!("headwater_http_panics_total{{port=\"{port}\"}}"))?;
            ensure!(panics == 0.0, "{panics} panics on {port}");
        }
        let info = http::get(self.api(), "/v3/info")?;
        ensure!(info.status == 200, "the API answers {} {}", info.status, info.text());
        wait::until("memory to come back", Duration::from_secs(15), || {
            Ok((self.server.resident_bytes()? < self.resident + GROWTH_MAX).then_some(()))
        })
        .with_context(|| format!("{} bytes before, {:?} now", self.resident, self.server.resident_bytes()))?;
        self.viewer.advance(50)?;
        self.viewer.finish_whole()?;
        self.publisher.tear_down()?;
        self.server.stop()
    }
}

/// What is sent, and the statuses that are right; 0 stands for a close without a word.
fn garbage() -> Vec<(&'static str, Vec<u8>, &'static [u16])> {
    let head = |line: &str, rest: &str| format!("{line}\r\nHost: x\r\n{rest}\r\n").into_bytes();
    let get = |rest: &str| head("GET /metrics HTTP/1.1", rest);
    vec![
        ("zeros", vec![0; 100_000], &[0, 400]),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(50), &[0, 400]),
        ("RTSP", b"OPTIONS rtsp://x/y RTSP/1.0\r\nCSeq: 1\r\n\r\n".to_vec(), &[0, 400]),
        ("no version", b"GET /\r\n\r\n".to_vec(), &[0, 400]),
        ("HTTP/3.0", head("GET / HTTP/3.0", ""), &[0, 400, 505]),
        ("a line that never ends", b"G".repeat(1 << 20), &[0, 400, 414, 431]),
        ("a URI of 60 KB", head(&format!("GET /{} HTTP/1.1", "a".repeat(60_000)), ""), &[414]),
        ("a URI of 100 KB", head(&format!("GET /{} HTTP/1.1", "a".repeat(100_000)), ""), &[0, 400, 414, 431]),
        ("a header of 500 KB", get(&format!("X: {}\r\n", "a".repeat(500_000))), &[0, 400, 431]),
        (
            "a token of 10 MB",
            get(&format!("Authorization: Bearer {}\r\n", "a".repeat(10 << 20))),
            &[0, 400, 431],
        ),
        ("10,000 headers", get(&"X: y\r\n".repeat(10_000)), &[0, 400, 431]),
        ("200 headers", get(&"X: y\r\n".repeat(200)), &[400, 431]),
        ("no colon", get("Nonsense\r\n"), &[400]),
        ("a space before the colon", get("Content-Length : 5\r\n"), &[400]),
        ("a folded header", get("X: a\r\n b\r\n"), &[400]),
        ("NUL in a header", get("X: a\0b\r\n"), &[400]),
        ("a lone CR", get("X: a\rb\r\n"), &[400]),
        ("Content-Length of -1", get("Content-Length: -1\r\n"), &[400]),
        ("Content-Length of 2^64", get("Content-Length: 18446744073709551616\r\n"), &[400]),
        ("two Content-Lengths", get("Content-Length: 5\r\nContent-Length: 6\r\n"), &[400]),
        ("a list of Content-Lengths", get("Content-Length: 5, 6\r\n"), &[400]),
        ("an unknown coding", get("Transfer-Encoding: xchunked\r\n"), &[400, 501]),
        (
            "HTTP/2 without asking",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(),
            &[0, 400, 505],
        ),
        ("a method of 10 KB", head(&format!("{} / HTTP/1.1", "G".repeat(10_000)), ""), &[400, 401, 404, 405]),
        ("CONNECT", head("CONNECT example.com:80 HTTP/1.1", ""), &[400, 404, 405]),
        ("a foreign URL", head("GET http://evil/v3/../../etc/passwd HTTP/1.1", ""), &[400, 404]),
    ]
}

/// Sends bytes; the status of what comes, 0 for nothing. What is not answered within `patience` is told that there is no
/// more: before, that would cut the answer off.
fn status_of(server: SocketAddr, bytes: &[u8], patience: Duration) -> Result<u16> {
    let mut connection = Connection::open(server)?;
    // The server may close while the rest is still being sent.
    let _ = connection.send(bytes);
    let answer = match connection.answer(patience) {
        Ok(answer) => answer,
        Err(_) => {
            let _ = connection.stream().shutdown(Shutdown::Write);
            connection.answer(SOON)?
        }
    };
    Ok(answer.map_or(0, |answer| answer.status))
}

#[test]
fn garbage_on_each_port_gets_its_status() -> Result<()> {
    let siege = Siege::begin(&[])?;
    let mut wrong = Vec::new();
    for port in PORTS {
        for (name, bytes, allowed) in garbage() {
            match status_of(siege.server.control[port], &bytes, Duration::from_millis(500)) {
                Ok(status) if allowed.contains(&status) => {}
                Ok(status) => wrong.push(format!("{port}, {name}: {status}, not {allowed:?}")),
                Err(error) => wrong.push(format!("{port}, {name}: {error:#}")),
            }
        }
        let malformed = siege.refused(port, "malformed")?;
        if malformed < 10.0 {
            wrong.push(format!("{port}: only {malformed} are counted as malformed"));
        }
    }
    ensure!(wrong.is_empty(), "{} cases are wrong:\n{}", wrong.len(), wrong.join("\n"));
    siege.end()
}

#[test]
fn no_request_is_smuggled_in_another() -> Result<()> {
    let siege = Siege::begin(&[])?;
    let smuggled = "GET /v3/info HTTP/1.1\r\nHost: x\r\n\r\n";
    let cases = [
        // By its length the second request is the first one's body; by its coding it is not.
        format!(
            "POST /v3/config/reload HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}",
            5 + smuggled.len()
        ),
        format!(
            "POST /v3/config/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{smuggled}"
        ),
        format!(
            "POST /v3/config/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity, chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{smuggled}"
        ),
        format!(
            "POST /v3/config/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n{smuggled}"
        ),
        format!(
            "POST /v3/config/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{smuggled}"
        ),
    ];
    for case in cases {
        let mut connection = Connection::open(siege.api())?;
        connection.send(case.as_bytes())?;
        let mut statuses = Vec::new();
        while let Some(answer) = connection.answer(SOON).with_context(|| case.clone())? {
            statuses.push(answer.status);
        }
        // One answer and a close (RFC 9112, section 6.1), or a refusal.
        ensure!(statuses.len() <= 1, "{statuses:?} for\n{case}");
    }
    siege.end()
}

/// Method, target, body, and the status that is right.
fn wrong_requests() -> Vec<(&'static str, String, String, u16)> {
    let deep = "[".repeat(100_000);
    let rows: Vec<(&'static str, &str, &str, u16)> = vec![
        ("POST", "/v3/info", "", 405),
        ("DELETE", "/v3/paths/list", "", 405),
        ("GET", "/v3/config/global/patch", "", 405),
        ("PUT", "/v3/config/paths/add/x", "{}", 405),
        ("GET", "/v3/nothing", "", 404),
        ("PATCH", "/v3/config/global/patch", "", 400),
        ("PATCH", "/v3/config/global/patch", "{", 400),
        ("PATCH", "/v3/config/global/patch", "[]", 400),
        ("PATCH", "/v3/config/global/patch", "null", 400),
        ("PATCH", "/v3/config/global/patch", "{} {}", 400),
        ("PATCH", "/v3/config/global/patch", &deep, 400),
        ("PATCH", "/v3/config/global/patch", "{\"nonsense\":1}", 400),
        ("PATCH", "/v3/config/global/patch", "{\"readTimeout\":[]}", 400),
        ("PATCH", "/v3/config/global/patch", "{\"readTimeout\":\"-1s\"}", 400),
        ("PATCH", "/v3/config/global/patch", "{\"connectionsMax\":1e999}", 400),
        ("PATCH", "/v3/config/global/patch", "{\"connectionsMax\":-1}", 400),
        ("PATCH", "/v3/config/global/patch", "{\"logLevel\":\"\\ud800\"}", 400),
        ("POST", "/v3/config/paths/add/x", "{\"maxReaders\":\"many\"}", 400),
        ("POST", "/v3/config/paths/add/x", "{\"source\":{\"a\":1}}", 400),
        ("POST", "/v3/config/paths/bulk", "{\"add\":[1,2]}", 400),
        ("POST", "/v3/config/paths/add/", "{}", 400),
        ("POST", "/v3/config/paths/add/..", "{}", 400),
        ("POST", "/v3/config/paths/add/a/../../../etc/passwd", "{}", 400),
        ("POST", "/v3/config/paths/add/..%2f..%2fetc%2fpasswd", "{}", 400),
        ("POST", "/v3/config/paths/add/%2e%2e%2fetc", "{}", 400),
        ("POST", "/v3/config/paths/add/%252e%252e%252fetc", "{}", 400),
        ("POST", "/v3/config/paths/add/a%00b", "{}", 400),
        ("POST", "/v3/config/paths/add/a%0d%0ab", "{}", 400),
        ("POST", "/v3/config/paths/add/%ff%fe", "{}", 400),
        ("POST", "/v3/config/paths/add/~(((", "{}", 400),
        ("PATCH", "/v3/config/paths/patch/absent", "{}", 404),
        ("DELETE", "/v3/config/paths/delete/absent", "", 404),
        ("GET", "/v3/paths/get/absent", "", 404),
        ("GET", "/v3/paths/list?page=-1", "", 400),
        ("GET", "/v3/paths/list?itemsPerPage=0", "", 400),
        ("GET", "/v3/paths/list?itemsPerPage=99999999999999999999", "", 400),
        ("POST", "/v3/rtspsessions/kick/not-an-id", "", 400),
        ("POST", "/v3/rtspsessions/kick/00000000-0000-4000-8000-000000000000", "", 404),
    ];
    let mut all: Vec<_> = rows
        .into_iter()
        .map(|(method, target, body, status)| (method, target.to_owned(), body.to_owned(), status))
        .collect();
    all.push(("POST", format!("/v3/config/paths/add/{}", "a".repeat(3000)), "{}".to_owned(), 400));
    all.push(("POST", format!("/v3/config/paths/add/~{}", "(a+".repeat(80)), "{}".to_owned(), 400));
    all
}

#[test]
fn wrong_requests_to_the_api_get_their_status_and_a_reason() -> Result<()> {
    let siege = Siege::begin(&[])?;
    let mut wrong = Vec::new();
    let before = http::get(siege.api(), "/v3/config/paths/list")?.json()?["itemCount"].clone();
    let mut judge = |name: &str, answer: Result<Answer>, wanted: u16| match answer {
        Err(error) => wrong.push(format!("{name}: {error:#}")),
        Ok(answer) => {
            let reason = answer.json().ok().and_then(|body| Some(body["error"].as_str()?.len()));
            if answer.status != wanted || reason.is_none_or(|length| length == 0) {
                wrong.push(format!("{name}: {} {:?}, not {wanted}", answer.status, answer.text()));
            }
            if wanted == 405 && answer.header("Allow").is_none() {
                wrong.push(format!("{name}: no Allow"));
            }
        }
    };
    for (method, target, body, wanted) in wrong_requests() {
        let name: String = format!("{method} {target} {body}").chars().take(120).collect();
        judge(&name, http::request(siege.api(), method, &target, &[], &body), wanted);
    }
    // A body that says it is too large is refused before it comes; one in chunks when it is.
    let mut announced = Connection::open(siege.api())?;
    let head = "PATCH /v3/config/global/patch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    announced.send(format!("{head}Content-Length: 11000000\r\n\r\n{{").as_bytes())?;
    judge("a giant body", announced.answer(SOON).and_then(|answer| answer.context("closed")), 413);
    let mut chunked = Connection::open(siege.api())?;
    chunked.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes())?;
    let piece = format!("100000\r\n{}\r\n", " ".repeat(1 << 20));
    let _ = (0..11).try_for_each(|_| chunked.send(piece.as_bytes()));
    judge("a giant body in chunks", chunked.answer(SOON).and_then(|answer| answer.context("closed")), 413);
    let invalid = [head.as_bytes(), b"Content-Length: 4\r\n\r\n\"\xff\xfe\""].concat();
    let mut binary = Connection::open(siege.api())?;
    binary.send(&invalid)?;
    judge("no UTF-8", binary.answer(SOON).and_then(|answer| answer.context("closed")), 400);
    ensure!(wrong.is_empty(), "{} cases are wrong:\n{}", wrong.len(), wrong.join("\n"));
    let after = http::get(siege.api(), "/v3/config/paths/list")?.json()?["itemCount"].clone();
    ensure!(before == after, "{before} paths were configured, and now {after}");
    ensure!(siege.refused("api", "body_too_large")? >= 2.0, "giant bodies are not counted");
    siege.end()
}

/// Connects from an address of this machine.
fn connect_from(from: Ipv4Addr, server: SocketAddr, receive_buffer: usize) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    if receive_buffer > 0 {
        socket.set_recv_buffer_size(receive_buffer)?;
    }
    socket.connect(&server.into())?;
    Ok(socket.into())
}

/// Everybody may control, from any address.
const OPEN: &str = "authInternalUsers=[{user: any, permissions: [{action: publish}, {action: read}, {action: api}, \
                    {action: metrics}, {action: pprof}]}]";

#[test]
fn thousands_of_half_open_connections_keep_nobody_out() -> Result<()> {
    let siege = Siege::begin(&[OPEN])?;
    let descriptors = siege.server.descriptors()?;
    let mut crowd = Vec::new();
    for number in 0..3000 {
        let beginning: &[u8] = [&b""[..], b"G", b"GET / HTTP/1.1\r\nHost: x\r\n"][number % 3];
        let mut connection = Connection::open(siege.api())?;
        let _ = connection.send(beginning);
        crowd.push(connection);
    }
    let other = Ipv4Addr::new(127, 0, 0, 2);
    for _ in 0..20 {
        let started = Instant::now();
        let mut connection = Connection::over(connect_from(other, siege.api(), 0)?);
        connection.send_request("GET", "/v3/info", &[], "")?;
        let answer = connection.answer(SOON)?.context("closed without an answer")?;
        ensure!(answer.status == 200, "another address is answered {}", answer.status);
        ensure!(started.elapsed() < Duration::from_secs(2), "after {:?}", started.elapsed());
    }
    ensure!(siege.refused("api", "connections_of_address")? >= 2500.0, "too few were refused");
    let held = siege.server.descriptors()? - descriptors;
    ensure!(held < 1100, "{held} descriptors are held");
    // Their heads have 10 s to come.
    for connection in &mut crowd {
        connection.until_closed(Duration::from_secs(20))?;
    }
    wait::until_true("their descriptors", SOON, || {
        siege.server.descriptors().is_ok_and(|now| now <= descriptors)
    })?;
    ensure!(siege.refused("api", "head_timeout")? >= 200.0, "slow heads are not counted");
    siege.end()
}

#[test]
fn slow_bodies_and_slow_readers_are_cut() -> Result<()> {
    let mut siege = Siege::begin(&[])?;
    let paths: serde_json::Map<String, serde_json::Value> =
        (0..3000).map(|number| (format!("path-{number:05}"), serde_json::json!({}))).collect();
    let body = serde_json::json!({ "add": paths }).to_string();
    let added = http::request(siege.api(), "POST", "/v3/config/paths/bulk", &[], &body)?;
    ensure!(added.status == 200, "{}", added.text());
    // Paths that are configured are there to stay.
    siege.resident = siege.server.resident_bytes()?;
    let descriptors = siege.server.descriptors()?;
    let mut bodies = Vec::new();
    for _ in 0..50 {
        let mut slow = Connection::open(siege.api())?;
        slow.send(b"PATCH /v3/config/global/patch HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")?;
        bodies.push(slow);
    }
    let list = "/v3/config/paths/list?itemsPerPage=3000";
    let mut readers = Vec::new();
    for _ in 0..50 {
        let mut reader = Connection::over(connect_from(Ipv4Addr::LOCALHOST, siege.api(), 4096)?);
        reader.send_request("GET", list, &[], "")?;
        readers.push(reader);
    }
    let info = http::get(siege.api(), "/v3/info")?;
    ensure!(info.status == 200, "the API answers {}", info.status);
    // Answers of 7 MB that nobody takes: they must not all be held whole.
    let most = siege.server.resident_bytes()?;
    ensure!(
        most < siege.resident + (200 << 20),
        "{} bytes before, {most} for 50 slow readers",
        siege.resident
    );
    let mut statuses = Vec::new();
    for slow in &mut bodies {
        statuses.push(slow.answer(Duration::from_secs(40))?.map_or(0, |answer| answer.status));
    }
    ensure!(statuses.iter().all(|status| *status == 408), "slow bodies are answered {statuses:?}");
    wait::until_true("the slow readers to be cut", Duration::from_secs(40), || {
        siege.server.descriptors().is_ok_and(|now| now <= descriptors)
    })?;
    ensure!(siege.refused("api", "body_timeout")? == 50.0, "slow bodies are not counted");
    // Most are refused, since answers that nobody takes have filled their bound; the others are cut.
    let (cut, refused) = (siege.refused("api", "write_timeout")?, siege.refused("api", "large_answers")?);
    ensure!(cut >= 5.0 && cut + refused == 50.0, "of 50 slow readers {cut} were cut and {refused} refused");
    siege.end()
}

#[test]
fn listeners_to_events_are_bounded_and_end_with_the_server() -> Result<()> {
    let siege = Siege::begin(&[])?;
    let mut listeners = Vec::new();
    let listen = || -> Result<(u16, Connection)> {
        let mut connection = Connection::open(siege.api())?;
        connection.send_request("GET", "/v3/events", &[], "")?;
        let head = connection.until_text("\r\n\r\n", SOON)?;
        Ok((head.get(9..12).context("a status")?.parse()?, connection))
    };
    for number in 0..64 {
        let (status, connection) = listen()?;
        ensure!(status == 200, "listener {number} is answered {status}");
        listeners.push(connection);
    }
    ensure!(listen()?.0 == 503, "one listener more is let in");
    drop(Reader::play(siege.server.rtsp, &siege.server.url("beside"))?);
    for listener in &mut listeners {
        listener.until_text("sessionStarted", SOON)?;
    }
    listeners.truncate(32);
    wait::until("places to be free again", SOON, || Ok((listen()?.0 == 200).then_some(())))?;
    // They stay connected while the server ends within its 2 s.
    siege.end()?;
    for listener in &mut listeners {
        listener.until_closed(SOON)?;
    }
    Ok(())
}

#[test]
fn kicks_of_strangers_and_contradictory_changes_do_no_harm() -> Result<()> {
    let siege = Siege::begin(&[])?;
    let api = siege.api();
    let started = Instant::now();
    let kick = |from: u32| -> Result<()> {
        let mut connection = Connection::open(api)?;
        for number in 0..1250 {
            let target = format!("/v3/rtspsessions/kick/{:08x}-0000-4000-8000-{number:012x}", from);
            connection.send_request("POST", &target, &[], "")?;
            let status = connection.answer(SOON)?.context("closed")?.status;
            ensure!(status == 404, "a kick of nobody is answered {status}");
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let kicks: Vec<_> = (0..8).map(|from| scope.spawn(move || kick(from))).collect();
        kicks.into_iter().try_for_each(|one| one.join().expect("no panic"))
    })?;
    eprintln!("10,000 kicks took {:?}", started.elapsed());
    let added = http::request(api, "POST", "/v3/config/paths/add/contested", &[], "{}")?;
    ensure!(added.status == 200, "{}", added.text());
    let change = |client: u64| -> Result<()> {
        let mut connection = Connection::open(api)?;
        for round in 0..10 {
            let body =
                format!("{{\"maxReaders\":{},\"overridePublisher\":{}}}", client, client.is_multiple_of(2));
            connection.send_request("PATCH", "/v3/config/paths/patch/contested", &[], &body)?;
            let answer = connection.answer(SOON)?.context("closed")?;
            let said = answer.text();
            ensure!(
                answer.status == 200,
                "change {round} of client {client} is answered {} {said}",
                answer.status
            );
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (1..=50).map(|client| scope.spawn(move || change(client))).collect();
        clients.into_iter().try_for_each(|one| one.join().expect("no panic"))
    })?;
    let now = http::get(api, "/v3/config/paths/get/contested")?.json()?;
    let readers = now["maxReaders"].as_u64().context("maxReaders")?;
    // Whoever was last, both keys are of the same client.
    ensure!((1..=50).contains(&readers) && now["overridePublisher"] == readers.is_multiple_of(2), "{now}");
    siege.end()
}

#[test]
fn a_log_that_nobody_takes_stops_nothing() -> Result<()> {
    let fifo = headwater_tests::workspace().join(format!("log-{}.fifo", std::process::id()));
    let made = std::process::Command::new("mkfifo").arg(&fifo).status()?;
    ensure!(made.success(), "mkfifo: {made}");
    // Opened for both directions, so that neither side waits for the other; nobody ever reads.
    let _kept = std::fs::File::options().read(true).write(true).open(&fifo)?;
    let siege = Siege::begin(&[
        "logDestinations=[file]",
        &format!("logFile='{}'", fifo.display()),
        "requestRate=100000",
        "requestBurst=100000",
    ])?;
    let mut flood = rtsp::Connection::open(siege.server.rtsp)?;
    let started = Instant::now();
    for _ in 0..200 {
        for _ in 0..100 {
            flood.send_request("DESCRIBE", &siege.server.url("nobody"), &[], "")?;
        }
        for _ in 0..100 {
            let status = flood.response()?.status;
            ensure!(status == 404, "answered {status}");
        }
    }
    eprintln!("20,000 refusals took {:?}", started.elapsed());
    let dropped = siege.metric("headwater_log_lines_dropped_total")?;
    ensure!(dropped > 0.0, "no line was dropped: nothing held the log up");
    let ended = siege.end();
    std::fs::remove_file(&fifo)?;
    ended
}

/// A small generator (xorshift), so that a run can be repeated by its seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap_or(0)
    }
}

#[test]
fn mutated_requests_break_nothing() -> Result<()> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let seed = match std::env::var("HEADWATER_TEST_SEED") {
        Ok(seed) => seed.parse()?,
        Err(_) => u64::try_from(now.as_nanos() & 0xffff_ffff)? | 1,
    };
    eprintln!("HEADWATER_TEST_SEED={seed}");
    let mut chance = Chance(seed);
    let siege = Siege::begin(&[])?;
    let request = |method: &str, target: &str, body: &str| {
        let length = body.len();
        format!("{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
    };
    let seeds = [
        request("GET", "/v3/paths/list?page=0&itemsPerPage=10&search=b", ""),
        request("GET", "/v3/config/paths/get/fuzz", ""),
        request("GET", "/v3/rtspsessions/get/6f2f1da8-129a-8f00-a700-000100000001", ""),
        request("POST", "/v3/config/paths/add/fuzz", r#"{"maxReaders":3,"source":"publisher"}"#),
        request("PATCH", "/v3/config/paths/patch/fuzz", r#"{"maxReaders":5,"overridePublisher":true}"#),
        request("POST", "/v3/config/paths/bulk", r#"{"add":{"fuzz/1":{"maxReaders":2}},"delete":["fuzz"]}"#),
        request("DELETE", "/v3/config/paths/delete/fuzz", ""),
        request("PATCH", "/v3/config/global/patch", r#"{"writeTimeout":"11s"}"#),
        request("GET", "/v3/openapi.json", ""),
    ];
    let interesting: [&[u8]; 12] = [
        b"\0",
        b"\"",
        b"{",
        b"[",
        b"%",
        b"/../",
        b"\r\n",
        b"\xff",
        b"-1",
        b"99999999999999999999",
        b"~(",
        b"null",
    ];
    let started = Instant::now();
    let mut sent = 0;
    while started.elapsed() < Duration::from_secs(5) {
        let mut bytes = seeds[chance.below(seeds.len())].clone();
        for _ in 0..=chance.below(4) {
            let at = chance.below(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
            if bytes.is_empty() {
                break;
            }
            match chance.below(4) {
                0 => bytes[at] = u8::try_from(chance.below(256)).unwrap_or(0),
                1 => drop(bytes.remove(at)),
                2 => drop(bytes.splice(at..at, interesting[chance.below(interesting.len())].iter().copied())),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let status = status_of(siege.api(), &bytes, Duration::from_millis(20));
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let status = status.with_context(|| format!("seed {seed}: {shown:?}"))?;
        ensure!(status != 500, "seed {seed}: answered 500 to {shown:?}");
        sent += 1;
    }
    eprintln!("{sent} mutated requests");
    ensure!(sent > 200, "only {sent} requests were sent");
    siege.end()
}
