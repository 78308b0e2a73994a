//! Listeners and certificates that change while the server runs: new connections meet the new ones, old sessions go on.

use anyhow::{Context, Result, ensure};
use headwater_tests::config_file::{ADDRESSES, ConfigFile, Taken, api, metric};
use headwater_tests::process::Process;
use headwater_tests::publisher::{Packets, Publisher, Tracks, send_picture};
use headwater_tests::reader::Reader;
use headwater_tests::rtsp::Connection;
use headwater_tests::server::{Server, even_udp_pair};
use headwater_tests::{wait, web as http};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const OPEN: &str = "paths:\n  all_others:\n";

fn configuration(more: &str) -> String {
    format!("{ADDRESSES}{more}{OPEN}")
}

/// Where the log last said that `what` is listened on.
fn listening(server: &Server, what: &str) -> Result<SocketAddr> {
    let log = server.log();
    let line = log.lines().rev().find(|line| line.contains(what)).with_context(|| format!("no {what:?}"))?;
    let (_, address) = line.split_once("address=").context("no address")?;
    Ok(address.split_whitespace().next().unwrap_or_default().parse()?)
}

fn refuses(address: SocketAddr) -> Result<()> {
    wait::until_true(&format!("{address} to be closed"), Duration::from_secs(5), || {
        TcpStream::connect(address).is_err()
    })
}

#[test]
fn a_moved_rtsp_port_takes_new_clients_and_keeps_old_sessions() -> Result<()> {
    let file = ConfigFile::new(&configuration(""))?;
    let mut server = file.launch()?;
    let old = server.rtsp;
    let publisher = Publisher::start(old, &server.url("live"), 1)?;
    server.wait_for_stream("live")?;
    let mut reader = Reader::play(old, &server.url("live"))?;
    let mut idle = Connection::open(old)?;
    reader.advance(60)?;

    file.change(&server, &configuration("").replacen("127.0.0.1:0", "127.0.0.2:0", 1))?;
    server.rtsp = listening(&server, "protocol=rtsp ")?;
    ensure!(server.rtsp.ip().to_string() == "127.0.0.2", "it listens on {}", server.rtsp);
    refuses(old)?;
    reader.advance(60)?.whole()?;
    let answer = idle.request("DESCRIBE", &format!("rtsp://{old}/live"), &[], "")?;
    ensure!(answer.status == 200, "an old connection is answered {}", answer.status);

    let mut new = Reader::play(server.rtsp, &server.url("live"))?;
    let second = Publisher::start(server.rtsp, &server.url("second"), 2)?;
    new.advance(60)?;
    server.wait_for_stream("second")?;
    reader.finish_whole()?;
    new.finish_whole()?;
    second.tear_down()?;
    publisher.tear_down()?;
    server.stop()
}

#[test]
fn a_moved_or_closed_control_port_leaves_the_rest_alone() -> Result<()> {
    let file = ConfigFile::new(&configuration(""))?;
    let mut server = file.launch()?;
    let publisher = Publisher::start(server.rtsp, &server.url("live"), 1)?;
    server.wait_for_stream("live")?;
    let mut reader = Reader::play(server.rtsp, &server.url("live"))?;
    let (old, metrics) = (server.control["api"], server.control["metrics"]);
    let mut kept = http::Connection::open(metrics)?;

    file.change(&server, &configuration("").replace("apiAddress: 127.0.0.1:0", "apiAddress: 127.0.0.3:0"))?;
    refuses(old)?;
    let new = listening(&server, "control port open port=api")?;
    ensure!(new.ip().to_string() == "127.0.0.3", "the API listens on {new}");
    server.control.insert("api", new);
    // Asked from 127.0.0.1, which the default users let in.
    api(&server, "GET", "/v3/paths/get/live", "")?;
    kept.send_request("GET", "/metrics", &[], "")?;
    ensure!(kept.answer(http::ANSWER)?.is_some_and(|answer| answer.status == 200), "another port was closed");

    file.change(&server, &configuration("").replace("metrics: yes", "metrics: no"))?;
    refuses(metrics)?;
    reader.advance(60)?;
    reader.finish_whole()?;
    publisher.tear_down()?;
    server.stop()
}

