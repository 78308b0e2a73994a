//! The control API's port under bad input and odd ways in: bounds, Unix sockets, HTTPS, proxies, origins.

use anyhow::{Context, Result, ensure};
use headwater_tests::http::{self, Client};
use headwater_tests::process::Process;
use headwater_tests::server::{Launch, Server};
use headwater_tests::{certificate, wait, workspace};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

fn launch(settings: &[&str]) -> Result<(Server, SocketAddr)> {
    let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
    let server = Server::launch(&Launch { control: vec!["api"], settings, ..Launch::default() })?;
    let api = server.control["api"];
    Ok((server, api))
}

const ADD: &str = "/v3/config/paths/add/x";

#[test]
fn what_is_too_large_is_refused_and_nothing_is_lost() -> Result<()> {
    let (server, api) = launch(&[])?;
    let before = http::get(api, "/v3/config/paths/list")?;
    let giant = vec![b' '; 11 << 20];
    let mut client = Client::open(api)?;
    client.send(
        format!("POST {ADD} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", giant.len()).as_bytes(),
    )?;
    let _ = client.send(&giant); // The answer may come before all was taken.
    client.response("POST")?.expect(413).context("a body with its length")?;
    let mut client = Client::open(api)?;
    client
        .send(format!("POST {ADD} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").as_bytes())?;
    for _ in 0..11 {
        let chunk = [b"100000\r\n".to_vec(), vec![b' '; 1 << 20], b"\r\n".to_vec()].concat();
        if client.send(&chunk).is_err() {
            break;
        }
    }
    client.response("POST")?.expect(413).context("a body in chunks")?;
    let many: Vec<(String, &str)> = (0..500).map(|n| (format!("X-{n}"), "y")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    Client::open(api)?.request("GET", "/v3/info", &many, b"")?.expect(431).context("500 header fields")?;
    for (bytes, status) in [(200 << 10, 431), (100 << 10, 431), (60 << 10, 200)] {
        let wide = "y".repeat(bytes);
        let answer = Client::open(api)?.request("GET", "/v3/info", &[("X-Wide", &wide)], b"")?;
        answer.expect(status).with_context(|| format!("a field of {bytes} bytes"))?;
    }
    let url = format!("/v3/info?{}", "y".repeat(20 << 10));
    http::request(api, "GET", &url, "")?.expect(414).context("a long URL")?;
    ensure!(http::get(api, "/v3/config/paths/list")? == before, "something refused was done");
    server.stop()
}

#[test]
fn nonsense_is_answered_and_the_next_request_works() -> Result<()> {
    let (server, api) = launch(&[])?;
    for body in ["", "null", "[]", "\"x\"", "{", "{\"a\":}", "{} {}", "\u{1}", "{\"maxReaders\": 1e999}"] {
        let answer = http::request(api, "POST", ADD, body)?;
        ensure!(answer.status == 400 && answer.json()?["status"] == "error", "{body:?}: {}", answer.status);
    }
    let deep = format!("{{\"forward\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    http::request(api, "POST", ADD, &deep)?.expect(400).context("deep JSON")?;
    http::request(api, "POST", ADD, "{\"maxReaders\": 3.5}")?.expect(400).context("half a reader")?;
    http::request(api, "POST", ADD, "{\"maxReaders\": 3.0}")?.expect(200).context("a whole number")?;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"GET /v3/info\r\n\r\n",
    ] {
        let mut client = Client::open(api)?;
        client.send(bytes)?;
        if let Ok(answer) = client.response("GET") {
            ensure!((400..600).contains(&answer.status), "{bytes:?}: {}", answer.status);
        }
    }
    for method in ["PUT", "DELETE", "PATCH", "TRACE", "BREW"] {
        let answer = http::request(api, method, "/v3/info", "")?.expect(405).context(method)?;
        ensure!(answer.header("Allow").is_some_and(|allowed| allowed.contains("GET")), "{answer:?}");
    }
    http::get(api, "/v3/info")?;
    server.stop()
}

#[test]
fn a_slow_head_is_cut_and_a_slow_body_answered() -> Result<()> {
    let (server, api) = launch(&[])?;
    let started = Instant::now();
    let mut slow_body = Client::open(api)?;
    slow_body.send(format!("POST {ADD} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{{").as_bytes())?;
    let mut slow_head = Client::open(api)?;
    slow_head.send(b"GET /v3/info HTT")?;
    if let Ok(answer) = slow_head.response("GET") {
        ensure!(answer.status == 408, "{}", answer.status);
    }
    let head = started.elapsed();
    ensure!(head < Duration::from_secs(15), "a slow head was held for {head:?}");
    let answer = slow_body.response("POST")?;
    ensure!(answer.status == 408, "a slow body: {}", answer.status);
    eprintln!("a slow head is cut after {head:.1?}, a slow body after {:.1?}", started.elapsed());
    ensure!(started.elapsed() < Duration::from_secs(40), "{:?}", started.elapsed());
    server.stop()
}

/// The status of one request, asked from `from`.
fn status_from(from: Ipv4Addr, server: SocketAddr) -> Result<String> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&server.into())?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET /v3/info HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

