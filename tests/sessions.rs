//! RTSP sessions as the RFC has them: across connections, over UDP, paused, pipelined, kept alive.

use anyhow::{Context, Result, ensure};
use headwater_tests::publisher::{Packets, Publisher, Tracks, send_picture};
use headwater_tests::reader::{Reader, play_over, set_up_udp};
use headwater_tests::rtsp::{Connection, Element};
use headwater_tests::server::{Launch, Server, even_udp_pair};
use headwater_tests::wait;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Waits for the first RTP packet of an interleaved session.
fn first_packet(connection: &mut Connection) -> Result<Vec<u8>> {
    wait::until("an RTP packet", Duration::from_secs(5), || {
        match connection.element(Duration::from_secs(1))? {
            Some(Element::Interleaved { channel: 0, payload }) => Ok(Some(payload)),
            Some(Element::End) => anyhow::bail!("the connection was closed"),
            _ => Ok(None),
        }
    })
}

#[test]
fn a_udp_session_outlives_its_connection() -> Result<()> {
    let mut server = Server::start()?;
    let url = server.url("outlives");
    let publisher = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream("outlives")?;
    let (mut first, sockets) = set_up_udp(&server, server.rtsp.ip(), "outlives")?;
    first.ok("PLAY", &url, &[], "")?;
    let session = first.session.clone();
    drop(first);
    let mut reader = Reader::receive(None, sockets, (server.rtp, server.rtcp));
    reader.advance(200)?;
    let mut second = Connection::open(server.rtsp)?;
    second.session = session;
    second.ok("GET_PARAMETER", &url, &[], "")?;
    reader.advance(200)?;
    second.ok("TEARDOWN", &url, &[], "")?;
    let answer = second.request("GET_PARAMETER", &url, &[], "")?;
    ensure!(answer.status == 454, "a session that was torn down is answered {}", answer.status);
    let at_the_end = reader.seen().packets;
    let after = publisher.sent() + 200;
    wait::until_true("200 packets more to be published", Duration::from_secs(5), || {
        publisher.sent() > after
    })?;
    let late = reader.seen().packets - at_the_end;
    ensure!(late < 50, "{late} packets came after TEARDOWN");
    reader.finish_whole()?;
    publisher.tear_down()?;
    server.stop()
}

#[test]
fn a_udp_session_without_any_sign_of_life_ends() -> Result<()> {
    let mut server =
        Server::launch(&Launch { settings: vec!["readTimeout=1s".into()], ..Launch::default() })?;
    let url = server.url("silent");
    let (rtp, _rtcp) = even_udp_pair(server.rtsp.ip())?;
    let port = rtp.local_addr()?.port();
    let mut connection = Connection::open(server.rtsp)?;
    connection.ok("ANNOUNCE", &url, &[("Content-Type", "application/sdp")], &Tracks::Video.sdp())?;
    let transport = format!("RTP/AVP;unicast;client_port={port}-{};mode=record", port + 1);
    connection.set_up(&format!("{url}/trackID=0"), &transport)?;
    connection.ok("RECORD", &url, &[], "")?;
    let mut packets = Packets::new(1);
    send_picture(&rtp, server.rtp, &mut packets)?;
    server.wait_for_stream("silent")?;
    wait::until("the silent publisher's path to go", Duration::from_secs(15), || {
        let answer = Connection::open(server.rtsp)?.request("DESCRIBE", &url, &[], "")?;
        Ok((answer.status == 404).then_some(()))
    })?;
    server.stop()
}