/// A publisher over UDP on a thread of its own, to the ports that the server named.
struct UdpPublisher {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl UdpPublisher {
    fn start(server: &Server, path: &str, epoch: u32) -> Result<UdpPublisher> {
        let url = server.url(path);
        let mut connection = Connection::open(server.rtsp)?;
        connection.ok("ANNOUNCE", &url, &[("Content-Type", "application/sdp")], &Tracks::Video.sdp())?;
        let (rtp, rtcp) = even_udp_pair(server.rtsp.ip())?;
        let port = rtp.local_addr()?.port();
        let transport = format!("RTP/AVP;unicast;client_port={port}-{};mode=record", port + 1);
        let answer = connection.set_up(&format!("{url}/trackID=0"), &transport)?;
        let transport = answer.header("Transport").unwrap_or_default().to_owned();
        let wanted = format!("server_port={}-{}", server.rtp.port(), server.rtcp.port());
        ensure!(transport.contains(&wanted), "{transport:?} does not say {wanted}");
        connection.ok("RECORD", &url, &[], "")?;
        let stop = Arc::new(AtomicBool::new(false));
        let (to, thread_stop) = (server.rtp, stop.clone());
        let thread = std::thread::spawn(move || send(&rtp, &rtcp, to, epoch, &thread_stop, connection));
        Ok(UdpPublisher { stop, thread: Some(thread) })
    }

