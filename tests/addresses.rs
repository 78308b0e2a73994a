//! On several addresses: what goes out over UDP comes from the address that the client asked.

use anyhow::{Result, ensure};
use headwater_tests::namespace;
use headwater_tests::publisher::{Packets, Publisher, Tracks, send_picture};
use headwater_tests::reader::Reader;
use headwater_tests::rtsp::Connection;
use headwater_tests::server::{Launch, Server, even_udp_pair};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// A server on the wildcard; readers and a publisher over UDP at each of `asked`. The sockets check where RTP and RTCP
/// come from.
fn media_comes_from_the_address_asked(asked: &[IpAddr]) -> Result<()> {
    let host = Ipv4Addr::UNSPECIFIED.into();
    let mut server = Server::launch(&Launch { host, shards: Some(2), ..Launch::default() })?;
    // The socket listens everywhere; the tests reach it by the loopback address.
    server.rtsp.set_ip(asked[0]);
    let publisher = Publisher::start(server.rtsp, &server.url("everywhere"), 1)?;
    server.wait_for_stream("everywhere")?;
    for &address in asked {
        let mut readers = Vec::new();
        for _ in 0..4 {
            readers.push(Reader::play_udp(&server, address, "everywhere")?);
        }
        for reader in &mut readers {
            reader.advance(100)?;
            reader.wait("a sender report", |seen| seen.sender_reports > 0)?;
        }
        for reader in readers {
            reader.finish_whole()?;
        }
        publish(&server, address)?;
    }
    publisher.tear_down()?;
    server.stop()
}

/// A publisher over UDP gets its receiver reports from the address that it asked.
fn publish(server: &Server, asked: IpAddr) -> Result<()> {
    let url = server.url_at(asked, "published");
    let mut connection = Connection::open(SocketAddr::new(asked, server.rtsp.port()))?;
    connection.ok("ANNOUNCE", &url, &[("Content-Type", "application/sdp")], &Tracks::Video.sdp())?;
    let (rtp, rtcp) = even_udp_pair(connection.stream().local_addr()?.ip())?;
    let port = rtp.local_addr()?.port();
    let transport = format!("RTP/AVP;unicast;client_port={port}-{};mode=record", port + 1);
    connection.set_up(&format!("{url}/trackID=0"), &transport)?;
    connection.ok("RECORD", &url, &[], "")?;
    let mut packets = Packets::new(2);
    rtcp.set_read_timeout(Some(Duration::from_millis(20)))?;
    for _ in 0..500 {
        send_picture(&rtp, SocketAddr::new(asked, server.rtp.port()), &mut packets)?;
        if let Ok((_, from)) = rtcp.recv_from(&mut [0; 2048]) {
            ensure!(
                from == SocketAddr::new(asked, server.rtcp.port()),
                "{asked} was asked, RTCP comes from {from}"
            );
            connection.ok("TEARDOWN", &url, &[], "")?;
            return Ok(());
        }
    }
    anyhow::bail!("no receiver report within 10 s")
}

#[test]
fn media_comes_from_the_loopback_address_asked() -> Result<()> {
    media_comes_from_the_address_asked(&[Ipv4Addr::LOCALHOST.into(), Ipv4Addr::new(127, 0, 0, 2).into()])
}

#[test]
fn media_comes_from_the_interface_asked() -> Result<()> {
    let interfaces = &[
        "link add v0 type veth peer name v1",
        "addr add 10.99.0.1/24 dev v0",
        "addr add 10.99.0.2/24 dev v0",
        "addr add 10.98.0.1/24 dev v1",
        "link set v0 up",
        "link set v1 up",
    ];
    namespace::run("media_comes_from_the_interface_asked", interfaces, || {
        let asked = ["127.0.0.1", "10.99.0.1", "10.99.0.2", "10.98.0.1"];
        let asked: Vec<IpAddr> = asked.iter().map(|address| address.parse()).collect::<Result<_, _>>()?;
        media_comes_from_the_address_asked(&asked)
    })
}