#[test]
fn idle_connections_stop_nobody() -> Result<()> {
    let (server, api) = launch(&["authInternalUsers=[{user: any, permissions: [{action: api}]}]"])?;
    let idle: Vec<TcpStream> = (0..2000).filter_map(|_| TcpStream::connect(api).ok()).collect();
    ensure!(idle.len() == 2000, "{} connections", idle.len());
    // Neither another address, nor the one whose connections they are: the oldest ones make room.
    for from in [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::LOCALHOST] {
        let started = Instant::now();
        let status = status_from(from, api).with_context(|| format!("from {from}"))?;
        ensure!(status == "HTTP/1.1 200 OK", "{from}: {status}");
        let took = started.elapsed();
        eprintln!("with 2,000 idle connections the API answered {from} in {took:.1?}");
        ensure!(took < Duration::from_secs(2), "{from} was answered after {took:?}");
    }
    drop(idle);
    http::get(api, "/v3/info")?;
    server.stop()
}

#[test]
fn it_listens_on_a_unix_socket() -> Result<()> {
    let socket = workspace().join(format!("api-{}.sock", std::process::id()));
    let setting = format!("apiAddress='unix://{}'", socket.display());
    let server = Server::launch(&Launch { settings: vec!["api=yes".into(), setting], ..Launch::default() })?;
    let mut client =
        wait::until("the socket", Duration::from_secs(5), || Ok(Client::open_unix(&socket).ok()))?;
    let info = client.request("GET", "/v3/info", &[], b"")?.expect(200)?.json()?;
    ensure!(info["version"].is_string(), "{info}");
    client.request("POST", ADD, &[], b"{}")?.expect(200)?;
    server.stop()?;
    ensure!(!socket.exists(), "the socket is left behind");
    Ok(())
}

#[test]
fn curl_speaks_http_2_over_tls() -> Result<()> {
    let (public, key) = certificate("api")?;
    let settings = [
        "apiEncryption=yes".to_owned(),
        format!("apiServerCert={}", public.display()),
        format!("apiServerKey={}", key.display()),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let (server, api) = launch(&settings)?;
    for (option, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "10", option, "--cacert"]).arg(&public);
        command.args(["-w", "\n%{http_version} %{http_code}", &format!("https://{api}/v3/info")]);
        let mut curl = Process::spawn("curl", command)?;
        curl.succeed(Duration::from_secs(15))?;
        let output = curl.stdout();
        ensure!(output.contains("\"version\""), "{output}");
        ensure!(output.ends_with(&format!("\n{version} 200")), "{option}: {output}");
    }
    server.stop()
}

#[test]
fn only_trusted_proxies_say_who_a_client_is() -> Result<()> {
    let users = "authInternalUsers=[{user: any, ips: [192.0.2.7], permissions: [{action: api}]}]";
    let ask = |api, forwarded: &str| -> Result<u16> {
        Ok(Client::open(api)?.request("GET", "/v3/info", &[("X-Forwarded-For", forwarded)], b"")?.status)
    };
    let (server, api) = launch(&[users, "apiTrustedProxies=[127.0.0.1]"])?;
    ensure!(ask(api, "192.0.2.7")? == 200, "the client of a trusted proxy");
    ensure!(ask(api, "192.0.2.8")? == 401, "another client of the proxy");
    ensure!(ask(api, "192.0.2.7, 192.0.2.8")? == 401, "what a client says of itself was believed");
    server.stop()?;
    let (server, api) = launch(&[users])?;
    ensure!(ask(api, "192.0.2.7")? == 401, "a header of anybody was believed");
    server.stop()
}