    fn finish(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map_or(Ok(()), |thread| thread.join().expect("the publisher does not panic"))
    }
}

fn send(
    rtp: &UdpSocket,
    _rtcp: &UdpSocket,
    to: SocketAddr,
    epoch: u32,
    stop: &AtomicBool,
    _kept: Connection,
) -> Result<()> {
    let mut packets = Packets::new(epoch);
    while !stop.load(Ordering::Relaxed) {
        send_picture(rtp, to, &mut packets)?;
        // The pace of the stream, not a wait.
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[test]
fn moved_rtp_ports_take_new_clients_and_keep_old_sessions() -> Result<()> {
    let file = ConfigFile::new(&configuration(""))?;
    let mut server = file.launch()?;
    let ip = server.rtsp.ip();
    let old_publisher = UdpPublisher::start(&server, "old", 1)?;
    server.wait_for_stream("old")?;
    let mut old_reader = Reader::play_udp(&server, ip, "old")?;
    let mut over_tcp = Reader::play(server.rtsp, &server.url("old"))?;
    old_reader.advance(60)?;
    over_tcp.advance(60)?;

    let (rtp, rtcp) = even_udp_pair(ip)?;
    (server.rtp, server.rtcp) = (rtp.local_addr()?, rtcp.local_addr()?);
    drop((rtp, rtcp));
    let moved = configuration("")
        .replace("rtpAddress: 127.0.0.1:0", &format!("rtpAddress: {}", server.rtp))
        .replace("rtcpAddress: 127.0.0.1:0", &format!("rtcpAddress: {}", server.rtcp));
    file.change(&server, &moved)?;
    ensure!(listening(&server, "protocol=rtp ")? == server.rtp, "it listens elsewhere");
    old_reader.advance(120)?.whole()?;
    over_tcp.advance(120)?.whole()?;

    // New clients on the new ports, of the old stream and of a new one.
    let mut new_reader = Reader::play_udp(&server, ip, "old")?;
    let new_publisher = UdpPublisher::start(&server, "new", 2)?;
    server.wait_for_stream("new")?;
    let mut new_pair = Reader::play_udp(&server, ip, "new")?;
    for reader in [&mut new_reader, &mut new_pair, &mut old_reader] {
        reader.advance(120)?.whole()?;
    }
    for reader in [new_reader, new_pair, old_reader, over_tcp] {
        reader.finish_whole()?;
    }
    new_publisher.finish()?;
    old_publisher.finish()?;
    server.stop()
}

/// A self-signed certificate of that name, in place of the one that is there.
fn certificate(folder: &Path, name: &str) -> Result<()> {
    let mut command = Command::new("openssl");
    command.args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split(' '));
    command.args(["-subj", &format!("/CN={name}"), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout"]);
    command.arg(folder.join("server.key.new")).arg("-out").arg(folder.join("server.crt.new"));
    Process::spawn("openssl", command)?.succeed(Duration::from_secs(20))?;
    for file in ["server.key", "server.crt"] {
        std::fs::rename(folder.join(format!("{file}.new")), folder.join(file))?;
    }
    Ok(())
}

/// The name in the certificate that a new connection is shown.
fn shown(address: SocketAddr) -> Result<String> {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address.to_string()]);
    let mut process = Process::spawn("openssl s_client", command)?;
    process.wait(Duration::from_secs(10))?;
    let output = process.stdout();
    let line = output.lines().find(|line| line.starts_with("subject=")).context("no certificate is shown")?;
    Ok(line.rsplit('=').next().unwrap_or_default().trim().to_owned())
}

#[test]
fn a_certificate_that_is_replaced_is_shown_to_new_connections() -> Result<()> {
    let file = ConfigFile::new("")?;
    certificate(file.folder(), "first")?;
    let (cert, key) = (file.folder().join("server.crt"), file.folder().join("server.key"));
    let (cert_text, key_text) = (cert.display(), key.display());
    file.rewrite(&configuration(&format!(
        "apiEncryption: yes\napiServerCert: {cert_text}\napiServerKey: {key_text}\n\
         rtspEncryption: optional\nrtspsAddress: 127.0.0.1:0\nrtspServerCert: {cert_text}\nrtspServerKey: {key_text}\n"
    )))?;
    let mut server = file.launch()?;
    server.rtsps = Some(line_of(&server, "rtsps")?);
    let (rtsps, https) = (server.rtsps.context("no RTSPS")?, server.control["api"]);
    let publisher = Publisher::start(server.rtsp, &server.url("live"), 1)?;
    server.wait_for_stream("live")?;
    let mut reader = Reader::play(server.rtsp, &server.url("live"))?;
    // An old connection over TLS that goes on.
    let sample = headwater_tests::media::sample("h264_aac");
    let url = format!("rtsps://{rtsps}/secure");
    let over_tls = headwater_tests::clients::ffmpeg_publish(sample, &url, &["-rtsp_transport", "tcp"])?;
    let mut over_tls = Process::spawn("ffmpeg publishes over TLS", over_tls)?;
    server.wait_for_stream("secure")?;
    for address in [rtsps, https] {
        ensure!(shown(address)? == "first", "{address} shows {}", shown(address)?);
    }

    certificate(file.folder(), "second")?;
    for address in [rtsps, https] {
        wait::until(&format!("{address} to show the new certificate"), Duration::from_secs(5), || {
            Ok((shown(address)? == "second").then_some(()))
        })?;
    }
    std::fs::write(&cert, "-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n")?;
    server.wait_for_log("the certificate in force stays")?;
    ensure!(shown(rtsps)? == "second" && shown(https)? == "second", "a broken certificate is in force");
    over_tls.still_runs()?;
    server.wait_for_stream("secure")?;
    reader.advance(60)?;
    reader.finish_whole()?;
    ensure!(metric(&server, "headwater_configuration_reloads_total{result=\"failure\"}")? == Some(0.0));
    drop(over_tls);

    let before = Taken::of(&server);
    certificate(file.folder(), "third")?;
    wait::until("a good certificate after a broken one", Duration::from_secs(5), || {
        Ok((shown(https)? == "third" && shown(rtsps)? == "third").then_some(()))
    })?;
    ensure!(Taken::of(&server).changes == before.changes, "a certificate is no change of configuration");
    publisher.tear_down()?;
    server.stop()
}

/// Where a listener is, from the lines that the server prints at its start.
fn line_of(server: &Server, name: &str) -> Result<SocketAddr> {
    let log = server.log();
    let mut lines = log.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let line = lines.find(|words| words.first() == Some(&"listening") && words.get(1) == Some(&name));
    Ok(line.with_context(|| format!("{name} is not listened on"))?[3].parse()?)
}