#[test]
fn a_udp_publisher_reaches_readers_whole() -> Result<()> {
    let mut server = Server::launch(&Launch { shards: Some(2), ..Launch::default() })?;
    let url = server.url("udp");
    let (rtp, rtcp) = even_udp_pair(server.rtsp.ip())?;
    let port = rtp.local_addr()?.port();
    let mut connection = Connection::open(server.rtsp)?;
    connection.ok("ANNOUNCE", &url, &[("Content-Type", "application/sdp")], &Tracks::Video.sdp())?;
    let transport = format!("RTP/AVP;unicast;client_port={port}-{};mode=record", port + 1);
    let answer = connection.set_up(&format!("{url}/trackID=0"), &transport)?;
    let ports = format!("server_port={}-{}", server.rtp.port(), server.rtcp.port());
    ensure!(
        answer.header("Transport").is_some_and(|value| value.contains(&ports)),
        "{answer:?} lacks {ports}"
    );
    connection.ok("RECORD", &url, &[], "")?;
    let mut packets = Packets::new(1);
    send_picture(&rtp, server.rtp, &mut packets)?;
    server.wait_for_stream("udp")?;
    let mut readers =
        vec![Reader::play(server.rtsp, &url)?, Reader::play_udp(&server, server.rtsp.ip(), "udp")?];
    // A burst now and then, and strangers' packets in between, which must not get into the stream.
    let stranger = std::net::UdpSocket::bind((server.rtsp.ip(), 0))?;
    for round in 0..100 {
        send_picture(&rtp, server.rtp, &mut packets)?;
        stranger.send_to(&Packets::new(9).picture()[0], server.rtp)?;
        let expected = 4 * (round + 1);
        for reader in &mut readers {
            reader.wait("the picture", |seen| seen.packets >= expected)?;
        }
    }
    for reader in readers {
        let seen = reader.finish_whole()?;
        ensure!(seen.epochs == 1, "a stranger's packets reached a reader: {seen:?}");
    }
    rtcp.set_read_timeout(Some(Duration::from_secs(10)))?;
    let (length, from) = rtcp.recv_from(&mut [0; 2048]).context("a receiver report")?;
    ensure!(
        length >= 8 && from == server.rtcp,
        "{length} bytes of RTCP from {from}, not from {}",
        server.rtcp
    );
    connection.ok("TEARDOWN", &url, &[], "")?;
    server.stop()
}

#[test]
fn rtp_info_tells_the_first_packet() -> Result<()> {
    let mut server = Server::start()?;
    let url = server.url("info");
    let publisher = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream("info")?;
    // Before the first packet there is nothing to tell.
    Reader::play(server.rtsp, &url)?.advance(1)?;
    let mut connection = Connection::open(server.rtsp)?;
    connection.ok("DESCRIBE", &url, &[], "")?;
    connection.set_up(&format!("{url}/trackID=0"), "RTP/AVP/TCP;unicast;interleaved=0-1")?;
    let answer = connection.ok("PLAY", &url, &[], "")?;
    let info = answer.header("RTP-Info").context("PLAY was answered without RTP-Info")?.to_owned();
    let field = |name: &str| {
        let value = info.split(';').find_map(|part| part.trim().strip_prefix(name)).map(str::to_owned);
        value.with_context(|| format!("no {name} in {info:?}"))
    };
    let packet = first_packet(&mut connection)?;
    let sequence = u16::from_be_bytes([packet[2], packet[3]]);
    let ticks = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
    ensure!(field("seq=")?.parse::<u16>()? == sequence, "{info}: the first packet has {sequence}");
    ensure!(field("rtptime=")?.parse::<u32>()? == ticks, "{info}: the first packet has {ticks}");
    ensure!(field("url=")?.starts_with(&url), "{info}");
    publisher.tear_down()?;
    server.stop()
}

#[test]
fn readers_get_sender_reports() -> Result<()> {
    let mut server = Server::start()?;
    let url = server.url("reports");
    let publisher = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream("reports")?;
    let mut readers =
        vec![Reader::play(server.rtsp, &url)?, Reader::play_udp(&server, server.rtsp.ip(), "reports")?];
    for reader in &mut readers {
        reader.wait("a sender report", |seen| seen.sender_reports > 0)?;
    }
    publisher.tear_down()?;
    server.stop()
}