#[test]
fn origins_of_web_pages_are_told_what_they_may() -> Result<()> {
    let (server, api) = launch(&["apiAllowOrigins=['https://*.example.com']"])?;
    let ask = |method: &str, origin: &str| -> Result<http::Response> {
        let headers = [("Origin", origin), ("Access-Control-Request-Method", "PATCH")];
        Client::open(api)?.request(method, "/v3/info", &headers, b"")
    };
    const ALLOWED: &str = "Access-Control-Allow-Origin";
    let good = ask("GET", "https://a.example.com")?.expect(200)?;
    ensure!(good.header(ALLOWED) == Some("https://a.example.com"), "{:?}", good.headers);
    let preflight = ask("OPTIONS", "https://a.example.com")?;
    ensure!((200..300).contains(&preflight.status), "{}", preflight.status);
    let methods = preflight.header("Access-Control-Allow-Methods").unwrap_or_default();
    ensure!(["PATCH", "POST", "DELETE", "GET"].iter().all(|method| methods.contains(method)), "{methods}");
    for other in ["https://evil.test", "https://example.com.evil.test", "http://a.example.com"] {
        ensure!(ask("GET", other)?.header(ALLOWED).is_none(), "{other} is allowed");
    }
    server.stop()
}

#[test]
fn a_web_page_cannot_run_commands() -> Result<()> {
    const EVIL: &str = "{\"runOnInit\": \"touch /tmp/evil\"}";
    let (server, api) = launch(&[])?;
    let before = http::get(api, "/v3/config/paths/list")?;
    // What a browser sends without asking first.
    let post = |host: &str, origin: &[(&str, &str)]| -> Result<http::Response> {
        let mut head = format!("POST {ADD} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain\r\n");
        for (name, value) in origin {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("Content-Length: {}\r\n\r\n{EVIL}", EVIL.len());
        let mut client = Client::open(api)?;
        client.send(head.as_bytes())?;
        client.response("POST")
    };
    let here = api.to_string();
    let rebound = format!("evil.example:{}", api.port());
    let rebound_origin = format!("http://{rebound}");
    for (host, origin) in [
        (here.as_str(), "https://evil.example"),
        (here.as_str(), "null"),
        (rebound.as_str(), rebound_origin.as_str()),
    ] {
        let answer = post(host, &[("Origin", origin)])?.expect(403).with_context(|| origin.to_owned())?;
        ensure!(answer.text().contains("allowOrigins"), "{}", answer.text());
    }
    ensure!(http::get(api, "/v3/config/paths/list")? == before, "a page added a path");
    let ask = [("Origin", "https://evil.example"), ("Access-Control-Request-Method", "POST")];
    let preflight = Client::open(api)?.request("OPTIONS", ADD, &ask, b"")?.expect(403)?;
    ensure!(preflight.header("Access-Control-Allow-Origin").is_none(), "{:?}", preflight.headers);
    let read = Client::open(api)?.request("GET", "/v3/info", &ask[..1], b"")?.expect(200)?;
    ensure!(read.header("Access-Control-Allow-Origin") == Some("*"), "{:?}", read.headers);
    let patch = |origin: &str| -> Result<u16> {
        let headers = [("Origin", origin)];
        Ok(Client::open(api)?.request("PATCH", "/v3/config/global/patch", &headers, b"{}")?.status)
    };
    // The client says `Host: localhost`.
    ensure!(patch("http://localhost")? == 200, "the server's own page");
    ensure!(patch("http://localhost:8080")? == 403, "another port is another origin");
    http::request(api, "POST", ADD, "{}")?.expect(200).context("a program that is no browser")?;
    server.stop()
}
