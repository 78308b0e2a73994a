//! What surrounds the server in production: systemd, and proxies that speak the PROXY protocol.

use anyhow::{Context, Result, ensure};
use headwater_tests::config_file::{ConfigFile, api, metric};
use headwater_tests::process::Process;
use headwater_tests::publisher::Publisher;
use headwater_tests::reader::Reader;
use headwater_tests::rtsp::Connection;
use headwater_tests::server::{Launch, Server};
use headwater_tests::{media, wait, workspace};
use rustix::process::Signal;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);

/// systemd's end of the notification socket.
struct Systemd {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Systemd {
    fn new(name: &str) -> Result<Systemd> {
        let path = workspace().join(format!("notify-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Systemd { socket, path })
    }

    fn environment(&self) -> (String, String) {
        ("NOTIFY_SOCKET".to_owned(), self.path.display().to_string())
    }

    /// The next message that is no sign of life and no status alone.
    fn state(&self) -> Result<String> {
        wait::until("a state", PATIENCE, || {
            let message = self.message()?;
            let plain = message.starts_with("WATCHDOG=") || message.starts_with("STATUS=");
            Ok((!plain).then_some(message))
        })
    }

    fn message(&self) -> Result<String> {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).context("systemd was told nothing")?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }
}

#[test]
fn systemd_is_told_of_start_reload_and_end() -> Result<()> {
    let systemd = Systemd::new("life")?;
    let open = "paths:\n  all_others:\n";
    let file = ConfigFile::new(&format!("{}{open}", headwater_tests::config_file::ADDRESSES))?;
    let server = Server::launch(&Launch { environment: vec![systemd.environment()], ..file.how() })?;
    ensure!(systemd.state()?.starts_with("READY=1"));
    let reload = || -> Result<String> {
        let reloading = systemd.state()?;
        // systemd.service, Type=notify-reload: both must be there.
        let both = reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC=");
        ensure!(both, "{reloading:?}");
        systemd.state()
    };
    server.signal(Signal::HUP)?;
    ensure!(reload()?.starts_with("READY=1"));
    file.rewrite("readTimeot: 1s\n")?;
    let refused = reload()?;
    ensure!(refused.starts_with("READY=1") && refused.contains("refused"), "{refused:?}");
    server.terminate()?;
    ensure!(systemd.state()?.starts_with("STOPPING=1"));
    server.stop()
}

#[test]
fn the_watchdog_gets_its_signs_of_life_under_load() -> Result<()> {
    let systemd = Systemd::new("watchdog")?;
    let interval = ("WATCHDOG_USEC".to_owned(), "400000".to_owned());
    let environment = vec![systemd.environment(), interval];
    let mut server = Server::launch(&Launch { environment, ..Launch::default() })?;
    let publisher = Publisher::start_fast(server.rtsp, &server.url("live"), 1, 10)?;
    server.wait_for_stream("live")?;
    let mut reader = Reader::play(server.rtsp, &server.url("live"))?;
    while !systemd.message()?.starts_with("WATCHDOG=1") {}
    systemd.socket.set_read_timeout(Some(Duration::from_millis(400)))?;
    for _ in 0..8 {
        ensure!(systemd.message()? == "WATCHDOG=1");
    }
    reader.advance(30)?;
    reader.finish_whole()?;
    publisher.tear_down()?;
    server.stop()
}

/// A server whose proxies are `trusted`, and whose log tells all.
fn behind_proxies(trusted: &str, certificate: Option<(PathBuf, PathBuf)>) -> Result<Server> {
    let settings = vec![format!("rtspTrustedProxies=[{trusted}]"), "logLevel=debug".into()];
    let control = vec!["api", "metrics"];
    Server::launch(&Launch { settings, certificate, control, shards: Some(1), ..Launch::default() })
}

/// The header of version 2 (haproxy's proxy-protocol.txt, section 2.2) for 198.51.100.7:4711.
fn version_2(server: SocketAddr) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    header.extend_from_slice(&[198, 51, 100, 7, 127, 0, 0, 1]);
    header.extend_from_slice(&4711u16.to_be_bytes());
    header.extend_from_slice(&server.port().to_be_bytes());
    header
}

fn version_1(server: SocketAddr) -> Vec<u8> {
    format!("PROXY TCP4 198.51.100.7 127.0.0.1 4711 {}\r\n", server.port()).into_bytes()
}

/// A connection whose first bytes are `header`.
fn proxied(server: &Server, header: &[u8]) -> Result<Connection> {
    let mut connection = Connection::open(server.rtsp)?;
    connection.send(header)?;
    Ok(connection)
}

/// Waits until the API lists exactly the connection of `address`, or none: it is told a moment after the answer is sent.
fn shown_as(server: &Server, protocol: &str, address: &str) -> Result<()> {
    let mut shown = String::new();
    let waited = wait::until(&format!("the API to show {address:?}"), PATIENCE, || {
        let list = api(server, "GET", &format!("/v3/{protocol}conns/list"), "")?;
        let items = list["items"].as_array().context("items")?;
        let all: Vec<&str> = items.iter().filter_map(|item| item["remoteAddr"].as_str()).collect();
        shown = all.join(" ");
        Ok((shown == address).then_some(()))
    });
    waited.with_context(|| format!("it shows {shown:?}"))
}

#[test]
fn a_trusted_proxy_names_its_client() -> Result<()> {
    let server = behind_proxies("127.0.0.1", None)?;
    for header in [version_1(server.rtsp), version_2(server.rtsp)] {
        let mut connection = proxied(&server, &header)?;
        let url = server.url("nothing");
        let answer = connection.request("DESCRIBE", &url, &[], "")?;
        ensure!(answer.status == 404, "status {}", answer.status);
        shown_as(&server, "rtsp", "198.51.100.7:4711")?;
        server.wait_for_log("peer=198.51.100.7:4711")?;
        drop(connection);
        shown_as(&server, "rtsp", "")?;
    }
    // The header may come in pieces, and health checks of proxies have none, or one without an address.
    let mut connection = Connection::open(server.rtsp)?;
    for byte in version_2(server.rtsp) {
        connection.send(&[byte])?;
    }
    connection.ok("OPTIONS", "*", &[], "")?;
    Connection::open(server.rtsp)?.ok("OPTIONS", "*", &[], "")?;
    proxied(&server, b"PROXY UNKNOWN\r\n")?.ok("OPTIONS", "*", &[], "")?;
    proxied(&server, b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00")?.ok("OPTIONS", "*", &[], "")?;
    ensure!(server.counter("proxy_headers_invalid")? == 0);
    server.stop()
}

#[test]
fn nobody_else_is_believed() -> Result<()> {
    for trusted in ["", "192.0.2.0/24"] {
        let server = behind_proxies(trusted, None)?;
        for header in [version_1(server.rtsp), version_2(server.rtsp)] {
            let before = server.counter("closed_invalid")?;
            let mut connection = proxied(&server, &header)?;
            let _ = connection.send(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n");
            connection.until_closed(PATIENCE)?;
            wait::until("the close to be counted", PATIENCE, || {
                Ok((server.counter("closed_invalid")? > before).then_some(()))
            })?;
        }
        ensure!(!server.log().contains("198.51.100.7"), "the header was believed");
        server.stop()?;
    }
    Ok(())
}

#[test]
fn a_malformed_header_closes_the_connection_and_is_counted() -> Result<()> {
    let server = behind_proxies("127.0.0.1", None)?;
    let headers: [&[u8]; 5] = [
        b"PROXY TCP4 999.1.1.1 127.0.0.1 1 2\r\n",
        b"PROXY TCP4 198.51.100.7 127.0.0.1 70000 2\r\n",
        &[b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat(),
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\x00\x0c\0\0\0\0\0\0\0\0\0\0\0\0",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x02\0\0",
    ];
    for (number, header) in headers.iter().enumerate() {
        proxied(&server, header)?.until_closed(PATIENCE).with_context(|| format!("header {number}"))?;
        let wanted = number as u64 + 1;
        ensure!(server.counter("proxy_headers_invalid")? == wanted, "header {number} is not counted");
    }
    let counted = metric(&server, "headwater_proxy_headers_invalid_total{shard=\"0\"}")?;
    ensure!(counted == Some(headers.len() as f64), "the metric says {counted:?}");
    proxied(&server, &version_1(server.rtsp))?.ok("OPTIONS", "*", &[], "")?;
    server.stop()
}

/// Sends a PROXY header, then TLS, then a request, and says what was answered; keeps the connection until it is ended.
const PROXIED_TLS: &str = "\
import socket, ssl, sys, time
raw = socket.create_connection((sys.argv[1], int(sys.argv[2])))
raw.sendall(bytes.fromhex(sys.argv[3]))
context = ssl._create_unverified_context()
tls = context.wrap_socket(raw)
tls.sendall(b'OPTIONS * RTSP/1.0\\r\\nCSeq: 1\\r\\n\\r\\n')
print(tls.recv(1000).decode().splitlines()[0], flush=True)
time.sleep(600)
";

#[test]
fn the_header_comes_before_tls() -> Result<()> {
    let certificate = workspace().join(format!("proxied-{}.crt", std::process::id()));
    let key = certificate.with_extension("key");
    let mut openssl = Command::new("openssl");
    openssl.args(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost".split(' '),
    );
    openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    Process::spawn("openssl", openssl)?.succeed(Duration::from_secs(20))?;
    let server = behind_proxies("127.0.0.1", Some((certificate, key)))?;
    let rtsps = server.rtsps.context("no RTSPS")?;
    for header in [version_1(rtsps), version_2(rtsps)] {
        let header: String = header.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut python = Command::new(media::python_environment().join("bin/python3"));
        python.args(["-c", PROXIED_TLS, &rtsps.ip().to_string(), &rtsps.port().to_string(), &header]);
        let mut client = Process::spawn("a client behind a proxy", python)?;
        wait::until("the answer", PATIENCE, || {
            client.still_runs()?;
            Ok(client.stdout().contains("RTSP/1.0 200 OK").then_some(()))
        })?;
        shown_as(&server, "rtsps", "198.51.100.7:4711")?;
        drop(client);
        shown_as(&server, "rtsps", "")?;
    }
    server.stop()
}