#[test]
fn a_paused_reader_gets_nothing_and_goes_on_at_a_random_access_point() -> Result<()> {
    let mut server = Server::start()?;
    let url = server.url("pause");
    let publisher = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream("pause")?;
    let mut connection = play_over(TcpStream::connect(server.rtsp)?, &url)?;
    first_packet(&mut connection)?;
    connection.ok("PAUSE", &url, &[], "")?;
    // What came before the answer lies in the harness; after the answer there must be no RTP.
    while let Some(element) = connection.element(Duration::ZERO)? {
        ensure!(matches!(element, Element::Interleaved { .. }), "{element:?}");
    }
    let after = publisher.sent() + 100;
    wait::until_true("100 packets more", Duration::from_secs(5), || publisher.sent() > after)?;
    while let Some(element) = connection.element(Duration::ZERO)? {
        ensure!(
            matches!(element, Element::Interleaved { channel: 1, .. }),
            "a paused session got {element:?}"
        );
    }
    connection.ok("PLAY", &url, &[], "")?;
    let packet = first_packet(&mut connection)?;
    ensure!(packet[12] & 0x1f == 5, "playing went on in the middle of a group of pictures");
    connection.ok("TEARDOWN", &url, &[], "")?;
    publisher.tear_down()?;
    server.stop()
}

#[test]
fn pipelined_requests_are_answered_in_order() -> Result<()> {
    let mut server = Server::start()?;
    let url = server.url("pipelined");
    let publisher = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream("pipelined")?;
    let mut connection = Connection::open(server.rtsp)?;
    let mut requests = String::new();
    for (cseq, method) in ["OPTIONS", "DESCRIBE", "OPTIONS", "DESCRIBE", "OPTIONS"].iter().enumerate() {
        requests += &format!("{method} {url} RTSP/1.0\r\nCSeq: {}\r\n\r\n", 10 + cseq);
    }
    connection.send(requests.as_bytes())?;
    for cseq in 10..15 {
        let answer = connection.response()?;
        let got = answer.header("CSeq").unwrap_or_default();
        ensure!(
            answer.status == 200 && got == cseq.to_string(),
            "{} for CSeq {got}, not {cseq}",
            answer.status
        );
    }
    publisher.tear_down()?;
    server.stop()
}

#[test]
fn a_request_byte_by_byte_is_understood() -> Result<()> {
    let server = Server::start()?;
    let mut connection = Connection::open(server.rtsp)?;
    for byte in format!("OPTIONS {} RTSP/1.0\r\nCSeq: 77\r\n\r\n", server.url("x")).bytes() {
        connection.send(&[byte])?;
    }
    let answer = connection.response()?;
    ensure!(answer.status == 200 && answer.header("CSeq") == Some("77"), "{answer:?}");
    let public = answer.header("Public").context("OPTIONS was answered without Public")?;
    let methods = "ANNOUNCE DESCRIBE SETUP PLAY PAUSE RECORD TEARDOWN GET_PARAMETER SET_PARAMETER OPTIONS";
    for method in methods.split(' ') {
        ensure!(public.split(',').any(|offered| offered.trim() == method), "{method} is not in {public:?}");
    }
    server.stop()
}

#[test]
fn two_readers_may_share_a_connection_over_udp() -> Result<()> {
    let mut server = Server::start()?;
    let url = server.url("shared");
    let publisher = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream("shared")?;
    let from: (SocketAddr, SocketAddr) = (server.rtp, server.rtcp);
    let (mut connection, first_sockets) = set_up_udp(&server, server.rtsp.ip(), "shared")?;
    connection.ok("PLAY", &url, &[], "")?;
    let first_session = connection.session.take();
    let second_sockets = even_udp_pair(server.rtsp.ip())?;
    let port = second_sockets.0.local_addr()?.port();
    let transport = format!("RTP/AVP;unicast;client_port={port}-{}", port + 1);
    connection.set_up(&format!("{url}/trackID=0"), &transport)?;
    ensure!(connection.session != first_session, "a SETUP without Session joined an older session");
    connection.ok("PLAY", &url, &[], "")?;
    let mut first = Reader::receive(None, first_sockets, from);
    let mut second = Reader::receive(None, second_sockets, from);
    first.advance(100)?;
    second.advance(100)?;
    connection.ok("TEARDOWN", &url, &[], "")?;
    first.advance(100)?;
    first.finish_whole()?;
    second.finish_whole()?;
    publisher.tear_down()?;
    server.stop()
}
