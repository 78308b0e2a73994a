//! What no decent client sends: the right status or a close, and nobody else notices.
//!
//! A table of request bytes and expected answers, wrong states, half-open connections and floods. A reader beside must see
//! every packet, and the server must neither panic nor forget anything.

use anyhow::{Context, Result, bail, ensure};
use headwater_tests::publisher::{Packets, Publisher, Tracks, record};
use headwater_tests::reader::{Reader, play_over};
use headwater_tests::rtsp::{Connection, Element};
use headwater_tests::server::{Launch, Server};
use headwater_tests::wait;
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

enum Expect {
    /// One of these statuses; the connection goes on or is closed.
    Status(&'static [u16]),
    /// One of these statuses, and the connection can be used further.
    StatusAndGoOn(&'static [u16]),
    /// The connection is closed, with one of these statuses or without a word.
    Close(&'static [u16]),
}

use Expect::{Close, Status, StatusAndGoOn};

/// What is sent ({url}: an existing path; {none}: one without a publisher), and what must come of it.
fn table() -> Vec<(&'static str, Vec<u8>, Expect)> {
    let sdp = Tracks::Video.sdp();
    let announce = |body: &str, kind: &str| {
        format!(
            "ANNOUNCE {{none}} RTSP/1.0\r\nCSeq: 1\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let set_up = |transport: &str| {
        format!("SETUP {{url}}/trackID=0 RTSP/1.0\r\nCSeq: 1\r\nTransport: {transport}\r\n\r\n")
    };
    let head = |start: &str, rest: &str| format!("{start} RTSP/1.0\r\nCSeq: 1\r\n{rest}\r\n");
    let text: Vec<(&'static str, String, Expect)> = vec![
        ("unknown method", head("FROBNICATE {url}", ""), StatusAndGoOn(&[405, 501])),
        ("method in small letters", head("options {url}", ""), StatusAndGoOn(&[405, 501])),
        ("no CSeq", "OPTIONS {url} RTSP/1.0\r\n\r\n".into(), Status(&[400])),
        ("CSeq that is no number", "OPTIONS {url} RTSP/1.0\r\nCSeq: x\r\n\r\n".into(), Status(&[400])),
        ("RTSP/2.0", "OPTIONS {url} RTSP/2.0\r\nCSeq: 1\r\n\r\n".into(), Status(&[505])),
        ("no version", "OPTIONS {url}\r\nCSeq: 1\r\n\r\n".into(), Close(&[400, 505])),
        ("HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n".into(), Close(&[400, 405, 501, 505])),
        ("no colon", head("OPTIONS {url}", "Nonsense\r\n"), Close(&[400])),
        ("not a URL", head("DESCRIBE :::", ""), Status(&[400, 404])),
        ("path without publisher", head("DESCRIBE {none}", ""), StatusAndGoOn(&[404])),
        ("path that climbs", head("DESCRIBE {url}/../../etc/passwd", ""), Status(&[400, 404])),
        (
            "SETUP without publisher",
            set_up("RTP/AVP/TCP;unicast;interleaved=0-1").replace("{url}", "{none}"),
            StatusAndGoOn(&[404]),
        ),
        (
            "SETUP of no track",
            set_up("RTP/AVP/TCP;unicast;interleaved=0-1").replace("=0 ", "=7 "),
            StatusAndGoOn(&[400, 404]),
        ),
        ("SETUP without Transport", head("SETUP {url}/trackID=0", ""), StatusAndGoOn(&[400, 461])),
        ("SETUP of nonsense", set_up("carrier pigeon"), StatusAndGoOn(&[400, 461])),
        ("SETUP of multicast", set_up("RTP/AVP;multicast"), StatusAndGoOn(&[461])),
        ("SETUP over UDP without ports", set_up("RTP/AVP;unicast"), StatusAndGoOn(&[400, 461])),
        ("SETUP to port 0", set_up("RTP/AVP;unicast;client_port=0-1"), StatusAndGoOn(&[400, 461])),
        (
            "SETUP to port 70000",
            set_up("RTP/AVP;unicast;client_port=70000-70001"),
            StatusAndGoOn(&[400, 461]),
        ),
        (
            "SETUP of channel 300",
            set_up("RTP/AVP/TCP;unicast;interleaved=300-301"),
            StatusAndGoOn(&[400, 461]),
        ),
        (
            "SETUP to record from nowhere",
            set_up("RTP/AVP/TCP;unicast;interleaved=0-1;mode=record"),
            Status(&[400, 404, 454, 455, 461]),
        ),
        ("PLAY without session", head("PLAY {url}", ""), StatusAndGoOn(&[454, 455])),
        ("PAUSE without session", head("PAUSE {url}", ""), StatusAndGoOn(&[454, 455])),
        ("RECORD without session", head("RECORD {url}", ""), StatusAndGoOn(&[454, 455])),
        ("PLAY in a foreign session", head("PLAY {url}", "Session: 12345678\r\n"), StatusAndGoOn(&[454])),
        (
            "TEARDOWN of a foreign session",
            head("TEARDOWN {url}", "Session: 12345678\r\n"),
            StatusAndGoOn(&[454]),
        ),
        (
            "keep-alive of a foreign session",
            head("GET_PARAMETER {url}", "Session: 1\r\n"),
            StatusAndGoOn(&[454]),
        ),
        ("Require", head("OPTIONS {url}", "Require: com.example.magic\r\n"), StatusAndGoOn(&[200, 551])),
        ("ANNOUNCE without body", announce("", "application/sdp"), Status(&[400])),
        ("ANNOUNCE of nonsense", announce("this is no sdp", "application/sdp"), Status(&[400, 415])),
        ("ANNOUNCE without media", announce("v=0\r\ns=x\r\nt=0 0\r\n", "application/sdp"), Status(&[400])),
        ("ANNOUNCE of a picture", announce(&sdp, "image/png"), Status(&[400, 415])),
        ("Content-Length of -1", head("OPTIONS {url}", "Content-Length: -1\r\n"), Close(&[400])),
        (
            "Content-Length of 4 GB",
            head("ANNOUNCE {none}", "Content-Length: 4294967296\r\n"),
            Close(&[400, 413]),
        ),
        (
            "Content-Length of 2^64",
            head("ANNOUNCE {none}", "Content-Length: 18446744073709551616\r\n"),
            Close(&[400, 413]),
        ),
        (
            "URI of 100 KB",
            head(&format!("OPTIONS rtsp://x/{}", "a".repeat(100_000)), ""),
            Close(&[400, 413, 414]),
        ),
        (
            "header of 100 KB",
            head("OPTIONS {url}", &format!("X: {}\r\n", "a".repeat(100_000))),
            Close(&[400, 413]),
        ),
        ("10,000 headers", head("OPTIONS {url}", &"X: y\r\n".repeat(10_000)), Close(&[400, 413])),
        ("a line that never ends", "a".repeat(1 << 20), Close(&[400, 413, 414])),
        ("answer out of nothing", "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n".into(), Close(&[400])),
    ];
    let mut table: Vec<_> =
        text.into_iter().map(|(name, bytes, expect)| (name, bytes.into_bytes(), expect)).collect();
    table.push(("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(50), Close(&[400])));
    table.push(("zeros", vec![0; 100_000], Close(&[400, 413, 414])));
    table.push((
        "not UTF-8",
        b"OPTIONS \xff\xfe RTSP/1.0\r\nCSeq: 1\r\nX: \xff\r\n\r\n".to_vec(),
        Close(&[200, 400]),
    ));
    table
}

/// Sends one case's bytes and looks at what comes of it.
fn judge(server: &Server, bytes: &[u8], expect: &Expect) -> Result<()> {
    let mut connection = Connection::open(server.rtsp)?;
    let sent = connection.send(bytes);
    match expect {
        Status(allowed) | StatusAndGoOn(allowed) => {
            sent?;
            let status = connection.response()?.status;
            ensure!(allowed.contains(&status), "answered {status}, not {allowed:?}");
        }
        Close(allowed) => {
            // The server may close while the rest is still being sent: then there is a reset instead of an answer.
            let _ = connection.stream().shutdown(std::net::Shutdown::Write);
            loop {
                match connection.element(Duration::from_secs(5))? {
                    Some(Element::Response(answer)) => {
                        ensure!(
                            allowed.contains(&answer.status),
                            "answered {}, not {allowed:?}",
                            answer.status
                        );
                    }
                    Some(Element::End) => break,
                    Some(other) => bail!("{other:?}"),
                    None => bail!("neither closed nor answered within 5 s"),
                }
            }
        }
    }
    if matches!(expect, StatusAndGoOn(_)) {
        connection.send(format!("OPTIONS {} RTSP/1.0\r\nCSeq: 9\r\n\r\n", server.url("x")).as_bytes())?;
        let answer = connection.response().context("a further request")?;
        ensure!(answer.status == 200, "a further request was answered {}", answer.status);
    }
    Ok(())
}

/// A server with a stream, and a reader of it beside whatever happens.
fn besieged(launch: &Launch) -> Result<(Server, Publisher, Reader)> {
    let mut server = Server::launch(launch)?;
    let url = server.url("beside");
    let publisher = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream("beside")?;
    let mut reader = Reader::play(server.rtsp, &url)?;
    reader.advance(50)?;
    Ok((server, publisher, reader))
}

/// The reader has noticed nothing, and newcomers are served.
fn unharmed(server: Server, publisher: Publisher, mut reader: Reader) -> Result<()> {
    reader.advance(100)?;
    reader.finish_whole()?;
    let mut newcomer = Reader::play(server.rtsp, &server.url("beside"))?;
    newcomer.advance(50)?;
    newcomer.finish_whole()?;
    publisher.tear_down()?;
    server.stop()
}

#[test]
fn each_wrong_request_gets_its_status_and_nobody_else_notices() -> Result<()> {
    let (server, publisher, reader) = besieged(&Launch::default())?;
    let mut wrong = Vec::new();
    for (name, bytes, expect) in table() {
        let bytes = match String::from_utf8(bytes) {
            Ok(text) => text
                .replace("{url}", &server.url("beside"))
                .replace("{none}", &server.url("none"))
                .into_bytes(),
            Err(other) => other.into_bytes(),
        };
        if let Err(error) = judge(&server, &bytes, &expect) {
            wrong.push(format!("{name}: {error:#}"));
        }
    }
    ensure!(wrong.is_empty(), "{} cases are wrong:\n{}", wrong.len(), wrong.join("\n"));
    unharmed(server, publisher, reader)
}

#[test]
fn methods_in_the_wrong_state_are_refused() -> Result<()> {
    let (server, publisher, reader) = besieged(&Launch::default())?;
    let url = server.url("beside");
    let track = format!("{url}/trackID=0");
    let tcp = |channels: &str| format!("RTP/AVP/TCP;unicast;interleaved={channels}");

    let mut reading = Connection::open(server.rtsp)?;
    reading.set_up(&track, &tcp("0-1"))?;
    let refuse =
        |connection: &mut Connection, method: &str, url: &str, headers: &[(&str, &str)], body: &str| {
            let status = connection.request(method, url, headers, body)?.status;
            ensure!((400..=501).contains(&status), "{method} was answered {status}");
            Ok(())
        };
    refuse(&mut reading, "RECORD", &url, &[], "").context("RECORD by a reader")?;
    let mut reading = play_over(TcpStream::connect(server.rtsp)?, &url)?;
    let sdp = Tracks::Video.sdp();
    let content = ("Content-Type", "application/sdp");
    refuse(&mut reading, "ANNOUNCE", &url, &[content], &sdp).context("ANNOUNCE by a reader that plays")?;

    let own = server.url("own");
    let mut publishing = record(server.rtsp, &own, Tracks::Video)?;
    refuse(&mut publishing, "PLAY", &own, &[], "").context("PLAY by a publisher")?;
    let mut publishing = Connection::open(server.rtsp)?;
    publishing.ok("ANNOUNCE", &own, &[content], &sdp)?;
    refuse(&mut publishing, "RECORD", &own, &[], "").context("RECORD before SETUP")?;

    let mut twice = Connection::open(server.rtsp)?;
    twice.set_up(&track, &tcp("0-1"))?;
    refuse(&mut twice, "SETUP", &track, &[("Transport", &tcp("2-3"))], "").context("the same track twice")?;
    unharmed(server, publisher, reader)
}

#[test]
fn half_open_connections_are_closed_in_time() -> Result<()> {
    // An idle connection is given half of the session timeout, the read timeout at least.
    let settings = vec!["readTimeout=1s".into(), "rtspSessionTimeout=2s".into()];
    let (server, publisher, reader) = besieged(&Launch { settings, ..Launch::default() })?;
    let beginnings: [&[u8]; 5] = [
        b"",
        b"O",
        b"OPTIONS rtsp://x/y RTSP/1.0\r\nCSeq: 1\r\n",
        b"$",
        b"ANNOUNCE rtsp://x/y RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 1000\r\n\r\nv=0",
    ];
    let mut connections = Vec::new();
    for number in 0..200 {
        let mut connection = Connection::open(server.rtsp)?;
        connection.send(beginnings[number % beginnings.len()])?;
        connections.push(connection);
    }
    for connection in &mut connections {
        connection.until_closed(Duration::from_secs(10))?;
    }
    unharmed(server, publisher, reader)
}

#[test]
fn floods_are_borne() -> Result<()> {
    let (server, publisher, reader) = besieged(&Launch::default())?;
    let url = server.url("beside");

    // Requests without waiting for an answer; and answers that nobody reads.
    let mut pipelining = Connection::open(server.rtsp)?;
    let request = format!("DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\n\r\n").repeat(100);
    pipelining.stream().set_write_timeout(Some(Duration::from_secs(2)))?;
    let _ = (0..200).try_for_each(|_| pipelining.send(request.as_bytes()));

    // Interleaved packets without a session, and on channels that nobody set up.
    let mut stray = Connection::open(server.rtsp)?;
    let _ = stray.send(&b"$\x07\x00\x04abcd".repeat(20_000));
    let mut playing = play_over(TcpStream::connect(server.rtsp)?, &url)?;
    let _ = playing.send(&b"$\x09\x00\x04abcd".repeat(20_000));

    // A publisher whose packets are no RTP.
    let mut nonsense = record(server.rtsp, &server.url("nonsense"), Tracks::Video)?;
    let _ = nonsense
        .send(&b"$\x00\x00\x04\x00\x00\x00\x00$\x01\x00\x08\xff\xff\xff\xff\xff\xff\xff\xff".repeat(10_000));

    // Datagrams from strangers.
    let stranger = UdpSocket::bind((server.rtsp.ip(), 0))?;
    let packet = Packets::new(9).picture().swap_remove(0);
    for number in 0..20_000_usize {
        let length = number % packet.len();
        let to = if number.is_multiple_of(2) { server.rtp } else { server.rtcp };
        stranger.send_to(&packet[..length], to)?;
    }

    // Connections, all at once.
    let crowd: Vec<TcpStream> = (0..1_000).map_while(|_| TcpStream::connect(server.rtsp).ok()).collect();
    ensure!(crowd.len() > 100, "only {} connections were accepted", crowd.len());
    drop((crowd, pipelining, stray, playing, nonsense));
    wait::until("the server to serve again", Duration::from_secs(10), || {
        let Ok(mut connection) = Connection::open(server.rtsp) else { return Ok(None) };
        Ok(connection.request("OPTIONS", &url, &[], "").is_ok().then_some(()))
    })?;
    unharmed(server, publisher, reader)
}
